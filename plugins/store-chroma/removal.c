/* remove: chunks by their ids, documents, and what matches a filter. */
#include <string.h>

#include "json-condition.h"
#include "pages.h"
#include "records.h"

typedef struct Removal {
  const RagifyStoreRemove *args;
  GHashTable *gone;    /* ids of chunks as text → the document's id */
  GHashTable *whole;   /* documents that go as a whole: a set of ids */
  GHashTable *partial; /* documents that lose some: id → how many, by GUINT_TO_POINTER */
  json_t *kept;        /* of those the records that stay: a body of an upsert */
  guint64 counter;
  gint64 live;      /* documents that are whole */
  gboolean changes; /* something goes that was there */
  enum { BY_ID, BY_DOCUMENT, BY_FILTER, LOOK_AT_DOCUMENTS } stage;
} Removal;

static void
removal_free (gpointer data)
{
  Removal *removal = data;
  g_hash_table_unref (removal->gone);
  g_hash_table_unref (removal->whole);
  g_hash_table_unref (removal->partial);
  json_decref (removal->kept);
  g_free (removal);
}

static json_t *
keys_of (GHashTable *table)
{
  json_t *list = json_array ();
  GHashTableIter iter;
  gpointer key;
  g_hash_table_iter_init (&iter, table);
  while (g_hash_table_iter_next (&iter, &key, NULL))
    json_array_append_new (list, json_string (key));
  return list;
}

/* ---- the end ---- */

static void
finished (ChromaJob *job, const json_t *answer)
{
  const Removal *removal = job->state;
  RagifyUuid *removed = chroma_job_alloc (job, g_hash_table_size (removal->gone) * sizeof *removed);
  GHashTableIter iter;
  gpointer id;
  guint at = 0;
  if (removed == NULL) {
    chroma_job_fail (job);
    return;
  }
  g_hash_table_iter_init (&iter, removal->gone);
  while (g_hash_table_iter_next (&iter, &id, NULL))
    at += chroma_read_uuid (id, &removed[at]) ? 1 : 0;
  const RagifyStoreRemoveResult result = { .struct_size = sizeof result,
                                           .generation = { job->store->id, removal->counter },
                                           .removed = { removed, at } };
  chroma_job_done (job, &result);
}

static void
settle (ChromaJob *job, const json_t *answer)
{
  Removal *removal = job->state;
  if (!removal->changes) {
    finished (job, NULL);
    return;
  }
  chroma_job_send (
      job, "PUT", job->store->urls[CHROMA_CHUNKS], "",
      json_pack ("{s:o}", "new_metadata", chroma_store_facts (job->store, removal->counter, removal->live, FALSE)),
      finished);
}

static void
keep_documents (ChromaJob *job, const json_t *answer)
{
  const Removal *removal = job->state;
  if (removal->kept != NULL)
    chroma_job_send (job, "POST", job->store->urls[CHROMA_DOCUMENTS], "/upsert", json_incref (removal->kept), settle);
  else
    settle (job, NULL);
}

static void
drop_documents (ChromaJob *job, const json_t *answer)
{
  const Removal *removal = job->state;
  if (g_hash_table_size (removal->whole) > 0)
    chroma_job_send (job, "POST", job->store->urls[CHROMA_DOCUMENTS], "/delete",
                     json_pack ("{s:o}", "ids", keys_of (removal->whole)), keep_documents);
  else
    keep_documents (job, NULL);
}

static void
drop_staged (ChromaJob *job, const json_t *answer)
{
  const Removal *removal = job->state;
  if (removal->args->documents.count > 0)
    chroma_job_send (job, "POST", job->store->urls[CHROMA_STAGED], "/delete",
                     json_pack ("{s:o}", "where", chroma_where_documents (&removal->args->documents)), drop_documents);
  else
    drop_documents (job, NULL);
}

static void
delete_chunks (ChromaJob *job, const json_t *answer)
{
  const Removal *removal = job->state;
  if (g_hash_table_size (removal->gone) > 0)
    chroma_job_send (job, "POST", job->store->urls[CHROMA_CHUNKS], "/delete",
                     json_pack ("{s:o}", "ids", keys_of (removal->gone)), drop_staged);
  else
    drop_staged (job, NULL);
}

/* The generation first: where this ends in the middle, others learn of it all the same. */
static void
drop_chunks (ChromaJob *job)
{
  Removal *removal = job->state;
  removal->changes = removal->changes || g_hash_table_size (removal->gone) > 0;
  if (!removal->changes) {
    drop_staged (job, NULL);
    return;
  }
  removal->counter++;
  chroma_job_send (
      job, "PUT", job->store->urls[CHROMA_CHUNKS], "",
      json_pack ("{s:o}", "new_metadata", chroma_store_facts (job->store, removal->counter, removal->live, TRUE)),
      delete_chunks);
}

/* ---- the documents that lose some ---- */

static void
keep (Removal *removal, const char *id, json_t *metadata)
{
  const float one = 1;
  if (removal->kept == NULL)
    removal->kept = json_pack ("{s:[], s:[], s:[]}", "ids", "embeddings", "metadatas");
  json_array_append_new (json_object_get (removal->kept, "ids"), json_string (id));
  json_array_append_new (json_object_get (removal->kept, "embeddings"), chroma_write_vector (&one, 1));
  json_array_append_new (json_object_get (removal->kept, "metadatas"), metadata);
}

static void
got_documents (ChromaJob *job, const json_t *answer)
{
  Removal *removal = job->state;
  const json_t *ids = json_object_get (answer, "ids");
  for (gsize i = 0; i < json_array_size (ids); i++) {
    const char *id = json_string_value (json_array_get (ids, i));
    json_t *metadata = json_array_get (json_object_get (answer, "metadatas"), i);
    const guint lost = id != NULL ? GPOINTER_TO_UINT (g_hash_table_lookup (removal->partial, id)) : 0;
    const gint64 left = chroma_number (metadata, CHROMA_OWN "chunks") - lost;
    const gboolean live = chroma_number (metadata, CHROMA_OWN "live") != 0;
    if (id == NULL)
      continue;
    if (g_hash_table_contains (removal->whole, id)) {
      removal->live -= live;
      removal->changes = removal->changes || live;
      continue;
    }
    removal->live -= live && left <= 0;
    if (left <= 0 && chroma_number (metadata, CHROMA_OWN "staged") == 0) {
      g_hash_table_add (removal->whole, g_strdup (id));
      continue;
    }
    json_t *after = json_copy (metadata);
    json_object_set_new (after, CHROMA_OWN "chunks", json_integer (MAX (left, 0)));
    json_object_set_new (after, CHROMA_OWN "live", json_integer (live && left > 0));
    json_object_set_new (after, CHROMA_OWN "generation", json_integer ((json_int_t)removal->counter + 1));
    keep (removal, id, after);
  }
  drop_chunks (job);
}

static void
look_at_documents (ChromaJob *job)
{
  Removal *removal = job->state;
  GHashTableIter iter;
  gpointer document;
  g_hash_table_iter_init (&iter, removal->gone);
  while (g_hash_table_iter_next (&iter, NULL, &document))
    if (!g_hash_table_contains (removal->whole, document)) {
      const guint lost = GPOINTER_TO_UINT (g_hash_table_lookup (removal->partial, document));
      g_hash_table_insert (removal->partial, g_strdup (document), GUINT_TO_POINTER (lost + 1));
    }
  json_t *ids = keys_of (removal->partial);
  json_t *whole = keys_of (removal->whole);
  json_array_extend (ids, whole);
  json_decref (whole);
  if (json_array_size (ids) > 0)
    chroma_job_send (job, "POST", job->store->urls[CHROMA_DOCUMENTS], "/get",
                     json_pack ("{s:O, s:[s]}", "ids", ids, "include", "metadatas"), got_documents);
  else
    drop_chunks (job);
  json_decref (ids);
}

/* ---- what goes ---- */

static void next (ChromaJob *job);

static void
got_chunks (ChromaJob *job, const json_t *answer)
{
  Removal *removal = job->state;
  const json_t *ids = json_object_get (answer, "ids");
  const gboolean filtered = removal->stage == BY_FILTER;
  for (gsize i = 0; i < json_array_size (ids); i++) {
    const char *id = json_string_value (json_array_get (ids, i));
    const json_t *metadata = json_array_get (json_object_get (answer, "metadatas"), i);
    if (id != NULL && (!filtered || ragify_condition_matches (removal->args->filter, chroma_metadata_text (metadata))))
      g_hash_table_insert (removal->gone, g_strdup (id), g_strdup (chroma_text (metadata, CHROMA_OWN "document")));
  }
  if (answer != NULL) {
    chroma_pages_next (job);
    return;
  }
  removal->stage++;
  next (job);
}

/* Takes `name` and `value`: what to look for. */
static void
look_for (ChromaJob *job, const char *name, json_t *value)
{
  json_t *body = json_pack ("{s:[s]}", "include", "metadatas");
  if (value != NULL)
    json_object_set_new (body, name, value);
  chroma_pages_begin (job, CHROMA_CHUNKS, body, got_chunks);
}

static json_t *
given_ids (const RagifyUuidList *given)
{
  json_t *ids = json_array ();
  for (guint64 i = 0; i < given->count; i++) {
    char id[37];
    chroma_write_uuid (&given->items[i], id);
    json_array_append_new (ids, json_string (id));
  }
  return ids;
}

static void
next (ChromaJob *job)
{
  Removal *removal = job->state;
  const RagifyStoreRemove *args = removal->args;
  if (removal->stage == BY_ID && args->ids.count == 0)
    removal->stage++;
  if (removal->stage == BY_DOCUMENT && args->documents.count == 0)
    removal->stage++;
  if (removal->stage == BY_FILTER && args->filter == NULL)
    removal->stage++;
  if (removal->stage == BY_ID)
    look_for (job, "ids", given_ids (&args->ids));
  else if (removal->stage == BY_DOCUMENT)
    look_for (job, "where", chroma_where_documents (&args->documents));
  else if (removal->stage == BY_FILTER)
    look_for (job, "where", chroma_where (args->filter));
  else
    look_at_documents (job);
}

static void
counted (ChromaJob *job, const json_t *answer)
{
  ((Removal *)job->state)->live += (gint64)json_array_size (json_object_get (answer, "ids"));
  if (answer != NULL)
    chroma_pages_next (job);
  else
    next (job);
}

static void
got_facts (ChromaJob *job, const json_t *answer)
{
  Removal *removal = job->state;
  const json_t *facts = json_object_get (answer, "metadata");
  removal->counter = (guint64)chroma_number (facts, CHROMA_OWN "generation");
  removal->live = chroma_number (facts, CHROMA_OWN "documents");
  if (chroma_number (facts, CHROMA_OWN "open") != 0) {
    removal->live = 0;
    chroma_pages_begin (job, CHROMA_DOCUMENTS, chroma_store_whole_documents (), counted);
  } else {
    next (job);
  }
}

static void
begin (ChromaStore *store, RagifyCall *call, const void *data)
{
  const RagifyStoreRemove *args = data;
  Removal *removal = g_new0 (Removal, 1);
  removal->args = args;
  removal->gone = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  removal->whole = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  removal->partial = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  for (guint64 i = 0; i < args->documents.count; i++)
    g_hash_table_add (removal->whole, g_strndup (args->documents.items[i].data, args->documents.items[i].size));
  ChromaJob *job = chroma_job_new (store, call, removal, removal_free);
  if (chroma_filter_ok (job, args->filter))
    chroma_job_send (job, "GET", store->facts_url, "", NULL, got_facts);
  else
    chroma_job_fail (job);
}

void
chroma_remove (void *instance, RagifyCall *call, const RagifyStoreRemove *args)
{
  chroma_store_when_open (instance, call, args, begin);
}
