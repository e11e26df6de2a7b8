/* Answers that a service gave a validator for, to ask "is it still so?" instead of the whole again (RFC 9110, 13).
 *
 * SPDX-License-Identifier: MIT
 *
 * Bounded in number and bytes; what was used least recently goes first. One thread.
 */
#pragma once

#include <glib.h>

typedef struct HttpRemembered HttpRemembered;

typedef struct HttpMemory {
  char *etag, *last_modified; /* either may be NULL */
  GBytes *body;
} HttpMemory;

HttpRemembered *http_remembered_new (guint most, gsize most_bytes);
void http_remembered_free (HttpRemembered *remembered);

/* What is known of a request, borrowed until the next change; NULL: nothing. */
const HttpMemory *http_remembered_get (HttpRemembered *remembered, const char *request);
void http_remembered_put (HttpRemembered *remembered, const char *request, const char *etag, const char *last_modified,
                          GBytes *body);
void http_remembered_forget (HttpRemembered *remembered, const char *request);
guint http_remembered_count (const HttpRemembered *remembered);
