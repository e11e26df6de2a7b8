/* A run and the cache: the key, the answer that is there already, the answer that is kept.
 *
 * SPDX-License-Identifier: MIT
 *
 *   stores' generations recent? ──no──► ask them ─┐
 *                │                                │
 *                ▼                                ▼
 *               key ──► tier ──hit──► answer    (a stale one: renewed in the background)
 *                         │ miss
 *                         ▼
 *                      compute
 */
#include <string.h>

#include "core/cache/key.h"
#include "core/pipeline/request-text.h"
#include "core/pipeline/run.h"

/* How long a request waits for a store's generation; then it goes without the cache. */
#define GENERATION_US (250 * (guint64)1000)

/* ---- the key ---- */

/* After the store's mark was taken. */
static gboolean
is_behind (RagifyHolder *holder)
{
  return atomic_load (&holder->behind) ||
         (holder->is_followed && holder->watch != NULL && ragify_store_watch_is_ahead (holder->watch));
}

/* Puts what keys see of the stores that are asked into the key; FALSE where that is not known. */
static gboolean
add_generations (RagifyRun *run)
{
  run->marks = ragify_arena_alloc (run->arena, MAX (run->pipeline->n_holders, 1) * sizeof *run->marks);
  run->key = run->identity;
  guint64 flight = 0;
  for (guint i = 0; i < run->n_asks; i++) {
    const guint16 holder = run->asks[i].place->holder;
    RagifyStoreWatch *watch = run->pipeline->holders[holder].watch;
    RagifyStoreMark *mark = &run->marks[holder];
    if (watch != NULL && mark->generation == 0) {
      *mark = ragify_store_watch_mark (watch);
      if (mark->generation == 0)
        return FALSE;
      run->key = ragify_key_combine (&run->key, &mark->generation, 1);
      flight = flight * 0x9E3779B97F4A7C15u + mark->deletions;
    }
    if (run->asks[i].place->as.type == RAGIFY_RETRIEVER_TEXT_INDEX)
      run->behind = run->behind || is_behind (&run->pipeline->holders[holder]);
  }
  run->key.flight = flight;
  return TRUE;
}

/* What an operator has changed since the start: who is asked, and what it counts. */
static void
add_changes (const RagifyRun *run, RagifyKeyBuilder *builder)
{
  for (guint i = 0; i < run->n_asks; i++) {
    const RagifyRetriever *as = &run->asks[i].place->as;
    if (as->balancer != NULL || !ragify_node_is_changed (as->node))
      continue;
    ragify_key_add_integer (builder, i << 1 | (ragify_node_is_enabled (as->node) ? 1 : 0));
    ragify_key_add_number (builder, ragify_node_weight (as->node));
  }
}

/* Everything that changes the answer but the query and what the stores hold. */
static void
add_parameters (const RagifyRun *run, RagifyKeyBuilder *builder)
{
  const RagifyRequest *request = run->request;
  ragify_key_add_text (builder, ragify_str_from (run->pipeline->name));
  ragify_key_add_integer (builder, run->pipeline->options.fingerprint);
  ragify_key_add_integer (builder, request->max_chunks | (guint64)request->mode << 32 | (guint64)request->format << 40 |
                                       (guint64)request->explain << 48);
  ragify_key_add_number (builder, request->min_relevance);
  ragify_key_add_integer (builder, request->max_tokens);
  if (request->sources.count > 0 || request->exclude_sources.count > 0) {
    ragify_key_add_texts (builder, request->sources);
    ragify_key_add_texts (builder, request->exclude_sources);
  }
  if (request->filter != NULL || request->search.count > 0) {
    ragify_key_add_filter (builder, request->filter);
    ragify_key_add_pairs (builder, request->search);
  }
  add_changes (run, builder);
}

RagifyTierKey
ragify_run_parameters (const RagifyRun *run)
{
  RagifyKeyBuilder builder;
  ragify_key_begin (&builder);
  add_parameters (run, &builder);
  return ragify_key_finish (&builder);
}

static void
identify (RagifyRun *run)
{
  RagifyKeyBuilder builder;
  ragify_key_begin (&builder);
  ragify_key_add_words (&builder, run->request->query);
  add_parameters (run, &builder);
  run->identity = ragify_key_finish (&builder);
}

/* Where it is asked for often it is worth to be computed in advance. */
static void
count_request (const RagifyRun *run)
{
  RagifyBusiest *busiest = run->pipeline->busiest;
  const guint loop = ragify_loop_index (run->request->loop);
  if (run->request->seen > 0) {
    g_autofree char *known = ragify_request_text (run->request);
    ragify_busiest_add (busiest, &run->identity, run->request->seen, known);
    return;
  }
  if (!ragify_busiest_count (busiest, loop, &run->identity))
    return;
  g_autofree char *text = ragify_request_text (run->request);
  ragify_busiest_describe (busiest, loop, &run->identity, text);
}

/* ---- keeping ---- */

/* Whether those who wait may have an answer that is not kept: not a degraded one when this request was in more of a
 * hurry than they. */
static gboolean
may_be_shared (const RagifyRun *run)
{
  const gboolean hurried = run->deadline - run->request->began < run->pipeline->options.deadline_us;
  return run->leads && !(run->degraded && hurried);
}

void
ragify_run_keep (RagifyRun *run, gsize size)
{
  RagifyTier *tier = run->pipeline->options.tier;
  const RagifyBytes body = { .data = (const uint8_t *)run->body_memory, .size = size };
  RagifyUuid *ids = ragify_arena_alloc (run->arena, MAX (run->n_chosen, 1) * sizeof *ids);
  for (guint i = 0; i < run->n_chosen; i++)
    ids[i] = run->candidates.ids[run->chosen[i].candidate];
  const RagifyUuidList list = { .items = ids, .count = run->n_chosen };
  if (!run->degraded && !run->behind) {
    ragify_tier_set (tier, &run->key, body, list);
    ragify_run_remember (run);
  } else if (may_be_shared (run))
    ragify_tier_share (tier, &run->key, body, list, run->degraded);
  else if (run->leads)
    ragify_tier_abandon (tier, &run->key);
}

/* ---- renewing ---- */

static void
renewed (RagifyRequest *request, const RagifyAnswer *answer, void *user)
{
  RagifyPipeline *pipeline = user;
  if (answer->status != 200)
    g_debug ("pipeline %s: a stale answer could not be renewed", pipeline->name);
  RagifyOwner *owner = &request->owner;
  ragify_background_end (pipeline->background, request);
  ragify_owner_unref (owner);
}

/* Computes the answer anew in the background, with the lead that the run has and for the same key. */
static void
renew (const RagifyRun *run)
{
  RagifyPipeline *pipeline = run->pipeline;
  g_autofree char *text = ragify_request_text (run->request);
  RagifyProblem problem = { 0 };
  RagifyRequest *request = ragify_request_parse_json (text, strlen (text), &problem);
  if (request != NULL)
    request->loop = run->request->loop;
  if (request == NULL || !ragify_background_begin (pipeline->background, request)) {
    g_warn_if_fail (request != NULL);
    ragify_problem_clear (&problem);
    ragify_tier_abandon (pipeline->options.tier, &run->key);
    if (request != NULL)
      ragify_owner_unref (&request->owner);
    return;
  }
  RagifyRun *own = ragify_run_new (pipeline, request, renewed, pipeline);
  own->caches = own->leads = TRUE;
  own->behind = run->behind;
  own->identity = run->identity;
  own->key = run->key;
  own->marks = ragify_arena_alloc (own->arena, MAX (pipeline->n_holders, 1) * sizeof *own->marks);
  memcpy (own->marks, run->marks, pipeline->n_holders * sizeof *own->marks);
  if (ragify_run_choose (own, &problem))
    ragify_run_admit (own);
  else
    ragify_run_finish_problem (own, &problem);
}

/* ---- getting ---- */

void
ragify_run_answer_from_cache (RagifyRun *run, const RagifyTierFound *found, const char *level)
{
  run->envelope = found->envelope;
  run->degraded = found->degraded;
  ragify_run_set_body (run, found->body.data, found->body.size);
  run->answer.status = 200;
  run->answer.content_type = ragify_encode_content_type (run->request);
  run->answer.cache = level;
  ragify_encode_head (run, run->answer.cache, &run->answer.head, &run->answer.head_size);
  ragify_run_observe (run, TRUE);
  ragify_run_finish (run);
}

static void
got (const RagifyTierFound *found, void *user)
{
  RagifyRun *run = user;
  run->get = NULL;
  run->got = TRUE;
  if (found->envelope != NULL) {
    if (found->lead)
      renew (run);
    ragify_run_answer_from_cache (run, found, found->level != NULL ? found->level : "miss");
    return;
  }
  run->leads = found->lead;
  if (found->lead) {
    ragify_run_admit (run);
    return;
  }
  ragify_run_warn (run, "another request computes the same answer and was not done in time");
  ragify_run_finish_unanswered (run, "Timeout", "no answer within the deadline");
}

gboolean
ragify_run_is_valid (const RagifyEnvelope *envelope, void *user)
{
  const RagifyRun *run = user;
  const RagifyPipeline *pipeline = run->pipeline;
  for (guint i = 0; i < pipeline->n_holders; i++)
    if (run->marks[i].generation != 0 &&
        !ragify_store_watch_allows (pipeline->holders[i].watch, &run->marks[i], envelope->ids, envelope->n_ids))
      return FALSE;
  return TRUE;
}

static void
look_up (RagifyRun *run)
{
  const RagifyRequest *request = run->request;
  if (run->caches)
    identify (run);
  if (run->caches && (!request->of_host || request->seen > 0))
    count_request (run);
  run->caches = run->caches && add_generations (run);
  if (!run->caches || request->cache == RAGIFY_CACHE_REFRESH) {
    ragify_run_admit (run);
    return;
  }
  const RagifyTierAsk ask = { .key = run->key,
                              .deadline = run->deadline,
                              .valid = run->pipeline->options.invalidate_every_us > 0 ? ragify_run_is_valid : NULL };
  /* On a hit all is over when this returns, and the caller may have let go of the request. */
  RagifyOwner *owner = ragify_owner_ref (&run->request->owner);
  RagifyTierGet *get = ragify_tier_get (run->pipeline->options.tier, owner, request->loop, &ask, got, run);
  if (!run->got)
    run->get = get;
  ragify_owner_unref (owner);
}

static void
cancelled_at_home (RagifyTask *task)
{
  RagifyRun *run = (RagifyRun *)(void *)((char *)task - G_STRUCT_OFFSET (RagifyRun, task));
  RagifyOwner *owner = &run->request->owner;
  ragify_run_finish_cancelled (run);
  ragify_owner_unref (owner);
}

void
ragify_run_cancel_early (RagifyRun *run)
{
  if (run->get != NULL)
    ragify_tier_cancel (g_steal_pointer (&run->get));
  ragify_owner_ref (&run->request->owner);
  run->task.run = cancelled_at_home;
  ragify_loop_post (run->request->loop, &run->task);
}

/* ---- whether the stores' generations are recent enough ---- */

/* A store that does not tell keeps this request away from the cache. */
static void
refreshed (gboolean known, void *user)
{
  RagifyRun *run = user;
  run->caches = run->caches && known;
  ragify_run_release (run);
}

static void
refresh_generations (RagifyRun *run)
{
  const RagifyPipeline *pipeline = run->pipeline;
  const guint64 deadline = MIN (run->retrieve_deadline, ragify_now () + GENERATION_US);
  ragify_run_begin (run, look_up);
  ragify_run_hold (run);
  for (guint i = 0; i < run->n_asks; i++) {
    const guint16 holder = run->asks[i].place->holder;
    RagifyStoreWatch *watch = pipeline->holders[holder].watch;
    gboolean first = TRUE;
    for (guint k = 0; k < i; k++)
      first = first && run->asks[k].place->holder != holder;
    if (watch == NULL || !first || ragify_store_watch_is_recent (watch))
      continue;
    ragify_run_hold (run);
    ragify_store_watch_refresh (watch, &run->request->owner, deadline, refreshed, run);
  }
  ragify_run_release (run);
}

gboolean
ragify_pipeline_identify (RagifyPipeline *pipeline, RagifyRequest *request, RagifyTierKey *identity, RagifyTierKey *key,
                          RagifyProblem *problem)
{
  RagifyRun *run = ragify_run_new (pipeline, request, NULL, NULL);
  if (pipeline->options.tier == NULL)
    return ragify_problem_set (problem, 422, "Invalid value", "pipeline", "the pipeline '%s' has no cache",
                               pipeline->name);
  if (!ragify_run_choose (run, problem))
    return FALSE;
  identify (run);
  *identity = run->identity;
  if (!add_generations (run))
    return ragify_problem_set (problem, 503, "Store does not answer", NULL,
                               "a store of the pipeline '%s' does not tell its generation", pipeline->name);
  *key = run->key;
  return TRUE;
}

void
ragify_run_begin_cached (RagifyRun *run)
{
  const RagifyPipeline *pipeline = run->pipeline;
  run->caches = pipeline->options.tier != NULL && run->request->cache != RAGIFY_CACHE_BYPASS;
  gboolean recent = TRUE;
  for (guint i = 0; i < run->n_asks && run->caches; i++) {
    RagifyStoreWatch *watch = pipeline->holders[run->asks[i].place->holder].watch;
    if (watch == NULL)
      continue;
    recent = recent && ragify_store_watch_is_recent (watch);
    ragify_store_watch_refresh_early (watch);
  }
  if (recent)
    look_up (run);
  else
    refresh_generations (run);
}
