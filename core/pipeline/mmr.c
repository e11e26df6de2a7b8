/* SPDX-License-Identifier: MIT */
#include "core/pipeline/mmr.h"

#include "core/pipeline/fuse.h"

/* What makes 0..1 of relevances; a range of 0 where all are the same. */
static void
find_range (const RagifyMmr *mmr, float *least, float *range)
{
  float most = mmr->count > 0 ? mmr->relevances[0] : 0;
  *least = most;
  for (guint i = 1; i < mmr->count; i++) {
    *least = MIN (*least, mmr->relevances[i]);
    most = MAX (most, mmr->relevances[i]);
  }
  *range = most - *least;
}

/* How like a passage is to what was taken before: `nearest` grows with each one taken. */
static void
bring_near (const RagifyMmr *mmr, guint taken, const guint *left, guint n_left, float *nearest)
{
  const float *vector = mmr->vectors[taken];
  if (vector == NULL)
    return;
  const guint16 space = mmr->spaces[taken];
  for (guint k = 0; k < n_left; k++) {
    const guint i = left[k];
    if (mmr->vectors[i] != NULL && mmr->spaces[i] == space)
      nearest[i] = MAX (nearest[i], ragify_dot (vector, mmr->vectors[i], mmr->dimensions[space]));
  }
}

void
ragify_mmr_order (const RagifyMmr *mmr, float *nearest, guint *order)
{
  float least, range;
  find_range (mmr, &least, &range);
  for (guint i = 0; i < mmr->count; i++) {
    order[i] = i;
    nearest[i] = 0; /* what is opposed is as new as what has nothing to do with it */
  }
  const float d = (float)mmr->diversify;
  for (guint place = 0; place < MIN (mmr->wanted, mmr->count); place++) {
    guint best = place;
    float best_value = -G_MAXFLOAT;
    for (guint k = place; k < mmr->count; k++) {
      const guint i = order[k];
      const float relevance = range > 0 ? (mmr->relevances[i] - least) / range : 0;
      const float value = (1 - d) * relevance - d * nearest[i];
      if (value > best_value) {
        best_value = value;
        best = k;
      }
    }
    const guint taken = order[best];
    for (guint k = best; k > place; k--) /* those that were passed over keep their order */
      order[k] = order[k - 1];
    order[place] = taken;
    bring_near (mmr, taken, order + place + 1, mmr->count - place - 1, nearest);
  }
}
