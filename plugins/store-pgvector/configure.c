/* The keys, read. */
#include <string.h>

#include "store.h"

static char *
get_text (const PgvectorStore *store, const char *key)
{
  RagifyStr value = { NULL, 0 };
  store->host->config_string (store->context, key, &value);
  return g_strndup (value.size > 0 ? value.data : "", value.size);
}

static RagifyStr
get_str (const PgvectorStore *store, const char *key)
{
  RagifyStr value = { NULL, 0 };
  store->host->config_string (store->context, key, &value);
  return value;
}

static gint64
get_int (const PgvectorStore *store, const char *key)
{
  int64_t value = 0;
  store->host->config_int (store->context, key, &value);
  return value;
}

static guint64
get_duration (const PgvectorStore *store, const char *key)
{
  uint64_t value = 0;
  store->host->config_duration (store->context, key, &value);
  return value;
}

static RagifyPostgresPool *
make_pool (PgvectorStore *store, const RagifyInstance *which, RagifyFault *fault)
{
  static const char *const setup[] = { NULL };
  uint64_t max_row = 0;
  store->host->config_size (store->context, "max-row", &max_row);
  RagifyPostgresPoolOptions options = {
    .target = ragify_postgres_target_new (get_str (store, "dsn"), get_str (store, "password"), fault),
    .which = which,
    .min_size = (guint)get_int (store, "min-size"),
    .max_size = (guint)get_int (store, "max-size"),
    .max_queries = 50000,
    .max_inactive_us = get_duration (store, "max-inactive-lifetime"),
    .connect_timeout_us = get_duration (store, "connect-timeout"),
    .max_waiting = (guint)get_int (store, "max-waiting"),
    .setup = setup,
    .max_row = max_row,
  };
  if (options.target == NULL)
    return NULL;
  return ragify_postgres_pool_new (store->host, store->context, &options, fault);
}

void
pgvector_store_read_tuning (PgvectorStore *store)
{
  store->tuning = (PgvectorTuning){ get_int (store, "ef-search"), get_int (store, "probes") };
}

static void
read_index (PgvectorStore *store)
{
  g_autofree char *index = get_text (store, "index");
  store->index = g_str_equal (index, "hnsw")      ? PGVECTOR_INDEX_HNSW
                 : g_str_equal (index, "ivfflat") ? PGVECTOR_INDEX_IVFFLAT
                                                  : PGVECTOR_INDEX_NONE;
  store->m = get_int (store, "m");
  store->ef_construction = get_int (store, "ef-construction");
  store->lists = get_int (store, "lists");
  store->index_from = get_int (store, "index-from");
  pgvector_store_read_tuning (store);
}

gboolean
pgvector_store_configure (PgvectorStore *store, const RagifyInstance *which, RagifyFault *fault)
{
  store->first = which->index == 0;
  store->schema = get_text (store, "schema");
  store->table = get_text (store, "table");
  if (!pgvector_name_check ("schema", store->schema, fault) || !pgvector_name_check ("table", store->table, fault))
    return FALSE;
  if (store->is_index) {
    store->language = g_strdup ("");
  } else {
    store->language = get_text (store, "language");
    read_index (store);
    if (store->ef_construction < 2 * store->m && store->index == PGVECTOR_INDEX_HNSW)
      return ragify_fault_set (fault, RAGIFY_E_INVALID, "ef-construction: expected at least twice m, found %d",
                               (int)store->ef_construction);
  }
  store->pool = make_pool (store, which, fault);
  return store->pool != NULL;
}
