/* What the levels say of themselves, in the metrics: entries, bytes, evictions; and hit ratios.
 *
 * SPDX-License-Identifier: MIT
 */
#pragma once

#include "core/cache/tier.h"

typedef struct RagifyTierGauges RagifyTierGauges;

/* Asks the levels of the tiers, which outlive it, every few seconds. [control] */
RagifyTierGauges *ragify_tier_gauges_new (RagifyRuntime *runtime, RagifyTier *const *tiers, guint count);
/* Waits for the round under way. [control] */
void ragify_tier_gauges_free (RagifyTierGauges *gauges);
