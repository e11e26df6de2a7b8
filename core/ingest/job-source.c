/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "core/call/operations.h"
#include "core/ingest/job-private.h"

#define PAGE 200u /* documents of one scan */
#define SCAN_TIMEOUT_US (120 * (guint64)G_USEC_PER_SEC)

typedef struct SourcePass {
  RagifyIngestJob *job;
  GHashTable *known; /* what the store has and the source has not shown yet */
  GHashTable *seen;  /* ids of what it has shown */
  RagifyJobBatch batch;
  char *cursor;
} SourcePass;

static char *
copy_of (RagifyStr text)
{
  return g_strndup (text.size > 0 ? text.data : "", text.size);
}

/* Its own metadata and the job's. */
static char *
metadata_of (const RagifyIngestJob *job, const RagifyChunk *chunk)
{
  json_t *metadata = chunk->metadata.size > 0 ? json_loadb (chunk->metadata.data, chunk->metadata.size, 0, NULL) : NULL;
  metadata = metadata != NULL ? metadata : json_object ();
  json_object_set_new (metadata, "ingest", json_string (job->name));
  char *text = json_dumps (metadata, JSON_COMPACT | JSON_SORT_KEYS);
  char *copy = g_strdup (text);
  free (text);
  json_decref (metadata);
  return copy;
}

static gboolean
take_document (SourcePass *pass, const RagifyChunk *chunk)
{
  RagifyIngestJob *job = pass->job;
  g_autofree char *name = copy_of (chunk->document_id.size > 0 ? chunk->document_id : chunk->uri);
  g_autofree char *whole = g_strdup_printf ("%s/%s", job->name, name);
  g_autofree char *title = copy_of (chunk->title);
  g_autofree char *uri = copy_of (chunk->uri);
  ragify_job_count (job, &job->progress.found, 1);
  ragify_job_count (job, &job->progress.read, 1);
  ragify_job_count (job, &job->progress.bytes, chunk->content.size);
  if (*name == '\0' || chunk->content.size == 0 || memchr (chunk->content.data, '\0', chunk->content.size) != NULL) {
    ragify_job_set_aside (job, name, *name == '\0' ? "has no id" : "has no content, or a NUL in it");
    return ragify_job_goes_on (job);
  }
  RagifyIncoming *incoming = ragify_incoming_new (whole, copy_of (chunk->content), chunk->content.size, title, uri);
  if (!g_hash_table_add (pass->seen, g_strdup (incoming->id))) {
    ragify_job_set_aside (job, name, "has the id of another one, which was taken");
    ragify_incoming_free (incoming);
    return ragify_job_goes_on (job);
  }
  g_free (incoming->metadata);
  incoming->metadata = metadata_of (job, chunk);
  incoming->created_at = chunk->created_at;
  incoming->updated_at = chunk->updated_at;
  incoming->chunk_size = job->chunk_size;
  incoming->chunk_overlap = job->chunk_overlap;
  incoming->chunk_tokens = job->chunk_tokens;
  g_hash_table_remove (pass->known, incoming->id);
  return ragify_job_batch_add (&pass->batch, incoming, name);
}

/* One page; what the source says to be deleted is not shown, and so goes with the rest of what is known. */
static gboolean
scan_page (SourcePass *pass, char **error)
{
  g_autoptr (RagifyOwner) owner = ragify_owner_new (sizeof (RagifyOwner), NULL);
  RagifySourceScan *args = ragify_arena_alloc (owner->arena, sizeof *args);
  *args = (RagifySourceScan){ .struct_size = sizeof *args,
                              .limit = PAGE,
                              .cursor = ragify_str_from (
                                  ragify_arena_copy (owner->arena, pass->cursor, strlen (pass->cursor))) };
  RagifyCall *call =
      ragify_call_new (owner, &ragify_operation_source_scan, args, ragify_now () + SCAN_TIMEOUT_US, NULL, NULL);
  if (ragify_call_wait (pass->job->source, call) != RAGIFY_OK) {
    *error = g_strdup (ragify_call_message (call));
    return FALSE;
  }
  gsize count = 0;
  const void *const *items = ragify_call_items (call, &count);
  for (gsize i = 0; i < count; i++) {
    const RagifyChunk *chunk = items[i];
    if ((chunk->flags & RAGIFY_CHUNK_DELETED) == 0 && !take_document (pass, chunk))
      return FALSE;
  }
  const RagifySourceScanResult *result = ragify_call_result (call);
  g_autofree char *next = copy_of (result->cursor);
  if (*next != '\0' && strcmp (next, pass->cursor) == 0) {
    *error =
        g_strdup_printf ("%s: its scan comes to the same place again and again", ragify_node_name (pass->job->source));
    return FALSE;
  }
  g_free (pass->cursor);
  pass->cursor = g_steal_pointer (&next);
  return TRUE;
}

static gboolean
run (SourcePass *pass, char **error)
{
  RagifyUuid store;
  RagifyProblem problem = { 0 };
  pass->known = ragify_job_list_known (pass->job, &store, &problem);
  if (pass->known == NULL) {
    *error = g_strdup (problem.detail);
    ragify_problem_clear (&problem);
    return FALSE;
  }
  do {
    if (!scan_page (pass, error))
      return FALSE;
  } while (*pass->cursor != '\0');
  if (!ragify_job_batch_flush (&pass->batch))
    return FALSE;
  g_autoptr (GPtrArray) ids = g_ptr_array_new ();
  GHashTableIter iter;
  gpointer id = NULL;
  g_hash_table_iter_init (&iter, pass->known);
  while (g_hash_table_iter_next (&iter, &id, NULL))
    g_ptr_array_add (ids, id);
  return ragify_job_delete (pass->job, ids);
}

gboolean
ragify_job_source_pass (RagifyIngestJob *job, char **error)
{
  SourcePass pass = { .job = job,
                      .seen = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL),
                      .cursor = g_strdup ("") };
  ragify_job_batch_init (&pass.batch, job);
  const gboolean well = run (&pass, error);
  ragify_job_batch_clear (&pass.batch);
  g_clear_pointer (&pass.known, g_hash_table_unref);
  g_hash_table_unref (pass.seen);
  g_free (pass.cursor);
  return well;
}
