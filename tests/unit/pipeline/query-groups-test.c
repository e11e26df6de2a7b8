/* Queries of a batch: the same ones, and those that belong together.
 *
 * SPDX-License-Identifier: MIT
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/batch/query-groups.h"

static void
the_same_is_found_and_first_words_make_groups (void **state)
{
  const char *const keys[] = { "k1", "k2", "k1", NULL, "k3", "k2", "k4" };
  const char *const queries[] = { "how big", "where is it", "how big", "", "  How small", "where is it", "ÄRGER" };
  g_autoptr (RagifyQueryGroups) groups = ragify_query_groups_new (keys, queries, G_N_ELEMENTS (keys));
  static const guint firsts[] = { 0, 1, 0, RAGIFY_QUERY_NONE, 4, 1, 6 };
  for (guint i = 0; i < G_N_ELEMENTS (keys); i++)
    assert_int_equal (ragify_query_groups_first (groups, i), firsts[i]);
  assert_int_equal (ragify_query_groups_distinct (groups), 4);
  assert_int_equal (ragify_query_groups_count (groups), 3);
  guint count;
  const guint *members = ragify_query_groups_members (groups, 0, &count);
  assert_int_equal (count, 2);
  assert_int_equal (members[0], 0);
  assert_int_equal (members[1], 4);
  members = ragify_query_groups_members (groups, 2, &count);
  assert_int_equal (count, 1);
  assert_int_equal (members[0], 6);
}

static void
nothing_makes_no_groups (void **state)
{
  const char *const keys[] = { NULL };
  const char *const queries[] = { "" };
  g_autoptr (RagifyQueryGroups) groups = ragify_query_groups_new (keys, queries, 1);
  assert_int_equal (ragify_query_groups_count (groups), 0);
  assert_int_equal (ragify_query_groups_distinct (groups), 0);
  g_autoptr (RagifyQueryGroups) none = ragify_query_groups_new (keys, queries, 0);
  assert_int_equal (ragify_query_groups_count (none), 0);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (the_same_is_found_and_first_words_make_groups),
    cmocka_unit_test (nothing_makes_no_groups),
  };
  cmocka_set_message_output (CM_OUTPUT_TAP);
  return cmocka_run_group_tests (tests, NULL, NULL);
}
