/* SPDX-License-Identifier: MIT */
#include "core/pipeline/run.h"

#include <stdarg.h>
#include <string.h>
#include <xxhash.h>

/* What is left for fetching and the like when retrieving took all of its time. */
#define LATE_US 10000

const char *const ragify_stage_names[RAGIFY_N_STAGES] = {
  [RAGIFY_STAGE_EMBED] = "embed",     [RAGIFY_STAGE_SEARCH] = "search",   [RAGIFY_STAGE_WORDS] = "words",
  [RAGIFY_STAGE_SOURCES] = "sources", [RAGIFY_STAGE_VECTORS] = "vectors", [RAGIFY_STAGE_FUSE] = "fuse",
  [RAGIFY_STAGE_FETCH] = "fetch",     [RAGIFY_STAGE_RERANK] = "rerank",   [RAGIFY_STAGE_DIVERSIFY] = "diversify",
  [RAGIFY_STAGE_TOKENS] = "tokens",   [RAGIFY_STAGE_ENCODE] = "encode",
};

const char *const ragify_ask_state_names[RAGIFY_N_ASK_STATES] = {
  [RAGIFY_ASK_NOT_YET] = "skipped",           [RAGIFY_ASK_WAITS] = "skipped", [RAGIFY_ASK_OK] = "ok",
  [RAGIFY_ASK_TIMEOUT] = "timeout",           [RAGIFY_ASK_ERROR] = "error",   [RAGIFY_ASK_SKIPPED] = "skipped",
  [RAGIFY_ASK_OPEN_CIRCUIT] = "open-circuit",
};

static void
link_step (RagifyRun *run, RagifyStep *step)
{
  step->previous = NULL;
  step->next = run->steps;
  if (run->steps != NULL)
    run->steps->previous = step;
  run->steps = step;
}

static void
unlink_step (RagifyRun *run, RagifyStep *step)
{
  *(step->previous != NULL ? &step->previous->next : &run->steps) = step->next;
  if (step->next != NULL)
    step->next->previous = step->previous;
}

static void
end_step (RagifyStep *step, RagifyCall *call)
{
  RagifyRun *run = step->run;
  step->call = call;
  unlink_step (run, step);
  step->finished (step);
  ragify_run_release (run);
}

static void
attempt_finished (RagifyAttempt *attempt)
{
  end_step ((RagifyStep *)attempt, attempt->call);
}

static void
balanced_finished (RagifyBalanced *balanced, void *user)
{
  end_step (user, balanced->call);
}

void
ragify_run_begin (RagifyRun *run, void (*next) (RagifyRun *run))
{
  run->pending = 0;
  run->next = next;
}

void
ragify_run_hold (RagifyRun *run)
{
  run->pending++;
}

void
ragify_run_release (RagifyRun *run)
{
  if (--run->pending > 0)
    return;
  if (run->cancelled)
    ragify_run_complete (run);
  else
    run->next (run);
}

void
ragify_run_call (RagifyRun *run, RagifyStep *step, RagifyNode *node, const RagifyOperation *operation,
                 const void *arguments, guint64 deadline, void (*finished) (RagifyStep *step))
{
  step->run = run;
  step->finished = finished;
  link_step (run, step);
  ragify_run_hold (run);
  ragify_attempt_begin (&step->attempt, &run->request->owner, node, operation, arguments, deadline, attempt_finished);
}

void
ragify_run_call_balanced (RagifyRun *run, RagifyStep *step, RagifyBalancer *balancer, const RagifyOperation *operation,
                          const void *arguments, guint64 deadline, void (*finished) (RagifyStep *step))
{
  step->run = run;
  step->finished = finished;
  step->balanced = ragify_arena_alloc (run->arena, sizeof *step->balanced);
  link_step (run, step);
  ragify_run_hold (run);
  const guint64 key = XXH3_64bits (run->request->query.data, run->request->query.size);
  ragify_balanced_begin (step->balanced, &run->request->owner, balancer, operation, arguments, key, deadline,
                         balanced_finished, step);
}

void
ragify_step_cancel (RagifyStep *step)
{
  if (step->balanced != NULL)
    ragify_balanced_cancel (step->balanced);
  else
    ragify_attempt_cancel (&step->attempt);
}

guint64
ragify_step_duration (const RagifyStep *step)
{
  return step->balanced != NULL ? ragify_balanced_duration (step->balanced) : ragify_attempt_duration (&step->attempt);
}

guint64
ragify_run_late_deadline (const RagifyRun *run)
{
  return MAX (run->deadline, ragify_now () + LATE_US);
}

/* A stage that took so long has just ended. */
static void
note_stage (RagifyRun *run, RagifyStage stage, guint64 duration_us)
{
  if (run->request->explain) {
    const guint64 since_us = ragify_now () - run->request->began;
    const guint64 at_us = since_us > duration_us ? since_us - duration_us : 0;
    const gboolean first = (run->stages & (1u << stage)) == 0;
    run->stage_at_us[stage] = first ? at_us : MIN (run->stage_at_us[stage], at_us);
  }
  run->stages |= 1u << stage;
}

void
ragify_run_stage (RagifyRun *run, RagifyStage stage, guint64 duration_us)
{
  note_stage (run, stage, duration_us);
  run->stage_us[stage] = MAX (run->stage_us[stage], duration_us);
}

void
ragify_run_stage_add (RagifyRun *run, RagifyStage stage, guint64 duration_us)
{
  note_stage (run, stage, duration_us);
  run->stage_us[stage] += duration_us;
}

void
ragify_run_warn (RagifyRun *run, const char *text)
{
  run->degraded = TRUE;
  for (guint i = 0; i < run->n_warnings; i++)
    if (strcmp (run->warnings[i], text) == 0)
      return;
  if (run->n_warnings == run->warnings_capacity) {
    run->warnings_capacity = MAX (8, 2 * run->warnings_capacity);
    const char **grown = ragify_arena_alloc (run->arena, run->warnings_capacity * sizeof *grown);
    if (run->n_warnings > 0)
      memcpy (grown, run->warnings, run->n_warnings * sizeof *grown);
    run->warnings = grown;
  }
  run->warnings[run->n_warnings++] = ragify_arena_copy (run->arena, text, strlen (text));
}

const char *
ragify_run_text (RagifyRun *run, const char *format, ...)
{
  va_list arguments;
  va_start (arguments, format);
  g_autofree char *text = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  return ragify_arena_copy (run->arena, text, strlen (text));
}

RagifyAskState
ragify_ask_state_of (gint32 code)
{
  switch (code) {
  case RAGIFY_OK:
    return RAGIFY_ASK_OK;
  case RAGIFY_E_TIMEOUT:
    return RAGIFY_ASK_TIMEOUT;
  case RAGIFY_E_CANCELLED:
    return RAGIFY_ASK_SKIPPED;
  default:
    return RAGIFY_ASK_ERROR;
  }
}
