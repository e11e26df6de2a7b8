/* Candidates under load. */
#include "tune.h"

#include <string.h>

#include "tools/ragify-bench/load-run.h"
#include "tools/ragify-bench/request-set.h"

#define START_SECONDS 120
#define ANSWER_SECONDS 30
#define ZIPF_EXPONENT 1.0

RagifyCandidate *
ragify_candidate_new (const char *name, const char *const *settings)
{
  RagifyCandidate *candidate = g_new0 (RagifyCandidate, 1);
  candidate->name = g_strdup (name);
  candidate->settings = g_ptr_array_new_with_free_func (g_free);
  for (gsize i = 0; settings != NULL && settings[i] != NULL; i++)
    g_ptr_array_add (candidate->settings, g_strdup (settings[i]));
  candidate->throughput = g_array_new (FALSE, FALSE, sizeof (double));
  candidate->p95 = g_array_new (FALSE, FALSE, sizeof (double));
  return candidate;
}

void
ragify_candidate_free (RagifyCandidate *candidate)
{
  g_free (candidate->name);
  g_ptr_array_unref (candidate->settings);
  g_array_unref (candidate->throughput);
  g_array_unref (candidate->p95);
  g_free (candidate->refusal);
  g_free (candidate);
}

RagifyHostProcess *
ragify_tune_start_host (const RagifyTuneOptions *options, const RagifyCandidate *candidate, GError **error)
{
  RagifyHostProcessOptions host = options->host;
  g_autoptr (GPtrArray) extra = g_ptr_array_new ();
  for (gsize i = 0; options->host.extra != NULL && options->host.extra[i] != NULL; i++)
    g_ptr_array_add (extra, options->host.extra[i]);
  for (guint i = 0; candidate != NULL && i < candidate->settings->len; i++) {
    g_ptr_array_add (extra, (gpointer) "--set");
    g_ptr_array_add (extra, g_ptr_array_index (candidate->settings, i));
  }
  g_ptr_array_add (extra, NULL);
  host.extra = (char **)extra->pdata;
  return ragify_host_process_start (&host, NULL, START_SECONDS, error);
}

/* Caches that outlive a process (Redis, disk) are emptied: every run begins with nothing. */
static void
empty_caches (const char *url)
{
  g_autoptr (RagifyHttpClient) client = ragify_http_client_new (url, ANSWER_SECONDS, 1, NULL);
  if (client != NULL) {
    g_autoptr (RagifyHttpReply) reply = ragify_http_client_send (client, "DELETE", "/v1/cache", NULL, NULL, NULL);
    if (reply != NULL && !ragify_http_reply_succeeded (reply) && reply->status != 404) {
      g_autofree char *words = ragify_http_reply_describe (reply);
      ragify_tool_complain ("the caches may not be empty: %s", words);
    }
  }
}

static RagifyLoadResult *
send_queries (const RagifyTuneOptions *options, const char *url, guint round, GError **error)
{
  g_autoptr (RagifyEndpoint) endpoint = ragify_endpoint_new (url, error);
  if (endpoint == NULL)
    return NULL;
  const RagifyQueryShape shape = { .pipeline = options->pipeline, .max_chunks = options->chunks };
  g_autoptr (GPtrArray) requests = ragify_request_set_make (endpoint, options->queries, &shape);
  g_autoptr (RagifyQuerySampler) sampler =
      ragify_query_sampler_new (RAGIFY_DISTRIBUTION_ZIPF, ZIPF_EXPONENT, requests->len, round + 1);
  const RagifyLoadPlan plan = { .endpoint = endpoint,
                                .requests = requests,
                                .sampler = sampler,
                                .connections = (guint)options->clients,
                                .duration = options->duration,
                                .timeout = ANSWER_SECONDS,
                                .seed = round + 1,
                                .probe = TRUE };
  return ragify_load_run (&plan, error);
}

gboolean
ragify_tune_run (const RagifyTuneOptions *options, RagifyCandidate *candidate, guint round)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (RagifyHostProcess) host = ragify_tune_start_host (options, candidate, &error);
  if (host != NULL)
    empty_caches (ragify_host_process_get_url (host));
  g_autoptr (RagifyLoadResult) result =
      host != NULL ? send_queries (options, ragify_host_process_get_url (host), round, &error) : NULL;
  if (result == NULL) {
    candidate->refusal = g_strdup (error->message);
    return FALSE;
  }
  /* A degraded answer is none that counts. */
  const guint64 answers = ragify_load_result_count_succeeded (result);
  const double throughput = (double)(answers - MIN (answers, result->degraded)) / MAX (result->elapsed, 1e-9);
  const double p95 = (double)ragify_latency_histogram_get_percentile (result->latency, 95) / 1e6;
  candidate->failed += ragify_load_result_count_failed (result) + result->degraded;
  g_array_append_val (candidate->throughput, throughput);
  g_array_append_val (candidate->p95, p95);
  return TRUE;
}
