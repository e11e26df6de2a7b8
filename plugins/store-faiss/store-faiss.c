/* The plugin `faiss`: a vector store in a folder of this machine. */
#include "store.h"

#include <ragify/ragify.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
  const RagifyHost *host;
  RagifyContext *context;
  RagifyStore *store;
} Plugin;

static const RagifyKey keys[] = {
  { .name = "path",
    .type = RAGIFY_KEY_PATH,
    .summary = "The store's folder, which belongs to it alone; without it, a folder of the node's name under `root`." },
  { .name = "root",
    .type = RAGIFY_KEY_PATH,
    .default_value = "stores",
    .summary = "Where the folder lies when no `path` is given." },
  { .name = "in-memory",
    .type = RAGIFY_KEY_BOOL,
    .default_value = "false",
    .summary = "Keeps documents and vectors in memory alone: nothing is on a disk, and nothing outlives the host or a "
               "change of the store's keys." },
  { .name = "index",
    .type = RAGIFY_KEY_STRING,
    .default_value = "Flat",
    .summary = "How vectors are kept: Flat, which is exact, or one of FAISS's factory strings: SQ8, SQfp16, PQm, "
               "IVFn,Flat, IVFn,SQ8, IVFn,SQfp16, IVFn,PQm, HNSWm, HNSWm,SQ8." },
  { .name = "nlist",
    .type = RAGIFY_KEY_INT,
    .default_value = "1000",
    .unit = "lists",
    .minimum = "1",
    .maximum = "1000000",
    .summary = "How many lists an IVF index has whose factory string does not say it, as in IVF,Flat." },
  { .name = "nprobe",
    .type = RAGIFY_KEY_INT,
    .flags = RAGIFY_KEY_RELOADABLE,
    .default_value = "10",
    .unit = "lists",
    .minimum = "1",
    .maximum = "1000000",
    .summary = "How many of an IVF index's lists a search reads; a request may say another number." },
  { .name = "ef-search",
    .type = RAGIFY_KEY_INT,
    .flags = RAGIFY_KEY_RELOADABLE,
    .default_value = "64",
    .unit = "vectors",
    .minimum = "1",
    .maximum = "1000000",
    .summary = "How many candidates an HNSW search keeps; a request may say another number (efSearch)." },
  { .name = "readers",
    .type = RAGIFY_KEY_INT,
    .default_value = "16",
    .unit = "connections",
    .minimum = "1",
    .maximum = "256",
    .summary = "Connections to the database for reading, opened as they are needed." },
  { .name = "page-cache",
    .type = RAGIFY_KEY_SIZE,
    .default_value = "8MiB",
    .minimum = "64KiB",
    .maximum = "1GiB",
    .summary = "Database pages that each connection keeps in memory." },
  { .name = "max-memory",
    .type = RAGIFY_KEY_SIZE,
    .flags = RAGIFY_KEY_RELOADABLE,
    .default_value = "0",
    .summary = "What the index may take, its mapped snapshot included. Beyond it chunks with vectors are refused; "
               "searches and deletions go on. 0: no limit." },
  { .name = "filter-cache",
    .type = RAGIFY_KEY_SIZE,
    .flags = RAGIFY_KEY_RELOADABLE,
    .default_value = "32MiB",
    .summary = "What may be kept of conditions in filters: for each a bit a vector, and a bit for each different "
               "metadata. Those used longest ago go first. 0: nothing, each search finds out anew." },
  { .name = "lock-wait",
    .type = RAGIFY_KEY_DURATION,
    .default_value = "2s",
    .maximum = "1min",
    .summary = "How long a start waits for another process that still has the folder open." },
};

static void
say (const Plugin *plugin, uint32_t level, const char *text)
{
  plugin->host->log (plugin->context, level, ragify_str_from (text));
}

static void
fail (const Plugin *plugin, RagifyCall *call, const RagifyFault *fault)
{
  plugin->host->call_fail (call, fault->code, ragify_str_from (fault->message), 0);
}

static uint32_t
read_int (const RagifyHost *host, RagifyContext *context, const char *key)
{
  int64_t value = 0;
  (void)host->config_int (context, key, &value);
  return (uint32_t)value;
}

/* The folder: `path`, or the node's own under `root`. Owned by the caller; NULL when memory is exhausted. */
static char *
read_folder (const RagifyHost *host, RagifyContext *context, const RagifyInstance *which)
{
  RagifyStr path = { 0 }, root = { 0 };
  if (host->config_string (context, "path", &path) == RAGIFY_OK && path.size > 0)
    return strndup (path.data, path.size);
  (void)host->config_string (context, "root", &root);
  size_t size = root.size + which->node.size + 2;
  char *folder = malloc (size);
  if (folder != NULL)
    (void)snprintf (folder, size, "%.*s/%.*s", (int)root.size, root.data, (int)which->node.size, which->node.data);
  return folder;
}

static int32_t
refuse (const RagifyHost *host, RagifyContext *context, int32_t code, const char *why)
{
  host->set_error (context, ragify_str_from (why));
  return code;
}

static RagifyApproximateTuning
read_tuning (const RagifyHost *host, RagifyContext *context)
{
  return (RagifyApproximateTuning){ .nprobe = read_int (host, context, "nprobe"),
                                    .ef_search = read_int (host, context, "ef-search") };
}

/* The index's full name, or a fault. */
static bool
read_index (const RagifyHost *host, RagifyContext *context, char *name, RagifyFault *fault)
{
  RagifyStr index = { 0 };
  (void)host->config_string (context, "index", &index);
  char *factory = strndup (index.data, index.size);
  bool ok = factory != NULL ? ragify_approximate_check (factory, read_int (host, context, "nlist"), name, fault)
                            : ragify_fault_memory (fault);
  free (factory);
  return ok && (ragify_approximate_is_exact (name) || ragify_approximate_available (fault));
}

static int32_t
create (const RagifyHost *host, RagifyContext *context, const RagifyInstance *which, void **instance)
{
  RagifyFault fault;
  char name[RAGIFY_APPROXIMATE_NAME];
  if (!read_index (host, context, name, &fault))
    return refuse (host, context, fault.code, fault.message);
  uint32_t in_memory = 0;
  (void)host->config_bool (context, "in-memory", &in_memory);
  char *folder = in_memory != 0 ? NULL : read_folder (host, context, which);
  Plugin *plugin = calloc (1, sizeof *plugin);
  RagifyStoreOptions options = { .index = name,
                                 .database = { .folder = folder, .readers = read_int (host, context, "readers") },
                                 .tuning = read_tuning (host, context) };
  (void)host->config_size (context, "page-cache", &options.database.cache_bytes);
  (void)host->config_size (context, "max-memory", &options.memory_limit);
  (void)host->config_size (context, "filter-cache", &options.filter_cache);
  (void)host->config_duration (context, "lock-wait", &options.database.lock_wait_us);
  if (plugin != NULL && (folder != NULL || in_memory != 0))
    plugin->store = ragify_store_new (&options);
  free (folder);
  if (plugin == NULL || plugin->store == NULL) {
    free (plugin);
    return refuse (host, context, RAGIFY_E_EXHAUSTED, "memory is exhausted");
  }
  plugin->host = host;
  plugin->context = context;
  *instance = plugin;
  return RAGIFY_OK;
}

static void
report_index (const Plugin *plugin)
{
  char text[200];
  if (ragify_store_snapshot_useless (plugin->store))
    say (plugin, RAGIFY_LOG_WARNING,
         "index.snapshot is damaged, or of other settings: searches are exact until `optimize` builds it anew");
  else if (ragify_store_lacks_index (plugin->store))
    say (plugin, RAGIFY_LOG_INFO,
         "searches are exact for now: `optimize` builds the index, for which there are enough vectors");
  if (ragify_store_missing_vectors (plugin->store) == 0)
    return;
  (void)snprintf (text, sizeof text,
                  "searches are exact for now: the index pays from %" PRIu64
                  " further vectors on, and is then built by "
                  "`optimize`",
                  ragify_store_missing_vectors (plugin->store));
  say (plugin, RAGIFY_LOG_INFO, text);
}

static void
report_start (const Plugin *plugin, uint64_t began_us)
{
  char text[400];
  RagifyStoreNumbers numbers = ragify_store_numbers (plugin->store);
  (void)snprintf (text, sizeof text,
                  "%s: %" PRIu64 " documents, %" PRIu64 " chunks, %" PRIu64 " vectors, generation %" PRIu64
                  ", open after %" PRIu64 " ms",
                  ragify_store_folder (plugin->store), numbers.generation.documents, numbers.generation.chunks,
                  numbers.generation.vectors, numbers.generation.generation.counter,
                  (plugin->host->clock_us () - began_us) / 1000);
  say (plugin, RAGIFY_LOG_INFO, text);
  if (ragify_store_read_only (plugin->store) != NULL) {
    (void)snprintf (text, sizeof text, "%s is read-only (%s): searches go on, writes are refused",
                    ragify_store_folder (plugin->store), ragify_store_read_only (plugin->store));
    say (plugin, RAGIFY_LOG_WARNING, text);
  }
  report_index (plugin);
  const uint64_t limit = ragify_store_memory_limit (plugin->store);
  if (limit > 0 && numbers.index.bytes >= limit) {
    (void)snprintf (text, sizeof text,
                    "max-memory is reached: the index takes %" PRIu64 " of %" PRIu64
                    " bytes; chunks with vectors are refused, searches and deletions go on",
                    numbers.index.bytes, limit);
    say (plugin, RAGIFY_LOG_WARNING, text);
  }
  if (ragify_store_without_vector (plugin->store) > 0) {
    (void)snprintf (text, sizeof text,
                    "%" PRIu64 " chunks were written without an embedder and have no vector: they are found by words "
                    "only, until their documents are ingested again",
                    ragify_store_without_vector (plugin->store));
    say (plugin, RAGIFY_LOG_WARNING, text);
  }
}

static void
start (void *instance, RagifyCall *call, const RagifyStart *args)
{
  const Plugin *plugin = instance;
  RagifyFault fault;
  uint64_t began_us = plugin->host->clock_us ();
  if (!ragify_store_open (plugin->store, args->embedder, &fault)) {
    fail (plugin, call, &fault);
    return;
  }
  report_start (plugin, began_us);
  plugin->host->call_done (call, NULL);
}

static void
stop (void *instance, RagifyCall *call, const RagifyNothing *args)
{
  const Plugin *plugin = instance;
  ragify_store_close (plugin->store);
  plugin->host->call_done (call, NULL);
}

static void
destroy (void *instance)
{
  Plugin *plugin = instance;
  ragify_store_free (plugin->store);
  free (plugin);
}

static void
probe (void *instance, RagifyCall *call, const RagifyNothing *args)
{
  const Plugin *plugin = instance;
  RagifyFault fault;
  RagifyStoreNumbers numbers = ragify_store_numbers (plugin->store);
  const size_t room = 160;
  char *detail = plugin->host->call_alloc (call, room);
  if (detail == NULL)
    (void)ragify_fault_memory (&fault);
  if (detail == NULL || !ragify_store_probe (plugin->store, &fault)) {
    fail (plugin, call, &fault);
    return;
  }
  int size = snprintf (detail, room, "%" PRIu64 " documents, %" PRIu64 " chunks%s", numbers.generation.documents,
                       numbers.generation.chunks, ragify_store_read_only (plugin->store) != NULL ? ", read-only" : "");
  RagifyProbeResult result = { .struct_size = sizeof result, .detail = ragify_str (detail, (size_t)size) };
  plugin->host->call_done (call, &result);
}

static void
reconfigure (void *instance, RagifyCall *call, const RagifyReconfigure *args)
{
  const Plugin *plugin = instance;
  RagifyApproximateTuning tuning = read_tuning (plugin->host, plugin->context);
  uint64_t limit = 0;
  ragify_store_set_tuning (plugin->store, &tuning);
  if (plugin->host->config_size (plugin->context, "max-memory", &limit) == RAGIFY_OK)
    ragify_store_set_memory_limit (plugin->store, limit);
  if (plugin->host->config_size (plugin->context, "filter-cache", &limit) == RAGIFY_OK)
    ragify_store_set_filter_cache (plugin->store, limit);
  plugin->host->call_done (call, NULL);
}

typedef struct {
  const char *name;
  uint64_t value;
} Number;

static void
complete_with_numbers (const Plugin *plugin, RagifyCall *call, const Number *numbers, size_t count)
{
  RagifyPair *pairs = plugin->host->call_alloc (call, count * sizeof *pairs);
  if (pairs == NULL) {
    RagifyFault fault;
    (void)ragify_fault_memory (&fault);
    fail (plugin, call, &fault);
    return;
  }
  for (size_t i = 0; i < count; i++)
    pairs[i] = (RagifyPair){ .name = ragify_str_from (numbers[i].name),
                             .value = { .type = RAGIFY_VALUE_INT, .integer = (int64_t)numbers[i].value } };
  RagifyStatsResult result = { .struct_size = sizeof result, .values = { .items = pairs, .count = count } };
  plugin->host->call_done (call, &result);
}

static void
stats (void *instance, RagifyCall *call, const RagifyNothing *args)
{
  const Plugin *plugin = instance;
  RagifyStoreNumbers numbers = ragify_store_numbers (plugin->store);
  const Number values[] = {
    { "documents", numbers.generation.documents }, { "chunks", numbers.generation.chunks },
    { "vectors", numbers.generation.vectors },     { "generation", numbers.generation.generation.counter },
    { "exact_vectors", numbers.index.exact },      { "dead_vectors", numbers.index.dead },
    { "index_bytes", numbers.index.bytes },        { "filters_kept", numbers.filters.terms },
    { "filter_bytes", numbers.filters.bytes },     { "filter_hits", numbers.filters.hits },
    { "filter_misses", numbers.filters.misses },   { "filters_evicted", numbers.filters.evicted },
  };
  complete_with_numbers (plugin, call, values, sizeof values / sizeof *values);
}

/* Completes the call with the result, or with the fault. */
static void
finish (const Plugin *plugin, RagifyCall *call, bool ok, const void *result, const RagifyFault *fault)
{
  if (ok)
    plugin->host->call_done (call, result);
  else
    fail (plugin, call, fault);
}

static void
upsert (void *instance, RagifyCall *call, const RagifyStoreUpsert *args)
{
  const Plugin *plugin = instance;
  const RagifyAnswer answer = { .host = plugin->host, .call = call };
  RagifyFault fault;
  RagifyStoreUpsertResult result = { 0 };
  finish (plugin, call, ragify_store_upsert (plugin->store, &answer, args, &result, &fault), &result, &fault);
}

static void
search (void *instance, RagifyCall *call, const RagifyStoreSearch *args)
{
  const Plugin *plugin = instance;
  const RagifyAnswer answer = { .host = plugin->host, .call = call };
  RagifyFault fault;
  RagifyStoreSearchResult result = { 0 };
  finish (plugin, call, ragify_store_search (plugin->store, &answer, args, &result, &fault), &result, &fault);
}

static void
fetch (void *instance, RagifyCall *call, const RagifyStoreFetch *args)
{
  const Plugin *plugin = instance;
  const RagifyAnswer answer = { .host = plugin->host, .call = call };
  RagifyFault fault;
  RagifyStoreFetchResult result = { 0 };
  finish (plugin, call, ragify_store_fetch (plugin->store, &answer, args, &result, &fault), &result, &fault);
}

static void
list (void *instance, RagifyCall *call, const RagifyStoreList *args)
{
  const Plugin *plugin = instance;
  const RagifyAnswer answer = { .host = plugin->host, .call = call };
  RagifyFault fault;
  RagifyStoreListResult result = { 0 };
  finish (plugin, call, ragify_store_list (plugin->store, &answer, args, &result, &fault), &result, &fault);
}

static void
remove_some (void *instance, RagifyCall *call, const RagifyStoreRemove *args)
{
  const Plugin *plugin = instance;
  const RagifyAnswer answer = { .host = plugin->host, .call = call };
  RagifyFault fault;
  RagifyStoreRemoveResult result = { 0 };
  finish (plugin, call, ragify_store_remove (plugin->store, &answer, args, &result, &fault), &result, &fault);
}

static void
optimize (void *instance, RagifyCall *call, const RagifyStoreOptimize *args)
{
  const Plugin *plugin = instance;
  const RagifyAnswer answer = { .host = plugin->host, .call = call };
  RagifyFault fault;
  if (!ragify_store_optimize (plugin->store, &answer, args, &fault)) {
    fail (plugin, call, &fault);
    return;
  }
  stats (instance, call, NULL);
}

static void
flush (void *instance, RagifyCall *call, const RagifyNothing *args)
{
  const Plugin *plugin = instance;
  const RagifyAnswer answer = { .host = plugin->host, .call = call };
  RagifyFault fault;
  finish (plugin, call, ragify_store_flush (plugin->store, &answer, &fault), NULL, &fault);
}

static void
backup (void *instance, RagifyCall *call, const RagifyStoreBackup *args)
{
  const Plugin *plugin = instance;
  const RagifyAnswer answer = { .host = plugin->host, .call = call };
  RagifyFault fault;
  uint64_t bytes;
  if (!ragify_store_backup (plugin->store, &answer, args, &bytes, &fault)) {
    fail (plugin, call, &fault);
    return;
  }
  const Number numbers[] = { { "bytes", bytes } };
  complete_with_numbers (plugin, call, numbers, 1);
}

static void
verify (void *instance, RagifyCall *call, const RagifyStoreVerify *args)
{
  const Plugin *plugin = instance;
  const RagifyAnswer answer = { .host = plugin->host, .call = call };
  RagifyFault fault;
  RagifyStoreVerifyResult result;
  finish (plugin, call, ragify_store_verify (plugin->store, &answer, args, &result, &fault), &result, &fault);
}

static void
reindex (void *instance, RagifyCall *call, const RagifyStoreReindex *args)
{
  const Plugin *plugin = instance;
  const RagifyAnswer answer = { .host = plugin->host, .call = call };
  RagifyFault fault;
  RagifyStoreReindexResult result;
  finish (plugin, call, ragify_store_reindex (plugin->store, &answer, args, &result, &fault), &result, &fault);
}

static void
generation (void *instance, RagifyCall *call, const RagifyNothing *args)
{
  const Plugin *plugin = instance;
  RagifyStoreNumbers numbers = ragify_store_numbers (plugin->store);
  plugin->host->call_done (call, &numbers.generation);
}

static const RagifyVectorStoreOperations operations = {
  .struct_size = sizeof operations,
  .upsert = upsert,
  .search = search,
  .fetch = fetch,
  .list = list,
  .remove = remove_some,
  .optimize = optimize,
  .flush = flush,
  .generation = generation,
  .backup = backup,
  .verify = verify,
  .reindex = reindex,
};

static const RagifyComponent component = {
  .struct_size = sizeof component,
  .flags = RAGIFY_COMPONENT_FILTERS | RAGIFY_COMPONENT_EXCLUSIVE,
  .kind = RAGIFY_KIND_VECTOR_STORE,
  .name = "faiss",
  .summary = "Keeps documents in SQLite and their vectors in memory, in a folder of this machine.",
  .run_class = RAGIFY_RUN_WORKER,
  .max_parallel = 64,
  .schema = { .keys = keys, .count = sizeof keys / sizeof *keys, .stride = sizeof *keys },
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

static const RagifyPlugin plugin_description = {
  .magic = RAGIFY_PLUGIN_MAGIC,
  .abi_major = RAGIFY_ABI_MAJOR,
  .abi_minor_needed = RAGIFY_NEEDS_MINOR,
  .struct_size = sizeof plugin_description,
  .id = "org.ragify.store-faiss",
  .version = RAGIFY_VERSION,
  .licence = "MIT",
  .summary = "The embedded vector store.",
  .url = "",
  .components = components,
};

const RagifyPlugin *
ragify_plugin_query (void)
{
  return &plugin_description;
}
