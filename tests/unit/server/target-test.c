/* Targets of requests: paths, hosts, query parameters.
 *
 * SPDX-License-Identifier: MIT
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "core/server/target.h"

static gboolean
is_text (RagifyStr text, const char *other)
{
  return strlen (other) == text.size && (text.size == 0 || memcmp (text.data, other, text.size) == 0);
}

static void
targets_are_taken_apart (void **state)
{
  static const struct {
    const char *text, *host, *path, *query;
  } cases[] = {
    { "/", "a", "/", "" },
    { "/a/b", "a", "/a/b", "" },
    { "/a?b", "a", "/a", "b" },
    { "/a?b?c", "a", "/a", "b?c" },
    { "/a/?", "a", "/a/", "" },
    { "/...", "a", "/...", "" },
    { "/.a/b.", "a", "/.a/b.", "" },
    { "http://a/b?c", "a", "/b", "c" },
    { "HTTP://A:80/b", "a", "/b", "" },
    { "http://a/b", "a:80", "/b", "" },
    { "http://a:8080", "a:8080", "/", "" },
    { "http://a?c", "a", "/", "c" },
  };
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    RagifyTarget target = { 0 };
    RagifyProblem problem = { 0 };
    if (!ragify_target_parse (&target, ragify_str_from (cases[i].text), ragify_str_from (cases[i].host), &problem))
      fail_msg ("%s: %s", cases[i].text, problem.detail);
    assert_true (is_text (target.path, cases[i].path));
    assert_true (is_text (target.query, cases[i].query));
  }
}

static void
tricks_are_refused (void **state)
{
  static const char *const cases[] = {
    "",        "a",         "*",           "//",        "/a//b",         "//a",
    "/.",      "/..",       "/a/./b",      "/a/..",     "/../a",         "/a b",
    "/a\tb",   "/a\\b",     "/a#b",        "/\xc3\xa4", "http://b/a",    "http://a@b/c",
    "http:/a", "ftp://a/b", "https://a/b", "a:80",      "http://a:81/b", "http:///b",
    "/a?b c",  "/\"",       "/<",
  };
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    RagifyTarget target = { 0 };
    RagifyProblem problem = { 0 };
    if (ragify_target_parse (&target, ragify_str_from (cases[i]), ragify_str_from ("a"), &problem))
      fail_msg ("%s was let through", cases[i]);
    assert_int_equal (problem.status, 400);
    ragify_problem_clear (&problem);
  }
}

static void
parts_are_decoded (void **state)
{
  RagifyProblem problem = { 0 };
  g_autofree char *text = ragify_target_decode (ragify_str_from ("a%2Fb%20c+d%C3%a4"), "id", &problem);
  assert_string_equal (text, "a/b c+d\xc3\xa4");
  static const char *const bad[] = { "%", "%2", "%zz", "a%00", "%ff", "%c3%28", "%ed%a0%80" };
  for (guint i = 0; i < G_N_ELEMENTS (bad); i++) {
    assert_null (ragify_target_decode (ragify_str_from (bad[i]), "id", &problem));
    assert_int_equal (problem.status, 400);
    assert_string_equal (problem.field, "id");
    ragify_problem_clear (&problem);
  }
}

static void
queries_are_decoded (void **state)
{
  RagifyProblem problem = { 0 };
  g_autoptr (RagifyQuery) query = ragify_query_new (ragify_str_from ("a=1&&b=x%3Dy+z&c&d=&%65=%26"), &problem);
  assert_non_null (query);
  assert_int_equal (query->count, 5);
  assert_string_equal (ragify_query_get (query, "a"), "1");
  assert_string_equal (ragify_query_get (query, "b"), "x=y z");
  assert_string_equal (ragify_query_get (query, "c"), "");
  assert_string_equal (ragify_query_get (query, "d"), "");
  assert_string_equal (ragify_query_get (query, "e"), "&");
  assert_null (ragify_query_get (query, "f"));
  assert_null (ragify_query_get (NULL, "a"));
}

static void
bad_parameters_are_named (void **state)
{
  static const char *const known[] = { "a", "b", NULL };
  static const struct {
    const char *text, *field;
  } cases[] = { { "c=1", "c" }, { "a=1&a=1", "a" }, { "a=%ff", "a" }, { "a=%00", "a" }, { "b=%q", "b" } };
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    RagifyProblem problem = { 0 };
    g_autoptr (RagifyQuery) query = ragify_query_new (ragify_str_from (cases[i].text), &problem);
    assert_false (query != NULL && ragify_query_allow (query, known, &problem));
    assert_string_equal (problem.field, cases[i].field);
    assert_int_equal (problem.status, 400);
    ragify_problem_clear (&problem);
  }
  g_autoptr (GString) many = g_string_new (NULL);
  for (guint i = 0; i <= RAGIFY_QUERY_PARAMETERS; i++)
    g_string_append_printf (many, "%u=&", i);
  RagifyProblem problem = { 0 };
  assert_null (ragify_query_new (ragify_str (many->str, many->len), &problem));
  ragify_problem_clear (&problem);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (targets_are_taken_apart),  cmocka_unit_test (tricks_are_refused),
    cmocka_unit_test (parts_are_decoded),        cmocka_unit_test (queries_are_decoded),
    cmocka_unit_test (bad_parameters_are_named),
  };
  cmocka_set_message_output (CM_OUTPUT_TAP);
  return cmocka_run_group_tests_name ("target", tests, NULL, NULL);
}
