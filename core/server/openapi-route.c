/* GET /openapi.json: what this server answers, from the table that routes.
 *
 * SPDX-License-Identifier: MIT
 *
 * resources/openapi.json has a page on each operation under "METHOD /path"; the paths are put together from the routes
 * that there are, so that one without a page, and a page without a route, is found by a test.
 */
#include <gio/gio.h>
#include <jansson.h>
#include <string.h>

#include "exchange.h"
#include "server-resources.h"

static const char *const no_parameters[] = { NULL };

/* Statuses that any operation can come to. */
static const char *const refusals[] = { "400", "405", "408", "413", "414", "431", "503" };

static void
add_refusal (json_t *responses, const char *status)
{
  if (json_object_get (responses, status) == NULL)
    json_object_set_new (responses, status, json_pack ("{s:s}", "$ref", "#/components/responses/problem"));
}

static void
add_refusals (json_t *operation, const RagifyAction *action)
{
  json_t *responses = json_object_get (operation, "responses");
  for (gsize i = 0; i < G_N_ELEMENTS (refusals); i++)
    add_refusal (responses, refusals[i]);
  if (action->access != RAGIFY_ACCESS_OPEN) {
    add_refusal (responses, "401");
    add_refusal (responses, "403");
    add_refusal (responses, "429");
  }
  if (json_object_get (operation, "requestBody") != NULL) {
    add_refusal (responses, "415");
    add_refusal (responses, "422");
  }
  if (json_object_get (operation, "parameters") != NULL) {
    add_refusal (responses, "404");
    add_refusal (responses, "422");
  }
}

static void
add_operation (json_t *paths, const json_t *pages, const RagifyRoute *route, const char *method,
               const RagifyAction *action)
{
  g_autofree char *name = g_strconcat (method, " ", route->label, NULL);
  const json_t *page = json_object_get (pages, name);
  if (page == NULL)
    return;
  json_t *operation = json_deep_copy (page);
  add_refusals (operation, action);
  if (json_object_get (paths, route->label) == NULL)
    json_object_set_new (paths, route->label, json_object ());
  g_autofree char *lower = g_ascii_strdown (method, -1);
  json_object_set_new (json_object_get (paths, route->label), lower, operation);
}

static char *
describe (void)
{
  g_autoptr (GBytes) bytes =
      g_resource_lookup_data (ragify_server_get_resource (), "/org/ragify/server/openapi.json", 0, NULL);
  gsize size = 0;
  const char *text = g_bytes_get_data (bytes, &size);
  json_t *root = json_loadb (text, size, 0, NULL), *paths = json_object ();
  json_t *pages = json_object_get (root, "operations");
  for (guint i = 0; i + 1 < ragify_routes_count (); i++) {
    const RagifyRoute *route = ragify_routes_at (i);
    for (guint m = 0; m < RAGIFY_ROUTE_METHODS && route->methods[m].method != NULL; m++)
      add_operation (paths, pages, route, route->methods[m].method, route->methods[m].action);
  }
  json_object_set_new (json_object_get (root, "info"), "version", json_string (RAGIFY_VERSION));
  json_object_set_new (root, "paths", paths);
  json_object_set_new (root, "security", json_pack ("[{}, {s:[]}, {s:[]}]", "bearer", "key"));
  json_object_del (root, "operations");
  char *whole = json_dumps (root, JSON_COMPACT);
  json_decref (root);
  char *copy = g_strdup (whole);
  free (whole);
  return copy;
}

static gboolean
begin (RagifyExchange *exchange)
{
  return ragify_query_allow (exchange->query, no_parameters, &exchange->problem);
}

static void
finish (RagifyExchange *exchange)
{
  char *text = describe ();
  ragify_exchange_reply (exchange, 200, "application/json", text, strlen (text));
}

const RagifyAction ragify_action_openapi = { .access = RAGIFY_ACCESS_OPEN, .begin = begin, .finish = finish };
