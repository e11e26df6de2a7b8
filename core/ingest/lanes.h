/* Texts on their way through an embedder, beside other work: calls of several batches follow each other without a
 * pause, as many at once as there is to compute on.
 *
 * SPDX-License-Identifier: MIT
 */
#pragma once

#include "core/module/node.h"
#include "core/pipeline/request.h"

typedef struct RagifyLanes RagifyLanes;
typedef struct RagifyEmbedding RagifyEmbedding;

/* One text, a string that ends with NUL, and where its vector goes. */
typedef struct RagifyWantedVector {
  const char *text;
  float *vector;
} RagifyWantedVector;

/* `count` calls at once; `max_batch` texts in one, 0: the embedder does not say. The node outlives it. Threads begin
 * with the first text. [any] */
RagifyLanes *ragify_lanes_new (RagifyNode *embedder, guint count, guint dimension, guint max_batch);
/* No embedding may be left. [any] */
void ragify_lanes_free (RagifyLanes *lanes);

/* Has the texts embedded, after those that were added before. Takes `wanted` (of RagifyWantedVector); texts and vectors
 * live until ragify_embedding_end. Where one fails, those of the same `group` that were added before fail as well.
 * [any] */
RagifyEmbedding *ragify_lanes_add (RagifyLanes *lanes, GArray *wanted, gconstpointer group);
/* What waits to be embedded for the group fails at once, as nobody wants it any more. [any] */
void ragify_lanes_drop (RagifyLanes *lanes, gconstpointer group);
/* The host is shutting down: what waits, and whatever is added from here on, fails at once; calls that are under way
 * have a moment. [any] */
void ragify_lanes_hurry (RagifyLanes *lanes);
/* Waits until no more than so many bytes of text are not on their way yet. [any] */
void ragify_lanes_wait (RagifyLanes *lanes, gsize bytes);

/* Waits until all vectors are there, and frees it. FALSE with a problem. [any] */
gboolean ragify_embedding_end (RagifyEmbedding *embedding, RagifyProblem *problem);
