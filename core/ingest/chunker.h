/* Cuts a text into chunks at sentence boundaries.
 *
 * SPDX-License-Identifier: MIT
 *
 * Boundaries are those of Unicode Standard Annex 29 (sentences), found by ICU; a sentence longer than a chunk is cut
 * at a word boundary, a word longer than a chunk between characters. Consecutive chunks overlap by whole sentences.
 */
#pragma once

#include <glib.h>
#include <ragify/ragify.h>

typedef struct RagifyChunker RagifyChunker;

/* Bytes of the text: [begin, end). */
typedef struct RagifyCut {
  gsize begin, end;
} RagifyCut;

/* A stretch that is never cut: a sentence, or a part of one that was too long. */
typedef struct RagifyCutUnit {
  guint64 begin, end; /* bytes */
  guint weight;       /* characters, or what the chunker was made to count */
} RagifyCutUnit;

/* Writes how long each of the texts is, such as in tokens. FALSE: it cannot say now. */
typedef gboolean (*RagifyWeigh) (void *user, const RagifyStr *texts, gsize count, guint *weights);

/* `size` ≥ 50 and `overlap` < size / 2 are in characters; larger overlaps are cut down. One thread at a time. NULL when
 * ICU has no data. */
RagifyChunker *ragify_chunker_new (guint size, guint overlap);
/* The same in what `weigh` counts; where that fails, four bytes count as one. A character is at least one. */
RagifyChunker *ragify_chunker_new_weighed (guint size, guint overlap, RagifyWeigh weigh, void *user);
void ragify_chunker_free (RagifyChunker *chunker);
guint ragify_chunker_size (const RagifyChunker *chunker);
guint ragify_chunker_overlap (const RagifyChunker *chunker);
gboolean ragify_chunker_counts_tokens (const RagifyChunker *chunker); /* as both do then, instead of characters */

/* The chunks of `text` (valid UTF-8), in order, without white space at their ends; none for a text of white space. Free
 * with g_array_unref: RagifyCut. */
GArray *ragify_chunker_cut (RagifyChunker *chunker, const char *text, gsize size);

/* How many bytes are looked at together (core/ingest/cut-stream.h). */
gsize ragify_chunker_block (const RagifyChunker *chunker);
/* Appends to `units` (RagifyCutUnit; their places from `place` on) those of a block of a text; without `last`, those
 * that what follows cannot change. Returns how many bytes that are, which is more than none. */
gsize ragify_chunker_find_units (RagifyChunker *chunker, const char *block, gsize size, gboolean last, guint64 place,
                                 GArray *units);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (RagifyChunker, ragify_chunker_free)
