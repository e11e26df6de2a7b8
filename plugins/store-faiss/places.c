#include "places.h"

#include <stdlib.h>
#include <string.h>

/* Ids may be random or counted up; multiplying and taking the upper half spreads both. */
static uint32_t
home (const RagifyPlaces *places, const RagifyUuid *id)
{
  uint64_t high, low;
  memcpy (&high, id->bytes, sizeof high);
  memcpy (&low, id->bytes + 8, sizeof low);
  uint64_t mixed = (high ^ (low * UINT64_C (0x9e3779b97f4a7c15))) * UINT64_C (0xd6e8feb86659fd93);
  return (uint32_t)(mixed >> 32) & places->mask;
}

static bool
same (const RagifyUuid *left, const RagifyUuid *right)
{
  return memcmp (left->bytes, right->bytes, sizeof left->bytes) == 0;
}

bool
ragify_places_init (RagifyPlaces *places, uint64_t count)
{
  uint64_t size = 64;
  while (size - size / 4 < count)
    size *= 2;
  if (size > UINT64_C (1) << 32)
    return false;
  uint32_t *slots = calloc (size, sizeof *slots);
  if (slots == NULL)
    return false;
  *places = (RagifyPlaces){ .slots = slots, .mask = (uint32_t)(size - 1) };
  return true;
}

void
ragify_places_clear (RagifyPlaces *places)
{
  free (places->slots);
  *places = (RagifyPlaces){ 0 };
}

uint64_t
ragify_places_room (const RagifyPlaces *places)
{
  uint64_t size = places->slots == NULL ? 0 : (uint64_t)places->mask + 1;
  return size - size / 4;
}

uint32_t
ragify_places_find (const RagifyPlaces *places, const RagifyUuid *ids, const RagifyUuid *id)
{
  if (places->slots == NULL)
    return RAGIFY_PLACE_NONE;
  for (uint32_t at = home (places, id); places->slots[at] != 0; at = (at + 1) & places->mask)
    if (same (&ids[places->slots[at] - 1], id))
      return places->slots[at] - 1;
  return RAGIFY_PLACE_NONE;
}

void
ragify_places_add (RagifyPlaces *places, const RagifyUuid *ids, uint32_t place)
{
  uint32_t at = home (places, &ids[place]);
  while (places->slots[at] != 0)
    at = (at + 1) & places->mask;
  places->slots[at] = place + 1;
  places->used++;
}

/* Knuth, TAOCP 6.4, algorithm R: later entries of the run move up, so that no tombstones are needed. */
void
ragify_places_remove (RagifyPlaces *places, const RagifyUuid *ids, uint32_t place)
{
  uint32_t hole = home (places, &ids[place]);
  while (places->slots[hole] != place + 1)
    hole = (hole + 1) & places->mask;
  for (uint32_t at = (hole + 1) & places->mask; places->slots[at] != 0; at = (at + 1) & places->mask) {
    uint32_t from_home = (at - home (places, &ids[places->slots[at] - 1])) & places->mask;
    if (from_home < ((at - hole) & places->mask))
      continue;
    places->slots[hole] = places->slots[at];
    hole = at;
  }
  places->slots[hole] = 0;
  places->used--;
}
