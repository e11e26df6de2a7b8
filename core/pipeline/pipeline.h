/* A pipeline: from a request to an answer, over nodes that were resolved at load.
 *
 * SPDX-License-Identifier: MIT
 *
 *   cache ─► embed ─► fan-out ─► fuse ─► dedupe ─► rerank ─► diversify ─► cut ─► encode ─► cache
 */
#pragma once

#include "core/balance/balancer.h"
#include "core/balance/limiter.h"
#include "core/cache/busiest.h"
#include "core/cache/tier.h"
#include "core/module/node.h"
#include "core/pipeline/request.h"

typedef struct RagifyPipeline RagifyPipeline;
typedef struct RagifyAnswer RagifyAnswer;

typedef enum {
  RAGIFY_RETRIEVER_SOURCE,
  RAGIFY_RETRIEVER_VECTOR_STORE,
  RAGIFY_RETRIEVER_TEXT_INDEX,
} RagifyRetrieverType;

typedef enum { RAGIFY_FUSE_CONVEX, RAGIFY_FUSE_RRF, RAGIFY_FUSE_MAX, RAGIFY_FUSE_DBSF } RagifyFuse;

/* When asking ends. */
typedef enum {
  RAGIFY_FINISH_ALL,    /* all have answered, or their time is up */
  RAGIFY_FINISH_ENOUGH, /* max_chunks chunks of at least min_relevance have come, from stores and sources */
  RAGIFY_FINISH_FIRST,  /* one has answered with a chunk */
} RagifyFinish;

/* What the relevance of a source's chunk is. */
typedef enum {
  RAGIFY_SCORE_RANK,   /* 5 ÷ (4 + rank) */
  RAGIFY_SCORE_SOURCE, /* what the source declares itself, where it does; otherwise the rank */
  RAGIFY_SCORE_EMBED,  /* the cosine of its embedding, computed for the best of them; needs `embedder` */
} RagifyScore;

/* One place that is asked. */
typedef struct RagifyRetriever {
  RagifyRetrieverType type;
  RagifyNode *node;         /* of a balancer: its first member */
  RagifyBalancer *balancer; /* sources: that chooses among several; NULL: none */
  gboolean nested;          /* sources: the node is another pipeline (core/pipeline/nested.h) */
  RagifyNode *store;        /* text indexes: the vector store that holds the chunks; vector stores: themselves */
  RagifyNode *embedder;     /* vector stores: whose vectors it holds, NULL: words only; text indexes: the same, or NULL
                               where the store is asked as well; sources: whose embedding they want or are scored by */
  guint embed_batch;        /* queries that `embedder` is given in one call; 0: 8 */
  guint64 embed_wait_us;    /* for others to share a call with, see core/batch/embed-batcher.h */
  const char *source_type; /* "vector", "document", "database", "api", "realtime": what the answer's source.type says */
  double weight;           /* in fusion; 1 */
  double authority;        /* of its passages: a factor of what fusion makes of them; 0: 1 */
  guint64 deadline_us;     /* of its own; 0: the pipeline's */
  RagifyScore score;       /* sources */
} RagifyRetriever;

typedef struct RagifyPipelineOptions {
  const char *name;
  const RagifyRetriever *retrievers;
  guint n_retrievers;
  RagifyTier *tier;            /* NULL: no cache */
  guint64 invalidate_every_us; /* how often commits outdate cached answers at most; 0: each does */
  double semantic_threshold;   /* cosine from which on a query's answer is another's, too; 0: of none */
  guint semantic_entries;      /* queries that are kept for that */
  guint64 max_staleness_us;    /* of what is known of stores that others write to; 0: asked for each request */
  RagifyFuse fuse;
  double fuse_weight;    /* convex: of the dense part, 0.6 */
  guint fuse_candidates; /* of each list, 200 */
  gsize passage_bytes;   /* that stores' passages may take in memory; 0: none are kept */
  guint rrf_k;           /* 60 */
  gboolean dedupe;
  double near_duplicates; /* similarity from which of two passages the better one is kept; 0: they may be near */
  double near_cosine;     /* the same, of their vectors where both are known; 0: vectors are not looked at */
  guint64 freshness_half_life_us; /* 0: age does not matter */
  double freshness_weight;        /* what of the fused score age can take, 0..1 */
  RagifyNode *reranker;           /* that judges the best candidates anew; NULL: none */
  guint rerank_candidates;        /* which it, and `diversify`, see; 100 */
  guint64 rerank_deadline_us;     /* of the reranker's own; 0: what is left */
  double diversify;               /* what being different counts for against relevance, 0..1; 0: nothing */
  double min_relevance;
  guint64 deadline_us;
  guint source_batch; /* asked in one wave, 10 */
  guint max_at_once;  /* of a wave, 10 */
  RagifyFinish finish;
  RagifyMode mode;    /* of requests that do not say */
  guint max_chunks;   /* the same; 10 */
  guint64 max_tokens; /* the same; 0: no budget */
  gboolean fail_on_partial;
  RagifyLimiter *host_limiter; /* that all pipelines share, outlives them; NULL: none */
  guint max_concurrent;        /* requests computed at once; 0: no limit of its own */
  guint queue;                 /* that may wait for their turn, */
  guint64 queue_timeout_us;    /* so long */
  gboolean adaptive;           /* the limit moves below max_concurrent */
  guint64 fingerprint;         /* of the configuration of all that it uses: part of cache keys */
} RagifyPipelineOptions; /* numbers that are 0 have the default; weights, min_relevance and diversify are as given */

/* Copies the options; the nodes, which are started, and the tier outlive it. Asks the stores for their generations: a
 * store that does not tell keeps answers out of the cache until ragify_pipeline_store_changed. [control] */
RagifyPipeline *ragify_pipeline_new (RagifyRuntime *runtime, const RagifyPipelineOptions *options);
void ragify_pipeline_free (RagifyPipeline *pipeline);
const char *ragify_pipeline_name (const RagifyPipeline *pipeline);
RagifyTier *ragify_pipeline_tier (const RagifyPipeline *pipeline); /* NULL: none */
RagifyBusiest *ragify_pipeline_busiest (RagifyPipeline *pipeline); /* NULL: it has no cache, and counts nothing */

/* Memory runs short: about half of what it keeps beside its cache is given up. [any] */
void ragify_pipeline_shrink (RagifyPipeline *pipeline);

/* An answer: a head of its own and a body that it may share with others; sent one after the other they are one JSON (or
 * text) document. */
struct RagifyAnswer {
  guint status;             /* 200, or the problem's */
  const char *content_type; /* constant */
  const char *cache;        /* "miss", "memory", …: for logs and the X-Cache header */
  gboolean degraded;
  char *head; /* in the request's arena */
  gsize head_size;
  RagifyBuffer *body; /* a reference of the answer's, released with the request; NULL: none */
  guint retry_after;  /* seconds; 0: none */
};

/* Runs once on the request's loop. `answer` lives as long as the request. */
typedef void (*RagifyAnswered) (RagifyRequest *request, const RagifyAnswer *answer, void *user);

/* Answers `request`, whose `loop`, `began` and `id` are set; `answered` may run before this returns (a cache hit). The
 * caller keeps its reference to the request until then. Once for each request. [loop] */
void ragify_pipeline_answer (RagifyPipeline *pipeline, RagifyRequest *request, RagifyAnswered answered, void *user);

/* Nobody waits any more: cancels what is under way for it. `answered` still runs, soon, with status 499; no effect once
 * it has run. [loop] */
void ragify_pipeline_cancel (RagifyRequest *request);

/* The request's identity, which lasts, and the key that its answer is kept under now. Once for each request, which is
 * not answered. FALSE with a problem. [loop] */
gboolean ragify_pipeline_identify (RagifyPipeline *pipeline, RagifyRequest *request, RagifyTierKey *identity,
                                   RagifyTierKey *key, RagifyProblem *problem);

/* Tells the pipeline the store's new state after a committed write, and which chunks are gone; it takes effect before
 * this returns. `behind`: a text index of the store lacks some of that state; until it is told otherwise, answers for
 * which the store's text indexes were asked are not kept. TRUE where cached answers of its are outdated by that, now or
 * soon. [any] */
gboolean ragify_pipeline_store_changed (RagifyPipeline *pipeline, RagifyNode *store, const RagifyGeneration *generation,
                                        const RagifyUuidList *removed, gboolean behind);
