/* Jobs: folders and sources that are kept in a store, each by a thread of its own.
 *
 * SPDX-License-Identifier: MIT
 *
 * A job looks through its folder (or asks its source) at the start, at intervals and where something was seen to
 * change. What is new or changed is written, what is gone is deleted, what fails is set aside with its reason. The
 * store is the truth of what was done: its documents carry the job's name (metadata `ingest`), so that a job that was
 * killed goes on from there.
 */
#pragma once

#include <jansson.h>

#include "core/ingest/documents.h"
#include "core/ingest/extraction.h"
#include "core/module/node.h"

typedef struct RagifyIngestJob RagifyIngestJob;

typedef struct RagifyIngestJobOptions {
  const char *name;
  RagifyLibrary *library;
  RagifyNode *store;                           /* the library's */
  const char *root;                            /* NULL: a source */
  RagifyNode *source;                          /* NULL: a folder */
  const char *const *include, *const *exclude; /* ended by NULL; NULL: none */
  const RagifyExtractor *extractors;           /* for files that are no text */
  guint n_extractors;
  const char *missing;             /* names of extractors that are configured and do not run, for people; NULL: none */
  guint64 max_file_size;           /* 0: no bound */
  guint chunk_size, chunk_overlap; /* characters; a size of 0: the store's */
  gboolean chunk_tokens;           /* they are in tokens of … */
  RagifyNode *embedder;            /* … this; NULL: of four bytes */
  guint64 interval_us;             /* 0: only at the start */
  gboolean watch;
  const char *cutting;    /* all that decides about chunks and vectors besides the documents, as text */
  const char *state_file; /* NULL: nothing is kept from one run of the host to the next */
} RagifyIngestJobOptions;

/* Everything is copied; the nodes outlive it. [control] */
RagifyIngestJob *ragify_ingest_job_new (RagifyRuntime *runtime, const RagifyIngestJobOptions *options);
void ragify_ingest_job_start (RagifyIngestJob *job); /* no effect where it was started. [control] */
void ragify_ingest_job_stop (RagifyIngestJob *job);  /* it begins nothing more; does not wait. [control] */
void ragify_ingest_job_free (RagifyIngestJob *job);  /* waits for the writes under way. [control] */
const char *ragify_ingest_job_name (const RagifyIngestJob *job);
/* Whether it was made with the same cutting. */
gboolean ragify_ingest_job_cuts_as (const RagifyIngestJob *job, const char *cutting);

typedef enum {
  RAGIFY_JOB_RUN,    /* look now */
  RAGIFY_JOB_PAUSE,  /* after the writes under way, until resumed; also over a restart */
  RAGIFY_JOB_RESUME, /* goes on where it was */
  RAGIFY_JOB_CANCEL, /* gives up this pass; the next comes at its time */
} RagifyJobAction;
void ragify_ingest_job_control (RagifyIngestJob *job, RagifyJobAction action); /* [any] */

/* What it does and has done, for people and programs; `details`: with what was set aside. [any] */
json_t *ragify_ingest_job_describe (RagifyIngestJob *job, gboolean details);
