/* A batch on its way into the store and the text indexes, beside the embedding of the next one.
 *
 * SPDX-License-Identifier: MIT
 *
 * While it flies the follower belongs to its thread; everything else of the committer stays with the committer's own.
 */
#include <string.h>

#include "core/call/operations.h"
#include "core/ingest/committer-private.h"

struct RagifyFlight {
  RagifyCommitter *committer;
  RagifyIngestReport *owner;
  RagifyBatch batch;
  const RagifyStoreUpsert *args;
  pthread_t thread;
  RagifyStoreUpsertResult result;
  RagifyIngestReport report; /* its warnings */
  RagifyProblem problem;
  gboolean well;
};

static void *
fly (void *data)
{
  RagifyFlight *flight = data;
  RagifyCommitter *committer = flight->committer;
  RagifyOwner *owner = flight->batch.owner;
  RagifyCall *call = ragify_call_new (owner, &ragify_operation_store_upsert, flight->args,
                                      ragify_now () + RAGIFY_WRITE_TIMEOUT_US, NULL, NULL);
  if (ragify_call_wait (committer->options.store, call) != RAGIFY_OK) {
    ragify_ingest_problem (&flight->problem, ragify_call_code (call), ragify_call_message (call),
                           ragify_call_retry_after (call));
    return NULL;
  }
  flight->result = *(const RagifyStoreUpsertResult *)ragify_call_result (call);
  ragify_follower_update (committer->follower, owner, flight->args->chunks.items, flight->args->chunks.count,
                          &flight->result.removed, &flight->result.generation, &flight->report);
  flight->well = TRUE;
  return NULL;
}

void
ragify_committer_launch (RagifyCommitter *committer, RagifyBatch *batch, const RagifyStoreUpsert *args,
                         RagifyIngestReport *owner)
{
  RagifyFlight *flight = g_new0 (RagifyFlight, 1);
  g_assert (committer->flight == NULL);
  flight->committer = committer;
  flight->owner = owner;
  flight->args = args;
  flight->batch = *batch;
  ragify_batch_init (batch); /* the caller clears it in any case */
  ragify_ingest_report_init (&flight->report);
  committer->flight = flight;
  g_assert (pthread_create (&flight->thread, NULL, fly, flight) == 0);
}

static void
count (RagifyFlight *flight)
{
  RagifyCommitter *committer = flight->committer;
  RagifyIngestReport *report = flight->owner;
  ragify_committer_tell (committer, &flight->result.generation, &flight->result.removed);
  report->documents += flight->batch.documents->len;
  report->chunks += flight->batch.chunks->len;
  report->generation = flight->result.generation;
  committer->written += flight->batch.chunks->len;
  for (guint i = 0; i < flight->report.warnings->len; i++)
    ragify_ingest_report_warn (report, g_ptr_array_index (flight->report.warnings, i));
}

void
ragify_committer_land (RagifyCommitter *committer)
{
  RagifyFlight *flight = g_steal_pointer (&committer->flight);
  if (flight == NULL)
    return;
  pthread_join (flight->thread, NULL);
  if (flight->well) {
    count (flight);
  } else {
    ragify_committer_doubt (committer);
    ragify_problem_clear (&flight->owner->broken);
    flight->owner->broken = flight->problem;
  }
  ragify_ingest_report_clear (&flight->report);
  ragify_batch_clear (&flight->batch);
  g_free (flight);
}

gboolean
ragify_committer_settle (RagifyCommitter *committer, RagifyIngestReport *report, RagifyProblem *problem)
{
  ragify_committer_land (committer);
  if (report->broken.status == 0)
    return TRUE;
  *problem = report->broken;
  report->broken = (RagifyProblem){ 0 };
  return FALSE;
}

gboolean
ragify_committer_flies_with (const RagifyCommitter *committer, RagifyIncoming *const *documents, gsize count_of_all)
{
  g_autoptr (GHashTable) ids = g_hash_table_new (g_str_hash, g_str_equal);
  if (committer->flight == NULL)
    return FALSE;
  for (gsize i = 0; i < count_of_all; i++)
    g_hash_table_add (ids, documents[i]->id);
  const GArray *under_way = committer->flight->batch.documents;
  for (guint i = 0; i < under_way->len; i++) {
    const RagifyStr id = g_array_index (under_way, RagifyDocument, i).id;
    g_autofree char *text = g_strndup (id.data, id.size);
    if (g_hash_table_contains (ids, text))
      return TRUE;
  }
  return FALSE;
}
