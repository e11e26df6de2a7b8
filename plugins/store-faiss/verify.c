/* Whether what the store holds agrees with itself, and mending it.
 *
 * Mended is what other parts of the store can tell: indexes of the database, counts, rows that belong to nothing. A
 * chunk whose vector is damaged loses it, and its document the hash that says it is unchanged: it is found by words,
 * and whole again when it is ingested the next time. */
#include "store-private.h"

#include "change.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_PROBLEMS 100u
#define MOST_TEXT 300u
#define UNIT_TOLERANCE 0.02F

typedef struct Verification {
  RagifyStore *store;
  const RagifyAnswer *answer;
  RagifyConnection *connection;
  RagifyStr *problems;
  RagifyStoreVerifyResult *result;
  RagifyFault *fault;
  int64_t *damaged; /* chunks whose vectors are */
  size_t damaged_count, damaged_room;
  bool indexes; /* the database's are wrong */
  bool writes;  /* the connection is the one that writes */
} Verification;

/* What is counted, what it is, and what mends it. */
typedef struct Rule {
  const char *count, *text, *mend;
} Rule;

static const Rule rules[] = {
  { "SELECT count(*) FROM vectors WHERE chunk NOT IN (SELECT number FROM chunks)", "vectors that belong to no chunk",
    "DELETE FROM vectors WHERE chunk NOT IN (SELECT number FROM chunks)" },
  { "SELECT count(*) FROM chunks WHERE document NOT IN (SELECT number FROM documents)",
    "chunks that belong to no document", "DELETE FROM chunks WHERE document NOT IN (SELECT number FROM documents)" },
  { "SELECT count(*) FROM documents d WHERE chunks <> (SELECT count(*) FROM chunks c WHERE c.document = d.number AND"
    " c.staged = 0)",
    "documents whose number of chunks is wrong",
    "UPDATE documents AS d SET chunks = (SELECT count(*) FROM chunks c WHERE c.document = d.number AND c.staged = 0)"
    " WHERE chunks <> (SELECT count(*) FROM chunks c WHERE c.document = d.number AND c.staged = 0)" },
  { "SELECT count(*) FROM documents d WHERE staged <> (SELECT count(*) FROM chunks c WHERE c.document = d.number AND"
    " c.staged = 1)",
    "documents whose number of staged chunks is wrong",
    "UPDATE documents AS d SET staged = (SELECT count(*) FROM chunks c WHERE c.document = d.number AND c.staged = 1)"
    " WHERE staged <> (SELECT count(*) FROM chunks c WHERE c.document = d.number AND c.staged = 1)" },
  { "SELECT count(*) FROM chunks WHERE metadata <> 0 AND metadata NOT IN (SELECT number FROM metadata)",
    "chunks whose metadata are lost",
    "UPDATE chunks SET metadata = 0 WHERE metadata NOT IN (SELECT number FROM metadata)" },
};

static bool
add_problem (Verification *verification, const char *text)
{
  RagifyStrList *list = &verification->result->problems;
  if (list->count == MOST_PROBLEMS)
    return true;
  RagifyStr *place = &verification->problems[list->count];
  if (!ragify_answer_copy (verification->answer, ragify_str (text, strlen (text)), place, verification->fault))
    return false;
  list->count++;
  return true;
}

/* ---- looking ---- */

/* The file's own structure, and whether its indexes have what its tables have. */
static bool
check_structure (Verification *verification)
{
  static const char sql[] = "PRAGMA integrity_check (100)";
  sqlite3_stmt *statement = ragify_connection_prepare (verification->connection, sql, verification->fault);
  if (statement == NULL)
    return false;
  int row;
  bool ok = true;
  while (ok && (row = ragify_connection_step (verification->connection, statement, verification->fault)) > 0) {
    const char *text = (const char *)sqlite3_column_text (statement, 0);
    if (text == NULL || strcmp (text, "ok") == 0)
      continue;
    verification->indexes = true;
    ok = add_problem (verification, text);
  }
  if (!ok)
    (void)sqlite3_reset (statement);
  return ok && row >= 0;
}

static bool
count (Verification *verification, const char *sql, int64_t *number)
{
  sqlite3_stmt *statement = ragify_connection_prepare (verification->connection, sql, verification->fault);
  if (statement == NULL || ragify_connection_step (verification->connection, statement, verification->fault) < 0)
    return false;
  *number = sqlite3_column_int64 (statement, 0);
  (void)sqlite3_reset (statement);
  return true;
}

static bool
check_rules (Verification *verification, bool *wrong)
{
  char text[MOST_TEXT];
  for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
    int64_t found;
    if (!count (verification, rules[i].count, &found))
      return false;
    wrong[i] = found > 0;
    (void)snprintf (text, sizeof text, "%" PRId64 " %s", found, rules[i].text);
    if (found > 0 && !add_problem (verification, text))
      return false;
  }
  return true;
}

static bool
is_sound (const RagifyStore *store, const float *vector, size_t size)
{
  uint32_t dimension = ragify_index_dimension (store->index);
  float sum = 0;
  if (vector == NULL || size != dimension * sizeof *vector)
    return false;
  for (uint32_t i = 0; i < dimension; i++)
    sum += vector[i] * vector[i];
  return fabsf (sqrtf (sum) - 1) <= UNIT_TOLERANCE;
}

static bool
note_damaged (Verification *verification, int64_t chunk)
{
  if (verification->damaged_count == verification->damaged_room) {
    size_t room = verification->damaged_room * 2 + 64;
    int64_t *grown = realloc (verification->damaged, room * sizeof *grown);
    if (grown == NULL)
      return ragify_fault_memory (verification->fault);
    verification->damaged = grown;
    verification->damaged_room = room;
  }
  verification->damaged[verification->damaged_count++] = chunk;
  return true;
}

static bool
check_vectors (Verification *verification)
{
  static const char sql[] = "SELECT chunk, vector FROM vectors";
  if (verification->store->index == NULL)
    return true;
  sqlite3_stmt *statement = ragify_connection_prepare (verification->connection, sql, verification->fault);
  if (statement == NULL)
    return false;
  int row;
  bool ok = true;
  while (ok && (row = ragify_connection_step (verification->connection, statement, verification->fault)) > 0) {
    verification->result->looked_at++;
    if (!is_sound (verification->store, sqlite3_column_blob (statement, 1),
                   (size_t)sqlite3_column_bytes (statement, 1)))
      ok = note_damaged (verification, sqlite3_column_int64 (statement, 0));
  }
  if (!ok)
    (void)sqlite3_reset (statement);
  char text[MOST_TEXT];
  (void)snprintf (text, sizeof text, "%zu chunks have a vector that is damaged", verification->damaged_count);
  return ok && row >= 0 && (verification->damaged_count == 0 || add_problem (verification, text));
}

/* Index and database agree between two writes. */
static bool
count_between_writes (Verification *verification, const char *sql, int64_t *number)
{
  RagifyStore *store = verification->store;
  RagifyConnection *reader = verification->connection;
  if (verification->writes || ragify_database_read_only (store->database) != NULL)
    return count (verification, sql, number);
  verification->connection = ragify_store_begin_write (store, verification->answer, verification->fault);
  bool ok = verification->connection != NULL && count (verification, sql, number);
  if (verification->connection != NULL)
    ragify_database_end_write (store->database);
  verification->connection = reader;
  return ok;
}

/* What is searched is what the database has. */
static bool
check_index (Verification *verification)
{
  static const char sql[] = "SELECT count(*) FROM chunks WHERE staged = 0 AND number IN (SELECT chunk FROM vectors)";
  const RagifyStore *store = verification->store;
  int64_t expected;
  if (store->index == NULL || !count_between_writes (verification, sql, &expected))
    return store->index == NULL;
  uint64_t found = ragify_index_counts (store->index).vectors;
  char text[MOST_TEXT];
  (void)snprintf (text, sizeof text,
                  "the index has %" PRIu64 " vectors where the database has %" PRId64 ": the next start makes it anew",
                  found, expected);
  return found == (uint64_t)expected || add_problem (verification, text);
}

/* ---- mending ---- */

static bool
forget_vector (Verification *verification, int64_t chunk, RagifyUuid *id)
{
  static const char find[] = "SELECT uuid FROM chunks WHERE number = ?1";
  static const char unsettle[] = "UPDATE documents SET content_hash = zeroblob (16) WHERE number ="
                                 " (SELECT document FROM chunks WHERE number = ?1)";
  static const char drop[] = "DELETE FROM vectors WHERE chunk = ?1";
  static const char *const steps[] = { unsettle, drop };
  sqlite3_stmt *statement = ragify_connection_prepare (verification->connection, find, verification->fault);
  if (statement == NULL)
    return false;
  (void)sqlite3_bind_int64 (statement, 1, chunk);
  int row = ragify_connection_step (verification->connection, statement, verification->fault);
  if (row > 0) {
    *id = ragify_column_uuid (statement, 0);
    (void)sqlite3_reset (statement);
  }
  for (int i = 0; row >= 0 && i < 2; i++) {
    statement = ragify_connection_prepare (verification->connection, steps[i], verification->fault);
    if (statement == NULL)
      return false;
    (void)sqlite3_bind_int64 (statement, 1, chunk);
    if (!ragify_connection_run (verification->connection, statement, verification->fault))
      return false;
  }
  return row >= 0;
}

/* In one transaction; the vectors that are gone leave the index once it is committed. */
static bool
mend_all (Verification *verification, const bool *wrong, RagifyUuid *gone)
{
  RagifyConnection *connection = verification->connection;
  uint64_t generation;
  if ((verification->indexes && !ragify_connection_execute (connection, "REINDEX", verification->fault)) ||
      !ragify_connection_execute (connection, "BEGIN IMMEDIATE", verification->fault) ||
      !ragify_database_read_generation (connection, &generation, verification->fault))
    return false;
  for (size_t i = 0; i < verification->damaged_count; i++)
    if (!forget_vector (verification, verification->damaged[i], &gone[i]))
      return false;
  for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
    if (wrong[i] && !ragify_connection_execute (connection, rules[i].mend, verification->fault))
      return false;
  if (!ragify_database_write_fact (connection, "generation", (int64_t)generation + 1, verification->fault) ||
      !ragify_connection_execute (connection, "COMMIT", verification->fault))
    return false;
  if (verification->damaged_count > 0)
    ragify_index_publish (verification->store->index, gone, verification->damaged_count);
  atomic_store (&verification->store->generation, generation + 1);
  return true;
}

static bool
mend (Verification *verification, const bool *wrong)
{
  RagifyUuid *gone = calloc (verification->damaged_count + 1, sizeof *gone);
  if (gone == NULL)
    return ragify_fault_memory (verification->fault);
  bool ok = mend_all (verification, wrong, gone);
  free (gone);
  return ok;
}

/* ---- the whole ---- */

static bool
look (Verification *verification, bool *wrong)
{
  static const char rows[] = "SELECT (SELECT count(*) FROM documents) + (SELECT count(*) FROM chunks)";
  int64_t looked_at;
  verification->result->problems = (RagifyStrList){ .items = verification->problems };
  verification->result->looked_at = 0;
  verification->damaged_count = 0;
  verification->indexes = false;
  if (!check_structure (verification) || !count (verification, rows, &looked_at) ||
      !check_rules (verification, wrong) || !check_vectors (verification) || !check_index (verification))
    return false;
  verification->result->looked_at += (uint64_t)looked_at;
  return true;
}

/* With the writing connection where it is to be mended, so that nothing changes meanwhile. */
static bool
run (Verification *verification, bool repair)
{
  bool wrong[sizeof rules / sizeof *rules] = { false };
  if (!look (verification, wrong))
    return false;
  uint64_t found = verification->result->problems.count;
  if (found == 0 || !repair)
    return true;
  if (!mend (verification, wrong) || !look (verification, wrong))
    return false;
  uint64_t left = verification->result->problems.count;
  verification->result->repaired = found > left ? found - left : 0;
  return true;
}

bool
ragify_store_verify (RagifyStore *store, const RagifyAnswer *answer, const RagifyStoreVerify *args,
                     RagifyStoreVerifyResult *result, RagifyFault *fault)
{
  bool repair = (args->flags & RAGIFY_VERIFY_REPAIR) != 0;
  *result = (RagifyStoreVerifyResult){ .struct_size = sizeof *result };
  Verification verification = { .store = store, .answer = answer, .result = result, .fault = fault };
  verification.problems = ragify_answer_alloc (answer, MOST_PROBLEMS * sizeof *verification.problems, fault);
  if (verification.problems == NULL)
    return false;
  verification.writes = repair;
  verification.connection =
      repair ? ragify_store_begin_write (store, answer, fault) : ragify_database_borrow (store->database, fault);
  if (verification.connection == NULL)
    return false;
  bool ok = run (&verification, repair);
  if (repair)
    ragify_database_end_write (store->database);
  else
    ragify_database_give_back (store->database, verification.connection);
  free (verification.damaged);
  return ok;
}
