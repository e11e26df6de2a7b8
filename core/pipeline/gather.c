/* Gathering: every passage that a retriever named becomes a candidate, those found by words alone get the cosine of
 * their stored vector, and the lists are fused.
 *
 * SPDX-License-Identifier: MIT
 */
#include <math.h>
#include <string.h>
#include <xxhash.h>

#include "core/pipeline/run.h"

/* Marks of candidates. */
#define MARK_FILTERED 1u /* a retriever that filters by itself named it */
#define MARK_SCORED 2u   /* its store has said its score, or that there is none */

/* Vectors of one holder's candidates, fetched or computed. */
typedef struct {
  RagifyStep step;
  guint16 holder;
  guint32 *candidates;
  guint count;
  union {
    RagifyStoreFetch fetch;
    RagifyEmbedderEmbed embed;
  } arguments;
} VectorStep;

static void fuse (RagifyRun *run);

/* ---- candidates ---- */

static gboolean
is_zero (const RagifyUuid *id)
{
  static const RagifyUuid zero;
  return memcmp (id, &zero, sizeof zero) == 0;
}

/* An id for a source's passage without one: of its holder, document, place and content (UUIDv8, RFC 9562). */
static RagifyUuid
derive_id (const RagifyHolder *holder, const RagifyChunk *chunk)
{
  const RagifyStr document = chunk->document_id.size > 0 ? chunk->document_id : chunk->uri;
  const XXH64_hash_t place = XXH3_64bits_withSeed (document.data, document.size, chunk->ordinal);
  const XXH64_hash_t seed = XXH3_64bits_withSeed (holder->name, strlen (holder->name), place);
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash (&canonical, XXH3_128bits_withSeed (chunk->content.data, chunk->content.size, seed));
  RagifyUuid id;
  memcpy (id.bytes, canonical.digest, sizeof id.bytes);
  id.bytes[6] = (id.bytes[6] & 0x0F) | 0x80;
  id.bytes[8] = (id.bytes[8] & 0x3F) | 0x80;
  return id;
}

float
ragify_source_relevance (const RagifyAsk *ask, const RagifyChunk *chunk, guint rank)
{
  if (ask->place->as.score == RAGIFY_SCORE_SOURCE && (chunk->flags & RAGIFY_CHUNK_SCORED))
    return (float)CLAMP (chunk->score, 0, 1);
  return ragify_rank_relevance (rank);
}

/* Adds one hit; FALSE where the list has named it already. */
static gboolean
add_hit (RagifyRun *run, RagifyAsk *ask, guint place, const RagifyUuid *id, RagifyListHit *hit)
{
  RagifyCandidates *candidates = &run->candidates;
  const RagifyHolder *holder = &run->pipeline->holders[ask->place->holder];
  gboolean is_new;
  const guint32 candidate = ragify_candidates_add (candidates, id, ask->place->holder, &is_new);
  const guint rank = MIN (place + 1, G_MAXUINT16 - 1u);
  if (is_new) {
    candidates->spaces[candidate] = holder->embedder;
    candidates->weights[candidate] = holder->weight;
  }
  candidates->ranks[candidate] = (guint16)MIN (candidates->ranks[candidate], rank);
  if (ask->place->filters)
    candidates->marks[candidate] |= MARK_FILTERED;
  hit->candidate = candidate;
  return is_new || ask->place->as.type != RAGIFY_RETRIEVER_SOURCE;
}

static void
gather_source (RagifyRun *run, RagifyAsk *ask)
{
  const RagifyHolder *holder = &run->pipeline->holders[ask->place->holder];
  guint kept = 0;
  for (guint i = 0; i < ask->found; i++) {
    const RagifyChunk *chunk = ask->chunks[i];
    const RagifyUuid id = is_zero (&chunk->id) ? derive_id (holder, chunk) : chunk->id;
    RagifyListHit *hit = &ask->list[kept];
    if (!add_hit (run, ask, i, &id, hit))
      continue;
    run->candidates.chunks[hit->candidate] = chunk;
    hit->score = ragify_source_relevance (ask, chunk, i + 1);
    kept++;
  }
  ask->found = kept;
}

/* What the store's search has said of a hit that was found by words. */
static void
take_score (RagifyCandidates *candidates, guint32 candidate, float score)
{
  candidates->marks[candidate] |= MARK_SCORED;
  if (score != 0) /* of a chunk without a vector a store gives 0 */
    candidates->cosines[candidate] = score;
}

static void
gather_hits (RagifyRun *run, RagifyAsk *ask)
{
  const gboolean dense = ask->place->as.type == RAGIFY_RETRIEVER_VECTOR_STORE;
  const float *scores =
      ask->scorer != NULL && ask->scorer->scores != NULL ? ask->scorer->scores + ask->scored_from : NULL;
  guint kept = 0;
  for (guint i = 0; i < ask->found; i++) {
    RagifyListHit *hit = &ask->list[kept];
    if (!add_hit (run, ask, i, &ask->hits[i].id, hit))
      continue;
    hit->score = ask->hits[i].score;
    if (dense)
      run->candidates.cosines[hit->candidate] = hit->score;
    else if (scores != NULL)
      take_score (&run->candidates, hit->candidate, scores[i]);
    kept++;
  }
  ask->found = kept;
}

static void
gather_all (RagifyRun *run)
{
  guint total = 0;
  for (guint i = 0; i < run->n_asks; i++)
    total += run->asks[i].found;
  ragify_candidates_init (&run->candidates, run->arena, total);
  for (guint i = 0; i < run->n_asks; i++) {
    RagifyAsk *ask = &run->asks[i];
    ask->list = ragify_arena_alloc (run->arena, MAX (ask->found, 1) * sizeof *ask->list);
    if (ask->place->as.type == RAGIFY_RETRIEVER_SOURCE)
      gather_source (run, ask);
    else
      gather_hits (run, ask);
  }
}

/* ---- vectors of what was found by words ---- */

static void
take_vectors (RagifyRun *run, const VectorStep *step, const RagifyVectors *vectors)
{
  const RagifyHolder *holder = &run->pipeline->holders[step->holder];
  const RagifyVectors *query = &run->embeddings[holder->embedder].vector;
  if (vectors->count != step->count || vectors->dimension != query->dimension) {
    ragify_run_warn (run,
                     ragify_run_text (run, "%s: returned %u vectors of dimension %u, expected %u of %u", holder->name,
                                      vectors->count, vectors->dimension, step->count, query->dimension));
    return;
  }
  ragify_run_near_take (run, step->candidates, step->count, vectors);
  for (guint i = 0; i < step->count; i++) {
    const float cosine = ragify_dot (query->items, vectors->items + (gsize)i * vectors->dimension, vectors->dimension);
    if (cosine != 0) /* of a chunk without a vector a store gives zeros */
      run->candidates.cosines[step->candidates[i]] = cosine;
  }
}

static void
vectors_finished (RagifyStep *at)
{
  VectorStep *step = (VectorStep *)at;
  RagifyRun *run = at->run;
  const void *result = ragify_call_result (at->call);
  ragify_run_stage (run, RAGIFY_STAGE_VECTORS, ragify_call_duration (at->call));
  if (result == NULL) {
    if (!run->cancelled)
      ragify_run_warn (run, ragify_call_message (at->call));
    return;
  }
  if (run->pipeline->holders[step->holder].is_store)
    take_vectors (run, step, &((const RagifyStoreFetchResult *)result)->vectors);
  else
    take_vectors (run, step, &((const RagifyEmbedderEmbedResult *)result)->vectors);
}

static void
fetch_vectors (RagifyRun *run, VectorStep *step)
{
  RagifyUuid *ids = ragify_arena_alloc (run->arena, step->count * sizeof *ids);
  for (guint i = 0; i < step->count; i++)
    ids[i] = run->candidates.ids[step->candidates[i]];
  step->arguments.fetch = (RagifyStoreFetch){ .struct_size = sizeof step->arguments.fetch,
                                              .what = RAGIFY_FETCH_VECTORS,
                                              .ids = { .items = ids, .count = step->count } };
  ragify_run_call (run, &step->step, run->pipeline->holders[step->holder].node, &ragify_operation_store_fetch,
                   &step->arguments, ragify_run_late_deadline (run), vectors_finished);
}

/* Passages of a source that is scored by embedding: the first ones only, each costs as much as a query. */
static void
embed_passages (RagifyRun *run, VectorStep *step)
{
  step->count = MIN (step->count, 2 * run->request->max_chunks);
  RagifyStr *texts = ragify_arena_alloc (run->arena, step->count * sizeof *texts);
  for (guint i = 0; i < step->count; i++)
    texts[i] = run->candidates.chunks[step->candidates[i]]->content;
  step->arguments.embed = (RagifyEmbedderEmbed){ .struct_size = sizeof step->arguments.embed,
                                                 .purpose = RAGIFY_PURPOSE_DOCUMENT,
                                                 .texts = { .items = texts, .count = step->count } };
  const RagifyHolder *holder = &run->pipeline->holders[step->holder];
  ragify_run_call (run, &step->step, run->pipeline->embedders[holder->embedder], &ragify_operation_embedder_embed,
                   &step->arguments, ragify_run_late_deadline (run), vectors_finished);
}

static void
complete_vectors (RagifyRun *run, guint16 holder_index)
{
  const RagifyHolder *holder = &run->pipeline->holders[holder_index];
  const RagifyCandidates *candidates = &run->candidates;
  if (holder->embedder == RAGIFY_NO_EMBEDDER || run->embeddings[holder->embedder].vector.count == 0)
    return;
  VectorStep *step = NULL;
  for (guint32 i = 0; i < candidates->count; i++) {
    if (candidates->holders[i] != holder_index || !isnan (candidates->cosines[i]) ||
        (candidates->marks[i] & MARK_SCORED) != 0)
      continue;
    if (step == NULL) {
      step = ragify_arena_alloc (run->arena, sizeof *step);
      step->holder = holder_index;
      step->candidates = ragify_arena_alloc (run->arena, candidates->count * sizeof *step->candidates);
    }
    step->candidates[step->count++] = i;
  }
  if (step == NULL)
    return;
  if (holder->is_store)
    fetch_vectors (run, step);
  else
    embed_passages (run, step);
}

/* ---- fusion ---- */

static RagifyListType
list_type (const RagifyAsk *ask)
{
  switch (ask->place->as.type) {
  case RAGIFY_RETRIEVER_VECTOR_STORE:
    return RAGIFY_LIST_DENSE;
  case RAGIFY_RETRIEVER_TEXT_INDEX:
    return RAGIFY_LIST_WORDS;
  case RAGIFY_RETRIEVER_SOURCE:
    break;
  }
  return RAGIFY_LIST_SOURCE;
}

/* An operator may have changed it; a balancer's is its own. */
static double
weight_of (const RagifyAsk *ask)
{
  const RagifyRetriever *as = &ask->place->as;
  return as->balancer == NULL && ragify_node_is_changed (as->node) ? ragify_node_weight (as->node) : as->weight;
}

static void
fuse (RagifyRun *run)
{
  const guint64 began = ragify_now ();
  const RagifyPipelineOptions *options = &run->pipeline->options;
  RagifyCandidates *candidates = &run->candidates;
  RagifyList *lists = ragify_arena_alloc (run->arena, MAX (run->n_asks, 1) * sizeof *lists);
  for (guint i = 0; i < run->n_asks; i++)
    lists[i] = (RagifyList){ .type = list_type (&run->asks[i]),
                             .weight = weight_of (&run->asks[i]),
                             .hits = run->asks[i].list,
                             .count = run->asks[i].found };
  const RagifyFuseInput input = {
    .lists = lists,
    .n_lists = run->n_asks,
    .n_candidates = candidates->count,
    .cosines = candidates->cosines,
    .weights = candidates->weights,
    .spaces = candidates->spaces,
    .n_spaces = run->pipeline->n_embedders,
  };
  /* Lexical means by words alone: the cosine is then what relevance_score says, and has no part in the order. */
  const double dense_weight = run->request->mode == RAGIFY_MODE_LEXICAL ? 0 : options->fuse_weight;
  ragify_fuse (options->fuse, dense_weight, options->rrf_k, &input, candidates->fused);
  for (guint32 i = 0; i < candidates->count; i++)
    candidates->fused[i] *= run->pipeline->holders[candidates->holders[i]].authority;
  guint32 *heap = ragify_arena_alloc (run->arena, MAX (candidates->count, 1) * sizeof *heap);
  ragify_ranking_init (&run->ranking, heap, candidates->count, candidates->fused, candidates->ids);
  ragify_run_stage_add (run, RAGIFY_STAGE_FUSE, ragify_now () - began);
  ragify_run_select (run);
}

float
ragify_run_relevance (const RagifyRun *run, guint32 candidate, const char **kind)
{
  const RagifyCandidates *candidates = &run->candidates;
  if (run->reranked != NULL && !isnan (run->reranked[candidate])) {
    *kind = "reranker";
    return run->reranked[candidate];
  }
  if (!isnan (candidates->cosines[candidate])) {
    *kind = "cosine";
    return CLAMP (candidates->cosines[candidate], 0, 1);
  }
  const RagifyChunk *chunk = candidates->chunks[candidate];
  for (guint i = 0; i < run->n_asks; i++)
    if (run->asks[i].place->holder == candidates->holders[candidate] && run->asks[i].chunks != NULL &&
        run->asks[i].place->as.score == RAGIFY_SCORE_SOURCE && (chunk->flags & RAGIFY_CHUNK_SCORED)) {
      *kind = "source";
      return (float)CLAMP (chunk->score, 0, 1);
    }
  *kind = "rank";
  return ragify_rank_relevance (candidates->ranks[candidate]);
}

gboolean
ragify_run_is_filtered (const RagifyRun *run, guint32 candidate)
{
  return (run->candidates.marks[candidate] & MARK_FILTERED) != 0;
}

void
ragify_run_gather (RagifyRun *run)
{
  const guint64 began = ragify_now ();
  gather_all (run);
  ragify_run_near_begin (run);
  ragify_run_begin (run, fuse);
  ragify_run_hold (run);
  for (guint16 i = 0; i < run->pipeline->n_holders; i++)
    complete_vectors (run, i);
  ragify_run_stage_add (run, RAGIFY_STAGE_FUSE, ragify_now () - began);
  ragify_run_release (run);
}
