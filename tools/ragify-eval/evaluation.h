/* Asks a host all judged queries in one retrieval mode and averages the measures. */
#pragma once

#include "tools/common/http-client.h"

typedef struct {
  const char *mode;     /* "hybrid", "dense" or "lexical" */
  guint max_chunks;     /* chunks asked for; documents are ranked by their best chunk */
  guint concurrent;     /* queries under way at once */
  GHashTable *ids;      /* the corpus's document ids, or NULL: answers from outside of it are counted */
  const char *pipeline; /* NULL: the default one */
} RagifyEvaluationOptions;

typedef struct {
  double ndcg_10;
  double recall_100;
  double mrr_10;
  double processing_time; /* mean, seconds in the host */
  guint queries;
  guint failed;   /* queries without an answer; they count as 0 */
  guint degraded; /* answers that said so */
  guint foreign;  /* documents in answers that are not of the corpus */
  char *reason;   /* of the first failure or degradation, or NULL */
} RagifyEvaluation;

void ragify_evaluation_free (RagifyEvaluation *evaluation);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (RagifyEvaluation, ragify_evaluation_free)

/* queries: of RagifyJudgedQuery. Goes past the host's cache. Returns NULL with error set when the host cannot be
 * reached. Blocks, iterating the default main context. */
RagifyEvaluation *ragify_evaluation_run (RagifyHttpClient *client, const GPtrArray *queries,
                                         const RagifyEvaluationOptions *options, GError **error);

/* The document ids of an answer's chunks in the order of their best chunk (owned by the caller): what the measures
 * take. */
struct json_t; /* Jansson's */
GPtrArray *ragify_evaluation_rank_documents (const struct json_t *answer);
