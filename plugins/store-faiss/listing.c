/* Lists of documents and chunks, page by page: see RagifyStoreList.
 *
 * Everything is listed in the order in which it last changed, removals before what is there, so that whatever changes
 * between two pages comes again later and nothing is missed. A cursor also carries the generation of the first page:
 * that is the one to catch up from, whichever page it is read from. Only where documents are named, and all that is
 * there is wanted, do chunks come in the documents' own order. */
#include "database.h"
#include "reading.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXAMINED_PER_PAGE 100000u /* rows that a page looks at, however few of them match */

typedef struct {
  uint64_t start;      /* generation of the first page */
  uint64_t generation; /* of the last row seen; in named lists: which of the named documents */
  uint32_t kind;       /* 0 a removal, 1 a row */
  uint64_t number;     /* of the last row seen */
  uint64_t ordinal;    /* named lists of chunks: of the last row seen */
} Cursor;

typedef struct {
  RagifyConnection *connection;
  const RagifyAnswer *answer;
  const RagifyStoreList *args;
  RagifyMatches *matches; /* a reference of the listing's, or NULL */
  RagifyFault *fault;
  Cursor cursor;
  bool chunks;
  RagifyDocument *document_items;
  RagifyChunk *chunk_items;
  uint32_t count;
  uint32_t examined;
} Listing;

#define DOCUMENT_COLUMNS                                                                                               \
  "d.id, d.uri, d.title, d.metadata, d.content_hash, d.chunks, d.staged, d.staged_hash, d.created_at, d.updated_at"

static bool
read_cursor (const RagifyStoreList *args, Cursor *cursor, RagifyFault *fault)
{
  char text[160];
  unsigned long long start, generation, number, ordinal;
  unsigned kind;
  int used = 0;
  if (args->cursor.size == 0)
    return true;
  if (args->cursor.size < sizeof text) {
    memcpy (text, args->cursor.data, args->cursor.size);
    text[args->cursor.size] = '\0';
    if (sscanf (text, "1.%llu.%llu.%u.%llu.%llu%n", &start, &generation, &kind, &number, &ordinal, &used) == 5 &&
        (uint64_t)used == args->cursor.size && generation <= INT64_MAX && number <= INT64_MAX && ordinal <= INT64_MAX) {
      *cursor = (Cursor){ start, generation, kind, number, ordinal };
      return true;
    }
  }
  return ragify_fault_set (fault, RAGIFY_E_INVALID, "cursor: expected one that a list returned, found '%.*s'",
                           args->cursor.size < 100 ? (int)args->cursor.size : 100, args->cursor.data);
}

static bool
write_cursor (Listing *listing, RagifyStoreListResult *result)
{
  char text[160];
  const Cursor *cursor = &listing->cursor;
  int size = snprintf (text, sizeof text, "1.%llu.%llu.%u.%llu.%llu", (unsigned long long)cursor->start,
                       (unsigned long long)cursor->generation, cursor->kind, (unsigned long long)cursor->number,
                       (unsigned long long)cursor->ordinal);
  return ragify_answer_copy (listing->answer, ragify_str (text, (size_t)size), &result->cursor, listing->fault);
}

static bool
full (const Listing *listing)
{
  return listing->count == listing->args->limit || listing->examined >= EXAMINED_PER_PAGE;
}

static bool
same_str (RagifyStr left, RagifyStr right)
{
  return left.size == right.size && (left.size == 0 || memcmp (left.data, right.data, left.size) == 0);
}

static bool
is_named (const Listing *listing, RagifyStr id)
{
  const RagifyStrList *named = &listing->args->documents;
  for (uint64_t i = 0; i < named->count; i++)
    if (same_str (named->items[i], id))
      return true;
  return named->count == 0;
}

static bool
matches_row (const Listing *listing, int64_t metadata)
{
  return listing->matches == NULL || ragify_matches_has (listing->matches, (uint64_t)metadata);
}

static bool
add_document (Listing *listing, sqlite3_stmt *row, int first)
{
  RagifyDocument *document = &listing->document_items[listing->count];
  const RagifyAnswer *answer = listing->answer;
  int64_t metadata = sqlite3_column_int64 (row, first + 3);
  if (!matches_row (listing, metadata))
    return true;
  *document = (RagifyDocument){ .struct_size = sizeof *document,
                                .content_hash = ragify_column_uuid (row, first + 4),
                                .chunks = (uint64_t)sqlite3_column_int64 (row, first + 5),
                                .staged = (uint64_t)sqlite3_column_int64 (row, first + 6),
                                .staged_hash = ragify_column_uuid (row, first + 7),
                                .created_at = sqlite3_column_int64 (row, first + 8),
                                .updated_at = sqlite3_column_int64 (row, first + 9) };
  listing->count++;
  return ragify_answer_copy (answer, ragify_column_str (row, first), &document->id, listing->fault) &&
         ragify_answer_copy (answer, ragify_column_str (row, first + 1), &document->uri, listing->fault) &&
         ragify_answer_copy (answer, ragify_column_str (row, first + 2), &document->title, listing->fault) &&
         ragify_reading_metadata (listing->connection, answer, metadata, &document->metadata, listing->fault);
}

static bool
add_chunk (Listing *listing, sqlite3_stmt *row, int first)
{
  if (!matches_row (listing, sqlite3_column_int64 (row, first + 12)))
    return true;
  RagifyChunk *chunk = &listing->chunk_items[listing->count++];
  return ragify_reading_chunk (listing->connection, listing->answer, row, first,
                               RAGIFY_FETCH_CONTENT | RAGIFY_FETCH_METADATA, chunk, listing->fault);
}

static bool
add_removal (Listing *listing, sqlite3_stmt *row)
{
  RagifyStr document = ragify_column_str (row, 3);
  if (!is_named (listing, document))
    return true;
  if (!listing->chunks) {
    RagifyDocument *item = &listing->document_items[listing->count++];
    *item = (RagifyDocument){ .struct_size = sizeof *item, .flags = RAGIFY_DOCUMENT_DELETED };
    return ragify_answer_copy (listing->answer, document, &item->id, listing->fault);
  }
  RagifyChunk *item = &listing->chunk_items[listing->count++];
  *item =
      (RagifyChunk){ .struct_size = sizeof *item, .flags = RAGIFY_CHUNK_DELETED, .id = ragify_column_uuid (row, 2) };
  return ragify_answer_copy (listing->answer, document, &item->document_id, listing->fault);
}

/* What a query has behind (?1, ?2), by generation and number. In two halves: with `(generation, number) > (?1, ?2)`
 * SQLite looks through all of that generation, and a large document is one. */
#define BEHIND(query, table, condition)                                                                                \
  query " WHERE " table "generation = ?1 AND " table "number > ?2" condition " UNION ALL " query " WHERE " table       \
        "generation > ?1" condition " ORDER BY 1, 2"

/* Rows of (generation, number, …) behind the cursor. A removal's kind is 0, so within a generation it comes first. */
static sqlite3_stmt *
prepare_changes (Listing *listing, const char *sql, uint32_t kind)
{
  const Cursor *cursor = &listing->cursor;
  uint64_t since = listing->args->since;
  uint64_t generation = cursor->generation > since ? cursor->generation : since;
  int64_t number = INT64_MAX; /* nothing of that generation, … */
  if (cursor->generation > since && cursor->kind == kind)
    number = (int64_t)cursor->number; /* … what is behind the last one seen, … */
  else if (cursor->generation > since && cursor->kind < kind)
    number = -1; /* … or all of it */
  sqlite3_stmt *statement = ragify_connection_prepare (listing->connection, sql, listing->fault);
  if (statement == NULL)
    return NULL;
  (void)sqlite3_bind_int64 (statement, 1, (int64_t)generation);
  (void)sqlite3_bind_int64 (statement, 2, number);
  return statement;
}

static void
advance (Listing *listing, sqlite3_stmt *row, uint32_t kind)
{
  listing->examined++;
  listing->cursor.generation = (uint64_t)sqlite3_column_int64 (row, 0);
  listing->cursor.number = (uint64_t)sqlite3_column_int64 (row, 1);
  listing->cursor.kind = kind;
}

static bool
take_row (Listing *listing, sqlite3_stmt *row)
{
  advance (listing, row, 1);
  RagifyStr id = ragify_column_str (row, listing->chunks ? 3 : 2);
  if (!is_named (listing, id))
    return true;
  return listing->chunks ? add_chunk (listing, row, 2) : add_document (listing, row, 2);
}

static bool
take_removal (Listing *listing, sqlite3_stmt *row)
{
  advance (listing, row, 0);
  return add_removal (listing, row);
}

/* Steps through both, in the order of their generations. */
static bool
merge (Listing *listing, sqlite3_stmt *removals, sqlite3_stmt *rows, bool *whole)
{
  int removal = removals == NULL ? 0 : ragify_connection_step (listing->connection, removals, listing->fault);
  int row = removal < 0 ? -1 : ragify_connection_step (listing->connection, rows, listing->fault);
  while (removal >= 0 && row >= 0 && removal + row > 0 && !full (listing)) {
    bool take = removal > 0 && (row == 0 || sqlite3_column_int64 (removals, 0) <= sqlite3_column_int64 (rows, 0));
    if (take ? !take_removal (listing, removals) : !take_row (listing, rows))
      return false;
    if (take)
      removal = ragify_connection_step (listing->connection, removals, listing->fault);
    else
      row = ragify_connection_step (listing->connection, rows, listing->fault);
  }
  *whole = removal + row == 0;
  return removal >= 0 && row >= 0;
}

static bool
list_changes (Listing *listing, bool *whole)
{
  static const char documents[] =
      BEHIND ("SELECT d.generation, d.number, " DOCUMENT_COLUMNS " FROM documents d", "d.", "");
  static const char chunks[] = BEHIND ("SELECT c.generation, c.number, " RAGIFY_READING_COLUMNS
                                       " FROM chunks c JOIN documents d ON d.number = c.document",
                                       "c.", " AND c.staged = 0");
  static const char removed_documents[] =
      BEHIND ("SELECT generation, number, chunk, document FROM removals", "", " AND chunk IS NULL");
  static const char removed_chunks[] =
      BEHIND ("SELECT generation, number, chunk, document FROM removals", "", " AND chunk IS NOT NULL");
  sqlite3_stmt *removals = NULL;
  if (listing->args->since > 0) {
    removals = prepare_changes (listing, listing->chunks ? removed_chunks : removed_documents, 0);
    if (removals == NULL)
      return false;
  }
  sqlite3_stmt *rows = prepare_changes (listing, listing->chunks ? chunks : documents, 1);
  bool ok = rows != NULL && merge (listing, removals, rows, whole);
  (void)sqlite3_reset (removals);
  (void)sqlite3_reset (rows);
  return ok;
}

static bool
list_named_document (Listing *listing, RagifyStr id)
{
  static const char sql[] = "SELECT " DOCUMENT_COLUMNS " FROM documents d WHERE d.id = ?1";
  sqlite3_stmt *statement = ragify_connection_prepare (listing->connection, sql, listing->fault);
  if (statement == NULL)
    return false;
  ragify_bind_str (statement, 1, id);
  int found = ragify_connection_step (listing->connection, statement, listing->fault);
  bool ok = found == 0 || (found > 0 && add_document (listing, statement, 0));
  (void)sqlite3_reset (statement);
  return ok;
}

static bool
list_named_chunks (Listing *listing, RagifyStr id)
{
  static const char sql[] =
      "SELECT c.ordinal, c.number, " RAGIFY_READING_COLUMNS " FROM documents d JOIN chunks c ON c.document = d.number"
      " WHERE d.id = ?1 AND c.staged = 0 AND (c.ordinal, c.number) > (?2, ?3)"
      " ORDER BY c.ordinal, c.number";
  sqlite3_stmt *statement = ragify_connection_prepare (listing->connection, sql, listing->fault);
  if (statement == NULL)
    return false;
  ragify_bind_str (statement, 1, id);
  bool fresh = listing->cursor.number == 0;
  (void)sqlite3_bind_int64 (statement, 2, fresh ? -1 : (int64_t)listing->cursor.ordinal);
  (void)sqlite3_bind_int64 (statement, 3, (int64_t)listing->cursor.number);
  int found = 0;
  bool ok = true;
  while (ok && !full (listing) &&
         (found = ragify_connection_step (listing->connection, statement, listing->fault)) > 0) {
    listing->examined++;
    listing->cursor.ordinal = (uint64_t)sqlite3_column_int64 (statement, 0);
    listing->cursor.number = (uint64_t)sqlite3_column_int64 (statement, 1);
    ok = add_chunk (listing, statement, 2);
  }
  (void)sqlite3_reset (statement);
  return ok && found >= 0;
}

static bool
list_named (Listing *listing, bool *whole)
{
  const RagifyStrList *named = &listing->args->documents;
  while (listing->cursor.generation < named->count && !full (listing)) {
    RagifyStr id = named->items[listing->cursor.generation];
    if (!(listing->chunks ? list_named_chunks (listing, id) : list_named_document (listing, id)))
      return false;
    if (listing->chunks && full (listing))
      break;
    listing->cursor.generation++;
    listing->cursor.number = 0;
    listing->cursor.ordinal = 0;
  }
  *whole = listing->cursor.generation >= named->count;
  return true;
}

static bool
fill (Listing *listing, RagifyStoreListResult *result, bool *whole)
{
  RagifyDatabaseHead head;
  if (!ragify_database_read_head (listing->connection, &head, listing->fault))
    return false;
  free (head.fingerprint);
  if (listing->args->cursor.size == 0)
    listing->cursor.start = head.generation.counter;
  result->generation = (RagifyGeneration){ .store = head.generation.store, .counter = listing->cursor.start };
  *whole = true;
  if (listing->args->since > head.generation.counter ||
      (listing->args->since > 0 && listing->args->since < head.horizon)) {
    result->since_too_old = 1;
    return true;
  }
  if (listing->args->since == 0 && listing->args->documents.count > 0)
    return list_named (listing, whole);
  return list_changes (listing, whole);
}

static bool
run (Listing *listing, RagifyStoreListResult *result)
{
  bool whole = false;
  if (!ragify_connection_execute (listing->connection, "BEGIN", listing->fault) ||
      (listing->matches != NULL &&
       !ragify_matches_catch_up (listing->connection, listing->args->filter, &listing->matches, listing->fault)) ||
      !fill (listing, result, &whole) || !ragify_connection_execute (listing->connection, "COMMIT", listing->fault))
    return false;
  result->documents = (RagifyDocumentList){ .items = listing->document_items,
                                            .count = listing->chunks ? 0 : listing->count,
                                            .stride = sizeof (RagifyDocument) };
  result->chunks = (RagifyChunkList){ .items = listing->chunk_items,
                                      .count = listing->chunks ? listing->count : 0,
                                      .stride = sizeof (RagifyChunk) };
  return whole || write_cursor (listing, result);
}

bool
ragify_listing_page (RagifyConnection *connection, const RagifyAnswer *answer, const RagifyStoreList *args,
                     RagifyMatches *matches, RagifyStoreListResult *result, RagifyFault *fault)
{
  Listing listing = {
    .connection = connection, .answer = answer, .args = args, .fault = fault, .chunks = args->what == RAGIFY_LIST_CHUNKS
  };
  if (args->what > RAGIFY_LIST_CHUNKS)
    return ragify_fault_set (fault, RAGIFY_E_INVALID, "what: unknown list %u", args->what);
  if (args->limit < 1 || args->limit > 10000)
    return ragify_fault_set (fault, RAGIFY_E_INVALID, "limit: expected 1 to 10000, found %u", args->limit);
  if (!read_cursor (args, &listing.cursor, fault))
    return false;
  if (listing.chunks)
    listing.chunk_items = ragify_answer_alloc (answer, args->limit * sizeof (RagifyChunk), fault);
  else
    listing.document_items = ragify_answer_alloc (answer, args->limit * sizeof (RagifyDocument), fault);
  if (listing.chunk_items == NULL && listing.document_items == NULL)
    return false;
  *result = (RagifyStoreListResult){ .struct_size = sizeof *result };
  /* What comes between the look at the filter and this transaction has metadata that `matches` do not know. */
  listing.matches = ragify_matches_ref (matches);
  const bool ok = run (&listing, result);
  ragify_matches_unref (listing.matches);
  return ok;
}
