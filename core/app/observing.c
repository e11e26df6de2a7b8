/* SPDX-License-Identifier: MIT */
#include "core/app/observing.h"

/* The file's one line. */
static gboolean
read_authorization (const RagifyConfigNode *host, char **text, RagifyDiagnostics *diagnostics)
{
  const char *path = ragify_config_node_get_string (host, "trace-authorization-file");
  g_autoptr (GError) error = NULL;
  g_autofree char *content = NULL;
  if (path == NULL)
    return TRUE;
  const gboolean there = g_file_get_contents (path, &content, NULL, &error);
  if (there)
    g_strstrip (content);
  if (there && *content != '\0' && g_utf8_validate (content, -1, NULL) && strpbrk (content, "\r\n") == NULL) {
    *text = g_steal_pointer (&content);
    return TRUE;
  }
  ragify_diagnostics_add (diagnostics, RAGIFY_SEVERITY_ERROR, host, "trace-authorization-file",
                          "'trace-authorization-file': %s",
                          there ? "expected one line, the value of an Authorization header" : error->message);
  return FALSE;
}

gboolean
ragify_observing_begin (RagifyRuntime *runtime, const RagifyConfigNode *host, RagifyDiagnostics *diagnostics)
{
  const char *endpoint = ragify_config_node_get_string (host, "trace-endpoint");
  g_autofree char *authorization = NULL;
  g_autoptr (GError) error = NULL;
  if (endpoint == NULL)
    return TRUE;
  if (!read_authorization (host, &authorization, diagnostics))
    return FALSE;
  const RagifyTracerOptions options = { .endpoint = endpoint,
                                        .authorization = authorization,
                                        .service = ragify_config_node_get_string (host, "trace-service"),
                                        .version = RAGIFY_VERSION,
                                        .queue = (guint)ragify_config_node_get_int (host, "trace-queue"),
                                        .sample = ragify_config_node_get_double (host, "trace-sample") };
  runtime->tracer = ragify_tracer_new (runtime->metrics, &options, &error);
  if (runtime->tracer != NULL)
    return TRUE;
  ragify_diagnostics_add (diagnostics, RAGIFY_SEVERITY_ERROR, host, "trace-endpoint", "'trace-endpoint': %s",
                          error->message);
  return FALSE;
}

void
ragify_observing_apply (RagifyRuntime *runtime, const RagifyConfigNode *host)
{
  __atomic_store_n (&runtime->slow_query_us, ragify_config_node_get_duration (host, "slow-query"), __ATOMIC_RELAXED);
  __atomic_store_n (&runtime->slow_query_text, ragify_config_node_get_bool (host, "slow-query-text"), __ATOMIC_RELAXED);
  if (runtime->tracer != NULL)
    ragify_tracer_set_sample (runtime->tracer, ragify_config_node_get_double (host, "trace-sample"));
}

/* ---- the worker pool ---- */

static double
workers_busy (void *user)
{
  return ragify_workers_busy (user);
}

static double
workers_threads (void *user)
{
  return ragify_workers_threads (user);
}

static double
workers_queued (void *user)
{
  return ragify_workers_queued (user);
}

void
ragify_observing_workers (RagifyRuntime *runtime)
{
  ragify_metrics_callback (runtime->metrics, RAGIFY_SERIES_GAUGE, "ragify_workers_busy",
                           "Threads of the worker pool that run a task", workers_busy, runtime->workers);
  ragify_metrics_callback (runtime->metrics, RAGIFY_SERIES_GAUGE, "ragify_workers_threads",
                           "Threads of the worker pool", workers_threads, runtime->workers);
  ragify_metrics_callback (runtime->metrics, RAGIFY_SERIES_GAUGE, "ragify_workers_queued",
                           "Tasks that wait for a thread of the worker pool", workers_queued, runtime->workers);
}
