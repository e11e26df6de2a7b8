/* Batches on their way into the store and the text indexes, beside the embedding of the next ones.
 *
 * SPDX-License-Identifier: MIT
 *
 * The pilot, a thread, takes one after the other, in the order in which they were launched: it waits for its vectors
 * and has it written. While there are some the follower belongs to it. Behind one that failed none is written before
 * the committer's own thread, whose everything else is, has heard of it.
 */
#include <string.h>

#include "core/call/operations.h"
#include "core/ingest/committer-private.h"

#define MOST 3u                   /* one is written, one embedded, and one waits for that */
#define BACKLOG_BYTES (64 * 1024) /* of text that waits, when the next batch joins it */

typedef struct Flight {
  RagifyCommitter *committer;
  RagifyIngestReport *owner;
  guint64 number;
  RagifyBatch batch;
  const RagifyStoreUpsert *args;
  RagifyVectorsAhead ahead;
  RagifyStoreUpsertResult result;
  RagifyIngestReport report; /* what it adds to the owner's */
  RagifyProblem problem;
  gboolean well, asked; /* it is committed; the store was asked for it, and knows more than we do */
  gboolean held;        /* not written, since one before it failed */
  gboolean lags;        /* then a text index did */
} Flight;

/* One pilot for as long as the committer lives, so that a host that is written to all the time has as many threads as
 * before. */
struct RagifyConvoy {
  GQueue all; /* Flight, the oldest first; the committer's thread's, as what follows is */
  guint64 launched;
  pthread_t pilot;
  gboolean has_pilot;
  void (*one_is_over) (void *user); /* or NULL */
  void *user;
  pthread_mutex_t lock; /* guards what follows */
  pthread_cond_t changed;
  GQueue waiting; /* Flight: those that the pilot has not taken yet */
  guint64 over;   /* number of the last one that is */
  gboolean broken, closing;
};

RagifyConvoy *
ragify_convoy_new (void)
{
  RagifyConvoy *convoy = g_new0 (RagifyConvoy, 1);
  g_queue_init (&convoy->all);
  g_queue_init (&convoy->waiting);
  pthread_mutex_init (&convoy->lock, NULL);
  pthread_cond_init (&convoy->changed, NULL);
  return convoy;
}

void
ragify_convoy_free (RagifyConvoy *convoy)
{
  pthread_mutex_lock (&convoy->lock);
  convoy->closing = TRUE;
  pthread_cond_broadcast (&convoy->changed);
  pthread_mutex_unlock (&convoy->lock);
  if (convoy->has_pilot)
    pthread_join (convoy->pilot, NULL);
  pthread_cond_destroy (&convoy->changed);
  pthread_mutex_destroy (&convoy->lock);
  g_free (convoy);
}

/* ---- on its thread ---- */

static void
write_flight (Flight *flight)
{
  RagifyCommitter *committer = flight->committer;
  RagifyOwner *owner = flight->batch.owner;
  RagifyCall *call = ragify_call_new (owner, &ragify_operation_store_upsert, flight->args,
                                      ragify_now () + RAGIFY_WRITE_TIMEOUT_US, NULL, NULL);
  flight->asked = TRUE;
  if (ragify_call_wait (committer->options.store, call) != RAGIFY_OK) {
    ragify_ingest_problem (&flight->problem, ragify_call_code (call), ragify_call_message (call),
                           ragify_call_retry_after (call));
    return;
  }
  flight->result = *(const RagifyStoreUpsertResult *)ragify_call_result (call);
  ragify_follower_update (committer->follower, owner, flight->args->chunks.items, flight->args->chunks.count,
                          &flight->result.removed, &flight->result.generation, &flight->report);
  flight->lags = ragify_follower_lags (committer->follower);
  flight->well = TRUE;
}

/* `clear`: all before it are committed. */
static void
fly (Flight *flight, gboolean clear)
{
  const gboolean embedded =
      ragify_committer_end_embedding (flight->committer, &flight->ahead, &flight->report, &flight->problem);
  if (embedded && clear)
    write_flight (flight);
  else
    flight->held = embedded;
}

static void *
pilot_main (void *data)
{
  RagifyConvoy *convoy = data;
  pthread_mutex_lock (&convoy->lock);
  while (!convoy->closing) {
    Flight *flight = g_queue_pop_head (&convoy->waiting);
    if (flight == NULL) {
      pthread_cond_wait (&convoy->changed, &convoy->lock);
      continue;
    }
    const gboolean clear = !convoy->broken;
    pthread_mutex_unlock (&convoy->lock);
    fly (flight, clear);
    pthread_mutex_lock (&convoy->lock);
    convoy->over = flight->number;
    convoy->broken = convoy->broken || !flight->well;
    pthread_cond_broadcast (&convoy->changed);
    pthread_mutex_unlock (&convoy->lock);
    if (convoy->one_is_over != NULL)
      convoy->one_is_over (convoy->user);
    pthread_mutex_lock (&convoy->lock);
  }
  pthread_mutex_unlock (&convoy->lock);
  return NULL;
}

/* ---- on the committer's ---- */

void
ragify_committer_clear_for (RagifyCommitter *committer)
{
  while (committer->convoy->all.length >= MOST)
    ragify_committer_land_first (committer);
  if (committer->lanes != NULL)
    ragify_lanes_wait (committer->lanes, BACKLOG_BYTES);
}

static void
send_off (RagifyConvoy *convoy, Flight *flight)
{
  pthread_mutex_lock (&convoy->lock);
  g_queue_push_tail (&convoy->waiting, flight);
  pthread_cond_broadcast (&convoy->changed);
  pthread_mutex_unlock (&convoy->lock);
  if (convoy->has_pilot)
    return;
  g_assert (pthread_create (&convoy->pilot, NULL, pilot_main, convoy) == 0);
  pthread_setname_np (convoy->pilot, "commit");
  convoy->has_pilot = TRUE;
}

static void
wait_for (RagifyConvoy *convoy, guint64 number)
{
  pthread_mutex_lock (&convoy->lock);
  while (convoy->over < number)
    pthread_cond_wait (&convoy->changed, &convoy->lock);
  pthread_mutex_unlock (&convoy->lock);
}

void
ragify_committer_launch (RagifyCommitter *committer, RagifyBatch *batch, const RagifyStoreUpsert *args,
                         const RagifyVectorsAhead *ahead, RagifyIngestReport *owner)
{
  Flight *flight = g_new0 (Flight, 1);
  flight->committer = committer;
  flight->owner = owner;
  flight->number = ++committer->convoy->launched;
  flight->args = args;
  flight->ahead = *ahead;
  flight->batch = *batch;
  ragify_batch_init (batch); /* the caller clears it in any case */
  ragify_ingest_report_init (&flight->report);
  g_atomic_int_inc (&owner->under_way);
  g_queue_push_tail (&committer->convoy->all, flight);
  send_off (committer->convoy, flight);
}

static void
count (Flight *flight)
{
  RagifyCommitter *committer = flight->committer;
  RagifyIngestReport *report = flight->owner;
  ragify_committer_tell (committer, &flight->result.generation, &flight->result.removed, flight->lags);
  report->documents += flight->batch.documents->len;
  report->chunks += flight->batch.chunks->len;
  report->generation = flight->result.generation;
  committer->written += flight->batch.chunks->len;
  for (guint i = 0; i < flight->report.warnings->len; i++)
    ragify_ingest_report_warn (report, g_ptr_array_index (flight->report.warnings, i));
}

/* One that was held up is written now, unless it is behind one of the same owner that failed. */
static void
write_late (Flight *flight)
{
  if (ragify_ingest_report_is_halted (flight->owner))
    ragify_problem_set (&flight->problem, 503, "Held up", NULL, "what was to be written before it could not be");
  else if (ragify_committer_ask_store (flight->committer, &flight->problem))
    write_flight (flight);
}

static void
land (RagifyCommitter *committer)
{
  Flight *flight = g_queue_pop_head (&committer->convoy->all);
  RagifyIngestReport *owner = flight->owner;
  wait_for (committer->convoy, flight->number);
  if (flight->held)
    write_late (flight);
  owner->embedded += flight->report.embedded;
  owner->reused += flight->report.reused;
  if (flight->well)
    count (flight);
  else if (flight->asked)
    ragify_committer_doubt (committer);
  if (!flight->well)
    ragify_ingest_report_break (owner, &flight->problem);
  ragify_ingest_report_clear (&flight->report);
  ragify_batch_clear (&flight->batch);
  g_free (flight);
  g_atomic_int_add (&owner->under_way, -1); /* from here on it may be gone */
}

/* TRUE once none that is in the air needs to be held up any more. With none in the air nobody else looks at it. */
static gboolean
is_broken (RagifyConvoy *convoy)
{
  pthread_mutex_lock (&convoy->lock);
  const gboolean broken = convoy->broken;
  if (convoy->all.length == 0)
    convoy->broken = FALSE;
  pthread_mutex_unlock (&convoy->lock);
  return broken;
}

gboolean
ragify_committer_land_first (RagifyCommitter *committer)
{
  RagifyConvoy *convoy = committer->convoy;
  if (convoy->all.length == 0)
    return FALSE;
  land (committer);
  while (is_broken (convoy) && convoy->all.length > 0)
    land (committer);
  return TRUE;
}

void
ragify_committer_land (RagifyCommitter *committer)
{
  while (ragify_committer_land_first (committer)) {
  }
}

gboolean
ragify_committer_first_is_over (const RagifyCommitter *committer)
{
  RagifyConvoy *convoy = committer->convoy;
  const Flight *flight = g_queue_peek_head (&convoy->all);
  pthread_mutex_lock (&convoy->lock);
  const gboolean over = flight == NULL || convoy->over >= flight->number;
  pthread_mutex_unlock (&convoy->lock);
  return over;
}

void
ragify_committer_watch (RagifyCommitter *committer, void (*over) (void *user), void *user)
{
  committer->convoy->one_is_over = over;
  committer->convoy->user = user;
}

gboolean
ragify_committer_flies (const RagifyCommitter *committer)
{
  return committer->convoy->all.length > 0;
}

gboolean
ragify_committer_settle (RagifyCommitter *committer, RagifyIngestReport *report, RagifyProblem *problem)
{
  ragify_committer_land (committer);
  if (!ragify_ingest_report_is_halted (report))
    return TRUE;
  if (report->broken.status == 0)
    return ragify_problem_set (problem, 503, "Held up", NULL, "what was to be written before it could not be");
  *problem = report->broken;
  report->broken = (RagifyProblem){ 0 };
  return FALSE;
}

static gboolean
is_among (const GArray *documents, GHashTable *ids)
{
  for (guint i = 0; i < documents->len; i++) {
    const RagifyStr id = g_array_index (documents, RagifyDocument, i).id;
    g_autofree char *text = g_strndup (id.data, id.size);
    if (g_hash_table_contains (ids, text))
      return TRUE;
  }
  return FALSE;
}

gboolean
ragify_committer_flies_with (const RagifyCommitter *committer, RagifyIncoming *const *documents, gsize count_of_all)
{
  g_autoptr (GHashTable) ids = g_hash_table_new (g_str_hash, g_str_equal);
  for (gsize i = 0; i < count_of_all; i++)
    g_hash_table_add (ids, documents[i]->id);
  for (const GList *link = committer->convoy->all.head; link != NULL; link = link->next)
    if (is_among (((const Flight *)link->data)->batch.documents, ids))
      return TRUE;
  return FALSE;
}
