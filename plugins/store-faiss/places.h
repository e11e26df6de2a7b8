/* Where each id stands: an open-addressing table from UUIDs to the numbers of the places that hold them.
 *
 * The ids themselves are kept by the owner, in an array indexed by place; the table stores 4 bytes an entry. Not
 * locked. */
#ifndef RAGIFY_PLACES_H
#define RAGIFY_PLACES_H

#include <ragify/base.h>

#include <stdbool.h>

#define RAGIFY_PLACE_NONE UINT32_MAX

typedef struct RagifyPlaces {
  uint32_t *slots; /* place + 1; 0: empty */
  uint32_t mask;
  uint32_t used;
} RagifyPlaces;

/* An empty table that takes `count` ids without growing; false when memory is exhausted. */
bool ragify_places_init (RagifyPlaces *places, uint64_t count);
void ragify_places_clear (RagifyPlaces *places);

/* How many ids the table takes. */
uint64_t ragify_places_room (const RagifyPlaces *places);

/* `ids[place]` is the id at that place. */
uint32_t ragify_places_find (const RagifyPlaces *places, const RagifyUuid *ids, const RagifyUuid *id);

/* `ids[place]` is not in the table yet, and there is room. */
void ragify_places_add (RagifyPlaces *places, const RagifyUuid *ids, uint32_t place);

/* `ids[place]` is in the table under this place. */
void ragify_places_remove (RagifyPlaces *places, const RagifyUuid *ids, uint32_t place);

#endif
