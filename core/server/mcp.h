/* The Model Context Protocol's messages: what a server says of itself, and answers as tools and resources give them.
 *
 * SPDX-License-Identifier: MIT
 *
 * JSON-RPC 2.0 over "streamable HTTP" (modelcontextprotocol.io). The host keeps no sessions and never calls back, so
 * every message is answered by one JSON body. Up to revision 2025-11-25 a client begins with `initialize`; from
 * 2026-07-28 on each message says in `_meta` which revision it speaks, and `server/discover` tells which there are.
 */
#pragma once

#include <jansson.h>

#include "core/pipeline/request.h"

/* Errors of JSON-RPC. */
#define RAGIFY_MCP_PARSE_ERROR (-32700)
#define RAGIFY_MCP_INVALID_REQUEST (-32600)
#define RAGIFY_MCP_METHOD_NOT_FOUND (-32601)
#define RAGIFY_MCP_INVALID_PARAMS (-32602)
#define RAGIFY_MCP_INTERNAL_ERROR (-32603)
#define RAGIFY_MCP_RESOURCE_NOT_FOUND (-32002)
#define RAGIFY_MCP_HEADER_MISMATCH (-32020)
#define RAGIFY_MCP_UNSUPPORTED_REVISION (-32022)

/* All of these return new references; `id` is copied, NULL: null. [any] */
json_t *ragify_mcp_result (const json_t *id, json_t *result);
json_t *ragify_mcp_error (const json_t *id, int code, const char *format, ...) G_GNUC_PRINTF (3, 4);

/* Whether the revision is one that this server speaks, and whether it is one of those without `initialize`. */
gboolean ragify_mcp_speaks (const char *revision, gsize size);
gboolean ragify_mcp_is_modern (const char *revision, gsize size);
/* The member of a message's `_meta` that names its revision; NULL: it has none. */
const json_t *ragify_mcp_revision (const json_t *message);
/* The answer to a message of a revision that this server does not speak. */
json_t *ragify_mcp_unsupported (const json_t *id, const json_t *revision);
/* Puts into a result what the revisions without `initialize` want there; `cacheable`: a list, a resource. */
void ragify_mcp_complete (json_t *result, gboolean cacheable);
/* The HTTP status that such an error goes with. */
guint ragify_mcp_status (int code);
/* What `server/discover` is answered with. */
json_t *ragify_mcp_discover (void);
/* What `initialize` is answered with: the client's revision where we speak it, otherwise our newest. */
json_t *ragify_mcp_initialize (const json_t *parameters);
json_t *ragify_mcp_tools (void);
json_t *ragify_mcp_resource_templates (void);

/* A question out of a tool's arguments (an object; NULL: none), with an answer that a model can take in: at most 50
 * chunks, and 8,000 tokens unless the arguments say otherwise. NULL with a problem. */
RagifyRequest *ragify_mcp_question (const json_t *arguments, RagifyProblem *problem);
/* A tool's result out of the answer to a question. */
json_t *ragify_mcp_search_result (const char *body, gsize size, gboolean failed);
/* A tool's result out of a part of a document that a library gave: the text from chunk `first` on, bounded. `*skipped`:
 * the chunks before that part. NULL: the chunk comes later; `*skipped` is then beyond the part, and `*cursor`, to be
 * freed, where to read on. */
json_t *ragify_mcp_document_result (const char *body, gsize size, guint64 first, guint64 *skipped, char **cursor);
/* A tool's result that says in words why there is none. */
json_t *ragify_mcp_failed_result (const char *text);

/* "ragify://STORE/DOCUMENT" and back; FALSE: it is not one. Free all with g_free. */
char *ragify_mcp_uri (const char *store, const char *document);
gboolean ragify_mcp_uri_parse (const char *uri, char **store, char **document);
/* A page of resources out of a library's list of documents; the contents of one out of the first part of a document,
 * bounded as a tool's result is. */
json_t *ragify_mcp_resources (const char *store, const char *body, gsize size);
json_t *ragify_mcp_contents (const char *uri, const char *body, gsize size);
