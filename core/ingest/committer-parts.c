/* Documents that are written in parts: staged in the store, and found once the last part is committed.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>
#include <xxhash.h>

#include "core/call/operations.h"
#include "core/ingest/committer-private.h"

#define COMMIT_US_PER_CHUNK 1000 /* that the store may need to make a staged one findable */
#define FOLLOW_US (2 * (guint64)G_USEC_PER_SEC)

static RagifyUuid
hash_of (const RagifyCommitter *committer, const RagifyIncoming *document, const RagifyUuid *content)
{
  RagifyIncoming named = *document;
  char text[37];
  ragify_uuid_write (content, text);
  named.content = text;
  named.content_size = strlen (text);
  g_autofree char *salt = g_strdup_printf ("%s parts", committer->salt[RAGIFY_CHUNKING_DEFAULT]);
  return ragify_incoming_hash (&named, salt);
}

static gboolean
find (RagifyCommitter *committer, const RagifyIncoming *document, const RagifyHold *hold, RagifyKnown *facts,
      RagifyProblem *problem)
{
  g_autoptr (GHashTable) known = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  RagifyIncoming *const one[] = { (RagifyIncoming *)document };
  if (!ragify_committer_find_known (committer, one, 1, hold, known, problem))
    return FALSE;
  const RagifyKnown *found = g_hash_table_lookup (known, document->id);
  *facts = found != NULL ? *found : (RagifyKnown){ .chunks = 0 };
  return TRUE;
}

static guint64
staged_of (const RagifyKnown *known, const RagifyUuid *hash)
{
  return memcmp (&known->staged_hash, hash, sizeof *hash) == 0 ? known->staged : 0;
}

gboolean
ragify_committer_look (RagifyCommitter *committer, const RagifyIncoming *document, const RagifyUuid *content,
                       const RagifyHold *hold, RagifyPartState *state, RagifyProblem *problem)
{
  RagifyKnown known;
  if (!ragify_committer_make_sure (committer, problem) || !find (committer, document, hold, &known, problem))
    return FALSE;
  const RagifyUuid hash = hash_of (committer, document, content);
  *state = (RagifyPartState){
    .hash = hash,
    .unchanged = known.chunks > 0 && memcmp (&known.hash, &hash, sizeof hash) == 0,
    .foreign = known.foreign,
    .staged = staged_of (&known, &hash),
  };
  return TRUE;
}

/* ---- writing ---- */

static void
add_chunk (RagifyCommitter *committer, RagifyBatch *batch, const RagifyPart *part, guint index)
{
  const RagifyDocument *document = &g_array_index (batch->documents, RagifyDocument, 0);
  const RagifyPartChunk *given = &part->chunks[index];
  const RagifyChunk chunk = {
    .struct_size = sizeof chunk,
    .id = ragify_chunk_uuid (part->document->id, part->first + index),
    .document_id = document->id,
    .content = ragify_batch_copy (batch, given->text, given->size),
    .title = document->title,
    .uri = document->uri,
    .metadata = given->metadata != NULL ? ragify_batch_copy (batch, given->metadata, strlen (given->metadata))
                                        : document->metadata,
    .ordinal = part->first + index,
    .begin = given->begin,
    .end = given->begin + given->size,
    .created_at = document->created_at,
    .updated_at = document->updated_at,
  };
  g_array_append_val (batch->chunks, chunk);
  if (committer->options.embedder != NULL)
    g_ptr_array_add (batch->texts, ragify_embedded_text (part->document->title, given->text, given->size));
}

static void
fill (RagifyCommitter *committer, RagifyBatch *batch, const RagifyPart *part)
{
  RagifyDocument document = ragify_committer_describe (batch, part->document, &part->hash);
  document.mode = part->last ? RAGIFY_DOCUMENT_COMMIT : RAGIFY_DOCUMENT_STAGE;
  g_array_append_val (batch->documents, document);
  for (guint i = 0; i < part->count; i++)
    add_chunk (committer, batch, part, i);
}

/* The document is whole; its text indexes get it from the store, since it may be too large for one batch. */
static void
acknowledge (RagifyCommitter *committer, const RagifyPart *part, const RagifyStoreUpsertResult *result,
             const RagifyKnown *before, RagifyIngestReport *report)
{
  g_autofree char *reason = NULL;
  ragify_follower_distrust (committer->follower);
  ragify_follower_catch_up (committer->follower, FOLLOW_US, &reason);
  ragify_committer_tell (committer, &result->generation, &result->removed);
  report->documents++;
  report->replaced += before->chunks > 0 ? 1 : 0;
  report->generation = result->generation;
}

gboolean
ragify_committer_put_part (RagifyCommitter *committer, const RagifyPart *part, RagifyPartState *state,
                           RagifyIngestReport *report, RagifyProblem *problem)
{
  RagifyKnown known;
  RagifyStoreUpsertResult result = { 0 };
  if (!ragify_committer_has_memory (committer, problem) || !ragify_committer_make_sure (committer, problem) ||
      !find (committer, part->document, NULL, &known, problem))
    return FALSE;
  state->staged = staged_of (&known, &part->hash);
  state->unchanged = known.chunks > 0 && memcmp (&known.hash, &part->hash, sizeof part->hash) == 0;
  if (state->unchanged || state->staged != part->first)
    return TRUE;

  g_auto (RagifyBatch) batch;
  ragify_batch_init (&batch);
  fill (committer, &batch, part);
  if (known.chunks > 0)
    g_ptr_array_add (batch.replaced, part->document->id);
  batch.first = part->first;
  batch.there = known.chunks;
  const guint64 timeout = RAGIFY_WRITE_TIMEOUT_US + (part->last ? part->first * COMMIT_US_PER_CHUNK : 0);
  if (!ragify_committer_commit (committer, &batch, 0, part->count, timeout, &result, report, problem))
    return FALSE;
  state->staged += part->count;
  report->chunks += part->count;
  committer->written += part->count;
  if (part->last)
    acknowledge (committer, part, &result, &known, report);
  return TRUE;
}
