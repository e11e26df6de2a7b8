/* SPDX-License-Identifier: MIT */
#include "core/pipeline/warming.h"

#include <jansson.h>
#include <pthread.h>
#include <string.h>

#include "core/pipeline/background.h"
#include "core/pipeline/warm-list.h"
#include "core/pipeline/warm-plans.h"

#define MOST_AT_ONCE 64u
#define LISTED_FAILURES 100u
#define POLL_US 200

/* One of those that compute at the same time. */
typedef struct {
  RagifyTask task;
  RagifyWarming *warming;
  RagifyLoop *loop;
  guint item; /* that is being computed */
} Hand;

struct RagifyWarming {
  RagifyRuntime *runtime;
  RagifyWarmPlans *plans;
  RagifyBackground *background;
  RagifySeries *computed, *kept, *failed;
  pthread_mutex_t lock; /* guards what follows */
  gboolean closing;
  RagifyWarmList *list; /* of the round under way; NULL: none is */
  gboolean refresh;
  guint next, hands; /* hands: at work */
  Hand all[MOST_AT_ONCE];
  guint64 began;
  RagifyWarmingState state; /* of the round; `failures` grows as they come */
};

/* ---- one request ---- */

static RagifyPipeline *
find_pipeline (const RagifyWarming *warming, const RagifyRequest *request, RagifyProblem *problem)
{
  RagifyPipeline *pipeline = ragify_warming_find (warming, request->pipeline);
  if (pipeline == NULL)
    ragify_problem_set (problem, 422, "Invalid value", "pipeline", "there is no pipeline '%.*s' with a cache",
                        (int)MIN (request->pipeline.size, 100), request->pipeline.data);
  return pipeline;
}

static void
count_failure (RagifyWarming *warming, guint index, const char *reason)
{
  const char *text = g_array_index (warming->list->items, RagifyWarmItem, index).text;
  RagifyWarmingState *state = &warming->state;
  state->failed++;
  if (state->n_failures == LISTED_FAILURES)
    return;
  if (state->failures == NULL)
    state->failures = g_new0 (RagifyWarmFailure, LISTED_FAILURES);
  g_autofree char *start = g_strndup (text, 1000);
  state->failures[state->n_failures++] =
      (RagifyWarmFailure){ .request = g_utf8_make_valid (start, -1), .reason = g_strdup (reason) };
}

/* Takes the outcome of one request: `reason` NULL: it is in the cache now. */
static void
count_done (Hand *hand, const char *reason, gboolean was_there)
{
  RagifyWarming *warming = hand->warming;
  pthread_mutex_lock (&warming->lock);
  RagifyWarmingState *state = &warming->state;
  state->done++;
  if (reason != NULL)
    count_failure (warming, hand->item, reason);
  else if (was_there)
    state->kept++;
  else
    state->computed++;
  pthread_mutex_unlock (&warming->lock);
  ragify_series_add (reason != NULL ? warming->failed : was_there ? warming->kept : warming->computed, 1);
  ragify_loop_post (hand->loop, &hand->task); /* not at once: others are to have their turn */
}

/* What a problem's document says; free with g_free. */
static char *
reason_of (const RagifyAnswer *answer)
{
  json_t *json = json_loadb (answer->head != NULL ? answer->head : "", answer->head_size, 0, NULL);
  const char *detail = json_string_value (json_object_get (json, "detail"));
  char *reason = detail != NULL ? g_strdup (detail) : g_strdup_printf ("status %u", answer->status);
  json_decref (json);
  return reason;
}

static void
answered (RagifyRequest *request, const RagifyAnswer *answer, void *user)
{
  Hand *hand = user;
  const gboolean was_there = strcmp (answer->cache, "miss") != 0;
  g_autofree char *reason = NULL;
  if (answer->status != 200)
    reason = reason_of (answer);
  else if (answer->degraded)
    reason = g_strdup ("not everything that was asked answered, and such an answer is not kept");
  ragify_background_end (hand->warming->background, request);
  ragify_owner_unref (&request->owner);
  count_done (hand, reason, was_there);
}

static void
compute (Hand *hand, const RagifyWarmItem *item)
{
  RagifyWarming *warming = hand->warming;
  RagifyProblem problem = { 0 };
  RagifyRequest *request = ragify_warm_item_parse (item, &problem);
  RagifyPipeline *pipeline = request != NULL ? find_pipeline (warming, request, &problem) : NULL;
  if (pipeline == NULL) {
    count_done (hand, problem.detail, FALSE);
    ragify_problem_clear (&problem);
    if (request != NULL)
      ragify_owner_unref (&request->owner);
    return;
  }
  request->loop = hand->loop;
  request->cache = warming->refresh ? RAGIFY_CACHE_REFRESH : RAGIFY_CACHE_USE;
  if (ragify_background_begin (warming->background, request)) {
    ragify_pipeline_answer (pipeline, request, answered, hand);
    return;
  }
  ragify_owner_unref (&request->owner);
  count_done (hand, "the host is shutting down", FALSE);
}

/* ---- the round ---- */

/* With the lock held. */
static void
end_round (RagifyWarming *warming)
{
  RagifyWarmingState *state = &warming->state;
  state->under_way = FALSE;
  state->duration_us = ragify_now () - warming->began;
  g_clear_pointer (&warming->list, ragify_warm_list_free);
  g_log_structured (G_LOG_DOMAIN, state->failed > 0 ? G_LOG_LEVEL_WARNING : G_LOG_LEVEL_MESSAGE, "MESSAGE",
                    "warming: %u of %u requests in %.1f s: %u computed, %u in the cache already, %u failed%s%s",
                    state->done, state->total, (double)state->duration_us / G_USEC_PER_SEC, state->computed,
                    state->kept, state->failed, state->n_failures > 0 ? ", such as: " : "",
                    state->n_failures > 0 ? state->failures[0].reason : "");
}

static void
go_on (RagifyTask *task)
{
  Hand *hand = (Hand *)task;
  RagifyWarming *warming = hand->warming;
  const RagifyWarmItem *item = NULL;
  pthread_mutex_lock (&warming->lock);
  if (!warming->closing && warming->next < warming->list->items->len) {
    hand->item = warming->next++;
    item = &g_array_index (warming->list->items, RagifyWarmItem, hand->item);
  } else if (--warming->hands == 0)
    end_round (warming);
  pthread_mutex_unlock (&warming->lock);
  if (item != NULL)
    compute (hand, item);
}

gboolean
ragify_warming_begin (RagifyWarming *warming, RagifyWarmList *list, guint at_once, gboolean refresh)
{
  pthread_mutex_lock (&warming->lock);
  const gboolean free = warming->list == NULL && !warming->closing;
  const guint hands = CLAMP (at_once, 1, MOST_AT_ONCE);
  if (free) {
    const guint rounds = warming->state.rounds + 1;
    ragify_warming_state_clear (&warming->state);
    warming->state = (RagifyWarmingState){ .rounds = rounds, .under_way = TRUE, .total = list->items->len };
    warming->list = list;
    warming->refresh = refresh;
    warming->next = 0;
    warming->hands = hands;
    warming->began = ragify_now ();
  }
  pthread_mutex_unlock (&warming->lock);
  if (!free) {
    ragify_warm_list_free (list);
    return FALSE;
  }
  for (guint i = 0; i < hands; i++) {
    Hand *hand = &warming->all[i];
    *hand =
        (Hand){ .task.run = go_on, .warming = warming, .loop = warming->runtime->loops[i % warming->runtime->n_loops] };
    ragify_loop_post (hand->loop, &hand->task);
  }
  return TRUE;
}

gboolean
ragify_warming_is_under_way (RagifyWarming *warming)
{
  pthread_mutex_lock (&warming->lock);
  const gboolean under_way = warming->list != NULL;
  pthread_mutex_unlock (&warming->lock);
  return under_way;
}

void
ragify_warming_state (RagifyWarming *warming, RagifyWarmingState *state)
{
  pthread_mutex_lock (&warming->lock);
  *state = warming->state;
  if (state->under_way)
    state->duration_us = ragify_now () - warming->began;
  state->failures = g_new0 (RagifyWarmFailure, MAX (state->n_failures, 1));
  for (guint i = 0; i < state->n_failures; i++)
    state->failures[i] = (RagifyWarmFailure){ .request = g_strdup (warming->state.failures[i].request),
                                              .reason = g_strdup (warming->state.failures[i].reason) };
  pthread_mutex_unlock (&warming->lock);
}

void
ragify_warming_state_clear (RagifyWarmingState *state)
{
  for (guint i = 0; i < state->n_failures; i++) {
    g_free (state->failures[i].request);
    g_free (state->failures[i].reason);
  }
  g_clear_pointer (&state->failures, g_free);
  state->n_failures = 0;
}

static RagifySeries *
new_series (RagifyRuntime *runtime, const char *result)
{
  return ragify_metrics_series (runtime->metrics, RAGIFY_SERIES_COUNTER, "ragify_cache_warmed_total",
                                "Requests that were made to warm the cache, by what became of them", "result", result,
                                NULL);
}

RagifyWarming *
ragify_warming_new (RagifyRuntime *runtime, const RagifyWarmPlan *plans, guint count, const char *state_file)
{
  RagifyWarming *warming = g_new0 (RagifyWarming, 1);
  warming->runtime = runtime;
  warming->background = ragify_background_new ();
  warming->computed = new_series (runtime, "computed");
  warming->kept = new_series (runtime, "kept");
  warming->failed = new_series (runtime, "failed");
  pthread_mutex_init (&warming->lock, NULL);
  warming->plans = ragify_warm_plans_new (warming, runtime, plans, count, state_file);
  return warming;
}

void
ragify_warming_free (RagifyWarming *warming)
{
  ragify_warm_plans_close (warming->plans);
  pthread_mutex_lock (&warming->lock);
  warming->closing = TRUE;
  pthread_mutex_unlock (&warming->lock);
  ragify_background_close (warming->background);
  while (ragify_warming_is_under_way (warming)) /* the hands find that it is over */
    g_usleep (POLL_US);
  ragify_background_free (warming->background);
  ragify_warm_plans_free (warming->plans);
  ragify_warming_state_clear (&warming->state);
  pthread_mutex_destroy (&warming->lock);
  g_free (warming);
}

/* ---- the plans ---- */

RagifyPipeline *
ragify_warming_find (const RagifyWarming *warming, RagifyStr name)
{
  return ragify_warm_plans_find (warming->plans, name);
}

void
ragify_warming_start (RagifyWarming *warming)
{
  ragify_warm_plans_start (warming->plans);
}

void
ragify_warming_store_changed (RagifyWarming *warming)
{
  ragify_warm_plans_store_changed (warming->plans);
}

void
ragify_warming_run_plans (RagifyWarming *warming, const char *pipeline)
{
  ragify_warm_plans_run (warming->plans, pipeline);
}
