/* SPDX-License-Identifier: MIT */
#include "core/cache/tier-control.h"

#include "core/cache/level.h"
#include "core/call/operations.h"

#define CLEAR_US (60 * (guint64)G_USEC_PER_SEC) /* a large level in another place */
#define ASK_US (2 * (guint64)G_USEC_PER_SEC)

/* One round of all levels. */
typedef struct {
  RagifyOwner owner;
  RagifyTier *tier;
  RagifyTierKey key;
  const RagifyOperation *operation;
  union {
    RagifyCacheClear clear;
    RagifyCacheRemove remove;
    RagifyCacheGet get;
    RagifyNothing nothing;
  } arguments;
  RagifyLevelReport *reports;
  guint count, pending;
  RagifyTierReported reported;
  void *user;
} Round;

typedef struct {
  Round *round;
  guint index;
} Visit;

static void
inspect_value (const Round *round, guint index, RagifyBuffer *value, RagifyLevelReport *report)
{
  RagifyEnvelope read;
  report->found = TRUE;
  report->bytes = value->size;
  report->foreign = !ragify_envelope_read (value, &read);
  if (report->foreign)
    return;
  const guint64 life = ragify_tier_life (round->tier, index, &round->key, &read);
  report->age_us = ragify_envelope_age (&read);
  report->left_us = report->age_us < life ? life - report->age_us : 0;
  report->chunks = read.n_ids;
}

static void
take_result (const Round *round, guint index, const void *result, RagifyLevelReport *report)
{
  if (round->operation == &ragify_operation_stats) {
    report->stats = ((const RagifyStatsResult *)result)->values;
  } else if (round->operation == &ragify_operation_cache_get) {
    RagifyBuffer *value = ((const RagifyCacheGetResult *)result)->value;
    if (value == NULL)
      return;
    inspect_value (round, index, value, report);
    value->unref (value);
  } else
    report->removed = ((const RagifyCacheCount *)result)->count;
}

static void
let_go (Round *round)
{
  if (--round->pending > 0)
    return;
  round->reported (round->reports, round->count, round->user);
  ragify_owner_unref (&round->owner);
}

static void
visited (RagifyCall *call, void *user)
{
  const Visit *visit = user;
  RagifyLevelReport *report = &visit->round->reports[visit->index];
  const void *result = ragify_call_result (call);
  report->well = result != NULL;
  report->reason = ragify_call_message (call);
  if (result != NULL)
    take_result (visit->round, visit->index, result, report);
  let_go (visit->round);
}

static Round *
round_new (RagifyTier *tier, const RagifyOperation *operation, RagifyTierReported reported, void *user)
{
  Round *round = (Round *)ragify_owner_new (sizeof *round, NULL);
  round->tier = tier;
  round->operation = operation;
  round->reported = reported;
  round->user = user;
  return round;
}

static void
round_begin (Round *round, guint64 patience_us)
{
  round->count = ragify_tier_n_levels (round->tier);
  round->reports = ragify_arena_alloc (round->owner.arena, MAX (round->count, 1) * sizeof *round->reports);
  round->pending = 1;
  for (guint i = 0; i < round->count; i++) {
    Visit *visit = ragify_arena_alloc (round->owner.arena, sizeof *visit);
    *visit = (Visit){ round, i };
    round->pending++;
    RagifyCall *call = ragify_call_new (&round->owner, round->operation, &round->arguments, ragify_now () + patience_us,
                                        visited, visit);
    ragify_node_call (ragify_level_node (ragify_tier_level (round->tier, i)), call);
  }
  let_go (round);
}

static RagifyBytes
set_key (Round *round, const RagifyTierKey *key)
{
  round->key = *key;
  return (RagifyBytes){ .data = round->key.bytes, .size = sizeof round->key.bytes };
}

void
ragify_tier_clear (RagifyTier *tier, RagifyTierReported reported, void *user)
{
  Round *round = round_new (tier, &ragify_operation_cache_clear, reported, user);
  round->arguments.clear =
      (RagifyCacheClear){ .struct_size = sizeof round->arguments.clear, .scope = RAGIFY_CACHE_CLEAR_ALL };
  round_begin (round, CLEAR_US);
}

void
ragify_tier_remove (RagifyTier *tier, const RagifyTierKey *key, RagifyTierReported reported, void *user)
{
  Round *round = round_new (tier, &ragify_operation_cache_remove, reported, user);
  round->arguments.remove =
      (RagifyCacheRemove){ .struct_size = sizeof round->arguments.remove, .key = set_key (round, key) };
  round_begin (round, ASK_US);
}

void
ragify_tier_stats (RagifyTier *tier, RagifyTierReported reported, void *user)
{
  Round *round = round_new (tier, &ragify_operation_stats, reported, user);
  round->arguments.nothing = (RagifyNothing){ .struct_size = sizeof round->arguments.nothing };
  round_begin (round, ASK_US);
}

void
ragify_tier_inspect (RagifyTier *tier, const RagifyTierKey *key, RagifyTierReported reported, void *user)
{
  Round *round = round_new (tier, &ragify_operation_cache_get, reported, user);
  round->arguments.get = (RagifyCacheGet){ .struct_size = sizeof round->arguments.get, .key = set_key (round, key) };
  round_begin (round, ASK_US);
}
