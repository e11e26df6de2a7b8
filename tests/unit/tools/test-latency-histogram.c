#include "tools/ragify-bench/latency-histogram.h"
#include "tools/ragify-bench/random-source.h"

#include "tap.h"

#include <math.h>

static void
an_empty_histogram_reports_zero (void **state)
{
  g_autoptr (RagifyLatencyHistogram) histogram = ragify_latency_histogram_new ();
  assert_int_equal (ragify_latency_histogram_get_count (histogram), 0);
  assert_int_equal (ragify_latency_histogram_get_percentile (histogram, 99), 0);
  assert_int_equal (ragify_latency_histogram_get_min (histogram), 0);
  assert_int_equal (ragify_latency_histogram_get_max (histogram), 0);
}

static void
small_values_are_exact (void **state)
{
  for (guint64 value = 0; value < 256; value++) {
    g_autoptr (RagifyLatencyHistogram) histogram = ragify_latency_histogram_new ();
    ragify_latency_histogram_record (histogram, value);
    ragify_latency_histogram_record (histogram, 1000);
    assert_int_equal (ragify_latency_histogram_get_percentile (histogram, 50), value);
  }
}

static void
any_value_is_reported_within_the_stated_error (void **state)
{
  RagifyRandomSource random;
  ragify_random_source_init (&random, 7);
  for (guint i = 0; i < 200000; i++) {
    guint64 value = ragify_random_source_next (&random) >> (ragify_random_source_next (&random) % 64);
    g_autoptr (RagifyLatencyHistogram) histogram = ragify_latency_histogram_new ();
    ragify_latency_histogram_record (histogram, value);
    ragify_latency_histogram_record (histogram, G_MAXUINT64);
    guint64 reported = ragify_latency_histogram_get_percentile (histogram, 50);
    assert_true (reported >= value);
    assert_true (reported - value <= value / 128);
    if (i % 100 != 0)
      continue;
    /* The edges of powers of two are where such layouts go wrong. */
    g_autoptr (RagifyLatencyHistogram) edge = ragify_latency_histogram_new ();
    guint64 power = G_GUINT64_CONSTANT (1) << (i / 100 % 64);
    ragify_latency_histogram_record (edge, power);
    ragify_latency_histogram_record (edge, power - 1);
    assert_int_equal (ragify_latency_histogram_get_max (edge), power);
    assert_true (ragify_latency_histogram_get_percentile (edge, 50) >= power - 1);
    assert_int_equal (ragify_latency_histogram_get_percentile (edge, 100), power);
  }
}

static void
percentiles_are_of_the_nearest_rank (void **state)
{
  g_autoptr (RagifyLatencyHistogram) histogram = ragify_latency_histogram_new ();
  for (guint64 value = 1; value <= 100; value++)
    ragify_latency_histogram_record (histogram, value);
  assert_int_equal (ragify_latency_histogram_get_percentile (histogram, 50), 50);
  assert_int_equal (ragify_latency_histogram_get_percentile (histogram, 99), 99);
  assert_int_equal (ragify_latency_histogram_get_percentile (histogram, 99.1), 100);
  assert_int_equal (ragify_latency_histogram_get_percentile (histogram, 0), 1);
  assert_close (ragify_latency_histogram_get_mean (histogram), 50.5, 1e-9);
}

static void
merging_is_recording_everything_in_one (void **state)
{
  g_autoptr (RagifyLatencyHistogram) all = ragify_latency_histogram_new ();
  g_autoptr (RagifyLatencyHistogram) even = ragify_latency_histogram_new ();
  g_autoptr (RagifyLatencyHistogram) odd = ragify_latency_histogram_new ();
  for (guint64 value = 1; value < 100000; value += 7) {
    ragify_latency_histogram_record (all, value);
    ragify_latency_histogram_record (value % 2 == 0 ? even : odd, value);
  }
  ragify_latency_histogram_merge (even, odd);
  assert_int_equal (ragify_latency_histogram_get_count (even), ragify_latency_histogram_get_count (all));
  assert_int_equal (ragify_latency_histogram_get_min (even), 1);
  for (guint percentile = 0; percentile <= 100; percentile++)
    assert_int_equal (ragify_latency_histogram_get_percentile (even, percentile),
                      ragify_latency_histogram_get_percentile (all, percentile));
}

int
main (void)
{
  cmocka_set_message_output (CM_OUTPUT_TAP);
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (an_empty_histogram_reports_zero),
    cmocka_unit_test (small_values_are_exact),
    cmocka_unit_test (any_value_is_reported_within_the_stated_error),
    cmocka_unit_test (percentiles_are_of_the_nearest_rank),
    cmocka_unit_test (merging_is_recording_everything_in_one),
  };
  return cmocka_run_group_tests (tests, NULL, NULL);
}
