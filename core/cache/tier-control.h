/* Looking after a tier: emptying it, taking one answer out, asking its levels how they are and what they have.
 *
 * SPDX-License-Identifier: MIT
 *
 * Each function asks all levels at once, whatever their circuits say, and reports once on the loop that asked.
 */
#pragma once

#include "core/cache/tier.h"

/* What one level said. */
typedef struct RagifyLevelReport {
  gboolean well;                  /* it answered; otherwise: */
  const char *reason;             /* why not */
  guint64 removed;                /* of clear and remove: entries, as far as the level can tell */
  RagifyPairList stats;           /* of stats: its own names */
  gboolean found;                 /* of inspect; with it: */
  gboolean foreign;               /* it is of a format that this version does not know, and what follows is 0 */
  guint64 age_us, left_us, bytes; /* left: until the tier takes it for expired */
  guint chunks;
} RagifyLevelReport;

/* One report for each level, in order, valid inside it. */
typedef void (*RagifyTierReported) (const RagifyLevelReport *reports, guint count, void *user);

/* What is being computed meanwhile is stored all the same. [loop] */
void ragify_tier_clear (RagifyTier *tier, RagifyTierReported reported, void *user);
void ragify_tier_remove (RagifyTier *tier, const RagifyTierKey *key, RagifyTierReported reported, void *user);
/* Nothing is promoted and nothing counted. [loop] */
void ragify_tier_stats (RagifyTier *tier, RagifyTierReported reported, void *user);
void ragify_tier_inspect (RagifyTier *tier, const RagifyTierKey *key, RagifyTierReported reported, void *user);
