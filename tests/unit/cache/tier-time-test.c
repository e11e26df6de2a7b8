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

static void
what_is_stale_is_given_while_one_renews_it (void **state)
{
  World *world = *state;
  make_stale_tier (world, 1, 60 * SECOND_US, 0, 3600 * SECOND_US);
  put_foreign (world->first, 1, 61 * SECOND_US, 0);
  Ask renews = { .world = world, .key = key_number (1), .computes = TRUE, .holds = TRUE };
  Ask waits_not = { .world = world, .key = key_number (1), .loop = 1, .computes = TRUE };
  begin_ask (&renews);
  await_held (&renews);
  begin_ask (&waits_not);
  end_ask (&waits_not);
  assert_string_equal (waits_not.body, "foreign");
  assert_true (waits_not.stale);
  assert_false (waits_not.lead);
  release_ask (&renews);
  end_ask (&renews);
  assert_string_equal (renews.body, "foreign"); /* it has its answer, and the duty to compute another */
  assert_true (renews.stale && renews.lead);
  expect (world, 1, "computed", "memory");
  assert_int_equal (ragify_tier_counts (world->tier).stale, 2);
  clear_ask (&renews);
  clear_ask (&waits_not);
}

static void
what_was_set_here_gets_stale (void **state)
{
  World *world = *state;
  make_stale_tier (world, 1, 50000, 0, 3600 * SECOND_US);
  set (world, 1, "old");
  g_usleep (80000);
  Ask ask = { .world = world, .key = key_number (1), .computes = TRUE, .gives_up = TRUE };
  begin_ask (&ask);
  end_ask (&ask);
  assert_string_equal (ask.body, "old");
  assert_true (ask.stale && ask.lead);
  clear_ask (&ask);
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

/* By the wall clock it was made now; by what the level has left of its minute it was made 59 s ago. */
static void
the_level_s_own_clock_counts_as_well (void **state)
{
  World *world = *state;
  make_stale_tier (world, 2, 60 * SECOND_US, 60 * SECOND_US, 0);
  gboolean in_time = FALSE;
  for (guint i = 1; i <= 20 && !in_time; i++) { /* on a machine that pauses it may be over before it is asked for */
    const guint64 began = ragify_now ();
    put_foreign (world->second, i, 0, SECOND_US);
    const gboolean second = is_there (world, i);
    clear_level (world->second);
    const gboolean first = is_there (world, i); /* promoted, for the rest of its time only */
    in_time = ragify_now () < began + SECOND_US;
    assert_true (!in_time || (first && second));
    g_usleep (SECOND_US + 50000);
    expect (world, i, NULL, NULL);
  }
  assert_true (in_time);
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
  await_asked (&waiter);
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
  Ask leader = { .world = world, .key = key_number (1), .computes = TRUE, .holds = TRUE };
  begin_ask (&leader);
  await_held (&leader);
  Ask peek = { .world = world, .key = key_number (1), .loop = 1, .peeks = TRUE };
  begin_ask (&peek);
  end_ask (&peek);
  assert_null (peek.body);
  assert_false (peek.lead);
  release_ask (&leader);
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
  Ask before = { .world = world, .key = key_number (1), .computes = TRUE, .holds = TRUE };
  Ask after = { .world = world, .key = key_number (1), .loop = 1, .computes = TRUE };
  after.key.flight = 1;
  begin_ask (&before);
  await_held (&before);
  begin_ask (&after);
  end_ask (&after);
  assert_true (after.lead);
  release_ask (&before);
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
    CASE (what_is_stale_is_given_while_one_renews_it), CASE (what_was_set_here_gets_stale),
    CASE (past_the_stale_time_it_is_a_miss),           CASE (a_fresh_one_below_is_better_than_a_stale_one),
    CASE (the_wall_clock_of_others_counts_their_age),  CASE (what_comes_from_the_future_is_not_believed),
    CASE (the_level_s_own_clock_counts_as_well),       CASE (what_a_getter_must_not_have_is_a_miss),
    CASE (negative_answers_are_shared_and_not_kept),   CASE (a_peek_neither_waits_nor_leads),
    CASE (other_flights_share_no_computation),         CASE (a_leader_looks_twice_only_where_there_is_news),
  };
  return cmocka_run_group_tests_name ("tier-time", tests, NULL, NULL);
}
