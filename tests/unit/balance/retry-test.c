/* Retries and the circuit breaker around the calls of real nodes.
 *
 * SPDX-License-Identifier: MIT
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <string.h>

#include "core/balance/retry-budget.h"
#include "rig.h"

#define SECOND ((guint64)G_USEC_PER_SEC)

static const Passage passages[] = { { "d1", "Cats", "", "cats sleep most of the day", "" } };

typedef struct {
  Rig *rig;
  Script good, bad;
  RagifyRetriever retrievers[2];
  RagifyPipelineOptions options;
  RagifyPipeline *pipeline;
} World;

static int
set_up (void **state)
{
  World *world = g_new0 (World, 1);
  world->rig = rig_new (2);
  world->good = world->bad = (Script){ .passages = passages, .n_passages = 1 };
  *state = world;
  return 0;
}

static int
tear_down (void **state)
{
  World *world = *state;
  ragify_pipeline_free (world->pipeline);
  rig_free (world->rig);
  g_free (world);
  return 0;
}

/* A pipeline over a good source and one that does what `bad` says, with the node options of the rig. */
static void
build (World *world, const RagifyComponent *bad)
{
  RagifyNode *node = rig_scripted (world->rig, "bad", bad, &world->bad);
  world->rig->options = (RagifyNodeOptions){ 0 };
  RagifyNode *good = rig_scripted (world->rig, "good", &scripted_source, &world->good);
  world->retrievers[0] = (RagifyRetriever){ .node = good, .source_type = "database", .weight = 1 };
  world->retrievers[1] = (RagifyRetriever){ .node = node, .source_type = "database", .weight = 1 };
  world->options = (RagifyPipelineOptions){
    .name = "p", .retrievers = world->retrievers, .n_retrievers = 2, .deadline_us = 60 * SECOND
  };
  world->pipeline = ragify_pipeline_new (&world->rig->runtime, &world->options);
}

/* Asks, and gives the status of `bad` with the whole answer. */
static char *
ask (World *world, gboolean *degraded)
{
  Reply reply = rig_ask (world->rig, 0, world->pipeline, "{\"query\":\"cats\"}");
  assert_int_equal (reply.status, 200);
  json_t *root = json_loads (reply.text, 0, NULL);
  assert_non_null (root);
  char *status = g_strdup (
      json_string_value (json_object_get (json_object_get (json_object_get (root, "sources"), "bad"), "status")));
  *degraded = json_is_true (json_object_get (root, "degraded"));
  json_decref (root);
  reply_clear (&reply);
  return status;
}

static void
assert_status (World *world, const char *expected)
{
  gboolean degraded;
  g_autofree char *status = ask (world, &degraded);
  assert_string_equal (status, expected);
  assert_int_equal (degraded, strcmp (expected, "ok") != 0);
}

static double
metric (World *world, const char *name)
{
  return ragify_series_value (ragify_metrics_series (
      world->rig->runtime.metrics, g_str_has_suffix (name, "_total") ? RAGIFY_SERIES_COUNTER : RAGIFY_SERIES_GAUGE,
      name, "", "node", "bad", NULL));
}

/* ---- retries ---- */

static void
what_fails_for_a_passing_reason_is_asked_again (void **state)
{
  World *world = *state;
  world->rig->options = (RagifyNodeOptions){ .retries = 3, .retry_budget = 0.2 };
  world->bad.code = RAGIFY_E_UNAVAILABLE;
  world->bad.fails = 1;
  build (world, &scripted_source);
  /* The script says: come back after 1.5 s. */
  const guint64 began = ragify_now ();
  assert_status (world, "ok");
  assert_true (ragify_now () - began >= 1500000);
  assert_int_equal (g_atomic_int_get (&world->bad.calls), 2);
  assert_true (metric (world, "ragify_retries_total") == 1);
}

static void
a_fault_that_does_not_pass_is_not_asked_again (void **state)
{
  World *world = *state;
  world->rig->options = (RagifyNodeOptions){ .retries = 3, .retry_budget = 0.2 };
  world->bad.code = RAGIFY_E_INTERNAL;
  build (world, &scripted_source);
  assert_status (world, "error");
  assert_int_equal (g_atomic_int_get (&world->bad.calls), 1);
}

static void
nothing_is_asked_again_that_would_come_too_late (void **state)
{
  World *world = *state;
  world->rig->options = (RagifyNodeOptions){ .retries = 3, .retry_budget = 0.2 };
  world->bad.code = RAGIFY_E_UNAVAILABLE;
  build (world, &scripted_source);
  ragify_pipeline_free (world->pipeline);
  world->retrievers[1].deadline_us = SECOND; /* the script asks for 1.5 s */
  world->pipeline = ragify_pipeline_new (&world->rig->runtime, &world->options);
  gboolean degraded;
  g_autofree char *status = ask (world, &degraded); /* a timeout where the machine paused */
  assert_true (degraded);
  assert_string_not_equal (status, "ok");
  assert_in_range (g_atomic_int_get (&world->bad.calls), 0, 1);
}

static void
a_client_that_leaves_ends_the_pause (void **state)
{
  World *world = *state;
  world->rig->options = (RagifyNodeOptions){ .retries = 3, .retry_budget = 0.2 };
  world->bad.code = RAGIFY_E_UNAVAILABLE;
  build (world, &scripted_source);
  Reply reply = rig_ask_and_leave (world->rig, 0, world->pipeline, "{\"query\":\"cats\"}", 100);
  assert_int_equal (reply.status, 499);
  assert_in_range (g_atomic_int_get (&world->bad.calls), 0, 1);
  reply_clear (&reply);
}

static void
the_budget_bounds_retries (void **state)
{
  RagifyRetryBudget *budget = ragify_retry_budget_new (0.2);
  guint retries = 0;
  for (guint i = 0; i < 1000; i++) {
    ragify_retry_budget_deposit (budget);
    while (ragify_retry_budget_withdraw (budget))
      retries++;
  }
  assert_in_range (retries, 208, 211); /* ten at first, then one for each five */
  ragify_retry_budget_free (budget);
  budget = ragify_retry_budget_new (0);
  ragify_retry_budget_deposit (budget);
  assert_false (ragify_retry_budget_withdraw (budget));
  ragify_retry_budget_free (budget);
}

static void
back_off_doubles_with_jitter_and_honours_what_was_asked (void **state)
{
  assert_int_equal (ragify_retry_delay (1, 0, 0), 12500);
  for (guint64 random = 0; random < 50000; random += 77) {
    assert_in_range (ragify_retry_delay (1, 0, random), 12500, 25000);
    assert_in_range (ragify_retry_delay (3, 0, random), 50000, 100000);
    assert_in_range (ragify_retry_delay (40, 0, random), 500000, 1000000);
  }
  assert_int_equal (ragify_retry_delay (1, 3 * SECOND, 5), 3 * SECOND);
}

/* ---- the circuit ---- */

static const RagifyNodeOptions breaks = { .breaker = {
                                              .failures = 3, .window_us = 10 * SECOND, .open_us = 200 * 1000 } };

static void
an_open_circuit_is_not_asked_and_the_answer_says_so (void **state)
{
  World *world = *state;
  world->rig->options = breaks;
  world->rig->options.breaker.open_us = 3600 * SECOND;
  world->bad.code = RAGIFY_E_UNAVAILABLE;
  build (world, &scripted_source);
  for (guint i = 0; i < 3; i++)
    assert_status (world, "error");
  for (guint i = 0; i < 5; i++)
    assert_status (world, "open-circuit");
  assert_int_equal (g_atomic_int_get (&world->bad.calls), 3);
  assert_true (metric (world, "ragify_breaker_state") == 2);
  assert_true (metric (world, "ragify_breaker_refused_total") == 5);
  assert_true (metric (world, "ragify_breaker_opened_total") == 1);
}

static void
a_live_call_closes_it_once_it_is_well (void **state)
{
  World *world = *state;
  world->rig->options = breaks;
  world->bad.code = RAGIFY_E_UNAVAILABLE;
  build (world, &scripted_source);
  for (guint i = 0; i < 3; i++)
    assert_status (world, "error");
  world->bad.code = RAGIFY_OK;
  g_usleep (250 * 1000);
  assert_status (world, "ok");
  assert_true (metric (world, "ragify_breaker_state") == 0);
}

static void
no_request_waits_for_a_probe_and_none_is_asked_while_it_fails (void **state)
{
  World *world = *state;
  world->rig->options = breaks;
  world->bad.code = RAGIFY_E_UNAVAILABLE;
  world->bad.sick = TRUE;
  build (world, &scripted_probed_source);
  for (guint i = 0; i < 3; i++)
    assert_status (world, "error");
  g_usleep (250 * 1000);
  assert_status (world, "open-circuit"); /* begins the probe, which fails */
  for (guint i = 0; i < 1000 && metric (world, "ragify_breaker_opened_total") < 2; i++)
    g_usleep (5000);
  assert_int_equal (g_atomic_int_get (&world->bad.probes), 1);
  assert_int_equal (g_atomic_int_get (&world->bad.calls), 3);
  g_atomic_int_set (&world->bad.sick, FALSE);
  world->bad.code = RAGIFY_OK;
  gboolean degraded = TRUE;
  for (guint i = 0; i < 1000 && degraded; i++) {
    g_usleep (10000);
    g_free (ask (world, &degraded));
  }
  assert_false (degraded);
  assert_int_equal (g_atomic_int_get (&world->bad.probes), 2);
  assert_true (metric (world, "ragify_breaker_state") == 0);
}

static void
hurried_clients_do_not_open_it (void **state)
{
  World *world = *state;
  world->rig->options = breaks;
  world->bad.delay_ms = 60;
  build (world, &scripted_source);
  for (guint i = 0; i < 5; i++) {
    Reply reply = rig_ask (world->rig, 0, world->pipeline, "{\"query\":\"cats\",\"timeout_ms\":30}");
    reply_clear (&reply);
  }
  assert_status (world, "ok");
}

static void
concurrent_requests_and_a_source_that_comes_and_goes (void **state)
{
  World *world = *state;
  world->rig->options = breaks;
  world->rig->options.breaker.open_us = 2000;
  world->rig->options.retries = 2;
  world->rig->options.retry_budget = 0.2;
  build (world, &scripted_probed_source);
  Reply replies[16];
  for (guint i = 0; i < 40; i++) {
    world->bad.code = i % 4 < 2 ? RAGIFY_E_INTERNAL : RAGIFY_OK;
    rig_ask_many (world->rig, world->pipeline, "{\"query\":\"cats\"}", G_N_ELEMENTS (replies), replies);
    for (guint r = 0; r < G_N_ELEMENTS (replies); r++) {
      assert_int_equal (replies[r].status, 200);
      reply_clear (&replies[r]);
    }
  }
}

int
main (void)
{
#define TEST(name) cmocka_unit_test_setup_teardown (name, set_up, tear_down)
  const struct CMUnitTest tests[] = {
    TEST (what_fails_for_a_passing_reason_is_asked_again),
    TEST (a_fault_that_does_not_pass_is_not_asked_again),
    TEST (nothing_is_asked_again_that_would_come_too_late),
    TEST (a_client_that_leaves_ends_the_pause),
    cmocka_unit_test (the_budget_bounds_retries),
    cmocka_unit_test (back_off_doubles_with_jitter_and_honours_what_was_asked),
    TEST (an_open_circuit_is_not_asked_and_the_answer_says_so),
    TEST (a_live_call_closes_it_once_it_is_well),
    TEST (no_request_waits_for_a_probe_and_none_is_asked_while_it_fails),
    TEST (hurried_clients_do_not_open_it),
    TEST (concurrent_requests_and_a_source_that_comes_and_goes),
  };
  cmocka_set_message_output (CM_OUTPUT_TAP);
  return cmocka_run_group_tests (tests, NULL, NULL);
}
