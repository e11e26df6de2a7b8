/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "core/call/operations.h"
#include "core/ingest/committer-private.h"
#include "core/ingest/cutter.h"
#include "core/pipeline/filter.h"

#define LISTED_DOCUMENTS 1000u
#define UPSERT_BATCH 1000u
#define EMBED_CALLS 8u /* at once, at most */
#define DESCRIBE_TIMEOUT_US (120 * (guint64)G_USEC_PER_SEC)
#define CATCH_UP_US (10 * (guint64)G_USEC_PER_SEC)

/* ---- batches ---- */

RagifyStr
ragify_batch_copy (RagifyBatch *batch, const char *text, gsize size)
{
  return ragify_str (ragify_arena_copy (batch->owner->arena, text, size), size);
}

const void *
ragify_batch_lasting (RagifyBatch *batch, const void *data, gsize size)
{
  return ragify_arena_copy (batch->owner->arena, data, size);
}

void
ragify_batch_init (RagifyBatch *batch)
{
  batch->owner = ragify_owner_new (sizeof (RagifyOwner), NULL);
  batch->documents = g_array_new (FALSE, TRUE, sizeof (RagifyDocument));
  batch->chunks = g_array_new (FALSE, TRUE, sizeof (RagifyChunk));
  batch->texts = g_ptr_array_new_with_free_func (g_free);
  batch->replaced = g_ptr_array_new ();
  batch->first = batch->there = 0;
}

void
ragify_batch_clear (RagifyBatch *batch)
{
  g_array_unref (batch->documents);
  g_array_unref (batch->chunks);
  g_ptr_array_unref (batch->texts);
  g_ptr_array_unref (batch->replaced);
  ragify_owner_unref (batch->owner);
}

/* ---- making ---- */

/* As many as there is to compute on, so that they do not keep each other from it; where it is computed elsewhere one
 * more, which is there when another one ends. */
static guint
count_lanes (const RagifyCommitter *committer)
{
  const RagifyComponent *component = ragify_node_component (committer->options.embedder);
  const guint loops = MAX (committer->runtime->n_loops, 1);
  const guint wish =
      component->run_class == RAGIFY_RUN_WORKER ? MAX (loops, MIN (loops + 1, g_get_num_processors ())) : loops + 1;
  return MIN (wish, CLAMP (component->max_parallel, 1, EMBED_CALLS));
}

static gboolean
describe_embedder (RagifyCommitter *committer, char **fingerprint, GError **error)
{
  static const RagifyNothing nothing = { .struct_size = sizeof nothing };
  g_autoptr (RagifyOwner) owner = ragify_owner_new (sizeof (RagifyOwner), NULL);
  RagifyCall *call = ragify_call_new (owner, &ragify_operation_embedder_describe, &nothing,
                                      ragify_now () + DESCRIBE_TIMEOUT_US, NULL, NULL);
  if (ragify_call_wait (committer->options.embedder, call) != RAGIFY_OK) {
    g_set_error_literal (error, RAGIFY_NODE_ERROR, ragify_call_code (call), ragify_call_message (call));
    return FALSE;
  }
  const RagifyEmbedderInfo *info = ragify_call_result (call);
  committer->dimension = info->dimension;
  committer->lanes =
      ragify_lanes_new (committer->options.embedder, count_lanes (committer), info->dimension, info->max_batch);
  *fingerprint = g_strndup (info->fingerprint.data, info->fingerprint.size);
  return TRUE;
}

static RagifySeries *
new_series (RagifyRuntime *runtime, const char *store, const char *result)
{
  return runtime->metrics == NULL
             ? NULL
             : ragify_metrics_series (runtime->metrics, RAGIFY_SERIES_COUNTER, "ragify_ingest_vectors_total",
                                      "Vectors of chunks that were written, by where they came from", "store",
                                      store != NULL ? store : "", "result", result, NULL);
}

RagifyCommitter *
ragify_committer_new (RagifyRuntime *runtime, const RagifyLibraryOptions *options, GError **error)
{
  RagifyCommitter *committer = g_new0 (RagifyCommitter, 1);
  committer->runtime = runtime;
  committer->options = *options;
  committer->options.upsert_batch = options->upsert_batch > 0 ? options->upsert_batch : UPSERT_BATCH;
  committer->convoy = ragify_convoy_new ();
  committer->follower = ragify_follower_new (options->store, options->text_indexes, options->n_text_indexes);
  committer->embedded = new_series (runtime, options->name, "embedded");
  committer->reused = new_series (runtime, options->name, "reused");
  committer->cutter =
      ragify_cutter_new (options->chunk_size, options->chunk_overlap, options->chunk_tokens, options->embedder);
  g_autofree char *fingerprint = NULL;
  if (committer->cutter == NULL) {
    g_set_error_literal (error, RAGIFY_NODE_ERROR, RAGIFY_E_INTERNAL, "ICU has no data for sentence boundaries");
  } else if (options->embedder == NULL || describe_embedder (committer, &fingerprint, error)) {
    /* Whose vectors they are is the store's affair, which never has those of two embedders. */
    const char *embedder = fingerprint != NULL ? "vectors" : "";
    committer->salt[RAGIFY_CHUNKING_DEFAULT] = g_strdup_printf (
        "2 %u %u%s %s", options->chunk_size, options->chunk_overlap, options->chunk_tokens ? " tokens" : "", embedder);
    committer->salt[RAGIFY_CHUNKING_NONE] = g_strdup_printf ("2 whole %s", embedder);
    return committer;
  }
  ragify_committer_free (committer);
  return NULL;
}

void
ragify_committer_free (RagifyCommitter *committer)
{
  ragify_committer_land (committer);
  ragify_convoy_free (committer->convoy);
  g_clear_pointer (&committer->lanes, ragify_lanes_free);
  g_clear_pointer (&committer->cutter, ragify_cutter_free);
  g_free (committer->salt[0]);
  g_free (committer->salt[1]);
  ragify_follower_free (committer->follower);
  g_free (committer);
}

guint
ragify_committer_follow (RagifyCommitter *committer, guint64 budget_us, char **reason)
{
  ragify_committer_land (committer);
  return ragify_follower_catch_up (committer->follower, budget_us, reason);
}

gboolean
ragify_committer_lags (const RagifyCommitter *committer)
{
  return ragify_follower_lags (committer->follower);
}

void
ragify_committer_tell (RagifyCommitter *committer, const RagifyGeneration *generation, const RagifyUuidList *removed,
                       gboolean lags)
{
  const RagifyLibraryOptions *options = &committer->options;
  committer->told = *generation;
  if (options->changed != NULL)
    options->changed (options->user, options->store, generation, removed, lags);
}

/* ---- writes whose outcome is not known ---- */

/* Whoever follows the store can no longer count batches. */
void
ragify_committer_doubt (RagifyCommitter *committer)
{
  committer->unsure = TRUE;
  ragify_follower_distrust (committer->follower);
}

/* Returns FALSE. */
static gboolean
write_failed (RagifyCommitter *committer, const RagifyCall *call, RagifyProblem *problem)
{
  ragify_committer_doubt (committer);
  return ragify_ingest_problem (problem, ragify_call_code (call), ragify_call_message (call),
                                ragify_call_retry_after (call));
}

gboolean
ragify_committer_make_sure (RagifyCommitter *committer, RagifyProblem *problem)
{
  if (!committer->unsure)
    return TRUE;
  ragify_committer_land (committer);
  return ragify_committer_ask_store (committer, problem);
}

gboolean
ragify_committer_ask_store (RagifyCommitter *committer, RagifyProblem *problem)
{
  RagifyStoreGeneration store;
  g_autofree char *reason = NULL;
  if (!committer->unsure)
    return TRUE;
  if (!ragify_store_generation (committer->options.store, &store, &reason))
    return ragify_ingest_problem (problem, RAGIFY_E_UNAVAILABLE, reason, 0);
  ragify_follower_catch_up (committer->follower, CATCH_UP_US, &reason);
  ragify_committer_tell (committer, &store.generation, NULL, ragify_follower_lags (committer->follower));
  committer->unsure = FALSE;
  return TRUE;
}

/* ---- putting ---- */

static gboolean
is_foreign (const RagifyHold *hold, const RagifyDocument *document)
{
  return hold != NULL && !ragify_filter_matches (ragify_hold_filter (hold), document->metadata);
}

/* Of those documents that are there; at most as many as one list gives. */
static gboolean
find_some_known (RagifyCommitter *committer, RagifyIncoming *const *documents, gsize count, const RagifyHold *hold,
                 GHashTable *known, RagifyProblem *problem)
{
  g_autoptr (RagifyOwner) owner = ragify_owner_new (sizeof (RagifyOwner), NULL);
  RagifyStr *ids = ragify_arena_alloc (owner->arena, count * sizeof *ids);
  for (gsize i = 0; i < count; i++) {
    const gsize size = strlen (documents[i]->id);
    ids[i] = ragify_str (ragify_arena_copy (owner->arena, documents[i]->id, size), size);
  }
  RagifyStoreList *args = ragify_arena_alloc (owner->arena, sizeof *args);
  *args = (RagifyStoreList){
    .struct_size = sizeof *args, .what = RAGIFY_LIST_DOCUMENTS, .limit = (guint32)count, .documents = { ids, count }
  };
  RagifyCall *call =
      ragify_call_new (owner, &ragify_operation_store_list, args, ragify_now () + RAGIFY_WRITE_TIMEOUT_US, NULL, NULL);
  const gint32 code = ragify_call_wait (committer->options.store, call);
  if (code != RAGIFY_OK)
    return ragify_ingest_problem (problem, code, ragify_call_message (call), ragify_call_retry_after (call));
  const RagifyStoreListResult *page = ragify_call_result (call);
  for (guint64 i = 0; i < page->documents.count; i++) {
    const RagifyDocument *document =
        (const RagifyDocument *)(const void *)((const char *)page->documents.items + i * page->documents.stride);
    const RagifyKnown facts = { .hash = document->content_hash,
                                .staged_hash = document->staged_hash,
                                .chunks = document->chunks,
                                .staged = document->staged,
                                .foreign = is_foreign (hold, document) };
    if (document->chunks + document->staged > 0)
      g_hash_table_insert (known, g_strndup (document->id.data, document->id.size), g_memdup2 (&facts, sizeof facts));
  }
  return TRUE;
}

gboolean
ragify_committer_find_known (RagifyCommitter *committer, RagifyIncoming *const *documents, gsize count,
                             const RagifyHold *hold, GHashTable *known, RagifyProblem *problem)
{
  for (gsize first = 0; first < count; first += LISTED_DOCUMENTS)
    if (!find_some_known (committer, documents + first, MIN (LISTED_DOCUMENTS, count - first), hold, known, problem))
      return FALSE;
  return TRUE;
}

/* What a chunk that begins at `begin` has for metadata: its section's, where that has some. `*section` goes along with
 * the chunks, which come in order. */
static RagifyStr
metadata_of_chunk (RagifyBatch *batch, const RagifyIncoming *incoming, const RagifyDocument *document, gsize begin,
                   guint *section)
{
  if (incoming->sections == NULL)
    return document->metadata;
  while (*section + 1 < incoming->sections->len &&
         begin >= g_array_index (incoming->sections, RagifySection, *section).end)
    ++*section;
  const char *metadata = g_array_index (incoming->sections, RagifySection, *section).metadata;
  return metadata != NULL ? ragify_batch_copy (batch, metadata, strlen (metadata)) : document->metadata;
}

static void
add_chunk (RagifyCommitter *committer, RagifyBatch *batch, const RagifyIncoming *incoming,
           const RagifyDocument *document, const RagifyCut *cut, guint64 ordinal, guint *section)
{
  const char *text = incoming->content + cut->begin;
  const gsize size = cut->end - cut->begin;
  const RagifyChunk chunk = {
    .struct_size = sizeof chunk,
    .id = ragify_chunk_uuid (incoming->id, ordinal),
    .document_id = document->id,
    .content = ragify_batch_copy (batch, text, size),
    .title = document->title,
    .uri = document->uri,
    .metadata = metadata_of_chunk (batch, incoming, document, cut->begin, section),
    .ordinal = ordinal,
    .begin = cut->begin,
    .end = cut->end,
    .created_at = document->created_at,
    .updated_at = document->updated_at,
  };
  g_array_append_val (batch->chunks, chunk);
  if (committer->options.embedder != NULL)
    g_ptr_array_add (batch->texts, ragify_embedded_text (incoming->title, text, size));
}

RagifyDocument
ragify_committer_describe (RagifyBatch *batch, const RagifyIncoming *incoming, const RagifyUuid *hash)
{
  const gint64 now = g_get_real_time ();
  return (RagifyDocument){
    .struct_size = sizeof (RagifyDocument),
    .mode = RAGIFY_DOCUMENT_REPLACE,
    .id = ragify_batch_copy (batch, incoming->id, strlen (incoming->id)),
    .uri = ragify_batch_copy (batch, incoming->uri, strlen (incoming->uri)),
    .title = ragify_batch_copy (batch, incoming->title, strlen (incoming->title)),
    .metadata = ragify_batch_copy (batch, incoming->metadata, strlen (incoming->metadata)),
    .content_hash = *hash,
    .created_at = incoming->created_at,
    .updated_at = incoming->updated_at != 0 ? incoming->updated_at : now,
  };
}

RagifyStoreUpsert *
ragify_committer_prepare (RagifyCommitter *committer, RagifyBatch *batch, guint first, guint count, gconstpointer group,
                          RagifyVectorsAhead *ahead)
{
  RagifyStoreUpsert *args = ragify_arena_alloc (batch->owner->arena, sizeof *args);
  *args = (RagifyStoreUpsert){
    .struct_size = sizeof *args,
    .documents = { .items = ragify_batch_lasting (batch, batch->documents->data,
                                                  batch->documents->len * sizeof (RagifyDocument)),
                   .count = batch->documents->len,
                   .stride = sizeof (RagifyDocument) },
    .chunks = { .items = ragify_batch_lasting (batch, &g_array_index (batch->chunks, RagifyChunk, first),
                                               count * sizeof (RagifyChunk)),
                .count = count,
                .stride = sizeof (RagifyChunk) },
  };
  *ahead = (RagifyVectorsAhead){ .embedding = NULL };
  if (committer->options.embedder == NULL)
    return args;
  float *vectors =
      ragify_arena_alloc (batch->owner->arena, MAX ((gsize)count * committer->dimension, 1) * sizeof *vectors);
  ragify_committer_embed (committer, batch, first, count, vectors, group, ahead);
  args->vectors = (RagifyVectors){ vectors, count, committer->dimension };
  return args;
}

gboolean
ragify_committer_commit (RagifyCommitter *committer, RagifyBatch *batch, guint first, guint count, guint64 timeout_us,
                         RagifyStoreUpsertResult *result, RagifyIngestReport *report, RagifyProblem *problem)
{
  RagifyVectorsAhead ahead;
  const RagifyStoreUpsert *args = ragify_committer_prepare (committer, batch, first, count, report, &ahead);
  if (!ragify_committer_end_embedding (committer, &ahead, report, problem))
    return FALSE;
  RagifyCall *call =
      ragify_call_new (batch->owner, &ragify_operation_store_upsert, args, ragify_now () + timeout_us, NULL, NULL);
  if (ragify_call_wait (committer->options.store, call) != RAGIFY_OK)
    return write_failed (committer, call, problem);
  *result = *(const RagifyStoreUpsertResult *)ragify_call_result (call);
  return TRUE;
}

static void
acknowledge (RagifyCommitter *committer, RagifyBatch *batch, const RagifyStoreUpsertResult *result,
             RagifyIngestReport *report)
{
  const gsize size = batch->chunks->len * sizeof (RagifyChunk);
  ragify_follower_update (committer->follower, batch->owner, ragify_batch_lasting (batch, batch->chunks->data, size),
                          batch->chunks->len, &result->removed, &result->generation, report);
  ragify_committer_tell (committer, &result->generation, &result->removed, ragify_follower_lags (committer->follower));
  report->documents += batch->documents->len;
  report->chunks += batch->chunks->len;
  committer->written += batch->chunks->len;
  report->generation = result->generation;
}

/* A document with more chunks than one batch takes: staged in pieces, found once the last one is committed. */
static gboolean
write_in_pieces (RagifyCommitter *committer, RagifyBatch *batch, RagifyIngestReport *report, RagifyProblem *problem)
{
  RagifyDocument *document = &g_array_index (batch->documents, RagifyDocument, 0);
  RagifyStoreUpsertResult result = { 0 };
  for (guint first = 0; first < batch->chunks->len; first += committer->options.upsert_batch) {
    const guint count = MIN (committer->options.upsert_batch, batch->chunks->len - first);
    document->mode = first + count == batch->chunks->len ? RAGIFY_DOCUMENT_COMMIT : RAGIFY_DOCUMENT_STAGE;
    if (!ragify_committer_commit (committer, batch, first, count, RAGIFY_WRITE_TIMEOUT_US, &result, report, problem))
      return FALSE;
  }
  acknowledge (committer, batch, &result, report);
  return TRUE;
}

/* Has the batch embedded and written, beside what the caller does next. */
static gboolean
write_batch (RagifyCommitter *committer, RagifyBatch *batch, RagifyIngestReport *report, RagifyProblem *problem)
{
  RagifyVectorsAhead ahead;
  if (batch->documents->len == 0)
    return TRUE;
  if (batch->chunks->len > committer->options.upsert_batch && batch->documents->len == 1)
    return ragify_committer_settle (committer, report, problem) && write_in_pieces (committer, batch, report, problem);
  ragify_committer_clear_for (committer);
  if (!ragify_ingest_report_is_halted (report) && !ragify_committer_make_sure (committer, problem))
    return FALSE;
  if (ragify_ingest_report_is_halted (report)) /* maybe by now */
    return ragify_committer_settle (committer, report, problem);
  gconstpointer group = report->halted != NULL ? (gconstpointer)report->halted : report;
  const RagifyStoreUpsert *args = ragify_committer_prepare (committer, batch, 0, batch->chunks->len, group, &ahead);
  ragify_committer_launch (committer, batch, args, &ahead, report);
  return TRUE;
}

/* Adds one document to the batch, unless it is unchanged or holds nothing. */
static void
add_document (RagifyCommitter *committer, RagifyBatch *batch, const RagifyIncoming *incoming, const GArray *cuts,
              const RagifyUuid *hash)
{
  const RagifyDocument document = ragify_committer_describe (batch, incoming, hash);
  guint section = 0;
  g_array_append_val (batch->documents, document);
  for (guint i = 0; i < cuts->len; i++)
    add_chunk (committer, batch, incoming, &document, &g_array_index (cuts, RagifyCut, i), i, &section);
}

gboolean
ragify_committer_has_memory (const RagifyCommitter *committer, RagifyProblem *problem)
{
  if (ragify_memory_step (committer->runtime->memory) < RAGIFY_MEMORY_NO_INGEST)
    return TRUE;
  ragify_problem_set (problem, 503, "Short of memory", NULL,
                      "the host is short of memory and takes no documents until there is more");
  problem->retry_after = 10;
  return FALSE;
}

/* The document to the batch, which is written first where it would become too large. */
static gboolean
take_document (RagifyCommitter *committer, RagifyBatch *batch, const RagifyIncoming *incoming, RagifyChunking chunking,
               const RagifyKnown *before, RagifyIngestReport *report, RagifyProblem *problem)
{
  const RagifyUuid hash = ragify_incoming_hash (incoming, committer->salt[chunking]);
  const gboolean there = before != NULL && before->chunks > 0;
  if (before != NULL && before->foreign) {
    ragify_ingest_report_fail (report, incoming->id, "id", "is taken");
    return TRUE;
  }
  if (there && memcmp (&before->hash, &hash, sizeof hash) == 0) {
    report->unchanged++;
    return TRUE;
  }
  g_autoptr (GArray) cuts = ragify_cutter_cut (committer->cutter, incoming, chunking);
  if (cuts->len == 0) {
    ragify_ingest_report_fail (report, incoming->id, "content", "holds no text but white space");
    return TRUE;
  }
  if (batch->chunks->len > 0 && batch->chunks->len + cuts->len > committer->options.upsert_batch) {
    if (!write_batch (committer, batch, report, problem))
      return FALSE;
    ragify_batch_clear (batch);
    ragify_batch_init (batch);
  }
  report->replaced += there ? 1 : 0;
  if (there)
    g_ptr_array_add (batch->replaced, incoming->id);
  add_document (committer, batch, incoming, cuts, &hash);
  return TRUE;
}

gboolean
ragify_committer_put_ahead (RagifyCommitter *committer, RagifyIncoming *const *documents, gsize count,
                            RagifyChunking chunking, const RagifyHold *hold, RagifyIngestReport *report,
                            RagifyProblem *problem)
{
  g_autoptr (GHashTable) known = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  g_autoptr (GHashTable) last = g_hash_table_new (g_str_hash, g_str_equal);
  if (count == 0)
    return TRUE;
  if (!ragify_committer_has_memory (committer, problem))
    return FALSE;
  if ((ragify_ingest_report_is_halted (report) || ragify_committer_flies_with (committer, documents, count)) &&
      !ragify_committer_settle (committer, report, problem))
    return FALSE;
  if (!ragify_committer_make_sure (committer, problem) ||
      !ragify_committer_find_known (committer, documents, count, hold, known, problem))
    return FALSE;
  for (gsize i = 0; i < count; i++)
    g_hash_table_insert (last, documents[i]->id, documents[i]);

  g_auto (RagifyBatch) batch;
  ragify_batch_init (&batch);
  for (gsize i = 0; i < count; i++) {
    const RagifyIncoming *incoming = documents[i];
    if (g_hash_table_lookup (last, incoming->id) == incoming && /* a later one of the same id wins */
        !take_document (committer, &batch, incoming, chunking, g_hash_table_lookup (known, incoming->id), report,
                        problem))
      return FALSE;
  }
  return write_batch (committer, &batch, report, problem);
}

gboolean
ragify_committer_put (RagifyCommitter *committer, RagifyIncoming *const *documents, gsize count,
                      RagifyChunking chunking, const RagifyHold *hold, RagifyIngestReport *report,
                      RagifyProblem *problem)
{
  RagifyProblem late = { 0 };
  const gboolean well = ragify_committer_put_ahead (committer, documents, count, chunking, hold, report, problem);
  if (ragify_committer_settle (committer, report, well ? problem : &late))
    return well;
  ragify_problem_clear (&late);
  return FALSE;
}

/* Those of the documents that the holder may delete; of others he must not learn. */
static gboolean
find_own (RagifyCommitter *committer, const char *const *documents, gsize count, const RagifyHold *hold, GPtrArray *own,
          RagifyProblem *problem)
{
  g_autofree RagifyIncoming *named = g_new0 (RagifyIncoming, MAX (count, 1));
  g_autofree RagifyIncoming **all = g_new0 (RagifyIncoming *, MAX (count, 1));
  g_autoptr (GHashTable) known = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  for (gsize i = 0; i < count; i++) {
    named[i].id = (char *)documents[i];
    all[i] = &named[i];
  }
  if (hold != NULL && !ragify_committer_find_known (committer, all, count, hold, known, problem))
    return FALSE;
  for (gsize i = 0; i < count; i++) {
    const RagifyKnown *facts = g_hash_table_lookup (known, documents[i]);
    if (facts == NULL || !facts->foreign)
      g_ptr_array_add (own, (gpointer)documents[i]);
  }
  return TRUE;
}

gboolean
ragify_committer_delete (RagifyCommitter *committer, const char *const *documents, gsize count, const RagifyHold *hold,
                         guint64 *chunks, RagifyGeneration *generation, RagifyProblem *problem)
{
  g_autoptr (GPtrArray) own = g_ptr_array_new ();
  ragify_committer_land (committer);
  if (!ragify_committer_make_sure (committer, problem) || !find_own (committer, documents, count, hold, own, problem))
    return FALSE;
  *chunks = 0;
  if (own->len == 0)
    return TRUE;
  g_autoptr (RagifyOwner) owner = ragify_owner_new (sizeof (RagifyOwner), NULL);
  RagifyStr *ids = ragify_arena_alloc (owner->arena, own->len * sizeof *ids);
  for (guint i = 0; i < own->len; i++) {
    const char *id = g_ptr_array_index (own, i);
    ids[i] = ragify_str (ragify_arena_copy (owner->arena, id, strlen (id)), strlen (id));
  }
  RagifyStoreRemove *args = ragify_arena_alloc (owner->arena, sizeof *args);
  *args = (RagifyStoreRemove){ .struct_size = sizeof *args, .documents = { ids, own->len } };
  RagifyCall *call = ragify_call_new (owner, &ragify_operation_store_remove, args,
                                      ragify_now () + RAGIFY_WRITE_TIMEOUT_US, NULL, NULL);
  if (ragify_call_wait (committer->options.store, call) != RAGIFY_OK)
    return write_failed (committer, call, problem);
  const RagifyStoreRemoveResult *result = ragify_call_result (call);
  *chunks = result->removed.count;
  *generation = result->generation;
  if (result->removed.count == 0)
    return TRUE;
  ragify_follower_update (committer->follower, owner, NULL, 0, &result->removed, &result->generation, NULL);
  ragify_committer_tell (committer, &result->generation, &result->removed, ragify_follower_lags (committer->follower));
  return TRUE;
}

guint64
ragify_committer_take_written (RagifyCommitter *committer)
{
  const guint64 written = committer->written;
  committer->written = 0;
  return written;
}

void
ragify_committer_announce (RagifyCommitter *committer)
{
  ragify_committer_land (committer);
  const RagifyLibraryOptions *options = &committer->options;
  RagifyStoreGeneration found;
  g_autofree char *reason = NULL;
  if (options->changed == NULL)
    return;
  if (ragify_store_generation (options->store, &found, &reason))
    ragify_committer_tell (committer, &found.generation, NULL, ragify_follower_lags (committer->follower));
  else
    g_warning ("%s: answers are not cached until its next write: %s", ragify_node_name (options->store), reason);
}

gboolean
ragify_committer_must_ask (const RagifyCommitter *committer)
{
  return ragify_follower_must_ask (committer->follower);
}

void
ragify_committer_ask (RagifyCommitter *committer)
{
  ragify_committer_land (committer);
  RagifyStoreGeneration found;
  g_autofree char *reason = NULL;
  if (!ragify_store_generation (committer->options.store, &found, &reason))
    return; /* searches say so as well; it is asked again soon */
  const gboolean same = memcmp (&found.generation, &committer->told, sizeof found.generation) == 0;
  if (same && !ragify_follower_lags (committer->follower))
    return;
  ragify_follower_distrust (committer->follower);
  ragify_follower_catch_up (committer->follower, CATCH_UP_US, &reason);
  ragify_committer_tell (committer, &found.generation, NULL, ragify_follower_lags (committer->follower));
}
