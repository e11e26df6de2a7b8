#include "redis-nodes.h"

#include <string.h>

#define REFRESH_PAUSE_US 500000

typedef struct {
  RagifyRedisConnection *connection;
  bool seed;
  bool used; /* the map names it */
} Node;

struct RagifyRedisNodes {
  const RagifyRedisSettings *settings;
  RagifyRedisWatcher outer;
  bool cluster; /* by the URL, or since a server redirected */
  GPtrArray *nodes;
  RagifyRedisConnection **slots; /* NULL: the map is not known */
  guint turn;                    /* who is asked next for the map */
  bool refreshing;
  bool sweeping;
  bool stopped;
  uint64_t refresh_after_us;
};

/* CRC16-CCITT (XMODEM): polynomial 0x1021, from 0. */
static uint16_t
crc16 (const char *data, size_t size)
{
  uint16_t crc = 0;
  for (size_t i = 0; i < size; i++) {
    crc ^= (uint16_t)((uint8_t)data[i] << 8);
    for (int bit = 0; bit < 8; bit++)
      crc = (uint16_t)((crc & 0x8000) != 0 ? (crc << 1) ^ 0x1021 : crc << 1);
  }
  return crc;
}

int
ragify_redis_slot (RagifyStr key)
{
  const char *open = key.size > 0 ? memchr (key.data, '{', key.size) : NULL;
  if (open != NULL) {
    const size_t left = key.size - (size_t)(open + 1 - key.data);
    const char *close = memchr (open + 1, '}', left);
    if (close != NULL && close != open + 1)
      key = ragify_str (open + 1, (size_t)(close - open - 1));
  }
  return crc16 (key.data, key.size) % RAGIFY_REDIS_SLOTS;
}

static void refresh (RagifyRedisNodes *nodes);

static void
changed (void *user, RagifyRedisConnection *connection, bool up, const RagifyFault *fault)
{
  RagifyRedisNodes *nodes = user;
  if (nodes->cluster && !nodes->stopped)
    refresh (nodes);
  if (nodes->outer.changed != NULL)
    nodes->outer.changed (nodes->outer.user, connection, up, fault);
}

static void
locate (void *user, RagifyRedisConnection *connection)
{
  RagifyRedisNodes *nodes = user;
  nodes->outer.locate (nodes->outer.user, connection);
}

static Node *
add_node (RagifyRedisNodes *nodes, const RagifyRedisEndpoint *endpoint, bool seed)
{
  Node *node = g_new0 (Node, 1);
  const RagifyRedisWatcher watcher = { .changed = changed, .locate = endpoint == NULL ? locate : NULL, .user = nodes };
  node->connection = ragify_redis_connection_new (nodes->settings, endpoint, watcher);
  node->seed = seed;
  g_ptr_array_add (nodes->nodes, node);
  return node;
}

static void
free_node (gpointer data)
{
  Node *node = data;
  ragify_redis_connection_free (node->connection);
  g_free (node);
}

RagifyRedisNodes *
ragify_redis_nodes_new (const RagifyRedisSettings *settings, const RagifyRedisUrl *url, RagifyRedisWatcher watcher)
{
  RagifyRedisNodes *nodes = g_new0 (RagifyRedisNodes, 1);
  nodes->settings = settings;
  nodes->outer = watcher;
  nodes->cluster = url->mode == RAGIFY_REDIS_CLUSTER;
  nodes->nodes = g_ptr_array_new_with_free_func (free_node);
  if (watcher.locate != NULL) {
    add_node (nodes, NULL, true);
    return nodes;
  }
  for (size_t i = 0; i < url->count; i++)
    add_node (nodes, &url->endpoints[i], true);
  return nodes;
}

static Node *
node_at (const RagifyRedisNodes *nodes, guint index)
{
  return g_ptr_array_index (nodes->nodes, index);
}

void
ragify_redis_nodes_start (RagifyRedisNodes *nodes)
{
  for (guint i = 0; i < nodes->nodes->len; i++)
    ragify_redis_connection_start (node_at (nodes, i)->connection);
}

void
ragify_redis_nodes_stop (RagifyRedisNodes *nodes)
{
  nodes->stopped = true;
  for (guint i = 0; i < nodes->nodes->len; i++)
    ragify_redis_connection_stop (node_at (nodes, i)->connection);
}

void
ragify_redis_nodes_free (RagifyRedisNodes *nodes)
{
  if (nodes == NULL)
    return;
  g_ptr_array_unref (nodes->nodes);
  g_free (nodes->slots);
  g_free (nodes);
}

/* ---- the map ---- */

static Node *
find_or_add (RagifyRedisNodes *nodes, const char *host, uint16_t port)
{
  for (guint i = 0; i < nodes->nodes->len; i++)
    if (ragify_redis_connection_is_at (node_at (nodes, i)->connection, host, port))
      return node_at (nodes, i);
  const RagifyRedisEndpoint endpoint = { (char *)host, port };
  Node *node = add_node (nodes, &endpoint, false);
  ragify_redis_connection_start (node->connection);
  return node;
}

/* Takes nodes away that have no slot any more, unless something is under way with them. */
static void
sweep (void *user)
{
  RagifyRedisNodes *nodes = user;
  nodes->sweeping = false;
  for (guint i = nodes->nodes->len; i-- > 0 && !nodes->stopped;) {
    const Node *node = node_at (nodes, i);
    RagifyRedisConnectionCounts counts = { 0 };
    ragify_redis_connection_count (node->connection, &counts);
    if (node->seed || node->used || counts.in_flight > 0)
      continue;
    ragify_redis_connection_stop (node->connection);
    g_ptr_array_remove_index (nodes->nodes, i);
  }
}

static bool
is_text (const redisReply *reply)
{
  return reply->type == REDIS_REPLY_STRING || reply->type == REDIS_REPLY_STATUS;
}

/* One range: first slot, last slot, then its master and replicas as [address, port, …]. */
static void
take_range (RagifyRedisNodes *nodes, const redisReply *range, const RagifyRedisConnection *asked)
{
  if (range->type != REDIS_REPLY_ARRAY || range->elements < 3 || range->element[0]->type != REDIS_REPLY_INTEGER ||
      range->element[1]->type != REDIS_REPLY_INTEGER || range->element[2]->type != REDIS_REPLY_ARRAY)
    return;
  const redisReply *master = range->element[2];
  const long long first = range->element[0]->integer;
  const long long last = range->element[1]->integer;
  if (master->elements < 2 || master->element[1]->type != REDIS_REPLY_INTEGER || first < 0 ||
      last >= RAGIFY_REDIS_SLOTS || master->element[1]->integer < 1 || master->element[1]->integer > 65535)
    return;
  const bool named = is_text (master->element[0]) && master->element[0]->len > 0;
  const char *host = named ? master->element[0]->str : ragify_redis_connection_host (asked);
  Node *node = find_or_add (nodes, host, (uint16_t)master->element[1]->integer);
  node->used = true;
  for (long long slot = first; slot <= last; slot++)
    nodes->slots[slot] = node->connection;
}

static void
take_map (RagifyRedisNodes *nodes, const redisReply *reply, const RagifyRedisConnection *asked)
{
  if (reply->type != REDIS_REPLY_ARRAY || reply->elements == 0)
    return;
  if (nodes->slots == NULL)
    nodes->slots = g_new0 (RagifyRedisConnection *, RAGIFY_REDIS_SLOTS);
  memset (nodes->slots, 0, RAGIFY_REDIS_SLOTS * sizeof (RagifyRedisConnection *));
  for (guint i = 0; i < nodes->nodes->len; i++)
    node_at (nodes, i)->used = false;
  for (size_t i = 0; i < reply->elements; i++)
    take_range (nodes, reply->element[i], asked);
  if (!nodes->sweeping) {
    nodes->sweeping = true;
    nodes->settings->loop->invoke (nodes->settings->context, sweep, nodes);
  }
}

static void
map_replied (RagifyRedisCommand *command, redisReply *reply, const RagifyFault *fault)
{
  RagifyRedisNodes *nodes = command->owner;
  nodes->refreshing = false;
  if (reply != NULL && !nodes->stopped)
    take_map (nodes, reply, command->connection);
  ragify_redis_command_free (command);
  if (reply != NULL)
    freeReplyObject (reply);
}

/* Asks a node that is up, the next one each time, but not too often. */
static void
refresh (RagifyRedisNodes *nodes)
{
  const uint64_t now = nodes->settings->host->clock_us ();
  const RagifyStr words[] = { ragify_str_from ("CLUSTER"), ragify_str_from ("SLOTS") };
  RagifyFault fault;
  size_t size = 0;
  if (nodes->refreshing || nodes->stopped || (nodes->slots != NULL && now < nodes->refresh_after_us))
    return;
  for (guint i = 0; i < nodes->nodes->len; i++) {
    const Node *node = node_at (nodes, nodes->turn++ % nodes->nodes->len);
    if (!ragify_redis_connection_is_up (node->connection))
      continue;
    RagifyRedisCommand *command = ragify_redis_command_new (ragify_redis_format (2, words, &size), 0);
    command->size = size;
    command->owner = nodes;
    command->replied = map_replied;
    nodes->refreshing = ragify_redis_connection_send (node->connection, command, &fault);
    if (!nodes->refreshing) {
      ragify_redis_command_free (command);
      continue;
    }
    nodes->refresh_after_us = now + REFRESH_PAUSE_US;
    return;
  }
}

bool
ragify_redis_nodes_have_slots (const RagifyRedisNodes *nodes)
{
  return nodes->slots != NULL;
}

RagifyRedisConnection *
ragify_redis_nodes_route (RagifyRedisNodes *nodes, int slot)
{
  RagifyRedisConnection *known = nodes->slots != NULL && slot >= 0 ? nodes->slots[slot] : NULL;
  if (known != NULL) {
    if (!ragify_redis_connection_is_up (known))
      refresh (nodes); /* another one may have taken its place */
    return known;
  }
  for (guint i = 0; i < nodes->nodes->len && nodes->nodes->len > 1; i++)
    if (ragify_redis_connection_is_up (node_at (nodes, i)->connection))
      return node_at (nodes, i)->connection;
  return node_at (nodes, 0)->connection;
}

RagifyRedisConnection *
ragify_redis_nodes_at (RagifyRedisNodes *nodes, const char *host, uint16_t port, const RagifyRedisConnection *named_by)
{
  return find_or_add (nodes, *host != '\0' ? host : ragify_redis_connection_host (named_by), port)->connection;
}

void
ragify_redis_nodes_moved (RagifyRedisNodes *nodes, int slot, RagifyRedisConnection *connection)
{
  nodes->cluster = true;
  for (guint i = 0; i < nodes->nodes->len; i++)
    if (node_at (nodes, i)->connection == connection)
      node_at (nodes, i)->used = true;
  if (nodes->slots != NULL)
    nodes->slots[slot] = connection;
  refresh (nodes);
}

RagifyRedisConnection *
ragify_redis_nodes_holder (const RagifyRedisNodes *nodes, uint32_t index)
{
  for (guint i = 0; i < nodes->nodes->len; i++) {
    const Node *node = node_at (nodes, i);
    if (nodes->slots != NULL ? !node->used : i > 0)
      continue;
    if (index-- == 0)
      return node->connection;
  }
  return NULL;
}

bool
ragify_redis_nodes_any_up (const RagifyRedisNodes *nodes)
{
  for (guint i = 0; i < nodes->nodes->len; i++)
    if (ragify_redis_connection_is_up (node_at (nodes, i)->connection))
      return true;
  return false;
}

void
ragify_redis_nodes_count (const RagifyRedisNodes *nodes, RagifyRedisConnectionCounts *counts, uint32_t *up,
                          uint32_t *all)
{
  *all = nodes->nodes->len;
  *up = 0;
  for (guint i = 0; i < nodes->nodes->len; i++) {
    const RagifyRedisConnection *connection = node_at (nodes, i)->connection;
    *up += ragify_redis_connection_is_up (connection) ? 1 : 0;
    ragify_redis_connection_count (connection, counts);
  }
}
