/* Near-duplicates among what a run has found: vectors of its passages, where they are told apart by them.
 *
 * SPDX-License-Identifier: MIT
 *
 * Vectors that scoring has fetched or computed are used again; those of the rest are asked of the store along with the
 * content. What has none is compared by its words.
 */
#include "core/pipeline/run.h"

/* A stored vector has unit length; one of zeros says that there is none. */
#define LEAST_SQUARE 0.5f

typedef struct {
  RagifyStep step;
  RagifyStoreFetch arguments;
  guint32 *candidates;
  guint16 holder;
} VectorStep;

void
ragify_run_near_begin (RagifyRun *run)
{
  const RagifyPipelineOptions *options = &run->pipeline->options;
  ragify_near_init (&run->near, run->arena, options->near_duplicates, options->near_cosine);
  if (options->near_cosine > 0)
    run->passage_vectors =
        ragify_arena_alloc (run->arena, MAX (run->candidates.count, 1) * sizeof *run->passage_vectors);
}

void
ragify_run_near_take (RagifyRun *run, const guint32 *candidates, guint count, const RagifyVectors *vectors)
{
  if (run->passage_vectors == NULL || vectors->count != count)
    return;
  for (guint i = 0; i < count; i++) {
    const float *vector = vectors->items + (gsize)i * vectors->dimension;
    if (ragify_dot (vector, vector, vectors->dimension) > LEAST_SQUARE)
      run->passage_vectors[candidates[i]] = (RagifyPassageVector){ vector, vectors->dimension };
  }
}

static void
vectors_fetched (RagifyStep *at)
{
  VectorStep *step = (VectorStep *)at;
  RagifyRun *run = at->run;
  const RagifyStoreFetchResult *result = ragify_call_result (at->call);
  if (result != NULL)
    ragify_run_near_take (run, step->candidates, (guint)step->arguments.ids.count, &result->vectors);
  else if (!run->cancelled)
    ragify_run_warn (run, ragify_run_text (run, "%s: near-duplicates are told by their words: %s",
                                           run->pipeline->holders[step->holder].name, ragify_call_message (at->call)));
}

void
ragify_run_near_fetch (RagifyRun *run, guint16 holder_index)
{
  const RagifyCandidates *candidates = &run->candidates;
  const RagifyHolder *holder = &run->pipeline->holders[holder_index];
  if (run->passage_vectors == NULL || !holder->is_store || holder->embedder == RAGIFY_NO_EMBEDDER)
    return;
  VectorStep *step = ragify_arena_alloc (run->arena, sizeof *step);
  RagifyUuid *ids = ragify_arena_alloc (run->arena, MAX (run->n_batch, 1) * sizeof *ids);
  guint count = 0;
  step->holder = holder_index;
  step->candidates = ragify_arena_alloc (run->arena, MAX (run->n_batch, 1) * sizeof *step->candidates);
  for (guint i = 0; i < run->n_batch; i++) {
    const guint32 candidate = run->batch[i].candidate;
    if (candidates->holders[candidate] != holder_index || run->passage_vectors[candidate].items != NULL)
      continue;
    step->candidates[count] = candidate;
    ids[count++] = candidates->ids[candidate];
  }
  if (count == 0)
    return;
  step->arguments = (RagifyStoreFetch){ .struct_size = sizeof step->arguments,
                                        .what = RAGIFY_FETCH_VECTORS,
                                        .ids = { .items = ids, .count = count } };
  ragify_run_call (run, &step->step, holder->node, &ragify_operation_store_fetch, &step->arguments,
                   ragify_run_late_deadline (run), vectors_fetched);
}

gboolean
ragify_run_near_admit (RagifyRun *run, guint32 candidate, RagifyStr content)
{
  if (run->pipeline->options.near_duplicates <= 0)
    return TRUE;
  RagifyNearPassage passage = { .content = content, .space = run->candidates.spaces[candidate] };
  if (run->passage_vectors != NULL) {
    passage.vector = run->passage_vectors[candidate].items;
    passage.dimension = run->passage_vectors[candidate].dimension;
  }
  return ragify_near_admit (&run->near, &passage);
}
