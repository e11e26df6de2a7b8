#include "load-run.h"

#include "answer-probe.h"
#include "arrival-schedule.h"
#include "response-reader.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum {
  EVENTS = 256,
  RECEIVE_SIZE = 128 * 1024,
  CONNECTING_AT_ONCE = 64, /* gentle to the server's accept queue */
  LOOK_ROUND = 50,         /* ms between looks at time-outs and closed connections */
};

static const guint64 second = 1000 * 1000 * 1000;
static const guint64 retry_pause = 100 * 1000 * 1000; /* ns before a failed connection is tried again */

typedef enum {
  STATE_CLOSED, /* to be connected again after `since` + retry_pause */
  STATE_CONNECTING,
  STATE_FREE,
  STATE_BUSY,
} State;

typedef struct {
  struct _Run *run;
  int fd;
  State state;
  gboolean wants_write; /* registered for EPOLLOUT */
  guint64 since;        /* ns: when the request was due, or when the connection got into its state */
  const char *out;
  gsize out_length;
  RagifyResponseReader *reader;
  RagifyAnswerProbe probe;
} Connection;

/* A request of the open loop that found no connection free. */
typedef struct {
  guint64 due;
  guint index;
} Waiting;

typedef struct _Run {
  const RagifyLoadPlan *plan;
  RagifyLoadResult *result;
  Connection *connections;
  GPtrArray *free; /* of Connection: in state FREE (open loop only) */
  GQueue waiting;  /* of Waiting */
  RagifyArrivalSchedule *schedule;
  int epoll;
  int timer;
  int reason; /* errno of the last connection that failed */
  guint connecting;
  guint next_to_connect;
  guint busy;
  gboolean started;
  gboolean ended; /* no further request is due */
  guint64 start;
  guint64 last_answer;
  char *buffer;
} Run;

const char *
ragify_load_error_name (RagifyLoadError error)
{
  static const char *const names[RAGIFY_LOAD_ERRORS] = {
    [RAGIFY_LOAD_ERROR_CONNECT] = "connect",
    [RAGIFY_LOAD_ERROR_CLOSED] = "closed",
    [RAGIFY_LOAD_ERROR_MALFORMED] = "malformed",
    [RAGIFY_LOAD_ERROR_TIMEOUT] = "timeout",
  };
  return names[error];
}

void
ragify_load_result_free (RagifyLoadResult *result)
{
  if (result == NULL)
    return;
  ragify_latency_histogram_free (result->latency);
  ragify_latency_histogram_free (result->processing);
  g_hash_table_unref (result->levels);
  g_free (result);
}

guint64
ragify_load_result_count_succeeded (const RagifyLoadResult *result)
{
  guint64 count = 0;
  for (guint i = 200; i < 300; i++)
    count += result->statuses[i];
  return count;
}

guint64
ragify_load_result_count_failed (const RagifyLoadResult *result)
{
  guint64 count = 0;
  for (guint i = 0; i < RAGIFY_LOAD_STATUSES; i++)
    count += i < 200 || i >= 300 ? result->statuses[i] : 0;
  for (guint i = 0; i < RAGIFY_LOAD_ERRORS; i++)
    count += result->errors[i];
  return count;
}

static guint64
now (void)
{
  struct timespec time;
  clock_gettime (CLOCK_MONOTONIC, &time);
  return (guint64)time.tv_sec * second + (guint64)time.tv_nsec;
}

static double
own_cpu (void)
{
  struct timespec time;
  clock_gettime (CLOCK_PROCESS_CPUTIME_ID, &time);
  return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static void
watch (Connection *connection, gboolean write, int operation)
{
  struct epoll_event event = { .events = EPOLLIN | EPOLLRDHUP | (write ? EPOLLOUT : 0), .data.ptr = connection };
  connection->wants_write = write;
  epoll_ctl (connection->run->epoll, operation, connection->fd, &event);
}

static void
take_body (const char *bytes, gsize length, gpointer user_data)
{
  Connection *connection = user_data;
  connection->run->result->body_bytes += length;
  if (connection->run->plan->probe)
    ragify_answer_probe_feed (&connection->probe, bytes, length);
}

static void
set_closed (Connection *connection)
{
  Run *run = connection->run;
  if (connection->fd >= 0)
    close (connection->fd);
  if (connection->state == STATE_CONNECTING)
    run->connecting--;
  if (connection->state == STATE_BUSY)
    run->busy--;
  if (connection->state == STATE_FREE)
    g_ptr_array_remove_fast (run->free, connection);
  connection->fd = -1;
  connection->state = STATE_CLOSED;
  connection->since = now ();
}

static void
start_connecting (Connection *connection)
{
  connection->fd = ragify_endpoint_connect (connection->run->plan->endpoint, FALSE);
  if (connection->fd < 0) {
    connection->run->reason = errno;
    connection->run->result->errors[RAGIFY_LOAD_ERROR_CONNECT]++;
    connection->since = now ();
    return;
  }
  connection->run->connecting++;
  connection->state = STATE_CONNECTING;
  connection->since = now ();
  watch (connection, TRUE, EPOLL_CTL_ADD);
}

static void
fail (Connection *connection, RagifyLoadError error)
{
  connection->run->result->errors[error]++;
  set_closed (connection);
}

static void
go_on_sending (Connection *connection)
{
  gssize count = send (connection->fd, connection->out, connection->out_length, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (count < 0 && errno != EAGAIN && errno != EINTR) {
    fail (connection, RAGIFY_LOAD_ERROR_CLOSED);
    return;
  }
  gsize sent = count > 0 ? (gsize)count : 0;
  connection->out += sent;
  connection->out_length -= sent;
  if ((connection->out_length > 0) != connection->wants_write)
    watch (connection, connection->out_length > 0, EPOLL_CTL_MOD);
}

/* May another request be sent now? Ends the run where its bound is reached. */
static gboolean
may_send (Run *run, guint64 time)
{
  const RagifyLoadPlan *plan = run->plan;
  if (!run->started)
    return FALSE;
  if (plan->duration > 0 && (double)(time - run->start) >= plan->duration * 1e9)
    run->ended = TRUE;
  if (plan->request_limit > 0 && run->result->sent >= plan->request_limit)
    run->ended = TRUE;
  return !run->ended;
}

/* Sends a request on a connection that has nothing to do; due: the time its latency counts from. */
static void
send_request (Connection *connection, guint index, guint64 due)
{
  Run *run = connection->run;
  connection->out = g_bytes_get_data (g_ptr_array_index (run->plan->requests, index), &connection->out_length);
  connection->since = due;
  connection->state = STATE_BUSY;
  run->busy++;
  ragify_response_reader_reset (connection->reader);
  ragify_answer_probe_reset (&connection->probe);
  go_on_sending (connection);
}

/* Draws the next request, if there is one to be sent. */
static gboolean
draw (Run *run, guint64 time, guint *index)
{
  if (!may_send (run, time))
    return FALSE;
  if (!ragify_query_sampler_next (run->plan->sampler, index)) {
    run->ended = TRUE;
    return FALSE;
  }
  run->result->sent++;
  return TRUE;
}

/* The connection (not in `free`) has nothing to do: gives it what is due, or keeps it. */
static void
use_or_keep (Connection *connection)
{
  Run *run = connection->run;
  guint64 time = now ();
  guint index = 0;
  g_autofree Waiting *waiting = g_queue_pop_head (&run->waiting);
  if (waiting != NULL)
    send_request (connection, waiting->index, waiting->due);
  else if (run->schedule == NULL && draw (run, time, &index))
    send_request (connection, index, time);
  else {
    connection->state = STATE_FREE;
    g_ptr_array_add (run->free, connection);
  }
}

/* What the answer says about itself. */
static void
count_answer (RagifyLoadResult *result, const RagifyAnswerProbe *probe)
{
  const char *found = ragify_answer_probe_get_level (probe);
  const char *level = *found != '\0' ? found : "(none)";
  double time = ragify_answer_probe_get_processing_time (probe);
  guint64 *count = g_hash_table_lookup (result->levels, level);
  if (count == NULL) {
    count = g_new0 (guint64, 1);
    g_hash_table_insert (result->levels, g_strdup (level), count);
  }
  (*count)++;
  result->degraded += ragify_answer_probe_is_degraded (probe) ? 1 : 0;
  if (time >= 0 && time < 1e6)
    ragify_latency_histogram_record (result->processing, (guint64)(time * 1e9));
}

static void
take_answer (Connection *connection)
{
  Run *run = connection->run;
  guint64 time = now ();
  guint status = ragify_response_reader_get_status (connection->reader);
  run->last_answer = time;
  run->result->statuses[status < RAGIFY_LOAD_STATUSES ? status : 0]++;
  if (status >= 200 && status < 300) {
    ragify_latency_histogram_record (run->result->latency, time - connection->since);
    if (run->plan->probe)
      count_answer (run->result, &connection->probe);
  }
  if (!ragify_response_reader_keeps_alive (connection->reader)) {
    run->result->reconnects++;
    set_closed (connection);
    start_connecting (connection);
    return;
  }
  run->busy--;
  use_or_keep (connection);
}

static void
take_bytes (Connection *connection, gsize length)
{
  gsize consumed = 0;
  if (connection->state != STATE_BUSY) {
    connection->run->result->malformed = "bytes that nobody asked for";
    fail (connection, RAGIFY_LOAD_ERROR_MALFORMED);
    return;
  }
  RagifyResponseState state =
      ragify_response_reader_feed (connection->reader, connection->run->buffer, length, &consumed);
  if (state == RAGIFY_RESPONSE_MORE)
    return;
  if (state == RAGIFY_RESPONSE_BAD || consumed < length || connection->out_length > 0) {
    const char *problem = ragify_response_reader_get_problem (connection->reader);
    connection->run->result->malformed =
        problem != NULL ? problem : "bytes behind the answer's end, or an answer before the request's";
    fail (connection, RAGIFY_LOAD_ERROR_MALFORMED);
    return;
  }
  take_answer (connection);
}

static void
receive (Connection *connection)
{
  gssize count = recv (connection->fd, connection->run->buffer, RECEIVE_SIZE, MSG_DONTWAIT);
  if (count > 0)
    take_bytes (connection, (gsize)count);
  else if (count < 0 && (errno == EAGAIN || errno == EINTR))
    return;
  else if (connection->state == STATE_BUSY)
    fail (connection, RAGIFY_LOAD_ERROR_CLOSED);
  else {
    /* A server may close what is idle; that costs a new connection and is no error. */
    connection->run->result->reconnects++;
    set_closed (connection);
    start_connecting (connection);
  }
}

static void
finish_connecting (Connection *connection)
{
  int reason = 0;
  socklen_t length = sizeof reason;
  getsockopt (connection->fd, SOL_SOCKET, SO_ERROR, &reason, &length);
  if (reason != 0) {
    connection->run->reason = reason;
    fail (connection, RAGIFY_LOAD_ERROR_CONNECT);
    return;
  }
  connection->run->connecting--;
  watch (connection, FALSE, EPOLL_CTL_MOD);
  use_or_keep (connection);
}

static void
handle (Connection *connection, guint32 events)
{
  if (connection->state == STATE_CONNECTING) {
    if ((events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) != 0)
      finish_connecting (connection);
    return;
  }
  if ((events & EPOLLOUT) != 0 && connection->state == STATE_BUSY)
    go_on_sending (connection);
  if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLERR | EPOLLHUP)) != 0 && connection->fd >= 0)
    receive (connection);
}

/* Everything that is due goes to a free connection, or waits for one. */
static void
send_due (Run *run)
{
  guint64 time = now ();
  guint index = 0;
  for (;;) {
    guint64 due = run->start + ragify_arrival_schedule_peek (run->schedule);
    if (due > time || !draw (run, due, &index))
      return;
    run->result->worst_lag = MAX (run->result->worst_lag, (double)(time - due) * 1e-9);
    ragify_arrival_schedule_advance (run->schedule);
    if (run->free->len > 0)
      send_request (g_ptr_array_steal_index_fast (run->free, run->free->len - 1), index, due);
    else {
      const Waiting waiting = { .due = due, .index = index };
      g_queue_push_tail (&run->waiting, g_memdup2 (&waiting, sizeof waiting));
    }
  }
}

static void
arm_timer (Run *run)
{
  guint64 due = run->start + ragify_arrival_schedule_peek (run->schedule);
  const struct itimerspec setting = { .it_value = { .tv_sec = (time_t)(due / second),
                                                    .tv_nsec = (long)(due % second) } };
  timerfd_settime (run->timer, TFD_TIMER_ABSTIME, &setting, NULL);
}

static void
look_at (Connection *connection, guint64 time)
{
  Run *run = connection->run;
  guint64 age = time > connection->since ? time - connection->since : 0;
  if (connection->state == STATE_BUSY && (double)age > run->plan->timeout * 1e9) {
    ragify_latency_histogram_record (run->result->latency, age);
    fail (connection, RAGIFY_LOAD_ERROR_TIMEOUT);
    start_connecting (connection);
  } else if (connection->state == STATE_CONNECTING && (double)age > run->plan->timeout * 1e9)
    fail (connection, RAGIFY_LOAD_ERROR_CONNECT);
  else if (connection->state == STATE_CLOSED && run->started && age > retry_pause &&
           (!run->ended || run->waiting.length > 0))
    start_connecting (connection);
}

/* A request that found no connection in all its time timed out too. */
static void
drop_waiting (Run *run, guint64 time)
{
  const Waiting *first = g_queue_peek_head (&run->waiting);
  while (first != NULL && (double)(time - first->due) > run->plan->timeout * 1e9) {
    ragify_latency_histogram_record (run->result->latency, time - first->due);
    run->result->errors[RAGIFY_LOAD_ERROR_TIMEOUT]++;
    g_free (g_queue_pop_head (&run->waiting));
    first = g_queue_peek_head (&run->waiting);
  }
}

static void
turn (Run *run)
{
  struct epoll_event events[EVENTS];
  int count = epoll_wait (run->epoll, events, EVENTS, LOOK_ROUND);
  gboolean timer = FALSE;
  for (int i = 0; i < count; i++) {
    if (events[i].data.ptr == NULL)
      timer = TRUE;
    else
      handle (events[i].data.ptr, events[i].events);
  }
  if (timer) {
    guint64 expirations = 0;
    if (read (run->timer, &expirations, sizeof expirations) > 0)
      send_due (run);
    if (!run->ended)
      arm_timer (run);
  }
}

static void
look_round (Run *run, guint64 *looked)
{
  guint64 time = now ();
  if (time - *looked < (guint64)LOOK_ROUND * 1000 * 1000)
    return;
  *looked = time;
  drop_waiting (run, time);
  for (guint i = 0; i < run->plan->connections; i++)
    look_at (&run->connections[i], time);
  /* A client without an answer must not keep the end from being seen. */
  may_send (run, time);
}

/* Opens every connection before the first request, so that the run measures requests alone. */
static gboolean
connect_all (Run *run, GError **error)
{
  guint64 end = now () + (guint64)(run->plan->timeout * 1e9);
  do {
    while (run->next_to_connect < run->plan->connections && run->connecting < CONNECTING_AT_ONCE)
      start_connecting (&run->connections[run->next_to_connect++]);
    if (run->connecting > 0)
      turn (run);
  } while ((run->connecting > 0 || run->next_to_connect < run->plan->connections) && now () < end);

  if (run->free->len > 0)
    return TRUE;
  g_set_error (error, RAGIFY_ENDPOINT_ERROR, RAGIFY_ENDPOINT_ERROR_UNREACHABLE,
               "cannot reach %s: %s. Is the server running?", ragify_endpoint_get_url (run->plan->endpoint),
               g_strerror (run->reason != 0 ? run->reason : ETIMEDOUT));
  return FALSE;
}

static void
start (Run *run)
{
  run->started = TRUE;
  run->start = now ();
  run->last_answer = run->start;
  if (run->schedule != NULL) {
    struct epoll_event event = { .events = EPOLLIN };
    run->timer = timerfd_create (CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    epoll_ctl (run->epoll, EPOLL_CTL_ADD, run->timer, &event);
    send_due (run);
    arm_timer (run);
    return;
  }
  /* Those that find nothing to send put themselves into the new list. */
  g_autoptr (GPtrArray) ready = g_steal_pointer (&run->free);
  run->free = g_ptr_array_new ();
  for (guint i = 0; i < ready->len; i++)
    use_or_keep (g_ptr_array_index (ready, i));
}

static Run *
new_run (const RagifyLoadPlan *plan)
{
  Run *run = g_new0 (Run, 1);
  run->plan = plan;
  run->result = g_new0 (RagifyLoadResult, 1);
  run->result->latency = ragify_latency_histogram_new ();
  run->result->processing = ragify_latency_histogram_new ();
  run->result->levels = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  run->free = g_ptr_array_new ();
  run->epoll = epoll_create1 (EPOLL_CLOEXEC);
  run->timer = -1;
  run->buffer = g_malloc (RECEIVE_SIZE);
  run->connections = g_new0 (Connection, plan->connections);
  if (plan->rate > 0)
    run->schedule = ragify_arrival_schedule_new (plan->rate, plan->poisson, plan->seed);
  for (guint i = 0; i < plan->connections; i++) {
    run->connections[i] = (Connection){ .run = run, .fd = -1 };
    run->connections[i].reader = ragify_response_reader_new (take_body, &run->connections[i]);
  }
  return run;
}

static RagifyLoadResult *
free_run (Run *run)
{
  RagifyLoadResult *result = run->result;
  for (guint i = 0; i < run->plan->connections; i++) {
    if (run->connections[i].fd >= 0)
      close (run->connections[i].fd);
    ragify_response_reader_free (run->connections[i].reader);
  }
  if (run->timer >= 0)
    close (run->timer);
  close (run->epoll);
  g_queue_clear_full (&run->waiting, g_free);
  g_clear_pointer (&run->schedule, ragify_arrival_schedule_free);
  g_ptr_array_unref (run->free);
  g_free (run->connections);
  g_free (run->buffer);
  g_free (run);
  return result;
}

RagifyLoadResult *
ragify_load_run (const RagifyLoadPlan *plan, GError **error)
{
  Run *run = new_run (plan);
  if (!connect_all (run, error)) {
    ragify_load_result_free (free_run (run));
    return NULL;
  }
  double cpu = own_cpu ();
  guint64 looked = now ();
  start (run);
  while (!run->ended || run->busy > 0 || run->waiting.length > 0) {
    turn (run);
    look_round (run, &looked);
  }
  run->result->elapsed = (double)(run->last_answer - run->start) * 1e-9;
  run->result->client_cpu = own_cpu () - cpu;
  return free_run (run);
}
