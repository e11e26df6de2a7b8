/* SPDX-License-Identifier: MIT */
#include "describe.h"

#include <string.h>

#define SHOWN 48 /* bytes of a text that are quoted */
#define NAME_LIMIT 32

static void
describe_string (const json_t *json, RagifyDescription *description)
{
  const char *text = json_string_value (json);
  gsize size = json_string_length (json);
  if (size == 0) {
    g_strlcpy (description->text, "the empty string", sizeof description->text);
    return;
  }
  const gboolean whole = size <= SHOWN;
  if (!whole) {
    size = SHOWN;
    while (((guint8)text[size] & 0xC0) == 0x80)
      size--;
  }
  g_snprintf (description->text, sizeof description->text, "the string \"%.*s%s\"", (int)size, text, whole ? "" : "…");
}

/* Edits (insert, remove, replace a letter) from one name to another. */
static guint
distance (const char *a, const char *b)
{
  const gsize n = strlen (a), m = strlen (b);
  guint row[NAME_LIMIT + 1];
  if (n > NAME_LIMIT || m > NAME_LIMIT)
    return G_MAXUINT;
  for (guint j = 0; j <= m; j++)
    row[j] = j;
  for (guint i = 1; i <= n; i++) {
    guint diagonal = row[0];
    row[0] = i;
    for (guint j = 1; j <= m; j++) {
      const guint replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = MIN (replaced, MIN (row[j], row[j - 1]) + 1);
    }
  }
  return row[m];
}

const char *
ragify_describe (const json_t *json, RagifyDescription *description)
{
  char number[G_ASCII_DTOSTR_BUF_SIZE];
  const char *word = "nothing";
  if (json_is_string (json)) {
    describe_string (json, description);
    return description->text;
  }
  if (json_is_integer (json)) {
    g_snprintf (description->text, sizeof description->text, "the number %" JSON_INTEGER_FORMAT,
                json_integer_value (json));
    return description->text;
  }
  if (json_is_real (json)) {
    g_ascii_dtostr (number, sizeof number, json_real_value (json));
    const gboolean whole = strpbrk (number, ".e") == NULL;
    g_snprintf (description->text, sizeof description->text, "the number %s%s", number, whole ? ".0" : "");
    return description->text;
  }
  if (json_is_object (json))
    word = "an object";
  else if (json_is_array (json))
    word = json_array_size (json) == 0 ? "an empty list" : "a list";
  else if (json != NULL)
    word = json_is_null (json) ? "null" : json_is_true (json) ? "true" : "false";
  g_strlcpy (description->text, word, sizeof description->text);
  return description->text;
}

const char *
ragify_describe_nearest (const char *name, const char *const *names, guint count)
{
  const char *nearest = NULL;
  guint best = 3;
  for (guint i = 0; i < count; i++) {
    const guint edits = distance (name, names[i]);
    if (edits < best) {
      best = edits;
      nearest = names[i];
    }
  }
  return nearest;
}
