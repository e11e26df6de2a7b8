/* A bounded cache in memory: shards of table and queues, found in without a lock. All functions [any] unless tagged.
 * SPDX-License-Identifier: MIT */
#ifndef MEMORY_CACHE_H
#define MEMORY_CACHE_H

#include <ragify/ragify.h>

#include <stdbool.h>

typedef struct MemoryCache MemoryCache;

typedef struct MemoryLimits {
  uint64_t entries; /* at most so many */
  uint64_t bytes;   /* at most so many, keys, values and the cache's own bytes for each entry together */
  uint32_t shards;  /* a power of two up to 32; 0: chosen by `entries` */
} MemoryLimits;

typedef struct MemoryStats {
  uint64_t entries;
  uint64_t bytes;
  uint64_t fixed_bytes; /* occupied whether or not there are entries: tables, the tuner */
  uint64_t hits;
  uint64_t misses;
  uint64_t sets;
  uint64_t evictions; /* to make room */
  uint64_t expired;   /* entries that went since their time was over */
  uint64_t rejected;  /* values larger than the whole cache may be */
  uint64_t skipped;   /* bookkeeping of a hit left out since a lock was taken: no hit ever waits for one */
  uint32_t shards;
  const char *mode; /* how the queues are run now */
} MemoryStats;

/* [control] NULL when memory is exhausted. */
MemoryCache *memory_cache_new (MemoryLimits limits);

/* [control] No other call is under way. */
void memory_cache_free (MemoryCache *cache);

/* [any] A new bound for bytes; takes effect with the next set. */
void memory_cache_set_bytes (MemoryCache *cache, uint64_t bytes);

/* Begins to look for a key, without waiting: call it some nanoseconds before memory_cache_get(), which needs what it
 * gives. */
uint64_t memory_cache_seek (MemoryCache *cache, RagifyBytes key);

/* The value of a key with a reference for the caller, or NULL. `*left_us`: what is left of its time; 0: no end. */
RagifyBuffer *
memory_cache_get (MemoryCache *cache, RagifyBytes key, uint64_t sought, uint64_t now_us, uint64_t *left_us);

/* Keeps a reference to `value` until `expires_us` (0: no end). False when memory is exhausted; a value that is larger
 * than the cache may be is not kept, and that is no error. */
bool memory_cache_set (MemoryCache *cache, RagifyBytes key, RagifyBuffer *value, uint64_t now_us, uint64_t expires_us);

/* True when the key was there. */
bool memory_cache_remove (MemoryCache *cache, RagifyBytes key);

/* What clear() of ragify.cache/1 does, by scope; how many entries went. Takes milliseconds per 100,000 entries. */
uint64_t memory_cache_clear_all (MemoryCache *cache);
uint64_t memory_cache_clear_expired (MemoryCache *cache, uint64_t now_us);
uint64_t memory_cache_shrink (MemoryCache *cache, uint64_t now_us, uint64_t target_bytes);

MemoryStats memory_cache_stats (MemoryCache *cache);

#endif
