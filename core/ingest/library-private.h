/* What the library's thread and its uploads share.
 *
 * SPDX-License-Identifier: MIT
 */
#pragma once

#include <pthread.h>

#include "core/ingest/committer.h"

/* Something to write, a step at a time, so that none keeps the others waiting for long. */
typedef struct RagifyLibraryJob RagifyLibraryJob;
struct RagifyLibraryJob {
  /* One step on the library's thread. TRUE: there is more to do at once; FALSE: done, or nothing to do until it is
   * scheduled again. */
  gboolean (*step) (RagifyLibraryJob *job, RagifyCommitter *committer);
  /* Instead of further steps, when the library closes. */
  void (*refuse) (RagifyLibraryJob *job);
  gboolean scheduled; /* in the queue, or in a step that is to be repeated; under the library's lock */
  gboolean running;
};

/* How long the start, or a change, waits for text indexes that lag; then they catch up beside other work. */
#define RAGIFY_CATCH_UP_US (20 * (guint64)G_USEC_PER_SEC)

struct RagifyLibrary {
  gint references; /* atomic: the application's until it is freed, and one for each upload and read under way */
  RagifyRuntime *runtime;
  char *name;
  char *uploads; /* the folder for those that are not whole */
  RagifyNode *store;
  RagifyCommitter *committer; /* the thread's; others drop and hurry, with the lock held; NULL: it is freed */
  guint64 optimize_every;     /* the thread's; chunks */
  guint64 written;            /* the thread's; chunks since the store was optimised */
  gint optimizing;            /* atomic: it is, by itself */
  pthread_t thread;
  pthread_mutex_t lock; /* guards what follows, and the uploads' shared members */
  pthread_cond_t work;
  GQueue jobs;      /* RagifyLibraryJob */
  gsize gathered;   /* bytes that all uploads have taken and not parsed yet */
  gboolean closing; /* what is in the queue is not begun any more */
  gboolean closed;  /* nothing gets into the queue any more */
  gboolean stuck;   /* the thread's: a text index could not be brought up to the store */
};

/* [any] */
RagifyLibrary *ragify_library_ref (RagifyLibrary *library);
void ragify_library_unref (RagifyLibrary *library);

/* Puts the job into the queue, at its head where it is `urgent`; no effect where it already is there. FALSE when the
 * library is closed; while it is closing the job is refused soon. With the lock held. */
gboolean ragify_library_schedule (RagifyLibrary *library, RagifyLibraryJob *job, gboolean urgent);

/* A reply on its way to a loop. Takes `body` (or NULL) and the problem's texts. [any] */
void ragify_library_reply (RagifyLoop *loop, char *body, const RagifyProblem *problem, RagifyLibraryReplied replied,
                           void *user);
