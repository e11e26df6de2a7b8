/* SPDX-License-Identifier: MIT */
#include "core/pipeline/fuse.h"

#include <math.h>
#include <string.h>

typedef float Lanes __attribute__ ((vector_size (16)));

/* The largest score of a list; 0 where none is above it. */
static float
list_maximum (const RagifyList *list)
{
  float maximum = 0;
  for (guint i = 0; i < list->count; i++)
    maximum = MAX (maximum, list->hits[i].score);
  return maximum;
}

/* A score as a part of the list's largest one, 0..1. */
static float
share (float score, float maximum)
{
  return maximum > 0 ? MAX (score, 0) / maximum : 0;
}

static void
add_dense_part (double weight, const RagifyFuseInput *input, float *fused)
{
  for (guint space = 0; space < input->n_spaces; space++) {
    float lowest = INFINITY, highest = -INFINITY;
    for (guint i = 0; i < input->n_candidates; i++)
      if (input->spaces[i] == space && !isnan (input->cosines[i])) {
        lowest = MIN (lowest, input->cosines[i]);
        highest = MAX (highest, input->cosines[i]);
      }
    for (guint i = 0; i < input->n_candidates; i++)
      if (input->spaces[i] == space && !isnan (input->cosines[i])) {
        const float normal = highest > lowest ? (input->cosines[i] - lowest) / (highest - lowest) : 1;
        fused[i] += (float)weight * input->weights[i] * normal;
      }
  }
}

static void
convex (double weight, const RagifyFuseInput *input, float *fused)
{
  for (guint l = 0; l < input->n_lists; l++) {
    const RagifyList *list = &input->lists[l];
    if (list->type == RAGIFY_LIST_DENSE)
      continue; /* its scores are among the cosines */
    const gboolean words = list->type == RAGIFY_LIST_WORDS;
    const float maximum = words ? list_maximum (list) : 1;
    const float scale = (float)(list->weight * (words ? 1 - weight : 1));
    for (guint i = 0; i < list->count; i++) {
      float *to = &fused[list->hits[i].candidate];
      *to = MAX (*to, scale * share (list->hits[i].score, maximum));
    }
  }
  add_dense_part (weight, input, fused);
}

static void
reciprocal_rank (guint k, const RagifyFuseInput *input, float *fused)
{
  for (guint l = 0; l < input->n_lists; l++) {
    const RagifyList *list = &input->lists[l];
    for (guint i = 0; i < list->count; i++)
      fused[list->hits[i].candidate] += (float)(list->weight / (k + i + 1.0));
  }
}

static void
maximum_of (const RagifyFuseInput *input, float *fused)
{
  for (guint l = 0; l < input->n_lists; l++) {
    const RagifyList *list = &input->lists[l];
    const float maximum = list->type == RAGIFY_LIST_WORDS ? list_maximum (list) : 1;
    for (guint i = 0; i < list->count; i++) {
      float *to = &fused[list->hits[i].candidate];
      *to = MAX (*to, (float)list->weight * MIN (share (list->hits[i].score, maximum), 1));
    }
  }
}

/* Distribution-based score fusion. */
static void
by_distribution (const RagifyFuseInput *input, float *fused)
{
  for (guint l = 0; l < input->n_lists; l++) {
    const RagifyList *list = &input->lists[l];
    double sum = 0, squares = 0;
    for (guint i = 0; i < list->count; i++)
      sum += list->hits[i].score;
    const double mean = sum / MAX (list->count, 1);
    for (guint i = 0; i < list->count; i++)
      squares += (list->hits[i].score - mean) * (list->hits[i].score - mean);
    const double deviation = list->count > 1 ? sqrt (squares / (list->count - 1)) : 0;
    for (guint i = 0; i < list->count; i++) {
      const double normal = deviation > 0 ? (list->hits[i].score - mean) / (6 * deviation) + 0.5 : 0.5;
      fused[list->hits[i].candidate] += (float)(list->weight * CLAMP (normal, 0, 1));
    }
  }
}

static gboolean
before (const RagifyRanking *ranking, guint32 a, guint32 b)
{
  if (ranking->scores[a] != ranking->scores[b])
    return ranking->scores[a] > ranking->scores[b];
  const int order = memcmp (&ranking->ids[a], &ranking->ids[b], sizeof (RagifyUuid));
  return order != 0 ? order < 0 : a < b;
}

static void
sift_down (RagifyRanking *ranking, guint at)
{
  guint32 *heap = ranking->heap;
  const guint32 moving = heap[at];
  for (guint next; (next = 2 * at + 1) < ranking->count; at = next) {
    if (next + 1 < ranking->count && before (ranking, heap[next + 1], heap[next]))
      next++;
    if (!before (ranking, heap[next], moving))
      break;
    heap[at] = heap[next];
  }
  heap[at] = moving;
}

void
ragify_fuse (RagifyFuse method, double weight, guint rrf_k, const RagifyFuseInput *input, float *fused)
{
  memset (fused, 0, input->n_candidates * sizeof *fused);
  switch (method) {
  case RAGIFY_FUSE_CONVEX:
    convex (weight, input, fused);
    break;
  case RAGIFY_FUSE_RRF:
    reciprocal_rank (rrf_k, input, fused);
    break;
  case RAGIFY_FUSE_MAX:
    maximum_of (input, fused);
    break;
  case RAGIFY_FUSE_DBSF:
    by_distribution (input, fused);
    break;
  }
}

float
ragify_rank_relevance (guint rank)
{
  return 5.0f / (4.0f + (float)rank);
}

float
ragify_dot (const float *a, const float *b, guint dimension)
{
  /* Sums side by side in vector registers: the compiler must not change the order of additions by itself. */
  Lanes sums[4] = { { 0 } };
  guint i = 0;
  for (; i + 16 <= dimension; i += 16)
    for (guint k = 0; k < 4; k++) {
      Lanes left, right;
      memcpy (&left, a + i + 4 * k, sizeof left);
      memcpy (&right, b + i + 4 * k, sizeof right);
      sums[k] += left * right;
    }
  const Lanes all = (sums[0] + sums[1]) + (sums[2] + sums[3]);
  float sum = (all[0] + all[1]) + (all[2] + all[3]);
  for (; i < dimension; i++)
    sum += a[i] * b[i];
  return sum;
}

void
ragify_ranking_init (RagifyRanking *ranking, guint32 *heap, guint count, const float *scores, const RagifyUuid *ids)
{
  *ranking = (RagifyRanking){ .heap = heap, .count = count, .scores = scores, .ids = ids };
  for (guint i = 0; i < count; i++)
    heap[i] = i;
  for (guint i = count / 2; i > 0; i--)
    sift_down (ranking, i - 1);
}

gboolean
ragify_ranking_next (RagifyRanking *ranking, guint32 *candidate)
{
  if (ranking->count == 0)
    return FALSE;
  *candidate = ranking->heap[0];
  ranking->heap[0] = ranking->heap[--ranking->count];
  if (ranking->count > 0)
    sift_down (ranking, 0);
  return TRUE;
}
