/* Ragify plugin: a cache level in Redis, for replicas to share. SPDX-License-Identifier: MIT */
#include "cache.h"
#include "settings.h"
#include "value.h"

#include <string.h>

static void
read_reloadable (RedisCache *cache)
{
  const uint64_t pack_above = ragify_setting_size (cache->host, cache->context, "compress-above");
  cache->ttl_us = ragify_setting_duration_us (cache->host, cache->context, "ttl");
  cache->pack_above = pack_above != 0 ? pack_above : UINT64_MAX;
}

static void
destroy (void *instance)
{
  RedisCache *cache = instance;
  ragify_redis_service_clear (&cache->service);
  packer_free (cache->packer);
  g_free (cache->prefix);
  g_free (cache);
}

static int32_t
create (const RagifyHost *host, RagifyContext *context, const RagifyInstance *which, void **instance)
{
  RagifyFault fault = { 0 };
  RedisCache *cache = g_new0 (RedisCache, 1);
  cache->host = host;
  cache->context = context;
  cache->prefix = ragify_setting_text (host, context, "prefix");
  cache->prefix_size = strlen (cache->prefix);
  read_reloadable (cache);
  cache->packer = packer_new ();
  cache->service.quiet = true; /* once requests come, the tier warns when the level fails them */
  const RagifyRedisBounds bounds = { .in_flight = (uint32_t)ragify_setting_int (host, context, "max-in-flight") };
  if (!ragify_redis_service_init (&cache->service, host, context, bounds, &fault)) {
    host->set_error (context, ragify_str_from (fault.message));
    destroy (cache);
    return fault.code;
  }
  cache->redis = cache->service.redis;
  *instance = cache;
  return RAGIFY_OK;
}

static void
start (void *instance, RagifyCall *call, const RagifyStart *args)
{
  RedisCache *cache = instance;
  ragify_redis_service_start (&cache->service, call);
}

static void
stop (void *instance, RagifyCall *call, const RagifyNothing *args)
{
  RedisCache *cache = instance;
  ragify_redis_service_stop (&cache->service, call);
}

static void
reconfigure (void *instance, RagifyCall *call, const RagifyReconfigure *args)
{
  RedisCache *cache = instance;
  read_reloadable (cache);
  cache->host->call_done (call, NULL);
}

static const RagifyKey keys[] = {
#include "redis-keys.inc.h"
  { .name = "prefix",
    .type = RAGIFY_KEY_STRING,
    .default_value = "ragify:",
    .summary = "What every key begins with; clearing removes the keys with this prefix and no other." },
  { .name = "ttl",
    .type = RAGIFY_KEY_DURATION,
    .flags = RAGIFY_KEY_RELOADABLE,
    .default_value = "1h",
    .summary = "How long an entry is kept at most; 0s: until Redis makes room." },
  { .name = "compress-above",
    .type = RAGIFY_KEY_SIZE,
    .flags = RAGIFY_KEY_RELOADABLE,
    .default_value = "4KiB",
    .summary = "Larger values are compressed with zstd; 0: none." },
  { .name = "max-in-flight",
    .type = RAGIFY_KEY_INT,
    .default_value = "4096",
    .unit = "commands",
    .minimum = "1",
    .maximum = "1000000",
    .summary = "The most commands that wait for a reply on one connection; more fail at once." },
};

static const RagifyCacheOperations operations = {
  .struct_size = sizeof operations,
  .get = redis_cache_get,
  .set = redis_cache_set,
  .remove = redis_cache_remove,
  .clear = redis_cache_clear,
};

static const RagifyComponent component = {
  .struct_size = sizeof component,
  .flags = RAGIFY_COMPONENT_REMOTE,
  .kind = RAGIFY_KIND_CACHE,
  .name = "redis",
  .summary = "Keeps values in Redis, for all replicas.",
  .run_class = RAGIFY_RUN_LOOP,
  .schema = { keys, sizeof keys / sizeof keys[0], sizeof keys[0] },
  .operations = &operations,
  .create = create,
  .start = start,
  .stop = stop,
  .destroy = destroy,
  .probe = redis_cache_probe,
  .reconfigure = reconfigure,
  .stats = redis_cache_stats,
};

static const RagifyComponent *const components[] = { &component, NULL };

static const RagifyPlugin plugin = {
  .magic = RAGIFY_PLUGIN_MAGIC,
  .abi_major = RAGIFY_ABI_MAJOR,
  .abi_minor_needed = RAGIFY_NEEDS_MINOR,
  .struct_size = sizeof plugin,
  .id = "org.ragify.cache-redis",
  .version = RAGIFY_VERSION,
  .licence = "MIT",
  .summary = "A cache level in Redis.",
  .url = "",
  .components = components,
};

const RagifyPlugin *
ragify_plugin_query (void)
{
  return &plugin;
}
