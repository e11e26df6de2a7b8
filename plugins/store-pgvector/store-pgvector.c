/* store-pgvector: documents, their vectors and their words in PostgreSQL, shared by any number of hosts.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "store.h"

#define PASSING(code) ((code) == RAGIFY_E_UNAVAILABLE || (code) == RAGIFY_E_TIMEOUT || (code) == RAGIFY_E_EXHAUSTED)

/* What the store and the text index say about where they are. */
#define CONNECTION_KEYS                                                                                                \
  { .name = "dsn",                                                                                                     \
    .type = RAGIFY_KEY_SECRET,                                                                                         \
    .flags = RAGIFY_KEY_REQUIRED,                                                                                      \
    .summary = "The connection string, as libpq takes it: a URI or keywords and values; several hosts, sslmode and "   \
               "passfile included." },                                                                                 \
      { .name = "password",                                                                                            \
        .type = RAGIFY_KEY_SECRET,                                                                                     \
        .summary = "The password, where it is not in dsn or a passfile." },                                            \
      { .name = "schema",                                                                                              \
        .type = RAGIFY_KEY_STRING,                                                                                     \
        .default_value = "public",                                                                                     \
        .summary = "The schema that the tables are in; made where there is none." },                                   \
      { .name = "table",                                                                                               \
        .type = RAGIFY_KEY_STRING,                                                                                     \
        .default_value = "ragify",                                                                                     \
        .summary = "What the tables' names begin with, as in ragify_chunks. Stores with the same tables are one "      \
                   "store." },                                                                                         \
      { .name = "min-size",                                                                                            \
        .type = RAGIFY_KEY_INT,                                                                                        \
        .default_value = "1",                                                                                          \
        .unit = "connections",                                                                                         \
        .minimum = "0",                                                                                                \
        .maximum = "1000",                                                                                             \
        .summary = "Kept open, of all loops together; never more than max-size." },                                    \
      { .name = "max-size",                                                                                            \
        .type = RAGIFY_KEY_INT,                                                                                        \
        .default_value = "20",                                                                                         \
        .unit = "connections",                                                                                         \
        .minimum = "1",                                                                                                \
        .maximum = "1000",                                                                                             \
        .summary = "At most, of all loops together." },                                                                \
      { .name = "max-inactive-lifetime",                                                                               \
        .type = RAGIFY_KEY_DURATION,                                                                                   \
        .default_value = "300s",                                                                                       \
        .maximum = "7d",                                                                                               \
        .summary = "A connection that was idle for so long is closed, or replaced; 0: never." },                       \
      { .name = "max-waiting",                                                                                         \
        .type = RAGIFY_KEY_INT,                                                                                        \
        .default_value = "1000",                                                                                       \
        .unit = "queries",                                                                                             \
        .minimum = "0",                                                                                                \
        .maximum = "1000000",                                                                                          \
        .summary = "How many may wait for a connection on each loop; more are refused." },                             \
      { .name = "connect-timeout",                                                                                     \
        .type = RAGIFY_KEY_DURATION,                                                                                   \
        .default_value = "5s",                                                                                         \
        .minimum = "10ms",                                                                                             \
        .maximum = "10min",                                                                                            \
        .summary = "For each address of each host, unless dsn has connect_timeout." },                                 \
  {                                                                                                                    \
    .name = "max-row", .type = RAGIFY_KEY_SIZE, .default_value = "16MiB", .minimum = "64KiB", .maximum = "1GiB",       \
    .summary = "A chunk larger than this cannot be read back."                                                         \
  }

static const RagifyKey index_keys[] = { CONNECTION_KEYS };

static const RagifyKey store_keys[] = {
  CONNECTION_KEYS,
  { .name = "language",
    .type = RAGIFY_KEY_STRING,
    .default_value = "english",
    .summary = "PostgreSQL's text search configuration for the words, such as simple or german; the tables keep the "
               "one that they were made with." },
  { .name = "index",
    .type = RAGIFY_KEY_ENUM,
    .default_value = "none",
    .choices = "none|hnsw|ivfflat",
    .summary = "none: searches are exact and read every vector. The others are built by `optimize`." },
  { .name = "index-from",
    .type = RAGIFY_KEY_INT,
    .default_value = "10000",
    .unit = "vectors",
    .minimum = "1",
    .summary = "From how many vectors on `optimize` builds the index." },
  { .name = "m",
    .type = RAGIFY_KEY_INT,
    .default_value = "16",
    .unit = "links",
    .minimum = "2",
    .maximum = "100",
    .summary = "hnsw: how many neighbours each vector is linked with." },
  { .name = "ef-construction",
    .type = RAGIFY_KEY_INT,
    .default_value = "64",
    .unit = "vectors",
    .minimum = "4",
    .maximum = "1000",
    .summary = "hnsw: how many candidates its making keeps; at least twice m." },
  { .name = "lists",
    .type = RAGIFY_KEY_INT,
    .default_value = "0",
    .minimum = "0",
    .maximum = "32768",
    .summary = "ivfflat: how many lists; 0: by the number of vectors." },
  { .name = "ef-search",
    .type = RAGIFY_KEY_INT,
    .flags = RAGIFY_KEY_RELOADABLE,
    .default_value = "100",
    .unit = "vectors",
    .minimum = "1",
    .maximum = "1000",
    .summary =
        "hnsw: how many candidates a search keeps, never fewer than it returns; a request may say another number "
        "(ef_search)." },
  { .name = "probes",
    .type = RAGIFY_KEY_INT,
    .flags = RAGIFY_KEY_RELOADABLE,
    .default_value = "10",
    .unit = "lists",
    .minimum = "1",
    .maximum = "32768",
    .summary = "ivfflat: how many lists a search reads; a request may say another number (probes)." },
};

static void
store_free (PgvectorStore *store)
{
  ragify_postgres_pool_free (store->pool);
  pgvector_statements_clear (&store->statements);
  g_free (store->schema);
  g_free (store->table);
  g_free (store->language);
  g_free (store->fingerprint);
  g_free (store->held_fingerprint);
  g_free (store->extension);
  g_free (store);
}

static int32_t
create (const RagifyHost *host, RagifyContext *context, const RagifyInstance *which, gboolean is_index, void **instance)
{
  RagifyFault fault;
  PgvectorStore *store = g_new0 (PgvectorStore, 1);
  store->host = host;
  store->context = context;
  store->is_index = is_index;
  store->fingerprint = g_strdup ("");
  g_queue_init (&store->waiting);
  if (pgvector_store_configure (store, which, &fault)) {
    *instance = store;
    return RAGIFY_OK;
  }
  host->set_error (context, ragify_str_from (fault.message));
  store_free (store);
  return fault.code;
}

static int32_t
create_store (const RagifyHost *host, RagifyContext *context, const RagifyInstance *which, void **instance)
{
  return create (host, context, which, FALSE, instance);
}

static int32_t
create_index (const RagifyHost *host, RagifyContext *context, const RagifyInstance *which, void **instance)
{
  return create (host, context, which, TRUE, instance);
}

static void
destroy (void *instance)
{
  store_free (instance);
}

/* ---- start: the first connection, and the tables ---- */

typedef struct Starting {
  PgvectorStore *store;
  RagifyCall *call;
  RagifyFault fault;
} Starting;

/* An instance whose start failed is not stopped: it closes what it has opened, and not from inside a connection. */
static void
fail_start (void *user)
{
  Starting *starting = user;
  const RagifyHost *host = starting->store->host;
  g_autofree char *text = g_utf8_make_valid (starting->fault.message, -1);
  ragify_postgres_pool_stop (starting->store->pool);
  host->call_fail (starting->call, starting->fault.code, ragify_str_from (text), 0);
  g_free (starting);
}

/* A server that cannot be reached may come back; one that has something else than the store wants will have it still.
 */
static void
opened (void *user, const RagifyFault *fault)
{
  Starting *starting = user;
  const RagifyHost *host = starting->store->host;
  if (fault != NULL && !PASSING (fault->code)) {
    const RagifyLoopExtension *loop = host->get_extension (starting->store->context, RAGIFY_EXT_LOOP);
    starting->fault = *fault;
    loop->invoke (starting->store->context, fail_start, starting);
    return;
  }
  if (fault != NULL && starting->store->first) {
    g_autofree char *text = g_strdup_printf ("%s; it is tried again when it is asked", fault->message);
    g_autofree char *valid = g_utf8_make_valid (text, -1);
    host->log (starting->store->context, RAGIFY_LOG_WARNING, ragify_str_from (valid));
  }
  host->call_done (starting->call, NULL);
  g_free (starting);
}

static void
first_connection (void *user, const RagifyFault *fault)
{
  Starting *starting = user;
  if (fault != NULL)
    opened (starting, fault);
  else
    pgvector_store_open (starting->store, opened, starting);
}

static void
start (void *instance, RagifyCall *call, const RagifyStart *args)
{
  PgvectorStore *store = instance;
  if (args->embedder != NULL && !store->is_index) {
    store->dimension = args->embedder->dimension;
    g_free (store->fingerprint);
    store->fingerprint = g_strndup (args->embedder->fingerprint.data, args->embedder->fingerprint.size);
  }
  Starting *starting = g_new0 (Starting, 1);
  starting->store = store;
  starting->call = call;
  ragify_postgres_pool_start (store->pool, first_connection, starting);
}

static void
stop (void *instance, RagifyCall *call, const RagifyNothing *args)
{
  PgvectorStore *store = instance;
  ragify_postgres_pool_stop (store->pool);
  store->host->call_done (call, NULL);
}

static void
reconfigure (void *instance, RagifyCall *call, const RagifyReconfigure *args)
{
  PgvectorStore *store = instance;
  pgvector_store_read_tuning (store);
  store->host->call_done (call, NULL);
}

/* ---- the module ---- */

static const RagifyVectorStoreOperations operations = {
  .struct_size = sizeof operations,
  .upsert = pgvector_upsert,
  .search = pgvector_search,
  .fetch = pgvector_fetch,
  .list = pgvector_list,
  .remove = pgvector_remove,
  .optimize = pgvector_optimize,
  .flush = pgvector_flush,
  .generation = pgvector_generation,
};

static const RagifyComponent store_component = {
  .struct_size = sizeof store_component,
  .flags = RAGIFY_COMPONENT_FILTERS | RAGIFY_COMPONENT_REMOTE,
  .kind = RAGIFY_KIND_VECTOR_STORE,
  .name = "pgvector",
  .summary = "Keeps documents and their vectors in PostgreSQL, where several hosts can share them.",
  .run_class = RAGIFY_RUN_LOOP,
  .schema = { .keys = store_keys, .count = G_N_ELEMENTS (store_keys), .stride = sizeof (RagifyKey) },
  .operations = &operations,
  .create = create_store,
  .start = start,
  .stop = stop,
  .destroy = destroy,
  .probe = pgvector_probe,
  .reconfigure = reconfigure,
  .stats = pgvector_stats,
};

static const RagifyComponent index_component = {
  .struct_size = sizeof index_component,
  .flags = RAGIFY_COMPONENT_FILTERS | RAGIFY_COMPONENT_REMOTE,
  .kind = RAGIFY_KIND_TEXT_INDEX,
  .name = "pgvector",
  .summary = "Finds by words what a pgvector store keeps, in the store's own table.",
  .run_class = RAGIFY_RUN_LOOP,
  .schema = { .keys = index_keys, .count = G_N_ELEMENTS (index_keys), .stride = sizeof (RagifyKey) },
  .operations = &pgvector_text_operations,
  .create = create_index,
  .start = start,
  .stop = stop,
  .destroy = destroy,
  .probe = pgvector_probe,
  .stats = pgvector_stats,
};

static const RagifyComponent *const components[] = { &store_component, &index_component, NULL };

static const RagifyPlugin plugin = {
  .magic = RAGIFY_PLUGIN_MAGIC,
  .abi_major = RAGIFY_ABI_MAJOR,
  .abi_minor_needed = RAGIFY_NEEDS_MINOR,
  .struct_size = sizeof plugin,
  .id = "org.ragify.store-pgvector",
  .version = RAGIFY_VERSION,
  .licence = "MIT",
  .summary = "A vector store and a text index in PostgreSQL with pgvector.",
  .url = "",
  .components = components,
};

const RagifyPlugin *
ragify_plugin_query (void)
{
  return &plugin;
}
