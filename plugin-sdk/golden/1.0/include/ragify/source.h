/* Ragify plugin SDK: sources, places that can be asked for passages.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RAGIFY_SOURCE_H
#define RAGIFY_SOURCE_H

#include "plugin.h"

#ifdef __cplusplus
extern "C" {
#endif

#define RAGIFY_KIND_SOURCE "ragify.source/1"

typedef struct RagifySourceQuery {
  uint32_t struct_size;
  uint32_t top_k; /* how many passages at most, 1..100000; more are cut */
  RagifyStr text;
  RagifyVectors embedding;    /* one vector where the component wants it and the pipeline has it; otherwise none */
  const RagifyFilter *filter; /* NULL: none. A component without RAGIFY_COMPONENT_FILTERS may ignore it */
  RagifyPairList tuning;      /* what the request says under `search`; unknown names are ignored */
} RagifySourceQuery;

typedef struct RagifySourceResult {
  uint32_t struct_size;
  uint32_t reserved;
  RagifyChunkList chunks; /* best first, after those that were emitted */
} RagifySourceResult;

typedef struct RagifySourceScan {
  uint32_t struct_size;
  uint32_t limit;   /* about how many to emit before completing with a cursor; 0: no limit */
  RagifyStr cursor; /* empty: from the beginning; otherwise what the last scan returned */
  int64_t since;    /* only what changed after this wall-clock time, µs; 0: everything */
} RagifySourceScan;

typedef struct RagifySourceScanResult {
  uint32_t struct_size;
  uint32_t reserved;
  RagifyStr cursor; /* go on with this; empty: the scan is whole */
} RagifySourceScanResult;

typedef struct RagifySourceOperations {
  uint32_t struct_size;
  uint32_t reserved;
  /* [call] Passages for a query. Emits RagifyChunk (optional); result: RagifySourceResult. */
  void (*query) (void *instance, RagifyCall *call, const RagifySourceQuery *args);
  /* [call] All documents, for ingest, whole (not cut into chunks). NULL: cannot. Emits RagifyChunk, deleted ones
   * flagged RAGIFY_CHUNK_DELETED; result: RagifySourceScanResult. */
  void (*scan) (void *instance, RagifyCall *call, const RagifySourceScan *args);
} RagifySourceOperations;

#ifdef __cplusplus
}
#endif
#endif
