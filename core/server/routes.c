/* SPDX-License-Identifier: MIT */
#include "routes.h"

#include <string.h>

static const RagifyRoute routes[] = {
  { .path = "/v1/context",
    .label = "/v1/context",
    .allow = "GET, HEAD, POST",
    .methods = { { "POST", &ragify_action_context_post }, { "GET", &ragify_action_context_get } } },
  { .path = "/v1/context/batch",
    .label = "/v1/context/batch",
    .allow = "POST",
    .methods = { { "POST", &ragify_action_batch_post } } },
  { .path = "/v1/p/*/context",
    .label = "/v1/p/{pipeline}/context",
    .allow = "GET, HEAD, POST",
    .methods = { { "POST", &ragify_action_context_post }, { "GET", &ragify_action_context_get } } },
  { .path = "/v1/documents",
    .label = "/v1/documents",
    .allow = "DELETE, GET, HEAD, POST",
    .methods = { { "POST", &ragify_action_documents_post },
                 { "GET", &ragify_action_documents_list },
                 { "DELETE", &ragify_action_documents_delete } } },
  { .path = "/v1/documents/**",
    .label = "/v1/documents/{id}",
    .allow = "DELETE, GET, HEAD",
    .methods = { { "GET", &ragify_action_document_get }, { "DELETE", &ragify_action_document_delete } } },
  { .path = "/v1/jobs", .label = "/v1/jobs", .allow = "GET, HEAD", .methods = { { "GET", &ragify_action_jobs_list } } },
  { .path = "/v1/jobs/*",
    .label = "/v1/jobs/{id}",
    .allow = "GET, HEAD",
    .methods = { { "GET", &ragify_action_job_get } } },
  { .path = "/v1/jobs/*/run",
    .label = "/v1/jobs/{id}/run",
    .allow = "POST",
    .methods = { { "POST", &ragify_action_job_run } } },
  { .path = "/v1/jobs/*/pause",
    .label = "/v1/jobs/{id}/pause",
    .allow = "POST",
    .methods = { { "POST", &ragify_action_job_pause } } },
  { .path = "/v1/jobs/*/resume",
    .label = "/v1/jobs/{id}/resume",
    .allow = "POST",
    .methods = { { "POST", &ragify_action_job_resume } } },
  { .path = "/v1/jobs/*/cancel",
    .label = "/v1/jobs/{id}/cancel",
    .allow = "POST",
    .methods = { { "POST", &ragify_action_job_cancel } } },
  { .path = "/v1/vector_stores/*/search",
    .label = "/v1/vector_stores/{vector_store_id}/search",
    .allow = "POST",
    .methods = { { "POST", &ragify_action_openai_search } } },
  { .path = "/", .label = "/", .allow = "GET, HEAD", .methods = { { "GET", &ragify_action_page } } },
  { .path = "/v1/graph", .label = "/v1/graph", .allow = "GET, HEAD", .methods = { { "GET", &ragify_action_graph } } },
  { .path = "/v1/history",
    .label = "/v1/history",
    .allow = "GET, HEAD",
    .methods = { { "GET", &ragify_action_history } } },
  { .path = "/v1/config",
    .label = "/v1/config",
    .allow = "GET, HEAD",
    .methods = { { "GET", &ragify_action_config } } },
  { .path = "/v1/embeddings",
    .label = "/v1/embeddings",
    .allow = "POST",
    .methods = { { "POST", &ragify_action_openai_embeddings } } },
  { .path = "/openapi.json",
    .label = "/openapi.json",
    .allow = "GET, HEAD",
    .methods = { { "GET", &ragify_action_openapi } } },
  { .path = "/mcp", .label = "/mcp", .allow = "POST", .methods = { { "POST", &ragify_action_mcp } } },
  { .path = "/v1/cache",
    .label = "/v1/cache",
    .allow = "DELETE, GET, HEAD",
    .methods = { { "GET", &ragify_action_cache_show }, { "DELETE", &ragify_action_cache_clear } } },
  { .path = "/v1/cache/warm",
    .label = "/v1/cache/warm",
    .allow = "GET, HEAD, POST",
    .methods = { { "POST", &ragify_action_warm }, { "GET", &ragify_action_warm_show } } },
  { .path = "/v1/sources",
    .label = "/v1/sources",
    .allow = "GET, HEAD",
    .methods = { { "GET", &ragify_action_sources_list } } },
  { .path = "/v1/sources/*",
    .label = "/v1/sources/{name}",
    .allow = "GET, HEAD, PATCH",
    .methods = { { "GET", &ragify_action_source_get }, { "PATCH", &ragify_action_source_patch } } },
  { .path = "/v1/health",
    .label = "/v1/health",
    .allow = "GET, HEAD",
    .methods = { { "GET", &ragify_action_health } } },
  { .path = "/v1/tune", .label = "/v1/tune", .allow = "POST", .methods = { { "POST", &ragify_action_tune } } },
  { .path = "/v1/stats", .label = "/v1/stats", .allow = "GET, HEAD", .methods = { { "GET", &ragify_action_stats } } },
  { .path = "/livez", .label = "/livez", .allow = "GET, HEAD", .methods = { { "GET", &ragify_action_live } } },
  { .path = "/readyz", .label = "/readyz", .allow = "GET, HEAD", .methods = { { "GET", &ragify_action_ready } } },
  { .path = "/v1/admin/backup",
    .label = "/v1/admin/backup",
    .allow = "POST",
    .methods = { { "POST", &ragify_action_backup } } },
  { .path = "/v1/admin/verify",
    .label = "/v1/admin/verify",
    .allow = "POST",
    .methods = { { "POST", &ragify_action_verify } } },
  { .path = "/v1/admin/reindex",
    .label = "/v1/admin/reindex",
    .allow = "GET, HEAD, POST",
    .methods = { { "POST", &ragify_action_reindex }, { "GET", &ragify_action_reindex_show } } },
  { .path = "/v1/admin/optimize",
    .label = "/v1/admin/optimize",
    .allow = "POST",
    .methods = { { "POST", &ragify_action_optimize } } },
  { .path = "/v1/admin/reload",
    .label = "/v1/admin/reload",
    .allow = "POST",
    .methods = { { "POST", &ragify_action_reload } } },
  { .path = "/metrics", .label = "/metrics", .allow = "GET, HEAD", .methods = { { "GET", &ragify_action_metrics } } },
};

static gboolean
is_text (RagifyStr text, const char *other)
{
  return strlen (other) == text.size && memcmp (text.data, other, text.size) == 0;
}

/* Whether `path` is what the route's pattern describes. The parameter must not be empty. */
static gboolean
match_path (const char *pattern, RagifyStr path, RagifyStr *parameter)
{
  const char *star = strchr (pattern, '*');
  if (star == NULL)
    return is_text (path, pattern);
  const gsize front = (gsize)(star - pattern);
  if (path.size <= front || memcmp (path.data, pattern, front) != 0)
    return FALSE;
  const RagifyStr rest = ragify_str (path.data + front, path.size - front);
  if (star[1] == '*') {
    *parameter = rest;
    return TRUE;
  }
  const char *slash = memchr (rest.data, '/', rest.size);
  const gsize size = slash != NULL ? (gsize)(slash - rest.data) : rest.size;
  *parameter = ragify_str (rest.data, size);
  return size > 0 && is_text (ragify_str (rest.data + size, rest.size - size), star + 1);
}

static const RagifyAction *
find_action (const RagifyRoute *route, RagifyStr method)
{
  if (is_text (method, "HEAD"))
    method = ragify_str_from ("GET");
  for (guint i = 0; i < RAGIFY_ROUTE_METHODS && route->methods[i].method != NULL; i++)
    if (is_text (method, route->methods[i].method))
      return route->methods[i].action;
  return NULL;
}

RagifyRouteMatch
ragify_routes_match (RagifyStr path, RagifyStr method)
{
  RagifyRouteMatch match = { 0 };
  for (guint i = 0; i < G_N_ELEMENTS (routes); i++) {
    if (!match_path (routes[i].path, path, &match.parameter))
      continue;
    match.route = &routes[i];
    match.action = find_action (match.route, method);
    return match;
  }
  match.parameter = ragify_str (NULL, 0);
  return match;
}

guint
ragify_routes_count (void)
{
  return G_N_ELEMENTS (routes) + 1;
}

guint
ragify_routes_index (const RagifyRoute *route)
{
  return route != NULL ? (guint)(route - routes) : G_N_ELEMENTS (routes);
}

const RagifyRoute *
ragify_routes_at (guint index)
{
  return &routes[index];
}

const char *
ragify_routes_label (guint index)
{
  return index < G_N_ELEMENTS (routes) ? routes[index].label : "other";
}
