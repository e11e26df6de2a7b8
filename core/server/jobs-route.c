/* /v1/jobs: what keeps stores in step with folders and sources, and how far it is.
 *
 * SPDX-License-Identifier: MIT
 */
#include <jansson.h>
#include <string.h>

#include "job-events.h"

static const char *const no_parameters[] = { NULL };

static gboolean
begin_plain (RagifyExchange *exchange)
{
  return ragify_query_allow (exchange->query, no_parameters, &exchange->problem);
}

/* Takes `json`. */
static void
reply (RagifyExchange *exchange, guint status, json_t *json)
{
  char *text = json_dumps (json, JSON_COMPACT | JSON_REAL_PRECISION (6));
  json_decref (json);
  ragify_exchange_reply (exchange, status, "application/json", g_strdup (text), strlen (text));
  free (text);
}

static RagifyIngestJob *
find_job (RagifyExchange *exchange)
{
  const RagifyServing *serving = exchange->listener->serving;
  g_autofree char *id = ragify_target_decode (exchange->parameter, "id", &exchange->problem);
  if (id == NULL)
    return NULL;
  for (guint i = 0; i < serving->n_jobs; i++)
    if (strcmp (ragify_ingest_job_name (serving->jobs[i]), id) == 0)
      return serving->jobs[i];
  ragify_exchange_refuse (exchange, 404, "Not found", "id", "there is no job '%.100s'", id);
  return NULL;
}

static void
finish_list (RagifyExchange *exchange)
{
  const RagifyServing *serving = exchange->listener->serving;
  json_t *jobs = json_array ();
  for (guint i = 0; i < serving->n_jobs; i++)
    json_array_append_new (jobs, ragify_ingest_job_describe (serving->jobs[i], FALSE));
  reply (exchange, 200, json_pack ("{s:o}", "jobs", jobs));
}

static void
finish_get (RagifyExchange *exchange)
{
  RagifyIngestJob *job = find_job (exchange);
  if (job != NULL && ragify_job_events_wanted (exchange))
    ragify_job_events_begin (exchange, ragify_ingest_job_name (job));
  else if (job != NULL)
    reply (exchange, 200, ragify_ingest_job_describe (job, TRUE));
  else
    ragify_exchange_reply_problem (exchange, &exchange->problem);
}

static void
control (RagifyExchange *exchange, RagifyJobAction action)
{
  RagifyIngestJob *job = find_job (exchange);
  if (job == NULL) {
    ragify_exchange_reply_problem (exchange, &exchange->problem);
    return;
  }
  ragify_ingest_job_control (job, action);
  reply (exchange, 202, ragify_ingest_job_describe (job, FALSE));
}

static void
finish_run (RagifyExchange *exchange)
{
  control (exchange, RAGIFY_JOB_RUN);
}

static void
finish_pause (RagifyExchange *exchange)
{
  control (exchange, RAGIFY_JOB_PAUSE);
}

static void
finish_resume (RagifyExchange *exchange)
{
  control (exchange, RAGIFY_JOB_RESUME);
}

static void
finish_cancel (RagifyExchange *exchange)
{
  control (exchange, RAGIFY_JOB_CANCEL);
}

const RagifyAction ragify_action_jobs_list = { .begin = begin_plain, .finish = finish_list };
const RagifyAction ragify_action_job_get = { .begin = begin_plain,
                                             .finish = finish_get,
                                             .detach = ragify_job_events_detach };
const RagifyAction ragify_action_job_run = { .access = RAGIFY_ACCESS_WRITE,
                                             .begin = begin_plain,
                                             .finish = finish_run };
const RagifyAction ragify_action_job_pause = { .access = RAGIFY_ACCESS_WRITE,
                                               .begin = begin_plain,
                                               .finish = finish_pause };
const RagifyAction ragify_action_job_resume = { .access = RAGIFY_ACCESS_WRITE,
                                                .begin = begin_plain,
                                                .finish = finish_resume };
const RagifyAction ragify_action_job_cancel = { .access = RAGIFY_ACCESS_WRITE,
                                                .begin = begin_plain,
                                                .finish = finish_cancel };
