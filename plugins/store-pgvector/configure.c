/* The keys, read. */
#include <string.h>

#include "postgres-options.h"
#include "settings.h"
#include "store.h"

static RagifyPostgresPool *
make_pool (PgvectorStore *store, const RagifyInstance *which, RagifyFault *fault)
{
  static const char *const setup[] = { NULL };
  RagifyPostgresPoolOptions options = ragify_postgres_options_read (store->host, store->context, which, fault);
  options.max_queries = 50000;
  options.setup = setup;
  if (options.target == NULL)
    return NULL;
  return ragify_postgres_pool_new (store->host, store->context, &options, fault);
}

void
pgvector_store_read_tuning (PgvectorStore *store)
{
  store->tuning = (PgvectorTuning){ ragify_setting_int (store->host, store->context, "ef-search"),
                                    ragify_setting_int (store->host, store->context, "probes") };
}

static void
read_index (PgvectorStore *store)
{
  g_autofree char *index = ragify_setting_text (store->host, store->context, "index");
  store->index = g_str_equal (index, "hnsw")      ? PGVECTOR_INDEX_HNSW
                 : g_str_equal (index, "ivfflat") ? PGVECTOR_INDEX_IVFFLAT
                                                  : PGVECTOR_INDEX_NONE;
  store->m = ragify_setting_int (store->host, store->context, "m");
  store->ef_construction = ragify_setting_int (store->host, store->context, "ef-construction");
  store->lists = ragify_setting_int (store->host, store->context, "lists");
  store->index_from = ragify_setting_int (store->host, store->context, "index-from");
  pgvector_store_read_tuning (store);
}

gboolean
pgvector_store_configure (PgvectorStore *store, const RagifyInstance *which, RagifyFault *fault)
{
  store->first = which->index == 0;
  store->schema = ragify_setting_text (store->host, store->context, "schema");
  store->table = ragify_setting_text (store->host, store->context, "table");
  if (!pgvector_name_check ("schema", store->schema, fault) || !pgvector_name_check ("table", store->table, fault))
    return FALSE;
  if (store->is_index) {
    store->language = g_strdup ("");
  } else {
    store->language = ragify_setting_text (store->host, store->context, "language");
    read_index (store);
    if (store->ef_construction < 2 * store->m && store->index == PGVECTOR_INDEX_HNSW)
      return ragify_fault_set (fault, RAGIFY_E_INVALID, "ef-construction: expected at least twice m, found %d",
                               (int)store->ef_construction);
  }
  store->pool = make_pool (store, which, fault);
  return store->pool != NULL;
}
