/* SPDX-License-Identifier: MIT */
#include "core/cache/tier-gauges.h"

#include <stdatomic.h>
#include <string.h>

#include "core/cache/tier-control.h"

#define EVERY_US (5 * (guint64)G_USEC_PER_SEC)
#define POLL_US 200

typedef struct {
  RagifySeries *entries, *bytes, *evictions, *ratio;
  gint64 evicted; /* as the level said last */
} LevelGauges;

typedef struct {
  RagifyTierGauges *all;
  RagifyTier *tier;
  LevelGauges *levels;
  RagifySeries *ratio;
} TierGauges;

struct RagifyTierGauges {
  RagifyLoop *loop; /* everything happens there */
  TierGauges *tiers;
  guint count;
  RagifyDeadline next;
  RagifyTask starting, ending;
  guint asked; /* tiers that have not reported yet */
  gboolean stopping;
  atomic_bool over;
};

static gboolean
is_text (RagifyStr text, const char *other)
{
  return text.size == strlen (other) && memcmp (text.data, other, text.size) == 0;
}

static void
set_ratio (RagifySeries *series, guint64 hits, guint64 misses)
{
  if (hits + misses > 0)
    ragify_series_set (series, (double)hits / (double)(hits + misses));
}

static void
take_level (TierGauges *gauges, guint index, const RagifyLevelReport *report)
{
  LevelGauges *level = &gauges->levels[index];
  const RagifyTierLevelCounts counts = ragify_tier_level_counts (gauges->tier, index);
  set_ratio (level->ratio, counts.hits, counts.misses);
  for (guint64 i = 0; report->well && i < report->stats.count; i++) {
    const RagifyPair *pair = &report->stats.items[i];
    if (pair->value.type != RAGIFY_VALUE_INT)
      continue;
    if (is_text (pair->name, "entries"))
      ragify_series_set (level->entries, (double)pair->value.integer);
    else if (is_text (pair->name, "bytes"))
      ragify_series_set (level->bytes, (double)pair->value.integer);
    else if (is_text (pair->name, "evictions")) {
      if (pair->value.integer > level->evicted)
        ragify_series_add (level->evictions, (double)(pair->value.integer - level->evicted));
      level->evicted = pair->value.integer;
    }
  }
}

static void
reported (const RagifyLevelReport *reports, guint count, void *user)
{
  TierGauges *gauges = user;
  RagifyTierGauges *all = gauges->all;
  const RagifyTierCounts counts = ragify_tier_counts (gauges->tier);
  set_ratio (gauges->ratio, counts.hits, counts.misses);
  for (guint i = 0; i < count; i++)
    take_level (gauges, i, &reports[i]);
  if (--all->asked > 0)
    return;
  if (all->stopping)
    atomic_store (&all->over, TRUE);
  else
    ragify_loop_arm (all->loop, &all->next, ragify_now () + EVERY_US);
}

static void
ask (RagifyDeadline *deadline)
{
  RagifyTierGauges *all = (RagifyTierGauges *)(void *)((char *)deadline - G_STRUCT_OFFSET (RagifyTierGauges, next));
  all->asked = all->count;
  for (guint i = 0; i < all->count; i++)
    ragify_tier_stats (all->tiers[i].tier, reported, &all->tiers[i]);
}

static void
start (RagifyTask *task)
{
  RagifyTierGauges *all = (RagifyTierGauges *)(void *)((char *)task - G_STRUCT_OFFSET (RagifyTierGauges, starting));
  all->next.expired = ask;
  ragify_loop_arm (all->loop, &all->next, ragify_now () + EVERY_US);
}

static void
stop (RagifyTask *task)
{
  RagifyTierGauges *all = (RagifyTierGauges *)(void *)((char *)task - G_STRUCT_OFFSET (RagifyTierGauges, ending));
  all->stopping = TRUE;
  ragify_loop_disarm (all->loop, &all->next);
  if (all->asked == 0)
    atomic_store (&all->over, TRUE);
}

static RagifySeries *
series (RagifyRuntime *runtime, RagifySeriesType type, const char *name, const char *help, const TierGauges *gauges,
        const char *level)
{
  const char *tier = ragify_tier_name (gauges->tier);
  if (level == NULL)
    return ragify_metrics_series (runtime->metrics, type, name, help, "tier", tier, NULL);
  return ragify_metrics_series (runtime->metrics, type, name, help, "tier", tier, "level", level, NULL);
}

static void
add_tier (RagifyRuntime *runtime, TierGauges *gauges)
{
  const guint n_levels = ragify_tier_n_levels (gauges->tier);
  gauges->levels = g_new0 (LevelGauges, MAX (n_levels, 1));
  gauges->ratio = series (runtime, RAGIFY_SERIES_GAUGE, "ragify_cache_hit_ratio",
                          "Hits of the tier as a part of all gets since the start", gauges, NULL);
  for (guint i = 0; i < n_levels; i++) {
    LevelGauges *level = &gauges->levels[i];
    const char *name = ragify_tier_level_counts (gauges->tier, i).name;
    level->ratio = series (runtime, RAGIFY_SERIES_GAUGE, "ragify_cache_level_hit_ratio",
                           "Hits of the level as a part of the gets that came to it", gauges, name);
    level->entries = series (runtime, RAGIFY_SERIES_GAUGE, "ragify_cache_level_entries",
                             "Entries of the level, where it knows", gauges, name);
    level->bytes = series (runtime, RAGIFY_SERIES_GAUGE, "ragify_cache_level_bytes",
                           "Bytes of the level, where it knows", gauges, name);
    level->evictions = series (runtime, RAGIFY_SERIES_COUNTER, "ragify_cache_level_evictions_total",
                               "Entries that the level has given up for others", gauges, name);
  }
}

RagifyTierGauges *
ragify_tier_gauges_new (RagifyRuntime *runtime, RagifyTier *const *tiers, guint count)
{
  RagifyTierGauges *all = g_new0 (RagifyTierGauges, 1);
  all->loop = runtime->loops[0];
  all->count = count;
  all->tiers = g_new0 (TierGauges, MAX (count, 1));
  for (guint i = 0; i < count; i++) {
    all->tiers[i] = (TierGauges){ .all = all, .tier = tiers[i] };
    add_tier (runtime, &all->tiers[i]);
  }
  all->starting.run = start;
  if (count > 0)
    ragify_loop_post (all->loop, &all->starting);
  return all;
}

void
ragify_tier_gauges_free (RagifyTierGauges *gauges)
{
  if (gauges->count > 0) {
    gauges->ending.run = stop;
    ragify_loop_post (gauges->loop, &gauges->ending);
    while (!atomic_load (&gauges->over))
      g_usleep (POLL_US);
  }
  for (guint i = 0; i < gauges->count; i++)
    g_free (gauges->tiers[i].levels);
  g_free (gauges->tiers);
  g_free (gauges);
}
