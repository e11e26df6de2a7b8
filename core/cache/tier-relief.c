/* SPDX-License-Identifier: MIT */
#include "core/cache/tier-relief.h"

#include <string.h>

#include "core/cache/level.h"
#include "core/call/operations.h"

#define PATIENCE_US (10 * (guint64)G_USEC_PER_SEC)

/* One round of all levels. */
typedef struct Relieving {
  RagifyOwner owner;
  guint pending;
  void (*done) (void *user);
  void *user;
  RagifyNothing nothing;
} Relieving;

typedef struct Visit {
  Relieving *relieving;
  RagifyNode *node;
  RagifyCacheClear clear;
} Visit;

gboolean
ragify_tier_relief_concerns (const RagifyComponent *cache)
{
  return cache->run_class != RAGIFY_RUN_WORKER && (cache->flags & RAGIFY_COMPONENT_REMOTE) == 0;
}

static void
let_go (Relieving *relieving)
{
  if (--relieving->pending > 0)
    return;
  relieving->done (relieving->user);
  ragify_owner_unref (&relieving->owner);
}

static void
cleared (RagifyCall *call, void *user)
{
  const Visit *visit = user;
  if (ragify_call_code (call) != RAGIFY_OK)
    g_message ("memory: %s gives nothing back: %s", ragify_node_name (visit->node), ragify_call_message (call));
  let_go (visit->relieving);
}

static void
clear (Visit *visit)
{
  RagifyCall *call = ragify_call_new (&visit->relieving->owner, &ragify_operation_cache_clear, &visit->clear,
                                      ragify_now () + PATIENCE_US, cleared, visit);
  ragify_node_call (visit->node, call);
}

static gint64
bytes_of (const RagifyStatsResult *stats)
{
  for (guint64 i = 0; stats != NULL && i < stats->values.count; i++) {
    const RagifyPair *pair = &stats->values.items[i];
    if (pair->name.size == 5 && memcmp (pair->name.data, "bytes", 5) == 0 && pair->value.type == RAGIFY_VALUE_INT)
      return pair->value.integer;
  }
  return 0;
}

/* A level that does not tell how much it has is emptied. */
static void
measured (RagifyCall *call, void *user)
{
  Visit *visit = user;
  visit->clear.target_bytes = (guint64)MAX (bytes_of (ragify_call_result (call)), 0) / 2;
  clear (visit);
}

static void
begin (Relieving *relieving, RagifyNode *node, RagifyReliefScope scope)
{
  Visit *visit = ragify_arena_alloc (relieving->owner.arena, sizeof *visit);
  *visit = (Visit){ .relieving = relieving,
                    .node = node,
                    .clear = { .struct_size = sizeof visit->clear,
                               .scope = scope == RAGIFY_RELIEF_EXPIRED ? RAGIFY_CACHE_CLEAR_EXPIRED
                                                                       : RAGIFY_CACHE_CLEAR_SHRINK } };
  relieving->pending++;
  if (scope == RAGIFY_RELIEF_EXPIRED) {
    clear (visit);
    return;
  }
  RagifyCall *call = ragify_call_new (&relieving->owner, &ragify_operation_stats, &relieving->nothing,
                                      ragify_now () + PATIENCE_US, measured, visit);
  ragify_node_call (node, call);
}

void
ragify_tier_relieve (RagifyTier *tier, RagifyReliefScope scope, void (*done) (void *user), void *user)
{
  Relieving *relieving = (Relieving *)ragify_owner_new (sizeof *relieving, NULL);
  relieving->nothing = (RagifyNothing){ .struct_size = sizeof relieving->nothing };
  relieving->done = done;
  relieving->user = user;
  relieving->pending = 1;
  for (guint i = 0; i < ragify_tier_n_levels (tier); i++) {
    RagifyNode *node = ragify_level_node (ragify_tier_level (tier, i));
    if (ragify_tier_relief_concerns (ragify_node_component (node)))
      begin (relieving, node, scope);
  }
  let_go (relieving);
}
