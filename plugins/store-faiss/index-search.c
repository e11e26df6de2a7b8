#include "index-private.h"

#include "top.h"

#include <stdlib.h>
#include <string.h>

#define SCORED_AT_ONCE 8u /* rows on their way from memory: as many as the processor keeps in flight */

/* What one search works with: as long as the lock is held. */
typedef struct {
  const RagifyContents *contents;
  const float *query;
  uint32_t wanted;
  const RagifyApproximateTuning *tuning;
  const RagifyAllowed *allowed; /* NULL: no filter */
} Search;

static bool
search_base (const Search *search, uint64_t *keys, uint32_t *found, RagifyFault *fault)
{
  const RagifyContents *contents = search->contents;
  *found = 0;
  if (contents->base_count == contents->base_dead)
    return true;
  float *scores = malloc (search->wanted * sizeof *scores);
  int64_t *rows = malloc (search->wanted * sizeof *rows);
  const uint64_t *bits = search->allowed == NULL ? contents->base_live : search->allowed->base;
  const uint64_t set = search->allowed == NULL ? contents->base_count - contents->base_dead : search->allowed->base_set;
  bool ok = scores != NULL && rows != NULL
                ? ragify_approximate_search (contents->base, search->query, search->wanted, bits, set, search->tuning,
                                             scores, rows, found, fault)
                : ragify_fault_memory (fault);
  for (uint32_t i = 0; ok && i < *found; i++)
    keys[i] = ragify_top_key (scores[i], (uint32_t)rows[i]);
  free (scores);
  free (rows);
  return ok;
}

static bool
search_flat (const Search *search, uint64_t *keys, uint32_t *found, RagifyFault *fault)
{
  const RagifyContents *contents = search->contents;
  const uint64_t *bits = search->allowed == NULL ? NULL : search->allowed->exact;
  const uint64_t set = search->allowed == NULL ? contents->count - contents->base_count : search->allowed->exact_set;
  *found = 0;
  if (set > 0 && !ragify_flat_search (contents->flat, search->query, search->wanted, bits, set, keys, found))
    return ragify_fault_memory (fault);
  /* A key's lower half is the row. */
  for (uint32_t i = 0; i < *found; i++)
    keys[i] += contents->base_count;
  return true;
}

/* The best of both, best first. */
static bool
search_places (const Search *search, uint64_t *keys, uint32_t *found, RagifyFault *fault)
{
  uint32_t first = 0, second = 0;
  if (!search_base (search, keys, &first, fault) || !search_flat (search, keys + first, &second, fault))
    return false;
  if (first > 0)
    ragify_top_sort (keys, (size_t)first + second);
  *found = first + second < search->wanted ? first + second : search->wanted;
  return true;
}

static bool
apply (RagifySelection *selection, const RagifyContents *contents, RagifyAllowed *allowed, RagifyFault *fault)
{
  const RagifyLayout layout = { .version = contents->version,
                                .epoch = contents->epoch,
                                .base_count = contents->base_count,
                                .base_dead = contents->base_dead,
                                .exact_count = contents->count - contents->base_count,
                                .base_live = contents->base_live,
                                .metadata = contents->metadata,
                                .changed_in = contents->changed_in };
  return ragify_selection_apply (selection, &layout, allowed, fault);
}

uint64_t
ragify_index_version (RagifyIndex *index)
{
  return atomic_load (&index->version);
}

bool
ragify_index_search (RagifyIndex *index, const float *query, uint32_t wanted, RagifySelection *selection,
                     const RagifyApproximateTuning *tuning, RagifyHit *hits, uint32_t *found, RagifyFault *fault)
{
  RagifyAllowed allowed;
  uint64_t *keys = malloc ((2 * (size_t)wanted + 1) * sizeof *keys);
  if (keys == NULL)
    return ragify_fault_memory (fault);
  (void)pthread_rwlock_rdlock (&index->lock);
  const Search search = { .contents = &index->now,
                          .query = query,
                          .wanted = wanted,
                          .tuning = tuning,
                          .allowed = selection == NULL ? NULL : &allowed };
  uint32_t count = 0;
  bool ok = (selection == NULL || apply (selection, &index->now, &allowed, fault)) &&
            search_places (&search, keys, &count, fault);
  for (uint32_t i = 0; ok && i < count; i++)
    hits[i] = (RagifyHit){ .id = index->now.ids[ragify_top_number (keys[i])], .score = ragify_top_score (keys[i]) };
  (void)pthread_rwlock_unlock (&index->lock);
  free (keys);
  if (ok)
    *found = count;
  return ok;
}

bool
ragify_contents_read (const RagifyContents *contents, uint32_t place, uint32_t dimension, float *vector,
                      RagifyFault *fault)
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
      ok = ragify_contents_read (&index->now, place, index->dimension, vectors + i * index->dimension, fault);
  }
  (void)pthread_rwlock_unlock (&index->lock);
  return ok;
}

/* A row of the approximate index has to be decoded first; a store that has one goes there. */
static bool
score_base (const RagifyContents *contents, const float *query, uint32_t place, uint32_t dimension, float *score,
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
score_some (const RagifyContents *contents, const float *query, const RagifyUuid *ids, size_t count, uint32_t dimension,
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
  const RagifyContents *now = &index->now;
  RagifyIndexCounts counts = { .vectors = now->places.used,
                               .exact = now->count - now->base_count,
                               .dead = now->base_dead };
  counts.bytes = ragify_contents_bytes (now, counts.exact);
  (void)pthread_rwlock_unlock (&index->lock);
  return counts;
}
