/* Fusion: many lists of candidates become one order.
 *
 * SPDX-License-Identifier: MIT
 *
 * Pure functions over arrays.
 */
#pragma once

#include <glib.h>
#include <ragify/ragify.h>

#include "pipeline.h"

typedef enum {
  RAGIFY_LIST_DENSE,  /* scores are cosines */
  RAGIFY_LIST_WORDS,  /* scores are an engine's weights, larger is better */
  RAGIFY_LIST_SOURCE, /* scores are relevances 0..1, for candidates without vectors */
} RagifyListType;

typedef struct RagifyListHit {
  guint32 candidate;
  float score;
} RagifyListHit;

/* Best first, each candidate at most once. */
typedef struct RagifyList {
  RagifyListType type;
  double weight;
  const RagifyListHit *hits;
  guint count;
} RagifyList;

typedef struct RagifyFuseInput {
  const RagifyList *lists;
  guint n_lists;
  guint n_candidates;
  const float *cosines;  /* of each candidate, to the query; NAN: not known */
  const float *weights;  /* of each candidate's dense part */
  const guint16 *spaces; /* which embedding model a cosine is of; below `n_spaces` */
  guint n_spaces;
} RagifyFuseInput;

/* Writes the fused score of each candidate, larger is better.
 *   convex  weight × cosine, min-max normalised over the candidates of a space, + (1 − weight) × the best of the lists'
 *           score ÷ the list's largest one; a part that a candidate does not have is 0; a source's candidate has its
 *           relevance for both
 *   rrf     Σ list weight ÷ (rrf_k + rank), rank from 1 (Cormack, Clarke, Büttcher 2009)
 *   max     the largest of list weight × cosine, score ÷ the list's largest one, relevance
 *   dbsf    Σ list weight × score, normalised so that the list's mean ± 3 standard deviations becomes 0..1, clipped */
void ragify_fuse (RagifyFuse method, double weight, guint rrf_k, const RagifyFuseInput *input, float *fused);

/* What rank (from 1) counts for where no better relevance is known: 5 ÷ (4 + rank): 1, 0.83, 0.71, 0.63, 0.56, … */
float ragify_rank_relevance (guint rank);

/* The inner product of two vectors. */
float ragify_dot (const float *a, const float *b, guint dimension);

/* Candidates in falling order of their score, made while one asks: the first costs O(n), each O(log n). Ties are
 * broken by id, so the order does not depend on which list came first. */
typedef struct RagifyRanking {
  guint32 *heap;
  guint count;
  const float *scores;
  const RagifyUuid *ids;
} RagifyRanking;

/* `heap`: room for `count` candidates. */
void
ragify_ranking_init (RagifyRanking *ranking, guint32 *heap, guint count, const float *scores, const RagifyUuid *ids);
/* FALSE at the end. */
gboolean ragify_ranking_next (RagifyRanking *ranking, guint32 *candidate);
