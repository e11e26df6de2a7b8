/* SPDX-License-Identifier: MIT */
#include "core/pipeline/pipeline.h"

#include <string.h>

#include "core/pipeline/run.h"

#define DEFAULT_DEADLINE_US (30 * (guint64)G_USEC_PER_SEC)
#define DEFAULT_CANDIDATES 200
#define DEFAULT_RRF_K 60
#define DEFAULT_WAVE 10
#define BUSIEST_PLACES 1024 /* for each loop: what makes up a thousandth of its requests is among them */
#define DEFAULT_AT_ONCE 10
#define DEFAULT_RERANKED 100
#define DEFAULT_CHUNKS 10
/* Of the whole deadline, what retrieving leaves for what follows: a tenth, inside these bounds. */
#define RESERVE_MIN_US 1000
#define RESERVE_MAX_US 50000

/* ---- load ---- */

static guint16
place_of_embedder (RagifyPipeline *pipeline, RagifyNode *node)
{
  if (node == NULL)
    return RAGIFY_NO_EMBEDDER;
  for (guint16 i = 0; i < pipeline->n_embedders; i++)
    if (pipeline->embedders[i] == node)
      return i;
  pipeline->embedders[pipeline->n_embedders] = node;
  return pipeline->n_embedders++;
}

static guint16
place_of_holder (RagifyPipeline *pipeline, RagifyNode *node, const char *name)
{
  for (guint16 i = 0; i < pipeline->n_holders; i++)
    if (pipeline->holders[i].node == node && strcmp (pipeline->holders[i].name, name) == 0)
      return i;
  pipeline->holders[pipeline->n_holders] =
      (RagifyHolder){ .node = node, .name = name, .embedder = RAGIFY_NO_EMBEDDER, .weight = 1, .authority = 1 };
  return pipeline->n_holders++;
}

static void
add_retriever (RagifyPipeline *pipeline, const RagifyRetriever *from)
{
  RagifyRetrieverPlace *place = &pipeline->retrievers[pipeline->n_retrievers++];
  const gboolean source = from->type == RAGIFY_RETRIEVER_SOURCE;
  const RagifyComponent *component = ragify_node_component (from->node);
  const gboolean wants = source && (component->flags & RAGIFY_COMPONENT_WANTS_EMBEDDING) != 0;
  RagifyNode *embedder = source && !wants && from->score != RAGIFY_SCORE_EMBED ? NULL : from->embedder;
  RagifyNode *holding = source || from->store == NULL ? from->node : from->store;
  const char *balancer = from->balancer != NULL ? ragify_balancer_name (from->balancer) : NULL;
  *place = (RagifyRetrieverPlace){
    .as = *from,
    .name = balancer != NULL ? balancer : ragify_node_name (from->node),
    .holder = place_of_holder (pipeline, holding, balancer != NULL ? balancer : ragify_node_name (holding)),
    .embedder = place_of_embedder (pipeline, embedder),
    .waits = embedder != NULL && (wants || from->type == RAGIFY_RETRIEVER_VECTOR_STORE),
    .filters = (component->flags & RAGIFY_COMPONENT_FILTERS) != 0,
  };
  RagifyHolder *holder = &pipeline->holders[place->holder];
  holder->is_store = !source;
  if (from->type == RAGIFY_RETRIEVER_TEXT_INDEX && (component->flags & RAGIFY_COMPONENT_REMOTE) == 0)
    holder->is_followed = (ragify_node_component (holder->node)->flags & RAGIFY_COMPONENT_REMOTE) != 0;
  if (!source && pipeline->options.passage_bytes > 0 &&
      (ragify_node_component (holder->node)->flags & RAGIFY_COMPONENT_EXCLUSIVE) != 0)
    holder->contents = 1;
  if (place->embedder != RAGIFY_NO_EMBEDDER && (!source || from->score == RAGIFY_SCORE_EMBED))
    holder->embedder = place->embedder;
  if (from->type != RAGIFY_RETRIEVER_TEXT_INDEX)
    holder->weight = (float)from->weight;
  if (from->authority > 0 && from->type != RAGIFY_RETRIEVER_TEXT_INDEX)
    holder->authority = (float)from->authority;
  if (holder->source_type == NULL && (from->type != RAGIFY_RETRIEVER_TEXT_INDEX || from->source_type != NULL))
    holder->source_type = g_strdup (from->source_type);
}

/* What an index finds is scored by the vectors of its store, also where only the store's own entry names the embedder.
 */
static void
settle_retrievers (RagifyPipeline *pipeline)
{
  for (guint i = 0; i < pipeline->n_retrievers; i++) {
    RagifyRetrieverPlace *place = &pipeline->retrievers[i];
    RagifyHolder *holder = &pipeline->holders[place->holder];
    if (place->as.type == RAGIFY_RETRIEVER_TEXT_INDEX)
      place->embedder = holder->embedder;
    if (holder->source_type == NULL)
      holder->source_type = g_strdup (holder->is_store ? "vector" : "document");
  }
  for (guint i = 0; i < pipeline->n_embedders && pipeline->tokenizer == NULL; i++) {
    const RagifyEmbedderOperations *operations = ragify_node_component (pipeline->embedders[i])->operations;
    if (operations->tokenize != NULL)
      pipeline->tokenizer = pipeline->embedders[i];
  }
}

static void
add_metrics (RagifyPipeline *pipeline)
{
  RagifyMetrics *metrics = pipeline->runtime->metrics;
  const char *name = pipeline->name;
  g_autofree char *operation = g_strdup_printf ("context %s", name);
  if (pipeline->runtime->tracker != NULL)
    pipeline->tracked = ragify_tracker_operation (pipeline->runtime->tracker, operation);
  for (guint i = 0; i < RAGIFY_N_STAGES; i++)
    pipeline->stages[i] =
        ragify_metrics_series (metrics, RAGIFY_SERIES_HISTOGRAM, "ragify_stage_duration_seconds",
                               "Time in a stage of a pipeline", "pipeline", name, "stage", ragify_stage_names[i], NULL);
  const char *help = "Time from a request's arrival to its answer";
  pipeline->hit_duration = ragify_metrics_series (metrics, RAGIFY_SERIES_HISTOGRAM, "ragify_request_duration_seconds",
                                                  help, "pipeline", name, "cache", "hit", NULL);
  pipeline->miss_duration = ragify_metrics_series (metrics, RAGIFY_SERIES_HISTOGRAM, "ragify_request_duration_seconds",
                                                   help, "pipeline", name, "cache", "miss", NULL);
  pipeline->degraded = ragify_metrics_series (metrics, RAGIFY_SERIES_COUNTER, "ragify_degraded_answers_total",
                                              "Answers that lack something that was asked", "pipeline", name, NULL);
  pipeline->semantic_hits =
      ragify_metrics_series (metrics, RAGIFY_SERIES_COUNTER, "ragify_cache_semantic_hits_total",
                             "Answers to another query, which means the same", "pipeline", name, NULL);
  pipeline->semantic_misses =
      ragify_metrics_series (metrics, RAGIFY_SERIES_COUNTER, "ragify_cache_semantic_misses_total",
                             "Queries that meant the same as none that was kept", "pipeline", name, NULL);
  pipeline->failed = ragify_metrics_series (metrics, RAGIFY_SERIES_COUNTER, "ragify_failed_requests_total",
                                            "Requests that nothing could answer", "pipeline", name, NULL);
  for (guint i = 0; i < pipeline->n_retrievers; i++) {
    RagifyRetrieverPlace *place = &pipeline->retrievers[i];
    place->duration =
        ragify_metrics_series (metrics, RAGIFY_SERIES_HISTOGRAM, "ragify_source_duration_seconds",
                               "Time that a source took to answer", "pipeline", name, "source", place->name, NULL);
    place->chunks =
        ragify_metrics_series (metrics, RAGIFY_SERIES_COUNTER, "ragify_source_chunks_total",
                               "Passages that a source came with", "pipeline", name, "source", place->name, NULL);
    for (guint state = 0; state < RAGIFY_N_ASK_STATES; state++)
      place->states[state] = ragify_metrics_series (metrics, RAGIFY_SERIES_COUNTER, "ragify_source_requests_total",
                                                    "How a source answered", "pipeline", name, "source", place->name,
                                                    "status", ragify_ask_state_names[state], NULL);
  }
}

static void
add_watches (RagifyPipeline *pipeline)
{
  if (pipeline->options.tier == NULL)
    return;
  pipeline->background = ragify_background_new ();
  if (pipeline->options.semantic_threshold > 0 && pipeline->n_embedders > 0)
    pipeline->semantic = ragify_semantic_new (pipeline->options.semantic_entries);
  pipeline->busiest = ragify_busiest_new (pipeline->runtime->n_loops, BUSIEST_PLACES);
  for (guint i = 0; i < pipeline->n_holders; i++) {
    RagifyHolder *holder = &pipeline->holders[i];
    const RagifyStoreWatchOptions options = { .store = holder->node,
                                              .invalidate_every_us = pipeline->options.invalidate_every_us,
                                              .max_staleness_us = pipeline->options.max_staleness_us };
    if (holder->is_store)
      holder->watch = ragify_store_watch_new (&options);
  }
}

static RagifyEmbedBatcher *
new_batcher (RagifyRuntime *runtime, RagifyNode *embedder, const RagifyPipelineOptions *options)
{
  guint user = 0;
  while (user < options->n_retrievers && options->retrievers[user].embedder != embedder)
    user++;
  const RagifyRetriever *retriever = &options->retrievers[MIN (user, options->n_retrievers - 1)];
  return ragify_embed_batcher_new (runtime, embedder, retriever->embed_batch, retriever->embed_wait_us);
}

static void
add_limiter (RagifyPipeline *pipeline)
{
  const RagifyPipelineOptions *options = &pipeline->options;
  if (options->max_concurrent == 0)
    return;
  g_autofree char *scope = g_strdup_printf ("pipeline %s", pipeline->name);
  const RagifyLimiterOptions limiter = { .scope = scope,
                                         .limit = options->max_concurrent,
                                         .queue = options->queue,
                                         .queue_timeout_us = options->queue_timeout_us,
                                         .adaptive = options->adaptive,
                                         .metrics = pipeline->runtime->metrics };
  pipeline->limiter = ragify_limiter_new (&limiter);
}

RagifyPipeline *
ragify_pipeline_new (RagifyRuntime *runtime, const RagifyPipelineOptions *options)
{
  RagifyPipeline *pipeline = g_new0 (RagifyPipeline, 1);
  pipeline->runtime = runtime;
  pipeline->name = g_strdup (options->name);
  pipeline->options = *options;
  pipeline->options.name = pipeline->name;
  pipeline->options.retrievers = NULL;
  if (options->deadline_us == 0)
    pipeline->options.deadline_us = DEFAULT_DEADLINE_US;
  if (options->fuse_candidates == 0)
    pipeline->options.fuse_candidates = DEFAULT_CANDIDATES;
  if (options->rrf_k == 0)
    pipeline->options.rrf_k = DEFAULT_RRF_K;
  if (options->source_batch == 0)
    pipeline->options.source_batch = DEFAULT_WAVE;
  if (options->max_at_once == 0)
    pipeline->options.max_at_once = DEFAULT_AT_ONCE;
  if (options->rerank_candidates == 0)
    pipeline->options.rerank_candidates = DEFAULT_RERANKED;
  if (options->max_chunks == 0)
    pipeline->options.max_chunks = DEFAULT_CHUNKS;
  pipeline->retrievers = g_new0 (RagifyRetrieverPlace, options->n_retrievers);
  pipeline->holders = g_new0 (RagifyHolder, options->n_retrievers);
  pipeline->embedders = g_new0 (RagifyNode *, options->n_retrievers);
  for (guint i = 0; i < options->n_retrievers; i++)
    add_retriever (pipeline, &options->retrievers[i]);
  settle_retrievers (pipeline);
  pipeline->batchers = g_new0 (RagifyEmbedBatcher *, pipeline->n_embedders);
  for (guint i = 0; i < pipeline->n_embedders; i++)
    pipeline->batchers[i] = new_batcher (runtime, pipeline->embedders[i], options);
  add_metrics (pipeline);
  add_limiter (pipeline);
  ragify_pipeline_write_refusals (pipeline);
  pipeline->token_counts = ragify_token_counts_new ();
  pipeline->passages = ragify_passages_new (options->passage_bytes);
  add_watches (pipeline);
  return pipeline;
}

void
ragify_pipeline_free (RagifyPipeline *pipeline)
{
  if (pipeline->background != NULL) /* what is under way uses it, and everything else */
    ragify_background_close (pipeline->background);
  g_clear_pointer (&pipeline->background, ragify_background_free);
  g_clear_pointer (&pipeline->busiest, ragify_busiest_free);
  g_clear_pointer (&pipeline->semantic, ragify_semantic_free);
  for (guint i = 0; i < pipeline->n_holders; i++) {
    g_clear_pointer (&pipeline->holders[i].watch, ragify_store_watch_free);
    g_free (pipeline->holders[i].source_type);
  }
  ragify_token_counts_free (pipeline->token_counts);
  ragify_passages_free (pipeline->passages);
  g_free (pipeline->retrievers);
  g_free (pipeline->holders);
  for (guint i = 0; i < pipeline->n_embedders; i++)
    ragify_embed_batcher_free (pipeline->batchers[i]);
  g_clear_pointer (&pipeline->limiter, ragify_limiter_free);
  ragify_pipeline_free_refusals (pipeline);
  g_free (pipeline->batchers);
  g_free (pipeline->embedders);
  g_free (pipeline->name);
  g_free (pipeline);
}

const char *
ragify_pipeline_name (const RagifyPipeline *pipeline)
{
  return pipeline->name;
}

RagifyTier *
ragify_pipeline_tier (const RagifyPipeline *pipeline)
{
  return pipeline->options.tier;
}

RagifyBusiest *
ragify_pipeline_busiest (RagifyPipeline *pipeline)
{
  return pipeline->busiest;
}

void
ragify_pipeline_shrink (RagifyPipeline *pipeline)
{
  ragify_passages_shrink (pipeline->passages);
}

gboolean
ragify_pipeline_store_changed (RagifyPipeline *pipeline, RagifyNode *store, const RagifyGeneration *generation,
                               const RagifyUuidList *removed, gboolean behind)
{
  gboolean news = FALSE;
  for (guint i = 0; i < pipeline->n_holders; i++) {
    RagifyHolder *holder = &pipeline->holders[i];
    if (holder->node != store)
      continue;
    /* Before the generation: who finds that must find this. */
    atomic_store (&holder->behind, behind);
    if (atomic_load (&holder->contents) != 0)
      atomic_fetch_add (&holder->contents, 1);
    if (holder->watch != NULL)
      news = ragify_store_watch_changed (holder->watch, generation, removed) || news;
  }
  return news;
}

/* ---- the end of a run ---- */

static RagifyRun *
run_of_body (RagifyBuffer *body)
{
  return (RagifyRun *)(void *)((char *)body - G_STRUCT_OFFSET (RagifyRun, body));
}

/* The body lives as long as the request does. */
static void
body_ref (RagifyBuffer *body)
{
  ragify_owner_ref (&run_of_body (body)->request->owner);
}

static void
body_unref (RagifyBuffer *body)
{
  ragify_owner_unref (&run_of_body (body)->request->owner);
}

static void
clear_run (RagifyRun *run)
{
  g_free (run->body_memory);
  ragify_run_let_go (run);
  if (run->envelope != NULL)
    run->envelope->unref (run->envelope);
}

void
ragify_run_set_body (RagifyRun *run, const void *data, gsize size)
{
  run->body = (RagifyBuffer){
    .struct_size = sizeof run->body, .data = data, .size = size, .ref = body_ref, .unref = body_unref
  };
  run->answer.body = &run->body;
}

void
ragify_run_observe (RagifyRun *run, gboolean hit)
{
  const RagifyPipeline *pipeline = run->pipeline;
  const guint64 now = ragify_now ();
  const RagifyTrace *trace = run->request->owner.spot.trace;
  const char *trace_id = trace != NULL ? ragify_trace_id (trace) : NULL;
  const guint64 slow = __atomic_load_n (&pipeline->runtime->slow_query_us, __ATOMIC_RELAXED);
  ragify_series_observe_traced (hit ? pipeline->hit_duration : pipeline->miss_duration,
                                (double)(now - run->request->began) / G_USEC_PER_SEC, trace_id);
  for (guint i = 0; i < RAGIFY_N_STAGES; i++)
    if (run->stages & (1u << i))
      ragify_series_observe_traced (pipeline->stages[i], (double)run->stage_us[i] / G_USEC_PER_SEC, trace_id);
  ragify_run_track (run, now - run->request->began);
  if (ragify_trace_records (trace))
    ragify_run_trace (run, now);
  if (slow != 0 && now - run->request->began >= slow)
    ragify_run_log_slow (run, now - run->request->began);
  if (run->degraded)
    ragify_series_add (pipeline->degraded, 1);
  if (run->answer.status == 503)
    ragify_series_add (pipeline->failed, 1);
}

void
ragify_run_finish (RagifyRun *run)
{
  run->done = TRUE;
  run->answer.degraded = run->degraded;
  ragify_run_depart (run);
  run->answered (run->request, &run->answer, run->user);
}

void
ragify_run_finish_refused (RagifyRun *run, guint status)
{
  run->answer.status = status;
  run->answer.content_type = "application/problem+json";
  run->answer.cache = "miss";
  if (run->leads)
    ragify_tier_abandon (run->pipeline->options.tier, &run->key);
  ragify_run_observe (run, FALSE);
  ragify_run_finish (run);
}

void
ragify_run_finish_problem (RagifyRun *run, RagifyProblem *problem)
{
  const guint status = problem->status;
  run->answer.retry_after = problem->retry_after;
  ragify_encode_problem (run, problem, &run->answer.head, &run->answer.head_size);
  ragify_problem_clear (problem);
  ragify_run_finish_refused (run, status);
}

static guint
retry_after (const RagifyRun *run)
{
  guint64 longest = 0;
  for (guint i = 0; i < run->n_asks; i++)
    longest = MAX (longest, run->asks[i].retry_after);
  return (guint)MAX ((longest + G_USEC_PER_SEC - 1) / G_USEC_PER_SEC, 1);
}

void
ragify_run_finish_unanswered (RagifyRun *run, const char *title, const char *what)
{
  RagifyWriter reasons;
  ragify_writer_init (&reasons, 256);
  ragify_writer_text (&reasons, what);
  for (guint i = 0; i < run->n_warnings; i++) {
    ragify_writer_text (&reasons, i == 0 ? ": " : "; ");
    ragify_writer_text (&reasons, run->warnings[i]);
  }
  RagifyProblem problem = { 0 };
  ragify_problem_set (&problem, 503, title, NULL, "%.*s", (int)reasons.size, reasons.data);
  problem.retry_after = retry_after (run);
  ragify_writer_clear (&reasons);
  ragify_run_finish_problem (run, &problem);
}

void
ragify_run_finish_cancelled (RagifyRun *run)
{
  RagifyProblem problem = { 0 };
  ragify_problem_set (&problem, 499, "Cancelled", NULL, "nobody waits for the answer any more");
  ragify_run_finish_problem (run, &problem);
}

static gboolean
something_answered (const RagifyRun *run)
{
  if (run->lost && run->n_chosen == 0)
    return FALSE;
  for (guint i = 0; i < run->n_asks; i++)
    if (run->asks[i].state == RAGIFY_ASK_OK)
      return TRUE;
  return FALSE;
}

void
ragify_run_complete (RagifyRun *run)
{
  if (run->cancelled) {
    ragify_run_finish_cancelled (run);
    return;
  }
  if (!something_answered (run)) {
    ragify_run_finish_unanswered (run, "No source answered", "nothing could answer");
    return;
  }
  if (run->degraded && run->pipeline->options.fail_on_partial) {
    ragify_run_finish_unanswered (run, "Partial answer",
                                  "not everything answered, and this pipeline answers in full or not at all");
    return;
  }
  const guint64 began = ragify_now ();
  gsize size;
  run->body_memory = ragify_encode_body (run, &size);
  ragify_run_stage (run, RAGIFY_STAGE_ENCODE, ragify_now () - began);
  ragify_run_set_body (run, run->body_memory, size);
  if (run->caches)
    ragify_run_keep (run, size);
  run->answer.status = 200;
  run->answer.content_type = ragify_encode_content_type (run->request);
  run->answer.cache = "miss";
  ragify_run_observe (run, FALSE);
  ragify_encode_head (run, run->answer.cache, &run->answer.head, &run->answer.head_size);
  ragify_run_finish (run);
}

/* ---- the beginning of a run ---- */

/* What the request leaves open is the pipeline's to say. */
static void
take_defaults (const RagifyPipelineOptions *options, RagifyRequest *request)
{
  if (request->mode == RAGIFY_MODE_UNSAID)
    request->mode = options->mode;
  if (request->max_chunks == 0)
    request->max_chunks = options->max_chunks;
  if (request->max_tokens == 0)
    request->max_tokens = options->max_tokens;
}

RagifyRun *
ragify_run_new (RagifyPipeline *pipeline, RagifyRequest *request, RagifyAnswered answered, void *user)
{
  RagifyRun *run = ragify_arena_alloc (request->owner.arena, sizeof *run);
  run->pipeline = pipeline;
  run->request = request;
  run->answered = answered;
  run->user = user;
  run->arena = request->owner.arena;
  take_defaults (&pipeline->options, request);
  run->min_relevance = request->min_relevance >= 0 ? request->min_relevance : pipeline->options.min_relevance;
  request->run = run;
  request->run_clear = clear_run;
  const guint64 total = request->timeout_us != 0 ? request->timeout_us : pipeline->options.deadline_us;
  const guint64 reserve = MIN (CLAMP (total / 10, RESERVE_MIN_US, RESERVE_MAX_US), total / 2);
  run->deadline = request->began + total;
  run->retrieve_deadline = run->deadline - reserve;
  return run;
}

void
ragify_pipeline_answer (RagifyPipeline *pipeline, RagifyRequest *request, RagifyAnswered answered, void *user)
{
  RagifyRun *run = ragify_run_new (pipeline, request, answered, user);
  RagifyProblem problem = { 0 };
  if (!ragify_run_choose (run, &problem))
    ragify_run_finish_problem (run, &problem);
  else
    ragify_run_begin_cached (run);
}

void
ragify_pipeline_cancel (RagifyRequest *request)
{
  RagifyRun *run = request->run;
  if (run == NULL || run->done || run->cancelled)
    return;
  run->cancelled = TRUE;
  if (run->queued && !ragify_run_leave_queue (run))
    return;
  if (run->get != NULL || run->pending == 0) {
    ragify_run_cancel_early (run);
    return;
  }
  for (RagifyStep *step = run->steps; step != NULL; step = step->next)
    ragify_step_cancel (step);
  for (guint i = 0; run->embeddings != NULL && i < run->pipeline->n_embedders; i++)
    ragify_embed_wait_leave (&run->embeddings[i].wait);
}
