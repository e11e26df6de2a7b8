/* Ragify plugin SDK: caches, one level of a cache tier.
 *
 * SPDX-License-Identifier: MIT
 *
 * A cache keeps bytes under bytes. What the bytes mean, their age and their validity are the tier's: it writes an
 * envelope of its own. A cache may forget anything at any time.
 */
#ifndef RAGIFY_CACHE_H
#define RAGIFY_CACHE_H

#include "plugin.h"

#ifdef __cplusplus
extern "C" {
#endif

#define RAGIFY_KIND_CACHE "ragify.cache/1"

typedef struct RagifyCacheGet {
  uint32_t struct_size;
  uint32_t reserved;
  RagifyBytes key; /* 1..1024 bytes of any value */
} RagifyCacheGet;

/* A miss is a success with no value. */
typedef struct RagifyCacheGetResult {
  uint32_t struct_size;
  uint32_t reserved;
  RagifyBuffer *value; /* one reference passes to the host; NULL: absent or expired */
  uint64_t ttl_us;     /* what is left of its time; 0: not known */
} RagifyCacheGetResult;

typedef struct RagifyCacheSet {
  uint32_t struct_size;
  uint32_t reserved;
  RagifyBytes key;
  RagifyBuffer *value; /* take a reference of your own to keep it; 0 bytes to 64 MiB */
  uint64_t ttl_us;     /* at most this long; 0: the level's own configured TTL */
} RagifyCacheSet;

typedef struct RagifyCacheRemove {
  uint32_t struct_size;
  uint32_t reserved;
  RagifyBytes key;
} RagifyCacheRemove;

#define RAGIFY_CACHE_CLEAR_ALL 0u
#define RAGIFY_CACHE_CLEAR_EXPIRED 1u /* only what has expired */
#define RAGIFY_CACHE_CLEAR_SHRINK 2u  /* the least useful entries, until at most `target_bytes` are in use */

typedef struct RagifyCacheClear {
  uint32_t struct_size;
  uint32_t scope; /* RAGIFY_CACHE_CLEAR_… */
  uint64_t target_bytes;
} RagifyCacheClear;

/* Of remove and clear. */
typedef struct RagifyCacheCount {
  uint32_t struct_size;
  uint32_t reserved;
  uint64_t count; /* entries that went; where the backend cannot tell, 0 */
} RagifyCacheCount;

typedef struct RagifyCacheOperations {
  uint32_t struct_size;
  uint32_t reserved;
  void (*get) (void *instance, RagifyCall *call, const RagifyCacheGet *args);       /* [call] RagifyCacheGetResult */
  void (*set) (void *instance, RagifyCall *call, const RagifyCacheSet *args);       /* [call] result: none */
  void (*remove) (void *instance, RagifyCall *call, const RagifyCacheRemove *args); /* [call] RagifyCacheCount */
  void (*clear) (void *instance, RagifyCall *call, const RagifyCacheClear *args);   /* [call] RagifyCacheCount */
} RagifyCacheOperations;

#ifdef __cplusplus
}
#endif
#endif
