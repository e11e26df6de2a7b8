/* Sockets that the service manager has opened for us (systemd.socket(5), sd_listen_fds(3)).
 *
 * SPDX-License-Identifier: MIT
 */
#pragma once

#include <glib.h>

/* The name in "systemd:NAME", or NULL for other addresses. */
const char *ragify_listen_passed_name (const char *address);

/* Fills `descriptors` with duplicates of the one listening socket of that name (FileDescriptorName=; without one, the
 * socket unit's own name), and returns its address, as ragify_listen_open does. The socket itself stays open until the
 * process ends, so that no connection to it is ever refused: what comes while nobody accepts is the next process's.
 * `*local`: only this machine can connect. NULL with an error that tells which names there are. [control] */
char *ragify_listen_open_passed (const char *address, guint count, int *descriptors, gboolean *local, GError **error);
