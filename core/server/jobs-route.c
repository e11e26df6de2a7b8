/* /v1/jobs: what keeps stores in step with folders and sources, what requests have begun, and how far it is.
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

/* The configured job that the path names; with `*id` set and NULL where there is none of that name. */
static RagifyIngestJob *
find_job (RagifyExchange *exchange, char **id)
{
  const RagifyServing *serving = exchange->listener->serving;
  *id = ragify_target_decode (exchange->parameter, "id", &exchange->problem);
  for (guint i = 0; *id != NULL && i < serving->n_jobs; i++)
    if (strcmp (ragify_ingest_job_name (serving->jobs[i]), *id) == 0)
      return serving->jobs[i];
  return NULL;
}

static void
refuse_id (RagifyExchange *exchange, const char *id)
{
  if (id != NULL)
    ragify_exchange_refuse (exchange, 404, "Not found", "id", "there is no job '%.100s'", id);
  ragify_exchange_reply_problem (exchange, &exchange->problem);
}

static void
finish_list (RagifyExchange *exchange)
{
  const RagifyServing *serving = exchange->listener->serving;
  json_t *jobs = json_array ();
  for (guint i = 0; i < serving->n_jobs; i++)
    json_array_append_new (jobs, ragify_ingest_job_describe (serving->jobs[i], FALSE));
  if (ragify_exchange_board (exchange) != NULL)
    ragify_job_board_list (ragify_exchange_board (exchange), jobs);
  reply (exchange, 200, json_pack ("{s:o}", "jobs", jobs));
}

static void
finish_get (RagifyExchange *exchange)
{
  g_autofree char *id = ragify_target_decode (exchange->parameter, "id", &exchange->problem);
  json_t *json = id != NULL ? ragify_job_describe (exchange, id, TRUE) : NULL;
  if (json != NULL && ragify_job_events_wanted (exchange))
    ragify_job_events_begin (exchange, id);
  else if (json != NULL)
    reply (exchange, 200, json_incref (json));
  else
    refuse_id (exchange, id);
  json_decref (json);
}

/* What a request has begun: it can be ended, and nothing else. */
static void
control_posted (RagifyExchange *exchange, const char *id, RagifyJobAction action)
{
  RagifyJobBoard *board = id != NULL ? ragify_exchange_board (exchange) : NULL;
  const guint scopes = exchange->key != NULL ? exchange->key->scopes : G_MAXUINT;
  json_t *json = board != NULL ? ragify_job_board_describe (board, id, FALSE) : NULL;
  json_decref (json);
  const RagifyJobEnding ending = json == NULL                  ? RAGIFY_JOB_UNKNOWN
                                 : action == RAGIFY_JOB_CANCEL ? ragify_job_board_cancel (board, id, scopes)
                                                               : RAGIFY_JOB_STEADY;
  if (ending == RAGIFY_JOB_ENDING) {
    ragify_exchange_reply_job (exchange, id, FALSE);
    return;
  }
  if (ending == RAGIFY_JOB_STEADY)
    ragify_exchange_refuse (exchange, 409, "Not with this job", "id",
                            action == RAGIFY_JOB_CANCEL ? "it cannot be cut short: it ends by itself"
                                                        : "it was begun by a request, ends by itself, and can only be "
                                                          "cancelled");
  if (ending == RAGIFY_JOB_FORBIDDEN)
    ragify_exchange_refuse (exchange, 403, "Forbidden", NULL, "this job needs a key with the scope of who began it");
  refuse_id (exchange, ending == RAGIFY_JOB_UNKNOWN ? id : NULL);
}

static void
control (RagifyExchange *exchange, RagifyJobAction action)
{
  g_autofree char *id = NULL;
  RagifyIngestJob *job = find_job (exchange, &id);
  if (job == NULL) {
    control_posted (exchange, id, action);
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
