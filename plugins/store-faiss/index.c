#include "index-private.h"

#include <stdlib.h>
#include <string.h>

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
contents_clear (RagifyContents *contents)
{
  ragify_approximate_free (contents->base);
  free (contents->base_live);
  free (contents->own_base_chunks);
  ragify_flat_free (contents->flat);
  ragify_places_clear (&contents->places);
  free (contents->ids);
  free (contents->chunks);
  free (contents->changed_in);
  free (contents->metadata);
  *contents = (RagifyContents){ 0 };
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
  index->now.version = 1;
  atomic_init (&index->version, 1);
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
chunk_of (const RagifyContents *contents, uint32_t place)
{
  return place < contents->base_count ? contents->base_chunks[place] : contents->chunks[place - contents->base_count];
}

static bool
lives (const RagifyContents *contents, uint32_t place)
{
  return place >= contents->base_count || ragify_words_has (contents->base_live, place);
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

static uint32_t
blocks_for (uint32_t rows)
{
  return rows / RAGIFY_ROWS_BLOCK + 1;
}

/* Grows what is kept by place. Copies while searches go on, and changes over under the lock. */
static bool
grow_places (RagifyIndex *index)
{
  RagifyContents before = index->now, after = index->now;
  const uint32_t used = before.count + index->staged, rows = used - before.base_count;
  if (used < before.room)
    return true;
  if (before.room > UINT32_MAX / 2 - 1024)
    return false;
  after.room = before.room + before.room / 2 + 1024;
  after.ids = copy_longer (before.ids, sizeof *before.ids, used, after.room);
  after.chunks = copy_longer (before.chunks, sizeof *before.chunks, rows, after.room - before.base_count);
  after.changed_in = copy_longer (before.changed_in, sizeof *before.changed_in, before.room > 0 ? blocks_for (rows) : 0,
                                  blocks_for (after.room - before.base_count));
  after.metadata = copy_longer (before.metadata, sizeof *before.metadata, used, after.room);
  bool ok = after.ids != NULL && after.chunks != NULL && after.changed_in != NULL && after.metadata != NULL;
  if (ok) {
    (void)pthread_rwlock_wrlock (&index->lock);
    index->now = after;
    (void)pthread_rwlock_unlock (&index->lock);
  }
  free (ok ? before.ids : after.ids);
  free (ok ? before.chunks : after.chunks);
  free (ok ? before.changed_in : after.changed_in);
  free (ok ? before.metadata : after.metadata);
  return ok;
}

static bool
grow_table (RagifyIndex *index)
{
  RagifyContents *now = &index->now;
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

uint64_t
ragify_contents_bytes (const RagifyContents *contents, uint64_t rows)
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
  const uint64_t wanted = ragify_contents_bytes (&index->now, rows + 1);
  if (wanted <= limit)
    return true;
  return ragify_fault_set (
      fault, RAGIFY_E_EXHAUSTED,
      "max-memory is reached: %u vectors take %llu of %llu bytes, and nothing was written; raise "
      "max-memory, delete documents, run `ragify-ctl optimize`, or choose an `index` that keeps less of "
      "each vector",
      index->now.places.used, (unsigned long long)ragify_contents_bytes (&index->now, rows - index->staged),
      (unsigned long long)limit);
}

static void
fill_place (RagifyContents *contents, uint32_t place, const RagifyIndexEntry *entry)
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

/* An exact row is another one now. */
static void
touch (RagifyContents *contents, uint32_t place)
{
  contents->changed_in[(place - contents->base_count) / RAGIFY_ROWS_BLOCK] = contents->version;
}

static void
move_place (RagifyContents *contents, uint32_t to, uint32_t from)
{
  contents->ids[to] = contents->ids[from];
  contents->chunks[to - contents->base_count] = contents->chunks[from - contents->base_count];
  contents->metadata[to] = contents->metadata[from];
  ragify_flat_move (contents->flat, to - contents->base_count, from - contents->base_count);
  touch (contents, to);
}

/* Takes out a place that the table does not list. Of the exact rows the last one moves there; a row of the base stays
 * and counts no more. */
static void
drop_place (RagifyContents *contents, uint32_t place)
{
  if (place < contents->base_count) {
    ragify_words_drop (contents->base_live, place);
    contents->base_dead++;
    return;
  }
  uint32_t last = --contents->count;
  touch (contents, last);
  if (place == last)
    return;
  ragify_places_remove (&contents->places, contents->ids, last);
  move_place (contents, place, last);
  ragify_places_add (&contents->places, contents->ids, place);
}

/* From the last to the first, so that whatever stands behind the place at hand is listed already. */
static void
publish_staged (RagifyContents *contents, uint32_t staged)
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
    touch (contents, place);
  }
}

/* For a change of what is searched. */
static RagifyContents *
begin_change (RagifyIndex *index)
{
  (void)pthread_rwlock_wrlock (&index->lock);
  index->now.version++;
  return &index->now;
}

static void
end_change (RagifyIndex *index)
{
  atomic_store (&index->version, index->now.version);
  (void)pthread_rwlock_unlock (&index->lock);
}

void
ragify_index_publish (RagifyIndex *index, const RagifyUuid *removed, size_t removed_count)
{
  RagifyContents *now = begin_change (index);
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
  end_change (index);
}

/* Blocks for that many rows, all of them of this version. */
static uint64_t *
make_blocks (uint32_t rows, uint64_t version)
{
  uint64_t *blocks = malloc (blocks_for (rows) * sizeof *blocks);
  for (uint32_t block = 0; blocks != NULL && block < blocks_for (rows); block++)
    blocks[block] = version;
  return blocks;
}

/* Takes over what is in `base`, with room for all that there is now. */
static bool
make_contents (const RagifyIndex *index, RagifyBase *base, RagifyContents *fresh)
{
  const uint64_t count = base->count, more = (uint64_t)index->now.count + 1024, room = count + more;
  *fresh = (RagifyContents){ .base = base->approximate,
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
  fresh->changed_in = make_blocks ((uint32_t)more, index->now.version + 1);
  fresh->epoch = index->now.epoch + 1;
  fresh->base_live = calloc (ragify_words_for (count) + 1, sizeof *fresh->base_live);
  fresh->flat = ragify_flat_new (index->dimension, ragify_kernels_choose ());
  return ids != NULL && metadata != NULL && fresh->chunks != NULL && fresh->changed_in != NULL &&
         fresh->base_live != NULL && fresh->flat != NULL && ragify_places_init (&fresh->places, room);
}

static bool
is_current (const RagifyContents *contents, const RagifyUuid *id, uint64_t chunk)
{
  uint32_t place = ragify_places_find (&contents->places, contents->ids, id);
  return place != RAGIFY_PLACE_NONE && chunk_of (contents, place) == chunk;
}

/* What the base does not cover is searched exactly. */
static bool
carry_over (const RagifyIndex *index, RagifyContents *fresh, RagifyFault *fault)
{
  const RagifyContents *now = &index->now;
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
         ragify_contents_read (now, place, index->dimension, vector, fault);
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
list_rows (const RagifyContents *now, RagifyContents *fresh, bool all)
{
  for (uint32_t row = 0; row < fresh->base_count; row++) {
    if (!all && !is_current (now, &fresh->ids[row], fresh->base_chunks[row])) {
      fresh->base_dead++;
      continue;
    }
    ragify_words_add (fresh->base_live, row);
    ragify_places_add (&fresh->places, fresh->ids, row);
  }
}

bool
ragify_index_adopt (RagifyIndex *index, RagifyBase *base, bool all, RagifyFault *fault)
{
  RagifyContents fresh;
  bool ok = make_contents (index, base, &fresh) || ragify_fault_memory (fault);
  if (ok) {
    list_rows (&index->now, &fresh, all);
    ok = carry_over (index, &fresh, fault);
  }
  if (!ok) {
    contents_clear (&fresh);
    return false;
  }
  RagifyContents before = index->now;
  RagifyContents *now = begin_change (index);
  fresh.version = now->version;
  *now = fresh;
  end_change (index);
  contents_clear (&before);
  return true;
}

void
ragify_index_take (RagifyIndex *index, RagifyIndex *from)
{
  RagifyContents before = index->now, fresh = from->now;
  from->now = (RagifyContents){ 0 };
  RagifyContents *now = begin_change (index);
  fresh.version = now->version;
  fresh.epoch = now->epoch + 1;
  for (uint32_t block = 0; fresh.room > 0 && block < blocks_for (fresh.room); block++)
    fresh.changed_in[block] = fresh.version;
  *now = fresh;
  end_change (index);
  contents_clear (&before);
  ragify_index_free (from);
}

uint32_t
ragify_index_find_row (const RagifyIndex *index, const RagifyUuid *id, uint64_t chunk)
{
  const RagifyContents *now = &index->now;
  const uint32_t place = ragify_places_find (&now->places, now->ids, id);
  return place < now->base_count && now->base_chunks[place] == chunk ? place : RAGIFY_INDEX_NO_ROW;
}

void
ragify_index_keep_rows (RagifyIndex *index, const uint8_t *bits)
{
  RagifyContents *now = begin_change (index);
  for (uint32_t row = 0; row < now->base_count; row++) {
    if ((bits[row >> 3] >> (row & 7) & 1) != 0 || !lives (now, row))
      continue;
    ragify_places_remove (&now->places, now->ids, row);
    drop_place (now, row);
  }
  end_change (index);
}

void
ragify_index_set_limit (RagifyIndex *index, uint64_t bytes)
{
  atomic_store (&index->limit, bytes);
}
