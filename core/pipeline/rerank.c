/* Reranking: the best candidates are gathered, with what they say, judged anew by a reranker, made diverse, and cut.
 *
 * SPDX-License-Identifier: MIT
 *
 * Neither step is essential: where one fails, the order stays as it was, and the answer says so.
 */
#include <math.h>
#include <string.h>

#include "core/pipeline/mmr.h"
#include "core/pipeline/run.h"

/* More multiplications than take a third of a millisecond or so are no work for a loop. */
#define MMR_ON_LOOP 2000000u

typedef struct {
  RagifyStep step;
  RagifyRerank arguments;
} RerankStep;

/* Vectors of one store's passages in the pool. */
typedef struct {
  RagifyStep step;
  RagifyStoreFetch arguments;
  guint16 holder;
  guint *places;
} VectorStep;

/* The computation, which may be on a worker. */
typedef struct {
  RagifyTask task; /* first */
  RagifyRun *run;
  RagifyMmr mmr;
  float *nearest;
  guint *order;
  guint64 began;
} Diversifying;

static void diversify (RagifyRun *run);

guint
ragify_run_pool_size (const RagifyRun *run)
{
  const RagifyPipelineOptions *options = &run->pipeline->options;
  if (options->reranker == NULL && !(options->diversify > 0))
    return 0;
  return MAX (options->rerank_candidates, run->request->max_chunks);
}

gboolean
ragify_run_reranks (const RagifyRun *run)
{
  const RagifyNode *reranker = run->pipeline->options.reranker;
  return reranker != NULL && ragify_node_is_enabled (reranker);
}

/* ---- reranking ---- */

static int
by_score (gconstpointer a, gconstpointer b, gpointer user)
{
  const RagifyChosen *left = a, *right = b;
  const float *scores = user;
  const float l = scores[left->candidate], r = scores[right->candidate];
  return l < r ? 1 : l > r ? -1 : 0;
}

/* What it left out is no part of the answer; what it scored is in that order, equal ones in the former one. */
static void
take_ranks (RagifyRun *run, const RagifyRankList *ranks)
{
  const RagifyCandidates *candidates = &run->candidates;
  float *scores = ragify_arena_alloc (run->arena, candidates->count * sizeof *scores);
  for (guint i = 0; i < candidates->count; i++)
    scores[i] = NAN;
  for (guint64 i = 0; i < ranks->count; i++)
    scores[run->pool[ranks->items[i].index].candidate] = ranks->items[i].score;
  guint kept = 0;
  for (guint i = 0; i < run->n_pool; i++)
    if (!isnan (scores[run->pool[i].candidate]))
      run->pool[kept++] = run->pool[i];
  run->n_pool = kept;
  run->reranked = scores;
  g_qsort_with_data (run->pool, (gint)run->n_pool, sizeof *run->pool, by_score, scores);
}

static void
reranked (RagifyStep *at)
{
  RagifyRun *run = at->run;
  const RagifyRerankResult *result = ragify_call_result (at->call);
  const char *name = ragify_node_name (run->pipeline->options.reranker);
  ragify_run_stage (run, RAGIFY_STAGE_RERANK, ragify_step_duration (at));
  if (result != NULL && result->ranks.count > 0)
    take_ranks (run, &result->ranks);
  else if (!run->cancelled)
    ragify_run_warn (run, ragify_run_text (run, "%s did not rerank: %s", name,
                                           result != NULL ? "it returned no ranks" : ragify_call_message (at->call)));
}

/* Half of what retrieving has left is for the cut and the encoding. */
static guint64
rerank_deadline (const RagifyRun *run, guint64 now)
{
  const guint64 own = run->pipeline->options.rerank_deadline_us;
  const guint64 latest = run->retrieve_deadline + (run->deadline - run->retrieve_deadline) / 2;
  return MIN (own != 0 ? now + own : G_MAXUINT64, latest);
}

static void
ask_reranker (RagifyRun *run)
{
  RagifyNode *reranker = run->pipeline->options.reranker;
  const guint64 now = ragify_now ();
  const guint64 deadline = rerank_deadline (run, now);
  if (now >= deadline) {
    ragify_run_warn (
        run, ragify_run_text (run, "%s did not rerank: no time was left to ask it", ragify_node_name (reranker)));
    return;
  }
  RerankStep *step = ragify_arena_alloc (run->arena, sizeof *step);
  RagifyChunk *chunks = ragify_arena_alloc (run->arena, run->n_pool * sizeof *chunks);
  for (guint i = 0; i < run->n_pool; i++)
    memcpy (&chunks[i], run->pool[i].chunk, MIN (sizeof *chunks, run->pool[i].chunk->struct_size));
  for (guint i = 0; i < run->n_pool; i++)
    chunks[i].struct_size = sizeof *chunks;
  step->arguments = (RagifyRerank){ .struct_size = sizeof step->arguments,
                                    .top_k = run->n_pool,
                                    .query = run->request->query,
                                    .chunks = { .items = chunks, .count = run->n_pool, .stride = sizeof *chunks } };
  ragify_run_call (run, &step->step, reranker, &ragify_operation_reranker_rerank, &step->arguments, deadline, reranked);
}

void
ragify_run_rerank (RagifyRun *run)
{
  ragify_run_begin (run, diversify);
  ragify_run_hold (run);
  if (ragify_run_reranks (run) && run->n_pool > 0 && !run->cancelled)
    ask_reranker (run);
  ragify_run_release (run);
}

/* ---- diversity ---- */

static void
vectors_fetched (RagifyStep *at)
{
  VectorStep *step = (VectorStep *)at;
  RagifyRun *run = at->run;
  const RagifyHolder *holder = &run->pipeline->holders[step->holder];
  const RagifyStoreFetchResult *result = ragify_call_result (at->call);
  if (result == NULL) {
    if (!run->cancelled)
      ragify_run_warn (run,
                       ragify_run_text (run, "%s: not diversified: %s", holder->name, ragify_call_message (at->call)));
    return;
  }
  const RagifyVectors *vectors = &result->vectors;
  if (vectors->count != step->arguments.ids.count)
    return; /* a store without vectors */
  run->dimensions[step->holder] = vectors->dimension;
  for (guint i = 0; i < vectors->count; i++)
    run->vectors[step->places[i]] = vectors->items + (gsize)i * vectors->dimension;
}

static void
fetch_vectors (RagifyRun *run, guint16 holder)
{
  VectorStep *step = NULL;
  RagifyUuid *ids = NULL;
  guint count = 0;
  for (guint i = 0; i < run->n_pool; i++) {
    const guint32 candidate = run->pool[i].candidate;
    if (run->candidates.holders[candidate] != holder)
      continue;
    if (step == NULL) {
      step = ragify_arena_alloc (run->arena, sizeof *step);
      step->holder = holder;
      step->places = ragify_arena_alloc (run->arena, run->n_pool * sizeof *step->places);
      ids = ragify_arena_alloc (run->arena, run->n_pool * sizeof *ids);
    }
    step->places[count] = i;
    ids[count++] = run->candidates.ids[candidate];
  }
  if (step == NULL)
    return;
  step->arguments = (RagifyStoreFetch){ .struct_size = sizeof step->arguments,
                                        .what = RAGIFY_FETCH_VECTORS,
                                        .ids = { .items = ids, .count = count } };
  ragify_run_call (run, &step->step, run->pipeline->holders[holder].node, &ragify_operation_store_fetch,
                   &step->arguments, ragify_run_late_deadline (run), vectors_fetched);
}

static void
take_order (Diversifying *work)
{
  RagifyRun *run = work->run;
  RagifyChosen *ordered = ragify_arena_alloc (run->arena, run->n_pool * sizeof *ordered);
  for (guint i = 0; i < run->n_pool; i++)
    ordered[i] = run->pool[work->order[i]];
  run->pool = ordered;
  ragify_run_stage (run, RAGIFY_STAGE_DIVERSIFY, ragify_now () - work->began);
}

static void
back_home (RagifyTask *task)
{
  Diversifying *work = (Diversifying *)(void *)task;
  take_order (work);
  ragify_run_release (work->run);
}

static void
compute_elsewhere (RagifyTask *task)
{
  Diversifying *work = (Diversifying *)(void *)task;
  ragify_mmr_order (&work->mmr, work->nearest, work->order);
  work->task.run = back_home;
  ragify_loop_post (work->run->request->loop, &work->task);
}

static void
compute (Diversifying *work)
{
  RagifyRun *run = work->run;
  const RagifyMmr *mmr = &work->mmr;
  guint64 largest = 1;
  for (guint i = 0; i < run->pipeline->n_holders; i++)
    largest = MAX (largest, mmr->dimensions[i]);
  ragify_run_begin (run, ragify_run_cut);
  ragify_run_hold (run);
  work->task.run = compute_elsewhere;
  if ((guint64)mmr->count * MIN (mmr->wanted, mmr->count) * largest > MMR_ON_LOOP &&
      ragify_workers_submit (run->pipeline->runtime->workers, &work->task))
    return;
  ragify_mmr_order (mmr, work->nearest, work->order);
  take_order (work);
  ragify_run_release (run);
}

/* The vectors are there. */
static void
choose_diverse (RagifyRun *run)
{
  Diversifying *work = ragify_arena_alloc (run->arena, sizeof *work);
  float *relevances = ragify_arena_alloc (run->arena, run->n_pool * sizeof *relevances);
  guint16 *spaces = ragify_arena_alloc (run->arena, run->n_pool * sizeof *spaces);
  const float *scores = run->reranked != NULL ? run->reranked : run->candidates.fused;
  for (guint i = 0; i < run->n_pool; i++) {
    relevances[i] = scores[run->pool[i].candidate];
    spaces[i] = run->candidates.holders[run->pool[i].candidate];
  }
  /* With a budget of tokens some that are chosen will be left out again. */
  const gboolean all = run->request->max_tokens != 0;
  *work = (Diversifying){ .run = run,
                          .nearest = ragify_arena_alloc (run->arena, run->n_pool * sizeof (float)),
                          .order = ragify_arena_alloc (run->arena, run->n_pool * sizeof (guint)),
                          .began = run->stage_began,
                          .mmr = { .count = run->n_pool,
                                   .relevances = relevances,
                                   .vectors = run->vectors,
                                   .spaces = spaces,
                                   .dimensions = run->dimensions,
                                   .diversify = run->pipeline->options.diversify,
                                   .wanted = all ? run->n_pool : run->request->max_chunks } };
  compute (work);
}

/* Passages below the threshold do not count as said already. */
static void
drop_irrelevant (RagifyRun *run)
{
  const char *kind;
  guint kept = 0;
  for (guint i = 0; i < run->n_pool; i++)
    if ((double)ragify_run_relevance (run, run->pool[i].candidate, &kind) >= run->min_relevance)
      run->pool[kept++] = run->pool[i];
  run->n_pool = kept;
}

static void
diversify (RagifyRun *run)
{
  drop_irrelevant (run);
  if (!(run->pipeline->options.diversify > 0) || run->n_pool < 2) {
    ragify_run_cut (run);
    return;
  }
  run->stage_began = ragify_now ();
  run->vectors = ragify_arena_alloc (run->arena, run->n_pool * sizeof *run->vectors);
  run->dimensions = ragify_arena_alloc (run->arena, run->pipeline->n_holders * sizeof *run->dimensions);
  ragify_run_begin (run, choose_diverse);
  ragify_run_hold (run);
  for (guint16 i = 0; i < run->pipeline->n_holders; i++)
    if (run->pipeline->holders[i].is_store)
      fetch_vectors (run, i);
  ragify_run_release (run);
}
