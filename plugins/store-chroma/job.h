/* One operation under way: requests to the server one after the other, bound to a call. */
#ifndef CHROMA_JOB_H
#define CHROMA_JOB_H

#include "store.h"

typedef struct ChromaJob ChromaJob;
typedef struct ChromaPages ChromaPages;
/* The server's answer; NULL where the thing asked about does not exist and the job allows that. Sends the next request,
 * or ends the job. [loop] */
typedef void (*ChromaTake) (ChromaJob *job, const json_t *answer);

struct ChromaJob {
  ChromaStore *store;
  RagifyCall *call;                                         /* NULL: of the store itself, … */
  void (*ended) (ChromaJob *job, const RagifyFault *fault); /* … which is then told: NULL: well */
  gpointer state;                                           /* of the operation; freed by … */
  GDestroyNotify free_state;
  gboolean missing_ok; /* of the request that is sent next: 404 and 409 are answers */
  /* Of the request that is sent next: the answer is larger than what is read. Asks for less; FALSE: it cannot. */
  gboolean (*smaller) (ChromaJob *job);
  ChromaPages *pages; /* of pages.c */
  RagifyFault fault;  /* room for one */

  /* ---- the job's own from here on ---- */
  char *url;
  const char *method;
  ChromaTake take;
  json_t *body, *answer;
  GBytes *text;
  gboolean failed;
};

/* [loop] */
ChromaJob *chroma_job_new (ChromaStore *store, RagifyCall *call, gpointer state, GDestroyNotify free_state);

/* Asks for `path` (copied) behind a collection's URL, or behind the server's root where `base` is NULL. Takes `body`;
 * NULL: none. */
void
chroma_job_send (ChromaJob *job, const char *method, const char *base, const char *path, json_t *body, ChromaTake take);

/* The last thing done with a job. */
void chroma_job_done (ChromaJob *job, const void *result);
void chroma_job_fail (ChromaJob *job); /* with job->fault */
/* FALSE: the server's answer is not what it should be. */
gboolean chroma_job_unexpected (ChromaJob *job, const char *what);

/* Of pages.c; NULL is nothing. */
void chroma_pages_free (ChromaPages *pages);

/* Memory of the call; NULL with the job's fault. */
gpointer chroma_job_alloc (ChromaJob *job, guint64 size);
gboolean chroma_job_copy (ChromaJob *job, const char *text, gsize size, RagifyStr *copy);

#endif
