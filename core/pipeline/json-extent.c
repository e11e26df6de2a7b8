/* SPDX-License-Identifier: MIT */
#include "core/pipeline/json-extent.h"

/* The index of the quote that ends the string which begins before `at`, or `size`. */
static gsize
end_of_string (const char *text, gsize size, gsize at)
{
  while (at < size && text[at] != '"')
    at += text[at] == '\\' ? 2 : 1;
  return MIN (at, size);
}

gboolean
ragify_json_is_within (const char *text, gsize size, guint max_depth, guint max_values)
{
  guint depth = 0;
  guint values = 0;
  for (gsize i = 0; i < size; i++) {
    const char c = text[i];
    if (c == '"')
      i = end_of_string (text, size, i + 1);
    else if (c == '[' || c == '{') {
      if (++depth > max_depth || ++values > max_values)
        return FALSE;
    } else if (c == ']' || c == '}')
      depth -= depth > 0 ? 1 : 0;
    else if (c == ',' && ++values > max_values)
      return FALSE;
  }
  return TRUE;
}
