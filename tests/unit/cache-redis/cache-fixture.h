/* The Redis level through its loaded plugin. */
#ifndef RAGIFY_CACHE_REDIS_FIXTURE_H
#define RAGIFY_CACHE_REDIS_FIXTURE_H

#include "kit.h"
#include "redis-fixture.h"

#include <stddef.h>

#define CONFIG_ROOM 16

typedef struct Cache {
  RagifyKit *kit;
  RagifyKitInstance *instance;
  const RagifyCacheOperations *operations;
  RagifyKitFunction probe;
} Cache;

/* Opens the level at `port` of 127.0.0.1 with more keys (ended by NULL; NULL: none). */
void cache_open (Cache *cache, uint16_t port, const char *const *config);
/* … at any URL. */
void cache_open_url (Cache *cache, const char *url, const char *const *config);
/* Nothing may be left of it. */
void cache_close (Cache *cache);

RagifyBytes bytes_of (const char *text);

/* Codes of RAGIFY_E_…; what was said is in cache_said(). `timeout_us` 0: 60 s. */
int32_t
cache_set (Cache *cache, RagifyBytes key, const void *data, uint64_t size, uint64_t ttl_us, uint64_t timeout_us);
/* `*value`: a reference of the caller's, or NULL for a miss. */
int32_t cache_get (Cache *cache, RagifyBytes key, RagifyBuffer **value, uint64_t timeout_us);
int32_t cache_remove (Cache *cache, RagifyBytes key, uint64_t *count);
int32_t cache_clear (Cache *cache, uint32_t scope, uint64_t *count);
int32_t cache_probe (Cache *cache);
const char *cache_said (void); /* by the last call of this thread */

/* A statistic. */
int64_t cache_stat (Cache *cache, const char *name);

/* Short forms for text, that fail the test. `text` NULL: a miss. */
void must_set (Cache *cache, const char *key, const char *text);
void must_get (Cache *cache, const char *key, const char *text);
/* Sets again until it is taken; fails the test after a minute. */
void await_set (Cache *cache, const char *key, const char *text);
/* A get must fail so, and say so. */
void must_fail (int32_t code, int32_t expected, const char *part);

#endif
