#include "tools/ragify-bench/exposition.h"

#include "tap.h"

#include <math.h>

static const char before_text[] = "# HELP d how long\n# TYPE d histogram\n"
                                  "d_bucket{stage=\"search\",le=\"0.001\"} 1\n"
                                  "d_bucket{stage=\"search\",le=\"0.002\"} 2\n"
                                  "d_bucket{stage=\"search\",le=\"+Inf\"} 2\n"
                                  "d_sum{stage=\"search\"} 0.002\n"
                                  "d_count{stage=\"search\"} 2\n";

static const char after_text[] = "d_bucket{stage=\"embed\",le=\"0.001\"} 500\n"
                                 "d_bucket{stage=\"embed\",le=\"+Inf\"} 500\n"
                                 "d_bucket{stage=\"search\",le=\"0.001\"} 11\n"
                                 "d_bucket{stage=\"search\",le=\"0.002\"} 12\n"
                                 "d_bucket{stage=\"search\",le=\"+Inf\"} 22\n"
                                 "d_sum{stage=\"search\"} 0.042\n"
                                 "plain 3\n"
                                 "labelled{a=\"x \\\"}\\\" y\",b=\"2\"} 4 1700000000\n"
                                 "labelled{b=\"3\"} 5\n"
                                 "plainer 7\n";

static void
a_histogram_is_picked_by_label_and_subtracted (void **state)
{
  g_autoptr (RagifyExpositionHistogram) before = ragify_exposition_find_histogram (before_text, "d", "stage", "search");
  g_autoptr (RagifyExpositionHistogram) after = ragify_exposition_find_histogram (after_text, "d", "stage", "search");
  g_autoptr (RagifyExpositionHistogram) between = ragify_exposition_histogram_subtract (after, before);
  /* Ten up to 1 ms, none up to 2 ms, ten above. */
  assert_close (ragify_exposition_histogram_get_count (between), 20, 0);
  assert_close (ragify_exposition_histogram_get_quantile (between, 0.25), 0.0005, 1e-12);
  assert_close (ragify_exposition_histogram_get_quantile (between, 0.5), 0.001, 1e-12);
  assert_close (ragify_exposition_histogram_get_quantile (between, 0.99), 0.002, 1e-12);
  assert_close (ragify_exposition_histogram_get_mean (between), 0.002, 1e-12);
}

static void
what_is_not_there_is_not_a_number (void **state)
{
  assert_null (ragify_exposition_find_histogram (after_text, "d", "stage", "fuse"));
  assert_null (ragify_exposition_find_histogram (after_text, "nothing", NULL, NULL));
  assert_true (isnan (ragify_exposition_find_value (after_text, "nothing", NULL, NULL)));
  g_autoptr (RagifyExpositionHistogram) one = ragify_exposition_find_histogram (before_text, "d", NULL, NULL);
  g_autoptr (RagifyExpositionHistogram) nothing = ragify_exposition_histogram_subtract (one, one);
  assert_true (isnan (ragify_exposition_histogram_get_quantile (nothing, 0.5)));
}

static void
values_are_found_with_any_labels (void **state)
{
  assert_close (ragify_exposition_find_value (after_text, "plain", NULL, NULL), 3, 0);
  assert_close (ragify_exposition_find_value (after_text, "labelled", NULL, NULL), 9, 0);
  assert_close (ragify_exposition_find_value (after_text, "labelled", "b", "2"), 4, 0);
  assert_close (ragify_exposition_find_value (after_text, "labelled", "a", "x \"}\" y"), 4, 0);
}

static void
different_buckets_are_not_subtracted (void **state)
{
  g_autoptr (RagifyExpositionHistogram) search = ragify_exposition_find_histogram (after_text, "d", "stage", "search");
  g_autoptr (RagifyExpositionHistogram) embed = ragify_exposition_find_histogram (after_text, "d", "stage", "embed");
  assert_null (ragify_exposition_histogram_subtract (search, embed));
}

int
main (void)
{
  cmocka_set_message_output (CM_OUTPUT_TAP);
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (a_histogram_is_picked_by_label_and_subtracted),
    cmocka_unit_test (what_is_not_there_is_not_a_number),
    cmocka_unit_test (values_are_found_with_any_labels),
    cmocka_unit_test (different_buckets_are_not_subtracted),
  };
  return cmocka_run_group_tests (tests, NULL, NULL);
}
