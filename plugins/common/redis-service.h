/* The Redis that an instance is a client of: made of the keys of redis-keys.inc.h, started and stopped with the
 * instance. One thread: its loop's. SPDX-License-Identifier: MIT */
#ifndef RAGIFY_REDIS_SERVICE_H
#define RAGIFY_REDIS_SERVICE_H

#include "redis-client.h"

typedef struct RagifyRedisService {
  const RagifyHost *host;
  RagifyContext *context;
  RagifyRedis *redis;
  bool quiet;           /* that it goes and comes is no warning once it is started: others give one */
  RagifyCall *starting; /* until it is known whether Redis is there */
} RagifyRedisService;

/* How much may be under way; 0: the client's own. */
typedef struct RagifyRedisBounds {
  uint64_t reply_bytes; /* of one reply */
  uint32_t in_flight;   /* commands */
} RagifyRedisBounds;

/* False with a fault. The service is where it is until it is cleared. [control] */
bool ragify_redis_service_init (RagifyRedisService *service, const RagifyHost *host, RagifyContext *context,
                                RagifyRedisBounds bounds, RagifyFault *fault);
/* One that was stopped, or never started, or zeroed. [control] */
void ragify_redis_service_clear (RagifyRedisService *service);

/* The component's start: completes the call once the first attempt to connect has come to an end, well in either case:
 * Redis may be away, and is found later. [loop] */
void ragify_redis_service_start (RagifyRedisService *service, RagifyCall *call);
/* The component's stop. [loop] */
void ragify_redis_service_stop (RagifyRedisService *service, RagifyCall *call);

#endif
