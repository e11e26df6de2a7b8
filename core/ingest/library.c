/* SPDX-License-Identifier: MIT */
#include <string.h>
#include <time.h>

#include "core/ingest/library-private.h"

#define FOLLOW_AGAIN_US (30 * G_USEC_PER_SEC) /* after it failed */
#define FOLLOW_STEP_US (200 * (guint64)1000)  /* then whoever waits has his turn */
#define ASK_AGAIN_US G_USEC_PER_SEC

/* ---- replies ---- */

typedef struct Reply {
  RagifyTask task;
  char *body;
  RagifyProblem problem;
  RagifyLibraryReplied replied;
  void *user;
} Reply;

static void
run_reply (RagifyTask *task)
{
  Reply *reply = (Reply *)task;
  reply->replied (reply->body, reply->body != NULL ? strlen (reply->body) : 0,
                  reply->body == NULL ? &reply->problem : NULL, reply->user);
  g_free (reply->body);
  ragify_problem_clear (&reply->problem);
  g_free (reply);
}

void
ragify_library_reply (RagifyLoop *loop, char *body, const RagifyProblem *problem, RagifyLibraryReplied replied,
                      void *user)
{
  Reply *reply = g_new0 (Reply, 1);
  reply->task.run = run_reply;
  reply->body = body;
  if (body == NULL)
    reply->problem = *problem;
  reply->replied = replied;
  reply->user = user;
  ragify_loop_post (loop, &reply->task);
}

/* ---- the thread ---- */

gboolean
ragify_library_schedule (RagifyLibrary *library, RagifyLibraryJob *job, gboolean urgent)
{
  if (library->closed)
    return FALSE;
  if (job->scheduled)
    return TRUE;
  job->scheduled = TRUE;
  if (job->running) /* put back when the step is over */
    return TRUE;
  if (urgent)
    g_queue_push_head (&library->jobs, job);
  else
    g_queue_push_tail (&library->jobs, job);
  pthread_cond_signal (&library->work);
  return TRUE;
}

/* An index that is built from time to time, and not only when somebody thinks of it. */
static void
optimize_when_due (RagifyLibrary *library)
{
  library->written += ragify_committer_take_written (library->committer);
  if (library->optimize_every == 0 || library->written < library->optimize_every)
    return;
  library->written = 0;
  ragify_library_optimize_soon (library);
}

static void
run_step (RagifyLibrary *library, RagifyLibraryJob *job)
{
  job->scheduled = FALSE;
  job->running = TRUE;
  pthread_mutex_unlock (&library->lock);
  const gboolean more = job->step (job, library->committer); /* FALSE: the job may be gone */
  optimize_when_due (library);
  pthread_mutex_lock (&library->lock);
  if (!more)
    return;
  job->running = FALSE;
  job->scheduled = TRUE;
  g_queue_push_tail (&library->jobs, job);
}

/* FALSE when the time has come to look after text indexes that lag, or may. With the lock held. */
static gboolean
wait_for_work (RagifyLibrary *library)
{
  const gboolean asks = ragify_committer_must_ask (library->committer);
  if (!asks && !ragify_committer_lags (library->committer))
    return pthread_cond_wait (&library->work, &library->lock) == 0;
  if (!asks && !library->stuck)
    return FALSE;
  const guint64 at = ragify_now () + (asks ? ASK_AGAIN_US : FOLLOW_AGAIN_US);
  const struct timespec until = { .tv_sec = (time_t)(at / G_USEC_PER_SEC),
                                  .tv_nsec = (long)(at % G_USEC_PER_SEC) * 1000 };
  return pthread_cond_timedwait (&library->work, &library->lock, &until) == 0;
}

/* With the lock held, which is given up meanwhile. */
static void
follow_again (RagifyLibrary *library)
{
  g_autofree char *reason = NULL;
  pthread_mutex_unlock (&library->lock);
  if (ragify_committer_must_ask (library->committer)) {
    ragify_committer_ask (library->committer);
    pthread_mutex_lock (&library->lock);
    return;
  }
  const guint behind = ragify_committer_follow (library->committer, FOLLOW_STEP_US, &reason);
  library->stuck = behind > 0 && reason != NULL;
  if (library->stuck)
    g_warning ("%s: a text index lags behind: %s", library->name, reason);
  if (behind == 0) {
    g_message ("%s: its text indexes have caught up", library->name);
    ragify_committer_announce (library->committer);
  }
  pthread_mutex_lock (&library->lock);
}

/* On a thread of the committer's: what was under way may be landed. */
static void
one_is_over (void *user)
{
  RagifyLibrary *library = user;
  pthread_mutex_lock (&library->lock);
  pthread_cond_signal (&library->work);
  pthread_mutex_unlock (&library->lock);
}

/* Nobody has anything else to do, now: whoever put it may have stopped for a while, or be about to put more, which does
 * not wait for it. With the lock held, which is given up meanwhile. */
static void
land_first (RagifyLibrary *library)
{
  if (!ragify_committer_first_is_over (library->committer)) {
    pthread_cond_wait (&library->work, &library->lock);
    return;
  }
  pthread_mutex_unlock (&library->lock);
  ragify_committer_land_first (library->committer);
  optimize_when_due (library);
  pthread_mutex_lock (&library->lock);
}

static void *
library_main (void *data)
{
  RagifyLibrary *library = data;
  pthread_mutex_lock (&library->lock);
  while (!library->closing) {
    RagifyLibraryJob *job = g_queue_pop_head (&library->jobs);
    if (job != NULL)
      run_step (library, job);
    else if (ragify_committer_flies (library->committer))
      land_first (library);
    else if (!wait_for_work (library))
      follow_again (library);
  }
  pthread_mutex_unlock (&library->lock);
  ragify_committer_land (library->committer); /* it writes to the reports of uploads, which may not end before */
  pthread_mutex_lock (&library->lock);
  library->closed = TRUE;
  GQueue left = library->jobs;
  g_queue_init (&library->jobs);
  pthread_mutex_unlock (&library->lock);
  for (RagifyLibraryJob *job = g_queue_pop_head (&left); job != NULL; job = g_queue_pop_head (&left))
    job->refuse (job);
  return NULL;
}

RagifyLibrary *
ragify_library_new (RagifyRuntime *runtime, const RagifyLibraryOptions *options, GError **error)
{
  RagifyCommitter *committer = ragify_committer_new (runtime, options, error);
  if (committer == NULL)
    return NULL;
  g_autofree char *reason = NULL;
  if (ragify_committer_follow (committer, RAGIFY_CATCH_UP_US, &reason) > 0)
    g_warning ("%s: a text index lags behind: %s", options->name,
               reason != NULL ? reason : "it has much to catch up with");

  RagifyLibrary *library = g_new0 (RagifyLibrary, 1);
  library->references = 1;
  library->runtime = runtime;
  library->name = g_strdup (options->name);
  library->uploads =
      g_build_filename (options->state_dir != NULL ? options->state_dir : g_get_tmp_dir (), "uploads", NULL);
  library->store = options->store;
  library->committer = committer;
  library->optimize_every = options->optimize_every;
  pthread_mutex_init (&library->lock, NULL);
  pthread_condattr_t monotonic;
  pthread_condattr_init (&monotonic);
  pthread_condattr_setclock (&monotonic, CLOCK_MONOTONIC);
  pthread_cond_init (&library->work, &monotonic);
  pthread_condattr_destroy (&monotonic);
  g_queue_init (&library->jobs);
  ragify_committer_watch (committer, one_is_over, library);
  g_assert (pthread_create (&library->thread, NULL, library_main, library) == 0);
  g_autofree char *name = g_strdup_printf ("ingest-%.8s", options->name);
  pthread_setname_np (library->thread, name);
  return library;
}

void
ragify_library_hurry (RagifyLibrary *library)
{
  pthread_mutex_lock (&library->lock);
  if (library->committer != NULL)
    ragify_committer_hurry (library->committer);
  pthread_mutex_unlock (&library->lock);
}

void
ragify_library_free (RagifyLibrary *library)
{
  pthread_mutex_lock (&library->lock);
  library->closing = TRUE;
  pthread_cond_signal (&library->work);
  pthread_mutex_unlock (&library->lock);
  pthread_join (library->thread, NULL);
  pthread_mutex_lock (&library->lock);
  RagifyCommitter *committer = g_steal_pointer (&library->committer); /* uploads may outlive it */
  pthread_mutex_unlock (&library->lock);
  ragify_committer_free (committer);
  ragify_library_unref (library);
}

RagifyLibrary *
ragify_library_ref (RagifyLibrary *library)
{
  g_atomic_int_inc (&library->references);
  return library;
}

void
ragify_library_unref (RagifyLibrary *library)
{
  if (!g_atomic_int_dec_and_test (&library->references))
    return;
  pthread_cond_destroy (&library->work);
  pthread_mutex_destroy (&library->lock);
  g_free (library->name);
  g_free (library->uploads);
  g_free (library);
}

const char *
ragify_library_name (const RagifyLibrary *library)
{
  return library->name;
}

/* ---- deleting ---- */

typedef struct Deletion {
  RagifyLibraryJob job;
  RagifyLibrary *library;
  RagifyLoop *loop;
  char *document;
  RagifyHold *hold;
  RagifyLibraryReplied replied;
  void *user;
} Deletion;

static void
deletion_free (Deletion *deletion)
{
  g_free (deletion->document);
  g_clear_pointer (&deletion->hold, ragify_hold_unref);
  g_free (deletion);
}

static gboolean
deletion_step (RagifyLibraryJob *job, RagifyCommitter *committer)
{
  Deletion *deletion = (Deletion *)job;
  RagifyProblem problem = { 0 };
  guint64 chunks = 0;
  RagifyGeneration generation;
  const char *const documents[] = { deletion->document };
  gboolean well = ragify_committer_delete (committer, documents, 1, deletion->hold, &chunks, &generation, &problem);
  if (well && chunks == 0)
    well = ragify_problem_set (&problem, 404, "Not found", "id", "the store '%s' has no document '%s'",
                               deletion->library->name, deletion->document);
  char *body = well ? g_strdup_printf ("{\"deleted\":%" G_GUINT64_FORMAT "}", chunks) : NULL;
  ragify_library_reply (deletion->loop, body, &problem, deletion->replied, deletion->user);
  deletion_free (deletion);
  return FALSE;
}

static void
deletion_refuse (RagifyLibraryJob *job)
{
  Deletion *deletion = (Deletion *)job;
  RagifyProblem problem = { 0 };
  ragify_problem_set (&problem, 503, "Shutting down", NULL, "the host is shutting down; nothing was deleted");
  ragify_library_reply (deletion->loop, NULL, &problem, deletion->replied, deletion->user);
  deletion_free (deletion);
}

void
ragify_library_delete (RagifyLibrary *library, RagifyLoop *loop, const char *document, RagifyHold *hold,
                       RagifyLibraryReplied replied, void *user)
{
  Deletion *deletion = g_new0 (Deletion, 1);
  deletion->job.step = deletion_step;
  deletion->job.refuse = deletion_refuse;
  deletion->library = library;
  deletion->loop = loop;
  deletion->document = g_strdup (document);
  deletion->hold = hold != NULL ? ragify_hold_ref (hold) : NULL;
  deletion->replied = replied;
  deletion->user = user;
  pthread_mutex_lock (&library->lock);
  const gboolean taken = ragify_library_schedule (library, &deletion->job, TRUE);
  pthread_mutex_unlock (&library->lock);
  if (!taken)
    deletion_refuse (&deletion->job);
}
