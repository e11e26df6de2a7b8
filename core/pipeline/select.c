/* Selecting: the best candidates are fetched batch by batch until the answer is full, each batch being filtered, rid of
 * duplicates, counted and cut. Mostly one batch is enough.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "core/pipeline/filter.h"
#include "core/pipeline/run.h"

#define MAX_BATCH 256
/* Of candidates, so many times the chunks of an answer, that freshness chooses from. */
#define FRESH_SURPLUS 4

/* Contents of one store's candidates. */
typedef struct {
  RagifyStep step;
  RagifyStoreFetch arguments;
  guint32 *candidates;
  guint16 holder;
  guint64 contents; /* the holder's, before it was asked */
} FetchStep;

typedef struct {
  RagifyStep step;
  RagifyEmbedderTokenize arguments;
  RagifyChosen **counted;
} TokenStep;

static void next_batch (RagifyRun *run);
static void screen (RagifyRun *run);
static void accept_batch (RagifyRun *run);

/* ---- passages that answers before have shown ---- */

void
ragify_run_let_go (RagifyRun *run)
{
  for (const RagifyHeld *held = run->held; held != NULL; held = held->next)
    for (guint i = 0; i < held->count; i++)
      ragify_passage_unref (held->passages[i]);
}

static RagifyHeld *
hold_passages (RagifyRun *run)
{
  RagifyHeld *held = ragify_arena_alloc (run->arena, sizeof *held + run->n_batch * sizeof (RagifyPassage *));
  held->next = run->held;
  run->held = held;
  return held;
}

/* Takes what is kept of the batch; the rest has to be fetched. */
static void
recall (RagifyRun *run, guint16 holder, guint64 contents)
{
  RagifyCandidates *candidates = &run->candidates;
  const guint64 now = ragify_now ();
  RagifyHeld *held = hold_passages (run);
  for (guint i = 0; i < run->n_batch; i++) {
    const guint32 candidate = run->batch[i].candidate;
    if (candidates->holders[candidate] != holder)
      continue;
    const RagifyPassage *passage =
        ragify_passages_get (run->pipeline->passages, holder, contents, &candidates->ids[candidate], now);
    if (passage == NULL)
      continue;
    held->passages[held->count++] = passage;
    candidates->chunks[candidate] = &passage->chunk;
  }
}

static void
remember (const RagifyRun *run, const FetchStep *step, const RagifyChunk *chunk)
{
  if (step->contents != 0 && (chunk->flags & (RAGIFY_CHUNK_MISSING | RAGIFY_CHUNK_DELETED)) == 0)
    ragify_passages_put (run->pipeline->passages, step->holder, step->contents, chunk, ragify_now ());
}

/* ---- fetching ---- */

static void
fetched (RagifyStep *at)
{
  FetchStep *step = (FetchStep *)at;
  RagifyRun *run = at->run;
  const RagifyStoreFetchResult *result = ragify_call_result (at->call);
  if (result == NULL) {
    run->lost = TRUE;
    if (!run->cancelled)
      ragify_run_warn (run, ragify_call_message (at->call));
    return;
  }
  for (guint64 i = 0; i < MIN (result->chunks.count, step->arguments.ids.count); i++) {
    const RagifyChunk *chunk =
        (const RagifyChunk *)(const void *)((const char *)result->chunks.items + i * result->chunks.stride);
    run->candidates.chunks[step->candidates[i]] = chunk;
    remember (run, step, chunk);
  }
}

static void
fetch_from (RagifyRun *run, guint16 holder)
{
  const RagifyCandidates *candidates = &run->candidates;
  FetchStep *step = NULL;
  RagifyUuid *ids = NULL;
  guint count = 0;
  /* Before anything is read: what is read is then as new as this says, or newer. */
  const guint64 contents = atomic_load (&run->pipeline->holders[holder].contents);
  if (contents != 0)
    recall (run, holder, contents);
  for (guint i = 0; i < run->n_batch; i++) {
    const guint32 candidate = run->batch[i].candidate;
    if (candidates->holders[candidate] != holder || candidates->chunks[candidate] != NULL)
      continue;
    if (step == NULL) {
      step = ragify_arena_alloc (run->arena, sizeof *step);
      step->holder = holder;
      step->contents = contents;
      step->candidates = ragify_arena_alloc (run->arena, run->n_batch * sizeof *step->candidates);
      ids = ragify_arena_alloc (run->arena, run->n_batch * sizeof *ids);
    }
    step->candidates[count] = candidate;
    ids[count++] = candidates->ids[candidate];
  }
  if (step == NULL)
    return;
  step->arguments = (RagifyStoreFetch){ .struct_size = sizeof step->arguments,
                                        .what = RAGIFY_FETCH_CONTENT | RAGIFY_FETCH_METADATA,
                                        .ids = { .items = ids, .count = count } };
  ragify_run_call (run, &step->step, run->pipeline->holders[holder].node, &ragify_operation_store_fetch,
                   &step->arguments, ragify_run_late_deadline (run), fetched);
}

/* Takes the next candidates that are relevant enough; FALSE when there are none. */
static gboolean
fill_batch (RagifyRun *run, guint wanted)
{
  const char *kind;
  guint32 candidate;
  run->batch = ragify_arena_alloc (run->arena, wanted * sizeof *run->batch);
  run->n_batch = 0;
  const gboolean judged_later = ragify_run_reranks (run);
  while (run->n_batch < wanted && ragify_ranking_next (&run->ranking, &candidate))
    if (judged_later || (double)ragify_run_relevance (run, candidate, &kind) >= run->min_relevance)
      run->batch[run->n_batch++].candidate = candidate;
  run->batch_size = run->n_batch;
  return run->n_batch > 0;
}

/* How many more are looked for. */
static guint
room_left (const RagifyRun *run)
{
  return run->pool_size != 0 ? run->pool_size - run->n_pool : run->request->max_chunks - run->n_chosen;
}

static gboolean
is_full (const RagifyRun *run)
{
  if (run->pool_size != 0)
    return run->n_pool == run->pool_size;
  return run->n_chosen == run->request->max_chunks ||
         (run->request->max_tokens != 0 && run->tokens >= run->request->max_tokens);
}

static void
next_batch (RagifyRun *run)
{
  const guint missing = room_left (run);
  /* What went before fell short, so more of what follows will, too. */
  const gboolean fresh = run->pipeline->options.freshness_half_life_us > 0;
  const guint least = fresh ? MIN (FRESH_SURPLUS * missing, MAX (missing, MAX_BATCH)) : missing;
  const guint wanted = CLAMP (2 * run->batch_size, least, MAX (missing, MAX_BATCH));
  if (run->ordered || is_full (run) || !fill_batch (run, wanted)) {
    if (run->pool_size != 0 && !run->ordered)
      ragify_run_rerank (run);
    else
      ragify_run_complete (run);
    return;
  }
  run->stage_began = ragify_now ();
  ragify_run_begin (run, screen);
  ragify_run_hold (run);
  for (guint16 i = 0; i < run->pipeline->n_holders; i++) {
    if (run->pipeline->holders[i].is_store)
      fetch_from (run, i);
    ragify_run_near_fetch (run, i);
  }
  ragify_run_release (run);
}

/* ---- filtering, duplicates ---- */

/* What a store has found was read later, and may be another's by then: a store that filters looked at what was there
 * when it searched. */
static gboolean
is_allowed (const RagifyRun *run, guint32 candidate)
{
  const RagifyFilter *filter = run->request->filter;
  const RagifyCandidates *candidates = &run->candidates;
  const gboolean read_later = run->pipeline->holders[candidates->holders[candidate]].is_store;
  return filter == NULL || (!read_later && ragify_run_is_filtered (run, candidate)) ||
         ragify_filter_matches (filter, candidates->chunks[candidate]->metadata);
}

static gboolean
belongs (RagifyRun *run, RagifyChosen *entry)
{
  const RagifyChunk *chunk = run->candidates.chunks[entry->candidate];
  if (chunk == NULL || (chunk->flags & (RAGIFY_CHUNK_MISSING | RAGIFY_CHUNK_DELETED)))
    return FALSE;
  if (!is_allowed (run, entry->candidate))
    return FALSE;
  entry->chunk = chunk;
  entry->hash = ragify_dedupe_hash (chunk->content);
  if (run->pipeline->options.dedupe && !ragify_dedupe_admit (&run->dedupe, entry->hash))
    return FALSE;
  return ragify_run_near_admit (run, entry->candidate, chunk->content);
}

/* ---- tokens ---- */

static void
tokens_counted (RagifyStep *at)
{
  TokenStep *step = (TokenStep *)at;
  RagifyRun *run = at->run;
  const RagifyEmbedderTokenizeResult *result = ragify_call_result (at->call);
  if (result == NULL) /* the estimate stays */
    return;
  for (guint64 i = 0; i < MIN (result->counts.count, step->arguments.texts.count); i++) {
    step->counted[i]->tokens = result->counts.items[i];
    ragify_token_counts_put (run->pipeline->token_counts, step->counted[i]->hash, result->counts.items[i]);
  }
}

/* Counts the batch's tokens: mostly remembered ones. */
static void
count_tokens (RagifyRun *run)
{
  const RagifyPipeline *pipeline = run->pipeline;
  TokenStep *step = NULL;
  RagifyStr *texts = NULL;
  guint count = 0;
  for (guint i = 0; i < run->n_batch; i++) {
    RagifyChosen *entry = &run->batch[i];
    if (pipeline->tokenizer != NULL && ragify_token_counts_get (pipeline->token_counts, entry->hash, &entry->tokens))
      continue;
    entry->tokens = ragify_token_estimate (entry->chunk->content.size);
    if (pipeline->tokenizer == NULL)
      continue;
    if (step == NULL) {
      step = ragify_arena_alloc (run->arena, sizeof *step);
      step->counted = ragify_arena_alloc (run->arena, run->n_batch * sizeof (RagifyChosen *));
      texts = ragify_arena_alloc (run->arena, run->n_batch * sizeof *texts);
    }
    step->counted[count] = entry;
    texts[count++] = entry->chunk->content;
  }
  if (step == NULL)
    return;
  step->arguments =
      (RagifyEmbedderTokenize){ .struct_size = sizeof step->arguments, .texts = { .items = texts, .count = count } };
  ragify_run_call (run, &step->step, pipeline->tokenizer, &ragify_operation_embedder_tokenize, &step->arguments,
                   ragify_run_late_deadline (run), tokens_counted);
}

/* The batch's tokens are counted, then it is cut. */
static void
weigh_batch (RagifyRun *run)
{
  run->stage_began = ragify_now ();
  ragify_run_begin (run, accept_batch);
  ragify_run_hold (run);
  count_tokens (run);
  ragify_run_release (run);
}

static void
screen (RagifyRun *run)
{
  ragify_run_stage_add (run, RAGIFY_STAGE_FETCH, ragify_now () - run->stage_began);
  /* With a budget of tokens some will be skipped, so all are counted; otherwise no more than fit. */
  const guint room = run->request->max_tokens != 0 && run->pool_size == 0 ? G_MAXUINT : room_left (run);
  guint kept = 0;
  ragify_run_freshen (run);
  for (guint i = 0; i < run->n_batch && kept < room; i++) {
    if (belongs (run, &run->batch[i]))
      run->batch[kept++] = run->batch[i];
    else
      run->dropped++;
  }
  run->n_batch = kept;
  if (run->pool_size == 0) {
    weigh_batch (run);
    return;
  }
  memcpy (run->pool + run->n_pool, run->batch, kept * sizeof *run->batch);
  run->n_pool += kept;
  next_batch (run);
}

void
ragify_run_cut (RagifyRun *run)
{
  run->ordered = TRUE;
  run->batch = run->pool;
  run->n_batch = run->request->max_tokens != 0 ? run->n_pool : MIN (run->n_pool, run->request->max_chunks);
  weigh_batch (run);
}

static void
accept_batch (RagifyRun *run)
{
  const guint64 budget = run->request->max_tokens != 0 ? run->request->max_tokens : G_MAXUINT64;
  ragify_run_stage_add (run, RAGIFY_STAGE_TOKENS, ragify_now () - run->stage_began);
  for (guint i = 0; i < run->n_batch && run->n_chosen < run->request->max_chunks; i++) {
    if (run->batch[i].tokens > budget - run->tokens)
      continue;
    run->tokens += run->batch[i].tokens;
    run->chosen[run->n_chosen++] = run->batch[i];
  }
  next_batch (run);
}

void
ragify_run_select (RagifyRun *run)
{
  const RagifyRequest *request = run->request;
  run->chosen = ragify_arena_alloc (run->arena, request->max_chunks * sizeof *run->chosen);
  run->pool_size = ragify_run_pool_size (run);
  run->pool = ragify_arena_alloc (run->arena, MAX (run->pool_size, 1) * sizeof *run->pool);
  ragify_dedupe_init (&run->dedupe, run->arena);
  next_batch (run);
}
