/* Maximal marginal relevance: passages that are relevant and say something new.
 *
 * SPDX-License-Identifier: MIT
 *
 * Carbonell, Goldstein: The Use of MMR, Diversity-Based Reranking (SIGIR 1998). With d for their 1 − λ, the next one is
 * always that with the largest (1 − d) × relevance − d × its largest cosine to one that was taken before.
 */
#pragma once

#include <glib.h>

typedef struct RagifyMmr {
  guint count;                 /* passages, the best first */
  const float *relevances;     /* of each, on one scale; normalised here so that the range becomes 0..1 */
  const float *const *vectors; /* of each, of unit length; NULL: not known, which is like no other */
  const guint16 *spaces;       /* whose vector it is: those of different ones are not compared */
  const guint *dimensions;     /* of each space */
  double diversify;            /* d, 0..1 */
  guint wanted;                /* so many are chosen, the rest follows in the order that it has */
} RagifyMmr;

/* Writes the passages' places in their new order, all `count` of them. Equal ones keep their order. `nearest`: room for
 * `count` numbers. Costs about `wanted` × `count` inner products. */
void ragify_mmr_order (const RagifyMmr *mmr, float *nearest, guint *order);
