/* Bytes of a text file as UTF-8.
 *
 * SPDX-License-Identifier: MIT
 *
 * A byte order mark decides; without one, what is valid UTF-8 is taken to be that, and for anything else ICU's charset
 * detector makes a guess from the bytes' statistics.
 */
#pragma once

#include <glib.h>

/* Takes `bytes` (g_malloc, with a NUL behind them) and returns the text with a NUL behind it; `*encoding` is the name
 * of what it was converted from, free with g_free; NULL: it was UTF-8. NULL with a reason (constant) where it is no
 * text: it holds control characters, or nobody can tell its encoding. */
char *ragify_plain_text (char *bytes, gsize size, gsize *text_size, char **encoding, const char **reason);

/* How many control characters there are that no text has; without NULs. */
gsize ragify_plain_text_odd (const char *text, gsize size);
/* The encoding of a text that begins with `head` and is valid UTF-8 or not; NULL: UTF-8, or nobody can tell. `*mark`:
 * bytes of the byte order mark. Free with g_free. */
char *ragify_plain_text_encoding (const char *head, gsize size, gboolean is_utf8, gsize *mark);
