/* The tier: levels in order, promotion, expiry, failure, and one computation for each key.
 *
 * SPDX-License-Identifier: MIT
 */
#include "cache-rig.h"

static void
what_was_set_is_found (void **state)
{
  World *world = *state;
  make_tier (world, 1, 60 * G_USEC_PER_SEC, 0);
  expect (world, 1, NULL, NULL);
  set (world, 1, "answer");
  expect (world, 1, "answer", "memory");
  expect (world, 2, NULL, NULL);
  const RagifyTierCounts counts = ragify_tier_counts (world->tier);
  assert_int_equal (counts.hits, 1);
  assert_int_equal (counts.misses, 2);
  const RagifyTierLevelCounts level = ragify_tier_level_counts (world->tier, 0);
  assert_int_equal (level.hits, 1);
  assert_int_equal (level.misses, 2);
}

static void
a_lower_hit_fills_the_levels_above (void **state)
{
  World *world = *state;
  make_tier (world, 2, 60 * G_USEC_PER_SEC, 60 * G_USEC_PER_SEC);
  set (world, 1, "answer");
  clear_level (world->first);
  expect (world, 1, "answer", "second");
  expect (world, 1, "answer", "memory");
}

static void
promotion_does_not_prolong_life (void **state)
{
  World *world = *state;
  const gint64 second = G_USEC_PER_SEC, hour = 3600 * second;
  make_tier (world, 2, 60 * second, hour);
  put_foreign (world->second, 1, 59 * second, hour - 59 * second);
  expect (world, 1, "foreign", "second"); /* a second is left to the first */
  g_usleep (second + 50000);
  expect (world, 1, "foreign", "second");
  expect (world, 1, "foreign", "second"); /* older than the first level may keep it */
}

static void
answers_without_chunks_live_shortly (void **state)
{
  World *world = *state;
  make_tier (world, 1, 60 * G_USEC_PER_SEC, 0);
  gboolean in_time = FALSE;
  for (guint i = 1; i <= 100 && !in_time; i++) { /* on a machine that pauses it may be over before it is asked for */
    const guint64 began = ragify_now ();
    set_negative (world, i, "nothing");
    const gboolean found = is_there (world, i);
    in_time = ragify_now () < began + 45000; /* jitter takes a twentieth at most */
    assert_true (!in_time || found);
    g_usleep (70000);
    expect (world, i, NULL, NULL);
  }
  assert_true (in_time);
}

static void
a_failing_level_is_skipped (void **state)
{
  World *world = *state;
  static Script script; /* calls may still be on their way when this returns */
  script.code = RAGIFY_E_UNAVAILABLE;
  world->second = world->first;
  world->first = rig_scripted (world->rig, "broken", &scripted_cache, &script);
  make_tier (world, 2, 60 * G_USEC_PER_SEC, 60 * G_USEC_PER_SEC);
  expect (world, 1, NULL, NULL);
  set (world, 1, "answer");
  expect (world, 1, "answer", "second");
  assert_true (ragify_tier_level_counts (world->tier, 0).errors >= 3);
}

static void
a_silent_level_is_not_waited_for (void **state)
{
  World *world = *state;
  static Script script;
  script.hangs = TRUE;
  world->second = world->first;
  world->first = rig_scripted (world->rig, "silent", &scripted_cache, &script);
  make_tier (world, 2, 60 * G_USEC_PER_SEC, 60 * G_USEC_PER_SEC);
  expect (world, 1, NULL, NULL); /* two looks at 50 ms each, and grace: it leads long before its own time is over */
}

static void
foreign_values_are_misses (void **state)
{
  World *world = *state;
  make_tier (world, 1, 60 * G_USEC_PER_SEC, 0);
  static const guint8 junk[] = "RGFA\x09\0\0\0 from the future, as it were, and long enough for a head and more of it";
  put_raw (world->first, 1, junk, sizeof junk, 0);
  expect (world, 1, NULL, NULL);
}

static void
one_computes_and_all_get_it (void **state)
{
  World *world = *state;
  make_tier (world, 1, 60 * G_USEC_PER_SEC, 0);
  enum { N = 500 };
  g_autofree Ask *asks = g_new0 (Ask, N);
  for (guint i = 0; i < N; i++) {
    asks[i] = (Ask){ .world = world, .loop = i % 2, .key = key_number (1), .computes = TRUE, .compute_ms = 20 };
    begin_ask (&asks[i]);
  }
  guint leaders = 0;
  for (guint i = 0; i < N; i++) {
    end_ask (&asks[i]);
    leaders += asks[i].lead;
    if (!asks[i].lead)
      assert_string_equal (asks[i].body, "computed");
    clear_ask (&asks[i]);
  }
  assert_int_equal (leaders, 1);
  const RagifyTierCounts counts = ragify_tier_counts (world->tier);
  assert_int_equal (counts.misses, 1);
  assert_int_equal (counts.hits, N - 1);
  const RagifyTierLevelCounts level = ragify_tier_level_counts (world->tier, 0); /* who came late found it there */
  assert_int_equal (level.misses + level.hits, N);
}

/* Also of those who waited for another's look-up. */
static void
each_level_counts_what_getters_were_told (void **state)
{
  World *world = *state;
  make_tier (world, 2, 60 * G_USEC_PER_SEC, 60 * G_USEC_PER_SEC);
  enum { N = 200, ROUNDS = 20 };
  g_autofree Ask *asks = g_new0 (Ask, N);
  guint64 told[] = { 0, 0 };
  set (world, 1, "kept");
  const guint64 before = ragify_tier_level_counts (world->tier, 1).hits;
  for (guint round = 0; round < ROUNDS; round++) {
    clear_level (world->first);
    for (guint i = 0; i < N; i++) {
      asks[i] = (Ask){ .world = world, .loop = i % 2, .key = key_number (1) };
      begin_ask (&asks[i]);
    }
    for (guint i = 0; i < N; i++) {
      end_ask (&asks[i]);
      assert_string_equal (asks[i].body, "kept");
      told[g_str_equal (asks[i].level, "second") ? 1 : 0]++;
      clear_ask (&asks[i]);
    }
  }
  const RagifyTierLevelCounts first = ragify_tier_level_counts (world->tier, 0);
  const RagifyTierLevelCounts second = ragify_tier_level_counts (world->tier, 1);
  assert_true (told[1] > 0);
  assert_int_equal (first.hits, told[0]);
  assert_int_equal (second.hits - before, told[1]);
}

static void
after_a_failing_leader_others_lead (void **state)
{
  World *world = *state;
  make_tier (world, 1, 60 * G_USEC_PER_SEC, 0);
  enum { N = 40 };
  g_autofree Ask *asks = g_new0 (Ask, N);
  for (guint i = 0; i < N; i++) {
    asks[i] = (Ask){ .world = world,
                     .loop = i % 2,
                     .key = key_number (1),
                     .computes = TRUE,
                     .compute_ms = i < 10 ? 5 : 1,
                     .gives_up = i < 10 };
    begin_ask (&asks[i]);
  }
  guint leaders = 0;
  for (guint i = 0; i < N; i++) {
    end_ask (&asks[i]);
    leaders += asks[i].lead;
    if (!asks[i].lead)
      assert_string_equal (asks[i].body, "computed");
    clear_ask (&asks[i]);
  }
  assert_true (leaders >= 1 && leaders <= 30);
  expect (world, 1, "computed", "memory");
}

static void
a_waiter_keeps_its_own_deadline (void **state)
{
  World *world = *state;
  make_tier (world, 1, 60 * G_USEC_PER_SEC, 0);
  Ask leader = { .world = world, .key = key_number (1), .computes = TRUE, .holds = TRUE };
  begin_ask (&leader);
  await_held (&leader);
  Ask hasty = { .world = world, .loop = 1, .key = key_number (1), .patience_us = 30000 };
  Ask patient = { .world = world, .loop = 1, .key = key_number (1) };
  begin_ask (&hasty);
  begin_ask (&patient);
  await_asked (&patient);
  end_ask (&hasty);
  assert_true (hasty.timeout);
  release_ask (&leader);
  end_ask (&patient);
  assert_string_equal (patient.body, "computed");
  assert_null (patient.level);
  end_ask (&leader);
  assert_int_equal (ragify_tier_counts (world->tier).timeouts, 1);
  clear_ask (&hasty);
  clear_ask (&patient);
  clear_ask (&leader);
}

static void
cancel_now (void *user)
{
  Ask *ask = user;
  assert_non_null (ask->get);
  ragify_tier_cancel (ask->get);
  finish_ask (ask);
}

static void
a_cancelled_waiter_is_left_out (void **state)
{
  World *world = *state;
  make_tier (world, 1, 60 * G_USEC_PER_SEC, 0);
  Ask leader = { .world = world, .key = key_number (1), .computes = TRUE, .holds = TRUE, .gives_up = TRUE };
  begin_ask (&leader);
  await_held (&leader);
  Ask gone = { .world = world, .loop = 1, .key = key_number (1), .computes = TRUE };
  Ask stays = { .world = world, .loop = 1, .key = key_number (1), .computes = TRUE };
  begin_ask (&gone);
  begin_ask (&stays);
  await_asked (&stays);
  rig_run (world->rig, 1, cancel_now, &gone);
  end_ask (&gone);
  release_ask (&leader);
  end_ask (&stays);
  assert_true (stays.lead); /* not the one who left */
  end_ask (&leader);
  clear_ask (&gone);
  clear_ask (&stays);
  clear_ask (&leader);
}

/* Waiters that leave while they are being woken: whatever wins, nothing is lost and nothing leaks. */
static void
leaving_and_waking_may_cross (void **state)
{
  World *world = *state;
  make_tier (world, 1, 60 * G_USEC_PER_SEC, 0);
  for (guint round = 0; round < 50; round++) {
    Ask leader = {
      .world = world, .key = key_number (100 + round), .computes = TRUE, .compute_ms = 2, .gives_up = round % 2 == 0
    };
    Ask waiters[4];
    begin_ask (&leader);
    for (guint i = 0; i < 4; i++) {
      waiters[i] = (Ask){ .world = world,
                          .loop = 1,
                          .key = key_number (100 + round),
                          .computes = TRUE,
                          .patience_us = 1500 + 250 * i,
                          .gives_up = i % 2 == 0 };
      begin_ask (&waiters[i]);
    }
    end_ask (&leader);
    for (guint i = 0; i < 4; i++) {
      end_ask (&waiters[i]);
      assert_true (waiters[i].lead || waiters[i].timeout || waiters[i].body != NULL);
      clear_ask (&waiters[i]);
    }
    clear_ask (&leader);
  }
}

int
main (void)
{
  cmocka_set_message_output (CM_OUTPUT_TAP);
#define CASE(name) cmocka_unit_test_setup_teardown (name, set_up, tear_down)
  const struct CMUnitTest tests[] = {
    CASE (what_was_set_is_found),
    CASE (a_lower_hit_fills_the_levels_above),
    CASE (promotion_does_not_prolong_life),
    CASE (answers_without_chunks_live_shortly),
    CASE (a_failing_level_is_skipped),
    CASE (a_silent_level_is_not_waited_for),
    CASE (each_level_counts_what_getters_were_told),
    CASE (foreign_values_are_misses),
    CASE (one_computes_and_all_get_it),
    CASE (after_a_failing_leader_others_lead),
    CASE (a_waiter_keeps_its_own_deadline),
    CASE (a_cancelled_waiter_is_left_out),
    CASE (leaving_and_waking_may_cross),
  };
  return cmocka_run_group_tests_name ("tier", tests, NULL, NULL);
}
