/* Documents and chunks in: see RagifyStoreUpsert. The server has no transactions, so the order is what keeps things
 * right: chunks, then what their documents had before is taken away, then the generation, then the documents' own
 * records with their hashes, then how many documents there are. Whatever ends before the hashes is done again by
 * whoever sends the documents again; done twice it is as done once. What ends after them has the generation by which
 * others learn of it, and the next write counts the documents. */
#include <math.h>
#include <string.h>

#include "pages.h"
#include "records.h"

#define UNIT_TOLERANCE 0.01F
#define MOST_BYTES (8u << 20) /* of a request, unless one record is larger; the server takes 40 MB */

/* What is known of one of the batch's documents. */
typedef struct Known {
  const RagifyDocument *given;
  gint64 created, updated, chunks, staged; /* as the server has it, and then as it will be */
  gboolean live;                           /* it was whole before */
  char staged_hash[37];
  json_t *before; /* its record's metadata; NULL: there was none */
} Known;

typedef struct Batch {
  const RagifyStoreUpsert *given;
  GHashTable *documents;             /* id → Known */
  GHashTable *old;                   /* ids of chunks that documents had, as text */
  GPtrArray *pending;                /* json_t: bodies of requests that write chunks, … */
  GArray *targets;                   /* … and ChromaCollection of each */
  gsize bytes[CHROMA_N_COLLECTIONS]; /* of the last request that goes there */
  guint written;
  guint64 counter;
  gint64 live; /* documents that are whole */
  guint64 inserted;
} Batch;

static void
known_free (gpointer data)
{
  Known *known = data;
  json_decref (known->before);
  g_free (known);
}

static void
batch_free (gpointer data)
{
  Batch *batch = data;
  g_hash_table_unref (batch->documents);
  g_hash_table_unref (batch->old);
  g_ptr_array_unref (batch->pending);
  g_array_unref (batch->targets);
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

static Known *
known_of (const Batch *batch, RagifyStr id)
{
  g_autofree char *text = g_strndup (id.data, id.size);
  return g_hash_table_lookup (batch->documents, text);
}

/* ---- what is refused ---- */

static gboolean
check_vectors (ChromaJob *job, const RagifyStoreUpsert *given)
{
  const RagifyVectors *vectors = &given->vectors;
  const guint32 dimension = job->store->dimension;
  if (vectors->count != given->chunks.count)
    return ragify_fault_set (&job->fault, RAGIFY_E_INVALID,
                             "vectors: expected one for each of %llu chunks, found %u; Chroma keeps no chunk without",
                             (unsigned long long)given->chunks.count, vectors->count);
  if (vectors->count > 0 && vectors->dimension != dimension)
    return ragify_fault_set (&job->fault, RAGIFY_E_INVALID, "vectors: expected dimension %u, found %u", dimension,
                             vectors->dimension);
  for (guint32 i = 0; i < vectors->count; i++) {
    float sum = 0;
    for (guint32 j = 0; j < dimension; j++)
      sum += vectors->items[(gsize)i * dimension + j] * vectors->items[(gsize)i * dimension + j];
    if (!(fabsf (sqrtf (sum) - 1) <= UNIT_TOLERANCE))
      return ragify_fault_set (&job->fault, RAGIFY_E_INVALID, "vectors[%u]: expected length 1, found %g", i,
                               sqrtf (sum));
  }
  return TRUE;
}

static gboolean
add_document (ChromaJob *job, Batch *batch, guint64 index)
{
  const RagifyDocument *given = document_at (batch->given, index);
  const unsigned long long place = index;
  if (given->id.size == 0)
    return ragify_fault_set (&job->fault, RAGIFY_E_INVALID, "documents[%llu].id: expected a text, found none", place);
  if (given->mode > RAGIFY_DOCUMENT_COMMIT)
    return ragify_fault_set (&job->fault, RAGIFY_E_INVALID, "documents[%llu].mode: unknown mode %u", place,
                             given->mode);
  if (!chroma_metadata_ok (given->metadata))
    return ragify_fault_set (&job->fault, RAGIFY_E_INVALID, "documents[%llu].metadata: expected a JSON object", place);
  Known *known = g_new0 (Known, 1);
  known->given = given;
  if (!g_hash_table_insert (batch->documents, g_strndup (given->id.data, given->id.size), known))
    return ragify_fault_set (&job->fault, RAGIFY_E_INVALID, "documents: '%.*s' stands there twice",
                             (int)MIN (given->id.size, 200), given->id.data);
  return TRUE;
}

static gboolean
check (ChromaJob *job, Batch *batch)
{
  const RagifyStoreUpsert *given = batch->given;
  if (!check_vectors (job, given))
    return FALSE;
  for (guint64 i = 0; i < given->documents.count; i++)
    if (!add_document (job, batch, i))
      return FALSE;
  g_autoptr (GHashTable) ids = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  for (guint64 i = 0; i < given->chunks.count; i++) {
    const RagifyChunk *chunk = chunk_at (given, i);
    char id[37];
    chroma_write_uuid (&chunk->id, id);
    if (!g_hash_table_add (ids, g_strdup (id)))
      return ragify_fault_set (&job->fault, RAGIFY_E_INVALID, "chunks: the id %s stands there twice", id);
    if (known_of (batch, chunk->document_id) == NULL)
      return ragify_fault_set (&job->fault, RAGIFY_E_INVALID,
                               "chunks[%llu].document_id: '%.*s' is not among the batch's documents",
                               (unsigned long long)i, (int)MIN (chunk->document_id.size, 200), chunk->document_id.data);
    if (!chroma_metadata_ok (chunk->metadata))
      return ragify_fault_set (&job->fault, RAGIFY_E_INVALID, "chunks[%llu].metadata: expected a JSON object",
                               (unsigned long long)i);
  }
  return TRUE;
}

/* ---- the last steps ---- */

static void
finished (ChromaJob *job, const json_t *answer)
{
  const Batch *batch = job->state;
  const guint count = g_hash_table_size (batch->old);
  RagifyUuid *removed = chroma_job_alloc (job, count * sizeof *removed);
  if (removed == NULL) {
    chroma_job_fail (job);
    return;
  }
  GHashTableIter iter;
  gpointer id;
  guint at = 0;
  g_hash_table_iter_init (&iter, batch->old);
  while (g_hash_table_iter_next (&iter, &id, NULL))
    at += chroma_read_uuid (id, &removed[at]) ? 1 : 0;
  const RagifyStoreUpsertResult result = { .struct_size = sizeof result,
                                           .generation = { job->store->id, batch->counter },
                                           .inserted = batch->inserted,
                                           .removed = { removed, at } };
  chroma_job_done (job, &result);
}

static void
settled (ChromaJob *job, const json_t *answer)
{
  const Batch *batch = job->state;
  chroma_job_send (
      job, "PUT", job->store->urls[CHROMA_CHUNKS], "",
      json_pack ("{s:o}", "new_metadata", chroma_store_facts (job->store, batch->counter, batch->live, FALSE)),
      finished);
}

static json_t *
string_of (RagifyStr text)
{
  return json_stringn (text.data != NULL ? text.data : "", text.size);
}

/* A document's own record, as it is now. */
static json_t *
describe (const Batch *batch, const Known *known)
{
  static const char none[] = "00000000-0000-0000-0000-000000000000";
  const RagifyDocument *given = known->given;
  const gboolean staging = given->mode == RAGIFY_DOCUMENT_STAGE;
  char hash[37];
  chroma_write_uuid (&given->content_hash, hash);
  /* A document that is whole and is staged anew stays as it was until then. */
  json_t *metadata = staging && known->live ? json_deep_copy (known->before) : json_object ();
  json_object_set_new (metadata, CHROMA_OWN "staged", json_integer (staging ? known->staged : 0));
  json_object_set_new (metadata, CHROMA_OWN "staged_hash", json_string (staging ? hash : none));
  json_object_set_new (metadata, CHROMA_OWN "generation", json_integer ((json_int_t)batch->counter));
  if (staging && known->live)
    return metadata;
  json_object_set_new (metadata, CHROMA_OWN "live", json_integer (staging ? 0 : 1));
  json_object_set_new (metadata, CHROMA_OWN "hash", json_string (staging ? none : hash));
  json_object_set_new (metadata, CHROMA_OWN "chunks", json_integer (staging ? 0 : known->chunks));
  json_object_set_new (metadata, CHROMA_OWN "title", string_of (given->title));
  json_object_set_new (metadata, CHROMA_OWN "uri", string_of (given->uri));
  json_object_set_new (metadata, CHROMA_OWN "metadata", string_of (given->metadata));
  json_object_set_new (metadata, CHROMA_OWN "created", json_integer (known->created));
  json_object_set_new (metadata, CHROMA_OWN "updated", json_integer (known->updated));
  chroma_add_plain (metadata, given->metadata);
  return metadata;
}

static void
write_documents (ChromaJob *job, const json_t *answer)
{
  const Batch *batch = job->state;
  const float one = 1;
  json_t *ids = json_array (), *vectors = json_array (), *metadata = json_array ();
  GHashTableIter iter;
  gpointer id, known;
  g_hash_table_iter_init (&iter, batch->documents);
  while (g_hash_table_iter_next (&iter, &id, &known)) {
    json_array_append_new (ids, json_string (id));
    json_array_append_new (vectors, chroma_write_vector (&one, 1));
    json_array_append_new (metadata, describe (batch, known));
  }
  chroma_job_send (job, "POST", job->store->urls[CHROMA_DOCUMENTS], "/upsert",
                   json_pack ("{s:o, s:o, s:o}", "ids", ids, "embeddings", vectors, "metadatas", metadata), settled);
}

static void
announce (ChromaJob *job, const json_t *answer)
{
  const Batch *batch = job->state;
  chroma_job_send (
      job, "PUT", job->store->urls[CHROMA_CHUNKS], "",
      json_pack ("{s:o}", "new_metadata", chroma_store_facts (job->store, batch->counter, batch->live, TRUE)),
      write_documents);
}

/* Documents whose mode is not STAGE; an array of their ids. */
static json_t *
settled_documents (const Batch *batch)
{
  json_t *ids = json_array ();
  GHashTableIter iter;
  gpointer id, known;
  g_hash_table_iter_init (&iter, batch->documents);
  while (g_hash_table_iter_next (&iter, &id, &known))
    if (((const Known *)known)->given->mode != RAGIFY_DOCUMENT_STAGE)
      json_array_append_new (ids, json_string (id));
  return ids;
}

static void
drop_staged (ChromaJob *job, const json_t *answer)
{
  const Batch *batch = job->state;
  json_t *ids = json_array ();
  GHashTableIter iter;
  gpointer id, known;
  g_hash_table_iter_init (&iter, batch->documents);
  while (g_hash_table_iter_next (&iter, &id, &known))
    if (((const Known *)known)->given->mode != RAGIFY_DOCUMENT_STAGE && ((const Known *)known)->staged > 0)
      json_array_append_new (ids, json_string (id));
  if (json_array_size (ids) > 0) {
    chroma_job_send (job, "POST", job->store->urls[CHROMA_STAGED], "/delete",
                     json_pack ("{s:{s:{s:o}}}", "where", CHROMA_OWN "document", "$in", ids), announce);
    return;
  }
  json_decref (ids);
  announce (job, NULL);
}

/* What documents had and have no more. */
static void
drop_old (ChromaJob *job)
{
  const Batch *batch = job->state;
  json_t *ids = json_array ();
  GHashTableIter iter;
  gpointer id;
  g_hash_table_iter_init (&iter, batch->old);
  while (g_hash_table_iter_next (&iter, &id, NULL))
    json_array_append_new (ids, json_string (id));
  if (json_array_size (ids) > 0) {
    chroma_job_send (job, "POST", job->store->urls[CHROMA_CHUNKS], "/delete", json_pack ("{s:o}", "ids", ids),
                     drop_staged);
    return;
  }
  json_decref (ids);
  drop_staged (job, NULL);
}

/* ---- chunks ---- */

static void
write_next (ChromaJob *job, const json_t *answer)
{
  Batch *batch = job->state;
  if (batch->written == batch->pending->len && job->pages != NULL) { /* of what was staged there may be more */
    g_ptr_array_set_size (batch->pending, 0);
    g_array_set_size (batch->targets, 0);
    batch->written = 0;
    chroma_pages_next (job);
    return;
  }
  if (batch->written == batch->pending->len) {
    drop_old (job);
    return;
  }
  const guint at = batch->written++;
  const ChromaCollection target = g_array_index (batch->targets, ChromaCollection, at);
  chroma_job_send (job, "POST", job->store->urls[target], "/upsert",
                   json_incref (g_ptr_array_index (batch->pending, at)), write_next);
}

/* Of a record in a request, about: its metadata go twice, as text and as members. */
static gsize
bytes_of (const json_t *vector, const json_t *content, const json_t *metadata)
{
  return json_string_length (vector) + json_string_length (content) + 2 * chroma_metadata_text (metadata).size + 1024;
}

/* A record into the last request that goes there, or a new one. Takes vector, content and metadata. */
static void
add_record (ChromaJob *job, Batch *batch, ChromaCollection target, const char *id, json_t *vector, json_t *content,
            json_t *metadata)
{
  const gsize bytes = bytes_of (vector, content, metadata);
  json_t *body = NULL;
  for (guint i = batch->pending->len; i > 0 && body == NULL; i--)
    if (g_array_index (batch->targets, ChromaCollection, i - 1) == target)
      body = g_ptr_array_index (batch->pending, i - 1);
  if (body == NULL || json_array_size (json_object_get (body, "ids")) >= (gsize)job->store->request_chunks ||
      batch->bytes[target] + bytes > MOST_BYTES) {
    batch->bytes[target] = 0;
    body = json_pack ("{s:[], s:[], s:[], s:[]}", "ids", "embeddings", "documents", "metadatas");
    g_ptr_array_add (batch->pending, body);
    g_array_append_val (batch->targets, target);
  }
  batch->bytes[target] += bytes;
  json_array_append_new (json_object_get (body, "ids"), json_string (id));
  json_array_append_new (json_object_get (body, "embeddings"), vector);
  json_array_append_new (json_object_get (body, "documents"), content);
  json_array_append_new (json_object_get (body, "metadatas"), metadata);
}

static void
add_given (ChromaJob *job, Batch *batch)
{
  const guint32 dimension = job->store->dimension;
  for (guint64 i = 0; i < batch->given->chunks.count; i++) {
    const RagifyChunk *chunk = chunk_at (batch->given, i);
    Known *known = known_of (batch, chunk->document_id);
    const gboolean staging = known->given->mode == RAGIFY_DOCUMENT_STAGE;
    char id[37];
    chroma_write_uuid (&chunk->id, id);
    json_t *metadata = chroma_chunk_metadata (chunk, known->created, known->updated);
    if (staging) {
      char hash[37];
      chroma_write_uuid (&known->given->content_hash, hash);
      json_object_set_new (metadata, CHROMA_OWN "hash", json_string (hash));
    }
    add_record (job, batch, staging ? CHROMA_STAGED : CHROMA_CHUNKS, id,
                chroma_write_vector (batch->given->vectors.items + i * dimension, dimension),
                string_of (chunk->content), metadata);
    if (staging) {
      known->staged++;
    } else {
      known->chunks++;
      g_hash_table_remove (batch->old, id);
    }
    batch->inserted++;
  }
}

/* As it will be, but for its chunks. */
static void
settle_known (Batch *batch, Known *known, gint64 now)
{
  const RagifyDocument *given = known->given;
  if (given->created_at != 0 || known->created == 0)
    known->created = given->created_at != 0 ? given->created_at : now;
  known->updated = given->updated_at != 0 ? given->updated_at : now;
  if (given->mode == RAGIFY_DOCUMENT_STAGE)
    return;
  known->chunks = 0;
  batch->live += known->live ? 0 : 1;
}

/* As it is sent; NULL with the job's fault. */
static json_t *
rewrite_vector (ChromaJob *job, const json_t *list)
{
  const guint32 dimension = job->store->dimension;
  g_autofree float *vector = g_new (float, dimension);
  if (chroma_read_vector (list, vector, dimension))
    return chroma_write_vector (vector, dimension);
  (void)chroma_job_unexpected (job, "a record has no vector of the collection's dimension");
  return NULL;
}

/* A staged record becomes its document's, unless it is of another content. FALSE with the job's fault. */
static gboolean
promote_record (ChromaJob *job, const json_t *page, gsize index)
{
  Batch *batch = job->state;
  const json_t *id = json_array_get (json_object_get (page, "ids"), index);
  const json_t *staged = json_array_get (json_object_get (page, "metadatas"), index);
  Known *known = g_hash_table_lookup (batch->documents, chroma_text (staged, CHROMA_OWN "document"));
  char hash[37] = "";
  if (known != NULL)
    chroma_write_uuid (&known->given->content_hash, hash);
  if (known == NULL || !json_is_string (id) || strcmp (hash, chroma_text (staged, CHROMA_OWN "hash")) != 0)
    return TRUE;
  json_t *vector = rewrite_vector (job, json_array_get (json_object_get (page, "embeddings"), index));
  if (vector == NULL)
    return FALSE;
  json_t *metadata = json_deep_copy (staged);
  json_object_del (metadata, CHROMA_OWN "hash");
  add_record (job, batch, CHROMA_CHUNKS, json_string_value (id), vector,
              json_deep_copy (json_array_get (json_object_get (page, "documents"), index)), metadata);
  known->chunks++;
  g_hash_table_remove (batch->old, json_string_value (id));
  return TRUE;
}

static void
promote_page (ChromaJob *job, const json_t *page)
{
  if (page == NULL) {
    add_given (job, job->state);
    write_next (job, NULL);
    return;
  }
  const gsize count = json_array_size (json_object_get (page, "ids"));
  gboolean ok = TRUE;
  for (gsize i = 0; ok && i < count; i++)
    ok = promote_record (job, page, i);
  if (ok)
    write_next (job, NULL);
  else
    chroma_job_fail (job);
}

/* What was staged of documents that are now whole, a page after the other, and then what was given. */
static void
write_chunks (ChromaJob *job, const json_t *answer)
{
  Batch *batch = job->state;
  const gint64 now = job->store->host->wall_us ();
  json_t *ids = json_array ();
  GHashTableIter iter;
  gpointer id, value;
  g_hash_table_iter_init (&iter, batch->documents);
  while (g_hash_table_iter_next (&iter, &id, &value)) {
    Known *known = value;
    settle_known (batch, known, now);
    if (known->given->mode == RAGIFY_DOCUMENT_COMMIT && known->staged > 0)
      json_array_append_new (ids, json_string (id));
  }
  if (json_array_size (ids) > 0) {
    chroma_pages_begin (job, CHROMA_STAGED,
                        json_pack ("{s:{s:{s:o}}, s:[s,s,s]}", "where", CHROMA_OWN "document", "$in", ids, "include",
                                   "documents", "metadatas", "embeddings"),
                        promote_page);
    return;
  }
  json_decref (ids);
  promote_page (job, NULL);
}

/* ---- what is there ---- */

/* Of documents that are staged anew what was staged before for another content goes. */
static void
drop_stale (ChromaJob *job)
{
  const Batch *batch = job->state;
  json_t *ids = json_array ();
  GHashTableIter iter;
  gpointer id, value;
  g_hash_table_iter_init (&iter, batch->documents);
  while (g_hash_table_iter_next (&iter, &id, &value)) {
    Known *known = value;
    char hash[37];
    chroma_write_uuid (&known->given->content_hash, hash);
    if (known->given->mode != RAGIFY_DOCUMENT_STAGE || known->staged == 0 || strcmp (hash, known->staged_hash) == 0)
      continue;
    known->staged = 0;
    json_array_append_new (ids, json_string (id));
  }
  if (json_array_size (ids) > 0) {
    chroma_job_send (job, "POST", job->store->urls[CHROMA_STAGED], "/delete",
                     json_pack ("{s:{s:{s:o}}}", "where", CHROMA_OWN "document", "$in", ids), write_chunks);
    return;
  }
  json_decref (ids);
  write_chunks (job, NULL);
}

static void
got_old (ChromaJob *job, const json_t *answer)
{
  const Batch *batch = job->state;
  const json_t *ids = json_object_get (answer, "ids");
  for (gsize i = 0; i < json_array_size (ids); i++)
    if (json_is_string (json_array_get (ids, i)))
      g_hash_table_add (batch->old, g_strdup (json_string_value (json_array_get (ids, i))));
  if (answer != NULL)
    chroma_pages_next (job);
  else
    drop_stale (job);
}

static void
look_at_chunks (ChromaJob *job)
{
  json_t *ids = settled_documents (job->state);
  if (json_array_size (ids) > 0) {
    chroma_pages_begin (job, CHROMA_CHUNKS,
                        json_pack ("{s:{s:{s:o}}, s:[]}", "where", CHROMA_OWN "document", "$in", ids, "include"),
                        got_old);
    return;
  }
  json_decref (ids);
  drop_stale (job);
}

static void
got_documents (ChromaJob *job, const json_t *answer)
{
  const Batch *batch = job->state;
  const json_t *ids = json_object_get (answer, "ids");
  for (gsize i = 0; i < json_array_size (ids); i++) {
    const char *id = json_string_value (json_array_get (ids, i));
    const json_t *metadata = json_array_get (json_object_get (answer, "metadatas"), i);
    Known *known = id != NULL ? g_hash_table_lookup (batch->documents, id) : NULL;
    if (known == NULL)
      continue;
    known->before = json_incref ((json_t *)metadata);
    known->created = chroma_number (metadata, CHROMA_OWN "created");
    known->chunks = chroma_number (metadata, CHROMA_OWN "chunks");
    known->staged = chroma_number (metadata, CHROMA_OWN "staged");
    known->live = chroma_number (metadata, CHROMA_OWN "live") != 0;
    g_strlcpy (known->staged_hash, chroma_text (metadata, CHROMA_OWN "staged_hash"), sizeof known->staged_hash);
  }
  look_at_chunks (job);
}

static void
ask_for_documents (ChromaJob *job)
{
  const Batch *batch = job->state;
  json_t *ids = json_array ();
  for (guint64 i = 0; i < batch->given->documents.count; i++)
    json_array_append_new (ids, string_of (document_at (batch->given, i)->id));
  chroma_job_send (job, "POST", job->store->urls[CHROMA_DOCUMENTS], "/get",
                   json_pack ("{s:o, s:[s]}", "ids", ids, "include", "metadatas"), got_documents);
}

static void
counted (ChromaJob *job, const json_t *answer)
{
  ((Batch *)job->state)->live += (gint64)json_array_size (json_object_get (answer, "ids"));
  if (answer != NULL)
    chroma_pages_next (job);
  else
    ask_for_documents (job);
}

static void
got_facts (ChromaJob *job, const json_t *answer)
{
  Batch *batch = job->state;
  const json_t *facts = json_object_get (answer, "metadata");
  RagifyUuid id;
  if (!chroma_read_uuid (chroma_text (facts, CHROMA_OWN "store"), &id) ||
      memcmp (&id, &job->store->id, sizeof id) != 0 ||
      strcmp (chroma_text (facts, CHROMA_OWN "fingerprint"), job->store->fingerprint) != 0) {
    (void)ragify_fault_set (&job->fault, RAGIFY_E_UNAVAILABLE, "the collection '%s' is another one meanwhile",
                            job->store->collection);
    chroma_job_fail (job);
    return;
  }
  batch->counter = (guint64)chroma_number (facts, CHROMA_OWN "generation") + 1;
  batch->live = chroma_number (facts, CHROMA_OWN "documents");
  if (chroma_number (facts, CHROMA_OWN "open") != 0) {
    batch->live = 0;
    chroma_pages_begin (job, CHROMA_DOCUMENTS, chroma_store_whole_documents (), counted);
  } else {
    ask_for_documents (job);
  }
}

static void
begin (ChromaStore *store, RagifyCall *call, const void *args)
{
  Batch *batch = g_new0 (Batch, 1);
  batch->given = args;
  batch->documents = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, known_free);
  batch->old = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  batch->pending = g_ptr_array_new_with_free_func ((GDestroyNotify)json_decref);
  batch->targets = g_array_new (FALSE, FALSE, sizeof (ChromaCollection));
  ChromaJob *job = chroma_job_new (store, call, batch, batch_free);
  if (check (job, batch))
    chroma_job_send (job, "GET", store->facts_url, "", NULL, got_facts);
  else
    chroma_job_fail (job);
}

void
chroma_upsert (void *instance, RagifyCall *call, const RagifyStoreUpsert *args)
{
  chroma_store_when_open (instance, call, args, begin);
}
