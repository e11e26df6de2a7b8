/* The write path of one store: documents become chunks and vectors, are committed, and the text indexes follow.
 *
 * SPDX-License-Identifier: MIT
 *
 * Blocking; belongs to one thread, which is the only committer of the store.
 */
#pragma once

#include "core/ingest/document.h"
#include "core/ingest/documents.h"
#include "core/ingest/report.h"

typedef struct RagifyCommitter RagifyCommitter;

RagifyCommitter *ragify_committer_new (RagifyRuntime *runtime, const RagifyLibraryOptions *options, GError **error);
void ragify_committer_free (RagifyCommitter *committer);

/* Writes documents, in their order; of two with the same id the later wins. With a `hold` (or NULL) a document that has
 * the id of one that is not the holder's is refused in the report. FALSE with a problem when the store or the
 * embedder failed: what was committed before is in the report. */
gboolean ragify_committer_put (RagifyCommitter *committer, RagifyIncoming *const *documents, gsize count,
                               RagifyChunking chunking, const RagifyHold *hold, RagifyIngestReport *report,
                               RagifyProblem *problem);

/* Deletes documents; `*chunks` is how many they had, without those that `hold` (or NULL) keeps from the holder, which
 * stay. Where that is none, nothing was written and `*generation` is as it was. */
gboolean
ragify_committer_delete (RagifyCommitter *committer, const char *const *documents, gsize count, const RagifyHold *hold,
                         guint64 *chunks, RagifyGeneration *generation, RagifyProblem *problem);

/* How many chunks were written since this was asked last. */
guint64 ragify_committer_take_written (RagifyCommitter *committer);

/* Says the store's generation to `changed`. */
void ragify_committer_announce (RagifyCommitter *committer);

/* Brings text indexes that lag up to the store. Returns how many still do, with the last reason. */
guint ragify_committer_follow (RagifyCommitter *committer, char **reason);
/* Whether one lags. */
gboolean ragify_committer_lags (const RagifyCommitter *committer);

/* Others write to the store as well, and text indexes of this host's own have to follow: ragify_committer_ask, again
 * and again, asks the store what it is at, brings them up to it and says so to `changed`. */
gboolean ragify_committer_must_ask (const RagifyCommitter *committer);
void ragify_committer_ask (RagifyCommitter *committer);
