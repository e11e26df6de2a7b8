/* A run as others see it: a span of a trace, and a line of the log where it was slow.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "core/pipeline/run.h"

/* Of a query in the log. */
#define QUERY_SHOWN 500u

static const char *
cache_of (const RagifyRun *run)
{
  return run->answer.cache != NULL ? run->answer.cache : "miss";
}

/* ---- spans ---- */

static void
add_asks (RagifySpan *span, const RagifyRun *run)
{
  for (guint i = 0; i < run->n_asks; i++) {
    const RagifyAsk *ask = &run->asks[i];
    g_autofree char *status = g_strdup_printf ("ragify.source.%s.status", ask->place->name);
    g_autofree char *chunks = g_strdup_printf ("ragify.source.%s.chunks", ask->place->name);
    ragify_span_text (span, status, ragify_ask_state_names[ask->state]);
    ragify_span_integer (span, chunks, ask->found);
  }
}

void
ragify_run_trace (const RagifyRun *run, guint64 now)
{
  const RagifyRequest *request = run->request;
  g_autofree char *name = g_strdup_printf ("pipeline %s", run->pipeline->name);
  RagifySpan *span = ragify_span_new (&request->owner.spot, RAGIFY_SPAN_INTERNAL, name);
  ragify_span_text (span, "ragify.pipeline", run->pipeline->name);
  ragify_span_text (span, "ragify.cache", cache_of (run));
  ragify_span_integer (span, "ragify.chunks", run->n_chosen);
  ragify_span_integer (span, "ragify.candidates", run->candidates.count);
  if (run->degraded)
    ragify_span_text (span, "ragify.degraded", "true");
  for (guint i = 0; i < RAGIFY_N_STAGES; i++) {
    if ((run->stages & (1u << i)) == 0)
      continue;
    g_autofree char *key = g_strdup_printf ("ragify.stage.%s.seconds", ragify_stage_names[i]);
    ragify_span_number (span, key, (double)run->stage_us[i] / G_USEC_PER_SEC);
  }
  if (strcmp (cache_of (run), "miss") == 0)
    add_asks (span, run);
  if (run->answer.status >= 500)
    ragify_span_fail (span, run->n_warnings > 0 ? run->warnings[0] : "no answer");
  ragify_span_end (span, request->began, now);
}

/* ---- the tracker ---- */

void
ragify_run_track (const RagifyRun *run, guint64 duration_us)
{
  const gboolean failed = run->answer.status != 200;
  const char *said = run->n_warnings > 0 ? run->warnings[0] : run->answer.status == 499 ? "cancelled" : "no answer";
  const RagifyTrackedSample sample = { .duration_us = duration_us,
                                       .failed = failed,
                                       .status = run->answer.status,
                                       .error = failed ? said : NULL,
                                       .request_id = run->request->id,
                                       .cache = cache_of (run),
                                       .chunks = run->n_chosen };
  ragify_tracker_record (run->pipeline->tracked, &sample);
}

/* ---- the log ---- */

static void
add_milliseconds (GString *text, const char *name, guint64 duration_us)
{
  char number[G_ASCII_DTOSTR_BUF_SIZE];
  g_string_append_printf (text, "%s%s %s", text->len > 0 ? ", " : "", name,
                          g_ascii_formatd (number, sizeof number, "%.1f", (double)duration_us / 1000));
}

/* "embed 3.1, search 0.4" */
static char *
stages_text (const RagifyRun *run)
{
  GString *text = g_string_new (NULL);
  for (guint i = 0; i < RAGIFY_N_STAGES; i++)
    if ((run->stages & (1u << i)) != 0)
      add_milliseconds (text, ragify_stage_names[i], run->stage_us[i]);
  return g_string_free (text, FALSE);
}

/* "docs ok 5.0, tickets timeout 300.0" */
static char *
sources_text (const RagifyRun *run)
{
  GString *text = g_string_new (NULL);
  if (strcmp (cache_of (run), "miss") != 0)
    return g_string_free (text, FALSE);
  for (guint i = 0; i < run->n_asks; i++) {
    const RagifyAsk *ask = &run->asks[i];
    g_autofree char *name = g_strdup_printf ("%s %s", ask->place->name, ragify_ask_state_names[ask->state]);
    add_milliseconds (text, name, ask->duration);
  }
  return g_string_free (text, FALSE);
}

/* The beginning of what was asked, on one line. */
static char *
query_text (const RagifyRun *run)
{
  const RagifyStr query = run->request->query;
  if (!__atomic_load_n (&run->pipeline->runtime->slow_query_text, __ATOMIC_RELAXED))
    return g_strdup ("-");
  gsize size = MIN (query.size, QUERY_SHOWN);
  while (size < query.size && size > 0 && ((guchar)query.data[size] & 0xC0) == 0x80)
    size--;
  char *text = g_strndup (query.data, size);
  for (char *c = text; *c != '\0'; c++)
    if (g_ascii_iscntrl (*c))
      *c = ' ';
  return text;
}

void
ragify_run_log_slow (const RagifyRun *run, guint64 duration_us)
{
  const RagifyRequest *request = run->request;
  const RagifyTrace *trace = request->owner.spot.trace;
  g_autofree char *stages = stages_text (run);
  g_autofree char *sources = sources_text (run);
  g_autofree char *query = query_text (run);
  char milliseconds[G_ASCII_DTOSTR_BUF_SIZE], status[12];
  g_ascii_formatd (milliseconds, sizeof milliseconds, "%.1f", (double)duration_us / 1000);
  g_snprintf (status, sizeof status, "%u", run->answer.status);
  g_log_structured (G_LOG_DOMAIN, G_LOG_LEVEL_MESSAGE, "RAGIFY_EVENT", "slow-query", "RAGIFY_REQUEST_ID", request->id,
                    "RAGIFY_TRACE_ID", trace != NULL ? ragify_trace_id (trace) : "", "RAGIFY_PIPELINE",
                    run->pipeline->name, "RAGIFY_DURATION_MS", milliseconds, "RAGIFY_STATUS", status, "RAGIFY_CACHE",
                    cache_of (run), "RAGIFY_STAGES_MS", stages, "RAGIFY_SOURCES_MS", sources, "RAGIFY_QUERY", query,
                    "MESSAGE", "slow query: %s ms, pipeline %s, request %s, status %s, cache %s%s%s%s%s: %s",
                    milliseconds, run->pipeline->name, request->id, status, cache_of (run),
                    *stages != '\0' ? "; stages: " : "", stages, *sources != '\0' ? "; sources: " : "", sources, query);
}
