/* What the files of the committer share.
 *
 * SPDX-License-Identifier: MIT
 *
 *   committer.c        documents that are there as a whole
 *   committer-embed.c  vectors of their chunks
 *   committer-flight.c batches that are embedded and written beside other work
 *   committer-parts.c  documents that are written in parts
 */
#pragma once

#include "core/ingest/committer.h"
#include "core/ingest/cutter.h"
#include "core/ingest/follower.h"
#include "core/ingest/lanes.h"

#define RAGIFY_WRITE_TIMEOUT_US (120 * (guint64)G_USEC_PER_SEC)

typedef struct RagifyConvoy RagifyConvoy;

struct RagifyCommitter {
  RagifyRuntime *runtime;
  RagifyLibraryOptions options;
  RagifyFollower *follower; /* the flights', while there are some: of the one that writes */
  RagifyConvoy *convoy;     /* what is embedded and written beside other work */
  RagifyLanes *lanes;       /* NULL: no embedder */
  RagifyGeneration told;    /* the last one that was said to `changed` */
  gboolean unsure;          /* a write failed, and may have been committed nevertheless, or yet be */
  RagifyCutter *cutter;
  char *salt[2];                   /* by RagifyChunking: what decides about chunks and vectors besides the document */
  guint dimension;                 /* the embedder's */
  RagifySeries *embedded, *reused; /* chunks */
  guint64 written;                 /* chunks */
};

/* What one put gathers before it goes to the store. Everything is in the owner's arena. */
typedef struct RagifyBatch {
  RagifyOwner *owner;
  GArray *documents;   /* RagifyDocument */
  GArray *chunks;      /* RagifyChunk */
  GPtrArray *texts;    /* what is embedded for each chunk; owned */
  GPtrArray *replaced; /* ids of those documents that are there already; not owned */
  guint64 first;       /* of a document that is written in parts: the ordinal of the first chunk */
  guint64 there;       /* … and how many chunks it has as it is found now; 0: all of `replaced` are looked at */
} RagifyBatch;

void ragify_batch_init (RagifyBatch *batch);
void ragify_batch_clear (RagifyBatch *batch);
RagifyStr ragify_batch_copy (RagifyBatch *batch, const char *text, gsize size);
/* A copy that lives as long as the owner: a store that is too slow may still read it when the batch is over. */
const void *ragify_batch_lasting (RagifyBatch *batch, const void *data, gsize size);

/* What is known of a document that is there. */
typedef struct RagifyKnown {
  RagifyUuid hash, staged_hash;
  guint64 chunks, staged;
  gboolean foreign; /* not the holder's */
} RagifyKnown;

/* The document for the store, which it replaces what is there in; its texts are the batch's. */
RagifyDocument ragify_committer_describe (RagifyBatch *batch, const RagifyIncoming *incoming, const RagifyUuid *hash);
/* Says what the store is at to whoever keeps answers of it; `removed` NULL: what has gone is not known. `lags`: whether
 * a text index does. */
void ragify_committer_tell (RagifyCommitter *committer, const RagifyGeneration *generation,
                            const RagifyUuidList *removed, gboolean lags);
/* What is written takes memory: in indexes, and in caches whose answers are outdated by it. FALSE with a problem. */
gboolean ragify_committer_has_memory (const RagifyCommitter *committer, RagifyProblem *problem);
/* The documents that are there, or of which something is staged: id → RagifyKnown. */
gboolean ragify_committer_find_known (RagifyCommitter *committer, RagifyIncoming *const *documents, gsize count,
                                      const RagifyHold *hold, GHashTable *known, RagifyProblem *problem);
/* Before the next write, and before a document may be called unchanged: what the store has now is what the text indexes
 * and the caches must know. */
gboolean ragify_committer_make_sure (RagifyCommitter *committer, RagifyProblem *problem);
/* The same, where none but what does not write before its turn is in the air. */
gboolean ragify_committer_ask_store (RagifyCommitter *committer, RagifyProblem *problem);
/* Vectors that are being made; and how many are, and how many are there. */
typedef struct RagifyVectorsAhead {
  RagifyEmbedding *embedding; /* NULL: there is nothing to wait for */
  guint64 embedded, reused;
} RagifyVectorsAhead;

/* Has `count` chunks from `first` on embedded, for a write with the batch's documents, which lives as long as its
 * owner, and is whole once ragify_committer_end_embedding says so. `group`: as ragify_lanes_add has it. */
RagifyStoreUpsert *ragify_committer_prepare (RagifyCommitter *committer, RagifyBatch *batch, guint first, guint count,
                                             gconstpointer group, RagifyVectorsAhead *ahead);
/* Embeds and commits `count` chunks from `first` on with the batch's documents, within `timeout_us`. */
gboolean
ragify_committer_commit (RagifyCommitter *committer, RagifyBatch *batch, guint first, guint count, guint64 timeout_us,
                         RagifyStoreUpsertResult *result, RagifyIngestReport *report, RagifyProblem *problem);

RagifyConvoy *ragify_convoy_new (void);
/* None may be under way. */
void ragify_convoy_free (RagifyConvoy *convoy);
/* Waits until there is room for another, and its texts would be embedded soon. */
void ragify_committer_clear_for (RagifyCommitter *committer);
/* Has what was prepared written beside other work, once its vectors are there and all that was launched before is
 * written; takes the batch, and leaves an empty one. What comes of it is `owner`'s, from when the flight has landed on.
 * Where one of the same owner fails, or of one with the same `halted`, those behind it are not written. */
void ragify_committer_launch (RagifyCommitter *committer, RagifyBatch *batch, const RagifyStoreUpsert *args,
                              const RagifyVectorsAhead *ahead, RagifyIngestReport *owner);
/* Whether one of the documents is under way now. */
gboolean
ragify_committer_flies_with (const RagifyCommitter *committer, RagifyIncoming *const *documents, gsize count_of_all);
/* A write failed, and may have been committed all the same. */
void ragify_committer_doubt (RagifyCommitter *committer);

/* Vectors for `count` texts of the batch from `first` on, one after the other into `vectors`, which lives until
 * ragify_committer_end_embedding. Those that the store has for the same text in one of the documents that are replaced
 * are taken from there. */
void ragify_committer_embed (RagifyCommitter *committer, const RagifyBatch *batch, guint first, guint count,
                             float *vectors, gconstpointer group, RagifyVectorsAhead *ahead);
/* Waits for them and counts them. FALSE with a problem. [any] */
gboolean ragify_committer_end_embedding (RagifyCommitter *committer, RagifyVectorsAhead *ahead,
                                         RagifyIngestReport *report, RagifyProblem *problem);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (RagifyBatch, ragify_batch_clear)
