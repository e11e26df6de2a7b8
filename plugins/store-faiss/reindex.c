/* Vectors of another embedder: made in a table beside the one that there is, which they replace once they are all
 * there.
 *
 * A chunk's number is never used twice, so a vector that was made for one version of a chunk never passes for that of
 * another: a chunk that was written again has none, and is handed out again. */
#include "store-private.h"

#include "snapshot.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MOST_CHUNKS 10000u
#define UNIT_TOLERANCE 0.01F

/* What the file says about it. */
typedef struct State {
  bool finished; /* the vectors are the embedder's */
  bool begun;    /* vectors of the embedder are being made */
  bool another;  /* … of another one */
} State;

static const char begin_sql[] = "CREATE TABLE vectors_next (chunk INTEGER PRIMARY KEY, vector BLOB NOT NULL);"
                                "CREATE TRIGGER vectors_next_gone AFTER DELETE ON chunks BEGIN"
                                " DELETE FROM vectors_next WHERE chunk = old.number; END;";
static const char drop_sql[] = "DROP TRIGGER IF EXISTS vectors_next_gone; DROP TABLE IF EXISTS vectors_next;"
                               "DELETE FROM facts WHERE name IN ('next_fingerprint', 'next_dimension');";
/* What is only staged has vectors of the former embedder, and is brought again. */
static const char finish_sql[] =
    "DELETE FROM chunks WHERE staged = 1;"
    "DELETE FROM documents WHERE live = 0;"
    "UPDATE documents SET staged = 0, staged_hash = zeroblob (16) WHERE staged > 0;"
    "DROP TRIGGER vectors_next_gone; DROP TABLE vectors; ALTER TABLE vectors_next RENAME TO vectors;"
    "DELETE FROM facts WHERE name IN ('next_fingerprint', 'next_dimension');";

static bool
is_text (const char *text, RagifyStr other)
{
  return strlen (text) == other.size && (other.size == 0 || memcmp (text, other.data, other.size) == 0);
}

static bool
read_state (RagifyConnection *connection, const RagifyStoreReindex *args, State *state, RagifyFault *fault)
{
  RagifyDatabaseHead head;
  char *next;
  if (!ragify_database_read_head (connection, &head, fault))
    return false;
  if (!ragify_database_read_text (connection, "next_fingerprint", &next, fault)) {
    free (head.fingerprint);
    return false;
  }
  state->finished = head.dimension == args->dimension && is_text (head.fingerprint, args->fingerprint);
  state->begun = next[0] != '\0' && is_text (next, args->fingerprint);
  state->another = next[0] != '\0' && !state->begun;
  free (head.fingerprint);
  free (next);
  return true;
}

static bool
check (const RagifyStore *store, const RagifyStoreReindex *args, RagifyFault *fault)
{
  if (args->fingerprint.size == 0 || args->dimension == 0 || args->dimension > 65536)
    return ragify_fault_set (fault, RAGIFY_E_INVALID, "embedder: expected a fingerprint and a dimension of 1 to 65536");
  if (args->limit > MOST_CHUNKS)
    return ragify_fault_set (fault, RAGIFY_E_INVALID, "limit: expected 0 to %u, found %u", MOST_CHUNKS, args->limit);
  if (args->vectors.count != args->ids.count || (args->ids.count > 0 && args->vectors.dimension != args->dimension))
    return ragify_fault_set (
        fault, RAGIFY_E_INVALID, "vectors: expected %llu of dimension %u, found %u of dimension %u",
        (unsigned long long)args->ids.count, args->dimension, args->vectors.count, args->vectors.dimension);
  if (args->ids.count > 0 && memcmp (&args->as_of.store, &store->id, sizeof store->id) != 0)
    return ragify_fault_set (fault, RAGIFY_E_INVALID, "as_of: it is of another store");
  for (uint32_t i = 0; i < args->vectors.count; i++) {
    float sum = 0;
    for (uint32_t j = 0; j < args->dimension; j++)
      sum +=
          args->vectors.items[(size_t)i * args->dimension + j] * args->vectors.items[(size_t)i * args->dimension + j];
    if (!(fabsf (sqrtf (sum) - 1) <= UNIT_TOLERANCE))
      return ragify_fault_set (fault, RAGIFY_E_INVALID, "vectors[%u]: expected length 1, found %g", i, sqrtf (sum));
  }
  return true;
}

/* ---- writing ---- */

/* 1 when the vector counts now, 0 when its chunk is another one meanwhile, -1 failed. */
static int
put_one (RagifyConnection *connection, const RagifyStoreReindex *args, uint64_t index, RagifyFault *fault)
{
  static const char sql[] = "INSERT OR IGNORE INTO vectors_next (chunk, vector) SELECT number, ?3 FROM chunks"
                            " WHERE uuid = ?1 AND staged = 0 AND generation <= ?2";
  sqlite3_stmt *statement = ragify_connection_prepare (connection, sql, fault);
  if (statement == NULL)
    return -1;
  ragify_bind_uuid (statement, 1, &args->ids.items[index]);
  (void)sqlite3_bind_int64 (statement, 2, (int64_t)args->as_of.counter);
  (void)sqlite3_bind_blob64 (statement, 3, args->vectors.items + index * args->dimension,
                             args->dimension * sizeof *args->vectors.items, SQLITE_STATIC);
  if (!ragify_connection_run (connection, statement, fault))
    return -1;
  return ragify_connection_changes (connection) > 0;
}

static bool
put (RagifyStore *store, RagifyConnection *connection, const RagifyStoreReindex *args, RagifyFault *fault)
{
  int64_t added = 0;
  if (!ragify_connection_execute (connection, "BEGIN IMMEDIATE", fault))
    return false;
  for (uint64_t i = 0; i < args->ids.count; i++) {
    int result = put_one (connection, args, i, fault);
    if (result < 0)
      return false;
    added += result;
  }
  if (!ragify_connection_execute (connection, "COMMIT", fault))
    return false;
  if (atomic_load (&store->renewed) >= 0)
    atomic_fetch_add (&store->renewed, added);
  return true;
}

static bool
begin (RagifyStore *store, RagifyConnection *connection, const RagifyStoreReindex *args, RagifyFault *fault)
{
  bool ok = ragify_connection_execute (connection, "BEGIN IMMEDIATE", fault) &&
            ragify_connection_execute (connection, drop_sql, fault) &&
            ragify_connection_execute (connection, begin_sql, fault) &&
            ragify_database_write_fact (connection, "next_dimension", args->dimension, fault) &&
            ragify_database_write_fact_text (connection, "next_fingerprint", args->fingerprint, fault) &&
            ragify_connection_execute (connection, "COMMIT", fault);
  if (ok)
    atomic_store (&store->renewed, 0);
  return ok;
}

static bool
drop (RagifyStore *store, RagifyConnection *connection, RagifyFault *fault)
{
  bool ok = ragify_connection_execute (connection, "BEGIN IMMEDIATE", fault) &&
            ragify_connection_execute (connection, drop_sql, fault) &&
            ragify_connection_execute (connection, "COMMIT", fault);
  if (ok)
    atomic_store (&store->renewed, -1);
  return ok;
}

/* ---- reading ---- */

static bool
read_count (RagifyConnection *connection, const char *sql, int64_t *count, RagifyFault *fault)
{
  sqlite3_stmt *statement = ragify_connection_prepare (connection, sql, fault);
  if (statement == NULL || ragify_connection_step (connection, statement, fault) < 0)
    return false;
  *count = sqlite3_column_int64 (statement, 0);
  (void)sqlite3_reset (statement);
  return true;
}

static bool
count_renewed (RagifyStore *store, RagifyConnection *connection, RagifyFault *fault)
{
  static const char sql[] = "SELECT count(*) FROM vectors_next";
  int64_t count;
  if (atomic_load (&store->renewed) >= 0)
    return true;
  if (!read_count (connection, sql, &count, fault))
    return false;
  atomic_store (&store->renewed, count);
  return true;
}

/* Chunks without a new vector whose number is larger than `after`, into chunks[limit]; how many to *found. */
static bool
list_missing (RagifyConnection *connection, const RagifyAnswer *answer, int64_t after, uint32_t limit,
              RagifyChunk *chunks, uint64_t *found, RagifyFault *fault)
{
  static const char sql[] = "SELECT " RAGIFY_READING_COLUMNS " FROM chunks c CROSS JOIN documents d"
                            " WHERE c.number > ?1 AND c.staged = 0 AND d.number = c.document"
                            " AND NOT EXISTS (SELECT 1 FROM vectors_next n WHERE n.chunk = c.number)"
                            " ORDER BY c.number LIMIT ?2";
  sqlite3_stmt *statement = ragify_connection_prepare (connection, sql, fault);
  if (statement == NULL)
    return false;
  (void)sqlite3_bind_int64 (statement, 1, after);
  (void)sqlite3_bind_int64 (statement, 2, limit);
  int row;
  uint64_t count = 0;
  bool ok = true;
  while (ok && (row = ragify_connection_step (connection, statement, fault)) > 0)
    ok = ragify_reading_chunk (connection, answer, statement, 0, RAGIFY_FETCH_CONTENT, &chunks[count++], fault);
  if (!ok)
    (void)sqlite3_reset (statement);
  *found = count;
  return ok && row >= 0;
}

/* They come in the order of their numbers, so what is missing is mostly behind the last one there is. */
static bool
hand_out (RagifyConnection *connection, const RagifyAnswer *answer, uint32_t limit, RagifyStoreReindexResult *result,
          RagifyFault *fault)
{
  static const char last[] = "SELECT max(chunk) FROM vectors_next";
  int64_t after;
  uint64_t found = 0;
  RagifyChunk *chunks = ragify_answer_alloc (answer, limit * sizeof *chunks, fault);
  bool ok = chunks != NULL && ragify_connection_execute (connection, "BEGIN", fault) &&
            ragify_database_read_generation (connection, &result->generation.counter, fault) &&
            read_count (connection, last, &after, fault) &&
            list_missing (connection, answer, after, limit, chunks, &found, fault) &&
            (found > 0 || list_missing (connection, answer, 0, limit, chunks, &found, fault)) &&
            ragify_connection_execute (connection, "COMMIT", fault);
  if (ok)
    result->chunks = (RagifyChunkList){ .items = chunks, .count = found, .stride = sizeof *chunks };
  return ok;
}

/* ---- the end ---- */

static bool
replace (RagifyStore *store, RagifyConnection *connection, const RagifyStoreReindex *args, RagifyFault *fault)
{
  uint64_t generation;
  if (!ragify_database_read_generation (connection, &generation, fault) ||
      !ragify_connection_execute (connection, finish_sql, fault) ||
      !ragify_database_write_fact (connection, "dimension", args->dimension, fault) ||
      !ragify_database_write_fact_text (connection, "fingerprint", args->fingerprint, fault) ||
      !ragify_database_write_fact (connection, "generation", (int64_t)generation + 1, fault))
    return false;
  /* It is of the former vectors. Where the commit fails, the next start is exact until the next build. */
  if (!store->in_memory)
    ragify_snapshot_remove (store->folder);
  return ragify_connection_execute (connection, "COMMIT", fault);
}

/* False without a fault where some are missing. */
static bool
finish (RagifyStore *store, RagifyConnection *connection, const RagifyStoreReindex *args, bool *failed,
        RagifyFault *fault)
{
  static const char missing[] = "SELECT EXISTS (SELECT 1 FROM chunks c WHERE c.staged = 0 AND NOT EXISTS"
                                " (SELECT 1 FROM vectors_next n WHERE n.chunk = c.number))";
  int64_t some;
  *failed = true;
  if (!ragify_connection_execute (connection, "BEGIN IMMEDIATE", fault) ||
      !read_count (connection, missing, &some, fault))
    return false;
  if (some == 0 && atomic_flag_test_and_set (&store->building))
    return ragify_fault_set (fault, RAGIFY_E_UNAVAILABLE, "an index of the former vectors is still being built");
  if (some == 0 && !replace (store, connection, args, fault)) {
    atomic_flag_clear (&store->building);
    return false;
  }
  *failed = false;
  if (some == 0)
    ragify_database_retire (store->database);
  return some == 0;
}

/* ---- the whole ---- */

static bool
write_some (RagifyStore *store, const RagifyAnswer *answer, const RagifyStoreReindex *args, State *state,
            RagifyFault *fault)
{
  RagifyConnection *connection = ragify_store_begin_write (store, answer, fault);
  if (connection == NULL)
    return false;
  bool ok = true, failed = false;
  if ((args->flags & RAGIFY_REINDEX_DROP) != 0)
    ok = drop (store, connection, fault);
  else if (!state->begun)
    ok = begin (store, connection, args, fault);
  else if (args->ids.count > 0)
    ok = put (store, connection, args, fault);
  if (ok && (args->flags & RAGIFY_REINDEX_FINISH) != 0) {
    state->finished = finish (store, connection, args, &failed, fault);
    ok = !failed;
  }
  ragify_database_end_write (store->database);
  return ok;
}

static bool
read_some (RagifyStore *store, const RagifyAnswer *answer, const RagifyStoreReindex *args,
           RagifyStoreReindexResult *result, RagifyFault *fault)
{
  RagifyConnection *connection = ragify_database_borrow (store->database, fault);
  bool ok = connection != NULL && count_renewed (store, connection, fault) &&
            (args->limit == 0 || hand_out (connection, answer, args->limit, result, fault));
  /* Of chunks that were replaced the vectors are gone, and nobody has counted those. */
  if (ok && atomic_load (&store->renewed) + (int64_t)result->chunks.count > (int64_t)result->total) {
    atomic_store (&store->renewed, -1);
    ok = count_renewed (store, connection, fault);
  }
  ragify_database_give_back (store->database, connection);
  return ok;
}

bool
ragify_store_reindex (RagifyStore *store, const RagifyAnswer *answer, const RagifyStoreReindex *args,
                      RagifyStoreReindexResult *result, RagifyFault *fault)
{
  State state;
  if (!check (store, args, fault))
    return false;
  RagifyConnection *connection = ragify_database_borrow (store->database, fault);
  bool ok = connection != NULL && read_state (connection, args, &state, fault);
  ragify_database_give_back (store->database, connection);
  if (!ok)
    return false;
  *result = (RagifyStoreReindexResult){ .struct_size = sizeof *result,
                                        .generation = { store->id, atomic_load (&store->generation) },
                                        .total = atomic_load (&store->chunks) };
  bool looks = args->flags == 0 && args->limit == 0 && args->ids.count == 0;
  bool drops = (args->flags & RAGIFY_REINDEX_DROP) != 0;
  if (!state.finished && !looks && (!state.begun || args->ids.count > 0 || args->flags != 0) &&
      !write_some (store, answer, args, &state, fault))
    return false;
  bool has_table = state.begun || (!looks && !drops);
  if (!state.finished && !drops && has_table && !read_some (store, answer, args, result, fault))
    return false;
  int64_t renewed = atomic_load (&store->renewed);
  result->finished = state.finished;
  result->done = state.finished ? result->total : !has_table || renewed < 0 ? 0 : (uint64_t)renewed;
  if (result->done > result->total)
    result->done = result->total;
  return true;
}
