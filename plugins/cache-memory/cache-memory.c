/* Ragify plugin: a cache in the host's own memory. SPDX-License-Identifier: MIT */
#include "cache.h"

#include <stdlib.h>
#include <string.h>

#define KEY_MAX 1024u
#define VALUE_MAX (UINT64_C (64) << 20)

typedef struct Memory {
  const RagifyHost *host;
  RagifyContext *context;
  MemoryCache *cache;
  _Atomic uint64_t ttl_us; /* 0: no end */
} Memory;

/* A clear on its way to a worker. */
typedef struct Clearing {
  Memory *memory;
  RagifyCall *call;
  uint32_t scope;
  uint64_t target_bytes;
} Clearing;

static void
fail (Memory *memory, RagifyCall *call, int32_t code, const char *message)
{
  memory->host->call_fail (call, code, ragify_str_from (message), 0);
}

/* Fails the call when a key is not as the contract has it. */
static bool
accept_key (Memory *memory, RagifyCall *call, RagifyBytes key)
{
  if (key.size >= 1 && key.size <= KEY_MAX && key.data != NULL)
    return true;
  fail (memory, call, RAGIFY_E_INVALID, "key: expected 1 to 1024 bytes");
  return false;
}

static int32_t
create (const RagifyHost *host, RagifyContext *context, const RagifyInstance *which, void **instance)
{
  int64_t entries = 0;
  int64_t shards = 0;
  uint64_t ttl_us = 0;
  MemoryLimits limits = { 0 };
  host->config_int (context, "max-entries", &entries);
  host->config_int (context, "shards", &shards);
  host->config_size (context, "max-bytes", &limits.bytes);
  host->config_duration (context, "ttl", &ttl_us);
  limits.entries = (uint64_t)entries;
  limits.shards = (uint32_t)shards;
  if ((shards & (shards - 1)) != 0) {
    host->set_error (context, ragify_str_from ("shards: expected 0 or a power of two up to 32"));
    return RAGIFY_E_INVALID;
  }
  Memory *memory = calloc (1, sizeof *memory);
  MemoryCache *cache = memory_cache_new (limits);
  if (memory == NULL || cache == NULL) {
    free (memory);
    memory_cache_free (cache);
    host->set_error (context, ragify_str_from ("not enough memory for the tables that max-entries asks for"));
    return RAGIFY_E_EXHAUSTED;
  }
  memory->host = host;
  memory->context = context;
  memory->cache = cache;
  memory->ttl_us = ttl_us;
  *instance = memory;
  return RAGIFY_OK;
}

static void
start (void *instance, RagifyCall *call, const RagifyStart *args)
{
  Memory *memory = instance;
  memory->host->call_done (call, NULL);
}

static void
destroy (void *instance)
{
  Memory *memory = instance;
  memory_cache_free (memory->cache);
  free (memory);
}

static void
reconfigure (void *instance, RagifyCall *call, const RagifyReconfigure *args)
{
  Memory *memory = instance;
  uint64_t bytes = 0;
  uint64_t ttl_us = 0;
  memory->host->config_size (memory->context, "max-bytes", &bytes);
  memory->host->config_duration (memory->context, "ttl", &ttl_us);
  memory_cache_set_bytes (memory->cache, bytes);
  memory->ttl_us = ttl_us;
  memory->host->call_done (call, NULL);
}

static void
get (void *instance, RagifyCall *call, const RagifyCacheGet *args)
{
  Memory *memory = instance;
  if (!accept_key (memory, call, args->key))
    return;
  RagifyCacheGetResult result = { .struct_size = sizeof result };
  const uint64_t sought = memory_cache_seek (memory->cache, args->key);
  result.value = memory_cache_get (memory->cache, args->key, sought, memory->host->clock_us (), &result.ttl_us);
  memory->host->call_done (call, &result);
}

/* When a value set now ends: the shorter of its own time and the level's. */
static uint64_t
get_end (Memory *memory, uint64_t now_us, uint64_t ttl_us)
{
  const uint64_t own_us = memory->ttl_us;
  if (ttl_us == 0 || (own_us != 0 && own_us < ttl_us))
    ttl_us = own_us;
  if (ttl_us == 0 || ttl_us > UINT64_MAX - now_us)
    return 0;
  return now_us + ttl_us;
}

static void
set (void *instance, RagifyCall *call, const RagifyCacheSet *args)
{
  Memory *memory = instance;
  if (!accept_key (memory, call, args->key))
    return;
  if (args->value == NULL || args->value->size > VALUE_MAX) {
    fail (memory, call, RAGIFY_E_INVALID, "value: expected 0 bytes to 64 MiB");
    return;
  }
  const uint64_t now_us = memory->host->clock_us ();
  if (memory_cache_set (memory->cache, args->key, args->value, now_us, get_end (memory, now_us, args->ttl_us)))
    memory->host->call_done (call, NULL);
  else
    fail (memory, call, RAGIFY_E_EXHAUSTED, "not enough memory for another entry");
}

static void
done_count (Memory *memory, RagifyCall *call, uint64_t count)
{
  const RagifyCacheCount result = { .struct_size = sizeof result, .count = count };
  memory->host->call_done (call, &result);
}

static void
remove_key (void *instance, RagifyCall *call, const RagifyCacheRemove *args)
{
  Memory *memory = instance;
  if (accept_key (memory, call, args->key))
    done_count (memory, call, memory_cache_remove (memory->cache, args->key) ? 1 : 0);
}

static void
run_clearing (void *user)
{
  const Clearing clearing = *(const Clearing *)user;
  Memory *memory = clearing.memory;
  const uint64_t now_us = memory->host->clock_us ();
  uint64_t count = 0;
  if (clearing.scope == RAGIFY_CACHE_CLEAR_ALL)
    count = memory_cache_clear_all (memory->cache);
  else if (clearing.scope == RAGIFY_CACHE_CLEAR_EXPIRED)
    count = memory_cache_clear_expired (memory->cache, now_us);
  else
    count = memory_cache_shrink (memory->cache, now_us, clearing.target_bytes);
  done_count (memory, clearing.call, count);
}

static void
clear (void *instance, RagifyCall *call, const RagifyCacheClear *args)
{
  Memory *memory = instance;
  if (args->scope > RAGIFY_CACHE_CLEAR_SHRINK) {
    fail (memory, call, RAGIFY_E_INVALID, "scope: expected RAGIFY_CACHE_CLEAR_ALL, _EXPIRED or _SHRINK");
    return;
  }
  Clearing *clearing = memory->host->call_alloc (call, sizeof *clearing);
  if (clearing == NULL) {
    fail (memory, call, RAGIFY_E_EXHAUSTED, "not enough memory to clear");
    return;
  }
  *clearing = (Clearing){ memory, call, args->scope, args->target_bytes };
  /* A million entries take a while: not on a thread that answers requests, if that can be helped. */
  if (memory->host->submit (memory->context, run_clearing, clearing) != RAGIFY_OK)
    run_clearing (clearing);
}

static RagifyPair
make_pair (const char *name, uint64_t number)
{
  return (RagifyPair){
    .name = ragify_str_from (name),
    .value = { .type = RAGIFY_VALUE_INT, .integer = (int64_t)number },
  };
}

static void
stats (void *instance, RagifyCall *call, const RagifyNothing *args)
{
  Memory *memory = instance;
  const MemoryStats now = memory_cache_stats (memory->cache);
  const RagifyPair values[] = {
    make_pair ("entries", now.entries),
    make_pair ("bytes", now.bytes),
    make_pair ("fixed_bytes", now.fixed_bytes),
    make_pair ("hits", now.hits),
    make_pair ("misses", now.misses),
    make_pair ("sets", now.sets),
    make_pair ("evictions", now.evictions),
    make_pair ("expired", now.expired),
    make_pair ("rejected", now.rejected),
    make_pair ("skipped", now.skipped),
    make_pair ("shards", now.shards),
    { .name = ragify_str_from ("mode"),
      .value = { .type = RAGIFY_VALUE_STRING, .string = ragify_str_from (now.mode) } },
  };
  RagifyPair *copy = memory->host->call_alloc (call, sizeof values);
  if (copy == NULL) {
    fail (memory, call, RAGIFY_E_EXHAUSTED, "not enough memory for the statistics");
    return;
  }
  memcpy (copy, values, sizeof values);
  const RagifyStatsResult result = {
    .struct_size = sizeof result,
    .values = { .items = copy, .count = sizeof values / sizeof values[0] },
  };
  memory->host->call_done (call, &result);
}

static const RagifyKey keys[] = {
  { .name = "max-entries",
    .type = RAGIFY_KEY_INT,
    .default_value = "10000",
    .unit = "entries",
    .minimum = "1",
    .maximum = "67108864",
    .summary = "The most entries to keep." },
  { .name = "max-bytes",
    .type = RAGIFY_KEY_SIZE,
    .flags = RAGIFY_KEY_RELOADABLE,
    .default_value = "256MiB",
    .minimum = "64KiB",
    .summary = "The most bytes to keep: keys, values and about 78 bytes for each entry." },
  { .name = "ttl",
    .type = RAGIFY_KEY_DURATION,
    .flags = RAGIFY_KEY_RELOADABLE,
    .default_value = "5min",
    .summary = "How long an entry is kept at most; 0s: until it has to make room." },
  { .name = "shards",
    .type = RAGIFY_KEY_INT,
    .default_value = "0",
    .minimum = "0",
    .maximum = "32",
    .summary = "Into how many parts writers are spread, a power of two; 0: chosen by max-entries." },
};

static const RagifyCacheOperations operations = {
  .struct_size = sizeof operations,
  .get = get,
  .set = set,
  .remove = remove_key,
  .clear = clear,
};

static const RagifyComponent component = {
  .struct_size = sizeof component,
  .kind = RAGIFY_KIND_CACHE,
  .name = "memory",
  .summary = "Keeps values in the host's memory; reading takes no lock.",
  .run_class = RAGIFY_RUN_SHARED,
  .schema = { keys, sizeof keys / sizeof keys[0], sizeof keys[0] },
  .operations = &operations,
  .create = create,
  .start = start,
  .destroy = destroy,
  .reconfigure = reconfigure,
  .stats = stats,
};

static const RagifyComponent *const components[] = { &component, NULL };

static const RagifyPlugin plugin = {
  .magic = RAGIFY_PLUGIN_MAGIC,
  .abi_major = RAGIFY_ABI_MAJOR,
  .abi_minor_needed = RAGIFY_NEEDS_MINOR,
  .struct_size = sizeof plugin,
  .id = "org.ragify.cache-memory",
  .version = RAGIFY_VERSION,
  .licence = "MIT",
  .summary = "A cache level in memory.",
  .url = "",
  .components = components,
};

const RagifyPlugin *
ragify_plugin_query (void)
{
  return &plugin;
}
