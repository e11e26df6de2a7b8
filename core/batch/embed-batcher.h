/* The embedding batcher: queries of concurrent requests go to the embedder together.
 *
 * SPDX-License-Identifier: MIT
 *
 * Nobody waits while the embedder is idle: as long as fewer batches are under way than it can take at once, a text is
 * sent alone, at once. What comes while it is busy queues up, and each batch that ends takes its share of the queue
 * with it. So batches grow with the load and by nothing else. An embedder that is not computed on our own workers may
 * take more calls than we begin by ourselves: there, who has waited for `max_wait_us` is sent all the same, with those
 * behind.
 */
#pragma once

#include "core/module/node.h"

typedef struct RagifyEmbedBatcher RagifyEmbedBatcher;
typedef struct RagifyEmbedBatch RagifyEmbedBatch;
typedef struct RagifyEmbedWait RagifyEmbedWait;

/* One text on its way; zeroed, in the owner's arena. */
struct RagifyEmbedWait {
  /* What `done` finds: RAGIFY_OK with one vector, or an error with a message; both in the owner's arena. */
  gint32 code;
  const char *message;
  RagifyVectors vector;
  guint64 duration; /* µs, waiting included */

  /* The batcher's. */
  RagifyEmbedBatcher *batcher;
  RagifyOwner *owner; /* a reference, until `done` has run */
  RagifyLoop *loop;
  RagifyStr text;
  guint64 began, deadline;
  void (*done) (RagifyEmbedWait *wait);
  RagifyTask task;
  RagifyDeadline expiry;
  RagifyEmbedWait *next, *previous; /* in the queue */
  RagifyEmbedBatch *batch;          /* a reference while it is in one */
  guint place;
  guint state; /* guarded by the batcher's lock */
};

/* `max_batch`: texts in one call; 0: 8. `max_wait_us`: 0: for as long as it takes. The node outlives it. [control] */
RagifyEmbedBatcher *
ragify_embed_batcher_new (RagifyRuntime *runtime, RagifyNode *embedder, guint max_batch, guint64 max_wait_us);
/* Nothing may wait any more; waits for batches under way. [control] */
void ragify_embed_batcher_free (RagifyEmbedBatcher *batcher);

/* Embeds `text` as a query. `done` runs once on the current loop, perhaps before this returns. [loop] */
void ragify_embed_batcher_ask (RagifyEmbedBatcher *batcher, RagifyEmbedWait *wait, RagifyOwner *owner, RagifyStr text,
                               guint64 deadline, void (*done) (RagifyEmbedWait *wait));

/* Nobody wants it any more: `done` still runs, soon, and not inside this function. No effect when it has run, or before
 * the text was given. [loop] */
void ragify_embed_wait_leave (RagifyEmbedWait *wait);
