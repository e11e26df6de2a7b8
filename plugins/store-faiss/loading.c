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

/* Which chunks there are, but for those that a row of the index stands for: their rows' bits are set in `covered`. What
 * stands beside the vectors comes out of an index of the database: their own rows, with the contents, are not read. */
static bool
read_entries (RagifyConnection *connection, const RagifyIndex *index, uint8_t *covered, Entries *entries,
              uint64_t *covered_count, RagifyFault *fault)
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
    const uint32_t row = index == NULL ? RAGIFY_INDEX_NO_ROW : ragify_index_find_row (index, &entry.id, entry.chunk);
    if (row != RAGIFY_INDEX_NO_ROW) {
      covered[row >> 3] |= (uint8_t)(1u << (row & 7));
      ++*covered_count;
    } else if (!add_entry (entries, &entry, fault)) {
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
  uint64_t found;
} Load;

static bool
load_vector (void *user, size_t entry, sqlite3_stmt *row, RagifyFault *fault)
{
  Load *load = user;
  load->found++;
  const float *vector = read_vector (row, ragify_index_dimension (load->index), fault);
  return vector != NULL && ragify_index_stage (load->index, &load->entries->items[entry], vector, fault);
}

/* One by one, for the few that the base does not cover: going through all would read every vector from the disk. */
static bool
load_few (RagifyConnection *connection, Load *load, RagifyFault *fault)
{
  static const char sql[] = "SELECT chunk, vector FROM vectors WHERE chunk = ?1";
  for (size_t i = 0; i < load->entries->count; i++) {
    sqlite3_stmt *statement = ragify_connection_prepare (connection, sql, fault);
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
load_entries (RagifyConnection *connection, RagifyIndex *index, const Entries *entries, uint64_t covered,
              uint64_t *without, RagifyFault *fault)
{
  Load load = { .index = index, .entries = entries };
  bool ok = entries->count < covered / FEW ? load_few (connection, &load, fault)
                                           : for_each_vector (connection, entries, load_vector, &load, fault);
  if (ok)
    ragify_index_publish (index, NULL, 0);
  else
    ragify_index_discard (index);
  *without = entries->count - load.found; /* a row was made from a vector, which stays as long as its number does */
  return ok;
}

bool
ragify_loading_run (RagifyConnection *connection, RagifyIndex *index, RagifyBase *base, uint64_t *without,
                    RagifyFault *fault)
{
  Entries entries = { 0 };
  uint64_t covered_count = 0, rows = base == NULL ? 0 : base->count;
  const uint64_t *mapped = base != NULL && base->own_chunks == NULL ? base->chunks : NULL;
  uint8_t *covered = calloc (1, rows / 8 + 1);
  bool ok = covered != NULL || ragify_fault_memory (fault);
  if (base != NULL && ok)
    ok = ragify_index_adopt (index, base, true, fault);
  else if (base != NULL)
    ragify_base_clear (base);
  ok = ok && read_entries (connection, index, covered, &entries, &covered_count, fault);
  if (ok && base != NULL)
    ragify_index_keep_rows (index, covered);
  if (ok && mapped != NULL)
    ragify_mapping_leave (mapped, rows * sizeof *mapped); /* asked for again when the index is built again */
  ok = ok && load_entries (connection, index, &entries, covered_count, without, fault);
  free (entries.items);
  free (covered);
  return ok;
}

#define BLOCK 1024u /* vectors that are added at once */

typedef struct {
  const Entries *entries;
  RagifyBase *base;
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
  return held == 0 || ragify_approximate_add (build->base->approximate, build->vectors, held, fault);
}

static bool
add_vector (void *user, size_t entry, sqlite3_stmt *row, RagifyFault *fault)
{
  Build *build = user;
  const float *vector = read_vector (row, build->dimension, fault);
  if (vector == NULL)
    return false;
  memcpy (build->vectors + build->held++ * build->dimension, vector, build->dimension * sizeof *vector);
  const RagifyIndexEntry *from = &build->entries->items[entry];
  build->base->ids[build->base->count] = from->id;
  build->base->own_chunks[build->base->count] = from->chunk;
  build->base->metadata[build->base->count++] = (uint32_t)from->metadata;
  return build->held < BLOCK || add_block (build, fault);
}

static bool
train (RagifyConnection *connection, Build *build, const char *name, RagifyFault *fault)
{
  if (!for_each_vector (connection, build->entries, sample_vector, build, fault))
    return false;
  build->base->approximate = ragify_approximate_new (name, build->dimension, build->vectors, build->held, fault);
  build->held = 0;
  return build->base->approximate != NULL;
}

static bool
finish (const Build *build, RagifyFault *fault)
{
  uint64_t *order = malloc ((build->base->count + 1) * sizeof *order);
  bool ok = order != NULL ? ragify_approximate_finish (build->base->approximate, order, fault) &&
                                ragify_base_reorder (build->base, order, fault)
                          : ragify_fault_memory (fault);
  free (order);
  return ok;
}

static bool
build_entries (RagifyConnection *connection, Build *build, const char *name, RagifyFault *fault)
{
  uint64_t sample = ragify_approximate_sample (name);
  build->step = build->entries->count / sample + 1;
  build->room = build->entries->count / build->step + 1;
  build->vectors = malloc ((build->room > BLOCK ? build->room : BLOCK) * build->dimension * sizeof *build->vectors);
  bool ok = (build->vectors != NULL || ragify_fault_memory (fault)) &&
            ragify_base_init (build->base, build->entries->count, fault);
  ok = ok && train (connection, build, name, fault) &&
       for_each_vector (connection, build->entries, add_vector, build, fault) && add_block (build, fault) &&
       finish (build, fault);
  free (build->vectors);
  return ok;
}

bool
ragify_loading_build (RagifyConnection *connection, const char *name, uint32_t dimension,
                      bool (*cancelled) (void *user), void *user, RagifyBase *base, RagifyFault *fault)
{
  Entries entries = { 0 };
  *base = (RagifyBase){ 0 };
  Build build = { .entries = &entries, .base = base, .dimension = dimension, .cancelled = cancelled, .user = user };
  /* In one transaction: entries and vectors are of the same moment. */
  bool ok = ragify_connection_execute (connection, "BEGIN", fault) &&
            read_entries (connection, NULL, NULL, &entries, NULL, fault) &&
            build_entries (connection, &build, name, fault) && ragify_connection_execute (connection, "COMMIT", fault);
  free (entries.items);
  if (!ok)
    ragify_base_clear (base);
  return ok;
}
