/* SPDX-License-Identifier: MIT */
#include "core/ingest/lanes.h"

#include <pthread.h>
#include <string.h>

#include "core/call/call-private.h"
#include "core/call/operations.h"
#include "core/ingest/report.h"

/* In one call: little, so that a query does not wait long behind it. Short texts go together, up to so many bytes. */
#define CALL_TEXTS 8u
#define CALL_BYTES 4096u
#define MOST_CALL_TEXTS 32u
#define TIMEOUT_US (120 * (guint64)G_USEC_PER_SEC)
#define LAST_US (2 * (guint64)G_USEC_PER_SEC) /* that a call has when the host is shutting down */

struct RagifyEmbedding {
  RagifyLanes *lanes;
  GArray *wanted; /* RagifyWantedVector */
  gconstpointer group;
  guint begun, under_way; /* texts; calls */
  gboolean failed;
  RagifyProblem problem;
};

struct RagifyLanes {
  RagifyNode *embedder;
  guint count, dimension, max_batch;
  pthread_mutex_t lock; /* guards what follows, and the embeddings */
  pthread_cond_t work, news;
  GQueue waiting; /* RagifyEmbedding: those with texts that are not on their way */
  gsize backlog;  /* bytes of those texts */
  gboolean closing;
  guint64 ends;     /* the host is shutting down: calls are waited for until then; 0: it is not */
  GPtrArray *calls; /* RagifyCall, references: those under way */
  GArray *threads;  /* pthread_t */
};

/* Texts of one call. */
typedef struct Piece {
  RagifyEmbedding *embedding;
  const RagifyWantedVector *wanted;
  guint count;
} Piece;

RagifyLanes *
ragify_lanes_new (RagifyNode *embedder, guint count, guint dimension, guint max_batch)
{
  RagifyLanes *lanes = g_new0 (RagifyLanes, 1);
  lanes->embedder = embedder;
  lanes->count = count;
  lanes->dimension = dimension;
  lanes->max_batch = max_batch > 0 ? MIN (max_batch, MOST_CALL_TEXTS) : MOST_CALL_TEXTS;
  pthread_mutex_init (&lanes->lock, NULL);
  pthread_cond_init (&lanes->work, NULL);
  pthread_cond_init (&lanes->news, NULL);
  g_queue_init (&lanes->waiting);
  lanes->calls = g_ptr_array_new ();
  lanes->threads = g_array_new (FALSE, FALSE, sizeof (pthread_t));
  return lanes;
}

void
ragify_lanes_free (RagifyLanes *lanes)
{
  pthread_mutex_lock (&lanes->lock);
  lanes->closing = TRUE;
  pthread_cond_broadcast (&lanes->work);
  pthread_mutex_unlock (&lanes->lock);
  for (guint i = 0; i < lanes->threads->len; i++)
    pthread_join (g_array_index (lanes->threads, pthread_t, i), NULL);
  g_array_unref (lanes->threads);
  g_ptr_array_unref (lanes->calls);
  pthread_cond_destroy (&lanes->news);
  pthread_cond_destroy (&lanes->work);
  pthread_mutex_destroy (&lanes->lock);
  g_free (lanes);
}

/* ---- one call ---- */

static gsize
size_of (const RagifyEmbedding *embedding, guint index)
{
  return strlen (g_array_index (embedding->wanted, RagifyWantedVector, index).text);
}

/* Copies: an embedder that is too slow reads on when nobody waits any more. */
static const RagifyEmbedderEmbed *
describe (const Piece *piece, RagifyOwner *owner)
{
  RagifyStr *texts = ragify_arena_alloc (owner->arena, piece->count * sizeof *texts);
  RagifyEmbedderEmbed *args = ragify_arena_alloc (owner->arena, sizeof *args);
  for (guint i = 0; i < piece->count; i++) {
    const gsize size = strlen (piece->wanted[i].text);
    texts[i] = ragify_str (ragify_arena_copy (owner->arena, piece->wanted[i].text, size), size);
  }
  *args = (RagifyEmbedderEmbed){ .struct_size = sizeof *args,
                                 .purpose = RAGIFY_PURPOSE_DOCUMENT,
                                 .texts = { texts, piece->count } };
  return args;
}

/* Begins the call and waits for it, where others can tell that they do not have the time. */
static gint32
wait_for (RagifyLanes *lanes, RagifyCall *call)
{
  ragify_call_begin (lanes->embedder, call);
  pthread_mutex_lock (&lanes->lock);
  ragify_call_ref (call);
  g_ptr_array_add (lanes->calls, call);
  if (lanes->ends > 0)
    ragify_call_hurry (call, lanes->ends);
  pthread_mutex_unlock (&lanes->lock);
  const gint32 code = ragify_call_end (call);
  pthread_mutex_lock (&lanes->lock);
  g_ptr_array_remove_fast (lanes->calls, call);
  pthread_mutex_unlock (&lanes->lock);
  ragify_call_unref (call);
  return code;
}

/* Waits for the vectors and copies them to their places. */
static gboolean
embed (RagifyLanes *lanes, const Piece *piece, RagifyProblem *problem)
{
  g_autoptr (RagifyOwner) owner = ragify_owner_new (sizeof (RagifyOwner), NULL);
  RagifyCall *call = ragify_call_new (owner, &ragify_operation_embedder_embed, describe (piece, owner),
                                      ragify_now () + TIMEOUT_US, NULL, NULL);
  const gint32 code = wait_for (lanes, call);
  if (code != RAGIFY_OK)
    return ragify_ingest_problem (problem, code, ragify_call_message (call), ragify_call_retry_after (call));
  const RagifyVectors *made = &((const RagifyEmbedderEmbedResult *)ragify_call_result (call))->vectors;
  if (made->dimension != lanes->dimension || made->count != piece->count)
    return ragify_problem_set (
        problem, 500, "Embedder failed", NULL, "%s returned %u vectors of %u dimensions instead of %u of %u",
        ragify_node_name (lanes->embedder), (guint)made->count, made->dimension, piece->count, lanes->dimension);
  for (guint i = 0; i < piece->count; i++)
    memcpy (piece->wanted[i].vector, made->items + (gsize)i * lanes->dimension, lanes->dimension * sizeof (float));
  return TRUE;
}

/* ---- all of them; with the lock held ---- */

static gboolean
is_over (const RagifyEmbedding *embedding)
{
  return embedding->under_way == 0 && (embedding->failed || embedding->begun == embedding->wanted->len);
}

/* What goes into the next call. */
static Piece
take_piece (RagifyLanes *lanes)
{
  RagifyEmbedding *embedding = g_queue_peek_head (&lanes->waiting);
  const guint first = embedding->begun;
  gsize bytes = 0;
  while (embedding->begun < embedding->wanted->len && embedding->begun - first < lanes->max_batch) {
    const gsize size = size_of (embedding, embedding->begun);
    if (embedding->begun - first >= CALL_TEXTS && bytes + size > CALL_BYTES)
      break;
    bytes += size;
    embedding->begun++;
  }
  embedding->under_way++;
  lanes->backlog -= bytes;
  if (embedding->begun == embedding->wanted->len)
    g_queue_pop_head (&lanes->waiting);
  return (Piece){ embedding, &g_array_index (embedding->wanted, RagifyWantedVector, first), embedding->begun - first };
}

/* What waits still does not have to be embedded any more. */
static void
give_up (RagifyLanes *lanes, RagifyEmbedding *embedding, const RagifyProblem *problem)
{
  for (guint i = embedding->begun; i < embedding->wanted->len; i++)
    lanes->backlog -= size_of (embedding, i);
  embedding->begun = embedding->wanted->len;
  embedding->failed = TRUE;
  ragify_problem_set (&embedding->problem, problem->status, problem->title, NULL, "%s", problem->detail);
  embedding->problem.retry_after = problem->retry_after;
  g_queue_remove (&lanes->waiting, embedding);
}

/* Those of the group that wait; NULL: all. */
static void
give_up_waiting (RagifyLanes *lanes, gconstpointer group, const RagifyProblem *problem)
{
  for (GList *link = lanes->waiting.head, *next; link != NULL; link = next) {
    RagifyEmbedding *embedding = link->data;
    next = link->next;
    if (group == NULL || embedding->group == group)
      give_up (lanes, embedding, problem);
  }
}

static const RagifyProblem shutting_down = { .status = 503,
                                             .title = "Shutting down",
                                             .detail = (char *)"the host is shutting down" };

static void
fail (RagifyLanes *lanes, RagifyEmbedding *embedding, RagifyProblem *problem)
{
  const RagifyProblem *why = lanes->ends > 0 ? &shutting_down : problem;
  if (!embedding->failed)
    give_up (lanes, embedding, why);
  if (embedding->group != NULL)
    give_up_waiting (lanes, embedding->group, why);
  ragify_problem_clear (problem);
}

static void *
run_lane (void *data)
{
  RagifyLanes *lanes = data;
  pthread_mutex_lock (&lanes->lock);
  while (!lanes->closing) {
    if (lanes->waiting.length == 0) {
      pthread_cond_wait (&lanes->work, &lanes->lock);
      continue;
    }
    const Piece piece = take_piece (lanes);
    RagifyProblem problem = { 0 };
    pthread_mutex_unlock (&lanes->lock);
    const gboolean well = embed (lanes, &piece, &problem);
    pthread_mutex_lock (&lanes->lock);
    piece.embedding->under_way--;
    if (!well)
      fail (lanes, piece.embedding, &problem);
    pthread_cond_broadcast (&lanes->news);
  }
  pthread_mutex_unlock (&lanes->lock);
  return NULL;
}

static void
start (RagifyLanes *lanes)
{
  while (lanes->threads->len < lanes->count) {
    pthread_t thread;
    g_assert (pthread_create (&thread, NULL, run_lane, lanes) == 0);
    pthread_setname_np (thread, "ingest-embed");
    g_array_append_val (lanes->threads, thread);
  }
}

/* ---- what others ask ---- */

RagifyEmbedding *
ragify_lanes_add (RagifyLanes *lanes, GArray *wanted, gconstpointer group)
{
  RagifyEmbedding *embedding = g_new0 (RagifyEmbedding, 1);
  *embedding = (RagifyEmbedding){ .lanes = lanes, .wanted = wanted, .group = group };
  pthread_mutex_lock (&lanes->lock);
  for (guint i = 0; i < wanted->len; i++)
    lanes->backlog += size_of (embedding, i);
  if (wanted->len > 0 && lanes->ends > 0) {
    give_up (lanes, embedding, &shutting_down);
  } else if (wanted->len > 0) {
    g_queue_push_tail (&lanes->waiting, embedding);
    start (lanes);
    pthread_cond_broadcast (&lanes->work);
  }
  pthread_mutex_unlock (&lanes->lock);
  return embedding;
}

void
ragify_lanes_drop (RagifyLanes *lanes, gconstpointer group)
{
  static const RagifyProblem unwanted = { .status = 503,
                                          .title = "Given up",
                                          .detail = (char *)"nobody waits for it any more" };
  pthread_mutex_lock (&lanes->lock);
  give_up_waiting (lanes, group, &unwanted);
  pthread_cond_broadcast (&lanes->news);
  pthread_mutex_unlock (&lanes->lock);
}

void
ragify_lanes_hurry (RagifyLanes *lanes)
{
  pthread_mutex_lock (&lanes->lock);
  lanes->ends = ragify_now () + LAST_US;
  give_up_waiting (lanes, NULL, &shutting_down);
  for (guint i = 0; i < lanes->calls->len; i++)
    ragify_call_hurry (g_ptr_array_index (lanes->calls, i), lanes->ends);
  pthread_cond_broadcast (&lanes->news);
  pthread_mutex_unlock (&lanes->lock);
}

void
ragify_lanes_wait (RagifyLanes *lanes, gsize bytes)
{
  pthread_mutex_lock (&lanes->lock);
  while (lanes->backlog > bytes)
    pthread_cond_wait (&lanes->news, &lanes->lock);
  pthread_mutex_unlock (&lanes->lock);
}

gboolean
ragify_embedding_end (RagifyEmbedding *embedding, RagifyProblem *problem)
{
  RagifyLanes *lanes = embedding->lanes;
  pthread_mutex_lock (&lanes->lock);
  while (!is_over (embedding))
    pthread_cond_wait (&lanes->news, &lanes->lock);
  pthread_mutex_unlock (&lanes->lock);
  const gboolean well = !embedding->failed;
  if (!well)
    *problem = embedding->problem;
  g_array_unref (embedding->wanted);
  g_free (embedding);
  return well;
}
