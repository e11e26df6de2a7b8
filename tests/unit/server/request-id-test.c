/* Request ids.
 *
 * SPDX-License-Identifier: MIT
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "core/server/request-id.h"

static void
usable_ids_are_kept (void **state)
{
  static const char *const ids[] = { "a", "order-66", "A.b_c~d+e/f=g:h@i", "123456789012345678901234567890123456" };
  for (guint i = 0; i < G_N_ELEMENTS (ids); i++) {
    char id[37];
    ragify_request_id_choose (ragify_str_from (ids[i]), id);
    assert_string_equal (id, ids[i]);
  }
}

static void
others_are_replaced_by_uuids (void **state)
{
  const RagifyStr ids[] = {
    ragify_str (NULL, 0),
    ragify_str_from ("a b"),
    ragify_str_from ("a\nb"),
    ragify_str_from ("\xc3\xa4"),
    ragify_str ("a\0b", 3),
    ragify_str_from ("<x>"),
    ragify_str_from ("1234567890123456789012345678901234567"),
  };
  for (guint i = 0; i < G_N_ELEMENTS (ids); i++) {
    char id[37];
    ragify_request_id_choose (ids[i], id);
    assert_true (g_uuid_string_is_valid (id));
    assert_int_equal (id[14], '4');
    assert_non_null (strchr ("89ab", id[19]));
  }
}

static void
uuids_differ (void **state)
{
  g_autoptr (GHashTable) seen = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  for (guint i = 0; i < 10000; i++) {
    char id[37];
    ragify_request_id_choose (ragify_str (NULL, 0), id);
    assert_true (g_hash_table_add (seen, g_strdup (id)));
  }
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (usable_ids_are_kept),
    cmocka_unit_test (others_are_replaced_by_uuids),
    cmocka_unit_test (uuids_differ),
  };
  cmocka_set_message_output (CM_OUTPUT_TAP);
  return cmocka_run_group_tests_name ("request-id", tests, NULL, NULL);
}
