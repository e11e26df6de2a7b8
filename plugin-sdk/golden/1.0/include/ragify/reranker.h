/* Ragify plugin SDK: rerankers, which judge passages against a query anew.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RAGIFY_RERANKER_H
#define RAGIFY_RERANKER_H

#include "plugin.h"

#ifdef __cplusplus
extern "C" {
#endif

#define RAGIFY_KIND_RERANKER "ragify.reranker/1"

typedef struct RagifyRerank {
  uint32_t struct_size;
  uint32_t top_k; /* how many of them are wanted, at most all */
  RagifyStr query;
  RagifyChunkList chunks; /* content and title count */
} RagifyRerank;

typedef struct RagifyRank {
  uint32_t index; /* into the chunks */
  float score;    /* a probability of being relevant, 0..1 */
} RagifyRank;

typedef struct RagifyRankList {
  const RagifyRank *items;
  uint64_t count;
} RagifyRankList;

typedef struct RagifyRerankResult {
  uint32_t struct_size;
  uint32_t reserved;
  RagifyRankList ranks; /* best first, each index at most once */
} RagifyRerankResult;

typedef struct RagifyRerankerOperations {
  uint32_t struct_size;
  uint32_t reserved;
  void (*rerank) (void *instance, RagifyCall *call, const RagifyRerank *args); /* [call] RagifyRerankResult */
} RagifyRerankerOperations;

#ifdef __cplusplus
}
#endif
#endif
