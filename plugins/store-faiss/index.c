#include "index.h"

#include "flat.h"
#include "places.h"
#include "top.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define SCORED_AT_ONCE 8u /* rows on their way from memory: as many as the processor keeps in flight */

/* What is searched. Places 0 … base_count-1 are rows of the approximate index, the others rows of the exact one; the
 * table lists the places that count. */
typedef struct {
  RagifyApproximate *base; /* NULL: none, and base_count is 0 */
  uint32_t base_count;
  uint32_t base_dead;
  uint8_t *base_live;          /* a bit for each of its rows */
  const uint64_t *base_chunks; /* as in RagifyBase */
  uint64_t *own_base_chunks;
  RagifyFlat *flat; /* the staged rows last */
  RagifyPlaces places;
  RagifyUuid *ids;    /* by place */
  uint32_t *metadata; /* by place */
  uint64_t *chunks;   /* by row of the exact one */
  uint32_t room;      /* places that there is memory for */
  uint32_t count;     /* places that can be found, and dead ones of the base */
} Contents;

struct RagifyIndex {
  uint32_t dimension;
  _Atomic uint64_t limit; /* bytes */

  /* Held for reading by every search, and for writing only while numbers move. Whoever writes is one thread at a time,
   * so the writer may read without it. */
  pthread_rwlock_t lock;
  Contents now;
  uint32_t staged; /* further places behind `count`, which readers do not look at */
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

static void
contents_clear (Contents *contents)
{
  ragify_approximate_free (contents->base);
  free (contents->base_live);
  free (contents->own_base_chunks);
  ragify_flat_free (contents->flat);
  ragify_places_clear (&contents->places);
  free (contents->ids);
  free (contents->chunks);
  free (contents->metadata);
  *contents = (Contents){ 0 };
}

RagifyIndex *
ragify_index_new (uint32_t dimension, RagifyFault *fault)
{
  RagifyIndex *index = calloc (1, sizeof *index);
  if (index == NULL || !make_lock (&index->lock)) {
    free (index);
    (void)ragify_fault_memory (fault);
    return NULL;
  }
  index->dimension = dimension;
  atomic_init (&index->limit, RAGIFY_INDEX_UNLIMITED);
  index->now.flat = ragify_flat_new (dimension, ragify_kernels_choose ());
  if (index->now.flat != NULL && ragify_places_init (&index->now.places, 1024))
    return index;
  ragify_index_free (index);
  (void)ragify_fault_memory (fault);
  return NULL;
}

void
ragify_index_free (RagifyIndex *index)
{
  if (index == NULL)
    return;
  contents_clear (&index->now);
  (void)pthread_rwlock_destroy (&index->lock);
  free (index);
}

uint32_t
ragify_index_dimension (const RagifyIndex *index)
{
  return index->dimension;
}

static uint64_t
chunk_of (const Contents *contents, uint32_t place)
{
  return place < contents->base_count ? contents->base_chunks[place] : contents->chunks[place - contents->base_count];
}

static bool
lives (const Contents *contents, uint32_t place)
{
  return place >= contents->base_count || (contents->base_live[place >> 3] >> (place & 7) & 1) != 0;
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
  Contents before = index->now, after = index->now;
  uint32_t used = before.count + index->staged;
  if (used < before.room)
    return true;
  if (before.room > UINT32_MAX / 2 - 1024)
    return false;
  after.room = before.room + before.room / 2 + 1024;
  after.ids = copy_longer (before.ids, sizeof *before.ids, used, after.room);
  after.chunks =
      copy_longer (before.chunks, sizeof *before.chunks, used - before.base_count, after.room - before.base_count);
  after.metadata = copy_longer (before.metadata, sizeof *before.metadata, used, after.room);
  bool ok = after.ids != NULL && after.chunks != NULL && after.metadata != NULL;
  if (ok) {
    (void)pthread_rwlock_wrlock (&index->lock);
    index->now = after;
    (void)pthread_rwlock_unlock (&index->lock);
  }
  free (ok ? before.ids : after.ids);
  free (ok ? before.chunks : after.chunks);
  free (ok ? before.metadata : after.metadata);
  return ok;
}

static bool
grow_table (RagifyIndex *index)
{
  Contents *now = &index->now;
  if ((uint64_t)now->places.used + index->staged < ragify_places_room (&now->places))
    return true;
  RagifyPlaces before = now->places, after;
  if (!ragify_places_init (&after, 2 * ragify_places_room (&before)))
    return false;
  for (uint32_t place = 0; place < now->count; place++)
    if (lives (now, place))
      ragify_places_add (&after, now->ids, place);
  (void)pthread_rwlock_wrlock (&index->lock);
  now->places = after;
  (void)pthread_rwlock_unlock (&index->lock);
  ragify_places_clear (&before);
  return true;
}

static bool
grow_flat (RagifyIndex *index)
{
  uint32_t rows = index->now.count + index->staged + 1 - index->now.base_count;
  if (rows <= ragify_flat_room (index->now.flat))
    return true;
  (void)pthread_rwlock_wrlock (&index->lock);
  bool ok = ragify_flat_reserve (index->now.flat, rows);
  (void)pthread_rwlock_unlock (&index->lock);
  return ok;
}

/* `rows` of the exact index, and what stands beside all vectors. */
static uint64_t
bytes_with (const Contents *contents, uint64_t rows)
{
  const uint64_t beside = sizeof *contents->ids + sizeof *contents->metadata + sizeof *contents->chunks;
  const uint64_t base = contents->base == NULL ? 0 : ragify_approximate_bytes (contents->base);
  return base + rows * ragify_flat_row_bytes (contents->flat) + (contents->base_count + rows) * beside +
         4 * ((uint64_t)contents->places.mask + 1);
}

bool
ragify_index_check_limit (const RagifyIndex *index, RagifyFault *fault)
{
  const uint64_t limit = atomic_load (&index->limit);
  if (limit == RAGIFY_INDEX_UNLIMITED)
    return true;
  const uint64_t rows = index->now.count - index->now.base_count + index->staged;
  const uint64_t wanted = bytes_with (&index->now, rows + 1);
  if (wanted <= limit)
    return true;
  return ragify_fault_set (
      fault, RAGIFY_E_EXHAUSTED,
      "max-memory is reached: %u vectors take %llu of %llu bytes, and nothing was written; raise "
      "max-memory, delete documents, run `ragify-ctl optimize`, or choose an `index` that keeps less of "
      "each vector",
      index->now.places.used, (unsigned long long)bytes_with (&index->now, rows - index->staged),
      (unsigned long long)limit);
}

static void
fill_place (Contents *contents, uint32_t place, const RagifyIndexEntry *entry)
{
  contents->ids[place] = entry->id;
  contents->chunks[place - contents->base_count] = entry->chunk;
  contents->metadata[place] = (uint32_t)entry->metadata;
}

bool
ragify_index_stage (RagifyIndex *index, const RagifyIndexEntry *entry, const float *vector, RagifyFault *fault)
{
  if (entry->metadata > UINT32_MAX)
    return ragify_fault_set (fault, RAGIFY_E_EXHAUSTED, "expected at most %u different metadata in one store",
                             UINT32_MAX);
  if (!ragify_index_check_limit (index, fault))
    return false;
  if (!grow_places (index) || !grow_table (index) || !grow_flat (index))
    return ragify_fault_memory (fault);
  uint32_t place = index->now.count + index->staged;
  fill_place (&index->now, place, entry);
  ragify_flat_write (index->now.flat, place - index->now.base_count, vector);
  index->staged++;
  return true;
}

void
ragify_index_discard (RagifyIndex *index)
{
  index->staged = 0;
}

static void
move_place (Contents *contents, uint32_t to, uint32_t from)
{
  contents->ids[to] = contents->ids[from];
  contents->chunks[to - contents->base_count] = contents->chunks[from - contents->base_count];
  contents->metadata[to] = contents->metadata[from];
  ragify_flat_move (contents->flat, to - contents->base_count, from - contents->base_count);
}

/* Takes out a place that the table does not list. Of the exact rows the last one moves there; a row of the base stays
 * and counts no more. */
static void
drop_place (Contents *contents, uint32_t place)
{
  if (place < contents->base_count) {
    contents->base_live[place >> 3] &= (uint8_t) ~(1u << (place & 7));
    contents->base_dead++;
    return;
  }
  uint32_t last = --contents->count;
  if (place == last)
    return;
  ragify_places_remove (&contents->places, contents->ids, last);
  move_place (contents, place, last);
  ragify_places_add (&contents->places, contents->ids, place);
}

/* From the last to the first, so that whatever stands behind the place at hand is listed already. */
static void
publish_staged (Contents *contents, uint32_t staged)
{
  uint32_t first = contents->count;
  contents->count += staged;
  for (uint32_t place = contents->count; place-- > first;) {
    uint32_t before = ragify_places_find (&contents->places, contents->ids, &contents->ids[place]);
    if (before != RAGIFY_PLACE_NONE && before >= contents->base_count) {
      move_place (contents, before, place);
      drop_place (contents, place);
      continue;
    }
    if (before != RAGIFY_PLACE_NONE) {
      ragify_places_remove (&contents->places, contents->ids, before);
      drop_place (contents, before);
    }
    ragify_places_add (&contents->places, contents->ids, place);
  }
}

void
ragify_index_publish (RagifyIndex *index, const RagifyUuid *removed, size_t removed_count)
{
  Contents *now = &index->now;
  (void)pthread_rwlock_wrlock (&index->lock);
  publish_staged (now, index->staged);
  index->staged = 0;
  for (size_t i = 0; i < removed_count; i++) {
    uint32_t place = ragify_places_find (&now->places, now->ids, &removed[i]);
    if (place == RAGIFY_PLACE_NONE)
      continue;
    ragify_places_remove (&now->places, now->ids, place);
    drop_place (now, place);
  }
  ragify_flat_resize (now->flat, now->count - now->base_count);
  (void)pthread_rwlock_unlock (&index->lock);
}

/* A bit for each of `count` places from `first` on whose metadata match and that live; *set of them. NULL when memory
 * is exhausted. */
static uint8_t *
make_bitmap (const Contents *contents, uint32_t first, uint32_t count, const RagifyMatches *matches,
             const uint8_t *live, uint32_t *set)
{
  uint8_t *bits = calloc (1, (size_t)count / 8 + 1);
  uint32_t matching = 0;
  if (bits == NULL)
    return NULL;
  for (uint32_t i = 0; i < count; i++)
    if ((live == NULL || (live[i >> 3] >> (i & 7) & 1) != 0) &&
        ragify_matches_has (matches, contents->metadata[first + i])) {
      bits[i >> 3] |= (uint8_t)(1u << (i & 7));
      matching++;
    }
  *set = matching;
  return bits;
}

static bool
search_base (const Contents *contents, const float *query, uint32_t wanted, const RagifyMatches *matches,
             const RagifyApproximateTuning *tuning, uint64_t *keys, uint32_t *found, RagifyFault *fault)
{
  *found = 0;
  if (contents->base_count == contents->base_dead)
    return true;
  float *scores = malloc (wanted * sizeof *scores);
  int64_t *rows = malloc (wanted * sizeof *rows);
  uint32_t allowed = contents->base_count - contents->base_dead;
  uint8_t *bits = matches == NULL
                      ? contents->base_live
                      : make_bitmap (contents, 0, contents->base_count, matches, contents->base_live, &allowed);
  bool ok =
      scores != NULL && rows != NULL && bits != NULL
          ? ragify_approximate_search (contents->base, query, wanted, bits, allowed, tuning, scores, rows, found, fault)
          : ragify_fault_memory (fault);
  for (uint32_t i = 0; ok && i < *found; i++)
    keys[i] = ragify_top_key (scores[i], (uint32_t)rows[i]);
  if (matches != NULL)
    free (bits);
  free (scores);
  free (rows);
  return ok;
}

static bool
search_flat (const Contents *contents, const float *query, uint32_t wanted, const RagifyMatches *matches,
             uint64_t *keys, uint32_t *found, RagifyFault *fault)
{
  uint32_t rows = contents->count - contents->base_count;
  uint32_t matching = 0;
  uint8_t *bits = NULL;
  if (matches != NULL && (bits = make_bitmap (contents, contents->base_count, rows, matches, NULL, &matching)) == NULL)
    return ragify_fault_memory (fault);
  bool ok = ragify_flat_search (contents->flat, query, wanted, bits, keys, found) || ragify_fault_memory (fault);
  free (bits);
  /* A key's lower half is the row. */
  for (uint32_t i = 0; ok && i < *found; i++)
    keys[i] += contents->base_count;
  return ok;
}

/* With the lock held: the best of both, best first. */
static bool
search_places (const Contents *contents, const float *query, uint32_t wanted, const RagifyMatches *matches,
               const RagifyApproximateTuning *tuning, uint64_t *keys, uint32_t *found, RagifyFault *fault)
{
  uint32_t first = 0, second = 0;
  if (!search_base (contents, query, wanted, matches, tuning, keys, &first, fault) ||
      !search_flat (contents, query, wanted, matches, keys + first, &second, fault))
    return false;
  if (first > 0)
    ragify_top_sort (keys, (size_t)first + second);
  *found = first + second < wanted ? first + second : wanted;
  return true;
}

bool
ragify_index_search (RagifyIndex *index, const float *query, uint32_t wanted, const RagifyMatches *matches,
                     const RagifyApproximateTuning *tuning, RagifyHit *hits, uint32_t *found, RagifyFault *fault)
{
  uint64_t *keys = malloc ((2 * (size_t)wanted + 1) * sizeof *keys);
  if (keys == NULL)
    return ragify_fault_memory (fault);
  (void)pthread_rwlock_rdlock (&index->lock);
  uint32_t count = 0;
  bool ok = search_places (&index->now, query, wanted, matches, tuning, keys, &count, fault);
  for (uint32_t i = 0; ok && i < count; i++)
    hits[i] = (RagifyHit){ .id = index->now.ids[ragify_top_number (keys[i])], .score = ragify_top_score (keys[i]) };
  (void)pthread_rwlock_unlock (&index->lock);
  free (keys);
  if (ok)
    *found = count;
  return ok;
}

static bool
read_place (const Contents *contents, uint32_t place, uint32_t dimension, float *vector, RagifyFault *fault)
{
  if (place < contents->base_count)
    return ragify_approximate_row (contents->base, place, vector, fault);
  memcpy (vector, ragify_flat_row (contents->flat, place - contents->base_count), dimension * sizeof *vector);
  return true;
}

bool
ragify_index_fetch (RagifyIndex *index, const RagifyUuid *ids, size_t count, float *vectors, RagifyFault *fault)
{
  bool ok = true;
  (void)pthread_rwlock_rdlock (&index->lock);
  for (size_t i = 0; ok && i < count; i++) {
    uint32_t place = ragify_places_find (&index->now.places, index->now.ids, &ids[i]);
    if (place != RAGIFY_PLACE_NONE)
      ok = read_place (&index->now, place, index->dimension, vectors + i * index->dimension, fault);
  }
  (void)pthread_rwlock_unlock (&index->lock);
  return ok;
}

/* A row of the approximate index has to be decoded first; a store that has one goes there. */
static bool
score_base (const Contents *contents, const float *query, uint32_t place, uint32_t dimension, float *score,
            RagifyFault *fault)
{
  float *vector = malloc (dimension * sizeof *vector);
  bool ok =
      vector != NULL ? ragify_approximate_row (contents->base, place, vector, fault) : ragify_fault_memory (fault);
  if (ok)
    *score = ragify_kernels_choose ()->dot (query, vector, dimension);
  free (vector);
  return ok;
}

/* With the lock held: places first, rows later, so that the rows' memory is on its way meanwhile. */
static bool
score_some (const Contents *contents, const float *query, const RagifyUuid *ids, size_t count, uint32_t dimension,
            float *scores, RagifyFault *fault)
{
  uint32_t places[SCORED_AT_ONCE];
  for (size_t i = 0; i < count; i++) {
    places[i] = ragify_places_find (&contents->places, contents->ids, &ids[i]);
    if (places[i] != RAGIFY_PLACE_NONE && places[i] >= contents->base_count)
      ragify_flat_prefetch (contents->flat, places[i] - contents->base_count);
  }
  for (size_t i = 0; i < count; i++) {
    if (places[i] == RAGIFY_PLACE_NONE)
      continue;
    if (places[i] >= contents->base_count)
      scores[i] = ragify_flat_score (contents->flat, query, places[i] - contents->base_count);
    else if (!score_base (contents, query, places[i], dimension, &scores[i], fault))
      return false;
  }
  return true;
}

bool
ragify_index_score (RagifyIndex *index, const float *query, const RagifyUuid *ids, size_t count, float *scores,
                    RagifyFault *fault)
{
  bool ok = true;
  (void)pthread_rwlock_rdlock (&index->lock);
  for (size_t i = 0; ok && i < count; i += SCORED_AT_ONCE) {
    size_t some = count - i < SCORED_AT_ONCE ? count - i : SCORED_AT_ONCE;
    ok = score_some (&index->now, query, ids + i, some, index->dimension, scores + i, fault);
  }
  (void)pthread_rwlock_unlock (&index->lock);
  return ok;
}

RagifyIndexCounts
ragify_index_counts (RagifyIndex *index)
{
  (void)pthread_rwlock_rdlock (&index->lock);
  const Contents *now = &index->now;
  RagifyIndexCounts counts = { .vectors = now->places.used,
                               .exact = now->count - now->base_count,
                               .dead = now->base_dead };
  counts.bytes = bytes_with (now, counts.exact);
  (void)pthread_rwlock_unlock (&index->lock);
  return counts;
}

/* Takes over what is in `base`, with room for all that there is now. */
static bool
make_contents (const RagifyIndex *index, RagifyBase *base, Contents *fresh)
{
  const uint64_t count = base->count, more = (uint64_t)index->now.count + 1024, room = count + more;
  *fresh = (Contents){ .base = base->approximate,
                       .base_chunks = base->chunks,
                       .own_base_chunks = base->own_chunks,
                       .ids = base->ids,
                       .metadata = base->metadata };
  *base = (RagifyBase){ 0 };
  if (room >= UINT32_MAX)
    return false;
  RagifyUuid *ids = realloc (fresh->ids, room * sizeof *ids);
  fresh->ids = ids != NULL ? ids : fresh->ids;
  uint32_t *metadata = realloc (fresh->metadata, room * sizeof *metadata);
  fresh->metadata = metadata != NULL ? metadata : fresh->metadata;
  fresh->room = (uint32_t)room;
  fresh->count = fresh->base_count = (uint32_t)count;
  fresh->chunks = malloc (more * sizeof *fresh->chunks);
  fresh->base_live = calloc (1, count / 8 + 1);
  fresh->flat = ragify_flat_new (index->dimension, ragify_kernels_choose ());
  return ids != NULL && metadata != NULL && fresh->chunks != NULL && fresh->base_live != NULL && fresh->flat != NULL &&
         ragify_places_init (&fresh->places, room);
}

static bool
is_current (const Contents *contents, const RagifyUuid *id, uint64_t chunk)
{
  uint32_t place = ragify_places_find (&contents->places, contents->ids, id);
  return place != RAGIFY_PLACE_NONE && chunk_of (contents, place) == chunk;
}

/* What the base does not cover is searched exactly. */
static bool
carry_over (const RagifyIndex *index, Contents *fresh, RagifyFault *fault)
{
  const Contents *now = &index->now;
  float *vector = malloc (index->dimension * sizeof *vector);
  bool ok = true;
  if (vector == NULL)
    return ragify_fault_memory (fault);
  for (uint32_t place = 0; ok && place < now->count; place++) {
    const RagifyIndexEntry entry = { .id = now->ids[place],
                                     .chunk = chunk_of (now, place),
                                     .metadata = now->metadata[place] };
    if (!lives (now, place) || ragify_places_find (&fresh->places, fresh->ids, &entry.id) != RAGIFY_PLACE_NONE)
      continue;
    uint32_t row = fresh->count - fresh->base_count;
    ok = (ragify_flat_reserve (fresh->flat, row + 1) || ragify_fault_memory (fault)) &&
         read_place (now, place, index->dimension, vector, fault);
    if (!ok)
      break;
    fill_place (fresh, fresh->count, &entry);
    ragify_flat_write (fresh->flat, row, vector);
    ragify_places_add (&fresh->places, fresh->ids, fresh->count++);
  }
  free (vector);
  ragify_flat_resize (fresh->flat, fresh->count - fresh->base_count);
  return ok;
}

static void
list_rows (const Contents *now, Contents *fresh, bool all)
{
  for (uint32_t row = 0; row < fresh->base_count; row++) {
    if (!all && !is_current (now, &fresh->ids[row], fresh->base_chunks[row])) {
      fresh->base_dead++;
      continue;
    }
    fresh->base_live[row >> 3] |= (uint8_t)(1u << (row & 7));
    ragify_places_add (&fresh->places, fresh->ids, row);
  }
}

bool
ragify_index_adopt (RagifyIndex *index, RagifyBase *base, bool all, RagifyFault *fault)
{
  Contents fresh;
  bool ok = make_contents (index, base, &fresh) || ragify_fault_memory (fault);
  if (ok) {
    list_rows (&index->now, &fresh, all);
    ok = carry_over (index, &fresh, fault);
  }
  if (!ok) {
    contents_clear (&fresh);
    return false;
  }
  Contents before = index->now;
  (void)pthread_rwlock_wrlock (&index->lock);
  index->now = fresh;
  (void)pthread_rwlock_unlock (&index->lock);
  contents_clear (&before);
  return true;
}

uint32_t
ragify_index_find_row (const RagifyIndex *index, const RagifyUuid *id, uint64_t chunk)
{
  const Contents *now = &index->now;
  const uint32_t place = ragify_places_find (&now->places, now->ids, id);
  return place < now->base_count && now->base_chunks[place] == chunk ? place : RAGIFY_INDEX_NO_ROW;
}

void
ragify_index_keep_rows (RagifyIndex *index, const uint8_t *bits)
{
  Contents *now = &index->now;
  (void)pthread_rwlock_wrlock (&index->lock);
  for (uint32_t row = 0; row < now->base_count; row++) {
    if ((bits[row >> 3] >> (row & 7) & 1) != 0 || !lives (now, row))
      continue;
    ragify_places_remove (&now->places, now->ids, row);
    drop_place (now, row);
  }
  (void)pthread_rwlock_unlock (&index->lock);
}

void
ragify_index_set_limit (RagifyIndex *index, uint64_t bytes)
{
  atomic_store (&index->limit, bytes);
}
