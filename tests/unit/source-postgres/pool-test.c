/* The pool of source-postgres: how many connections there are, what is in force on them, who waits.
 *
 * SPDX-License-Identifier: MIT
 */
#include "fixture.h"

#include <string.h>

#define SLEEPS "statement=SELECT pg_backend_pid() AS id, pg_sleep($query::float8)::text || 'x' AS content"
#define PIDS "statement=SELECT pg_backend_pid() AS id, 'x' || $query AS content"

/* Asks `count` times at once; the number of different connections that answered. */
static guint
asked_at_once (Fixture *fixture, guint count, const char *text)
{
  RagifySourceQuery queries[64];
  RagifyKitCall *calls[64];
  g_autoptr (GHashTable) pids = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  for (guint i = 0; i < count; i++)
    calls[i] = fixture_begin (fixture, &queries[i], text, 0);
  for (guint i = 0; i < count; i++) {
    const RagifyStr pid = fixture_chunk (ragify_kit_wait (calls[i]), 0)->document_id;
    g_hash_table_add (pids, g_strndup (pid.data, pid.size));
    ragify_kit_call_free (calls[i]);
  }
  return g_hash_table_size (pids);
}

static void
the_minimum_is_kept_warm_and_the_maximum_kept_to (void **state)
{
  Fixture *fixture = *state;
  fixture_open (fixture, SLEEPS, "min-size=3", "max-size=6", NULL);
  fixture_await (fixture, CONNECTED, 3);
  assert_in_range (asked_at_once (fixture, 40, "0.02"), 4, 6);
  assert_in_range (ragify_test_postgres_count (fixture->server, CONNECTED), 4, 6);
  assert_int_equal (fixture_stat (fixture, "node-connections"),
                    ragify_test_postgres_count (fixture->server, CONNECTED));
  assert_int_equal (fixture_stat (fixture, "queries"), 41); /* the first is that of the start */
}

static void
one_client_needs_one_connection (void **state)
{
  Fixture *fixture = *state;
  fixture_open (fixture, "min-size=1", NULL);
  for (guint i = 0; i < 50; i++)
    fixture_finds (fixture, "leek", "soup");
  assert_int_equal (fixture_stat (fixture, "connects"), 1);
}

static void
a_connection_is_replaced_after_so_many_queries (void **state)
{
  Fixture *fixture = *state;
  fixture_open (fixture, PIDS, "min-size=1", "max-size=1", "max-queries=3", NULL);
  g_autoptr (GHashTable) pids = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  for (guint i = 0; i < 11; i++)
    g_hash_table_add (pids, fixture_found (fixture, "x"));
  assert_int_equal (g_hash_table_size (pids), 4); /* 12 with that of the start */
  assert_in_range (fixture_stat (fixture, "connections-recycled"), 3, 4);
}

static void
idle_connections_are_closed_and_the_minimum_renewed (void **state)
{
  Fixture *fixture = *state;
  fixture_open (fixture, SLEEPS, "min-size=2", "max-size=8", "max-inactive-lifetime=200ms", NULL);
  fixture_await (fixture, CONNECTED, 2);
  assert_in_range (asked_at_once (fixture, 8, "0.2"), 3, 8);
  g_autofree char *before = ragify_test_postgres_ask (
      fixture->server, "SELECT max(pid) FROM pg_stat_activity WHERE application_name = 'ragify'");
  g_autofree char *newer = g_strconcat ("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'ragify' "
                                        "AND backend_start > now() - interval '1 minute' AND pid <> ",
                                        before, NULL);
  fixture_await (fixture, newer, 2);
  assert_true (fixture_stat (fixture, "connections-recycled") > 0);
}

static void
who_waits_has_a_deadline (void **state)
{
  Fixture *fixture = *state;
  RagifySourceQuery slow;
  fixture_open (fixture, SLEEPS, "min-size=1", "max-size=1", "max-waiting=1", NULL);
  RagifyKitCall *holder = fixture_begin (fixture, &slow, "60", 0);
  fixture_await (fixture, ACTIVE, 1);
  RagifySourceQuery waiting;
  RagifyKitCall *waiter = fixture_begin (fixture, &waiting, "0", 4000000);
  while (fixture_stat (fixture, "waiting") == 0)
    g_usleep (1000);
  fixture_fails (fixture_ask (fixture, "0", 1, 0), RAGIFY_E_EXHAUSTED, "1 queries wait for a connection already");
  fixture_fails (ragify_kit_wait (waiter), RAGIFY_E_TIMEOUT, "no connection became free within the deadline (1 of 1");
  ragify_kit_cancel (holder);
  fixture_fails (ragify_kit_wait (holder), RAGIFY_E_CANCELLED, "");
  assert_int_equal (fixture_stat (fixture, "wait-timeouts"), 1);
}

static void
settings_are_in_force_for_every_query (void **state)
{
  Fixture *fixture = *state;
  static const char *const resets[] = { "reset=auto", "reset=always", "reset=never" };
  for (guint i = 0; i < G_N_ELEMENTS (resets); i++) {
    /* Each query spoils the settings after it has read them; only `never` lets the next one see that. */
    fixture_open (fixture,
                  "statement=SELECT current_setting('work_mem') AS id, current_setting('search_path') || "
                  "set_config('work_mem', '1MB', false) || set_config('search_path', 'spoilt', false) AS content",
                  "setup=SET work_mem = '7MB'; SET search_path TO pg_catalog", "min-size=1", "max-size=1", resets[i],
                  NULL);
    fixture_finds (fixture, "x", "7MB");
    fixture_finds (fixture, "x", i < 2 ? "7MB" : "1MB");
    fixture_finds (fixture, "x", i < 2 ? "7MB" : "1MB");
    assert_int_equal (fixture_stat (fixture, "connects"), 1);
    fixture_close (fixture);
  }
}

static void
settings_survive_a_query_that_fails (void **state)
{
  Fixture *fixture = *state;
  fixture_open (fixture, "statement=SELECT current_setting('work_mem') AS id, 1 / $query::int || 'x' AS content",
                "setup=SET work_mem = '7MB'", "min-size=1", "max-size=1", NULL);
  fixture_fails (fixture_ask (fixture, "0", 1, 0), RAGIFY_E_INVALID, "division by zero (22012)");
  fixture_finds (fixture, "1", "7MB");
  fixture_fails (fixture_ask (fixture, "0", 1, 0), RAGIFY_E_INVALID, "division by zero");
  fixture_finds (fixture, "1", "7MB");
  assert_int_equal (fixture_stat (fixture, "connects"), 1);
}

static void
a_refused_setting_is_told_once_and_does_without (void **state)
{
  Fixture *fixture = *state;
#define SETUP "setup=SET work_mem = '7MB'; SET shared_preload_libraries = 'x'; SET search_path = pg_catalog"
  fixture_open (fixture,
                "statement=SELECT current_setting('work_mem') || current_setting('search_path') AS id, 'x' || "
                "pg_sleep(0.05) AS content",
                SETUP, "min-size=1", "max-size=4", NULL);
  RagifySourceQuery queries[8];
  RagifyKitCall *calls[8];
  for (guint i = 0; i < 8; i++)
    calls[i] = fixture_begin (fixture, &queries[i], "x", 0);
  for (guint i = 0; i < 8; i++) {
    const RagifyStr id = fixture_chunk (ragify_kit_wait (calls[i]), 0)->document_id;
    g_autofree char *text = g_strndup (id.size > 0 ? id.data : "", id.size);
    assert_string_equal (text, "7MBpg_catalog");
    ragify_kit_call_free (calls[i]);
  }
  assert_int_equal (ragify_kit_counts (fixture->kit).warnings, 1);
  fixture_close (fixture);
  const char *keys[] = { SETUP, "setup-required=true", NULL };
  g_autofree char *error = fixture_try (fixture, "postgres", NULL, NULL, keys);
  assert_non_null (error);
  assert_non_null (strstr (error, "a setup statement was refused: PostgreSQL: parameter \"shared_preload_libraries\""));
}

static void
the_server_has_the_deadline_too (void **state)
{
  Fixture *fixture = *state;
  fixture_open (fixture, "statement=SELECT current_setting('statement_timeout') AS id, 'x' AS content", NULL);
  RagifyKitCall *call = fixture_ask (fixture, "x", 1, 50000000);
  const RagifyStr timeout = fixture_chunk (call, 0)->document_id;
  g_autofree char *text = g_strndup (timeout.data, timeout.size);
  const gint64 ms =
      g_str_has_suffix (text, "ms") ? g_ascii_strtoll (text, NULL, 10) : g_ascii_strtoll (text, NULL, 10) * 1000;
  assert_in_range (ms, 1000, 60000);
  ragify_kit_call_free (call);
}

static void
totals_are_the_nodes_whatever_the_number_of_loops (void **state)
{
  Fixture *fixture = *state;
  const char *keys[] = { SLEEPS, "min-size=2", "max-size=4", NULL };
  for (guint i = 0; i < 3; i++) {
    const RagifyKitNode node = { .index = i, .count = 3 };
    g_autofree char *error = fixture_try (fixture, "postgres", NULL, &node, keys);
    if (error != NULL)
      fail_msg ("%s", error);
  }
  /* Each in turn, then all at once: an instance gets what another one's idle connections hold. */
  for (guint round = 0; round < 6; round++) {
    fixture->source = fixture->opened[round % 3];
    assert_in_range (asked_at_once (fixture, 12, "0.01"), 1, 4);
    assert_in_range (ragify_test_postgres_count (fixture->server, CONNECTED), 1, 4);
  }
  RagifySourceQuery queries[3][12];
  RagifyKitCall *calls[3][12];
  for (guint q = 0; q < 12; q++)
    for (guint i = 0; i < 3; i++) {
      fixture->source = fixture->opened[i];
      calls[i][q] = fixture_begin (fixture, &queries[i][q], "0.01", 0);
    }
  for (guint q = 0; q < 12; q++)
    for (guint i = 0; i < 3; i++) {
      assert_int_equal (ragify_kit_wait (calls[i][q])->code, RAGIFY_OK);
      ragify_kit_call_free (calls[i][q]);
    }
  assert_in_range (ragify_test_postgres_count (fixture->server, CONNECTED), 1, 4);
}

static void
one_connection_goes_round_among_loops (void **state)
{
  Fixture *fixture = *state;
  const char *keys[] = { SLEEPS, "min-size=1", "max-size=1", NULL };
  RagifySourceQuery queries[2][6];
  RagifyKitCall *calls[2][6];
  for (guint i = 0; i < 2; i++) {
    const RagifyKitNode node = { .index = i, .count = 2 };
    g_autofree char *error = fixture_try (fixture, "postgres", NULL, &node, keys);
    if (error != NULL)
      fail_msg ("%s", error);
  }
  for (guint i = 0; i < 2; i++)
    for (guint q = 0; q < 6; q++) {
      fixture->source = fixture->opened[i];
      calls[i][q] = fixture_begin (fixture, &queries[i][q], "0.02", 0);
    }
  for (guint i = 2; i-- > 0;)
    for (guint q = 0; q < 6; q++) {
      assert_int_equal (ragify_kit_wait (calls[i][q])->code, RAGIFY_OK);
      ragify_kit_call_free (calls[i][q]);
    }
}

static void
what_is_cancelled_ends_on_the_server_and_the_connection_goes_on (void **state)
{
  Fixture *fixture = *state;
  RagifySourceQuery query;
  fixture_open (fixture, SLEEPS, "min-size=1", "max-size=1", NULL);
  for (guint i = 0; i < 5; i++) {
    RagifyKitCall *call = fixture_begin (fixture, &query, "30", 0);
    fixture_await (fixture, ACTIVE, 1);
    ragify_kit_cancel (call);
    fixture_fails (ragify_kit_wait (call), RAGIFY_E_CANCELLED, "cancelled");
    fixture_await (fixture, ACTIVE, 0);
  }
  assert_int_equal (asked_at_once (fixture, 3, "0"), 1);
  assert_int_equal (fixture_stat (fixture, "connects"), 1);
}

static void
who_waits_can_be_cancelled (void **state)
{
  Fixture *fixture = *state;
  RagifySourceQuery slow;
  RagifySourceQuery queries[3];
  RagifyKitCall *calls[3];
  fixture_open (fixture, SLEEPS, "min-size=1", "max-size=1", NULL);
  RagifyKitCall *holder = fixture_begin (fixture, &slow, "0.5", 0);
  for (guint i = 0; i < 3; i++)
    calls[i] = fixture_begin (fixture, &queries[i], "0", 0);
  ragify_kit_cancel (calls[1]);
  fixture_fails (ragify_kit_wait (calls[1]), RAGIFY_E_CANCELLED, "cancelled");
  ragify_kit_cancel (calls[2]);
  fixture_fails (ragify_kit_wait (calls[2]), RAGIFY_E_CANCELLED, "cancelled");
  assert_int_equal (ragify_kit_wait (calls[0])->code, RAGIFY_OK);
  assert_int_equal (ragify_kit_wait (holder)->code, RAGIFY_OK);
  ragify_kit_call_free (calls[0]);
  ragify_kit_call_free (holder);
}

static void
what_is_late_ends_on_the_server_too (void **state)
{
  Fixture *fixture = *state;
  fixture_open (fixture, SLEEPS, "min-size=1", "max-size=2", NULL);
  for (guint i = 0; i < 4; i++)
    fixture_fails (fixture_ask (fixture, "30", 1, 200000), RAGIFY_E_TIMEOUT, "within the deadline");
  fixture_await (fixture, ACTIVE, 0);
  assert_int_equal (asked_at_once (fixture, 2, "0.05") > 0, 1);
  assert_in_range (ragify_test_postgres_count (fixture->server, CONNECTED), 1, 2);
}

int
main (void)
{
#define TEST(name) cmocka_unit_test_setup_teardown (name, fixture_set_up, fixture_tear_down)
  const struct CMUnitTest tests[] = {
    TEST (the_minimum_is_kept_warm_and_the_maximum_kept_to),
    TEST (one_client_needs_one_connection),
    TEST (a_connection_is_replaced_after_so_many_queries),
    TEST (idle_connections_are_closed_and_the_minimum_renewed),
    TEST (who_waits_has_a_deadline),
    TEST (settings_are_in_force_for_every_query),
    TEST (settings_survive_a_query_that_fails),
    TEST (a_refused_setting_is_told_once_and_does_without),
    TEST (the_server_has_the_deadline_too),
    TEST (totals_are_the_nodes_whatever_the_number_of_loops),
    TEST (one_connection_goes_round_among_loops),
    TEST (what_is_cancelled_ends_on_the_server_and_the_connection_goes_on),
    TEST (who_waits_can_be_cancelled),
    TEST (what_is_late_ends_on_the_server_too),
  };
  cmocka_set_message_output (CM_OUTPUT_TAP);
  return cmocka_run_group_tests (tests, fixture_start_server, fixture_stop_server);
}
