/* SPDX-License-Identifier: MIT
 *
 * Locks: a shard's guards its queues, its list of evicted keys and changes to its table; at most one is held at a time.
 * The limits are the cache's, not a shard's: an insertion makes room in its own shard where the number of entries is
 * too large, and in the largest one where the bytes are, so that sharding neither wastes room nor keeps large values
 * out. */
#include "cache.h"

#include "ghost.h"
#include "pages.h"
#include "readers.h"
#include "slabs.h"
#include "table.h"
#include "tuner.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#define SHARDS_MAX 32
/* Fewer entries than that in a shard, and chance would make some shards fuller than others by more than it is worth. */
#define SHARD_ENTRIES 2048
#define SHARDS_AUTO 16
/* An entry's share of table and ghost, and what malloc adds to one that is not in the slabs. */
#define ENTRY_SHARE 30
#define MALLOC_SHARE 9
/* A clear holds a lock for so many places at a time. */
#define SWEEP 4096

typedef struct Shard {
  _Alignas(64) pthread_mutex_t lock;
  MemoryTable *table;
  MemoryGhost *ghost;
  MemoryPolicy policy;
  _Atomic uint64_t bytes;
} Shard;

struct MemoryCache {
  MemoryLimits limits; /* but for bytes: */
  _Atomic uint64_t bytes_max;
  uint64_t seed;
  uint32_t shift; /* of a hash, to get its shard */
  void *tables;   /* of all shards, in one piece */
  uint64_t tables_size;
  MemorySlabs *slabs; /* entries whose key is short; the others are malloc's */
  MemoryReaders *readers;
  MemoryTuner *tuner;
  _Alignas(64) _Atomic uint64_t entries;
  _Atomic uint64_t bytes;
  _Atomic uint64_t sets;
  _Atomic uint64_t evictions;
  _Atomic uint64_t expired;
  _Atomic uint64_t rejected;
  Shard shards[];
};

static bool
is_short (uint64_t key_size)
{
  return sizeof (MemoryEntry) + key_size <= MEMORY_SLAB_ITEM;
}

/* What an entry takes, but for its value and its share of what is there for all. */
static uint64_t
memory_of (uint64_t key_size)
{
  return is_short (key_size) ? MEMORY_SLAB_ITEM : sizeof (MemoryEntry) + key_size + MALLOC_SHARE;
}

static uint64_t
entry_cost (const MemoryNode *node)
{
  const MemoryEntry *entry = (const MemoryEntry *)node;
  return memory_of (node->user) + ENTRY_SHARE + entry->value->size;
}

static void
entry_release (MemoryNode *node, void *user)
{
  MemoryCache *cache = user;
  MemoryEntry *entry = (MemoryEntry *)node;
  entry->value->unref (entry->value);
  if (is_short (node->user))
    memory_slabs_give (cache->slabs, entry);
  else
    free (entry);
}

static MemoryEntry *
entry_new (MemoryCache *cache, RagifyBytes key, uint64_t hash, RagifyBuffer *value, uint64_t expires_us)
{
  MemoryEntry *entry = is_short (key.size) ? memory_slabs_take (cache->slabs) : malloc (sizeof *entry + key.size);
  if (entry == NULL)
    return NULL;
  *entry = (MemoryEntry){ .hash = hash, .value = value, .expires_us = expires_us };
  entry->node.user = (uint16_t)key.size;
  memcpy (entry->key, key.data, key.size);
  value->ref (value);
  return entry;
}

static bool
is_expired (const MemoryEntry *entry, uint64_t now_us)
{
  return entry->expires_us != 0 && entry->expires_us <= now_us;
}

static uint32_t
choose_shards (MemoryLimits limits)
{
  const uint32_t most = limits.shards > 0 ? limits.shards : SHARDS_AUTO;
  uint32_t shards = 1;
  while (shards < most && shards < SHARDS_MAX && (limits.shards > 0 || limits.entries / (shards * 2) >= SHARD_ENTRIES))
    shards *= 2;
  return shards;
}

/* Makes shards for `entries` each. */
static bool
init_shards (MemoryCache *cache, uint64_t entries)
{
  const uint64_t size = memory_table_size (entries);
  cache->tables_size = size * cache->limits.shards;
  cache->tables = memory_pages_new (cache->tables_size, MEMORY_LARGE_PAGE);
  bool good = cache->tables != NULL;
  for (uint32_t i = 0; i < cache->limits.shards; i++) {
    Shard *shard = &cache->shards[i];
    pthread_mutex_init (&shard->lock, NULL);
    memory_policy_init (&shard->policy, entry_cost);
    shard->table = cache->tables != NULL ? memory_table_init ((uint8_t *)cache->tables + i * size, entries) : NULL;
    shard->ghost = memory_ghost_new (entries);
    good = good && shard->ghost != NULL;
  }
  return good;
}

MemoryCache *
memory_cache_new (MemoryLimits limits)
{
  limits.shards = choose_shards (limits);
  void *memory = NULL;
  if (posix_memalign (&memory, 64, sizeof (MemoryCache) + limits.shards * sizeof (Shard)) != 0)
    return NULL;
  memset (memory, 0, sizeof (MemoryCache) + limits.shards * sizeof (Shard));
  MemoryCache *cache = memory;
  cache->limits = limits;
  atomic_init (&cache->bytes_max, limits.bytes);
  /* Keys come from outside: nobody shall be able to choose ones that meet in the table. */
  if (getrandom (&cache->seed, sizeof cache->seed, 0) != (ssize_t)sizeof cache->seed)
    cache->seed = (uint64_t)(uintptr_t)memory ^ (uint64_t)time (NULL);
  cache->shift = 64 - (uint32_t)__builtin_ctz (limits.shards);
  cache->readers = memory_readers_new (entry_release, cache);
  cache->tuner = memory_tuner_new ();
  cache->slabs = memory_slabs_new (limits.entries);
  /* A shard's part varies by chance: five standard deviations more, and it makes room early rather than overflow. */
  uint64_t entries = limits.entries / limits.shards;
  if (limits.shards > 1)
    entries += entries / 8 + 64;
  if (init_shards (cache, entries) && cache->readers != NULL && cache->tuner != NULL && cache->slabs != NULL)
    return cache;
  memory_cache_free (cache);
  return NULL;
}

void
memory_cache_free (MemoryCache *cache)
{
  if (cache == NULL)
    return;
  for (uint32_t i = 0; i < cache->limits.shards; i++) {
    Shard *shard = &cache->shards[i];
    /* Nobody is there any more; what other threads wrote under the lock is seen by whoever has it next. */
    pthread_mutex_lock (&shard->lock);
    for (uint64_t place = 0; shard->table != NULL && place < memory_table_places (shard->table); place++) {
      MemoryEntry *entry = memory_table_at (shard->table, place);
      if (entry != NULL)
        entry_release (&entry->node, cache);
    }
    pthread_mutex_unlock (&shard->lock);
    memory_ghost_free (shard->ghost);
    pthread_mutex_destroy (&shard->lock);
  }
  memory_tuner_free (cache->tuner);
  if (cache->readers != NULL)
    memory_readers_free (cache->readers);
  memory_slabs_free (cache->slabs);
  memory_pages_free (cache->tables, cache->tables_size);
  free (cache);
}

void
memory_cache_set_bytes (MemoryCache *cache, uint64_t bytes)
{
  atomic_store (&cache->bytes_max, bytes);
}

static uint64_t
hash_key (const MemoryCache *cache, RagifyBytes key)
{
  return XXH3_64bits_withSeed (key.data, key.size, cache->seed);
}

/* The ghost picks its bucket by the upper bits, which are alike within a shard. */
static uint64_t
ghost_hash (uint64_t hash)
{
  return hash * 0x9e3779b97f4a7c15u;
}

static Shard *
find_shard (MemoryCache *cache, uint64_t hash)
{
  return &cache->shards[cache->shift < 64 ? hash >> cache->shift : 0];
}

static bool
promote (Shard *shard, MemoryEntry *entry)
{
  if (pthread_mutex_trylock (&shard->lock) != 0)
    return false;
  memory_policy_promote (&shard->policy, &entry->node);
  pthread_mutex_unlock (&shard->lock);
  return true;
}

/* Takes an entry that is in no queue any more out of everything else. The shard's lock is held. */
static void
drop (MemoryCache *cache, Shard *shard, MemoryEntry *entry)
{
  const uint64_t cost = entry_cost (&entry->node);
  memory_table_remove (shard->table, entry);
  atomic_fetch_sub (&shard->bytes, cost);
  atomic_fetch_sub (&cache->bytes, cost);
  atomic_fetch_sub (&cache->entries, 1);
  memory_readers_retire (cache->readers, &entry->node, cost);
}

/* Takes out an entry whose time is over, unless the lock is taken: then the next one who asks does. */
static bool
drop_expired (MemoryCache *cache, Shard *shard, MemoryEntry *entry)
{
  if (pthread_mutex_trylock (&shard->lock) != 0)
    return false;
  if (atomic_load_explicit (&entry->node.queue, memory_order_relaxed) != MEMORY_QUEUE_NONE) {
    memory_policy_remove (&shard->policy, &entry->node);
    drop (cache, shard, entry);
    atomic_fetch_add (&cache->expired, 1);
  }
  pthread_mutex_unlock (&shard->lock);
  return true;
}

uint64_t
memory_cache_seek (MemoryCache *cache, RagifyBytes key)
{
  const uint64_t hash = hash_key (cache, key);
  memory_table_prefetch (find_shard (cache, hash)->table, hash);
  return hash;
}

RagifyBuffer *
memory_cache_get (MemoryCache *cache, RagifyBytes key, uint64_t sought, uint64_t now_us, uint64_t *left_us)
{
  const uint64_t hash = sought;
  Shard *shard = find_shard (cache, hash);
  const MemoryTicket ticket = memory_readers_enter (cache->readers);
  MemoryEntry *entry = memory_table_find (shard->table, hash, key);
  bool counted = true;
  if (entry != NULL && is_expired (entry, now_us)) {
    counted = drop_expired (cache, shard, entry);
    entry = NULL;
  }
  RagifyBuffer *value = entry != NULL ? entry->value : NULL;
  if (value != NULL) {
    value->ref (value);
    *left_us = entry->expires_us != 0 ? entry->expires_us - now_us : 0;
    if (memory_policy_touch (&shard->policy, memory_tuner_mode (cache->tuner), &entry->node))
      counted = promote (shard, entry) && counted;
  }
  counted = memory_tuner_request (cache->tuner, hash, value != NULL) && counted;
  if (!counted)
    memory_readers_count (cache->readers, ticket, MEMORY_COUNT_SKIPPED);
  memory_readers_count (cache->readers, ticket, value != NULL ? MEMORY_COUNT_HITS : MEMORY_COUNT_MISSES);
  memory_readers_leave (cache->readers, ticket);
  return value;
}

/* Makes room by one entry. False when the shard has none. The lock is held. */
static bool
evict (MemoryCache *cache, Shard *shard, uint64_t now_us, bool by_bytes)
{
  bool remember = false;
  MemoryNode *node = memory_policy_evict (&shard->policy, memory_tuner_mode (cache->tuner), by_bytes, &remember);
  if (node == NULL)
    return false;
  MemoryEntry *entry = (MemoryEntry *)node;
  const bool late = is_expired (entry, now_us);
  if (remember && !late)
    memory_ghost_add (shard->ghost, ghost_hash (entry->hash));
  atomic_fetch_add (late ? &cache->expired : &cache->evictions, 1);
  drop (cache, shard, entry);
  return true;
}

static bool
too_many (MemoryCache *cache)
{
  return atomic_load (&cache->entries) > cache->limits.entries;
}

static bool
too_large (MemoryCache *cache, uint64_t bytes_max)
{
  return atomic_load (&cache->bytes) > bytes_max;
}

/* The one with the most bytes; `spared` only if all others are empty. */
static Shard *
largest_shard (MemoryCache *cache, Shard *spared)
{
  Shard *largest = spared;
  uint64_t most = 0;
  for (uint32_t i = 0; i < cache->limits.shards; i++) {
    Shard *shard = &cache->shards[i];
    const uint64_t bytes = shard == spared ? 0 : atomic_load (&shard->bytes);
    if (largest == NULL || bytes > most) {
      largest = shard;
      most = bytes;
    }
  }
  return largest;
}

/* What insertion can do in its own shard to keep the limits. The lock is held. */
static void
make_room_here (MemoryCache *cache, Shard *shard, uint64_t now_us)
{
  while (memory_policy_count (&shard->policy) >= memory_table_capacity (shard->table) || too_many (cache)) {
    if (!evict (cache, shard, now_us, false))
      break;
  }
  const uint64_t bytes_max = atomic_load (&cache->bytes_max);
  while (too_large (cache, bytes_max) && largest_shard (cache, NULL) == shard) {
    if (!evict (cache, shard, now_us, true))
      break;
  }
}

/* The rest of it, in the others: `spared` holds what has just come. No lock is held. How many entries went. */
static uint64_t
make_room (MemoryCache *cache, Shard *spared, uint64_t now_us, uint64_t bytes_max)
{
  uint64_t gone = 0;
  while (too_large (cache, bytes_max) || too_many (cache)) {
    Shard *shard = largest_shard (cache, spared);
    pthread_mutex_lock (&shard->lock);
    const bool some = evict (cache, shard, now_us, too_large (cache, bytes_max));
    pthread_mutex_unlock (&shard->lock);
    if (!some)
      break;
    gone++;
  }
  return gone;
}

/* Puts the new entry where the old one is, in table and queue. The lock is held. */
static void
replace (MemoryCache *cache, Shard *shard, MemoryEntry *old_entry, MemoryEntry *entry)
{
  const uint8_t frequency = atomic_load_explicit (&old_entry->node.frequency, memory_order_relaxed);
  const bool proved = atomic_load_explicit (&old_entry->node.queue, memory_order_relaxed) == MEMORY_QUEUE_MAIN;
  memory_policy_remove (&shard->policy, &old_entry->node);
  memory_policy_insert (&shard->policy, memory_tuner_mode (cache->tuner), &entry->node, proved);
  atomic_store_explicit (&entry->node.frequency, frequency, memory_order_relaxed);
  memory_table_replace (shard->table, old_entry, entry);
  const uint64_t cost = entry_cost (&old_entry->node);
  atomic_fetch_sub (&shard->bytes, cost);
  atomic_fetch_sub (&cache->bytes, cost);
  atomic_fetch_sub (&cache->entries, 1);
  memory_readers_retire (cache->readers, &old_entry->node, cost);
}

static void
insert (MemoryCache *cache, Shard *shard, MemoryEntry *entry, uint64_t now_us)
{
  const MemoryMode *mode = memory_tuner_mode (cache->tuner);
  const uint64_t cost = entry_cost (&entry->node);
  const RagifyBytes key = { entry->key, entry->node.user };
  pthread_mutex_lock (&shard->lock);
  atomic_fetch_add (&cache->entries, 1);
  atomic_fetch_add (&cache->bytes, cost);
  MemoryEntry *old_entry = memory_table_find (shard->table, entry->hash, key);
  if (old_entry != NULL)
    replace (cache, shard, old_entry, entry);
  else {
    make_room_here (cache, shard, now_us);
    const uint64_t window = (uint64_t)((double)memory_policy_count (&shard->policy) * mode->ghost_share);
    const bool known = memory_ghost_take (shard->ghost, ghost_hash (entry->hash), window);
    memory_policy_insert (&shard->policy, mode, &entry->node, known);
    memory_table_insert (shard->table, entry);
  }
  atomic_fetch_add (&shard->bytes, cost);
  pthread_mutex_unlock (&shard->lock);
}

/* Tells the tuner how many entries a full cache holds, once it is half full. */
static void
tell_tuner (MemoryCache *cache)
{
  const uint64_t entries = atomic_load (&cache->entries);
  const uint64_t bytes = atomic_load (&cache->bytes);
  const uint64_t bytes_max = atomic_load (&cache->bytes_max);
  if (entries < cache->limits.entries / 2 && bytes < bytes_max / 2)
    return;
  const double by_bytes = bytes > 0 ? (double)entries * (double)bytes_max / (double)bytes : (double)entries;
  const uint64_t full = by_bytes < (double)cache->limits.entries ? (uint64_t)by_bytes : cache->limits.entries;
  memory_tuner_resize (cache->tuner, full > 0 ? full : 1);
}

bool
memory_cache_set (MemoryCache *cache, RagifyBytes key, RagifyBuffer *value, uint64_t now_us, uint64_t expires_us)
{
  const uint64_t bytes_max = atomic_load (&cache->bytes_max);
  atomic_fetch_add_explicit (&cache->sets, 1, memory_order_relaxed);
  if (memory_of (key.size) + ENTRY_SHARE + value->size > bytes_max) {
    atomic_fetch_add_explicit (&cache->rejected, 1, memory_order_relaxed);
    memory_cache_remove (cache, key);
    return true;
  }
  const uint64_t hash = hash_key (cache, key);
  MemoryEntry *entry = entry_new (cache, key, hash, value, expires_us);
  if (entry == NULL)
    return false;
  Shard *shard = find_shard (cache, hash);
  insert (cache, shard, entry, now_us);
  make_room (cache, shard, now_us, bytes_max);
  tell_tuner (cache);
  memory_tuner_admit (cache->tuner, hash);
  return true;
}

bool
memory_cache_remove (MemoryCache *cache, RagifyBytes key)
{
  const uint64_t hash = hash_key (cache, key);
  Shard *shard = find_shard (cache, hash);
  pthread_mutex_lock (&shard->lock);
  MemoryEntry *entry = memory_table_find (shard->table, hash, key);
  if (entry != NULL) {
    memory_policy_remove (&shard->policy, &entry->node);
    drop (cache, shard, entry);
  }
  pthread_mutex_unlock (&shard->lock);
  return entry != NULL;
}

/* Removes what has expired at `now_us`, or everything, from places [first, last). The lock is held. */
static uint64_t
sweep (MemoryCache *cache, Shard *shard, uint64_t first, uint64_t last, bool all, uint64_t now_us)
{
  uint64_t gone = 0;
  for (uint64_t place = first; place < last;) {
    MemoryEntry *entry = memory_table_at (shard->table, place);
    if (entry == NULL || (!all && !is_expired (entry, now_us))) {
      place++;
      continue;
    }
    /* Another may come to this place: look again. */
    memory_policy_remove (&shard->policy, &entry->node);
    drop (cache, shard, entry);
    gone++;
  }
  return gone;
}

/* What has gone is the system's again. */
static void
give_back (MemoryCache *cache)
{
  memory_readers_reclaim (cache->readers, true);
  memory_slabs_trim (cache->slabs);
}

static uint64_t
sweep_all (MemoryCache *cache, bool all, uint64_t now_us)
{
  uint64_t gone = 0;
  for (uint32_t i = 0; i < cache->limits.shards; i++) {
    Shard *shard = &cache->shards[i];
    const uint64_t places = memory_table_places (shard->table);
    for (uint64_t first = 0; first < places; first += SWEEP) {
      pthread_mutex_lock (&shard->lock);
      gone += sweep (cache, shard, first, first + SWEEP < places ? first + SWEEP : places, all, now_us);
      if (all)
        memory_ghost_clear (shard->ghost);
      pthread_mutex_unlock (&shard->lock);
    }
  }
  give_back (cache);
  return gone;
}

uint64_t
memory_cache_clear_all (MemoryCache *cache)
{
  return sweep_all (cache, true, 0);
}

uint64_t
memory_cache_clear_expired (MemoryCache *cache, uint64_t now_us)
{
  const uint64_t gone = sweep_all (cache, false, now_us);
  atomic_fetch_add (&cache->expired, gone);
  return gone;
}

uint64_t
memory_cache_shrink (MemoryCache *cache, uint64_t now_us, uint64_t target_bytes)
{
  const uint64_t gone = make_room (cache, NULL, now_us, target_bytes);
  give_back (cache);
  return gone;
}

MemoryStats
memory_cache_stats (MemoryCache *cache)
{
  MemoryStats stats = {
    .entries = atomic_load (&cache->entries),
    .bytes = atomic_load (&cache->bytes),
    .fixed_bytes =
        sizeof *cache + cache->limits.shards * sizeof (Shard) + cache->tables_size + memory_tuner_size (cache->tuner),
    .hits = memory_readers_sum (cache->readers, MEMORY_COUNT_HITS),
    .misses = memory_readers_sum (cache->readers, MEMORY_COUNT_MISSES),
    .sets = atomic_load (&cache->sets),
    .evictions = atomic_load (&cache->evictions),
    .expired = atomic_load (&cache->expired),
    .rejected = atomic_load (&cache->rejected),
    .skipped = memory_readers_sum (cache->readers, MEMORY_COUNT_SKIPPED),
    .shards = cache->limits.shards,
    .mode = memory_tuner_mode (cache->tuner)->name,
  };
  for (uint32_t i = 0; i < cache->limits.shards; i++)
    stats.fixed_bytes += memory_ghost_size (cache->shards[i].ghost);
  return stats;
}
