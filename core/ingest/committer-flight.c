/* A batch on its way into the store and the text indexes, beside the embedding of the next one.
 *
 * SPDX-License-Identifier: MIT
 *
 * While it flies the follower belongs to the pilot, a thread; everything else of the committer stays with the
 * committer's own.
 */
#include <string.h>

#include "core/call/operations.h"
#include "core/ingest/committer-private.h"

struct RagifyFlight {
  RagifyCommitter *committer;
  RagifyIngestReport *owner;
  RagifyBatch batch;
  const RagifyStoreUpsert *args;
  RagifyStoreUpsertResult result;
  RagifyIngestReport report; /* its warnings */
  RagifyProblem problem;
  gboolean well;
};

/* The thread that flies: one flight after the other, for as long as the committer lives, so that a host that is written
 * to all the time has as many threads as before. */
struct RagifyPilot {
  pthread_t thread;
  pthread_mutex_t lock;
  pthread_cond_t changed;
  RagifyFlight *flight; /* NULL: it has landed, or there was none; by the lock */
  gboolean over;        /* by the lock */
};

static void
fly (RagifyFlight *flight)
{
  RagifyCommitter *committer = flight->committer;
  RagifyOwner *owner = flight->batch.owner;
  RagifyCall *call = ragify_call_new (owner, &ragify_operation_store_upsert, flight->args,
                                      ragify_now () + RAGIFY_WRITE_TIMEOUT_US, NULL, NULL);
  if (ragify_call_wait (committer->options.store, call) != RAGIFY_OK) {
    ragify_ingest_problem (&flight->problem, ragify_call_code (call), ragify_call_message (call),
                           ragify_call_retry_after (call));
    return;
  }
  flight->result = *(const RagifyStoreUpsertResult *)ragify_call_result (call);
  ragify_follower_update (committer->follower, owner, flight->args->chunks.items, flight->args->chunks.count,
                          &flight->result.removed, &flight->result.generation, &flight->report);
  flight->well = TRUE;
}

static void *
pilot_main (void *data)
{
  RagifyPilot *pilot = data;
  pthread_mutex_lock (&pilot->lock);
  while (!pilot->over) {
    RagifyFlight *flight = pilot->flight;
    if (flight != NULL) {
      pthread_mutex_unlock (&pilot->lock);
      fly (flight);
      pthread_mutex_lock (&pilot->lock);
      pilot->flight = NULL;
      pthread_cond_broadcast (&pilot->changed);
    } else {
      pthread_cond_wait (&pilot->changed, &pilot->lock);
    }
  }
  pthread_mutex_unlock (&pilot->lock);
  return NULL;
}

static RagifyPilot *
pilot_new (void)
{
  RagifyPilot *pilot = g_new0 (RagifyPilot, 1);
  pthread_mutex_init (&pilot->lock, NULL);
  pthread_cond_init (&pilot->changed, NULL);
  g_assert (pthread_create (&pilot->thread, NULL, pilot_main, pilot) == 0);
  pthread_setname_np (pilot->thread, "commit");
  return pilot;
}

static void
pilot_start (RagifyPilot *pilot, RagifyFlight *flight)
{
  pthread_mutex_lock (&pilot->lock);
  pilot->flight = flight;
  pthread_cond_broadcast (&pilot->changed);
  pthread_mutex_unlock (&pilot->lock);
}

static void
pilot_wait (RagifyPilot *pilot)
{
  pthread_mutex_lock (&pilot->lock);
  while (pilot->flight != NULL)
    pthread_cond_wait (&pilot->changed, &pilot->lock);
  pthread_mutex_unlock (&pilot->lock);
}

void
ragify_pilot_free (RagifyPilot *pilot)
{
  if (pilot == NULL)
    return;
  pthread_mutex_lock (&pilot->lock);
  pilot->over = TRUE;
  pthread_cond_broadcast (&pilot->changed);
  pthread_mutex_unlock (&pilot->lock);
  pthread_join (pilot->thread, NULL);
  pthread_cond_destroy (&pilot->changed);
  pthread_mutex_destroy (&pilot->lock);
  g_free (pilot);
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
  if (committer->pilot == NULL)
    committer->pilot = pilot_new ();
  pilot_start (committer->pilot, flight);
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
  pilot_wait (committer->pilot);
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
