/* How many connections each client has.
 *
 * SPDX-License-Identifier: MIT
 *
 * A client is an IPv4 address or the first 64 bits of an IPv6 address, which is what one customer gets. One table for
 * all loops.
 */
#pragma once

#include <glib.h>
#include <sys/socket.h>

typedef struct RagifyClientTable RagifyClientTable;

typedef struct RagifyClientKey {
  guint8 bytes[16]; /* all 0: not an internet address */
} RagifyClientKey;

RagifyClientTable *ragify_client_table_new (void);
void ragify_client_table_free (RagifyClientTable *table);

/* [any] */
RagifyClientKey ragify_client_key (const struct sockaddr *address);
/* Adds one and returns how many there are now; 0 for what is not an internet address. [any] */
guint ragify_client_table_add (RagifyClientTable *table, const RagifyClientKey *key);
/* Takes one off. [any] */
void ragify_client_table_remove (RagifyClientTable *table, const RagifyClientKey *key);
/* [any] */
guint ragify_client_table_count (RagifyClientTable *table, const RagifyClientKey *key);
