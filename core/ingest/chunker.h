/* Cuts a text into chunks at sentence boundaries.
 *
 * SPDX-License-Identifier: MIT
 *
 * Boundaries are those of Unicode Standard Annex 29 (sentences), found by ICU; a sentence longer than a chunk is cut
 * at a word boundary, a word longer than a chunk between characters. Consecutive chunks overlap by whole sentences.
 */
#pragma once

#include <glib.h>

typedef struct RagifyChunker RagifyChunker;

/* Bytes of the text: [begin, end). */
typedef struct RagifyCut {
  gsize begin, end;
} RagifyCut;

/* `size` ≥ 50 and `overlap` < size / 2 are in characters; larger overlaps are cut down. One thread at a time. NULL when
 * ICU has no data. */
RagifyChunker *ragify_chunker_new (guint size, guint overlap);
void ragify_chunker_free (RagifyChunker *chunker);

/* The chunks of `text` (valid UTF-8), in order, without white space at their ends; none for a text of white space. Free
 * with g_array_unref: RagifyCut. */
GArray *ragify_chunker_cut (RagifyChunker *chunker, const char *text, gsize size);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (RagifyChunker, ragify_chunker_free)
