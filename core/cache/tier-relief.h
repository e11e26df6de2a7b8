/* A tier gives memory back: levels that keep their values in this process drop some.
 *
 * SPDX-License-Identifier: MIT
 */
#pragma once

#include "core/cache/tier.h"

typedef enum {
  RAGIFY_RELIEF_EXPIRED, /* what has expired */
  RAGIFY_RELIEF_HALF,    /* the less useful half */
} RagifyReliefScope;

/* Whether it keeps values in the host's memory: what neither works in another process nor blocks for a disk does. */
gboolean ragify_tier_relief_concerns (const RagifyComponent *cache);

/* Asks all levels that are concerned at once; `done` runs once on the loop, also where there are none. [loop] */
void ragify_tier_relieve (RagifyTier *tier, RagifyReliefScope scope, void (*done) (void *user), void *user);
