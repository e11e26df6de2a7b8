/* A get_context request: what was asked, checked.
 *
 * SPDX-License-Identifier: MIT
 */
#pragma once

#include <glib.h>
#include <ragify/ragify.h>

#include "core/call/loop.h"
#include "core/call/owner.h"

/* UNSAID: the pipeline's. */
typedef enum { RAGIFY_MODE_HYBRID, RAGIFY_MODE_DENSE, RAGIFY_MODE_LEXICAL, RAGIFY_MODE_UNSAID } RagifyMode;
typedef enum { RAGIFY_FORMAT_JSON, RAGIFY_FORMAT_PROMPT } RagifyFormat;
typedef enum { RAGIFY_CACHE_USE, RAGIFY_CACHE_REFRESH, RAGIFY_CACHE_BYPASS } RagifyCacheMode;

typedef struct RagifyRun RagifyRun;

#define RAGIFY_QUERY_MAX 32768 /* bytes */
#define RAGIFY_REQUEST_MAX_DEPTH 64
#define RAGIFY_REQUEST_MAX_NAMES 1000 /* in sources and exclude_sources */
#define RAGIFY_REQUEST_MAX_TUNING 64  /* members of search */

/* All texts are valid UTF-8 in the owner's arena, end in NUL and hold no other one. The parser fills what was asked;
 * `loop`, `began` and `id` are the server's. */
typedef struct RagifyRequest {
  RagifyOwner owner;
  RagifyLoop *loop; /* home */
  guint64 began;    /* monotonic µs */
  char id[37]; /* request id, for logs and the answer: the client's X-Request-Id where it is usable, otherwise a UUID */

  RagifyStr query;
  RagifyStr pipeline;   /* "default" */
  guint max_chunks;     /* 1..1000; 0: the pipeline's */
  double min_relevance; /* 0..1; −1: the pipeline's */
  guint64 max_tokens;   /* 0: the pipeline's */
  guint64 timeout_us;   /* 0: the pipeline's */
  RagifyMode mode;
  RagifyFormat format;
  RagifyCacheMode cache;
  gboolean of_host; /* the host asks it of itself: it is not counted among the busiest */
  guint64 seen;     /* … but so often it was asked before the host was started anew */
  gboolean nested;  /* another pipeline asks: the outer request has its place in the host already */
  gboolean explain;
  RagifyStrList sources, exclude_sources;
  const RagifyFilter *filter;
  RagifyPairList search;

  void *kept; /* what the filter lies in, where that is not the arena; released with the request */
  void (*kept_release) (void *kept);

  RagifyRun *run; /* the pipeline's, from ragify_pipeline_answer on */
  void (*run_clear) (RagifyRun *run);
} RagifyRequest;

/* Why a request was refused: an RFC 9457 problem. */
typedef struct RagifyProblem {
  guint status;      /* HTTP */
  const char *title; /* constant, such as "Invalid value" */
  char *field;       /* the member at fault, such as "max_chunks", or NULL */
  char *detail;      /* a sentence: what was expected and what was found */
  guint retry_after; /* seconds; 0: none */
} RagifyProblem;
void ragify_problem_clear (RagifyProblem *problem);
/* Fills `problem` (all copied; `title` must be constant) and returns FALSE, so that a check can `return` it. */
gboolean ragify_problem_set (RagifyProblem *problem, guint status, const char *title, const char *field,
                             const char *format, ...) G_GNUC_PRINTF (5, 6);
/* The problem as application/problem+json text; free with g_free. */
char *ragify_problem_encode (const RagifyProblem *problem, const char *request_id, gsize *size);

/* Parses a JSON body of POST /v1/context: strict (RFC 8259), at most 64 levels deep, no unknown members, no duplicates,
 * each member of its type and in its range. NULL with a problem: 400 for what is not JSON, 422 for JSON that is not a
 * request. [any] */
RagifyRequest *ragify_request_parse_json (const char *body, gsize size, RagifyProblem *problem);

/* The two steps of it, for bodies that hold several requests: the text to JSON (json_t, with the same strictness), and
 * an object to a request. [any] */
struct json_t *ragify_request_load_json (const char *body, gsize size, RagifyProblem *problem);
RagifyRequest *ragify_request_parse_object (const struct json_t *object, RagifyProblem *problem);

/* What a pipeline asks of another: `query`, which is copied, and the filter, which outlives the request; all else is
 * the inner pipeline's. [any] */
RagifyRequest *ragify_request_new_nested (RagifyStr query, const RagifyFilter *filter);

/* Parses the decoded query parameters of GET /v1/context: `q` (or `query`), and the scalar fields by name, numbers and
 * truth values as JSON writes them; `filter` and `search` as JSON text, `sources` and `exclude_sources` separated by
 * commas. NULL with a problem. [any] */
RagifyRequest *ragify_request_parse_parameters (const char *const *names, const char *const *values, guint count,
                                                RagifyProblem *problem);
