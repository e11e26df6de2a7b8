#include "status-summary.h"

#include "tools/common/json-reader.h"
#include "tools/common/progress.h"
#include "tools/common/tool-exit.h"

#include <math.h>
#include <string.h>

static gboolean
matches (const json_t *metric, const char *name, const char *label, const char *value)
{
  const char *found = ragify_json_get_string (metric, "name");
  if (found == NULL || strcmp (found, name) != 0)
    return FALSE;
  return label == NULL || g_strcmp0 (ragify_json_get_string (json_object_get (metric, "labels"), label), value) == 0;
}

/* Adds up a member of all the metric's series; NaN when there is none. */
static double
sum_of (const json_t *stats, const char *name, const char *label, const char *value, const char *member)
{
  const json_t *metrics = json_object_get (stats, "metrics");
  double sum = NAN;
  for (gsize i = 0; i < json_array_size (metrics); i++) {
    const json_t *metric = json_array_get (metrics, i);
    if (matches (metric, name, label, value))
      sum = (isnan (sum) ? 0 : sum) + ragify_json_get_number (metric, member, 0);
  }
  return sum;
}

static void
append_uptime (GString *text, double seconds)
{
  guint64 whole = (guint64)seconds;
  if (whole >= 86400)
    g_string_append_printf (text, ", up %" G_GUINT64_FORMAT " d %u h", whole / 86400, (guint)(whole / 3600 % 24));
  else if (whole >= 3600)
    g_string_append_printf (text, ", up %u h %u min", (guint)(whole / 3600), (guint)(whole / 60 % 60));
  else
    g_string_append_printf (text, ", up %u min %u s", (guint)(whole / 60), (guint)(whole % 60));
}

static void
append_identity (GString *text, const json_t *stats)
{
  const char *version = ragify_json_get_string (stats, "version");
  gint64 pid = ragify_json_get_integer (stats, "pid", 0);
  double uptime = ragify_json_get_number (stats, "uptime", -1);
  double memory = sum_of (stats, "process_resident_memory_bytes", NULL, NULL, "value");
  g_string_append_printf (text, "  version %s", version != NULL ? version : "unknown");
  if (pid > 0)
    g_string_append_printf (text, ", process %" G_GINT64_FORMAT, pid);
  if (uptime >= 0)
    append_uptime (text, uptime);
  if (!isnan (memory))
    g_string_append_printf (text, ", %.0f MB", memory * 1e-6);
}

/* One line for each pipeline that has a duration of its own. */
static void
append_queries (GString *text, const json_t *stats)
{
  const json_t *metrics = json_object_get (stats, "metrics");
  for (gsize i = 0; i < json_array_size (metrics); i++) {
    const json_t *metric = json_array_get (metrics, i);
    const json_t *labels = json_object_get (metric, "labels");
    const char *pipeline = ragify_json_get_string (labels, "pipeline");
    const char *cache = ragify_json_get_string (labels, "cache");
    gint64 count = ragify_json_get_integer (metric, "count", 0);
    if (!matches (metric, "ragify_request_duration_seconds", NULL, NULL) || pipeline == NULL || count == 0)
      continue;
    g_autofree char *number = ragify_format_count ((guint64)count);
    g_string_append_printf (text, "\n  pipeline %s: %s queries, cache %s, p50 %.2f ms, p95 %.2f ms", pipeline, number,
                            cache != NULL ? cache : "unknown", ragify_json_get_number (metric, "p50", 0) * 1e3,
                            ragify_json_get_number (metric, "p95", 0) * 1e3);
  }
}

static void
append_cache (GString *text, const json_t *stats)
{
  double hits = sum_of (stats, "ragify_cache_hits", NULL, NULL, "value");
  double misses = sum_of (stats, "ragify_cache_misses", NULL, NULL, "value");
  if (hits + misses > 0)
    g_string_append_printf (text, "\n  cache: %.0f hits, %.0f misses (%.1f %% hit rate)", hits, misses,
                            100 * hits / (hits + misses));
}

/* What an operator would look into: counted only when it happened. */
static void
append_troubles (GString *text, const json_t *stats)
{
  static const struct {
    const char *name;
    const char *label;
    const char *value;
    const char *words;
  } troubles[] = {
    { "ragify_failed_requests", NULL, NULL, "failed queries" },
    { "ragify_degraded_answers", NULL, NULL, "degraded answers" },
    { "ragify_source_requests", "status", "timeout", "sources that timed out" },
    { "ragify_source_requests", "status", "error", "sources that failed" },
    { "ragify_node_call_errors", NULL, NULL, "failed calls of plugins" },
    { "ragify_cache_level_errors", NULL, NULL, "failures of cache levels" },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (troubles); i++) {
    double count = sum_of (stats, troubles[i].name, troubles[i].label, troubles[i].value, "value");
    if (count > 0)
      g_string_append_printf (text, "\n  %s: %.0f", troubles[i].words, count);
  }
}

char *
ragify_status_summary_format (const json_t *stats)
{
  g_autoptr (GString) text = g_string_new (NULL);
  append_identity (text, stats);
  append_queries (text, stats);
  append_cache (text, stats);
  append_troubles (text, stats);
  return ragify_tool_printable (text->str);
}
