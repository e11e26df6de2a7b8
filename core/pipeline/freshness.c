/* Freshness: what is newer counts for more. A chunk's date is known once it is fetched, so the best candidates are put
 * in order anew before they are cut.
 *
 * SPDX-License-Identifier: MIT
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/pipeline/run.h"

double
ragify_freshness (const RagifyPipelineOptions *options, gint64 updated_at, gint64 now)
{
  if (options->freshness_half_life_us == 0 || updated_at == 0)
    return 1;
  const double age = (double)MAX (now - updated_at, 0) / (double)options->freshness_half_life_us;
  return 1 - options->freshness_weight * (1 - exp2 (-age));
}

static int
by_score (const void *a, const void *b, void *data)
{
  const RagifyCandidates *candidates = &((RagifyRun *)data)->candidates;
  const guint32 left = ((const RagifyChosen *)a)->candidate, right = ((const RagifyChosen *)b)->candidate;
  if (candidates->fused[left] != candidates->fused[right])
    return candidates->fused[left] < candidates->fused[right] ? 1 : -1;
  return memcmp (&candidates->ids[left], &candidates->ids[right], sizeof candidates->ids[left]);
}

void
ragify_run_freshen (RagifyRun *run)
{
  const RagifyPipelineOptions *options = &run->pipeline->options;
  if (options->freshness_half_life_us == 0)
    return;
  if (run->wall_now == 0)
    run->wall_now = g_get_real_time ();
  for (guint i = 0; i < run->n_batch; i++) {
    const guint32 candidate = run->batch[i].candidate;
    const RagifyChunk *chunk = run->candidates.chunks[candidate];
    if (chunk != NULL)
      run->candidates.fused[candidate] *= (float)ragify_freshness (options, chunk->updated_at, run->wall_now);
  }
  qsort_r (run->batch, run->n_batch, sizeof *run->batch, by_score, run);
}
