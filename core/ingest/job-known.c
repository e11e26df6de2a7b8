/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "core/call/operations.h"
#include "core/ingest/job-private.h"

#define PAGE 1000u
#define LIST_TIMEOUT_US (120 * (guint64)G_USEC_PER_SEC)

/* Anybody may call a document the job's in its metadata; those that the job wrote are called so in their id. */
static gboolean
is_own (const RagifyIngestJob *job, RagifyStr id)
{
  const gsize size = strlen (job->name);
  return id.size > size + 1 && memcmp (id.data, job->name, size) == 0 && id.data[size] == '/';
}

static void
take_document (const RagifyIngestJob *job, GHashTable *known, const RagifyDocument *document)
{
  if (document->chunks + document->staged == 0 || !is_own (job, document->id))
    return;
  json_t *metadata = json_loadb (document->metadata.data, document->metadata.size, 0, NULL);
  const RagifyJobKnown facts = { document->updated_at, (guint64)json_integer_value (json_object_get (metadata, "size")),
                                 document->chunks > 0 };
  json_decref (metadata);
  g_hash_table_insert (known, g_strndup (document->id.data, document->id.size), g_memdup2 (&facts, sizeof facts));
}

static gboolean
list_page (RagifyIngestJob *job, GHashTable *known, char **cursor, RagifyUuid *store, RagifyProblem *problem)
{
  g_autoptr (RagifyOwner) owner = ragify_owner_new (sizeof (RagifyOwner), NULL);
  RagifyStoreList *args = ragify_arena_alloc (owner->arena, sizeof *args);
  *args = (RagifyStoreList){ .struct_size = sizeof *args,
                             .what = RAGIFY_LIST_DOCUMENTS,
                             .limit = PAGE,
                             .cursor = ragify_str_from (ragify_arena_copy (owner->arena, *cursor, strlen (*cursor))),
                             .filter = ragify_hold_filter (job->hold) };
  RagifyCall *call =
      ragify_call_new (owner, &ragify_operation_store_list, args, ragify_now () + LIST_TIMEOUT_US, NULL, NULL);
  const gint32 code = ragify_call_wait (job->store, call);
  if (code != RAGIFY_OK)
    return ragify_ingest_problem (problem, code, ragify_call_message (call), ragify_call_retry_after (call));
  const RagifyStoreListResult *page = ragify_call_result (call);
  for (guint64 i = 0; i < page->documents.count; i++)
    take_document (
        job, known,
        (const RagifyDocument *)(const void *)((const char *)page->documents.items + i * page->documents.stride));
  *store = page->generation.store;
  g_free (*cursor);
  *cursor = page->cursor.size > 0 ? g_strndup (page->cursor.data, page->cursor.size) : g_strdup ("");
  return TRUE;
}

GHashTable *
ragify_job_list_known (RagifyIngestJob *job, RagifyUuid *store, RagifyProblem *problem)
{
  g_autoptr (GHashTable) known = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  g_autofree char *cursor = g_strdup ("");
  do {
    if (!list_page (job, known, &cursor, store, problem))
      return NULL;
  } while (*cursor != '\0');
  return g_steal_pointer (&known);
}
