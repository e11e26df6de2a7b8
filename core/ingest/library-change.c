/* SPDX-License-Identifier: MIT */
#include "core/ingest/errand.h"

typedef struct Change {
  RagifyErrand errand;
  RagifyCommitter *committer; /* the new one; then the former one */
  guint64 optimize_every;
} Change;

static gboolean
change_step (RagifyLibraryJob *job, RagifyCommitter *former)
{
  Change *change = (Change *)job;
  RagifyLibrary *library = change->errand.library;
  g_autofree char *reason = NULL;
  ragify_committer_land (former); /* while those whose reports it writes to wait for this thread */
  library->written += ragify_committer_take_written (former);
  library->optimize_every = change->optimize_every;
  pthread_mutex_lock (&library->lock); /* others tell it what they do not want any more */
  library->committer = change->committer;
  pthread_mutex_unlock (&library->lock);
  change->committer = former;
  if (ragify_committer_follow (library->committer, RAGIFY_CATCH_UP_US, &reason) > 0)
    g_warning ("%s: a text index lags behind: %s", library->name,
               reason != NULL ? reason : "it has much to catch up with");
  ragify_errand_finish (&change->errand);
  return FALSE;
}

gboolean
ragify_library_change (RagifyLibrary *library, const RagifyLibraryOptions *options, GError **error)
{
  Change change = { .errand = { .job.step = change_step, .library = library } };
  change.optimize_every = options->optimize_every;
  change.committer = ragify_committer_new (library->runtime, options, error);
  if (change.committer == NULL)
    return FALSE;
  ragify_errand_run (&change.errand, TRUE);
  ragify_committer_free (change.committer);
  return TRUE;
}

static gboolean
announce_step (RagifyLibraryJob *job, RagifyCommitter *committer)
{
  ragify_committer_announce (committer);
  ragify_errand_finish ((RagifyErrand *)job);
  return FALSE;
}

void
ragify_library_announce (RagifyLibrary *library)
{
  RagifyErrand errand = { .job.step = announce_step, .library = library };
  ragify_errand_run (&errand, TRUE);
}
