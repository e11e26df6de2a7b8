/* The load generator against a small server of its own, which can stall, refuse and break off. */
#include "tools/ragify-bench/load-run.h"

#include "tap.h"

#include <netinet/in.h>
#include <poll.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

enum {
  CONNECTIONS = 64,
  STALL = 400, /* ms */
};

/* One thread that polls its connections and answers each request as it comes. */
typedef struct {
  int listener;
  guint16 port;
  GThread *thread;
  _Atomic gboolean stop;
  guint requests;     /* seen so far; of the server's thread */
  guint stall_at;     /* the request before which it sleeps for STALL, 0: none */
  guint close_every;  /* every so many requests it closes instead of answering */
  const char *answer; /* bytes */
} Server;

static const char good_answer[] =
    "HTTP/1.1 200 OK\r\nContent-Length: 35\r\n\r\n{\"cache\":\"memory\",\"degraded\":false}";

/* Requests here are small and have no body: each ends with an empty line. Returns FALSE when the connection is to be
 * closed. */
static gboolean
serve (Server *server, int fd)
{
  char buffer[4096];
  gssize count = recv (fd, buffer, sizeof buffer - 1, 0);
  if (count <= 0)
    return FALSE;
  buffer[count] = '\0';
  for (const char *p = strstr (buffer, "\r\n\r\n"); p != NULL; p = strstr (p + 4, "\r\n\r\n")) {
    server->requests++;
    if (server->stall_at == server->requests)
      g_usleep (STALL * 1000);
    if (server->close_every > 0 && server->requests % server->close_every == 0)
      return FALSE;
    if (send (fd, server->answer, strlen (server->answer), MSG_NOSIGNAL) < 0)
      return FALSE;
  }
  return TRUE;
}

static gpointer
run_server (gpointer data)
{
  Server *server = data;
  struct pollfd fds[CONNECTIONS + 1] = { { .fd = server->listener, .events = POLLIN } };
  nfds_t count = 1;
  while (!atomic_load (&server->stop)) {
    if (poll (fds, count, 20) <= 0)
      continue;
    for (nfds_t i = count - 1; i > 0; i--)
      if (fds[i].revents != 0 && !serve (server, fds[i].fd)) {
        close (fds[i].fd);
        fds[i] = fds[--count];
      }
    if (fds[0].revents != 0 && count <= CONNECTIONS)
      fds[count++] = (struct pollfd){ .fd = accept (server->listener, NULL, NULL), .events = POLLIN };
  }
  for (nfds_t i = 0; i < count; i++)
    close (fds[i].fd);
  return NULL;
}

static void
start_server (Server *server)
{
  struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl (INADDR_LOOPBACK) };
  socklen_t length = sizeof address;
  server->listener = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  assert_int_equal (bind (server->listener, (struct sockaddr *)&address, sizeof address), 0);
  assert_int_equal (listen (server->listener, 64), 0);
  getsockname (server->listener, (struct sockaddr *)&address, &length);
  server->port = ntohs (address.sin_port);
  if (server->answer == NULL)
    server->answer = good_answer;
  server->thread = g_thread_new ("server", run_server, server);
}

static void
stop_server (Server *server)
{
  atomic_store (&server->stop, TRUE);
  g_thread_join (server->thread);
}

/* Runs a plan against the server; plan's endpoint, requests and sampler are filled in. */
static RagifyLoadResult *
run (const Server *server, RagifyLoadPlan plan, GError **error)
{
  g_autofree char *url = g_strdup_printf ("http://127.0.0.1:%u/", server->port);
  g_autoptr (RagifyEndpoint) endpoint = ragify_endpoint_new (url, NULL);
  g_autoptr (GPtrArray) requests = g_ptr_array_new_with_free_func ((GDestroyNotify)g_bytes_unref);
  g_autoptr (RagifyQuerySampler) sampler = ragify_query_sampler_new (RAGIFY_DISTRIBUTION_UNIFORM, 1, 1, 1);
  g_ptr_array_add (requests, ragify_endpoint_make_request (endpoint, "GET", "/", NULL, NULL, 0));
  plan.endpoint = endpoint;
  plan.requests = requests;
  plan.sampler = sampler;
  return ragify_load_run (&plan, error);
}

static void
a_closed_loop_sends_as_many_as_asked (void **state)
{
  Server server = { 0 };
  start_server (&server);
  g_autoptr (RagifyLoadResult) result =
      run (&server, (RagifyLoadPlan){ .connections = 8, .request_limit = 5000, .timeout = 30, .probe = TRUE }, NULL);
  stop_server (&server);
  assert_int_equal (result->sent, 5000);
  assert_int_equal (ragify_load_result_count_succeeded (result), 5000);
  assert_int_equal (ragify_load_result_count_failed (result), 0);
  assert_int_equal (server.requests, 5000);
  assert_int_equal (ragify_latency_histogram_get_count (result->latency), 5000);
  assert_int_equal (*(guint64 *)g_hash_table_lookup (result->levels, "memory"), 5000);
  assert_int_equal (result->body_bytes, 5000 * 35);
}

/* A server that stalls once delays, in an open loop, all that became due meanwhile; in a closed loop only those that
 * were under way. Only lower bounds are checked: a slow machine makes both longer. */
static void
an_open_loop_counts_from_when_requests_were_due (void **state)
{
  Server server = { .stall_at = 50 };
  start_server (&server);
  g_autoptr (RagifyLoadResult) result =
      run (&server, (RagifyLoadPlan){ .connections = 4, .rate = 500, .request_limit = 300, .timeout = 30 }, NULL);
  stop_server (&server);
  assert_int_equal (ragify_load_result_count_succeeded (result), 300);
  /* 500 a second for 0.4 s: 200 of the 300 became due during the stall, so the median waited for a good part of it. */
  assert_true (ragify_latency_histogram_get_percentile (result->latency, 50) > 20 * 1000000ull);
  assert_true (ragify_latency_histogram_get_percentile (result->latency, 90) > 200 * 1000000ull);
  assert_true (ragify_latency_histogram_get_max (result->latency) >= STALL * 1000000ull);
}

static void
connections_that_break_off_are_counted_and_replaced (void **state)
{
  Server server = { .close_every = 10 };
  start_server (&server);
  g_autoptr (RagifyLoadResult) result =
      run (&server, (RagifyLoadPlan){ .connections = 4, .request_limit = 40, .timeout = 30 }, NULL);
  stop_server (&server);
  assert_int_equal (ragify_load_result_count_succeeded (result), 36);
  assert_int_equal (result->errors[RAGIFY_LOAD_ERROR_CLOSED], 4);
}

static void
answers_that_are_none_are_counted_as_malformed (void **state)
{
  Server server = { .answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokay" };
  start_server (&server);
  g_autoptr (RagifyLoadResult) result =
      run (&server, (RagifyLoadPlan){ .connections = 1, .request_limit = 2, .timeout = 30 }, NULL);
  stop_server (&server);
  assert_int_equal (result->errors[RAGIFY_LOAD_ERROR_MALFORMED], 2);
  assert_non_null (result->malformed);
}

static void
refusals_are_counted_by_status_and_have_no_latency (void **state)
{
  Server server = { .answer = "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n" };
  start_server (&server);
  g_autoptr (RagifyLoadResult) result =
      run (&server, (RagifyLoadPlan){ .connections = 2, .request_limit = 20, .timeout = 30 }, NULL);
  stop_server (&server);
  assert_int_equal (result->statuses[503], 20);
  assert_int_equal (ragify_load_result_count_failed (result), 20);
  assert_int_equal (ragify_latency_histogram_get_count (result->latency), 0);
}

static void
a_silent_server_times_out_and_its_requests_keep_their_age (void **state)
{
  Server server = { .stall_at = 1 };
  start_server (&server);
  g_autoptr (RagifyLoadResult) result =
      run (&server, (RagifyLoadPlan){ .connections = 1, .request_limit = 1, .timeout = 0.1 }, NULL);
  stop_server (&server);
  assert_int_equal (result->errors[RAGIFY_LOAD_ERROR_TIMEOUT], 1);
  assert_true (ragify_latency_histogram_get_max (result->latency) >= 100 * 1000000ull);
}

static void
no_server_is_an_error (void **state)
{
  const Server server = { .port = 1 };
  g_autoptr (GError) error = NULL;
  assert_null (run (&server, (RagifyLoadPlan){ .connections = 2, .request_limit = 2, .timeout = 5 }, &error));
  assert_int_equal (error->code, RAGIFY_ENDPOINT_ERROR_UNREACHABLE);
  assert_non_null (strstr (error->message, "Connection refused"));
}

int
main (void)
{
  cmocka_set_message_output (CM_OUTPUT_TAP);
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (a_closed_loop_sends_as_many_as_asked),
    cmocka_unit_test (an_open_loop_counts_from_when_requests_were_due),
    cmocka_unit_test (connections_that_break_off_are_counted_and_replaced),
    cmocka_unit_test (answers_that_are_none_are_counted_as_malformed),
    cmocka_unit_test (refusals_are_counted_by_status_and_have_no_latency),
    cmocka_unit_test (a_silent_server_times_out_and_its_requests_keep_their_age),
    cmocka_unit_test (no_server_is_an_error),
  };
  return cmocka_run_group_tests (tests, NULL, NULL);
}
