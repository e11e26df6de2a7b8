/* The vectors of all chunks that can be found, in memory: derived from the database, searched by many threads at once
 * and changed by one.
 *
 * Vectors are searched exactly, but for those that an approximate index was built for since (ragify_index_adopt); what
 * is written after that is again searched exactly, beside it.
 *
 * A change is made in two steps. What needs time (copying, encoding, growing) is staged while searches go on, and can
 * be dropped again; publishing it, after the database has committed, only moves numbers, and cannot fail. */
#ifndef RAGIFY_INDEX_H
#define RAGIFY_INDEX_H

#include "base.h"
#include "selection.h"

#include <ragify/vector-store.h>

typedef struct RagifyIndex RagifyIndex;

/* What is kept beside a vector. */
typedef struct RagifyIndexEntry {
  RagifyUuid id;
  uint64_t chunk;    /* its number in the database */
  uint64_t metadata; /* its number in the database */
} RagifyIndexEntry;

typedef struct RagifyIndexCounts {
  uint64_t vectors;
  uint64_t exact; /* of these, searched exactly */
  uint64_t dead;  /* removed ones that the approximate index still holds, beside these */
  uint64_t bytes; /* of memory, files that are mapped included, about */
} RagifyIndexCounts;

#define RAGIFY_INDEX_UNLIMITED UINT64_MAX

RagifyIndex *ragify_index_new (uint32_t dimension, RagifyFault *fault);
void ragify_index_free (RagifyIndex *index);

uint32_t ragify_index_dimension (const RagifyIndex *index);

/* [writer] Adds one vector that will be found after the next publish; it replaces the one with the same id. */
bool ragify_index_stage (RagifyIndex *index, const RagifyIndexEntry *entry, const float *vector, RagifyFault *fault);

/* [writer] Drops what is staged. */
void ragify_index_discard (RagifyIndex *index);

/* [writer] Makes what is staged visible and removes `removed`, at once. Ids that are not there are ignored. */
void ragify_index_publish (RagifyIndex *index, const RagifyUuid *removed, size_t removed_count);

/* [writer] Puts an approximate index in the place of whatever it covers. A row counts where the chunk with its id is
 * still the one with its number; with `all`, every row, of an index in which nothing is yet. Takes what is in `base`
 * over in any case. Nothing is staged meanwhile. */
bool ragify_index_adopt (RagifyIndex *index, RagifyBase *base, bool all, RagifyFault *fault);

/* [writer] Searches what `from` has, another index without an approximate one, in the place of all there is; `from` is
 * empty then, and freed. Nothing is staged in either. */
void ragify_index_take (RagifyIndex *index, RagifyIndex *from);

/* [writer] The row of the approximate index that stands for this chunk; RAGIFY_INDEX_NO_ROW where none does. */
#define RAGIFY_INDEX_NO_ROW UINT32_MAX
uint32_t ragify_index_find_row (const RagifyIndex *index, const RagifyUuid *id, uint64_t chunk);

/* [writer] Of the approximate index's rows only those whose bit is set count from now on. */
void ragify_index_keep_rows (RagifyIndex *index, const uint8_t *bits);

/* [any] What staging may bring the index to, in bytes; RAGIFY_INDEX_UNLIMITED at first. Beyond it staging fails with
 * EXHAUSTED, and a fault that says how full the index is. */
void ragify_index_set_limit (RagifyIndex *index, uint64_t bytes);

/* [writer] Whether one more vector may be staged; otherwise the fault that staging would give. */
bool ragify_index_check_limit (const RagifyIndex *index, RagifyFault *fault);

/* [any] Grows with every change of what can be found; not 0. */
uint64_t ragify_index_version (RagifyIndex *index);

/* [any] The best `wanted` chunks for one query, best first, into hits[wanted]; how many there are into *found.
 * `selection`: only what it lets through; NULL: all. */
bool ragify_index_search (RagifyIndex *index, const float *query, uint32_t wanted, RagifySelection *selection,
                          const RagifyApproximateTuning *tuning, RagifyHit *hits, uint32_t *found, RagifyFault *fault);

/* [any] The scores of `ids` for one query, in their order, read in place; 0 where an id is not known. `scores` comes
 * zeroed. */
bool ragify_index_score (RagifyIndex *index, const float *query, const RagifyUuid *ids, size_t count, float *scores,
                         RagifyFault *fault);

/* [any] The vectors of `ids` one after the other; zeros where an id is not known. `vectors` comes zeroed. */
bool ragify_index_fetch (RagifyIndex *index, const RagifyUuid *ids, size_t count, float *vectors, RagifyFault *fault);

/* [any] */
RagifyIndexCounts ragify_index_counts (RagifyIndex *index);

#endif
