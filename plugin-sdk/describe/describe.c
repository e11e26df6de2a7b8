/* SPDX-License-Identifier: MIT */
#include "table.h"

#include <string.h>

#define OPERATION(vtable, name, args, result, emitted)                                                                 \
  {                                                                                                                    \
#name, offsetof(vtable, name), args, result, emitted                                                               \
  }

static const RagifyDescribedOperation operations_RagifySourceOperations[] = {
  OPERATION (RagifySourceOperations, query, &describe_RagifySourceQuery, &describe_RagifySourceResult,
             &describe_RagifyChunk),
  OPERATION (RagifySourceOperations, scan, &describe_RagifySourceScan, &describe_RagifySourceScanResult,
             &describe_RagifyChunk),
};

static const RagifyDescribedOperation operations_RagifyCacheOperations[] = {
  OPERATION (RagifyCacheOperations, get, &describe_RagifyCacheGet, &describe_RagifyCacheGetResult, NULL),
  OPERATION (RagifyCacheOperations, set, &describe_RagifyCacheSet, NULL, NULL),
  OPERATION (RagifyCacheOperations, remove, &describe_RagifyCacheRemove, &describe_RagifyCacheCount, NULL),
  OPERATION (RagifyCacheOperations, clear, &describe_RagifyCacheClear, &describe_RagifyCacheCount, NULL),
};

static const RagifyDescribedOperation operations_RagifyVectorStoreOperations[] = {
  OPERATION (RagifyVectorStoreOperations, upsert, &describe_RagifyStoreUpsert, &describe_RagifyStoreUpsertResult, NULL),
  OPERATION (RagifyVectorStoreOperations, search, &describe_RagifyStoreSearch, &describe_RagifyStoreSearchResult, NULL),
  OPERATION (RagifyVectorStoreOperations, fetch, &describe_RagifyStoreFetch, &describe_RagifyStoreFetchResult, NULL),
  OPERATION (RagifyVectorStoreOperations, list, &describe_RagifyStoreList, &describe_RagifyStoreListResult, NULL),
  OPERATION (RagifyVectorStoreOperations, remove, &describe_RagifyStoreRemove, &describe_RagifyStoreRemoveResult, NULL),
  OPERATION (RagifyVectorStoreOperations, optimize, &describe_RagifyStoreOptimize, &describe_RagifyStatsResult, NULL),
  OPERATION (RagifyVectorStoreOperations, flush, &describe_RagifyNothing, NULL, NULL),
  OPERATION (RagifyVectorStoreOperations, generation, &describe_RagifyNothing, &describe_RagifyStoreGeneration, NULL),
  OPERATION (RagifyVectorStoreOperations, backup, &describe_RagifyStoreBackup, &describe_RagifyStatsResult, NULL),
  OPERATION (RagifyVectorStoreOperations, verify, &describe_RagifyStoreVerify, &describe_RagifyStoreVerifyResult, NULL),
  OPERATION (RagifyVectorStoreOperations, reindex, &describe_RagifyStoreReindex, &describe_RagifyStoreReindexResult,
             NULL),
};

static const RagifyDescribedOperation operations_RagifyTextIndexOperations[] = {
  OPERATION (RagifyTextIndexOperations, upsert, &describe_RagifyTextUpsert, NULL, NULL),
  OPERATION (RagifyTextIndexOperations, search, &describe_RagifyTextSearch, &describe_RagifyTextSearchResult, NULL),
  OPERATION (RagifyTextIndexOperations, remove, &describe_RagifyTextRemove, NULL, NULL),
  OPERATION (RagifyTextIndexOperations, optimize, &describe_RagifyNothing, NULL, NULL),
  OPERATION (RagifyTextIndexOperations, flush, &describe_RagifyNothing, NULL, NULL),
  OPERATION (RagifyTextIndexOperations, generation, &describe_RagifyNothing, &describe_RagifyTextGeneration, NULL),
};

static const RagifyDescribedOperation operations_RagifyEmbedderOperations[] = {
  OPERATION (RagifyEmbedderOperations, describe, &describe_RagifyNothing, &describe_RagifyEmbedderInfo, NULL),
  OPERATION (RagifyEmbedderOperations, tokenize, &describe_RagifyEmbedderTokenize,
             &describe_RagifyEmbedderTokenizeResult, NULL),
  OPERATION (RagifyEmbedderOperations, embed, &describe_RagifyEmbedderEmbed, &describe_RagifyEmbedderEmbedResult, NULL),
};

static const RagifyDescribedOperation operations_RagifyRerankerOperations[] = {
  OPERATION (RagifyRerankerOperations, rerank, &describe_RagifyRerank, &describe_RagifyRerankResult, NULL),
};

static const RagifyDescribedOperation operations_RagifyExtractorOperations[] = {
  OPERATION (RagifyExtractorOperations, accepts, &describe_RagifyExtractorAccepts,
             &describe_RagifyExtractorAcceptsResult, NULL),
  OPERATION (RagifyExtractorOperations, extract, &describe_RagifyExtractorExtract,
             &describe_RagifyExtractorExtractResult, &describe_RagifyPiece),
};

static const RagifyDescribedOperation common[] = {
  OPERATION (RagifyComponent, start, &describe_RagifyStart, NULL, NULL),
  OPERATION (RagifyComponent, stop, &describe_RagifyNothing, NULL, NULL),
  OPERATION (RagifyComponent, probe, &describe_RagifyNothing, &describe_RagifyProbeResult, NULL),
  OPERATION (RagifyComponent, reconfigure, &describe_RagifyReconfigure, NULL, NULL),
  OPERATION (RagifyComponent, stats, &describe_RagifyNothing, &describe_RagifyStatsResult, NULL),
};

#define KIND(id, vtable)                                                                                               \
  {                                                                                                                    \
    id, &describe_##vtable, sizeof operations_##vtable / sizeof operations_##vtable[0], operations_##vtable            \
  }

static const RagifyDescribedKind kinds[] = {
  KIND (RAGIFY_KIND_SOURCE, RagifySourceOperations),
  KIND (RAGIFY_KIND_CACHE, RagifyCacheOperations),
  KIND (RAGIFY_KIND_VECTOR_STORE, RagifyVectorStoreOperations),
  KIND (RAGIFY_KIND_TEXT_INDEX, RagifyTextIndexOperations),
  KIND (RAGIFY_KIND_EMBEDDER, RagifyEmbedderOperations),
  KIND (RAGIFY_KIND_RERANKER, RagifyRerankerOperations),
  KIND (RAGIFY_KIND_EXTRACTOR, RagifyExtractorOperations),
};

static const RagifyDescribedStruct *const structs[] = {
#define STRUCT_NAME(type) &describe_##type,
#include "structs.inc.h"
#undef STRUCT_NAME
};

const RagifyDescribedStruct *const *
ragify_describe_structs (uint32_t *count)
{
  *count = sizeof structs / sizeof structs[0];
  return structs;
}

const RagifyDescribedKind *
ragify_describe_kinds (uint32_t *count)
{
  *count = sizeof kinds / sizeof kinds[0];
  return kinds;
}

const RagifyDescribedOperation *
ragify_describe_common (uint32_t *count)
{
  *count = sizeof common / sizeof common[0];
  return common;
}

const RagifyDescribedStruct *
ragify_describe_struct (const char *name)
{
  for (size_t i = 0; i < sizeof structs / sizeof structs[0]; i++) {
    if (strcmp (structs[i]->name, name) == 0)
      return structs[i];
  }
  return NULL;
}

const RagifyDescribedKind *
ragify_describe_kind (const char *id)
{
  for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
    if (strcmp (kinds[i].id, id) == 0)
      return &kinds[i];
  }
  return NULL;
}
