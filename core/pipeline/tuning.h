/* Tuning a store's recall in a host that serves: the smallest nprobe or efSearch that finds enough, and what it costs.
 *
 * SPDX-License-Identifier: MIT
 *
 * Candidates are settings that a request can have by itself, so that they are measured beside each other without a
 * restart: past the cache, the same queries in the same order, runs of all candidates interleaved. What needs a host of
 * its own (profiles, threads, caches) is 'ragify-ctl tune'.
 */
#pragma once

#include <jansson.h>

#include "core/pipeline/pipeline.h"

typedef struct RagifyTuningOptions {
  RagifyPipeline *pipeline;
  const char *store;                         /* that the pipeline asks */
  const GPtrArray *queries;                  /* texts, one at least */
  double recall;                             /* 0..1 */
  guint chunks;                              /* that recall is taken over */
  guint repeats;                             /* runs of each candidate */
  guint at_once;                             /* queries, in a run */
  guint64 run_us;                            /* how long a run takes */
  const gint *stopping;                      /* atomic; not 0: it is to end */
  void (*say) (void *user, json_t *members); /* how far it is; takes `members` */
  void *user;
} RagifyTuningOptions;

/* What came of it: `recall` (ragify_recall_describe, with `store` and `wanted`), `candidates` with throughput, p95 and
 * failures, and `drop_in`, a configuration file as text (empty: nothing is to be changed). NULL with a problem; or with
 * none where it was to end. Blocks: for a thread without a loop. */
json_t *ragify_tuning_run (const RagifyTuningOptions *options, RagifyProblem *problem);
