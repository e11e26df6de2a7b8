/* SPDX-License-Identifier: MIT */
#include "core/call/text.h"

char *
ragify_text_copy (RagifyStr text, gsize limit)
{
  return text.data != NULL ? g_utf8_make_valid (text.data, (gssize)MIN (text.size, limit)) : g_strdup ("");
}
