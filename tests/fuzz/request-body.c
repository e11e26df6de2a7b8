/* Fuzz target of what clients send to ask: bodies of POST /v1/context, and the same as parameters of an address.
 *
 * SPDX-License-Identifier: MIT
 *
 * What is taken is in its ranges; what is refused has a problem that is itself JSON.
 */
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "core/pipeline/request-text.h"
#include "core/pipeline/request.h"
#include "tests/fuzz/replay.h"

static gboolean
is_text (RagifyStr text)
{
  return g_utf8_validate (text.data != NULL ? text.data : "", (gssize)text.size, NULL);
}

static void
check_request (const RagifyRequest *request)
{
  fuzz_require (request->query.size >= 1 && request->query.size <= RAGIFY_QUERY_MAX, "a query has 1 to 32768 bytes");
  fuzz_require (is_text (request->query) && is_text (request->pipeline), "texts are UTF-8");
  fuzz_require (memchr (request->query.data, 0, request->query.size) == NULL, "a query has no NUL");
  fuzz_require (request->max_chunks <= 1000, "max_chunks is in its range");
  fuzz_require (isfinite (request->min_relevance) && request->min_relevance >= -1 && request->min_relevance <= 1,
                "min_relevance is in its range");
  fuzz_require (request->timeout_us <= (guint64)3600 * G_USEC_PER_SEC, "timeout_ms is in its range");
  fuzz_require (request->sources.count <= RAGIFY_REQUEST_MAX_NAMES, "there are not too many names");
  fuzz_require (request->search.count <= RAGIFY_REQUEST_MAX_TUNING, "there is not too much tuning");
  for (gsize i = 0; i < request->sources.count; i++)
    fuzz_require (is_text (request->sources.items[i]), "names are UTF-8");
}

static void
check_problem (RagifyProblem *problem)
{
  gsize size = 0;
  g_autofree char *text = ragify_problem_encode (problem, "fuzz", &size);
  json_t *json = json_loadb (text, size, 0, NULL);
  fuzz_require (problem->status == 400 || problem->status == 422, "a refusal is 400 or 422");
  fuzz_require (json_is_string (json_object_get (json, "detail")), "a problem is JSON and says why");
  json_decref (json);
  ragify_problem_clear (problem);
}

static void
check (RagifyRequest *request, RagifyProblem *problem)
{
  if (request == NULL) {
    check_problem (problem);
    return;
  }
  check_request (request);
  ragify_owner_unref (&request->owner);
}

/* What is read the short way is what Jansson reads. */
static void
compare_ways (const char *data, gsize size)
{
  RagifyProblem problem = { 0 }, other_problem = { 0 };
  RagifyRequest *request = ragify_request_parse_json (data, size, &problem);
  json_t *json = ragify_request_load_json (data, size, &other_problem);
  RagifyRequest *other = json != NULL ? ragify_request_parse_object (json, &other_problem) : NULL;
  json_decref (json);
  fuzz_require ((request != NULL) == (other != NULL), "both ways take the same bodies");
  fuzz_require (g_strcmp0 (problem.detail, other_problem.detail) == 0, "both ways refuse in the same words");
  if (request != NULL) {
    g_autofree char *text = ragify_request_text (request), *other_text = ragify_request_text (other);
    fuzz_require (strcmp (text, other_text) == 0 && request->timeout_us == other->timeout_us &&
                      request->cache == other->cache,
                  "both ways read the same");
    ragify_owner_unref (&other->owner);
  }
  ragify_problem_clear (&other_problem);
  check (request, &problem);
}

/* Lines of the input as name=value. */
static void
try_parameters (const char *data, gsize size)
{
  g_autofree char *text = g_strndup (data, size); /* decoded parameters hold no NUL */
  if (!g_utf8_validate (text, -1, NULL))
    return; /* refused before */
  g_auto (GStrv) lines = g_strsplit (text, "\n", 32);
  const char *names[32], *values[32];
  guint count = 0;
  for (char **line = lines; *line != NULL && count < G_N_ELEMENTS (names); line++) {
    char *equals = strchr (*line, '=');
    if (equals == NULL)
      continue;
    *equals = '\0';
    names[count] = *line;
    values[count++] = equals + 1;
  }
  RagifyProblem problem = { 0 };
  check (ragify_request_parse_parameters (names, values, count, &problem), &problem);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  compare_ways ((const char *)data, size);
  try_parameters ((const char *)data, size);
  return 0;
}
