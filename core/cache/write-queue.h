/* What waits to be written behind: a bounded queue with a few writes under way at once.
 *
 * SPDX-License-Identifier: MIT
 *
 * Whoever puts something in, and each write that ends, starts the next ones, on its own loop. While the level is left
 * alone by its breaker the queue waits, too.
 */
#pragma once

#include "core/cache/tier.h"

typedef struct RagifyWriteQueue RagifyWriteQueue;

/* A write on its way: `start` was given it and ends it. */
typedef struct RagifyQueuedWrite {
  RagifyTierKey key;
  RagifyBuffer *value;  /* a reference */
  guint64 worthless_at; /* monotonic µs: its time is over then */
  struct RagifyQueuedWrite *next;
  gboolean starting, ended; /* the queue's, on the loop that started it */
} RagifyQueuedWrite;

/* Starts one write and calls ragify_write_queue_ended when it is over, perhaps at once; FALSE: not now, keep it. [loop]
 */
typedef gboolean (*RagifyWriteQueueStart) (RagifyQueuedWrite *write, void *user);

/* [control] */
RagifyWriteQueue *ragify_write_queue_new (guint capacity, RagifyWriteQueueStart start, void *user);
/* Waits until `deadline` for the queue to empty, drops what is left, then waits for what is under way. Returns how many
 * were dropped. [control] */
guint ragify_write_queue_free (RagifyWriteQueue *queue, guint64 deadline);

/* FALSE when it is full: nothing is kept of it. [loop] */
gboolean
ragify_write_queue_put (RagifyWriteQueue *queue, const RagifyTierKey *key, RagifyBuffer *value, guint64 worthless_at);
/* Frees `write` and starts others. [loop] */
void ragify_write_queue_ended (RagifyWriteQueue *queue, RagifyQueuedWrite *write);
/* Waiting now. [any] */
guint ragify_write_queue_length (RagifyWriteQueue *queue);
