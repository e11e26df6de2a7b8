/* A vector store: the database that is the truth, and the index over it. What each operation means stands in
 * ragify/vector-store.h; results live in the call that `answer` names. */
#ifndef RAGIFY_STORE_H
#define RAGIFY_STORE_H

#include "database.h"
#include "index.h"
#include "reading.h"

typedef struct RagifyStore RagifyStore;

typedef struct RagifyStoreOptions {
  const char *index; /* as ragify_approximate_check writes it */
  RagifyDatabaseOptions database;
  RagifyApproximateTuning tuning;
  uint64_t memory_limit; /* bytes of the index, beyond which nothing is taken in; 0: none */
  uint64_t filter_cache; /* bytes for what filters let through, beside that */
} RagifyStoreOptions;

/* What the store can tell about itself. */
typedef struct RagifyStoreNumbers {
  RagifyStoreGeneration generation;
  RagifyIndexCounts index;
  RagifyTermsCounts filters;
} RagifyStoreNumbers;

/* [control] Opens nothing. The options are copied. NULL when memory is exhausted. */
RagifyStore *ragify_store_new (const RagifyStoreOptions *options);
void ragify_store_free (RagifyStore *store);

/* [worker] Opens the database and fills the index. `embedder` may be NULL. */
bool ragify_store_open (RagifyStore *store, const RagifyEmbedderInfo *embedder, RagifyFault *fault);

/* [worker] No other operation is under way or will come. */
void ragify_store_close (RagifyStore *store);

/* [any] The folder; why it cannot be written, or NULL; chunks that have no vector although the store has an
 * embedder. */
const char *ragify_store_folder (const RagifyStore *store);
const char *ragify_store_read_only (const RagifyStore *store);
uint64_t ragify_store_without_vector (const RagifyStore *store);

/* [any] There was a snapshot, and it is damaged or of other settings: searches are exact until it is built anew. */
bool ragify_store_snapshot_useless (const RagifyStore *store);

/* [any] How many vectors the configured index wants before it is built; 0: it is exact, or built. */
uint64_t ragify_store_missing_vectors (RagifyStore *store);

/* [any] There are enough for the configured index, and it is not built: searches are exact until `optimize` does it. */
bool ragify_store_lacks_index (RagifyStore *store);

/* [any] */
void ragify_store_set_tuning (RagifyStore *store, const RagifyApproximateTuning *tuning);
/* As in the options. Not while it opens or closes. */
void ragify_store_set_memory_limit (RagifyStore *store, uint64_t bytes);
uint64_t ragify_store_memory_limit (const RagifyStore *store);
void ragify_store_set_filter_cache (RagifyStore *store, uint64_t bytes);
RagifyStoreNumbers ragify_store_numbers (RagifyStore *store);

/* [worker] Reads a little from the database, to see that it can be read. */
bool ragify_store_probe (RagifyStore *store, RagifyFault *fault);

/* [worker] */
bool ragify_store_upsert (RagifyStore *store, const RagifyAnswer *answer, const RagifyStoreUpsert *args,
                          RagifyStoreUpsertResult *result, RagifyFault *fault);
bool ragify_store_search (RagifyStore *store, const RagifyAnswer *answer, const RagifyStoreSearch *args,
                          RagifyStoreSearchResult *result, RagifyFault *fault);
bool ragify_store_fetch (RagifyStore *store, const RagifyAnswer *answer, const RagifyStoreFetch *args,
                         RagifyStoreFetchResult *result, RagifyFault *fault);
bool ragify_store_list (RagifyStore *store, const RagifyAnswer *answer, const RagifyStoreList *args,
                        RagifyStoreListResult *result, RagifyFault *fault);
bool ragify_store_remove (RagifyStore *store, const RagifyAnswer *answer, const RagifyStoreRemove *args,
                          RagifyStoreRemoveResult *result, RagifyFault *fault);
bool ragify_store_optimize (RagifyStore *store, const RagifyAnswer *answer, const RagifyStoreOptimize *args,
                            RagifyFault *fault);
/* *bytes: how large the copy is. */
bool ragify_store_backup (RagifyStore *store, const RagifyAnswer *answer, const RagifyStoreBackup *args,
                          uint64_t *bytes, RagifyFault *fault);
bool ragify_store_verify (RagifyStore *store, const RagifyAnswer *answer, const RagifyStoreVerify *args,
                          RagifyStoreVerifyResult *result, RagifyFault *fault);
bool ragify_store_reindex (RagifyStore *store, const RagifyAnswer *answer, const RagifyStoreReindex *args,
                           RagifyStoreReindexResult *result, RagifyFault *fault);
bool ragify_store_flush (RagifyStore *store, const RagifyAnswer *answer, RagifyFault *fault);

#endif
