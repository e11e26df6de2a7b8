/* Deleting all documents that match a filter: some at a time, between the writes of others.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "core/call/operations.h"
#include "core/ingest/library-private.h"
#include "core/ingest/report.h"

#define DELETED_AT_ONCE 500u
#define LIST_TIMEOUT_US (120 * (guint64)G_USEC_PER_SEC)

typedef struct Clearing {
  RagifyLibraryJob job;
  RagifyLibrary *library;
  RagifyLoop *loop;
  RagifyHold *wanted;
  RagifyHold *hold; /* NULL: none */
  char *cursor;     /* of the page under way */
  char *next;       /* of the one behind it */
  char *first;      /* the first that was deleted of the page before; NULL: none */
  guint64 documents, chunks;
  RagifyLibraryReplied replied;
  void *user;
} Clearing;

/* Says what came of it, or the problem; then it is gone. */
static gboolean
end (Clearing *clearing, const RagifyProblem *problem)
{
  char *body = problem != NULL
                   ? NULL
                   : g_strdup_printf ("{\"documents\":%" G_GUINT64_FORMAT ",\"chunks\":%" G_GUINT64_FORMAT "}",
                                      clearing->documents, clearing->chunks);
  ragify_library_reply (clearing->loop, body, problem, clearing->replied, clearing->user);
  ragify_hold_unref (clearing->wanted);
  g_clear_pointer (&clearing->hold, ragify_hold_unref);
  ragify_library_unref (clearing->library);
  g_free (clearing->cursor);
  g_free (clearing->next);
  g_free (clearing->first);
  g_free (clearing);
  return FALSE;
}

/* Ids of some documents that match and that the hold does not keep from the holder. NULL with a problem. */
static GPtrArray *
list_page (Clearing *clearing, RagifyProblem *problem)
{
  g_autoptr (RagifyOwner) owner = ragify_owner_new (sizeof (RagifyOwner), NULL);
  const char *cursor = clearing->cursor != NULL ? clearing->cursor : "";
  RagifyStoreList *args = ragify_arena_alloc (owner->arena, sizeof *args);
  *args = (RagifyStoreList){ .struct_size = sizeof *args,
                             .what = RAGIFY_LIST_DOCUMENTS,
                             .limit = DELETED_AT_ONCE,
                             .cursor = ragify_str_from (ragify_arena_copy (owner->arena, cursor, strlen (cursor))),
                             .filter = ragify_hold_narrow (clearing->hold, ragify_hold_filter (clearing->wanted),
                                                           owner->arena) };
  RagifyCall *call =
      ragify_call_new (owner, &ragify_operation_store_list, args, ragify_now () + LIST_TIMEOUT_US, NULL, NULL);
  const gint32 code = ragify_call_wait (clearing->library->store, call);
  if (code != RAGIFY_OK) {
    ragify_ingest_problem (problem, code, ragify_call_message (call), ragify_call_retry_after (call));
    return NULL;
  }
  const RagifyStoreListResult *page = ragify_call_result (call);
  GPtrArray *ids = g_ptr_array_new_with_free_func (g_free);
  for (guint64 i = 0; i < page->documents.count; i++) {
    const RagifyDocument *document =
        (const RagifyDocument *)(const void *)((const char *)page->documents.items + i * page->documents.stride);
    g_ptr_array_add (ids, g_strndup (document->id.data, document->id.size));
  }
  g_free (clearing->next);
  clearing->next = g_strndup (page->cursor.size > 0 ? page->cursor.data : "", page->cursor.size);
  return ids;
}

/* FALSE: that was the last page. */
static gboolean
turn_page (Clearing *clearing)
{
  g_free (clearing->cursor);
  clearing->cursor = g_steal_pointer (&clearing->next);
  return *clearing->cursor != '\0';
}

/* A page of which something was deleted is looked at once more: where a cursor is a place in the list, what came behind
 * has moved up. */
static gboolean
clearing_step (RagifyLibraryJob *job, RagifyCommitter *committer)
{
  Clearing *clearing = (Clearing *)job;
  RagifyProblem problem = { 0 };
  RagifyGeneration generation;
  guint64 chunks = 0;
  ragify_committer_land (committer); /* what is under way may make one that matches now another one */
  g_autoptr (GPtrArray) ids = list_page (clearing, &problem);
  if (ids == NULL)
    return end (clearing, &problem);
  if (ids->len == 0 || g_strcmp0 (clearing->first, g_ptr_array_index (ids, 0)) == 0) /* the store still shows it */
    return turn_page (clearing) || end (clearing, NULL);
  if (!ragify_committer_delete (committer, (const char *const *)ids->pdata, ids->len, clearing->hold, &chunks,
                                &generation, &problem))
    return end (clearing, &problem);
  g_free (clearing->first);
  clearing->first = g_strdup (g_ptr_array_index (ids, 0));
  clearing->documents += ids->len;
  clearing->chunks += chunks;
  return TRUE;
}

static void
clearing_refuse (RagifyLibraryJob *job)
{
  Clearing *clearing = (Clearing *)job;
  RagifyProblem problem = { 0 };
  ragify_problem_set (&problem, 503, "Shutting down", NULL,
                      "the host is shutting down; %" G_GUINT64_FORMAT " documents were deleted before",
                      clearing->documents);
  end (clearing, &problem);
}

void
ragify_library_delete_matching (RagifyLibrary *library, RagifyLoop *loop, RagifyHold *wanted, RagifyHold *hold,
                                RagifyLibraryReplied replied, void *user)
{
  Clearing *clearing = g_new0 (Clearing, 1);
  clearing->job.step = clearing_step;
  clearing->job.refuse = clearing_refuse;
  clearing->library = ragify_library_ref (library);
  clearing->loop = loop;
  clearing->wanted = ragify_hold_ref (wanted);
  clearing->hold = hold != NULL ? ragify_hold_ref (hold) : NULL;
  clearing->replied = replied;
  clearing->user = user;
  pthread_mutex_lock (&library->lock);
  const gboolean taken = ragify_library_schedule (library, &clearing->job, FALSE);
  pthread_mutex_unlock (&library->lock);
  if (!taken)
    clearing_refuse (&clearing->job);
}
