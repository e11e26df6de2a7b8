/* SPDX-License-Identifier: MIT */
#include "core/observe/history.h"

#include <math.h>
#include <pthread.h>
#include <string.h>

#include "core/observe/histogram.h"

#define INTERVAL_SECONDS 10u
#define SAMPLES 360u

/* What grows, as of one moment. */
typedef struct Totals {
  double requests, errors, hits, misses;
  double memory, waiting;
  guint64 computed[RAGIFY_HISTOGRAM_BUCKETS];
} Totals;

typedef struct Sample {
  gint64 at;
  double requests, errors, hit_rate, p95, memory, waiting; /* NAN: there is none */
} Sample;

struct RagifyHistory {
  RagifyMetrics *metrics;
  guint timer;
  gint64 then; /* monotonic µs, of `totals` */
  Totals totals;
  pthread_mutex_t lock; /* for what follows */
  Sample samples[SAMPLES];
  guint next, count;
};

static const char *
label_of (const char *const *labels, const char *name)
{
  for (; *labels != NULL; labels += 2)
    if (strcmp (labels[0], name) == 0)
      return labels[1];
  return "";
}

static void
add_histogram (Totals *totals, RagifySeries *series)
{
  guint64 counts[RAGIFY_HISTOGRAM_BUCKETS];
  ragify_series_buckets (series, counts);
  for (guint i = 0; i < RAGIFY_HISTOGRAM_BUCKETS; i++)
    totals->computed[i] += counts[i];
}

static void
add_series (const char *name, RagifySeriesType type, const char *const *labels, RagifySeries *series, void *user)
{
  Totals *totals = user;
  if (strcmp (name, "ragify_http_requests") == 0) {
    const guint64 status = g_ascii_strtoull (label_of (labels, "status"), NULL, 10);
    totals->requests += ragify_series_value (series);
    totals->errors += status == 429 || status >= 500 ? ragify_series_value (series) : 0;
  } else if (strcmp (name, "ragify_cache_hits") == 0) {
    totals->hits += ragify_series_value (series);
  } else if (strcmp (name, "ragify_cache_misses") == 0) {
    totals->misses += ragify_series_value (series);
  } else if (strcmp (name, "process_resident_memory_bytes") == 0) {
    totals->memory = ragify_series_value (series);
  } else if (strcmp (name, "ragify_http_requests_waiting") == 0) {
    totals->waiting += ragify_series_value (series);
  } else if (strcmp (name, "ragify_request_duration_seconds") == 0 &&
             strcmp (label_of (labels, "cache"), "miss") == 0) {
    add_histogram (totals, series);
  }
}

/* What happened between two moments. */
static Sample
compare (const Totals *before, const Totals *now, double seconds)
{
  guint64 computed[RAGIFY_HISTOGRAM_BUCKETS];
  const double hits = now->hits - before->hits, asked = hits + now->misses - before->misses;
  for (guint i = 0; i < RAGIFY_HISTOGRAM_BUCKETS; i++)
    computed[i] = now->computed[i] - MIN (before->computed[i], now->computed[i]); /* a reload may take pipelines away */
  return (Sample){ .at = g_get_real_time () / G_USEC_PER_SEC,
                   .requests = MAX (now->requests - before->requests, 0) / seconds,
                   .errors = MAX (now->errors - before->errors, 0) / seconds,
                   .hit_rate = asked > 0 && hits >= 0 ? hits / asked : NAN,
                   .p95 = ragify_histogram_quantile (computed, 0.95),
                   .memory = now->memory,
                   .waiting = now->waiting };
}

static gboolean
take_sample (gpointer data)
{
  RagifyHistory *history = data;
  const gint64 now = g_get_monotonic_time ();
  Totals totals = { 0 };
  ragify_metrics_visit (history->metrics, add_series, &totals);
  const double seconds = MAX ((double)(now - history->then) / G_USEC_PER_SEC, 1e-3);
  const Sample sample = compare (&history->totals, &totals, seconds);
  history->totals = totals;
  history->then = now;
  pthread_mutex_lock (&history->lock);
  history->samples[history->next] = sample;
  history->next = (history->next + 1) % SAMPLES;
  history->count = MIN (history->count + 1, SAMPLES);
  pthread_mutex_unlock (&history->lock);
  return G_SOURCE_CONTINUE;
}

RagifyHistory *
ragify_history_new (RagifyMetrics *metrics)
{
  RagifyHistory *history = g_new0 (RagifyHistory, 1);
  history->metrics = metrics;
  history->then = g_get_monotonic_time ();
  pthread_mutex_init (&history->lock, NULL);
  history->timer = g_timeout_add_seconds (INTERVAL_SECONDS, take_sample, history);
  return history;
}

void
ragify_history_free (RagifyHistory *history)
{
  g_source_remove (history->timer);
  pthread_mutex_destroy (&history->lock);
  g_free (history);
}

static void
write_member (GString *json, const char *name, double value)
{
  char text[G_ASCII_DTOSTR_BUF_SIZE];
  g_string_append_printf (json, ",\"%s\":%s", name,
                          isfinite (value) ? g_ascii_formatd (text, sizeof text, "%.9g", value) : "null");
}

void
ragify_history_write (RagifyHistory *history, GString *json)
{
  g_string_append_printf (json, "{\"interval\":%u,\"samples\":[", INTERVAL_SECONDS);
  pthread_mutex_lock (&history->lock);
  for (guint i = 0; i < history->count; i++) {
    const Sample *sample = &history->samples[(history->next + SAMPLES - history->count + i) % SAMPLES];
    g_string_append_printf (json, "%s{\"at\":%" G_GINT64_FORMAT, i > 0 ? "," : "", sample->at);
    write_member (json, "requests", sample->requests);
    write_member (json, "errors", sample->errors);
    write_member (json, "hit_rate", sample->hit_rate);
    write_member (json, "p95", sample->p95);
    write_member (json, "memory", sample->memory);
    write_member (json, "waiting", sample->waiting);
    g_string_append_c (json, '}');
  }
  pthread_mutex_unlock (&history->lock);
  g_string_append (json, "]}");
}
