/* Chunks of a text that comes in pieces, in constant memory.
 *
 * SPDX-License-Identifier: MIT
 *
 * The text is looked at in blocks, each of which begins where a sentence of the one before ended; so what comes out
 * does not depend on the pieces that the text comes in, and one can go on at a place that was kept.
 */
#pragma once

#include "core/ingest/chunker.h"

typedef struct RagifyCutStream RagifyCutStream;

/* A chunk: `text` and where it stands in the whole. FALSE: no more is wanted. */
typedef gboolean (*RagifyCutTaken) (void *user, const char *text, const RagifyCut *cut);

/* Where one can go on from. */
typedef struct RagifyCutPlace {
  guint64 begin;  /* the first byte that must be fed */
  guint64 looked; /* up to here it was looked at */
  guint64 chunks; /* that came before */
  GArray *units;  /* RagifyCutUnit: what the next chunk begins with; from … */
  guint fresh;    /* … this one on they were in none yet */
} RagifyCutPlace;

void ragify_cut_place_clear (RagifyCutPlace *place);

/* The chunker outlives it; it is used by one stream at a time. */
RagifyCutStream *ragify_cut_stream_new (RagifyChunker *chunker, RagifyCutTaken taken, void *user);
void ragify_cut_stream_free (RagifyCutStream *stream);

/* Some more text: valid UTF-8, whole characters. FALSE: `taken` said so. */
gboolean ragify_cut_stream_add (RagifyCutStream *stream, const char *text, gsize size);
/* The text ends, or a part of it that no chunk goes beyond. */
gboolean ragify_cut_stream_end (RagifyCutStream *stream);
/* How much was added, from the text's beginning. */
guint64 ragify_cut_stream_length (const RagifyCutStream *stream);

/* The last place that chunks were made up to; of texts in one part only. Clear it. */
void ragify_cut_stream_place (const RagifyCutStream *stream, RagifyCutPlace *place);
/* Before anything is added: what is added begins at `place`. */
void ragify_cut_stream_go_on (RagifyCutStream *stream, const RagifyCutPlace *place);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (RagifyCutStream, ragify_cut_stream_free)
