#include "accumulator.h"

#include "top.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void
ragify_accumulator_clear (RagifyAccumulator *accumulator)
{
  free (accumulator->scores);
  free (accumulator->found);
  free (accumulator->keys);
  *accumulator = (RagifyAccumulator){ 0 };
}

static bool
make_room (RagifyAccumulator *accumulator, uint32_t span)
{
  if (span <= accumulator->room)
    return true;
  uint64_t room = (uint64_t)span + span / 4 + 1024;
  if (room > UINT32_MAX)
    room = UINT32_MAX;
  free (accumulator->scores);
  free (accumulator->found);
  accumulator->room = 0;
  accumulator->scores = calloc (room, sizeof *accumulator->scores);
  /* One more: the number at hand is written before it is known whether it counts. */
  accumulator->found = malloc ((room + 1) * sizeof *accumulator->found);
  if (accumulator->scores == NULL || accumulator->found == NULL)
    return false;
  accumulator->room = (uint32_t)room;
  return true;
}

void
ragify_accumulator_begin (RagifyAccumulator *accumulator, const RagifyRoster *roster, uint32_t wanted,
                          const RagifyBm25 *bm25, double mean_length)
{
  accumulator->roster = roster;
  accumulator->wanted = wanted;
  accumulator->kept = 0;
  accumulator->count = 0;
  accumulator->first = 0;
  accumulator->span = 0;
  accumulator->floor = bm25->k1 * (1 - bm25->b);
  accumulator->rise = mean_length > 0 ? bm25->k1 * bm25->b / (float)mean_length : 0;
  accumulator->top = bm25->k1 + 1;
}

void
ragify_accumulator_word (RagifyAccumulator *accumulator, double frequency, double total, uint32_t times)
{
  double rarity = log (1 + (fmax (total - frequency, 0) + 0.5) / (frequency + 0.5));
  accumulator->weight = (float)(rarity * times) * accumulator->top;
}

static void
forget_range (RagifyAccumulator *accumulator)
{
  for (uint32_t i = 0; i < accumulator->count; i++)
    accumulator->scores[accumulator->found[i]] = 0;
  accumulator->count = 0;
}

/* Of what was found in the range, and of the best before it, the best remain. */
static bool
settle_range (RagifyAccumulator *accumulator)
{
  const uint32_t count = accumulator->count;
  if (count == 0)
    return true;
  size_t all = (size_t)accumulator->kept + count;
  uint64_t *keys = realloc (accumulator->keys, all * sizeof *keys);
  if (keys == NULL)
    return false;
  accumulator->keys = keys;
  for (uint32_t i = 0; i < count; i++)
    keys[accumulator->kept + i] =
        ragify_top_key (accumulator->scores[accumulator->found[i]], accumulator->first + accumulator->found[i]);
  forget_range (accumulator);
  if (all > accumulator->wanted && accumulator->wanted > 0)
    ragify_top_select (keys, all, accumulator->wanted);
  accumulator->kept = all > accumulator->wanted ? accumulator->wanted : (uint32_t)all;
  return true;
}

bool
ragify_accumulator_range (RagifyAccumulator *accumulator, uint32_t first, uint32_t span)
{
  if (!settle_range (accumulator) || !make_room (accumulator, span))
    return false;
  accumulator->first = first;
  accumulator->span = span;
  return true;
}

void
ragify_accumulator_abandon (RagifyAccumulator *accumulator)
{
  forget_range (accumulator);
  free (accumulator->keys);
  accumulator->keys = NULL;
  accumulator->kept = 0;
}

bool
ragify_accumulator_end (RagifyAccumulator *accumulator, RagifyHit *hits, uint32_t *found)
{
  bool ok = settle_range (accumulator);
  if (ok) {
    const uint64_t *keys = accumulator->keys;
    ragify_top_sort (accumulator->keys, accumulator->kept);
    for (uint32_t i = 0; i < accumulator->kept; i++)
      hits[i] = (RagifyHit){ .id = ragify_roster_id (accumulator->roster, ragify_top_number (keys[i])),
                             .score = ragify_top_score (keys[i]) };
    *found = accumulator->kept;
  }
  ragify_accumulator_abandon (accumulator);
  return ok;
}
