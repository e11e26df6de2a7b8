/* The text indexes of one store, kept in step with it.
 *
 * SPDX-License-Identifier: MIT
 *
 * An index carries the generation of the store that it reflects. One that lags catches up from the list of changes
 * since then, or is built anew where that list no longer reaches back. Blocking; belongs to the store's one writer.
 */
#pragma once

#include "core/ingest/report.h"
#include "core/module/node.h"

typedef struct RagifyFollower RagifyFollower;

/* `count` indexes of `store`; all are taken to lag until they have caught up. The nodes outlive it. */
RagifyFollower *ragify_follower_new (RagifyNode *store, RagifyNode *const *indexes, guint count);
void ragify_follower_free (RagifyFollower *follower);

/* Brings those that lag up to the store, a page at a time, for about `budget_us` at most. Returns how many still do,
 * with the last reason (free with g_free); without one they only have more to catch up with, and go on from where they
 * are next time. */
guint ragify_follower_catch_up (RagifyFollower *follower, guint64 budget_us, char **reason);
gboolean ragify_follower_lags (const RagifyFollower *follower);

/* Others write to the store as well, and an index of this host's own learns of that only where the store is asked. */
gboolean ragify_follower_must_ask (const RagifyFollower *follower);

/* A write failed and may have been committed all the same, or was too large to be handed on: batches can no longer be
 * counted, all lag. */
void ragify_follower_distrust (RagifyFollower *follower);

/* After a commit that made `generation`: the indexes get what it changed. One that fails lags, and catches up with the
 * next write or catch_up. `report` gets a warning; NULL: none. What the lists point to lives as long as `owner`. */
void
ragify_follower_update (RagifyFollower *follower, RagifyOwner *owner, const RagifyChunk *chunks, guint64 count,
                        const RagifyUuidList *removed, const RagifyGeneration *generation, RagifyIngestReport *report);

/* What the store is at now; FALSE with a reason. */
gboolean ragify_store_generation (RagifyNode *store, RagifyStoreGeneration *generation, char **reason);
