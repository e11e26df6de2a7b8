#include "accumulator.h"

#include "top.h"

#include <math.h>
#include <stdlib.h>

void
ragify_accumulator_clear (RagifyAccumulator *accumulator)
{
  free (accumulator->scores);
  free (accumulator->found);
  *accumulator = (RagifyAccumulator){ 0 };
}

static bool
make_room (RagifyAccumulator *accumulator, uint32_t limit)
{
  if (limit <= accumulator->room)
    return true;
  uint64_t room = (uint64_t)limit + limit / 4 + 1024;
  if (room > UINT32_MAX)
    room = UINT32_MAX;
  ragify_accumulator_clear (accumulator);
  accumulator->scores = calloc (room, sizeof *accumulator->scores);
  /* One more: the number at hand is written before it is known whether it counts. */
  accumulator->found = malloc ((room + 1) * sizeof *accumulator->found);
  if (accumulator->scores == NULL || accumulator->found == NULL) {
    ragify_accumulator_clear (accumulator);
    return false;
  }
  accumulator->room = (uint32_t)room;
  return true;
}

bool
ragify_accumulator_begin (RagifyAccumulator *accumulator, const RagifyRoster *roster, uint32_t limit,
                          const RagifyBm25 *bm25, double mean_length)
{
  if (!make_room (accumulator, limit))
    return false;
  accumulator->roster = roster;
  accumulator->count = 0;
  accumulator->floor = bm25->k1 * (1 - bm25->b);
  accumulator->rise = mean_length > 0 ? bm25->k1 * bm25->b / (float)mean_length : 0;
  accumulator->top = bm25->k1 + 1;
  return true;
}

void
ragify_accumulator_word (RagifyAccumulator *accumulator, double frequency, double total, uint32_t times)
{
  double rarity = log (1 + (fmax (total - frequency, 0) + 0.5) / (frequency + 0.5));
  accumulator->weight = (float)(rarity * times) * accumulator->top;
}

void
ragify_accumulator_abandon (RagifyAccumulator *accumulator)
{
  for (uint32_t i = 0; i < accumulator->count; i++)
    accumulator->scores[accumulator->found[i]] = 0;
  accumulator->count = 0;
}

bool
ragify_accumulator_end (RagifyAccumulator *accumulator, uint32_t wanted, RagifyHit *hits, uint32_t *found)
{
  uint32_t count = accumulator->count;
  uint64_t *keys = malloc (((size_t)count + 1) * sizeof *keys);
  if (keys == NULL) {
    ragify_accumulator_abandon (accumulator);
    return false;
  }
  for (uint32_t i = 0; i < count; i++)
    keys[i] = ragify_top_key (accumulator->scores[accumulator->found[i]], accumulator->found[i]);
  ragify_accumulator_abandon (accumulator);
  if (wanted > count)
    wanted = count;
  if (wanted > 0)
    ragify_top_select (keys, count, wanted);
  ragify_top_sort (keys, wanted);
  for (uint32_t i = 0; i < wanted; i++)
    hits[i] = (RagifyHit){ .id = ragify_roster_id (accumulator->roster, ragify_top_number (keys[i])),
                           .score = ragify_top_score (keys[i]) };
  free (keys);
  *found = wanted;
  return true;
}
