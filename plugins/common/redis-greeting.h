/* What a connection says first, and what the replies to that mean: user and password, name, database, and whether it is
 * what it should be. */
#ifndef RAGIFY_REDIS_GREETING_H
#define RAGIFY_REDIS_GREETING_H

#include "redis-connection.h"

/* Sends one command of the greeting. `optional`: it may be refused. */
typedef void (*RagifyRedisSay) (void *user, const RagifyStr *words, int count, bool optional);

void ragify_redis_greeting_say (const RagifyRedisSettings *settings, RagifyRedisSay say, void *user);

/* Whether the greeting may go on after this reply; false with a fault. `last`: to its last command. */
bool ragify_redis_greeting_judge (const RagifyRedisSettings *settings, const redisReply *reply, bool optional,
                                  bool last, RagifyFault *fault);

#endif
