/* The plugin `chroma`: a vector store on a Chroma server. */
#include <string.h>

#include "job.h"
#include "settings.h"

static const RagifyKey keys[] = {
#include "http-keys.inc.h"
  { .name = "collection",
    .type = RAGIFY_KEY_STRING,
    .default_value = "ragify",
    .summary = "The collection that has the chunks; those called NAME-documents and NAME-staged stand beside it." },
  { .name = "tenant", .type = RAGIFY_KEY_STRING, .default_value = "default_tenant", .summary = "Chroma's tenant." },
  { .name = "database",
    .type = RAGIFY_KEY_STRING,
    .default_value = "default_database",
    .summary = "Chroma's database. It and the tenant are made where they are not there." },
  { .name = "ef-search",
    .type = RAGIFY_KEY_INT,
    .default_value = "100",
    .unit = "vectors",
    .minimum = "1",
    .maximum = "10000",
    .summary = "How many candidates a search keeps; taken by collections when they are made." },
  { .name = "ef-construction",
    .type = RAGIFY_KEY_INT,
    .default_value = "100",
    .unit = "vectors",
    .minimum = "1",
    .maximum = "10000",
    .summary = "The same when a vector is added." },
  { .name = "m",
    .type = RAGIFY_KEY_INT,
    .default_value = "16",
    .unit = "links",
    .minimum = "2",
    .maximum = "512",
    .summary = "Links of each vector in the graph (Chroma's max_neighbors)." },
  { .name = "optimize-threshold",
    .type = RAGIFY_KEY_INT,
    .default_value = "1000",
    .unit = "chunks",
    .minimum = "2",
    .maximum = "10000000",
    .summary = "After so many changes the server writes its index to the disk (Chroma's sync_threshold)." },
  { .name = "request-chunks",
    .type = RAGIFY_KEY_INT,
    .default_value = "1000",
    .unit = "chunks",
    .minimum = "1",
    .maximum = "5000",
    .summary = "The most that one request brings; a batch with more makes several." },
};

/* ---- making and ending ---- */

static void
destroy (void *instance)
{
  ChromaStore *store = instance;
  ragify_http_client_free (store->client);
  g_clear_pointer (&store->settings, ragify_http_settings_free);
  for (guint i = 0; i < CHROMA_N_COLLECTIONS; i++)
    g_free (store->urls[i]);
  g_free (store->facts_url);
  g_free (store->tenant);
  g_free (store->database);
  g_free (store->collection);
  g_free (store->root);
  g_free (store->fingerprint);
  g_free (store);
}

/* Chroma's own rule for names, less what is put behind. */
static gboolean
check_name (const char *name, RagifyFault *fault)
{
  const gsize size = name != NULL ? strlen (name) : 0;
  gboolean good = size >= 3 && size <= 400 && g_ascii_isalnum (name[0]);
  for (gsize i = 0; good && i < size; i++)
    good = g_ascii_isalnum (name[i]) || strchr ("._-", name[i]) != NULL;
  return good || ragify_fault_set (fault, RAGIFY_E_INVALID,
                                   "collection: expected 3 to 400 letters, digits, '.', '_' or '-', found '%.100s'",
                                   name != NULL ? name : "");
}

static gboolean
set_up (ChromaStore *store, const RagifyInstance *which, RagifyFault *fault)
{
  store->tenant = ragify_setting_optional (store->host, store->context, "tenant");
  store->database = ragify_setting_optional (store->host, store->context, "database");
  store->collection = ragify_setting_optional (store->host, store->context, "collection");
  if (store->tenant == NULL || store->database == NULL)
    return ragify_fault_set (fault, RAGIFY_E_INVALID, "tenant and database: expected a name");
  store->settings = ragify_http_settings_new (store->host, store->context, fault);
  if (!check_name (store->collection, fault) || store->settings == NULL)
    return FALSE;
  store->root = g_strconcat (store->settings->base_url, "/api/v2", NULL);
  store->ef_search = ragify_setting_int (store->host, store->context, "ef-search");
  store->ef_construction = ragify_setting_int (store->host, store->context, "ef-construction");
  store->m = ragify_setting_int (store->host, store->context, "m");
  store->optimize_threshold = ragify_setting_int (store->host, store->context, "optimize-threshold");
  store->request_chunks = ragify_setting_int (store->host, store->context, "request-chunks");
  store->client = ragify_http_client_new (store->host, store->context, store->settings, which->count, fault);
  return store->client != NULL;
}

static int32_t
create (const RagifyHost *host, RagifyContext *context, const RagifyInstance *which, void **instance)
{
  ChromaStore *store = g_new0 (ChromaStore, 1);
  RagifyFault fault;
  store->host = host;
  store->context = context;
  store->first = which->index == 0;
  g_queue_init (&store->waiting);
  if (set_up (store, which, &fault)) {
    *instance = store;
    return RAGIFY_OK;
  }
  host->set_error (context, ragify_str_from (fault.message));
  destroy (store);
  return fault.code;
}

typedef struct Call {
  ChromaStore *store;
  RagifyCall *call;
  RagifyFault fault;
} Call;

static void
closed_after_failure (void *user)
{
  g_autofree Call *starting = user;
  g_autofree char *text = g_utf8_make_valid (starting->fault.message, -1);
  starting->store->host->call_fail (starting->call, starting->fault.code, ragify_str_from (text), 0);
}

static void
close_after_failure (void *user)
{
  ragify_http_client_close (((Call *)user)->store->client, closed_after_failure, user);
}

/* A server that cannot be reached may come back; one that has something else than the store wants will have it still.
 */
static void
opened (void *user, const RagifyFault *fault)
{
  Call *starting = user;
  ChromaStore *store = starting->store;
  const gboolean passing = fault != NULL && (fault->code == RAGIFY_E_UNAVAILABLE || fault->code == RAGIFY_E_TIMEOUT ||
                                             fault->code == RAGIFY_E_EXHAUSTED);
  if (fault != NULL && !passing) { /* not from inside an answer of the client that is closed */
    const RagifyLoopExtension *loop = store->host->get_extension (store->context, RAGIFY_EXT_LOOP);
    starting->fault = *fault;
    loop->invoke (store->context, close_after_failure, starting);
    return;
  }
  if (fault != NULL && store->first) {
    g_autofree char *text = g_strdup_printf ("%s; it is tried again when it is asked", fault->message);
    g_autofree char *valid = g_utf8_make_valid (text, -1);
    store->host->log (store->context, RAGIFY_LOG_WARNING, ragify_str_from (valid));
  }
  store->host->call_done (starting->call, NULL);
  g_free (starting);
}

static void
start (void *instance, RagifyCall *call, const RagifyStart *args)
{
  ChromaStore *store = instance;
  if (args->embedder == NULL) {
    store->host->call_fail (call, RAGIFY_E_INVALID,
                            ragify_str_from ("Chroma keeps no chunk without a vector: the store needs an `embedder`"),
                            0);
    return;
  }
  store->dimension = args->embedder->dimension;
  store->fingerprint = g_strndup (args->embedder->fingerprint.data, args->embedder->fingerprint.size);
  Call *starting = g_new0 (Call, 1);
  starting->store = store;
  starting->call = call;
  chroma_store_open (store, opened, starting);
}

static void
closed (void *user)
{
  g_autofree Call *stopping = user;
  stopping->store->host->call_done (stopping->call, NULL);
}

static void
stop (void *instance, RagifyCall *call, const RagifyNothing *args)
{
  ChromaStore *store = instance;
  Call *stopping = g_new0 (Call, 1);
  stopping->store = store;
  stopping->call = call;
  ragify_http_client_close (store->client, closed, stopping);
}

/* New credentials, headers. */
static void
reconfigure (void *instance, RagifyCall *call, const RagifyReconfigure *args)
{
  ChromaStore *store = instance;
  RagifyFault fault;
  RagifyHttpSettings *settings = ragify_http_settings_new (store->host, store->context, &fault);
  if (settings == NULL) {
    store->host->call_fail (call, fault.code, ragify_str_from (fault.message), 0);
    return;
  }
  ragify_http_client_set_settings (store->client, settings);
  ragify_http_settings_free (store->settings);
  store->settings = settings;
  store->host->call_done (call, NULL);
}

static const RagifyVectorStoreOperations operations = {
  .struct_size = sizeof operations,
  .upsert = chroma_upsert,
  .search = chroma_search,
  .fetch = chroma_fetch,
  .list = chroma_list,
  .remove = chroma_remove,
  .optimize = chroma_optimize,
  .flush = chroma_flush,
  .generation = chroma_generation,
};

static const RagifyComponent component = {
  .struct_size = sizeof component,
  .flags = RAGIFY_COMPONENT_FILTERS | RAGIFY_COMPONENT_REMOTE,
  .kind = RAGIFY_KIND_VECTOR_STORE,
  .name = "chroma",
  .summary = "Keeps documents and vectors on a Chroma server, by its HTTP API v2.",
  .run_class = RAGIFY_RUN_LOOP,
  .schema = { .keys = keys, .count = G_N_ELEMENTS (keys), .stride = sizeof (RagifyKey) },
  .operations = &operations,
  .create = create,
  .start = start,
  .stop = stop,
  .destroy = destroy,
  .probe = chroma_probe,
  .reconfigure = reconfigure,
  .stats = chroma_stats,
};

static const RagifyComponent *const components[] = { &component, NULL };

static const RagifyPlugin plugin = {
  .magic = RAGIFY_PLUGIN_MAGIC,
  .abi_major = RAGIFY_ABI_MAJOR,
  .abi_minor_needed = RAGIFY_NEEDS_MINOR,
  .struct_size = sizeof plugin,
  .id = "org.ragify.store-chroma",
  .version = RAGIFY_VERSION,
  .licence = "MIT",
  .summary = "The vector store on a Chroma server.",
  .url = "",
  .components = components,
};

const RagifyPlugin *
ragify_plugin_query (void)
{
  return &plugin;
}
