/* Fuzz target of what agents send: messages of the Model Context Protocol, and what tools make of answers.
 *
 * SPDX-License-Identifier: MIT
 *
 * Whatever comes in, what goes out is JSON.
 */
#include <string.h>

#include "core/server/mcp.h"
#include "tests/fuzz/replay.h"

static void
check_json (json_t *value, const char *what)
{
  char *text = json_dumps (value, JSON_ENCODE_ANY | JSON_COMPACT);
  fuzz_require (value == NULL || text != NULL, what);
  free (text);
  json_decref (value);
}

static void
try_question (const json_t *parameters)
{
  RagifyProblem problem = { 0 };
  RagifyRequest *request = ragify_mcp_question (json_object_get (parameters, "arguments"), &problem);
  if (request != NULL) {
    fuzz_require (request->max_chunks <= 50, "an agent gets a bounded number of chunks");
    fuzz_require (request->max_tokens > 0, "… of bounded length");
    ragify_owner_unref (&request->owner);
  } else {
    fuzz_require (problem.detail != NULL, "a refusal says why");
    ragify_problem_clear (&problem);
  }
}

static void
try_uri (const json_t *parameters)
{
  const char *uri = json_string_value (json_object_get (parameters, "uri"));
  g_autofree char *store = NULL;
  g_autofree char *document = NULL;
  if (uri == NULL || !ragify_mcp_uri_parse (uri, &store, &document))
    return;
  g_autofree char *again = ragify_mcp_uri (store, document);
  g_autofree char *store_again = NULL;
  g_autofree char *document_again = NULL;
  fuzz_require (ragify_mcp_uri_parse (again, &store_again, &document_again), "an address that was made can be read");
  fuzz_require (strcmp (store, store_again) == 0 && strcmp (document, document_again) == 0, "… and means the same");
}

static void
try_message (const json_t *message)
{
  const json_t *id = json_object_get (message, "id"), *parameters = json_object_get (message, "params");
  const json_t *revision = ragify_mcp_revision (message);
  check_json (ragify_mcp_initialize (parameters), "initialize is answered with JSON");
  if (revision != NULL)
    check_json (ragify_mcp_unsupported (id, revision), "a refusal is JSON");
  check_json (ragify_mcp_error (id, RAGIFY_MCP_INVALID_PARAMS, "%s", "wrong"), "an error is JSON");
  try_question (parameters);
  try_uri (parameters);
}

/* Answers of sources and stores, as far as they are not ours, end up in results. */
static void
try_results (const char *data, gsize size)
{
  check_json (ragify_mcp_search_result (data, size, FALSE), "a result is JSON");
  check_json (ragify_mcp_document_result (data, size, 0), "a document is JSON");
  check_json (ragify_mcp_resources ("docs", data, size), "a list is JSON");
  check_json (ragify_mcp_contents ("ragify://docs/a", data, size), "contents are JSON");
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  RagifyProblem problem = { 0 };
  json_t *message = ragify_request_load_json ((const char *)data, size, &problem);
  ragify_problem_clear (&problem);
  if (message == NULL)
    return 0;
  try_message (message);
  json_decref (message);
  try_results ((const char *)data, size);
  return 0;
}
