/* The circuit breaker, by the clock of the test.
 *
 * SPDX-License-Identifier: MIT
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "core/balance/breaker.h"

#define SECOND ((guint64)G_USEC_PER_SEC)
#define START (1000 * SECOND)

static const RagifyBreakerOptions usual = {
  .failures = 5, .error_rate = 0.5, .window_us = 10 * SECOND, .open_us = 5 * SECOND
};

typedef struct {
  guint count;
  RagifyBreakerState last;
  char why[64];
} Changes;

static void
changed (RagifyBreakerState state, const char *why, guint64 open_us, void *user)
{
  Changes *changes = user;
  changes->count++;
  changes->last = state;
  g_strlcpy (changes->why, why, sizeof changes->why);
}

static void
call (RagifyBreaker *breaker, RagifyOutcome outcome, guint64 now)
{
  const RagifyAdmission admission = ragify_breaker_admit (breaker, now);
  assert_true (admission == RAGIFY_ADMISSION_YES || admission == RAGIFY_ADMISSION_TRIAL);
  ragify_breaker_record (breaker, admission, outcome, now);
}

static void
fail_times (RagifyBreaker *breaker, guint count, guint64 now)
{
  for (guint i = 0; i < count; i++)
    call (breaker, RAGIFY_OUTCOME_BAD, now);
}

static void
failures_in_a_row_open_it_and_a_success_between_them_does_not (void **state)
{
  Changes changes = { 0 };
  RagifyBreaker *breaker = ragify_breaker_new (&usual, changed, &changes);
  fail_times (breaker, 4, START);
  call (breaker, RAGIFY_OUTCOME_GOOD, START);
  fail_times (breaker, 4, START);
  assert_int_equal (ragify_breaker_state (breaker), RAGIFY_BREAKER_CLOSED);
  call (breaker, RAGIFY_OUTCOME_BAD, START);
  assert_int_equal (ragify_breaker_state (breaker), RAGIFY_BREAKER_OPEN);
  assert_int_equal (changes.count, 1);
  assert_string_equal (changes.why, "5 failures in a row");
  assert_int_equal (ragify_breaker_admit (breaker, START + 5 * SECOND - 1), RAGIFY_ADMISSION_NO);
  assert_int_equal (ragify_breaker_opens_in (breaker, START + SECOND), 4 * SECOND);
  ragify_breaker_free (breaker);
}

static void
a_share_of_failures_in_the_window_opens_it (void **state)
{
  Changes changes = { 0 };
  RagifyBreaker *breaker = ragify_breaker_new (&usual, changed, &changes);
  for (guint i = 0; i < 9; i++) {
    call (breaker, RAGIFY_OUTCOME_GOOD, START + i * SECOND);
    call (breaker, RAGIFY_OUTCOME_BAD, START + i * SECOND);
  }
  assert_int_equal (ragify_breaker_state (breaker), RAGIFY_BREAKER_CLOSED); /* 18 calls say nothing yet */
  call (breaker, RAGIFY_OUTCOME_GOOD, START + 9 * SECOND);
  call (breaker, RAGIFY_OUTCOME_BAD, START + 9 * SECOND);
  assert_int_equal (ragify_breaker_state (breaker), RAGIFY_BREAKER_OPEN);
  assert_string_equal (changes.why, "50 % of its calls failed");
  ragify_breaker_free (breaker);
}

static void
the_window_forgets (void **state)
{
  RagifyBreaker *breaker = ragify_breaker_new (&usual, NULL, NULL);
  for (guint i = 0; i < 200; i++) { /* one in twelve seconds fails and one succeeds: never 20 in a window */
    call (breaker, RAGIFY_OUTCOME_BAD, START + i * 12 * SECOND);
    call (breaker, RAGIFY_OUTCOME_GOOD, START + i * 12 * SECOND);
  }
  assert_int_equal (ragify_breaker_state (breaker), RAGIFY_BREAKER_CLOSED);
  ragify_breaker_free (breaker);
}

static void
one_live_call_tries_it_and_closes_it (void **state)
{
  Changes changes = { 0 };
  RagifyBreaker *breaker = ragify_breaker_new (&usual, changed, &changes);
  fail_times (breaker, 5, START);
  const guint64 later = START + 5 * SECOND;
  assert_true (ragify_breaker_is_ready (breaker, later));
  assert_int_equal (ragify_breaker_admit (breaker, later), RAGIFY_ADMISSION_TRIAL);
  assert_int_equal (ragify_breaker_admit (breaker, later), RAGIFY_ADMISSION_NO);
  assert_false (ragify_breaker_is_ready (breaker, later));
  ragify_breaker_record (breaker, RAGIFY_ADMISSION_TRIAL, RAGIFY_OUTCOME_GOOD, later);
  assert_int_equal (changes.last, RAGIFY_BREAKER_CLOSED);
  fail_times (breaker, 4, later); /* what was before is forgotten */
  assert_int_equal (ragify_breaker_state (breaker), RAGIFY_BREAKER_CLOSED);
  ragify_breaker_free (breaker);
}

static void
each_trial_that_fails_doubles_the_time_up_to_eight_times (void **state)
{
  RagifyBreaker *breaker = ragify_breaker_new (&usual, NULL, NULL);
  fail_times (breaker, 5, START);
  guint64 now = START;
  static const guint seconds[] = { 5, 10, 20, 40, 40 };
  for (guint i = 0; i < G_N_ELEMENTS (seconds); i++) {
    assert_int_equal (ragify_breaker_admit (breaker, now + seconds[i] * SECOND - 1), RAGIFY_ADMISSION_NO);
    now += seconds[i] * SECOND;
    call (breaker, RAGIFY_OUTCOME_BAD, now);
  }
  now += 40 * SECOND;
  call (breaker, RAGIFY_OUTCOME_GOOD, now);
  fail_times (breaker, 5, now);
  assert_int_equal (ragify_breaker_opens_in (breaker, now), 5 * SECOND);
  ragify_breaker_free (breaker);
}

static void
a_trial_that_says_nothing_leaves_the_next_call_to_try (void **state)
{
  RagifyBreaker *breaker = ragify_breaker_new (&usual, NULL, NULL);
  fail_times (breaker, 5, START);
  const guint64 later = START + 6 * SECOND;
  call (breaker, RAGIFY_OUTCOME_NONE, later);
  assert_int_equal (ragify_breaker_state (breaker), RAGIFY_BREAKER_HALF_OPEN);
  assert_int_equal (ragify_breaker_admit (breaker, later), RAGIFY_ADMISSION_TRIAL);
  ragify_breaker_free (breaker);
}

static void
a_probe_comes_before_the_live_call_where_there_is_one (void **state)
{
  RagifyBreakerOptions options = usual;
  options.probes = TRUE;
  RagifyBreaker *breaker = ragify_breaker_new (&options, NULL, NULL);
  fail_times (breaker, 5, START);
  guint64 now = START + 5 * SECOND;
  assert_int_equal (ragify_breaker_admit (breaker, now), RAGIFY_ADMISSION_PROBE);
  assert_int_equal (ragify_breaker_admit (breaker, now), RAGIFY_ADMISSION_NO);
  ragify_breaker_probed (breaker, FALSE, now);
  assert_int_equal (ragify_breaker_opens_in (breaker, now), 10 * SECOND);
  now += 10 * SECOND;
  assert_int_equal (ragify_breaker_admit (breaker, now), RAGIFY_ADMISSION_PROBE);
  ragify_breaker_probed (breaker, TRUE, now);
  assert_int_equal (ragify_breaker_state (breaker), RAGIFY_BREAKER_HALF_OPEN);
  call (breaker, RAGIFY_OUTCOME_GOOD, now);
  assert_int_equal (ragify_breaker_state (breaker), RAGIFY_BREAKER_CLOSED);
  ragify_breaker_free (breaker);
}

static void
calls_that_say_nothing_are_not_counted (void **state)
{
  RagifyBreaker *breaker = ragify_breaker_new (&usual, NULL, NULL);
  for (guint i = 0; i < 100; i++)
    call (breaker, RAGIFY_OUTCOME_NONE, START);
  fail_times (breaker, 4, START);
  call (breaker, RAGIFY_OUTCOME_NONE, START);
  assert_int_equal (ragify_breaker_state (breaker), RAGIFY_BREAKER_CLOSED);
  fail_times (breaker, 1, START);
  assert_int_equal (ragify_breaker_state (breaker), RAGIFY_BREAKER_OPEN);
  ragify_breaker_free (breaker);
}

static void
zero_means_never (void **state)
{
  const RagifyBreakerOptions never = { .window_us = SECOND, .open_us = SECOND };
  assert_null (ragify_breaker_new (&never, NULL, NULL));
  RagifyBreakerOptions by_rate = usual;
  by_rate.failures = 0;
  RagifyBreaker *breaker = ragify_breaker_new (&by_rate, NULL, NULL);
  fail_times (breaker, 19, START);
  assert_int_equal (ragify_breaker_state (breaker), RAGIFY_BREAKER_CLOSED);
  fail_times (breaker, 1, START);
  assert_int_equal (ragify_breaker_state (breaker), RAGIFY_BREAKER_OPEN);
  ragify_breaker_free (breaker);
}

/* ---- many threads ---- */

typedef struct {
  RagifyBreaker *breaker;
  gint trials, under_trial, at_once; /* atomic */
} Crowd;

static gpointer
be_one_of_many (gpointer data)
{
  Crowd *crowd = data;
  for (guint i = 0; i < 20000; i++) {
    const guint64 now = START + i * 100;
    const RagifyAdmission admission = ragify_breaker_admit (crowd->breaker, now);
    if (admission == RAGIFY_ADMISSION_TRIAL) {
      g_atomic_int_inc (&crowd->trials);
      if (g_atomic_int_add (&crowd->under_trial, 1) > 0)
        g_atomic_int_inc (&crowd->at_once);
      g_atomic_int_add (&crowd->under_trial, -1);
    }
    if (admission == RAGIFY_ADMISSION_YES || admission == RAGIFY_ADMISSION_TRIAL)
      ragify_breaker_record (crowd->breaker, admission, i % 3 == 0 ? RAGIFY_OUTCOME_GOOD : RAGIFY_OUTCOME_BAD, now);
  }
  return NULL;
}

static void
of_many_threads_one_at_a_time_tries (void **state)
{
  RagifyBreakerOptions options = usual;
  options.open_us = 1000;
  Crowd crowd = { .breaker = ragify_breaker_new (&options, NULL, NULL) };
  GThread *threads[4];
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("crowd", be_one_of_many, &crowd);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);
  assert_true (g_atomic_int_get (&crowd.trials) > 0);
  assert_int_equal (g_atomic_int_get (&crowd.at_once), 0);
  ragify_breaker_free (crowd.breaker);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (failures_in_a_row_open_it_and_a_success_between_them_does_not),
    cmocka_unit_test (a_share_of_failures_in_the_window_opens_it),
    cmocka_unit_test (the_window_forgets),
    cmocka_unit_test (one_live_call_tries_it_and_closes_it),
    cmocka_unit_test (each_trial_that_fails_doubles_the_time_up_to_eight_times),
    cmocka_unit_test (a_trial_that_says_nothing_leaves_the_next_call_to_try),
    cmocka_unit_test (a_probe_comes_before_the_live_call_where_there_is_one),
    cmocka_unit_test (calls_that_say_nothing_are_not_counted),
    cmocka_unit_test (zero_means_never),
    cmocka_unit_test (of_many_threads_one_at_a_time_tries),
  };
  cmocka_set_message_output (CM_OUTPUT_TAP);
  return cmocka_run_group_tests (tests, NULL, NULL);
}
