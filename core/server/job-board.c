/* SPDX-License-Identifier: MIT */
#include "job-board.h"

#include <pthread.h>
#include <string.h>

#include "core/ingest/json-time.h"

struct RagifyPostedJob {
  RagifyJobBoard *board;
  char *id, *store, *error;
  const char *kind, *state; /* constant */
  guint scope;
  gboolean over, asked;
  gint64 began_at, ended_at;
  json_t *said, *result; /* NULL: nothing */
  void (*cancel) (void *user);
  void *user;
};

struct RagifyJobBoard {
  pthread_mutex_t lock; /* guards what follows, and the jobs */
  GQueue jobs;          /* RagifyPostedJob, the newest first */
  guint over;           /* of them */
  gboolean closed;
};

static void
job_free (gpointer data)
{
  RagifyPostedJob *job = data;
  json_decref (job->said);
  json_decref (job->result);
  g_free (job->error);
  g_free (job->store);
  g_free (job->id);
  g_free (job);
}

RagifyJobBoard *
ragify_job_board_new (void)
{
  RagifyJobBoard *board = g_new0 (RagifyJobBoard, 1);
  pthread_mutex_init (&board->lock, NULL);
  g_queue_init (&board->jobs);
  return board;
}

void
ragify_job_board_free (RagifyJobBoard *board)
{
  g_queue_clear_full (&board->jobs, job_free);
  pthread_mutex_destroy (&board->lock);
  g_free (board);
}

/* With the lock held. */
static void
ask_to_end (RagifyPostedJob *job)
{
  if (job->over || job->asked || job->cancel == NULL)
    return;
  job->asked = TRUE;
  job->cancel (job->user);
}

void
ragify_job_board_close (RagifyJobBoard *board)
{
  pthread_mutex_lock (&board->lock);
  board->closed = TRUE;
  for (GList *link = board->jobs.head; link != NULL; link = link->next)
    ask_to_end (link->data);
  pthread_mutex_unlock (&board->lock);
}

/* ---- those that are under way ---- */

/* With the lock held. */
static gboolean
is_free (const RagifyJobBoard *board, const RagifyJobOffer *offer)
{
  for (const GList *link = board->jobs.head; link != NULL && offer->alone; link = link->next) {
    const RagifyPostedJob *other = link->data;
    if (!other->over && strcmp (other->kind, offer->kind) == 0)
      return FALSE;
  }
  return !board->closed;
}

RagifyPostedJob *
ragify_job_board_post (RagifyJobBoard *board, const RagifyJobOffer *offer)
{
  RagifyPostedJob *job = NULL;
  pthread_mutex_lock (&board->lock);
  if (is_free (board, offer)) {
    job = g_new0 (RagifyPostedJob, 1);
    *job = (RagifyPostedJob){ .board = board,
                              .id = offer->id != NULL ? g_strdup (offer->id) : g_uuid_string_random (),
                              .store = g_strdup (offer->store),
                              .kind = offer->kind,
                              .state = "running",
                              .scope = offer->scope,
                              .began_at = offer->began_at > 0 ? offer->began_at : g_get_real_time (),
                              .ended_at = offer->ended_at,
                              .cancel = offer->cancel,
                              .user = offer->user };
    g_queue_push_head (&board->jobs, job);
  }
  pthread_mutex_unlock (&board->lock);
  return job;
}

char *
ragify_posted_job_id (const RagifyPostedJob *job)
{
  return g_strdup (job->id);
}

void
ragify_posted_job_say (RagifyPostedJob *job, json_t *members)
{
  pthread_mutex_lock (&job->board->lock);
  if (job->said == NULL)
    job->said = json_incref (members);
  else
    json_object_update (job->said, members);
  pthread_mutex_unlock (&job->board->lock);
  json_decref (members);
}

void
ragify_posted_job_state (RagifyPostedJob *job, const char *state, const char *error)
{
  pthread_mutex_lock (&job->board->lock);
  job->state = state;
  g_free (job->error);
  job->error = g_strdup (error);
  pthread_mutex_unlock (&job->board->lock);
}

/* With the lock held. */
static void
forget_oldest (RagifyJobBoard *board)
{
  for (GList *link = board->jobs.tail; link != NULL && board->over > RAGIFY_JOBS_REMEMBERED; link = link->prev) {
    if (!((const RagifyPostedJob *)link->data)->over)
      continue;
    job_free (link->data);
    g_queue_delete_link (&board->jobs, link);
    board->over--;
    return;
  }
}

void
ragify_posted_job_end (RagifyPostedJob *job, json_t *result, const RagifyProblem *problem)
{
  RagifyJobBoard *board = job->board;
  pthread_mutex_lock (&board->lock);
  job->over = TRUE;
  job->cancel = NULL;
  if (job->ended_at == 0)
    job->ended_at = g_get_real_time ();
  job->state = problem != NULL ? "failed" : result != NULL ? "done" : "cancelled";
  job->result = result;
  g_free (job->error);
  job->error = problem != NULL ? g_strdup (problem->detail != NULL ? problem->detail : problem->title) : NULL;
  board->over++;
  forget_oldest (board);
  pthread_mutex_unlock (&board->lock);
}

/* ---- what is told of them ---- */

/* With the lock held. */
static RagifyPostedJob *
find_job (const RagifyJobBoard *board, const char *id)
{
  for (const GList *link = board->jobs.head; link != NULL; link = link->next)
    if (strcmp (((const RagifyPostedJob *)link->data)->id, id) == 0)
      return link->data;
  return NULL;
}

/* With the lock held. What was said is copied: it is written while others read. */
static json_t *
describe (const RagifyPostedJob *job, gboolean details)
{
  json_t *json = json_pack ("{s:s, s:s, s:s?, s:s, s:o, s:o, s:s?}", "id", job->id, "kind", job->kind, "store",
                            job->store, "state", job->state, "began_at", ragify_json_time (job->began_at), "ended_at",
                            ragify_json_time (job->over ? job->ended_at : 0), "error", job->error);
  json_t *said = job->said != NULL ? json_deep_copy (job->said) : NULL;
  if (said != NULL)
    json_object_update (json, said);
  json_decref (said);
  if (details && job->result != NULL)
    json_object_set_new (json, "result", json_deep_copy (job->result));
  return json;
}

json_t *
ragify_job_board_describe (RagifyJobBoard *board, const char *id, gboolean details)
{
  pthread_mutex_lock (&board->lock);
  const RagifyPostedJob *job = find_job (board, id);
  json_t *json = job != NULL ? describe (job, details) : NULL;
  pthread_mutex_unlock (&board->lock);
  return json;
}

void
ragify_job_board_list (RagifyJobBoard *board, json_t *jobs)
{
  pthread_mutex_lock (&board->lock);
  for (const GList *link = board->jobs.head; link != NULL; link = link->next)
    json_array_append_new (jobs, describe (link->data, FALSE));
  pthread_mutex_unlock (&board->lock);
}

RagifyJobEnding
ragify_job_board_cancel (RagifyJobBoard *board, const char *id, guint scopes)
{
  RagifyJobEnding ending = RAGIFY_JOB_ENDING;
  pthread_mutex_lock (&board->lock);
  RagifyPostedJob *job = find_job (board, id);
  if (job == NULL)
    ending = RAGIFY_JOB_UNKNOWN;
  else if ((scopes & job->scope) == 0)
    ending = RAGIFY_JOB_FORBIDDEN;
  else if (!job->over && job->cancel == NULL)
    ending = RAGIFY_JOB_STEADY;
  else
    ask_to_end (job);
  pthread_mutex_unlock (&board->lock);
  return ending;
}
