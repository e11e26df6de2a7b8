/* SPDX-License-Identifier: MIT */
#include "core/ingest/reindexer.h"

#include <pthread.h>
#include <string.h>
#include <time.h>

#include "core/call/call-private.h"
#include "core/call/operations.h"
#include "core/ingest/errand.h"

#define STORE_TIMEOUT_US (120 * (guint64)G_USEC_PER_SEC)
#define EMBED_TIMEOUT_US (120 * (guint64)G_USEC_PER_SEC)
#define LAST_US (2 * (guint64)G_USEC_PER_SEC) /* that a call of the embedder has when it is closing */
#define BATCH 64u                             /* chunks between two commits */
#define LAST_ROUNDS 4u                        /* while nobody writes */
#define EMBED_TEXTS 8u                        /* in one call: small, so that a query does not wait long behind it */
#define AGAIN_US (2 * (guint64)G_USEC_PER_SEC)
#define MOST_AGAIN_US (30 * (guint64)G_USEC_PER_SEC)
#define WHOLE_AGAIN_US (10 * (guint64)G_USEC_PER_SEC)

struct RagifyReindexer {
  RagifyRuntime *runtime;
  char *store_name, *former_name, *fingerprint;
  guint dimension;
  RagifyLibrary *library;
  RagifyNode *store, *embedder;
  void (*whole) (void *user);
  void *user;
  pthread_t thread;
  gboolean begun;

  pthread_mutex_t lock; /* guards what follows */
  pthread_cond_t changed;
  gboolean closing, asked, finished;
  const char *state; /* constant */
  char *error;       /* why it does not go on; NULL: it does */
  guint64 done, total;
  guint64 began, began_done; /* monotonic µs, and what there was then */
  RagifyCall *embedding;     /* a call that is under way; NULL: none */
};

/* ---- what others see ---- */

static void
set_error (RagifyReindexer *reindexer, const char *error)
{
  pthread_mutex_lock (&reindexer->lock);
  if (g_strcmp0 (reindexer->error, error) != 0) {
    g_free (reindexer->error);
    reindexer->error = g_strdup (error);
    if (error != NULL)
      g_warning ("%s: reindexing waits: %s", reindexer->store_name, error);
  }
  pthread_mutex_unlock (&reindexer->lock);
}

static void
set_progress (RagifyReindexer *reindexer, const RagifyStoreReindexResult *result)
{
  pthread_mutex_lock (&reindexer->lock);
  reindexer->done = result->done;
  reindexer->total = result->total;
  pthread_mutex_unlock (&reindexer->lock);
}

static void
set_state (RagifyReindexer *reindexer, const char *state)
{
  pthread_mutex_lock (&reindexer->lock);
  reindexer->state = state;
  reindexer->began = ragify_now ();
  reindexer->began_done = reindexer->done;
  pthread_mutex_unlock (&reindexer->lock);
}

json_t *
ragify_reindexer_describe (RagifyReindexer *reindexer)
{
  pthread_mutex_lock (&reindexer->lock);
  const double elapsed = (double)(ragify_now () - reindexer->began) / G_USEC_PER_SEC;
  const guint64 made = reindexer->done - MIN (reindexer->done, reindexer->began_done);
  const double rate = elapsed > 0 ? (double)made / elapsed : 0;
  const gboolean runs = g_str_equal (reindexer->state, "running") && rate > 0;
  json_t *object = json_pack (
      "{s:s, s:s, s:s, s:s, s:I, s:I, s:o, s:o, s:s?}", "store", reindexer->store_name, "state", reindexer->state,
      "embedder", ragify_node_name (reindexer->embedder), "former_embedder", reindexer->former_name, "done",
      (json_int_t)reindexer->done, "total", (json_int_t)reindexer->total, "chunks_per_second",
      runs ? json_real (rate) : json_null (), "seconds_left",
      runs ? json_real ((double)(reindexer->total - MIN (reindexer->total, reindexer->done)) / rate) : json_null (),
      "error", reindexer->error);
  pthread_mutex_unlock (&reindexer->lock);
  return object;
}

const char *
ragify_reindexer_store (const RagifyReindexer *reindexer)
{
  return reindexer->store_name;
}

gboolean
ragify_reindexer_is_finished (RagifyReindexer *reindexer)
{
  pthread_mutex_lock (&reindexer->lock);
  const gboolean finished = reindexer->finished;
  pthread_mutex_unlock (&reindexer->lock);
  return finished;
}

/* ---- waiting ---- */

/* `at` 0: however long it takes. FALSE: it is closing. */
static gboolean
wait_until (RagifyReindexer *reindexer, guint64 at, gboolean for_asking)
{
  const struct timespec until = { .tv_sec = (time_t)(at / G_USEC_PER_SEC),
                                  .tv_nsec = (long)(at % G_USEC_PER_SEC) * 1000 };
  pthread_mutex_lock (&reindexer->lock);
  int late = 0;
  while (!reindexer->closing && late == 0 && !(for_asking && reindexer->asked))
    late = at == 0 ? pthread_cond_wait (&reindexer->changed, &reindexer->lock)
                   : pthread_cond_timedwait (&reindexer->changed, &reindexer->lock, &until);
  const gboolean goes_on = !reindexer->closing;
  pthread_mutex_unlock (&reindexer->lock);
  return goes_on;
}

static gboolean
is_closing (RagifyReindexer *reindexer)
{
  pthread_mutex_lock (&reindexer->lock);
  const gboolean closing = reindexer->closing;
  pthread_mutex_unlock (&reindexer->lock);
  return closing;
}

/* ---- calls ---- */

/* What one round brings to the store, and gets from it. All in the owner's arena. */
typedef struct Round {
  RagifyOwner *owner;
  RagifyStoreReindex args;
  const RagifyStoreReindexResult *result;
} Round;

static Round *
round_new (const RagifyReindexer *reindexer, guint32 flags, guint32 limit)
{
  Round *round = g_new0 (Round, 1);
  round->owner = ragify_owner_new (sizeof (RagifyOwner), NULL);
  const gsize size = strlen (reindexer->fingerprint);
  round->args = (RagifyStoreReindex){
    .struct_size = sizeof round->args,
    .flags = flags,
    .fingerprint = ragify_str (ragify_arena_copy (round->owner->arena, reindexer->fingerprint, size), size),
    .dimension = reindexer->dimension,
    .limit = limit,
  };
  return round;
}

static void
round_free (Round *round)
{
  ragify_owner_unref (round->owner);
  g_free (round);
}

/* FALSE with the reason. */
static gboolean
ask_store (RagifyReindexer *reindexer, Round *round, char **reason)
{
  RagifyStoreReindex *args = ragify_arena_alloc (round->owner->arena, sizeof *args);
  *args = round->args;
  RagifyCall *call = ragify_call_new (round->owner, &ragify_operation_store_reindex, args,
                                      ragify_now () + STORE_TIMEOUT_US, NULL, NULL);
  if (ragify_call_wait (reindexer->store, call) != RAGIFY_OK) {
    *reason = g_strdup (ragify_call_message (call));
    return FALSE;
  }
  round->result = ragify_call_result (call);
  set_progress (reindexer, round->result);
  return TRUE;
}

static const RagifyChunk *
chunk_at (const RagifyChunkList *list, guint64 index)
{
  return (const RagifyChunk *)(const void *)((const char *)list->items + index * list->stride);
}

/* What is embedded of a chunk, as when it was ingested; in the round's arena. */
static RagifyStr
text_of (Round *round, const RagifyChunk *chunk)
{
  g_autofree char *title = g_strndup (chunk->title.size > 0 ? chunk->title.data : "", chunk->title.size);
  g_autofree char *text = ragify_embedded_text (title, chunk->content.data, chunk->content.size);
  return ragify_str (ragify_arena_copy (round->owner->arena, text, strlen (text)), strlen (text));
}

static void
set_embedding (RagifyReindexer *reindexer, RagifyCall *call)
{
  pthread_mutex_lock (&reindexer->lock);
  reindexer->embedding = call;
  if (call != NULL && reindexer->closing)
    ragify_call_hurry (call, ragify_now () + LAST_US);
  pthread_mutex_unlock (&reindexer->lock);
}

/* Begins the call and waits for it, for a moment only where it is closing. */
static gint32
wait_for_embedding (RagifyReindexer *reindexer, RagifyCall *call)
{
  ragify_call_begin (reindexer->embedder, call);
  ragify_call_ref (call);
  set_embedding (reindexer, call);
  const gint32 code = ragify_call_end (call);
  set_embedding (reindexer, NULL);
  ragify_call_unref (call);
  return code;
}

/* One call; its vectors go to their place. */
static gboolean
embed_some (RagifyReindexer *reindexer, Round *round, guint first, guint count, float *vectors, char **reason)
{
  RagifyStr *texts = ragify_arena_alloc (round->owner->arena, count * sizeof *texts);
  for (guint i = 0; i < count; i++)
    texts[i] = text_of (round, chunk_at (&round->result->chunks, first + i));
  RagifyEmbedderEmbed *args = ragify_arena_alloc (round->owner->arena, sizeof *args);
  *args = (RagifyEmbedderEmbed){ .struct_size = sizeof *args,
                                 .purpose = RAGIFY_PURPOSE_DOCUMENT,
                                 .texts = { texts, count } };
  RagifyCall *call = ragify_call_new (round->owner, &ragify_operation_embedder_embed, args,
                                      ragify_now () + EMBED_TIMEOUT_US, NULL, NULL);
  if (wait_for_embedding (reindexer, call) != RAGIFY_OK) {
    *reason = g_strdup (ragify_call_message (call));
    return FALSE;
  }
  const RagifyEmbedderEmbedResult *result = ragify_call_result (call);
  if (result->vectors.dimension != reindexer->dimension || result->vectors.count != count) {
    *reason = g_strdup_printf ("%s returned %u vectors of dimension %u instead of %u of dimension %u",
                               ragify_node_name (reindexer->embedder), result->vectors.count, result->vectors.dimension,
                               count, reindexer->dimension);
    return FALSE;
  }
  memcpy (vectors + (gsize)first * reindexer->dimension, result->vectors.items,
          (gsize)count * reindexer->dimension * sizeof *vectors);
  return TRUE;
}

/* The next round: it brings vectors for what `round` was given. NULL with the reason. */
static Round *
answer_round (RagifyReindexer *reindexer, Round *round, char **reason)
{
  const RagifyChunkList *chunks = &round->result->chunks;
  Round *next = round_new (reindexer, 0, BATCH);
  float *vectors = ragify_arena_alloc (next->owner->arena, chunks->count * reindexer->dimension * sizeof *vectors);
  RagifyUuid *ids = ragify_arena_alloc (next->owner->arena, chunks->count * sizeof *ids);
  for (guint first = 0; first < chunks->count; first += EMBED_TEXTS) {
    const guint count = MIN (EMBED_TEXTS, (guint)chunks->count - first);
    if (is_closing (reindexer) || !embed_some (reindexer, round, first, count, vectors, reason)) {
      round_free (next);
      return NULL;
    }
  }
  for (guint64 i = 0; i < chunks->count; i++)
    ids[i] = chunk_at (chunks, i)->id;
  next->args.ids = (RagifyUuidList){ ids, chunks->count };
  next->args.vectors = (RagifyVectors){ vectors, (guint32)chunks->count, reindexer->dimension };
  next->args.as_of = round->result->generation;
  return next;
}

/* ---- the end ---- */

typedef struct Finishing {
  RagifyErrand errand;
  RagifyReindexer *reindexer;
  gboolean finished;
  char *reason;
} Finishing;

/* The round that may be the last, with the vectors for what is missing; NULL: that was it. */
static Round *
finish_round (Finishing *finishing, Round *round, gboolean goes_on)
{
  if (!ask_store (finishing->reindexer, round, &finishing->reason))
    return NULL;
  finishing->finished = round->result->finished != 0;
  if (finishing->finished || !goes_on || round->result->chunks.count == 0)
    return NULL;
  Round *next = answer_round (finishing->reindexer, round, &finishing->reason);
  if (next != NULL)
    next->args.flags = RAGIFY_REINDEX_FINISH;
  return next;
}

/* Between two writes of the store's one writer: what is missing still is made here, since where documents come all the
 * time some always would be. */
static gboolean
finish_step (RagifyLibraryJob *job, RagifyCommitter *committer)
{
  Finishing *finishing = (Finishing *)job;
  Round *round = round_new (finishing->reindexer, RAGIFY_REINDEX_FINISH, BATCH);
  ragify_committer_land (committer); /* the store takes none of it once it has finished */
  for (guint left = LAST_ROUNDS; round != NULL; left--) {
    Round *next = finish_round (finishing, round, left > 1);
    round_free (round);
    round = next;
  }
  ragify_errand_finish (&finishing->errand);
  return FALSE;
}

/* TRUE: the store's vectors are the new ones. FALSE: some were written meanwhile, or it failed with the reason. */
static gboolean
finish (RagifyReindexer *reindexer, char **reason)
{
  Finishing finishing = { .errand = { .job.step = finish_step, .library = reindexer->library },
                          .reindexer = reindexer };
  const gboolean ran = ragify_errand_run (&finishing.errand, TRUE);
  *reason = ran ? finishing.reason : g_strdup ("the store's writer is closing");
  return finishing.finished;
}

/* Until the store has been started with the new embedder, which ends this thread. */
static void
wait_for_change (RagifyReindexer *reindexer)
{
  pthread_mutex_lock (&reindexer->lock);
  reindexer->finished = TRUE;
  pthread_mutex_unlock (&reindexer->lock);
  set_error (reindexer, NULL);
  set_state (reindexer, "switching");
  do
    reindexer->whole (reindexer->user);
  while (wait_until (reindexer, ragify_now () + WHOLE_AGAIN_US, FALSE));
}

/* ---- the whole ---- */

/* One step. NULL: it failed with the reason, or it is closing, or the end has come. */
static Round *
go_on (RagifyReindexer *reindexer, Round *round, gboolean *finished, char **reason)
{
  if (!ask_store (reindexer, round, reason))
    return NULL;
  if (round->result->chunks.count == BATCH)
    return answer_round (reindexer, round, reason);
  *finished = round->result->finished != 0 || finish (reindexer, reason);
  return *finished || *reason != NULL ? NULL : round_new (reindexer, 0, BATCH);
}

static void
make_vectors (RagifyReindexer *reindexer)
{
  gboolean finished = FALSE;
  guint64 pause = AGAIN_US;
  set_state (reindexer, "running");
  while (!finished && !is_closing (reindexer)) {
    Round *round = round_new (reindexer, 0, BATCH);
    g_autofree char *reason = NULL;
    while (round != NULL && !is_closing (reindexer)) {
      Round *next = go_on (reindexer, round, &finished, &reason);
      round_free (round);
      round = next;
      if (round != NULL) {
        set_error (reindexer, NULL);
        pause = AGAIN_US;
      }
    }
    g_clear_pointer (&round, round_free);
    if (finished || is_closing (reindexer))
      break;
    set_error (reindexer, reason);
    if (!wait_until (reindexer, ragify_now () + pause, FALSE))
      return;
    pause = MIN (2 * pause, MOST_AGAIN_US);
  }
  if (finished)
    wait_for_change (reindexer);
}

static gboolean
is_asked (RagifyReindexer *reindexer)
{
  pthread_mutex_lock (&reindexer->lock);
  const gboolean asked = reindexer->asked;
  pthread_mutex_unlock (&reindexer->lock);
  return asked;
}

/* Until the store has answered, or it is asked for. NULL: it did not. */
static Round *
look_at_last (RagifyReindexer *reindexer)
{
  for (guint64 pause = AGAIN_US; !is_asked (reindexer); pause = MIN (2 * pause, MOST_AGAIN_US)) {
    Round *round = round_new (reindexer, 0, 0);
    g_autofree char *reason = NULL;
    if (ask_store (reindexer, round, &reason)) {
      set_error (reindexer, NULL);
      return round;
    }
    round_free (round);
    set_error (reindexer, reason);
    if (!wait_until (reindexer, ragify_now () + pause, TRUE))
      return NULL;
  }
  return NULL;
}

/* TRUE where something was begun before. */
static gboolean
look (RagifyReindexer *reindexer)
{
  Round *round = look_at_last (reindexer);
  if (round == NULL)
    return FALSE;
  const gboolean goes_on = round->result->done > 0 || round->result->finished != 0;
  if (goes_on)
    g_message ("%s: reindexing for '%s' goes on: %" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT " chunks are done",
               reindexer->store_name, ragify_node_name (reindexer->embedder), round->result->done,
               round->result->total);
  else
    g_warning (
        "%s: its vectors are still those of '%s', which answers go on with; `ragify-ctl reindex %s` makes those of"
        " '%s'",
        reindexer->store_name, reindexer->former_name, reindexer->store_name, ragify_node_name (reindexer->embedder));
  round_free (round);
  return goes_on;
}

/* FALSE: it is closing. */
static gboolean
wait_to_be_asked (RagifyReindexer *reindexer)
{
  pthread_mutex_lock (&reindexer->lock);
  if (!reindexer->asked)
    reindexer->state = "waiting";
  pthread_mutex_unlock (&reindexer->lock);
  return wait_until (reindexer, 0, TRUE);
}

static void *
reindexer_main (void *data)
{
  RagifyReindexer *reindexer = data;
  if (look (reindexer) || wait_to_be_asked (reindexer))
    make_vectors (reindexer);
  return NULL;
}

RagifyReindexer *
ragify_reindexer_new (RagifyRuntime *runtime, const RagifyReindexerOptions *options)
{
  RagifyReindexer *reindexer = g_new0 (RagifyReindexer, 1);
  reindexer->runtime = runtime;
  reindexer->store_name = g_strdup (options->store_name);
  reindexer->former_name = g_strdup (options->former_name);
  reindexer->fingerprint = g_strndup (options->info->fingerprint.data, options->info->fingerprint.size);
  reindexer->dimension = options->info->dimension;
  reindexer->library = options->library;
  reindexer->store = options->store;
  reindexer->embedder = options->embedder;
  reindexer->state = "starting";
  pthread_mutex_init (&reindexer->lock, NULL);
  pthread_condattr_t monotonic;
  pthread_condattr_init (&monotonic);
  pthread_condattr_setclock (&monotonic, CLOCK_MONOTONIC);
  pthread_cond_init (&reindexer->changed, &monotonic);
  pthread_condattr_destroy (&monotonic);
  return reindexer;
}

void
ragify_reindexer_begin (RagifyReindexer *reindexer, void (*whole) (void *user), void *user)
{
  if (reindexer->begun)
    return;
  reindexer->begun = TRUE;
  reindexer->whole = whole;
  reindexer->user = user;
  g_assert (pthread_create (&reindexer->thread, NULL, reindexer_main, reindexer) == 0);
  pthread_setname_np (reindexer->thread, "reindex");
}

void
ragify_reindexer_start (RagifyReindexer *reindexer)
{
  pthread_mutex_lock (&reindexer->lock);
  reindexer->asked = TRUE;
  if (!g_str_equal (reindexer->state, "switching"))
    reindexer->state = "running";
  pthread_cond_broadcast (&reindexer->changed);
  pthread_mutex_unlock (&reindexer->lock);
}

void
ragify_reindexer_free (RagifyReindexer *reindexer)
{
  pthread_mutex_lock (&reindexer->lock);
  reindexer->closing = TRUE;
  if (reindexer->embedding != NULL)
    ragify_call_hurry (reindexer->embedding, ragify_now () + LAST_US);
  pthread_cond_broadcast (&reindexer->changed);
  pthread_mutex_unlock (&reindexer->lock);
  if (reindexer->begun)
    pthread_join (reindexer->thread, NULL);
  pthread_cond_destroy (&reindexer->changed);
  pthread_mutex_destroy (&reindexer->lock);
  g_free (reindexer->store_name);
  g_free (reindexer->former_name);
  g_free (reindexer->fingerprint);
  g_free (reindexer->error);
  g_free (reindexer);
}
