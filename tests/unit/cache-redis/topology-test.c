/* The Redis level over TLS, with users, with Sentinel and in a cluster, against real servers. */
#include "cache-fixture.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static RagifyBuffer *nothing;

/* ---- TLS ---- */

static void
make_certificate (const char *folder, const char *name)
{
  char command[500];
  (void)snprintf (command, sizeof command,
                  "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 "
                  "-keyout %s/%s.key -out %s/%s.pem -subj /CN=localhost "
                  "-addext subjectAltName=DNS:localhost,IP:127.0.0.1 2>/dev/null",
                  folder, name, folder, name);
  assert_int_equal (system (command), 0);
}

typedef struct Tls {
  RedisServer server;
  char certificate[96], key[96], other[96];
  char url[64];
} Tls;

static void
start_tls (Tls *tls)
{
  *tls = (Tls){ .server.tls = true };
  redis_server_prepare (&tls->server, NULL);
  make_certificate (tls->server.folder, "own");
  make_certificate (tls->server.folder, "other");
  (void)snprintf (tls->certificate, sizeof tls->certificate, "%s/own.pem", tls->server.folder);
  (void)snprintf (tls->key, sizeof tls->key, "%s/own.key", tls->server.folder);
  (void)snprintf (tls->other, sizeof tls->other, "tls-ca=%s/other.pem", tls->server.folder);
  const char *const arguments[] = { "--tls-cert-file",    tls->certificate, "--tls-key-file",     tls->key,
                                    "--tls-ca-cert-file", tls->certificate, "--tls-auth-clients", "optional" };
  for (size_t i = 0; i < sizeof arguments / sizeof arguments[0]; i++)
    tls->server.arguments[i] = arguments[i];
  redis_server_restart (&tls->server);
  (void)snprintf (tls->url, sizeof tls->url, "rediss://localhost:%u", tls->server.port);
}

static void
test_tls (void **state)
{
  (void)state;
  Tls tls;
  Cache cache;
  char ca[120];
  char certificate[120];
  char key[120];
  start_tls (&tls);
  (void)snprintf (ca, sizeof ca, "tls-ca=%s", tls.certificate);
  (void)snprintf (certificate, sizeof certificate, "tls-certificate=%s", tls.certificate);
  (void)snprintf (key, sizeof key, "tls-key=%s", tls.key);
  cache_open_url (&cache, tls.url, (const char *const[]){ ca, certificate, key, "compress-above=0", NULL });
  must_set (&cache, "a", "of a");
  must_get (&cache, "a", "of a");
  uint8_t *large = calloc (1, 3000000);
  assert_non_null (large);
  RagifyBuffer *value = NULL;
  assert_int_equal (cache_set (&cache, bytes_of ("large"), large, 3000000, 0, 0), RAGIFY_OK);
  assert_int_equal (cache_get (&cache, bytes_of ("large"), &value, 0), RAGIFY_OK);
  assert_non_null (value);
  assert_int_equal (value->size, 3000000);
  assert_memory_equal (value->data, large, 3000000);
  value->unref (value);
  free (large);
  cache_close (&cache);
  redis_server_end (&tls.server);
}

static void
test_tls_with_a_wrong_certificate (void **state)
{
  (void)state;
  Tls tls;
  Cache cache;
  char plain[64];
  start_tls (&tls);
  cache_open_url (&cache, tls.url, (const char *const[]){ tls.other, NULL });
  must_fail (cache_get (&cache, bytes_of ("a"), &nothing, 0), RAGIFY_E_UNAUTHORIZED, "certificate is refused");
  cache_close (&cache);
  cache_open_url (&cache, tls.url, (const char *const[]){ tls.other, "tls-verify=false", NULL });
  must_set (&cache, "a", "of a");
  cache_close (&cache);
  /* In the clear to a server that wants TLS, and the other way round. */
  (void)snprintf (plain, sizeof plain, "redis://localhost:%u", tls.server.port);
  cache_open_url (&cache, plain, NULL);
  must_fail (cache_get (&cache, bytes_of ("a"), &nothing, 0), RAGIFY_E_UNAVAILABLE, "localhost:");
  cache_close (&cache);
  RedisServer clear = { 0 };
  redis_server_start (&clear, NULL);
  (void)snprintf (plain, sizeof plain, "rediss://localhost:%u", clear.port);
  cache_open_url (&cache, plain, NULL);
  must_fail (cache_get (&cache, bytes_of ("a"), &nothing, 0), RAGIFY_E_UNAVAILABLE, "with TLS took too long");
  cache_close (&cache);
  redis_server_end (&clear);
  redis_server_end (&tls.server);
}

/* ---- users ---- */

static void
test_users_and_passwords (void **state)
{
  (void)state;
  Cache cache;
  RedisServer server = { 0 };
  char url[128];
  redis_server_start (&server, NULL);
  redis_server_ask (&server, "ACL SETUSER ann on >s3cr@t ~ragify:* +@all");
  redis_server_ask (&server, "ACL SETUSER ray on >look ~* +get +ping");
  redis_server_ask (&server, "ACL SETUSER default off");
  cache_open (&cache, server.port, NULL);
  must_fail (cache_get (&cache, bytes_of ("a"), &nothing, 0), RAGIFY_E_UNAUTHORIZED, "wants a password");
  cache_close (&cache);
  (void)snprintf (url, sizeof url, "redis://ann:s3cr%%40t@127.0.0.1:%u", server.port);
  cache_open_url (&cache, url, NULL);
  must_set (&cache, "a", "of a");
  must_get (&cache, "a", "of a");
  cache_close (&cache);
  (void)snprintf (url, sizeof url, "redis://ann:wrong-one@127.0.0.1:%u", server.port);
  cache_open_url (&cache, url, NULL);
  must_fail (cache_get (&cache, bytes_of ("a"), &nothing, 0), RAGIFY_E_UNAUTHORIZED, "refused user or password");
  assert_null (strstr (cache_said (), "wrong-one"));
  cache_close (&cache);
  cache_open (&cache, server.port, (const char *const[]){ "username=ray", "password=look", NULL });
  must_get (&cache, "a", "of a");
  must_fail (cache_set (&cache, bytes_of ("a"), "x", 1, 0, 0), RAGIFY_E_UNAUTHORIZED, "does not let this user");
  assert_int_equal (cache_probe (&cache), RAGIFY_OK); /* it may not INFO, but it is answered */
  cache_close (&cache);
  redis_server_end (&server);
}

static void
test_a_password_alone (void **state)
{
  (void)state;
  Cache cache;
  RedisServer server = { 0 };
  char url[128];
  redis_server_start (&server, NULL);
  redis_server_ask (&server, "CONFIG SET requirepass look/here");
  (void)snprintf (url, sizeof url, "redis://:look%%2Fhere@127.0.0.1:%u/2", server.port);
  cache_open_url (&cache, url, NULL);
  must_set (&cache, "a", "of a");
  must_get (&cache, "a", "of a");
  cache_close (&cache);
  cache_open (&cache, server.port, (const char *const[]){ "password=wrong", NULL });
  must_fail (cache_get (&cache, bytes_of ("a"), &nothing, 0), RAGIFY_E_UNAUTHORIZED, "refused user or password");
  cache_close (&cache);
  redis_server_end (&server);
}

/* ---- Sentinel ---- */

typedef struct Guarded {
  RedisServer master, replica, sentinel;
  char master_port[8];
  char path[100];
  char url[128];
} Guarded;

static void
start_guarded (Guarded *guarded)
{
  *guarded = (Guarded){ 0 };
  redis_server_start (&guarded->master, (const char *const[]){ "--repl-diskless-sync-delay", "0", NULL });
  (void)snprintf (guarded->master_port, sizeof guarded->master_port, "%u", guarded->master.port);
  redis_server_start (&guarded->replica, (const char *const[]){ "--replicaof", "127.0.0.1", guarded->master_port,
                                                                "--repl-diskless-sync-delay", "0", NULL });
  redis_server_await (&guarded->replica, "INFO replication", "master_link_status:up");
  redis_server_prepare (&guarded->sentinel, NULL);
  (void)snprintf (guarded->path, sizeof guarded->path, "%s/sentinel.conf", guarded->sentinel.folder);
  FILE *file = fopen (guarded->path, "w");
  assert_non_null (file);
  (void)fprintf (file,
                 "port %u\nbind 127.0.0.1\nlogfile %s/redis.log\ndir %s\nsentinel monitor main 127.0.0.1 %s 1\n"
                 "sentinel down-after-milliseconds main 500\nsentinel failover-timeout main 3000\n",
                 guarded->sentinel.port, guarded->sentinel.folder, guarded->sentinel.folder, guarded->master_port);
  (void)fclose (file);
  guarded->sentinel.arguments[0] = guarded->path;
  guarded->sentinel.arguments[1] = "--sentinel";
  redis_server_restart (&guarded->sentinel);
  redis_server_await (&guarded->sentinel, "SENTINEL replicas main", "127.0.0.1");
  /* The first one is not there: the next is asked. */
  (void)snprintf (guarded->url, sizeof guarded->url, "redis+sentinel://127.0.0.1:%u,127.0.0.1:%u/main", free_port (),
                  guarded->sentinel.port);
}

/* From now on nothing counts as down: on a machine that pauses Sentinel would change masters once more. */
static void
settle (Guarded *guarded)
{
  redis_server_await (&guarded->sentinel, "SENTINEL SET main down-after-milliseconds 600000", "OK");
}

static void
test_sentinel_failover (void **state)
{
  (void)state;
  Guarded guarded;
  Cache cache;
  start_guarded (&guarded);
  cache_open_url (&cache, guarded.url, (const char *const[]){ "reply-timeout=500ms", NULL });
  must_set (&cache, "a", "of a");
  assert_string_equal (redis_server_ask (&guarded.master, "DBSIZE"), "1");
  redis_server_await (&guarded.replica, "DBSIZE", "1");
  redis_server_kill (&guarded.master);
  redis_server_await (&guarded.replica, "ROLE", "master");
  await_set (&cache, "b", "of b");
  settle (&guarded);
  must_get (&cache, "a", "of a");
  assert_string_equal (redis_server_ask (&guarded.replica, "DBSIZE"), "2");
  /* The old master comes back and becomes a replica: the level stays where it is. */
  redis_server_restart (&guarded.master);
  redis_server_await (&guarded.master, "ROLE", "slave");
  await_set (&cache, "c", "of c");
  must_get (&cache, "c", "of c");
  cache_close (&cache);
  redis_server_end (&guarded.sentinel);
  redis_server_end (&guarded.replica);
  redis_server_end (&guarded.master);
}

/* The master is told to be a replica while we are connected to it: writes are refused, and Sentinel is asked again. */
static void
test_sentinel_is_asked_again_when_the_master_is_none_any_more (void **state)
{
  (void)state;
  Guarded guarded;
  Cache cache;
  start_guarded (&guarded);
  cache_open_url (&cache, guarded.url, NULL);
  must_set (&cache, "a", "of a");
  settle (&guarded);
  redis_server_await (&guarded.sentinel, "SENTINEL failover main", "OK");
  redis_server_await (&guarded.replica, "ROLE", "master");
  redis_server_await (&guarded.master, "ROLE", "slave");
  await_set (&cache, "b", "of b");
  must_get (&cache, "b", "of b");
  redis_server_await (&guarded.replica, "EXISTS ragify:b", "1");
  cache_close (&cache);
  redis_server_end (&guarded.sentinel);
  redis_server_end (&guarded.replica);
  redis_server_end (&guarded.master);
}

static void
test_sentinel_without_the_service (void **state)
{
  (void)state;
  Guarded guarded;
  Cache cache;
  char url[128];
  start_guarded (&guarded);
  (void)snprintf (url, sizeof url, "redis+sentinel://127.0.0.1:%u/absent", guarded.sentinel.port);
  cache_open_url (&cache, url, NULL);
  must_fail (cache_get (&cache, bytes_of ("a"), &nothing, 0), RAGIFY_E_NOT_FOUND, "knows no service 'absent'");
  cache_close (&cache);
  redis_server_end (&guarded.sentinel);
  redis_server_end (&guarded.replica);
  redis_server_end (&guarded.master);
}

/* ---- cluster ---- */

#define NODES 3

typedef struct Cluster {
  RedisServer nodes[NODES];
  char bus[NODES][8];
  char id[NODES][64];
} Cluster;

static void
start_cluster (Cluster *cluster)
{
  static const char *const ranges[NODES] = { "0 5460", "5461 10922", "10923 16383" };
  *cluster = (Cluster){ 0 };
  for (int i = 0; i < NODES; i++) {
    (void)snprintf (cluster->bus[i], sizeof cluster->bus[i], "%u", free_port ());
    redis_server_start (&cluster->nodes[i], (const char *const[]){ "--cluster-enabled", "yes", "--cluster-port",
                                                                   cluster->bus[i], "--cluster-require-full-coverage",
                                                                   "no", "--cluster-node-timeout", "2000", NULL });
    (void)snprintf (cluster->id[i], sizeof cluster->id[i], "%s", redis_server_ask (&cluster->nodes[i], "CLUSTER MYID"));
    redis_server_ask (&cluster->nodes[i], "CLUSTER ADDSLOTSRANGE %s", ranges[i]);
    redis_server_ask (&cluster->nodes[i], "CLUSTER SET-CONFIG-EPOCH %d", i + 1);
  }
  for (int i = 1; i < NODES; i++)
    redis_server_ask (&cluster->nodes[0], "CLUSTER MEET 127.0.0.1 %u %s", cluster->nodes[i].port, cluster->bus[i]);
  for (int i = 0; i < NODES; i++) {
    redis_server_await (&cluster->nodes[i], "CLUSTER INFO", "cluster_slots_ok:16384");
    redis_server_await (&cluster->nodes[i], "CLUSTER INFO", "cluster_state:ok");
  }
}

static void
end_cluster (Cluster *cluster)
{
  for (int i = 0; i < NODES; i++)
    redis_server_end (&cluster->nodes[i]);
}

static void
test_keys_are_spread_over_a_cluster (void **state)
{
  (void)state;
  Cluster cluster;
  Cache cache;
  char key[16];
  uint64_t count = 0;
  start_cluster (&cluster);
  cache_open (&cache, cluster.nodes[1].port, NULL); /* by a plain URL: redirects teach it the rest */
  for (int i = 0; i < 300; i++) {
    (void)snprintf (key, sizeof key, "%d", i);
    must_set (&cache, key, key);
  }
  for (int i = 0; i < 300; i++) {
    (void)snprintf (key, sizeof key, "%d", i);
    must_get (&cache, key, key);
  }
  for (int i = 0; i < NODES; i++)
    assert_true (atoi (redis_server_ask (&cluster.nodes[i], "DBSIZE")) > 50);
  const int64_t redirects = cache_stat (&cache, "redirects");
  assert_true (redirects > 0 && redirects < 100); /* the map spares the others the way round */
  assert_int_equal (cache_clear (&cache, RAGIFY_CACHE_CLEAR_ALL, &count), RAGIFY_OK);
  assert_int_equal (count, 300);
  cache_close (&cache);
  end_cluster (&cluster);
}

/* A slot on its way from one node to another: ASK while it moves, MOVED afterwards. */
static void
test_a_slot_that_moves (void **state)
{
  (void)state;
  Cluster cluster;
  Cache cache;
  char url[64];
  start_cluster (&cluster);
  (void)snprintf (url, sizeof url, "redis+cluster://127.0.0.1:%u,127.0.0.1:%u", cluster.nodes[0].port,
                  cluster.nodes[1].port);
  cache_open_url (&cache, url, NULL);
  must_set (&cache, "a", "of a");
  const int slot = atoi (redis_server_ask (&cluster.nodes[0], "CLUSTER KEYSLOT ragify:b"));
  const int from = slot <= 5460 ? 0 : slot <= 10922 ? 1 : 2;
  const int to = (from + 1) % NODES;
  redis_server_ask (&cluster.nodes[to], "CLUSTER SETSLOT %d IMPORTING %s", slot, cluster.id[from]);
  redis_server_ask (&cluster.nodes[from], "CLUSTER SETSLOT %d MIGRATING %s", slot, cluster.id[to]);
  must_get (&cache, "b", NULL);
  must_set (&cache, "b", "of b");
  must_get (&cache, "b", "of b");
  assert_true (cache_stat (&cache, "redirects") >= 3);
  assert_int_equal (atoi (redis_server_ask (&cluster.nodes[to], "CLUSTER COUNTKEYSINSLOT %d", slot)), 1);
  redis_server_ask (&cluster.nodes[to], "CLUSTER SETSLOT %d NODE %s", slot, cluster.id[to]);
  redis_server_ask (&cluster.nodes[from], "CLUSTER SETSLOT %d NODE %s", slot, cluster.id[to]);
  must_get (&cache, "b", "of b");
  must_get (&cache, "a", "of a");
  cache_close (&cache);
  end_cluster (&cluster);
}

static void
test_a_node_that_is_lost (void **state)
{
  (void)state;
  Cluster cluster;
  Cache cache;
  char key[16];
  int lost = 0;
  start_cluster (&cluster);
  cache_open (&cache, cluster.nodes[0].port, (const char *const[]){ "reply-timeout=300ms", NULL });
  for (int i = 0; i < 60; i++) {
    (void)snprintf (key, sizeof key, "%d", i);
    must_set (&cache, key, key);
  }
  redis_server_kill (&cluster.nodes[2]);
  for (int i = 0; i < 60; i++) {
    RagifyBuffer *value = NULL;
    (void)snprintf (key, sizeof key, "%d", i);
    const int32_t code = cache_get (&cache, bytes_of (key), &value, 1000000);
    lost += code != RAGIFY_OK;
    if (value == NULL)
      continue;
    assert_memory_equal (value->data, key, strlen (key));
    value->unref (value);
  }
  assert_true (lost > 5 && lost < 40);
  cache_close (&cache);
  end_cluster (&cluster);
}

/* A master dies and its replica takes its place: the others are asked who has the slots now. */
static void
test_a_replica_takes_over_in_a_cluster (void **state)
{
  (void)state;
  Cluster cluster;
  Cache cache;
  RedisServer replica = { 0 };
  char bus[8];
  char key[16];
  start_cluster (&cluster);
  (void)snprintf (bus, sizeof bus, "%u", free_port ());
  redis_server_start (&replica, (const char *const[]){ "--cluster-enabled", "yes", "--cluster-port", bus,
                                                       "--cluster-require-full-coverage", "no",
                                                       "--cluster-node-timeout", "2000", NULL });
  redis_server_ask (&cluster.nodes[0], "CLUSTER MEET 127.0.0.1 %u %s", replica.port, bus);
  redis_server_await (&replica, "CLUSTER INFO", "cluster_slots_ok:16384");
  redis_server_ask (&cluster.nodes[2], "CONFIG SET repl-diskless-sync-delay 0");
  char command[100];
  (void)snprintf (command, sizeof command, "CLUSTER REPLICATE %s", cluster.id[2]);
  redis_server_await (&replica, command, "OK");
  redis_server_await (&replica, "INFO replication", "master_link_status:up");
  redis_server_await (&cluster.nodes[0], "CLUSTER SLOTS", "127.0.0.1");
  cache_open (&cache, cluster.nodes[0].port, (const char *const[]){ "reply-timeout=300ms", NULL });
  for (int i = 0; i < 40; i++) {
    (void)snprintf (key, sizeof key, "%d", i);
    must_set (&cache, key, key);
  }
  redis_server_kill (&cluster.nodes[2]);
  redis_server_await (&replica, "ROLE", "master");
  for (int i = 0; i < 40; i++) {
    (void)snprintf (key, sizeof key, "%d", i);
    await_set (&cache, key, key);
    must_get (&cache, key, key);
  }
  cache_close (&cache);
  redis_server_end (&replica);
  end_cluster (&cluster);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (test_tls),
    cmocka_unit_test (test_tls_with_a_wrong_certificate),
    cmocka_unit_test (test_users_and_passwords),
    cmocka_unit_test (test_a_password_alone),
    cmocka_unit_test (test_sentinel_failover),
    cmocka_unit_test (test_sentinel_is_asked_again_when_the_master_is_none_any_more),
    cmocka_unit_test (test_sentinel_without_the_service),
    cmocka_unit_test (test_keys_are_spread_over_a_cluster),
    cmocka_unit_test (test_a_slot_that_moves),
    cmocka_unit_test (test_a_node_that_is_lost),
    cmocka_unit_test (test_a_replica_takes_over_in_a_cluster),
  };
  cmocka_set_message_output (CM_OUTPUT_TAP);
  return cmocka_run_group_tests_name ("cache-redis topology", tests, NULL, NULL);
}
