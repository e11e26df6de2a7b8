/* Vectors of chunks: those that the store has already for the same text, and the others from the embedder, beside other
 * work.
 *
 * SPDX-License-Identifier: MIT
 */
#include <math.h>
#include <string.h>
#include <xxhash.h>

#include "core/call/operations.h"
#include "core/ingest/committer-private.h"

#define PAGE_CHUNKS 1000u
#define MOST_KNOWN 100000u /* chunks of replaced documents that are looked at, for one batch */
#define NEAR 1000u         /* chunks that a document may have grown or shrunk by, where it is written in parts */
#define UNIT_TOLERANCE 1e-3

/* ---- vectors that are there ---- */

typedef struct Reuse {
  RagifyCommitter *committer;
  GHashTable *known; /* hash of an embedded text → id of a chunk that has it */
  float *vectors;
  gboolean *done; /* one for each text */
  guint64 count;
} Reuse;

static guint
hash_id (gconstpointer key)
{
  return *(const guint *)key;
}

static gboolean
equal_ids (gconstpointer left, gconstpointer right)
{
  return memcmp (left, right, sizeof (RagifyUuid)) == 0;
}

static RagifyUuid
hash_text (const char *text)
{
  RagifyUuid id;
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash (&canonical, XXH3_128bits (text, strlen (text)));
  memcpy (id.bytes, canonical.digest, sizeof id.bytes);
  return id;
}

static void
take_chunk (Reuse *reuse, const RagifyChunk *chunk)
{
  g_autofree char *title = g_strndup (chunk->title.size > 0 ? chunk->title.data : "", chunk->title.size);
  g_autofree char *text = ragify_embedded_text (title, chunk->content.data, chunk->content.size);
  const RagifyUuid hash = hash_text (text);
  g_hash_table_insert (reuse->known, g_memdup2 (&hash, sizeof hash), g_memdup2 (&chunk->id, sizeof chunk->id));
}

static void
take_chunks (Reuse *reuse, const RagifyChunkList *chunks)
{
  for (guint64 i = 0; i < chunks->count; i++) {
    const RagifyChunk *chunk = (const RagifyChunk *)(const void *)((const char *)chunks->items + i * chunks->stride);
    if ((chunk->flags & RAGIFY_CHUNK_MISSING) == 0 && chunk->content.size > 0)
      take_chunk (reuse, chunk);
  }
}

/* One page of the chunks that the replaced documents have. FALSE: there are no more, or the store does not say. */
static gboolean
list_page (Reuse *reuse, const GPtrArray *replaced, char **cursor)
{
  g_autoptr (RagifyOwner) owner = ragify_owner_new (sizeof (RagifyOwner), NULL);
  RagifyStr *ids = ragify_arena_alloc (owner->arena, replaced->len * sizeof *ids);
  for (guint i = 0; i < replaced->len; i++) {
    const char *id = g_ptr_array_index (replaced, i);
    ids[i] = ragify_str (ragify_arena_copy (owner->arena, id, strlen (id)), strlen (id));
  }
  RagifyStoreList *args = ragify_arena_alloc (owner->arena, sizeof *args);
  *args = (RagifyStoreList){ .struct_size = sizeof *args,
                             .what = RAGIFY_LIST_CHUNKS,
                             .limit = PAGE_CHUNKS,
                             .cursor = ragify_str_from (ragify_arena_copy (owner->arena, *cursor, strlen (*cursor))),
                             .documents = { ids, replaced->len } };
  RagifyCall *call =
      ragify_call_new (owner, &ragify_operation_store_list, args, ragify_now () + RAGIFY_WRITE_TIMEOUT_US, NULL, NULL);
  if (ragify_call_wait (reuse->committer->options.store, call) != RAGIFY_OK)
    return FALSE;
  const RagifyStoreListResult *page = ragify_call_result (call);
  take_chunks (reuse, &page->chunks);
  g_free (*cursor);
  *cursor = g_strndup (page->cursor.size > 0 ? page->cursor.data : "", page->cursor.size);
  return **cursor != '\0' && g_hash_table_size (reuse->known) < MOST_KNOWN;
}

/* Of a document that is written in parts: the chunks that have, or had before a change, about the same place. */
static void
fetch_near (Reuse *reuse, const RagifyBatch *batch, guint count)
{
  const guint64 begin = batch->first > NEAR ? batch->first - NEAR : 0;
  const guint64 end = MIN (batch->first + count + NEAR, batch->there);
  for (guint64 first = begin; first < end; first += PAGE_CHUNKS) {
    const guint64 wanted = MIN (PAGE_CHUNKS, end - first);
    g_autoptr (RagifyOwner) owner = ragify_owner_new (sizeof (RagifyOwner), NULL);
    RagifyUuid *ids = ragify_arena_alloc (owner->arena, wanted * sizeof *ids);
    for (guint64 i = 0; i < wanted; i++)
      ids[i] = ragify_chunk_uuid (g_ptr_array_index (batch->replaced, 0), first + i);
    RagifyStoreFetch *args = ragify_arena_alloc (owner->arena, sizeof *args);
    *args = (RagifyStoreFetch){ .struct_size = sizeof *args, .what = RAGIFY_FETCH_CONTENT, .ids = { ids, wanted } };
    RagifyCall *call = ragify_call_new (owner, &ragify_operation_store_fetch, args,
                                        ragify_now () + RAGIFY_WRITE_TIMEOUT_US, NULL, NULL);
    if (ragify_call_wait (reuse->committer->options.store, call) != RAGIFY_OK)
      return;
    take_chunks (reuse, &((const RagifyStoreFetchResult *)ragify_call_result (call))->chunks);
  }
}

static gboolean
is_unit (const float *vector, guint dimension)
{
  double sum = 0;
  for (guint i = 0; i < dimension; i++)
    sum += (double)vector[i] * vector[i];
  return fabs (sum - 1) < UNIT_TOLERANCE;
}

/* The vectors of the chunks `ids` for the texts `places`. */
static void
fetch_vectors (Reuse *reuse, const GArray *ids, const GArray *places)
{
  const guint dimension = reuse->committer->dimension;
  g_autoptr (RagifyOwner) owner = ragify_owner_new (sizeof (RagifyOwner), NULL);
  RagifyStoreFetch *args = ragify_arena_alloc (owner->arena, sizeof *args);
  *args = (RagifyStoreFetch){
    .struct_size = sizeof *args,
    .what = RAGIFY_FETCH_VECTORS,
    .ids = { (const RagifyUuid *)(const void *)ragify_arena_copy (owner->arena, ids->data,
                                                                  ids->len * sizeof (RagifyUuid)),
             ids->len },
  };
  RagifyCall *call =
      ragify_call_new (owner, &ragify_operation_store_fetch, args, ragify_now () + RAGIFY_WRITE_TIMEOUT_US, NULL, NULL);
  if (ragify_call_wait (reuse->committer->options.store, call) != RAGIFY_OK)
    return;
  const RagifyStoreFetchResult *result = ragify_call_result (call);
  if (result->vectors.dimension != dimension || result->vectors.count != ids->len)
    return;
  for (guint i = 0; i < ids->len; i++) {
    const float *vector = result->vectors.items + (gsize)i * dimension;
    const guint place = g_array_index (places, guint, i);
    if (!is_unit (vector, dimension))
      continue;
    memcpy (reuse->vectors + (gsize)place * dimension, vector, dimension * sizeof *vector);
    reuse->done[place] = TRUE;
    reuse->count++;
  }
}

static void
reuse_vectors (Reuse *reuse, const RagifyBatch *batch, guint first, guint count)
{
  g_autofree char *cursor = g_strdup ("");
  g_autoptr (GArray) ids = g_array_new (FALSE, FALSE, sizeof (RagifyUuid));
  g_autoptr (GArray) places = g_array_new (FALSE, FALSE, sizeof (guint));
  if (batch->there > 0)
    fetch_near (reuse, batch, count);
  else
    while (list_page (reuse, batch->replaced, &cursor)) {
    }
  for (guint i = 0; i < count; i++) {
    const RagifyUuid hash = hash_text (g_ptr_array_index (batch->texts, first + i));
    const RagifyUuid *id = g_hash_table_lookup (reuse->known, &hash);
    if (id == NULL)
      continue;
    g_array_append_val (ids, *id);
    g_array_append_val (places, i);
  }
  if (ids->len > 0)
    fetch_vectors (reuse, ids, places);
}

/* ---- the whole ---- */

void
ragify_committer_embed (RagifyCommitter *committer, const RagifyBatch *batch, guint first, guint count, float *vectors,
                        gconstpointer group, RagifyVectorsAhead *ahead)
{
  g_autofree gboolean *done = g_new0 (gboolean, MAX (count, 1));
  g_autoptr (GHashTable) known = g_hash_table_new_full (hash_id, equal_ids, g_free, g_free);
  GArray *wanted = g_array_new (FALSE, FALSE, sizeof (RagifyWantedVector));
  Reuse reuse = { .committer = committer, .known = known, .vectors = vectors, .done = done };
  if (batch->replaced->len > 0)
    reuse_vectors (&reuse, batch, first, count);
  for (guint i = 0; i < count; i++) {
    const RagifyWantedVector one = { g_ptr_array_index (batch->texts, first + i),
                                     vectors + (gsize)i * committer->dimension };
    if (!done[i])
      g_array_append_val (wanted, one);
  }
  *ahead = (RagifyVectorsAhead){ .embedded = wanted->len, .reused = reuse.count };
  ahead->embedding = ragify_lanes_add (committer->lanes, wanted, group);
}

gboolean
ragify_committer_end_embedding (RagifyCommitter *committer, RagifyVectorsAhead *ahead, RagifyIngestReport *report,
                                RagifyProblem *problem)
{
  if (ahead->embedding == NULL)
    return TRUE;
  if (!ragify_embedding_end (g_steal_pointer (&ahead->embedding), problem))
    return FALSE;
  report->embedded += ahead->embedded;
  report->reused += ahead->reused;
  if (committer->embedded != NULL) {
    ragify_series_add (committer->embedded, (double)ahead->embedded);
    ragify_series_add (committer->reused, (double)ahead->reused);
  }
  return TRUE;
}

void
ragify_committer_drop (RagifyCommitter *committer, const RagifyIngestReport *report)
{
  if (committer->lanes != NULL)
    ragify_lanes_drop (committer->lanes, report);
}

void
ragify_committer_hurry (RagifyCommitter *committer)
{
  if (committer->lanes != NULL)
    ragify_lanes_hurry (committer->lanes);
}
