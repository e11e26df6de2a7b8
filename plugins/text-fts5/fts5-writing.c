/* Writing to the index on FTS5: batches, each with its generation in one commit. */
#include "fts5-private.h"

#include "tokenizer.h"

#include <stdlib.h>
#include <string.h>

/* A batch as it is being written. */
typedef struct {
  RagifyTextIndex *index;
  RagifyConnection *connection;
  RagifyFault *fault;
  uint32_t *gone; /* numbers that stand for nobody after it */
  size_t gone_count;
  size_t gone_room;
  int64_t chunks; /* how many more there are */
  int64_t words;
  uint32_t newest;
} Batch;

static bool
add_gone (Batch *batch, uint32_t number)
{
  if (batch->gone_count == batch->gone_room) {
    size_t room = batch->gone_room * 2 + 64;
    uint32_t *grown = realloc (batch->gone, room * sizeof *grown);
    if (grown == NULL)
      return ragify_fault_memory (batch->fault);
    batch->gone = grown;
    batch->gone_room = room;
  }
  batch->gone[batch->gone_count++] = number;
  return true;
}

static bool
remove_chunk (Batch *batch, const RagifyUuid *id)
{
  static const char sql[] = "DELETE FROM chunks WHERE uuid = ?1 RETURNING number, length";
  sqlite3_stmt *statement = ragify_connection_prepare (batch->connection, sql, batch->fault);
  if (statement == NULL)
    return false;
  ragify_bind_uuid (statement, 1, id);
  int found = ragify_connection_step (batch->connection, statement, batch->fault);
  if (found <= 0)
    return found == 0;
  uint32_t number = (uint32_t)sqlite3_column_int64 (statement, 0);
  batch->chunks--;
  batch->words -= sqlite3_column_int64 (statement, 1);
  return ragify_connection_run (batch->connection, statement, batch->fault) && add_gone (batch, number);
}

static bool
count_word (void *user, const RagifyToken *token)
{
  (void)token;
  (*(uint32_t *)user)++;
  return true;
}

/* The title as often as it counts, and the content. Owned by the caller. */
static char *
join_text (const RagifyTextIndex *index, const RagifyChunk *chunk, size_t *size)
{
  size_t titles = chunk->title.size > 0 ? index->options.title_weight : 0;
  char *text = malloc (titles * (chunk->title.size + 1) + chunk->content.size + 1);
  if (text == NULL)
    return NULL;
  char *end = text;
  for (size_t i = 0; i < titles; i++) {
    memcpy (end, chunk->title.data, chunk->title.size);
    end += chunk->title.size;
    *end++ = '\n';
  }
  if (chunk->content.size > 0)
    memcpy (end, chunk->content.data, chunk->content.size);
  *size = (size_t)(end - text) + chunk->content.size;
  return text;
}

static bool
insert_number (Batch *batch, const RagifyUuid *id, uint32_t length)
{
  static const char sql[] = "INSERT INTO chunks (uuid, length) VALUES (?1, ?2)";
  sqlite3_stmt *statement = ragify_connection_prepare (batch->connection, sql, batch->fault);
  if (statement == NULL)
    return false;
  ragify_bind_uuid (statement, 1, id);
  (void)sqlite3_bind_int64 (statement, 2, length);
  if (!ragify_connection_run (batch->connection, statement, batch->fault))
    return false;
  int64_t number = ragify_connection_last_row (batch->connection);
  if (number > UINT32_MAX - 1)
    return ragify_fault_set (batch->fault, RAGIFY_E_EXHAUSTED, "%s: all numbers were given; restart to make it anew",
                             batch->index->folder);
  batch->newest = (uint32_t)number;
  batch->chunks++;
  batch->words += length;
  return true;
}

static bool
insert_text (Batch *batch, RagifyStr text)
{
  static const char sql[] = "INSERT INTO words (rowid, text) VALUES (?1, ?2)";
  sqlite3_stmt *statement = ragify_connection_prepare (batch->connection, sql, batch->fault);
  if (statement == NULL)
    return false;
  (void)sqlite3_bind_int64 (statement, 1, batch->newest);
  ragify_bind_str (statement, 2, text);
  return ragify_connection_run (batch->connection, statement, batch->fault);
}

static bool
add_chunk (Batch *batch, const RagifyChunk *chunk)
{
  size_t size;
  uint32_t length = 0;
  char *memory = join_text (batch->index, chunk, &size);
  if (memory == NULL)
    return ragify_fault_memory (batch->fault);
  RagifyStr text = ragify_str (memory, size);
  (void)ragify_tokenize (text, RAGIFY_TOKENIZE_DOCUMENT, count_word, &length);
  length = length > 0 ? length : 1;
  bool ok = remove_chunk (batch, &chunk->id) && insert_number (batch, &chunk->id, length) && insert_text (batch, text);
  free (memory);
  /* Nobody can meet the number before the commit. */
  if (ok && !ragify_roster_set (batch->index->roster, batch->newest, &chunk->id, length))
    return ragify_fault_memory (batch->fault);
  return ok;
}

static bool
write_generation (Batch *batch, const RagifyGeneration *generation)
{
  static const char sql[] = "INSERT OR REPLACE INTO facts (name, value) VALUES ('store', ?1), ('generation', ?2)";
  sqlite3_stmt *statement = ragify_connection_prepare (batch->connection, sql, batch->fault);
  if (statement == NULL)
    return false;
  ragify_bind_uuid (statement, 1, &generation->store);
  (void)sqlite3_bind_int64 (statement, 2, (int64_t)generation->counter);
  return ragify_connection_run (batch->connection, statement, batch->fault);
}

static bool
check_cancelled (const RagifyTextCaller *caller, RagifyFault *fault)
{
  return !caller->cancelled (caller->user) ||
         ragify_fault_set (fault, RAGIFY_E_CANCELLED, "the caller gave up; nothing was changed");
}

static bool
change_chunks (Batch *batch, const RagifyTextCaller *caller, const RagifyUuidList *removed,
               const RagifyChunkList *chunks)
{
  for (uint64_t i = 0; i < removed->count; i++)
    if (!check_cancelled (caller, batch->fault) || !remove_chunk (batch, &removed->items[i]))
      return false;
  const char *item = (const char *)chunks->items;
  for (uint64_t i = 0; i < chunks->count; i++, item += chunks->stride)
    if (!check_cancelled (caller, batch->fault) || !add_chunk (batch, (const RagifyChunk *)(const void *)item))
      return false;
  return true;
}

/* What was committed becomes known. */
static void
publish (RagifyTextIndex *index, const Batch *batch, const RagifyGeneration *generation)
{
  for (size_t i = 0; i < batch->gone_count; i++)
    ragify_roster_drop (index->roster, batch->gone[i]);
  (void)pthread_mutex_lock (&index->mutex);
  index->generation = *generation;
  index->chunks += (uint64_t)batch->chunks;
  index->words += (double)batch->words;
  index->newest = batch->newest;
  (void)pthread_mutex_unlock (&index->mutex);
}

static bool
may_write (const RagifyTextIndex *index, RagifyFault *fault)
{
  const char *why = ragify_folder_read_only (index->held);
  return why == NULL ||
         ragify_fault_set (fault, RAGIFY_E_UNAVAILABLE, "%s: nothing can be written, the folder is read-only (%s)",
                           index->folder, why);
}

/* Ends the transaction one way or the other. */
static bool
conclude (Batch *batch, bool ok, const RagifyGeneration *generation)
{
  RagifyFault ignored;
  ok = ok && write_generation (batch, generation) &&
       ragify_connection_execute (batch->connection, "COMMIT", batch->fault);
  if (ok)
    publish (batch->index, batch, generation);
  else if (ragify_connection_busy (batch->connection))
    (void)ragify_connection_execute (batch->connection, "ROLLBACK", &ignored);
  if (!ok)
    ragify_fts5_note_damage (batch->index, batch->fault);
  free (batch->gone);
  return ok;
}

static Batch
start_batch (RagifyTextIndex *index, RagifyFault *fault)
{
  return (Batch){ .index = index, .connection = index->writer->connection, .fault = fault, .newest = index->newest };
}

bool
ragify_fts5_upsert (RagifyTextIndex *index, const RagifyTextCaller *caller, const RagifyTextUpsert *args,
                    RagifyFault *fault)
{
  if (!may_write (index, fault))
    return false;
  (void)pthread_mutex_lock (&index->writing);
  Batch batch = start_batch (index, fault);
  bool ok = ragify_connection_execute (batch.connection, "BEGIN IMMEDIATE", fault) &&
            change_chunks (&batch, caller, &args->removed, &args->chunks);
  ok = conclude (&batch, ok, &args->generation);
  (void)pthread_mutex_unlock (&index->writing);
  return ok;
}

/* Numbers are not used again, so readers notice nothing but that nobody is there. */
static bool
remove_all (Batch *batch)
{
  RagifyTextIndex *index = batch->index;
  for (uint32_t number = 1; number <= index->newest; number++)
    if (ragify_roster_length (index->roster, number) > 0 && !add_gone (batch, number))
      return false;
  batch->chunks = -(int64_t)index->chunks;
  batch->words = -(int64_t)index->words;
  return ragify_connection_execute (batch->connection,
                                    "INSERT INTO words (words) VALUES ('delete-all'); DELETE FROM chunks;"
                                    "INSERT OR REPLACE INTO facts (name, value)"
                                    " SELECT 'begin', seq FROM sqlite_sequence WHERE name = 'chunks'",
                                    batch->fault);
}

bool
ragify_fts5_remove (RagifyTextIndex *index, const RagifyTextCaller *caller, const RagifyTextRemove *args,
                    RagifyFault *fault)
{
  const RagifyChunkList nothing = { 0 };
  if (!may_write (index, fault))
    return false;
  (void)pthread_mutex_lock (&index->writing);
  Batch batch = start_batch (index, fault);
  bool ok = ragify_connection_execute (batch.connection, "BEGIN IMMEDIATE", fault);
  if (ok && (args->flags & RAGIFY_TEXT_REMOVE_ALL) != 0)
    ok = remove_all (&batch);
  else if (ok)
    ok = change_chunks (&batch, caller, &args->ids, &nothing);
  ok = conclude (&batch, ok, &args->generation);
  (void)pthread_mutex_unlock (&index->writing);
  return ok;
}

bool
ragify_fts5_optimize (RagifyTextIndex *index, RagifyFault *fault)
{
  if (!may_write (index, fault))
    return false;
  (void)pthread_mutex_lock (&index->writing);
  bool ok = ragify_connection_execute (
      index->writer->connection, "INSERT INTO words (words) VALUES ('optimize'); PRAGMA wal_checkpoint (TRUNCATE)",
      fault);
  (void)pthread_mutex_unlock (&index->writing);
  return ok;
}
