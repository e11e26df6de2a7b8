/* Histogram buckets and quantiles.
 *
 * SPDX-License-Identifier: MIT
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>

#include "core/observe/histogram.h"

static void
bounds_ascend_in_steps_of_about_a_quarter (void **state)
{
  assert_int_equal (ragify_histogram_bound (0), 10000);
  assert_int_equal (ragify_histogram_bound (RAGIFY_HISTOGRAM_BOUNDS - 1), 100 * UINT64_C (1000000000));
  for (guint i = 1; i < RAGIFY_HISTOGRAM_BOUNDS; i++) {
    const double step = (double)ragify_histogram_bound (i) / (double)ragify_histogram_bound (i - 1);
    assert_true (step > 1.22 && step < 1.31);
  }
}

static void
an_observation_belongs_to_the_first_bound_that_is_not_below_it (void **state)
{
  for (guint i = 0; i < RAGIFY_HISTOGRAM_BOUNDS; i++) {
    const guint64 bound = ragify_histogram_bound (i);
    assert_int_equal (ragify_histogram_bucket (bound), i);
    assert_int_equal (ragify_histogram_bucket (bound - 1), i);
    assert_int_equal (ragify_histogram_bucket (bound + 1), i + 1);
  }
  assert_int_equal (ragify_histogram_bucket (0), 0);
  assert_int_equal (ragify_histogram_bucket (G_MAXUINT64), RAGIFY_HISTOGRAM_BOUNDS);
}

static void
labels_are_the_round_bounds (void **state)
{
  guint count = 0;
  for (guint i = 0; i < RAGIFY_HISTOGRAM_BOUNDS; i++) {
    const char *label = ragify_histogram_label (i);
    if (label == NULL)
      continue;
    count++;
    const double seconds = g_ascii_strtod (label, NULL);
    assert_true (fabs (seconds * 1e9 - (double)ragify_histogram_bound (i)) < 0.5);
  }
  assert_int_equal (count, 22);
}

static void
quantiles_lie_within_a_bucket_of_the_true_ones (void **state)
{
  guint64 counts[RAGIFY_HISTOGRAM_BUCKETS] = { 0 };
  assert_true (isnan (ragify_histogram_quantile (counts, 0.5)));
  /* 1, 2, … 10,000 µs. */
  for (guint64 us = 1; us <= 10000; us++)
    counts[ragify_histogram_bucket (us * 1000)]++;
  for (double quantile = 0.05; quantile < 1; quantile += 0.05) {
    const double found = ragify_histogram_quantile (counts, quantile);
    assert_true (fabs (found / (quantile * 0.01) - 1) < 0.02);
  }
  assert_true (fabs (ragify_histogram_quantile (counts, 1) - 0.01) < 1e-9);
}

static void
what_lies_above_the_last_bound_is_said_to_be_that_bound (void **state)
{
  guint64 counts[RAGIFY_HISTOGRAM_BUCKETS] = { 0 };
  counts[RAGIFY_HISTOGRAM_BUCKETS - 1] = 3;
  assert_true (ragify_histogram_quantile (counts, 0.5) == 100);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (bounds_ascend_in_steps_of_about_a_quarter),
    cmocka_unit_test (an_observation_belongs_to_the_first_bound_that_is_not_below_it),
    cmocka_unit_test (labels_are_the_round_bounds),
    cmocka_unit_test (quantiles_lie_within_a_bucket_of_the_true_ones),
    cmocka_unit_test (what_lies_above_the_last_bound_is_said_to_be_that_bound),
  };
  cmocka_set_message_output (CM_OUTPUT_TAP);
  return cmocka_run_group_tests_name ("histogram", tests, NULL, NULL);
}
