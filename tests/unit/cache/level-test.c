/* Levels that are slow, full, or refuse to be written to: what is dropped, given up and taken up again.
 *
 * SPDX-License-Identifier: MIT
 */
#include "cache-rig.h"

#include <string.h>

#define SECOND_US ((guint64)G_USEC_PER_SEC)

static gint warnings, notices; /* atomic: what was logged */
static const RagifyBreakerOptions breaker = { .failures = 3, .window_us = 10 * SECOND_US, .open_us = 3600 * SECOND_US };

static GLogWriterOutput
count_log (GLogLevelFlags level, const GLogField *fields, gsize n_fields, gpointer user)
{
  if ((level & G_LOG_LEVEL_WARNING) != 0)
    g_atomic_int_inc (&warnings);
  if ((level & G_LOG_LEVEL_MESSAGE) != 0)
    g_atomic_int_inc (&notices);
  return G_LOG_WRITER_HANDLED;
}

static void
make (World *world, const RagifyTierLevel *second)
{
  const RagifyTierLevel levels[] = {
    { .node = world->first, .kind = "memory", .ttl_us = 60 * SECOND_US },
    *second,
  };
  const RagifyTierOptions options = { .name = "answers", .levels = levels, .n_levels = 2 };
  world->tier = ragify_tier_new (&world->rig->runtime, &options);
  g_atomic_int_set (&warnings, 0);
  g_atomic_int_set (&notices, 0);
}

static void
await (const gint *counter, gint value)
{
  for (guint i = 0; i < 60000 && g_atomic_int_get (counter) < value; i++)
    g_usleep (1000);
  assert_true (g_atomic_int_get (counter) >= value);
}

static void
await_errors (World *world, guint64 errors)
{
  for (guint i = 0; i < 60000 && ragify_tier_level_counts (world->tier, 1).errors < errors; i++)
    g_usleep (1000);
  assert_int_equal (ragify_tier_level_counts (world->tier, 1).errors, errors);
}

static void
writes_behind_are_bounded_and_counted (void **state)
{
  World *world = *state;
  static Script script;
  script = (Script){ .delay_ms = 100 };
  world->second = rig_scripted (world->rig, "slow", &scripted_cache, &script);
  make (world, &(RagifyTierLevel){ .node = world->second,
                                   .kind = "slow",
                                   .ttl_us = 600 * SECOND_US,
                                   .deadline_us = 5 * SECOND_US,
                                   .behind = TRUE,
                                   .write_queue = 5 });
  for (guint i = 0; i < 30; i++)
    set (world, i, "answer");
  for (guint i = 0; i < 30; i++)
    expect (world, i, "answer", "memory");
  const guint64 dropped = ragify_tier_level_counts (world->tier, 1).dropped;
  assert_true (dropped > 0);
  for (guint i = 0; i < 60000 && (guint64)g_atomic_int_get (&script.sets) + dropped < 30; i++)
    g_usleep (1000);
  assert_int_equal ((guint64)g_atomic_int_get (&script.sets) + dropped, 30); /* none is lost without being counted */
}

static void
what_waits_is_written_before_the_end (void **state)
{
  World *world = *state;
  static Script script;
  script = (Script){ .delay_ms = 20 };
  world->second = rig_scripted (world->rig, "slow", &scripted_cache, &script);
  make (world, &(RagifyTierLevel){ .node = world->second,
                                   .kind = "slow",
                                   .ttl_us = 600 * SECOND_US,
                                   .deadline_us = 5 * SECOND_US,
                                   .behind = TRUE });
  for (guint i = 0; i < 20; i++)
    set (world, i, "answer");
  ragify_tier_free (world->tier);
  assert_int_equal (g_atomic_int_get (&script.sets), 20);
  make (world, &(RagifyTierLevel){ .node = world->second, .kind = "slow" });
}

static void
a_hanging_level_does_not_hold_up_the_end (void **state)
{
  World *world = *state;
  static Script script;
  script = (Script){ .hangs = TRUE };
  world->second = rig_scripted (world->rig, "hangs", &scripted_cache, &script);
  make (world,
        &(RagifyTierLevel){
            .node = world->second, .kind = "hangs", .ttl_us = 600 * SECOND_US, .behind = TRUE, .breaker = breaker });
  for (guint i = 0; i < 50; i++)
    set (world, i, "answer");
  const guint64 began = ragify_now ();
  ragify_tier_free (world->tier);
  assert_true (ragify_now () - began < 60 * SECOND_US);
  make (world, &(RagifyTierLevel){ .node = world->second, .kind = "hangs" });
}

static void
writing_is_given_up_and_reading_goes_on (void **state)
{
  World *world = *state;
  static Script script;
  script = (Script){ .set_code = RAGIFY_E_UNAVAILABLE };
  world->second = rig_scripted (world->rig, "replica", &scripted_cache, &script);
  make (world,
        &(RagifyTierLevel){ .node = world->second, .kind = "replica", .ttl_us = 600 * SECOND_US, .breaker = breaker });
  for (guint i = 0; i < 3; i++) {
    set (world, i, "answer");
    await_errors (world, i + 1);
  }
  const gint sets = g_atomic_int_get (&script.sets);
  for (guint i = 3; i < 20; i++)
    set (world, i, "answer");
  assert_int_equal (g_atomic_int_get (&script.sets), sets); /* it is left alone */
  assert_int_equal (g_atomic_int_get (&warnings), 1);
  assert_string_equal (ragify_tier_level_counts (world->tier, 1).writing, "open");
  const gint calls = g_atomic_int_get (&script.calls);
  expect (world, 100, NULL, NULL);
  assert_int_equal (g_atomic_int_get (&script.calls), calls + 1); /* read all the same */
}

static void
writing_is_tried_again_and_taken_up (void **state)
{
  World *world = *state;
  static Script script;
  script = (Script){ .set_code = RAGIFY_E_UNAVAILABLE };
  world->second = rig_scripted (world->rig, "replica", &scripted_cache, &script);
  RagifyTierLevel level = { .node = world->second, .kind = "replica", .ttl_us = 600 * SECOND_US, .breaker = breaker };
  level.breaker.open_us = 50000;
  make (world, &level);
  for (guint i = 0; i < 3; i++) {
    set (world, i, "answer");
    await_errors (world, i + 1);
  }
  g_usleep (60000);
  set (world, 20, "answer"); /* a trial, which fails: no news */
  await_errors (world, 4);
  assert_int_equal (g_atomic_int_get (&warnings), 1);
  g_atomic_int_set (&script.set_code, RAGIFY_OK);
  for (guint i = 0; i < 6000 && g_atomic_int_get (&notices) == 0; i++) {
    set (world, 21, "answer");
    g_usleep (10000);
  }
  assert_int_equal (g_atomic_int_get (&notices), 1);
  assert_string_equal (ragify_tier_level_counts (world->tier, 1).writing, "closed");
  assert_int_equal (g_atomic_int_get (&warnings), 1);
}

static void
without_a_breaker_the_first_failure_is_the_news (void **state)
{
  World *world = *state;
  static Script script;
  script = (Script){ .set_code = RAGIFY_E_EXHAUSTED };
  world->second = rig_scripted (world->rig, "full", &scripted_cache, &script);
  make (world, &(RagifyTierLevel){ .node = world->second, .kind = "full", .ttl_us = 600 * SECOND_US });
  for (guint i = 0; i < 10; i++)
    set (world, i, "answer");
  await_errors (world, 10);
  assert_int_equal (g_atomic_int_get (&warnings), 1);
  g_atomic_int_set (&script.set_code, RAGIFY_OK);
  set (world, 10, "answer");
  await (&notices, 1);
}

static void
levels_stand_in_any_order (void **state)
{
  World *world = *state;
  static Script script;
  script = (Script){ .hangs = TRUE };
  RagifyNode *memory = world->first;
  world->first = rig_scripted (world->rig, "silent", &scripted_cache, &script);
  make (world, &(RagifyTierLevel){ .node = memory, .kind = "memory", .ttl_us = 60 * SECOND_US });
  expect (world, 1, NULL, NULL);
  set (world, 1, "answer");
  expect (world, 1, "answer", "memory");
}

int
main (void)
{
  cmocka_set_message_output (CM_OUTPUT_TAP);
  g_log_set_writer_func (count_log, NULL, NULL);
#define CASE(name) cmocka_unit_test_setup_teardown (name, set_up, tear_down)
  const struct CMUnitTest tests[] = {
    CASE (writes_behind_are_bounded_and_counted),
    CASE (what_waits_is_written_before_the_end),
    CASE (a_hanging_level_does_not_hold_up_the_end),
    CASE (writing_is_given_up_and_reading_goes_on),
    CASE (writing_is_tried_again_and_taken_up),
    CASE (without_a_breaker_the_first_failure_is_the_news),
    CASE (levels_stand_in_any_order),
  };
  return cmocka_run_group_tests_name ("level", tests, NULL, NULL);
}
