/* The tier and time: what is past its TTL, clocks that jump, what a promotion may prolong.
 *
 * SPDX-License-Identifier: MIT
 */
#include "cache-rig.h"

#include "core/call/operations.h"

#define SECOND_US ((gint64)G_USEC_PER_SEC)

static void
make_stale_tier (World *world, guint n_levels, guint64 ttl_us, guint64 second_ttl_us, guint64 stale_us)
{
  const RagifyTierLevel levels[] = {
    { .node = world->first, .kind = "memory", .ttl_us = ttl_us },
    { .node = world->second, .kind = "second", .ttl_us = second_ttl_us },
  };
  const RagifyTierOptions options = { .name = "answers", .levels = levels, .n_levels = n_levels, .stale_us = stale_us };
  world->tier = ragify_tier_new (&world->rig->runtime, &options);
}

/* An envelope as another process would have made it, so long ago (negative: ahead of our clock). */
static void
put_foreign (RagifyNode *node, guint number, gint64 age_us, guint64 level_ttl_us)
{
  RagifyBuffer *envelope = ragify_envelope_new (bytes ("foreign"), one_id, g_get_real_time () - age_us, 0, 0);
  put_raw (node, number, envelope->data, envelope->size, level_ttl_us);
  envelope->unref (envelope);
}

static void
what_is_stale_is_given_while_one_renews_it (void **state)
{
  World *world = *state;
  make_stale_tier (world, 1, 100000, 0, 60 * G_USEC_PER_SEC);
  set (world, 1, "old");
  g_usleep (130000);
  Ask renews = { .world = world, .key = key_number (1), .computes = TRUE, .compute_ms = 60 };
  Ask waits_not = { .world = world, .key = key_number (1), .loop = 1, .computes = TRUE };
  begin_ask (&renews);
  g_usleep (20000);
  begin_ask (&waits_not);
  end_ask (&waits_not);
  assert_string_equal (waits_not.body, "old");
  assert_true (waits_not.stale);
  assert_false (waits_not.lead);
  end_ask (&renews);
  assert_string_equal (renews.body, "old"); /* it has its answer, and the duty to compute another */
  assert_true (renews.stale && renews.lead);
  expect (world, 1, "computed", "memory");
  assert_int_equal (ragify_tier_counts (world->tier).stale, 2);
  clear_ask (&renews);
  clear_ask (&waits_not);
}

static void
past_the_stale_time_it_is_a_miss (void **state)
{
  World *world = *state;
  make_stale_tier (world, 1, 50000, 0, 50000);
  set (world, 1, "old");
  g_usleep (130000);
  expect (world, 1, NULL, NULL);
}

static void
a_fresh_one_below_is_better_than_a_stale_one (void **state)
{
  World *world = *state;
  make_stale_tier (world, 2, 50000, 60 * G_USEC_PER_SEC, 60 * G_USEC_PER_SEC);
  set (world, 1, "answer");
  g_usleep (80000);
  expect (world, 1, "answer", "second");
  assert_int_equal (ragify_tier_counts (world->tier).stale, 0);
}

static void
the_wall_clock_of_others_counts_their_age (void **state)
{
  World *world = *state;
  make_stale_tier (world, 1, 60 * SECOND_US, 0, 0);
  put_foreign (world->first, 1, 30 * SECOND_US, 0);
  expect (world, 1, "foreign", "memory");
  put_foreign (world->first, 2, 61 * SECOND_US, 0);
  expect (world, 2, NULL, NULL);
  put_foreign (world->first, 3, -5 * SECOND_US, 0); /* their clock is a little ahead */
  expect (world, 3, "foreign", "memory");
}

static void
what_comes_from_the_future_is_not_believed (void **state)
{
  World *world = *state;
  make_stale_tier (world, 1, 60 * SECOND_US, 0, 60 * SECOND_US);
  put_foreign (world->first, 1, -3600 * SECOND_US, 0); /* our clock was set back since */
  expect (world, 1, NULL, NULL);
  put_foreign (world->first, 2, G_MININT64 / 4, 0);
  expect (world, 2, NULL, NULL);
}

static void
the_level_s_own_clock_counts_as_well (void **state)
{
  World *world = *state;
  make_stale_tier (world, 2, 60 * SECOND_US, 60 * SECOND_US, 0);
  /* By the wall clock it was made now; by what the level has left of its minute it was made 59.8 s ago. */
  put_foreign (world->second, 1, 0, 200000);
  expect (world, 1, "foreign", "second");
  expect (world, 1, "foreign", "memory"); /* promoted, for the rest of its time only */
  g_usleep (260000);
  expect (world, 1, NULL, NULL);
}

static gboolean
refuse (const RagifyEnvelope *envelope, void *user)
{
  assert_int_equal (envelope->n_ids, 1);
  assert_int_equal (envelope->ids[0], 9);
  return FALSE;
}

static void
what_a_getter_must_not_have_is_a_miss (void **state)
{
  World *world = *state;
  make_stale_tier (world, 2, 60 * SECOND_US, 120 * SECOND_US, 0);
  set (world, 1, "deleted since");
  Ask ask = { .world = world, .key = key_number (1), .computes = TRUE, .valid = refuse };
  begin_ask (&ask);
  end_ask (&ask);
  assert_true (ask.lead);
  assert_null (ask.body);
  expect (world, 1, "computed", "memory");
  assert_int_equal (ragify_tier_counts (world->tier).rejected, 2);
  clear_ask (&ask);
}

static void
negative_answers_are_shared_and_not_kept (void **state)
{
  World *world = *state;
  make_stale_tier (world, 1, 60 * SECOND_US, 0, 0); /* negative_ttl_us 0 */
  Ask leader = { .world = world, .key = key_number (1), .computes = FALSE };
  Ask waiter = { .world = world, .key = key_number (1), .loop = 1 };
  begin_ask (&leader);
  end_ask (&leader);
  assert_true (leader.lead);
  begin_ask (&waiter);
  g_usleep (30000);
  set_negative (world, 1, "nothing");
  end_ask (&waiter);
  assert_string_equal (waiter.body, "nothing");
  expect (world, 1, NULL, NULL);
  clear_ask (&waiter);
}

static void
a_peek_neither_waits_nor_leads (void **state)
{
  World *world = *state;
  make_stale_tier (world, 2, 60 * SECOND_US, 120 * SECOND_US, 0);
  Ask leader = { .world = world, .key = key_number (1), .computes = TRUE, .compute_ms = 100 };
  begin_ask (&leader);
  g_usleep (20000);
  Ask peek = { .world = world, .key = key_number (1), .loop = 1, .peeks = TRUE };
  begin_ask (&peek);
  end_ask (&peek);
  assert_null (peek.body);
  assert_false (peek.lead);
  end_ask (&leader);
  clear_level (world->first);
  Ask again = { .world = world, .key = key_number (1), .peeks = TRUE };
  begin_ask (&again);
  end_ask (&again);
  assert_string_equal (again.body, "computed");
  assert_string_equal (again.level, "second");
  expect (world, 1, "computed", "memory");
  clear_ask (&leader);
  clear_ask (&peek);
  clear_ask (&again);
}

static void
other_flights_share_no_computation (void **state)
{
  World *world = *state;
  make_stale_tier (world, 1, 60 * SECOND_US, 0, 0);
  Ask before = { .world = world, .key = key_number (1), .computes = TRUE, .compute_ms = 80 };
  Ask after = { .world = world, .key = key_number (1), .loop = 1, .computes = TRUE };
  after.key.flight = 1;
  begin_ask (&before);
  g_usleep (20000);
  begin_ask (&after);
  end_ask (&after);
  assert_true (after.lead);
  end_ask (&before);
  assert_true (before.lead);
  clear_ask (&before);
  clear_ask (&after);
}

static void
a_leader_looks_twice_only_where_there_is_news (void **state)
{
  World *world = *state;
  static Script script;
  world->first = rig_scripted (world->rig, "empty", &scripted_cache, &script);
  make_stale_tier (world, 1, 60 * SECOND_US, 0, 0);
  expect (world, 1, NULL, NULL);
  assert_int_equal (script.calls, 1);
  assert_int_equal (ragify_tier_level_counts (world->tier, 0).misses, 1);
}

int
main (void)
{
  cmocka_set_message_output (CM_OUTPUT_TAP);
#define CASE(name) cmocka_unit_test_setup_teardown (name, set_up, tear_down)
  const struct CMUnitTest tests[] = {
    CASE (what_is_stale_is_given_while_one_renews_it),
    CASE (past_the_stale_time_it_is_a_miss),
    CASE (a_fresh_one_below_is_better_than_a_stale_one),
    CASE (the_wall_clock_of_others_counts_their_age),
    CASE (what_comes_from_the_future_is_not_believed),
    CASE (the_level_s_own_clock_counts_as_well),
    CASE (what_a_getter_must_not_have_is_a_miss),
    CASE (negative_answers_are_shared_and_not_kept),
    CASE (a_peek_neither_waits_nor_leads),
    CASE (other_flights_share_no_computation),
    CASE (a_leader_looks_twice_only_where_there_is_news),
  };
  return cmocka_run_group_tests_name ("tier-time", tests, NULL, NULL);
}
