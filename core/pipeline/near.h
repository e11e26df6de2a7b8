/* Near-duplicates among the passages of an answer: texts that share most of their three-word sequences, by MinHash.
 *
 * SPDX-License-Identifier: MIT
 *
 * Each passage has a sketch of 64 minima, one for each of 64 hash functions over its word triples (letters folded in
 * ASCII); the share of equal minima estimates the Jaccard similarity of the two sets, with a standard error of 0.06 at
 * the most (Broder 1997). Passages are shown best first; the first of those that are near to each other is kept.
 */
#pragma once

#include "core/call/arena.h"
#include <ragify/ragify.h>

#define RAGIFY_SKETCH_SIZE 64

typedef struct RagifySketch {
  guint32 minima[RAGIFY_SKETCH_SIZE];
} RagifySketch;

typedef struct RagifyNear {
  RagifyArena *arena;
  double threshold; /* 0..1 */
  RagifySketch **sketches;
  guint count, capacity;
} RagifyNear;

void ragify_near_init (RagifyNear *near, RagifyArena *arena, double threshold);

/* TRUE where no passage was admitted before that is as similar as the threshold says. */
gboolean ragify_near_admit (RagifyNear *near, RagifyStr content);

void ragify_sketch_make (RagifySketch *sketch, RagifyStr content);
/* Estimated Jaccard similarity, 0..1. */
double ragify_sketch_similarity (const RagifySketch *one, const RagifySketch *other);
