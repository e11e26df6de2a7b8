/* What cache keys need to know of a store: its generation, and which chunks have gone since.
 *
 * SPDX-License-Identifier: MIT
 *
 * Keys hold the store's generation, so that a committed batch makes all answers from before it unreachable. Where that
 * would empty the cache too often, the generation that keys see is raised every `invalidate_every_us` at most; until
 * then chunks that were deleted are remembered, and answers that hold one are not given.
 *
 * A store that other processes write to as well is asked for its generation, as often as `max_staleness_us` demands.
 */
#pragma once

#include "core/call/owner.h"
#include "core/module/node.h"

typedef struct RagifyStoreWatch RagifyStoreWatch;

typedef struct RagifyStoreWatchOptions {
  RagifyNode *store;
  guint64 invalidate_every_us; /* 0: with each commit */
  guint64 max_staleness_us;    /* of what is known of a store that others write to; 0: asked each time */
} RagifyStoreWatchOptions;

/* Asks the store for its generation and waits. Without an answer the generation is unknown, with a warning, until the
 * first change. The node outlives it. [control] */
RagifyStoreWatch *ragify_store_watch_new (const RagifyStoreWatchOptions *options);
/* Nothing may be under way. [control] */
void ragify_store_watch_free (RagifyStoreWatch *watch);

/* A batch was committed here, or whoever follows the store has found this state of it; `removed`: all that has gone
 * since the state before it, NULL where that is not known. Takes effect before this returns. FALSE where that was known
 * already. [any] */
gboolean
ragify_store_watch_changed (RagifyStoreWatch *watch, const RagifyGeneration *generation, const RagifyUuidList *removed);

/* What a request begins with. */
typedef struct RagifyStoreMark {
  guint64 generation; /* a hash of what keys are to hold; 0: not known, nothing may be cached */
  guint64 deletions;  /* requests with different numbers must not share a computation */
} RagifyStoreMark;
RagifyStoreMark ragify_store_watch_mark (RagifyStoreWatch *watch); /* [any] */

/* Whether an answer with these chunks (16 bytes each), found under the mark's generation, may be given: FALSE where one
 * of them has been deleted, or where that can no longer be told. [any] */
gboolean
ragify_store_watch_allows (RagifyStoreWatch *watch, const RagifyStoreMark *mark, const guint8 *ids, guint n_ids);

/* The store itself has told a state that nobody here has told of yet: what follows the store on this machine may lack
 * some of it. After the mark. [any] */
gboolean ragify_store_watch_is_ahead (const RagifyStoreWatch *watch);

/* Whether what is known is recent enough for a request of now. [any] */
gboolean ragify_store_watch_is_recent (const RagifyStoreWatch *watch);
/* Asks the store; `done` runs once on the current loop, perhaps before this returns: TRUE where it told. [loop] */
void ragify_store_watch_refresh (RagifyStoreWatch *watch, RagifyOwner *owner, guint64 deadline,
                                 void (*done) (gboolean known, void *user), void *user);
/* Where what is known will soon be too old, asks without anybody waiting. [loop] */
void ragify_store_watch_refresh_early (RagifyStoreWatch *watch);
