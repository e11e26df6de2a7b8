/* Documents and chunks out: see RagifyStoreRemove. */
#include "change.h"

#include <stdlib.h>

#define CANCEL_EVERY 256

/* Documents that lost chunks, to be looked at afterwards. */
typedef struct {
  RagifyChange *change;
  int64_t *touched;
  size_t count;
  size_t room;
} Removal;

static bool
touch (Removal *removal, int64_t document)
{
  /* Chunks of one document usually come one after the other. */
  if (removal->count > 0 && removal->touched[removal->count - 1] == document)
    return true;
  if (removal->count == removal->room) {
    size_t room = removal->room * 2 + 64;
    int64_t *grown = realloc (removal->touched, room * sizeof *grown);
    if (grown == NULL)
      return ragify_fault_memory (removal->change->fault);
    removal->touched = grown;
    removal->room = room;
  }
  removal->touched[removal->count++] = document;
  return true;
}

static bool
run_with_number (RagifyChange *change, const char *sql, int64_t number)
{
  sqlite3_stmt *statement = ragify_connection_prepare (change->connection, sql, change->fault);
  if (statement == NULL)
    return false;
  (void)sqlite3_bind_int64 (statement, 1, number);
  return ragify_connection_run (change->connection, statement, change->fault);
}

static bool
remove_chunk (Removal *removal, const RagifyUuid *id, int64_t chunk, int64_t document)
{
  static const char leave[] = "UPDATE documents SET chunks = chunks - 1 WHERE number = ?1";
  RagifyChange *change = removal->change;
  if (change->gone_count % CANCEL_EVERY == 0 && ragify_change_cancelled (change))
    return false;
  change->chunks--;
  return touch (removal, document) && ragify_change_add_gone (change, id, document) &&
         ragify_change_drop_chunk (change, chunk) && run_with_number (change, leave, document);
}

static bool
remove_id (Removal *removal, const RagifyUuid *id)
{
  static const char find[] = "SELECT number, document FROM chunks WHERE uuid = ?1 AND staged = 0";
  RagifyChange *change = removal->change;
  sqlite3_stmt *statement = ragify_connection_prepare (change->connection, find, change->fault);
  if (statement == NULL)
    return false;
  ragify_bind_uuid (statement, 1, id);
  int answer = ragify_connection_step (change->connection, statement, change->fault);
  if (answer <= 0)
    return answer == 0;
  int64_t chunk = sqlite3_column_int64 (statement, 0), document = sqlite3_column_int64 (statement, 1);
  (void)sqlite3_reset (statement);
  return remove_chunk (removal, id, chunk, document);
}

/* All chunks whose metadata have this number. */
static bool
remove_metadata (Removal *removal, uint64_t metadata)
{
  static const char find[] = "SELECT number, document, uuid FROM chunks WHERE metadata = ?1 AND staged = 0 LIMIT 1";
  RagifyChange *change = removal->change;
  sqlite3_stmt *statement = ragify_connection_prepare (change->connection, find, change->fault);
  if (statement == NULL)
    return false;
  for (;;) {
    (void)sqlite3_bind_int64 (statement, 1, (int64_t)metadata);
    int answer = ragify_connection_step (change->connection, statement, change->fault);
    if (answer <= 0)
      return answer == 0;
    int64_t chunk = sqlite3_column_int64 (statement, 0), document = sqlite3_column_int64 (statement, 1);
    RagifyUuid id = ragify_column_uuid (statement, 2);
    (void)sqlite3_reset (statement);
    if (!remove_chunk (removal, &id, chunk, document))
      return false;
  }
}

/* Goes from one number that chunks carry to the next: numbers that none carries any more cost nothing. */
static bool
remove_matching (Removal *removal, const RagifyMatches *matches)
{
  static const char next[] = "SELECT min(metadata) FROM chunks WHERE metadata > ?1 AND staged = 0";
  RagifyChange *change = removal->change;
  sqlite3_stmt *statement = ragify_connection_prepare (change->connection, next, change->fault);
  if (statement == NULL)
    return false;
  for (int64_t number = -1;;) {
    (void)sqlite3_bind_int64 (statement, 1, number);
    if (ragify_connection_step (change->connection, statement, change->fault) < 0)
      return false;
    bool none = sqlite3_column_type (statement, 0) == SQLITE_NULL;
    number = sqlite3_column_int64 (statement, 0);
    (void)sqlite3_reset (statement);
    if (none)
      return true;
    if (ragify_matches_has (matches, (uint64_t)number) && !remove_metadata (removal, (uint64_t)number))
      return false;
  }
}

static bool
delete_document (RagifyChange *change, int64_t number, bool live)
{
  static const char sql[] = "DELETE FROM documents WHERE number = ?1";
  if (live) {
    change->documents--;
    if (!ragify_change_note_document (change, number))
      return false;
  }
  return run_with_number (change, sql, number);
}

static bool
remove_document (Removal *removal, RagifyStr id)
{
  static const char find[] = "SELECT number, live FROM documents WHERE id = ?1";
  RagifyChange *change = removal->change;
  sqlite3_stmt *statement = ragify_connection_prepare (change->connection, find, change->fault);
  if (statement == NULL)
    return false;
  ragify_bind_str (statement, 1, id);
  int answer = ragify_connection_step (change->connection, statement, change->fault);
  if (answer <= 0)
    return answer == 0;
  int64_t number = sqlite3_column_int64 (statement, 0);
  bool live = sqlite3_column_int (statement, 1) != 0;
  (void)sqlite3_reset (statement);
  /* The document's chunks are noted as removed while its row is still there to name it. */
  size_t before = change->gone_count;
  if (!ragify_change_drop_chunks (change, number, false) || !ragify_change_drop_chunks (change, number, true) ||
      !ragify_change_note_chunks (change, before))
    return false;
  change->inserted++; /* counts what the batch did, so that an empty document counts too */
  return delete_document (change, number, live);
}

/* A document that lost its last chunk is gone, unless more of it is staged; otherwise it changed. */
static bool
look_after (Removal *removal, int64_t number)
{
  static const char find[] = "SELECT chunks, staged, live FROM documents WHERE number = ?1";
  static const char empty[] = "UPDATE documents SET live = 0, content_hash = zeroblob (16) WHERE number = ?1";
  static const char changed[] = "UPDATE documents SET generation = ?2 WHERE number = ?1";
  RagifyChange *change = removal->change;
  sqlite3_stmt *statement = ragify_connection_prepare (change->connection, find, change->fault);
  if (statement == NULL)
    return false;
  (void)sqlite3_bind_int64 (statement, 1, number);
  int answer = ragify_connection_step (change->connection, statement, change->fault);
  if (answer <= 0)
    return answer == 0;
  int64_t chunks = sqlite3_column_int64 (statement, 0), staged = sqlite3_column_int64 (statement, 1);
  bool live = sqlite3_column_int (statement, 2) != 0;
  (void)sqlite3_reset (statement);
  if (chunks == 0 && staged == 0)
    return delete_document (change, number, live);
  if (chunks == 0 && live) {
    change->documents--;
    if (!run_with_number (change, empty, number))
      return false;
  }
  statement = ragify_connection_prepare (change->connection, changed, change->fault);
  if (statement == NULL)
    return false;
  (void)sqlite3_bind_int64 (statement, 1, number);
  (void)sqlite3_bind_int64 (statement, 2, (int64_t)change->generation);
  return ragify_connection_run (change->connection, statement, change->fault);
}

static bool
apply (Removal *removal, const RagifyStoreRemove *given, const RagifyMatches *matches)
{
  RagifyChange *change = removal->change;
  for (uint64_t i = 0; i < given->ids.count; i++)
    if (!remove_id (removal, &given->ids.items[i]))
      return false;
  if (matches != NULL && !remove_matching (removal, matches))
    return false;
  if (!ragify_change_note_chunks (change, 0))
    return false;
  for (size_t i = 0; i < removal->count; i++)
    if (!look_after (removal, removal->touched[i]))
      return false;
  for (uint64_t i = 0; i < given->documents.count; i++)
    if (!remove_document (removal, given->documents.items[i]))
      return false;
  return true;
}

bool
ragify_removal_apply (RagifyChange *change, const RagifyStoreRemove *given, const RagifyMatches *matches)
{
  Removal removal = { .change = change };
  bool ok = apply (&removal, given, matches);
  free (removal.touched);
  return ok;
}
