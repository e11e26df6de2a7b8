/* A message of the Model Context Protocol as it comes in: its form, its method, and the revision that it speaks.
 *
 * SPDX-License-Identifier: MIT
 */
#pragma once

#include "core/server/head-check.h"
#include "core/server/mcp.h"

typedef enum RagifyMcpMethod {
  RAGIFY_MCP_INITIALIZE,
  RAGIFY_MCP_DISCOVER,
  RAGIFY_MCP_PING,
  RAGIFY_MCP_LIST_TOOLS,
  RAGIFY_MCP_CALL_TOOL,
  RAGIFY_MCP_LIST_RESOURCES,
  RAGIFY_MCP_READ_RESOURCE,
  RAGIFY_MCP_LIST_TEMPLATES,
  RAGIFY_MCP_N_METHODS /* none of these */
} RagifyMcpMethod;

/* What is wrong with a message's form, in words that live for ever; NULL: it is a request (with an id, and a text as
 * its method), a notification (without an id), or a reply (without a method). [any] */
const char *ragify_mcp_fault (const json_t *message);

/* Of messages without a fault: whether an answer is wanted; of requests: which method. [any] */
gboolean ragify_mcp_is_request (const json_t *message);
RagifyMcpMethod ragify_mcp_method (const json_t *message);

/* Why a request is not taken for the revision that it speaks, or since its head does not repeat what it says: an error
 * message, a new reference; NULL: it is taken. `*modern`: whether it speaks a revision without `initialize`. [any] */
json_t *ragify_mcp_check_revision (const RagifyHeadFacts *facts, const json_t *message, gboolean *modern);
