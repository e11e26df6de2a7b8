/* The cache tier: levels of caches asked in order, one computation for each key.
 *
 * SPDX-License-Identifier: MIT
 *
 * The tier owns what a level's bytes mean: a versioned envelope with the time of creation, the TTL, the chunk ids and
 * the encoded answer. A value in a foreign or future format is a miss. A failing level is skipped.
 */
#pragma once

#include "core/module/node.h"

typedef struct RagifyTier RagifyTier;
typedef struct RagifyTierGet RagifyTierGet;

typedef struct RagifyTierLevel {
  RagifyNode *node;
  const char *kind;    /* what the answer's `cache` says: the plugin's component name, "memory" */
  guint64 ttl_us;      /* the level's own; 0: no end */
  guint64 deadline_us; /* for one get or set; 0: 50 ms */
} RagifyTierLevel;

typedef struct RagifyTierOptions {
  const char *name;
  const RagifyTierLevel *levels;
  guint n_levels;
  guint64 negative_ttl_us; /* of answers without a chunk; 0: 10 s */
  double ttl_jitter;       /* ± this part of the TTL; 0.05 */
} RagifyTierOptions;

typedef struct RagifyTierKey {
  guint8 bytes[16];
} RagifyTierKey;

/* Copies the options; the nodes outlive it. [control] */
RagifyTier *ragify_tier_new (RagifyRuntime *runtime, const RagifyTierOptions *options);
/* Nothing may be under way. [control] */
void ragify_tier_free (RagifyTier *tier);

/* What a get found. Without an envelope and without the lead the deadline passed before the one who computes it was
 * done. */
typedef struct RagifyTierFound {
  RagifyBuffer *envelope; /* a reference that passes to the receiver; NULL: nothing */
  RagifyBytes body;       /* the stored answer inside it */
  const char *level;      /* which kind of level answered; NULL: it was just computed, by another request */
  gboolean degraded;      /* the one who computed it shared it, though something that was asked had not answered */
  gboolean lead;          /* nothing was found and the receiver must compute it, then call set or abandon */
} RagifyTierFound;

/* Runs once on the loop of the getter. */
typedef void (*RagifyTierGot) (const RagifyTierFound *found, void *user);

/* Looks `key` up in the levels; where it is in none and somebody already computes it, waits for that one until
 * `deadline` (single flight across loops; a leader that fails lets the next two waiters lead, so that many who wait for
 * what fails slowly do not fail one after the other). `got` may run before this
 * returns. The result can be taken back with ragify_tier_cancel (`got` then does not run) until `got` has run. [loop]
 */
RagifyTierGet *ragify_tier_get (RagifyTier *tier, RagifyOwner *owner, RagifyLoop *loop, const RagifyTierKey *key,
                                guint64 deadline, RagifyTierGot got, void *user);
void ragify_tier_cancel (RagifyTierGet *get);

/* Stores a copy of an answer in all levels and hands it to everyone who waits. `ids`: its chunks; without any the
 * answer is a negative one. Whoever refreshes an answer calls it without having the lead. [loop] */
void
ragify_tier_set (RagifyTier *tier, RagifyLoop *loop, const RagifyTierKey *key, RagifyBytes body, RagifyUuidList ids);
/* Hands a degraded answer to everyone who waits now, and stores it nowhere. Ends the lead. [loop] */
void ragify_tier_share (RagifyTier *tier, const RagifyTierKey *key, RagifyBytes body, RagifyUuidList ids);
/* The leader has no answer to share (it failed or was cancelled): the next waiters lead. [loop] */
void ragify_tier_abandon (RagifyTier *tier, const RagifyTierKey *key);

/* Numbers since the start. [any] */
typedef struct RagifyTierCounts {
  guint64 hits, misses; /* of the tier as a whole: a get is one of them, a wait for another's answer is a hit */
  guint64 coalesced;    /* hits that waited for another's computation */
  guint64 timeouts;     /* waits that ended at their deadline: neither */
} RagifyTierCounts;
RagifyTierCounts ragify_tier_counts (const RagifyTier *tier);

/* Of one level: gets that it answered, gets that it did not have, failures. [any] */
typedef struct RagifyTierLevelCounts {
  guint64 hits, misses, errors;
} RagifyTierLevelCounts;
RagifyTierLevelCounts ragify_tier_level_counts (const RagifyTier *tier, guint level);
