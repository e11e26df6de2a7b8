/* Requests: what is accepted and what each refusal says.
 *
 * SPDX-License-Identifier: MIT
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <string.h>

#include "core/pipeline/request-plain.h"
#include "core/pipeline/request-text.h"
#include "core/pipeline/request.h"

static void
refuses (const char *body, guint status, const char *field, const char *detail)
{
  RagifyProblem problem = { 0 };
  RagifyRequest *request = ragify_request_parse_json (body, strlen (body), &problem);
  if (request != NULL)
    fail_msg ("accepted: %s", body);
  if (problem.status != status || g_strcmp0 (problem.field, field) != 0 || strstr (problem.detail, detail) == NULL)
    fail_msg ("%s: expected %u %s \"%s\", found %u %s \"%s\"", body, status, field, detail, problem.status,
              problem.field, problem.detail);
  ragify_problem_clear (&problem);
}

static RagifyRequest *
accepts (const char *body)
{
  RagifyProblem problem = { 0 };
  RagifyRequest *request = ragify_request_parse_json (body, strlen (body), &problem);
  if (request == NULL)
    fail_msg ("%s: %s", body, problem.detail);
  return request;
}

static void
fields_have_their_defaults (void **state)
{
  RagifyRequest *request = accepts ("{\"query\": \"q\"}");
  assert_string_equal (request->query.data, "q");
  assert_string_equal (request->pipeline.data, "default");
  assert_int_equal (request->max_chunks, 0);
  assert_true (request->min_relevance == -1);
  assert_int_equal (request->max_tokens, 0);
  assert_int_equal (request->timeout_us, 0);
  assert_int_equal (request->mode, RAGIFY_MODE_UNSAID);
  assert_int_equal (request->format, RAGIFY_FORMAT_JSON);
  assert_int_equal (request->cache, RAGIFY_CACHE_USE);
  assert_false (request->explain);
  assert_null (request->filter);
  ragify_owner_unref (&request->owner);
}

static void
every_field_is_taken (void **state)
{
  RagifyRequest *request = accepts (
      "{\"query\": \"gr\\u00fc\\u00dfe \\ud83d\\ude00\", \"max_chunks\": 1000, \"min_relevance\": 0, \"max_tokens\": "
      "500,"
      " \"sources\": [\"a\", \"b\"], \"exclude_sources\": [], \"filter\": {\"lang\": \"en\"}, \"pipeline\": \"p\","
      " \"mode\": \"dense\", \"format\": \"prompt\", \"timeout_ms\": 250, \"explain\": true,"
      " \"search\": {\"nprobe\": 32, \"exact\": false, \"x\": 1.5, \"y\": \"z\"}, \"cache\": \"bypass\"}");
  assert_string_equal (request->query.data, "grüße 😀");
  assert_int_equal (request->max_chunks, 1000);
  assert_true (request->min_relevance == 0);
  assert_int_equal (request->max_tokens, 500);
  assert_int_equal (request->sources.count, 2);
  assert_string_equal (request->sources.items[1].data, "b");
  assert_int_equal (request->filter->op, RAGIFY_FILTER_EQ);
  assert_string_equal (request->pipeline.data, "p");
  assert_int_equal (request->mode, RAGIFY_MODE_DENSE);
  assert_int_equal (request->format, RAGIFY_FORMAT_PROMPT);
  assert_int_equal (request->timeout_us, 250000);
  assert_true (request->explain);
  assert_int_equal (request->search.count, 4);
  assert_int_equal (request->search.items[0].value.integer, 32);
  assert_int_equal (request->cache, RAGIFY_CACHE_BYPASS);
  ragify_owner_unref (&request->owner);
}

static void
wrong_values_are_refused_by_name (void **state)
{
  refuses ("{}", 422, "query", "found nothing");
  refuses ("{\"query\": \"\"}", 422, "query", "found the empty string");
  refuses ("{\"query\": \" \\t\\n\\u00a0\"}", 422, "query", "only white space");
  refuses ("{\"query\": null}", 422, "query", "found null");
  refuses ("{\"query\": \"a\\u0000b\"}", 422, "query", "U+0000");
  refuses ("{\"query\": \"q\", \"max_chunks\": 0}", 422, "max_chunks", "from 1 to 1000, found the number 0");
  refuses ("{\"query\": \"q\", \"max_chunks\": -1}", 422, "max_chunks", "found the number -1");
  refuses ("{\"query\": \"q\", \"max_chunks\": 1e9}", 422, "max_chunks", "expected an integer");
  refuses ("{\"query\": \"q\", \"max_chunks\": 1000000000}", 422, "max_chunks", "found the number 1000000000");
  refuses ("{\"query\": \"q\", \"max_chunks\": 1.5}", 422, "max_chunks", "found the number 1.5");
  refuses ("{\"query\": \"q\", \"max_chunks\": 10.0}", 422, "max_chunks", "found the number 10.0");
  refuses ("{\"query\": \"q\", \"max_chunks\": \"10\"}", 422, "max_chunks", "found the string \"10\"");
  refuses ("{\"query\": \"q\", \"max_chunks\": [1]}", 422, "max_chunks", "found a list");
  refuses ("{\"query\": \"q\", \"max_chunks\": 99999999999999999999}", 400, NULL, "64 bits");
  refuses ("{\"query\": \"q\", \"min_relevance\": -1}", 422, "min_relevance", "from 0 to 1");
  refuses ("{\"query\": \"q\", \"min_relevance\": 2}", 422, "min_relevance", "found the number 2");
  refuses ("{\"query\": \"q\", \"min_relevance\": \"NaN\"}", 422, "min_relevance", "\"NaN\"");
  refuses ("{\"query\": \"q\", \"mode\": \"fast\"}", 422, "mode", "'hybrid', 'dense', 'lexical'");
  refuses ("{\"query\": \"q\", \"cache\": true}", 422, "cache", "found true");
  refuses ("{\"query\": \"q\", \"sources\": []}", 422, "sources", "an empty list");
  refuses ("{\"query\": \"q\", \"sources\": [1]}", 422, "sources", "the number 1");
  refuses ("{\"query\": \"q\", \"explain\": 1}", 422, "explain", "true or false");
  refuses ("{\"query\": \"q\", \"timeout_ms\": 0}", 422, "timeout_ms", "from 1 to");
  refuses ("{\"query\": \"q\", \"search\": {\"a\": [1]}}", 422, "search", "a list");
  refuses ("{\"query\": \"q\", \"search\": {\"nprobe\": 0}}", 422, "search",
           "nprobe: expected an integer from 1 to 1000000");
  refuses ("{\"query\": \"q\", \"search\": {\"ef_search\": 1000001}}", 422, "search", "ef_search: expected an integer");
  refuses ("{\"query\": \"q\", \"search\": {\"efSearch\": \"40\"}}", 422, "search", "efSearch: expected an integer");
  refuses ("{\"query\": \"q\", \"search\": {\"exact\": 1}}", 422, "search", "exact: expected true or false");
  refuses ("{\"query\": \"q\", \"filter\": 3}", 422, "filter", "expected an object");
  refuses ("{\"query\": \"q\", \"top_k\": 3}", 422, "top_k", "expected one of: query max_chunks");
  refuses ("{\"query\": \"q\", \"max_chunk\": 3}", 422, "max_chunk", "did you mean 'max_chunks'?");
  refuses ("{\"query\": \"a\", \"query\": \"b\"}", 422, "query", "'query' twice");
  refuses ("{\"query\": \"q\", \"a\\u0000b\": 1}", 422, NULL, "U+0000");
  refuses ("[]", 422, NULL, "expected a JSON object");
  refuses ("\"query\"", 422, NULL, "expected a JSON object");
}

static void
what_is_not_json_is_refused_by_place (void **state)
{
  refuses ("", 400, NULL, "line 1");
  refuses ("{\"query\": \"q\"", 400, NULL, "line 1, column 13");
  refuses ("{\"query\":\n \"q\",}", 400, NULL, "line 2");
  refuses ("{\"query\": \"q\", \"min_relevance\": NaN}", 400, NULL, "NaN");
  refuses ("{\"query\": \"\\ud800\"}", 400, NULL, "D800");
  refuses ("{\"query\": \"\xff\"}", 400, NULL, "decode byte 0xff");
  refuses ("{\"query\": \"q\"} x", 400, NULL, "column 16");
  refuses ("\xef\xbb\xbf{\"query\": \"q\"}", 400, NULL, "line 1");
}

static void
a_query_has_32768_bytes_at_most (void **state)
{
  g_autofree char *longest = g_strnfill (RAGIFY_QUERY_MAX, 'x');
  g_autofree char *body = g_strdup_printf ("{\"query\": \"%s\"}", longest);
  RagifyRequest *request = accepts (body);
  assert_int_equal (request->query.size, RAGIFY_QUERY_MAX);
  ragify_owner_unref (&request->owner);
  g_autofree char *too_long = g_strdup_printf ("{\"query\": \"x%s\"}", longest);
  refuses (too_long, 422, "query", "1 to 32768 bytes, found 32769 bytes");
}

static void
deep_nesting_is_refused_without_recursion (void **state)
{
  g_autofree char *open = g_strnfill (100000, '[');
  refuses (open, 400, NULL, "64 levels");
  g_autofree char *body = g_strdup_printf ("{\"query\": \"%s\"}", "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["
                                                                  "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\\\"[[[[[[[[[[[[[[[[");
  RagifyRequest *request = accepts (body); /* brackets in a string are no nesting */
  ragify_owner_unref (&request->owner);
}

static void
parameters_follow_the_same_rules (void **state)
{
  const char *names[] = { "q", "max_chunks", "min_relevance", "explain", "sources", "filter", "mode" };
  const char *values[] = { "cats & dogs", "3", "0.5", "true", "a, b", "{\"lang\": \"en\"}", "lexical" };
  RagifyProblem problem = { 0 };
  RagifyRequest *request = ragify_request_parse_parameters (names, values, G_N_ELEMENTS (names), &problem);
  assert_non_null (request);
  assert_string_equal (request->query.data, "cats & dogs");
  assert_int_equal (request->max_chunks, 3);
  assert_true (request->min_relevance == 0.5);
  assert_true (request->explain);
  assert_string_equal (request->sources.items[1].data, "b");
  assert_non_null (request->filter);
  assert_int_equal (request->mode, RAGIFY_MODE_LEXICAL);
  ragify_owner_unref (&request->owner);

  static const struct {
    const char *name, *value, *field, *detail;
  } refused[] = {
    { "max_chunks", "ten", "max_chunks", "expected JSON" },
    { "max_chunks", "", "max_chunks", "expected JSON" },
    { "max_chunks", "1.5", "max_chunks", "found the number 1.5" },
    { "max_chunks", "0", "max_chunks", "from 1 to 1000" },
    { "sources", "a,,b", "sources", "the empty string" },
    { "sources", "", "sources", "an empty list" },
    { "filter", "{", "filter", "expected JSON" },
    { "query", "again", "query", "found twice" },
    { "mode", "\xff", "mode", "expected UTF-8" },
    { "q\xff", "x", "q\xef\xbf\xbd", "no such field" },
    { "limit", "3", "limit", "no such field" },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (refused); i++) {
    const char *pair[] = { "q", refused[i].name }, *texts[] = { "x", refused[i].value };
    assert_null (ragify_request_parse_parameters (pair, texts, 2, &problem));
    assert_int_equal (problem.status, 422);
    if (g_strcmp0 (problem.field, refused[i].field) != 0 || strstr (problem.detail, refused[i].detail) == NULL)
      fail_msg ("%s=%s: %s: %s", refused[i].name, refused[i].value, problem.field, problem.detail);
    ragify_problem_clear (&problem);
  }
}

static void
problems_are_json (void **state)
{
  RagifyProblem problem = { 0 };
  assert_false (ragify_problem_set (&problem, 422, "Invalid value", "na\"me", "expected %s, found \xff", "this"));
  problem.retry_after = 1;
  gsize size;
  g_autofree char *text = ragify_problem_encode (&problem, "id-1", &size);
  assert_int_equal (strlen (text), size);
  json_t *json = json_loads (text, 0, NULL);
  assert_int_equal (json_integer_value (json_object_get (json, "status")), 422);
  assert_string_equal (json_string_value (json_object_get (json, "title")), "Invalid value");
  assert_string_equal (json_string_value (json_object_get (json, "field")), "na\"me");
  assert_string_equal (json_string_value (json_object_get (json, "detail")), "expected this, found \xef\xbf\xbd");
  assert_string_equal (json_string_value (json_object_get (json, "request_id")), "id-1");
  json_decref (json);
  ragify_problem_clear (&problem);
}

static char *
data_path (const char *name)
{
  const char *root = g_getenv ("RAGIFY_TEST_DATA");
  return g_build_filename (root != NULL ? root : "../shared/data", name, NULL);
}

/* A body that is JSON is refused for what it says (422), one that is not for what it is (400). */
static void
judge_case (const char *name, const char *body, gsize size)
{
  RagifyProblem problem = { 0 };
  RagifyRequest *request = ragify_request_parse_json (body, size, &problem);
  assert_null (request);
  if (name[0] == 'y' && problem.status != 422)
    fail_msg ("%s: refused as no JSON: %s", name, problem.detail);
  if (name[0] == 'n' && problem.status != 400)
    fail_msg ("%s: taken for JSON", name);
  assert_non_null (problem.detail);
  ragify_problem_clear (&problem);
}

static void
the_json_test_suite_is_told_apart (void **state)
{
  g_autofree char *folder = data_path ("vectors/jsontestsuite/test_parsing");
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  if (dir == NULL) {
    g_free (g_steal_pointer (&folder)); /* skip jumps over what would free it */
    skip ();
    return;
  }
  guint count = 0;
  for (const char *name; (name = g_dir_read_name (dir)) != NULL;) {
    g_autofree char *path = g_build_filename (folder, name, NULL);
    g_autofree char *body = NULL;
    gsize size;
    if (!g_str_has_suffix (name, ".json") || !g_file_get_contents (path, &body, &size, NULL))
      continue;
    judge_case (name, body, size);
    count++;
  }
  assert_true (count >= 300);
}

/* ---- the short way ---- */

/* By way of the tree, which the short way does not make. */
static RagifyRequest *
parse_by_tree (const char *body, gsize size, RagifyProblem *problem)
{
  json_t *json = ragify_request_load_json (body, size, problem);
  RagifyRequest *request = json != NULL ? ragify_request_parse_object (json, problem) : NULL;
  json_decref (json);
  return request;
}

static gboolean
is_plain (const char *body)
{
  RagifyRequest *request = accepts ("{\"query\":\"other\"}");
  request->query = ragify_str (NULL, 0);
  const gboolean plain = ragify_request_fill_plain (request, body, strlen (body));
  ragify_owner_unref (&request->owner);
  return plain;
}

static void
read_alike (const char *body, gsize size)
{
  RagifyProblem problem = { 0 }, other_problem = { 0 };
  RagifyRequest *request = ragify_request_parse_json (body, size, &problem);
  RagifyRequest *other = parse_by_tree (body, size, &other_problem);
  if ((request == NULL) != (other == NULL) || g_strcmp0 (problem.detail, other_problem.detail) != 0)
    fail_msg ("%.*s: \"%s\" and \"%s\"", (int)size, body, problem.detail, other_problem.detail);
  if (request != NULL) {
    g_autofree char *text = ragify_request_text (request), *other_text = ragify_request_text (other);
    assert_string_equal (text, other_text);
    assert_int_equal (request->timeout_us, other->timeout_us);
    assert_int_equal (request->cache, other->cache);
    assert_true (request->min_relevance == other->min_relevance);
    ragify_owner_unref (&request->owner);
    ragify_owner_unref (&other->owner);
  }
  ragify_problem_clear (&problem);
  ragify_problem_clear (&other_problem);
}

static void
what_is_written_plainly_is_read_without_a_tree (void **state)
{
  static const char *const plain[] = {
    "{\"query\":\"q\"}",
    " {\n \"query\" : \"caf\xc3\xa9 \xe2\x82\xac\" , \"max_chunks\" : 7 }\r\n\t",
    "{\"query\":\"q\",\"min_relevance\":0.25,\"timeout_ms\":400,\"cache\":\"bypass\",\"explain\":true}",
    "{\"explain\":false,\"min_relevance\":0,\"query\":\"q\",\"mode\":\"dense\",\"pipeline\":\"x\"}",
    "{\"format\":\"prompt\",\"query\":\"q\"}",
    "{\"min_relevance\":1,\"query\":\"q\",\"max_tokens\":1000000000}",
    "{\"query\":\"q\",\"min_relevance\":0.123456789012345}",
    "{\"query\":\"a \x7f b\"}",
  };
  for (gsize i = 0; i < G_N_ELEMENTS (plain); i++) {
    if (!is_plain (plain[i]))
      fail_msg ("not read plainly: %s", plain[i]);
    read_alike (plain[i], strlen (plain[i]));
  }
}

static void
whatever_else_is_left_to_the_tree (void **state)
{
  static const char *const others[] = {
    "",
    " ",
    "{",
    "{}",
    "[]",
    "null",
    "{\"query\"}",
    "{\"query\":}",
    "{\"query\":\"q\"",
    "{\"query\":\"q\",}",
    "{\"query\":\"q\"}}",
    "{\"query\":\"q\"} x",
    "{,\"query\":\"q\"}",
    "{\"query\" \"q\"}",
    "{\"query\":\"q\" \"mode\":\"dense\"}",
    "{\"query\":\"q",
    "{\"query\":\"\"}",
    "{\"query\":\"  \"}",
    "{\"query\":\"a\\n\"}",
    "{\"query\":\"\\u0041\"}",
    "{\"query\":\"a\nb\"}",
    "{\"query\":\"\xff\"}",
    "{\"query\":\"\xed\xa0\x80\"}",
    "{\"query\":\"q\",\"query\":\"r\"}",
    "{\"qu\\u0065ry\":\"q\"}",
    "{\"quer\":\"q\"}",
    "{\"queryy\":\"q\"}",
    "{\"\":\"q\"}",
    "{\"query\":7}",
    "{\"query\":null}",
    "{\"query\":\"q\",\"max_chunks\":0}",
    "{\"query\":\"q\",\"max_chunks\":1001}",
    "{\"query\":\"q\",\"max_chunks\":07}",
    "{\"query\":\"q\",\"max_chunks\":-1}",
    "{\"query\":\"q\",\"max_chunks\":- 1}",
    "{\"query\":\"q\",\"max_chunks\":7.0}",
    "{\"query\":\"q\",\"max_chunks\":7e0}",
    "{\"query\":\"q\",\"max_chunks\":123456789012345678901234567890}",
    "{\"query\":\"q\",\"min_relevance\":.5}",
    "{\"query\":\"q\",\"min_relevance\":0.}",
    "{\"query\":\"q\",\"min_relevance\":00.5}",
    "{\"query\":\"q\",\"min_relevance\":-0.5}",
    "{\"query\":\"q\",\"min_relevance\":5e-1}",
    "{\"query\":\"q\",\"min_relevance\":0.5.5}",
    "{\"query\":\"q\",\"explain\":tru}",
    "{\"query\":\"q\",\"explain\":truee}",
    "{\"query\":\"q\",\"explain\":1}",
    "{\"query\":\"q\",\"sources\":[\"a\"]}",
    "{\"query\":\"q\",\"filter\":{\"a\":1}}",
    "{\"query\":\"q\",\"mode\":\"dens\"}",
    "\xef\xbb\xbf{\"query\":\"q\"}",
    "{\"max_chunks\":\"7\",\"query\":",
    "{\"query\":\"q\",\"explain\":true,\"explain\":false}",
  };
  for (gsize i = 0; i < G_N_ELEMENTS (others); i++) {
    if (is_plain (others[i]))
      fail_msg ("read plainly: %s", others[i]);
    read_alike (others[i], strlen (others[i]));
  }
  read_alike ("{\"query\":\"a\0b\"}", sizeof "{\"query\":\"a\0b\"}" - 1);
  read_alike ("{\"query\":\"q\"}\0", sizeof "{\"query\":\"q\"}\0" - 1);
}

int
main (void)
{
  cmocka_set_message_output (CM_OUTPUT_TAP);
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (fields_have_their_defaults),
    cmocka_unit_test (every_field_is_taken),
    cmocka_unit_test (wrong_values_are_refused_by_name),
    cmocka_unit_test (what_is_not_json_is_refused_by_place),
    cmocka_unit_test (a_query_has_32768_bytes_at_most),
    cmocka_unit_test (deep_nesting_is_refused_without_recursion),
    cmocka_unit_test (parameters_follow_the_same_rules),
    cmocka_unit_test (problems_are_json),
    cmocka_unit_test (the_json_test_suite_is_told_apart),
    cmocka_unit_test (what_is_written_plainly_is_read_without_a_tree),
    cmocka_unit_test (whatever_else_is_left_to_the_tree),
  };
  return cmocka_run_group_tests_name ("request", tests, NULL, NULL);
}
