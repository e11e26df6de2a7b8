/* SPDX-License-Identifier: MIT */
#include "core/batch/embed-batcher.h"

#include <pthread.h>
#include <string.h>

#include "core/balance/attempt.h"
#include "core/call/operations.h"

/* Beyond eight short texts a batch gains nothing more (15 % a text with the embedder that ships) and all in it wait
 * longer. */
#define DEFAULT_BATCH 8
/* Calls at once to an embedder that does not run on our workers. */
#define REMOTE_PARALLEL 4

enum { STATE_NEW, STATE_QUEUED, STATE_IN_BATCH, STATE_COMING, STATE_OVER };

struct RagifyEmbedBatcher {
  RagifyNode *embedder;
  guint max_batch, parallel;
  guint64 max_wait_us; /* 0: as long as it takes */
  RagifySeries *batches, *texts, *sizes;
  pthread_mutex_t lock; /* guards what follows, and the states of those who wait */
  guint under_way, queued;
  RagifyEmbedWait *first, *last;
};

struct RagifyEmbedBatch {
  RagifyOwner owner;
  RagifyEmbedBatcher *batcher;
  RagifyLoop *loop;
  RagifyEmbedderEmbed arguments;
  RagifyAttempt attempt;
  RagifyEmbedWait **waits; /* each with a reference to its owner */
  guint count;
};

static void begin_batch (RagifyEmbedBatcher *batcher, RagifyEmbedWait *first, guint count);

/* ---- the queue; locked ---- */

static void
enqueue (RagifyEmbedBatcher *batcher, RagifyEmbedWait *wait)
{
  wait->state = STATE_QUEUED;
  wait->next = NULL;
  wait->previous = batcher->last;
  *(batcher->last != NULL ? &batcher->last->next : &batcher->first) = wait;
  batcher->last = wait;
  batcher->queued++;
}

static void
take_out (RagifyEmbedBatcher *batcher, RagifyEmbedWait *wait)
{
  *(wait->previous != NULL ? &wait->previous->next : &batcher->first) = wait->next;
  *(wait->next != NULL ? &wait->next->previous : &batcher->last) = wait->previous;
  batcher->queued--;
}

/* A share of the queue as a list: so much that all calls at once could empty it. */
static RagifyEmbedWait *
take_share (RagifyEmbedBatcher *batcher, guint *count)
{
  *count = MIN (batcher->max_batch, (batcher->queued + batcher->parallel - 1) / batcher->parallel);
  RagifyEmbedWait *first = batcher->first, *last = NULL;
  for (guint i = 0; i < *count; i++) {
    last = batcher->first;
    last->state = STATE_IN_BATCH;
    take_out (batcher, last);
  }
  if (last != NULL)
    last->next = NULL;
  return *count > 0 ? first : NULL;
}

/* ---- the end of a wait ---- */

static void
finish_wait (RagifyEmbedWait *wait)
{
  RagifyOwner *owner = wait->owner;
  ragify_loop_disarm (wait->loop, &wait->expiry);
  wait->duration = ragify_now () - wait->began;
  wait->done (wait);
  ragify_owner_unref (owner);
}

static void
give_up (RagifyEmbedWait *wait, gint32 code, const char *what)
{
  g_autofree char *text = g_strdup_printf ("%s: embed: %s", ragify_node_name (wait->batcher->embedder), what);
  wait->code = code;
  wait->message = ragify_arena_copy (wait->owner->arena, text, strlen (text));
}

/* Copies what concerns the wait out of its batch. At home. */
static void
take_result (RagifyEmbedWait *wait)
{
  RagifyEmbedBatch *batch = wait->batch;
  const RagifyCall *call = batch->attempt.call;
  const RagifyEmbedderEmbedResult *result = ragify_call_result (call);
  const char *message = ragify_call_message (call);
  wait->code = ragify_call_code (call);
  wait->message = ragify_arena_copy (wait->owner->arena, message, strlen (message));
  if (result != NULL && result->vectors.count == batch->count) {
    const gsize size = result->vectors.dimension * sizeof (float);
    const char *from = (const char *)result->vectors.items + wait->place * size;
    wait->vector =
        (RagifyVectors){ .items = (const float *)(const void *)ragify_arena_copy (wait->owner->arena, from, size),
                         .count = 1,
                         .dimension = result->vectors.dimension };
  } else if (result != NULL)
    give_up (wait, RAGIFY_E_INTERNAL, "returned another number of vectors than texts");
  ragify_owner_unref (&batch->owner);
  wait->batch = NULL;
}

static void
deliver (RagifyEmbedWait *wait)
{
  take_result (wait);
  finish_wait (wait);
}

static void
run_delivery (RagifyTask *task)
{
  deliver ((RagifyEmbedWait *)(void *)((char *)task - G_STRUCT_OFFSET (RagifyEmbedWait, task)));
}

static void
run_leaving (RagifyTask *task)
{
  finish_wait ((RagifyEmbedWait *)(void *)((char *)task - G_STRUCT_OFFSET (RagifyEmbedWait, task)));
}

/* Takes a wait back from the queue or its batch; FALSE when its end is on the way already. */
static gboolean
withdraw (RagifyEmbedWait *wait)
{
  RagifyEmbedBatcher *batcher = wait->batcher;
  pthread_mutex_lock (&batcher->lock);
  const gboolean queued = wait->state == STATE_QUEUED;
  const gboolean open = queued || wait->state == STATE_IN_BATCH;
  if (queued)
    take_out (batcher, wait);
  if (open)
    wait->state = STATE_OVER;
  pthread_mutex_unlock (&batcher->lock);
  if (queued)
    ragify_owner_unref (wait->owner); /* the reference of the batch that it will not be in */
  return open;
}

/* It has waited long enough for a call to end: one more is begun, with who is first in the queue. */
static void
send_anyway (RagifyEmbedBatcher *batcher)
{
  pthread_mutex_lock (&batcher->lock);
  guint count;
  RagifyEmbedWait *first = take_share (batcher, &count);
  if (first != NULL)
    batcher->under_way++;
  pthread_mutex_unlock (&batcher->lock);
  if (first != NULL)
    begin_batch (batcher, first, count);
}

static void
expire (RagifyDeadline *expiry)
{
  RagifyEmbedWait *wait = (RagifyEmbedWait *)(void *)((char *)expiry - G_STRUCT_OFFSET (RagifyEmbedWait, expiry));
  if (expiry->at < wait->deadline) {
    ragify_loop_arm (wait->loop, expiry, wait->deadline);
    send_anyway (wait->batcher); /* the last that is done here: the wait may be over when it returns */
    return;
  }
  if (!withdraw (wait))
    return;
  give_up (wait, RAGIFY_E_TIMEOUT, "no answer within its deadline");
  finish_wait (wait);
}

/* ---- batches ---- */

static void
clear_batch (RagifyOwner *owner)
{
  const RagifyEmbedBatch *batch = (const RagifyEmbedBatch *)owner;
  for (guint i = 0; i < batch->count; i++)
    ragify_owner_unref (batch->waits[i]->owner);
}

/* Marks those who still wait as served; the others are forgotten. Locked. Returns how many are left in `waits`. */
static guint
mark_served (RagifyEmbedBatch *batch, RagifyEmbedWait **served)
{
  guint count = 0;
  for (guint i = 0; i < batch->count; i++) {
    RagifyEmbedWait *wait = batch->waits[i];
    if (wait->state != STATE_IN_BATCH)
      continue;
    wait->state = STATE_COMING;
    wait->batch = batch;
    wait->place = i;
    ragify_owner_ref (&batch->owner);
    served[count++] = wait;
  }
  return count;
}

static void
batch_finished (RagifyAttempt *attempt)
{
  RagifyEmbedBatch *batch = (RagifyEmbedBatch *)(void *)((char *)attempt - G_STRUCT_OFFSET (RagifyEmbedBatch, attempt));
  RagifyEmbedBatcher *batcher = batch->batcher;
  RagifyEmbedWait **served = ragify_arena_alloc (batch->owner.arena, batch->count * sizeof (RagifyEmbedWait *));
  guint share;
  pthread_mutex_lock (&batcher->lock);
  const guint n_served = mark_served (batch, served);
  RagifyEmbedWait *next = take_share (batcher, &share);
  if (next == NULL)
    batcher->under_way--;
  pthread_mutex_unlock (&batcher->lock);

  if (next != NULL)
    begin_batch (batcher, next, share);
  for (guint i = 0; i < n_served; i++) {
    RagifyEmbedWait *wait = served[i];
    if (wait->loop == batch->loop)
      deliver (wait);
    else {
      wait->task.run = run_delivery;
      ragify_loop_post (wait->loop, &wait->task);
    }
  }
}

/* `first`: a list of waits in state IN_BATCH. */
static void
begin_batch (RagifyEmbedBatcher *batcher, RagifyEmbedWait *first, guint count)
{
  RagifyEmbedBatch *batch = (RagifyEmbedBatch *)ragify_owner_new (sizeof *batch, clear_batch);
  RagifyArena *arena = batch->owner.arena;
  RagifyStr *texts = ragify_arena_alloc (arena, count * sizeof *texts);
  guint64 deadline = 0;
  batch->batcher = batcher;
  batch->loop = ragify_loop_current ();
  batch->waits = ragify_arena_alloc (arena, count * sizeof (RagifyEmbedWait *));
  /* Texts are copied: the plugin may read them longer than anybody waits. */
  for (RagifyEmbedWait *wait = first; wait != NULL; wait = wait->next) {
    texts[batch->count] = ragify_str (ragify_arena_copy (arena, wait->text.data, wait->text.size), wait->text.size);
    deadline = MAX (deadline, wait->deadline);
    batch->waits[batch->count++] = wait;
    /* A call is part of one trace: that of the first who has one. */
    if (batch->owner.spot.trace == NULL && wait->owner->spot.trace != NULL)
      batch->owner.spot = (RagifyTraceSpot){ .trace = ragify_trace_ref (wait->owner->spot.trace),
                                             .span = wait->owner->spot.span,
                                             .parent = wait->owner->spot.parent };
  }
  batch->arguments = (RagifyEmbedderEmbed){ .struct_size = sizeof batch->arguments,
                                            .purpose = RAGIFY_PURPOSE_QUERY,
                                            .texts = { .items = texts, .count = count } };
  ragify_series_add (batcher->batches, 1);
  ragify_series_add (batcher->texts, count);
  ragify_series_count (batcher->sizes, count);
  ragify_attempt_begin (&batch->attempt, &batch->owner, batcher->embedder, &ragify_operation_embedder_embed,
                        &batch->arguments, deadline, batch_finished);
  ragify_owner_unref (&batch->owner);
}

RagifyEmbedBatcher *
ragify_embed_batcher_new (RagifyRuntime *runtime, RagifyNode *embedder, guint max_batch, guint64 max_wait_us)
{
  RagifyEmbedBatcher *batcher = g_new0 (RagifyEmbedBatcher, 1);
  const RagifyComponent *component = ragify_node_component (embedder);
  const char *name = ragify_node_name (embedder);
  batcher->embedder = embedder;
  batcher->max_batch = max_batch != 0 ? max_batch : DEFAULT_BATCH;
  batcher->max_wait_us = component->run_class == RAGIFY_RUN_WORKER ? 0 : max_wait_us;
  batcher->parallel = component->run_class == RAGIFY_RUN_WORKER
                          ? CLAMP (component->max_parallel, 1, g_get_num_processors ())
                          : REMOTE_PARALLEL;
  batcher->batches = ragify_metrics_series (runtime->metrics, RAGIFY_SERIES_COUNTER, "ragify_embed_batches_total",
                                            "Calls that embedded queries", "embedder", name, NULL);
  batcher->texts = ragify_metrics_series (runtime->metrics, RAGIFY_SERIES_COUNTER, "ragify_embed_texts_total",
                                          "Queries embedded", "embedder", name, NULL);
  batcher->sizes = ragify_metrics_series (runtime->metrics, RAGIFY_SERIES_SIZES, "ragify_embed_batch_size",
                                          "Queries that one call embedded", "embedder", name, NULL);
  pthread_mutex_init (&batcher->lock, NULL);
  return batcher;
}

static gboolean
is_busy (RagifyEmbedBatcher *batcher)
{
  pthread_mutex_lock (&batcher->lock);
  const gboolean busy = batcher->under_way > 0;
  pthread_mutex_unlock (&batcher->lock);
  return busy;
}

void
ragify_embed_batcher_free (RagifyEmbedBatcher *batcher)
{
  g_warn_if_fail (batcher->first == NULL);
  /* A batch whose texts nobody waits for any more comes to an end at its deadline at the latest. */
  while (is_busy (batcher))
    g_usleep (200);
  pthread_mutex_destroy (&batcher->lock);
  g_free (batcher);
}

void
ragify_embed_batcher_ask (RagifyEmbedBatcher *batcher, RagifyEmbedWait *wait, RagifyOwner *owner, RagifyStr text,
                          guint64 deadline, void (*done) (RagifyEmbedWait *wait))
{
  wait->batcher = batcher;
  wait->owner = ragify_owner_ref (owner);
  ragify_owner_ref (owner); /* the batch's */
  wait->loop = ragify_loop_current ();
  wait->text = text;
  wait->began = ragify_now ();
  wait->deadline = deadline;
  wait->done = done;
  wait->expiry.expired = expire;
  pthread_mutex_lock (&batcher->lock);
  const gboolean idle = batcher->under_way < batcher->parallel;
  if (idle) {
    batcher->under_way++;
    wait->state = STATE_IN_BATCH;
    wait->next = NULL;
  } else
    enqueue (batcher, wait);
  pthread_mutex_unlock (&batcher->lock);
  if (idle)
    begin_batch (batcher, wait, 1);
  else
    ragify_loop_arm (wait->loop, &wait->expiry,
                     batcher->max_wait_us != 0 ? MIN (deadline, wait->began + batcher->max_wait_us) : deadline);
}

void
ragify_embed_wait_leave (RagifyEmbedWait *wait)
{
  if (wait->batcher == NULL || !withdraw (wait))
    return;
  give_up (wait, RAGIFY_E_CANCELLED, "cancelled");
  wait->task.run = run_leaving;
  ragify_loop_post (wait->loop, &wait->task);
}
