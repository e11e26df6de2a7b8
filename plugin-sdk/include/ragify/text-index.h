/* Ragify plugin SDK: text indexes, which find by words the chunks that a vector store keeps.
 *
 * SPDX-License-Identifier: MIT
 *
 * A text index is derived: it carries the generation of the store that it follows, catches up from it at start and
 * can always be rebuilt. What it completed is found by the next search; after a crash it may be an older generation,
 * never a mixed one.
 */
#ifndef RAGIFY_TEXT_INDEX_H
#define RAGIFY_TEXT_INDEX_H

#include "plugin.h"

#ifdef __cplusplus
extern "C" {
#endif

#define RAGIFY_KIND_TEXT_INDEX "ragify.text-index/1"

/* One batch: removals first, then chunks, then the generation; all or nothing. One that brings the generation that the
 * index has already is a part of something larger: it may become findable, and lasting, only with a later one. */
typedef struct RagifyTextUpsert {
  uint32_t struct_size;
  uint32_t reserved;
  RagifyChunkList chunks; /* id, content, title, metadata count */
  RagifyUuidList removed;
  RagifyGeneration generation; /* what the index reflects afterwards */
} RagifyTextUpsert;

typedef struct RagifyTextSearch {
  uint32_t struct_size;
  uint32_t top_k;             /* 1..100000 */
  RagifyStr text;             /* a person's words; no query language */
  const RagifyFilter *filter; /* NULL: none. A component without RAGIFY_COMPONENT_FILTERS may ignore it */
  RagifyPairList tuning;
} RagifyTextSearch;

typedef struct RagifyTextSearchResult {
  uint32_t struct_size;
  uint32_t reserved;
  RagifyHitList hits; /* best first */
} RagifyTextSearchResult;

#define RAGIFY_TEXT_REMOVE_ALL 1u /* everything goes, for a rebuild */

typedef struct RagifyTextRemove {
  uint32_t struct_size;
  uint32_t flags; /* RAGIFY_TEXT_REMOVE_… */
  RagifyUuidList ids;
  RagifyGeneration generation;
} RagifyTextRemove;

typedef struct RagifyTextGeneration {
  uint32_t struct_size;
  uint32_t reserved;
  RagifyGeneration generation; /* all 0 for a new index */
  uint64_t chunks;
} RagifyTextGeneration;

typedef struct RagifyTextIndexOperations {
  uint32_t struct_size;
  uint32_t reserved;
  void (*upsert) (void *instance, RagifyCall *call, const RagifyTextUpsert *args);  /* [call] result: none */
  void (*search) (void *instance, RagifyCall *call, const RagifyTextSearch *args);  /* [call] RagifyTextSearchResult */
  void (*remove) (void *instance, RagifyCall *call, const RagifyTextRemove *args);  /* [call] result: none */
  void (*optimize) (void *instance, RagifyCall *call, const RagifyNothing *args);   /* [call] result: none */
  void (*flush) (void *instance, RagifyCall *call, const RagifyNothing *args);      /* [call] result: none */
  void (*generation) (void *instance, RagifyCall *call, const RagifyNothing *args); /* [call] RagifyTextGeneration */
} RagifyTextIndexOperations;

#ifdef __cplusplus
}
#endif
#endif
