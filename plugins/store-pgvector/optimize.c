/* optimize: the index, once it pays. It is built beside reads; writes wait. */
#include <string.h>

#include "answer.h"
#include "job.h"

#define LEAST_LISTS 10
#define MOST_LISTS 32768

typedef struct Optimizing {
  RagifyStoreGeneration numbers;
  gboolean exists;
} Optimizing;

static gboolean
row_of_state (PgvectorJob *job, guint step, const PGresult *row)
{
  Optimizing *state = job->state;
  if (step == 0)
    state->numbers = (RagifyStoreGeneration){ .generation = { job->store->id, (guint64)pgvector_read_int8 (row, 1) },
                                              .documents = (guint64)pgvector_read_int8 (row, 2),
                                              .chunks = (guint64)pgvector_read_int8 (row, 3),
                                              .vectors = (guint64)pgvector_read_int8 (row, 4) };
  else
    state->exists = TRUE;
  return TRUE;
}

/* ---- the second part: making it ---- */

static void
finish_build (PgvectorJob *job)
{
  const Optimizing *state = job->state;
  pgvector_finish_stats (job->store, job->call, &state->numbers);
}

static const char *
name_of_index (const PgvectorStore *store)
{
  return store->index == PGVECTOR_INDEX_HNSW ? "hnsw" : "ivfflat";
}

/* pgvector's advice: a thousandth of the rows up to a million, the root of their number beyond. */
static gint64
lists_for (const PgvectorStore *store, guint64 vectors)
{
  if (store->lists > 0)
    return store->lists;
  gint64 root = 1;
  while ((guint64)(root * root) < vectors)
    root++;
  return CLAMP (vectors <= 1000000 ? (gint64)vectors / 1000 : root, LEAST_LISTS, MOST_LISTS);
}

static char *
make_index (const PgvectorStore *store, guint64 vectors)
{
  g_autofree char *with =
      store->index == PGVECTOR_INDEX_HNSW
          ? g_strdup_printf ("m = %d, ef_construction = %d", (int)store->m, (int)store->ef_construction)
          : g_strdup_printf ("lists = %d", (int)lists_for (store, vectors));
  g_autofree char *template =
      g_strdup_printf ("CREATE INDEX IF NOT EXISTS @index@chunks_%s\" ON @chunks@ USING %s (vector"
                       " @extension@.vector_ip_ops) WITH (%s) WHERE NOT staged",
                       name_of_index (store), name_of_index (store), with);
  return pgvector_store_expand (store, template);
}

static void
build (PgvectorStore *store, RagifyCall *call, const Optimizing *state)
{
  PgvectorJob *job = pgvector_job_new (store, call, FALSE);
  job->state = g_memdup2 (state, sizeof *state);
  job->free_state = g_free;
  job->finish = finish_build;
  pgvector_job_sql (job, make_index (store, state->numbers.vectors));
  pgvector_job_run (job);
}

/* ---- the first: whether it pays ---- */

static void
finish_look (PgvectorJob *job)
{
  PgvectorStore *store = job->store;
  const Optimizing *state = job->state;
  const gboolean pays = store->index != PGVECTOR_INDEX_NONE && store->dimension > 0 &&
                        state->numbers.vectors >= (guint64)store->index_from;
  if (!pays || state->exists)
    pgvector_finish_stats (store, job->call, &state->numbers);
  else
    build (store, job->call, state);
}

static void
begin_optimize (PgvectorStore *store, RagifyCall *call, const void *args)
{
  PgvectorJob *job = pgvector_job_new (store, call, TRUE);
  job->state = g_new0 (Optimizing, 1);
  job->free_state = g_free;
  job->row = row_of_state;
  job->finish = finish_look;
  pgvector_job_step (job, PGVECTOR_GENERATION);
  g_autofree char *name = g_strdup_printf ("%s_chunks_%s", store->table, name_of_index (store));
  pgvector_job_sql (job, g_strdup ("SELECT 1::int8 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
                                   " WHERE n.nspname = $1::text AND c.relname = $2::text"));
  pgvector_job_bind_take (job, pgvector_value_text (ragify_str_from (store->schema)));
  pgvector_job_bind_take (job, pgvector_value_text (ragify_str_from (name)));
  pgvector_job_run (job);
}

void
pgvector_optimize (void *instance, RagifyCall *call, const RagifyStoreOptimize *args)
{
  pgvector_store_when_open (instance, call, args, begin_optimize);
}
