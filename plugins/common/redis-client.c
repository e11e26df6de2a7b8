#include "redis-client.h"

#include <stdlib.h>
#include <string.h>

#include "redis-sentinel.h"

#define CONNECT_TIMEOUT_US 1000000
#define REPLY_TIMEOUT_US 2000000
#define SENTINEL_TIMEOUT_US 500000
#define REPLY_BYTES_MAX (UINT64_C (128) << 20)
#define IN_FLIGHT_MAX 4096
#define IN_FLIGHT_BYTES_MAX (UINT64_C (256) << 20)
#define REDIRECTS_MAX 5
#define TICK_US 1000 /* deadlines closer together than this share a timer */

struct RagifyRedis {
  RagifyRedisUrl url;
  RagifyRedisSettings settings;          /* of the servers */
  RagifyRedisSettings sentinel_settings; /* of the Sentinels */
  RagifyRedisNodes *nodes;
  RagifyRedisSentinel *sentinel; /* NULL: none */
  RagifyRedisChanged changed;
  void *user;
  GQueue live; /* commands that somebody waits for */
  RagifyTimer *timer;
  uint64_t timer_due_us; /* 0: not running */
  uint64_t commands, timeouts, redirects;
};

static char *
copy_text (RagifyStr text, const char *otherwise)
{
  return text.size > 0 ? g_strndup (text.data, text.size) : g_strdup (otherwise);
}

static uint64_t
or_default (uint64_t value, uint64_t otherwise)
{
  return value != 0 ? value : otherwise;
}

/* ---- commands ---- */

static void
detach (RagifyRedis *redis, RagifyRedisCommand *command)
{
  g_queue_unlink (&redis->live, &command->live);
  command->live.data = NULL;
}

/* The end of a command that is in no queue any more. */
static void
finish (RagifyRedis *redis, RagifyRedisCommand *command, redisReply *reply, const RagifyFault *fault)
{
  const RagifyRedisDone done = command->done;
  void *user = command->user;
  detach (redis, command);
  ragify_redis_command_free (command);
  done (user, reply, fault);
}

static void
time_out (RagifyRedis *redis, const RagifyRedisCommand *command, RagifyFault *fault)
{
  redis->timeouts++;
  ragify_fault_set (fault, RAGIFY_E_TIMEOUT, "%s did not answer in time",
                    ragify_redis_connection_server (command->connection));
}

static void
expire (RagifyRedis *redis, RagifyRedisCommand *command)
{
  RagifyFault fault;
  const RagifyRedisDone done = command->done;
  void *user = command->user;
  time_out (redis, command, &fault);
  detach (redis, command);
  ragify_redis_connection_abandon (command);
  done (user, NULL, &fault);
}

static void tick (void *user);

/* A timer that goes off too early costs less than moving it for every command. */
static void
arm (RagifyRedis *redis, uint64_t due_us, uint64_t now_us)
{
  const RagifyLoopExtension *loop = redis->settings.loop;
  const uint64_t delay_us = due_us > now_us + TICK_US ? due_us - now_us : TICK_US;
  if (redis->timer_due_us != 0 && redis->timer_due_us <= due_us)
    return;
  redis->timer_due_us = now_us + delay_us;
  if (redis->timer == NULL)
    redis->timer = loop->timer_new (redis->settings.context, delay_us, 0, tick, redis);
  else
    loop->timer_restart (redis->timer, delay_us);
}

/* Any command whose time is up. */
static RagifyRedisCommand *
find_expired (const RagifyRedis *redis, uint64_t now_us, uint64_t *next_us)
{
  *next_us = 0;
  for (GList *link = redis->live.head; link != NULL; link = link->next) {
    RagifyRedisCommand *command = link->data;
    if (command->deadline_us != 0 && command->deadline_us <= now_us)
      return command;
    if (command->deadline_us != 0 && (*next_us == 0 || command->deadline_us < *next_us))
      *next_us = command->deadline_us;
  }
  return NULL;
}

static void
tick (void *user)
{
  RagifyRedis *redis = user;
  const uint64_t now = redis->settings.host->clock_us ();
  uint64_t next = 0;
  RagifyRedisCommand *command;
  redis->timer_due_us = 0;
  while ((command = find_expired (redis, now, &next)) != NULL)
    expire (redis, command);
  if (next != 0)
    arm (redis, next, now);
}

/* ---- redirects ---- */

/* The address in "MOVED SLOT HOST:PORT" or "ASK SLOT HOST:PORT". */
static bool
read_redirect (const char *text, int *slot, char **host, uint16_t *port)
{
  g_auto (GStrv) words = g_strsplit (text, " ", 3);
  guint64 number = 0;
  if (g_strv_length (words) != 3 ||
      !g_ascii_string_to_unsigned (words[1], 10, 0, RAGIFY_REDIS_SLOTS - 1, &number, NULL))
    return false;
  *slot = (int)number;
  char *colon = strrchr (words[2], ':');
  if (colon == NULL || !g_ascii_string_to_unsigned (colon + 1, 10, 1, 65535, &number, NULL))
    return false;
  *port = (uint16_t)number;
  *host = g_strndup (words[2], (gsize)(colon - words[2]));
  return true;
}

static void
ignore_reply (RagifyRedisCommand *command, redisReply *reply, const RagifyFault *fault)
{
  ragify_redis_command_free (command);
  if (reply != NULL)
    freeReplyObject (reply);
}

static bool
send_asking (RagifyRedisConnection *connection, RagifyFault *fault)
{
  const RagifyStr word = ragify_str_from ("ASKING");
  size_t size = 0;
  char *bytes = ragify_redis_format (1, &word, &size);
  RagifyRedisCommand *command = ragify_redis_command_new (bytes, size);
  command->replied = ignore_reply;
  if (ragify_redis_connection_send (connection, command, fault))
    return true;
  ragify_redis_command_free (command);
  return false;
}

/* Sends the command to where the error reply says. False: it says no such thing, or that fails, with a fault. */
static bool
follow (RagifyRedis *redis, RagifyRedisCommand *command, const redisReply *reply, RagifyFault *fault)
{
  g_autofree char *host = NULL;
  uint16_t port = 0;
  int slot = 0;
  const bool moved = g_str_has_prefix (reply->str, "MOVED ");
  if ((!moved && !g_str_has_prefix (reply->str, "ASK ")) || !read_redirect (reply->str, &slot, &host, &port))
    return false;
  if (++command->redirects > REDIRECTS_MAX)
    return ragify_fault_set (fault, RAGIFY_E_UNAVAILABLE, "the cluster redirects in circles (%s)", reply->str);
  RagifyRedisConnection *target = ragify_redis_nodes_at (redis->nodes, host, port, command->connection);
  if (moved)
    ragify_redis_nodes_moved (redis->nodes, slot, target);
  else if (!send_asking (target, fault))
    return false;
  redis->redirects++;
  return ragify_redis_connection_send (target, command, fault);
}

static void
replied (RagifyRedisCommand *command, redisReply *reply, const RagifyFault *fault)
{
  RagifyRedis *redis = command->owner;
  RagifyFault told = { 0 };
  if (reply == NULL || reply->type != REDIS_REPLY_ERROR) {
    finish (redis, command, reply, fault);
    return;
  }
  RagifyRedisConnection *connection = command->connection;
  if (follow (redis, command, reply, &told)) {
    freeReplyObject (reply);
    return;
  }
  if (told.code == RAGIFY_OK)
    ragify_redis_error_to_fault (ragify_redis_connection_server (connection), reply, &told);
  /* After a failover the old master comes back as a replica: ask Sentinel again. */
  if (redis->sentinel != NULL && g_str_has_prefix (reply->str, "READONLY")) {
    RagifyFault why;
    ragify_fault_set (&why, RAGIFY_E_UNAVAILABLE, "it is not the master any more");
    ragify_redis_connection_reset (connection, &why);
  }
  freeReplyObject (reply);
  finish (redis, command, NULL, &told);
}

/* ---- sending ---- */

RagifyRedisCommand *
ragify_redis_send_bytes (RagifyRedis *redis, char *bytes, size_t size, int slot, const RagifyRedisRequest *request,
                         RagifyRedisDone done, void *user, RagifyFault *fault)
{
  const uint64_t now = redis->settings.host->clock_us ();
  if (request->deadline_us != 0 && request->deadline_us <= now) {
    free (bytes);
    ragify_fault_set (fault, RAGIFY_E_TIMEOUT, "the deadline had passed before the command was sent");
    return NULL;
  }
  RagifyRedisCommand *command = ragify_redis_command_new (bytes, size);
  command->slot = slot;
  command->deadline_us = request->deadline_us;
  command->blocks_us = request->blocks_us;
  command->owner = redis;
  command->replied = replied;
  command->done = done;
  command->user = user;
  RagifyRedisConnection *connection =
      request->node != NULL ? request->node : ragify_redis_nodes_route (redis->nodes, slot);
  if (!ragify_redis_connection_send (connection, command, fault)) {
    ragify_redis_command_free (command);
    return NULL;
  }
  command->live.data = command;
  g_queue_push_tail_link (&redis->live, &command->live);
  redis->commands++;
  if (command->deadline_us != 0)
    arm (redis, command->deadline_us, now);
  return command;
}

int
ragify_redis_slot_of (const RagifyRedis *redis, RagifyStr key)
{
  return ragify_redis_nodes_have_slots (redis->nodes) ? ragify_redis_slot (key) : -1;
}

RagifyRedisCommand *
ragify_redis_send (RagifyRedis *redis, const RagifyRedisRequest *request, RagifyRedisDone done, void *user,
                   RagifyFault *fault)
{
  size_t size = 0;
  char *bytes = ragify_redis_format (request->count, request->words, &size);
  if (bytes == NULL) {
    ragify_fault_memory (fault);
    return NULL;
  }
  const int slot = request->key > 0 ? ragify_redis_slot_of (redis, request->words[request->key]) : -1;
  return ragify_redis_send_bytes (redis, bytes, size, slot, request, done, user, fault);
}

bool
ragify_redis_cancel (RagifyRedis *redis, RagifyRedisCommand *command, RagifyFault *fault)
{
  const bool late = command->deadline_us != 0 && command->deadline_us <= redis->settings.host->clock_us ();
  if (late)
    time_out (redis, command, fault);
  else
    ragify_fault_set (fault, RAGIFY_E_CANCELLED, "cancelled");
  detach (redis, command);
  ragify_redis_connection_abandon (command);
  return late;
}

/* ---- life ---- */

static void
connection_changed (void *user, RagifyRedisConnection *connection, bool up, const RagifyFault *fault)
{
  RagifyRedis *redis = user;
  if (redis->changed != NULL)
    redis->changed (redis->user, ragify_redis_connection_server (connection), up, fault);
}

static void
found (void *user, const RagifyRedisEndpoint *endpoint, const RagifyFault *fault)
{
  RagifyRedis *redis = user;
  ragify_redis_connection_located (ragify_redis_nodes_route (redis->nodes, -1), endpoint, fault);
}

static void
locate (void *user, RagifyRedisConnection *connection)
{
  RagifyRedis *redis = user;
  ragify_redis_sentinel_find (redis->sentinel, found, redis);
}

static bool
load_tls (RagifyRedis *redis, const RagifyRedisOptions *options, RagifyFault *fault)
{
  g_autofree char *ca = copy_text (options->tls_ca_file, NULL);
  g_autofree char *certificate = copy_text (options->tls_certificate_file, NULL);
  g_autofree char *key = copy_text (options->tls_key_file, NULL);
  const RagifyTlsOptions tls = {
    .ca_file = ca, .certificate_file = certificate, .key_file = key, .verify = !options->tls_no_verify
  };
  if (!redis->url.tls)
    return true;
  redis->settings.tls = ragify_tls_new (&tls, fault);
  return redis->settings.tls != NULL;
}

static void
take_settings (RagifyRedis *redis, const RagifyRedisOptions *options)
{
  redis->settings = (RagifyRedisSettings){
    .host = options->host,
    .context = options->context,
    .loop = options->host->get_extension (options->context, RAGIFY_EXT_LOOP),
    .tls = redis->settings.tls,
    .username = copy_text (options->username, redis->url.username),
    .password = copy_text (options->password, redis->url.password),
    .client_name = g_strdup (options->client_name),
    .database = redis->url.database,
    .want_master = redis->url.mode == RAGIFY_REDIS_SENTINEL,
    .connect_timeout_us = or_default (options->connect_timeout_us, CONNECT_TIMEOUT_US),
    .reply_timeout_us = or_default (options->reply_timeout_us, REPLY_TIMEOUT_US),
    .reply_bytes_max = or_default (options->reply_bytes_max, REPLY_BYTES_MAX),
    .in_flight_max = options->in_flight_max != 0 ? options->in_flight_max : IN_FLIGHT_MAX,
    .in_flight_bytes_max = or_default (options->in_flight_bytes_max, IN_FLIGHT_BYTES_MAX),
  };
  redis->sentinel_settings = redis->settings;
  redis->sentinel_settings.username = copy_text (options->sentinel_username, NULL);
  redis->sentinel_settings.password = copy_text (options->sentinel_password, NULL);
  redis->sentinel_settings.client_name = g_strdup (options->client_name);
  redis->sentinel_settings.database = 0;
  redis->sentinel_settings.want_master = false;
  redis->sentinel_settings.connect_timeout_us = MIN (redis->settings.connect_timeout_us, SENTINEL_TIMEOUT_US);
  redis->sentinel_settings.reply_timeout_us = MIN (redis->settings.reply_timeout_us, SENTINEL_TIMEOUT_US);
}

RagifyRedis *
ragify_redis_new (const RagifyRedisOptions *options, RagifyFault *fault)
{
  RagifyRedis *redis = g_new0 (RagifyRedis, 1);
  g_queue_init (&redis->live);
  redis->changed = options->changed;
  redis->user = options->user;
  if (!ragify_redis_url_parse (options->url, &redis->url, fault) || !load_tls (redis, options, fault)) {
    ragify_redis_free (redis);
    return NULL;
  }
  take_settings (redis, options);
  if (redis->settings.loop == NULL) {
    ragify_fault_set (fault, RAGIFY_E_INTERNAL, "this host has no " RAGIFY_EXT_LOOP);
    ragify_redis_free (redis);
    return NULL;
  }
  const bool locates = redis->url.mode == RAGIFY_REDIS_SENTINEL;
  if (locates)
    redis->sentinel = ragify_redis_sentinel_new (&redis->sentinel_settings, &redis->url);
  const RagifyRedisWatcher watcher = { connection_changed, locates ? locate : NULL, redis };
  redis->nodes = ragify_redis_nodes_new (&redis->settings, &redis->url, watcher);
  return redis;
}

void
ragify_redis_start (RagifyRedis *redis)
{
  ragify_redis_nodes_start (redis->nodes);
}

void
ragify_redis_stop (RagifyRedis *redis)
{
  redis->changed = NULL;
  if (redis->sentinel != NULL)
    ragify_redis_sentinel_stop (redis->sentinel);
  ragify_redis_nodes_stop (redis->nodes);
  if (redis->timer != NULL)
    redis->settings.loop->timer_remove (g_steal_pointer (&redis->timer));
}

static void
clear_settings (RagifyRedisSettings *settings)
{
  g_free (settings->username);
  g_free (settings->password);
  g_free (settings->client_name);
}

void
ragify_redis_free (RagifyRedis *redis)
{
  if (redis == NULL)
    return;
  ragify_redis_nodes_free (redis->nodes);
  ragify_redis_sentinel_free (redis->sentinel);
  ragify_tls_free (redis->settings.tls);
  clear_settings (&redis->settings);
  clear_settings (&redis->sentinel_settings);
  ragify_redis_url_clear (&redis->url);
  g_free (redis);
}

RagifyRedisConnection *
ragify_redis_holder (RagifyRedis *redis, uint32_t index)
{
  return ragify_redis_nodes_holder (redis->nodes, index);
}

RagifyRedisCounts
ragify_redis_count (const RagifyRedis *redis)
{
  RagifyRedisCounts counts = { .commands = redis->commands,
                               .timeouts = redis->timeouts,
                               .redirects = redis->redirects };
  ragify_redis_nodes_count (redis->nodes, &counts.connections, &counts.up, &counts.all);
  return counts;
}

bool
ragify_redis_is_up (const RagifyRedis *redis)
{
  return ragify_redis_nodes_any_up (redis->nodes);
}
