/* The write path of one store: documents become chunks and vectors, are committed, and the text indexes follow.
 *
 * SPDX-License-Identifier: MIT
 *
 * Blocking; belongs to one thread, which is the only committer of the store.
 */
#pragma once

#include "core/ingest/chunker.h"
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

/* The same, but what is put last may still be embedded and written when it returns, so that the next documents follow
 * without a pause. Before the report is read for the last time, or goes, ragify_committer_settle must have waited for
 * it, or its `under_way` be 0. Documents that are under way are waited for by whatever else is asked of the committer.
 */
gboolean ragify_committer_put_ahead (RagifyCommitter *committer, RagifyIncoming *const *documents, gsize count,
                                     RagifyChunking chunking, const RagifyHold *hold, RagifyIngestReport *report,
                                     RagifyProblem *problem);
/* FALSE with a problem where what was under way for the report failed, or for one before it of the same sender. */
gboolean ragify_committer_settle (RagifyCommitter *committer, RagifyIngestReport *report, RagifyProblem *problem);
/* Waits for what is under way; whose it is learns of it when it settles. */
void ragify_committer_land (RagifyCommitter *committer);
/* Waits for what was put first. FALSE: nothing is under way. */
gboolean ragify_committer_land_first (RagifyCommitter *committer);
/* Whether that would not wait. */
gboolean ragify_committer_first_is_over (const RagifyCommitter *committer);
/* `over` is called, on a thread of the committer's, each time that something that was under way is written, or is not
 * going to be. Before the first is. */
void ragify_committer_watch (RagifyCommitter *committer, void (*over) (void *user), void *user);
/* Whether something is under way: the text indexes and the store's generation are not to be asked after then. */
gboolean ragify_committer_flies (const RagifyCommitter *committer);

/* What waits to be embedded for the report is not any more: nobody wants to know what becomes of it. It still is to be
 * settled, or landed. [any] */
void ragify_committer_drop (RagifyCommitter *committer, const RagifyIngestReport *report);
/* The host is shutting down: what an embedder has still to do fails, and so does whatever else it would be given. [any]
 */
void ragify_committer_hurry (RagifyCommitter *committer);

/* ---- documents that are written in parts, of any size ---- */

/* One chunk of a document that is written in parts. */
typedef struct RagifyPartChunk {
  char *text;
  gsize size;
  guint64 begin;        /* byte of the document's text */
  const char *metadata; /* a JSON object as text, in place of the document's; NULL: the document's */
} RagifyPartChunk;

typedef struct RagifyPart {
  const RagifyIncoming *document; /* whose content is not looked at */
  RagifyUuid hash;                /* of all that decides about its chunks, as ragify_committer_look wrote it */
  guint64 first;                  /* how many chunks came before */
  const RagifyPartChunk *chunks;
  guint count;
  gboolean last; /* with it the document is whole, and found */
} RagifyPart;

typedef struct RagifyPartState {
  RagifyUuid hash;    /* of the document as it would be written */
  gboolean unchanged; /* it is there as it is */
  gboolean foreign;   /* its id is not the holder's */
  guint64 staged;     /* chunks of it that are written already and wait for the others */
} RagifyPartState;

/* What is there of a document whose bytes have the hash `content`. */
gboolean ragify_committer_look (RagifyCommitter *committer, const RagifyIncoming *document, const RagifyUuid *content,
                                const RagifyHold *hold, RagifyPartState *state, RagifyProblem *problem);
/* Writes a part, without what is staged of it already. Where that fails some of it may have been written: the same part
 * may be given again. Where what is staged is neither what the part follows nor some of it, nothing is written and TRUE
 * returned. `*state` says what is there. */
gboolean ragify_committer_put_part (RagifyCommitter *committer, const RagifyPart *part, RagifyPartState *state,
                                    RagifyIngestReport *report, RagifyProblem *problem);

/* Cuts documents of no cutting of their own; the caller's. */
RagifyChunker *ragify_committer_chunker_new (const RagifyCommitter *committer);

/* Deletes documents; `*chunks` is how many they had, without those that `hold` (or NULL) keeps from the holder, which
 * stay. Where that is none, nothing was written and `*generation` is as it was. */
gboolean
ragify_committer_delete (RagifyCommitter *committer, const char *const *documents, gsize count, const RagifyHold *hold,
                         guint64 *chunks, RagifyGeneration *generation, RagifyProblem *problem);

/* How many chunks were written since this was asked last. */
guint64 ragify_committer_take_written (RagifyCommitter *committer);

/* Says the store's generation to `changed`. */
void ragify_committer_announce (RagifyCommitter *committer);

/* Brings text indexes that lag up to the store, for about `budget_us` at most. Returns how many still do, with the last
 * reason; without one they only need more time. */
guint ragify_committer_follow (RagifyCommitter *committer, guint64 budget_us, char **reason);
/* Whether one lags. */
gboolean ragify_committer_lags (const RagifyCommitter *committer);

/* Others write to the store as well, and text indexes of this host's own have to follow: ragify_committer_ask, again
 * and again, asks the store what it is at, brings them up to it and says so to `changed`. */
gboolean ragify_committer_must_ask (const RagifyCommitter *committer);
void ragify_committer_ask (RagifyCommitter *committer);
