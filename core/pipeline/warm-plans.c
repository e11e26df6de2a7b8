/* SPDX-License-Identifier: MIT */
#include "core/pipeline/warm-plans.h"

#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#define QUIET_US (2 * (guint64)G_USEC_PER_SEC)     /* without a change, before answers are computed anew */
#define PATIENCE_US (20 * (guint64)G_USEC_PER_SEC) /* but no longer than this after the first */
#define KEPT 1000u                                 /* requests in the state file, of each pipeline */
#define POLL_US 200

typedef struct {
  RagifyWarmPlan as;
  char *file;
  char **queries;
} Plan;

typedef enum { WHEN_STARTED, WHEN_CHANGED, WHEN_ASKED } When;

struct RagifyWarmPlans {
  RagifyWarming *warming;
  RagifyRuntime *runtime;
  Plan *all;
  guint count;
  char *state_file;
  _Atomic guint preparing; /* rounds whose lists are being made */
  atomic_bool closing;
  atomic_bool watching; /* `watch` is posted, or `quiet` armed */
  _Atomic guint64 changed_at;
  RagifyTask watch, stop;
  atomic_bool stopped;
  RagifyDeadline quiet; /* on the first loop */
  guint64 first_change; /* there */
};

/* A round on its way to a worker, which may read files. */
typedef struct {
  RagifyTask task;
  RagifyWarmPlans *plans;
  When when;
  char *pipeline; /* NULL: all */
} Preparation;

/* ---- the state file: a line of JSON for each request ---- */

static void
load_line (RagifyWarmPlans *plans, RagifyWarmList *list, const char *line)
{
  json_t *json = json_loads (line, JSON_REJECT_DUPLICATES, NULL);
  const char *pipeline = json_string_value (json_object_get (json, "pipeline"));
  const json_int_t count = json_integer_value (json_object_get (json, "count"));
  char *request = json_dumps (json_object_get (json, "request"), JSON_COMPACT | JSON_REAL_PRECISION (17));
  for (guint i = 0; pipeline != NULL && request != NULL && count > 0 && i < plans->count; i++)
    if (plans->all[i].as.at_start && plans->all[i].as.busiest > 0 &&
        strcmp (ragify_pipeline_name (plans->all[i].as.pipeline), pipeline) == 0)
      ragify_warm_list_add (list, request, pipeline, (guint64)count);
  free (request);
  json_decref (json);
}

static void
load_state (RagifyWarmPlans *plans, RagifyWarmList *list)
{
  g_autofree char *text = NULL;
  if (plans->state_file == NULL || !g_file_get_contents (plans->state_file, &text, NULL, NULL))
    return;
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);
  for (guint i = 0; lines[i] != NULL; i++)
    if (*lines[i] != '\0')
      load_line (plans, list, lines[i]);
}

static void
save_pipeline (RagifyPipeline *pipeline, GString *text)
{
  GArray *busiest = ragify_busiest_list (ragify_pipeline_busiest (pipeline), KEPT);
  for (guint i = 0; i < busiest->len; i++) {
    const RagifyBusy *busy = &g_array_index (busiest, RagifyBusy, i);
    json_t *line = json_pack ("{s:s, s:I, s:o}", "pipeline", ragify_pipeline_name (pipeline), "count",
                              (json_int_t)busy->count, "request", json_loads (busy->text, 0, NULL));
    char *dumped = json_dumps (line, JSON_COMPACT | JSON_REAL_PRECISION (17));
    if (dumped != NULL)
      g_string_append_printf (text, "%s\n", dumped);
    free (dumped);
    json_decref (line);
  }
  ragify_busy_list_free (busiest);
}

static void
save_state (const RagifyWarmPlans *plans)
{
  g_autoptr (GString) text = g_string_new (NULL);
  g_autoptr (GError) error = NULL;
  gboolean wanted = FALSE;
  for (guint i = 0; i < plans->count; i++) {
    if (!plans->all[i].as.at_start || plans->all[i].as.busiest == 0)
      continue;
    wanted = TRUE;
    save_pipeline (plans->all[i].as.pipeline, text);
  }
  if (wanted && plans->state_file != NULL &&
      !g_file_set_contents (plans->state_file, text->str, (gssize)text->len, &error))
    g_warning ("the busiest queries are not kept for the next start: %s", error->message);
}

/* ---- making a list ---- */

static void
add_plan (const Plan *plan, RagifyWarmList *list)
{
  const char *name = ragify_pipeline_name (plan->as.pipeline);
  g_autoptr (GError) error = NULL;
  for (guint i = 0; plan->queries[i] != NULL; i++)
    ragify_warm_list_add (list, plan->queries[i], name, 0);
  if (plan->file != NULL && !ragify_warm_list_add_file (list, plan->file, name, &error))
    g_warning ("pipeline %s: warm-file: %s", name, error->message);
  ragify_warm_list_add_busiest (list, plan->as.pipeline, plan->as.busiest);
}

static gboolean
is_due (const Plan *plan, const Preparation *preparation)
{
  switch (preparation->when) {
  case WHEN_STARTED:
    return plan->as.at_start;
  case WHEN_CHANGED:
    return plan->as.after_changes;
  case WHEN_ASKED:
  default:
    return preparation->pipeline == NULL ||
           strcmp (ragify_pipeline_name (plan->as.pipeline), preparation->pipeline) == 0;
  }
}

static void
prepare (RagifyTask *task)
{
  Preparation *preparation = (Preparation *)task;
  RagifyWarmPlans *plans = preparation->plans;
  RagifyWarmList *list = ragify_warm_list_new ();
  guint at_once = 1;
  for (guint i = 0; i < plans->count; i++) {
    if (!is_due (&plans->all[i], preparation))
      continue;
    add_plan (&plans->all[i], list);
    at_once = MAX (at_once, plans->all[i].as.at_once);
  }
  if (preparation->when == WHEN_STARTED)
    load_state (plans, list);
  if (ragify_warm_list_length (list) > 0 && !plans->closing)
    ragify_warming_begin (plans->warming, list, at_once, FALSE);
  else
    ragify_warm_list_free (list);
  g_free (preparation->pipeline);
  g_free (preparation);
  atomic_fetch_sub (&plans->preparing, 1);
}

static void
begin (RagifyWarmPlans *plans, When when, const char *pipeline)
{
  Preparation *preparation = g_new0 (Preparation, 1);
  *preparation = (Preparation){ .task.run = prepare, .plans = plans, .when = when, .pipeline = g_strdup (pipeline) };
  atomic_fetch_add (&plans->preparing, 1);
  if (!plans->closing && ragify_workers_submit (plans->runtime->workers, &preparation->task))
    return;
  g_free (preparation->pipeline);
  g_free (preparation);
  atomic_fetch_sub (&plans->preparing, 1);
}

/* ---- after changes ---- */

static void
was_quiet (RagifyDeadline *deadline)
{
  RagifyWarmPlans *plans = (RagifyWarmPlans *)(void *)((char *)deadline - G_STRUCT_OFFSET (RagifyWarmPlans, quiet));
  const guint64 now = ragify_now (), changed_at = plans->changed_at;
  if (now < changed_at + QUIET_US && now < plans->first_change + PATIENCE_US && !plans->closing) {
    ragify_loop_arm (plans->runtime->loops[0], &plans->quiet,
                     MIN (changed_at + QUIET_US, plans->first_change + PATIENCE_US));
    return;
  }
  if (!plans->closing)
    begin (plans, WHEN_CHANGED, NULL);
  atomic_store (&plans->watching, FALSE);
}

static void
watch (RagifyTask *task)
{
  RagifyWarmPlans *plans = (RagifyWarmPlans *)(void *)((char *)task - G_STRUCT_OFFSET (RagifyWarmPlans, watch));
  plans->first_change = ragify_now ();
  plans->quiet.expired = was_quiet;
  ragify_loop_arm (plans->runtime->loops[0], &plans->quiet, plans->first_change + QUIET_US);
}

void
ragify_warm_plans_store_changed (RagifyWarmPlans *plans)
{
  gboolean wanted = FALSE;
  for (guint i = 0; i < plans->count; i++)
    wanted = wanted || plans->all[i].as.after_changes;
  if (!wanted || plans->closing)
    return;
  atomic_store (&plans->changed_at, ragify_now ());
  if (!atomic_exchange (&plans->watching, TRUE)) {
    plans->watch.run = watch;
    ragify_loop_post (plans->runtime->loops[0], &plans->watch);
  }
}

/* ---- the rest ---- */

void
ragify_warm_plans_start (RagifyWarmPlans *plans)
{
  for (guint i = 0; i < plans->count; i++)
    if (plans->all[i].as.at_start) {
      begin (plans, WHEN_STARTED, NULL);
      return;
    }
}

void
ragify_warm_plans_run (RagifyWarmPlans *plans, const char *pipeline)
{
  begin (plans, WHEN_ASKED, pipeline);
}

RagifyPipeline *
ragify_warm_plans_find (const RagifyWarmPlans *plans, RagifyStr name)
{
  for (guint i = 0; i < plans->count; i++) {
    const char *own = ragify_pipeline_name (plans->all[i].as.pipeline);
    if (strlen (own) == name.size && memcmp (own, name.data, name.size) == 0)
      return plans->all[i].as.pipeline;
  }
  return NULL;
}

RagifyWarmPlans *
ragify_warm_plans_new (RagifyWarming *warming, RagifyRuntime *runtime, const RagifyWarmPlan *from, guint count,
                       const char *state_file)
{
  RagifyWarmPlans *plans = g_new0 (RagifyWarmPlans, 1);
  plans->warming = warming;
  plans->runtime = runtime;
  plans->state_file = g_strdup (state_file);
  plans->all = g_new0 (Plan, MAX (count, 1));
  for (guint i = 0; i < count; i++) {
    if (ragify_pipeline_tier (from[i].pipeline) == NULL)
      continue;
    Plan *plan = &plans->all[plans->count++];
    plan->as = from[i];
    plan->file = g_strdup (from[i].file);
    plan->queries = g_new0 (char *, from[i].n_queries + 1);
    for (guint k = 0; k < from[i].n_queries; k++)
      plan->queries[k] = g_strdup (from[i].queries[k]);
  }
  return plans;
}

static void
stop_watching (RagifyTask *task)
{
  RagifyWarmPlans *plans = (RagifyWarmPlans *)(void *)((char *)task - G_STRUCT_OFFSET (RagifyWarmPlans, stop));
  ragify_loop_disarm (plans->runtime->loops[0], &plans->quiet);
  atomic_store (&plans->stopped, TRUE);
}

void
ragify_warm_plans_close (RagifyWarmPlans *plans)
{
  atomic_store (&plans->closing, TRUE);
  plans->stop.run = stop_watching; /* tasks run in their order: `watch` has run before it */
  ragify_loop_post (plans->runtime->loops[0], &plans->stop);
  while (!atomic_load (&plans->stopped) || atomic_load (&plans->preparing) > 0)
    g_usleep (POLL_US);
}

void
ragify_warm_plans_free (RagifyWarmPlans *plans)
{
  save_state (plans);
  for (guint i = 0; i < plans->count; i++) {
    g_free (plans->all[i].file);
    g_strfreev (plans->all[i].queries);
  }
  g_free (plans->all);
  g_free (plans->state_file);
  g_free (plans);
}
