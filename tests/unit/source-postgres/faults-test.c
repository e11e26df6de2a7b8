/* source-postgres when its server is slow, gone, half-dead, lying or full: a real server, signals, a proxy that
 * misbehaves, and a server that is none.
 *
 * SPDX-License-Identifier: MIT
 */
#include "fixture.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/in.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- a proxy that misbehaves: tests/integration/fault_proxy.py ---- */

typedef struct Proxy {
  GPid pid;
  int in, out;
  guint port;
} Proxy;

static char *
read_line (int fd)
{
  GString *line = g_string_new (NULL);
  char c;
  while (read (fd, &c, 1) == 1 && c != '\n')
    g_string_append_c (line, c);
  return g_string_free (line, FALSE);
}

static void
proxy_start (Proxy *proxy, guint port)
{
  g_autofree char *target = g_strdup_printf ("127.0.0.1:%u", port);
  const char *argv[] = { "python3", g_getenv ("FAULT_PROXY"), target, NULL };
  assert_true (g_spawn_async_with_pipes (NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH | G_SPAWN_STDERR_TO_DEV_NULL,
                                         NULL, NULL, &proxy->pid, &proxy->in, &proxy->out, NULL, NULL));
  g_autofree char *line = read_line (proxy->out);
  proxy->port = (guint)g_ascii_strtoull (line, NULL, 10);
  assert_true (proxy->port > 0);
}

static void
proxy_do (Proxy *proxy, const char *command)
{
  g_autofree char *line = g_strconcat (command, "\n", NULL);
  assert_true (write (proxy->in, line, strlen (line)) > 0);
  g_autofree char *said = read_line (proxy->out);
  assert_string_equal (said, "ok");
}

static void
proxy_stop (Proxy *proxy)
{
  close (proxy->in);
  close (proxy->out);
}

static void
open_at (Fixture *fixture, const char *dsn, const char *const *keys)
{
  g_autofree char *error = fixture_try (fixture, "postgres", dsn, NULL, keys);
  if (error != NULL)
    fail_msg ("%s", error);
}

static char *
dsn_at (guint port)
{
  return g_strdup_printf ("host=127.0.0.1 port=%u dbname=postgres user=ragify", port);
}

/* ---- servers that are none ---- */

static int
listen_somewhere (guint *port)
{
  struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl (INADDR_LOOPBACK) };
  socklen_t size = sizeof address;
  const int fd = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  assert_true (fd >= 0 && bind (fd, (struct sockaddr *)&address, sizeof address) == 0 && listen (fd, 16) == 0);
  assert_int_equal (getsockname (fd, (struct sockaddr *)&address, &size), 0);
  *port = ntohs (address.sin_port);
  return fd;
}

typedef struct Liar {
  int listening;
  GThread *thread;
  GBytes *says;     /* to whoever has sent something */
  gint connections; /* atomic */
} Liar;

static gpointer
lie (gpointer data)
{
  Liar *liar = data;
  char heard[4096];
  for (int fd; (fd = accept (liar->listening, NULL, NULL)) >= 0; close (fd)) {
    g_atomic_int_inc (&liar->connections);
    if (read (fd, heard, sizeof heard) <= 0)
      continue;
    gsize size;
    const char *said = g_bytes_get_data (liar->says, &size);
    if (send (fd, said, size, MSG_NOSIGNAL) == (gssize)size && shutdown (fd, SHUT_WR) == 0)
      while (read (fd, heard, sizeof heard) > 0)
        ;
  }
  return NULL;
}

/* ---- gone, refusing, silent ---- */

static void
a_server_that_is_not_there_is_said_by_name (void **state)
{
  Fixture *fixture = *state;
  guint port;
  close (listen_somewhere (&port));
  g_autofree char *dsn = dsn_at (port);
  g_autofree char *named = g_strdup_printf ("127.0.0.1:%u: Connection refused", port);
  open_at (fixture, dsn, NULL); /* it may come */
  assert_true (ragify_kit_counts (fixture->kit).warnings > 0);
  for (guint i = 0; i < 3; i++)
    fixture_fails (fixture_ask (fixture, "x", 1, 0), RAGIFY_E_UNAVAILABLE, named);
}

static void
a_name_that_is_none_is_said (void **state)
{
  Fixture *fixture = *state;
  open_at (fixture, "host=nowhere.invalid dbname=x user=y", NULL);
  fixture_fails (fixture_ask (fixture, "x", 1, 0), RAGIFY_E_UNAVAILABLE, "nowhere.invalid:5432: its name cannot be");
}

static void
a_server_that_accepts_and_is_silent_costs_the_deadline_only (void **state)
{
  Fixture *fixture = *state;
  guint port;
  const int fd = listen_somewhere (&port);
  g_autofree char *dsn = dsn_at (port);
  const char *keys[] = { "connect-timeout=150ms", NULL };
  open_at (fixture, dsn, keys);
  fixture_fails (fixture_ask (fixture, "x", 1, 0), RAGIFY_E_UNAVAILABLE, "no answer within 0.15 s");
  fixture_fails (fixture_ask (fixture, "x", 1, 50000), RAGIFY_E_TIMEOUT, "no connection could be made");
  close (fd);
}

static void
credentials_that_are_refused_are_not_shown (void **state)
{
  Fixture *fixture = *state;
  ragify_test_postgres_run (fixture->server, "CREATE ROLE barred NOLOGIN");
  const guint port = ragify_test_postgres_port (fixture->server);
  g_autofree char *dsn = g_strdup_printf ("postgresql://barred:hunter2@127.0.0.1:%u/postgres", port);
  g_autofree char *error = fixture_try (fixture, "postgres", dsn, NULL, NULL);
  assert_non_null (error);
  assert_non_null (strstr (error, "role \"barred\" is not permitted to log in"));
  assert_null (strstr (error, "hunter2"));
  static const char *const wrong[] = { "postgresql://u:hunter2@[", "host=x pasword=hunter2", "password='hunter2" };
  for (guint i = 0; i < G_N_ELEMENTS (wrong); i++) {
    g_autofree char *said = fixture_try (fixture, "postgres", wrong[i], NULL, NULL);
    assert_non_null (said);
    assert_non_null (strstr (said, "dsn: "));
    assert_null (strstr (said, "hunter2"));
  }
  g_autofree char *other = g_strdup_printf ("host=127.0.0.1 port=%u dbname=nothere user=ragify", port);
  g_autofree char *absent = fixture_try (fixture, "postgres", other, NULL, NULL);
  assert_non_null (absent);
  assert_non_null (strstr (absent, "database \"nothere\" does not exist"));
}

/* ---- several hosts ---- */

static void
the_next_host_is_tried (void **state)
{
  Fixture *fixture = *state;
  guint refusing;
  guint silent;
  close (listen_somewhere (&refusing));
  const int fd = listen_somewhere (&silent);
  const char *keys[] = { "connect-timeout=2s", "min-size=1", NULL }; /* a busy machine may take its time */
  g_autofree char *dsn =
      g_strdup_printf ("host=127.0.0.1,127.0.0.1,localhost port=%u,%u,%u dbname=postgres user=ragify", refusing, silent,
                       ragify_test_postgres_port (fixture->server));
  open_at (fixture, dsn, keys);
  fixture_finds (fixture, "leek", "soup");
  fixture_close (fixture);
  g_autofree char *standby = g_strdup_printf ("%s target_session_attrs=standby", dsn);
  open_at (fixture, standby, keys);
  fixture_fails (fixture_ask (fixture, "x", 1, 0), RAGIFY_E_UNAVAILABLE, "server is not in hot standby mode");
  fixture_close (fixture);
  g_autofree char *prefers = g_strdup_printf ("%s target_session_attrs=prefer-standby", dsn);
  open_at (fixture, prefers, keys);
  fixture_finds (fixture, "leek", "soup");
  fixture_close (fixture);
  close (fd);
}

static void
it_fails_over_and_comes_back (void **state)
{
  Fixture *fixture = *state;
  Proxy first;
  Proxy second;
  proxy_start (&first, ragify_test_postgres_port (fixture->server));
  proxy_start (&second, ragify_test_postgres_port (fixture->server));
  g_autofree char *dsn =
      g_strdup_printf ("host=127.0.0.1,127.0.0.1 port=%u,%u dbname=postgres user=ragify", first.port, second.port);
  open_at (fixture, dsn, NULL);
  for (guint i = 0; i < 4; i++) {
    proxy_do (i % 2 == 0 ? &first : &second, "refuse");
    fixture_finds (fixture, "leek", "soup");
    proxy_do (i % 2 == 0 ? &first : &second, "pass");
  }
  fixture_close (fixture);
  proxy_stop (&first);
  proxy_stop (&second);
}

/* ---- what happens in the middle ---- */

static void
a_server_that_restarts_is_found_again (void **state)
{
  Fixture *fixture = *state;
  fixture_open (fixture, "min-size=3", NULL);
  fixture_await (fixture, CONNECTED, 3);
  ragify_test_postgres_stop (fixture->server);
  fixture_fails (fixture_ask (fixture, "leek", 1, 0), RAGIFY_E_UNAVAILABLE, "Connection refused");
  assert_true (ragify_test_postgres_start (fixture->server));
  fixture_finds (fixture, "leek", "soup");
  fixture_await (fixture, CONNECTED, 3);
}

static void
an_answer_cut_in_the_middle_is_an_error (void **state)
{
  Fixture *fixture = *state;
  Proxy proxy;
  proxy_start (&proxy, ragify_test_postgres_port (fixture->server));
  g_autofree char *dsn = dsn_at (proxy.port);
  const char *keys[] = { "statement=SELECT i AS id, repeat('x', 10000) AS content FROM generate_series(1, 100) i LIMIT "
                         "$limit",
                         "min-size=1", NULL };
  open_at (fixture, dsn, keys);
  proxy_do (&proxy, "cut 30000");
  fixture_fails (fixture_ask (fixture, "x", 100, 0), RAGIFY_E_UNAVAILABLE, "the connection to PostgreSQL was lost");
  proxy_do (&proxy, "pass");
  /* A connection that was made while answers were still cut has yet to find out. */
  RagifyKitCall *call = fixture_ask (fixture, "x", 100, 0);
  for (guint i = 0; call->code == RAGIFY_E_UNAVAILABLE && i < 600; i++) {
    ragify_kit_call_free (call);
    g_usleep (100000);
    call = fixture_ask (fixture, "x", 100, 0);
  }
  assert_int_equal (call->code, RAGIFY_OK);
  assert_int_equal (((const RagifySourceResult *)call->result)->chunks.count, 100);
  ragify_kit_call_free (call);
  fixture_close (fixture);
  proxy_stop (&proxy);
}

static void
drip_fed_bytes_end_at_the_deadline (void **state)
{
  Fixture *fixture = *state;
  Proxy proxy;
  proxy_start (&proxy, ragify_test_postgres_port (fixture->server));
  g_autofree char *dsn = dsn_at (proxy.port);
  const char *keys[] = { "statement=SELECT repeat('x', 100000) AS content", "min-size=1", NULL };
  open_at (fixture, dsn, keys);
  proxy_do (&proxy, "throttle 1000");
  fixture_fails (fixture_ask (fixture, "x", 1, 2000000), RAGIFY_E_TIMEOUT, "within the deadline");
  proxy_do (&proxy, "stall");
  fixture_fails (fixture_ask (fixture, "x", 1, 300000), RAGIFY_E_TIMEOUT, "");
  proxy_do (&proxy, "drop");
  proxy_do (&proxy, "pass");
  RagifyKitCall *call = fixture_ask (fixture, "x", 1, 0);
  assert_int_equal (fixture_chunk (call, 0)->content.size, 100000);
  ragify_kit_call_free (call);
  fixture_close (fixture);
  proxy_stop (&proxy);
}

static void
garbage_in_the_answer_is_an_error (void **state)
{
  Fixture *fixture = *state;
  static const char *const garbage[] = {
    "garbage 00000000",
    "garbage 44ffffffff",
    "garbage 4400000008ffff0000",
    "garbage 5a0000000549",
    "garbage 54000000060001",
    "before 44000000060001",
    "garbage 485454502f312e3120323030204f4b0d0a",
  };
  Proxy proxy;
  proxy_start (&proxy, ragify_test_postgres_port (fixture->server));
  g_autofree char *dsn = dsn_at (proxy.port);
  const char *keys[] = { "min-size=1", "max-size=1", NULL };
  open_at (fixture, dsn, keys);
  fixture_finds (fixture, "leek", "soup");
  for (guint i = 0; i < G_N_ELEMENTS (garbage); i++) {
    proxy_do (&proxy, garbage[i]);
    RagifyKitCall *call = fixture_ask (fixture, "leek", 1, 500000);
    proxy_do (&proxy, "pass");
    ragify_kit_call_free (call);
    fixture_finds (fixture, "leek", "soup");
  }
  fixture_close (fixture);
  proxy_stop (&proxy);
}

static void
a_server_that_speaks_something_else (void **state)
{
  Fixture *fixture = *state;
  static const char http[] = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
  static const char huge[] = "R\x7f\xff\xff\xff\0\0\0\0";
  static const char error[] = "E\0\0\0\x20SFATAL\0C53300\0Mno room\xff\xfe\0\0";
  static const char nothing[] = "N";
  const struct {
    const char *says;
    gsize size;
  } cases[] = {
    { http, sizeof http - 1 }, { huge, sizeof huge - 1 }, { error, sizeof error - 1 }, { nothing, sizeof nothing - 1 }
  };
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    guint port;
    Liar liar = { .listening = listen_somewhere (&port), .says = g_bytes_new (cases[i].says, cases[i].size) };
    liar.thread = g_thread_new ("liar", lie, &liar);
    g_autofree char *dsn = dsn_at (port);
    const char *keys[] = { "connect-timeout=300ms", NULL };
    open_at (fixture, dsn, keys);
    RagifyKitCall *call = fixture_ask (fixture, "x", 1, 1000000);
    assert_int_not_equal (call->code, RAGIFY_OK);
    assert_true (g_utf8_validate (call->message, -1, NULL));
    ragify_kit_call_free (call);
    fixture_close (fixture);
    shutdown (liar.listening, SHUT_RDWR);
    g_thread_join (liar.thread);
    close (liar.listening);
    g_bytes_unref (liar.says);
    assert_true (g_atomic_int_get (&liar.connections) > 0);
  }
}

static void
a_stopped_server_holds_up_nobody_and_is_used_again (void **state)
{
  Fixture *fixture = *state;
  RagifySourceQuery queries[12];
  RagifyKitCall *calls[12];
  fixture_open (fixture, "min-size=2", "max-size=4", "connect-timeout=5s", NULL);
  fixture_await (fixture, CONNECTED, 2);
  ragify_test_postgres_signal (fixture->server, SIGSTOP);
  for (guint i = 0; i < G_N_ELEMENTS (calls); i++)
    calls[i] = fixture_begin (fixture, &queries[i], "leek", 200000);
  for (guint i = 0; i < G_N_ELEMENTS (calls); i++) {
    assert_int_not_equal (ragify_kit_wait (calls[i])->code, RAGIFY_OK);
    ragify_kit_call_free (calls[i]);
  }
  for (guint i = 0; i < 4; i++) { /* cancel requests that nobody answers */
    calls[i] = fixture_begin (fixture, &queries[i], "leek", 0);
    ragify_kit_cancel (calls[i]);
    fixture_fails (ragify_kit_wait (calls[i]), RAGIFY_E_CANCELLED, "");
  }
  ragify_test_postgres_signal (fixture->server, SIGCONT);
  fixture_finds (fixture, "leek", "soup");
}

static void
a_connection_that_the_server_ends_is_replaced (void **state)
{
  Fixture *fixture = *state;
  static const char end[] = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'ragify'";
  RagifySourceQuery query;
  fixture_open (fixture, "statement=SELECT pg_sleep($query::float8)::text || 'x' AS content", "min-size=1",
                "max-size=1", NULL);
  RagifyKitCall *call = fixture_begin (fixture, &query, "30", 0);
  fixture_await (fixture, ACTIVE, 1);
  g_autofree char *pid = ragify_test_postgres_ask (
      fixture->server, "SELECT pid FROM pg_stat_activity WHERE application_name = 'ragify' AND state = 'active'");
  g_autofree char *other = g_strconcat (ACTIVE " AND pid <> ", pid, NULL);
  ragify_test_postgres_run (fixture->server, end);
  fixture_await (fixture, other, 1); /* it is asked once more, on another connection, which ends likewise */
  ragify_test_postgres_run (fixture->server, end);
  fixture_fails (ragify_kit_wait (call), RAGIFY_E_UNAVAILABLE, "the connection to PostgreSQL was lost");
  call = fixture_ask (fixture, "0", 1, 0);
  assert_int_equal (call->code, RAGIFY_OK);
  ragify_kit_call_free (call);
}

/* ---- too much ---- */

static guint64
resident (void)
{
  g_autofree char *text = NULL;
  assert_true (g_file_get_contents ("/proc/self/statm", &text, NULL, NULL));
  return g_ascii_strtoull (strchr (text, ' ') + 1, NULL, 10) * (guint64)sysconf (_SC_PAGESIZE);
}

static void
a_huge_row_costs_bounded_memory (void **state)
{
  Fixture *fixture = *state;
  Proxy proxy;
  proxy_start (&proxy, ragify_test_postgres_port (fixture->server));
  g_autofree char *dsn = dsn_at (proxy.port);
  const char *keys[] = { "statement=SELECT repeat('x', $query::int) AS content", "max-row=64KiB", "min-size=1", NULL };
  open_at (fixture, dsn, keys);
  fixture_fails (fixture_ask (fixture, "2000000", 1, 0), RAGIFY_E_EXHAUSTED, "a row of more than 65536 bytes");
  /* No faster than a network: how much is read at once is libpq's affair. */
  proxy_do (&proxy, "throttle 1000000");
  const guint64 before = resident ();
  fixture_fails (fixture_ask (fixture, "200000000", 1, 0), RAGIFY_E_EXHAUSTED, "a row of more than 65536 bytes");
  assert_true (resident () < before + (100u << 20));
  proxy_do (&proxy, "pass");
  RagifyKitCall *small = fixture_ask (fixture, "60000", 1, 0);
  assert_int_equal (fixture_chunk (small, 0)->content.size, 60000);
  ragify_kit_call_free (small);
  fixture_close (fixture);
  proxy_stop (&proxy);
  ragify_test_postgres_run (fixture->server, "CREATE TABLE huge AS SELECT 1 AS id, repeat('x', 50000000) AS content");
  fixture_open (fixture, "table=huge", "score-column=", "metadata-column=", "max-content=1000", NULL);
  RagifyKitCall *call = fixture_ask (fixture, "x", 1, 0);
  assert_int_equal (fixture_chunk (call, 0)->content.size, 1000); /* cut by the server */
  ragify_kit_call_free (call);
  fixture_close (fixture);
  ragify_test_postgres_run (fixture->server, "DROP TABLE huge");
}

static void
ten_million_rows_cost_no_more_than_those_wanted (void **state)
{
  Fixture *fixture = *state;
  fixture_open (fixture,
                "statement=SELECT i AS id, 'row ' || i AS content FROM (SELECT generate_series(1, 10000000) AS "
                "i) AS many",
                "min-size=1", "max-size=1", NULL);
  const guint64 before = resident ();
  for (guint i = 0; i < 3; i++)
    fixture_finds (fixture, "x", "1 2 3 4 5 6 7 8 9 10");
  assert_true (resident () < before + (512u << 20)); /* a sanitizer keeps 256 MiB of what was freed */
  fixture_await (fixture, ACTIVE, 0);
  assert_in_range (fixture_stat (fixture, "connects"), 1, 2); /* cancelled in time, and used again */
}

static void
a_large_result_is_cut_with_a_warning (void **state)
{
  Fixture *fixture = *state;
  fixture_open (fixture, "statement=SELECT i AS id, repeat('x', 100000) AS content FROM generate_series(1, 1000) i",
                "max-result=1MiB", NULL);
  RagifyKitCall *call = fixture_ask (fixture, "x", 1000, 0);
  assert_int_equal (call->code, RAGIFY_OK);
  assert_in_range (((const RagifySourceResult *)call->result)->chunks.count, 10, 12);
  ragify_kit_call_free (call);
  assert_int_equal (ragify_kit_counts (fixture->kit).warnings, 1);
}

static void
a_full_server_says_so (void **state)
{
  Fixture *fixture = *state;
  ragify_test_postgres_run (fixture->server, "CREATE ROLE narrow LOGIN CONNECTION LIMIT 0");
  g_autofree char *dsn = g_strdup_printf ("host=127.0.0.1 port=%u dbname=postgres user=narrow",
                                          ragify_test_postgres_port (fixture->server));
  open_at (fixture, dsn, NULL);
  fixture_fails (fixture_ask (fixture, "x", 1, 0), RAGIFY_E_EXHAUSTED, "too many connections for role");
}

static guint
descriptors (void)
{
  guint count = 0;
  DIR *folder = opendir ("/proc/self/fd");
  while (readdir (folder) != NULL)
    count++;
  closedir (folder);
  return count;
}

static void
nothing_is_left_open (void **state)
{
  Fixture *fixture = *state;
  guint before = 0;
  for (guint round = 0; round < 3; round++) {
    RagifySourceQuery queries[20];
    RagifyKitCall *calls[20];
    fixture_open (fixture, "statement=SELECT pg_sleep(0.2)::text || 'x' AS content", NULL);
    for (guint i = 0; i < G_N_ELEMENTS (calls); i++)
      calls[i] = fixture_begin (fixture, &queries[i], "x", i % 3 == 0 ? 50000 : 0);
    for (guint i = 1; i < G_N_ELEMENTS (calls); i += 3)
      ragify_kit_cancel (calls[i]);
    for (guint i = 0; i < G_N_ELEMENTS (calls); i++)
      ragify_kit_call_free (ragify_kit_wait (calls[i]));
    fixture_close (fixture);
    fixture_await (fixture, CONNECTED, 0);
    for (guint i = 0; i < 100 && round > 0 && descriptors () > before; i++)
      g_usleep (50000); /* cancel requests that are still on their way */
    if (round > 0)
      assert_true (descriptors () <= before);
    else
      g_usleep (500000);
    before = descriptors ();
  }
}

int
main (void)
{
#define TEST(name) cmocka_unit_test_setup_teardown (name, fixture_set_up, fixture_tear_down)
  const struct CMUnitTest tests[] = {
    TEST (a_server_that_is_not_there_is_said_by_name),
    TEST (a_name_that_is_none_is_said),
    TEST (a_server_that_accepts_and_is_silent_costs_the_deadline_only),
    TEST (credentials_that_are_refused_are_not_shown),
    TEST (the_next_host_is_tried),
    TEST (it_fails_over_and_comes_back),
    TEST (a_server_that_restarts_is_found_again),
    TEST (an_answer_cut_in_the_middle_is_an_error),
    TEST (drip_fed_bytes_end_at_the_deadline),
    TEST (garbage_in_the_answer_is_an_error),
    TEST (a_server_that_speaks_something_else),
    TEST (a_stopped_server_holds_up_nobody_and_is_used_again),
    TEST (a_connection_that_the_server_ends_is_replaced),
    TEST (a_huge_row_costs_bounded_memory),
    TEST (ten_million_rows_cost_no_more_than_those_wanted),
    TEST (a_large_result_is_cut_with_a_warning),
    TEST (a_full_server_says_so),
    TEST (nothing_is_left_open),
  };
  cmocka_set_message_output (CM_OUTPUT_TAP);
  signal (SIGPIPE, SIG_IGN);
  return cmocka_run_group_tests (tests, fixture_start_server, fixture_stop_server);
}
