/* The stage between embedding and asking: a query that means the same may have been answered already.
 *
 * SPDX-License-Identifier: MIT
 *
 * The embedding is awaited first, so that what is found saves everything after it; what needs no embedding starts that
 * much later than without this stage.
 */
#include "core/cache/key.h"
#include "core/pipeline/run.h"

gboolean
ragify_run_is_semantic (const RagifyRun *run)
{
  const RagifyPipeline *pipeline = run->pipeline;
  return pipeline->semantic != NULL && run->caches && run->request->cache == RAGIFY_CACHE_USE &&
         !run->request->of_host && run->embeddings[0].wanted;
}

/* What an answer is kept under besides its query: parameters, and what the stores hold. */
static RagifyTierKey
scope_of (const RagifyRun *run)
{
  RagifyTierKey scope = ragify_run_parameters (run);
  for (guint i = 0; i < run->pipeline->n_holders; i++)
    if (run->marks[i].generation != 0)
      scope = ragify_key_combine (&scope, &run->marks[i].generation, 1);
  return scope;
}

void
ragify_run_remember (const RagifyRun *run)
{
  const RagifyPipeline *pipeline = run->pipeline;
  if (pipeline->semantic == NULL || run->embeddings == NULL || run->n_chosen == 0 ||
      run->embeddings[0].vector.count != 1)
    return;
  const RagifyTierKey scope = scope_of (run);
  ragify_semantic_add (pipeline->semantic, &scope, &run->embeddings[0].vector, &run->key);
}

static void
got (const RagifyTierFound *found, void *user)
{
  RagifyRun *run = user;
  RagifyPipeline *pipeline = run->pipeline;
  run->get = NULL;
  run->got = TRUE;
  if (found->envelope != NULL) {
    ragify_series_add (pipeline->semantic_hits, 1);
    if (run->leads)
      ragify_tier_pass_on (pipeline->options.tier, &run->key, found->envelope, "semantic");
    run->leads = FALSE;
    ragify_run_answer_from_cache (run, found, "semantic");
    return;
  }
  ragify_series_add (pipeline->semantic_misses, 1);
  ragify_semantic_forget (pipeline->semantic, &run->semantic_key);
  ragify_run_ask_all (run);
}

static void
look_up (RagifyRun *run)
{
  RagifyPipeline *pipeline = run->pipeline;
  const RagifyVectors *vector = &run->embeddings[0].vector;
  double cosine = 0;
  const RagifyTierKey scope = scope_of (run);
  if (vector->count != 1 || !ragify_semantic_find (pipeline->semantic, &scope, vector,
                                                   pipeline->options.semantic_threshold, &run->semantic_key, &cosine)) {
    ragify_series_add (pipeline->semantic_misses, 1);
    ragify_run_ask_all (run);
    return;
  }
  const RagifyTierAsk ask = {
    .key = run->semantic_key, .deadline = run->retrieve_deadline, .peek = TRUE, .valid = ragify_run_is_valid
  };
  RagifyOwner *owner = ragify_owner_ref (&run->request->owner);
  run->got = FALSE;
  RagifyTierGet *get = ragify_tier_get (pipeline->options.tier, owner, run->request->loop, &ask, got, run);
  if (!run->got)
    run->get = get;
  ragify_owner_unref (owner);
}

void
ragify_run_semantic (RagifyRun *run)
{
  ragify_run_begin (run, look_up);
  ragify_run_hold (run);
  ragify_run_embed (run, 0);
  ragify_run_release (run);
}
