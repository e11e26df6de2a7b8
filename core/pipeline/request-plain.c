/* SPDX-License-Identifier: MIT */
#include "request-plain.h"

#include <jansson.h>
#include <string.h>

#include "request-fields.h"
#include "writer.h"

#define NUMBER_MAX 18u /* characters: any such integer fits 64 bits */

/* What is left to read. */
typedef struct Cursor {
  const char *at, *end;
} Cursor;

static void
skip_blanks (Cursor *cursor)
{
  while (cursor->at < cursor->end &&
         (*cursor->at == ' ' || *cursor->at == '\n' || *cursor->at == '\t' || *cursor->at == '\r'))
    cursor->at++;
}

/* Blanks, `c` and more blanks. */
static gboolean
take_mark (Cursor *cursor, char c)
{
  skip_blanks (cursor);
  if (cursor->at == cursor->end || *cursor->at != c)
    return FALSE;
  cursor->at++;
  skip_blanks (cursor);
  return TRUE;
}

static gboolean
take_string (Cursor *cursor, RagifyStr *text)
{
  if (cursor->at == cursor->end || *cursor->at != '"')
    return FALSE;
  const char *begin = cursor->at + 1;
  const gsize size = ragify_writer_plain_run (begin, (gsize)(cursor->end - begin));
  if (begin + size == cursor->end || begin[size] != '"' || !g_utf8_validate_len (begin, size, NULL))
    return FALSE;
  cursor->at = begin + size + 1;
  *text = ragify_str (begin, size);
  return TRUE;
}

static gboolean
take_word (Cursor *cursor, const char *word)
{
  const gsize size = strlen (word);
  if ((gsize)(cursor->end - cursor->at) < size || memcmp (cursor->at, word, size) != 0)
    return FALSE;
  cursor->at += size;
  return TRUE;
}

/* -?(0|[1-9][0-9]*)(.[0-9]+)?, as long as it is short; NULL: something else. */
static json_t *
take_number (Cursor *cursor)
{
  char text[NUMBER_MAX + 1];
  gsize size = 0, digits = 0, point = 0;
  for (const char *c = cursor->at; c < cursor->end && size < NUMBER_MAX; c++, size++) {
    if (*c == '.' && digits > 0 && point == 0)
      point = size;
    else if (g_ascii_isdigit (*c))
      digits++;
    else if (*c != '-' || size > 0)
      break;
    text[size] = *c;
  }
  const gsize first = size > 0 && text[0] == '-' ? 1 : 0;
  if (digits == 0 || size == NUMBER_MAX || (point > 0 && point == size - 1) ||
      (text[first] == '0' && size > first + 1 && point != first + 1))
    return NULL;
  text[size] = '\0';
  cursor->at += size;
  return point > 0 ? json_real (g_ascii_strtod (text, NULL)) : json_integer (g_ascii_strtoll (text, NULL, 10));
}

/* NULL: a value that is not of the simple kinds, or none at all. */
static json_t *
take_value (Cursor *cursor)
{
  RagifyStr text;
  if (take_string (cursor, &text))
    return json_stringn_nocheck (text.data, text.size);
  if (take_word (cursor, "true"))
    return json_true ();
  if (take_word (cursor, "false"))
    return json_false ();
  return take_number (cursor);
}

static const RagifyField *
find_field (RagifyStr name)
{
  for (guint i = 0; i < ragify_request_n_fields; i++)
    if (strncmp (ragify_request_fields[i].name, name.data, name.size) == 0 &&
        ragify_request_fields[i].name[name.size] == '\0')
      return &ragify_request_fields[i];
  return NULL;
}

static gboolean
take_member (RagifyRequest *request, Cursor *cursor, guint *seen)
{
  RagifyStr name;
  const RagifyField *field = take_string (cursor, &name) && name.size > 0 ? find_field (name) : NULL;
  const guint bit = field != NULL ? 1u << (guint)(field - ragify_request_fields) : 0;
  if (field == NULL || (*seen & bit) != 0 || !take_mark (cursor, ':'))
    return FALSE;
  *seen |= bit;
  json_t *value = take_value (cursor);
  RagifyProblem problem = { 0 };
  const gboolean set = value != NULL && ragify_request_field_set (request, field, value, &problem);
  ragify_problem_clear (&problem);
  json_decref (value);
  return set;
}

gboolean
ragify_request_fill_plain (RagifyRequest *request, const char *body, gsize size)
{
  Cursor cursor = { .at = body, .end = body + size };
  guint seen = 0;
  if (size == 0 || !take_mark (&cursor, '{'))
    return FALSE;
  do {
    if (!take_member (request, &cursor, &seen))
      return FALSE;
  } while (take_mark (&cursor, ','));
  return take_mark (&cursor, '}') && cursor.at == cursor.end && request->query.size > 0;
}
