/* The inside of a tier, for the files that it is made of.
 *
 * SPDX-License-Identifier: MIT
 *
 *   tier.c        getting; making and ending
 *   tier-store.c  storing
 */
#pragma once

#include <stdatomic.h>

#include "core/cache/flight.h"
#include "core/cache/level.h"
#include "core/cache/tier.h"

struct RagifyTier {
  char *name;
  RagifyLevel **levels;
  guint n_levels;
  guint64 negative_ttl_us, stale_us;
  double ttl_jitter;
  RagifyFlights *flights;
  _Atomic guint64 leaving; /* gets that nobody waits for any more */
  _Atomic guint64 storing; /* answers on their way into levels */
  RagifySeries *hits, *misses, *coalesced, *timeouts, *stale, *rejected;
};

/* Writes `envelope` to the first `n_levels` levels, at once. `lands`: it was settled, and the flight is to land when
 * the first level has it. [loop] */
void ragify_tier_store_in (RagifyTier *tier, const RagifyTierKey *key, RagifyBuffer *envelope, guint n_levels,
                           gboolean lands);
