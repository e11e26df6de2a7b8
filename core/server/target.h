/* The target of a request: its path, and its query as named parameters.
 *
 * SPDX-License-Identifier: MIT
 */
#pragma once

#include "core/pipeline/request.h"

/* More parameters than this are refused. */
#define RAGIFY_QUERY_PARAMETERS 64

typedef struct RagifyTarget {
  RagifyStr path;  /* still encoded; begins with "/" and has no empty segment, "." or ".." in it */
  RagifyStr query; /* still encoded, without "?" */
} RagifyTarget;

/* Takes apart a target in origin form ("/a?b") or absolute form ("http://host/a?b", where the host must be `host`).
 * `target` points into `text`. FALSE with a problem of status 400. */
gboolean ragify_target_parse (RagifyTarget *target, RagifyStr text, RagifyStr host, RagifyProblem *problem);

/* Decodes a part of a path: the text with a NUL after it, valid UTF-8 without NUL inside; NULL with a problem that
 * names `field`. Free with g_free. */
char *ragify_target_decode (RagifyStr text, const char *field, RagifyProblem *problem);

typedef struct RagifyQuery {
  guint count;
  char *names[RAGIFY_QUERY_PARAMETERS];
  char *values[RAGIFY_QUERY_PARAMETERS];
} RagifyQuery;

/* application/x-www-form-urlencoded; NULL with a problem. */
RagifyQuery *ragify_query_new (RagifyStr text, RagifyProblem *problem);
void ragify_query_free (RagifyQuery *query);

/* The value of a parameter, or NULL where it is absent. */
const char *ragify_query_get (const RagifyQuery *query, const char *name);
/* FALSE with a problem when a parameter is not among `names` (ended by NULL) or there twice. */
gboolean ragify_query_allow (const RagifyQuery *query, const char *const *names, RagifyProblem *problem);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (RagifyQuery, ragify_query_free)
