/* SPDX-License-Identifier: MIT */
#include "core/ingest/errand.h"

static void
finish (RagifyErrand *errand, gboolean refused)
{
  pthread_mutex_lock (&errand->lock);
  errand->done = TRUE;
  errand->refused = refused;
  pthread_cond_signal (&errand->over);
  pthread_mutex_unlock (&errand->lock);
}

void
ragify_errand_finish (RagifyErrand *errand)
{
  finish (errand, FALSE);
}

static void
refuse (RagifyLibraryJob *job)
{
  finish ((RagifyErrand *)job, TRUE);
}

gboolean
ragify_errand_run (RagifyErrand *errand, gboolean urgent)
{
  RagifyLibrary *library = errand->library;
  errand->job.refuse = refuse;
  pthread_mutex_init (&errand->lock, NULL);
  pthread_cond_init (&errand->over, NULL);
  pthread_mutex_lock (&library->lock);
  const gboolean taken = ragify_library_schedule (library, &errand->job, urgent);
  pthread_mutex_unlock (&library->lock);
  pthread_mutex_lock (&errand->lock);
  while (taken && !errand->done)
    pthread_cond_wait (&errand->over, &errand->lock);
  const gboolean ran = taken && !errand->refused;
  pthread_mutex_unlock (&errand->lock);
  pthread_cond_destroy (&errand->over);
  pthread_mutex_destroy (&errand->lock);
  return ran;
}
