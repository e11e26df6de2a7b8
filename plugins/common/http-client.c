/* SPDX-License-Identifier: MIT */
#include "http-private.h"

#include <string.h>

/* Sessions beside the configured origin's that are kept for redirects to lead to. */
#define ORIGINS_ROOM 8u

static void
origin_free (gpointer data)
{
  RagifyHttpOrigin *origin = data;
  soup_session_abort (origin->session);
  g_object_unref (origin->session);
  g_free (origin->host);
  g_free (origin->key);
  g_free (origin);
}

RagifyHttpClient *
ragify_http_client_new (const RagifyHost *host, RagifyContext *context, const RagifyHttpSettings *settings,
                        guint instances, RagifyFault *fault)
{
  GTlsDatabase *authorities = NULL;
  if (settings->tls_ca != NULL) {
    g_autoptr (GError) error = NULL;
    authorities = g_tls_file_database_new (settings->tls_ca, &error);
    if (authorities == NULL) {
      ragify_fault_set (fault, RAGIFY_E_INVALID, "tls-ca: %s: %s", settings->tls_ca, error->message);
      return NULL;
    }
  }
  RagifyHttpClient *client = g_new0 (RagifyHttpClient, 1);
  client->host = host;
  client->context = context;
  client->settings = settings;
  client->authorities = authorities;
  client->open = g_atomic_rc_box_new0 (RagifyHttpOpen);
  client->share = (MIN (settings->max_connections, settings->max_connections_per_host) + instances - 1) / instances;
  client->loop = host->get_extension (context, RAGIFY_EXT_LOOP);
  client->quotas = host->get_extension (context, RAGIFY_EXT_QUOTA);
  client->trace = host->get_extension (context, RAGIFY_EXT_TRACE);
  if (client->quotas != NULL) {
    client->all = client->quotas->open (context, "connections", settings->max_connections);
    client->per_host = client->quotas->open (context, "connections-per-host", settings->max_connections_per_host);
  }
  client->names = ragify_http_names_new (settings->dns_ttl_us);
  client->origins = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, origin_free);
  return client;
}

void
ragify_http_client_free (RagifyHttpClient *client)
{
  if (client == NULL)
    return;
  g_hash_table_unref (client->origins);
  ragify_http_names_unref (client->names);
  g_clear_object (&client->authorities);
  g_atomic_rc_box_release (client->open);
  g_free (client);
}

void
ragify_http_client_set_settings (RagifyHttpClient *client, const RagifyHttpSettings *settings)
{
  client->settings = settings;
}

RagifyHttpStats
ragify_http_client_stats (const RagifyHttpClient *client)
{
  RagifyHttpStats stats = client->stats;
  stats.open = (guint64)g_atomic_int_get (&client->open->count);
  return stats;
}

static void
socket_gone (gpointer data, GObject *where_it_was)
{
  RagifyHttpOpen *open = data;
  g_atomic_int_add (&open->count, -1);
  g_atomic_rc_box_release (open);
}

void
ragify_http_client_connected (RagifyHttpClient *client, GIOStream *stream)
{
  client->stats.connections++;
  if (!G_IS_SOCKET_CONNECTION (stream))
    return;
  g_atomic_int_inc (&client->open->count);
  g_object_weak_ref (G_OBJECT (g_socket_connection_get_socket (G_SOCKET_CONNECTION (stream))), socket_gone,
                     g_atomic_rc_box_acquire (client->open));
}

/* ---- origins ---- */

static gboolean
may_be_private (const RagifyHttpClient *client, const char *key)
{
  switch (client->settings->private_addresses) {
  case RAGIFY_HTTP_PRIVATE_ALWAYS:
    return TRUE;
  case RAGIFY_HTTP_PRIVATE_NEVER:
    return FALSE;
  default: {
    /* The host counts: another port of the configured one is not further inside than it is. */
    const char *home = client->settings->origin;
    const gsize size = (gsize)(strrchr (home, ':') - home);
    const char *host = strstr (key, "://");
    const char *home_host = strstr (home, "://");
    const gsize host_size = size - (gsize)(home_host - home);
    return strncmp (host, home_host, host_size) == 0 && host[host_size] == ':';
  }
  }
}

/* Makes room for one more: the one that was used least recently, where none of its exchanges is left. */
static void
drop_oldest (RagifyHttpClient *client)
{
  RagifyHttpOrigin *oldest = NULL;
  GHashTableIter iter;
  gpointer value;
  g_hash_table_iter_init (&iter, client->origins);
  while (g_hash_table_iter_next (&iter, NULL, &value)) {
    RagifyHttpOrigin *origin = value;
    if (origin->exchanges == 0 && strcmp (origin->key, client->settings->origin) != 0 &&
        (oldest == NULL || origin->used < oldest->used))
      oldest = origin;
  }
  if (oldest != NULL)
    g_hash_table_remove (client->origins, oldest->key);
}

static SoupSession *
session_new (RagifyHttpClient *client, const char *key, const char *host, guint16 port)
{
  const RagifyHttpSettings *settings = client->settings;
  g_autoptr (GSocketConnectable) address =
      ragify_http_address_new (client->names, host, port, may_be_private (client, key));
  SoupSession *session = soup_session_new_with_options (
      "remote-connectable", address, "max-conns", settings->max_connections, "max-conns-per-host",
      MIN (settings->max_connections, settings->max_connections_per_host), "idle-timeout",
      (guint)((settings->keep_alive_us + 999999) / 1000000), "timeout", 0u, "proxy-resolver", NULL, NULL);
  soup_session_remove_feature_by_type (session, SOUP_TYPE_AUTH_MANAGER);
  if (client->authorities != NULL)
    soup_session_set_tls_database (session, client->authorities);
  return session;
}

RagifyHttpOrigin *
ragify_http_client_origin (RagifyHttpClient *client, const char *key, const char *host, guint16 port)
{
  RagifyHttpOrigin *origin = g_hash_table_lookup (client->origins, key);
  if (origin == NULL) {
    if (g_hash_table_size (client->origins) > ORIGINS_ROOM)
      drop_oldest (client);
    origin = g_new0 (RagifyHttpOrigin, 1);
    origin->key = g_strdup (key);
    origin->host = g_strdup (host);
    origin->session = session_new (client, key, host, port);
    g_hash_table_insert (client->origins, origin->key, origin);
  }
  origin->used = ++client->serial;
  return origin;
}

/* ---- turns ---- */

static void available (void *user);

static void
ask_for (RagifyHttpClient *client, RagifyQuota *quota)
{
  if (client->asked)
    return;
  client->asked = TRUE;
  client->quotas->notify_release (client->context, quota, 1, available, client);
}

/* The quota that has nothing left, or NULL when the exchange got its parts. */
static RagifyQuota *
try_take (RagifyHttpClient *client, RagifyHttpExchange *exchange)
{
  if (client->all == NULL)
    return NULL;
  if (!client->quotas->try_acquire (client->all, 1))
    return client->all;
  if (exchange->at_home && !client->quotas->try_acquire (client->per_host, 1)) {
    client->quotas->release (client->all, 1);
    return client->per_host;
  }
  exchange->holds_all = TRUE;
  exchange->holds_host = exchange->at_home;
  client->held++;
  return NULL;
}

static void
begin_next (RagifyHttpClient *client, RagifyHttpExchange *next)
{
  g_queue_unlink (&client->waiting, &next->turn);
  next->waits = FALSE;
  ragify_http_exchange_resume (next);
}

/* What was released may be taken again before this runs, by this instance or another: then it is asked for anew. */
static void
available (void *user)
{
  RagifyHttpClient *client = user;
  client->asked = FALSE;
  for (GList *link = client->waiting.head; link != NULL;) {
    RagifyHttpExchange *exchange = link->data;
    link = link->next;
    RagifyQuota *lacking = try_take (client, exchange);
    if (lacking != NULL) {
      ask_for (client, lacking);
      continue;
    }
    begin_next (client, exchange);
  }
}

gboolean
ragify_http_client_take (RagifyHttpClient *client, RagifyHttpExchange *exchange)
{
  /* Who came before goes before. */
  RagifyQuota *lacking = client->waiting.length == 0 ? try_take (client, exchange) : client->all;
  if (lacking == NULL)
    return TRUE;
  exchange->turn.data = exchange;
  exchange->waits = TRUE;
  g_queue_push_tail_link (&client->waiting, &exchange->turn);
  ask_for (client, lacking);
  return FALSE;
}

/* Who waits here gets what is given back, without a turn of the loop, in which the service would have nothing to do.
 * What is beyond this instance's share goes to whoever asks first. */
static gboolean
hand_over (RagifyHttpClient *client, RagifyHttpExchange *exchange)
{
  RagifyHttpExchange *next = g_queue_peek_head (&client->waiting);
  if (next == NULL || client->closing || !exchange->holds_all || exchange->holds_host != next->at_home ||
      client->held > client->share)
    return FALSE;
  next->holds_all = TRUE;
  next->holds_host = exchange->holds_host;
  exchange->holds_host = exchange->holds_all = FALSE;
  begin_next (client, next);
  return TRUE;
}

void
ragify_http_client_give_back (RagifyHttpClient *client, RagifyHttpExchange *exchange)
{
  if (exchange->waits)
    g_queue_unlink (&client->waiting, &exchange->turn);
  exchange->waits = FALSE;
  if (hand_over (client, exchange))
    return;
  if (exchange->holds_all)
    client->held--;
  if (exchange->holds_host)
    client->quotas->release (client->per_host, 1);
  if (exchange->holds_all)
    client->quotas->release (client->all, 1);
  exchange->holds_host = exchange->holds_all = FALSE;
}

/* ---- closing ---- */

void
ragify_http_client_left (RagifyHttpClient *client)
{
  if (!client->closing || client->exchanges.length > 0)
    return;
  g_hash_table_remove_all (client->origins);
  if (client->asked) {
    client->quotas->notify_release (client->context, client->all, 1, NULL, client);
    client->quotas->notify_release (client->context, client->per_host, 1, NULL, client);
  }
  client->closing = FALSE;
  client->closed (client->closed_user);
}

void
ragify_http_client_close (RagifyHttpClient *client, void (*closed) (void *user), void *user)
{
  client->closing = TRUE;
  if (client->asked) {
    client->quotas->notify_release (client->context, client->all, 1, NULL, client);
    client->quotas->notify_release (client->context, client->per_host, 1, NULL, client);
  }
  client->closed = closed;
  client->closed_user = user;
  for (GList *link = client->exchanges.head; link != NULL;) {
    RagifyHttpExchange *exchange = link->data;
    link = link->next;
    ragify_http_exchange_abort (exchange, RAGIFY_E_CANCELLED, "the client is being closed");
  }
  ragify_http_client_left (client);
}

/* ---- answers ---- */

gboolean
ragify_http_answer_check (const RagifyHttpAnswer *answer, const char *what, RagifyFault *fault)
{
  if (answer->status >= 200 && answer->status < 300)
    return TRUE;
  int32_t code = RAGIFY_E_UNAVAILABLE;
  if (answer->status == 401 || answer->status == 403)
    code = RAGIFY_E_UNAUTHORIZED;
  else if (answer->status == 404 || answer->status == 410)
    code = RAGIFY_E_NOT_FOUND;
  else if (answer->status == 429 || answer->status == 507)
    code = RAGIFY_E_EXHAUSTED;
  else if (answer->status >= 400 && answer->status < 500 && answer->status != 408 && answer->status != 425)
    code = RAGIFY_E_INVALID;
  return ragify_fault_set (fault, code, "%s answered %u %.60s", what, answer->status, answer->reason);
}
