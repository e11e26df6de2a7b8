/* Metrics: adding from many threads, and both expositions as text.
 *
 * SPDX-License-Identifier: MIT
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <pthread.h>
#include <string.h>

#include "core/observe/metrics.h"
#include "core/observe/process-metrics.h"

#define THREADS 8
#define ROUNDS 20000

static int
set_up (void **state)
{
  *state = ragify_metrics_new ();
  return 0;
}

static int
tear_down (void **state)
{
  ragify_metrics_free (*state);
  return 0;
}

static char *
text_of (RagifyMetrics *metrics, gboolean openmetrics)
{
  GString *text = g_string_new (NULL);
  ragify_metrics_write (metrics, text, openmetrics);
  return g_string_free (text, FALSE);
}

static void
expect_line (const char *text, const char *line)
{
  g_autofree char *wanted = g_strconcat ("\n", line, "\n", NULL);
  g_autofree char *all = g_strconcat ("\n", text, NULL);
  if (strstr (all, wanted) == NULL)
    fail_msg ("no line '%s' in:\n%s", line, text);
}

/* ---- values ---- */

typedef struct Shared {
  RagifyMetrics *metrics;
  RagifySeries *counter, *gauge, *histogram;
} Shared;

static void *
add_many (void *data)
{
  const Shared *shared = data;
  for (guint i = 0; i < ROUNDS; i++) {
    ragify_series_add (shared->counter, 0.5);
    ragify_series_add (shared->gauge, i % 2 == 0 ? 2 : -1);
    ragify_series_observe (shared->histogram, 0.001 * (i % 10));
    /* Making series and reading go on beside that. */
    if (i % 4096 == 0) {
      g_autofree char *value = g_strdup_printf ("%u", i);
      ragify_metrics_series (shared->metrics, RAGIFY_SERIES_COUNTER, "made", "", "i", value, NULL);
      g_free (text_of (shared->metrics, TRUE));
    }
  }
  return NULL;
}

static void
nothing_is_lost_when_threads_add_at_once (void **state)
{
  RagifyMetrics *metrics = *state;
  Shared shared = {
    .metrics = metrics,
    .counter = ragify_metrics_series (metrics, RAGIFY_SERIES_COUNTER, "c_total", "c", NULL),
    .gauge = ragify_metrics_series (metrics, RAGIFY_SERIES_GAUGE, "g", "g", NULL),
    .histogram = ragify_metrics_series (metrics, RAGIFY_SERIES_HISTOGRAM, "h_seconds", "h", NULL),
  };
  pthread_t threads[THREADS];
  for (guint i = 0; i < THREADS; i++)
    assert_int_equal (pthread_create (&threads[i], NULL, add_many, &shared), 0);
  for (guint i = 0; i < THREADS; i++)
    pthread_join (threads[i], NULL);
  assert_true (ragify_series_value (shared.counter) == 0.5 * THREADS * ROUNDS);
  assert_true (ragify_series_value (shared.gauge) == 0.5 * THREADS * ROUNDS);
  assert_true (ragify_series_value (shared.histogram) == THREADS * ROUNDS);
  g_autofree char *text = text_of (metrics, FALSE);
  expect_line (text, "h_seconds_sum 720");
  expect_line (text, "made_total{i=\"0\"} 0");
}

static void
the_same_labels_give_the_same_series (void **state)
{
  RagifyMetrics *metrics = *state;
  RagifySeries *one = ragify_metrics_series (metrics, RAGIFY_SERIES_COUNTER, "x_total", "x", "a", "1", NULL);
  assert_ptr_equal (one, ragify_metrics_series (metrics, RAGIFY_SERIES_COUNTER, "x", "x", "a", "1", NULL));
  assert_ptr_not_equal (one, ragify_metrics_series (metrics, RAGIFY_SERIES_COUNTER, "x", "x", "a", "2", NULL));
  assert_ptr_not_equal (one, ragify_metrics_series (metrics, RAGIFY_SERIES_COUNTER, "x", "x", NULL));
}

static void
a_gauge_can_be_set (void **state)
{
  RagifySeries *gauge = ragify_metrics_series (*state, RAGIFY_SERIES_GAUGE, "g", "g", NULL);
  ragify_series_add (gauge, 3);
  ragify_series_set (gauge, -7.25);
  ragify_series_add (gauge, 1);
  assert_true (ragify_series_value (gauge) == -6.25);
}

static void
odd_observations_do_no_harm (void **state)
{
  RagifySeries *histogram = ragify_metrics_series (*state, RAGIFY_SERIES_HISTOGRAM, "h_seconds", "h", NULL);
  ragify_series_observe (histogram, NAN);
  assert_true (ragify_series_value (histogram) == 0);
  ragify_series_observe (histogram, -1);
  ragify_series_observe (histogram, INFINITY);
  assert_true (ragify_series_value (histogram) == 2);
  assert_true (isfinite (ragify_series_quantile (histogram, 0.5)));
}

static void
the_number_of_series_is_bounded (void **state)
{
  RagifyMetrics *metrics = *state;
  RagifySeries *last = NULL;
  for (guint i = 0; i < 10100; i++) {
    g_autofree char *value = g_strdup_printf ("%u", i);
    last = ragify_metrics_series (metrics, RAGIFY_SERIES_GAUGE, "many", "", "i", value, NULL);
    ragify_series_add (last, 1);
  }
  assert_true (ragify_series_value (last) == 100);
  g_autofree char *text = text_of (metrics, FALSE);
  expect_line (text, "many{i=\"9999\"} 1");
  expect_line (text, "many{i=\"other\"} 100");
  assert_null (strstr (text, "i=\"10000\""));
}

/* ---- text ---- */

static void
a_counter_is_named_as_each_format_wants (void **state)
{
  RagifyMetrics *metrics = *state;
  ragify_series_add (
      ragify_metrics_series (metrics, RAGIFY_SERIES_COUNTER, "jobs_total", "Jobs done.", "kind", "a", NULL), 2);
  g_autofree char *old = text_of (metrics, FALSE);
  assert_string_equal (old, "# HELP jobs_total Jobs done.\n# TYPE jobs_total counter\njobs_total{kind=\"a\"} 2\n");
  g_autofree char *new = text_of (metrics, TRUE);
  assert_string_equal (new, "# HELP jobs Jobs done.\n# TYPE jobs counter\njobs_total{kind=\"a\"} 2\n# EOF\n");
}

static void
units_are_told_in_openmetrics (void **state)
{
  RagifyMetrics *metrics = *state;
  ragify_metrics_series (metrics, RAGIFY_SERIES_COUNTER, "cpu_seconds_total", "", NULL);
  ragify_metrics_series (metrics, RAGIFY_SERIES_GAUGE, "memory_bytes", "", NULL);
  ragify_metrics_series (metrics, RAGIFY_SERIES_GAUGE, "bytes", "", NULL);
  g_autofree char *new = text_of (metrics, TRUE);
  expect_line (new, "# UNIT cpu_seconds seconds");
  expect_line (new, "# UNIT memory_bytes bytes");
  assert_null (strstr (new, "# UNIT bytes"));
  g_autofree char *old = text_of (metrics, FALSE);
  assert_null (strstr (old, "UNIT"));
}

static void
texts_are_escaped (void **state)
{
  RagifyMetrics *metrics = *state;
  ragify_series_set (
      ragify_metrics_series (metrics, RAGIFY_SERIES_GAUGE, "g", "a \"b\"\n\\c", "l", "x\"y\\z\nw", "m", "\xff", NULL),
      1);
  g_autofree char *old = text_of (metrics, FALSE);
  expect_line (old, "# HELP g a \"b\"\\n\\\\c");
  expect_line (old, "g{l=\"x\\\"y\\\\z\\nw\",m=\"\xef\xbf\xbd\"} 1");
  g_autofree char *new = text_of (metrics, TRUE);
  expect_line (new, "# HELP g a \\\"b\\\"\\n\\\\c");
}

static void
names_are_made_valid (void **state)
{
  RagifyMetrics *metrics = *state;
  ragify_series_set (ragify_metrics_series (metrics, RAGIFY_SERIES_GAUGE, "1 bad-näme", "", "a b", "c", NULL), 1);
  g_autofree char *text = text_of (metrics, TRUE);
  assert_non_null (strstr (text, "\n_1_bad_n"));
  assert_non_null (strstr (text, "{a_b=\"c\"} 1\n"));
}

static void
numbers_read_back_as_they_were (void **state)
{
  RagifyMetrics *metrics = *state;
  RagifySeries *gauge = ragify_metrics_series (metrics, RAGIFY_SERIES_GAUGE, "g", "", NULL);
  const double values[] = { 0, 1, -1, 0.1, 1.0 / 3, 1e-9, 123456789.125, 1e15, 1e300, 9007199254740993.0, INFINITY };
  for (guint i = 0; i < G_N_ELEMENTS (values); i++) {
    ragify_series_set (gauge, values[i]);
    g_autofree char *text = text_of (metrics, FALSE);
    const char *number = strstr (text, "\ng ") + 3;
    assert_true (g_ascii_strtod (number, NULL) == values[i]);
  }
  ragify_series_set (gauge, NAN);
  g_autofree char *text = text_of (metrics, TRUE);
  expect_line (text, "g NaN");
  ragify_series_set (gauge, INFINITY);
  g_autofree char *infinite = text_of (metrics, TRUE);
  expect_line (infinite, "g +Inf");
}

static void
a_histogram_has_cumulative_buckets (void **state)
{
  RagifyMetrics *metrics = *state;
  RagifySeries *histogram =
      ragify_metrics_series (metrics, RAGIFY_SERIES_HISTOGRAM, "wait_seconds", "Waiting.", "q", "x", NULL);
  ragify_series_observe (histogram, 0.001);
  ragify_series_observe (histogram, 0.0015);
  ragify_series_observe (histogram, 1);
  ragify_series_observe (histogram, 500);
  g_autofree char *old = text_of (metrics, FALSE);
  expect_line (old, "wait_seconds_bucket{q=\"x\",le=\"0.0005\"} 0");
  expect_line (old, "wait_seconds_bucket{q=\"x\",le=\"0.001\"} 1");
  expect_line (old, "wait_seconds_bucket{q=\"x\",le=\"0.002\"} 2");
  expect_line (old, "wait_seconds_bucket{q=\"x\",le=\"1\"} 3");
  expect_line (old, "wait_seconds_bucket{q=\"x\",le=\"100\"} 3");
  expect_line (old, "wait_seconds_bucket{q=\"x\",le=\"+Inf\"} 4");
  expect_line (old, "wait_seconds_sum{q=\"x\"} 501.0025");
  expect_line (old, "wait_seconds_count{q=\"x\"} 4");
  g_autofree char *new = text_of (metrics, TRUE);
  expect_line (new, "wait_seconds_bucket{q=\"x\",le=\"1.0\"} 3");
  expect_line (new, "wait_seconds_bucket{q=\"x\",le=\"1e-05\"} 0");
  expect_line (new, "# UNIT wait_seconds seconds");
}

static double
minus_one (void *user)
{
  return -1;
}

static double
the_answer (void *user)
{
  return *(const double *)user;
}

static void
callbacks_are_asked_when_read (void **state)
{
  RagifyMetrics *metrics = *state;
  double value = 41;
  ragify_metrics_callback (metrics, RAGIFY_SERIES_GAUGE, "asked", "", the_answer, &value);
  /* A counter that is negative is one that could not be read: it has no sample. */
  ragify_metrics_callback (metrics, RAGIFY_SERIES_COUNTER, "broken_total", "", minus_one, NULL);
  value++;
  g_autofree char *text = text_of (metrics, TRUE);
  expect_line (text, "asked 42");
  assert_null (strstr (text, "broken_total "));
}

/* The rules that hold over the whole text: families in one piece each, named before their samples, EOF at the end. */
static void
families_stand_together (void **state)
{
  RagifyMetrics *metrics = *state;
  ragify_process_metrics_register (metrics);
  for (guint i = 0; i < 3; i++) {
    g_autofree char *value = g_strdup_printf ("%u", i);
    ragify_metrics_series (metrics, RAGIFY_SERIES_COUNTER, "b_total", "b", "i", value, NULL);
    ragify_metrics_series (metrics, RAGIFY_SERIES_HISTOGRAM, "a_seconds", "a", "i", value, NULL);
  }
  g_autofree char *text = text_of (metrics, TRUE);
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);
  g_autoptr (GHashTable) seen = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  g_autofree char *current = g_strdup ("");
  for (guint i = 0; lines[i] != NULL && strcmp (lines[i], "# EOF") != 0; i++) {
    if (g_str_has_prefix (lines[i], "# HELP ")) {
      g_auto (GStrv) words = g_strsplit (lines[i], " ", 4);
      assert_true (g_hash_table_add (seen, g_strdup (words[2])));
      g_free (current);
      current = g_strdup (words[2]);
    } else if (lines[i][0] != '#') {
      assert_true (g_str_has_prefix (lines[i], current));
    }
  }
  assert_true (g_str_has_suffix (text, "\n# EOF\n"));
  assert_true (ragify_process_uptime () >= 0);
  assert_true (ragify_process_uptime () < 3600);
}

int
main (void)
{
#define TEST(function) cmocka_unit_test_setup_teardown (function, set_up, tear_down)
  const struct CMUnitTest tests[] = {
    TEST (nothing_is_lost_when_threads_add_at_once),
    TEST (the_same_labels_give_the_same_series),
    TEST (a_gauge_can_be_set),
    TEST (odd_observations_do_no_harm),
    TEST (the_number_of_series_is_bounded),
    TEST (a_counter_is_named_as_each_format_wants),
    TEST (units_are_told_in_openmetrics),
    TEST (texts_are_escaped),
    TEST (names_are_made_valid),
    TEST (numbers_read_back_as_they_were),
    TEST (a_histogram_has_cumulative_buckets),
    TEST (callbacks_are_asked_when_read),
    TEST (families_stand_together),
  };
  cmocka_set_message_output (CM_OUTPUT_TAP);
  return cmocka_run_group_tests_name ("metrics", tests, NULL, NULL);
}
