/* Warming: answers that are computed before anybody asks for them.
 *
 * SPDX-License-Identifier: MIT
 *
 * A round is a list of requests of one or several pipelines; a few are computed at once, the rest wait. What is in the
 * cache already is left as it is. A request that fails is listed and the round goes on. There is one round at a time.
 */
#pragma once

#include "core/pipeline/pipeline.h"

typedef struct RagifyWarming RagifyWarming;
typedef struct RagifyWarmList RagifyWarmList;

/* What a pipeline is to be warmed with. */
typedef struct RagifyWarmPlan {
  RagifyPipeline *pipeline;
  const char *file; /* NULL: none */
  const char *const *queries;
  guint n_queries;
  guint busiest; /* of the requests seen; 0: none */
  guint at_once;
  gboolean at_start, after_changes;
} RagifyWarmPlan;

/* `state_file` keeps the busiest requests from one run of the host to the next; NULL: nothing does. Plans are copied,
 * those of pipelines without a cache left out; the pipelines outlive it. [control] */
RagifyWarming *
ragify_warming_new (RagifyRuntime *runtime, const RagifyWarmPlan *plans, guint count, const char *state_file);
/* Ends the round under way, and writes the state file. [control] */
void ragify_warming_free (RagifyWarming *warming);

/* The host is up: carries out the plans for the start. [control] */
void ragify_warming_start (RagifyWarming *warming);
/* A store has changed: soon, when it has been quiet for a while, carries out the plans for that. [any] */
void ragify_warming_store_changed (RagifyWarming *warming);
/* Carries out the plans, in a while; `pipeline` NULL: all. [any] */
void ragify_warming_run_plans (RagifyWarming *warming, const char *pipeline);

/* ---- what to compute ---- */

RagifyWarmList *ragify_warm_list_new (void); /* [any] */
void ragify_warm_list_free (RagifyWarmList *list);
guint ragify_warm_list_length (const RagifyWarmList *list);
/* A query, or a request as JSON where it begins with "{"; `pipeline` (NULL: "default") is whose it is where the request
 * does not say. `seen`: how often it was asked before the host started; 0 otherwise. [any] */
void ragify_warm_list_add (RagifyWarmList *list, const char *text, const char *pipeline, guint64 seen);
/* Each line of a file that is neither empty nor begins with "#". FALSE with an error; what was read stays. [any] */
gboolean ragify_warm_list_add_file (RagifyWarmList *list, const char *path, const char *pipeline, GError **error);
/* The busiest requests that the pipeline has seen. [any] */
void ragify_warm_list_add_busiest (RagifyWarmList *list, RagifyPipeline *pipeline, guint limit);

/* ---- doing it ---- */

/* Begins a round with the list, which it takes; `at_once` requests are under way together. `refresh`: also what is in
 * the cache is computed anew. FALSE when another round is under way: the list is freed. [any] */
gboolean ragify_warming_begin (RagifyWarming *warming, RagifyWarmList *list, guint at_once, gboolean refresh);
gboolean ragify_warming_is_under_way (RagifyWarming *warming); /* [any] */
/* The pipeline of that name that can be warmed; NULL: none. [any] */
RagifyPipeline *ragify_warming_find (const RagifyWarming *warming, RagifyStr name);

typedef struct RagifyWarmFailure {
  char *request, *reason;
} RagifyWarmFailure;

/* Of the round that is under way, or was last. */
typedef struct RagifyWarmingState {
  guint rounds; /* begun so far */
  gboolean under_way;
  guint total, done, computed, kept, failed; /* computed anew, in the cache already, failed: done is their sum */
  guint64 duration_us;
  guint n_failures; /* of which a hundred are listed */
  RagifyWarmFailure *failures;
} RagifyWarmingState;
/* [any] */
void ragify_warming_state (RagifyWarming *warming, RagifyWarmingState *state);
void ragify_warming_state_clear (RagifyWarmingState *state);
