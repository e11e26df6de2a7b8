/* The write path of one store: documents become chunks and vectors, are committed, and the text indexes follow.
 *
 * SPDX-License-Identifier: MIT
 *
 * Blocking; belongs to one thread, which is the only committer of the store.
 */
#pragma once

#include "core/ingest/document.h"
#include "core/ingest/documents.h"

typedef struct RagifyCommitter RagifyCommitter;

/* What became of an upload, added up over its batches. */
typedef struct RagifyIngestReport {
  guint64 documents, chunks, unchanged, replaced;
  GString *failed; /* JSON objects separated by commas: {"id":…,"field":…,"reason":…} */
  guint64 n_failed;
  char *first_reason;  /* of the first failed document, with its field in front */
  GPtrArray *warnings; /* texts, each once */
  RagifyGeneration generation;
} RagifyIngestReport;

void ragify_ingest_report_init (RagifyIngestReport *report);
void ragify_ingest_report_clear (RagifyIngestReport *report);
/* A document that is set aside; `id` or `field` may be NULL. At most 1,000 are kept in words, all are counted. */
void ragify_ingest_report_fail (RagifyIngestReport *report, const char *id, const char *field, const char *reason);

RagifyCommitter *ragify_committer_new (RagifyRuntime *runtime, const RagifyLibraryOptions *options, GError **error);
void ragify_committer_free (RagifyCommitter *committer);

/* Writes documents, in their order; of two with the same id the later wins. FALSE with a problem when the store or the
 * embedder failed: what was committed before is in the report. */
gboolean ragify_committer_put (RagifyCommitter *committer, RagifyIncoming *const *documents, gsize count,
                               RagifyChunking chunking, RagifyIngestReport *report, RagifyProblem *problem);

/* Deletes a document; `*chunks` is how many it had. */
gboolean ragify_committer_delete (RagifyCommitter *committer, const char *document, guint64 *chunks,
                                  RagifyGeneration *generation, RagifyProblem *problem);

/* Brings text indexes that lag up to the store. Returns how many still do, with the last reason. */
guint ragify_committer_follow (RagifyCommitter *committer, char **reason);
/* Whether one lags. */
gboolean ragify_committer_lags (const RagifyCommitter *committer);

/* HTTP's view of a failed call. Returns FALSE. */
gboolean ragify_ingest_problem (RagifyProblem *problem, gint32 code, const char *message, guint64 retry_after_us);
