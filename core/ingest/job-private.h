/* The inside of a job, for the files that it is made of.
 *
 * SPDX-License-Identifier: MIT
 *
 *   job.c           its thread, and what others ask of it
 *   job-pass.c      one pass over a folder
 *   job-source.c    one pass over a source
 *   job-file.c      a file as a document
 *   job-batch.c     documents on their way to the store
 *   job-known.c     what the store has of it
 *   job-memory.c    what it remembers of files
 *   job-progress.c  what it says about itself
 */
#pragma once

#include <pthread.h>

#include "core/ingest/job.h"
#include "core/ingest/sync.h"
#include "plugins/common/files-tree.h"

/* ---- job-progress.c ---- */

typedef struct RagifyJobProgress {
  const char *state;          /* constant */
  guint64 passes;             /* that came to their end */
  guint64 found;              /* documents that there are, as far as is known */
  guint64 to_read, to_bytes;  /* of them those that must be looked into */
  guint64 read, bytes;        /* of those */
  guint64 documents, chunks;  /* written */
  guint64 unchanged, deleted; /* documents */
  guint64 n_set_aside;
  GPtrArray *set_aside;               /* texts: path, reason, path, reason … */
  guint64 began, took;                /* monotonic µs; took: of the pass before */
  gint64 began_at, ended_at, next_at; /* wall clock, µs; 0: not yet, or never */
  char *error;                        /* why it does not go on; NULL: it does */
} RagifyJobProgress;

void ragify_job_progress_init (RagifyJobProgress *progress);
void ragify_job_progress_clear (RagifyJobProgress *progress);
/* A pass begins. */
void ragify_job_progress_begin (RagifyJobProgress *progress);
json_t *ragify_job_progress_describe (const RagifyJobProgress *progress, gboolean details);

/* ---- job-memory.c ---- */

typedef struct RagifyJobMemory RagifyJobMemory;

/* `cutting` and the store's id decide whether what was written before still counts. */
RagifyJobMemory *ragify_job_memory_new (const char *file, const char *cutting);
void ragify_job_memory_free (RagifyJobMemory *memory);
gboolean ragify_job_memory_paused (const RagifyJobMemory *memory);
void ragify_job_memory_set_paused (RagifyJobMemory *memory, gboolean paused);
/* Whether a pass came to its end with this store and this cutting: documents are then as files were. */
gboolean ragify_job_memory_trusts (const RagifyJobMemory *memory, const RagifyUuid *store);
void ragify_job_memory_complete (RagifyJobMemory *memory, const RagifyUuid *store);
/* Files whose times changed and whose content did not, and those that were set aside. `reason` NULL: all is well. */
void ragify_job_memory_note (RagifyJobMemory *memory, const FilesEntry *entry, const char *reason);
/* TRUE where the file was looked into as it is; `*reason` as it was noted. */
gboolean ragify_job_memory_knows (const RagifyJobMemory *memory, const FilesEntry *entry, const char **reason);
/* Keeps what is noted of these (FilesEntry), forgets others. */
void ragify_job_memory_keep (RagifyJobMemory *memory, const GPtrArray *entries);

/* ---- job.c ---- */

struct RagifyIngestJob {
  RagifyRuntime *runtime;
  char *name, *cutting;
  RagifyLibrary *library;
  RagifyNode *store, *source;
  RagifyHold *hold; /* {"ingest": name} */
  FilesTree tree;   /* root NULL: a source */
  RagifyExtractor *extractors;
  guint n_extractors;
  guint64 max_file_size;
  guint chunk_size, chunk_overlap;
  guint64 interval_us;
  RagifyJobMemory *memory; /* the thread's */
  RagifySeries *written, *unchanged, *deleted, *failed, *running;
  pthread_t thread;
  gboolean started;
  int wake;             /* an eventfd */
  pthread_mutex_t lock; /* guards what follows */
  gboolean closing, paused, cancelled, asked;
  RagifyJobProgress progress;
};

/* Waits while it is paused. FALSE: the pass is to be given up. On the job's thread. */
gboolean ragify_job_goes_on (RagifyIngestJob *job);
/* Waits for so long, or less where something is asked of the job. FALSE: the pass is to be given up. */
gboolean ragify_job_waits (RagifyIngestJob *job, guint64 duration_us, const char *error);
void ragify_job_set_aside (RagifyIngestJob *job, const char *path, const char *reason);
void ragify_job_count (RagifyIngestJob *job, guint64 *counter, guint64 amount);

/* ---- job-known.c ---- */

typedef struct RagifyJobKnown {
  gint64 modified; /* µs; as the store has it */
  guint64 size;
} RagifyJobKnown;

/* What the store has of the job: document id → RagifyJobKnown, and the store's id. NULL with a problem. */
GHashTable *ragify_job_list_known (RagifyIngestJob *job, RagifyUuid *store, RagifyProblem *problem);

/* ---- job-file.c ---- */

/* "NAME/path"; free with g_free. */
char *ragify_job_document_id (const RagifyIngestJob *job, const char *path);
typedef enum { RAGIFY_JOB_READ, RAGIFY_JOB_GONE, RAGIFY_JOB_UNREADABLE, RAGIFY_JOB_UNFIT } RagifyJobOutcome;
/* The file as a document, the entry brought up to date. UNREADABLE: it may be another time. UNFIT: not as it is now.
 * `*reason` is set in both cases; free with g_free. */
RagifyJobOutcome
ragify_job_read_file (const RagifyIngestJob *job, FilesEntry *entry, RagifyIncoming **incoming, char **reason);

/* ---- job-batch.c ---- */

typedef struct RagifyJobBatch {
  RagifyIngestJob *job;
  GPtrArray *documents; /* RagifyIncoming */
  GPtrArray *paths;     /* of each, for people */
  gsize bytes;
  /* A document was written, or could not be taken, for good: then with its reason, maybe after it was said to be
   * written. NULL: nobody wants to know. */
  void (*settled) (void *user, const char *path, const char *reason);
  void *user;
} RagifyJobBatch;

void ragify_job_batch_init (RagifyJobBatch *batch, RagifyIngestJob *job);
void ragify_job_batch_clear (RagifyJobBatch *batch);
/* Takes the document; writes when there is enough. FALSE: the pass is to be given up. */
gboolean ragify_job_batch_add (RagifyJobBatch *batch, RagifyIncoming *incoming, const char *path);
/* Writes what is left, however long the store takes to come back. */
gboolean ragify_job_batch_flush (RagifyJobBatch *batch);
/* Deletes documents by their ids, in steps. */
gboolean ragify_job_delete (RagifyIngestJob *job, const GPtrArray *ids);

/* ---- passes ---- */

/* TRUE: it came to its end. FALSE: given up, or failed with `*error` set; free with g_free. */
gboolean ragify_job_pass (RagifyIngestJob *job, char **error);        /* job-pass.c */
gboolean ragify_job_source_pass (RagifyIngestJob *job, char **error); /* job-source.c */
