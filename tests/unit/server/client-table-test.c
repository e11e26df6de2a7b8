/* Connections counted by client.
 *
 * SPDX-License-Identifier: MIT
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>

#include "core/server/client-table.h"

static RagifyClientKey
key_of (const char *text)
{
  struct sockaddr_in v4 = { .sin_family = AF_INET };
  struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };
  if (inet_pton (AF_INET, text, &v4.sin_addr) == 1)
    return ragify_client_key ((const struct sockaddr *)&v4);
  assert_int_equal (inet_pton (AF_INET6, text, &v6.sin6_addr), 1);
  return ragify_client_key ((const struct sockaddr *)&v6);
}

static gboolean
same (const char *a, const char *b)
{
  const RagifyClientKey one = key_of (a);
  const RagifyClientKey other = key_of (b);
  return memcmp (&one, &other, sizeof one) == 0;
}

static void
a_client_is_an_address_or_a_network_of_64_bits (void **state)
{
  assert_true (same ("10.0.0.1", "10.0.0.1"));
  assert_false (same ("10.0.0.1", "10.0.0.2"));
  assert_true (same ("10.0.0.1", "::ffff:10.0.0.1"));
  assert_true (same ("2001:db8:1:2::1", "2001:db8:1:2:ffff::"));
  assert_false (same ("2001:db8:1:2::1", "2001:db8:1:3::1"));
  assert_false (same ("::1", "127.0.0.1"));
}

static void
connections_are_counted (void **state)
{
  RagifyClientTable *table = ragify_client_table_new ();
  const RagifyClientKey one = key_of ("10.0.0.1");
  const RagifyClientKey other = key_of ("::1");
  assert_int_equal (ragify_client_table_count (table, &one), 0);
  assert_int_equal (ragify_client_table_add (table, &one), 1);
  assert_int_equal (ragify_client_table_add (table, &one), 2);
  assert_int_equal (ragify_client_table_add (table, &other), 1);
  ragify_client_table_remove (table, &one);
  assert_int_equal (ragify_client_table_count (table, &one), 1);
  ragify_client_table_remove (table, &one);
  assert_int_equal (ragify_client_table_count (table, &one), 0);
  assert_int_equal (ragify_client_table_count (table, &other), 1);
  ragify_client_table_free (table);
}

static void
unix_clients_are_not_told_apart (void **state)
{
  RagifyClientTable *table = ragify_client_table_new ();
  const struct sockaddr_un address = { .sun_family = AF_UNIX };
  const RagifyClientKey key = ragify_client_key ((const struct sockaddr *)&address);
  assert_int_equal (ragify_client_table_add (table, &key), 0);
  assert_int_equal (ragify_client_table_add (table, &key), 0);
  ragify_client_table_remove (table, &key);
  ragify_client_table_free (table);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (a_client_is_an_address_or_a_network_of_64_bits),
    cmocka_unit_test (connections_are_counted),
    cmocka_unit_test (unix_clients_are_not_told_apart),
  };
  cmocka_set_message_output (CM_OUTPUT_TAP);
  return cmocka_run_group_tests_name ("client-table", tests, NULL, NULL);
}
