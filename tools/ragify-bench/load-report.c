#include "load-report.h"

#include "tools/common/json-writer.h"
#include "tools/common/progress.h"

#include <stdio.h>

static const double percentiles[] = { 50, 75, 90, 95, 99, 99.9 };
static const char *const percentile_names[] = { "p50", "p75", "p90", "p95", "p99", "p999" };

static double
rate (const RagifyLoadResult *result)
{
  return result->elapsed > 0 ? (double)ragify_load_result_count_succeeded (result) / result->elapsed : 0;
}

static double
per_request (double seconds, const RagifyLoadResult *result)
{
  guint64 count = ragify_load_result_count_succeeded (result);
  return count > 0 ? seconds / (double)count : 0;
}

static void
append_counts (GString *line, const RagifyLoadResult *result)
{
  for (guint i = 0; i < RAGIFY_LOAD_STATUSES; i++)
    if (result->statuses[i] > 0) {
      g_autofree char *count = ragify_format_count (result->statuses[i]);
      g_string_append_printf (line, "%s%u: %s", line->len > 0 ? ", " : "", i, count);
    }
  for (guint i = 0; i < RAGIFY_LOAD_ERRORS; i++)
    if (result->errors[i] > 0) {
      g_autofree char *count = ragify_format_count (result->errors[i]);
      g_string_append_printf (line, "%s%s: %s", line->len > 0 ? ", " : "", ragify_load_error_name (i), count);
    }
  if (result->malformed != NULL)
    g_string_append_printf (line, " (malformed: %s)", result->malformed);
}

static void
print_latency (const char *name, const RagifyLatencyHistogram *latency)
{
  if (ragify_latency_histogram_get_count (latency) == 0)
    return;
  printf ("%-10s", name);
  for (gsize i = 0; i < G_N_ELEMENTS (percentiles); i++)
    printf ("p%g %.3f  ", percentiles[i],
            (double)ragify_latency_histogram_get_percentile (latency, percentiles[i]) * 1e-6);
  printf ("max %.3f  mean %.3f ms\n", (double)ragify_latency_histogram_get_max (latency) * 1e-6,
          ragify_latency_histogram_get_mean (latency) * 1e-6);
}

static void
print_levels (const RagifyLoadResult *result)
{
  GHashTableIter iter;
  gpointer level = NULL;
  gpointer count = NULL;
  if (g_hash_table_size (result->levels) == 0)
    return;
  printf ("cache     ");
  g_hash_table_iter_init (&iter, result->levels);
  while (g_hash_table_iter_next (&iter, &level, &count))
    printf ("%s: %" G_GUINT64_FORMAT "  ", (const char *)level, *(guint64 *)count);
  printf ("(degraded answers: %" G_GUINT64_FORMAT ")\n", result->degraded);
}

static void
print_server (const RagifyBenchMeasurement *measurement)
{
  const RagifyLoadResult *result = measurement->load;
  if (!measurement->has_server)
    return;
  printf ("server    %.1f µs CPU a request (%.0f user, %.0f system), PSS %.1f MB, peak RSS %.1f MB\n",
          per_request (measurement->server_cpu, result) * 1e6, per_request (measurement->server_user, result) * 1e6,
          per_request (measurement->server_system, result) * 1e6, (double)measurement->after.pss * 1e-6,
          (double)measurement->after.peak * 1e-6);
}

void
ragify_load_report_print (const RagifyBenchLoad *load, const char *what, const RagifyBenchMeasurement *measurement)
{
  const RagifyLoadResult *result = measurement->load;
  g_autofree char *count = ragify_format_count (ragify_load_result_count_succeeded (result));
  g_autoptr (GString) counts = g_string_new (NULL);
  append_counts (counts, result);

  if (load->rate > 0)
    printf ("open loop, %g requests/s (%s), at most %d connections, %s\n", load->rate,
            load->arrivals != NULL ? load->arrivals : "poisson", load->clients, what);
  else
    printf ("closed loop, %d client%s, %s\n", load->clients, load->clients == 1 ? "" : "s", what);
  printf ("answers   %s in %.2f s: %.1f/s, %.1f MB of bodies\n", count, result->elapsed, rate (result),
          (double)result->body_bytes * 1e-6);
  printf ("by status %s\n", counts->str);
  print_latency ("latency", result->latency);
  print_latency ("in host", result->processing);
  print_levels (result);
  print_server (measurement);
  if (measurement->idle_open > 0)
    printf ("idle      %u connections open besides, %u of them closed by the server meanwhile\n",
            measurement->idle_open, measurement->idle_closed);
  double busy = result->elapsed > 0 ? result->client_cpu / result->elapsed : 0;
  printf ("client    %.0f %% of a core%s\n", busy * 100,
          busy > 0.9 ? " (the client is the bottleneck: latencies are too large)" : "");
  if (load->rate > 0)
    printf ("lag       sent at most %.3f ms after the intended time\n", result->worst_lag * 1e3);
}

static void
write_latency (RagifyJsonWriter *writer, const char *name, const RagifyLatencyHistogram *latency)
{
  ragify_json_writer_begin_object (writer, name);
  for (gsize i = 0; i < G_N_ELEMENTS (percentiles); i++)
    ragify_json_writer_add_number (writer, percentile_names[i],
                                   (double)ragify_latency_histogram_get_percentile (latency, percentiles[i]) * 1e-9);
  ragify_json_writer_add_number (writer, "min", (double)ragify_latency_histogram_get_min (latency) * 1e-9);
  ragify_json_writer_add_number (writer, "max", (double)ragify_latency_histogram_get_max (latency) * 1e-9);
  ragify_json_writer_add_number (writer, "mean", ragify_latency_histogram_get_mean (latency) * 1e-9);
  ragify_json_writer_end_object (writer);
}

static void
write_counts (RagifyJsonWriter *writer, const RagifyLoadResult *result)
{
  ragify_json_writer_begin_object (writer, "statuses");
  for (guint i = 0; i < RAGIFY_LOAD_STATUSES; i++)
    if (result->statuses[i] > 0) {
      g_autofree char *name = g_strdup_printf ("%u", i);
      ragify_json_writer_add_integer (writer, name, (gint64)result->statuses[i]);
    }
  ragify_json_writer_end_object (writer);

  ragify_json_writer_begin_object (writer, "errors");
  for (guint i = 0; i < RAGIFY_LOAD_ERRORS; i++)
    ragify_json_writer_add_integer (writer, ragify_load_error_name (i), (gint64)result->errors[i]);
  ragify_json_writer_end_object (writer);

  GHashTableIter iter;
  gpointer level = NULL;
  gpointer count = NULL;
  ragify_json_writer_begin_object (writer, "cache");
  g_hash_table_iter_init (&iter, result->levels);
  while (g_hash_table_iter_next (&iter, &level, &count))
    ragify_json_writer_add_integer (writer, level, (gint64) * (guint64 *)count);
  ragify_json_writer_end_object (writer);
}

static void
write_server (RagifyJsonWriter *writer, const RagifyBenchMeasurement *measurement)
{
  if (!measurement->has_server)
    return;
  ragify_json_writer_begin_object (writer, "server");
  ragify_json_writer_add_number (writer, "cpu_seconds", measurement->server_cpu);
  ragify_json_writer_add_number (writer, "cpu_per_request", per_request (measurement->server_cpu, measurement->load));
  ragify_json_writer_add_number (writer, "user_per_request", per_request (measurement->server_user, measurement->load));
  ragify_json_writer_add_number (writer, "system_per_request",
                                 per_request (measurement->server_system, measurement->load));
  ragify_json_writer_add_integer (writer, "pss", (gint64)measurement->after.pss);
  ragify_json_writer_add_integer (writer, "rss", (gint64)measurement->after.rss);
  ragify_json_writer_add_integer (writer, "peak_rss", (gint64)measurement->after.peak);
  ragify_json_writer_end_object (writer);
}

void
ragify_load_report_print_json (const RagifyBenchLoad *load, const char *what, const RagifyBenchMeasurement *measurement)
{
  const RagifyLoadResult *result = measurement->load;
  g_autoptr (RagifyJsonWriter) writer = ragify_json_writer_new ();
  ragify_json_writer_begin_object (writer, NULL);
  ragify_json_writer_add_string (writer, "loop", load->rate > 0 ? "open" : "closed");
  ragify_json_writer_add_string (writer, "what", what);
  ragify_json_writer_add_integer (writer, "clients", load->clients);
  if (load->rate > 0) {
    ragify_json_writer_add_number (writer, "rate_asked", load->rate);
    ragify_json_writer_add_number (writer, "worst_lag", result->worst_lag);
  }
  ragify_json_writer_add_integer (writer, "sent", (gint64)result->sent);
  ragify_json_writer_add_integer (writer, "succeeded", (gint64)ragify_load_result_count_succeeded (result));
  ragify_json_writer_add_integer (writer, "failed", (gint64)ragify_load_result_count_failed (result));
  ragify_json_writer_add_number (writer, "seconds", result->elapsed);
  ragify_json_writer_add_number (writer, "rate", rate (result));
  ragify_json_writer_add_integer (writer, "body_bytes", (gint64)result->body_bytes);
  ragify_json_writer_add_integer (writer, "degraded", (gint64)result->degraded);
  ragify_json_writer_add_integer (writer, "reconnects", (gint64)result->reconnects);
  write_latency (writer, "latency_seconds", result->latency);
  if (ragify_latency_histogram_get_count (result->processing) > 0)
    write_latency (writer, "processing_seconds", result->processing);
  write_counts (writer, result);
  write_server (writer, measurement);
  ragify_json_writer_add_integer (writer, "idle_open", measurement->idle_open);
  ragify_json_writer_add_integer (writer, "idle_closed", measurement->idle_closed);
  ragify_json_writer_add_number (writer, "client_cpu", result->client_cpu);
  ragify_json_writer_end_object (writer);
  ragify_json_writer_print (writer);
}

int
ragify_load_report_exit_code (const RagifyBenchMeasurement *measurement)
{
  gboolean fine = ragify_load_result_count_failed (measurement->load) == 0 &&
                  ragify_load_result_count_succeeded (measurement->load) > 0 && measurement->idle_closed == 0;
  return fine ? RAGIFY_TOOL_EXIT_OK : RAGIFY_TOOL_EXIT_FAILED;
}
