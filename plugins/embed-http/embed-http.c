/* embed-http: an embedding service elsewhere.
 *
 * SPDX-License-Identifier: MIT
 */
#include "embedder.h"
#include "settings.h"

#include <string.h>

static const RagifyKey keys[] = {
#include "http-keys.inc.h"
  { .name = "api",
    .type = RAGIFY_KEY_ENUM,
    .default_value = "openai",
    .choices = "openai|tei",
    .summary = "openai: POST {base-url}/embeddings, which most services and servers have. tei: Text Embeddings "
               "Inference's own POST {base-url}/embed." },
  { .name = "path",
    .type = RAGIFY_KEY_STRING,
    .summary = "In place of /embeddings or /embed; may have a query, such as "
               "/embeddings?api-version=2024-02-01." },
  { .name = "model",
    .type = RAGIFY_KEY_STRING,
    .flags = RAGIFY_KEY_REQUIRED,
    .summary = "The model's name, which is sent (openai) and by which stores tell whose vectors they hold." },
  { .name = "dimension",
    .type = RAGIFY_KEY_INT,
    .minimum = "1",
    .maximum = "65536",
    .summary = "Of the model's vectors. Not set: learnt at start from a trial, so the service must be there then." },
  { .name = "send-dimension",
    .type = RAGIFY_KEY_BOOL,
    .default_value = "false",
    .summary = "true: asks for vectors of `dimension` numbers, for models that can shorten them." },
  { .name = "encoding",
    .type = RAGIFY_KEY_ENUM,
    .default_value = "float",
    .choices = "float|base64",
    .summary = "How vectors are sent (openai): base64 is a quarter as long; services that do not know it refuse it or "
               "send float, which is read all the same." },
  { .name = "query-prefix",
    .type = RAGIFY_KEY_STRING,
    .summary = "Put before queries, as the model wants it, such as \"query: \"." },
  { .name = "document-prefix", .type = RAGIFY_KEY_STRING, .summary = "Put before passages, such as \"passage: \"." },
  { .name = "request-texts",
    .type = RAGIFY_KEY_INT,
    .default_value = "32",
    .unit = "texts",
    .minimum = "1",
    .maximum = "2048",
    .summary = "The most that one request brings; a call with more makes several." },
  { .name = "request-size",
    .type = RAGIFY_KEY_SIZE,
    .default_value = "256KiB",
    .minimum = "1KiB",
    .maximum = "64MiB",
    .summary = "The same for their bytes; a text that is larger goes alone." },
  { .name = "parallel-requests",
    .type = RAGIFY_KEY_INT,
    .default_value = "4",
    .minimum = "1",
    .maximum = "64",
    .summary = "Requests of one call that are under way at once." },
  { .name = "max-text",
    .type = RAGIFY_KEY_SIZE,
    .default_value = "0",
    .minimum = "0",
    .maximum = "64MiB",
    .summary = "Longer texts are cut to so many bytes, and counted; 0: they go as they are, and the service cuts or "
               "refuses them." },
  { .name = "token-limit",
    .type = RAGIFY_KEY_INT,
    .default_value = "0",
    .unit = "tokens",
    .minimum = "0",
    .maximum = "10000000",
    .summary = "Tokens of a text that count for the model, for information; 0: not known." },
};

/* ---- making and ending ---- */

void
http_embedder_settle (HttpEmbedder *embedder, guint dimension)
{
  g_autoptr (GString) text = g_string_new (NULL);
  g_string_printf (text, "http %s, %u numbers, unit length", embedder->model, dimension);
  if (embedder->query_prefix != NULL)
    g_string_append_printf (text, ", queries after '%s'", embedder->query_prefix);
  if (embedder->document_prefix != NULL)
    g_string_append_printf (text, ", passages after '%s'", embedder->document_prefix);
  g_free (embedder->fingerprint);
  embedder->fingerprint = g_string_free (g_steal_pointer (&text), FALSE);
  embedder->dimension = dimension;
}

static void
destroy (void *instance)
{
  HttpEmbedder *embedder = instance;
  ragify_http_service_clear (&embedder->service);
  g_free (embedder->model);
  g_free (embedder->query_prefix);
  g_free (embedder->document_prefix);
  g_free (embedder->fingerprint);
  g_free (embedder);
}

static gboolean
set_up (HttpEmbedder *embedder, const RagifyHost *host, RagifyContext *context, const RagifyInstance *which,
        RagifyFault *fault)
{
  g_autofree char *api = ragify_setting_optional (host, context, "api");
  g_autofree char *encoding = ragify_setting_optional (host, context, "encoding");
  embedder->api = g_strcmp0 (api, "tei") == 0 ? HTTP_EMBEDDER_TEI : HTTP_EMBEDDER_OPENAI;
  const char *path = embedder->api == HTTP_EMBEDDER_TEI ? "/embed" : "/embeddings";
  if (!ragify_http_service_open (&embedder->service, host, context, which, path, fault))
    return FALSE;
  embedder->model = ragify_setting_optional (host, context, "model");
  if (embedder->model == NULL)
    return ragify_fault_set (fault, RAGIFY_E_INVALID, "model: is needed");
  embedder->base64 = g_strcmp0 (encoding, "base64") == 0;
  embedder->query_prefix = ragify_setting_optional (host, context, "query-prefix");
  embedder->document_prefix = ragify_setting_optional (host, context, "document-prefix");
  embedder->send_dimension = ragify_setting_bool (host, context, "send-dimension");
  embedder->request_texts = (guint)ragify_setting_int (host, context, "request-texts");
  embedder->request_size = ragify_setting_size (host, context, "request-size");
  embedder->parallel = (guint)ragify_setting_int (host, context, "parallel-requests");
  embedder->max_text = ragify_setting_size (host, context, "max-text");
  embedder->token_limit = (guint)ragify_setting_int (host, context, "token-limit");
  const guint dimension = (guint)ragify_setting_int (host, context, "dimension");
  if (embedder->send_dimension && dimension == 0)
    return ragify_fault_set (fault, RAGIFY_E_INVALID, "send-dimension: needs `dimension`");
  if (dimension != 0)
    http_embedder_settle (embedder, dimension);
  return TRUE;
}

static int32_t
create (const RagifyHost *host, RagifyContext *context, const RagifyInstance *which, void **instance)
{
  HttpEmbedder *embedder = g_new0 (HttpEmbedder, 1);
  RagifyFault fault;
  if (!set_up (embedder, host, context, which, &fault)) {
    host->set_error (context, ragify_str_from (fault.message));
    destroy (embedder);
    return fault.code;
  }
  *instance = embedder;
  return RAGIFY_OK;
}

static void
started (HttpEmbedder *embedder, RagifyCall *call, guint64 took_us)
{
  embedder->service.host->call_done (call, NULL);
}

/* With the dimension declared, a service that is away for now is no reason not to start. */
static void
start (void *instance, RagifyCall *call, const RagifyStart *args)
{
  HttpEmbedder *embedder = instance;
  if (embedder->dimension != 0)
    embedder->service.host->call_done (call, NULL);
  else
    http_embedder_try (embedder, call, started);
}

/* ---- calls ---- */

static void
describe (void *instance, RagifyCall *call, const RagifyNothing *args)
{
  const HttpEmbedder *embedder = instance;
  const RagifyHost *host = embedder->service.host;
  const gsize size = strlen (embedder->fingerprint);
  char *text = host->call_alloc (call, size);
  if (text == NULL) {
    ragify_http_service_fail_memory (&embedder->service, call);
    return;
  }
  memcpy (text, embedder->fingerprint, size);
  const RagifyEmbedderInfo info = { .struct_size = sizeof info,
                                    .dimension = embedder->dimension,
                                    .token_limit = embedder->token_limit,
                                    .max_batch = MIN (embedder->request_texts * embedder->parallel, 1024),
                                    .fingerprint = ragify_str (text, size) };
  host->call_done (call, &info);
}

static void
embed (void *instance, RagifyCall *call, const RagifyEmbedderEmbed *args)
{
  http_embedder_embed (instance, call, args);
}

static void
probed (HttpEmbedder *embedder, RagifyCall *call, guint64 took_us)
{
  const RagifyHost *host = embedder->service.host;
  char *text = host->call_alloc (call, 64);
  if (text != NULL)
    g_snprintf (text, 64, "a vector of %u numbers in %.1f ms", embedder->dimension, (double)took_us / 1000);
  const RagifyProbeResult result = { .struct_size = sizeof result, .detail = ragify_str_from (text) };
  host->call_done (call, &result);
}

static void
probe (void *instance, RagifyCall *call, const RagifyNothing *args)
{
  http_embedder_try (instance, call, probed);
}

static void
stats (void *instance, RagifyCall *call, const RagifyNothing *args)
{
  HttpEmbedder *embedder = instance;
  const RagifyHttpNumber numbers[] = {
    { "texts", embedder->texts },
    { "truncated", embedder->truncated },
    { "tokens", atomic_load (&embedder->tokens) },
    { "normalised", atomic_load (&embedder->normalised) },
  };
  ragify_http_service_stats (&embedder->service, call, numbers, G_N_ELEMENTS (numbers));
}

static const RagifyEmbedderOperations operations = {
  .struct_size = sizeof operations,
  .describe = describe,
  .embed = embed,
};

static const RagifyComponent component = {
  .struct_size = sizeof component,
  .flags = RAGIFY_COMPONENT_REMOTE,
  .kind = RAGIFY_KIND_EMBEDDER,
  .name = "http",
  .summary = "Asks an embedding service, in OpenAI's way or that of Text Embeddings Inference.",
  .run_class = RAGIFY_RUN_LOOP,
  .schema = { .keys = keys, .count = G_N_ELEMENTS (keys), .stride = sizeof (RagifyKey) },
  .operations = &operations,
  .create = create,
  .start = start,
  .stop = ragify_http_service_stop,
  .destroy = destroy,
  .probe = probe,
  .reconfigure = ragify_http_service_reconfigure,
  .stats = stats,
};

static const RagifyComponent *const components[] = { &component, NULL };

static const RagifyPlugin plugin = {
  .magic = RAGIFY_PLUGIN_MAGIC,
  .abi_major = RAGIFY_ABI_MAJOR,
  .abi_minor_needed = RAGIFY_NEEDS_MINOR,
  .struct_size = sizeof plugin,
  .id = "org.ragify.embed-http",
  .version = RAGIFY_VERSION,
  .licence = "MIT",
  .summary = "Embedding services elsewhere.",
  .url = "",
  .components = components,
};

const RagifyPlugin *
ragify_plugin_query (void)
{
  return &plugin;
}
