#include "loading.h"

#include <stdlib.h>

typedef struct {
  RagifyIndexEntry *items;
  size_t count;
  size_t room;
} Entries;

static bool
add_entry (Entries *entries, const RagifyIndexEntry *entry, RagifyFault *fault)
{
  if (entries->count == entries->room) {
    size_t room = entries->room * 2 + 1024;
    RagifyIndexEntry *grown = realloc (entries->items, room * sizeof *grown);
    if (grown == NULL)
      return ragify_fault_memory (fault);
    entries->items = grown;
    entries->room = room;
  }
  entries->items[entries->count++] = *entry;
  return true;
}

static int
compare (const void *left, const void *right)
{
  uint64_t a = ((const RagifyIndexEntry *)left)->chunk, b = ((const RagifyIndexEntry *)right)->chunk;
  return (a > b) - (a < b);
}

/* What stands beside the vectors comes out of an index of the database: their own rows, with the contents, are not
 * read. */
static bool
read_entries (RagifyConnection *connection, Entries *entries, RagifyFault *fault)
{
  static const char sql[] = "SELECT number, uuid, metadata FROM chunks INDEXED BY chunks_uuid WHERE staged = 0";
  sqlite3_stmt *statement = ragify_connection_prepare (connection, sql, fault);
  if (statement == NULL)
    return false;
  int found;
  while ((found = ragify_connection_step (connection, statement, fault)) > 0) {
    const RagifyIndexEntry entry = { .id = ragify_column_uuid (statement, 1),
                                     .chunk = (uint64_t)sqlite3_column_int64 (statement, 0),
                                     .metadata = (uint64_t)sqlite3_column_int64 (statement, 2) };
    if (!add_entry (entries, &entry, fault)) {
      (void)sqlite3_reset (statement);
      return false;
    }
  }
  if (entries->count > 0)
    qsort (entries->items, entries->count, sizeof *entries->items, compare);
  return found == 0;
}

static bool
stage (RagifyIndex *index, const RagifyIndexEntry *entry, sqlite3_stmt *row, RagifyFault *fault)
{
  const float *vector = sqlite3_column_blob (row, 1);
  size_t expected = ragify_index_dimension (index) * sizeof *vector;
  size_t size = (size_t)sqlite3_column_bytes (row, 1);
  if (vector == NULL || size != expected)
    return ragify_fault_set (fault, RAGIFY_E_INTERNAL,
                             "the vector of chunk %llu is damaged: expected %zu bytes, found %zu; restore a backup, or "
                             "remove the folder and ingest again",
                             (unsigned long long)entry->chunk, expected, size);
  return ragify_index_stage (index, entry, vector, fault);
}

/* Both in the order of the chunks' numbers. */
static bool
join_vectors (RagifyConnection *connection, RagifyIndex *index, const Entries *entries, uint64_t *staged,
              RagifyFault *fault)
{
  static const char sql[] = "SELECT chunk, vector FROM vectors ORDER BY chunk";
  sqlite3_stmt *statement = ragify_connection_prepare (connection, sql, fault);
  if (statement == NULL)
    return false;
  size_t at = 0;
  int found = 0;
  bool ok = true;
  while (ok && (found = ragify_connection_step (connection, statement, fault)) > 0) {
    uint64_t chunk = (uint64_t)sqlite3_column_int64 (statement, 0);
    while (at < entries->count && entries->items[at].chunk < chunk)
      at++;
    if (at == entries->count || entries->items[at].chunk != chunk)
      continue; /* of a staged chunk */
    ok = stage (index, &entries->items[at], statement, fault);
    (*staged)++;
  }
  (void)sqlite3_reset (statement);
  return ok && found >= 0;
}

bool
ragify_loading_run (RagifyConnection *connection, RagifyIndex *index, uint64_t *without, RagifyFault *fault)
{
  Entries entries = { 0 };
  uint64_t staged = 0;
  bool ok = read_entries (connection, &entries, fault) && join_vectors (connection, index, &entries, &staged, fault);
  if (ok) {
    ragify_index_publish (index, NULL, 0);
    *without = entries.count - staged;
  } else {
    ragify_index_discard (index);
  }
  free (entries.items);
  return ok;
}
