/* The servers that a client talks to: one, or the nodes of a cluster with the slots that each of them has (Redis
 * Cluster specification: 16384 slots, CRC16 of the key or of its hash tag). One thread: its loop's. */
#ifndef RAGIFY_REDIS_NODES_H
#define RAGIFY_REDIS_NODES_H

#include "redis-connection.h"

#define RAGIFY_REDIS_SLOTS 16384

typedef struct RagifyRedisNodes RagifyRedisNodes;

/* The slot of a key. [any] */
int ragify_redis_slot (RagifyStr key);

/* The seeds of `url`, not yet started; with a watcher that locates there is one without an endpoint. `settings`
 * outlives it. */
RagifyRedisNodes *
ragify_redis_nodes_new (const RagifyRedisSettings *settings, const RagifyRedisUrl *url, RagifyRedisWatcher watcher);
void ragify_redis_nodes_start (RagifyRedisNodes *nodes);
void ragify_redis_nodes_stop (RagifyRedisNodes *nodes);
void ragify_redis_nodes_free (RagifyRedisNodes *nodes); /* [control] */

/* Whether keys have slots here. */
bool ragify_redis_nodes_have_slots (const RagifyRedisNodes *nodes);

/* The connection for a slot; -1, or one whose node is not known: any. */
RagifyRedisConnection *ragify_redis_nodes_route (RagifyRedisNodes *nodes, int slot);

/* The node at an address that another one named; `host` empty: at that one's. Made and started when it is new. */
RagifyRedisConnection *
ragify_redis_nodes_at (RagifyRedisNodes *nodes, const char *host, uint16_t port, const RagifyRedisConnection *named_by);

/* That node has the slot now. The whole map is asked for again soon. */
void ragify_redis_nodes_moved (RagifyRedisNodes *nodes, int slot, RagifyRedisConnection *connection);

/* Nodes that hold keys: the n-th, or NULL past the last. They may change from one round of the loop to the next. */
RagifyRedisConnection *ragify_redis_nodes_holder (const RagifyRedisNodes *nodes, uint32_t index);

bool ragify_redis_nodes_any_up (const RagifyRedisNodes *nodes);
void ragify_redis_nodes_count (const RagifyRedisNodes *nodes, RagifyRedisConnectionCounts *counts, uint32_t *up,
                               uint32_t *all);

#endif
