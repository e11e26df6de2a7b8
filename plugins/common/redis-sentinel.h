/* Where Redis Sentinel says the master is. One thread: its loop's. */
#ifndef RAGIFY_REDIS_SENTINEL_H
#define RAGIFY_REDIS_SENTINEL_H

#include "redis-connection.h"

typedef struct RagifyRedisSentinel RagifyRedisSentinel;

/* `endpoint` or `fault` is NULL. */
typedef void (*RagifyRedisFound) (void *user, const RagifyRedisEndpoint *endpoint, const RagifyFault *fault);

/* `settings` and `url` outlive it. */
RagifyRedisSentinel *ragify_redis_sentinel_new (const RagifyRedisSettings *settings, const RagifyRedisUrl *url);
void ragify_redis_sentinel_stop (RagifyRedisSentinel *sentinel);
void ragify_redis_sentinel_free (RagifyRedisSentinel *sentinel); /* [control] */

/* Asks one Sentinel after the other, beginning with the one that answered last. Asked again before `found` ran, only
 * the later question is answered. */
void ragify_redis_sentinel_find (RagifyRedisSentinel *sentinel, RagifyRedisFound found, void *user);

#endif
