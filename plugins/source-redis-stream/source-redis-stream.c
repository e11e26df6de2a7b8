/* source-redis-stream: the latest entries of a Redis stream as a source.
 *
 * SPDX-License-Identifier: MIT
 *
 * Every query fetches the latest entries, so that what was added, deleted or trimmed a moment ago is right; what there
 * is to fetch is bounded by `window` and `max-reply`.
 */
#include "matching.h"

#include "redis-service.h"
#include "settings.h"

#include <string.h>

/* More entries than these are matched on a worker: a loop has better to do for milliseconds. */
#define MATCH_ON_LOOP 100u

typedef struct StreamSource {
  const RagifyHost *host;
  RagifyContext *context;
  RagifyRedisService service;
  RagifyRedis *redis; /* the service's */
  StreamFields fields;
  char *window; /* as Redis wants it */
  guint64 max_age_us;
  guint64 queries, failures; /* counted on the loop */
} StreamSource;

typedef struct Asking {
  StreamSource *source;
  RagifyCall *call;
  const RagifySourceQuery *query; /* NULL: a probe */
  RagifyRedisCommand *command;
  redisReply *reply;
} Asking;

static const RagifyKey keys[] = {
#include "redis-keys.inc.h"
  { .name = "max-reply",
    .type = RAGIFY_KEY_SIZE,
    .default_value = "16MiB",
    .minimum = "4KiB",
    .maximum = "512MiB",
    .summary = "The largest answer of Redis' that is taken." },
  { .name = "stream", .type = RAGIFY_KEY_STRING, .flags = RAGIFY_KEY_REQUIRED, .summary = "The stream's key." },
  { .name = "window",
    .type = RAGIFY_KEY_INT,
    .default_value = "500",
    .unit = "entries",
    .minimum = "1",
    .maximum = "100000",
    .summary = "How many of the latest entries are looked at." },
  { .name = "max-age",
    .type = RAGIFY_KEY_DURATION,
    .minimum = "1s",
    .summary = "Older entries are not looked at. Not set: of any age." },
  { .name = "match",
    .type = RAGIFY_KEY_ENUM,
    .default_value = "words",
    .choices = "words|latest",
    .summary =
        "words: entries that have a word of the query, the best first. latest: the latest ones, whatever they say." },
  { .name = "content-field",
    .type = RAGIFY_KEY_LIST,
    .default_value = "content; text; message; body",
    .summary = "Fields that may hold the text; the first that is there counts, here and below." },
  { .name = "title-field", .type = RAGIFY_KEY_LIST, .default_value = "title", .summary = "Fields for the title." },
  { .name = "uri-field", .type = RAGIFY_KEY_LIST, .default_value = "uri; url", .summary = "Fields for the address." },
  { .name = "id-field",
    .type = RAGIFY_KEY_LIST,
    .default_value = "id",
    .summary = "Fields for the document's id; without one it is STREAM/ENTRY-ID. All other fields are metadata." },
};

/* ---- configuration ---- */

static void
read_fields (StreamSource *source)
{
  const RagifyHost *host = source->host;
  RagifyContext *context = source->context;
  g_autofree char *match = ragify_setting_text (host, context, "match");
  source->window = g_strdup_printf ("%" G_GINT64_FORMAT, ragify_setting_int (host, context, "window"));
  source->max_age_us = ragify_setting_duration_us (host, context, "max-age");
  source->fields = (StreamFields){
    .stream = ragify_setting_text (host, context, "stream"),
    .by_words = g_str_equal (match, "words"),
    .content = ragify_setting_list (host, context, "content-field"),
    .title = ragify_setting_list (host, context, "title-field"),
    .uri = ragify_setting_list (host, context, "uri-field"),
    .id = ragify_setting_list (host, context, "id-field"),
  };
}

static void
destroy (void *instance)
{
  StreamSource *source = instance;
  ragify_redis_service_clear (&source->service);
  g_strfreev (source->fields.content);
  g_strfreev (source->fields.title);
  g_strfreev (source->fields.uri);
  g_strfreev (source->fields.id);
  g_free (source->fields.stream);
  g_free (source->window);
  g_free (source);
}

static int32_t
create (const RagifyHost *host, RagifyContext *context, const RagifyInstance *which, void **instance)
{
  StreamSource *source = g_new0 (StreamSource, 1);
  RagifyFault fault = { 0 };
  source->host = host;
  source->context = context;
  read_fields (source);
  const RagifyRedisBounds bounds = { .reply_bytes = ragify_setting_size (host, context, "max-reply") };
  if (!ragify_redis_service_init (&source->service, host, context, bounds, &fault)) {
    host->set_error (context, ragify_str_from (fault.message));
    destroy (source);
    return fault.code;
  }
  source->redis = source->service.redis;
  *instance = source;
  return RAGIFY_OK;
}

static void
start (void *instance, RagifyCall *call, const RagifyStart *args)
{
  StreamSource *source = instance;
  ragify_redis_service_start (&source->service, call);
}

static void
stop (void *instance, RagifyCall *call, const RagifyNothing *args)
{
  StreamSource *source = instance;
  ragify_redis_service_stop (&source->service, call);
}

/* ---- queries ---- */

static void
asking_free (Asking *asking)
{
  if (asking->reply != NULL)
    freeReplyObject (asking->reply);
  g_free (asking);
}

/* On the loop. */
static void
fail (Asking *asking, const RagifyFault *fault)
{
  asking->source->failures++;
  asking->source->host->call_fail (asking->call, fault->code, ragify_str_from (fault->message), 0);
  asking_free (asking);
}

static void
answer_probe (Asking *asking)
{
  const StreamSource *source = asking->source;
  char *text = source->host->call_alloc (asking->call, 128);
  if (text != NULL)
    g_snprintf (text, 128, "Redis, %s", asking->reply->elements > 0 ? "the stream has entries" : "no entries");
  const RagifyProbeResult result = { .struct_size = sizeof result, .detail = ragify_str_from (text) };
  source->host->call_done (asking->call, &result);
  asking_free (asking);
}

/* On the loop or on a worker. */
static void
match (void *user)
{
  Asking *asking = user;
  StreamSource *source = asking->source;
  RagifyFault fault = { 0 };
  RagifySourceResult result = { .struct_size = sizeof result };
  guint unusable = 0;
  if (stream_match (&source->fields, asking->reply, source->host, asking->call, asking->query->text,
                    asking->query->top_k, &result.chunks, &unusable, &fault))
    source->host->call_done (asking->call, &result);
  else
    source->host->call_fail (asking->call, fault.code, ragify_str_from (fault.message), 0);
  asking_free (asking);
}

static void
replied (void *user, redisReply *reply, const RagifyFault *fault)
{
  Asking *asking = user;
  StreamSource *source = asking->source;
  asking->command = NULL;
  source->host->call_on_cancel (asking->call, NULL, NULL);
  if (fault != NULL) {
    fail (asking, fault);
    return;
  }
  asking->reply = reply;
  if (asking->query == NULL)
    answer_probe (asking);
  else if (reply->type != REDIS_REPLY_ARRAY || reply->elements <= MATCH_ON_LOOP ||
           source->host->submit (source->context, match, asking) != RAGIFY_OK)
    match (asking);
}

static void
cancelled (RagifyCall *call, void *user)
{
  Asking *asking = user;
  RagifyFault fault = { 0 };
  ragify_redis_cancel (asking->source->redis, asking->command, &fault);
  fail (asking, &fault);
}

/* `query` NULL: a probe. */
static void
ask (StreamSource *source, RagifyCall *call, const RagifySourceQuery *query)
{
  Asking *asking = g_new0 (Asking, 1);
  *asking = (Asking){ .source = source, .call = call, .query = query };
  source->queries++;
  RagifyFault fault = { 0 };
  const gint64 oldest = source->max_age_us > 0 ? source->host->wall_us () - (gint64)source->max_age_us : 0;
  g_autofree char *from = oldest > 0 ? g_strdup_printf ("%" G_GINT64_FORMAT, oldest / 1000) : g_strdup ("-");
  const RagifyStr words[] = { ragify_str_from ("XREVRANGE"), ragify_str_from (source->fields.stream),
                              ragify_str_from ("+"),         ragify_str_from (from),
                              ragify_str_from ("COUNT"),     ragify_str_from (query != NULL ? source->window : "1") };
  const RagifyRedisRequest request = {
    .words = words, .count = G_N_ELEMENTS (words), .key = 1, .deadline_us = source->host->call_deadline_us (call)
  };
  asking->command = ragify_redis_send (source->redis, &request, replied, asking, &fault);
  if (asking->command == NULL)
    fail (asking, &fault);
  else
    source->host->call_on_cancel (call, cancelled, asking);
}

static void
query (void *instance, RagifyCall *call, const RagifySourceQuery *args)
{
  ask (instance, call, args);
}

static void
probe (void *instance, RagifyCall *call, const RagifyNothing *args)
{
  ask (instance, call, NULL);
}

static void
stats (void *instance, RagifyCall *call, const RagifyNothing *args)
{
  const StreamSource *source = instance;
  const RagifyRedisCounts counts = ragify_redis_count (source->redis);
  const struct {
    const char *name;
    guint64 value;
  } values[] = {
    { "queries", source->queries },
    { "failures", source->failures },
    { "connections", counts.up },
    { "connects", counts.connections.connects },
    { "losses", counts.connections.losses },
    { "bytes_received", counts.connections.bytes_received },
  };
  RagifyPair *pairs = source->host->call_alloc (call, sizeof *pairs * G_N_ELEMENTS (values));
  RagifyStatsResult result = { .struct_size = sizeof result, .values.items = pairs };
  for (guint i = 0; pairs != NULL && i < G_N_ELEMENTS (values); i++)
    pairs[result.values.count++] =
        (RagifyPair){ .name = ragify_str_from (values[i].name),
                      .value = { .type = RAGIFY_VALUE_INT, .integer = (int64_t)values[i].value } };
  source->host->call_done (call, &result);
}

static const RagifySourceOperations operations = {
  .struct_size = sizeof operations,
  .query = query,
};

static const RagifyComponent component = {
  .struct_size = sizeof component,
  .flags = RAGIFY_COMPONENT_REMOTE,
  .kind = RAGIFY_KIND_SOURCE,
  .name = "redis-stream",
  .summary = "Searches the latest entries of a Redis stream by words.",
  .run_class = RAGIFY_RUN_LOOP,
  .schema = { .keys = keys, .count = G_N_ELEMENTS (keys), .stride = sizeof (RagifyKey) },
  .operations = &operations,
  .create = create,
  .start = start,
  .stop = stop,
  .destroy = destroy,
  .probe = probe,
  .stats = stats,
};

static const RagifyComponent *const components[] = { &component, NULL };

static const RagifyPlugin plugin = {
  .magic = RAGIFY_PLUGIN_MAGIC,
  .abi_major = RAGIFY_ABI_MAJOR,
  .abi_minor_needed = RAGIFY_NEEDS_MINOR,
  .struct_size = sizeof plugin,
  .id = "org.ragify.source-redis-stream",
  .version = RAGIFY_VERSION,
  .licence = "MIT",
  .summary = "Redis streams as sources.",
  .url = "",
  .components = components,
};

const RagifyPlugin *
ragify_plugin_query (void)
{
  return &plugin;
}
