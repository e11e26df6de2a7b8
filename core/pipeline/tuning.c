/* SPDX-License-Identifier: MIT */
#include "core/pipeline/tuning.h"

#include <pthread.h>
#include <string.h>

#include "core/pipeline/background.h"
#include "core/pipeline/recall.h"
#include "core/pipeline/run.h"

#define MOST_AT_ONCE 64u
/* For exact search of all there is, on a busy machine. */
#define ANSWER_US (60 * (guint64)G_USEC_PER_SEC)

/* A setting, and what its runs came to. */
typedef struct Candidate {
  char *name, *setting; /* setting NULL: as it is configured */
  const char *member;
  gint64 value;
  GArray *throughput, *p95; /* double: answers a second, ms; of each run */
  guint64 failed;
} Candidate;

typedef struct Tuning Tuning;

/* One of those that ask at the same time. */
typedef struct Hand {
  RagifyTask task;
  Tuning *tuning;
  RagifyLoop *loop;
  guint item;
  guint64 began;
} Hand;

struct Tuning {
  const RagifyTuningOptions *options;
  RagifyBackground *background;
  guint64 asked; /* the thread's: answers of rounds that are over */

  /* Of the round under way; set before its hands begin. */
  const char *member;
  gint64 value;
  guint64 until; /* 0: each query once */
  gboolean wants_ids;

  pthread_mutex_t lock; /* guards what follows */
  pthread_cond_t over;
  guint next, hands;
  guint64 failed;
  GPtrArray *ids; /* by query; NULL: none */
  GArray *times;  /* double: ms, as they come */
  char *reason;   /* of the first that failed */
  Hand all[MOST_AT_ONCE];
};

static gboolean
is_stopping (const Tuning *tuning)
{
  return g_atomic_int_get (tuning->options->stopping) != 0;
}

/* ---- asking ---- */

static char *
reason_of (const RagifyAnswer *answer)
{
  json_t *json = json_loadb (answer->head != NULL ? answer->head : "", answer->head_size, 0, NULL);
  const char *detail = json_string_value (json_object_get (json, "detail"));
  char *reason = answer->degraded ? g_strdup ("not everything that was asked answered")
                 : detail != NULL ? g_strdup (detail)
                                  : g_strdup_printf ("status %u", answer->status);
  json_decref (json);
  return reason;
}

static GPtrArray *
ids_of (const RagifyAnswer *answer)
{
  g_autoptr (GString) text = g_string_new_len (answer->head, (gssize)answer->head_size);
  if (answer->body != NULL)
    g_string_append_len (text, (const char *)answer->body->data, (gssize)answer->body->size);
  return ragify_recall_read_ids (text->str, text->len);
}

/* Takes `ids` (or NULL) and `reason`, NULL where all is well. */
static void
note_answer (Hand *hand, GPtrArray *ids, char *reason)
{
  Tuning *tuning = hand->tuning;
  const double time = (double)(ragify_now () - hand->began) / 1000;
  pthread_mutex_lock (&tuning->lock);
  if (reason == NULL)
    g_array_append_val (tuning->times, time);
  if (ids != NULL)
    g_ptr_array_index (tuning->ids, hand->item) = ids;
  tuning->failed += reason != NULL ? 1 : 0;
  if (tuning->reason == NULL)
    tuning->reason = g_steal_pointer (&reason);
  pthread_mutex_unlock (&tuning->lock);
  g_free (reason);
  ragify_loop_post (hand->loop, &hand->task); /* not at once: others are to have their turn */
}

static void
answered (RagifyRequest *request, const RagifyAnswer *answer, void *user)
{
  Hand *hand = user;
  const gboolean well = answer->status == 200 && !answer->degraded;
  GPtrArray *ids = well && hand->tuning->wants_ids ? ids_of (answer) : NULL;
  char *reason = well ? NULL : reason_of (answer);
  if (well && hand->tuning->wants_ids && ids == NULL)
    reason = g_strdup ("an answer cannot be read");
  ragify_background_end (hand->tuning->background, request);
  ragify_owner_unref (&request->owner);
  note_answer (hand, ids, reason);
}

static void
ask (Hand *hand)
{
  Tuning *tuning = hand->tuning;
  const RagifyTuningOptions *options = tuning->options;
  RagifyProblem problem = { 0 };
  g_autofree char *text =
      ragify_recall_request (g_ptr_array_index (options->queries, hand->item), ragify_pipeline_name (options->pipeline),
                             options->store, options->chunks, tuning->member, tuning->value);
  hand->began = ragify_now ();
  RagifyRequest *request = ragify_request_parse_json (text, strlen (text), &problem);
  if (request == NULL) {
    note_answer (hand, NULL, g_steal_pointer (&problem.detail));
    ragify_problem_clear (&problem);
    return;
  }
  request->loop = hand->loop;
  request->timeout_us = ANSWER_US;
  ragify_background_begin (tuning->background, request);
  ragify_pipeline_answer (options->pipeline, request, answered, hand);
}

static void
go_on (RagifyTask *task)
{
  Hand *hand = (Hand *)task;
  Tuning *tuning = hand->tuning;
  const guint count = tuning->options->queries->len;
  pthread_mutex_lock (&tuning->lock);
  const gboolean more = tuning->until > 0 ? ragify_now () < tuning->until : tuning->next < count;
  const gboolean goes_on = more && !is_stopping (tuning) && (tuning->reason == NULL || !tuning->wants_ids);
  if (goes_on)
    hand->item = tuning->next++ % count;
  else if (--tuning->hands == 0)
    pthread_cond_signal (&tuning->over);
  pthread_mutex_unlock (&tuning->lock);
  if (goes_on)
    ask (hand);
}

/* All queries once, or again and again for `time` µs, `at_once` of them; returns when they are answered. */
static void
ask_round (Tuning *tuning, const char *member, gint64 value, guint at_once, guint64 time)
{
  const RagifyTuningOptions *options = tuning->options;
  tuning->member = member;
  tuning->value = value;
  tuning->until = time > 0 ? ragify_now () + time : 0;
  tuning->wants_ids = time == 0;
  g_ptr_array_set_size (tuning->ids, 0);
  g_ptr_array_set_size (tuning->ids, (gint)options->queries->len);
  g_array_set_size (tuning->times, 0);
  g_clear_pointer (&tuning->reason, g_free);
  tuning->next = 0;
  tuning->failed = 0;
  tuning->hands = at_once;
  const RagifyRuntime *runtime = options->pipeline->runtime;
  for (guint i = 0; i < at_once; i++) {
    Hand *hand = &tuning->all[i];
    *hand = (Hand){ .task.run = go_on, .tuning = tuning, .loop = runtime->loops[i % runtime->n_loops] };
    ragify_loop_post (hand->loop, &hand->task);
  }
  pthread_mutex_lock (&tuning->lock);
  while (tuning->hands > 0)
    pthread_cond_wait (&tuning->over, &tuning->lock);
  tuning->asked += tuning->times->len;
  pthread_mutex_unlock (&tuning->lock);
}

static void
say (Tuning *tuning, const char *step)
{
  tuning->options->say (tuning->options->user,
                        json_pack ("{s:s, s:I}", "step", step, "answers", (json_int_t)tuning->asked));
}

/* ---- recall ---- */

static gboolean
ask_for_recall (void *user, const char *member, gint64 value, RagifyRecallAnswers *answers)
{
  Tuning *tuning = user;
  g_autofree char *step =
      value > 0 ? g_strdup_printf ("recall: %s = %" G_GINT64_FORMAT, member, value) : g_strdup ("recall: exact search");
  say (tuning, step);
  ask_round (tuning, member, value, 1, 0);
  if (tuning->reason != NULL || is_stopping (tuning))
    return FALSE;
  for (guint i = 0; i < tuning->ids->len; i++)
    g_ptr_array_add (answers->ids, g_steal_pointer (&g_ptr_array_index (tuning->ids, i)));
  g_array_append_vals (answers->times, tuning->times->data, tuning->times->len);
  return TRUE;
}

/* ---- speed ---- */

static void
candidate_clear (gpointer data)
{
  Candidate *candidate = data;
  g_free (candidate->name);
  g_free (candidate->setting);
  g_array_unref (candidate->throughput);
  g_array_unref (candidate->p95);
}

static void
add_candidate (GArray *candidates, const RagifyTuningOptions *options, const RagifyRecall *recall)
{
  Candidate candidate = { .name = g_strdup ("as configured"),
                          .throughput = g_array_new (FALSE, FALSE, sizeof (double)),
                          .p95 = g_array_new (FALSE, FALSE, sizeof (double)) };
  if (recall != NULL) {
    candidate.member = recall->member;
    candidate.value = recall->value;
    candidate.setting =
        g_strdup_printf ("vector-store %s.%s=%" G_GINT64_FORMAT, options->store, recall->key, recall->value);
    g_free (candidate.name);
    candidate.name = g_strdup_printf ("%s = %" G_GINT64_FORMAT, recall->key, recall->value);
  }
  g_array_append_val (candidates, candidate);
}

static void
run_candidate (Tuning *tuning, Candidate *candidate, guint round)
{
  const RagifyTuningOptions *options = tuning->options;
  g_autofree char *step = g_strdup_printf ("speed: run %u of %u: %s", round + 1, options->repeats, candidate->name);
  say (tuning, step);
  const guint64 began = ragify_now ();
  ask_round (tuning, candidate->member, candidate->value, MIN (options->at_once, MOST_AT_ONCE), options->run_us);
  const double took = (double)(ragify_now () - began) / G_USEC_PER_SEC;
  const double throughput = (double)tuning->times->len / MAX (took, 1e-9);
  const double p95 = ragify_percentile_of (tuning->times, 95);
  candidate->failed += tuning->failed;
  g_array_append_val (candidate->throughput, throughput);
  g_array_append_val (candidate->p95, p95);
}

static json_t *
describe_candidates (const GArray *candidates)
{
  json_t *list = json_array ();
  for (guint i = 0; i < candidates->len; i++) {
    const Candidate *candidate = &g_array_index (candidates, Candidate, i);
    json_array_append_new (list, json_pack ("{s:s, s:o, s:o, s:I, s:b}", "name", candidate->name, "throughput",
                                            ragify_spread_describe (ragify_spread_of (candidate->throughput)), "p95_ms",
                                            ragify_spread_describe (ragify_spread_of (candidate->p95)), "failed",
                                            (json_int_t)candidate->failed, "chosen", i + 1 == candidates->len));
  }
  return list;
}

/* The last candidate is the one that is chosen: it is the smallest that finds enough. */
static json_t *
measure (Tuning *tuning, const RagifyRecall *recall)
{
  const RagifyTuningOptions *options = tuning->options;
  g_autoptr (GArray) candidates = g_array_new (FALSE, FALSE, sizeof (Candidate));
  g_array_set_clear_func (candidates, candidate_clear);
  add_candidate (candidates, options, NULL);
  if (recall->value > 0)
    add_candidate (candidates, options, recall);
  for (guint round = 0; round < options->repeats; round++)
    for (guint i = 0; i < candidates->len && !is_stopping (tuning); i++)
      run_candidate (tuning, &g_array_index (candidates, Candidate, i), round);
  if (is_stopping (tuning))
    return NULL;

  const Candidate *chosen = &g_array_index (candidates, Candidate, candidates->len - 1);
  const char *const setting = chosen->setting;
  g_autofree char *comment =
      g_strdup_printf ("Written by POST /v1/tune: recall %.4f of the first %u, %.4g asked, over %u queries.",
                       recall->recall, options->chunks, options->recall, options->queries->len);
  g_autofree char *drop_in = setting != NULL ? ragify_drop_in_of (comment, &setting, 1) : g_strdup ("");
  json_t *found = ragify_recall_describe (recall);
  json_object_set_new (found, "store", json_string (options->store));
  json_object_set_new (found, "wanted", json_real (options->recall));
  return json_pack ("{s:o, s:o, s:s}", "recall", found, "candidates", describe_candidates (candidates), "drop_in",
                    drop_in);
}

/* ---- the whole ---- */

static json_t *
tune (Tuning *tuning, RagifyProblem *problem)
{
  RagifyRecall recall = { 0 };
  json_t *result = NULL;
  if (ragify_recall_search (tuning->options->recall, ask_for_recall, tuning, &recall))
    result = measure (tuning, &recall);
  else if (!is_stopping (tuning))
    ragify_problem_set (problem, 503, "Service unavailable", NULL, "a query was not answered in full: %s",
                        tuning->reason);
  ragify_recall_clear (&recall);
  return result;
}

static void
unref_ids (gpointer ids)
{
  if (ids != NULL)
    g_ptr_array_unref (ids);
}

json_t *
ragify_tuning_run (const RagifyTuningOptions *options, RagifyProblem *problem)
{
  Tuning *tuning = g_new0 (Tuning, 1);
  tuning->options = options;
  tuning->background = ragify_background_new ();
  tuning->ids = g_ptr_array_new_with_free_func (unref_ids);
  tuning->times = g_array_new (FALSE, FALSE, sizeof (double));
  pthread_mutex_init (&tuning->lock, NULL);
  pthread_cond_init (&tuning->over, NULL);
  json_t *result = tune (tuning, problem);
  ragify_background_free (tuning->background);
  pthread_cond_destroy (&tuning->over);
  pthread_mutex_destroy (&tuning->lock);
  g_ptr_array_unref (tuning->ids);
  g_array_unref (tuning->times);
  g_free (tuning->reason);
  g_free (tuning);
  return result;
}
