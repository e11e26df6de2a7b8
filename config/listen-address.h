/* What `listen` of an [http] group may say.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RAGIFY_CONFIG_LISTEN_ADDRESS_H
#define RAGIFY_CONFIG_LISTEN_ADDRESS_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

G_BEGIN_DECLS

/* Checks "127.0.0.1:8080", "[::1]:8080", "unix:/run/ragify.sock" or "systemd:http". Addresses are numeric, since a name
 * may come to mean another one. `*local` becomes true where only this machine can connect. On failure false, with a
 * message for people that says what was expected, to be freed by the caller. */
bool ragify_listen_address_check (const char *text, bool *local, char **message);

G_END_DECLS
#endif
