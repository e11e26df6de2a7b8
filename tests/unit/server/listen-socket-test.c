/* Listening sockets.
 *
 * SPDX-License-Identifier: MIT
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <glib/gstdio.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/server/listen-socket.h"

#define COUNT 3

static void
close_all (const int *descriptors)
{
  for (guint i = 0; i < COUNT; i++)
    close (descriptors[i]);
}

static void
port_0_is_one_free_port_for_all (void **state)
{
  int descriptors[COUNT];
  g_autoptr (GError) error = NULL;
  g_autofree char *address = ragify_listen_open ("127.0.0.1:0", COUNT, descriptors, &error);
  assert_null (error);
  assert_true (g_str_has_prefix (address, "127.0.0.1:"));
  const guint64 port = g_ascii_strtoull (strrchr (address, ':') + 1, NULL, 10);
  assert_true (port > 0);
  for (guint i = 0; i < COUNT; i++) {
    struct sockaddr_in bound;
    socklen_t size = sizeof bound;
    int listening = 0;
    socklen_t room = sizeof listening;
    assert_int_equal (getsockname (descriptors[i], (struct sockaddr *)&bound, &size), 0);
    assert_int_equal (ntohs (bound.sin_port), port);
    assert_int_equal (getsockopt (descriptors[i], SOL_SOCKET, SO_ACCEPTCONN, &listening, &room), 0);
    assert_int_equal (listening, 1);
  }
  close_all (descriptors);
}

static void
bad_addresses_are_named (void **state)
{
  static const char *const bad[] = { "",        "127.0.0.1",      "127.0.0.1:",   ":80",           "127.0.0.1:99999",
                                     "::1:80",  "example.org:80", "1.2.3.4:5",    "127.0.0.1:abc", "unix:relative",
                                     "[::1:80", "unix:",          "300.1.1.1:80", "127.0.0.1:-1" };
  for (guint i = 0; i < G_N_ELEMENTS (bad); i++) {
    int descriptors[COUNT];
    g_autoptr (GError) error = NULL;
    g_autofree char *address = ragify_listen_open (bad[i], COUNT, descriptors, &error);
    if (address != NULL)
      fail_msg ("%s was taken", bad[i]);
    g_autofree char *start = g_strdup_printf ("listen = %s: ", bad[i]);
    assert_true (g_str_has_prefix (error->message, start));
  }
}

static void
a_port_in_use_is_an_error (void **state)
{
  struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl (INADDR_LOOPBACK) };
  socklen_t size = sizeof address;
  const int other = socket (AF_INET, SOCK_STREAM, 0);
  assert_int_equal (bind (other, (const struct sockaddr *)&address, size), 0);
  assert_int_equal (listen (other, 1), 0);
  assert_int_equal (getsockname (other, (struct sockaddr *)&address, &size), 0);
  g_autofree char *text = g_strdup_printf ("127.0.0.1:%u", ntohs (address.sin_port));
  int descriptors[COUNT];
  g_autoptr (GError) error = NULL;
  assert_null (ragify_listen_open (text, COUNT, descriptors, &error));
  assert_non_null (strstr (error->message, "in use"));
  close (other);
}

static void
unix_sockets_replace_dead_ones_only (void **state)
{
  g_autofree char *folder = g_dir_make_tmp ("ragify-XXXXXX", NULL);
  g_autofree char *path = g_build_filename (folder, "s", NULL);
  g_autofree char *text = g_strconcat ("unix:", path, NULL);
  int descriptors[COUNT];
  int others[COUNT];
  g_autofree char *first = ragify_listen_open (text, COUNT, descriptors, NULL);
  assert_string_equal (first, text);

  g_autoptr (GError) in_use = NULL;
  assert_null (ragify_listen_open (text, COUNT, others, &in_use));
  assert_non_null (strstr (in_use->message, "another process listens there"));

  close_all (descriptors);
  g_autofree char *second = ragify_listen_open (text, COUNT, others, NULL);
  assert_string_equal (second, text);
  close_all (others);
  g_unlink (path);

  assert_true (g_file_set_contents (path, "x", 1, NULL));
  g_autoptr (GError) no_socket = NULL;
  assert_null (ragify_listen_open (text, COUNT, others, &no_socket));
  assert_non_null (strstr (no_socket->message, "not a socket"));
  g_unlink (path);
  g_rmdir (folder);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (port_0_is_one_free_port_for_all),
    cmocka_unit_test (bad_addresses_are_named),
    cmocka_unit_test (a_port_in_use_is_an_error),
    cmocka_unit_test (unix_sockets_replace_dead_ones_only),
  };
  cmocka_set_message_output (CM_OUTPUT_TAP);
  return cmocka_run_group_tests_name ("listen-socket", tests, NULL, NULL);
}
