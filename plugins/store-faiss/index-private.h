/* The inside of an index, for the files that it is made of.
 *
 *   index.c         what writers do
 *   index-search.c  what readers do */
#ifndef RAGIFY_INDEX_PRIVATE_H
#define RAGIFY_INDEX_PRIVATE_H

#include "flat.h"
#include "index.h"
#include "places.h"
#include "words.h"

#include <pthread.h>
#include <stdatomic.h>

/* What is searched. Places 0 … base_count-1 are rows of the approximate index, the others rows of the exact one; the
 * table lists the places that count. */
typedef struct RagifyContents {
  RagifyApproximate *base; /* NULL: none, and base_count is 0 */
  uint32_t base_count;
  uint32_t base_dead;
  uint64_t *base_live;         /* a bit for each of its rows */
  const uint64_t *base_chunks; /* as in RagifyBase */
  uint64_t *own_base_chunks;
  RagifyFlat *flat; /* the staged rows last */
  RagifyPlaces places;
  RagifyUuid *ids;      /* by place */
  uint32_t *metadata;   /* by place */
  uint64_t *chunks;     /* by row of the exact one */
  uint64_t *changed_in; /* by block of rows of the exact one: RagifyLayout */
  uint32_t room;        /* places that there is memory for */
  uint32_t count;       /* places that can be found, and dead ones of the base */
  uint64_t version;     /* as in RagifyLayout; grows with every change of the rest */
  uint64_t epoch;       /* as in RagifyLayout */
} RagifyContents;

struct RagifyIndex {
  uint32_t dimension;
  _Atomic uint64_t limit; /* bytes */

  /* Held for reading by every search, and for writing only while numbers move. Whoever writes is one thread at a time,
   * so the writer may read without it. */
  pthread_rwlock_t lock;
  RagifyContents now;
  _Atomic uint64_t version; /* of `now`, for those who do not hold the lock */
  uint32_t staged;          /* further places behind `count`, which readers do not look at */
};

/* `rows` of the exact index, and what stands beside all vectors. */
uint64_t ragify_contents_bytes (const RagifyContents *contents, uint64_t rows);

bool ragify_contents_read (const RagifyContents *contents, uint32_t place, uint32_t dimension, float *vector,
                           RagifyFault *fault);

#endif
