/* Ragify plugin SDK: vector stores, which keep chunks with their vectors and are the truth about documents.
 *
 * SPDX-License-Identifier: MIT
 *
 * A write that was completed with call_done is committed: it survives kill -9 and power failure, and the next search
 * finds it. Each committed batch raises the generation by one. A store started without an embedder keeps chunks for
 * words alone: upsert then brings no vectors, and search fails with INVALID.
 */
#ifndef RAGIFY_VECTOR_STORE_H
#define RAGIFY_VECTOR_STORE_H

#include "plugin.h"

#ifdef __cplusplus
extern "C" {
#endif

#define RAGIFY_KIND_VECTOR_STORE "ragify.vector-store/1"

/* How a batch treats one document. */
#define RAGIFY_DOCUMENT_REPLACE 0u /* the batch holds all its chunks; whatever was there before is removed with it */
#define RAGIFY_DOCUMENT_STAGE 1u   /* more chunks will follow; they are kept, but not found, until COMMIT */
#define RAGIFY_DOCUMENT_COMMIT 2u  /* the last chunks: staged ones of the same content hash become the document */

#define RAGIFY_DOCUMENT_DELETED 1u /* flags: list with `since`: it was removed */

typedef struct RagifyDocument {
  uint32_t struct_size;
  uint32_t mode;  /* upsert: RAGIFY_DOCUMENT_REPLACE … */
  uint32_t flags; /* list: RAGIFY_DOCUMENT_DELETED */
  uint32_t reserved;
  RagifyStr id;
  RagifyStr uri;
  RagifyStr title;
  RagifyStr metadata;      /* one JSON object as text; empty for none */
  RagifyUuid content_hash; /* of content, metadata and how it was cut: equal exactly when nothing needs doing */
  uint64_t chunks;         /* list: how many it has */
  uint64_t staged;         /* list: chunks staged for it so far */
  RagifyUuid staged_hash;  /* list: the content hash that they belong to */
  int64_t created_at;      /* wall clock, µs; upsert: 0 keeps the first one */
  int64_t updated_at;
} RagifyDocument;

typedef struct RagifyDocumentList {
  const RagifyDocument *items;
  uint64_t count;
  uint32_t stride; /* bytes from one item to the next */
  uint32_t reserved;
} RagifyDocumentList;

typedef struct RagifyStoreUpsert {
  uint32_t struct_size;
  uint32_t reserved;
  RagifyDocumentList documents; /* every document that a chunk names, once */
  RagifyChunkList chunks;       /* ids set and different from each other */
  RagifyVectors vectors;        /* one for each chunk, unit length; or none at all */
} RagifyStoreUpsert;

typedef struct RagifyStoreUpsertResult {
  uint32_t struct_size;
  uint32_t reserved;
  RagifyGeneration generation; /* after the batch */
  uint64_t inserted;           /* chunks */
  RagifyUuidList removed; /* chunks that the batch replaced and that are gone; ids that were written again are not */
} RagifyStoreUpsertResult;

typedef struct RagifyStoreSearch {
  uint32_t struct_size;
  uint32_t top_k;             /* 1..100000, per vector */
  RagifyVectors vectors;      /* one or more queries */
  const RagifyFilter *filter; /* NULL: none */
  RagifyPairList tuning;      /* such as nprobe; unknown names are ignored, wrong types INVALID */
  RagifyUuidList scored;      /* at most 65536 chunks found elsewhere, such as by words: their scores are wanted, too */
} RagifyStoreSearch;

typedef struct RagifyStoreSearchResult {
  uint32_t struct_size;
  uint32_t reserved;
  RagifyHitList hits;   /* all queries' hits, one query after the other */
  RagifyU32List counts; /* how many belong to each query */
  RagifyVectors
      scores; /* for each query the scores of `scored`, in their order, filtered or not; 0 for chunks that are
                 unknown or have no vector. None at all from a store that cannot tell: `fetch` is asked then */
} RagifyStoreSearchResult;

#define RAGIFY_FETCH_CONTENT 1u /* content, title, URI, document id, place, times */
#define RAGIFY_FETCH_METADATA 2u
#define RAGIFY_FETCH_VECTORS 4u /* as the index keeps them: unit length, possibly quantised */

typedef struct RagifyStoreFetch {
  uint32_t struct_size;
  uint32_t what; /* RAGIFY_FETCH_… */
  RagifyUuidList ids;
} RagifyStoreFetch;

typedef struct RagifyStoreFetchResult {
  uint32_t struct_size;
  uint32_t reserved;
  RagifyChunkList chunks; /* one for each id, in their order; unknown ones RAGIFY_CHUNK_MISSING. Empty where only
                             vectors were asked for */
  RagifyVectors vectors;  /* one for each id, where asked for; unknown ones all 0 */
} RagifyStoreFetchResult;

#define RAGIFY_LIST_DOCUMENTS 0u
#define RAGIFY_LIST_CHUNKS 1u /* with content and metadata */

typedef struct RagifyStoreList {
  uint32_t struct_size;
  uint32_t what;              /* RAGIFY_LIST_… */
  uint32_t limit;             /* at most this many, 1..10000 */
  uint32_t flags;             /* 0 */
  RagifyStr cursor;           /* empty: from the beginning */
  RagifyStrList documents;    /* only these documents; empty list: all */
  const RagifyFilter *filter; /* NULL: none */
  uint64_t since; /* only what changed in batches after this counter, deletions included; 0: all that is there */
} RagifyStoreList;

typedef struct RagifyStoreListResult {
  uint32_t struct_size;
  uint32_t reserved;
  RagifyDocumentList documents;
  RagifyChunkList chunks;      /* removed ones RAGIFY_CHUNK_DELETED, where `since` was given */
  RagifyStr cursor;            /* go on with this; empty: the list is whole */
  RagifyGeneration generation; /* that the answer reflects */
  uint32_t since_too_old;      /* 1: changes since then are no longer known; list everything */
  uint32_t reserved2;
} RagifyStoreListResult;

/* What any of the three names is removed; all empty removes nothing. */
typedef struct RagifyStoreRemove {
  uint32_t struct_size;
  uint32_t reserved;
  RagifyUuidList ids;         /* chunks */
  RagifyStrList documents;    /* documents, with what is staged for them */
  const RagifyFilter *filter; /* every chunk that matches; NULL: none */
} RagifyStoreRemove;

typedef struct RagifyStoreRemoveResult {
  uint32_t struct_size;
  uint32_t reserved;
  RagifyGeneration generation;
  RagifyUuidList removed; /* chunks that are gone */
} RagifyStoreRemoveResult;

typedef struct RagifyStoreOptimize {
  uint32_t struct_size;
  uint32_t reserved;
  RagifyPairList tuning; /* such as recall (a target, 0..1) or index (a factory string) */
} RagifyStoreOptimize;

/* A copy of everything that the store holds, as of one moment, made while it goes on. The copy is a store of its own,
 * with another RagifyGeneration.store, so that nothing that was derived from this one is taken for its. */
typedef struct RagifyStoreBackup {
  uint32_t struct_size;
  uint32_t reserved;
  RagifyStr path; /* an absolute path where nothing is yet; the folder above it is there */
} RagifyStoreBackup;

#define RAGIFY_VERIFY_REPAIR 1u /* what is wrong is mended where nothing that was acknowledged is lost by it */

typedef struct RagifyStoreVerify {
  uint32_t struct_size;
  uint32_t flags; /* RAGIFY_VERIFY_… */
} RagifyStoreVerify;

typedef struct RagifyStoreVerifyResult {
  uint32_t struct_size;
  uint32_t reserved;
  uint64_t looked_at;     /* documents, chunks and vectors */
  uint64_t repaired;      /* of what was found wrong */
  RagifyStrList problems; /* what is still wrong, in words; at most 100 */
} RagifyStoreVerifyResult;

#define RAGIFY_REINDEX_FINISH 1u /* where nothing is missing, the new vectors take the place of those there were */
#define RAGIFY_REINDEX_DROP 2u   /* gives it up: the new vectors are dropped */

/* The vectors of another embedder, made beside searches and writes, which go on with those that there are. The host
 * asks again and again; each call brings vectors for chunks that the call before handed out. They are committed as
 * other writes are, so that it goes on after a restart where it was. Once finished, the instance refuses writes and
 * goes on answering with the former vectors, beside another one that is started with the new embedder, and until that
 * one serves. A call that brings nothing and wants no chunks only tells how far it is. */
typedef struct RagifyStoreReindex {
  uint32_t struct_size;
  uint32_t flags;         /* RAGIFY_REINDEX_… */
  RagifyStr fingerprint;  /* of the embedder; vectors that were begun for another one are dropped */
  uint32_t dimension;     /* of its vectors */
  uint32_t limit;         /* chunks wanted, at most; 0..10000 */
  RagifyUuidList ids;     /* chunks that were handed out */
  RagifyVectors vectors;  /* one for each of them, unit length */
  RagifyGeneration as_of; /* of the result that handed them out: chunks that were written since are left out */
} RagifyStoreReindex;

typedef struct RagifyStoreReindexResult {
  uint32_t struct_size;
  uint32_t finished;           /* 1: the store's vectors are the embedder's */
  RagifyChunkList chunks;      /* that have no new vector yet, with content and title */
  RagifyGeneration generation; /* that they are of */
  uint64_t done;               /* chunks that have one */
  uint64_t total;              /* chunks */
} RagifyStoreReindexResult;

typedef struct RagifyStoreGeneration {
  uint32_t struct_size;
  uint32_t reserved;
  RagifyGeneration generation;
  uint64_t documents;
  uint64_t chunks;
  uint64_t vectors;
} RagifyStoreGeneration;

typedef struct RagifyVectorStoreOperations {
  uint32_t struct_size;
  uint32_t reserved;
  void (*upsert) (void *instance, RagifyCall *call, const RagifyStoreUpsert *args); /* [call] RagifyStoreUpsertResult */
  void (*search) (void *instance, RagifyCall *call, const RagifyStoreSearch *args); /* [call] RagifyStoreSearchResult */
  void (*fetch) (void *instance, RagifyCall *call, const RagifyStoreFetch *args);   /* [call] RagifyStoreFetchResult */
  void (*list) (void *instance, RagifyCall *call, const RagifyStoreList *args);     /* [call] RagifyStoreListResult */
  void (*remove) (void *instance, RagifyCall *call, const RagifyStoreRemove *args); /* [call] RagifyStoreRemoveResult */
  void (*optimize) (void *instance, RagifyCall *call, const RagifyStoreOptimize *args); /* [call] RagifyStatsResult */
  void (*flush) (void *instance, RagifyCall *call, const RagifyNothing *args);          /* [call] result: none */
  void (*generation) (void *instance, RagifyCall *call, const RagifyNothing *args); /* [call] RagifyStoreGeneration */
  /* These may be NULL: the host then says what the store cannot do. */
  void (*backup) (void *instance, RagifyCall *call, const RagifyStoreBackup *args); /* [call] RagifyStatsResult */
  void (*verify) (void *instance, RagifyCall *call, const RagifyStoreVerify *args); /* [call] RagifyStoreVerifyResult */
  void (*reindex) (void *instance, RagifyCall *call,
                   const RagifyStoreReindex *args); /* [call] RagifyStoreReindexResult */
} RagifyVectorStoreOperations;

#ifdef __cplusplus
}
#endif
#endif
