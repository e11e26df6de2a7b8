/* The balancer: its policies by the clock and the dice of the test, and real calls through it.
 *
 * SPDX-License-Identifier: MIT
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "core/balance/balancer.h"
#include "rig.h"

#define SECOND ((guint64)G_USEC_PER_SEC)
#define START (1000 * SECOND)
#define MEMBERS 3

static const Passage passages[] = { { "d1", "Cats", "", "cats sleep most of the day", "" } };

typedef struct {
  Rig *rig;
  Script scripts[MEMBERS];
  RagifyNode *nodes[MEMBERS];
  RagifyBalancerMember members[MEMBERS];
  RagifyBalancerOptions options;
  RagifyBalancer *balancer;
  RagifyPipeline *pipeline;
  guint64 now;
  guint picks[MEMBERS];
} World;

static guint64 dice;

static guint64
roll (void)
{
  guint64 z = dice += 0x9E3779B97F4A7C15u;
  z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
  z = (z ^ z >> 27) * 0x94D049BB133111EBu;
  return z ^ z >> 31;
}

static int
set_up (void **state)
{
  static const char *const names[MEMBERS] = { "a", "b", "c" };
  World *world = g_new0 (World, 1);
  world->rig = rig_new (2);
  world->now = START;
  dice = 1;
  world->rig->options = (RagifyNodeOptions){ .weight = 1 };
  for (guint i = 0; i < MEMBERS; i++) {
    world->scripts[i] = (Script){ .passages = passages, .n_passages = 1 };
    world->nodes[i] = rig_scripted (world->rig, names[i], &scripted_source, &world->scripts[i]);
    world->members[i].node = world->nodes[i];
  }
  world->options = (RagifyBalancerOptions){ .name = "handbook",
                                            .members = world->members,
                                            .n_members = MEMBERS,
                                            .error_penalty = 0.8,
                                            .slow_start_us = 10 * SECOND,
                                            .retries = 3,
                                            .retry_budget = 0.2,
                                            .random = roll };
  *state = world;
  return 0;
}

static int
tear_down (void **state)
{
  World *world = *state;
  Rig *rig = world->rig;
  while (rig->nodes->len > 0)
    assert_true (
        ragify_node_free (g_ptr_array_steal_index (rig->nodes, rig->nodes->len - 1), ragify_now () + 60 * SECOND));
  if (world->pipeline != NULL)
    ragify_pipeline_free (world->pipeline);
  ragify_balancer_free (world->balancer);
  rig_free (rig);
  g_free (world);
  return 0;
}

static void
build (World *world, RagifyBalancePolicy policy)
{
  world->options.policy = policy;
  world->balancer = ragify_balancer_new (&world->options);
}

/* One call at a time: picks, and ends after the member's latency. */
static guint
one_call (World *world, guint64 key, const guint64 latency[MEMBERS], const double failing[MEMBERS])
{
  const guint member = ragify_balancer_pick (world->balancer, key, 0, world->now);
  const gboolean fails = failing != NULL && (double)(roll () >> 11) * 0x1p-53 < failing[member];
  world->now += 1000;
  ragify_balancer_ended (world->balancer, member, fails ? RAGIFY_OUTCOME_BAD : RAGIFY_OUTCOME_GOOD,
                         latency != NULL ? latency[member] : 1000, world->now);
  world->picks[member]++;
  return member;
}

static void
call_often (World *world, guint count, const guint64 latency[MEMBERS], const double failing[MEMBERS])
{
  memset (world->picks, 0, sizeof world->picks);
  for (guint i = 0; i < count; i++)
    one_call (world, i, latency, failing);
}

static double
share (const World *world, guint member)
{
  guint all = 0;
  for (guint i = 0; i < MEMBERS; i++)
    all += world->picks[i];
  return (double)world->picks[member] / all;
}

static void
weights_are_followed_within_three_percent (void **state)
{
  World *world = *state;
  static const double weights[MEMBERS] = { 5, 3, 2 };
  for (guint i = 0; i < MEMBERS; i++)
    ragify_node_set_weight (world->nodes[i], weights[i]);
  build (world, RAGIFY_BALANCE_WEIGHTED_RANDOM);
  call_often (world, 100000, NULL, NULL);
  for (guint i = 0; i < MEMBERS; i++)
    assert_true (fabs (share (world, i) / (weights[i] / 10) - 1) < 0.03);
  ragify_balancer_free (world->balancer);
  build (world, RAGIFY_BALANCE_ROUND_ROBIN);
  call_often (world, 10000, NULL, NULL);
  for (guint i = 0; i < MEMBERS; i++)
    assert_int_equal (world->picks[i], (guint)(1000 * weights[i]));
}

static void
round_robin_spreads_turns_evenly (void **state)
{
  World *world = *state;
  ragify_node_set_weight (world->nodes[0], 2);
  build (world, RAGIFY_BALANCE_ROUND_ROBIN);
  char turns[9] = "";
  for (guint i = 0; i < 8; i++)
    turns[i] = (char)('a' + one_call (world, 0, NULL, NULL));
  assert_string_equal (turns, "abcaabca");
}

static void
a_member_that_fails_half_keeps_less_than_a_tenth_and_comes_back (void **state)
{
  World *world = *state;
  static const double half[MEMBERS] = { 0.5, 0, 0 };
  static const RagifyBalancePolicy policies[] = { RAGIFY_BALANCE_WEIGHTED_RANDOM, RAGIFY_BALANCE_ROUND_ROBIN,
                                                  RAGIFY_BALANCE_LEAST_OUTSTANDING, RAGIFY_BALANCE_EWMA };
  for (guint i = 0; i < G_N_ELEMENTS (policies); i++) {
    g_clear_pointer (&world->balancer, ragify_balancer_free);
    build (world, policies[i]);
    call_often (world, 2000, NULL, half);
    call_often (world, 10000, NULL, half);
    assert_true (share (world, 0) < 0.1);
    call_often (world, 60000, NULL, NULL); /* a minute */
    call_often (world, 10000, NULL, NULL);
    assert_true (share (world, 0) > 0.25);
  }
}

static void
ewma_leaves_a_slow_member_alone_and_looks_again (void **state)
{
  World *world = *state;
  static const guint64 latency[MEMBERS] = { 10000, 1000, 1000 };
  build (world, RAGIFY_BALANCE_EWMA);
  call_often (world, 2000, latency, NULL);
  call_often (world, 20000, latency, NULL); /* 20 s */
  assert_true (share (world, 0) < 0.05);
  call_often (world, 60000, NULL, NULL); /* it is fast now */
  call_often (world, 10000, NULL, NULL);
  assert_true (share (world, 0) > 0.25);
}

static void
least_outstanding_avoids_who_is_busy (void **state)
{
  World *world = *state;
  build (world, RAGIFY_BALANCE_LEAST_OUTSTANDING);
  /* Ten calls hang in the first. */
  for (guint i = 0; i < 10; i++)
    assert_int_equal (ragify_balancer_pick (world->balancer, 0, 6, world->now), 0);
  call_often (world, 1000, NULL, NULL);
  assert_int_equal (world->picks[0], 0);
  assert_true (world->picks[1] > 300 && world->picks[2] > 300);
}

static void
sticky_keys_stay_and_move_only_from_a_member_that_is_gone (void **state)
{
  World *world = *state;
  world->options.sticky = TRUE;
  build (world, RAGIFY_BALANCE_WEIGHTED_RANDOM);
  guint at[1000], moved = 0;
  for (guint key = 0; key < G_N_ELEMENTS (at); key++)
    at[key] = one_call (world, key, NULL, NULL);
  for (guint i = 0; i < MEMBERS; i++)
    assert_in_range (world->picks[i], 250, 420);
  static const double failing[MEMBERS] = { 0.3, 0, 0 };
  for (guint key = 0; key < G_N_ELEMENTS (at); key++)
    assert_int_equal (one_call (world, key, NULL, failing), at[key]);
  ragify_node_set_enabled (world->nodes[1], FALSE);
  for (guint key = 0; key < G_N_ELEMENTS (at); key++) {
    const guint now = one_call (world, key, NULL, NULL);
    assert_int_not_equal (now, 1);
    moved += now != at[key];
    assert_true (now == at[key] || at[key] == 1);
  }
  assert_true (moved > 0);
}

static void
changes_act_at_once (void **state)
{
  World *world = *state;
  build (world, RAGIFY_BALANCE_WEIGHTED_RANDOM);
  ragify_node_set_enabled (world->nodes[0], FALSE);
  ragify_node_set_weight (world->nodes[1], 3);
  call_often (world, 10000, NULL, NULL);
  assert_int_equal (world->picks[0], 0);
  assert_true (fabs (share (world, 1) - 0.75) < 0.02);
  ragify_node_set_enabled (world->nodes[1], FALSE);
  ragify_node_set_enabled (world->nodes[2], FALSE);
  assert_int_equal (ragify_balancer_pick (world->balancer, 0, 0, world->now), RAGIFY_BALANCER_NOBODY);
}

static void
the_p95_is_found_and_followed (void **state)
{
  World *world = *state;
  world->options.hedge_at_p95 = TRUE;
  build (world, RAGIFY_BALANCE_WEIGHTED_RANDOM);
  assert_int_equal (ragify_balancer_hedge_after (world->balancer, 0), 0);
  for (guint round = 1; round <= 2; round++) {
    for (guint i = 0; i < 5000; i++) { /* evenly between 0 and 100 ms, then 200 ms: the p95 is 95, then 190 */
      assert_int_equal (ragify_balancer_pick (world->balancer, 0, 6, world->now), 0);
      ragify_balancer_ended (world->balancer, 0, RAGIFY_OUTCOME_GOOD, round * (roll () % 100000), world->now);
    }
    const double p95 = (double)ragify_balancer_hedge_after (world->balancer, 0);
    assert_true (p95 > round * 95000 * 0.85 && p95 < round * 95000 * 1.15);
  }
}

/* ---- real calls ---- */

static void
build_pipeline (World *world)
{
  const RagifyRetriever retriever = {
    .node = world->nodes[0], .balancer = world->balancer, .source_type = "database", .weight = 1
  };
  const RagifyPipelineOptions options = {
    .name = "p", .retrievers = &retriever, .n_retrievers = 1, .deadline_us = 60 * SECOND
  };
  world->pipeline = ragify_pipeline_new (&world->rig->runtime, &options);
}

/* The report on `handbook`; the status of the answer is checked. */
static json_t *
ask (World *world, guint status)
{
  if (world->pipeline == NULL)
    build_pipeline (world);
  Reply reply = rig_ask (world->rig, 0, world->pipeline, "{\"query\":\"cats\"}");
  if (reply.status != status)
    fail_msg ("%u: %s", reply.status, reply.text);
  json_t *root = json_loads (reply.text, 0, NULL);
  json_t *report = json_incref (json_object_get (json_object_get (root, "sources"), "handbook"));
  assert_non_null (report);
  json_decref (root);
  reply_clear (&reply);
  return report;
}

static const char *
text_of (const json_t *report, const char *name)
{
  return json_string_value (json_object_get (report, name));
}

static guint
calls_of (World *world, guint member)
{
  return (guint)g_atomic_int_get (&world->scripts[member].calls);
}

static void
a_failure_is_answered_by_another_member (void **state)
{
  World *world = *state;
  for (guint i = 0; i < 2; i++)
    world->scripts[i].code = i == 0 ? RAGIFY_E_INTERNAL : RAGIFY_E_UNAVAILABLE;
  build (world, RAGIFY_BALANCE_ROUND_ROBIN);
  for (guint i = 0; i < 5; i++) {
    json_t *report = ask (world, 200);
    assert_string_equal (text_of (report, "status"), "ok");
    assert_string_equal (text_of (report, "member"), "c");
    json_decref (report);
  }
  assert_int_equal (calls_of (world, 2), 5);
}

static void
where_all_fail_the_last_reason_is_told (void **state)
{
  World *world = *state;
  for (guint i = 0; i < MEMBERS; i++)
    world->scripts[i].code = RAGIFY_E_UNAVAILABLE;
  build (world, RAGIFY_BALANCE_ROUND_ROBIN);
  json_t *report = ask (world, 503);
  assert_string_equal (text_of (report, "status"), "error");
  json_decref (report);
  assert_int_equal (calls_of (world, 0) + calls_of (world, 1) + calls_of (world, 2), MEMBERS);
}

static void
retries_are_under_the_budget (void **state)
{
  World *world = *state;
  world->options.retry_budget = 0;
  world->scripts[0].code = RAGIFY_E_INTERNAL;
  build (world, RAGIFY_BALANCE_ROUND_ROBIN);
  json_decref (ask (world, 503));
  json_decref (ask (world, 200));
}

static void
refused_input_is_not_tried_elsewhere (void **state)
{
  World *world = *state;
  world->scripts[0].code = RAGIFY_E_INVALID;
  build (world, RAGIFY_BALANCE_ROUND_ROBIN);
  json_decref (ask (world, 503));
  assert_int_equal (calls_of (world, 1) + calls_of (world, 2), 0);
}

static void
a_slow_member_is_hedged_and_its_call_cancelled (void **state)
{
  World *world = *state;
  world->options.hedge_us = 20 * 1000;
  world->scripts[0].hangs = TRUE;
  build (world, RAGIFY_BALANCE_ROUND_ROBIN);
  json_t *report = ask (world, 200);
  assert_string_equal (text_of (report, "member"), "b");
  json_decref (report);
  for (guint i = 0; i < 60000 && g_atomic_int_get (&world->scripts[0].cancels) == 0; i++)
    g_usleep (1000);
  assert_int_equal (g_atomic_int_get (&world->scripts[0].cancels), 1);
}

static void
a_silent_member_is_left_at_its_own_deadline (void **state)
{
  World *world = *state;
  world->members[0].deadline_us = 30 * 1000;
  world->scripts[0].hangs = TRUE;
  build (world, RAGIFY_BALANCE_ROUND_ROBIN);
  json_t *report = ask (world, 200);
  assert_string_equal (text_of (report, "member"), "b");
  json_decref (report);
}

static void
a_client_that_leaves_ends_both_calls (void **state)
{
  World *world = *state;
  world->options.hedge_us = 5 * 1000;
  world->scripts[0].hangs = world->scripts[1].hangs = TRUE;
  build (world, RAGIFY_BALANCE_ROUND_ROBIN);
  build_pipeline (world);
  Reply reply = rig_ask_and_leave (world->rig, 0, world->pipeline, "{\"query\":\"cats\"}", 60);
  assert_int_equal (reply.status, 499);
  reply_clear (&reply);
}

static void
nobody_enabled_is_said (void **state)
{
  World *world = *state;
  for (guint i = 0; i < MEMBERS; i++)
    ragify_node_set_enabled (world->nodes[i], FALSE);
  build (world, RAGIFY_BALANCE_EWMA);
  json_t *report = ask (world, 503);
  assert_string_equal (text_of (report, "status"), "skipped");
  json_decref (report);
}

static void
add_flaky (World *world, Script *flaky, guint64 open_us)
{
  *flaky = (Script){ .passages = passages, .n_passages = 1, .code = RAGIFY_E_UNAVAILABLE };
  world->rig->options =
      (RagifyNodeOptions){ .weight = 1, .breaker = { .failures = 2, .window_us = 10 * SECOND, .open_us = open_us } };
  world->members[0].node = rig_scripted (world->rig, "flaky", &scripted_source, flaky);
  world->options.retry_budget = 1;
  world->options.slow_start_us = 3600 * SECOND;
  build (world, RAGIFY_BALANCE_ROUND_ROBIN);
}

static void
an_open_circuit_is_passed_over_at_no_cost (void **state)
{
  World *world = *state;
  static Script flaky; /* a call may still be on its way when this returns */
  add_flaky (world, &flaky, 3600 * SECOND);
  for (guint i = 0; i < 12; i++)
    json_decref (ask (world, 200));
  assert_int_equal (g_atomic_int_get (&flaky.calls), 2);
}

static void
a_circuit_whose_time_is_over_gets_a_single_call_again (void **state)
{
  World *world = *state;
  static Script flaky; /* a call may still be on its way when this returns */
  add_flaky (world, &flaky, 50 * 1000);
  while (g_atomic_int_get (&flaky.calls) < 2)
    json_decref (ask (world, 200));
  flaky.code = RAGIFY_OK;
  gboolean tried = FALSE;
  for (guint i = 0; i < 6000 && !tried; i++) {
    g_usleep (10 * 1000);
    json_t *report = ask (world, 200);
    tried = strcmp (text_of (report, "member"), "flaky") == 0;
    json_decref (report);
  }
  assert_true (tried);
  /* Slow start: a tenth of a share at first. */
  assert_true (ragify_balancer_counts (world->balancer, 0, ragify_now ()).effective_weight < 0.5);
  assert_true (ragify_balancer_counts (world->balancer, 0, ragify_now () + 3600 * SECOND).effective_weight > 0.5);
}

static void
many_requests_while_members_come_and_go (void **state)
{
  World *world = *state;
  world->options.hedge_us = 1000;
  world->options.random = NULL;
  world->options.metrics = world->rig->runtime.metrics;
  build (world, RAGIFY_BALANCE_EWMA);
  build_pipeline (world);
  Reply replies[16];
  for (guint round = 0; round < 30; round++) {
    world->scripts[round % MEMBERS].code = round % 2 == 0 ? RAGIFY_E_UNAVAILABLE : RAGIFY_OK;
    world->scripts[round % MEMBERS].delay_ms = round % 4;
    ragify_node_set_enabled (world->nodes[1], round % 5 != 0);
    rig_ask_many (world->rig, world->pipeline, "{\"query\":\"cats\"}", G_N_ELEMENTS (replies), replies);
    for (guint i = 0; i < G_N_ELEMENTS (replies); i++)
      reply_clear (&replies[i]);
  }
}

int
main (void)
{
#define CASE(name) cmocka_unit_test_setup_teardown (name, set_up, tear_down)
  const struct CMUnitTest tests[] = {
    CASE (weights_are_followed_within_three_percent),
    CASE (round_robin_spreads_turns_evenly),
    CASE (a_member_that_fails_half_keeps_less_than_a_tenth_and_comes_back),
    CASE (ewma_leaves_a_slow_member_alone_and_looks_again),
    CASE (least_outstanding_avoids_who_is_busy),
    CASE (sticky_keys_stay_and_move_only_from_a_member_that_is_gone),
    CASE (changes_act_at_once),
    CASE (the_p95_is_found_and_followed),
    CASE (a_failure_is_answered_by_another_member),
    CASE (where_all_fail_the_last_reason_is_told),
    CASE (retries_are_under_the_budget),
    CASE (refused_input_is_not_tried_elsewhere),
    CASE (a_slow_member_is_hedged_and_its_call_cancelled),
    CASE (a_silent_member_is_left_at_its_own_deadline),
    CASE (a_client_that_leaves_ends_both_calls),
    CASE (nobody_enabled_is_said),
    CASE (an_open_circuit_is_passed_over_at_no_cost),
    CASE (a_circuit_whose_time_is_over_gets_a_single_call_again),
    CASE (many_requests_while_members_come_and_go),
  };
  cmocka_set_message_output (CM_OUTPUT_TAP);
  return cmocka_run_group_tests (tests, NULL, NULL);
}
