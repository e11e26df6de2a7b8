#include "reading.h"

#include <string.h>

void *
ragify_answer_alloc (const RagifyAnswer *answer, uint64_t size, RagifyFault *fault)
{
  void *memory = answer->host->call_alloc (answer->call, size > 0 ? size : 1);
  if (memory == NULL)
    ragify_fault_memory (fault);
  return memory;
}

bool
ragify_answer_copy (const RagifyAnswer *answer, RagifyStr text, RagifyStr *copy, RagifyFault *fault)
{
  *copy = ragify_str (NULL, 0);
  if (text.size == 0)
    return true;
  char *memory = ragify_answer_alloc (answer, text.size, fault);
  if (memory == NULL)
    return false;
  memcpy (memory, text.data, text.size);
  *copy = ragify_str (memory, text.size);
  return true;
}

bool
ragify_reading_metadata (RagifyConnection *connection, const RagifyAnswer *answer, int64_t number, RagifyStr *json,
                         RagifyFault *fault)
{
  static const char sql[] = "SELECT json FROM metadata WHERE number = ?1";
  *json = ragify_str (NULL, 0);
  if (number == RAGIFY_METADATA_NONE)
    return true;
  sqlite3_stmt *statement = ragify_connection_prepare (connection, sql, fault);
  if (statement == NULL)
    return false;
  (void)sqlite3_bind_int64 (statement, 1, number);
  int found = ragify_connection_step (connection, statement, fault);
  if (found <= 0)
    return found == 0;
  bool ok = ragify_answer_copy (answer, ragify_column_str (statement, 0), json, fault);
  (void)sqlite3_reset (statement);
  return ok;
}

/* The texts of one row in one piece of memory. */
static bool
copy_texts (const RagifyAnswer *answer, sqlite3_stmt *row, int first, RagifyChunk *chunk, RagifyFault *fault)
{
  RagifyStr *const targets[] = { &chunk->document_id, &chunk->content, &chunk->title, &chunk->uri };
  RagifyStr texts[4];
  uint64_t size = 0;
  for (int i = 0; i < 4; i++) {
    texts[i] = ragify_column_str (row, first + i);
    size += texts[i].size;
  }
  char *memory = ragify_answer_alloc (answer, size, fault);
  if (memory == NULL)
    return false;
  for (int i = 0; i < 4; i++) {
    if (texts[i].size > 0)
      memcpy (memory, texts[i].data, texts[i].size);
    *targets[i] = ragify_str (memory, texts[i].size);
    memory += texts[i].size;
  }
  return true;
}

bool
ragify_reading_chunk (RagifyConnection *connection, const RagifyAnswer *answer, sqlite3_stmt *row, int first,
                      uint32_t what, RagifyChunk *chunk, RagifyFault *fault)
{
  chunk->struct_size = sizeof *chunk;
  chunk->id = ragify_column_uuid (row, first);
  if ((what & RAGIFY_FETCH_CONTENT) != 0) {
    if (!copy_texts (answer, row, first + 1, chunk, fault))
      return false;
    chunk->ordinal = (uint64_t)sqlite3_column_int64 (row, first + 5);
    chunk->begin = (uint64_t)sqlite3_column_int64 (row, first + 6);
    chunk->end = (uint64_t)sqlite3_column_int64 (row, first + 7);
    chunk->created_at = sqlite3_column_int64 (row, first + 8);
    chunk->updated_at = sqlite3_column_int64 (row, first + 9);
    if (chunk->created_at == 0)
      chunk->created_at = sqlite3_column_int64 (row, first + 10);
    if (chunk->updated_at == 0)
      chunk->updated_at = sqlite3_column_int64 (row, first + 11);
  }
  if ((what & RAGIFY_FETCH_METADATA) == 0)
    return true;
  return ragify_reading_metadata (connection, answer, sqlite3_column_int64 (row, first + 12), &chunk->metadata, fault);
}

static bool
fetch_one (RagifyConnection *connection, const RagifyAnswer *answer, const RagifyUuid *id, uint32_t what,
           RagifyChunk *chunk, RagifyFault *fault)
{
  static const char sql[] = "SELECT " RAGIFY_READING_COLUMNS " FROM chunks c JOIN documents d ON d.number = c.document"
                            " WHERE c.uuid = ?1 AND c.staged = 0";
  sqlite3_stmt *statement = ragify_connection_prepare (connection, sql, fault);
  if (statement == NULL)
    return false;
  ragify_bind_uuid (statement, 1, id);
  int found = ragify_connection_step (connection, statement, fault);
  if (found < 0)
    return false;
  if (found == 0) {
    *chunk = (RagifyChunk){ .struct_size = sizeof *chunk, .flags = RAGIFY_CHUNK_MISSING };
    return true;
  }
  bool ok = ragify_reading_chunk (connection, answer, statement, 0, what, chunk, fault);
  (void)sqlite3_reset (statement);
  return ok;
}

/* In one transaction: all of the answer is of one generation, and the file is locked once. */
bool
ragify_reading_fetch (RagifyConnection *connection, const RagifyAnswer *answer, const RagifyUuidList *ids,
                      uint32_t what, RagifyChunk *chunks, RagifyFault *fault)
{
  static const char begin[] = "BEGIN", end[] = "COMMIT";
  sqlite3_stmt *statement = ragify_connection_prepare (connection, begin, fault);
  if (statement == NULL || !ragify_connection_run (connection, statement, fault))
    return false;
  for (uint64_t i = 0; i < ids->count; i++)
    if (!fetch_one (connection, answer, &ids->items[i], what, &chunks[i], fault))
      return false;
  statement = ragify_connection_prepare (connection, end, fault);
  return statement != NULL && ragify_connection_run (connection, statement, fault);
}
