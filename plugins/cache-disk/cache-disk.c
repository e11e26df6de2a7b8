/* Ragify plugin: a cache level on disk. SPDX-License-Identifier: MIT */
#include "disk.h"

#include <glib.h>
#include <ragify/ragify.h>
#include <stdatomic.h>
#include <string.h>

#define KEY_MAX 1024u
#define VALUE_MAX (UINT64_C (64) << 20)
#define PARALLEL 16

typedef struct DiskCache {
  const RagifyHost *host;
  RagifyContext *context;
  Disk *disk;
  _Atomic uint64_t max_bytes;
  _Atomic uint64_t ttl_us; /* 0: no end */
} DiskCache;

static void
fail (DiskCache *cache, RagifyCall *call, const RagifyFault *fault)
{
  cache->host->call_fail (call, fault->code, ragify_str_from (fault->message), 0);
}

static void
refuse (DiskCache *cache, RagifyCall *call, const char *message)
{
  cache->host->call_fail (call, RAGIFY_E_INVALID, ragify_str_from (message), 0);
}

static bool
accept_key (DiskCache *cache, RagifyCall *call, RagifyBytes key)
{
  if (key.size >= 1 && key.size <= KEY_MAX && key.data != NULL)
    return true;
  refuse (cache, call, "key: expected 1 to 1024 bytes");
  return false;
}

static void
read_reloadable (DiskCache *cache)
{
  uint64_t ttl_us = 0;
  uint64_t max_bytes = 0;
  (void)cache->host->config_duration (cache->context, "ttl", &ttl_us);
  (void)cache->host->config_size (cache->context, "max-bytes", &max_bytes);
  cache->ttl_us = ttl_us;
  cache->max_bytes = max_bytes;
}

static int32_t
create (const RagifyHost *host, RagifyContext *context, const RagifyInstance *which, void **instance)
{
  RagifyStr path = { NULL, 0 };
  DiskCache *cache = g_new0 (DiskCache, 1);
  cache->host = host;
  cache->context = context;
  (void)host->config_string (context, "path", &path);
  read_reloadable (cache);
  g_autofree char *folder = g_strndup (path.data, path.size);
  const DiskOptions options = { .path = folder, .max_bytes = cache->max_bytes, .host = host, .context = context };
  cache->disk = disk_new (&options);
  *instance = cache;
  return RAGIFY_OK;
}

static void
destroy (void *instance)
{
  DiskCache *cache = instance;
  disk_free (cache->disk);
  g_free (cache);
}

/* A cache may be away: the host starts without it, and every call tries again. */
static void
start (void *instance, RagifyCall *call, const RagifyStart *args)
{
  DiskCache *cache = instance;
  RagifyFault fault = { 0 };
  if (!disk_open (cache->disk, &fault))
    cache->host->log (cache->context, RAGIFY_LOG_WARNING, ragify_str_from (fault.message));
  cache->host->call_done (call, NULL);
}

static void
stop (void *instance, RagifyCall *call, const RagifyNothing *args)
{
  DiskCache *cache = instance;
  disk_close (cache->disk);
  cache->host->call_done (call, NULL);
}

static void
reconfigure (void *instance, RagifyCall *call, const RagifyReconfigure *args)
{
  DiskCache *cache = instance;
  read_reloadable (cache);
  disk_set_max_bytes (cache->disk, cache->max_bytes);
  cache->host->call_done (call, NULL);
}

static void
get (void *instance, RagifyCall *call, const RagifyCacheGet *args)
{
  DiskCache *cache = instance;
  RagifyFault fault = { 0 };
  RagifyCacheGetResult result = { .struct_size = sizeof result };
  if (!accept_key (cache, call, args->key))
    return;
  if (disk_get (cache->disk, args->key, cache->ttl_us, &result.value, &result.ttl_us, &fault))
    cache->host->call_done (call, &result);
  else
    fail (cache, call, &fault);
}

/* The shorter of the value's own time and the level's. */
static uint64_t
choose_ttl (const DiskCache *cache, uint64_t ttl_us)
{
  const uint64_t own_us = cache->ttl_us;
  return ttl_us == 0 || (own_us != 0 && own_us < ttl_us) ? own_us : ttl_us;
}

static void
set (void *instance, RagifyCall *call, const RagifyCacheSet *args)
{
  DiskCache *cache = instance;
  RagifyFault fault = { 0 };
  if (!accept_key (cache, call, args->key))
    return;
  if (args->value == NULL || args->value->size > VALUE_MAX) {
    refuse (cache, call, "value: expected 0 bytes to 64 MiB");
    return;
  }
  const RagifyBytes value = { args->value->data, args->value->size };
  if (disk_set (cache->disk, args->key, value, choose_ttl (cache, args->ttl_us), cache->host->call_deadline_us (call),
                &fault))
    cache->host->call_done (call, NULL);
  else
    fail (cache, call, &fault);
}

static void
end_count (DiskCache *cache, RagifyCall *call, bool well, uint64_t count, const RagifyFault *fault)
{
  const RagifyCacheCount result = { .struct_size = sizeof result, .count = count };
  if (well)
    cache->host->call_done (call, &result);
  else
    fail (cache, call, fault);
}

static void
remove_key (void *instance, RagifyCall *call, const RagifyCacheRemove *args)
{
  DiskCache *cache = instance;
  RagifyFault fault = { 0 };
  uint64_t count = 0;
  if (!accept_key (cache, call, args->key))
    return;
  const bool well = disk_remove (cache->disk, args->key, cache->host->call_deadline_us (call), &count, &fault);
  end_count (cache, call, well, count, &fault);
}

static void
clear (void *instance, RagifyCall *call, const RagifyCacheClear *args)
{
  DiskCache *cache = instance;
  const uint64_t deadline = cache->host->call_deadline_us (call);
  RagifyFault fault = { 0 };
  uint64_t count = 0;
  bool well = false;
  switch (args->scope) {
  case RAGIFY_CACHE_CLEAR_ALL:
    well = disk_clear_all (cache->disk, &count, &fault);
    break;
  case RAGIFY_CACHE_CLEAR_EXPIRED:
    well = disk_clear_expired (cache->disk, deadline, &count, &fault);
    break;
  case RAGIFY_CACHE_CLEAR_SHRINK:
    well = disk_shrink (cache->disk, args->target_bytes, deadline, &count, &fault);
    break;
  default:
    refuse (cache, call, "scope: expected RAGIFY_CACHE_CLEAR_ALL, _EXPIRED or _SHRINK");
    return;
  }
  end_count (cache, call, well, count, &fault);
}

static void
probe (void *instance, RagifyCall *call, const RagifyNothing *args)
{
  DiskCache *cache = instance;
  RagifyFault fault = { 0 };
  if (!disk_check (cache->disk, &fault)) {
    fail (cache, call, &fault);
    return;
  }
  const DiskStats now = disk_stats (cache->disk);
  g_autofree char *text =
      g_strdup_printf ("%" G_GUINT64_FORMAT " entries, %" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT " bytes",
                       now.entries, now.bytes, (uint64_t)cache->max_bytes);
  const size_t size = strlen (text);
  char *detail = cache->host->call_alloc (call, size + 1);
  if (detail != NULL)
    memcpy (detail, text, size);
  const RagifyProbeResult result = { .struct_size = sizeof result,
                                     .detail = ragify_str (detail, detail != NULL ? size : 0) };
  cache->host->call_done (call, &result);
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
  DiskCache *cache = instance;
  const DiskStats now = disk_stats (cache->disk);
  const RagifyPair values[] = {
    make_pair ("entries", now.entries), make_pair ("bytes", now.bytes),       make_pair ("hits", now.hits),
    make_pair ("misses", now.misses),   make_pair ("sets", now.sets),         make_pair ("evictions", now.evictions),
    make_pair ("expired", now.expired), make_pair ("rejected", now.rejected), make_pair ("damaged", now.damaged),
    make_pair ("rebuilt", now.rebuilt), make_pair ("errors", now.errors),
  };
  RagifyPair *copy = cache->host->call_alloc (call, sizeof values);
  if (copy == NULL) {
    cache->host->call_fail (call, RAGIFY_E_EXHAUSTED, ragify_str_from ("not enough memory for the statistics"), 0);
    return;
  }
  memcpy (copy, values, sizeof values);
  const RagifyStatsResult result = {
    .struct_size = sizeof result,
    .values = { .items = copy, .count = sizeof values / sizeof values[0] },
  };
  cache->host->call_done (call, &result);
}

static const RagifyKey keys[] = {
  { .name = "path",
    .type = RAGIFY_KEY_PATH,
    .default_value = "cache",
    .summary = "The folder; made where it is missing. One host at a time uses it." },
  { .name = "max-bytes",
    .type = RAGIFY_KEY_SIZE,
    .flags = RAGIFY_KEY_RELOADABLE,
    .default_value = "1GiB",
    .minimum = "1MiB",
    .summary = "The most bytes of the file that are in use; a log of up to 32 MiB comes on top." },
  { .name = "ttl",
    .type = RAGIFY_KEY_DURATION,
    .flags = RAGIFY_KEY_RELOADABLE,
    .default_value = "1d",
    .summary = "How long an entry is kept at most; 0s: until it has to make room." },
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
  .name = "disk",
  .summary = "Keeps values in a file that survives a restart.",
  .run_class = RAGIFY_RUN_WORKER,
  .max_parallel = PARALLEL,
  .schema = { keys, sizeof keys / sizeof keys[0], sizeof keys[0] },
  .operations = &operations,
  .create = create,
  .start = start,
  .stop = stop,
  .destroy = destroy,
  .probe = probe,
  .reconfigure = reconfigure,
  .stats = stats,
};

static const RagifyComponent *const components[] = { &component, NULL };

static const RagifyPlugin plugin = {
  .magic = RAGIFY_PLUGIN_MAGIC,
  .abi_major = RAGIFY_ABI_MAJOR,
  .abi_minor_needed = RAGIFY_NEEDS_MINOR,
  .struct_size = sizeof plugin,
  .id = "org.ragify.cache-disk",
  .version = RAGIFY_VERSION,
  .licence = "MIT",
  .summary = "A cache level on disk.",
  .url = "",
  .components = components,
};

const RagifyPlugin *
ragify_plugin_query (void)
{
  return &plugin;
}
