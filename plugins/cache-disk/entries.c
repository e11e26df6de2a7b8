#include "entries.h"

#include <string.h>
#include <xxhash.h>

#define APPLICATION_ID 0x52474443 /* "RGDC" */
#define BATCH 32

uint64_t
entry_id (RagifyBytes key)
{
  return XXH3_64bits (key.data, key.size);
}

static int64_t
checksum (const Entry *entry)
{
  const uint64_t seed = XXH3_64bits_withSeed (entry->key.data, entry->key.size, (uint64_t)entry->expires);
  return (int64_t)XXH3_64bits_withSeed (entry->value.data, entry->value.size, seed);
}

/* The one number that a statement returns. */
static bool
ask_number (RagifyConnection *connection, const char *sql, int64_t *number, RagifyFault *fault)
{
  sqlite3_stmt *statement = ragify_connection_prepare (connection, sql, fault);
  if (statement == NULL || ragify_connection_step (connection, statement, fault) < 0)
    return false;
  *number = sqlite3_column_int64 (statement, 0);
  (void)sqlite3_reset (statement);
  return true;
}

int64_t
entries_version (RagifyConnection *connection, RagifyFault *fault)
{
  static const char version_sql[] = "PRAGMA user_version";
  static const char tables_sql[] = "SELECT COUNT(*) FROM sqlite_schema";
  int64_t version = 0;
  int64_t tables = 0;
  if (!ask_number (connection, version_sql, &version, fault) || !ask_number (connection, tables_sql, &tables, fault))
    return -1;
  return tables > 0 && version == 0 ? INT32_MAX : version;
}

bool
entries_create (RagifyConnection *connection, RagifyFault *fault)
{
  /* The second table's columns are what the eviction and the expiry ask for: they never read a row. */
  return ragify_connection_execute (connection,
                                    "BEGIN IMMEDIATE;"
                                    "CREATE TABLE entry (id INTEGER PRIMARY KEY, place INTEGER NOT NULL,"
                                    " expires INTEGER NOT NULL, checksum INTEGER NOT NULL, key BLOB NOT NULL,"
                                    " value BLOB NOT NULL);"
                                    "CREATE UNIQUE INDEX entry_place ON entry (place, expires);"
                                    "PRAGMA application_id=1380402243; PRAGMA user_version=1; COMMIT",
                                    fault);
}

static RagifyBytes
column_bytes (sqlite3_stmt *statement, int column)
{
  const uint8_t *data = sqlite3_column_blob (statement, column);
  return (RagifyBytes){ data, data != NULL ? (uint64_t)sqlite3_column_bytes (statement, column) : 0 };
}

EntryState
entries_find (RagifyConnection *connection, Entry *entry, sqlite3_stmt **statement, RagifyFault *fault)
{
  static const char sql[] = "SELECT key, expires, checksum, value FROM entry WHERE id = ?1";
  const RagifyBytes wanted = entry->key;
  *statement = ragify_connection_prepare (connection, sql, fault);
  if (*statement == NULL)
    return ENTRY_FAILED;
  entry->id = entry_id (wanted);
  (void)sqlite3_bind_int64 (*statement, 1, (sqlite3_int64)entry->id);
  const int row = ragify_connection_step (connection, *statement, fault);
  if (row <= 0)
    return row < 0 ? ENTRY_FAILED : ENTRY_ABSENT;
  const RagifyBytes found = column_bytes (*statement, 0);
  entry->expires = sqlite3_column_int64 (*statement, 1);
  entry->value = column_bytes (*statement, 3);
  if (entry->value.data == NULL && sqlite3_errcode (ragify_connection_handle (connection)) == SQLITE_NOMEM) {
    (void)ragify_fault_memory (fault);
    return ENTRY_FAILED;
  }
  if (sqlite3_column_int64 (*statement, 2) != checksum (entry))
    return found.size == wanted.size && memcmp (found.data, wanted.data, wanted.size) == 0 ? ENTRY_DAMAGED
                                                                                           : ENTRY_ABSENT;
  /* Another key with the same hash. */
  if (found.size != wanted.size || memcmp (found.data, wanted.data, wanted.size) != 0)
    return ENTRY_ABSENT;
  return ENTRY_FOUND;
}

void
entries_end_find (sqlite3_stmt *statement)
{
  (void)sqlite3_reset (statement);
}

bool
entries_put (RagifyConnection *connection, const Entry *entry, int64_t place, RagifyFault *fault)
{
  static const char sql[] = "INSERT INTO entry VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
  sqlite3_stmt *statement = ragify_connection_prepare (connection, sql, fault);
  if (statement == NULL)
    return false;
  (void)sqlite3_bind_int64 (statement, 1, (sqlite3_int64)entry->id);
  (void)sqlite3_bind_int64 (statement, 2, place);
  (void)sqlite3_bind_int64 (statement, 3, entry->expires);
  (void)sqlite3_bind_int64 (statement, 4, checksum (entry));
  (void)sqlite3_bind_blob64 (statement, 5, entry->key.data, entry->key.size, SQLITE_STATIC);
  if (entry->value.size > 0)
    (void)sqlite3_bind_blob64 (statement, 6, entry->value.data, entry->value.size, SQLITE_STATIC);
  else
    (void)sqlite3_bind_zeroblob (statement, 6, 0);
  return ragify_connection_run (connection, statement, fault);
}

bool
entries_remove (RagifyConnection *connection, uint64_t id, int64_t *removed, RagifyFault *fault)
{
  static const char sql[] = "DELETE FROM entry WHERE id = ?1";
  sqlite3_stmt *statement = ragify_connection_prepare (connection, sql, fault);
  if (statement == NULL)
    return false;
  (void)sqlite3_bind_int64 (statement, 1, (sqlite3_int64)id);
  if (!ragify_connection_run (connection, statement, fault))
    return false;
  *removed = ragify_connection_changes (connection);
  return true;
}

bool
entries_survey (RagifyConnection *connection, int64_t *place, int64_t *count, RagifyFault *fault)
{
  static const char place_sql[] = "SELECT COALESCE(MAX(place), 0) FROM entry";
  static const char count_sql[] = "SELECT COUNT(*) FROM entry";
  return ask_number (connection, place_sql, place, fault) && ask_number (connection, count_sql, count, fault);
}

int64_t
entries_bytes (RagifyConnection *connection, RagifyFault *fault)
{
  static const char pages_sql[] = "PRAGMA page_count";
  static const char free_sql[] = "PRAGMA freelist_count";
  static const char size_sql[] = "PRAGMA page_size";
  int64_t pages = 0;
  int64_t unused = 0;
  int64_t size = 0;
  if (!ask_number (connection, pages_sql, &pages, fault) || !ask_number (connection, free_sql, &unused, fault) ||
      !ask_number (connection, size_sql, &size, fault))
    return -1;
  return (pages - unused) * size;
}

typedef struct {
  int64_t place;
  uint64_t id;
  int64_t expires;
} Candidate;

/* The next ones after the hand; from the beginning where it is at the end. -1 with a fault. */
static int
next_candidates (RagifyConnection *connection, Eviction *eviction, Candidate *candidates, RagifyFault *fault)
{
  static const char sql[] = "SELECT place, id, expires FROM entry WHERE place > ?1 ORDER BY place LIMIT 32";
  sqlite3_stmt *statement = ragify_connection_prepare (connection, sql, fault);
  int count = 0;
  int row = 1;
  if (statement == NULL)
    return -1;
  (void)sqlite3_bind_int64 (statement, 1, eviction->hand);
  while (count < BATCH && (row = ragify_connection_step (connection, statement, fault)) > 0)
    candidates[count++] =
        (Candidate){ sqlite3_column_int64 (statement, 0), (uint64_t)sqlite3_column_int64 (statement, 1),
                     sqlite3_column_int64 (statement, 2) };
  (void)sqlite3_reset (statement);
  return row < 0 ? -1 : count;
}

/* Takes the candidate or spares it. */
static bool
judge (RagifyConnection *connection, Eviction *eviction, const Candidate *candidate, int64_t now, RagifyFault *fault)
{
  const bool over = candidate->expires != 0 && candidate->expires <= now;
  int64_t removed = 0;
  const bool hit = visited_take (eviction->visited, candidate->id);
  eviction->hand = candidate->place;
  if (hit && !over)
    return true;
  if (!entries_remove (connection, candidate->id, &removed, fault))
    return false;
  if (over)
    eviction->expired += removed;
  else
    eviction->evicted += removed;
  return true;
}

bool
entries_evict (RagifyConnection *connection, Eviction *eviction, int64_t bytes, int64_t now, RagifyFault *fault)
{
  Candidate candidates[BATCH];
  int64_t used = entries_bytes (connection, fault);
  int ends = 0; /* how often the hand came to the end: in the third round nothing is spared any more */
  while (used > bytes && ends < 3) {
    const int count = next_candidates (connection, eviction, candidates, fault);
    if (count < 0)
      return false;
    if (count == 0) {
      eviction->hand = INT64_MIN;
      ends++;
    }
    for (int i = 0; i < count && used > bytes; i++) {
      if (!judge (connection, eviction, &candidates[i], now, fault))
        return false;
      used = entries_bytes (connection, fault);
      if (used < 0)
        return false;
    }
  }
  return used >= 0;
}

bool
entries_expire (RagifyConnection *connection, int64_t now, int64_t limit, int64_t *removed, RagifyFault *fault)
{
  static const char sql[] = "DELETE FROM entry WHERE id IN (SELECT id FROM entry INDEXED BY entry_place"
                            " WHERE expires > 0 AND expires <= ?1 LIMIT ?2)";
  sqlite3_stmt *statement = ragify_connection_prepare (connection, sql, fault);
  if (statement == NULL)
    return false;
  (void)sqlite3_bind_int64 (statement, 1, now);
  (void)sqlite3_bind_int64 (statement, 2, limit);
  if (!ragify_connection_run (connection, statement, fault))
    return false;
  *removed = ragify_connection_changes (connection);
  return true;
}
