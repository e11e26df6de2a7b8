/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "http-address.h"

static gboolean
is_private (const char *text)
{
  g_autoptr (GInetAddress) address = g_inet_address_new_from_string (text);
  if (address == NULL)
    fail_msg ("%s is no address", text);
  return ragify_http_address_is_private (address);
}

static void
what_leads_inside_is_private (void **state)
{
  static const char *const inside[] = {
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.1",
    "100.127.255.255",
    "127.0.0.1",
    "127.255.0.1",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.0.1",
    "192.0.0.8",
    "198.18.0.1",
    "198.19.255.255",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:10.1.2.3",
    "::ffff:169.254.169.254",
    "64:ff9b::10.0.0.1",
    "64:ff9b:1::7f00:1",
    "2002:7f00:1::1",
    "2002:a00:1::1",
    "fc00::1",
    "fd12:3456::1",
    "fe80::1",
    "febf::1",
    "fec0::1",
    "ff02::1",
    "100::1",
    "2001:db8::1",
    "2001::1",
  };
  for (guint i = 0; i < G_N_ELEMENTS (inside); i++)
    if (!is_private (inside[i]))
      fail_msg ("%s is taken for public", inside[i]);
}

static void
what_is_of_the_internet_is_public (void **state)
{
  static const char *const outside[] = {
    "1.1.1.1",         "9.255.255.255", "11.0.0.1",     "100.63.255.255",  "100.128.0.1",    "126.0.0.1",
    "128.0.0.1",       "169.253.1.1",   "169.255.1.1",  "172.15.255.255",  "172.32.0.1",     "192.167.1.1",
    "192.169.1.1",     "198.17.1.1",    "198.20.1.1",   "223.255.255.255", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8",
    "2002:808:808::1", "2a00:1450::1",  "2606:4700::1",
  };
  for (guint i = 0; i < G_N_ELEMENTS (outside); i++)
    if (is_private (outside[i]))
      fail_msg ("%s is taken for private", outside[i]);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (what_leads_inside_is_private),
    cmocka_unit_test (what_is_of_the_internet_is_public),
  };
  cmocka_set_message_output (CM_OUTPUT_TAP);
  return cmocka_run_group_tests (tests, NULL, NULL);
}
