/* SPDX-License-Identifier: MIT */
#include "table.h"

static const RagifyDescribedMember members_RagifyCacheGet[] = {
  HEAD (RagifyCacheGet),
  INSIDE (RagifyCacheGet, key, RagifyBytes),
};
STRUCT (RagifyCacheGet, RAGIFY_STRUCT_SIZED);

static const RagifyDescribedMember members_RagifyCacheGetResult[] = {
  HEAD (RagifyCacheGetResult),
  NUMBER (RagifyCacheGetResult, value, BUFFER),
  NUMBER (RagifyCacheGetResult, ttl_us, U64),
};
STRUCT (RagifyCacheGetResult, RAGIFY_STRUCT_SIZED);

static const RagifyDescribedMember members_RagifyCacheSet[] = {
  HEAD (RagifyCacheSet),
  INSIDE (RagifyCacheSet, key, RagifyBytes),
  NUMBER (RagifyCacheSet, value, BUFFER),
  NUMBER (RagifyCacheSet, ttl_us, U64),
};
STRUCT (RagifyCacheSet, RAGIFY_STRUCT_SIZED);

static const RagifyDescribedMember members_RagifyCacheRemove[] = {
  HEAD (RagifyCacheRemove),
  INSIDE (RagifyCacheRemove, key, RagifyBytes),
};
STRUCT (RagifyCacheRemove, RAGIFY_STRUCT_SIZED);

static const RagifyDescribedMember members_RagifyCacheClear[] = {
  NUMBER (RagifyCacheClear, struct_size, U32),
  NUMBER (RagifyCacheClear, scope, U32),
  NUMBER (RagifyCacheClear, target_bytes, U64),
};
STRUCT (RagifyCacheClear, RAGIFY_STRUCT_SIZED);

static const RagifyDescribedMember members_RagifyCacheCount[] = {
  HEAD (RagifyCacheCount),
  NUMBER (RagifyCacheCount, count, U64),
};
STRUCT (RagifyCacheCount, RAGIFY_STRUCT_SIZED);

static const RagifyDescribedMember members_RagifyCacheOperations[] = {
  HEAD (RagifyCacheOperations),
  FUNCTION (RagifyCacheOperations, get, "[call]"),
  FUNCTION (RagifyCacheOperations, set, "[call]"),
  FUNCTION (RagifyCacheOperations, remove, "[call]"),
  FUNCTION (RagifyCacheOperations, clear, "[call]"),
};
STRUCT (RagifyCacheOperations, RAGIFY_STRUCT_SIZED);

static const RagifyDescribedMember members_RagifyEmbedderTokenize[] = {
  HEAD (RagifyEmbedderTokenize),
  INSIDE (RagifyEmbedderTokenize, texts, RagifyStrList),
};
STRUCT (RagifyEmbedderTokenize, RAGIFY_STRUCT_SIZED);

static const RagifyDescribedMember members_RagifyEmbedderTokenizeResult[] = {
  HEAD (RagifyEmbedderTokenizeResult),
  INSIDE (RagifyEmbedderTokenizeResult, counts, RagifyU32List),
};
STRUCT (RagifyEmbedderTokenizeResult, RAGIFY_STRUCT_SIZED);

static const RagifyDescribedMember members_RagifyEmbedderEmbed[] = {
  NUMBER (RagifyEmbedderEmbed, struct_size, U32),
  NUMBER (RagifyEmbedderEmbed, purpose, U32),
  INSIDE (RagifyEmbedderEmbed, texts, RagifyStrList),
};
STRUCT (RagifyEmbedderEmbed, RAGIFY_STRUCT_SIZED);

static const RagifyDescribedMember members_RagifyEmbedderEmbedResult[] = {
  NUMBER (RagifyEmbedderEmbedResult, struct_size, U32),
  NUMBER (RagifyEmbedderEmbedResult, truncated, U32),
  INSIDE (RagifyEmbedderEmbedResult, vectors, RagifyVectors),
};
STRUCT (RagifyEmbedderEmbedResult, RAGIFY_STRUCT_SIZED);

static const RagifyDescribedMember members_RagifyEmbedderOperations[] = {
  HEAD (RagifyEmbedderOperations),
  FUNCTION (RagifyEmbedderOperations, describe, "[call]"),
  FUNCTION (RagifyEmbedderOperations, tokenize, "[call]"),
  FUNCTION (RagifyEmbedderOperations, embed, "[call]"),
};
STRUCT (RagifyEmbedderOperations, RAGIFY_STRUCT_SIZED);

static const RagifyDescribedMember members_RagifyExtractorAccepts[] = {
  HEAD (RagifyExtractorAccepts),
  INSIDE (RagifyExtractorAccepts, media_type, RagifyStr),
  INSIDE (RagifyExtractorAccepts, uri, RagifyStr),
  INSIDE (RagifyExtractorAccepts, head, RagifyBytes),
};
STRUCT (RagifyExtractorAccepts, RAGIFY_STRUCT_SIZED);

static const RagifyDescribedMember members_RagifyExtractorAcceptsResult[] = {
  NUMBER (RagifyExtractorAcceptsResult, struct_size, U32),
  NUMBER (RagifyExtractorAcceptsResult, confidence, U32),
};
STRUCT (RagifyExtractorAcceptsResult, RAGIFY_STRUCT_SIZED);

static const RagifyDescribedMember members_RagifyExtractorExtract[] = {
  HEAD (RagifyExtractorExtract),
  INSIDE (RagifyExtractorExtract, media_type, RagifyStr),
  INSIDE (RagifyExtractorExtract, uri, RagifyStr),
  NUMBER (RagifyExtractorExtract, stream, STREAM),
};
STRUCT (RagifyExtractorExtract, RAGIFY_STRUCT_SIZED);

static const RagifyDescribedMember members_RagifyPiece[] = {
  NUMBER (RagifyPiece, struct_size, U32), NUMBER (RagifyPiece, type, U32),           NUMBER (RagifyPiece, level, U32),
  NUMBER (RagifyPiece, page, U32),        NUMBER (RagifyPiece, begin, U64),          NUMBER (RagifyPiece, end, U64),
  INSIDE (RagifyPiece, text, RagifyStr),  INSIDE (RagifyPiece, metadata, RagifyStr),
};
STRUCT (RagifyPiece, RAGIFY_STRUCT_SIZED);

static const RagifyDescribedMember members_RagifyExtractorExtractResult[] = {
  HEAD (RagifyExtractorExtractResult),
  INSIDE (RagifyExtractorExtractResult, title, RagifyStr),
  INSIDE (RagifyExtractorExtractResult, metadata, RagifyStr),
};
STRUCT (RagifyExtractorExtractResult, RAGIFY_STRUCT_SIZED);

static const RagifyDescribedMember members_RagifyExtractorOperations[] = {
  HEAD (RagifyExtractorOperations),
  FUNCTION (RagifyExtractorOperations, accepts, "[call]"),
  FUNCTION (RagifyExtractorOperations, extract, "[call]"),
};
STRUCT (RagifyExtractorOperations, RAGIFY_STRUCT_SIZED);

static const RagifyDescribedMember members_RagifyRerank[] = {
  NUMBER (RagifyRerank, struct_size, U32),
  NUMBER (RagifyRerank, top_k, U32),
  INSIDE (RagifyRerank, query, RagifyStr),
  INSIDE (RagifyRerank, chunks, RagifyChunkList),
};
STRUCT (RagifyRerank, RAGIFY_STRUCT_SIZED);

static const RagifyDescribedMember members_RagifyRank[] = {
  NUMBER (RagifyRank, index, U32),
  NUMBER (RagifyRank, score, F32),
};
STRUCT (RagifyRank, 0);

LIST_OF (RagifyRankList, RagifyRank);

static const RagifyDescribedMember members_RagifyRerankResult[] = {
  HEAD (RagifyRerankResult),
  INSIDE (RagifyRerankResult, ranks, RagifyRankList),
};
STRUCT (RagifyRerankResult, RAGIFY_STRUCT_SIZED);

static const RagifyDescribedMember members_RagifyRerankerOperations[] = {
  HEAD (RagifyRerankerOperations),
  FUNCTION (RagifyRerankerOperations, rerank, "[call]"),
};
STRUCT (RagifyRerankerOperations, RAGIFY_STRUCT_SIZED);

static const RagifyDescribedMember members_RagifySourceQuery[] = {
  NUMBER (RagifySourceQuery, struct_size, U32),      NUMBER (RagifySourceQuery, top_k, U32),
  INSIDE (RagifySourceQuery, text, RagifyStr),       INSIDE (RagifySourceQuery, embedding, RagifyVectors),
  POINTER (RagifySourceQuery, filter, RagifyFilter), INSIDE (RagifySourceQuery, tuning, RagifyPairList),
};
STRUCT (RagifySourceQuery, RAGIFY_STRUCT_SIZED);

static const RagifyDescribedMember members_RagifySourceResult[] = {
  HEAD (RagifySourceResult),
  INSIDE (RagifySourceResult, chunks, RagifyChunkList),
};
STRUCT (RagifySourceResult, RAGIFY_STRUCT_SIZED);

static const RagifyDescribedMember members_RagifySourceScan[] = {
  NUMBER (RagifySourceScan, struct_size, U32),
  NUMBER (RagifySourceScan, limit, U32),
  INSIDE (RagifySourceScan, cursor, RagifyStr),
  NUMBER (RagifySourceScan, since, I64),
};
STRUCT (RagifySourceScan, RAGIFY_STRUCT_SIZED);

static const RagifyDescribedMember members_RagifySourceScanResult[] = {
  HEAD (RagifySourceScanResult),
  INSIDE (RagifySourceScanResult, cursor, RagifyStr),
};
STRUCT (RagifySourceScanResult, RAGIFY_STRUCT_SIZED);

static const RagifyDescribedMember members_RagifySourceOperations[] = {
  HEAD (RagifySourceOperations),
  FUNCTION (RagifySourceOperations, query, "[call]"),
  FUNCTION (RagifySourceOperations, scan, "[call]"),
};
STRUCT (RagifySourceOperations, RAGIFY_STRUCT_SIZED);

static const RagifyDescribedMember members_RagifyTextUpsert[] = {
  HEAD (RagifyTextUpsert),
  INSIDE (RagifyTextUpsert, chunks, RagifyChunkList),
  INSIDE (RagifyTextUpsert, removed, RagifyUuidList),
  INSIDE (RagifyTextUpsert, generation, RagifyGeneration),
};
STRUCT (RagifyTextUpsert, RAGIFY_STRUCT_SIZED);

static const RagifyDescribedMember members_RagifyTextSearch[] = {
  NUMBER (RagifyTextSearch, struct_size, U32),       NUMBER (RagifyTextSearch, top_k, U32),
  INSIDE (RagifyTextSearch, text, RagifyStr),        POINTER (RagifyTextSearch, filter, RagifyFilter),
  INSIDE (RagifyTextSearch, tuning, RagifyPairList),
};
STRUCT (RagifyTextSearch, RAGIFY_STRUCT_SIZED);

static const RagifyDescribedMember members_RagifyTextSearchResult[] = {
  HEAD (RagifyTextSearchResult),
  INSIDE (RagifyTextSearchResult, hits, RagifyHitList),
};
STRUCT (RagifyTextSearchResult, RAGIFY_STRUCT_SIZED);

static const RagifyDescribedMember members_RagifyTextRemove[] = {
  NUMBER (RagifyTextRemove, struct_size, U32),
  NUMBER (RagifyTextRemove, flags, U32),
  INSIDE (RagifyTextRemove, ids, RagifyUuidList),
  INSIDE (RagifyTextRemove, generation, RagifyGeneration),
};
STRUCT (RagifyTextRemove, RAGIFY_STRUCT_SIZED);

static const RagifyDescribedMember members_RagifyTextGeneration[] = {
  HEAD (RagifyTextGeneration),
  INSIDE (RagifyTextGeneration, generation, RagifyGeneration),
  NUMBER (RagifyTextGeneration, chunks, U64),
};
STRUCT (RagifyTextGeneration, RAGIFY_STRUCT_SIZED);

static const RagifyDescribedMember members_RagifyTextIndexOperations[] = {
  HEAD (RagifyTextIndexOperations),
  FUNCTION (RagifyTextIndexOperations, upsert, "[call]"),
  FUNCTION (RagifyTextIndexOperations, search, "[call]"),
  FUNCTION (RagifyTextIndexOperations, remove, "[call]"),
  FUNCTION (RagifyTextIndexOperations, optimize, "[call]"),
  FUNCTION (RagifyTextIndexOperations, flush, "[call]"),
  FUNCTION (RagifyTextIndexOperations, generation, "[call]"),
};
STRUCT (RagifyTextIndexOperations, RAGIFY_STRUCT_SIZED);

static const RagifyDescribedMember members_RagifyDocument[] = {
  NUMBER (RagifyDocument, struct_size, U32),
  NUMBER (RagifyDocument, mode, U32),
  NUMBER (RagifyDocument, flags, U32),
  NUMBER (RagifyDocument, reserved, U32),
  INSIDE (RagifyDocument, id, RagifyStr),
  INSIDE (RagifyDocument, uri, RagifyStr),
  INSIDE (RagifyDocument, title, RagifyStr),
  INSIDE (RagifyDocument, metadata, RagifyStr),
  INSIDE (RagifyDocument, content_hash, RagifyUuid),
  NUMBER (RagifyDocument, chunks, U64),
  NUMBER (RagifyDocument, staged, U64),
  INSIDE (RagifyDocument, staged_hash, RagifyUuid),
  NUMBER (RagifyDocument, created_at, I64),
  NUMBER (RagifyDocument, updated_at, I64),
};
STRUCT (RagifyDocument, RAGIFY_STRUCT_SIZED);

STRIDED_LIST_OF (RagifyDocumentList, RagifyDocument);

static const RagifyDescribedMember members_RagifyStoreUpsert[] = {
  HEAD (RagifyStoreUpsert),
  INSIDE (RagifyStoreUpsert, documents, RagifyDocumentList),
  INSIDE (RagifyStoreUpsert, chunks, RagifyChunkList),
  INSIDE (RagifyStoreUpsert, vectors, RagifyVectors),
};
STRUCT (RagifyStoreUpsert, RAGIFY_STRUCT_SIZED);

static const RagifyDescribedMember members_RagifyStoreUpsertResult[] = {
  HEAD (RagifyStoreUpsertResult),
  INSIDE (RagifyStoreUpsertResult, generation, RagifyGeneration),
  NUMBER (RagifyStoreUpsertResult, inserted, U64),
  INSIDE (RagifyStoreUpsertResult, removed, RagifyUuidList),
};
STRUCT (RagifyStoreUpsertResult, RAGIFY_STRUCT_SIZED);

static const RagifyDescribedMember members_RagifyStoreSearch[] = {
  NUMBER (RagifyStoreSearch, struct_size, U32),       NUMBER (RagifyStoreSearch, top_k, U32),
  INSIDE (RagifyStoreSearch, vectors, RagifyVectors), POINTER (RagifyStoreSearch, filter, RagifyFilter),
  INSIDE (RagifyStoreSearch, tuning, RagifyPairList), INSIDE (RagifyStoreSearch, scored, RagifyUuidList),
};
STRUCT (RagifyStoreSearch, RAGIFY_STRUCT_SIZED);

static const RagifyDescribedMember members_RagifyStoreSearchResult[] = {
  HEAD (RagifyStoreSearchResult),
  INSIDE (RagifyStoreSearchResult, hits, RagifyHitList),
  INSIDE (RagifyStoreSearchResult, counts, RagifyU32List),
  INSIDE (RagifyStoreSearchResult, scores, RagifyVectors),
};
STRUCT (RagifyStoreSearchResult, RAGIFY_STRUCT_SIZED);

static const RagifyDescribedMember members_RagifyStoreFetch[] = {
  NUMBER (RagifyStoreFetch, struct_size, U32),
  NUMBER (RagifyStoreFetch, what, U32),
  INSIDE (RagifyStoreFetch, ids, RagifyUuidList),
};
STRUCT (RagifyStoreFetch, RAGIFY_STRUCT_SIZED);

static const RagifyDescribedMember members_RagifyStoreFetchResult[] = {
  HEAD (RagifyStoreFetchResult),
  INSIDE (RagifyStoreFetchResult, chunks, RagifyChunkList),
  INSIDE (RagifyStoreFetchResult, vectors, RagifyVectors),
};
STRUCT (RagifyStoreFetchResult, RAGIFY_STRUCT_SIZED);

static const RagifyDescribedMember members_RagifyStoreList[] = {
  NUMBER (RagifyStoreList, struct_size, U32),
  NUMBER (RagifyStoreList, what, U32),
  NUMBER (RagifyStoreList, limit, U32),
  NUMBER (RagifyStoreList, flags, U32),
  INSIDE (RagifyStoreList, cursor, RagifyStr),
  INSIDE (RagifyStoreList, documents, RagifyStrList),
  POINTER (RagifyStoreList, filter, RagifyFilter),
  NUMBER (RagifyStoreList, since, U64),
};
STRUCT (RagifyStoreList, RAGIFY_STRUCT_SIZED);

static const RagifyDescribedMember members_RagifyStoreListResult[] = {
  HEAD (RagifyStoreListResult),
  INSIDE (RagifyStoreListResult, documents, RagifyDocumentList),
  INSIDE (RagifyStoreListResult, chunks, RagifyChunkList),
  INSIDE (RagifyStoreListResult, cursor, RagifyStr),
  INSIDE (RagifyStoreListResult, generation, RagifyGeneration),
  NUMBER (RagifyStoreListResult, since_too_old, U32),
  NUMBER (RagifyStoreListResult, reserved2, U32),
};
STRUCT (RagifyStoreListResult, RAGIFY_STRUCT_SIZED);

static const RagifyDescribedMember members_RagifyStoreRemove[] = {
  HEAD (RagifyStoreRemove),
  INSIDE (RagifyStoreRemove, ids, RagifyUuidList),
  INSIDE (RagifyStoreRemove, documents, RagifyStrList),
  POINTER (RagifyStoreRemove, filter, RagifyFilter),
};
STRUCT (RagifyStoreRemove, RAGIFY_STRUCT_SIZED);

static const RagifyDescribedMember members_RagifyStoreRemoveResult[] = {
  HEAD (RagifyStoreRemoveResult),
  INSIDE (RagifyStoreRemoveResult, generation, RagifyGeneration),
  INSIDE (RagifyStoreRemoveResult, removed, RagifyUuidList),
};
STRUCT (RagifyStoreRemoveResult, RAGIFY_STRUCT_SIZED);

static const RagifyDescribedMember members_RagifyStoreOptimize[] = {
  HEAD (RagifyStoreOptimize),
  INSIDE (RagifyStoreOptimize, tuning, RagifyPairList),
};
STRUCT (RagifyStoreOptimize, RAGIFY_STRUCT_SIZED);

static const RagifyDescribedMember members_RagifyStoreBackup[] = {
  HEAD (RagifyStoreBackup),
  INSIDE (RagifyStoreBackup, path, RagifyStr),
};
STRUCT (RagifyStoreBackup, RAGIFY_STRUCT_SIZED);

static const RagifyDescribedMember members_RagifyStoreVerify[] = {
  NUMBER (RagifyStoreVerify, struct_size, U32),
  NUMBER (RagifyStoreVerify, flags, U32),
};
STRUCT (RagifyStoreVerify, RAGIFY_STRUCT_SIZED);

static const RagifyDescribedMember members_RagifyStoreVerifyResult[] = {
  HEAD (RagifyStoreVerifyResult),
  NUMBER (RagifyStoreVerifyResult, looked_at, U64),
  NUMBER (RagifyStoreVerifyResult, repaired, U64),
  INSIDE (RagifyStoreVerifyResult, problems, RagifyStrList),
};
STRUCT (RagifyStoreVerifyResult, RAGIFY_STRUCT_SIZED);

static const RagifyDescribedMember members_RagifyStoreReindex[] = {
  NUMBER (RagifyStoreReindex, struct_size, U32),
  NUMBER (RagifyStoreReindex, flags, U32),
  INSIDE (RagifyStoreReindex, fingerprint, RagifyStr),
  NUMBER (RagifyStoreReindex, dimension, U32),
  NUMBER (RagifyStoreReindex, limit, U32),
  INSIDE (RagifyStoreReindex, ids, RagifyUuidList),
  INSIDE (RagifyStoreReindex, vectors, RagifyVectors),
  INSIDE (RagifyStoreReindex, as_of, RagifyGeneration),
};
STRUCT (RagifyStoreReindex, RAGIFY_STRUCT_SIZED);

static const RagifyDescribedMember members_RagifyStoreReindexResult[] = {
  NUMBER (RagifyStoreReindexResult, struct_size, U32),
  NUMBER (RagifyStoreReindexResult, finished, U32),
  INSIDE (RagifyStoreReindexResult, chunks, RagifyChunkList),
  INSIDE (RagifyStoreReindexResult, generation, RagifyGeneration),
  NUMBER (RagifyStoreReindexResult, done, U64),
  NUMBER (RagifyStoreReindexResult, total, U64),
};
STRUCT (RagifyStoreReindexResult, RAGIFY_STRUCT_SIZED);

static const RagifyDescribedMember members_RagifyStoreGeneration[] = {
  HEAD (RagifyStoreGeneration),
  INSIDE (RagifyStoreGeneration, generation, RagifyGeneration),
  NUMBER (RagifyStoreGeneration, documents, U64),
  NUMBER (RagifyStoreGeneration, chunks, U64),
  NUMBER (RagifyStoreGeneration, vectors, U64),
};
STRUCT (RagifyStoreGeneration, RAGIFY_STRUCT_SIZED);

static const RagifyDescribedMember members_RagifyVectorStoreOperations[] = {
  HEAD (RagifyVectorStoreOperations),
  FUNCTION (RagifyVectorStoreOperations, upsert, "[call]"),
  FUNCTION (RagifyVectorStoreOperations, search, "[call]"),
  FUNCTION (RagifyVectorStoreOperations, fetch, "[call]"),
  FUNCTION (RagifyVectorStoreOperations, list, "[call]"),
  FUNCTION (RagifyVectorStoreOperations, remove, "[call]"),
  FUNCTION (RagifyVectorStoreOperations, optimize, "[call]"),
  FUNCTION (RagifyVectorStoreOperations, flush, "[call]"),
  FUNCTION (RagifyVectorStoreOperations, generation, "[call]"),
  FUNCTION (RagifyVectorStoreOperations, backup, "[call]"),
  FUNCTION (RagifyVectorStoreOperations, verify, "[call]"),
  FUNCTION (RagifyVectorStoreOperations, reindex, "[call]"),
};
STRUCT (RagifyVectorStoreOperations, RAGIFY_STRUCT_SIZED);
