/* Ragify plugin: a cache level in Redis, for replicas to share. SPDX-License-Identifier: MIT */
#include "cache.h"
#include "value.h"

static RagifyStr
read_text (const RagifyHost *host, RagifyContext *context, const char *key)
{
  RagifyStr text = { NULL, 0 };
  (void)host->config_string (context, key, &text);
  return text;
}

static uint64_t
read_duration (const RagifyHost *host, RagifyContext *context, const char *key)
{
  uint64_t value = 0;
  (void)host->config_duration (context, key, &value);
  return value;
}

static void
read_reloadable (RedisCache *cache)
{
  uint64_t pack_above = 0;
  cache->host->config_size (cache->context, "compress-above", &pack_above);
  cache->ttl_us = read_duration (cache->host, cache->context, "ttl");
  cache->pack_above = pack_above != 0 ? pack_above : UINT64_MAX;
}

/* Answers start() once it is known whether Redis is there. It is not refused where it is not: a cache may be away. */
static void
end_start (RedisCache *cache)
{
  RagifyCall *call = cache->starting;
  cache->starting = NULL;
  if (call != NULL)
    cache->host->call_done (call, NULL);
}

static void
changed (void *user, const char *server, bool up, const RagifyFault *fault)
{
  RedisCache *cache = user;
  g_autofree char *text = up ? g_strdup_printf ("connected to Redis at %s", server)
                             : g_strdup_printf ("no connection to Redis: %s", fault->message);
  /* Once requests come, the tier warns when the level fails them. */
  const uint32_t level = !up && cache->starting != NULL ? RAGIFY_LOG_WARNING : RAGIFY_LOG_INFO;
  cache->host->log (cache->context, level, ragify_str_from (text));
  end_start (cache);
}

static RagifyRedis *
make_client (RedisCache *cache, RagifyFault *fault)
{
  const RagifyHost *host = cache->host;
  RagifyContext *context = cache->context;
  int64_t in_flight = 0;
  uint32_t verify = 1;
  (void)host->config_int (context, "max-in-flight", &in_flight);
  (void)host->config_bool (context, "tls-verify", &verify);
  const RagifyRedisOptions options = {
    .host = host,
    .context = context,
    .url = read_text (host, context, "url"),
    .username = read_text (host, context, "username"),
    .password = read_text (host, context, "password"),
    .sentinel_username = read_text (host, context, "sentinel-username"),
    .sentinel_password = read_text (host, context, "sentinel-password"),
    .tls_ca_file = read_text (host, context, "tls-ca"),
    .tls_certificate_file = read_text (host, context, "tls-certificate"),
    .tls_key_file = read_text (host, context, "tls-key"),
    .tls_no_verify = verify == 0,
    .client_name = "ragify",
    .connect_timeout_us = read_duration (host, context, "connect-timeout"),
    .reply_timeout_us = read_duration (host, context, "reply-timeout"),
    .in_flight_max = (uint32_t)in_flight,
    .changed = changed,
    .user = cache,
  };
  return ragify_redis_new (&options, fault);
}

static void
destroy (void *instance)
{
  RedisCache *cache = instance;
  ragify_redis_free (cache->redis);
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
  const RagifyStr prefix = read_text (host, context, "prefix");
  cache->prefix = g_strndup (prefix.data, prefix.size);
  cache->prefix_size = prefix.size;
  read_reloadable (cache);
  cache->packer = packer_new ();
  cache->redis = make_client (cache, &fault);
  if (cache->redis == NULL) {
    host->set_error (context, ragify_str_from (fault.message));
    destroy (cache);
    return fault.code;
  }
  *instance = cache;
  return RAGIFY_OK;
}

static void
start (void *instance, RagifyCall *call, const RagifyStart *args)
{
  RedisCache *cache = instance;
  cache->starting = call;
  ragify_redis_start (cache->redis);
}

static void
stop (void *instance, RagifyCall *call, const RagifyNothing *args)
{
  RedisCache *cache = instance;
  ragify_redis_stop (cache->redis);
  cache->host->call_done (call, NULL);
}

static void
reconfigure (void *instance, RagifyCall *call, const RagifyReconfigure *args)
{
  RedisCache *cache = instance;
  read_reloadable (cache);
  cache->host->call_done (call, NULL);
}

static const RagifyKey keys[] = {
  { .name = "url",
    .type = RAGIFY_KEY_URI,
    .default_value = "redis://localhost:6379/0",
    .summary = "Where Redis is: redis://, rediss:// (TLS), redis+sentinel://HOST,…/SERVICE, redis+cluster://HOST,… or "
               "unix:///PATH." },
  { .name = "username", .type = RAGIFY_KEY_STRING, .summary = "The ACL user, instead of the URL's." },
  { .name = "password", .type = RAGIFY_KEY_SECRET, .summary = "The password, instead of the URL's." },
  { .name = "sentinel-username", .type = RAGIFY_KEY_STRING, .summary = "The user at the Sentinels." },
  { .name = "sentinel-password", .type = RAGIFY_KEY_SECRET, .summary = "The password at the Sentinels." },
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
  { .name = "tls-ca",
    .type = RAGIFY_KEY_PATH,
    .summary = "The authorities (PEM) that the server's certificate must come from; without it the system's." },
  { .name = "tls-certificate", .type = RAGIFY_KEY_PATH, .summary = "A certificate (PEM) to show to the server." },
  { .name = "tls-key",
    .type = RAGIFY_KEY_PATH,
    .summary = "Its key (PEM); without it the key is in the certificate's file." },
  { .name = "tls-verify",
    .type = RAGIFY_KEY_BOOL,
    .default_value = "true",
    .summary = "Refuse a server whose certificate or name is wrong." },
  { .name = "connect-timeout",
    .type = RAGIFY_KEY_DURATION,
    .default_value = "1s",
    .minimum = "1ms",
    .summary = "For one attempt to connect, from the name to the greeting." },
  { .name = "reply-timeout",
    .type = RAGIFY_KEY_DURATION,
    .default_value = "2s",
    .minimum = "10ms",
    .summary = "A server that owes replies and is silent for so long is given up and connected anew." },
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
  .version = "0.1.0",
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
