#include "store-private.h"

#include "change.h"
#include "loading.h"
#include "snapshot.h"

#include <malloc.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

RagifyStore *
ragify_store_new (const RagifyStoreOptions *options)
{
  RagifyStore *store = calloc (1, sizeof *store);
  if (store == NULL)
    return NULL;
  store->options = options->database;
  store->in_memory = options->database.folder == NULL;
  store->folder = strdup (store->in_memory ? "memory" : options->database.folder);
  store->factory = strdup (options->index);
  store->terms = ragify_terms_new (options->filter_cache);
  store->options.folder = store->in_memory ? NULL : store->folder;
  ragify_store_set_memory_limit (store, options->memory_limit);
  atomic_init (&store->renewed, -1);
  atomic_init (&store->not_kept, false);
  ragify_store_set_tuning (store, &options->tuning);
  if (store->folder != NULL && store->factory != NULL && store->terms != NULL)
    return store;
  ragify_store_free (store);
  return NULL;
}

void
ragify_store_free (RagifyStore *store)
{
  if (store == NULL)
    return;
  ragify_store_close (store);
  ragify_terms_free (store->terms);
  free (store->factory);
  free (store->folder);
  free (store);
}

void
ragify_store_close (RagifyStore *store)
{
  ragify_terms_clear (store->terms); /* of this index, and of this database */
  ragify_index_free (store->index);
  store->index = NULL;
  ragify_database_close (store->database);
  store->database = NULL;
}

const char *
ragify_store_folder (const RagifyStore *store)
{
  return store->folder;
}

const char *
ragify_store_read_only (const RagifyStore *store)
{
  return ragify_database_read_only (store->database);
}

uint64_t
ragify_store_without_vector (const RagifyStore *store)
{
  return store->without_vector;
}

void
ragify_store_set_tuning (RagifyStore *store, const RagifyApproximateTuning *tuning)
{
  atomic_store (&store->nprobe, tuning->nprobe);
  atomic_store (&store->ef_search, tuning->ef_search);
}

void
ragify_store_set_memory_limit (RagifyStore *store, uint64_t bytes)
{
  const uint64_t limit = bytes > 0 ? bytes : RAGIFY_INDEX_UNLIMITED;
  atomic_store (&store->memory_limit, limit);
  if (store->index != NULL)
    ragify_index_set_limit (store->index, limit);
}

void
ragify_store_set_filter_cache (RagifyStore *store, uint64_t bytes)
{
  ragify_terms_set_limit (store->terms, bytes);
}

uint64_t
ragify_store_memory_limit (const RagifyStore *store)
{
  const uint64_t limit = atomic_load (&store->memory_limit);
  return limit == RAGIFY_INDEX_UNLIMITED ? 0 : limit;
}

static bool
count_rows (RagifyConnection *connection, const char *sql, uint64_t *count, RagifyFault *fault)
{
  sqlite3_stmt *statement = ragify_connection_prepare (connection, sql, fault);
  if (statement == NULL || ragify_connection_step (connection, statement, fault) < 0)
    return false;
  *count = (uint64_t)sqlite3_column_int64 (statement, 0);
  (void)sqlite3_reset (statement);
  return true;
}

/* Writes down whose vectors these are going to be. */
static bool
adopt_embedder (RagifyStore *store, const RagifyEmbedderInfo *embedder, RagifyFault *fault)
{
  if (ragify_database_read_only (store->database) != NULL)
    return true;
  RagifyConnection *connection = ragify_database_begin_write (store->database, UINT64_MAX / 2, fault);
  if (connection == NULL)
    return false;
  bool ok = ragify_connection_execute (connection, "BEGIN IMMEDIATE", fault) &&
            ragify_database_write_fact (connection, "dimension", embedder->dimension, fault) &&
            ragify_database_write_fact_text (connection, "fingerprint", embedder->fingerprint, fault) &&
            ragify_connection_execute (connection, "COMMIT", fault);
  ragify_database_end_write (store->database);
  return ok;
}

/* Vectors of two embedders must never be compared. */
static bool
check_embedder (RagifyStore *store, RagifyConnection *connection, const RagifyDatabaseHead *head,
                const RagifyEmbedderInfo *embedder, RagifyFault *fault)
{
  static const char some[] = "SELECT EXISTS (SELECT 1 FROM vectors)";
  if (embedder->dimension == 0 || embedder->dimension > 65536)
    return ragify_fault_set (fault, RAGIFY_E_INVALID, "embedder: expected a dimension of 1 to 65536, found %u",
                             embedder->dimension);
  size_t known = strlen (head->fingerprint);
  bool same = head->dimension == embedder->dimension && known == embedder->fingerprint.size &&
              memcmp (head->fingerprint, embedder->fingerprint.data, known) == 0;
  uint64_t vectors = 0;
  if (same)
    return true;
  if (!count_rows (connection, some, &vectors, fault))
    return false;
  if (vectors == 0)
    return adopt_embedder (store, embedder, fault);
  return ragify_fault_set (fault, RAGIFY_E_INVALID,
                           "%s: its vectors are those of the embedder '%s' (dimension %u), but the embedder configured "
                           "now is '%.*s' (dimension %u); configure the former again, or embed everything anew with "
                           "`ragify-ctl reindex`",
                           store->folder, head->fingerprint, head->dimension, (int)embedder->fingerprint.size,
                           embedder->fingerprint.data, embedder->dimension);
}

/* A snapshot that is missing or of no use is no fault: the index is exact then, until it is built again. */
static bool
fill_index (RagifyStore *store, RagifyConnection *connection, RagifyFault *fault)
{
  RagifyBase base;
  bool wanted = !store->in_memory && !ragify_approximate_is_exact (store->factory);
  bool have = wanted && ragify_snapshot_read (store->folder, &store->id, store->factory,
                                              ragify_index_dimension (store->index), &base, fault);
  store->snapshot_useless = wanted && !have && fault->code != RAGIFY_E_NOT_FOUND;
  if (!ragify_loading_run (connection, store->index, have ? &base : NULL, &store->without_vector, fault))
    return false;
  ragify_index_set_limit (store->index, atomic_load (&store->memory_limit)); /* what is there already is served */
  /* The start looked at more of the database than searches do, and the heap keeps what it is given back. */
  (void)sqlite3_db_release_memory (ragify_connection_handle (connection));
  (void)malloc_trim (0);
  return true;
}

static bool
load (RagifyStore *store, RagifyConnection *connection, const RagifyEmbedderInfo *embedder, RagifyFault *fault)
{
  static const char documents[] = "SELECT count(*) FROM documents WHERE live = 1";
  static const char chunks[] = "SELECT count(*) FROM chunks WHERE staged = 0";
  RagifyDatabaseHead head;
  if (!ragify_database_read_head (connection, &head, fault))
    return false;
  bool ok = embedder == NULL || check_embedder (store, connection, &head, embedder, fault);
  free (head.fingerprint);
  uint64_t count;
  if (!ok || !count_rows (connection, documents, &count, fault))
    return false;
  atomic_store (&store->documents, count);
  if (!count_rows (connection, chunks, &count, fault))
    return false;
  atomic_store (&store->chunks, count);
  atomic_store (&store->generation, head.generation.counter);
  store->id = head.generation.store;
  if (embedder == NULL)
    return true;
  store->index = ragify_index_new (embedder->dimension, fault);
  return store->index != NULL && ragify_approximate_fits (store->factory, embedder->dimension, fault) &&
         fill_index (store, connection, fault);
}

bool
ragify_store_open (RagifyStore *store, const RagifyEmbedderInfo *embedder, RagifyFault *fault)
{
  store->database = ragify_database_open (&store->options, fault);
  if (store->database == NULL)
    return false;
  RagifyConnection *connection = ragify_database_borrow (store->database, fault);
  bool ok = connection != NULL && load (store, connection, embedder, fault);
  ragify_database_give_back (store->database, connection);
  if (!ok)
    ragify_store_close (store);
  return ok;
}

RagifyStoreNumbers
ragify_store_numbers (RagifyStore *store)
{
  RagifyStoreNumbers numbers = { .generation = { .struct_size = sizeof numbers.generation } };
  if (store->index != NULL)
    numbers.index = ragify_index_counts (store->index);
  numbers.filters = ragify_terms_counts (store->terms);
  numbers.generation.generation.store = store->id;
  numbers.generation.generation.counter = atomic_load (&store->generation);
  numbers.generation.documents = atomic_load (&store->documents);
  numbers.generation.chunks = atomic_load (&store->chunks);
  numbers.generation.vectors = numbers.index.vectors;
  return numbers;
}

bool
ragify_store_probe (RagifyStore *store, RagifyFault *fault)
{
  uint64_t generation;
  RagifyConnection *connection = ragify_database_borrow (store->database, fault);
  bool ok = connection != NULL && ragify_database_read_generation (connection, &generation, fault);
  ragify_database_give_back (store->database, connection);
  return ok;
}

bool
ragify_store_is_cancelled (void *user)
{
  const RagifyAnswer *answer = user;
  return answer->host->call_cancelled (answer->call) != 0;
}

RagifyConnection *
ragify_store_begin_write (RagifyStore *store, const RagifyAnswer *answer, RagifyFault *fault)
{
  return ragify_database_begin_write (store->database, answer->host->call_deadline_us (answer->call), fault);
}

/* The list of removed ids must be in the caller's memory before anything is committed. */
static bool
copy_removed (const RagifyAnswer *answer, const RagifyChange *change, RagifyUuidList *removed)
{
  size_t size = change->removed_count * sizeof (RagifyUuid);
  *removed = (RagifyUuidList){ 0 };
  if (size == 0)
    return true;
  RagifyUuid *items = ragify_answer_alloc (answer, size, change->fault);
  if (items == NULL)
    return false;
  memcpy (items, change->removed, size);
  *removed = (RagifyUuidList){ .items = items, .count = change->removed_count };
  return true;
}

/* What was committed becomes visible: the index first, then the generation that says so. */
static void
publish (RagifyStore *store, const RagifyChange *change)
{
  if (store->index != NULL) {
    ragify_index_publish (store->index, change->removed, change->removed_count);
    if (change->bare_count > 0)
      ragify_index_publish (store->index, change->bare, change->bare_count);
  }
  atomic_fetch_add (&store->documents, (uint64_t)change->documents);
  atomic_fetch_add (&store->chunks, (uint64_t)change->chunks);
  atomic_store (&store->generation, change->generation);
}

static RagifyChange
start_change (RagifyStore *store, const RagifyAnswer *answer, RagifyConnection *connection, RagifyFault *fault)
{
  return (RagifyChange){ .connection = connection,
                         .index = store->index,
                         .fault = fault,
                         .now = answer->host->wall_us (),
                         .cancelled = ragify_store_is_cancelled,
                         .user = (void *)answer };
}

/* What is only staged is nobody's yet: after a power cut it is written again, so its commits do not wait for the disk.
 * The commit that makes it findable does, for all that came before. */
static bool
is_staging (const RagifyStoreUpsert *args)
{
  const char *item = (const char *)args->documents.items;
  for (uint64_t i = 0; i < args->documents.count; i++, item += args->documents.stride)
    if (((const RagifyDocument *)(const void *)item)->mode != RAGIFY_DOCUMENT_STAGE)
      return false;
  return args->documents.count > 0;
}

static void
end_staging (RagifyConnection *connection)
{
  RagifyFault ignored;
  if (ragify_connection_busy (connection)) /* the setting cannot be changed inside a transaction */
    (void)ragify_connection_execute (connection, "ROLLBACK", &ignored);
  (void)ragify_connection_execute (connection, "PRAGMA synchronous=FULL", &ignored);
}

bool
ragify_store_upsert (RagifyStore *store, const RagifyAnswer *answer, const RagifyStoreUpsert *args,
                     RagifyStoreUpsertResult *result, RagifyFault *fault)
{
  RagifyConnection *connection = ragify_store_begin_write (store, answer, fault);
  if (connection == NULL)
    return false;
  RagifyChange change = start_change (store, answer, connection, fault);
  bool staging = is_staging (args);
  /* Asked before anything else, for parts of a document that is only staged, which the index does not see yet. */
  const bool grows = store->index != NULL && args->vectors.count > 0;
  bool ok = (!grows || ragify_index_check_limit (store->index, fault)) &&
            (!staging || ragify_connection_execute (connection, "PRAGMA synchronous=NORMAL", fault)) &&
            ragify_change_begin (&change) && ragify_upsert_apply (&change, args) &&
            copy_removed (answer, &change, &result->removed) && ragify_change_commit (&change);
  if (ok) {
    publish (store, &change);
    result->struct_size = sizeof *result;
    result->generation = (RagifyGeneration){ .store = store->id, .counter = change.generation };
    result->inserted = change.inserted;
  }
  ragify_change_clear (&change);
  if (staging)
    end_staging (connection);
  ragify_database_end_write (store->database);
  return ok;
}

static bool
find_matches (RagifyStore *store, const RagifyFilter *filter, RagifyMatches **matches, RagifyFault *fault)
{
  *matches = NULL;
  return filter == NULL || (*matches = ragify_selection_matches (store->terms, filter, store->database, fault)) != NULL;
}

bool
ragify_store_remove (RagifyStore *store, const RagifyAnswer *answer, const RagifyStoreRemove *args,
                     RagifyStoreRemoveResult *result, RagifyFault *fault)
{
  RagifyConnection *connection = ragify_store_begin_write (store, answer, fault);
  if (connection == NULL)
    return false;
  RagifyChange change = start_change (store, answer, connection, fault);
  /* Asked for while writing is ours: no metadata can come that it does not know. */
  RagifyMatches *matches;
  bool ok = find_matches (store, args->filter, &matches, fault) && ragify_change_begin (&change) &&
            ragify_removal_apply (&change, args, matches) && copy_removed (answer, &change, &result->removed);
  bool changed = change.removed_count > 0 || change.inserted > 0;
  if (ok && changed && (ok = ragify_change_commit (&change)))
    publish (store, &change);
  result->struct_size = sizeof *result;
  result->generation = (RagifyGeneration){ .store = store->id, .counter = atomic_load (&store->generation) };
  ragify_matches_unref (matches);
  ragify_change_clear (&change);
  ragify_database_end_write (store->database);
  return ok;
}

static bool
is_named (RagifyStr name, const char *wanted)
{
  return name.size == strlen (wanted) && memcmp (name.data, wanted, name.size) == 0;
}

/* By FAISS's name, or by that of PostgreSQL's extension, so that a request means the same to both. */
static bool
tune_one (const RagifyPair *pair, const char *name, const char *other, uint32_t *value, RagifyFault *fault)
{
  if (!is_named (pair->name, name) && !is_named (pair->name, other))
    return true;
  if (pair->value.type != RAGIFY_VALUE_INT || pair->value.integer < 1 || pair->value.integer > 1000000)
    return ragify_fault_set (fault, RAGIFY_E_INVALID, "search: '%.*s': expected an integer from 1 to 1000000",
                             (int)pair->name.size, pair->name.data);
  *value = (uint32_t)pair->value.integer;
  return true;
}

static bool
tune_exact (const RagifyPair *pair, bool *exact, RagifyFault *fault)
{
  if (!is_named (pair->name, "exact"))
    return true;
  if (pair->value.type != RAGIFY_VALUE_BOOL)
    return ragify_fault_set (fault, RAGIFY_E_INVALID, "search: 'exact': expected true or false");
  *exact = pair->value.integer != 0;
  return true;
}

static bool
tune (RagifyStore *store, const RagifyPairList *pairs, RagifyApproximateTuning *tuning, RagifyFault *fault)
{
  tuning->nprobe = atomic_load (&store->nprobe);
  tuning->ef_search = atomic_load (&store->ef_search);
  tuning->exact = false;
  for (uint64_t i = 0; i < pairs->count; i++)
    if (!tune_one (&pairs->items[i], "nprobe", "probes", &tuning->nprobe, fault) ||
        !tune_one (&pairs->items[i], "efSearch", "ef_search", &tuning->ef_search, fault) ||
        !tune_exact (&pairs->items[i], &tuning->exact, fault))
      return false;
  return true;
}

static bool
check_search (const RagifyStore *store, const RagifyStoreSearch *args, RagifyFault *fault)
{
  if (store->index == NULL)
    return ragify_fault_set (fault, RAGIFY_E_INVALID,
                             "this store has no embedder: it keeps chunks for words alone and cannot be searched by "
                             "vectors");
  if (args->top_k < 1 || args->top_k > 100000)
    return ragify_fault_set (fault, RAGIFY_E_INVALID, "top_k: expected 1 to 100000, found %u", args->top_k);
  if (args->scored.count > 65536)
    return ragify_fault_set (fault, RAGIFY_E_INVALID, "scored: expected at most 65536 chunks, found %llu",
                             (unsigned long long)args->scored.count);
  uint32_t dimension = ragify_index_dimension (store->index);
  if (args->vectors.count > 0 && args->vectors.dimension != dimension)
    return ragify_fault_set (fault, RAGIFY_E_INVALID, "vectors: expected dimension %u, found %u", dimension,
                             args->vectors.dimension);
  return true;
}

/* The query as it is when it has unit length, so that scores are cosines; otherwise scaled into `unit`. */
static const float *
make_unit (const float *vector, uint32_t dimension, float *unit, RagifyFault *fault)
{
  double sum = 0;
  for (uint32_t i = 0; i < dimension; i++)
    sum += (double)vector[i] * vector[i];
  if (!(sum > 0) || !isfinite (sum)) {
    ragify_fault_set (fault, RAGIFY_E_INVALID, "vectors: expected a finite vector that is not 0, found length %g",
                      sqrt (sum));
    return NULL;
  }
  if (fabs (sum - 1) < 1e-5)
    return vector;
  float scale = (float)(1 / sqrt (sum));
  for (uint32_t i = 0; i < dimension; i++)
    unit[i] = vector[i] * scale;
  return unit;
}

/* One query: what is nearest to it, and what the caller has from elsewhere. */
static bool
search_one (RagifyStore *store, const RagifyStoreSearch *args, const float *query, uint32_t wanted,
            RagifySelection *selection, const RagifyApproximateTuning *tuning, RagifyHit *hits, uint32_t *count,
            float *scores, RagifyFault *fault)
{
  return (wanted == 0 || ragify_index_search (store->index, query, wanted, selection, tuning, hits, count, fault)) &&
         ragify_index_score (store->index, query, args->scored.items, args->scored.count, scores, fault);
}

static bool
search_all (RagifyStore *store, const RagifyAnswer *answer, const RagifyStoreSearch *args, RagifySelection *selection,
            const RagifyApproximateTuning *tuning, RagifyStoreSearchResult *result, RagifyFault *fault)
{
  uint32_t dimension = args->vectors.dimension, queries = args->vectors.count;
  /* Rows that a writer adds meanwhile are found or not; room is needed for no more than are asked for. */
  uint64_t vectors = ragify_index_counts (store->index).vectors;
  uint32_t wanted = vectors < args->top_k ? (uint32_t)vectors : args->top_k;
  RagifyHit *hits = ragify_answer_alloc (answer, (uint64_t)queries * wanted * sizeof *hits, fault);
  uint32_t *counts = ragify_answer_alloc (answer, queries * sizeof *counts, fault);
  float *unit = ragify_answer_alloc (answer, dimension * sizeof *unit, fault);
  float *scores = ragify_answer_alloc (answer, queries * args->scored.count * sizeof *scores, fault);
  if (hits == NULL || counts == NULL || unit == NULL || scores == NULL)
    return false;
  uint64_t total = 0;
  for (uint32_t i = 0; i < queries; i++) {
    const float *query = make_unit (args->vectors.items + (size_t)i * dimension, dimension, unit, fault);
    if (query == NULL)
      return false;
    if (answer->host->call_cancelled (answer->call))
      return ragify_fault_set (fault, RAGIFY_E_CANCELLED, "the caller gave up");
    if (!search_one (store, args, query, wanted, selection, tuning, hits + total, &counts[i],
                     scores + i * args->scored.count, fault))
      return false;
    total += counts[i];
  }
  result->hits = (RagifyHitList){ .items = hits, .count = total };
  result->counts = (RagifyU32List){ .items = counts, .count = queries };
  if (args->scored.count > 0)
    result->scores = (RagifyVectors){ .items = scores, .count = queries, .dimension = (uint32_t)args->scored.count };
  return true;
}

bool
ragify_store_search (RagifyStore *store, const RagifyAnswer *answer, const RagifyStoreSearch *args,
                     RagifyStoreSearchResult *result, RagifyFault *fault)
{
  RagifyApproximateTuning tuning;
  RagifySelection *selection = NULL;
  if (!check_search (store, args, fault) || !tune (store, &args->tuning, &tuning, fault))
    return false;
  if (args->filter != NULL && (selection = ragify_selection_new (store->terms, args->filter, store->database,
                                                                 ragify_index_version (store->index), fault)) == NULL)
    return false;
  *result = (RagifyStoreSearchResult){ .struct_size = sizeof *result };
  bool ok = search_all (store, answer, args, selection, &tuning, result, fault);
  ragify_selection_free (selection);
  return ok;
}

static bool
fetch_chunks (RagifyStore *store, const RagifyAnswer *answer, const RagifyStoreFetch *args,
              RagifyStoreFetchResult *result, RagifyFault *fault)
{
  RagifyChunk *chunks = ragify_answer_alloc (answer, args->ids.count * sizeof *chunks, fault);
  RagifyConnection *connection = chunks == NULL ? NULL : ragify_database_borrow (store->database, fault);
  if (connection == NULL)
    return false;
  bool ok = ragify_reading_fetch (connection, answer, &args->ids, args->what, chunks, fault);
  ragify_database_give_back (store->database, connection);
  result->chunks = (RagifyChunkList){ .items = chunks, .count = args->ids.count, .stride = sizeof *chunks };
  return ok;
}

bool
ragify_store_fetch (RagifyStore *store, const RagifyAnswer *answer, const RagifyStoreFetch *args,
                    RagifyStoreFetchResult *result, RagifyFault *fault)
{
  *result = (RagifyStoreFetchResult){ .struct_size = sizeof *result, .chunks.stride = sizeof (RagifyChunk) };
  if ((args->what & (RAGIFY_FETCH_CONTENT | RAGIFY_FETCH_METADATA)) != 0 &&
      !fetch_chunks (store, answer, args, result, fault))
    return false;
  if ((args->what & RAGIFY_FETCH_VECTORS) == 0 || store->index == NULL)
    return true;
  uint32_t dimension = ragify_index_dimension (store->index);
  float *vectors = ragify_answer_alloc (answer, args->ids.count * dimension * sizeof *vectors, fault);
  if (vectors == NULL || !ragify_index_fetch (store->index, args->ids.items, args->ids.count, vectors, fault))
    return false;
  result->vectors = (RagifyVectors){ .items = vectors, .count = (uint32_t)args->ids.count, .dimension = dimension };
  return true;
}

bool
ragify_store_list (RagifyStore *store, const RagifyAnswer *answer, const RagifyStoreList *args,
                   RagifyStoreListResult *result, RagifyFault *fault)
{
  RagifyMatches *matches;
  if (!find_matches (store, args->filter, &matches, fault))
    return false;
  RagifyConnection *connection = ragify_database_borrow (store->database, fault);
  bool ok = connection != NULL && ragify_listing_page (connection, answer, args, matches, result, fault);
  ragify_database_give_back (store->database, connection);
  ragify_matches_unref (matches);
  return ok;
}
