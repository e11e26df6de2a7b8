/* The server as a whole, through real sockets, over a pipeline whose source does as it is told: what happens while
 * answers take their time.
 *
 * SPDX-License-Identifier: MIT
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <netinet/in.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "core/server/server.h"
#include "rig.h"

#define ASK "POST /v1/context HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 17\r\n\r\n"
#define QUESTION "{\"query\": \"cats\"}"
#define PATIENCE_US (20 * G_USEC_PER_SEC)

static const Passage passages[] = { { "d1", "Cats", "file:///cats.txt", "cats sleep most of the day", "" } };

typedef struct {
  RagifyServing base;
  RagifyPipeline *pipeline;
  gint *freed; /* atomic */
} Serving;

typedef struct {
  Rig *rig;
  Script source;
  RagifyPipeline *pipeline;
  RagifyServer *server;
  gint freed;
} World;

/* ---- the world ---- */

static void
serving_free (RagifyServing *base)
{
  Serving *serving = (Serving *)base;
  g_atomic_int_inc (serving->freed);
  g_free (serving);
}

static Serving *
serving_new (World *world)
{
  Serving *serving = g_new0 (Serving, 1);
  serving->pipeline = world->pipeline;
  serving->freed = &world->freed;
  serving->base =
      (RagifyServing){ .references = 1, .pipelines = &serving->pipeline, .n_pipelines = 1, .free = serving_free };
  return serving;
}

static void
listen_with (World *world, RagifyListenOptions options)
{
  Serving *serving = serving_new (world);
  options.listen = "127.0.0.1:0";
  world->server = ragify_server_new (&world->rig->runtime, &options, &serving->base, NULL);
  assert_non_null (world->server);
  ragify_serving_unref (&serving->base);
}

static int
set_up (void **state)
{
  World *world = g_new0 (World, 1);
  world->rig = rig_new (2);
  world->source.passages = passages;
  world->source.n_passages = 1;
  const RagifyRetriever retriever = { .type = RAGIFY_RETRIEVER_SOURCE,
                                      .node = rig_scripted (world->rig, "tickets", &scripted_source, &world->source),
                                      .source_type = "database",
                                      .weight = 1 };
  const RagifyPipelineOptions options = {
    .name = "default", .retrievers = &retriever, .n_retrievers = 1, .deadline_us = PATIENCE_US
  };
  world->pipeline = ragify_pipeline_new (&world->rig->runtime, &options);
  *state = world;
  return 0;
}

static int
tear_down (void **state)
{
  World *world = *state;
  Rig *rig = world->rig;
  ragify_server_free (world->server);
  while (rig->nodes->len > 0)
    assert_true (
        ragify_node_free (g_ptr_array_steal_index (rig->nodes, rig->nodes->len - 1), ragify_now () + PATIENCE_US));
  ragify_pipeline_free (world->pipeline);
  rig_free (rig);
  assert_true (world->freed > 0);
  g_free (world);
  return 0;
}

static void
wait_until_equal (const gint *value, gint wanted)
{
  const guint64 deadline = ragify_now () + PATIENCE_US;
  while (g_atomic_int_get (value) != wanted) {
    assert_true (ragify_now () < deadline);
    g_usleep (1000);
  }
}

/* ---- a client ---- */

static struct sockaddr_in
server_place (const World *world)
{
  const char *port = strrchr (ragify_server_address (world->server), ':') + 1;
  return (struct sockaddr_in){ .sin_family = AF_INET,
                               .sin_addr.s_addr = htonl (INADDR_LOOPBACK),
                               .sin_port = htons ((guint16)g_ascii_strtoull (port, NULL, 10)) };
}

static int
client_connect (const World *world)
{
  const struct sockaddr_in address = server_place (world);
  const struct timeval patience = { .tv_sec = 20 };
  const int client = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  assert_int_equal (connect (client, (const struct sockaddr *)&address, sizeof address), 0);
  setsockopt (client, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  return client;
}

static void
client_send (int client, const char *text)
{
  assert_int_equal (send (client, text, strlen (text), MSG_NOSIGNAL), strlen (text));
}

static int
client_ask (const World *world)
{
  const int client = client_connect (world);
  client_send (client, ASK QUESTION);
  return client;
}

/* One answer, or "" when the connection ended. Free with g_free. */
static char *
client_read (int client)
{
  g_autoptr (GString) text = g_string_new (NULL);
  while (TRUE) {
    char piece[4096];
    const ssize_t size = recv (client, piece, sizeof piece, 0);
    if (size <= 0)
      return g_strdup (text->str);
    g_string_append_len (text, piece, size);
    const char *length = strstr (text->str, "Content-Length: ");
    const char *body = strstr (text->str, "\r\n\r\n");
    if (body != NULL && length != NULL && strlen (body + 4) >= g_ascii_strtoull (length + 16, NULL, 10))
      return g_strdup (text->str);
  }
}

static void
expect (int client, guint status, const char *part)
{
  g_autofree char *answer = client_read (client);
  g_autofree char *start = g_strdup_printf ("HTTP/1.1 %u ", status);
  if (!g_str_has_prefix (answer, start) || strstr (answer, part) == NULL)
    fail_msg ("expected %u with '%s', found '%s'", status, part, answer);
}

static void
expect_path (const World *world, const char *path, guint status, const char *part)
{
  const int client = client_connect (world);
  g_autofree char *request = g_strdup_printf ("GET %s HTTP/1.1\r\nHost: a\r\n\r\n", path);
  client_send (client, request);
  expect (client, status, part);
  close (client);
}

/* Until nobody listens at its address. */
static void
wait_until_refused (const World *world)
{
  const guint64 deadline = ragify_now () + PATIENCE_US;
  while (TRUE) {
    const int client = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const struct sockaddr_in address = server_place (world);
    const gboolean refused = connect (client, (const struct sockaddr *)&address, sizeof address) != 0;
    close (client);
    if (refused)
      return;
    assert_true (ragify_now () < deadline);
    g_usleep (1000);
  }
}

/* ---- tests ---- */

static void
an_answer_that_takes_time_arrives (void **state)
{
  World *world = *state;
  world->source.delay_ms = 50;
  listen_with (world, (RagifyListenOptions){ 0 });
  const int client = client_ask (world);
  expect (client, 200, "cats sleep most of the day");
  /* The connection goes on. */
  client_send (client, ASK QUESTION ASK QUESTION);
  expect (client, 200, "cats sleep most of the day");
  expect (client, 200, "cats sleep most of the day");
  close (client);
}

static void
many_wait_at_once (void **state)
{
  World *world = *state;
  world->source.delay_ms = 1;
  listen_with (world, (RagifyListenOptions){ 0 });
  int clients[200];
  for (guint round = 0; round < 3; round++) {
    for (guint i = 0; i < G_N_ELEMENTS (clients); i++)
      clients[i] = client_ask (world);
    for (guint i = 0; i < G_N_ELEMENTS (clients); i++) {
      expect (clients[i], 200, "cats sleep most of the day");
      close (clients[i]);
    }
  }
}

static void
requests_beyond_the_limit_are_refused_before_work_is_started (void **state)
{
  World *world = *state;
  world->source.hangs = TRUE;
  listen_with (world, (RagifyListenOptions){ .max_requests = 2 });
  const int first = client_ask (world);
  const int second = client_ask (world);
  wait_until_equal (&world->source.calls, 2);
  const int third = client_ask (world);
  expect (third, 503, "Retry-After: 1");
  assert_int_equal (world->source.calls, 2);
  expect_path (world, "/livez", 200, "alive");
  expect_path (world, "/readyz", 200, "ready");
  expect_path (world, "/metrics", 200, "ragify_http_requests_waiting 2");

  /* Who leaves makes room. */
  close (first);
  close (second);
  wait_until_equal (&world->source.cancels, 2);
  world->source.hangs = FALSE;
  RagifySeries *waiting = ragify_metrics_series (world->rig->runtime.metrics, RAGIFY_SERIES_GAUGE,
                                                 "ragify_http_requests_waiting", "", NULL);
  const guint64 deadline = ragify_now () + PATIENCE_US;
  while (ragify_series_value (waiting) > 0 && ragify_now () < deadline)
    g_usleep (1000);
  client_send (third, ASK QUESTION);
  expect (third, 200, "cats sleep most of the day");
  close (third);
}

static void
a_client_that_leaves_is_no_longer_computed_for (void **state)
{
  World *world = *state;
  world->source.hangs = TRUE;
  listen_with (world, (RagifyListenOptions){ 0 });
  RagifyMetrics *metrics = world->rig->runtime.metrics;
  RagifySeries *connections = ragify_metrics_series (metrics, RAGIFY_SERIES_GAUGE, "ragify_http_connections", "", NULL);
  RagifySeries *accepted =
      ragify_metrics_series (metrics, RAGIFY_SERIES_COUNTER, "ragify_http_accepted_total", "", NULL);
  for (guint i = 0; i < 30; i++) {
    const gint calls = g_atomic_int_get (&world->source.calls);
    const int client = client_ask (world);
    if (i % 3 > 0) /* otherwise its leaving may come before the work, or with the request */
      wait_until_equal (&world->source.calls, calls + 1);
    if (i % 3 > 1) /* ending its own side alone counts as leaving */
      shutdown (client, SHUT_WR);
    else
      close (client);
    const guint64 deadline = ragify_now () + PATIENCE_US;
    while (ragify_series_value (accepted) < i + 1 || ragify_series_value (connections) > 0 ||
           g_atomic_int_get (&world->source.cancels) != g_atomic_int_get (&world->source.calls)) {
      assert_true (ragify_now () < deadline);
      g_usleep (1000);
    }
    if (i % 3 > 1)
      close (client);
  }
}

typedef struct Draining {
  World *world;
  guint64 patience;
  guint left;
} Draining;

static void *
drain (void *data)
{
  Draining *draining = data;
  draining->left = ragify_server_drain (draining->world->server, ragify_now () + draining->patience);
  return NULL;
}

static void
draining_waits_for_what_is_under_way (void **state)
{
  World *world = *state;
  world->source.holds = TRUE;
  listen_with (world, (RagifyListenOptions){ 0 });
  const int client = client_ask (world);
  const int idle = client_connect (world);
  expect_path (world, "/readyz", 200, "ready");
  wait_until_equal (&world->source.calls, 1);

  Draining draining = { .world = world, .patience = PATIENCE_US, .left = 99 };
  pthread_t thread;
  ragify_server_set_unready (world->server, "shutting down");
  assert_int_equal (pthread_create (&thread, NULL, drain, &draining), 0);
  wait_until_refused (world);
  /* Connections that are open are served until the end. */
  client_send (idle, "GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n");
  expect (idle, 503, "shutting down");
  world->source.holds = FALSE;
  expect (client, 200, "Connection: close");
  pthread_join (thread, NULL);
  assert_int_equal (draining.left, 0);
  close (client);
  close (idle);
}

static void
draining_ends_at_its_deadline (void **state)
{
  World *world = *state;
  world->source.hangs = TRUE;
  listen_with (world, (RagifyListenOptions){ 0 });
  const int client = client_ask (world);
  wait_until_equal (&world->source.calls, 1);
  assert_int_equal (ragify_server_drain (world->server, ragify_now () + 50000), 1);
  ragify_server_free (g_steal_pointer (&world->server));
  g_autofree char *nothing = client_read (client);
  assert_string_equal (nothing, "");
  wait_until_equal (&world->source.cancels, 1);
  close (client);
}

static void
what_was_queued_on_the_socket_is_served_when_draining (void **state)
{
  World *world = *state;
  listen_with (world, (RagifyListenOptions){ 0 });
  int clients[64];
  for (guint i = 0; i < G_N_ELEMENTS (clients); i++)
    clients[i] = client_ask (world);
  assert_int_equal (ragify_server_drain (world->server, ragify_now () + PATIENCE_US), 0);
  for (guint i = 0; i < G_N_ELEMENTS (clients); i++) {
    expect (clients[i], 200, "cats sleep most of the day");
    close (clients[i]);
  }
}

static void
a_request_keeps_what_it_began_with (void **state)
{
  World *world = *state;
  world->source.delay_ms = 200;
  listen_with (world, (RagifyListenOptions){ 0 });
  const int client = client_ask (world);
  wait_until_equal (&world->source.calls, 1);
  Serving *next = serving_new (world);
  ragify_server_set_serving (world->server, &next->base);
  ragify_serving_unref (&next->base);
  assert_int_equal (g_atomic_int_get (&world->freed), 0);
  expect (client, 200, "cats sleep most of the day");
  wait_until_equal (&world->freed, 1);
  close (client);
}

static void
readiness_says_why_not (void **state)
{
  World *world = *state;
  listen_with (world, (RagifyListenOptions){ 0 });
  expect_path (world, "/readyz", 200, "ready");
  ragify_server_set_unready (world->server, "the store is being read");
  expect_path (world, "/readyz", 503, "the store is being read");
  expect_path (world, "/v1/health", 200, "\"unhealthy\"");
  expect_path (world, "/livez", 200, "alive");
  ragify_server_set_unready (world->server, NULL);
  expect_path (world, "/readyz", 200, "ready");
}

static void
an_address_that_cannot_be_is_named (void **state)
{
  World *world = *state;
  listen_with (world, (RagifyListenOptions){ 0 });
  Serving *serving = serving_new (world);
  const RagifyListenOptions options = { .listen = "127.0.0.1:nowhere" };
  g_autoptr (GError) error = NULL;
  assert_null (ragify_server_new (&world->rig->runtime, &options, &serving->base, &error));
  assert_non_null (strstr (error->message, "127.0.0.1:nowhere"));
  ragify_serving_unref (&serving->base);
}

int
main (void)
{
#define TEST(function) cmocka_unit_test_setup_teardown (function, set_up, tear_down)
  const struct CMUnitTest tests[] = {
    TEST (an_answer_that_takes_time_arrives),
    TEST (many_wait_at_once),
    TEST (requests_beyond_the_limit_are_refused_before_work_is_started),
    TEST (a_client_that_leaves_is_no_longer_computed_for),
    TEST (draining_waits_for_what_is_under_way),
    TEST (draining_ends_at_its_deadline),
    TEST (what_was_queued_on_the_socket_is_served_when_draining),
    TEST (a_request_keeps_what_it_began_with),
    TEST (readiness_says_why_not),
    TEST (an_address_that_cannot_be_is_named),
  };
  cmocka_set_message_output (CM_OUTPUT_TAP);
  return cmocka_run_group_tests_name ("server", tests, NULL, NULL);
}
