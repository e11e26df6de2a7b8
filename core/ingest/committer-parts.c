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
  ragify_committer_land (committer);
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

/* `count` chunks of the part from `begin` on; with `last` the document is whole. */
static gboolean
write_some (RagifyCommitter *committer, const RagifyPart *part, guint begin, guint count, gboolean last, guint64 there,
            RagifyStoreUpsertResult *result, RagifyIngestReport *report, RagifyProblem *problem)
{
  g_auto (RagifyBatch) batch;
  ragify_batch_init (&batch);
  RagifyDocument document = ragify_committer_describe (&batch, part->document, &part->hash);
  document.mode = last ? RAGIFY_DOCUMENT_COMMIT : RAGIFY_DOCUMENT_STAGE;
  g_array_append_val (batch.documents, document);
  for (guint i = 0; i < count; i++)
    add_chunk (committer, &batch, part, begin + i);
  if (there > 0)
    g_ptr_array_add (batch.replaced, part->document->id);
  batch.first = part->first + begin;
  batch.there = there;
  const guint64 timeout = RAGIFY_WRITE_TIMEOUT_US + (last ? batch.first * COMMIT_US_PER_CHUNK : 0);
  return ragify_committer_commit (committer, &batch, 0, count, timeout, result, report, problem);
}

/* The document is whole; its text indexes get it from the store, since it may be too large for one batch. */
static void
acknowledge (RagifyCommitter *committer, const RagifyPart *part, const RagifyStoreUpsertResult *result,
             const RagifyKnown *before, RagifyIngestReport *report)
{
  g_autofree char *reason = NULL;
  ragify_follower_distrust (committer->follower);
  ragify_follower_catch_up (committer->follower, FOLLOW_US, &reason);
  ragify_committer_tell (committer, &result->generation, &result->removed, ragify_follower_lags (committer->follower));
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
  ragify_committer_land (committer);
  if (!ragify_committer_has_memory (committer, problem) || !ragify_committer_make_sure (committer, problem) ||
      !find (committer, part->document, NULL, &known, problem))
    return FALSE;
  state->staged = staged_of (&known, &part->hash);
  state->unchanged = known.chunks > 0 && memcmp (&known.hash, &part->hash, sizeof part->hash) == 0;
  if (state->unchanged || state->staged < part->first || state->staged > part->first + part->count)
    return TRUE;

  guint done = (guint)(state->staged - part->first); /* by an attempt that failed later */
  gboolean whole = FALSE;
  while (done < part->count || (part->last && !whole)) {
    const guint count = MIN (committer->options.upsert_batch, part->count - done);
    whole = part->last && done + count == part->count;
    if (!write_some (committer, part, done, count, whole, known.chunks, &result, report, problem))
      return FALSE;
    done += count;
    state->staged += count;
    report->chunks += count;
    committer->written += count;
  }
  if (whole)
    acknowledge (committer, part, &result, &known, report);
  return TRUE;
}

RagifyChunker *
ragify_committer_chunker_new (const RagifyCommitter *committer)
{
  const RagifyLibraryOptions *options = &committer->options;
  RagifyChunker *chunker = options->chunk_tokens
                               ? ragify_chunker_new_weighed (options->chunk_size, options->chunk_overlap,
                                                             ragify_weigh_tokens, options->embedder)
                               : ragify_chunker_new (options->chunk_size, options->chunk_overlap);
  g_assert (chunker != NULL); /* the cutter's own could be made */
  return chunker;
}
