/* One level of a tier: a cache node with its time to live, deadline, write policy and counters.
 *
 * SPDX-License-Identifier: MIT
 *
 * Reading is guarded by the node's own circuit breaker. Writing has one of the level's, so that a replica that refuses
 * writes, or a server that is full, goes on answering. While it is open nothing is written; a warning tells when it
 * opens, a message when it is closed again, and nothing in between.
 */
#pragma once

#include "core/balance/breaker.h"
#include "core/cache/tier.h"

/* `tier` is the tier's name. [control] */
RagifyLevel *ragify_level_new (RagifyRuntime *runtime, const char *tier, const RagifyTierLevel *from);
/* Gives what waits to be written until `deadline`, then drops it; waits for what is under way. [control] */
void ragify_level_free (RagifyLevel *level, guint64 deadline);

RagifyNode *ragify_level_node (const RagifyLevel *level);
const char *ragify_level_kind (const RagifyLevel *level);
guint64 ragify_level_ttl (const RagifyLevel *level); /* µs */

/* How a get ended, for the counters. [loop] */
void ragify_level_note_get (RagifyLevel *level, const RagifyCall *call);
/* When a call of now has to be over. [any] */
guint64 ragify_level_deadline (const RagifyLevel *level);

/* Stores `value` under the key's bytes for `ttl_us` more, as the level's policy says: through, where `written` runs
 * when it is done, failed or skipped (perhaps before this returns); or behind, where it runs at once. `owner` keeps
 * the key. [loop] */
void ragify_level_write (RagifyLevel *level, RagifyOwner *owner, const RagifyTierKey *key, RagifyBuffer *value,
                         guint64 ttl_us, void (*written) (void *user), void *user);

void ragify_level_count_hit (RagifyLevel *level);
void ragify_level_count_miss (RagifyLevel *level);
void ragify_level_count_promotion (RagifyLevel *level);

/* Numbers and state now. [any] */
void ragify_level_counts (const RagifyLevel *level, RagifyTierLevelCounts *counts);
