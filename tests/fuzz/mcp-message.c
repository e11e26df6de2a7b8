/* Fuzz target of what agents send: messages of the Model Context Protocol, and what tools make of answers.
 *
 * SPDX-License-Identifier: MIT
 *
 * Whatever comes in, what goes out is JSON. Besides the input itself, the same with one member after the other of
 * another type is tried: bytes that change at random seldom leave JSON.
 */
#include <string.h>

#include "core/server/mcp-message.h"
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
  const json_t *arguments = json_object_get (parameters, "arguments");
  if (arguments != NULL && !json_is_object (arguments))
    return; /* the route refuses these */
  RagifyRequest *request = ragify_mcp_question (arguments, &problem);
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

static RagifyStr
text_at (const json_t *object, const char *name)
{
  const json_t *text = json_object_get (object, name);
  return ragify_str (json_string_value (text), json_string_length (text));
}

/* As the route takes a message, with a head that says nothing and with one that repeats it. */
static void
try_taking (const json_t *message)
{
  if (ragify_mcp_fault (message) != NULL || !ragify_mcp_is_request (message))
    return;
  const RagifyMcpMethod method = ragify_mcp_method (message);
  const json_t *parameters = json_object_get (message, "params"), *revision = ragify_mcp_revision (message);
  const RagifyHeadFacts facts[] = {
    { .content_length = 0 },
    { .mcp_version = ragify_str (json_string_value (revision), json_string_length (revision)),
      .mcp_method = text_at (message, "method"),
      .mcp_name = text_at (parameters, method == RAGIFY_MCP_READ_RESOURCE ? "uri" : "name") },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (facts); i++) {
    gboolean modern = FALSE;
    check_json (ragify_mcp_check_revision (&facts[i], message, &modern), "a refusal is JSON");
    fuzz_require (modern || revision == NULL, "a message that names its revision is a modern one");
  }
}

static void
try_message (const json_t *message)
{
  try_taking (message);

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
try_results (const char *data, gsize size, gboolean is_object)
{
  check_json (ragify_mcp_search_result (data, size, FALSE), "a result is JSON");
  json_t *result = ragify_mcp_search_result (data, size, FALSE);
  fuzz_require (json_is_true (json_object_get (result, "isError")) != is_object,
                "an answer that is an object, and no other, is no failure");
  json_decref (result);
  g_autofree char *cursor = NULL;
  guint64 skipped = 0;
  result = ragify_mcp_document_result (data, size, size % 4, &skipped, &cursor);
  fuzz_require ((result == NULL) == (cursor != NULL), "a document is answered, or read on");
  check_json (result, "a document is JSON");
  check_json (ragify_mcp_resources ("docs", data, size), "a list is JSON");
  check_json (ragify_mcp_contents ("ragify://docs/a", data, size), "contents are JSON");
}

/* One member after the other of `object`, which is in `message`, of another type. */
static void
try_other_types (const json_t *message, json_t *object, gsize seed)
{
  json_t *others[] = { json_null (),     json_true (),  json_integer (5), json_real (1.5),
                       json_string (""), json_array (), json_object () };
  json_t *members = json_copy (object), *value = NULL;
  const char *name = NULL;
  json_object_foreach (members, name, value)
  {
    json_object_set (object, name, others[seed++ % G_N_ELEMENTS (others)]);
    try_message (message);
    json_object_set (object, name, value);
  }
  json_decref (members);
  for (gsize i = 0; i < G_N_ELEMENTS (others); i++)
    json_decref (others[i]);
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
  json_t *parameters = json_object_get (message, "params");
  try_other_types (message, message, size);
  if (json_is_object (parameters)) {
    try_other_types (message, parameters, size);
    if (json_is_object (json_object_get (parameters, "arguments")))
      try_other_types (message, json_object_get (parameters, "arguments"), size);
  }
  const gboolean is_object = json_is_object (message);
  json_decref (message);
  try_results ((const char *)data, size, is_object);
  return 0;
}
