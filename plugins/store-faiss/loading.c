#include "loading.h"

#include <stdlib.h>
#include <string.h>

#define FEW 8u /* less than one in so many is looked up one by one */

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

/* Calls `take` for each chunk that has a vector, in the order of the chunks' numbers, until it fails. */
static bool
for_each_vector (RagifyConnection *connection, const Entries *entries,
                 bool (*take) (void *user, size_t entry, sqlite3_stmt *row, RagifyFault *fault), void *user,
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
    /* The others belong to chunks that are only staged. */
    if (at < entries->count && entries->items[at].chunk == chunk)
      ok = take (user, at, statement, fault);
  }
  (void)sqlite3_reset (statement);
  return ok && found >= 0;
}

/* The vector of a row, or NULL with a fault. */
static const float *
read_vector (sqlite3_stmt *row, uint32_t dimension, RagifyFault *fault)
{
  const float *vector = sqlite3_column_blob (row, 1);
  size_t expected = dimension * sizeof *vector, size = (size_t)sqlite3_column_bytes (row, 1);
  if (vector != NULL && size == expected)
    return vector;
  (void)ragify_fault_set (fault, RAGIFY_E_INTERNAL,
                          "the vector of chunk %lld is damaged: expected %zu bytes, found %zu; restore a backup, or "
                          "remove the folder and ingest again",
                          (long long)sqlite3_column_int64 (row, 0), expected, size);
  return NULL;
}

typedef struct {
  RagifyIndex *index;
  const Entries *entries;
  const bool *covered; /* by the snapshot; NULL: none is */
  uint64_t found;
} Load;

static bool
load_vector (void *user, size_t entry, sqlite3_stmt *row, RagifyFault *fault)
{
  Load *load = user;
  load->found++;
  if (load->covered != NULL && load->covered[entry])
    return true;
  const float *vector = read_vector (row, ragify_index_dimension (load->index), fault);
  return vector != NULL && ragify_index_stage (load->index, &load->entries->items[entry], vector, fault);
}

/* Finds out which rows of the snapshot still count, and puts it into the index. */
static bool
adopt (RagifyIndex *index, RagifySnapshot *snapshot, const Entries *entries, bool *covered, RagifyFault *fault)
{
  uint8_t *live = calloc (1, snapshot->count / 8 + 1);
  if (live == NULL)
    return ragify_fault_memory (fault);
  for (uint64_t row = 0; row < snapshot->count; row++) {
    const RagifyIndexEntry *found =
        entries->count == 0 ? NULL
                            : bsearch (&snapshot->entries[row], entries->items, entries->count, sizeof *found, compare);
    if (found == NULL || memcmp (&found->id, &snapshot->entries[row].id, sizeof found->id) != 0)
      continue;
    live[row >> 3] |= (uint8_t)(1u << (row & 7));
    covered[found - entries->items] = true;
  }
  bool ok = ragify_index_adopt (index, snapshot->approximate, snapshot->entries, snapshot->count, live, fault);
  if (ok)
    snapshot->approximate = NULL;
  free (live);
  return ok;
}

/* One by one, for the few that the snapshot does not cover: going through all would read every vector from the disk. */
static bool
load_uncovered (RagifyConnection *connection, Load *load, RagifyFault *fault)
{
  static const char sql[] = "SELECT chunk, vector FROM vectors WHERE chunk = ?1";
  for (size_t i = 0; i < load->entries->count; i++) {
    sqlite3_stmt *statement = load->covered[i] ? NULL : ragify_connection_prepare (connection, sql, fault);
    if (load->covered[i]) {
      load->found++; /* its row was made from its vector, which stays as long as its number does */
      continue;
    }
    if (statement == NULL)
      return false;
    (void)sqlite3_bind_int64 (statement, 1, (int64_t)load->entries->items[i].chunk);
    int found = ragify_connection_step (connection, statement, fault);
    bool ok = found == 0 || (found > 0 && load_vector (load, i, statement, fault));
    (void)sqlite3_reset (statement);
    if (!ok)
      return false;
  }
  return true;
}

static bool
load_entries (RagifyConnection *connection, RagifyIndex *index, RagifySnapshot *snapshot, const Entries *entries,
              uint64_t *without, RagifyFault *fault)
{
  bool *covered = calloc (entries->count + 1, sizeof *covered);
  Load load = { .index = index, .entries = entries, .covered = covered };
  if (covered == NULL)
    return ragify_fault_memory (fault);
  bool ok = snapshot == NULL || adopt (index, snapshot, entries, covered, fault);
  size_t uncovered = 0;
  for (size_t i = 0; i < entries->count; i++)
    uncovered += covered[i] ? 0 : 1;
  ok = ok && (uncovered < entries->count / FEW ? load_uncovered (connection, &load, fault)
                                               : for_each_vector (connection, entries, load_vector, &load, fault));
  if (ok)
    ragify_index_publish (index, NULL, 0);
  else
    ragify_index_discard (index);
  free (covered);
  *without = entries->count - load.found;
  return ok;
}

bool
ragify_loading_run (RagifyConnection *connection, RagifyIndex *index, RagifySnapshot *snapshot, uint64_t *without,
                    RagifyFault *fault)
{
  Entries entries = { 0 };
  bool ok = read_entries (connection, &entries, fault) &&
            load_entries (connection, index, snapshot, &entries, without, fault);
  free (entries.items);
  if (snapshot != NULL)
    ragify_snapshot_clear (snapshot);
  return ok;
}

#define BLOCK 1024u /* vectors that are added at once */

typedef struct {
  const Entries *entries;
  RagifySnapshot *snapshot;
  uint32_t dimension;
  float *vectors; /* the sample, or a block */
  size_t held;
  size_t room;
  uint64_t step; /* sampling: every so many */
  uint64_t seen;
  bool (*cancelled) (void *user);
  void *user;
} Build;

static bool
sample_vector (void *user, size_t entry, sqlite3_stmt *row, RagifyFault *fault)
{
  Build *build = user;
  if (build->seen++ % build->step != 0 || build->held == build->room)
    return true;
  const float *vector = read_vector (row, build->dimension, fault);
  if (vector == NULL)
    return false;
  memcpy (build->vectors + build->held++ * build->dimension, vector, build->dimension * sizeof *vector);
  return true;
}

static bool
add_block (Build *build, RagifyFault *fault)
{
  size_t held = build->held;
  build->held = 0;
  if (build->cancelled (build->user))
    return ragify_fault_set (fault, RAGIFY_E_CANCELLED, "the caller gave up; the index is as it was");
  return held == 0 || ragify_approximate_add (build->snapshot->approximate, build->vectors, held, fault);
}

static bool
add_vector (void *user, size_t entry, sqlite3_stmt *row, RagifyFault *fault)
{
  Build *build = user;
  const float *vector = read_vector (row, build->dimension, fault);
  if (vector == NULL)
    return false;
  memcpy (build->vectors + build->held++ * build->dimension, vector, build->dimension * sizeof *vector);
  build->snapshot->entries[build->snapshot->count++] = build->entries->items[entry];
  return build->held < BLOCK || add_block (build, fault);
}

static bool
train (RagifyConnection *connection, Build *build, const char *name, RagifyFault *fault)
{
  if (!for_each_vector (connection, build->entries, sample_vector, build, fault))
    return false;
  build->snapshot->approximate = ragify_approximate_new (name, build->dimension, build->vectors, build->held, fault);
  build->held = 0;
  return build->snapshot->approximate != NULL;
}

static bool
build_entries (RagifyConnection *connection, Build *build, const char *name, RagifyFault *fault)
{
  uint64_t sample = ragify_approximate_sample (name);
  build->step = build->entries->count / sample + 1;
  build->room = build->entries->count / build->step + 1;
  build->vectors = malloc ((build->room > BLOCK ? build->room : BLOCK) * build->dimension * sizeof *build->vectors);
  build->snapshot->entries = malloc ((build->entries->count + 1) * sizeof *build->snapshot->entries);
  bool ok = (build->vectors != NULL && build->snapshot->entries != NULL) || ragify_fault_memory (fault);
  ok = ok && train (connection, build, name, fault) &&
       for_each_vector (connection, build->entries, add_vector, build, fault) && add_block (build, fault) &&
       ragify_approximate_finish (build->snapshot->approximate, fault);
  free (build->vectors);
  return ok;
}

bool
ragify_loading_build (RagifyConnection *connection, const char *name, uint32_t dimension,
                      bool (*cancelled) (void *user), void *user, RagifySnapshot *snapshot, RagifyFault *fault)
{
  Entries entries = { 0 };
  *snapshot = (RagifySnapshot){ 0 };
  Build build = {
    .entries = &entries, .snapshot = snapshot, .dimension = dimension, .cancelled = cancelled, .user = user
  };
  /* In one transaction: entries and vectors are of the same moment. */
  bool ok = ragify_connection_execute (connection, "BEGIN", fault) && read_entries (connection, &entries, fault) &&
            build_entries (connection, &build, name, fault) && ragify_connection_execute (connection, "COMMIT", fault);
  free (entries.items);
  if (!ok)
    ragify_snapshot_clear (snapshot);
  return ok;
}
