/* SPDX-License-Identifier: MIT */
#include "core/server/cors.h"

#include <string.h>

#define PREFLIGHT_SECONDS "600"

gboolean
ragify_cors_allows (const RagifyExchange *exchange)
{
  const char *const *origins = exchange->listener->shared->options.cors_origins;
  const RagifyStr origin = exchange->facts.origin;
  if (origins == NULL || origin.size == 0)
    return FALSE;
  for (; *origins != NULL; origins++)
    if (strcmp (*origins, "*") == 0 || ragify_str_is (origin, *origins))
      return TRUE;
  return FALSE;
}

gboolean
ragify_cors_is_preflight (const RagifyExchange *exchange, const char *method)
{
  return strcmp (method, "OPTIONS") == 0 && ragify_cors_allows (exchange);
}

void
ragify_cors_mark (const RagifyExchange *exchange, struct MHD_Response *response)
{
  if (!ragify_cors_allows (exchange))
    return;
  g_autofree char *origin = g_strndup (exchange->facts.origin.data, exchange->facts.origin.size);
  MHD_add_response_header (response, "Access-Control-Allow-Origin", origin);
  MHD_add_response_header (response, "Access-Control-Expose-Headers", "ETag, Retry-After, X-Cache, X-Request-Id");
  MHD_add_response_header (response, "Vary", "Origin");
}

struct MHD_Response *
ragify_cors_preflight (const RagifyExchange *exchange, const char *allow)
{
  struct MHD_Response *response = MHD_create_response_from_buffer (0, NULL, MHD_RESPMEM_PERSISTENT);
  MHD_add_response_header (response, "Access-Control-Allow-Methods", allow);
  MHD_add_response_header (response, "Access-Control-Allow-Headers",
                           "Authorization, Content-Type, Idempotency-Key, Mcp-Method, Mcp-Name, MCP-Protocol-Version, "
                           "traceparent, X-API-Key, X-Request-Id");
  MHD_add_response_header (response, "Access-Control-Max-Age", PREFLIGHT_SECONDS);
  MHD_add_response_header (response, "X-Request-Id", exchange->id);
  return response;
}
