/* The Redis level against a real server that is well. */
#include "cache-fixture.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static RedisServer server;

static int
start_server (void **state)
{
  (void)state;
  redis_server_start (&server, NULL);
  return 0;
}

static int
end_server (void **state)
{
  (void)state;
  redis_server_end (&server);
  return 0;
}

static void
test_what_was_set_is_got (void **state)
{
  (void)state;
  Cache cache;
  cache_open (&cache, server.port, NULL);
  must_get (&cache, "a", NULL);
  must_set (&cache, "a", "one");
  must_get (&cache, "a", "one");
  must_set (&cache, "a", "two");
  must_get (&cache, "a", "two");
  uint64_t count = 0;
  assert_int_equal (cache_remove (&cache, bytes_of ("a"), &count), RAGIFY_OK);
  assert_int_equal (count, 1);
  assert_int_equal (cache_remove (&cache, bytes_of ("a"), &count), RAGIFY_OK);
  assert_int_equal (count, 0);
  must_get (&cache, "a", NULL);
  assert_int_equal (cache_stat (&cache, "hits"), 2);
  assert_int_equal (cache_stat (&cache, "misses"), 2);
  cache_close (&cache);
}

static void
test_any_bytes_are_a_key_and_a_value (void **state)
{
  (void)state;
  Cache cache;
  uint8_t key[1024];
  uint8_t value[4096];
  cache_open (&cache, server.port, NULL);
  for (size_t i = 0; i < sizeof key; i++)
    key[i] = (uint8_t)i;
  for (size_t i = 0; i < sizeof value; i++)
    value[i] = (uint8_t)(i * 7 + (i >> 8));
  for (size_t size = 1; size <= sizeof key; size *= 2) {
    RagifyBuffer *back = NULL;
    const RagifyBytes bytes = { key, size };
    assert_int_equal (cache_set (&cache, bytes, value, size * 4, 0, 0), RAGIFY_OK);
    assert_int_equal (cache_get (&cache, bytes, &back, 0), RAGIFY_OK);
    assert_non_null (back);
    assert_int_equal (back->size, size * 4);
    assert_memory_equal (back->data, value, size * 4);
    back->unref (back);
  }
  RagifyBuffer *none = NULL;
  assert_int_equal (cache_set (&cache, (RagifyBytes){ key, 0 }, value, 1, 0, 0), RAGIFY_E_INVALID);
  assert_int_equal (cache_get (&cache, (RagifyBytes){ value, 1025 }, &none, 0), RAGIFY_E_INVALID);
  cache_close (&cache);
}

/* Values from nothing to 64 MiB, some that compress and some that do not. */
static void
test_values_of_every_size (void **state)
{
  (void)state;
  static const uint64_t sizes[] = { 0, 1, 4095, 4097, 131072, 131073, 5000000, UINT64_C (64) << 20 };
  Cache cache;
  cache_open (&cache, server.port, (const char *const[]){ "reply-timeout=60s", NULL });
  uint8_t *data = malloc (sizes[7] + 1);
  assert_non_null (data);
  for (int noisy = 0; noisy < 2; noisy++) {
    uint64_t noise = 1;
    for (uint64_t i = 0; i <= sizes[7]; i++) {
      noise = noise * UINT64_C (6364136223846793005) + 1442695040888963407u;
      data[i] = noisy ? (uint8_t)(noise >> 56) : (uint8_t)(i >> 12);
    }
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
      RagifyBuffer *value = NULL;
      if (cache_set (&cache, bytes_of ("large"), data, sizes[i], 0, 0) != RAGIFY_OK)
        fail_msg ("%s", cache_said ());
      if (cache_get (&cache, bytes_of ("large"), &value, 0) != RAGIFY_OK)
        fail_msg ("%s", cache_said ());
      assert_non_null (value);
      assert_int_equal (value->size, sizes[i]);
      assert_true (sizes[i] == 0 || memcmp (value->data, data, sizes[i]) == 0);
      value->unref (value);
    }
  }
  assert_int_equal (cache_set (&cache, bytes_of ("large"), data, sizes[7] + 1, 0, 0), RAGIFY_E_INVALID);
  free (data);
  assert_true (cache_stat (&cache, "packed") >= 4);
  assert_true (cache_stat (&cache, "saved_bytes") > 60000000);
  cache_close (&cache);
}

static void
test_an_entry_ends_with_the_shorter_time (void **state)
{
  (void)state;
  static const char *const config[] = { "ttl=100s", "prefix=t:", NULL };
  static const char *const forever[] = { "ttl=0s", "prefix=t:", NULL };
  Cache cache;
  cache_open (&cache, server.port, config);
  assert_int_equal (cache_set (&cache, bytes_of ("short"), "x", 1, 20000, 0), RAGIFY_OK);
  assert_int_equal (cache_set (&cache, bytes_of ("long"), "x", 1, UINT64_C (1000000000), 0), RAGIFY_OK);
  assert_int_equal (cache_set (&cache, bytes_of ("own"), "x", 1, 0, 0), RAGIFY_OK);
  const int left = atoi (redis_server_ask (&server, "PTTL t:long"));
  assert_true (left > 50000 && left <= 100000);
  assert_true (atoi (redis_server_ask (&server, "PTTL t:own")) > 50000);
  redis_server_await (&server, "EXISTS t:short", "0");
  must_get (&cache, "short", NULL);
  cache_close (&cache);
  cache_open (&cache, server.port, forever);
  must_set (&cache, "eternal", "x");
  assert_string_equal (redis_server_ask (&server, "PTTL t:eternal"), "-1");
  cache_close (&cache);
}

static void
test_clearing_takes_its_own_keys_alone (void **state)
{
  (void)state;
  static const char *const config[] = { "prefix=mine[*]?:", NULL };
  Cache cache;
  char key[16];
  uint64_t count = 0;
  redis_server_ask (&server, "FLUSHALL");
  redis_server_ask (&server, "SET mine_x_y:1 other");
  redis_server_ask (&server, "SET yours other");
  cache_open (&cache, server.port, config);
  for (int i = 0; i < 2500; i++) {
    (void)snprintf (key, sizeof key, "%d", i);
    must_set (&cache, key, "x");
  }
  assert_int_equal (cache_clear (&cache, RAGIFY_CACHE_CLEAR_EXPIRED, &count), RAGIFY_OK);
  assert_int_equal (count, 0);
  assert_string_equal (redis_server_ask (&server, "DBSIZE"), "2502");
  assert_int_equal (cache_clear (&cache, RAGIFY_CACHE_CLEAR_ALL, &count), RAGIFY_OK);
  assert_int_equal (count, 2500);
  assert_string_equal (redis_server_ask (&server, "DBSIZE"), "2");
  assert_int_equal (cache_clear (&cache, 77, &count), RAGIFY_E_INVALID);
  cache_close (&cache);
}

/* What another release, another application or a bad disk left is a miss. */
static void
test_foreign_and_damaged_values_are_misses (void **state)
{
  (void)state;
  static const char *const config[] = { "prefix=f:", NULL };
  Cache cache;
  cache_open (&cache, server.port, config);
  redis_server_ask (&server, "SET f:plain something");
  must_get (&cache, "plain", NULL);
  redis_server_ask (&server, "SET f:empty ''");
  must_get (&cache, "empty", NULL);
  must_set (&cache, "future", "value");
  redis_server_ask (&server, "SETRANGE f:future 4 9"); /* its version */
  must_get (&cache, "future", NULL);
  assert_int_equal (cache_stat (&cache, "foreign"), 3);
  must_set (&cache, "bad", "value");
  redis_server_ask (&server, "SETRANGE f:bad 26 X");
  must_get (&cache, "bad", NULL);
  must_set (&cache, "cut", "value");
  redis_server_ask (&server, "SET f:cut RGFV");
  must_get (&cache, "cut", NULL);
  must_set (&cache, "one", "of one");
  redis_server_ask (&server, "COPY f:one f:two");
  must_get (&cache, "two", NULL);
  must_get (&cache, "one", "of one");
  assert_int_equal (cache_stat (&cache, "damaged"), 2);
  redis_server_ask (&server, "LPUSH f:list x");
  RagifyBuffer *value = NULL;
  must_fail (cache_get (&cache, bytes_of ("list"), &value, 0), RAGIFY_E_INVALID, "something else under that key");
  cache_close (&cache);
}

static void
test_database_and_socket_of_the_url (void **state)
{
  (void)state;
  Cache cache;
  RedisServer other = { 0 };
  char path[100];
  char url[160];
  redis_server_prepare (&other, NULL);
  (void)snprintf (path, sizeof path, "%s/redis socket", other.folder);
  other.arguments[0] = "--unixsocket";
  other.arguments[1] = path;
  redis_server_restart (&other);
  (void)snprintf (url, sizeof url, "unix://%s/redis%%20socket?db=3", other.folder);
  cache_open_url (&cache, url, NULL);
  must_set (&cache, "a", "one");
  must_get (&cache, "a", "one");
  assert_non_null (strstr (redis_server_ask (&other, "INFO keyspace"), "db3:keys=1"));
  cache_close (&cache);
  (void)snprintf (url, sizeof url, "redis://localhost:%u/3", other.port);
  cache_open_url (&cache, url, NULL);
  must_get (&cache, "a", "one");
  assert_int_equal (cache_probe (&cache), RAGIFY_OK);
  assert_non_null (strstr (cache_said (), "Redis "));
  assert_non_null (strstr (cache_said (), "1 of 1 connections"));
  cache_close (&cache);
  redis_server_end (&other);
}

static void
test_new_values_of_reloadable_keys (void **state)
{
  (void)state;
  Cache cache;
  char url[64];
  (void)snprintf (url, sizeof url, "url=redis://127.0.0.1:%u", server.port);
  const char *const config[] = { url, "ttl=5s", "prefix=r:", NULL };
  cache_open (&cache, server.port, (const char *const[]){ "prefix=r:", NULL });
  assert_int_equal (ragify_kit_reconfigure (cache.instance, config), RAGIFY_OK);
  must_set (&cache, "a", "x");
  assert_true (atoi (redis_server_ask (&server, "PTTL r:a")) <= 5000);
  cache_close (&cache);
}

static void
test_wrong_configuration_is_refused (void **state)
{
  (void)state;
  static const struct {
    const char *config;
    const char *part;
  } cases[] = {
    { "url=http://localhost", "expected redis://" },
    { "url=redis://localhost:99999", "expected a port" },
    { "url=redis://localhost/x", "number of a database" },
    { "url=redis://", "a host is missing" },
    { "url=redis://a,b/1", "a cluster has database 0 only" },
    { "url=redis+sentinel://a:1", "name of the service" },
    { "url=redis://:%zz@h", "wrong %-escape" },
    { "url=unix://relative", "absolute path" },
    { "url=rediss://h", "" },
  };
  RagifyKit *kit = ragify_kit_new (NULL);
  const RagifyPlugin *plugin = ragify_kit_load (kit, getenv ("CACHE_REDIS"));
  const RagifyComponent *component = ragify_kit_find (kit, plugin, RAGIFY_KIND_CACHE, "redis");
  for (size_t i = 0; i + 1 < sizeof cases / sizeof cases[0]; i++) {
    const char *const config[] = { cases[i].config, NULL };
    assert_null (ragify_kit_create (kit, component, config, NULL));
    if (strstr (ragify_kit_error (kit), cases[i].part) == NULL)
      fail_msg ("%s: %s", cases[i].config, ragify_kit_error (kit));
  }
  const char *const absent[] = { "url=rediss://h", "tls-ca=/nonexistent/ca.pem", NULL };
  assert_null (ragify_kit_create (kit, component, absent, NULL));
  assert_non_null (strstr (ragify_kit_error (kit), "/nonexistent/ca.pem"));
  ragify_kit_free (kit);
}

/* ---- many at once ---- */

typedef struct Worker {
  Cache *cache;
  int number;
  pthread_t thread;
  int wrong;
} Worker;

static void *
work (void *user)
{
  Worker *worker = user;
  for (int i = 0; i < 500; i++) {
    char key[32];
    char text[600];
    RagifyBuffer *value = NULL;
    (void)snprintf (key, sizeof key, "%d-%d", worker->number, i % 50);
    (void)snprintf (text, sizeof text, "%s:%0*d", key, 1 + i, i);
    if (cache_set (worker->cache, bytes_of (key), text, strlen (text), 0, 0) != RAGIFY_OK ||
        cache_get (worker->cache, bytes_of (key), &value, 0) != RAGIFY_OK || value == NULL ||
        value->size != strlen (text) || memcmp (value->data, text, value->size) != 0)
      worker->wrong++;
    if (value != NULL)
      value->unref (value);
  }
  return NULL;
}

static void
test_many_threads_share_one_connection (void **state)
{
  (void)state;
  Cache cache;
  Worker workers[8];
  cache_open (&cache, server.port, NULL);
  for (int i = 0; i < 8; i++) {
    workers[i] = (Worker){ .cache = &cache, .number = i };
    assert_int_equal (pthread_create (&workers[i].thread, NULL, work, &workers[i]), 0);
  }
  for (int i = 0; i < 8; i++) {
    (void)pthread_join (workers[i].thread, NULL);
    assert_int_equal (workers[i].wrong, 0);
  }
  assert_int_equal (cache_stat (&cache, "connects"), 1);
  cache_close (&cache);
}

/* Commands that come in one round of the loop leave in one write. */
static void
test_commands_leave_together (void **state)
{
  (void)state;
  Cache cache;
  RagifyKitCall *calls[500];
  cache_open (&cache, server.port, NULL);
  must_set (&cache, "a", "one");
  const int64_t before = cache_stat (&cache, "writes");
  const RagifyCacheGet args = { .struct_size = sizeof args, .key = bytes_of ("a") };
  redis_server_signal (&server, SIGSTOP);
  for (int i = 0; i < 500; i++)
    calls[i] = ragify_kit_begin (cache.instance, (RagifyKitFunction)cache.operations->get, &args, 0);
  redis_server_signal (&server, SIGCONT);
  for (int i = 0; i < 500; i++) {
    RagifyKitCall *call = ragify_kit_wait (calls[i]);
    assert_int_equal (call->code, RAGIFY_OK);
    const RagifyCacheGetResult *result = call->result;
    assert_non_null (result->value);
    result->value->unref (result->value);
    ragify_kit_call_free (call);
  }
  assert_true (cache_stat (&cache, "writes") - before < 500);
  cache_close (&cache);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (test_what_was_set_is_got),
    cmocka_unit_test (test_any_bytes_are_a_key_and_a_value),
    cmocka_unit_test (test_values_of_every_size),
    cmocka_unit_test (test_an_entry_ends_with_the_shorter_time),
    cmocka_unit_test (test_clearing_takes_its_own_keys_alone),
    cmocka_unit_test (test_foreign_and_damaged_values_are_misses),
    cmocka_unit_test (test_database_and_socket_of_the_url),
    cmocka_unit_test (test_new_values_of_reloadable_keys),
    cmocka_unit_test (test_wrong_configuration_is_refused),
    cmocka_unit_test (test_many_threads_share_one_connection),
    cmocka_unit_test (test_commands_leave_together),
  };
  cmocka_set_message_output (CM_OUTPUT_TAP);
  return cmocka_run_group_tests_name ("cache-redis", tests, start_server, end_server);
}
