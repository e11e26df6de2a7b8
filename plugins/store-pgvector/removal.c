/* Documents and chunks out: see RagifyStoreRemove. */
#include <string.h>

#include "answer.h"
#include "condition.h"

typedef struct Removal {
  guint removed, counter; /* steps */
  RagifyGeneration generation;
  GArray *gone; /* RagifyUuid */
} Removal;

static void
removal_free (gpointer data)
{
  Removal *removal = data;
  g_array_unref (removal->gone);
  g_free (removal);
}

static gboolean
row_of_removal (PgvectorJob *job, guint step, const PGresult *row)
{
  Removal *removal = job->state;
  if (step == removal->removed) {
    const RagifyUuid id = pgvector_read_uuid (row, 0);
    g_array_append_val (removal->gone, id);
  } else if (step == removal->counter) {
    removal->generation = (RagifyGeneration){ job->store->id, (guint64)pgvector_read_int8 (row, 0) };
  }
  return TRUE;
}

static void
finish_removal (PgvectorJob *job)
{
  const Removal *removal = job->state;
  RagifyUuid *removed = pgvector_job_alloc (job, removal->gone->len * sizeof *removed);
  if (removed == NULL)
    return;
  if (removal->gone->len > 0)
    memcpy (removed, removal->gone->data, removal->gone->len * sizeof *removed);
  const RagifyStoreRemoveResult result = { .struct_size = sizeof result,
                                           .generation = removal->generation,
                                           .removed = { removed, removal->gone->len } };
  job->store->host->call_done (job->call, &result);
}

static gboolean
add_filtered (PgvectorJob *job, const RagifyFilter *filter)
{
  char *const *sql = job->store->statements.sql;
  const guint step = pgvector_job_sql (job, NULL);
  g_autoptr (GString) text = g_string_new (sql[PGVECTOR_REMOVE_FILTERED]);
  if (!pgvector_condition_write (job, filter, "c.metadata", text))
    return FALSE;
  g_string_append (text, sql[PGVECTOR_REMOVE_FILTERED_END]);
  pgvector_job_set_sql (job, step, g_string_free (g_steal_pointer (&text), FALSE));
  return TRUE;
}

static gboolean
add_removals (PgvectorJob *job, const RagifyStoreRemove *args)
{
  if (args->ids.count > 0) {
    pgvector_job_step (job, PGVECTOR_REMOVE_IDS);
    pgvector_job_bind_take (job, pgvector_value_uuids (&args->ids));
  }
  if (args->filter != NULL && !add_filtered (job, args->filter))
    return FALSE;
  pgvector_job_step (job, PGVECTOR_REMOVE_EMPTIED);
  pgvector_job_step (job, PGVECTOR_KEEP_STAGED);
  if (args->documents.count == 0)
    return TRUE;
  g_autoptr (GBytes) documents = pgvector_value_texts (&args->documents);
  pgvector_job_step (job, PGVECTOR_REMOVE_DOCUMENT_CHUNKS);
  pgvector_job_bind (job, documents);
  pgvector_job_step (job, PGVECTOR_REMOVE_DOCUMENTS);
  pgvector_job_bind (job, documents);
  return TRUE;
}

static gboolean
add_steps (PgvectorJob *job, const RagifyStoreRemove *args)
{
  Removal *removal = job->state;
  const PgvectorStore *store = job->store;
  pgvector_job_step (job, PGVECTOR_BUMP);
  pgvector_job_bind_take (job, pgvector_value_uuid (&store->id));
  pgvector_job_bind_take (job, pgvector_value_text (ragify_str_from (store->held_fingerprint)));
  if (!add_removals (job, args))
    return FALSE;
  pgvector_job_step (job, PGVECTOR_SETTLE_REMOVAL);
  removal->removed = pgvector_job_step (job, PGVECTOR_READ_REMOVED);
  removal->counter = pgvector_job_step (job, PGVECTOR_TAKE_BACK);
  pgvector_job_step (job, PGVECTOR_TRIM_HISTORY);
  return TRUE;
}

static gboolean
row_of_nothing (PgvectorJob *job, guint step, const PGresult *row)
{
  Removal *removal = job->state;
  removal->generation = (RagifyGeneration){ job->store->id, (guint64)pgvector_read_int8 (row, 1) };
  return TRUE;
}

static void
begin_removal (PgvectorStore *store, RagifyCall *call, const void *data)
{
  const RagifyStoreRemove *args = data;
  const gboolean any = args->ids.count > 0 || args->documents.count > 0 || args->filter != NULL;
  PgvectorJob *job = pgvector_job_new (store, call, !any);
  Removal *removal = g_new0 (Removal, 1);
  removal->gone = g_array_new (FALSE, FALSE, sizeof (RagifyUuid));
  job->state = removal;
  job->free_state = removal_free;
  job->row = any ? row_of_removal : row_of_nothing;
  job->finish = finish_removal;
  if (!any)
    pgvector_job_step (job, PGVECTOR_GENERATION);
  if (any && !add_steps (job, args))
    pgvector_job_fail (job);
  else
    pgvector_job_run (job);
}

void
pgvector_remove (void *instance, RagifyCall *call, const RagifyStoreRemove *args)
{
  pgvector_store_when_open (instance, call, args, begin_removal);
}
