/* Trace contexts: what is taken from a caller, and what is handed on.
 *
 * SPDX-License-Identifier: MIT
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "core/observe/trace.h"

#define PARENT "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

static RagifyTrace *
begin (const char *parent, const char *state)
{
  return ragify_trace_begin (NULL, ragify_str_from (parent), ragify_str_from (state));
}

static void
a_context_is_handed_on (void **state)
{
  char text[RAGIFY_TRACEPARENT_SIZE + 1];
  RagifyTrace *trace = begin (PARENT, "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE");
  assert_non_null (trace);
  assert_string_equal (ragify_trace_id (trace), "0af7651916cd43dd8448eb211c80319c");
  assert_true (ragify_trace_caller (trace) == UINT64_C (0xb7ad6b7169203331));
  assert_false (ragify_trace_records (trace));
  ragify_trace_write (trace, 0, text);
  assert_string_equal (text, PARENT);
  ragify_trace_write (trace, UINT64_C (0xabc), text);
  assert_string_equal (text, "00-0af7651916cd43dd8448eb211c80319c-0000000000000abc-01");
  const RagifyStr kept = ragify_trace_state (trace);
  assert_int_equal (kept.size, strlen ("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"));
  ragify_trace_unref (trace);
}

static void
what_is_no_context_is_none (void **state)
{
  static const char *const wrong[] = {
    "",
    "00",
    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0",    /* too short */
    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x", /* version 00 has no more */
    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-011",
    "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", /* no version */
    "00-00000000000000000000000000000000-b7ad6b7169203331-01", /* no trace */
    "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", /* no parent */
    "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", /* upper case */
    "00-0af7651916cd43dd8448eb211c8031zz-b7ad6b7169203331-01",
    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0g",
    "00_0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331_01",
    "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01x", /* more without a dash */
  };
  for (gsize i = 0; i < G_N_ELEMENTS (wrong); i++)
    if (begin (wrong[i], "") != NULL)
      fail_msg ("taken: %s", wrong[i]);
}

static void
later_versions_are_read_as_far_as_they_are_known (void **state)
{
  static const char *const later[] = {
    "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what-the-future-will-be-like",
  };
  char text[RAGIFY_TRACEPARENT_SIZE + 1];
  for (gsize i = 0; i < G_N_ELEMENTS (later); i++) {
    RagifyTrace *trace = begin (later[i], "");
    assert_non_null (trace);
    ragify_trace_write (trace, 0, text);
    assert_string_equal (text, PARENT); /* we speak version 00 */
    ragify_trace_unref (trace);
  }
}

static void
a_state_that_is_wrong_is_left_behind (void **state)
{
  g_autoptr (GString) many = g_string_new (NULL);
  for (guint i = 0; i < 33; i++)
    g_string_append_printf (many, "%sk%u=v", i > 0 ? "," : "", i);
  g_autoptr (GString) large = g_string_new ("k=");
  while (large->len <= RAGIFY_TRACESTATE_MAX)
    g_string_append_c (large, 'v');
  const char *const wrong[] = { "", ",", "novalue", "=v", "k=\001", many->str, large->str };
  for (gsize i = 0; i < G_N_ELEMENTS (wrong); i++) {
    RagifyTrace *trace = begin (PARENT, wrong[i]);
    assert_non_null (trace);
    if (ragify_trace_state (trace).size != 0)
      fail_msg ("taken: %s", wrong[i]);
    ragify_trace_unref (trace);
  }
}

static void
flags_that_are_not_known_are_not_handed_on (void **state)
{
  char text[RAGIFY_TRACEPARENT_SIZE + 1];
  RagifyTrace *trace = begin ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-ff", "");
  ragify_trace_write (trace, 0, text);
  assert_string_equal (text, PARENT);
  ragify_trace_unref (trace);
}

static void
ids_differ_and_are_not_zero (void **state)
{
  g_autoptr (GHashTable) seen = g_hash_table_new_full (g_int64_hash, g_int64_equal, g_free, NULL);
  for (guint i = 0; i < 10000; i++) {
    const guint64 id = ragify_trace_new_id ();
    assert_true (id != 0);
    assert_true (g_hash_table_add (seen, g_memdup2 (&id, sizeof id)));
  }
}

/* A collector that nobody is at: the queue fills, what is more is dropped, and the end comes in time. */
static void
a_collector_that_is_gone_costs_its_spans_only (void **state)
{
  RagifyMetrics *metrics = ragify_metrics_new ();
  const RagifyTracerOptions options = {
    .endpoint = "http://127.0.0.1:1", .service = "test", .version = "1", .queue = 600, .sample = 1
  };
  g_autoptr (GError) error = NULL;
  RagifyTracer *tracer = ragify_tracer_new (metrics, &options, &error);
  assert_non_null (tracer);
  for (guint i = 0; i < 2000; i++) {
    RagifyTrace *trace = ragify_trace_begin (tracer, ragify_str (NULL, 0), ragify_str (NULL, 0));
    RagifyTraceSpot spot = ragify_trace_spot (trace, 0);
    assert_true (ragify_trace_records (trace));
    RagifySpan *span = ragify_span_new (&spot, RAGIFY_SPAN_SERVER, "x");
    ragify_span_text (span, "text", "\xff is no UTF-8");
    ragify_span_end (span, 1, 2);
    ragify_trace_spot_clear (&spot);
    ragify_trace_unref (trace);
  }
  ragify_tracer_free (tracer);
  double full = ragify_series_value (ragify_metrics_series (
      metrics, RAGIFY_SERIES_COUNTER, "ragify_trace_spans_dropped_total", NULL, "reason", "queue-full", NULL));
  double gone = ragify_series_value (ragify_metrics_series (
      metrics, RAGIFY_SERIES_COUNTER, "ragify_trace_spans_dropped_total", NULL, "reason", "unreachable", NULL));
  assert_true (full >= 800);
  assert_true (full + gone == 2000);
  ragify_metrics_free (metrics);
}

static void
endpoints_are_urls (void **state)
{
  static const char *const wrong[] = { "", "127.0.0.1:4318", "grpc://a:1", "http://", "http:///v1/traces" };
  RagifyMetrics *metrics = ragify_metrics_new ();
  for (gsize i = 0; i < G_N_ELEMENTS (wrong); i++) {
    const RagifyTracerOptions options = { .endpoint = wrong[i], .service = "test", .version = "1" };
    g_autoptr (GError) error = NULL;
    assert_null (ragify_tracer_new (metrics, &options, &error));
    assert_non_null (strstr (error->message, "expected a URL"));
  }
  ragify_metrics_free (metrics);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (a_context_is_handed_on),
    cmocka_unit_test (what_is_no_context_is_none),
    cmocka_unit_test (later_versions_are_read_as_far_as_they_are_known),
    cmocka_unit_test (a_state_that_is_wrong_is_left_behind),
    cmocka_unit_test (flags_that_are_not_known_are_not_handed_on),
    cmocka_unit_test (ids_differ_and_are_not_zero),
    cmocka_unit_test (a_collector_that_is_gone_costs_its_spans_only),
    cmocka_unit_test (endpoints_are_urls),
  };
  cmocka_set_message_output (CM_OUTPUT_TAP);
  return cmocka_run_group_tests_name ("trace", tests, NULL, NULL);
}
