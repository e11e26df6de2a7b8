/* SPDX-License-Identifier: MIT */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "conformance.h"

#define NAUGHTY(text)                                                                                                  \
  {                                                                                                                    \
    text, sizeof (text) - 1                                                                                            \
  }

const RagifyStr text_naughty[] = {
  NAUGHTY (" "),
  NAUGHTY ("a"),
  NAUGHTY ("\n\t\r"),
  NAUGHTY ("'; DROP TABLE documents; --"),
  NAUGHTY ("\"quoted\" AND (NOT x OR NEAR) *"),
  NAUGHTY ("%s%n%x%d {} ${HOME} $(id) `id`"),
  NAUGHTY ("\\ \\\\ \\u0000 \\x00"),
  NAUGHTY ("a\0b\0c"),
  NAUGHTY ("*?[](){}^$.|+-~!@#&=:;,<>/"),
  NAUGHTY (
      "\xc3\xa9\xcc\x81 \xe2\x80\xae\xd7\xa9\xd7\x9c\xd7\x95\xd7\x9d \xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x91\xa7"),
  NAUGHTY ("\xef\xbb\xbf\xe3\x81\x93\xe3\x82\x93\xe3\x81\xab\xe3\x81\xa1\xe3\x81\xaf"),
  NAUGHTY ("<script>alert(1)</script>"),
  NAUGHTY ("../../../../etc/passwd"),
  { NULL, 0 },
};

/* How many bytes the sequence that begins with `first` has; 0: none does. */
static unsigned
sequence_length (unsigned char first)
{
  if (first < 0x80)
    return 1;
  if (first >= 0xc2 && first < 0xe0)
    return 2;
  if (first >= 0xe0 && first < 0xf0)
    return 3;
  return first >= 0xf0 && first < 0xf5 ? 4 : 0;
}

bool
text_is_utf8 (RagifyStr text)
{
  if (text.size > 0 && text.data == NULL)
    return false;
  for (uint64_t at = 0; at < text.size;) {
    const unsigned char *bytes = (const unsigned char *)text.data + at;
    const unsigned length = sequence_length (bytes[0]);
    if (length == 0 || at + length > text.size)
      return false;
    for (unsigned i = 1; i < length; i++)
      if ((bytes[i] & 0xc0) != 0x80)
        return false;
    /* Overlong, surrogates, beyond U+10FFFF. */
    if ((bytes[0] == 0xe0 && bytes[1] < 0xa0) || (bytes[0] == 0xed && bytes[1] > 0x9f) ||
        (bytes[0] == 0xf0 && bytes[1] < 0x90) || (bytes[0] == 0xf4 && bytes[1] > 0x8f))
      return false;
    at += length;
  }
  return true;
}

bool
text_is_json_object (RagifyStr text)
{
  if (text.size == 0)
    return true;
  json_t *value = json_loadb (text.data, text.size, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
  const bool is_object = json_is_object (value);
  json_decref (value);
  return is_object;
}

RagifyStr
text_exact (const char *text)
{
  const size_t size = strlen (text);
  char *memory = malloc (size > 0 ? size : 1);
  if (memory == NULL)
    abort ();
  memcpy (memory, text, size);
  return ragify_str (memory, size);
}
