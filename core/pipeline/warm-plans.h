/* When to warm, and with what: the plans of the configuration, and the busiest requests of the run before.
 *
 * SPDX-License-Identifier: MIT
 */
#pragma once

#include "core/pipeline/warming.h"

typedef struct RagifyWarmPlans RagifyWarmPlans;

/* As ragify_warming_new. [control] */
RagifyWarmPlans *ragify_warm_plans_new (RagifyWarming *warming, RagifyRuntime *runtime, const RagifyWarmPlan *plans,
                                        guint count, const char *state_file);
/* Begins no more rounds, and waits until none is being prepared. [control] */
void ragify_warm_plans_close (RagifyWarmPlans *plans);
/* Writes the state file. [control] */
void ragify_warm_plans_free (RagifyWarmPlans *plans);

/* As the functions of warming.h. */
RagifyPipeline *ragify_warm_plans_find (const RagifyWarmPlans *plans, RagifyStr name);
void ragify_warm_plans_start (RagifyWarmPlans *plans);
void ragify_warm_plans_store_changed (RagifyWarmPlans *plans);
void ragify_warm_plans_run (RagifyWarmPlans *plans, const char *pipeline);
