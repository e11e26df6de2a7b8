/* Compression of replies, for clients that ask for it.
 *
 * SPDX-License-Identifier: MIT
 */
#pragma once

#include <ragify/ragify.h>

#include <glib.h>

/* Whether an Accept-Encoding (RFC 9110 section 12.5.3) takes gzip. */
gboolean ragify_accepts_gzip (RagifyStr accept_encoding);

/* `size` bytes as gzip, or NULL where that would not pay: what is small, or large enough to hold up a loop. Free with
 * g_free. [any] */
char *ragify_gzip (const char *data, gsize size, gsize *compressed_size);
