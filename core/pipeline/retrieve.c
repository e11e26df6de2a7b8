/* Retrieving: the query embedded once for each embedder, the retrievers asked in waves. What needs no embedding starts
 * at once; the rest of a wave follows when the embedding is there.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "core/pipeline/nested.h"
#include "core/pipeline/run.h"

/* How many more are asked for where the host filters what comes. */
#define FILTER_SURPLUS 5
#define MAX_CANDIDATES 10000
#define MAX_SCORED 65536u

static void next_wave (RagifyRun *run);
static void send_wave (RagifyRun *run);

static const char *const not_waited_for = "not waited for: enough had come";

/* ---- which ones ---- */

static gboolean
is_named (const RagifyStrList *names, const char *name)
{
  const gsize size = strlen (name);
  for (guint64 i = 0; i < names->count; i++)
    if (names->items[i].size == size && memcmp (names->items[i].data, name, size) == 0)
      return TRUE;
  return FALSE;
}

/* A text index is also meant by the name of its store. */
static gboolean
is_meant (const RagifyPipeline *pipeline, const RagifyRetrieverPlace *place, const RagifyStrList *names)
{
  return is_named (names, place->name) || is_named (names, pipeline->holders[place->holder].name);
}

static void
refuse_name (const RagifyPipeline *pipeline, const RagifyStr *name, const char *field, RagifyProblem *problem)
{
  g_autofree const char **known = g_new0 (const char *, pipeline->n_retrievers + 1);
  for (guint i = 0; i < pipeline->n_retrievers; i++)
    known[i] = pipeline->retrievers[i].name;
  g_autofree char *list = g_strjoinv ("', '", (char **)known);
  ragify_problem_set (problem, 422, "Invalid value", field, "%s: expected names among '%s', found '%s'", field, list,
                      name->data);
}

static gboolean
check_names (const RagifyPipeline *pipeline, const RagifyStrList *names, const char *field, RagifyProblem *problem)
{
  for (guint64 i = 0; i < names->count; i++) {
    const RagifyStrList one = { .items = &names->items[i], .count = 1 };
    guint r = 0;
    while (r < pipeline->n_retrievers && !is_meant (pipeline, &pipeline->retrievers[r], &one))
      r++;
    if (r < pipeline->n_retrievers)
      continue;
    refuse_name (pipeline, &names->items[i], field, problem);
    return FALSE;
  }
  return TRUE;
}

static gboolean
fits_mode (const RagifyRetrieverPlace *place, RagifyMode mode)
{
  switch (place->as.type) {
  case RAGIFY_RETRIEVER_VECTOR_STORE:
    return mode != RAGIFY_MODE_LEXICAL && place->embedder != RAGIFY_NO_EMBEDDER;
  case RAGIFY_RETRIEVER_TEXT_INDEX:
    return mode != RAGIFY_MODE_DENSE;
  case RAGIFY_RETRIEVER_SOURCE:
    return mode != RAGIFY_MODE_DENSE || place->waits;
  }
  return FALSE;
}

gboolean
ragify_run_choose (RagifyRun *run, RagifyProblem *problem)
{
  const RagifyPipeline *pipeline = run->pipeline;
  const RagifyRequest *request = run->request;
  if (!check_names (pipeline, &request->sources, "sources", problem) ||
      !check_names (pipeline, &request->exclude_sources, "exclude_sources", problem))
    return FALSE;
  run->asks = ragify_arena_alloc (run->arena, MAX (pipeline->n_retrievers, 1) * sizeof *run->asks);
  for (guint i = 0; i < pipeline->n_retrievers; i++) {
    const RagifyRetrieverPlace *place = &pipeline->retrievers[i];
    if (!fits_mode (place, request->mode) ||
        (request->sources.count > 0 && !is_meant (pipeline, place, &request->sources)) ||
        is_meant (pipeline, place, &request->exclude_sources))
      continue;
    run->asks[run->n_asks++] = (RagifyAsk){ .place = place, .error = "" };
  }
  if (run->n_asks > 0)
    return TRUE;
  const gboolean by_name = request->sources.count > 0 || request->exclude_sources.count > 0;
  return ragify_problem_set (problem, 422, "Invalid value", by_name ? "sources" : "mode",
                             "%s: nothing is left to be asked: pipeline '%s' has no such source for this mode",
                             by_name ? "sources" : "mode", pipeline->name);
}

/* ---- asking ---- */

static void
ask_failed (RagifyRun *run, RagifyAsk *ask, RagifyAskState state, const char *error)
{
  ask->state = state;
  ask->error = error;
  run->at_work--;
}

/* The others are told to stop; an embedding that is under way is still awaited, since scores need it. */
static void
stop_asking (RagifyRun *run)
{
  run->enough = TRUE;
  for (RagifyStep *step = run->steps; step != NULL; step = step->next)
    ragify_step_cancel (step);
}

static guint
wanted_from (const RagifyRun *run, const RagifyAsk *ask)
{
  const guint candidates = MAX (run->pipeline->options.fuse_candidates, run->request->max_chunks);
  const guint source = MIN (2 * run->request->max_chunks, candidates);
  const guint wanted = ask->place->as.type == RAGIFY_RETRIEVER_SOURCE ? source : candidates;
  const gboolean surplus = run->request->filter != NULL && !ask->place->filters;
  return MIN (surplus ? wanted * FILTER_SURPLUS : wanted, MAX_CANDIDATES);
}

/* Emitted passages come before those of the result. */
static void
take_source (RagifyAsk *ask)
{
  const RagifySourceResult *result = ragify_call_result (ask->step.call);
  gsize n_items;
  const void *const *items = ragify_call_items (ask->step.call, &n_items);
  const guint limit = ask->arguments.source.top_k;
  const guint64 count = MIN (n_items + result->chunks.count, limit);
  ask->chunks = ragify_arena_alloc (ask->step.run->arena, MAX (count, 1) * sizeof *ask->chunks);
  for (guint64 i = 0; i < count; i++)
    ask->chunks[i] = i < n_items ? items[i]
                                 : (const RagifyChunk *)(const void *)((const char *)result->chunks.items +
                                                                       (i - n_items) * result->chunks.stride);
  ask->found = (guint)count;
  if (ask->place->as.nested && result->reserved == RAGIFY_NESTED_PARTIAL)
    ragify_run_warn (ask->step.run, ragify_run_text (ask->step.run, "%s answered in part", ask->place->name));
}

static void
take_hits (RagifyAsk *ask, const RagifyHitList *hits, guint limit)
{
  ask->hits = hits->items;
  ask->found = (guint)MIN (hits->count, limit);
}

static void
take_search (RagifyAsk *ask, const RagifyStoreSearchResult *result)
{
  take_hits (ask, &result->hits, ask->arguments.store.top_k);
  ask->scores = result->scores.count > 0 ? result->scores.items : NULL;
}

static void
ask_finished (RagifyStep *step)
{
  RagifyAsk *ask = (RagifyAsk *)step;
  RagifyRun *run = step->run;
  ask->duration = ragify_step_duration (step);
  if (step->call == NULL) {
    ask_failed (run, ask, RAGIFY_ASK_SKIPPED, "none of its members is enabled");
    return;
  }
  const void *result = ragify_call_result (step->call);
  ask->state =
      ragify_call_refused (step->call) ? RAGIFY_ASK_OPEN_CIRCUIT : ragify_ask_state_of (ragify_call_code (step->call));
  ask->error = ragify_call_message (step->call);
  ask->retry_after = ragify_call_retry_after (step->call);
  const gboolean ok = ask->state == RAGIFY_ASK_OK;
  if (run->enough && ask->state == RAGIFY_ASK_SKIPPED)
    ask->error = not_waited_for;
  switch (ask->place->as.type) {
  case RAGIFY_RETRIEVER_SOURCE:
    ragify_run_stage (run, RAGIFY_STAGE_SOURCES, ask->duration);
    if (ok)
      take_source (ask);
    break;
  case RAGIFY_RETRIEVER_VECTOR_STORE:
    ragify_run_stage (run, RAGIFY_STAGE_SEARCH, ask->duration);
    if (ok)
      take_search (ask, result);
    break;
  case RAGIFY_RETRIEVER_TEXT_INDEX:
    ragify_run_stage (run, RAGIFY_STAGE_WORDS, ask->duration);
    if (ok)
      take_hits (ask, &((const RagifyTextSearchResult *)result)->hits, ask->arguments.text.top_k);
    break;
  }
  run->at_work--;
  if (!run->enough && ragify_run_has_enough (run, ask))
    stop_asking (run);
  send_wave (run);
}

/* What indexes of the same store have found by now: its search scores that on the way, which saves asking it again for
 * the vectors. */
static RagifyUuidList
found_by_words (RagifyRun *run, const RagifyAsk *store)
{
  guint total = 0;
  for (guint i = 0; i < run->asked; i++) {
    RagifyAsk *ask = &run->asks[i];
    if (ask->place->as.type != RAGIFY_RETRIEVER_TEXT_INDEX || ask->place->holder != store->place->holder ||
        ask->state != RAGIFY_ASK_OK || ask->scorer != NULL || total + ask->found > MAX_SCORED)
      continue;
    ask->scorer = store;
    ask->scored_from = total;
    total += ask->found;
  }
  RagifyUuid *ids = ragify_arena_alloc (run->arena, MAX (total, 1) * sizeof *ids);
  for (guint i = 0; i < run->asked; i++)
    for (guint k = 0; run->asks[i].scorer == store && k < run->asks[i].found; k++)
      ids[run->asks[i].scored_from + k] = run->asks[i].hits[k].id;
  return (RagifyUuidList){ .items = ids, .count = total };
}

/* Fills the arguments; returns the operation that they are for. */
static const RagifyOperation *
fill_arguments (RagifyRun *run, RagifyAsk *ask)
{
  const RagifyRequest *request = run->request;
  const RagifyRetrieverPlace *place = ask->place;
  const guint top_k = wanted_from (run, ask);
  const RagifyVectors vector = place->waits ? run->embeddings[place->embedder].vector : (RagifyVectors){ 0 };
  switch (place->as.type) {
  case RAGIFY_RETRIEVER_VECTOR_STORE:
    ask->arguments.store = (RagifyStoreSearch){ .struct_size = sizeof (RagifyStoreSearch),
                                                .top_k = top_k,
                                                .vectors = vector,
                                                .filter = request->filter,
                                                .tuning = request->search,
                                                .scored = found_by_words (run, ask) };
    return &ragify_operation_store_search;
  case RAGIFY_RETRIEVER_TEXT_INDEX:
    ask->arguments.text = (RagifyTextSearch){ .struct_size = sizeof (RagifyTextSearch),
                                              .top_k = top_k,
                                              .text = request->query,
                                              .filter = request->filter,
                                              .tuning = request->search };
    return &ragify_operation_text_search;
  case RAGIFY_RETRIEVER_SOURCE:
    break;
  }
  ask->arguments.source = (RagifySourceQuery){ .struct_size = sizeof (RagifySourceQuery),
                                               .top_k = top_k,
                                               .text = request->query,
                                               .embedding = vector,
                                               .filter = request->filter,
                                               .tuning = request->search };
  return &ragify_operation_source_query;
}

/* All that it needs is there. */
static void
send_ask (RagifyRun *run, RagifyAsk *ask)
{
  const RagifyRetriever *as = &ask->place->as;
  const guint64 now = ragify_now ();
  if (run->cancelled || run->enough || now >= run->retrieve_deadline) {
    ask_failed (run, ask, RAGIFY_ASK_SKIPPED, run->enough ? not_waited_for : "no time was left to ask it");
    return;
  }
  if (as->balancer == NULL && !ragify_node_is_enabled (as->node)) {
    ask->disabled = TRUE;
    ask_failed (run, ask, RAGIFY_ASK_SKIPPED, "disabled");
    return;
  }
  const guint64 own = as->deadline_us != 0 ? now + as->deadline_us : G_MAXUINT64;
  const guint64 deadline = MIN (own, run->retrieve_deadline);
  const RagifyOperation *operation = fill_arguments (run, ask);
  if (as->balancer != NULL)
    ragify_run_call_balanced (run, &ask->step, as->balancer, operation, &ask->arguments, deadline, ask_finished);
  else
    ragify_run_call (run, &ask->step, as->node, operation, &ask->arguments, deadline, ask_finished);
}

/* The embedding that it waited for is there, or is not to be had. */
static void
resume_ask (RagifyRun *run, RagifyAsk *ask)
{
  const RagifyEmbedding *embedding = &run->embeddings[ask->place->embedder];
  ask->state = RAGIFY_ASK_NOT_YET;
  if (embedding->vector.count == 0 && ask->place->as.type == RAGIFY_RETRIEVER_VECTOR_STORE)
    ask_failed (run, ask, embedding->state,
                ragify_run_text (run, "%s: the query could not be embedded: %s", ask->place->name, embedding->error));
  else
    send_ask (run, ask);
}

static void
begin_ask (RagifyRun *run, RagifyAsk *ask)
{
  if (!ask->place->waits)
    send_ask (run, ask);
  else if (run->embeddings[ask->place->embedder].done)
    resume_ask (run, ask);
  else
    ask->state = RAGIFY_ASK_WAITS; /* the embedding holds the run */
}

/* ---- embedding ---- */

static void
embedded (RagifyEmbedWait *wait)
{
  RagifyEmbedding *embedding = (RagifyEmbedding *)wait;
  RagifyRun *run = embedding->run;
  const guint16 index = (guint16)(embedding - run->embeddings);
  embedding->done = TRUE;
  embedding->vector = wait->vector;
  embedding->state = ragify_ask_state_of (wait->code);
  embedding->error = wait->message;
  ragify_run_stage (run, RAGIFY_STAGE_EMBED, wait->duration);
  if (embedding->vector.count == 0 && !run->cancelled)
    ragify_run_warn (run, embedding->error);
  for (guint i = 0; i < run->asked; i++)
    if (run->asks[i].state == RAGIFY_ASK_WAITS && run->asks[i].place->embedder == index)
      resume_ask (run, &run->asks[i]);
  send_wave (run);
  ragify_run_release (run);
}

void
ragify_run_embed (RagifyRun *run, guint index)
{
  RagifyEmbedding *embedding = &run->embeddings[index];
  embedding->run = run;
  ragify_run_hold (run);
  ragify_embed_batcher_ask (run->pipeline->batchers[index], &embedding->wait, &run->request->owner, run->request->query,
                            run->retrieve_deadline, embedded);
}

/* ---- waves ---- */

static void
finish_retrieving (RagifyRun *run)
{
  const RagifyTrace *trace = run->request->owner.spot.trace;
  const char *trace_id = trace != NULL ? ragify_trace_id (trace) : NULL;
  for (guint i = 0; i < run->n_asks; i++) {
    const RagifyAsk *ask = &run->asks[i];
    const gboolean unwanted = ask->disabled || (run->enough && ask->state == RAGIFY_ASK_SKIPPED);
    if (ask->state != RAGIFY_ASK_OK && !unwanted && !run->cancelled)
      ragify_run_warn (run, ragify_run_text (run, "%s did not answer: %s", ask->place->name, ask->error));
    if (ask->place->duration == NULL)
      continue;
    ragify_series_observe_traced (ask->place->duration, (double)ask->duration / G_USEC_PER_SEC, trace_id);
    ragify_series_add (ask->place->states[ask->state], 1);
    ragify_series_add (ask->place->chunks, ask->found);
  }
  ragify_run_gather (run);
}

/* Asks those of the wave whose turn it is: so many at once, the next one when one is done. */
static void
send_wave (RagifyRun *run)
{
  if (run->sending)
    return; /* what was asked has answered at once: the loop below goes on */
  run->sending = TRUE;
  while (run->asked < run->wave_end && run->at_work < run->pipeline->options.max_at_once) {
    run->at_work++;
    begin_ask (run, &run->asks[run->asked++]);
  }
  run->sending = FALSE;
}

static void
next_wave (RagifyRun *run)
{
  if (run->asked == run->n_asks || run->cancelled) {
    finish_retrieving (run);
    return;
  }
  const guint first = run->asked;
  run->wave_end = MIN (run->n_asks, first + run->pipeline->options.source_batch);
  ragify_run_begin (run, next_wave);
  ragify_run_hold (run);
  send_wave (run);
  /* Embedding comes after what needs none was sent, since it may be computed on this very thread. */
  for (guint i = 0; first == 0 && i < run->pipeline->n_embedders; i++)
    if (run->embeddings[i].wanted && !run->embeddings[i].done)
      ragify_run_embed (run, i);
  ragify_run_release (run);
}

void
ragify_run_ask_all (RagifyRun *run)
{
  next_wave (run);
}

void
ragify_run_retrieve (RagifyRun *run)
{
  run->embeddings = ragify_arena_alloc (run->arena, MAX (run->pipeline->n_embedders, 1) * sizeof *run->embeddings);
  for (guint i = 0; i < run->n_asks; i++)
    if (run->asks[i].place->embedder != RAGIFY_NO_EMBEDDER)
      run->embeddings[run->asks[i].place->embedder].wanted = TRUE;
  if (ragify_run_is_semantic (run))
    ragify_run_semantic (run);
  else
    next_wave (run);
}
