/* SPDX-License-Identifier: MIT */
#include "core/call/operations.h"

#include <math.h>
#include <string.h>

#include "core/module/abi-size.h"

#define DIMENSION_MAX 65536u

/* ---- what is checked ---- */

#define CHUNK_1_0 RAGIFY_SIZE_UP_TO (RagifyChunk, score)
#define DOCUMENT_1_0 RAGIFY_SIZE_UP_TO (RagifyDocument, updated_at)
#define BUFFER_1_0 RAGIFY_SIZE_UP_TO (RagifyBuffer, unref)
#define LIST_LIMIT (G_GUINT64_CONSTANT (1) << 32) /* items; and far more than memory holds */

static gboolean
is_aligned (const void *items, gsize alignment)
{
  return (guintptr)items % alignment == 0;
}

/* A list of items that have no stride. */
static gboolean
list_ok (const void *items, guint64 count, gsize alignment)
{
  return count == 0 || (items != NULL && is_aligned (items, alignment) && count <= LIST_LIMIT);
}

static gboolean
strided_ok (const void *items, guint64 count, guint32 stride, gsize least)
{
  return count == 0 || (list_ok (items, count, 8) && stride >= least && stride % 8 == 0 && stride <= 65536);
}

static gboolean
str_ok (RagifyStr text)
{
  if (text.size == 0)
    return TRUE;
  return text.data != NULL && text.size < G_MAXSSIZE && g_utf8_validate_len (text.data, text.size, NULL);
}

typedef guint32 Lanes __attribute__ ((vector_size (16)));

static gboolean
floats_ok (const float *values, gsize count)
{
  /* An exponent of all ones is an infinity or a NaN. Results bring tens of thousands of floats, so four at a time,
   * which the compiler does not find by itself at -O2. */
  Lanes bad = { 0 };
  gsize i = 0;
  for (; i + 4 <= count; i += 4) {
    Lanes bits;
    memcpy (&bits, &values[i], sizeof bits);
    bad |= (Lanes)((bits & 0x7f800000u) == 0x7f800000u);
  }
  gboolean ok = (bad[0] | bad[1] | bad[2] | bad[3]) == 0;
  for (; i < count; i++)
    ok = ok && isfinite (values[i]);
  return ok;
}

static const char *
check_vectors (const RagifyVectors *vectors)
{
  if (vectors->count == 0)
    return NULL;
  if (!list_ok (vectors->items, vectors->count, sizeof (float)) || vectors->dimension == 0)
    return "returned vectors without values";
  if (vectors->dimension > DIMENSION_MAX)
    return "returned vectors of a dimension outside 1..65536";
  if (!floats_ok (vectors->items, (gsize)vectors->count * vectors->dimension))
    return "returned a vector that is not finite";
  return NULL;
}

static const char *
check_chunk (const RagifyChunk *chunk)
{
  if (chunk->struct_size < CHUNK_1_0)
    return "returned a chunk that is too small for its version";
  if (!str_ok (chunk->document_id) || !str_ok (chunk->content) || !str_ok (chunk->title) || !str_ok (chunk->uri) ||
      !str_ok (chunk->metadata))
    return "returned text that is not UTF-8";
  if (!isfinite (chunk->score))
    return "returned a score that is not finite";
  if ((chunk->flags & RAGIFY_CHUNK_SCORED) && (chunk->score < 0 || chunk->score > 1))
    return "returned a declared relevance outside 0..1";
  return NULL;
}

static const char *
check_chunks (const RagifyChunkList *list)
{
  if (!strided_ok (list->items, list->count, list->stride, CHUNK_1_0))
    return "returned a list of chunks that cannot be";
  for (guint64 i = 0; i < list->count; i++) {
    const char *fault = check_chunk ((const RagifyChunk *)(const void *)((const char *)list->items + i * list->stride));
    if (fault != NULL)
      return fault;
  }
  return NULL;
}

static const char *
check_hits (const RagifyHitList *hits)
{
  if (!list_ok (hits->items, hits->count, sizeof (float)))
    return "returned a list of hits that cannot be";
  for (guint64 i = 0; i < hits->count; i++)
    if (!isfinite (hits->items[i].score))
      return "returned a score that is not finite";
  return NULL;
}

static const char *
check_ids (const RagifyUuidList *ids)
{
  return list_ok (ids->items, ids->count, 1) ? NULL : "returned a list of ids that cannot be";
}

/* ---- every component ---- */

#define ALWAYS(name, member)                                                                                           \
  static gboolean has_##name (const RagifyComponent *component)                                                        \
  {                                                                                                                    \
    return component->member != NULL;                                                                                  \
  }                                                                                                                    \
  static void invoke_##name (const RagifyComponent *component, void *instance, RagifyCall *call, const void *args)     \
  {                                                                                                                    \
    component->member (instance, call, args);                                                                          \
  }

ALWAYS (start, start)
ALWAYS (stop, stop)
ALWAYS (probe, probe)
ALWAYS (reconfigure, reconfigure)
ALWAYS (stats, stats)

static const char *
check_probe (const void *args, void *result)
{
  RagifyProbeResult *probe = result;
  return str_ok (probe->detail) ? NULL : "returned text that is not UTF-8";
}

static const char *
check_stats (const void *args, void *result)
{
  const RagifyStatsResult *stats = result;
  if (!list_ok (stats->values.items, stats->values.count, sizeof (guint64)) || stats->values.count > 10000)
    return "returned a list of statistics that cannot be";
  for (guint64 i = 0; i < stats->values.count; i++) {
    const RagifyPair *pair = &stats->values.items[i];
    if (!str_ok (pair->name) || (pair->value.type == RAGIFY_VALUE_STRING && !str_ok (pair->value.string)))
      return "returned text that is not UTF-8";
    if (pair->value.type == RAGIFY_VALUE_DOUBLE && !isfinite (pair->value.number))
      return "returned a number that is not finite";
  }
  return NULL;
}

const RagifyOperation ragify_operation_start = { .name = "start", .present = has_start, .invoke = invoke_start };
const RagifyOperation ragify_operation_stop = { .name = "stop", .present = has_stop, .invoke = invoke_stop };
const RagifyOperation ragify_operation_probe = { .name = "probe",
                                                 .result_size = sizeof (RagifyProbeResult),
                                                 .present = has_probe,
                                                 .invoke = invoke_probe,
                                                 .check = check_probe };
const RagifyOperation ragify_operation_reconfigure = { .name = "reconfigure",
                                                       .present = has_reconfigure,
                                                       .invoke = invoke_reconfigure };
const RagifyOperation ragify_operation_stats = { .name = "stats",
                                                 .result_size = sizeof (RagifyStatsResult),
                                                 .present = has_stats,
                                                 .invoke = invoke_stats,
                                                 .check = check_stats };

/* ---- one kind's: the vtable's member, if the vtable is long enough to have it ---- */

#define OF_KIND(name, Operations, member)                                                                              \
  static gboolean has_##name (const RagifyComponent *component)                                                        \
  {                                                                                                                    \
    const Operations *operations = component->operations;                                                              \
    return RAGIFY_HAS (operations, member) && operations->member != NULL;                                              \
  }                                                                                                                    \
  static void invoke_##name (const RagifyComponent *component, void *instance, RagifyCall *call, const void *args)     \
  {                                                                                                                    \
    ((const Operations *)component->operations)->member (instance, call, args);                                        \
  }

OF_KIND (source_query, RagifySourceOperations, query)
OF_KIND (source_scan, RagifySourceOperations, scan)
OF_KIND (cache_get, RagifyCacheOperations, get)
OF_KIND (cache_set, RagifyCacheOperations, set)
OF_KIND (cache_remove, RagifyCacheOperations, remove)
OF_KIND (cache_clear, RagifyCacheOperations, clear)
OF_KIND (store_upsert, RagifyVectorStoreOperations, upsert)
OF_KIND (store_search, RagifyVectorStoreOperations, search)
OF_KIND (store_fetch, RagifyVectorStoreOperations, fetch)
OF_KIND (store_list, RagifyVectorStoreOperations, list)
OF_KIND (store_remove, RagifyVectorStoreOperations, remove)
OF_KIND (store_optimize, RagifyVectorStoreOperations, optimize)
OF_KIND (store_flush, RagifyVectorStoreOperations, flush)
OF_KIND (store_generation, RagifyVectorStoreOperations, generation)
OF_KIND (store_backup, RagifyVectorStoreOperations, backup)
OF_KIND (store_verify, RagifyVectorStoreOperations, verify)
OF_KIND (store_reindex, RagifyVectorStoreOperations, reindex)
OF_KIND (text_upsert, RagifyTextIndexOperations, upsert)
OF_KIND (text_search, RagifyTextIndexOperations, search)
OF_KIND (text_remove, RagifyTextIndexOperations, remove)
OF_KIND (text_optimize, RagifyTextIndexOperations, optimize)
OF_KIND (text_flush, RagifyTextIndexOperations, flush)
OF_KIND (text_generation, RagifyTextIndexOperations, generation)
OF_KIND (embedder_describe, RagifyEmbedderOperations, describe)
OF_KIND (embedder_tokenize, RagifyEmbedderOperations, tokenize)
OF_KIND (embedder_embed, RagifyEmbedderOperations, embed)
OF_KIND (reranker_rerank, RagifyRerankerOperations, rerank)
OF_KIND (extractor_accepts, RagifyExtractorOperations, accepts)
OF_KIND (extractor_extract, RagifyExtractorOperations, extract)

static const char *
check_source_query (const void *args, void *result)
{
  const RagifySourceQuery *query = args;
  RagifySourceResult *answer = result;
  answer->chunks.count = MIN (answer->chunks.count, query->top_k);
  return check_chunks (&answer->chunks);
}

static const char *
check_emitted_chunk (const void *args, void *item)
{
  return check_chunk (item);
}

static const char *
check_source_scan (const void *args, void *result)
{
  return str_ok (((RagifySourceScanResult *)result)->cursor) ? NULL : "returned text that is not UTF-8";
}

static const char *
check_cache_get (const void *args, void *result)
{
  const RagifyCacheGetResult *got = result;
  if (got->value == NULL)
    return NULL;
  if (!is_aligned (got->value, sizeof (guint64)) || got->value->struct_size < BUFFER_1_0 || got->value->ref == NULL ||
      got->value->unref == NULL || (got->value->size > 0 && got->value->data == NULL))
    return "returned a buffer that cannot be";
  return NULL;
}

static void
discard_cache_get (void *result)
{
  const RagifyCacheGetResult *got = result;
  if (got->value != NULL && check_cache_get (NULL, result) == NULL)
    got->value->unref (got->value);
}

static const char *
check_store_upsert (const void *args, void *result)
{
  return check_ids (&((RagifyStoreUpsertResult *)result)->removed);
}

static const char *
check_store_search (const void *args, void *result)
{
  const RagifyStoreSearch *search = args;
  const RagifyStoreSearchResult *found = result;
  if (found->counts.count != search->vectors.count ||
      !list_ok (found->counts.items, found->counts.count, sizeof (guint32)))
    return "returned another number of results than queries";
  guint64 sum = 0;
  for (guint64 i = 0; i < found->counts.count; i++) {
    if (found->counts.items[i] > search->top_k)
      return "returned more hits than were asked for";
    sum += found->counts.items[i];
  }
  if (sum != found->hits.count)
    return "returned counts that do not add up to its hits";
  if (found->scores.count != 0 &&
      (found->scores.count != search->vectors.count || found->scores.dimension != search->scored.count))
    return "returned scores of others than those that were to be scored";
  const char *fault = check_hits (&found->hits);
  return fault != NULL ? fault : check_vectors (&found->scores);
}

/* What was asked for, in the order of asking. */
static gboolean
chunks_are (const RagifyChunkList *chunks, const RagifyUuidList *ids)
{
  for (guint64 i = 0; i < chunks->count; i++) {
    const RagifyChunk *chunk = (const RagifyChunk *)(const void *)((const char *)chunks->items + i * chunks->stride);
    if (!(chunk->flags & RAGIFY_CHUNK_MISSING) && memcmp (&chunk->id, &ids->items[i], sizeof chunk->id) != 0)
      return FALSE;
  }
  return TRUE;
}

static const char *
check_store_fetch (const void *args, void *result)
{
  const RagifyStoreFetch *fetch = args;
  const RagifyStoreFetchResult *got = result;
  const gboolean wants_chunks = (fetch->what & (RAGIFY_FETCH_CONTENT | RAGIFY_FETCH_METADATA)) != 0;
  if ((wants_chunks || got->chunks.count > 0) && got->chunks.count != fetch->ids.count)
    return "returned another number of chunks than ids";
  if ((fetch->what & RAGIFY_FETCH_VECTORS) && got->vectors.count != fetch->ids.count && got->vectors.dimension != 0)
    return "returned another number of vectors than ids";
  const char *fault = check_chunks (&got->chunks);
  if (fault == NULL && !chunks_are (&got->chunks, &fetch->ids))
    fault = "returned other chunks than those that were asked for";
  return fault != NULL ? fault : check_vectors (&got->vectors);
}

static const char *
check_store_list (const void *args, void *result)
{
  const RagifyStoreList *list = args;
  const RagifyStoreListResult *got = result;
  if (!str_ok (got->cursor))
    return "returned text that is not UTF-8";
  if (!strided_ok (got->documents.items, got->documents.count, got->documents.stride, DOCUMENT_1_0))
    return "returned a list of documents that cannot be";
  if (got->documents.count > list->limit || got->chunks.count > list->limit)
    return "returned more than was asked for";
  for (guint64 i = 0; i < got->documents.count; i++) {
    const RagifyDocument *document =
        (const RagifyDocument *)(const void *)((const char *)got->documents.items + i * got->documents.stride);
    if (!str_ok (document->id) || !str_ok (document->uri) || !str_ok (document->title) || !str_ok (document->metadata))
      return "returned text that is not UTF-8";
  }
  return check_chunks (&got->chunks);
}

static const char *
check_store_remove (const void *args, void *result)
{
  return check_ids (&((RagifyStoreRemoveResult *)result)->removed);
}

static const char *
check_store_verify (const void *args, void *result)
{
  const RagifyStoreVerifyResult *found = result;
  if (!list_ok (found->problems.items, found->problems.count, sizeof (guint64)))
    return "returned a list of problems that cannot be";
  for (guint64 i = 0; i < found->problems.count; i++)
    if (!str_ok (found->problems.items[i]))
      return "returned text that is not UTF-8";
  return NULL;
}

static const char *
check_store_reindex (const void *args, void *result)
{
  const RagifyStoreReindexResult *got = result;
  if (got->chunks.count > ((const RagifyStoreReindex *)args)->limit)
    return "returned more than was asked for";
  return check_chunks (&got->chunks);
}

static const char *
check_text_search (const void *args, void *result)
{
  RagifyTextSearchResult *found = result;
  found->hits.count = MIN (found->hits.count, ((const RagifyTextSearch *)args)->top_k);
  return check_hits (&found->hits);
}

static const char *
check_describe (const void *args, void *result)
{
  const RagifyEmbedderInfo *info = result;
  if (info->dimension == 0 || info->dimension > DIMENSION_MAX)
    return "describes a dimension outside 1..65536";
  return str_ok (info->fingerprint) && info->fingerprint.size > 0 ? NULL : "describes no fingerprint";
}

static const char *
check_tokenize (const void *args, void *result)
{
  const RagifyU32List *counts = &((RagifyEmbedderTokenizeResult *)result)->counts;
  const gboolean whole = counts->count == ((const RagifyEmbedderTokenize *)args)->texts.count;
  return whole && list_ok (counts->items, counts->count, sizeof (guint32))
             ? NULL
             : "returned another number of counts than texts";
}

static const char *
check_embed (const void *args, void *result)
{
  const RagifyVectors *vectors = &((RagifyEmbedderEmbedResult *)result)->vectors;
  if (vectors->count != ((const RagifyEmbedderEmbed *)args)->texts.count)
    return "returned another number of vectors than texts";
  return check_vectors (vectors);
}

static const char *
check_rerank (const void *args, void *result)
{
  const RagifyRerank *rerank = args;
  RagifyRankList *ranks = &((RagifyRerankResult *)result)->ranks;
  if (ranks->count > rerank->chunks.count || !list_ok (ranks->items, ranks->count, sizeof (float)))
    return "returned more ranks than chunks";
  ranks->count = MIN (ranks->count, rerank->top_k);
  g_autofree guint8 *seen = g_malloc0 (rerank->chunks.count + 1);
  for (guint64 i = 0; i < ranks->count; i++) {
    const RagifyRank *rank = &ranks->items[i];
    if (rank->index >= rerank->chunks.count || seen[rank->index]++ > 0)
      return "returned the rank of a chunk that it was not given, or two of one";
    if (!(rank->score >= 0 && rank->score <= 1))
      return "returned a probability outside 0..1";
  }
  return NULL;
}

static const char *
check_piece (const void *args, void *item)
{
  const RagifyPiece *piece = item;
  return str_ok (piece->text) && str_ok (piece->metadata) ? NULL : "emitted text that is not UTF-8";
}

static const char *
check_extract (const void *args, void *result)
{
  const RagifyExtractorExtractResult *got = result;
  return str_ok (got->title) && str_ok (got->metadata) ? NULL : "returned text that is not UTF-8";
}

#define OPERATION(function, kind_, name_, ...)                                                                         \
  const RagifyOperation ragify_operation_##function = {                                                                \
    .kind = kind_, .name = name_, .present = has_##function, .invoke = invoke_##function, __VA_ARGS__                  \
  }

OPERATION (source_query, RAGIFY_KIND_SOURCE, "query", .flags = RAGIFY_OPERATION_GUARDED,
           .result_size = sizeof (RagifySourceResult), .item_size = sizeof (RagifyChunk), .check = check_source_query,
           .check_item = check_emitted_chunk);
OPERATION (source_scan, RAGIFY_KIND_SOURCE, "scan", .result_size = sizeof (RagifySourceScanResult),
           .item_size = sizeof (RagifyChunk), .check = check_source_scan, .check_item = check_emitted_chunk);

OPERATION (cache_get, RAGIFY_KIND_CACHE, "get", .flags = RAGIFY_OPERATION_GUARDED,
           .result_size = sizeof (RagifyCacheGetResult), .check = check_cache_get, .discard = discard_cache_get);
OPERATION (cache_set, RAGIFY_KIND_CACHE, "set", .flags = RAGIFY_OPERATION_REFUSABLE, .result_size = 0);
OPERATION (cache_remove, RAGIFY_KIND_CACHE, "remove", .result_size = sizeof (RagifyCacheCount));
OPERATION (cache_clear, RAGIFY_KIND_CACHE, "clear", .result_size = sizeof (RagifyCacheCount));

OPERATION (store_upsert, RAGIFY_KIND_VECTOR_STORE, "upsert", .result_size = sizeof (RagifyStoreUpsertResult),
           .check = check_store_upsert);
OPERATION (store_search, RAGIFY_KIND_VECTOR_STORE, "search", .flags = RAGIFY_OPERATION_GUARDED,
           .result_size = sizeof (RagifyStoreSearchResult), .check = check_store_search);
OPERATION (store_fetch, RAGIFY_KIND_VECTOR_STORE, "fetch", .flags = RAGIFY_OPERATION_GUARDED,
           .result_size = sizeof (RagifyStoreFetchResult), .check = check_store_fetch);
OPERATION (store_list, RAGIFY_KIND_VECTOR_STORE, "list", .result_size = sizeof (RagifyStoreListResult),
           .check = check_store_list);
OPERATION (store_remove, RAGIFY_KIND_VECTOR_STORE, "remove", .result_size = sizeof (RagifyStoreRemoveResult),
           .check = check_store_remove);
OPERATION (store_optimize, RAGIFY_KIND_VECTOR_STORE, "optimize", .result_size = sizeof (RagifyStatsResult),
           .check = check_stats);
OPERATION (store_flush, RAGIFY_KIND_VECTOR_STORE, "flush", .result_size = 0);
OPERATION (store_generation, RAGIFY_KIND_VECTOR_STORE, "generation", .result_size = sizeof (RagifyStoreGeneration));
OPERATION (store_backup, RAGIFY_KIND_VECTOR_STORE, "backup", .result_size = sizeof (RagifyStatsResult),
           .check = check_stats);
OPERATION (store_verify, RAGIFY_KIND_VECTOR_STORE, "verify", .result_size = sizeof (RagifyStoreVerifyResult),
           .check = check_store_verify);
OPERATION (store_reindex, RAGIFY_KIND_VECTOR_STORE, "reindex", .result_size = sizeof (RagifyStoreReindexResult),
           .check = check_store_reindex);

OPERATION (text_upsert, RAGIFY_KIND_TEXT_INDEX, "upsert", .result_size = 0);
OPERATION (text_search, RAGIFY_KIND_TEXT_INDEX, "search", .flags = RAGIFY_OPERATION_GUARDED,
           .result_size = sizeof (RagifyTextSearchResult), .check = check_text_search);
OPERATION (text_remove, RAGIFY_KIND_TEXT_INDEX, "remove", .result_size = 0);
OPERATION (text_optimize, RAGIFY_KIND_TEXT_INDEX, "optimize", .result_size = 0);
OPERATION (text_flush, RAGIFY_KIND_TEXT_INDEX, "flush", .result_size = 0);
OPERATION (text_generation, RAGIFY_KIND_TEXT_INDEX, "generation", .result_size = sizeof (RagifyTextGeneration));

OPERATION (embedder_describe, RAGIFY_KIND_EMBEDDER, "describe", .result_size = sizeof (RagifyEmbedderInfo),
           .check = check_describe);
OPERATION (embedder_tokenize, RAGIFY_KIND_EMBEDDER, "tokenize", .result_size = sizeof (RagifyEmbedderTokenizeResult),
           .check = check_tokenize);
OPERATION (embedder_embed, RAGIFY_KIND_EMBEDDER, "embed", .flags = RAGIFY_OPERATION_GUARDED,
           .result_size = sizeof (RagifyEmbedderEmbedResult), .check = check_embed);

OPERATION (reranker_rerank, RAGIFY_KIND_RERANKER, "rerank", .flags = RAGIFY_OPERATION_GUARDED,
           .result_size = sizeof (RagifyRerankResult), .check = check_rerank);

OPERATION (extractor_accepts, RAGIFY_KIND_EXTRACTOR, "accepts", .result_size = sizeof (RagifyExtractorAcceptsResult));
OPERATION (extractor_extract, RAGIFY_KIND_EXTRACTOR, "extract", .result_size = sizeof (RagifyExtractorExtractResult),
           .item_size = sizeof (RagifyPiece), .check = check_extract, .check_item = check_piece);

const RagifyOperation *
ragify_operation_find (const char *kind, const char *name)
{
  static const RagifyOperation *const all[] = { &ragify_operation_start,
                                                &ragify_operation_stop,
                                                &ragify_operation_probe,
                                                &ragify_operation_reconfigure,
                                                &ragify_operation_stats,
                                                &ragify_operation_source_query,
                                                &ragify_operation_source_scan,
                                                &ragify_operation_cache_get,
                                                &ragify_operation_cache_set,
                                                &ragify_operation_cache_remove,
                                                &ragify_operation_cache_clear,
                                                &ragify_operation_store_upsert,
                                                &ragify_operation_store_search,
                                                &ragify_operation_store_fetch,
                                                &ragify_operation_store_list,
                                                &ragify_operation_store_remove,
                                                &ragify_operation_store_optimize,
                                                &ragify_operation_store_flush,
                                                &ragify_operation_store_generation,
                                                &ragify_operation_store_backup,
                                                &ragify_operation_store_verify,
                                                &ragify_operation_store_reindex,
                                                &ragify_operation_text_upsert,
                                                &ragify_operation_text_search,
                                                &ragify_operation_text_remove,
                                                &ragify_operation_text_optimize,
                                                &ragify_operation_text_flush,
                                                &ragify_operation_text_generation,
                                                &ragify_operation_embedder_describe,
                                                &ragify_operation_embedder_tokenize,
                                                &ragify_operation_embedder_embed,
                                                &ragify_operation_reranker_rerank,
                                                &ragify_operation_extractor_accepts,
                                                &ragify_operation_extractor_extract };
  for (gsize i = 0; i < G_N_ELEMENTS (all); i++)
    if (g_str_equal (all[i]->name, name) && (all[i]->kind == NULL || g_str_equal (all[i]->kind, kind)))
      return all[i];
  return NULL;
}
