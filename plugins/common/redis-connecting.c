/* Connecting: from where the server is to its last greeting.
 *
 * SPDX-License-Identifier: MIT */
#include "redis-connection-private.h"

#include "redis-greeting.h"

static void try_address (RagifyRedisConnection *connection);

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
    ragify_redis_connection_come_up (connection);
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
  ragify_redis_connection_push (connection, command);
}

static void
greet (RagifyRedisConnection *connection)
{
  connection->state = REDIS_GREETING;
  connection->pipeline =
      ragify_redis_pipeline_new (connection->transport, connection->settings->reply_bytes_max, &connection->counts);
  connection->greetings = 0;
  ragify_redis_greeting_say (connection->settings, say, connection);
  ragify_redis_connection_write_out (connection);
}

/* ---- connecting ---- */

void
ragify_redis_connection_address_failed (RagifyRedisConnection *connection, const RagifyFault *fault)
{
  ragify_redis_connection_close_transport (connection);
  if (++connection->address < connection->addresses.count &&
      ragify_redis_connection_now (connection) < connection->attempt_end_us)
    try_address (connection);
  else
    ragify_redis_connection_lose (connection, fault);
}

void
ragify_redis_connection_establish (RagifyRedisConnection *connection)
{
  RagifyFault fault = { 0 };
  switch (ragify_transport_establish (connection->transport, &fault)) {
  case RAGIFY_TRANSPORT_READY:
    greet (connection);
    break;
  case RAGIFY_TRANSPORT_WANTS_READ:
    ragify_redis_connection_want (connection, RAGIFY_FD_READ);
    break;
  case RAGIFY_TRANSPORT_WANTS_WRITE:
    ragify_redis_connection_want (connection, RAGIFY_FD_WRITE);
    break;
  case RAGIFY_TRANSPORT_FAILED:
    ragify_redis_connection_address_failed (connection, &fault);
    break;
  }
}

static void
try_address (RagifyRedisConnection *connection)
{
  RagifyFault fault = { 0 };
  const RagifyRedisSettings *settings = connection->settings;
  const uint64_t time = ragify_redis_connection_now (connection);
  const uint64_t left = connection->attempt_end_us > time ? connection->attempt_end_us - time : 1;
  connection->state = REDIS_CONNECTING;
  /* No address may use up the time of those after it. */
  ragify_redis_connection_arm (connection, left / (connection->addresses.count - connection->address) + 1);
  connection->transport = ragify_transport_open (&connection->addresses.items[connection->address], settings->tls,
                                                 connection->endpoint.host, &fault);
  if (connection->transport == NULL)
    ragify_redis_connection_address_failed (connection, &fault);
  else
    ragify_redis_connection_establish (connection);
}

static void
resolved (void *user, const RagifyAddresses *addresses, const RagifyFault *fault)
{
  RagifyRedisConnection *connection = user;
  connection->resolution = NULL;
  if (fault != NULL) {
    ragify_redis_connection_lose (connection, fault);
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
  connection->state = REDIS_RESOLVING;
  connection->resolution = ragify_resolve (settings->host, settings->context, settings->loop, connection->endpoint.host,
                                           connection->endpoint.port, resolved, connection);
}

void
ragify_redis_connection_attempt (RagifyRedisConnection *connection)
{
  connection->attempt_end_us = ragify_redis_connection_now (connection) + connection->settings->connect_timeout_us;
  ragify_redis_connection_arm (connection, connection->settings->connect_timeout_us);
  if (connection->watcher.locate != NULL) {
    connection->state = REDIS_LOCATING;
    connection->watcher.locate (connection->watcher.user, connection);
  } else
    resolve (connection);
}

void
ragify_redis_connection_set_endpoint (RagifyRedisConnection *connection, const RagifyRedisEndpoint *endpoint)
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
  if (connection->state != REDIS_LOCATING)
    return;
  if (endpoint == NULL) {
    ragify_redis_connection_lose (connection, fault);
    return;
  }
  ragify_redis_connection_set_endpoint (connection, endpoint);
  resolve (connection);
}
