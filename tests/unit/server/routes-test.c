/* The table of routes.
 *
 * SPDX-License-Identifier: MIT
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "core/server/routes.h"

static RagifyRouteMatch
match (const char *method, const char *path)
{
  return ragify_routes_match (ragify_str_from (path), ragify_str_from (method));
}

static void
paths_lead_to_their_actions (void **state)
{
  assert_ptr_equal (match ("POST", "/v1/context").action, &ragify_action_context_post);
  assert_ptr_equal (match ("GET", "/v1/context").action, &ragify_action_context_get);
  assert_ptr_equal (match ("HEAD", "/v1/context").action, &ragify_action_context_get);
  assert_ptr_equal (match ("POST", "/v1/documents").action, &ragify_action_documents_post);
  assert_ptr_equal (match ("GET", "/v1/documents").action, &ragify_action_documents_list);
  assert_ptr_equal (match ("GET", "/v1/documents/x").action, &ragify_action_document_get);
  assert_ptr_equal (match ("DELETE", "/v1/documents/x").action, &ragify_action_document_delete);
  assert_ptr_equal (match ("GET", "/livez").action, &ragify_action_live);
  assert_ptr_equal (match ("GET", "/readyz").action, &ragify_action_ready);
  assert_ptr_equal (match ("GET", "/metrics").action, &ragify_action_metrics);
  assert_ptr_equal (match ("GET", "/v1/health").action, &ragify_action_health);
  assert_ptr_equal (match ("GET", "/v1/stats").action, &ragify_action_stats);
}

static void
parameters_are_cut_out (void **state)
{
  const RagifyRouteMatch document = match ("GET", "/v1/documents/a/b%2Fc");
  assert_int_equal (document.parameter.size, strlen ("a/b%2Fc"));
  assert_memory_equal (document.parameter.data, "a/b%2Fc", document.parameter.size);
  const RagifyRouteMatch pipeline = match ("POST", "/v1/p/mine/context");
  assert_int_equal (pipeline.parameter.size, 4);
  assert_memory_equal (pipeline.parameter.data, "mine", 4);
  assert_string_equal (pipeline.route->label, "/v1/p/{pipeline}/context");
  assert_int_equal (match ("GET", "/v1/context").parameter.size, 0);
}

static void
other_paths_are_not_found (void **state)
{
  static const char *const paths[] = { "/v2",
                                       "/v1",
                                       "/v1/contex",
                                       "/v1/contexts",
                                       "/v1/context/",
                                       "/v1/documents/",
                                       "/v1/p//context",
                                       "/v1/p/a/b/context",
                                       "/v1/p/a/contexts",
                                       "/livez/",
                                       "/LIVEZ",
                                       "" };
  for (guint i = 0; i < G_N_ELEMENTS (paths); i++)
    assert_null (match ("GET", paths[i]).route);
}

static void
other_methods_are_not_allowed (void **state)
{
  static const char *const methods[] = { "PUT", "PATCH", "OPTIONS", "TRACE", "CONNECT", "get", "" };
  for (guint i = 0; i < G_N_ELEMENTS (methods); i++) {
    const RagifyRouteMatch found = match (methods[i], "/v1/documents/x");
    assert_non_null (found.route);
    assert_null (found.action);
    assert_string_equal (found.route->allow, "DELETE, GET, HEAD");
  }
}

static void
every_route_has_a_place_in_tables (void **state)
{
  assert_string_equal (ragify_routes_label (ragify_routes_index (NULL)), "other");
  assert_int_equal (ragify_routes_index (NULL), ragify_routes_count () - 1);
  const RagifyRoute *route = match ("GET", "/metrics").route;
  assert_true (ragify_routes_index (route) < ragify_routes_count () - 1);
  assert_string_equal (ragify_routes_label (ragify_routes_index (route)), "/metrics");
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (paths_lead_to_their_actions),       cmocka_unit_test (parameters_are_cut_out),
    cmocka_unit_test (other_paths_are_not_found),         cmocka_unit_test (other_methods_are_not_allowed),
    cmocka_unit_test (every_route_has_a_place_in_tables),
  };
  cmocka_set_message_output (CM_OUTPUT_TAP);
  return cmocka_run_group_tests_name ("routes", tests, NULL, NULL);
}
