#include "index.h"

#include "flat.h"
#include "places.h"
#include "top.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct RagifyIndex {
  uint32_t dimension;

  /* Held for reading by every search, and for writing only while numbers move. Whoever writes is one thread at a time,
   * so the writer may read without it. */
  pthread_rwlock_t lock;
  RagifyFlat *flat; /* one row for each place, the staged ones last */
  RagifyPlaces places;
  RagifyUuid *ids;    /* by place */
  uint64_t *chunks;   /* by place */
  uint32_t *metadata; /* by place */
  uint32_t count;     /* places that can be found */
  uint32_t staged;    /* further places behind them, which readers do not look at */
  uint32_t room;
};

static bool
make_lock (pthread_rwlock_t *lock)
{
  pthread_rwlockattr_t attributes;
  (void)pthread_rwlockattr_init (&attributes);
  /* Searches that overlap without a gap must not keep the writer out for ever. */
  (void)pthread_rwlockattr_setkind_np (&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
  bool ok = pthread_rwlock_init (lock, &attributes) == 0;
  (void)pthread_rwlockattr_destroy (&attributes);
  return ok;
}

RagifyIndex *
ragify_index_new (const RagifyIndexOptions *options, RagifyFault *fault)
{
  RagifyIndex *index = calloc (1, sizeof *index);
  if (index == NULL || !make_lock (&index->lock)) {
    free (index);
    ragify_fault_memory (fault);
    return NULL;
  }
  index->dimension = options->dimension;
  index->flat = ragify_flat_new (options->dimension, ragify_kernels_choose ());
  if (index->flat != NULL && ragify_places_init (&index->places, 1024))
    return index;
  ragify_index_free (index);
  ragify_fault_memory (fault);
  return NULL;
}

void
ragify_index_free (RagifyIndex *index)
{
  if (index == NULL)
    return;
  ragify_flat_free (index->flat);
  ragify_places_clear (&index->places);
  free (index->ids);
  free (index->chunks);
  free (index->metadata);
  (void)pthread_rwlock_destroy (&index->lock);
  free (index);
}

uint32_t
ragify_index_dimension (const RagifyIndex *index)
{
  return index->dimension;
}

/* A longer copy; the caller frees the shorter one once no reader can be looking at it. */
static void *
copy_longer (const void *items, size_t size, uint32_t count, uint32_t room)
{
  char *copy = malloc (size * room);
  if (copy != NULL && count > 0)
    memcpy (copy, items, size * count);
  return copy;
}

/* Grows what is kept by place. Copies while searches go on, and changes over under the lock. */
static bool
grow_places (RagifyIndex *index)
{
  uint32_t used = index->count + index->staged;
  if (used < index->room)
    return true;
  if (index->room > UINT32_MAX / 2 - 1024)
    return false;
  uint32_t room = index->room + index->room / 2 + 1024;
  RagifyUuid *ids = copy_longer (index->ids, sizeof *ids, used, room);
  uint64_t *chunks = copy_longer (index->chunks, sizeof *chunks, used, room);
  uint32_t *metadata = copy_longer (index->metadata, sizeof *metadata, used, room);
  bool ok = ids != NULL && chunks != NULL && metadata != NULL;
  if (ok) {
    RagifyUuid *old_ids = index->ids;
    uint64_t *old_chunks = index->chunks;
    uint32_t *old_metadata = index->metadata;
    (void)pthread_rwlock_wrlock (&index->lock);
    index->ids = ids;
    index->chunks = chunks;
    index->metadata = metadata;
    index->room = room;
    (void)pthread_rwlock_unlock (&index->lock);
    ids = old_ids;
    chunks = old_chunks;
    metadata = old_metadata;
  }
  free (ids);
  free (chunks);
  free (metadata);
  return ok;
}

static bool
grow_table (RagifyIndex *index)
{
  if ((uint64_t)index->places.used + index->staged < ragify_places_room (&index->places))
    return true;
  RagifyPlaces larger;
  if (!ragify_places_init (&larger, 2 * ragify_places_room (&index->places)))
    return false;
  for (uint32_t place = 0; place < index->count; place++)
    ragify_places_add (&larger, index->ids, place);
  RagifyPlaces before = index->places;
  (void)pthread_rwlock_wrlock (&index->lock);
  index->places = larger;
  (void)pthread_rwlock_unlock (&index->lock);
  ragify_places_clear (&before);
  return true;
}

static bool
grow_flat (RagifyIndex *index)
{
  uint32_t rows = index->count + index->staged + 1;
  if (rows <= ragify_flat_room (index->flat))
    return true;
  (void)pthread_rwlock_wrlock (&index->lock);
  bool ok = ragify_flat_reserve (index->flat, rows);
  (void)pthread_rwlock_unlock (&index->lock);
  return ok;
}

bool
ragify_index_stage (RagifyIndex *index, const RagifyIndexEntry *entry, const float *vector, RagifyFault *fault)
{
  if (entry->metadata > UINT32_MAX)
    return ragify_fault_set (fault, RAGIFY_E_EXHAUSTED, "expected at most %u different metadata in one store",
                             UINT32_MAX);
  if (!grow_places (index) || !grow_table (index) || !grow_flat (index))
    return ragify_fault_memory (fault);
  uint32_t place = index->count + index->staged;
  index->ids[place] = entry->id;
  index->chunks[place] = entry->chunk;
  index->metadata[place] = (uint32_t)entry->metadata;
  ragify_flat_write (index->flat, place, vector);
  index->staged++;
  return true;
}

void
ragify_index_discard (RagifyIndex *index)
{
  index->staged = 0;
}

static void
move_place (RagifyIndex *index, uint32_t to, uint32_t from)
{
  index->ids[to] = index->ids[from];
  index->chunks[to] = index->chunks[from];
  index->metadata[to] = index->metadata[from];
  ragify_flat_move (index->flat, to, from);
}

/* Takes out a place that the table does not list; the last one moves there. */
static void
drop_place (RagifyIndex *index, uint32_t place)
{
  uint32_t last = --index->count;
  if (place == last)
    return;
  ragify_places_remove (&index->places, index->ids, last);
  move_place (index, place, last);
  ragify_places_add (&index->places, index->ids, place);
}

/* From the last to the first, so that whatever stands behind the place at hand is listed already. */
static void
publish_staged (RagifyIndex *index)
{
  uint32_t first = index->count;
  index->count += index->staged;
  index->staged = 0;
  for (uint32_t place = index->count; place-- > first;) {
    uint32_t before = ragify_places_find (&index->places, index->ids, &index->ids[place]);
    if (before == RAGIFY_PLACE_NONE) {
      ragify_places_add (&index->places, index->ids, place);
      continue;
    }
    move_place (index, before, place);
    drop_place (index, place);
  }
}

void
ragify_index_publish (RagifyIndex *index, const RagifyUuid *removed, size_t removed_count)
{
  (void)pthread_rwlock_wrlock (&index->lock);
  publish_staged (index);
  for (size_t i = 0; i < removed_count; i++) {
    uint32_t place = ragify_places_find (&index->places, index->ids, &removed[i]);
    if (place == RAGIFY_PLACE_NONE)
      continue;
    ragify_places_remove (&index->places, index->ids, place);
    drop_place (index, place);
  }
  ragify_flat_resize (index->flat, index->count);
  (void)pthread_rwlock_unlock (&index->lock);
}

/* A bit for each place whose metadata match. NULL when memory is exhausted. */
static uint8_t *
make_bitmap (const RagifyIndex *index, const RagifyMatches *matches)
{
  uint8_t *bits = calloc (1, index->count / 8 + 1);
  if (bits == NULL)
    return NULL;
  for (uint32_t place = 0; place < index->count; place++)
    if (ragify_matches_has (matches, index->metadata[place]))
      bits[place >> 3] |= (uint8_t)(1u << (place & 7));
  return bits;
}

/* With the lock held. */
static bool
search_places (const RagifyIndex *index, const float *query, uint32_t wanted, const RagifyMatches *matches,
               uint64_t *keys, uint32_t *found)
{
  uint8_t *bits = NULL;
  if (matches != NULL && (bits = make_bitmap (index, matches)) == NULL)
    return false;
  bool ok = ragify_flat_search (index->flat, query, wanted, bits, keys, found);
  free (bits);
  return ok;
}

bool
ragify_index_search (RagifyIndex *index, const float *query, uint32_t wanted, const RagifyMatches *matches,
                     const RagifyIndexTuning *tuning, RagifyHit *hits, uint32_t *found, RagifyFault *fault)
{
  uint64_t *keys = malloc (((size_t)wanted + 1) * sizeof *keys);
  if (keys == NULL)
    return ragify_fault_memory (fault);
  (void)pthread_rwlock_rdlock (&index->lock);
  uint32_t count = 0;
  bool ok = search_places (index, query, wanted, matches, keys, &count);
  for (uint32_t i = 0; ok && i < count; i++)
    hits[i] = (RagifyHit){ .id = index->ids[ragify_top_number (keys[i])], .score = ragify_top_score (keys[i]) };
  (void)pthread_rwlock_unlock (&index->lock);
  free (keys);
  if (!ok)
    return ragify_fault_memory (fault);
  *found = count;
  return true;
}

bool
ragify_index_fetch (RagifyIndex *index, const RagifyUuid *ids, size_t count, float *vectors, RagifyFault *fault)
{
  size_t dimension = index->dimension;
  (void)pthread_rwlock_rdlock (&index->lock);
  for (size_t i = 0; i < count; i++) {
    uint32_t place = ragify_places_find (&index->places, index->ids, &ids[i]);
    if (place != RAGIFY_PLACE_NONE)
      memcpy (vectors + i * dimension, ragify_flat_row (index->flat, place), dimension * sizeof *vectors);
  }
  (void)pthread_rwlock_unlock (&index->lock);
  return true;
}

RagifyIndexCounts
ragify_index_counts (RagifyIndex *index)
{
  (void)pthread_rwlock_rdlock (&index->lock);
  RagifyIndexCounts counts = { .vectors = index->count, .exact = index->count };
  counts.bytes = ragify_flat_bytes (index->flat) + 4 * ((uint64_t)index->places.mask + 1) +
                 index->room * (sizeof *index->ids + sizeof *index->chunks + sizeof *index->metadata);
  (void)pthread_rwlock_unlock (&index->lock);
  return counts;
}
