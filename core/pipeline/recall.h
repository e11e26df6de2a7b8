/* How much of what exact search finds an approximate index finds, and the smallest setting that finds enough.
 *
 * SPDX-License-Identifier: MIT
 *
 * The host and 'ragify-ctl tune' share it: how queries are asked is the caller's. Any thread.
 */
#pragma once

#include <glib.h>
#include <jansson.h>

typedef struct RagifySpread {
  double median, low, high;
} RagifySpread;
/* Of doubles; zeros where there are none. */
RagifySpread ragify_spread_of (const GArray *values);
/* The value below which `percent` of the doubles lie, linear between closest ranks; 0 where there are none. */
double ragify_percentile_of (const GArray *values, double percent);
json_t *ragify_spread_describe (RagifySpread spread);

/* Everything that the answers with one setting say. */
typedef struct RagifyRecallAnswers {
  GPtrArray *ids; /* of GPtrArray of ids of chunks, one for each query */
  GArray *times;  /* double: ms */
} RagifyRecallAnswers;
void ragify_recall_answers_init (RagifyRecallAnswers *answers);
void ragify_recall_answers_clear (RagifyRecallAnswers *answers);

typedef struct RagifyRecallPoint {
  gint64 value;
  double recall;
  double median_ms; /* of one query after the other */
} RagifyRecallPoint;

typedef struct RagifyRecall {
  const char *key;    /* of the store: "nprobe", "ef-search"; NULL: its index is exact */
  const char *member; /* of a request's `search` */
  gint64 value;       /* the smallest that reaches the recall; 0: none does */
  double recall;      /* with it */
  GArray *tried;      /* RagifyRecallPoint, in the order of the values */
} RagifyRecall;
void ragify_recall_clear (RagifyRecall *recall);
json_t *ragify_recall_describe (const RagifyRecall *recall);

/* Asks all queries with search[member] = value (0: exactly) and fills `answers`, which are empty. FALSE: it cannot go
 * on, and has said why. */
typedef gboolean (*RagifyRecallAsk) (void *user, const char *member, gint64 value, RagifyRecallAnswers *answers);

/* Finds the smallest nprobe or efSearch with which the answers have `wanted` (0..1) of the exact ones: doubles it until
 * they do, then closes in. Fills `recall`, which is to be cleared also where it returns FALSE: `ask` did. */
gboolean ragify_recall_search (double wanted, RagifyRecallAsk ask, void *user, RagifyRecall *recall);

/* The body of the request, to be freed with g_free: passages by meaning, past the cache, from `store` alone (NULL: from
 * all that the pipeline has). `member` NULL: as it is configured; `value` 0: exactly. */
char *ragify_recall_request (const char *query, const char *pipeline, const char *store, guint chunks,
                             const char *member, gint64 value);

/* The text of a drop-in: the comment, and settings as --set takes them ("KIND NAME.KEY=VALUE"); g_free. */
char *ragify_drop_in_of (const char *comment, const char *const *settings, gsize count);

/* The ids of an answer's chunks; NULL where it is no answer, or one in part. */
GPtrArray *ragify_recall_read_ids (const char *answer, gsize size);
