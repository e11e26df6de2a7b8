/* Reading documents: calls on the request's loop, beside whatever is being written.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "core/call/operations.h"
#include "core/ingest/json-time.h"
#include "core/ingest/library-private.h"

#define READ_TIMEOUT_US (10 * G_USEC_PER_SEC)

typedef struct Read {
  RagifyOwner owner;
  RagifyLibrary *library;
  RagifyLoop *loop;
  RagifyStr document;
  RagifyStr cursor;                   /* of its chunks, … */
  guint limit;                        /* … and how many of them */
  RagifyHold *hold;                   /* NULL: none */
  RagifyHold *wanted;                 /* NULL: all of them */
  const RagifyStoreListResult *found; /* the document itself, once it was found */
  RagifyLibraryReplied replied;
  void *user;
} Read;

static json_t *
text_of (RagifyStr text)
{
  return json_stringn (text.data != NULL ? text.data : "", text.size);
}

static json_t *
metadata_of (RagifyStr text)
{
  json_t *object = text.size > 0 ? json_loadb (text.data, text.size, JSON_ALLOW_NUL, NULL) : NULL;
  return object != NULL ? object : json_object ();
}

static const RagifyDocument *
document_at (const RagifyStoreListResult *page, guint64 index)
{
  return (const RagifyDocument *)(const void *)((const char *)page->documents.items + index * page->documents.stride);
}

static json_t *
describe_document (const RagifyDocument *document)
{
  return json_pack ("{s:o, s:o, s:o, s:o, s:I, s:o, s:o}", "id", text_of (document->id), "uri", text_of (document->uri),
                    "title", text_of (document->title), "metadata", metadata_of (document->metadata), "chunks",
                    (json_int_t)document->chunks, "created_at", ragify_json_time (document->created_at), "updated_at",
                    ragify_json_time (document->updated_at));
}

/* Answers and ends the read. Takes `root`. */
static void
answer (Read *read, json_t *root)
{
  char *text = root != NULL ? json_dumps (root, JSON_COMPACT) : NULL;
  json_decref (root);
  RagifyProblem problem = { 0 };
  if (text == NULL)
    ragify_problem_set (&problem, 500, "Store failed", NULL, "the store '%s' returned what JSON cannot carry",
                        read->library->name);
  ragify_library_reply (read->loop, g_strdup (text), &problem, read->replied, read->user);
  free (text);
  ragify_owner_unref (&read->owner);
}

static void
answer_failure (Read *read, const RagifyCall *call)
{
  RagifyProblem problem = { 0 };
  ragify_ingest_problem (&problem, ragify_call_code (call), ragify_call_message (call), ragify_call_retry_after (call));
  ragify_library_reply (read->loop, NULL, &problem, read->replied, read->user);
  ragify_owner_unref (&read->owner);
}

static void
clear_read (RagifyOwner *owner)
{
  Read *read = (Read *)owner;
  g_clear_pointer (&read->hold, ragify_hold_unref);
  g_clear_pointer (&read->wanted, ragify_hold_unref);
  ragify_library_unref (read->library);
}

static Read *
read_new (RagifyLibrary *library, RagifyLoop *loop, RagifyHold *hold, RagifyLibraryReplied replied, void *user)
{
  Read *read = (Read *)ragify_owner_new (sizeof (Read), clear_read);
  read->library = ragify_library_ref (library);
  read->hold = hold != NULL ? ragify_hold_ref (hold) : NULL;
  read->loop = loop;
  read->replied = replied;
  read->user = user;
  return read;
}

static void
ask (Read *read, const RagifyStoreList *what, RagifyCallFinished finished)
{
  RagifyStoreList *args = ragify_arena_alloc (read->owner.arena, sizeof *args);
  *args = *what;
  args->struct_size = sizeof *args;
  const RagifyFilter *wanted = read->wanted != NULL ? ragify_hold_filter (read->wanted) : NULL;
  args->filter = ragify_hold_narrow (read->hold, wanted, read->owner.arena);
  ragify_node_call (read->library->store, ragify_call_new (&read->owner, &ragify_operation_store_list, args,
                                                           ragify_now () + READ_TIMEOUT_US, finished, read));
}

static void
add_cursor (json_t *root, const RagifyStoreListResult *page)
{
  if (page->cursor.size > 0)
    json_object_set_new (root, "next_cursor", text_of (page->cursor));
}

static RagifyStr
keep (Read *read, const char *text)
{
  const gsize size = strlen (text);
  return ragify_str (ragify_arena_copy (read->owner.arena, text, size), size);
}

/* ---- one document ---- */

static void
got_chunks (RagifyCall *call, void *user)
{
  Read *read = user;
  if (ragify_call_code (call) != RAGIFY_OK) {
    answer_failure (read, call);
    return;
  }
  const RagifyStoreListResult *page = ragify_call_result (call);
  json_t *chunks = json_array ();
  for (guint64 i = 0; i < page->chunks.count; i++) {
    const RagifyChunk *chunk =
        (const RagifyChunk *)(const void *)((const char *)page->chunks.items + i * page->chunks.stride);
    char id[37];
    ragify_uuid_write (&chunk->id, id);
    json_array_append_new (chunks, json_pack ("{s:s, s:I, s:I, s:I, s:o}", "id", id, "ordinal",
                                              (json_int_t)chunk->ordinal, "begin", (json_int_t)chunk->begin, "end",
                                              (json_int_t)chunk->end, "content", text_of (chunk->content)));
  }
  json_t *root = describe_document (document_at (read->found, 0));
  json_object_set_new (root, "chunks", chunks);
  add_cursor (root, page);
  answer (read, root);
}

static void
got_document (RagifyCall *call, void *user)
{
  Read *read = user;
  if (ragify_call_code (call) != RAGIFY_OK) {
    answer_failure (read, call);
    return;
  }
  read->found = ragify_call_result (call);
  if (read->found->documents.count == 0 || document_at (read->found, 0)->chunks == 0) {
    RagifyProblem problem = { 0 };
    ragify_problem_set (&problem, 404, "Not found", "id", "the store '%s' has no document '%.*s'", read->library->name,
                        (int)MIN (read->document.size, 1024), read->document.data);
    ragify_library_reply (read->loop, NULL, &problem, read->replied, read->user);
    ragify_owner_unref (&read->owner);
    return;
  }
  const RagifyStoreList what = {
    .what = RAGIFY_LIST_CHUNKS, .limit = read->limit, .cursor = read->cursor, .documents = { &read->document, 1 }
  };
  ask (read, &what, got_chunks);
}

void
ragify_library_get (RagifyLibrary *library, RagifyLoop *loop, const char *document, const char *cursor, guint limit,
                    RagifyHold *hold, RagifyLibraryReplied replied, void *user)
{
  Read *read = read_new (library, loop, hold, replied, user);
  read->document = keep (read, document);
  read->cursor = keep (read, cursor);
  read->limit = CLAMP (limit, 1, RAGIFY_LIBRARY_MOST_CHUNKS);
  const RagifyStoreList what = { .what = RAGIFY_LIST_DOCUMENTS, .limit = 1, .documents = { &read->document, 1 } };
  ask (read, &what, got_document);
}

/* ---- a page of documents ---- */

/* The hold is the store's business: what was left out here would tell, by pages that are short and a cursor, of
 * documents that the holder must not know of. Of some documents no more than a part is staged. */
static void
got_page (RagifyCall *call, void *user)
{
  Read *read = user;
  if (ragify_call_code (call) != RAGIFY_OK) {
    answer_failure (read, call);
    return;
  }
  const RagifyStoreListResult *page = ragify_call_result (call);
  json_t *documents = json_array ();
  for (guint64 i = 0; i < page->documents.count; i++)
    if (document_at (page, i)->chunks > 0)
      json_array_append_new (documents, describe_document (document_at (page, i)));
  json_t *root = json_pack ("{s:o}", "documents", documents);
  add_cursor (root, page);
  answer (read, root);
}

void
ragify_library_list (RagifyLibrary *library, RagifyLoop *loop, const char *cursor, guint limit, RagifyHold *wanted,
                     RagifyHold *hold, RagifyLibraryReplied replied, void *user)
{
  Read *read = read_new (library, loop, hold, replied, user);
  read->wanted = wanted != NULL ? ragify_hold_ref (wanted) : NULL;
  const RagifyStoreList what = { .what = RAGIFY_LIST_DOCUMENTS,
                                 .limit = CLAMP (limit, 1, RAGIFY_LIBRARY_MOST_DOCUMENTS),
                                 .cursor = keep (read, cursor) };
  ask (read, &what, got_page);
}
