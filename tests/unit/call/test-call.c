/* Calls, from every thread to every run class, with every way of ending.
 *
 * SPDX-License-Identifier: MIT
 */
#include "fixture.h"

#include <math.h>
#include <pthread.h>
#include <string.h>

static RagifyRuntime *runtime;

/* ---- what the component does ---- */

static void
complete_with (RagifyCall *call, const char *text)
{
  RagifyChunk *chunk = fixture_host ()->call_alloc (call, sizeof *chunk);
  char *content = fixture_host ()->call_alloc (call, strlen (text) + 1);
  memcpy (content, text, strlen (text));
  *chunk = (RagifyChunk){ .struct_size = sizeof *chunk, .content = ragify_str_from (content) };
  const RagifySourceResult result = { .struct_size = sizeof result,
                                      .chunks = { .items = chunk, .count = 1, .stride = sizeof *chunk } };
  fixture_host ()->call_done (call, &result);
}

static void
answer_at_once (void *instance, RagifyCall *call, const RagifySourceQuery *args)
{
  complete_with (call, "at once");
}

static void
complete_on_thread (void *user)
{
  complete_with (user, "from a worker");
}

static void
answer_from_elsewhere (void *instance, RagifyCall *call, const RagifySourceQuery *args)
{
  assert_int_equal (fixture_host ()->submit (fixture_context (instance), complete_on_thread, call), RAGIFY_OK);
}

static void
refuse (void *instance, RagifyCall *call, const RagifySourceQuery *args)
{
  fixture_host ()->call_fail (call, RAGIFY_E_UNAUTHORIZED, ragify_str_from ("wrong password"), 1000);
}

static void
answer_twice (void *instance, RagifyCall *call, const RagifySourceQuery *args)
{
  complete_with (call, "first");
  fixture_host ()->call_fail (call, RAGIFY_E_INTERNAL, ragify_str_from ("second"), 0);
}

static void
answer_late (void *instance, RagifyCall *call, const RagifySourceQuery *args)
{
  fixture_wait_behind_bolt ();
  complete_with (call, "too late");
}

static void
answer_nan (void *instance, RagifyCall *call, const RagifySourceQuery *args)
{
  static const RagifyChunk chunk = { .struct_size = sizeof chunk, .score = NAN };
  const RagifySourceResult result = { .struct_size = sizeof result,
                                      .chunks = { .items = &chunk, .count = 1, .stride = sizeof chunk } };
  fixture_host ()->call_done (call, &result);
}

static void
answer_too_much (void *instance, RagifyCall *call, const RagifySourceQuery *args)
{
  RagifyChunk *chunks = fixture_host ()->call_alloc (call, 100 * sizeof *chunks);
  for (guint i = 0; i < 100; i++)
    chunks[i].struct_size = sizeof *chunks;
  const RagifySourceResult result = { .struct_size = sizeof result,
                                      .chunks = { .items = chunks, .count = 100, .stride = sizeof *chunks } };
  fixture_host ()->call_done (call, &result);
}

static void
answer_nothing (void *instance, RagifyCall *call, const RagifySourceQuery *args)
{
  fixture_host ()->call_done (call, NULL);
}

static void
cancelled (RagifyCall *call, void *user)
{
  fixture_host ()->call_fail (call, RAGIFY_E_CANCELLED, ragify_str_from ("as asked"), 0);
}

static void
wait_for_cancel (void *instance, RagifyCall *call, const RagifySourceQuery *args)
{
  fixture_host ()->call_on_cancel (call, cancelled, NULL);
}

static void
emit_three (void *instance, RagifyCall *call, const RagifySourceQuery *args)
{
  for (guint i = 0; i < 3; i++) {
    char *content = fixture_host ()->call_alloc (call, 8);
    g_snprintf (content, 8, "item %u", i);
    const RagifyChunk chunk = { .struct_size = sizeof chunk, .content = { content, 6 } };
    assert_int_equal (fixture_host ()->call_emit (call, &chunk), RAGIFY_EMIT_GO);
  }
  const RagifySourceResult result = { .struct_size = sizeof result };
  fixture_host ()->call_done (call, &result);
}

static gint most_at_once, at_once;

static void
count_parallel (void *instance, RagifyCall *call, const RagifySourceQuery *args)
{
  const gint now = g_atomic_int_add (&at_once, 1) + 1;
  if (now > g_atomic_int_get (&most_at_once))
    g_atomic_int_set (&most_at_once, now);
  g_usleep (2000);
  g_atomic_int_add (&at_once, -1);
  complete_with (call, "counted");
}

/* ---- tests ---- */

static void
assert_answer (RagifyNode *node, const char *text)
{
  RagifyLoop *const callers[] = { runtime->loops[0], runtime->loops[1], NULL };
  for (guint i = 0; i < G_N_ELEMENTS (callers); i++) {
    const FixtureOutcome outcome = fixture_ask (node, callers[i], FIXTURE_PATIENCE_US, 0);
    assert_int_equal (outcome.code, RAGIFY_OK);
    assert_string_equal (outcome.first, text);
    assert_int_equal (outcome.chunks, 1);
    assert_int_equal (outcome.finished, callers[i] != NULL ? 1 : 0);
  }
  fixture_settle (node);
  assert_true (ragify_node_free (node, ragify_now () + FIXTURE_PATIENCE_US));
}

static void
every_run_class_answers_every_caller (void **state)
{
  const guint32 classes[] = { RAGIFY_RUN_LOOP, RAGIFY_RUN_SHARED, RAGIFY_RUN_WORKER };
  for (guint i = 0; i < G_N_ELEMENTS (classes); i++) {
    assert_answer (fixture_source_new (runtime, classes[i], 0, answer_at_once), "at once");
    assert_answer (fixture_source_new (runtime, classes[i], 0, answer_from_elsewhere), "from a worker");
  }
}

static void
a_failure_names_node_and_operation (void **state)
{
  RagifyNode *node = fixture_source_new (runtime, RAGIFY_RUN_SHARED, 0, refuse);
  const FixtureOutcome outcome = fixture_ask (node, runtime->loops[0], FIXTURE_PATIENCE_US, 0);
  assert_int_equal (outcome.code, RAGIFY_E_UNAUTHORIZED);
  assert_string_equal (outcome.message, "tested: query: wrong password");
  ragify_node_free (node, ragify_now () + FIXTURE_PATIENCE_US);
}

static void
a_second_completion_is_counted_and_ignored (void **state)
{
  RagifyNode *node = fixture_source_new (runtime, RAGIFY_RUN_WORKER, 0, answer_twice);
  const guint64 before = ragify_node_counts (node).doubled;
  const FixtureOutcome outcome = fixture_ask (node, runtime->loops[0], FIXTURE_PATIENCE_US, 0);
  assert_int_equal (outcome.code, RAGIFY_OK);
  assert_string_equal (outcome.first, "first");
  fixture_settle (node);
  for (guint i = 0; i < 1000 && ragify_node_counts (node).doubled == before; i++)
    g_usleep (1000);
  assert_int_equal (ragify_node_counts (node).doubled, before + 1);
  ragify_node_free (node, ragify_now () + FIXTURE_PATIENCE_US);
}

static void
a_late_call_is_abandoned_and_its_completion_harmless (void **state)
{
  RagifyLoop *const callers[] = { runtime->loops[1], NULL };
  for (guint i = 0; i < G_N_ELEMENTS (callers); i++) {
    RagifyNode *node = fixture_source_new (runtime, RAGIFY_RUN_WORKER, 0, answer_late);
    for (guint turn = 0; turn < 100 && ragify_node_counts (node).late == 0; turn++) { /* it may never have begun */
      fixture_bolt ();
      const FixtureOutcome outcome = fixture_ask (node, callers[i], 10000, 0);
      fixture_unbolt ();
      assert_int_equal (outcome.code, RAGIFY_E_TIMEOUT);
      assert_string_equal (outcome.message, "tested: query: no answer within its deadline");
      assert_int_equal (outcome.chunks, 0);
      fixture_settle (node);
    }
    assert_int_equal (ragify_node_counts (node).late, 1);
    assert_int_equal (ragify_node_counts (node).abandoned, 0);
    assert_true (ragify_node_free (node, ragify_now () + FIXTURE_PATIENCE_US));
  }
}

static void
a_node_with_too_many_hanging_calls_is_ejected (void **state)
{
  RagifyNode *node = fixture_source_new (runtime, RAGIFY_RUN_WORKER, 8, answer_late);
  gboolean ejected = FALSE;
  fixture_bolt ();
  for (guint i = 0; i < 10000 && !ejected; i++) { /* those that had no time to begin do not hang */
    const FixtureOutcome outcome = fixture_ask (node, runtime->loops[0], 1000, 0);
    ejected = outcome.code == RAGIFY_E_UNAVAILABLE;
    assert_true (ejected || outcome.code == RAGIFY_E_TIMEOUT);
  }
  assert_true (ejected);
  fixture_unbolt ();
  fixture_settle (node);
  assert_int_equal (fixture_ask (node, runtime->loops[0], FIXTURE_PATIENCE_US, 0).code, RAGIFY_OK); /* and comes back */
  fixture_settle (node);
  ragify_node_free (node, ragify_now () + FIXTURE_PATIENCE_US);
}

static void
cancelling_reaches_the_plugin_and_ends_the_call (void **state)
{
  const guint32 classes[] = { RAGIFY_RUN_LOOP, RAGIFY_RUN_SHARED, RAGIFY_RUN_WORKER };
  for (guint i = 0; i < G_N_ELEMENTS (classes); i++) {
    RagifyNode *node = fixture_source_new (runtime, classes[i], 4, wait_for_cancel);
    const FixtureOutcome outcome = fixture_ask (node, runtime->loops[0], FIXTURE_PATIENCE_US, 5000);
    assert_int_equal (outcome.code, RAGIFY_E_CANCELLED);
    assert_true (outcome.duration < FIXTURE_PATIENCE_US / 2);
    fixture_settle (node);
    ragify_node_free (node, ragify_now () + FIXTURE_PATIENCE_US);
  }
}

static void
results_are_not_trusted (void **state)
{
  const struct {
    void (*query) (void *instance, RagifyCall *call, const RagifySourceQuery *args);
    const char *message;
  } cases[] = { { answer_nan, "tested: query: returned a score that is not finite" },
                { answer_nothing, "tested: query: completed without a result" } };
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    RagifyNode *node = fixture_source_new (runtime, RAGIFY_RUN_SHARED, 0, cases[i].query);
    const FixtureOutcome outcome = fixture_ask (node, runtime->loops[0], FIXTURE_PATIENCE_US, 0);
    assert_int_equal (outcome.code, RAGIFY_E_INTERNAL);
    assert_string_equal (outcome.message, cases[i].message);
    ragify_node_free (node, ragify_now () + FIXTURE_PATIENCE_US);
  }
  RagifyNode *node = fixture_source_new (runtime, RAGIFY_RUN_SHARED, 0, answer_too_much);
  assert_int_equal (fixture_ask (node, runtime->loops[0], FIXTURE_PATIENCE_US, 0).chunks, 10); /* surplus is cut */
  ragify_node_free (node, ragify_now () + FIXTURE_PATIENCE_US);
}

static void
emitted_items_are_collected_in_order (void **state)
{
  RagifyNode *node = fixture_source_new (runtime, RAGIFY_RUN_WORKER, 0, emit_three);
  const FixtureOutcome outcome = fixture_ask (node, runtime->loops[0], FIXTURE_PATIENCE_US, 0);
  assert_int_equal (outcome.code, RAGIFY_OK);
  assert_int_equal (outcome.chunks, 3);
  assert_string_equal (outcome.first, "item 0");
  ragify_node_free (node, ragify_now () + FIXTURE_PATIENCE_US);
}

typedef struct Asker {
  RagifyNode *node;
  guint loop;
} Asker;

static gint slow; /* atomic: calls that are being answered slowly */

static void
complete_late (void *user)
{
  fixture_wait_behind_bolt ();
  complete_with (user, "late");
}

static void
answer_slowly (void *instance, RagifyCall *call, const RagifySourceQuery *args)
{
  g_atomic_int_inc (&slow);
  assert_int_equal (fixture_host ()->submit (fixture_context (instance), complete_late, call), RAGIFY_OK);
}

static void *
ask_once (void *data)
{
  const Asker *asker = data;
  assert_int_equal (fixture_ask (asker->node, runtime->loops[asker->loop], FIXTURE_PATIENCE_US, 0).code, RAGIFY_OK);
  return NULL;
}

static void *
ask_many (void *data)
{
  const Asker *asker = data;
  for (guint i = 0; i < 50; i++)
    assert_int_equal (fixture_ask (asker->node, runtime->loops[asker->loop], FIXTURE_PATIENCE_US, 0).code, RAGIFY_OK);
  return NULL;
}

static void
ask_from_threads (RagifyNode *node, guint count)
{
  pthread_t threads[8];
  Asker askers[8];
  for (guint i = 0; i < count; i++) {
    askers[i] = (Asker){ node, i % 2 };
    pthread_create (&threads[i], NULL, ask_many, &askers[i]);
  }
  for (guint i = 0; i < count; i++)
    pthread_join (threads[i], NULL);
  fixture_settle (node);
}

static void
a_worker_component_runs_one_at_a_time_unless_it_says_otherwise (void **state)
{
  g_atomic_int_set (&most_at_once, 0);
  RagifyNode *node = fixture_source_new (runtime, RAGIFY_RUN_WORKER, 0, count_parallel);
  ask_from_threads (node, 4);
  assert_int_equal (g_atomic_int_get (&most_at_once), 1);
  ragify_node_free (node, ragify_now () + FIXTURE_PATIENCE_US);
}

static void
answer_counted (void *user)
{
  g_usleep (300);
  g_atomic_int_add (&at_once, -1);
  complete_with (user, "counted");
}

static void
count_elsewhere (void *instance, RagifyCall *call, const RagifySourceQuery *args)
{
  const gint now = g_atomic_int_add (&at_once, 1) + 1;
  for (gint most = g_atomic_int_get (&most_at_once); now > most; most = g_atomic_int_get (&most_at_once))
    if (g_atomic_int_compare_and_exchange (&most_at_once, most, now))
      break;
  assert_int_equal (fixture_host ()->submit (fixture_context (instance), answer_counted, call), RAGIFY_OK);
}

/* Those that wait are answered all the same, in the way that the class has. */
static void
a_configured_bound_holds_for_every_run_class (void **state)
{
  const guint32 classes[] = { RAGIFY_RUN_LOOP, RAGIFY_RUN_SHARED };
  for (guint i = 0; i < G_N_ELEMENTS (classes); i++)
    for (guint bound = 1; bound <= 3; bound += 2) {
      g_atomic_int_set (&most_at_once, 0);
      RagifyNode *node = fixture_bounded_source_new (runtime, classes[i], 0, bound, count_elsewhere);
      ask_from_threads (node, 8);
      assert_in_range (g_atomic_int_get (&most_at_once), 1, bound);
      assert_int_equal (g_atomic_int_get (&at_once), 0);
      assert_true (ragify_node_free (node, ragify_now () + FIXTURE_PATIENCE_US));
    }
  RagifyNode *node = fixture_bounded_source_new (runtime, RAGIFY_RUN_SHARED, 0, 1, answer_at_once);
  assert_answer (node, "at once");
}

static void
what_waits_for_a_place_ends_at_its_deadline (void **state)
{
  const guint32 classes[] = { RAGIFY_RUN_LOOP, RAGIFY_RUN_SHARED, RAGIFY_RUN_WORKER };
  for (guint i = 0; i < G_N_ELEMENTS (classes); i++) {
    RagifyNode *node = fixture_bounded_source_new (runtime, classes[i], 4, 1, answer_slowly);
    Asker first = { node, 0 };
    pthread_t thread;
    g_atomic_int_set (&slow, 0);
    fixture_bolt ();
    pthread_create (&thread, NULL, ask_once, &first);
    while (g_atomic_int_get (&slow) == 0)
      g_usleep (1000);
    const FixtureOutcome outcome = fixture_ask (node, runtime->loops[1], 20000, 0);
    fixture_unbolt ();
    assert_int_equal (outcome.code, RAGIFY_E_TIMEOUT);
    pthread_join (thread, NULL);
    assert_int_equal (fixture_ask (node, runtime->loops[1], FIXTURE_PATIENCE_US, 0).code, RAGIFY_OK);
    fixture_settle (node);
    assert_int_equal (ragify_node_counts (node).abandoned, 0);
    assert_true (ragify_node_free (node, ragify_now () + FIXTURE_PATIENCE_US));
  }
}

/* A pool of two connections needs no third loop. */
static void
a_bound_is_one_of_loops_too (void **state)
{
  RagifyNode *node = fixture_bounded_source_new (runtime, RAGIFY_RUN_LOOP, 0, 1, answer_at_once);
  assert_answer (node, "at once");
  assert_int_equal (fixture_instances (), 1);
}

static void
many_threads_call_every_run_class (void **state)
{
  const guint32 classes[] = { RAGIFY_RUN_LOOP, RAGIFY_RUN_SHARED, RAGIFY_RUN_WORKER };
  for (guint i = 0; i < G_N_ELEMENTS (classes); i++) {
    RagifyNode *node = fixture_source_new (runtime, classes[i], 4, answer_from_elsewhere);
    const guint64 before = ragify_node_counts (node).calls; /* start's */
    ask_from_threads (node, 8);
    assert_int_equal (ragify_node_counts (node).calls, before + 400);
    ragify_node_free (node, ragify_now () + FIXTURE_PATIENCE_US);
  }
}

static int
set_up (void **state)
{
  runtime = fixture_runtime_new ();
  return 0;
}

static int
tear_down (void **state)
{
  fixture_runtime_free (runtime);
  return 0;
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (every_run_class_answers_every_caller),
    cmocka_unit_test (a_failure_names_node_and_operation),
    cmocka_unit_test (a_second_completion_is_counted_and_ignored),
    cmocka_unit_test (a_late_call_is_abandoned_and_its_completion_harmless),
    cmocka_unit_test (a_node_with_too_many_hanging_calls_is_ejected),
    cmocka_unit_test (cancelling_reaches_the_plugin_and_ends_the_call),
    cmocka_unit_test (results_are_not_trusted),
    cmocka_unit_test (emitted_items_are_collected_in_order),
    cmocka_unit_test (a_worker_component_runs_one_at_a_time_unless_it_says_otherwise),
    cmocka_unit_test (a_configured_bound_holds_for_every_run_class),
    cmocka_unit_test (what_waits_for_a_place_ends_at_its_deadline),
    cmocka_unit_test (a_bound_is_one_of_loops_too),
    cmocka_unit_test (many_threads_call_every_run_class),
  };
  cmocka_set_message_output (CM_OUTPUT_TAP);
  return cmocka_run_group_tests (tests, set_up, tear_down);
}
