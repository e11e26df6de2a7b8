#include "redis-connection-private.h"

#include <string.h>

#define PAUSE_FIRST_US 50000
#define PAUSE_MAX_US 5000000

uint64_t
ragify_redis_connection_now (const RagifyRedisConnection *connection)
{
  return connection->settings->host->clock_us ();
}

static void timer_expired (void *user);

void
ragify_redis_connection_arm (RagifyRedisConnection *connection, uint64_t delay_us)
{
  const RagifyLoopExtension *loop = connection->settings->loop;
  if (connection->timer == NULL)
    connection->timer = loop->timer_new (connection->settings->context, delay_us, 0, timer_expired, connection);
  else
    loop->timer_restart (connection->timer, delay_us);
}

/* ---- ending ---- */

void
ragify_redis_connection_close_transport (RagifyRedisConnection *connection)
{
  if (connection->watch != NULL)
    connection->settings->loop->watch_remove (connection->watch);
  connection->watch = NULL;
  ragify_transport_close (connection->transport);
  connection->transport = NULL;
}

static void
fail_command (RagifyRedisCommand *command, const RagifyFault *fault)
{
  if (command->replied != NULL)
    command->replied (command, NULL, fault);
  else
    ragify_redis_command_free (command);
}

/* Ends what is under way and tells everyone why. The state is set before: who is told may send again. */
static void
fail_commands (RagifyRedisConnection *connection, const RagifyFault *fault)
{
  RagifyRedisPipeline *pipeline = g_steal_pointer (&connection->pipeline);
  GQueue waiting = connection->waiting;
  RagifyRedisCommand *command;
  g_queue_init (&connection->waiting);
  connection->waiting_bytes = 0;
  connection->failing = true;
  while (pipeline != NULL && (command = ragify_redis_pipeline_pop (pipeline)) != NULL)
    fail_command (command, fault);
  ragify_redis_pipeline_free (pipeline);
  for (GList *link; (link = g_queue_pop_head_link (&waiting)) != NULL;) {
    command = link->data;
    command->place.data = NULL;
    fail_command (command, fault);
  }
  connection->failing = false;
}

static uint64_t
pause_length (const RagifyRedisConnection *connection)
{
  const uint32_t doublings = MIN (connection->failures, 8u) - 1;
  const uint64_t longest = MIN ((uint64_t)PAUSE_FIRST_US << doublings, (uint64_t)PAUSE_MAX_US);
  return longest / 2 + (uint64_t)g_random_int_range (0, (gint32)(longest / 2));
}

void
ragify_redis_connection_lose (RagifyRedisConnection *connection, const RagifyFault *fault)
{
  const bool first = connection->state == REDIS_UP || connection->failures == 0;
  RagifyFault named;
  ragify_fault_set (&named, fault->code, "%s: %s", ragify_redis_connection_server (connection), fault->message);
  if (connection->resolution != NULL)
    ragify_resolution_cancel (g_steal_pointer (&connection->resolution));
  ragify_redis_connection_close_transport (connection);
  connection->state = REDIS_PAUSING;
  connection->failures++;
  connection->losses++;
  connection->fault = named;
  connection->guarding = false;
  connection->doomed = false;
  const uint64_t pause = pause_length (connection);
  connection->pause_end_us = ragify_redis_connection_now (connection) + pause;
  ragify_redis_connection_arm (connection, pause);
  fail_commands (connection, &named);
  if (first && connection->watcher.changed != NULL)
    connection->watcher.changed (connection->watcher.user, connection, false, &named);
}

/* ---- up ---- */

static void ready (void *user, int32_t fd, uint32_t events);

void
ragify_redis_connection_want (RagifyRedisConnection *connection, uint32_t events)
{
  const RagifyLoopExtension *loop = connection->settings->loop;
  if (connection->watch == NULL)
    connection->watch = loop->watch_new (connection->settings->context, ragify_transport_fd (connection->transport),
                                         events, ready, connection);
  else if (connection->events != events)
    loop->watch_set_events (connection->watch, events);
  connection->events = events;
}

void
ragify_redis_connection_write_out (RagifyRedisConnection *connection)
{
  RagifyFault fault = { 0 };
  if (!ragify_redis_pipeline_write (connection->pipeline, &fault)) {
    ragify_redis_connection_lose (connection, &fault);
    return;
  }
  ragify_redis_connection_want (
      connection, RAGIFY_FD_READ | (ragify_redis_pipeline_wants_write (connection->pipeline) ? RAGIFY_FD_WRITE : 0u));
}

static void
flush (void *user)
{
  RagifyRedisConnection *connection = user;
  connection->flushing = false;
  if (connection->freed)
    ragify_redis_connection_free (connection);
  else if (connection->pipeline != NULL)
    ragify_redis_connection_write_out (connection);
}

/* Not at once: what else is sent in this round of the loop goes with it. */
static void
flush_soon (RagifyRedisConnection *connection)
{
  if (connection->flushing || (connection->events & RAGIFY_FD_WRITE) != 0)
    return;
  connection->flushing = true;
  connection->settings->loop->invoke (connection->settings->context, flush, connection);
}

/* Sees to it that a server that stops answering is noticed. */
static void
guard (RagifyRedisConnection *connection)
{
  if (connection->guarding)
    return;
  connection->guarding = true;
  ragify_redis_connection_arm (connection, connection->settings->reply_timeout_us);
}

void
ragify_redis_connection_push (RagifyRedisConnection *connection, RagifyRedisCommand *command)
{
  command->sent_us = ragify_redis_connection_now (connection);
  ragify_redis_pipeline_push (connection->pipeline, command);
}

void
ragify_redis_connection_come_up (RagifyRedisConnection *connection)
{
  connection->state = REDIS_UP;
  connection->failures = 0;
  connection->connects++;
  connection->guarding = false;
  for (GList *link; (link = g_queue_pop_head_link (&connection->waiting)) != NULL;)
    ragify_redis_connection_push (connection, link->data);
  connection->waiting_bytes = 0;
  if (ragify_redis_pipeline_length (connection->pipeline) > 0) {
    guard (connection);
    flush_soon (connection);
  }
  if (connection->watcher.changed != NULL)
    connection->watcher.changed (connection->watcher.user, connection, true, NULL);
}

/* ---- what the loop tells ---- */

static void
read_in (RagifyRedisConnection *connection)
{
  RagifyFault fault = { 0 };
  connection->received_us = ragify_redis_connection_now (connection);
  connection->inside = true;
  const bool well = ragify_redis_pipeline_read (connection->pipeline, &fault);
  connection->inside = false;
  if (connection->doomed)
    ragify_redis_connection_lose (connection, &connection->fault);
  else if (!well)
    ragify_redis_connection_lose (connection, &fault);
}

static void
ready (void *user, int32_t fd, uint32_t events)
{
  RagifyRedisConnection *connection = user;
  if (connection->state == REDIS_CONNECTING) {
    ragify_redis_connection_establish (connection);
    return;
  }
  if ((events & RAGIFY_FD_WRITE) != 0)
    ragify_redis_connection_write_out (connection);
  if ((events & (RAGIFY_FD_READ | RAGIFY_FD_HANGUP)) != 0 && connection->pipeline != NULL)
    read_in (connection);
}

static void
check_guard (RagifyRedisConnection *connection)
{
  const RagifyRedisCommand *oldest = ragify_redis_pipeline_oldest (connection->pipeline);
  connection->guarding = false;
  if (oldest == NULL)
    return;
  const uint64_t time = ragify_redis_connection_now (connection);
  const uint64_t silent_since = MAX (oldest->sent_us, connection->received_us);
  const uint64_t end = silent_since + connection->settings->reply_timeout_us + oldest->blocks_us;
  if (time < end) {
    connection->guarding = true;
    ragify_redis_connection_arm (connection, end - time);
    return;
  }
  RagifyFault fault;
  ragify_fault_set (&fault, RAGIFY_E_UNAVAILABLE, "no reply for %.1f s; the connection is given up",
                    (double)(time - silent_since) / 1e6);
  ragify_redis_connection_lose (connection, &fault);
}

static void
timer_expired (void *user)
{
  RagifyRedisConnection *connection = user;
  RagifyFault fault;
  switch (connection->state) {
  case REDIS_PAUSING:
    ragify_redis_connection_attempt (connection);
    break;
  case REDIS_UP:
    check_guard (connection);
    break;
  case REDIS_CONNECTING:
    ragify_fault_set (&fault, RAGIFY_E_UNAVAILABLE, "%s took too long",
                      connection->settings->tls != NULL ? "connecting with TLS" : "connecting");
    ragify_redis_connection_address_failed (connection, &fault);
    break;
  case REDIS_LOCATING:
  case REDIS_RESOLVING:
  case REDIS_GREETING:
    ragify_fault_set (&fault, RAGIFY_E_UNAVAILABLE, "%s took longer than %.1f s",
                      connection->state == REDIS_GREETING    ? "the greeting"
                      : connection->state == REDIS_RESOLVING ? "looking up the name"
                                                             : "asking Sentinel",
                      (double)connection->settings->connect_timeout_us / 1e6);
    ragify_redis_connection_lose (connection, &fault);
    break;
  case REDIS_IDLE:
  case REDIS_STOPPED:
    break;
  }
}

/* ---- from outside ---- */

RagifyRedisConnection *
ragify_redis_connection_new (const RagifyRedisSettings *settings, const RagifyRedisEndpoint *endpoint,
                             RagifyRedisWatcher watcher)
{
  RagifyRedisConnection *connection = g_new0 (RagifyRedisConnection, 1);
  connection->settings = settings;
  connection->watcher = watcher;
  g_queue_init (&connection->waiting);
  if (endpoint != NULL)
    ragify_redis_connection_set_endpoint (connection, endpoint);
  return connection;
}

void
ragify_redis_connection_start (RagifyRedisConnection *connection)
{
  if (connection->state == REDIS_IDLE)
    ragify_redis_connection_attempt (connection);
}

void
ragify_redis_connection_stop (RagifyRedisConnection *connection)
{
  RagifyFault fault;
  ragify_fault_set (&fault, RAGIFY_E_CANCELLED, "the connection is being closed");
  if (connection->resolution != NULL)
    ragify_resolution_cancel (g_steal_pointer (&connection->resolution));
  ragify_redis_connection_close_transport (connection);
  if (connection->timer != NULL)
    connection->settings->loop->timer_remove (g_steal_pointer (&connection->timer));
  connection->state = REDIS_STOPPED;
  connection->fault = fault;
  connection->failures = 1;
  fail_commands (connection, &fault);
}

void
ragify_redis_connection_free (RagifyRedisConnection *connection)
{
  if (connection == NULL)
    return;
  if (connection->flushing) {
    connection->freed = true;
    return;
  }
  g_free (connection->endpoint.host);
  g_free (connection->server);
  g_free (connection);
}

/* The first one leaves at once. A failure is dealt with later: nobody is called back from here. */
static void
send_out (RagifyRedisConnection *connection, bool first)
{
  RagifyFault fault = { 0 };
  if (!first || !ragify_redis_pipeline_write (connection->pipeline, &fault) ||
      ragify_redis_pipeline_wants_write (connection->pipeline))
    flush_soon (connection);
}

/* Why no command can be taken now. */
static bool
refuse_down (const RagifyRedisConnection *connection, RagifyFault *fault)
{
  *fault = connection->fault;
  if (fault->code == RAGIFY_OK)
    ragify_fault_set (fault, RAGIFY_E_UNAVAILABLE, "%s: not connected", ragify_redis_connection_server (connection));
  return false;
}

static bool
refuse_full (const RagifyRedisConnection *connection, RagifyFault *fault)
{
  return ragify_fault_set (fault, RAGIFY_E_EXHAUSTED, "%s: %u commands wait for a reply; no more are sent",
                           ragify_redis_connection_server (connection),
                           connection->pipeline != NULL ? ragify_redis_pipeline_length (connection->pipeline)
                                                        : connection->waiting.length);
}

bool
ragify_redis_connection_send (RagifyRedisConnection *connection, RagifyRedisCommand *command, RagifyFault *fault)
{
  const RagifyRedisSettings *settings = connection->settings;
  const bool up = connection->state == REDIS_UP && !connection->doomed;
  if (!up && (connection->failures > 0 || connection->state == REDIS_STOPPED || connection->doomed))
    return refuse_down (connection, fault);
  const uint32_t length = up ? ragify_redis_pipeline_length (connection->pipeline) : connection->waiting.length;
  const uint64_t bytes = up ? ragify_redis_pipeline_bytes (connection->pipeline) : connection->waiting_bytes;
  if (length >= settings->in_flight_max || (length > 0 && bytes + command->size > settings->in_flight_bytes_max))
    return refuse_full (connection, fault);
  command->connection = connection;
  if (!up) {
    command->place.data = command;
    g_queue_push_tail_link (&connection->waiting, &command->place);
    connection->waiting_bytes += command->size;
    return true;
  }
  ragify_redis_connection_push (connection, command);
  guard (connection);
  send_out (connection, length == 0);
  return true;
}

void
ragify_redis_connection_abandon (RagifyRedisCommand *command)
{
  RagifyRedisConnection *connection = command->connection;
  command->replied = NULL;
  if (connection->failing) /* it is in neither queue, and comes to its turn */
    return;
  if (connection->pipeline != NULL && connection->state == REDIS_UP) {
    ragify_redis_pipeline_abandon (connection->pipeline, command);
    return;
  }
  g_queue_unlink (&connection->waiting, &command->place);
  connection->waiting_bytes -= command->size;
  ragify_redis_command_free (command);
}

void
ragify_redis_connection_reset (RagifyRedisConnection *connection, const RagifyFault *fault)
{
  if (connection->pipeline == NULL || connection->doomed)
    return;
  if (!connection->inside) {
    ragify_redis_connection_lose (connection, fault);
    return;
  }
  connection->doomed = true;
  connection->fault = *fault;
}

bool
ragify_redis_connection_is_up (const RagifyRedisConnection *connection)
{
  return connection->state == REDIS_UP && !connection->doomed;
}

const char *
ragify_redis_connection_server (const RagifyRedisConnection *connection)
{
  return connection->server != NULL ? connection->server : "the master";
}

bool
ragify_redis_connection_is_at (const RagifyRedisConnection *connection, const char *host, uint16_t port)
{
  return connection->endpoint.host != NULL && connection->endpoint.port == port &&
         g_str_equal (connection->endpoint.host, host);
}

const char *
ragify_redis_connection_host (const RagifyRedisConnection *connection)
{
  return connection->endpoint.host;
}

void
ragify_redis_connection_count (const RagifyRedisConnection *connection, RagifyRedisConnectionCounts *counts)
{
  counts->connects += connection->connects;
  counts->losses += connection->losses;
  counts->late += connection->counts.late;
  counts->bytes_sent += connection->counts.sent;
  counts->bytes_received += connection->counts.received;
  counts->writes += connection->counts.writes;
  counts->in_flight += connection->waiting.length;
  counts->in_flight += connection->pipeline != NULL ? ragify_redis_pipeline_length (connection->pipeline) : 0;
}
