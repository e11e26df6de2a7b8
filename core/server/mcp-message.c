/* SPDX-License-Identifier: MIT */
#include "core/server/mcp-message.h"

#include <string.h>

static const struct {
  const char *name;
  const char *named; /* the parameter that Mcp-Name repeats */
} methods[RAGIFY_MCP_N_METHODS] = {
  [RAGIFY_MCP_INITIALIZE] = { "initialize", NULL },
  [RAGIFY_MCP_DISCOVER] = { "server/discover", NULL },
  [RAGIFY_MCP_PING] = { "ping", NULL },
  [RAGIFY_MCP_LIST_TOOLS] = { "tools/list", NULL },
  [RAGIFY_MCP_CALL_TOOL] = { "tools/call", "name" },
  [RAGIFY_MCP_LIST_RESOURCES] = { "resources/list", NULL },
  [RAGIFY_MCP_READ_RESOURCE] = { "resources/read", "uri" },
  [RAGIFY_MCP_LIST_TEMPLATES] = { "resources/templates/list", NULL },
};

/* ---- form ---- */

const char *
ragify_mcp_fault (const json_t *message)
{
  const json_t *id = json_object_get (message, "id"), *parameters = json_object_get (message, "params");
  const json_t *method = json_object_get (message, "method");
  if (json_is_array (message))
    return "batches are not part of the revisions that this server speaks";
  if (!json_is_object (message) || g_strcmp0 (json_string_value (json_object_get (message, "jsonrpc")), "2.0") != 0)
    return "a message is an object with \"jsonrpc\": \"2.0\"";
  if (id != NULL && !json_is_string (id) && !json_is_integer (id))
    return "an id is a text or a whole number";
  if (parameters != NULL && !json_is_object (parameters))
    return "params must be an object";
  if (method != NULL && !json_is_string (method))
    return "a method is a text";
  if (method == NULL && json_object_get (message, "result") == NULL && json_object_get (message, "error") == NULL)
    return "a message has a method";
  return NULL;
}

gboolean
ragify_mcp_is_request (const json_t *message)
{
  return json_object_get (message, "id") != NULL && json_object_get (message, "method") != NULL;
}

RagifyMcpMethod
ragify_mcp_method (const json_t *message)
{
  const char *name = json_string_value (json_object_get (message, "method"));
  RagifyMcpMethod method = 0;
  while (method < RAGIFY_MCP_N_METHODS && strcmp (methods[method].name, name) != 0)
    method++;
  return method;
}

/* ---- what the head repeats ---- */

/* Names that a head cannot carry come as =?base64?…?=. */
static gboolean
repeats (RagifyStr field, const char *text)
{
  static const char opening[] = "=?base64?", closing[] = "?=";
  const gsize around = strlen (opening) + strlen (closing);
  if (text == NULL || field.size == 0)
    return FALSE;
  if (field.size < around || memcmp (field.data, opening, strlen (opening)) != 0)
    return strlen (text) == field.size && memcmp (field.data, text, field.size) == 0;
  g_autofree char *coded = g_strndup (field.data + strlen (opening), field.size - around);
  gsize size = 0;
  g_autofree guchar *plain = g_base64_decode (coded, &size);
  return strlen (text) == size && memcmp (plain, text, size) == 0;
}

/* What of the head does not repeat what the request says; NULL: all does. */
static const char *
find_mismatch (const RagifyHeadFacts *facts, const json_t *message)
{
  const RagifyMcpMethod method = ragify_mcp_method (message);
  if (!repeats (facts->mcp_version, json_string_value (ragify_mcp_revision (message))))
    return "MCP-Protocol-Version";
  if (!repeats (facts->mcp_method, json_string_value (json_object_get (message, "method"))))
    return "Mcp-Method";
  if (method == RAGIFY_MCP_N_METHODS || methods[method].named == NULL)
    return NULL;
  const json_t *parameters = json_object_get (message, "params");
  const char *name = json_string_value (json_object_get (parameters, methods[method].named));
  return name != NULL && !repeats (facts->mcp_name, name) ? "Mcp-Name" : NULL;
}

/* Why a request of a revision without `initialize` cannot be taken; NULL: it can. */
static json_t *
check_modern (const RagifyHeadFacts *facts, const json_t *message)
{
  const json_t *id = json_object_get (message, "id"), *revision = ragify_mcp_revision (message);
  const json_t *meta = json_object_get (json_object_get (message, "params"), "_meta");
  if (!json_is_string (revision) || json_object_get (meta, "io.modelcontextprotocol/clientCapabilities") == NULL)
    return ragify_mcp_error (id, RAGIFY_MCP_INVALID_PARAMS,
                             "params._meta must have io.modelcontextprotocol/protocolVersion and "
                             "io.modelcontextprotocol/clientCapabilities");
  const char *mismatch = find_mismatch (facts, message);
  if (mismatch != NULL)
    return ragify_mcp_error (id, RAGIFY_MCP_HEADER_MISMATCH, "the header %s does not say what the message says",
                             mismatch);
  if (!ragify_mcp_is_modern (json_string_value (revision), json_string_length (revision)))
    return ragify_mcp_unsupported (id, revision);
  return NULL;
}

json_t *
ragify_mcp_check_revision (const RagifyHeadFacts *facts, const json_t *message, gboolean *modern)
{
  const RagifyStr version = facts->mcp_version;
  *modern = ragify_mcp_revision (message) != NULL || ragify_mcp_is_modern (version.data, version.size);
  if (*modern)
    return check_modern (facts, message);
  if (version.size == 0 || ragify_mcp_speaks (version.data, version.size))
    return NULL;
  return ragify_mcp_error (json_object_get (message, "id"), RAGIFY_MCP_INVALID_REQUEST,
                           "this server does not speak the revision %.*s", (int)MIN (version.size, 40), version.data);
}
