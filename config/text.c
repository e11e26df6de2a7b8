/* SPDX-License-Identifier: MIT */
#include "config/text.h"

#include <string.h>

static bool
is_blank (char c)
{
  return c == ' ' || c == '\t';
}

bool
ragify_text_error (RagifyTextError *error, size_t offset, const char *format, ...)
{
  va_list arguments;

  va_start (arguments, format);
  error->offset = offset;
  error->message = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  return false;
}

const char *
ragify_environment_get (const char *const *environment, const char *name)
{
  size_t size = strlen (name);

  if (environment == NULL)
    return g_getenv (name);
  for (; *environment != NULL; environment++)
    if (strncmp (*environment, name, size) == 0 && (*environment)[size] == '=')
      return *environment + size + 1;
  return NULL;
}

/* One text between `at` and `end` of `raw`. */
typedef struct Reader {
  const char *raw;
  const char *at;
  const char *end;
  const char *const *environment;
  bool *expanded;
  RagifyTextError *error;
  GString *text;
} Reader;

static size_t
offset_of (const Reader *reader)
{
  return (size_t)(reader->at - reader->raw);
}

static bool
read_variable (Reader *reader)
{
  const char *name = reader->at + 2;
  const char *close = memchr (name, '}', (size_t)(reader->end - name));
  g_autofree char *copy = NULL;
  const char *value = NULL;

  if (close == NULL)
    return ragify_text_error (reader->error, offset_of (reader),
                              "'${' without its '}'; write '$${' where the two characters themselves are meant");
  copy = g_strndup (name, (gsize)(close - name));
  if (*copy == '\0' || strspn (copy, G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "_") != strlen (copy) ||
      g_ascii_isdigit (*copy))
    return ragify_text_error (reader->error, offset_of (reader),
                              "'${…}' must name an environment variable; write '$${' where the characters "
                              "themselves are meant");
  value = ragify_environment_get (reader->environment, copy);
  if (value == NULL)
    return ragify_text_error (reader->error, offset_of (reader), "the environment variable %.100s is not set", copy);
  if (!g_utf8_validate (value, -1, NULL))
    return ragify_text_error (reader->error, offset_of (reader), "the environment variable %.100s is not UTF-8", copy);
  g_string_append (reader->text, value);
  *reader->expanded = true;
  reader->at = close + 1;
  return true;
}

/* Takes in what `$` begins at reader->at, or the `$` alone. */
static bool
read_dollar (Reader *reader)
{
  size_t left = (size_t)(reader->end - reader->at);

  if (left >= 2 && reader->at[1] == '{')
    return read_variable (reader);
  if (left >= 3 && reader->at[1] == '$' && reader->at[2] == '{') {
    g_string_append (reader->text, "${");
    reader->at += 3;
    return true;
  }
  g_string_append_c (reader->text, '$');
  reader->at++;
  return true;
}

static bool
read_escape (Reader *reader)
{
  static const char written[] = "\"\\ntr";
  static const char meant[] = "\"\\\n\t\r";
  const char *which = reader->at + 1 < reader->end ? strchr (written, reader->at[1]) : NULL;

  if (which == NULL || *which == '\0')
    return ragify_text_error (reader->error, offset_of (reader),
                              "in quotes '\\' may be followed by '\"', '\\', n, t or r; write '\\\\' for a backslash");
  g_string_append_c (reader->text, meant[which - written]);
  reader->at += 2;
  return true;
}

static bool
read_quoted (Reader *reader)
{
  size_t open = offset_of (reader);

  reader->at++;
  while (reader->at < reader->end && *reader->at != '"') {
    bool sound = true;

    if (*reader->at == '\\')
      sound = read_escape (reader);
    else if (*reader->at == '$')
      sound = read_dollar (reader);
    else
      g_string_append_c (reader->text, *reader->at++);
    if (!sound)
      return false;
  }
  if (reader->at == reader->end)
    return ragify_text_error (reader->error, open, "a quoted text without its closing '\"'");
  reader->at++;
  while (reader->at < reader->end && is_blank (*reader->at))
    reader->at++;
  if (reader->at < reader->end)
    return ragify_text_error (reader->error, offset_of (reader),
                              "text after the closing '\"'; quote all of it, with '\\\"' for quotes inside");
  return true;
}

static bool
read_plain (Reader *reader)
{
  while (reader->at < reader->end) {
    if (*reader->at == '$') {
      if (!read_dollar (reader))
        return false;
      continue;
    }
    g_string_append_c (reader->text, *reader->at++);
  }
  return true;
}

/* The text of raw[begin, end), which has no blanks around it. */
static char *
read_text (const char *raw, const char *begin, const char *end, const char *const *environment, bool *expanded,
           RagifyTextError *error)
{
  GString *text = g_string_sized_new ((gsize)(end - begin));
  Reader reader = { raw, begin, end, environment, expanded, error, text };
  bool sound = begin < end && *begin == '"' ? read_quoted (&reader) : read_plain (&reader);

  return g_string_free (text, !sound);
}

char *
ragify_text_scalar (const char *raw, const char *const *environment, bool *expanded, RagifyTextError *error)
{
  return read_text (raw, raw, raw + strlen (raw), environment, expanded, error);
}

/* Where the item that begins at `at` ends: at its ';' or the end. */
static const char *
find_item_end (const char *at, const char *end)
{
  const char *separator = NULL;

  if (at < end && *at == '"') {
    for (at++; at < end && *at != '"'; at++)
      if (*at == '\\' && at + 1 < end)
        at++;
  }
  separator = at < end ? memchr (at, ';', (size_t)(end - at)) : NULL;
  return separator == NULL ? end : separator;
}

static void
clear_item (gpointer item)
{
  g_free (((RagifyTextItem *)item)->text);
}

GArray *
ragify_text_list (const char *raw, const char *const *environment, bool *expanded, RagifyTextError *error)
{
  g_autoptr (GArray) items = g_array_new (FALSE, FALSE, sizeof (RagifyTextItem));
  const char *end = raw + strlen (raw);
  const char *at = raw;

  g_array_set_clear_func (items, clear_item);
  while (at < end) {
    RagifyTextItem item = { 0 };
    const char *separator = NULL;
    const char *item_end = NULL;

    while (at < end && is_blank (*at))
      at++;
    if (at == end)
      break;
    separator = find_item_end (at, end);
    item_end = separator;
    while (item_end > at && is_blank (item_end[-1]))
      item_end--;
    item.offset = (size_t)(at - raw);
    if (item_end == at) {
      ragify_text_error (error, item.offset, "an empty item; items are separated by a single ';'");
      return NULL;
    }
    item.text = read_text (raw, at, item_end, environment, expanded, error);
    if (item.text == NULL)
      return NULL;
    g_array_append_val (items, item);
    at = separator == end ? end : separator + 1;
  }
  return g_steal_pointer (&items);
}

static bool
needs_quotes (const char *text, bool item)
{
  size_t size = strlen (text);

  if (size == 0 || is_blank (text[0]) || is_blank (text[size - 1]) || text[0] == '"' || text[0] == '#')
    return true;
  if (text[size - 1] == '\\' || strpbrk (text, "\n\r") != NULL || (item && strchr (text, ';') != NULL))
    return true;
  return strstr (text, " #") != NULL || strstr (text, "\t#") != NULL || strstr (text, ";\"") != NULL ||
         strstr (text, "; \"") != NULL;
}

char *
ragify_text_write (const char *text, bool item)
{
  bool quoted = needs_quotes (text, item);
  GString *written = g_string_new (quoted ? "\"" : NULL);

  for (const char *at = text; *at != '\0'; at++) {
    if (at[0] == '$' && at[1] == '{')
      g_string_append (written, "$$");
    else if (quoted && *at == '\n')
      g_string_append (written, "\\n");
    else if (quoted && *at == '\r')
      g_string_append (written, "\\r");
    else if (quoted && *at == '\t')
      g_string_append (written, "\\t");
    else if (quoted && (*at == '"' || *at == '\\'))
      g_string_append_printf (written, "\\%c", *at);
    else
      g_string_append_c (written, *at);
  }
  if (quoted)
    g_string_append_c (written, '"');
  return g_string_free (written, FALSE);
}
