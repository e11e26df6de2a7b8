/* The vectors of all chunks that can be found, in memory: derived from the database, searched by many threads at once
 * and changed by one.
 *
 * A change is made in two steps. What needs time (copying, encoding, growing) is staged while searches go on, and can
 * be dropped again; publishing it, after the database has committed, only moves numbers, and cannot fail. */
#ifndef RAGIFY_INDEX_H
#define RAGIFY_INDEX_H

#include "fault.h"
#include "metadata.h"

#include <ragify/vector-store.h>

typedef struct RagifyIndex RagifyIndex;

typedef struct RagifyIndexOptions {
  uint32_t dimension;
  const char *factory; /* "Flat", or a FAISS factory string that ragify_approximate_check knows */
} RagifyIndexOptions;

/* What is kept beside a vector. */
typedef struct RagifyIndexEntry {
  RagifyUuid id;
  uint64_t chunk;    /* its number in the database */
  uint64_t metadata; /* its number in the database */
} RagifyIndexEntry;

typedef struct RagifyIndexTuning {
  uint32_t nprobe;
  uint32_t ef_search;
} RagifyIndexTuning;

typedef struct RagifyIndexCounts {
  uint64_t vectors;
  uint64_t exact; /* of these, searched exactly */
  uint64_t dead;  /* removed ones that the approximate index still holds */
  uint64_t bytes; /* of memory, about */
} RagifyIndexCounts;

RagifyIndex *ragify_index_new (const RagifyIndexOptions *options, RagifyFault *fault);
void ragify_index_free (RagifyIndex *index);

uint32_t ragify_index_dimension (const RagifyIndex *index);

/* [writer] Adds one vector that will be found after the next publish; it replaces the one with the same id. */
bool ragify_index_stage (RagifyIndex *index, const RagifyIndexEntry *entry, const float *vector, RagifyFault *fault);

/* [writer] Drops what is staged. */
void ragify_index_discard (RagifyIndex *index);

/* [writer] Makes what is staged visible and removes `removed`, at once. Ids that are not there are ignored. */
void ragify_index_publish (RagifyIndex *index, const RagifyUuid *removed, size_t removed_count);

/* [any] The best `wanted` chunks for one query, best first, into hits[wanted]; how many there are into *found.
 * `matches`: only chunks with such metadata; NULL: all. */
bool ragify_index_search (RagifyIndex *index, const float *query, uint32_t wanted, const RagifyMatches *matches,
                          const RagifyIndexTuning *tuning, RagifyHit *hits, uint32_t *found, RagifyFault *fault);

/* [any] The vectors of `ids` one after the other; zeros where an id is not known. `vectors` comes zeroed. */
bool ragify_index_fetch (RagifyIndex *index, const RagifyUuid *ids, size_t count, float *vectors, RagifyFault *fault);

/* [any] */
RagifyIndexCounts ragify_index_counts (RagifyIndex *index);

#endif
