/* The cache tier: levels of caches asked in order, one computation for each key.
 *
 * SPDX-License-Identifier: MIT
 *
 * The tier owns what a level's bytes mean: a versioned envelope with the time of creation, the TTL, the chunk ids and
 * the encoded answer. A value in a foreign or future format is a miss. A failing level is skipped.
 */
#pragma once

#include "core/balance/breaker.h"
#include "core/cache/envelope.h"
#include "core/module/node.h"

typedef struct RagifyTier RagifyTier;
typedef struct RagifyTierGet RagifyTierGet;
typedef struct RagifyLevel RagifyLevel;

typedef struct RagifyTierLevel {
  RagifyNode *node;
  const char *kind;             /* what the answer's `cache` says: the plugin's component name, "memory" */
  guint64 ttl_us;               /* the level's own; 0: no end */
  guint64 deadline_us;          /* for one get or set; 0: 50 ms */
  gboolean behind;              /* writes wait in a queue and nothing waits for them */
  guint write_queue;            /* answers that may wait in it; 0: 1000 */
  RagifyBreakerOptions breaker; /* of writing; reading has the node's own; zeroed: it is never given up */
} RagifyTierLevel;

typedef struct RagifyTierOptions {
  const char *name;
  const RagifyTierLevel *levels;
  guint n_levels;
  guint64 negative_ttl_us; /* of answers without a chunk; 0: they are not kept */
  double ttl_jitter;       /* ± this part of the TTL; 0.05 */
  guint64 stale_us;        /* how long past its TTL an answer may be given while a fresh one is made; 0: not */
} RagifyTierOptions;

typedef struct RagifyTierKey {
  guint8 bytes[16]; /* what levels see */
  guint64 flight;   /* only gets of the same number share a computation; 0 where that makes no difference */
} RagifyTierKey;

/* Copies the options; the nodes outlive it. [control] */
RagifyTier *ragify_tier_new (RagifyRuntime *runtime, const RagifyTierOptions *options);
/* No get may be under way; waits for what is still being stored, a few seconds at most. [control] */
void ragify_tier_free (RagifyTier *tier);
const char *ragify_tier_name (const RagifyTier *tier);

/* ---- getting ---- */

typedef struct RagifyTierAsk {
  RagifyTierKey key;
  guint64 deadline; /* monotonic µs */
  gboolean peek;    /* looks into the levels and neither waits for others nor leads */
  /* Whether what a level has may be given to this getter; NULL: all may. What is not is a miss, and soon replaced.
   * Runs on the getter's loop. */
  gboolean (*valid) (const RagifyEnvelope *envelope, void *user);
} RagifyTierAsk;

/* What a get found. Without an envelope and without the lead the deadline passed before the one who computes it was
 * done, or it was a peek. */
typedef struct RagifyTierFound {
  RagifyBuffer *envelope; /* a reference that passes to the receiver; NULL: nothing */
  RagifyBytes body;       /* the stored answer inside it */
  const char *level;      /* which kind of level answered; NULL: it was just computed, by another request */
  guint64 age_us;
  gboolean degraded; /* the one who computed it shared it, though something that was asked had not answered */
  gboolean stale;    /* its time is over, and a fresh one is on its way */
  gboolean lead;     /* the receiver must compute it, then call set, share or abandon; where it is stale, behind the
                        back of the one who asked */
} RagifyTierFound;

/* Runs once on the loop of the getter. */
typedef void (*RagifyTierGot) (const RagifyTierFound *found, void *user);

/* Looks the key up in the levels; where it is in none and somebody already computes it, waits for that one until the
 * deadline (single flight across loops; a leader that fails lets the next two waiters lead, so that many who wait for
 * what fails slowly do not fail one after the other). `got` may run before this returns. The result can be taken back
 * with ragify_tier_cancel (`got` then does not run) until `got` has run. [loop] */
RagifyTierGet *ragify_tier_get (RagifyTier *tier, RagifyOwner *owner, RagifyLoop *loop, const RagifyTierAsk *ask,
                                RagifyTierGot got, void *user);
void ragify_tier_cancel (RagifyTierGet *get);

/* ---- storing ---- */

/* Stores a copy of an answer in all levels and hands it to everyone who waits. `ids`: its chunks; without any the
 * answer is a negative one. Whoever refreshes an answer calls it without having the lead. [loop] */
void ragify_tier_set (RagifyTier *tier, const RagifyTierKey *key, RagifyBytes body, RagifyUuidList ids);
/* Hands an answer to everyone who waits now, and stores it nowhere. Ends the lead. [loop] */
void
ragify_tier_share (RagifyTier *tier, const RagifyTierKey *key, RagifyBytes body, RagifyUuidList ids, gboolean degraded);
/* Hands another key's envelope to everyone who waits now. Ends the lead. [loop] */
void ragify_tier_pass_on (RagifyTier *tier, const RagifyTierKey *key, RagifyBuffer *envelope, const char *level);
/* The leader has no answer to share (it failed or was cancelled): the next waiters lead. [loop] */
void ragify_tier_abandon (RagifyTier *tier, const RagifyTierKey *key);

/* ---- numbers ---- */

/* Numbers since the start. [any] */
typedef struct RagifyTierCounts {
  guint64 hits, misses; /* of the tier as a whole: a get is one of them, a wait for another's answer is a hit */
  guint64 coalesced;    /* hits that waited for another's computation */
  guint64 timeouts;     /* waits that ended at their deadline: neither */
  guint64 stale;        /* hits that were given past their time */
  guint64 rejected;     /* what a level had and the getter could not use: of a foreign format, or with a chunk that is
                           deleted */
} RagifyTierCounts;
RagifyTierCounts ragify_tier_counts (const RagifyTier *tier);

/* Of one level. [any] */
typedef struct RagifyTierLevelCounts {
  const char *name, *kind;
  guint64 hits, misses;          /* gets that it answered, gets that it did not have, in either case also those that
                                    waited for another's look-up; a hit past its time is one too */
  guint64 errors;                /* failures */
  guint64 skipped;               /* calls that were not made while it was left alone */
  guint64 promotions;            /* entries that the levels above were filled with */
  guint64 writes, dropped;       /* dropped: the queue was full */
  guint64 waiting;               /* to be written behind, now */
  const char *reading, *writing; /* state of the breakers: closed, open, half-open */
} RagifyTierLevelCounts;
guint ragify_tier_n_levels (const RagifyTier *tier);
RagifyLevel *ragify_tier_level (const RagifyTier *tier, guint level);
/* How long a level may give the answer from its creation on, µs, its staying on as a stale one left aside. [any] */
guint64
ragify_tier_life (const RagifyTier *tier, guint level, const RagifyTierKey *key, const RagifyEnvelope *envelope);
RagifyTierLevelCounts ragify_tier_level_counts (const RagifyTier *tier, guint level);
