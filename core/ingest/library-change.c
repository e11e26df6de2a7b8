/* SPDX-License-Identifier: MIT */
#include "core/ingest/library-private.h"

/* Something that the control thread has the library's thread do, and waits for. */
typedef struct Errand {
  RagifyLibraryJob job;
  RagifyLibrary *library;
  RagifyCommitter *committer; /* a change: the new one; then the former one */
  pthread_mutex_t lock;       /* guards what follows */
  pthread_cond_t over;
  gboolean done;
} Errand;

static void
finish (Errand *errand)
{
  pthread_mutex_lock (&errand->lock);
  errand->done = TRUE;
  pthread_cond_signal (&errand->over);
  pthread_mutex_unlock (&errand->lock);
}

static gboolean
change_step (RagifyLibraryJob *job, RagifyCommitter *former)
{
  Errand *errand = (Errand *)job;
  g_autofree char *reason = NULL;
  errand->library->committer = errand->committer;
  errand->committer = former;
  if (ragify_committer_follow (errand->library->committer, &reason) > 0)
    g_warning ("%s: a text index lags behind: %s", errand->library->name, reason);
  finish (errand);
  return FALSE;
}

static gboolean
announce_step (RagifyLibraryJob *job, RagifyCommitter *committer)
{
  ragify_committer_announce (committer);
  finish ((Errand *)job);
  return FALSE;
}

static void
refuse (RagifyLibraryJob *job)
{
  finish ((Errand *)job);
}

static void
run (Errand *errand)
{
  RagifyLibrary *library = errand->library;
  errand->job.refuse = refuse;
  pthread_mutex_init (&errand->lock, NULL);
  pthread_cond_init (&errand->over, NULL);
  pthread_mutex_lock (&library->lock);
  const gboolean taken = ragify_library_schedule (library, &errand->job, TRUE);
  pthread_mutex_unlock (&library->lock);
  pthread_mutex_lock (&errand->lock);
  while (taken && !errand->done)
    pthread_cond_wait (&errand->over, &errand->lock);
  pthread_mutex_unlock (&errand->lock);
  pthread_cond_destroy (&errand->over);
  pthread_mutex_destroy (&errand->lock);
}

gboolean
ragify_library_change (RagifyLibrary *library, const RagifyLibraryOptions *options, GError **error)
{
  Errand errand = { .job.step = change_step, .library = library };
  errand.committer = ragify_committer_new (library->runtime, options, error);
  if (errand.committer == NULL)
    return FALSE;
  run (&errand);
  ragify_committer_free (errand.committer);
  return TRUE;
}

void
ragify_library_announce (RagifyLibrary *library)
{
  Errand errand = { .job.step = announce_step, .library = library };
  run (&errand);
}
