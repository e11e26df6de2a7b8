/* The inside of a store, for the files that it is made of.
 *
 *   store.c    opening, writing, searching, reading
 *   upkeep.c   optimising, flushing
 *   reindex.c  vectors of another embedder
 *   backup.c   a copy of it all
 *   verify.c   whether what it holds agrees with itself */
#ifndef RAGIFY_STORE_PRIVATE_H
#define RAGIFY_STORE_PRIVATE_H

#include "store.h"

#include <pthread.h>
#include <stdatomic.h>

struct RagifyStore {
  char *folder; /* for people where it is in memory alone */
  bool in_memory;
  char *factory;
  RagifyDatabaseOptions options;
  RagifyDatabase *database;
  RagifyIndex *index; /* NULL: words alone */
  RagifyTerms *terms; /* what filters let through */
  uint64_t without_vector;
  bool snapshot_useless;         /* there was one, and the start could not use it */
  _Atomic uint64_t memory_limit; /* of the index; RAGIFY_INDEX_UNLIMITED: none */
  RagifyUuid id;
  atomic_flag building;    /* an index is; for ever once the store is reindexed */
  atomic_flag copying;     /* a backup is made */
  atomic_bool not_kept;    /* the index that is searched could not be written to the disk */
  _Atomic int64_t renewed; /* chunks that have a new vector, about; -1: not counted yet */
  atomic_uint nprobe;
  atomic_uint ef_search;
  /* Set by the writer once the index agrees with them. */
  _Atomic uint64_t generation;
  _Atomic uint64_t documents;
  _Atomic uint64_t chunks;
};

/* For RagifyChange and the like; `user` is the RagifyAnswer. */
bool ragify_store_is_cancelled (void *user);

/* The writing connection, until ragify_database_end_write; NULL with a fault. */
RagifyConnection *ragify_store_begin_write (RagifyStore *store, const RagifyAnswer *answer, RagifyFault *fault);

#endif
