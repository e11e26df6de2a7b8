/* The inside of a job, for the files that it is made of.
 *
 * SPDX-License-Identifier: MIT
 *
 *   job.c           its thread, and what others ask of it
 *   job-pass.c      one pass over a folder
 *   job-source.c    one pass over a source
 *   job-file.c      a file as a document
 *   job-stream.c    a large text file
 *   job-extract.c   a file that is no text
 *   job-parts.c     a document that is written in parts, …
 *   job-place.c     … and where to go on with it
 *   job-batch.c     documents on their way to the store
 *   job-known.c     what the store has of it
 *   job-memory.c    what it remembers of files
 *   job-progress.c  what it says about itself
 */
#pragma once

#include <pthread.h>

#include "core/ingest/cut-stream.h"
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
  guint64 embedded, reused;   /* vectors of those chunks: made, or taken over from what was replaced */
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
/* From here on documents may come of files that another extractor is made for: the next start does not trust them. */
void ragify_job_memory_doubt (RagifyJobMemory *memory);
/* Files whose times changed and whose content did not, and those that were set aside. `reason` NULL: all is well. */
void ragify_job_memory_note (RagifyJobMemory *memory, const FilesEntry *entry, const char *reason);
/* TRUE where the file was looked into as it is; `*reason` as it was noted. */
gboolean ragify_job_memory_knows (const RagifyJobMemory *memory, const FilesEntry *entry, const char **reason);
/* Parts of a file that were set aside while the rest was taken: place, reason, place, reason … */
void ragify_job_memory_note_parts (RagifyJobMemory *memory, const FilesEntry *entry, const GPtrArray *parts);
/* The same of the file as it is, as long as the host runs; NULL: none are known. */
const GPtrArray *ragify_job_memory_parts (const RagifyJobMemory *memory, const FilesEntry *entry);
/* Keeps what is noted of these (FilesEntry), forgets others. */
void ragify_job_memory_keep (RagifyJobMemory *memory, const GPtrArray *entries);

typedef struct RagifyJobPlace RagifyJobPlace; /* job-place.c */

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
  char *missing;      /* extractors that do not run, for people; NULL: none */
  gboolean impatient; /* the thread's: one of them was waited for in vain */
  guint64 max_file_size;
  guint chunk_size, chunk_overlap;
  gboolean chunk_tokens;
  RagifyNode *embedder;
  guint64 interval_us;
  RagifyJobMemory *memory; /* the thread's */
  RagifyJobPlace *place;   /* the thread's */
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
/* The same, twice as long as `pause_us` says that the last wait was, which it brings up to date; 0 before the first. */
gboolean ragify_job_backs_off (RagifyIngestJob *job, guint64 *pause_us, const char *error);
/* Whether it is paused, or the pass is to be given up. */
gboolean ragify_job_is_held (RagifyIngestJob *job);
/* Whether it is the document's fault and not the store's: then another attempt comes to the same. */
gboolean ragify_job_fault_is_lasting (const RagifyProblem *problem);
void ragify_job_set_aside (RagifyIngestJob *job, const char *path, const char *reason);
/* Parts of it, as ragify_job_memory_note_parts has them. */
void ragify_job_set_parts_aside (RagifyIngestJob *job, const char *path, const GPtrArray *parts);
void ragify_job_count (RagifyIngestJob *job, guint64 *counter, guint64 amount);

/* Cuts as the job wants it; the caller's. */
RagifyChunker *ragify_job_chunker_new (const RagifyIngestJob *job);
/* What a write came to, among what the job has done. */
void ragify_job_count_report (RagifyIngestJob *job, const RagifyIngestReport *report);

/* ---- job-known.c ---- */

typedef struct RagifyJobKnown {
  gint64 modified; /* µs; as the store has it */
  guint64 size;
  gboolean whole; /* FALSE: no more than a part of it is staged */
} RagifyJobKnown;

/* What the store has of the job: document id → RagifyJobKnown, and the store's id. NULL with a problem. */
GHashTable *ragify_job_list_known (RagifyIngestJob *job, RagifyUuid *store, RagifyProblem *problem);

/* ---- job-place.c: where to go on with a document that is written in parts, after the host was killed ---- */

/* `file` NULL: nothing is kept. */
RagifyJobPlace *ragify_job_place_new (const char *file);
void ragify_job_place_free (RagifyJobPlace *place);
/* The place in the document of this hash, of which `staged` chunks are there. FALSE: at its beginning. */
gboolean
ragify_job_place_find (const RagifyJobPlace *place, const RagifyUuid *hash, guint64 staged, RagifyCutPlace *found);
/* Keeps a place, now and then. */
void ragify_job_place_keep (RagifyJobPlace *place, const RagifyUuid *hash, const RagifyCutPlace *kept);
void ragify_job_place_forget (RagifyJobPlace *place);

/* ---- job-parts.c: a document that is written in parts, however long the store takes ---- */

typedef enum {
  RAGIFY_PARTS_UNDER_WAY,
  RAGIFY_PARTS_WRITTEN,
  RAGIFY_PARTS_UNCHANGED,
  RAGIFY_PARTS_REFUSED,  /* for good, with a reason */
  RAGIFY_PARTS_AGAIN,    /* what was staged is gone: from the beginning */
  RAGIFY_PARTS_GIVEN_UP, /* the pass is */
} RagifyPartsOutcome;

typedef struct RagifyJobParts RagifyJobParts;

/* `document` (whose content is not looked at) outlives it; `content` is a hash of all that it is made of. Asks the
 * store what it has: the outcome may be there at once. */
RagifyJobParts *ragify_job_parts_new (RagifyIngestJob *job, const RagifyIncoming *document, const RagifyUuid *content);
void ragify_job_parts_free (RagifyJobParts *parts);
RagifyPartsOutcome ragify_job_parts_outcome (const RagifyJobParts *parts);
const char *ragify_job_parts_reason (const RagifyJobParts *parts); /* of REFUSED */
/* The places of `cuts` are kept from here on; it goes on at one, `*begin`, where there is one. */
void ragify_job_parts_follow (RagifyJobParts *parts, RagifyCutStream *cuts, guint64 *begin);
/* The next chunk; `metadata` as in RagifyPartChunk, or NULL. FALSE: the outcome is there. */
gboolean ragify_job_parts_add (RagifyJobParts *parts, const char *text, const RagifyCut *cut, const char *metadata);
/* That was all. */
void ragify_job_parts_finish (RagifyJobParts *parts);

/* ---- job-stream.c: a large text file ---- */

typedef enum {
  RAGIFY_JOB_READ,
  RAGIFY_JOB_WRITTEN,    /* in parts, or found to be there already */
  RAGIFY_JOB_GONE,       /* there is no such file */
  RAGIFY_JOB_UNREADABLE, /* now; with a reason */
  RAGIFY_JOB_UNFIT,      /* as it is now; with a reason */
  RAGIFY_JOB_CHANGED,    /* while it was read */
  RAGIFY_JOB_GIVEN_UP,   /* the pass is */
} RagifyJobOutcome;

/* Reads the file and writes it in parts; the entry is brought up to date. `*reason`: free with g_free. */
RagifyJobOutcome ragify_job_stream_text (RagifyIngestJob *job, FilesEntry *entry, int fd, char **reason);
/* ---- job-extract.c: a file that is no text ---- */

/* Which one the file is for, `*found`, NULL: none; READ. UNREADABLE where one cannot be asked, which is waited for; or
 * GIVEN_UP. `*reason`: free with g_free. */
RagifyJobOutcome ragify_job_find_extractor (RagifyIngestJob *job, const FilesEntry *entry, const char *head, gsize size,
                                            const RagifyExtractor **found, char **reason);
/* The text of the file as a document; one that is large is written in parts. `*reason`: free with g_free. */
RagifyJobOutcome ragify_job_extract (RagifyIngestJob *job, const FilesEntry *entry, const RagifyExtractor *extractor,
                                     int fd, RagifyIncoming **incoming, char **reason);
/* What comes of a document that was written in parts. */
RagifyJobOutcome ragify_job_stream_outcome (const RagifyJobParts *parts, char **reason);

/* ---- job-file.c ---- */

/* "NAME/path"; free with g_free. */
char *ragify_job_document_id (const RagifyIngestJob *job, const char *path);
/* The file as a document, the entry brought up to date; or, where it is large, written as it was read. */
RagifyJobOutcome
ragify_job_read_file (RagifyIngestJob *job, FilesEntry *entry, RagifyIncoming **incoming, char **reason);
/* The document of a file, without its content. Takes `title` (or NULL: the file's name). */
RagifyIncoming *
ragify_job_describe_file (const RagifyIngestJob *job, const FilesEntry *entry, char *title, const json_t *metadata);
/* What every document of the file has for metadata; an object. */
json_t *ragify_job_file_metadata (const RagifyIngestJob *job, const FilesEntry *entry, const char *encoding);

/* ---- job-batch.c ---- */

typedef struct RagifyJobLoad RagifyJobLoad;

typedef struct RagifyJobBatch {
  RagifyIngestJob *job;
  RagifyJobLoad *load; /* what is gathered */
  GQueue sent;         /* RagifyJobLoad: on their way, the oldest first */
  gboolean halted;     /* one of those failed; while some are under way it is the library's */
  /* A document was written, or could not be taken, for good: then with its reason, maybe after it was said to be
   * written. NULL: nobody wants to know. */
  void (*settled) (void *user, const char *path, const char *reason);
  void *user;
} RagifyJobBatch;

void ragify_job_batch_init (RagifyJobBatch *batch, RagifyIngestJob *job);
/* Waits for what is on its way, and leaves what is not. */
void ragify_job_batch_clear (RagifyJobBatch *batch);
/* Takes the document; sends off what is gathered when there is enough, and writes again what failed, in its order.
 * FALSE: the pass is to be given up. */
gboolean ragify_job_batch_add (RagifyJobBatch *batch, RagifyIncoming *incoming, const char *path);
/* Until all is written, however long the store takes to come back. */
gboolean ragify_job_batch_flush (RagifyJobBatch *batch);
/* Deletes documents by their ids, in steps. */
gboolean ragify_job_delete (RagifyIngestJob *job, const GPtrArray *ids);

/* ---- passes ---- */

/* TRUE: it came to its end. FALSE: given up, or failed with `*error` set; free with g_free. */
gboolean ragify_job_pass (RagifyIngestJob *job, char **error);        /* job-pass.c */
gboolean ragify_job_source_pass (RagifyIngestJob *job, char **error); /* job-source.c */
