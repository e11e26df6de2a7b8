/* The requests of a run, each as the bytes that go out, made once before the run. */
#pragma once

#include "endpoint.h"

/* What every query of the run asks for. NULL and negative: leave the member out. */
typedef struct {
  const char *mode;
  const char *cache;
  const char *pipeline;
  int max_chunks;
} RagifyQueryShape;

/* The queries of a file: records as tools/common/record-reader.h has them when its name ends in .jsonl or .ndjson
 * (BEIR's queries.jsonl), otherwise one queries.jsonl), otherwise one query a line. limit > 0: the first so many.
 * Returns an array of strings (owned by the caller), or NULL with error set. */
GPtrArray *ragify_request_set_read_queries (const char *path, guint limit, GError **error);

/* POST /v1/context for each query: an array of GBytes (owned by the caller). */
GPtrArray *
ragify_request_set_make (const RagifyEndpoint *endpoint, const GPtrArray *queries, const RagifyQueryShape *shape);
