/* Metadata filters: how they are written and what they mean.
 *
 * SPDX-License-Identifier: MIT
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "core/pipeline/filter.h"

static void
expect (const char *filter_text, const char *metadata, gboolean expected)
{
  g_autoptr (RagifyArena) arena = ragify_arena_new (0);
  json_t *json = json_loads (filter_text, 0, NULL);
  assert_non_null (json);
  const RagifyFilter *filter = NULL;
  RagifyProblem problem = { 0 };
  if (!ragify_filter_parse (arena, json, &filter, &problem))
    fail_msg ("%s: %s", filter_text, problem.detail);
  json_decref (json);
  assert_non_null (filter);
  if (ragify_filter_matches (filter, ragify_str_from (metadata)) != expected)
    fail_msg ("%s %s %s", filter_text, expected ? "does not match" : "matches", metadata);
}

static void
refuses (const char *filter_text, const char *detail)
{
  g_autoptr (RagifyArena) arena = ragify_arena_new (0);
  json_t *json = json_loads (filter_text, JSON_DECODE_ANY, NULL);
  assert_non_null (json);
  const RagifyFilter *filter = NULL;
  RagifyProblem problem = { 0 };
  assert_false (ragify_filter_parse (arena, json, &filter, &problem));
  assert_int_equal (problem.status, 422);
  assert_string_equal (problem.field, "filter");
  if (strstr (problem.detail, detail) == NULL)
    fail_msg ("%s: %s", filter_text, problem.detail);
  json_decref (json);
  ragify_problem_clear (&problem);
}

static void
members_must_all_hold (void **state)
{
  const char *filter = "{\"lang\": \"en\", \"year\": {\"gte\": 2020, \"lt\": 2024}}";
  expect (filter, "{\"lang\": \"en\", \"year\": 2020}", TRUE);
  expect (filter, "{\"lang\": \"en\", \"year\": 2024}", FALSE);
  expect (filter, "{\"lang\": \"de\", \"year\": 2020}", FALSE);
  expect (filter, "{\"lang\": \"en\"}", FALSE);
}

static void
comparisons_compare (void **state)
{
  expect ("{\"a\": {\"eq\": 1}}", "{\"a\": 1.0}", TRUE);
  expect ("{\"a\": {\"ne\": 1}}", "{\"a\": 2}", TRUE);
  expect ("{\"a\": {\"ne\": 1}}", "{\"a\": 1}", FALSE);
  expect ("{\"a\": {\"gt\": 1.5}}", "{\"a\": 2}", TRUE);
  expect ("{\"a\": {\"lte\": \"m\"}}", "{\"a\": \"m\"}", TRUE);
  expect ("{\"a\": {\"lt\": \"m\"}}", "{\"a\": \"ma\"}", FALSE);
  expect ("{\"a\": {\"in\": [\"x\", 2]}}", "{\"a\": 2}", TRUE);
  expect ("{\"a\": {\"in\": []}}", "{\"a\": 2}", FALSE);
  expect ("{\"a\": {\"nin\": [\"x\", 2]}}", "{\"a\": 3}", TRUE);
  expect ("{\"a\": true}", "{\"a\": true}", TRUE);
  expect ("{\"a\": true}", "{\"a\": 1}", FALSE);
  expect ("{\"a\": null}", "{\"a\": null}", TRUE);
  expect ("{\"a\": {\"eq\": 9007199254740993}}", "{\"a\": 9007199254740992.0}", FALSE);
}

static void
other_types_neither_equal_nor_order (void **state)
{
  expect ("{\"a\": 1}", "{\"a\": \"1\"}", FALSE);
  expect ("{\"a\": {\"ne\": 1}}", "{\"a\": \"1\"}", TRUE);
  expect ("{\"a\": {\"gt\": 1}}", "{\"a\": \"2\"}", FALSE);
  expect ("{\"a\": \"x\"}", "{\"a\": [\"x\"]}", FALSE);
}

static void
a_missing_member_matches_nothing (void **state)
{
  expect ("{\"a\": {\"ne\": 1}}", "{}", FALSE);
  expect ("{\"a\": {\"nin\": [1]}}", "{}", FALSE);
  expect ("{\"a\": {\"ne\": 1}}", "", FALSE);
  expect ("{\"a\": {\"ne\": 1}}", "[1]", FALSE);
  expect ("{\"a\": {\"ne\": 1}}", "not json", FALSE);
  expect ("{\"not\": {\"a\": 1}}", "{}", TRUE);
}

static void
combinations_nest (void **state)
{
  const char *filter = "{\"or\": [{\"team\": {\"in\": [\"a\", \"b\"]}}, {\"not\": {\"draft\": true}}], \"x\": 1}";
  expect (filter, "{\"x\": 1, \"team\": \"b\", \"draft\": true}", TRUE);
  expect (filter, "{\"x\": 1, \"team\": \"c\", \"draft\": false}", TRUE);
  expect (filter, "{\"x\": 1, \"team\": \"c\", \"draft\": true}", FALSE);
  expect (filter, "{\"x\": 2, \"team\": \"a\"}", FALSE);
  expect ("{\"and\": [{\"a\": 1}, {\"b\": 2}]}", "{\"a\": 1, \"b\": 2}", TRUE);
  expect ("{\"and\": [{\"a\": 1}, {\"b\": 2}]}", "{\"a\": 1}", FALSE);
}

static void
an_empty_filter_is_none (void **state)
{
  g_autoptr (RagifyArena) arena = ragify_arena_new (0);
  json_t *json = json_object ();
  const RagifyFilter *filter = NULL;
  RagifyProblem problem = { 0 };
  assert_true (ragify_filter_parse (arena, json, &filter, &problem));
  assert_null (filter);
  json_decref (json);
}

static void
mistakes_are_named (void **state)
{
  refuses ("3", "expected an object, found the number 3");
  refuses ("{\"a\": {\"like\": 1}}", "'a': expected one of eq ne gt gte lt lte in nin, found 'like'");
  refuses ("{\"a\": {}}", "found {}");
  refuses ("{\"a\": [1]}", "'a': expected a string, a number");
  refuses ("{\"a\": {\"in\": 1}}", "expected a list");
  refuses ("{\"a\": {\"gt\": true}}", "'a': expected a number or a string to compare with, found true");
  refuses ("{\"or\": []}", "'or': expected a list of at least one filter");
  refuses ("{\"and\": {\"a\": 1}}", "'and': expected a list");
  refuses ("{\"not\": 1}", "expected an object, found the number 1");
}

static void
size_and_depth_are_bounded (void **state)
{
  GString *deep = g_string_new (NULL), *wide = g_string_new ("{\"or\":[");
  for (guint i = 0; i < 17; i++)
    g_string_append (deep, "{\"not\":");
  g_string_append (deep, "{\"a\":1}");
  for (guint i = 0; i < 17; i++)
    g_string_append (deep, "}");
  refuses (deep->str, "at most 16 levels");
  for (guint i = 0; i < 256; i++)
    g_string_append_printf (wide, "%s{\"a\":%u}", i == 0 ? "" : ",", i);
  g_string_append (wide, "]}");
  refuses (wide->str, "at most 256 conditions");
  g_string_free (deep, TRUE);
  g_string_free (wide, TRUE);
}

int
main (void)
{
  cmocka_set_message_output (CM_OUTPUT_TAP);
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (members_must_all_hold),
    cmocka_unit_test (comparisons_compare),
    cmocka_unit_test (other_types_neither_equal_nor_order),
    cmocka_unit_test (a_missing_member_matches_nothing),
    cmocka_unit_test (combinations_nest),
    cmocka_unit_test (an_empty_filter_is_none),
    cmocka_unit_test (mistakes_are_named),
    cmocka_unit_test (size_and_depth_are_bounded),
  };
  return cmocka_run_group_tests_name ("filter", tests, NULL, NULL);
}
