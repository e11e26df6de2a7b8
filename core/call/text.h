/* Text that comes over the boundary.
 *
 * SPDX-License-Identifier: MIT
 */
#pragma once

#include <glib.h>
#include <ragify/ragify.h>

/* At most `limit` bytes of it as a C string in valid UTF-8, whatever it was; free with g_free. [any] */
char *ragify_text_copy (RagifyStr text, gsize limit);
