/* The Redis level: its instance, and what its parts share. One instance for each loop; everything here is the loop's,
 * unless it says otherwise. */
#ifndef RAGIFY_CACHE_REDIS_CACHE_H
#define RAGIFY_CACHE_REDIS_CACHE_H

#include "redis-service.h"

#include <ragify/ragify.h>
#include <stdatomic.h>

typedef struct RedisCache {
  const RagifyHost *host;
  RagifyContext *context;
  RagifyRedisService service;
  RagifyRedis *redis;    /* the service's */
  struct Packer *packer; /* the loop's own; workers make theirs */
  char *prefix;
  size_t prefix_size;
  _Atomic uint64_t ttl_us;     /* 0: no end */
  _Atomic uint64_t pack_above; /* bytes; UINT64_MAX: never */
  uint64_t hits, misses, sets, foreign, damaged, removed, errors;
  _Atomic uint64_t packed;      /* values */
  _Atomic uint64_t saved_bytes; /* by packing */
} RedisCache;

/* Completes a call with the fault. [any] */
void redis_cache_fail (RedisCache *cache, RagifyCall *call, const RagifyFault *fault);

/* The operations of ragify.cache/1. */
void redis_cache_get (void *instance, RagifyCall *call, const RagifyCacheGet *args);
void redis_cache_set (void *instance, RagifyCall *call, const RagifyCacheSet *args);
void redis_cache_remove (void *instance, RagifyCall *call, const RagifyCacheRemove *args);
void redis_cache_clear (void *instance, RagifyCall *call, const RagifyCacheClear *args);

/* Of every component. */
void redis_cache_probe (void *instance, RagifyCall *call, const RagifyNothing *args);
void redis_cache_stats (void *instance, RagifyCall *call, const RagifyNothing *args);

#endif
