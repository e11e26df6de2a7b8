/* Passages: what chunks of stores say, kept in memory, so that an answer need not ask the store for what an answer
 * before it has shown.
 *
 * SPDX-License-Identifier: MIT
 *
 * Bounded by bytes, shared by all loops. A passage is good for one state of its store, a number of the caller's that
 * every committed write changes, and for a minute at the most: a write that nobody waited for may go unreported. Which
 * one goes when there is no room is decided by second chance (CLOCK; Corbató, 1968).
 */
#pragma once

#include <glib.h>
#include <ragify/ragify.h>

typedef struct RagifyPassages RagifyPassages;

/* Immutable, reference-counted; its texts lie in it. */
typedef struct RagifyPassage {
  RagifyChunk chunk;
} RagifyPassage;

/* `limit`: bytes in all, 0: nothing is kept. */
RagifyPassages *ragify_passages_new (gsize limit);
void ragify_passages_free (RagifyPassages *passages);

/* A reference to the passage of that chunk in that state of its store (`holder`, a number of the caller's), or NULL.
 * `now`: monotonic µs. [any] */
const RagifyPassage *
ragify_passages_get (RagifyPassages *passages, guint16 holder, guint64 state, const RagifyUuid *id, guint64 now);

/* Keeps a copy of a chunk that was read in that state of its store, or after it. [any] */
void
ragify_passages_put (RagifyPassages *passages, guint16 holder, guint64 state, const RagifyChunk *chunk, guint64 now);

void ragify_passage_unref (const RagifyPassage *passage);

/* Gives up passages until about half of the bytes are left. [any] */
void ragify_passages_shrink (RagifyPassages *passages);
/* Bytes kept. [any] */
gsize ragify_passages_bytes (RagifyPassages *passages);
