/* /livez, /readyz, /metrics, /v1/health and /v1/stats: what an operator asks. All are answered at once, from memory.
 *
 * SPDX-License-Identifier: MIT
 */
#include "health-route.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

#include "connection.h"
#include "core/observe/process-metrics.h"
#include "core/pipeline/writer.h"
#include "exchange.h"

static const char *const no_parameters[] = { NULL };

static gboolean
begin_plain (RagifyExchange *exchange)
{
  return ragify_query_allow (exchange->query, no_parameters, &exchange->problem);
}

/* ---- probes ---- */

static void
finish_live (RagifyExchange *exchange)
{
  const RagifyListener *listener = exchange->listener;
  const gboolean close = listener->draining || exchange->connection->crowded != NULL;
  ragify_exchange_reply_static (exchange, 200, close ? listener->live_close : listener->live);
}

static const char *
unready_reason (const RagifyExchange *exchange)
{
  const char *reason = __atomic_load_n (&exchange->listener->shared->unready, __ATOMIC_ACQUIRE);
  if (reason == NULL && exchange->listener->draining)
    reason = "the host is shutting down";
  return reason;
}

static void
finish_ready (RagifyExchange *exchange)
{
  const char *reason = unready_reason (exchange);
  if (reason != NULL) {
    ragify_exchange_refuse (exchange, 503, "Not ready", NULL, "%s", reason);
    exchange->problem.retry_after = 1;
    ragify_exchange_reply_problem (exchange, &exchange->problem);
    return;
  }
  static const char body[] = "{\"status\":\"ready\"}";
  ragify_exchange_reply (exchange, 200, "application/json", g_strdup (body), strlen (body));
}

/* ---- JSON ---- */

static void
write_text_member (RagifyWriter *writer, const char *name, const char *value)
{
  ragify_writer_text (writer, ",\"");
  ragify_writer_text (writer, name);
  ragify_writer_text (writer, "\":");
  ragify_writer_string (writer, ragify_str_from (value));
}

static void
write_number_member (RagifyWriter *writer, const char *name, double value)
{
  ragify_writer_text (writer, ",\"");
  ragify_writer_text (writer, name);
  ragify_writer_text (writer, "\":");
  if (isfinite (value))
    ragify_writer_number (writer, value, 9);
  else
    ragify_writer_text (writer, "null");
}

/* Begins an object with what tells this host from others. */
static void
write_host (RagifyWriter *writer, const char *status)
{
  ragify_writer_text (writer, "{\"status\":");
  ragify_writer_string (writer, ragify_str_from (status));
  write_text_member (writer, "version", RAGIFY_VERSION);
  write_number_member (writer, "pid", (double)getpid ());
  write_number_member (writer, "uptime", ragify_process_uptime ());
}

static void
reply_written (RagifyExchange *exchange, RagifyWriter *writer)
{
  gsize size = 0;
  char *body = ragify_writer_steal (writer, &size);
  ragify_exchange_reply (exchange, 200, "application/json", body, size);
}

static RagifyHealthState
state_of (const RagifyServing *serving)
{
  return serving->health != NULL ? ragify_health_state (serving->health) : RAGIFY_HEALTHY;
}

static void
finish_health (RagifyExchange *exchange)
{
  const RagifyServing *serving = exchange->listener->serving;
  const char *reason = unready_reason (exchange);
  RagifyWriter writer;
  ragify_writer_init (&writer, 512);
  write_host (&writer, reason == NULL ? ragify_health_state_name (state_of (serving)) : "unhealthy");
  if (reason != NULL)
    write_text_member (&writer, "reason", reason);
  ragify_writer_text (&writer, ",\"pipelines\":[");
  for (guint i = 0; i < serving->n_pipelines; i++) {
    ragify_writer_text (&writer, i > 0 ? "," : "");
    ragify_writer_string (&writer, ragify_str_from (ragify_pipeline_name (serving->pipelines[i])));
  }
  ragify_writer_text (&writer, "],\"stores\":[");
  for (guint i = 0; i < serving->n_libraries; i++) {
    ragify_writer_text (&writer, i > 0 ? "," : "");
    ragify_writer_string (&writer, ragify_str_from (ragify_library_name (serving->libraries[i])));
  }
  ragify_writer_text (&writer, "]");
  if (serving->health != NULL) {
    ragify_writer_text (&writer, ",");
    ragify_health_write (serving->health, &writer);
  }
  ragify_writer_text (&writer, "}");
  reply_written (exchange, &writer);
}

/* ---- numbers ---- */

typedef struct Listing {
  RagifyWriter writer;
  gboolean more;
} Listing;

static void
write_series (const char *name, RagifySeriesType type, const char *const *labels, RagifySeries *series, void *user)
{
  Listing *listing = user;
  RagifyWriter *writer = &listing->writer;
  ragify_writer_text (writer, listing->more ? ",{\"name\":" : "{\"name\":");
  listing->more = TRUE;
  ragify_writer_string (writer, ragify_str_from (name));
  ragify_writer_text (writer, ",\"labels\":{");
  for (guint i = 0; labels[i] != NULL; i += 2) {
    ragify_writer_text (writer, i > 0 ? "," : "");
    ragify_writer_string (writer, ragify_str_from (labels[i]));
    ragify_writer_text (writer, ":");
    ragify_writer_string (writer, ragify_str_from (labels[i + 1]));
  }
  ragify_writer_text (writer, "}");
  if (type == RAGIFY_SERIES_SIZES) {
    write_number_member (writer, "count", ragify_series_value (series));
    write_number_member (writer, "sum", ragify_series_sum (series));
  } else if (type == RAGIFY_SERIES_HISTOGRAM) {
    write_number_member (writer, "count", ragify_series_value (series));
    write_number_member (writer, "p50", ragify_series_quantile (series, 0.50));
    write_number_member (writer, "p95", ragify_series_quantile (series, 0.95));
    write_number_member (writer, "p99", ragify_series_quantile (series, 0.99));
  } else {
    write_number_member (writer, "value", ragify_series_value (series));
  }
  ragify_writer_text (writer, "}");
}

/* What the performance tracker knows; with its samples where they are asked for. */
static void
write_operations (const RagifyExchange *exchange, RagifyWriter *writer)
{
  const char *samples = ragify_query_get (exchange->query, "samples");
  g_autoptr (GString) text = g_string_new (NULL);
  if (exchange->listener->shared->tracker == NULL) {
    ragify_writer_text (writer, "{}");
    return;
  }
  ragify_tracker_write (exchange->listener->shared->tracker, text, samples != NULL && strcmp (samples, "true") == 0);
  ragify_writer_bytes (writer, text->str, text->len);
}

static gboolean
begin_stats (RagifyExchange *exchange)
{
  static const char *const known[] = { "samples", NULL };
  if (!ragify_query_allow (exchange->query, known, &exchange->problem))
    return FALSE;
  const char *samples = ragify_query_get (exchange->query, "samples");
  if (samples == NULL || strcmp (samples, "true") == 0 || strcmp (samples, "false") == 0)
    return TRUE;
  return ragify_exchange_refuse (exchange, 422, "Invalid value", "samples", "expected true or false, found '%.20s'",
                                 samples);
}

static void
finish_stats (RagifyExchange *exchange)
{
  Listing listing = { .more = FALSE };
  ragify_writer_init (&listing.writer, 16384);
  write_host (&listing.writer, unready_reason (exchange) == NULL ? "healthy" : "unhealthy");
  ragify_writer_text (&listing.writer, ",\"metrics\":[");
  ragify_metrics_visit (exchange->listener->shared->metrics, write_series, &listing);
  ragify_writer_text (&listing.writer, "],\"operations\":");
  write_operations (exchange, &listing.writer);
  ragify_writer_text (&listing.writer, "}");
  reply_written (exchange, &listing.writer);
}

static gboolean
wants_openmetrics (RagifyStr accept)
{
  static const char type[] = "application/openmetrics-text";
  for (gsize i = 0; i + sizeof type - 1 <= accept.size; i++)
    if (g_ascii_strncasecmp (accept.data + i, type, sizeof type - 1) == 0)
      return TRUE;
  return FALSE;
}

static void
finish_metrics (RagifyExchange *exchange)
{
  const gboolean openmetrics = wants_openmetrics (exchange->facts.accept);
  GString *text = g_string_sized_new (32768);
  ragify_metrics_write (exchange->listener->shared->metrics, text, openmetrics);
  const gsize size = text->len;
  ragify_exchange_reply (exchange, 200,
                         openmetrics ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                                     : "text/plain; version=0.0.4; charset=utf-8",
                         g_string_free (text, FALSE), size);
}

const RagifyAction ragify_action_live = {
  .always = TRUE, .access = RAGIFY_ACCESS_OPEN, .begin = begin_plain, .finish = finish_live
};
const RagifyAction ragify_action_ready = {
  .always = TRUE, .access = RAGIFY_ACCESS_OPEN, .begin = begin_plain, .finish = finish_ready
};
const RagifyAction ragify_action_health = { .always = TRUE, .begin = begin_plain, .finish = finish_health };
const RagifyAction ragify_action_stats = { .always = TRUE, .begin = begin_stats, .finish = finish_stats };
const RagifyAction ragify_action_metrics = { .always = TRUE, .begin = begin_plain, .finish = finish_metrics };
