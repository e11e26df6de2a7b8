/* Entries of a stream, matched by words.
 *
 * SPDX-License-Identifier: MIT
 *
 * BM25 (k1 1.2, b 0.75) over the entries that were fetched, so a word is rare or common among the latest entries; of
 * equal ones the later comes first. [any]
 */
#pragma once

#include "fault.h"

#include <glib.h>
#include <hiredis/hiredis.h>
#include <ragify/ragify.h>

typedef struct StreamFields {
  char **content, **title, **uri, **id; /* names of fields, the first that is there counts; ended by NULL */
  char *stream;                         /* its key, for the ids of documents */
  gboolean by_words;                    /* FALSE: the latest, whatever they say */
} StreamFields;

/* At most `limit` passages of what XREVRANGE answered, in memory of the call's. `*unusable`: entries without a text.
 * FALSE with a fault where the answer is not one of XREVRANGE's, or memory is short. */
gboolean stream_match (const StreamFields *fields, const redisReply *reply, const RagifyHost *host, RagifyCall *call,
                       RagifyStr query, guint limit, RagifyChunkList *chunks, guint *unusable, RagifyFault *fault);
