/* Listening sockets for an address such as "127.0.0.1:8080", "[::1]:0" or "unix:/run/ragify.sock".
 *
 * SPDX-License-Identifier: MIT
 */
#pragma once

#include <glib.h>

/* Opens one listening descriptor for each of `count` loops: on TCP sockets of their own with SO_REUSEPORT, so that the
 * kernel spreads connections; on Unix duplicates of one. Port 0: a free port, the same for all. A Unix socket that
 * nobody listens on any more is replaced. Returns the address in use (free with g_free) and fills `descriptors`; NULL
 * with an error that names the address. [control] */
char *ragify_listen_open (const char *address, guint count, int *descriptors, GError **error);

/* The path of a Unix address, or NULL for others. */
const char *ragify_listen_unix_path (const char *address);

#define RAGIFY_LISTEN_ERROR (ragify_listen_error_quark ())
GQuark ragify_listen_error_quark (void);
