/* Near-duplicates among the passages of an answer: texts that share most of their three-word sequences, by MinHash; or
 * texts that mean the same, by the cosine of their vectors.
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

/* A passage as it is compared. */
typedef struct RagifyNearPassage {
  RagifyStr content;
  const float *vector; /* of unit length; NULL: not known */
  guint dimension;
  guint16 space;        /* whose vector it is: those of different ones are not compared */
  RagifySketch *sketch; /* NULL: not made yet */
} RagifyNearPassage;

typedef struct RagifyNear {
  RagifyArena *arena;
  double threshold; /* of sketches, 0..1 */
  double cosine;    /* of vectors, where both are known; 0: they are not looked at */
  RagifyNearPassage *admitted;
  guint count, capacity;
} RagifyNear;

void ragify_near_init (RagifyNear *near, RagifyArena *arena, double threshold, double cosine);

/* TRUE where no passage was admitted before that is as similar as the thresholds say. The content and the vector live
 * as long as `near` is used; the sketch is made where it is needed. */
gboolean ragify_near_admit (RagifyNear *near, const RagifyNearPassage *passage);

void ragify_sketch_make (RagifySketch *sketch, RagifyStr content);
/* Estimated Jaccard similarity, 0..1. */
double ragify_sketch_similarity (const RagifySketch *one, const RagifySketch *other);
