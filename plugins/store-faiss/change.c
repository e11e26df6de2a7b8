#include "change.h"

#include "database.h"

#include <stdlib.h>
#include <string.h>

bool
ragify_change_begin (RagifyChange *change)
{
  if (!ragify_connection_execute (change->connection, "BEGIN IMMEDIATE", change->fault) ||
      !ragify_database_read_generation (change->connection, &change->generation, change->fault))
    return false;
  change->generation++;
  return true;
}

/* Forgets the oldest removals where there are too many, and says from where on they are known. */
static bool
prune_removals (RagifyChange *change)
{
  static const char count[] = "SELECT min(number), max(number) FROM removals";
  static const char border[] = "SELECT max(generation) FROM removals WHERE number <= ?1";
  static const char prune[] = "DELETE FROM removals WHERE generation <= ?1";
  sqlite3_stmt *statement = ragify_connection_prepare (change->connection, count, change->fault);
  if (statement == NULL || ragify_connection_step (change->connection, statement, change->fault) < 0)
    return false;
  int64_t first = sqlite3_column_int64 (statement, 0), last = sqlite3_column_int64 (statement, 1);
  (void)sqlite3_reset (statement);
  if (last - first < 2 * (int64_t)RAGIFY_REMOVALS_KEPT)
    return true;
  statement = ragify_connection_prepare (change->connection, border, change->fault);
  if (statement == NULL)
    return false;
  (void)sqlite3_bind_int64 (statement, 1, last - RAGIFY_REMOVALS_KEPT);
  if (ragify_connection_step (change->connection, statement, change->fault) < 0)
    return false;
  int64_t horizon = sqlite3_column_int64 (statement, 0);
  (void)sqlite3_reset (statement);
  statement = ragify_connection_prepare (change->connection, prune, change->fault);
  if (statement == NULL)
    return false;
  (void)sqlite3_bind_int64 (statement, 1, horizon);
  return ragify_connection_run (change->connection, statement, change->fault) &&
         ragify_database_write_fact (change->connection, "horizon", horizon, change->fault);
}

bool
ragify_change_commit (RagifyChange *change)
{
  if (change->removed_count > 0 && !prune_removals (change))
    return false;
  if (ragify_change_cancelled (change))
    return false;
  return ragify_database_write_fact (change->connection, "generation", (int64_t)change->generation, change->fault) &&
         ragify_connection_execute (change->connection, "COMMIT", change->fault);
}

void
ragify_change_clear (RagifyChange *change)
{
  if (change->index != NULL)
    ragify_index_discard (change->index);
  free (change->gone);
  free (change->bare);
  free (change->removed);
  change->gone = NULL;
  change->bare = NULL;
  change->removed = NULL;
}

bool
ragify_change_cancelled (RagifyChange *change)
{
  if (change->cancelled == NULL || !change->cancelled (change->user))
    return false;
  ragify_fault_set (change->fault, RAGIFY_E_CANCELLED, "the caller gave up; nothing was changed");
  return true;
}

/* Room for one more item of an array that doubles; NULL when memory is exhausted. */
static void *
grow (void *items, size_t size, size_t count, size_t *room)
{
  if (count < *room)
    return items;
  size_t larger = *room * 2 + 64;
  void *grown = realloc (items, larger * size);
  if (grown != NULL)
    *room = larger;
  return grown;
}

bool
ragify_change_add_gone (RagifyChange *change, const RagifyUuid *id, int64_t document)
{
  RagifyGone *grown = grow (change->gone, sizeof *grown, change->gone_count, &change->gone_room);
  if (grown == NULL)
    return ragify_fault_memory (change->fault);
  change->gone = grown;
  change->gone[change->gone_count++] = (RagifyGone){ .id = *id, .document = document };
  return true;
}

bool
ragify_change_add_bare (RagifyChange *change, const RagifyUuid *id)
{
  RagifyUuid *grown = grow (change->bare, sizeof *grown, change->bare_count, &change->bare_room);
  if (grown == NULL)
    return ragify_fault_memory (change->fault);
  change->bare = grown;
  change->bare[change->bare_count++] = *id;
  return true;
}

static int
compare_gone (const void *left, const void *right)
{
  return memcmp (&((const RagifyGone *)left)->id, &((const RagifyGone *)right)->id, sizeof (RagifyUuid));
}

static bool
note_chunk (RagifyChange *change, const RagifyGone *gone)
{
  static const char sql[] = "INSERT OR REPLACE INTO removals (generation, chunk, document)"
                            " SELECT ?1, ?2, id FROM documents WHERE number = ?3";
  sqlite3_stmt *statement = ragify_connection_prepare (change->connection, sql, change->fault);
  if (statement == NULL)
    return false;
  (void)sqlite3_bind_int64 (statement, 1, (int64_t)change->generation);
  ragify_bind_uuid (statement, 2, &gone->id);
  (void)sqlite3_bind_int64 (statement, 3, gone->document);
  return ragify_connection_run (change->connection, statement, change->fault);
}

/* 1: some removals are known, 0: none, -1 failed. */
static int
has_removals (RagifyChange *change)
{
  static const char sql[] = "SELECT 1 FROM removals LIMIT 1";
  sqlite3_stmt *statement = ragify_connection_prepare (change->connection, sql, change->fault);
  if (statement == NULL)
    return -1;
  int answer = ragify_connection_step (change->connection, statement, change->fault);
  (void)sqlite3_reset (statement);
  return answer;
}

bool
ragify_change_forget_chunk (RagifyChange *change, const RagifyUuid *id)
{
  static const char sql[] = "DELETE FROM removals WHERE chunk = ?1";
  if (!change->asked_for_removals) {
    int some = has_removals (change);
    if (some < 0)
      return false;
    change->has_removals = some > 0;
    change->asked_for_removals = true;
  }
  if (!change->has_removals)
    return true;
  sqlite3_stmt *statement = ragify_connection_prepare (change->connection, sql, change->fault);
  if (statement == NULL)
    return false;
  ragify_bind_uuid (statement, 1, id);
  return ragify_connection_run (change->connection, statement, change->fault);
}

/* 1: a chunk with this id can be found, 0: none can, -1 failed. */
static int
is_there (RagifyChange *change, const RagifyUuid *id)
{
  static const char sql[] = "SELECT 1 FROM chunks WHERE uuid = ?1 AND staged = 0";
  sqlite3_stmt *statement = ragify_connection_prepare (change->connection, sql, change->fault);
  if (statement == NULL)
    return -1;
  ragify_bind_uuid (statement, 1, id);
  int answer = ragify_connection_step (change->connection, statement, change->fault);
  (void)sqlite3_reset (statement);
  return answer;
}

static bool
make_room_for_removed (RagifyChange *change)
{
  RagifyUuid *grown = realloc (change->removed, (change->gone_count + 1) * sizeof *grown);
  if (grown == NULL)
    return ragify_fault_memory (change->fault);
  change->removed = grown;
  return true;
}

bool
ragify_change_note_chunks (RagifyChange *change, size_t first)
{
  if (!make_room_for_removed (change))
    return false;
  for (size_t i = first; i < change->gone_count; i++) {
    if (!note_chunk (change, &change->gone[i]))
      return false;
    change->removed[change->removed_count++] = change->gone[i].id;
  }
  return true;
}

bool
ragify_change_settle (RagifyChange *change)
{
  if (change->gone_count == 0)
    return true;
  if (!make_room_for_removed (change))
    return false;
  qsort (change->gone, change->gone_count, sizeof *change->gone, compare_gone);
  for (size_t i = 0; i < change->gone_count; i++) {
    int again = is_there (change, &change->gone[i].id);
    if (again < 0 || (again == 0 && !note_chunk (change, &change->gone[i])))
      return false;
    if (again == 0)
      change->removed[change->removed_count++] = change->gone[i].id;
  }
  return true;
}

bool
ragify_change_drop_chunk (RagifyChange *change, int64_t chunk)
{
  static const char drop_row[] = "DELETE FROM chunks WHERE number = ?1";
  static const char drop_vector[] = "DELETE FROM vectors WHERE chunk = ?1";
  static const char *const both[] = { drop_row, drop_vector };
  for (int i = 0; i < 2; i++) {
    sqlite3_stmt *statement = ragify_connection_prepare (change->connection, both[i], change->fault);
    if (statement == NULL)
      return false;
    (void)sqlite3_bind_int64 (statement, 1, chunk);
    if (!ragify_connection_run (change->connection, statement, change->fault))
      return false;
  }
  return true;
}

static bool
list_gone (RagifyChange *change, int64_t document)
{
  static const char sql[] = "SELECT uuid FROM chunks WHERE document = ?1 AND staged = 0";
  sqlite3_stmt *statement = ragify_connection_prepare (change->connection, sql, change->fault);
  if (statement == NULL)
    return false;
  (void)sqlite3_bind_int64 (statement, 1, document);
  int answer;
  while ((answer = ragify_connection_step (change->connection, statement, change->fault)) > 0) {
    RagifyUuid id = ragify_column_uuid (statement, 0);
    if (!ragify_change_add_gone (change, &id, document)) {
      (void)sqlite3_reset (statement);
      return false;
    }
    change->chunks--;
  }
  return answer == 0;
}

bool
ragify_change_drop_chunks (RagifyChange *change, int64_t document, bool staged)
{
  static const char drop_vectors[] =
      "DELETE FROM vectors WHERE chunk IN (SELECT number FROM chunks WHERE document = ?1 AND staged = ?2)";
  static const char drop_rows[] = "DELETE FROM chunks WHERE document = ?1 AND staged = ?2";
  static const char *const both[] = { drop_vectors, drop_rows };
  if (!staged && !list_gone (change, document))
    return false;
  for (int i = 0; i < 2; i++) {
    sqlite3_stmt *statement = ragify_connection_prepare (change->connection, both[i], change->fault);
    if (statement == NULL)
      return false;
    (void)sqlite3_bind_int64 (statement, 1, document);
    (void)sqlite3_bind_int (statement, 2, staged);
    if (!ragify_connection_run (change->connection, statement, change->fault))
      return false;
  }
  return true;
}

bool
ragify_change_note_document (RagifyChange *change, int64_t document)
{
  static const char sql[] = "INSERT OR REPLACE INTO removals (generation, chunk, document)"
                            " SELECT ?1, NULL, id FROM documents WHERE number = ?2";
  sqlite3_stmt *statement = ragify_connection_prepare (change->connection, sql, change->fault);
  if (statement == NULL)
    return false;
  (void)sqlite3_bind_int64 (statement, 1, (int64_t)change->generation);
  (void)sqlite3_bind_int64 (statement, 2, document);
  return ragify_connection_run (change->connection, statement, change->fault);
}

bool
ragify_change_forget_document (RagifyChange *change, RagifyStr id)
{
  static const char sql[] = "DELETE FROM removals WHERE document = ?1 AND chunk IS NULL";
  sqlite3_stmt *statement = ragify_connection_prepare (change->connection, sql, change->fault);
  if (statement == NULL)
    return false;
  ragify_bind_str (statement, 1, id);
  return ragify_connection_run (change->connection, statement, change->fault);
}

bool
ragify_change_stage (RagifyChange *change, const RagifyIndexEntry *entry, const float *vector)
{
  return change->index == NULL || ragify_index_stage (change->index, entry, vector, change->fault);
}
