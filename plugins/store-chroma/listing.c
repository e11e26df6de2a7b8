/* list: pages of documents or chunks.
 *
 * What the server lets through may be more than what matches (where.c), so pages are asked for until enough match, or
 * until so much was looked at in vain that the caller had better know. Otherwise a page that is short, or a cursor,
 * would tell whoever is held to a filter what else there is. */
#include <stdlib.h>
#include <string.h>

#include "cursor.h"
#include "job.h"
#include "json-condition.h"
#include "records.h"

#define MOST_IN_VAIN 50000u /* records that one call looks at without a match */

typedef struct List {
  const RagifyStoreList *args;
  guint64 offset;  /* of the records that are asked for, … */
  guint64 at_once; /* … and how many */
  guint64 most;    /* of which the answer can be read */
  guint64 in_vain;
  GByteArray *items; /* RagifyDocument or RagifyChunk */
  guint64 found;
  RagifyStoreListResult result;
} List;

static void ask_page (ChromaJob *job);

static void
list_free (gpointer data)
{
  g_byte_array_unref (((List *)data)->items);
  g_free (data);
}

static gboolean
take_document (ChromaJob *job, const char *id, const json_t *metadata, RagifyDocument *document)
{
  static const struct {
    const char *name;
    gsize offset;
  } texts[] = { { CHROMA_OWN "title", offsetof (RagifyDocument, title) },
                { CHROMA_OWN "uri", offsetof (RagifyDocument, uri) },
                { CHROMA_OWN "metadata", offsetof (RagifyDocument, metadata) } };
  *document = (RagifyDocument){ .struct_size = sizeof *document,
                                .chunks = (guint64)chroma_number (metadata, CHROMA_OWN "chunks"),
                                .staged = (guint64)chroma_number (metadata, CHROMA_OWN "staged"),
                                .created_at = chroma_number (metadata, CHROMA_OWN "created"),
                                .updated_at = chroma_number (metadata, CHROMA_OWN "updated") };
  (void)chroma_read_uuid (chroma_text (metadata, CHROMA_OWN "hash"), &document->content_hash);
  (void)chroma_read_uuid (chroma_text (metadata, CHROMA_OWN "staged_hash"), &document->staged_hash);
  if (!chroma_job_copy (job, id, strlen (id), &document->id))
    return FALSE;
  for (guint i = 0; i < G_N_ELEMENTS (texts); i++) {
    const json_t *text = json_object_get (metadata, texts[i].name);
    if (!chroma_job_copy (job, json_string_value (text), json_string_length (text),
                          (RagifyStr *)(void *)((char *)document + texts[i].offset)))
      return FALSE;
  }
  return TRUE;
}

static int
by_place (const void *left, const void *right)
{
  const RagifyChunk *one = left, *other = right;
  const gsize size = MIN (one->document_id.size, other->document_id.size);
  const int order = size > 0 ? memcmp (one->document_id.data, other->document_id.data, size) : 0;
  if (order != 0 || one->document_id.size != other->document_id.size)
    return order != 0 ? order : (one->document_id.size > other->document_id.size) * 2 - 1;
  return (one->ordinal > other->ordinal) - (one->ordinal < other->ordinal);
}

static gboolean
is_document_list (const List *list)
{
  return list->args->what == RAGIFY_LIST_DOCUMENTS;
}

/* One record of a page, where it matches. */
static gboolean
take_record (ChromaJob *job, const json_t *page, gsize index)
{
  List *list = job->state;
  const char *id = json_string_value (json_array_get (json_object_get (page, "ids"), index));
  const json_t *metadata = json_array_get (json_object_get (page, "metadatas"), index);
  list->in_vain++;
  if (id == NULL ||
      (list->args->filter != NULL && !ragify_condition_matches (list->args->filter, chroma_metadata_text (metadata))))
    return TRUE;
  list->in_vain = 0;
  list->found++;
  if (is_document_list (list)) {
    RagifyDocument document;
    if (!take_document (job, id, metadata, &document))
      return FALSE;
    g_byte_array_append (list->items, (const guint8 *)&document, sizeof document);
    return TRUE;
  }
  RagifyChunk chunk = { .struct_size = sizeof chunk };
  if (!chroma_take_chunk (job, id, json_array_get (json_object_get (page, "documents"), index), metadata,
                          RAGIFY_FETCH_CONTENT | RAGIFY_FETCH_METADATA, &chunk))
    return FALSE;
  g_byte_array_append (list->items, (const guint8 *)&chunk, sizeof chunk);
  return TRUE;
}

/* `more`: the list goes on behind the offset. */
static gboolean
complete (ChromaJob *job, gboolean more)
{
  List *list = job->state;
  char text[CHROMA_CURSOR_SIZE];
  void *items = chroma_job_alloc (job, list->items->len);
  if (items == NULL)
    return FALSE;
  if (list->items->len > 0)
    memcpy (items, list->items->data, list->items->len);
  if (is_document_list (list))
    list->result.documents = (RagifyDocumentList){ items, list->found, sizeof (RagifyDocument), 0 };
  else
    list->result.chunks = (RagifyChunkList){ items, list->found, sizeof (RagifyChunk), 0 };
  if (!is_document_list (list) && list->args->documents.count > 0 && list->found > 1)
    qsort (items, list->found, sizeof (RagifyChunk), by_place);
  if (more) {
    chroma_cursor_write (&job->store->secret, list->offset, text);
    if (!chroma_job_copy (job, text, strlen (text), &list->result.cursor))
      return FALSE;
  }
  chroma_job_done (job, &list->result);
  return TRUE;
}

static void
got_page (ChromaJob *job, const json_t *answer)
{
  List *list = job->state;
  const gsize count = json_array_size (json_object_get (answer, "ids"));
  gsize taken = 0;
  gboolean ok = TRUE;
  while (ok && taken < count && list->found < list->args->limit)
    ok = take_record (job, answer, taken++);
  list->offset += taken;
  const gboolean more = taken < count || count >= list->at_once;
  if (!ok)
    chroma_job_fail (job);
  else if (more && list->found < list->args->limit && list->in_vain < MOST_IN_VAIN)
    ask_page (job);
  else if (!complete (job, more))
    chroma_job_fail (job);
}

static gboolean
ask_for_less (ChromaJob *job)
{
  List *list = job->state;
  if (list->at_once <= 1)
    return FALSE;
  list->most = list->at_once / 2;
  ask_page (job);
  return TRUE;
}

static json_t *
names_of (const RagifyStrList *documents)
{
  json_t *ids = json_array ();
  for (guint64 i = 0; i < documents->count; i++)
    json_array_append_new (ids, json_stringn (documents->items[i].data, documents->items[i].size));
  return ids;
}

static void
ask_page (ChromaJob *job)
{
  List *list = job->state;
  const gboolean documents = is_document_list (list), some = list->args->documents.count > 0;
  const guint64 wanted = list->args->limit - list->found;
  list->at_once = MAX (wanted, MIN (list->in_vain, (guint64)job->store->request_chunks)); /* fewer and larger ones */
  list->at_once = MIN (list->at_once, list->most);
  json_t *where = list->args->filter != NULL ? chroma_where (list->args->filter) : NULL;
  json_t *body = json_pack ("{s:I, s:I, s:[s]}", "limit", (json_int_t)list->at_once, "offset", (json_int_t)list->offset,
                            "include", "metadatas");
  if (!documents)
    json_array_append_new (json_object_get (body, "include"), json_string ("documents"));
  if (documents && some)
    json_object_set_new (body, "ids", names_of (&list->args->documents));
  if (!documents && some)
    where = chroma_where_both (where, chroma_where_documents (&list->args->documents));
  if (where != NULL)
    json_object_set_new (body, "where", where);
  job->smaller = ask_for_less;
  chroma_job_send (job, "POST", job->store->urls[documents ? CHROMA_DOCUMENTS : CHROMA_CHUNKS], "/get", body, got_page);
}

/* What changed since a generation is not kept: whoever asks lists everything anew, unless nothing did. */
static void
got_generation (ChromaJob *job, const json_t *answer)
{
  List *list = job->state;
  const json_t *facts = json_object_get (answer, "metadata");
  const guint64 counter = (guint64)chroma_number (facts, CHROMA_OWN "generation");
  list->result.generation = (RagifyGeneration){ job->store->id, counter };
  if (list->args->since == 0) {
    ask_page (job);
    return;
  }
  list->result.since_too_old = list->args->since < counter;
  chroma_job_done (job, &list->result);
}

static void
begin_list (ChromaStore *store, RagifyCall *call, const void *data)
{
  const RagifyStoreList *args = data;
  List *list = g_new0 (List, 1);
  list->args = args;
  list->most = G_MAXUINT64;
  list->items = g_byte_array_new ();
  list->result = (RagifyStoreListResult){ .struct_size = sizeof list->result };
  ChromaJob *job = chroma_job_new (store, call, list, list_free);
  if (args->limit < 1 || args->limit > 10000) {
    (void)ragify_fault_set (&job->fault, RAGIFY_E_INVALID, "limit: expected 1 to 10000, found %u", args->limit);
    chroma_job_fail (job);
  } else if (args->cursor.size > 0 && !chroma_cursor_read (&store->secret, args->cursor, &list->offset)) {
    (void)ragify_fault_set (&job->fault, RAGIFY_E_INVALID, "cursor: it is not one of this store's");
    chroma_job_fail (job);
  } else if (!chroma_filter_ok (job, args->filter)) {
    chroma_job_fail (job);
  } else {
    chroma_job_send (job, "GET", store->facts_url, "", NULL, got_generation);
  }
}

void
chroma_list (void *instance, RagifyCall *call, const RagifyStoreList *args)
{
  chroma_store_when_open (instance, call, args, begin_list);
}
