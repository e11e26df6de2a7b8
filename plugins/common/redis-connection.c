#include "redis-connection.h"

#include <string.h>

#include "redis-greeting.h"
#include "redis-pipeline.h"

#define PAUSE_FIRST_US 50000
#define PAUSE_MAX_US 5000000

typedef enum {
  IDLE, /* not started */
  LOCATING,
  RESOLVING,
  CONNECTING,
  GREETING,
  UP,
  PAUSING, /* until the next attempt */
  STOPPED,
} State;

struct RagifyRedisConnection {
  const RagifyRedisSettings *settings;
  RagifyRedisWatcher watcher;
  RagifyRedisEndpoint endpoint; /* host NULL: not located yet */
  char *server;
  State state;
  uint32_t failures; /* since it was last up */
  RagifyFault fault; /* the last one */

  RagifyResolution *resolution;
  RagifyAddresses addresses;
  uint32_t address; /* which is being tried */
  uint64_t attempt_end_us;
  uint64_t pause_end_us;
  RagifyTransport *transport;
  RagifyWatch *watch;
  uint32_t events;
  RagifyRedisPipeline *pipeline;
  uint32_t greetings; /* replies to come */
  GQueue waiting;     /* commands, until it is up */
  uint64_t waiting_bytes;

  RagifyTimer *timer;
  bool guarding; /* the timer runs while it is up */
  uint64_t received_us;
  bool flushing; /* a flush is on its way */
  bool freed;    /* by the flush */
  bool inside;   /* replies are being handed out */
  bool doomed;   /* lost as soon as that is over */
  bool failing;  /* everyone is being told so */
  uint64_t connects, losses;
  RagifyRedisPipelineCounts counts;
};

static void attempt (RagifyRedisConnection *connection);
static void try_address (RagifyRedisConnection *connection);

static uint64_t
now (const RagifyRedisConnection *connection)
{
  return connection->settings->host->clock_us ();
}

static void timer_expired (void *user);

static void
arm (RagifyRedisConnection *connection, uint64_t delay_us)
{
  const RagifyLoopExtension *loop = connection->settings->loop;
  if (connection->timer == NULL)
    connection->timer = loop->timer_new (connection->settings->context, delay_us, 0, timer_expired, connection);
  else
    loop->timer_restart (connection->timer, delay_us);
}

/* ---- ending ---- */

static void
close_transport (RagifyRedisConnection *connection)
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

static void
lose (RagifyRedisConnection *connection, const RagifyFault *fault)
{
  const bool first = connection->state == UP || connection->failures == 0;
  RagifyFault named;
  ragify_fault_set (&named, fault->code, "%s: %s", ragify_redis_connection_server (connection), fault->message);
  if (connection->resolution != NULL)
    ragify_resolution_cancel (g_steal_pointer (&connection->resolution));
  close_transport (connection);
  connection->state = PAUSING;
  connection->failures++;
  connection->losses++;
  connection->fault = named;
  connection->guarding = false;
  connection->doomed = false;
  const uint64_t pause = pause_length (connection);
  connection->pause_end_us = now (connection) + pause;
  arm (connection, pause);
  fail_commands (connection, &named);
  if (first && connection->watcher.changed != NULL)
    connection->watcher.changed (connection->watcher.user, connection, false, &named);
}

/* ---- up ---- */

static void ready (void *user, int32_t fd, uint32_t events);

static void
want (RagifyRedisConnection *connection, uint32_t events)
{
  const RagifyLoopExtension *loop = connection->settings->loop;
  if (connection->watch == NULL)
    connection->watch = loop->watch_new (connection->settings->context, ragify_transport_fd (connection->transport),
                                         events, ready, connection);
  else if (connection->events != events)
    loop->watch_set_events (connection->watch, events);
  connection->events = events;
}

static void
write_out (RagifyRedisConnection *connection)
{
  RagifyFault fault = { 0 };
  if (!ragify_redis_pipeline_write (connection->pipeline, &fault)) {
    lose (connection, &fault);
    return;
  }
  want (connection, RAGIFY_FD_READ | (ragify_redis_pipeline_wants_write (connection->pipeline) ? RAGIFY_FD_WRITE : 0u));
}

static void
flush (void *user)
{
  RagifyRedisConnection *connection = user;
  connection->flushing = false;
  if (connection->freed)
    ragify_redis_connection_free (connection);
  else if (connection->pipeline != NULL)
    write_out (connection);
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
  arm (connection, connection->settings->reply_timeout_us);
}

static void
push (RagifyRedisConnection *connection, RagifyRedisCommand *command)
{
  command->sent_us = now (connection);
  ragify_redis_pipeline_push (connection->pipeline, command);
}

static void
come_up (RagifyRedisConnection *connection)
{
  connection->state = UP;
  connection->failures = 0;
  connection->connects++;
  connection->guarding = false;
  for (GList *link; (link = g_queue_pop_head_link (&connection->waiting)) != NULL;)
    push (connection, link->data);
  connection->waiting_bytes = 0;
  if (ragify_redis_pipeline_length (connection->pipeline) > 0) {
    guard (connection);
    flush_soon (connection);
  }
  if (connection->watcher.changed != NULL)
    connection->watcher.changed (connection->watcher.user, connection, true, NULL);
}

/* ---- greeting ---- */

static void
greeted (RagifyRedisCommand *command, redisReply *reply, const RagifyFault *gone)
{
  RagifyRedisConnection *connection = command->owner;
  const bool optional = command->user != NULL;
  RagifyFault fault = { 0 };
  ragify_redis_command_free (command);
  if (gone != NULL)
    return;
  connection->greetings--;
  if (connection->doomed)
    (void)0; /* an earlier greeting was refused */
  else if (!ragify_redis_greeting_judge (connection->settings, reply, optional, connection->greetings == 0, &fault))
    ragify_redis_connection_reset (connection, &fault);
  else if (connection->greetings == 0)
    come_up (connection);
  freeReplyObject (reply);
}

static void
say (void *user, const RagifyStr *words, int count, bool optional)
{
  RagifyRedisConnection *connection = user;
  size_t size = 0;
  char *bytes = ragify_redis_format (count, words, &size);
  g_assert (bytes != NULL);
  RagifyRedisCommand *command = ragify_redis_command_new (bytes, size);
  command->connection = connection;
  command->owner = connection;
  command->replied = greeted;
  command->user = optional ? connection : NULL;
  connection->greetings++;
  push (connection, command);
}

static void
greet (RagifyRedisConnection *connection)
{
  connection->state = GREETING;
  connection->pipeline =
      ragify_redis_pipeline_new (connection->transport, connection->settings->reply_bytes_max, &connection->counts);
  connection->greetings = 0;
  ragify_redis_greeting_say (connection->settings, say, connection);
  write_out (connection);
}

/* ---- connecting ---- */

static void
address_failed (RagifyRedisConnection *connection, const RagifyFault *fault)
{
  close_transport (connection);
  if (++connection->address < connection->addresses.count && now (connection) < connection->attempt_end_us)
    try_address (connection);
  else
    lose (connection, fault);
}

static void
establish (RagifyRedisConnection *connection)
{
  RagifyFault fault = { 0 };
  switch (ragify_transport_establish (connection->transport, &fault)) {
  case RAGIFY_TRANSPORT_READY:
    greet (connection);
    break;
  case RAGIFY_TRANSPORT_WANTS_READ:
    want (connection, RAGIFY_FD_READ);
    break;
  case RAGIFY_TRANSPORT_WANTS_WRITE:
    want (connection, RAGIFY_FD_WRITE);
    break;
  case RAGIFY_TRANSPORT_FAILED:
    address_failed (connection, &fault);
    break;
  }
}

static void
try_address (RagifyRedisConnection *connection)
{
  RagifyFault fault = { 0 };
  const RagifyRedisSettings *settings = connection->settings;
  const uint64_t time = now (connection);
  const uint64_t left = connection->attempt_end_us > time ? connection->attempt_end_us - time : 1;
  connection->state = CONNECTING;
  /* No address may use up the time of those after it. */
  arm (connection, left / (connection->addresses.count - connection->address) + 1);
  connection->transport = ragify_transport_open (&connection->addresses.items[connection->address], settings->tls,
                                                 connection->endpoint.host, &fault);
  if (connection->transport == NULL)
    address_failed (connection, &fault);
  else
    establish (connection);
}

static void
resolved (void *user, const RagifyAddresses *addresses, const RagifyFault *fault)
{
  RagifyRedisConnection *connection = user;
  connection->resolution = NULL;
  if (fault != NULL) {
    lose (connection, fault);
    return;
  }
  connection->addresses = *addresses;
  connection->address = 0;
  try_address (connection);
}

static void
resolve (RagifyRedisConnection *connection)
{
  const RagifyRedisSettings *settings = connection->settings;
  connection->state = RESOLVING;
  connection->resolution = ragify_resolve (settings->host, settings->context, settings->loop, connection->endpoint.host,
                                           connection->endpoint.port, resolved, connection);
}

static void
attempt (RagifyRedisConnection *connection)
{
  connection->attempt_end_us = now (connection) + connection->settings->connect_timeout_us;
  arm (connection, connection->settings->connect_timeout_us);
  if (connection->watcher.locate != NULL) {
    connection->state = LOCATING;
    connection->watcher.locate (connection->watcher.user, connection);
  } else
    resolve (connection);
}

static void
set_endpoint (RagifyRedisConnection *connection, const RagifyRedisEndpoint *endpoint)
{
  g_free (connection->endpoint.host);
  g_free (connection->server);
  connection->endpoint = (RagifyRedisEndpoint){ g_strdup (endpoint->host), endpoint->port };
  connection->server =
      endpoint->port == 0 ? g_strdup (endpoint->host) : g_strdup_printf ("%s:%u", endpoint->host, endpoint->port);
}

void
ragify_redis_connection_located (RagifyRedisConnection *connection, const RagifyRedisEndpoint *endpoint,
                                 const RagifyFault *fault)
{
  if (connection->state != LOCATING)
    return;
  if (endpoint == NULL) {
    lose (connection, fault);
    return;
  }
  set_endpoint (connection, endpoint);
  resolve (connection);
}

/* ---- what the loop tells ---- */

static void
read_in (RagifyRedisConnection *connection)
{
  RagifyFault fault = { 0 };
  connection->received_us = now (connection);
  connection->inside = true;
  const bool well = ragify_redis_pipeline_read (connection->pipeline, &fault);
  connection->inside = false;
  if (connection->doomed)
    lose (connection, &connection->fault);
  else if (!well)
    lose (connection, &fault);
}

static void
ready (void *user, int32_t fd, uint32_t events)
{
  RagifyRedisConnection *connection = user;
  if (connection->state == CONNECTING) {
    establish (connection);
    return;
  }
  if ((events & RAGIFY_FD_WRITE) != 0)
    write_out (connection);
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
  const uint64_t time = now (connection);
  const uint64_t silent_since = MAX (oldest->sent_us, connection->received_us);
  const uint64_t end = silent_since + connection->settings->reply_timeout_us + oldest->blocks_us;
  if (time < end) {
    connection->guarding = true;
    arm (connection, end - time);
    return;
  }
  RagifyFault fault;
  ragify_fault_set (&fault, RAGIFY_E_UNAVAILABLE, "no reply for %.1f s; the connection is given up",
                    (double)(time - silent_since) / 1e6);
  lose (connection, &fault);
}

static void
timer_expired (void *user)
{
  RagifyRedisConnection *connection = user;
  RagifyFault fault;
  switch (connection->state) {
  case PAUSING:
    attempt (connection);
    break;
  case UP:
    check_guard (connection);
    break;
  case CONNECTING:
    ragify_fault_set (&fault, RAGIFY_E_UNAVAILABLE, "%s took too long",
                      connection->settings->tls != NULL ? "connecting with TLS" : "connecting");
    address_failed (connection, &fault);
    break;
  case LOCATING:
  case RESOLVING:
  case GREETING:
    ragify_fault_set (&fault, RAGIFY_E_UNAVAILABLE, "%s took longer than %.1f s",
                      connection->state == GREETING    ? "the greeting"
                      : connection->state == RESOLVING ? "looking up the name"
                                                       : "asking Sentinel",
                      (double)connection->settings->connect_timeout_us / 1e6);
    lose (connection, &fault);
    break;
  case IDLE:
  case STOPPED:
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
    set_endpoint (connection, endpoint);
  return connection;
}

void
ragify_redis_connection_start (RagifyRedisConnection *connection)
{
  if (connection->state == IDLE)
    attempt (connection);
}

void
ragify_redis_connection_stop (RagifyRedisConnection *connection)
{
  RagifyFault fault;
  ragify_fault_set (&fault, RAGIFY_E_CANCELLED, "the connection is being closed");
  if (connection->resolution != NULL)
    ragify_resolution_cancel (g_steal_pointer (&connection->resolution));
  close_transport (connection);
  if (connection->timer != NULL)
    connection->settings->loop->timer_remove (g_steal_pointer (&connection->timer));
  connection->state = STOPPED;
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
  const bool up = connection->state == UP && !connection->doomed;
  if (!up && (connection->failures > 0 || connection->state == STOPPED || connection->doomed))
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
  push (connection, command);
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
  if (connection->pipeline != NULL && connection->state == UP) {
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
    lose (connection, fault);
    return;
  }
  connection->doomed = true;
  connection->fault = *fault;
}

bool
ragify_redis_connection_is_up (const RagifyRedisConnection *connection)
{
  return connection->state == UP && !connection->doomed;
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
