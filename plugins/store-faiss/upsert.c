/* Documents and chunks in: see RagifyStoreUpsert. */
#include "change.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define CANCEL_EVERY 64
#define UNIT_TOLERANCE 0.01F /* how far a vector's length may be from 1 */

/* A document of the batch, with what the database knows of it. */
typedef struct {
  const RagifyDocument *given;
  int64_t number;
  int64_t metadata;
  bool known; /* stood in the database before the batch, … */
  bool live;  /* … with chunks that can be found, or as a whole empty document */
  int64_t chunks;
  int64_t staged;
  int64_t created_at;
  RagifyUuid staged_hash;
} Document;

typedef struct {
  RagifyChange *change;
  const RagifyStoreUpsert *given;
  Document *documents; /* sorted by id */
  size_t count;
  Document *last;          /* that a chunk named */
  RagifyStr last_metadata; /* of the chunk before … */
  int64_t last_number;     /* … and its number */
} Batch;

static int
compare_str (RagifyStr left, RagifyStr right)
{
  size_t common = left.size < right.size ? left.size : right.size;
  int order = common == 0 ? 0 : memcmp (left.data, right.data, common);
  return order != 0 ? order : (left.size > right.size) - (left.size < right.size);
}

static int
compare_documents (const void *left, const void *right)
{
  return compare_str (((const Document *)left)->given->id, ((const Document *)right)->given->id);
}

static bool
same_uuid (const RagifyUuid *left, const RagifyUuid *right)
{
  return memcmp (left, right, sizeof *left) == 0;
}

static const RagifyDocument *
given_document (const RagifyStoreUpsert *given, uint64_t index)
{
  return (const RagifyDocument *)(const void *)((const char *)given->documents.items + index * given->documents.stride);
}

static const RagifyChunk *
given_chunk (const RagifyStoreUpsert *given, uint64_t index)
{
  return (const RagifyChunk *)(const void *)((const char *)given->chunks.items + index * given->chunks.stride);
}

static bool
sort_documents (Batch *batch)
{
  RagifyFault *fault = batch->change->fault;
  size_t count = batch->given->documents.count;
  batch->documents = calloc (count + 1, sizeof *batch->documents);
  if (batch->documents == NULL)
    return ragify_fault_memory (fault);
  batch->count = count;
  for (size_t i = 0; i < count; i++) {
    batch->documents[i].given = given_document (batch->given, i);
    if (batch->documents[i].given->id.size == 0)
      return ragify_fault_set (fault, RAGIFY_E_INVALID, "documents[%zu].id: expected a text, found none", i);
    if (batch->documents[i].given->mode > RAGIFY_DOCUMENT_COMMIT)
      return ragify_fault_set (fault, RAGIFY_E_INVALID, "documents[%zu].mode: unknown mode %u", i,
                               batch->documents[i].given->mode);
  }
  qsort (batch->documents, count, sizeof *batch->documents, compare_documents);
  for (size_t i = 1; i < count; i++)
    if (compare_documents (&batch->documents[i - 1], &batch->documents[i]) == 0)
      return ragify_fault_set (fault, RAGIFY_E_INVALID, "documents: '%.*s' stands there twice",
                               (int)batch->documents[i].given->id.size, batch->documents[i].given->id.data);
  return true;
}

static Document *
find_given (Batch *batch, RagifyStr id)
{
  if (batch->last != NULL && compare_str (batch->last->given->id, id) == 0)
    return batch->last;
  const RagifyDocument wanted = { .id = id };
  const Document key = { .given = &wanted };
  Document *found = bsearch (&key, batch->documents, batch->count, sizeof *batch->documents, compare_documents);
  batch->last = found;
  return found;
}

static bool
read_document (Batch *batch, Document *document)
{
  static const char sql[] = "SELECT number, live, chunks, staged, staged_hash, created_at FROM documents WHERE id = ?1";
  RagifyChange *change = batch->change;
  sqlite3_stmt *statement = ragify_connection_prepare (change->connection, sql, change->fault);
  if (statement == NULL)
    return false;
  ragify_bind_str (statement, 1, document->given->id);
  int answer = ragify_connection_step (change->connection, statement, change->fault);
  if (answer <= 0)
    return answer == 0;
  document->known = true;
  document->number = sqlite3_column_int64 (statement, 0);
  document->live = sqlite3_column_int (statement, 1) != 0;
  document->chunks = sqlite3_column_int64 (statement, 2);
  document->staged = sqlite3_column_int64 (statement, 3);
  document->staged_hash = ragify_column_uuid (statement, 4);
  document->created_at = sqlite3_column_int64 (statement, 5);
  (void)sqlite3_reset (statement);
  return true;
}

/* A first row, so that chunks have a number to name; the rest is written at the end. */
static bool
insert_document (Batch *batch, Document *document)
{
  static const char sql[] = "INSERT INTO documents (id, generation, live, content_hash, chunks, staged, staged_hash,"
                            " created_at, updated_at, metadata, uri, title)"
                            " VALUES (?1, ?2, 0, zeroblob (16), 0, 0, zeroblob (16), ?3, ?4, ?5, ?6, ?7)";
  RagifyChange *change = batch->change;
  const RagifyDocument *given = document->given;
  sqlite3_stmt *statement = ragify_connection_prepare (change->connection, sql, change->fault);
  if (statement == NULL)
    return false;
  document->created_at = given->created_at != 0 ? given->created_at : change->now;
  ragify_bind_str (statement, 1, given->id);
  (void)sqlite3_bind_int64 (statement, 2, (int64_t)change->generation);
  (void)sqlite3_bind_int64 (statement, 3, document->created_at);
  (void)sqlite3_bind_int64 (statement, 4, given->updated_at != 0 ? given->updated_at : change->now);
  (void)sqlite3_bind_int64 (statement, 5, document->metadata);
  ragify_bind_str (statement, 6, given->uri);
  ragify_bind_str (statement, 7, given->title);
  if (!ragify_connection_run (change->connection, statement, change->fault))
    return false;
  document->number = ragify_connection_last_row (change->connection);
  return true;
}

/* A chunk with this id that can be found and belongs to another document gives the id up. */
static bool
displace (Batch *batch, const RagifyUuid *id)
{
  static const char find[] = "SELECT number, document, generation FROM chunks WHERE uuid = ?1 AND staged = 0";
  static const char leave[] = "UPDATE documents SET chunks = chunks - 1, generation = ?2 WHERE number = ?1";
  RagifyChange *change = batch->change;
  sqlite3_stmt *statement = ragify_connection_prepare (change->connection, find, change->fault);
  if (statement == NULL)
    return false;
  ragify_bind_uuid (statement, 1, id);
  int answer = ragify_connection_step (change->connection, statement, change->fault);
  if (answer <= 0)
    return answer == 0;
  int64_t chunk = sqlite3_column_int64 (statement, 0), document = sqlite3_column_int64 (statement, 1);
  bool twice = sqlite3_column_int64 (statement, 2) == (int64_t)change->generation;
  (void)sqlite3_reset (statement);
  if (twice)
    return ragify_fault_set (change->fault, RAGIFY_E_INVALID, "chunks: two of them have the same id");
  statement = ragify_connection_prepare (change->connection, leave, change->fault);
  if (statement == NULL)
    return false;
  (void)sqlite3_bind_int64 (statement, 1, document);
  (void)sqlite3_bind_int64 (statement, 2, (int64_t)change->generation);
  change->chunks--;
  return ragify_connection_run (change->connection, statement, change->fault) &&
         ragify_change_drop_chunk (change, chunk);
}

/* A chunk with this id that is staged already is written again. */
static bool
displace_staged (Batch *batch, const RagifyUuid *id, Document *document)
{
  static const char find[] = "SELECT number, document FROM chunks WHERE uuid = ?1 AND staged = 1";
  static const char leave[] = "UPDATE documents SET staged = staged - 1 WHERE number = ?1";
  RagifyChange *change = batch->change;
  sqlite3_stmt *statement = ragify_connection_prepare (change->connection, find, change->fault);
  if (statement == NULL)
    return false;
  ragify_bind_uuid (statement, 1, id);
  int answer = ragify_connection_step (change->connection, statement, change->fault);
  if (answer <= 0)
    return answer == 0;
  int64_t chunk = sqlite3_column_int64 (statement, 0), owner = sqlite3_column_int64 (statement, 1);
  (void)sqlite3_reset (statement);
  if (owner == document->number) {
    document->staged--;
    return ragify_change_drop_chunk (change, chunk);
  }
  statement = ragify_connection_prepare (change->connection, leave, change->fault);
  if (statement == NULL)
    return false;
  (void)sqlite3_bind_int64 (statement, 1, owner);
  return ragify_connection_run (change->connection, statement, change->fault) &&
         ragify_change_drop_chunk (change, chunk);
}

/* One staged chunk that becomes findable. */
static bool
promote_chunk (Batch *batch, sqlite3_stmt *row)
{
  RagifyChange *change = batch->change;
  const RagifyIndexEntry entry = { .id = ragify_column_uuid (row, 1),
                                   .chunk = (uint64_t)sqlite3_column_int64 (row, 0),
                                   .metadata = (uint64_t)sqlite3_column_int64 (row, 2) };
  const float *vector = sqlite3_column_blob (row, 3);
  int size = sqlite3_column_bytes (row, 3);
  change->chunks++;
  if (!displace (batch, &entry.id) || !ragify_change_forget_chunk (change, &entry.id))
    return false;
  if (change->index == NULL)
    return true;
  if (vector == NULL || size != (int)(ragify_index_dimension (change->index) * sizeof (float)))
    return ragify_change_add_bare (change, &entry.id);
  return ragify_change_stage (change, &entry, vector);
}

static bool
promote_chunks (Batch *batch, const Document *document)
{
  static const char find[] = "SELECT number, uuid, metadata, vector FROM chunks LEFT JOIN vectors ON chunk = number"
                             " WHERE document = ?1 AND staged = 1";
  RagifyChange *change = batch->change;
  sqlite3_stmt *statement = ragify_connection_prepare (change->connection, find, change->fault);
  if (statement == NULL)
    return false;
  (void)sqlite3_bind_int64 (statement, 1, document->number);
  int answer = 0;
  bool ok = true;
  while (ok && (answer = ragify_connection_step (change->connection, statement, change->fault)) > 0)
    ok = promote_chunk (batch, statement);
  (void)sqlite3_reset (statement);
  return ok && answer == 0;
}

/* There may be millions of them: in steps, since a statement keeps a list of the rows that it changes. */
static bool
move_chunks (Batch *batch, const Document *document)
{
  /* OR FAIL: otherwise every page would be kept in memory, for this statement alone to be taken back; whatever fails
   * here, the whole transaction is. */
  static const char move[] = "UPDATE OR FAIL chunks SET staged = 0, generation = ?2 WHERE number IN"
                             " (SELECT number FROM chunks WHERE document = ?1 AND staged = 1 LIMIT 10000)";
  RagifyChange *change = batch->change;
  sqlite3_stmt *statement = ragify_connection_prepare (change->connection, move, change->fault);
  if (statement == NULL)
    return false;
  (void)sqlite3_bind_int64 (statement, 1, document->number);
  (void)sqlite3_bind_int64 (statement, 2, (int64_t)change->generation);
  do
    if (ragify_change_cancelled (change) || !ragify_connection_run (change->connection, statement, change->fault))
      return false;
  while (ragify_connection_changes (change->connection) > 0);
  return true;
}

static bool
promote (Batch *batch, Document *document)
{
  if (!promote_chunks (batch, document) || !move_chunks (batch, document))
    return false;
  document->chunks = document->staged;
  document->staged = 0;
  return true;
}

static bool
open_document (Batch *batch, Document *document)
{
  RagifyChange *change = batch->change;
  const RagifyDocument *given = document->given;
  if (!ragify_metadata_number (change->connection, given->metadata, &document->metadata, change->fault) ||
      !read_document (batch, document))
    return false;
  if (!document->known)
    return insert_document (batch, document);
  bool stale = given->mode == RAGIFY_DOCUMENT_REPLACE || !same_uuid (&document->staged_hash, &given->content_hash);
  if (document->staged > 0 && stale) {
    if (!ragify_change_drop_chunks (change, document->number, true))
      return false;
    document->staged = 0;
  }
  if (given->mode == RAGIFY_DOCUMENT_STAGE)
    return true;
  document->chunks = 0;
  return ragify_change_drop_chunks (change, document->number, false);
}

static bool
bind_document (Batch *batch, sqlite3_stmt *statement, const Document *document)
{
  const RagifyDocument *given = document->given;
  int64_t created = given->created_at != 0 ? given->created_at : document->created_at;
  (void)sqlite3_bind_int64 (statement, 1, document->number);
  (void)sqlite3_bind_int64 (statement, 2, (int64_t)batch->change->generation);
  (void)sqlite3_bind_int64 (statement, 3, document->staged);
  ragify_bind_uuid (statement, 4, &given->content_hash);
  if (given->mode == RAGIFY_DOCUMENT_STAGE)
    return true;
  (void)sqlite3_bind_int64 (statement, 5, document->chunks);
  (void)sqlite3_bind_int64 (statement, 6, created);
  (void)sqlite3_bind_int64 (statement, 7, given->updated_at != 0 ? given->updated_at : batch->change->now);
  (void)sqlite3_bind_int64 (statement, 8, document->metadata);
  ragify_bind_str (statement, 9, given->uri);
  ragify_bind_str (statement, 10, given->title);
  return true;
}

static bool
close_document (Batch *batch, Document *document)
{
  static const char stage[] = "UPDATE documents SET generation = ?2, staged = ?3, staged_hash = ?4 WHERE number = ?1";
  static const char settle[] =
      "UPDATE documents SET generation = ?2, staged = ?3, staged_hash = zeroblob (16), content_hash = ?4,"
      " chunks = ?5, created_at = ?6, updated_at = ?7, metadata = ?8, uri = ?9, title = ?10, live = 1"
      " WHERE number = ?1";
  RagifyChange *change = batch->change;
  bool staging = document->given->mode == RAGIFY_DOCUMENT_STAGE;
  sqlite3_stmt *statement = ragify_connection_prepare (change->connection, staging ? stage : settle, change->fault);
  if (statement == NULL || !bind_document (batch, statement, document))
    return false;
  if (!ragify_connection_run (change->connection, statement, change->fault))
    return false;
  if (staging || document->live)
    return true;
  change->documents++;
  return ragify_change_forget_document (change, document->given->id);
}

static bool
chunk_metadata (Batch *batch, const RagifyChunk *chunk, int64_t *number)
{
  if (batch->last_number < 0 || compare_str (batch->last_metadata, chunk->metadata) != 0) {
    if (!ragify_metadata_number (batch->change->connection, chunk->metadata, &batch->last_number, batch->change->fault))
      return false;
    batch->last_metadata = chunk->metadata;
  }
  *number = batch->last_number;
  return true;
}

/* What a chunk shares with its document is not written twice. */
static void
bind_unless_same (sqlite3_stmt *statement, int place, RagifyStr text, RagifyStr shared)
{
  if (compare_str (text, shared) != 0)
    ragify_bind_str (statement, place, text);
}

static bool
insert_row (Batch *batch, const RagifyChunk *chunk, const Document *document, int64_t metadata)
{
  static const char sql[] = "INSERT INTO chunks (uuid, staged, document, ordinal, generation, metadata, first, past,"
                            " created_at, updated_at, title, uri, content)"
                            " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";
  RagifyChange *change = batch->change;
  sqlite3_stmt *statement = ragify_connection_prepare (change->connection, sql, change->fault);
  if (statement == NULL)
    return false;
  ragify_bind_uuid (statement, 1, &chunk->id);
  (void)sqlite3_bind_int (statement, 2, document->given->mode == RAGIFY_DOCUMENT_STAGE);
  (void)sqlite3_bind_int64 (statement, 3, document->number);
  (void)sqlite3_bind_int64 (statement, 4, (int64_t)chunk->ordinal);
  (void)sqlite3_bind_int64 (statement, 5, (int64_t)change->generation);
  (void)sqlite3_bind_int64 (statement, 6, metadata);
  (void)sqlite3_bind_int64 (statement, 7, (int64_t)chunk->begin);
  (void)sqlite3_bind_int64 (statement, 8, (int64_t)chunk->end);
  (void)sqlite3_bind_int64 (statement, 9, chunk->created_at);
  (void)sqlite3_bind_int64 (statement, 10, chunk->updated_at);
  bind_unless_same (statement, 11, chunk->title, document->given->title);
  bind_unless_same (statement, 12, chunk->uri, document->given->uri);
  ragify_bind_str (statement, 13, chunk->content);
  return ragify_connection_run (change->connection, statement, change->fault);
}

static bool
insert_vector (Batch *batch, int64_t chunk, const float *vector)
{
  static const char sql[] = "INSERT INTO vectors (chunk, vector) VALUES (?1, ?2)";
  RagifyChange *change = batch->change;
  sqlite3_stmt *statement = ragify_connection_prepare (change->connection, sql, change->fault);
  if (statement == NULL)
    return false;
  (void)sqlite3_bind_int64 (statement, 1, chunk);
  (void)sqlite3_bind_blob64 (statement, 2, vector, batch->given->vectors.dimension * sizeof *vector, SQLITE_STATIC);
  return ragify_connection_run (change->connection, statement, change->fault);
}

static bool
insert_chunk (Batch *batch, uint64_t index)
{
  RagifyChange *change = batch->change;
  const RagifyChunk *chunk = given_chunk (batch->given, index);
  Document *document = find_given (batch, chunk->document_id);
  int64_t metadata;
  if (document == NULL)
    return ragify_fault_set (change->fault, RAGIFY_E_INVALID,
                             "chunks[%llu].document_id: '%.*s' is not among the batch's documents",
                             (unsigned long long)index, (int)chunk->document_id.size, chunk->document_id.data);
  bool staging = document->given->mode == RAGIFY_DOCUMENT_STAGE;
  bool free_id = staging ? displace_staged (batch, &chunk->id, document) : displace (batch, &chunk->id);
  if (!free_id || !chunk_metadata (batch, chunk, &metadata) || !insert_row (batch, chunk, document, metadata))
    return false;
  const RagifyIndexEntry entry = { .id = chunk->id,
                                   .chunk = (uint64_t)ragify_connection_last_row (change->connection),
                                   .metadata = (uint64_t)metadata };
  const float *vector = NULL;
  if (batch->given->vectors.count > 0) {
    vector = batch->given->vectors.items + index * batch->given->vectors.dimension;
    if (!insert_vector (batch, (int64_t)entry.chunk, vector))
      return false;
  }
  change->inserted++;
  if (staging) {
    document->staged++;
    return true;
  }
  document->chunks++;
  change->chunks++;
  if (!ragify_change_forget_chunk (change, &chunk->id))
    return false;
  return vector == NULL ? ragify_change_add_bare (change, &chunk->id) : ragify_change_stage (change, &entry, vector);
}

static bool
check_vectors (const Batch *batch)
{
  const RagifyVectors *vectors = &batch->given->vectors;
  RagifyFault *fault = batch->change->fault;
  if (vectors->count == 0)
    return true;
  if (vectors->count != batch->given->chunks.count)
    return ragify_fault_set (fault, RAGIFY_E_INVALID, "vectors: expected one for each of %llu chunks, found %u",
                             (unsigned long long)batch->given->chunks.count, vectors->count);
  if (batch->change->index == NULL)
    return ragify_fault_set (fault, RAGIFY_E_INVALID, "vectors: expected none, the store was started without embedder");
  uint32_t dimension = ragify_index_dimension (batch->change->index);
  if (vectors->dimension != dimension)
    return ragify_fault_set (fault, RAGIFY_E_INVALID, "vectors: expected dimension %u, found %u", dimension,
                             vectors->dimension);
  for (uint32_t i = 0; i < vectors->count; i++) {
    float sum = 0;
    for (uint32_t j = 0; j < dimension; j++)
      sum += vectors->items[(size_t)i * dimension + j] * vectors->items[(size_t)i * dimension + j];
    if (!(fabsf (sqrtf (sum) - 1) <= UNIT_TOLERANCE))
      return ragify_fault_set (fault, RAGIFY_E_INVALID, "vectors[%u]: expected length 1, found %g", i, sqrtf (sum));
  }
  return true;
}

static bool
apply (Batch *batch)
{
  if (!check_vectors (batch) || !sort_documents (batch))
    return false;
  for (size_t i = 0; i < batch->count; i++)
    if (!open_document (batch, &batch->documents[i]))
      return false;
  for (size_t i = 0; i < batch->count; i++)
    if (batch->documents[i].given->mode == RAGIFY_DOCUMENT_COMMIT && batch->documents[i].staged > 0 &&
        !promote (batch, &batch->documents[i]))
      return false;
  for (uint64_t i = 0; i < batch->given->chunks.count; i++)
    if ((i % CANCEL_EVERY == 0 && ragify_change_cancelled (batch->change)) || !insert_chunk (batch, i))
      return false;
  for (size_t i = 0; i < batch->count; i++)
    if (!close_document (batch, &batch->documents[i]))
      return false;
  return ragify_change_settle (batch->change);
}

bool
ragify_upsert_apply (RagifyChange *change, const RagifyStoreUpsert *upsert)
{
  Batch batch = { .change = change, .given = upsert, .last_number = -1 };
  bool ok = apply (&batch);
  free (batch.documents);
  return ok;
}
