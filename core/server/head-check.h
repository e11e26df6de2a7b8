/* The head of a request: what it says, and whether it says it in exactly one way.
 *
 * SPDX-License-Identifier: MIT
 *
 * libmicrohttpd 0.9 lets through heads that another HTTP implementation in front of it could read differently (request
 * smuggling, RFC 9112 section 11.2). Here they are refused.
 */
#pragma once

#include "core/pipeline/request.h"

/* More fields than this are refused. */
#define RAGIFY_HEAD_FIELDS 100

/* Of these several are one list; nobody sends many. */
#define RAGIFY_HEAD_TRACESTATES 4u

typedef struct RagifyHeadField {
  const char *name;
  gsize name_size;
  const char *value; /* without the blanks in front of it */
  gsize value_size;
} RagifyHeadField;

/* What a head says; texts point into it and are empty where the field is absent. Blanks around values are cut. */
typedef struct RagifyHeadFacts {
  RagifyStr host;
  RagifyStr content_type;
  RagifyStr content_encoding;
  RagifyStr accept;
  RagifyStr request_id;
  RagifyStr origin;
  RagifyStr accept_encoding;
  RagifyStr if_none_match;
  RagifyStr mcp_version;                         /* MCP-Protocol-Version, */
  RagifyStr mcp_method;                          /* … Mcp-Method, */
  RagifyStr mcp_name;                            /* … Mcp-Name */
  RagifyStr traceparent;                         /* empty where there are several */
  RagifyStr tracestate[RAGIFY_HEAD_TRACESTATES]; /* in their order */
  guint n_tracestate;                            /* that were sent: more than fit are none */
  RagifyStr idempotency_key;
  RagifyStr prefer; /* the first; empty: none */
  RagifyStr authorization;
  RagifyStr api_key; /* X-API-Key */
  guint64 content_length;
  gboolean has_content_length;
  gboolean chunked;
  gboolean expects_continue;
} RagifyHeadFacts;

typedef struct RagifyHead {
  RagifyStr method;
  RagifyStr target;  /* as it was sent */
  RagifyStr version; /* "HTTP/1.1" */
  guint n_fields;
  gboolean too_many;
  RagifyHeadField fields[RAGIFY_HEAD_FIELDS];
} RagifyHead;

/* Appends a field; counts what is too much. */
void ragify_head_add (RagifyHead *head, const char *name, gsize name_size, const char *value, gsize value_size);

/* Whether the parts of the head lie in memory as they were received, nothing between them but the separators that the
 * parser wrote NULs over. This finds what such a parser hides from its caller: a NUL inside a value, a folded line.
 * `size`: of the whole head, from the method's first byte. */
gboolean ragify_head_is_seamless (const RagifyHead *head, gsize size);

/* Fills `facts`, which are zeroed. Returns NULL, or a constant word for what is wrong (for metrics) with `problem` set;
 * the facts are then what was found so far. */
const char *ragify_head_check (const RagifyHead *head, RagifyHeadFacts *facts, RagifyProblem *problem);

/* Whether `Prefer` asks for an answer before the work is done (respond-async, RFC 7240). */
gboolean ragify_prefers_async (RagifyStr prefer);

/* Whether a media type with its parameters ("application/json; charset=utf-8") is `type` in UTF-8. */
gboolean ragify_media_type_is (RagifyStr value, const char *type);

/* Compares without regard to case. */
gboolean ragify_str_is (RagifyStr text, const char *other);
