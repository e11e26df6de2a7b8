#include "redis-sentinel.h"

#include <string.h>

struct RagifyRedisSentinel {
  const RagifyRedisSettings *settings;
  const RagifyRedisUrl *url;
  size_t current; /* which Sentinel */
  size_t asked;   /* how many did not know it */
  RagifyRedisConnection *connection;
  RagifyRedisFound found; /* NULL: nobody asks */
  void *user;
  bool stepping;
  bool stopped;
  RagifyFault fault;
  RagifyRedisEndpoint master; /* host NULL: not told */
};

static void ask (RagifyRedisSentinel *sentinel);

static void
finish (RagifyRedisSentinel *sentinel, const RagifyRedisEndpoint *endpoint, const RagifyFault *fault)
{
  const RagifyRedisFound found = sentinel->found;
  sentinel->found = NULL;
  sentinel->asked = 0;
  if (found != NULL)
    found (sentinel->user, endpoint, fault);
}

static void
drop_connection (RagifyRedisSentinel *sentinel)
{
  RagifyRedisConnection *connection = g_steal_pointer (&sentinel->connection);
  if (connection == NULL)
    return;
  ragify_redis_connection_stop (connection);
  ragify_redis_connection_free (connection);
}

/* Runs on its own: what told us the outcome may be the connection that is dropped here. */
static void
step (void *user)
{
  RagifyRedisSentinel *sentinel = user;
  sentinel->stepping = false;
  if (sentinel->stopped)
    return;
  if (sentinel->master.host != NULL) {
    const RagifyRedisEndpoint master = sentinel->master;
    sentinel->master = (RagifyRedisEndpoint){ 0 };
    finish (sentinel, &master, NULL);
    g_free (master.host);
    return;
  }
  drop_connection (sentinel);
  sentinel->current = (sentinel->current + 1) % sentinel->url->count;
  if (++sentinel->asked < sentinel->url->count)
    ask (sentinel);
  else
    finish (sentinel, NULL, &sentinel->fault);
}

static void
step_soon (RagifyRedisSentinel *sentinel)
{
  if (sentinel->stepping)
    return;
  sentinel->stepping = true;
  sentinel->settings->loop->invoke (sentinel->settings->context, step, sentinel);
}

/* The address in the reply; false with a fault. */
static bool
read_master (RagifyRedisSentinel *sentinel, const redisReply *reply)
{
  const char *server = ragify_redis_connection_server (sentinel->connection);
  guint64 port = 0;
  if (reply->type == REDIS_REPLY_ERROR) {
    ragify_redis_error_to_fault (server, reply, &sentinel->fault);
    return false;
  }
  if (reply->type == REDIS_REPLY_NIL)
    return ragify_fault_set (&sentinel->fault, RAGIFY_E_NOT_FOUND, "the Sentinel at %s knows no service '%s'", server,
                             sentinel->url->service);
  if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 || reply->element[0]->type != REDIS_REPLY_STRING ||
      reply->element[1]->type != REDIS_REPLY_STRING ||
      !g_ascii_string_to_unsigned (reply->element[1]->str, 10, 1, 65535, &port, NULL))
    return ragify_fault_set (&sentinel->fault, RAGIFY_E_UNAVAILABLE, "%s does not answer as a Sentinel does", server);
  g_free (sentinel->master.host);
  sentinel->master = (RagifyRedisEndpoint){ g_strdup (reply->element[0]->str), (uint16_t)port };
  return true;
}

static void
replied (RagifyRedisCommand *command, redisReply *reply, const RagifyFault *fault)
{
  RagifyRedisSentinel *sentinel = command->owner;
  ragify_redis_command_free (command);
  if (fault != NULL)
    sentinel->fault = *fault;
  else {
    (void)read_master (sentinel, reply);
    freeReplyObject (reply);
  }
  step_soon (sentinel);
}

static void
ask (RagifyRedisSentinel *sentinel)
{
  const RagifyStr words[] = { ragify_str_from ("SENTINEL"), ragify_str_from ("get-master-addr-by-name"),
                              ragify_str_from (sentinel->url->service) };
  size_t size = 0;
  if (sentinel->connection == NULL) {
    sentinel->connection = ragify_redis_connection_new (
        sentinel->settings, &sentinel->url->endpoints[sentinel->current], (RagifyRedisWatcher){ 0 });
    ragify_redis_connection_start (sentinel->connection);
  }
  char *bytes = ragify_redis_format (3, words, &size);
  RagifyRedisCommand *command = ragify_redis_command_new (bytes, size);
  command->owner = sentinel;
  command->replied = replied;
  if (ragify_redis_connection_send (sentinel->connection, command, &sentinel->fault))
    return;
  ragify_redis_command_free (command);
  step_soon (sentinel);
}

RagifyRedisSentinel *
ragify_redis_sentinel_new (const RagifyRedisSettings *settings, const RagifyRedisUrl *url)
{
  RagifyRedisSentinel *sentinel = g_new0 (RagifyRedisSentinel, 1);
  sentinel->settings = settings;
  sentinel->url = url;
  return sentinel;
}

void
ragify_redis_sentinel_stop (RagifyRedisSentinel *sentinel)
{
  sentinel->stopped = true;
  sentinel->found = NULL;
  drop_connection (sentinel);
}

void
ragify_redis_sentinel_free (RagifyRedisSentinel *sentinel)
{
  if (sentinel == NULL)
    return;
  g_free (sentinel->master.host);
  g_free (sentinel);
}

void
ragify_redis_sentinel_find (RagifyRedisSentinel *sentinel, RagifyRedisFound found, void *user)
{
  const bool asking = sentinel->found != NULL;
  sentinel->found = found;
  sentinel->user = user;
  if (!asking && !sentinel->stopped)
    ask (sentinel);
}
