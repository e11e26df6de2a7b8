/* source-http: a search API on the web as a source.
 *
 * SPDX-License-Identifier: MIT
 */
#include "asking.h"
#include "settings.h"

#include <string.h>

static const RagifyKey keys[] = {
#include "http-keys.inc.h"
  { .name = "method",
    .type = RAGIFY_KEY_ENUM,
    .default_value = "GET",
    .choices = "GET|POST|PUT",
    .summary = "How it is asked." },
  { .name = "url",
    .type = RAGIFY_KEY_STRING,
    .default_value = "{base-url}/search?q={query}&limit={limit}",
    .summary = "What is asked for; {query}, {limit} and {base-url} are put in, percent-encoded where they must be. It "
               "must lead to `base-url`'s scheme, host and port." },
  { .name = "body",
    .type = RAGIFY_KEY_STRING,
    .summary = "The request's body, with {query} and {limit} put in as `content-type` asks for; inside JSON write "
               "\"{query}\" in quotes." },
  { .name = "content-type",
    .type = RAGIFY_KEY_STRING,
    .default_value = "application/json",
    .summary = "Of `body`. application/x-www-form-urlencoded: {query} is percent-encoded." },
  { .name = "format",
    .type = RAGIFY_KEY_ENUM,
    .default_value = "json",
    .choices = "json|ndjson",
    .summary = "json: one document. ndjson: a result in each line." },
  { .name = "results-pointer",
    .type = RAGIFY_KEY_STRING,
    .summary =
        "JSON pointer to the list of results. Not set: the answer itself where it is a list, otherwise the first "
        "list at /results, /items, /chunks, /documents, /hits, /data or /hits/hits." },
  { .name = "id-pointer",
    .type = RAGIFY_KEY_LIST,
    .default_value = "/id; /_id",
    .summary = "JSON pointers, in each result, to the document's id; the first that is there counts, here and below." },
  { .name = "content-pointer",
    .type = RAGIFY_KEY_LIST,
    .default_value = "/content; /text; /body; /snippet",
    .summary = "To the passage's text; results without one are left out." },
  { .name = "title-pointer", .type = RAGIFY_KEY_LIST, .default_value = "/title; /name", .summary = "To its title." },
  { .name = "uri-pointer",
    .type = RAGIFY_KEY_LIST,
    .default_value = "/uri; /url; /link",
    .summary = "To its address." },
  { .name = "score-pointer",
    .type = RAGIFY_KEY_LIST,
    .default_value = "/score; /relevance_score; /relevance",
    .summary = "To its score; what lies in 0..1 is its relevance where the node says `score = source`." },
  { .name = "score-scale",
    .type = RAGIFY_KEY_DOUBLE,
    .default_value = "1",
    .minimum = "1e-9",
    .maximum = "1e9",
    .summary = "The score that stands for full relevance, such as 100 for percentages." },
  { .name = "metadata-pointer", .type = RAGIFY_KEY_LIST, .default_value = "/metadata", .summary = "To an object." },
  { .name = "created-pointer",
    .type = RAGIFY_KEY_LIST,
    .default_value = "/created_at; /created",
    .summary = "To when it was made: ISO 8601, or seconds or milliseconds since 1970." },
  { .name = "updated-pointer",
    .type = RAGIFY_KEY_LIST,
    .default_value = "/updated_at; /updated",
    .summary = "To when it was changed." },
  { .name = "remember",
    .type = RAGIFY_KEY_INT,
    .default_value = "128",
    .unit = "answers",
    .minimum = "0",
    .maximum = "100000",
    .summary = "Answers with ETag or Last-Modified that are kept per loop, to ask only whether they have changed; at "
               "most 16 MiB." },
};

#define REMEMBERED_BYTES ((gsize)16 << 20)

/* ---- making and ending ---- */

static void
free_source (HttpSource *source)
{
  ragify_http_client_free (source->client);
  g_clear_pointer (&source->settings, ragify_http_settings_free);
  http_mapping_free (source->mapping);
  http_template_free (source->url);
  http_template_free (source->body);
  http_remembered_free (source->remembered);
  g_free (source->method);
  g_free (source->content_type);
  g_free (source);
}

static gboolean
read_request (HttpSource *source, RagifyFault *fault)
{
  const char *base = source->settings->base_url;
  g_autofree char *url = ragify_setting_optional (source->host, source->context, "url");
  g_autofree char *body = ragify_setting_optional (source->host, source->context, "body");
  source->method = ragify_setting_optional (source->host, source->context, "method");
  source->content_type = ragify_setting_optional (source->host, source->context, "content-type");
  if (body != NULL && strcmp (source->method, "GET") == 0)
    return ragify_fault_set (fault, RAGIFY_E_INVALID, "body: needs method = POST or PUT");
  source->url = http_template_new (url, HTTP_ESCAPE_URL, base, "url", fault);
  if (source->url == NULL)
    return FALSE;
  g_autofree char *sample = http_template_fill (source->url, ragify_str_from ("sample"), 1);
  g_autofree char *origin = ragify_http_origin (sample, "url", fault);
  if (origin == NULL)
    return FALSE;
  if (strcmp (origin, source->settings->origin) != 0)
    return ragify_fault_set (fault, RAGIFY_E_INVALID, "url: leads to %s, and base-url to %s", origin,
                             source->settings->origin);
  const gboolean form = g_ascii_strncasecmp (source->content_type, "application/x-www-form-urlencoded", 33) == 0;
  if (body != NULL)
    source->body = http_template_new (body, form ? HTTP_ESCAPE_FORM : HTTP_ESCAPE_JSON, base, "body", fault);
  return body == NULL || source->body != NULL;
}

static gboolean
set_up (HttpSource *source, guint instances, RagifyFault *fault)
{
  int64_t remember = 0;
  source->host->config_int (source->context, "remember", &remember);
  source->remembered = http_remembered_new ((guint)remember, REMEMBERED_BYTES);
  source->settings = ragify_http_settings_new (source->host, source->context, fault);
  if (source->settings == NULL || !read_request (source, fault))
    return FALSE;
  source->mapping = http_mapping_new (source->host, source->context, fault);
  if (source->mapping == NULL)
    return FALSE;
  source->client = ragify_http_client_new (source->host, source->context, source->settings, instances, fault);
  return source->client != NULL;
}

static void
warn_of_risks (const HttpSource *source)
{
  const RagifyHttpSettings *settings = source->settings;
  const char *text = NULL;
  if (!settings->tls_verify)
    text = "tls-verify = false: whoever is on the way can read and change what is sent";
  else if (!g_str_has_prefix (settings->origin, "https:") &&
           (settings->query_credential != NULL || settings->headers[0] != NULL) &&
           !g_str_has_prefix (settings->origin, "http://127.") &&
           !g_str_has_prefix (settings->origin, "http://localhost:"))
    text = "credentials are sent over http, which whoever is on the way can read";
  if (text != NULL)
    source->host->log (source->context, RAGIFY_LOG_WARNING, ragify_str_from (text));
}

static int32_t
create (const RagifyHost *host, RagifyContext *context, const RagifyInstance *which, void **instance)
{
  HttpSource *source = g_new0 (HttpSource, 1);
  source->host = host;
  source->context = context;
  RagifyFault fault;
  if (!set_up (source, which->count, &fault)) {
    host->set_error (context, ragify_str_from (fault.message));
    free_source (source);
    return fault.code;
  }
  if (which->index == 0)
    warn_of_risks (source);
  *instance = source;
  return RAGIFY_OK;
}

/* Nothing is opened: a service that is away for now is no reason not to start. */
static void
start (void *instance, RagifyCall *call, const RagifyStart *args)
{
  ((HttpSource *)instance)->host->call_done (call, NULL);
}

typedef struct Stopping {
  HttpSource *source;
  RagifyCall *call;
} Stopping;

static void
closed (void *user)
{
  Stopping *stopping = user;
  stopping->source->host->call_done (stopping->call, NULL);
  g_free (stopping);
}

static void
stop (void *instance, RagifyCall *call, const RagifyNothing *args)
{
  Stopping *stopping = g_new (Stopping, 1);
  *stopping = (Stopping){ .source = instance, .call = call };
  ragify_http_client_close (stopping->source->client, closed, stopping);
}

static void
destroy (void *instance)
{
  free_source (instance);
}

/* ---- calls ---- */

static void
query (void *instance, RagifyCall *call, const RagifySourceQuery *args)
{
  http_source_ask (instance, call, args->text, args->top_k, FALSE);
}

static void
probe (void *instance, RagifyCall *call, const RagifyNothing *args)
{
  http_source_ask (instance, call, ragify_str_from ("test"), 1, TRUE);
}

/* New credentials and headers; answers that were given to the old ones are not used again. */
static void
reconfigure (void *instance, RagifyCall *call, const RagifyReconfigure *args)
{
  HttpSource *source = instance;
  RagifyFault fault;
  RagifyHttpSettings *settings = ragify_http_settings_new (source->host, source->context, &fault);
  if (settings == NULL) {
    source->host->call_fail (call, fault.code, ragify_str_from (fault.message), 0);
    return;
  }
  ragify_http_client_set_settings (source->client, settings);
  ragify_http_settings_free (source->settings);
  source->settings = settings;
  int64_t remember = 0;
  source->host->config_int (source->context, "remember", &remember);
  http_remembered_free (source->remembered);
  source->remembered = http_remembered_new ((guint)remember, REMEMBERED_BYTES);
  source->host->call_done (call, NULL);
}

static void
stats (void *instance, RagifyCall *call, const RagifyNothing *args)
{
  const HttpSource *source = instance;
  const RagifyHttpStats s = ragify_http_client_stats (source->client);
  const struct {
    const char *name;
    guint64 value;
  } values[] = {
    { "requests", s.requests },
    { "failures", s.failures },
    { "sent", s.sent },
    { "redirects", s.redirects },
    { "connections_made", s.connections },
    { "connections_open", s.open },
    { "bytes", s.bytes },
    { "active", s.active },
    { "waiting", s.waiting },
    { "not_modified", source->not_modified },
    { "remembered", http_remembered_count (source->remembered) },
    { "unusable_results", source->unusable },
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
  .name = "http",
  .summary = "Asks a search API on the web.",
  .run_class = RAGIFY_RUN_LOOP,
  .schema = { .keys = keys, .count = G_N_ELEMENTS (keys), .stride = sizeof (RagifyKey) },
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
  .id = "org.ragify.source-http",
  .version = RAGIFY_VERSION,
  .licence = "MIT",
  .summary = "Search APIs as sources.",
  .url = "",
  .components = components,
};

const RagifyPlugin *
ragify_plugin_query (void)
{
  return &plugin;
}
