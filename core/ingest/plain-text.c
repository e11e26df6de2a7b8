/* SPDX-License-Identifier: MIT */
#include "core/ingest/plain-text.h"

#include <string.h>
#include <unicode/ucnv.h>
#include <unicode/ucsdet.h>

#define EXAMINED 65536u /* bytes that the detector sees */
#define SUREST 10       /* of 100: below that a guess is none */

gsize
ragify_plain_text_odd (const char *text, gsize size)
{
  gsize odd = 0;
  for (gsize i = 0; i < size; i++) {
    const unsigned char byte = (unsigned char)text[i];
    odd += (byte < 0x20 && byte != '\0' && strchr ("\t\n\v\f\r\x1b\b", byte) == NULL) || byte == 0x7f;
  }
  return odd;
}

/* Characters that no text has, in more than one of a hundred places: then it is something else. */
static gboolean
is_binary (const char *text, gsize size)
{
  return memchr (text, '\0', size) != NULL || ragify_plain_text_odd (text, size) * 100 > size;
}

static const char *
mark_of (const char *bytes, gsize size, gsize *length)
{
  UErrorCode status = U_ZERO_ERROR;
  int32_t found = 0;
  const char *name = ucnv_detectUnicodeSignature (bytes, (int32_t)MIN (size, 8), &found, &status);
  *length = U_SUCCESS (status) && name != NULL ? (gsize)found : 0;
  return *length > 0 ? name : NULL;
}

static char *
guess (const char *bytes, gsize size)
{
  UErrorCode status = U_ZERO_ERROR;
  UCharsetDetector *detector = ucsdet_open (&status);
  ucsdet_setText (detector, bytes, (int32_t)MIN (size, EXAMINED), &status);
  const UCharsetMatch *match = ucsdet_detect (detector, &status);
  char *name = NULL;
  if (U_SUCCESS (status) && match != NULL && ucsdet_getConfidence (match, &status) >= SUREST)
    name = g_strdup (ucsdet_getName (match, &status));
  ucsdet_close (detector);
  return name;
}

static char *
convert (const char *encoding, const char *bytes, gsize size, gsize *text_size)
{
  UErrorCode status = U_ZERO_ERROR;
  if (size > G_MAXINT32 / 4)
    return NULL;
  const int32_t length = ucnv_convert ("UTF-8", encoding, NULL, 0, bytes, (int32_t)size, &status);
  if (status != U_BUFFER_OVERFLOW_ERROR || length <= 0)
    return NULL;
  char *text = g_malloc ((gsize)length + 1);
  status = U_ZERO_ERROR;
  ucnv_convert ("UTF-8", encoding, text, length + 1, bytes, (int32_t)size, &status);
  text[length] = '\0';
  *text_size = (gsize)length;
  if (U_SUCCESS (status) && g_utf8_validate_len (text, *text_size, NULL))
    return text;
  g_free (text);
  return NULL;
}

char *
ragify_plain_text (char *bytes, gsize size, gsize *text_size, char **encoding, const char **reason)
{
  gsize mark = 0;
  g_autofree char *taken = bytes;
  g_autofree char *name = g_strdup (mark_of (bytes, size, &mark));
  *encoding = NULL;
  if ((name == NULL || strcmp (name, "UTF-8") == 0) && g_utf8_validate_len (bytes + mark, size - mark, NULL)) {
    if (is_binary (bytes + mark, size - mark)) {
      *reason = "is no text";
      return NULL;
    }
    *text_size = size - mark;
    memmove (bytes, bytes + mark, *text_size + 1);
    return g_steal_pointer (&taken);
  }
  if (name == NULL)
    name = guess (bytes, size);
  g_autofree char *text = name != NULL ? convert (name, bytes + mark, size - mark, text_size) : NULL;
  if (text == NULL || is_binary (text, *text_size)) {
    *reason = "is no text in an encoding that is known";
    return NULL;
  }
  *encoding = g_steal_pointer (&name);
  return g_steal_pointer (&text);
}

char *
ragify_plain_text_encoding (const char *head, gsize size, gboolean is_utf8, gsize *mark)
{
  const char *name = mark_of (head, size, mark);
  if (name != NULL && (!is_utf8 || strcmp (name, "UTF-8") != 0))
    return g_strdup (name);
  return is_utf8 ? NULL : guess (head, size);
}
