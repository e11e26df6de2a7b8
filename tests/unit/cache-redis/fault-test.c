/* The Redis level when Redis is gone, half dead, lying, full or not what it was. Whatever happens, a value that comes
 * back is the one that was set under that key. */
#include "cache-fixture.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define SHORT_US 50000

/* Gives up a silent server soon, so that tests need not wait long. */
static const char *const quick[] = { "reply-timeout=300ms", "connect-timeout=300ms", NULL };

static RagifyBuffer *nothing;

static void
end_proxied (Cache *cache, FaultProxy *proxy, RedisServer *server)
{
  cache_close (cache);
  fault_proxy_end (proxy);
  redis_server_end (server);
}

static void
open_proxied (Cache *cache, FaultProxy *proxy, RedisServer *server, const char *const *config)
{
  redis_server_start (server, NULL);
  fault_proxy_start (proxy, server->port);
  cache_open (cache, proxy->port, config);
  must_set (cache, "a", "of a");
  must_set (cache, "b", "of b");
}

/* Every call fails at once and says why; when the server comes, it works without anything being done. */
static void
test_refused (void **state)
{
  (void)state;
  Cache cache;
  RedisServer server = { 0 };
  redis_server_prepare (&server, NULL);
  cache_open (&cache, server.port, NULL);
  must_fail (cache_get (&cache, bytes_of ("a"), &nothing, 0), RAGIFY_E_UNAVAILABLE, "Connection refused");
  must_fail (cache_set (&cache, bytes_of ("a"), "x", 1, 0, 0), RAGIFY_E_UNAVAILABLE, "127.0.0.1:");
  must_fail (cache_probe (&cache), RAGIFY_E_UNAVAILABLE, "Connection refused");
  redis_server_restart (&server);
  await_set (&cache, "a", "one");
  must_get (&cache, "a", "one");
  cache_close (&cache);
  redis_server_end (&server);
}

static void
test_a_name_that_does_not_exist (void **state)
{
  (void)state;
  Cache cache;
  cache_open_url (&cache, "redis://no-such-host.invalid:6379", quick);
  must_fail (cache_get (&cache, bytes_of ("a"), &nothing, 0), RAGIFY_E_UNAVAILABLE, "no-such-host.invalid");
  cache_close (&cache);
}

/* It accepts and takes everything, but does nothing. */
static void
test_stopped (void **state)
{
  (void)state;
  Cache cache;
  RedisServer server = { 0 };
  redis_server_start (&server, NULL);
  cache_open (&cache, server.port, quick);
  must_set (&cache, "a", "of a");
  must_set (&cache, "b", "of b");
  redis_server_signal (&server, SIGSTOP);
  for (int i = 0; i < 3; i++)
    must_fail (cache_get (&cache, bytes_of ("a"), &nothing, SHORT_US), RAGIFY_E_TIMEOUT, "did not answer in time");
  /* Its replies to those come late, and are nobody's. */
  redis_server_signal (&server, SIGCONT);
  must_get (&cache, "b", "of b");
  must_get (&cache, "a", "of a");
  assert_int_equal (cache_stat (&cache, "late_replies"), 3);
  assert_int_equal (cache_stat (&cache, "connects"), 1);
  redis_server_signal (&server, SIGSTOP);
  int32_t code;
  do /* until the silence was noticed */
    code = cache_get (&cache, bytes_of ("a"), &nothing, SHORT_US);
  while (code == RAGIFY_E_TIMEOUT);
  must_fail (code, RAGIFY_E_UNAVAILABLE, "no reply for");
  redis_server_signal (&server, SIGCONT);
  await_set (&cache, "c", "of c");
  must_get (&cache, "a", "of a");
  must_get (&cache, "c", "of c");
  cache_close (&cache);
  redis_server_end (&server);
}

static void
test_slow (void **state)
{
  (void)state;
  Cache cache;
  RedisServer server = { 0 };
  FaultProxy proxy;
  open_proxied (&cache, &proxy, &server, NULL);
  fault_proxy_tell (&proxy, "delay 200");
  int sent = 0;
  for (int i = 0; i < 2000 && sent < 20; i++) { /* a machine that pauses is too late to send it at all */
    must_fail (cache_get (&cache, bytes_of (i % 2 ? "a" : "b"), &nothing, 10000), RAGIFY_E_TIMEOUT, "");
    sent += strstr (cache_said (), "in time") != NULL;
  }
  must_get (&cache, "a", "of a"); /* who has the time gets it */
  assert_int_equal (sent, 20);
  assert_true (cache_stat (&cache, "timeouts") >= 20);
  assert_int_equal (cache_stat (&cache, "late_replies"), 20);
  assert_int_equal (cache_stat (&cache, "connects"), 1);
  end_proxied (&cache, &proxy, &server);
}

static void
test_cancelled_calls_leave_the_others_right (void **state)
{
  (void)state;
  Cache cache;
  RedisServer server = { 0 };
  FaultProxy proxy;
  RagifyKitCall *calls[200];
  RagifyCacheGet gets[200];
  open_proxied (&cache, &proxy, &server, NULL);
  fault_proxy_tell (&proxy, "delay 50");
  for (int i = 0; i < 200; i++) {
    gets[i] = (RagifyCacheGet){ .struct_size = sizeof gets[i], .key = bytes_of (i % 2 ? "a" : "b") };
    calls[i] = ragify_kit_begin (cache.instance, (RagifyKitFunction)cache.operations->get, &gets[i], 0);
    if (i % 3 == 0)
      ragify_kit_cancel (calls[i]);
  }
  for (int i = 0; i < 200; i++) {
    RagifyKitCall *call = ragify_kit_wait (calls[i]);
    const RagifyCacheGetResult *result = call->result;
    assert_int_equal (call->code, i % 3 == 0 ? RAGIFY_E_CANCELLED : RAGIFY_OK);
    if (result != NULL) {
      assert_non_null (result->value);
      assert_memory_equal (result->value->data, i % 2 ? "of a" : "of b", 4);
      result->value->unref (result->value);
    }
    ragify_kit_call_free (call);
  }
  end_proxied (&cache, &proxy, &server);
}

static void
test_garbage_ends_the_connection (void **state)
{
  (void)state;
  static const char *const pieces[] = {
    "485454502f312e3120343030204261640d0a", /* HTTP/1.1 400 Bad */
    "0000000000000000",
    "2a393939393939390d0a",         /* an array of 9999999 */
    "2439393939393939393939390d0a", /* a text of 99999999999 bytes … */
    "2a310d0a2a310d0a2a310d0a2a310d0a2a310d0a2a310d0a2a310d0a2a310d0a2a310d0a2a310d0a2a310d0a", /* too deep */
    "2d4552522077726f6e670d0a2d4552522077726f6e670d0a", /* two replies to one command */
  };
  Cache cache;
  RedisServer server = { 0 };
  FaultProxy proxy;
  char command[300];
  open_proxied (&cache, &proxy, &server, quick);
  for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
    const int64_t losses = cache_stat (&cache, "losses");
    (void)snprintf (command, sizeof command, "garbage %s", pieces[i]);
    fault_proxy_tell (&proxy, command);
    assert_int_not_equal (cache_get (&cache, bytes_of ("a"), &nothing, 0), RAGIFY_OK);
    fault_proxy_tell (&proxy, "pass");
    await_set (&cache, "c", "of c");
    assert_true (cache_stat (&cache, "losses") > losses);
    must_get (&cache, "a", "of a");
  }
  end_proxied (&cache, &proxy, &server);
}

/* A server that greets with something else than Redis does. */
static void
test_not_a_redis (void **state)
{
  (void)state;
  Cache cache;
  RedisServer server = { 0 };
  FaultProxy proxy;
  redis_server_start (&server, NULL);
  fault_proxy_start (&proxy, server.port);
  fault_proxy_tell (&proxy, "garbage 5353482d322e300d0a"); /* SSH-2.0 */
  cache_open (&cache, proxy.port, NULL);
  must_fail (cache_get (&cache, bytes_of ("a"), &nothing, 0), RAGIFY_E_UNAVAILABLE, "does not answer as Redis does");
  end_proxied (&cache, &proxy, &server);
}

/* The worst liar: a reply too many, so that all that follow are one place off. None may be taken for another's. */
static void
test_replies_that_are_one_place_off (void **state)
{
  (void)state;
  Cache cache;
  RedisServer server = { 0 };
  FaultProxy proxy;
  static const char *const ahead[] = { "before 242d310d0a", "before 24340d0a6f6620620d0a", "before 2b4f4b0d0a" };
  open_proxied (&cache, &proxy, &server, quick);
  for (size_t i = 0; i < 3; i++) {
    RagifyKitCall *calls[2];
    RagifyCacheGet gets[2];
    fault_proxy_tell (&proxy, "pass");
    await_set (&cache, "a", "of a");
    fault_proxy_tell (&proxy, ahead[i]);
    for (int j = 0; j < 2; j++) {
      gets[j] = (RagifyCacheGet){ .struct_size = sizeof gets[j], .key = bytes_of (j == 0 ? "a" : "b") };
      calls[j] = ragify_kit_begin (cache.instance, (RagifyKitFunction)cache.operations->get, &gets[j], 1000000);
    }
    for (int j = 0; j < 2; j++) {
      RagifyKitCall *call = ragify_kit_wait (calls[j]);
      const RagifyCacheGetResult *result = call->result;
      if (result != NULL && result->value != NULL) {
        assert_memory_equal (result->value->data, j == 0 ? "of a" : "of b", 4);
        result->value->unref (result->value);
      }
      ragify_kit_call_free (call);
    }
  }
  end_proxied (&cache, &proxy, &server);
}

static void
test_cut_in_the_middle_of_a_reply (void **state)
{
  (void)state;
  Cache cache;
  RedisServer server = { 0 };
  FaultProxy proxy;
  open_proxied (&cache, &proxy, &server, NULL);
  for (int i = 0; i < 30; i++) {
    char command[16];
    (void)snprintf (command, sizeof command, "%s %d", i % 2 ? "cut" : "reset", i);
    fault_proxy_tell (&proxy, command);
    const int32_t code = cache_get (&cache, bytes_of ("a"), &nothing, 0);
    if (nothing != NULL) /* the whole reply fits before the cut only when it is long enough */
      fail_msg ("a value out of %d bytes", i);
    assert_int_equal (code, RAGIFY_E_UNAVAILABLE);
    fault_proxy_tell (&proxy, "pass");
    await_set (&cache, "c", "of c");
    must_get (&cache, "a", "of a");
  }
  end_proxied (&cache, &proxy, &server);
}

static void
test_restarted_empty (void **state)
{
  (void)state;
  Cache cache;
  RedisServer server = { 0 };
  redis_server_start (&server, NULL);
  cache_open (&cache, server.port, NULL);
  must_set (&cache, "a", "of a");
  redis_server_kill (&server);
  assert_int_equal (cache_get (&cache, bytes_of ("a"), &nothing, 0), RAGIFY_E_UNAVAILABLE);
  redis_server_restart (&server);
  await_set (&cache, "b", "of b");
  must_get (&cache, "a", NULL);
  must_get (&cache, "b", "of b");
  cache_close (&cache);
  redis_server_end (&server);
}

static void
test_out_of_memory (void **state)
{
  (void)state;
  static const char *const arguments[] = { "--maxmemory", "4mb", "--maxmemory-policy", "noeviction", NULL };
  Cache cache;
  RedisServer server = { 0 };
  char noise[30000];
  char key[8];
  int32_t code = RAGIFY_OK;
  redis_server_start (&server, arguments);
  cache_open (&cache, server.port, (const char *const[]){ "compress-above=0", NULL });
  must_set (&cache, "a", "of a");
  memset (noise, 'x', sizeof noise);
  for (int i = 0; i < 500 && code == RAGIFY_OK; i++) {
    (void)snprintf (key, sizeof key, "n%d", i);
    code = cache_set (&cache, bytes_of (key), noise, sizeof noise, 0, 0);
  }
  must_fail (code, RAGIFY_E_EXHAUSTED, "is out of memory");
  must_get (&cache, "a", "of a"); /* what it has it still gives */
  uint64_t count = 0;
  assert_int_equal (cache_clear (&cache, RAGIFY_CACHE_CLEAR_ALL, &count), RAGIFY_OK);
  await_set (&cache, "b", "of b");
  cache_close (&cache);
  redis_server_end (&server);
}

static void
test_read_only_replica (void **state)
{
  (void)state;
  Cache cache;
  RedisServer master = { 0 };
  RedisServer replica = { 0 };
  char port[8];
  redis_server_start (&master, (const char *const[]){ "--repl-diskless-sync-delay", "0", NULL });
  (void)snprintf (port, sizeof port, "%u", master.port);
  redis_server_start (
      &replica, (const char *const[]){ "--replicaof", "127.0.0.1", port, "--repl-diskless-sync-delay", "0", NULL });
  redis_server_await (&replica, "INFO replication", "master_link_status:up");
  cache_open (&cache, replica.port, NULL);
  must_get (&cache, "a", NULL);
  must_fail (cache_set (&cache, bytes_of ("a"), "x", 1, 0, 0), RAGIFY_E_UNAVAILABLE, "is a read-only replica");
  redis_server_ask (&replica, "CONFIG SET replica-serve-stale-data no");
  redis_server_kill (&master);
  redis_server_await (&replica, "INFO replication", "master_link_status:down");
  must_fail (cache_get (&cache, bytes_of ("a"), &nothing, 0), RAGIFY_E_UNAVAILABLE, "has lost its master");
  redis_server_ask (&replica, "REPLICAOF NO ONE");
  must_set (&cache, "a", "of a");
  must_get (&cache, "a", "of a");
  cache_close (&cache);
  redis_server_end (&master);
  redis_server_end (&replica);
}

/* More than may wait fails at once; what waits is answered. */
static void
test_too_many_in_flight (void **state)
{
  (void)state;
  static const char *const config[] = { "max-in-flight=10", NULL };
  Cache cache;
  RedisServer server = { 0 };
  RagifyKitCall *calls[30];
  int full = 0;
  redis_server_start (&server, NULL);
  cache_open (&cache, server.port, config);
  must_set (&cache, "a", "of a");
  const RagifyCacheGet get = { .struct_size = sizeof get, .key = bytes_of ("a") };
  redis_server_signal (&server, SIGSTOP);
  for (int i = 0; i < 30; i++)
    calls[i] = ragify_kit_begin (cache.instance, (RagifyKitFunction)cache.operations->get, &get, 0);
  (void)cache_stat (&cache, "hits"); /* all of them have been taken up */
  redis_server_signal (&server, SIGCONT);
  for (int i = 0; i < 30; i++) {
    RagifyKitCall *call = ragify_kit_wait (calls[i]);
    const RagifyCacheGetResult *result = call->result;
    full += call->code == RAGIFY_E_EXHAUSTED;
    if (result != NULL)
      result->value->unref (result->value);
    ragify_kit_call_free (call);
  }
  assert_int_equal (full, 20);
  cache_close (&cache);
  redis_server_end (&server);
}

/* ---- under load ---- */

typedef struct Load {
  Cache *cache;
  int number;
  pthread_t thread;
  atomic_bool *quit;
  int wrong;
  int right;
} Load;

static void *
run_load (void *user)
{
  Load *load = user;
  for (int i = 0; !*load->quit; i++) {
    char key[32];
    RagifyBuffer *value = NULL;
    (void)snprintf (key, sizeof key, "k%d", (load->number * 31 + i) % 40);
    (void)cache_set (load->cache, bytes_of (key), key, strlen (key), 0, SHORT_US);
    if (cache_get (load->cache, bytes_of (key), &value, SHORT_US) != RAGIFY_OK || value == NULL)
      continue;
    if (value->size == strlen (key) && memcmp (value->data, key, value->size) == 0)
      load->right++;
    else
      load->wrong++;
    value->unref (value);
  }
  return NULL;
}

static void
await_right (Load *loads, int more)
{
  Cache *cache = loads[0].cache;
  const int64_t enough = cache_stat (cache, "hits") + more;
  for (int i = 0; i < 6000 && cache_stat (cache, "hits") < enough; i++)
    (void)usleep (10000);
  assert_true (cache_stat (cache, "hits") >= enough);
}

static void
test_no_wrong_answer_whatever_happens_under_load (void **state)
{
  (void)state;
  static const char *const faults[] = { "delay 60",  "cut 700", "garbage 2b4f4b0d0a", "before 24310d0a780d0a", "stall",
                                        "reset 333", "refuse",  "before 242d310d0a",  "throttle 20000" };
  Cache cache;
  RedisServer server = { 0 };
  FaultProxy proxy;
  Load loads[4];
  atomic_bool quit = false;
  open_proxied (&cache, &proxy, &server, quick);
  for (int i = 0; i < 4; i++) {
    loads[i] = (Load){ .cache = &cache, .number = i, .quit = &quit };
    assert_int_equal (pthread_create (&loads[i].thread, NULL, run_load, &loads[i]), 0);
  }
  for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
    await_right (loads, 50);
    fault_proxy_tell (&proxy, faults[i]);
    (void)usleep (200000);
    if (i % 3 == 2)
      redis_server_restart (&server);
    fault_proxy_tell (&proxy, "pass");
  }
  await_right (loads, 50);
  quit = true;
  for (int i = 0; i < 4; i++) {
    (void)pthread_join (loads[i].thread, NULL);
    assert_int_equal (loads[i].wrong, 0);
    assert_true (loads[i].right > 0);
  }
  end_proxied (&cache, &proxy, &server);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (test_refused),
    cmocka_unit_test (test_a_name_that_does_not_exist),
    cmocka_unit_test (test_stopped),
    cmocka_unit_test (test_slow),
    cmocka_unit_test (test_cancelled_calls_leave_the_others_right),
    cmocka_unit_test (test_garbage_ends_the_connection),
    cmocka_unit_test (test_not_a_redis),
    cmocka_unit_test (test_replies_that_are_one_place_off),
    cmocka_unit_test (test_cut_in_the_middle_of_a_reply),
    cmocka_unit_test (test_restarted_empty),
    cmocka_unit_test (test_out_of_memory),
    cmocka_unit_test (test_read_only_replica),
    cmocka_unit_test (test_too_many_in_flight),
    cmocka_unit_test (test_no_wrong_answer_whatever_happens_under_load),
  };
  cmocka_set_message_output (CM_OUTPUT_TAP);
  return cmocka_run_group_tests_name ("cache-redis fault", tests, NULL, NULL);
}
