/* Cuts documents into chunks, as the store or the document itself wants it.
 *
 * SPDX-License-Identifier: MIT
 */
#pragma once

#include "core/ingest/chunker.h"
#include "core/ingest/documents.h"
#include "core/ingest/weigh.h"

typedef struct RagifyCutter RagifyCutter;

/* `size` and `overlap` are those of documents that want no others; in tokens of `embedder` (NULL: of four bytes) where
 * `tokens` says so, in characters otherwise. One thread at a time. NULL when ICU has no data. */
RagifyCutter *ragify_cutter_new (guint size, guint overlap, gboolean tokens, RagifyNode *embedder);
void ragify_cutter_free (RagifyCutter *cutter);

/* The chunks of the document, none of which spans two of its sections; none for one of white space. Free with
 * g_array_unref: RagifyCut. */
GArray *ragify_cutter_cut (RagifyCutter *cutter, const RagifyIncoming *incoming, RagifyChunking chunking);
