/* A run: one request on its way through a pipeline. What the pipeline's files share.
 *
 * SPDX-License-Identifier: MIT
 *
 * A run is a chain of stages. A stage starts calls and holds the run open for each; when the last one has finished the
 * next stage begins (ragify_run_hold, ragify_run_release). All of it happens on the request's loop, all of it lives in
 * the request's arena.
 *
 *   pipeline.c   begin, end
 *   cached.c     the answer out of the cache, or into it
 *   admit.c      a place among those that compute
 *   retrieve.c   embed the query, ask the retrievers in waves
 *   gather.c     candidates, missing vectors, fusion
 *   select.c     fetch, filter, dedupe, count tokens, cut
 *   near-stage.c what near-duplicates are told by
 *   rerank.c     where there is a reranker, or diversity: judge what was fetched anew, before the cut
 *   encode.c     the answer
 */
#pragma once

#include <stdatomic.h>

#include "core/balance/attempt.h"
#include "core/balance/balanced.h"
#include "core/batch/embed-batcher.h"
#include "core/cache/busiest.h"
#include "core/cache/store-watch.h"
#include "core/call/operations.h"
#include "core/pipeline/background.h"
#include "core/pipeline/candidates.h"
#include "core/pipeline/dedupe.h"
#include "core/pipeline/near.h"
#include "core/pipeline/passages.h"
#include "core/pipeline/pipeline.h"
#include "core/pipeline/semantic.h"
#include "core/pipeline/token-counts.h"
#include "core/pipeline/writer.h"

/* A run's places: in its pipeline, in the host. */
#define RAGIFY_N_LIMITERS 2

typedef enum {
  RAGIFY_STAGE_EMBED,
  RAGIFY_STAGE_SEARCH,
  RAGIFY_STAGE_WORDS,
  RAGIFY_STAGE_SOURCES,
  RAGIFY_STAGE_VECTORS,
  RAGIFY_STAGE_FUSE,
  RAGIFY_STAGE_FETCH,
  RAGIFY_STAGE_RERANK,
  RAGIFY_STAGE_DIVERSIFY,
  RAGIFY_STAGE_TOKENS,
  RAGIFY_STAGE_ENCODE,
  RAGIFY_N_STAGES,
} RagifyStage;
extern const char *const ragify_stage_names[RAGIFY_N_STAGES];

typedef enum {
  RAGIFY_ASK_NOT_YET,
  RAGIFY_ASK_WAITS, /* for the embedding */
  RAGIFY_ASK_OK,
  RAGIFY_ASK_TIMEOUT,
  RAGIFY_ASK_ERROR,
  RAGIFY_ASK_SKIPPED,
  RAGIFY_ASK_OPEN_CIRCUIT,
  RAGIFY_N_ASK_STATES,
} RagifyAskState;
extern const char *const ragify_ask_state_names[RAGIFY_N_ASK_STATES];

/* ---- what was resolved at load ---- */

#define RAGIFY_NO_EMBEDDER G_MAXUINT16

/* A node that has passages: a store or a source. */
typedef struct RagifyHolder {
  RagifyNode *node;
  const char *name;
  char *source_type;
  gboolean is_store;
  guint16 embedder; /* of its vectors: a place in the pipeline's embedders, or RAGIFY_NO_EMBEDDER */
  float weight;
  float authority;          /* 1: no more than others' */
  RagifyStoreWatch *watch;  /* stores of a pipeline with a cache; NULL otherwise */
  _Atomic guint64 contents; /* changes with each of the store's writes; 0: its passages are not kept */
  atomic_bool behind;       /* stores: a text index lacks some of what the watch's generation holds */
  gboolean is_followed;     /* stores that others write to as well: a text index of this host's own follows it */
} RagifyHolder;

typedef struct RagifyRetrieverPlace {
  RagifyRetriever as; /* as configured */
  const char *name;
  guint16 holder;
  guint16 embedder; /* whose embedding of the query its passages are scored with, or RAGIFY_NO_EMBEDDER */
  gboolean waits;   /* for that embedding before it is asked */
  gboolean filters; /* by itself */
  RagifySeries *duration, *chunks, *states[RAGIFY_N_ASK_STATES];
} RagifyRetrieverPlace;

struct RagifyPipeline {
  RagifyRuntime *runtime;
  char *name;
  RagifyPipelineOptions options;
  RagifyRetrieverPlace *retrievers;
  guint n_retrievers;
  RagifyHolder *holders;
  guint16 n_holders;
  RagifyNode **embedders;
  RagifyEmbedBatcher **batchers; /* one for each */
  guint16 n_embedders;
  RagifyNode *tokenizer; /* NULL: none */
  RagifyTokenCounts *token_counts;
  RagifyBackground *background; /* of a pipeline with a cache; NULL otherwise */
  RagifyBusiest *busiest;       /* the same */
  RagifySemantic *semantic;     /* queries found again by the first embedder; NULL: not wanted */
  RagifyLimiter *limiter;       /* NULL: none */
  char *refusals[RAGIFY_N_LIMITERS][RAGIFY_N_REFUSALS]; /* problem documents up to the request's id; NULL: none */
  RagifyPassages *passages;
  RagifySeries *stages[RAGIFY_N_STAGES], *hit_duration, *miss_duration, *degraded, *failed, *semantic_hits,
      *semantic_misses;
  RagifyTracked *tracked; /* NULL: it is not */
};

/* ---- one request ---- */

/* Passages that a run holds until it is cleared. */
typedef struct RagifyHeld RagifyHeld;
struct RagifyHeld {
  RagifyHeld *next;
  guint count;
  const RagifyPassage *passages[];
};

/* A call that the run waits for. */
typedef struct RagifyStep RagifyStep;
struct RagifyStep {
  RagifyAttempt attempt;    /* first */
  RagifyBalanced *balanced; /* in its place, where a balancer is asked */
  RagifyRun *run;
  RagifyCall *call; /* once it has finished: the last that was made; NULL: a balancer had nobody to ask */
  RagifyStep *next, *previous;
  void (*finished) (RagifyStep *step);
};

/* The query's embedding by one embedder. */
typedef struct RagifyEmbedding {
  RagifyEmbedWait wait; /* first */
  RagifyRun *run;
  gboolean wanted, done;
  RagifyVectors vector; /* count 0: failed */
  RagifyAskState state;
  const char *error;
} RagifyEmbedding;

/* One retriever asked. */
typedef struct RagifyAsk RagifyAsk;
struct RagifyAsk {
  RagifyStep step;
  const RagifyRetrieverPlace *place;
  RagifyAskState state;
  const char *error; /* "" unless it failed */
  guint64 duration;  /* µs */
  gboolean disabled; /* by an operator */
  guint64 retry_after;
  union {
    RagifySourceQuery source;
    RagifyStoreSearch store;
    RagifyTextSearch text;
  } arguments;
  guint found;                /* passages that it came with */
  const RagifyChunk **chunks; /* sources */
  const RagifyHit *hits;      /* stores and indexes */
  RagifyListHit *list;        /* candidates and scores, `found` of them */
  const RagifyAsk *scorer;    /* indexes: of the store that was to score their hits, the search that did … */
  guint scored_from;          /* … and where they stand among its scores */
  const float *scores;        /* stores: of what others had found; NULL: it does not tell */
};

/* A place in a limiter, or the wish for one. */
typedef struct RagifyRunTicket {
  RagifyTicket ticket; /* first */
  RagifyRun *run;
} RagifyRunTicket;

/* A passage's vector, of unit length; `items` NULL: not known. */
typedef struct RagifyPassageVector {
  const float *items;
  guint dimension;
} RagifyPassageVector;

/* A passage of the answer. */
typedef struct RagifyChosen {
  guint32 candidate;
  const RagifyChunk *chunk;
  guint64 hash;
  guint32 tokens;
} RagifyChosen;

struct RagifyRun {
  RagifyPipeline *pipeline;
  RagifyRequest *request;
  RagifyAnswered answered;
  void *user;
  RagifyArena *arena;
  guint64 deadline, retrieve_deadline; /* monotonic µs */
  gboolean done, cancelled;
  RagifyTask task;

  gboolean caches, leads;
  gboolean behind;        /* a text index that it asks is behind: its answer is not kept */
  RagifyTierKey identity; /* of the request, whatever the stores hold */
  RagifyTierKey key;
  RagifyTierKey semantic_key; /* of an answer to another query, which means the same */
  RagifyStoreMark *marks;     /* one for each of the pipeline's holders */
  RagifyTierGet *get;         /* while it is under way */
  gboolean got;

  RagifyRunTicket tickets[RAGIFY_N_LIMITERS];
  guint n_tickets; /* that were asked for */
  gboolean queued; /* it waits for the last of them */
  gboolean waited; /* it has waited for one */

  guint pending;
  void (*next) (RagifyRun *run);
  RagifyStep *steps; /* under way */

  RagifyEmbedding *embeddings; /* one for each of the pipeline's embedders */
  RagifyAsk *asks;
  guint n_asks, asked;      /* asked: how many have had their turn, */
  guint wave_end, at_work;  /* of how many that are in the wave, and how many of these are not done */
  gboolean sending, enough; /* inside ragify_run_send; the rest is not waited for */

  RagifyCandidates candidates;
  RagifyRanking ranking;
  guint dropped;        /* candidates that turned out to be no part of the answer's basis: filtered, gone, equal ones */
  double min_relevance; /* from the start */
  RagifyDedupe dedupe;
  RagifyNear near;
  RagifyPassageVector *passage_vectors; /* of each candidate; NULL: near-duplicates are not told by them */
  gint64 wall_now;                      /* µs since 1970, for freshness; 0: not needed yet */
  RagifyChosen *chosen, *batch;
  guint n_chosen, n_batch, batch_size; /* batch_size: before it was screened */
  guint pool_size;    /* 0: the best are taken as they come; otherwise that many are gathered first, … */
  RagifyChosen *pool; /* … here, to be put into another order, … */
  gboolean ordered;   /* … which they have */
  guint n_pool;
  const float *reranked; /* of each candidate; NAN: not judged; NULL: none was */
  const float **vectors; /* of each in the pool; NULL: none */
  guint *dimensions;     /* of each holder's vectors */
  guint64 tokens;
  gboolean lost;    /* passages that could not be fetched */
  RagifyHeld *held; /* what the pipeline's passages gave */
  guint64 stage_began;

  guint64 stage_us[RAGIFY_N_STAGES];
  guint64 stage_at_us[RAGIFY_N_STAGES]; /* its first beginning, since the request's; where `explain` asks for it */
  guint stages;                         /* which took place: bits */
  gboolean degraded;
  const char **warnings;
  guint n_warnings, warnings_capacity;

  RagifyAnswer answer;
  RagifyBuffer body;      /* answer.body: kept by the request */
  char *body_memory;      /* g_malloc; computed answers */
  RagifyBuffer *envelope; /* answers out of the tier */
};

/* ---- pipeline.c ---- */

/* A run of `request`, not begun. */
RagifyRun *ragify_run_new (RagifyPipeline *pipeline, RagifyRequest *request, RagifyAnswered answered, void *user);
/* The ends of a run: with what `answer` holds, with a problem (cleared), since nobody waits any more, or at the
 * deadline and the like (503). The request may be gone when they return. */
void ragify_run_finish (RagifyRun *run);
void ragify_run_finish_problem (RagifyRun *run, RagifyProblem *problem);
/* … with the problem document that is in `answer` already. */
void ragify_run_finish_refused (RagifyRun *run, guint status);
void ragify_run_finish_cancelled (RagifyRun *run);
void ragify_run_finish_unanswered (RagifyRun *run, const char *title, const char *what);
/* What the answer's body is; it lives as long as the request. */
void ragify_run_set_body (RagifyRun *run, const void *data, gsize size);
/* For the metrics; before the end. */
void ragify_run_observe (RagifyRun *run, gboolean hit);

/* ---- run-report.c ---- */

/* The run as a span of its request's trace, which is recorded, and as a line of the log. Before the end. */
void ragify_run_trace (const RagifyRun *run, guint64 now);
void ragify_run_log_slow (const RagifyRun *run, guint64 duration_us);
void ragify_run_track (const RagifyRun *run, guint64 duration_us);

/* ---- cached.c ---- */

/* Answers out of the cache, or begins to compute. */
void ragify_run_begin_cached (RagifyRun *run);
/* Keeps what was computed, `size` bytes of body_memory, and hands it to those who wait for it. */
void ragify_run_keep (RagifyRun *run, gsize size);
/* Nobody waits any more, and computing has not begun: the cache is asked, or its turn is waited for. */
void ragify_run_cancel_early (RagifyRun *run);
/* Ends the run with what the tier found; `level` is what the answer's `cache` says. */
void ragify_run_answer_from_cache (RagifyRun *run, const RagifyTierFound *found, const char *level);
/* RagifyTierAsk.valid of a run: no chunk in it has been deleted since. */
gboolean ragify_run_is_valid (const RagifyEnvelope *envelope, void *user);
/* Everything that changes the answer but the query and what the stores hold. */
RagifyTierKey ragify_run_parameters (const RagifyRun *run);

/* ---- semantic-stage.c ---- */

/* Whether the run looks for a query that means the same, once it knows what it wants embedded. */
gboolean ragify_run_is_semantic (const RagifyRun *run);
void ragify_run_semantic (RagifyRun *run); /* → an answer, or ragify_run_ask_all */
/* The run's answer is kept: its query can be found. */
void ragify_run_remember (const RagifyRun *run);

/* ---- run.c ---- */

/* `next` runs when as many releases as holds have come; hold once more around what starts calls. */
void ragify_run_begin (RagifyRun *run, void (*next) (RagifyRun *run));
void ragify_run_hold (RagifyRun *run);
void ragify_run_release (RagifyRun *run);
/* Starts a call, with its retries, that the run is held for; `finished` runs first, then the run is released. */
void ragify_run_call (RagifyRun *run, RagifyStep *step, RagifyNode *node, const RagifyOperation *operation,
                      const void *arguments, guint64 deadline, void (*finished) (RagifyStep *step));
/* The same of one of a balancer's members. */
void
ragify_run_call_balanced (RagifyRun *run, RagifyStep *step, RagifyBalancer *balancer, const RagifyOperation *operation,
                          const void *arguments, guint64 deadline, void (*finished) (RagifyStep *step));
/* Asks what is under way to stop; `finished` still runs, soon. */
void ragify_step_cancel (RagifyStep *step);
/* From its start to its end, retries included, µs. */
guint64 ragify_step_duration (const RagifyStep *step);
/* A deadline for work after retrieving, which a late retriever must not use up. */
guint64 ragify_run_late_deadline (const RagifyRun *run);
/* A stage took this long: the longest counts of what ran side by side … */
void ragify_run_stage (RagifyRun *run, RagifyStage stage, guint64 duration_us);
/* … and the sum of what ran one after the other. */
void ragify_run_stage_add (RagifyRun *run, RagifyStage stage, guint64 duration_us);
/* Something that was asked for did not happen. `text` is copied. */
void ragify_run_warn (RagifyRun *run, const char *text);
const char *ragify_run_text (RagifyRun *run, const char *format, ...) G_GNUC_PRINTF (2, 3);
RagifyAskState ragify_ask_state_of (gint32 code);

/* ---- the stages, in their order ---- */

/* Which retrievers take part; FALSE with a problem. */
gboolean ragify_run_choose (RagifyRun *run, RagifyProblem *problem);
void ragify_run_admit (RagifyRun *run); /* → ragify_run_retrieve, or the refusal */
/* What refusals say, written once: with the pipeline's limiters made, and when it is freed. */
void ragify_pipeline_write_refusals (RagifyPipeline *pipeline);
void ragify_pipeline_free_refusals (RagifyPipeline *pipeline);
void ragify_run_retrieve (RagifyRun *run); /* → ragify_run_gather */
void ragify_run_ask_all (RagifyRun *run);  /* the same, past the semantic stage */
/* Begins to embed the query with one of the pipeline's embedders; holds the run. */
void ragify_run_embed (RagifyRun *run, guint embedder);
void ragify_run_gather (RagifyRun *run);   /* → ragify_run_select */
void ragify_run_select (RagifyRun *run);   /* → ragify_run_rerank, where there is a pool, or ragify_run_complete */
void ragify_run_rerank (RagifyRun *run);   /* → ragify_run_cut */
void ragify_run_cut (RagifyRun *run);      /* → ragify_run_complete */
void ragify_run_let_go (RagifyRun *run);   /* of the passages held */
void ragify_run_complete (RagifyRun *run); /* encodes, caches, answers */

/* How many passages are gathered before the cut; 0: none. */
guint ragify_run_pool_size (const RagifyRun *run);
/* Whether a reranker is going to be asked: what passages are worth is not known before. */
gboolean ragify_run_reranks (const RagifyRun *run);

/* What a source's passage is worth before anything else is known. `rank` from 1. */
float ragify_source_relevance (const RagifyAsk *ask, const RagifyChunk *chunk, guint rank);

/* It no longer waits for its turn. FALSE: it was granted, and the word on its way ends a run that was cancelled. */
gboolean ragify_run_leave_queue (RagifyRun *run);
/* Gives back its places. */
void ragify_run_depart (RagifyRun *run);

/* Whether what has come is enough, `ask` being the last that came. */
gboolean ragify_run_has_enough (const RagifyRun *run, const RagifyAsk *ask);

/* A factor by age: 1 for what is new or has no date. `updated_at`, `now`: µs since 1970. */
double ragify_freshness (const RagifyPipelineOptions *options, gint64 updated_at, gint64 now);
/* Puts the batch, whose chunks are there, in the order that freshness makes. */
void ragify_run_freshen (RagifyRun *run);

/* A retriever that filters by itself has named the candidate. */
gboolean ragify_run_is_filtered (const RagifyRun *run, guint32 candidate);

/* What a passage is worth, and the word for how that was found. */
float ragify_run_relevance (const RagifyRun *run, guint32 candidate, const char **kind);

/* ---- near-stage.c ---- */

/* Once the candidates are there. */
void ragify_run_near_begin (RagifyRun *run);
/* Vectors that were got for the candidates; they live as long as the request. */
void ragify_run_near_take (RagifyRun *run, const guint32 *candidates, guint count, const RagifyVectors *vectors);
/* Asks the holder for those of the batch that are missing; holds the run. */
void ragify_run_near_fetch (RagifyRun *run, guint16 holder);
/* FALSE: a better passage is near to it. */
gboolean ragify_run_near_admit (RagifyRun *run, guint32 candidate, RagifyStr content);

/* ---- encode.c ---- */

/* The part of an answer that requests may share; g_malloc. */
char *ragify_encode_body (RagifyRun *run, gsize *size);
/* What comes in front of it, in the arena; empty for prompts. `cache`: NULL for none. */
void ragify_encode_head (RagifyRun *run, const char *cache, char **head, gsize *size);
/* A problem document with what each source said; in the arena. */
void ragify_encode_problem (RagifyRun *run, const RagifyProblem *problem, char **text, gsize *size);
const char *ragify_encode_content_type (const RagifyRequest *request);
