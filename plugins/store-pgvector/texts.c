/* The text index over the store's own table: it is written with the store, in the same transaction, so its generation
 * is the store's and it never lags behind. */
#include <string.h>

#include "answer.h"
#include "condition.h"

#define MOST_TOP_K 100000u

/* The store has written, or removed, them already. */
static void
accept_upsert (void *instance, RagifyCall *call, const RagifyTextUpsert *args)
{
  const PgvectorStore *store = instance;
  store->host->call_done (call, NULL);
}

static void
accept_remove (void *instance, RagifyCall *call, const RagifyTextRemove *args)
{
  const PgvectorStore *store = instance;
  store->host->call_done (call, NULL);
}

static void
accept (void *instance, RagifyCall *call, const RagifyNothing *args)
{
  const PgvectorStore *store = instance;
  store->host->call_done (call, NULL);
}

/* ---- search ---- */

static void
hits_free (gpointer data)
{
  g_array_unref (data);
}

static gboolean
row_of_hits (PgvectorJob *job, guint step, const PGresult *row)
{
  const RagifyHit hit = { .id = pgvector_read_uuid (row, 0), .score = (float)pgvector_read_float8 (row, 1) };
  g_array_append_vals (job->state, &hit, 1);
  return TRUE;
}

static void
finish_search (PgvectorJob *job)
{
  const GArray *found = job->state;
  RagifyHit *hits = pgvector_job_alloc (job, found->len * sizeof *hits);
  if (hits == NULL)
    return;
  if (found->len > 0)
    memcpy (hits, found->data, found->len * sizeof *hits);
  const RagifyTextSearchResult result = { .struct_size = sizeof result, .hits = { hits, found->len } };
  job->store->host->call_done (job->call, &result);
}

static gboolean
add_search (PgvectorJob *job, const RagifyTextSearch *args)
{
  char *const *sql = job->store->statements.sql;
  if (args->top_k < 1 || args->top_k > MOST_TOP_K)
    return ragify_fault_set (&job->fault, RAGIFY_E_INVALID, "top_k: expected 1 to %u, found %u", MOST_TOP_K,
                             args->top_k);
  const guint step = pgvector_job_sql (job, NULL);
  g_autoptr (GString) text = g_string_new (sql[PGVECTOR_TEXT_SEARCH]);
  pgvector_job_bind_take (job, pgvector_value_text (args->text));
  pgvector_job_bind_take (job, pgvector_value_int8 (args->top_k));
  if (args->filter != NULL) {
    g_string_append (text, " AND ");
    if (!pgvector_condition_write (job, args->filter, "c.metadata", text))
      return FALSE;
  }
  g_string_append (text, sql[PGVECTOR_TEXT_SEARCH_END]);
  pgvector_job_set_sql (job, step, g_string_free (g_steal_pointer (&text), FALSE));
  return TRUE;
}

static void
begin_search (PgvectorStore *store, RagifyCall *call, const void *args)
{
  PgvectorJob *job = pgvector_job_new (store, call, TRUE);
  job->state = g_array_new (FALSE, FALSE, sizeof (RagifyHit));
  job->free_state = hits_free;
  job->row = row_of_hits;
  job->finish = finish_search;
  if (add_search (job, args))
    pgvector_job_run (job);
  else
    pgvector_job_fail (job);
}

static void
search (void *instance, RagifyCall *call, const RagifyTextSearch *args)
{
  pgvector_store_when_open (instance, call, args, begin_search);
}

/* ---- generation ---- */

static gboolean
row_of_generation (PgvectorJob *job, guint step, const PGresult *row)
{
  RagifyTextGeneration *generation = job->state;
  *generation =
      (RagifyTextGeneration){ .struct_size = sizeof *generation,
                              .generation = { pgvector_read_uuid (row, 0), (guint64)pgvector_read_int8 (row, 1) },
                              .chunks = (guint64)pgvector_read_int8 (row, 3) };
  return TRUE;
}

static void
finish_generation (PgvectorJob *job)
{
  RagifyTextGeneration *generation = job->state;
  generation->struct_size = sizeof *generation;
  job->store->host->call_done (job->call, generation);
}

static void
begin_generation (PgvectorStore *store, RagifyCall *call, const void *args)
{
  PgvectorJob *job = pgvector_job_new (store, call, TRUE);
  job->state = g_new0 (RagifyTextGeneration, 1);
  job->free_state = g_free;
  job->row = row_of_generation;
  job->finish = finish_generation;
  pgvector_job_step (job, PGVECTOR_GENERATION);
  pgvector_job_run (job);
}

static void
generation (void *instance, RagifyCall *call, const RagifyNothing *args)
{
  pgvector_store_when_open (instance, call, args, begin_generation);
}

const RagifyTextIndexOperations pgvector_text_operations = {
  .struct_size = sizeof pgvector_text_operations,
  .upsert = accept_upsert,
  .search = search,
  .remove = accept_remove,
  .optimize = accept,
  .flush = accept,
  .generation = generation,
};
