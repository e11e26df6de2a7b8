/* Documents and chunks in: see RagifyStoreUpsert. What the header asks for is said in statements over the whole batch,
 * which go to the server in one round trip and are one transaction. */
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "answer.h"
#include "job.h"

#define UNIT_TOLERANCE 0.01F /* how far a vector's length may be from 1 */
#define MOST_ID 2000u        /* bytes of a document's id: it must fit into an index */

typedef struct Batch {
  const RagifyStoreUpsert *given;
  GHashTable *places; /* of documents: from their id, as a GBytes, to their place from 1 on */
  gint32 *place;      /* of each chunk's document */
  gint64 *added;      /* chunks of each document */
  gboolean commits;   /* one of them has the mode COMMIT */
  GBytes *ids, *modes, *hashes, *uris, *titles, *metadata, *created, *updated, *created_given;
  guint bump, removed; /* steps */
  RagifyGeneration generation;
  GArray *gone; /* RagifyUuid */
} Batch;

static void
batch_free (gpointer data)
{
  Batch *batch = data;
  GBytes **const values[] = { &batch->ids,      &batch->modes,   &batch->hashes,  &batch->uris,         &batch->titles,
                              &batch->metadata, &batch->created, &batch->updated, &batch->created_given };
  for (guint i = 0; i < G_N_ELEMENTS (values); i++)
    g_clear_pointer (values[i], g_bytes_unref);
  g_hash_table_unref (batch->places);
  g_array_unref (batch->gone);
  g_free (batch->place);
  g_free (batch->added);
  g_free (batch);
}

static const RagifyDocument *
document_at (const RagifyStoreUpsert *given, guint64 index)
{
  return (const RagifyDocument *)(const void *)((const char *)given->documents.items + index * given->documents.stride);
}

static const RagifyChunk *
chunk_at (const RagifyStoreUpsert *given, guint64 index)
{
  return (const RagifyChunk *)(const void *)((const char *)given->chunks.items + index * given->chunks.stride);
}

static gboolean
same_text (RagifyStr left, RagifyStr right)
{
  return left.size == right.size && (left.size == 0 || memcmp (left.data, right.data, left.size) == 0);
}

/* ---- what is refused ---- */

static gboolean
check_vectors (PgvectorJob *job, const RagifyStoreUpsert *given)
{
  const RagifyVectors *vectors = &given->vectors;
  const guint32 dimension = job->store->dimension;
  RagifyFault *fault = &job->fault;
  if (vectors->count == 0)
    return TRUE;
  if (vectors->count != given->chunks.count)
    return ragify_fault_set (fault, RAGIFY_E_INVALID, "vectors: expected one for each of %llu chunks, found %u",
                             (unsigned long long)given->chunks.count, vectors->count);
  if (dimension == 0)
    return ragify_fault_set (fault, RAGIFY_E_INVALID, "vectors: expected none, the store was started without embedder");
  if (vectors->dimension != dimension)
    return ragify_fault_set (fault, RAGIFY_E_INVALID, "vectors: expected dimension %u, found %u", dimension,
                             vectors->dimension);
  for (guint32 i = 0; i < vectors->count; i++) {
    float sum = 0;
    for (guint32 j = 0; j < dimension; j++)
      sum += vectors->items[(gsize)i * dimension + j] * vectors->items[(gsize)i * dimension + j];
    if (!(fabsf (sqrtf (sum) - 1) <= UNIT_TOLERANCE))
      return ragify_fault_set (fault, RAGIFY_E_INVALID, "vectors[%u]: expected length 1, found %g", i, sqrtf (sum));
  }
  return TRUE;
}

static gboolean
check_metadata (PgvectorJob *job, const char *list, guint64 index, RagifyStr metadata)
{
  if (metadata.size == 0)
    return TRUE;
  json_t *json = json_loadb (metadata.data, metadata.size, JSON_ALLOW_NUL, NULL);
  const gboolean good = json_is_object (json);
  json_decref (json);
  if (good)
    return TRUE;
  return ragify_fault_set (&job->fault, RAGIFY_E_INVALID, "%s[%llu].metadata: expected a JSON object", list,
                           (unsigned long long)index);
}

static gboolean
check_id (PgvectorJob *job, guint64 index, RagifyStr id)
{
  const unsigned long long place = index;
  if (id.size == 0)
    return ragify_fault_set (&job->fault, RAGIFY_E_INVALID, "documents[%llu].id: expected a text, found none", place);
  if (id.size > MOST_ID)
    return ragify_fault_set (&job->fault, RAGIFY_E_INVALID, "documents[%llu].id: expected at most %u bytes, found %llu",
                             place, MOST_ID, (unsigned long long)id.size);
  if (memchr (id.data, 0, id.size) != NULL)
    return ragify_fault_set (&job->fault, RAGIFY_E_INVALID, "documents[%llu].id: PostgreSQL takes no U+0000", place);
  return TRUE;
}

static gboolean
read_documents (PgvectorJob *job, Batch *batch)
{
  const RagifyStoreUpsert *given = batch->given;
  batch->added = g_new0 (gint64, given->documents.count + 1);
  for (guint64 i = 0; i < given->documents.count; i++) {
    const RagifyDocument *document = document_at (given, i);
    if (!check_id (job, i, document->id) || !check_metadata (job, "documents", i, document->metadata))
      return FALSE;
    if (document->mode > RAGIFY_DOCUMENT_COMMIT)
      return ragify_fault_set (&job->fault, RAGIFY_E_INVALID, "documents[%llu].mode: unknown mode %u",
                               (unsigned long long)i, document->mode);
    batch->commits |= document->mode == RAGIFY_DOCUMENT_COMMIT;
    if (!g_hash_table_insert (batch->places, g_bytes_new (document->id.data, document->id.size),
                              GUINT_TO_POINTER ((guint)i + 1)))
      return ragify_fault_set (&job->fault, RAGIFY_E_INVALID, "documents: '%.*s' stands there twice",
                               (int)document->id.size, document->id.data);
  }
  return TRUE;
}

/* Chunks of one document come one after the other, and often have the same metadata. */
static gboolean
read_chunks (PgvectorJob *job, Batch *batch)
{
  const RagifyStoreUpsert *given = batch->given;
  guint place = 0;
  batch->place = g_new0 (gint32, given->chunks.count + 1);
  for (guint64 i = 0; i < given->chunks.count; i++) {
    const RagifyChunk *chunk = chunk_at (given, i);
    const RagifyChunk *before = i > 0 ? chunk_at (given, i - 1) : NULL;
    if (before == NULL || !same_text (before->document_id, chunk->document_id)) {
      g_autoptr (GBytes) id = g_bytes_new (chunk->document_id.data, chunk->document_id.size);
      place = GPOINTER_TO_UINT (g_hash_table_lookup (batch->places, id));
    }
    if (place == 0)
      return ragify_fault_set (&job->fault, RAGIFY_E_INVALID,
                               "chunks[%llu].document_id: '%.*s' is not among the batch's documents",
                               (unsigned long long)i, (int)chunk->document_id.size, chunk->document_id.data);
    if ((before == NULL || !same_text (before->metadata, chunk->metadata)) &&
        !check_metadata (job, "chunks", i, chunk->metadata))
      return FALSE;
    batch->place[i] = (gint32)place;
    batch->added[place - 1]++;
  }
  return TRUE;
}

static guint
hash_uuid (gconstpointer data)
{
  guint hash;
  memcpy (&hash, (const char *)data + 8, sizeof hash);
  guint low;
  memcpy (&low, (const char *)data + 12, sizeof low);
  return hash ^ low * 2654435761u;
}

static gboolean
same_uuid (gconstpointer left, gconstpointer right)
{
  return memcmp (left, right, sizeof (RagifyUuid)) == 0;
}

static gboolean
check_ids (PgvectorJob *job, const RagifyStoreUpsert *given)
{
  g_autoptr (GHashTable) seen = g_hash_table_new (hash_uuid, same_uuid);
  for (guint64 i = 0; i < given->chunks.count; i++)
    if (!g_hash_table_add (seen, (gpointer)&chunk_at (given, i)->id))
      return ragify_fault_set (&job->fault, RAGIFY_E_INVALID, "chunks: two of them have the same id");
  return TRUE;
}

/* ---- its values ---- */

static void
fill_documents (Batch *batch, gint64 now)
{
  const RagifyStoreUpsert *given = batch->given;
  const gsize count = given->documents.count;
  PgvectorArray *ids = pgvector_array_new (PGVECTOR_OID_TEXT, count);
  PgvectorArray *modes = pgvector_array_new (PGVECTOR_OID_INT4, count);
  PgvectorArray *hashes = pgvector_array_new (PGVECTOR_OID_UUID, count);
  PgvectorArray *uris = pgvector_array_new (PGVECTOR_OID_TEXT, count);
  PgvectorArray *titles = pgvector_array_new (PGVECTOR_OID_TEXT, count);
  PgvectorArray *metadata = pgvector_array_new (PGVECTOR_OID_JSONB, count);
  PgvectorArray *created = pgvector_array_new (PGVECTOR_OID_INT8, count);
  PgvectorArray *updated = pgvector_array_new (PGVECTOR_OID_INT8, count);
  PgvectorArray *created_given = pgvector_array_new (PGVECTOR_OID_BOOL, count);
  for (gsize i = 0; i < count; i++) {
    const RagifyDocument *document = document_at (given, i);
    pgvector_array_add_text (ids, document->id);
    pgvector_array_add_int4 (modes, (gint32)document->mode);
    pgvector_array_add_uuid (hashes, &document->content_hash);
    pgvector_array_add_text (uris, document->uri);
    pgvector_array_add_text (titles, document->title);
    pgvector_array_add_json (metadata, document->metadata);
    pgvector_array_add_int8 (created, document->created_at != 0 ? document->created_at : now);
    pgvector_array_add_int8 (updated, document->updated_at != 0 ? document->updated_at : now);
    pgvector_array_add_bool (created_given, document->created_at != 0);
  }
  batch->ids = pgvector_array_take (ids);
  batch->modes = pgvector_array_take (modes);
  batch->hashes = pgvector_array_take (hashes);
  batch->uris = pgvector_array_take (uris);
  batch->titles = pgvector_array_take (titles);
  batch->metadata = pgvector_array_take (metadata);
  batch->created = pgvector_array_take (created);
  batch->updated = pgvector_array_take (updated);
  batch->created_given = pgvector_array_take (created_given);
}

static gboolean
is_staging (const Batch *batch, guint64 chunk)
{
  return document_at (batch->given, (guint64)batch->place[chunk] - 1)->mode == RAGIFY_DOCUMENT_STAGE;
}

typedef enum { ORDINAL, FIRST, PAST, CREATED, UPDATED } Number;

static GBytes *
numbers_of_chunks (const Batch *batch, Number which)
{
  const gsize count = batch->given->chunks.count;
  PgvectorArray *array = pgvector_array_new (PGVECTOR_OID_INT8, count);
  for (gsize i = 0; i < count; i++) {
    const RagifyChunk *chunk = chunk_at (batch->given, i);
    const gint64 values[] = { [ORDINAL] = (gint64)chunk->ordinal,
                              [FIRST] = (gint64)chunk->begin,
                              [PAST] = (gint64)chunk->end,
                              [CREATED] = chunk->created_at,
                              [UPDATED] = chunk->updated_at };
    pgvector_array_add_int8 (array, values[which]);
  }
  return pgvector_array_take (array);
}

static GBytes *
ids_of_chunks (const Batch *batch)
{
  const gsize count = batch->given->chunks.count;
  PgvectorArray *array = pgvector_array_new (PGVECTOR_OID_UUID, count);
  for (gsize i = 0; i < count; i++)
    pgvector_array_add_uuid (array, &chunk_at (batch->given, i)->id);
  return pgvector_array_take (array);
}

static GBytes *
staging_of_chunks (const Batch *batch)
{
  const gsize count = batch->given->chunks.count;
  PgvectorArray *array = pgvector_array_new (PGVECTOR_OID_BOOL, count);
  for (gsize i = 0; i < count; i++)
    pgvector_array_add_bool (array, is_staging (batch, i));
  return pgvector_array_take (array);
}

static GBytes *
places_of_chunks (const Batch *batch)
{
  const gsize count = batch->given->chunks.count;
  PgvectorArray *array = pgvector_array_new (PGVECTOR_OID_INT4, count);
  for (gsize i = 0; i < count; i++)
    pgvector_array_add_int4 (array, batch->place[i]);
  return pgvector_array_take (array);
}

typedef enum { TITLE, URI, METADATA, CONTENT } Text;

/* A URI that is the document's own is not written twice. */
static GBytes *
texts_of_chunks (const Batch *batch, Text which)
{
  const gsize count = batch->given->chunks.count;
  PgvectorArray *array = pgvector_array_new (which == METADATA ? PGVECTOR_OID_JSONB : PGVECTOR_OID_TEXT, count);
  for (gsize i = 0; i < count; i++) {
    const RagifyChunk *chunk = chunk_at (batch->given, i);
    if (which == METADATA)
      pgvector_array_add_json (array, chunk->metadata);
    else if (which == URI && same_text (chunk->uri, document_at (batch->given, (guint64)batch->place[i] - 1)->uri))
      pgvector_array_add_null (array);
    else
      pgvector_array_add_text (array, which == TITLE ? chunk->title : which == URI ? chunk->uri : chunk->content);
  }
  return pgvector_array_take (array);
}

static GBytes *
vectors_of_chunks (const Batch *batch, guint32 oid)
{
  const RagifyVectors *vectors = &batch->given->vectors;
  const gsize count = batch->given->chunks.count;
  PgvectorArray *array = pgvector_array_new (oid, count);
  for (gsize i = 0; i < count; i++)
    if (vectors->count > 0)
      pgvector_array_add_vector (array, vectors->items + i * vectors->dimension, vectors->dimension);
    else
      pgvector_array_add_null (array);
  return pgvector_array_take (array);
}

static GBytes *
added_of_documents (const Batch *batch)
{
  const gsize count = batch->given->documents.count;
  PgvectorArray *array = pgvector_array_new (PGVECTOR_OID_INT8, count);
  for (gsize i = 0; i < count; i++)
    pgvector_array_add_int8 (array, batch->added[i]);
  return pgvector_array_take (array);
}

/* ---- its steps ---- */

static void
add_given (PgvectorJob *job, const Batch *batch, PgvectorStatement statement)
{
  pgvector_job_step (job, statement);
  pgvector_job_bind (job, batch->ids);
  pgvector_job_bind (job, batch->modes);
  pgvector_job_bind (job, batch->hashes);
}

static void
add_new_documents (PgvectorJob *job, const Batch *batch)
{
  GBytes *const values[] = { batch->ids, batch->uris, batch->titles, batch->metadata, batch->created, batch->updated };
  pgvector_job_step (job, PGVECTOR_ADD_DOCUMENTS);
  for (guint i = 0; i < G_N_ELEMENTS (values); i++)
    pgvector_job_bind (job, values[i]);
}

static void
add_chunks (PgvectorJob *job, const Batch *batch, GBytes *ids, GBytes *staging)
{
  pgvector_job_step (job, PGVECTOR_ADD_CHUNKS);
  pgvector_job_bind (job, ids);
  pgvector_job_bind (job, staging);
  pgvector_job_bind_take (job, places_of_chunks (batch));
  for (Number i = ORDINAL; i <= UPDATED; i++)
    pgvector_job_bind_take (job, numbers_of_chunks (batch, i));
  for (Text i = TITLE; i <= CONTENT; i++)
    pgvector_job_bind_take (job, texts_of_chunks (batch, i));
  pgvector_job_bind_take (job, vectors_of_chunks (batch, job->store->vector_oid));
  pgvector_job_bind (job, batch->ids);
}

static void
add_closing (PgvectorJob *job, const Batch *batch)
{
  GBytes *const values[] = { batch->uris,    batch->titles,  batch->metadata,
                             batch->created, batch->updated, batch->created_given };
  add_given (job, batch, PGVECTOR_CLOSE_DOCUMENTS);
  for (guint i = 0; i < G_N_ELEMENTS (values); i++)
    pgvector_job_bind (job, values[i]);
  pgvector_job_bind_take (job, added_of_documents (batch));
}

static void
add_steps (PgvectorJob *job, Batch *batch)
{
  const PgvectorStore *store = job->store;
  g_autoptr (GBytes) ids = ids_of_chunks (batch);
  g_autoptr (GBytes) staging = staging_of_chunks (batch);
  batch->bump = pgvector_job_step (job, PGVECTOR_BUMP);
  pgvector_job_bind_take (job, pgvector_value_uuid (&store->id));
  pgvector_job_bind_take (job, pgvector_value_text (ragify_str_from (store->held_fingerprint)));
  add_new_documents (job, batch);
  add_given (job, batch, PGVECTOR_DROP_STALE);
  add_given (job, batch, PGVECTOR_DROP_REPLACED);
  if (batch->given->chunks.count > 0) {
    pgvector_job_step (job, PGVECTOR_DISPLACE);
    pgvector_job_bind (job, ids);
    pgvector_job_bind (job, staging);
  }
  if (batch->commits) {
    add_given (job, batch, PGVECTOR_DISPLACE_PROMOTED);
    add_given (job, batch, PGVECTOR_PROMOTE);
  }
  if (batch->given->chunks.count > 0)
    add_chunks (job, batch, ids, staging);
  add_given (job, batch, PGVECTOR_SETTLE_UPSERT);
  add_closing (job, batch);
  add_given (job, batch, PGVECTOR_FORGET_DOCUMENTS);
  pgvector_job_step (job, PGVECTOR_FORGET_CHUNKS);
  batch->removed = pgvector_job_step (job, PGVECTOR_READ_REMOVED);
  pgvector_job_step (job, PGVECTOR_TRIM_HISTORY);
}

/* ---- its end ---- */

static gboolean
row_of_upsert (PgvectorJob *job, guint step, const PGresult *row)
{
  Batch *batch = job->state;
  if (step == batch->bump) {
    batch->generation = (RagifyGeneration){ job->store->id, (guint64)pgvector_read_int8 (row, 0) };
  } else if (step == batch->removed) {
    const RagifyUuid id = pgvector_read_uuid (row, 0);
    g_array_append_val (batch->gone, id);
  }
  return TRUE;
}

/* It is committed: a fault here would say that it is not. */
static void
finish_upsert (PgvectorJob *job)
{
  const Batch *batch = job->state;
  RagifyStoreUpsertResult result = { .struct_size = sizeof result,
                                     .generation = batch->generation,
                                     .inserted = batch->given->chunks.count };
  RagifyUuid *removed = pgvector_job_alloc (job, batch->gone->len * sizeof *removed);
  if (removed == NULL)
    return;
  if (batch->gone->len > 0)
    memcpy (removed, batch->gone->data, batch->gone->len * sizeof *removed);
  result.removed = (RagifyUuidList){ removed, batch->gone->len };
  job->store->host->call_done (job->call, &result);
}

static void
begin_upsert (PgvectorStore *store, RagifyCall *call, const void *args)
{
  PgvectorJob *job = pgvector_job_new (store, call, FALSE);
  Batch *batch = g_new0 (Batch, 1);
  batch->given = args;
  batch->places = g_hash_table_new_full (g_bytes_hash, g_bytes_equal, (GDestroyNotify)g_bytes_unref, NULL);
  batch->gone = g_array_new (FALSE, FALSE, sizeof (RagifyUuid));
  job->state = batch;
  job->free_state = batch_free;
  job->row = row_of_upsert;
  job->finish = finish_upsert;
  if (!check_vectors (job, args) || !read_documents (job, batch) || !read_chunks (job, batch) ||
      !check_ids (job, args)) {
    pgvector_job_fail (job);
    return;
  }
  fill_documents (batch, store->host->wall_us ());
  add_steps (job, batch);
  pgvector_job_run (job);
}

void
pgvector_upsert (void *instance, RagifyCall *call, const RagifyStoreUpsert *args)
{
  pgvector_store_when_open (instance, call, args, begin_upsert);
}
