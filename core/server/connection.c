/* SPDX-License-Identifier: MIT */
#include "connection.h"

#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

/* Connections above the limits that are let in all the same, so that health stays answerable. */
#define RESERVE 64
#define RESERVE_PER_CLIENT 8
/* What such a connection may take for its request. */
#define CROWDED_PATIENCE_US 2000000

/* ---- lists ---- */

static void
count_idle (RagifyListener *listener, int change)
{
  const guint now = __atomic_load_n (&listener->n_idle, __ATOMIC_RELAXED);
  __atomic_store_n (&listener->n_idle, now + (guint)change, __ATOMIC_RELAXED);
}

static void
idle_append (RagifyConnection *connection)
{
  RagifyListener *listener = connection->listener;
  count_idle (listener, 1);
  connection->in_idle = TRUE;
  connection->newer_idle = NULL;
  connection->older_idle = listener->newest_idle;
  if (listener->newest_idle != NULL)
    listener->newest_idle->newer_idle = connection;
  else
    listener->oldest_idle = connection;
  listener->newest_idle = connection;
}

static void
idle_remove (RagifyConnection *connection)
{
  RagifyListener *listener = connection->listener;
  if (!connection->in_idle)
    return;
  connection->in_idle = FALSE;
  count_idle (listener, -1);
  if (connection->newer_idle != NULL)
    connection->newer_idle->older_idle = connection->older_idle;
  else
    listener->newest_idle = connection->older_idle;
  if (connection->older_idle != NULL)
    connection->older_idle->newer_idle = connection->newer_idle;
  else
    listener->oldest_idle = connection->newer_idle;
}

static void
all_prepend (RagifyConnection *connection)
{
  RagifyListener *listener = connection->listener;
  connection->next_all = listener->all;
  if (listener->all != NULL)
    listener->all->previous_all = connection;
  listener->all = connection;
}

static void
all_remove (RagifyConnection *connection)
{
  if (connection->next_all != NULL)
    connection->next_all->previous_all = connection->previous_all;
  if (connection->previous_all != NULL)
    connection->previous_all->next_all = connection->next_all;
  else
    connection->listener->all = connection->next_all;
}

/* ---- the clock ---- */

/* Bytes that have come in so far; FALSE on Unix sockets. */
static gboolean
bytes_received (const RagifyConnection *connection, guint64 *bytes)
{
  struct tcp_info info;
  socklen_t size = sizeof info;
  if (getsockopt (connection->descriptor, IPPROTO_TCP, TCP_INFO, &info, &size) != 0 ||
      size < offsetof (struct tcp_info, tcpi_bytes_received) + sizeof info.tcpi_bytes_received)
    return FALSE;
  *bytes = info.tcpi_bytes_received;
  return TRUE;
}

/* libmicrohttpd says nothing of a request whose first line is not whole; what was received beyond the whole requests
 * tells that one has begun. */
static gboolean
has_part_of_head (RagifyConnection *connection)
{
  guint64 bytes = 0;
  if (!bytes_received (connection, &bytes))
    return FALSE;
  if (!connection->consumed_known) {
    connection->consumed = bytes;
    connection->consumed_known = TRUE;
  }
  return bytes > connection->consumed;
}

static void
check_idle (RagifyConnection *connection, guint64 now)
{
  const RagifyListenOptions *options = &connection->listener->shared->options;
  const guint64 idle = __atomic_load_n (&options->idle_timeout_us, __ATOMIC_RELAXED);
  const guint64 patience = connection->crowded != NULL ? CROWDED_PATIENCE_US : idle;
  if (connection->head_began == 0 && has_part_of_head (connection))
    connection->head_began = now;
  if (connection->head_began != 0 &&
      now - connection->head_began >= __atomic_load_n (&options->head_timeout_us, __ATOMIC_RELAXED))
    ragify_exchange_timed_out (&connection->exchange);
  else if (now - connection->since >= patience)
    ragify_connection_shut (connection);
}

static void
tick_expired (RagifyDeadline *deadline)
{
  RagifyConnection *connection = (RagifyConnection *)((char *)deadline - offsetof (RagifyConnection, tick));
  const guint64 now = ragify_now ();
  ragify_loop_arm (connection->listener->loop, deadline, now + connection->tick_period);
  if (connection->exchange.state == RAGIFY_EXCHANGE_IDLE)
    check_idle (connection, now);
  else if (connection->limit != 0 && now >= connection->limit)
    ragify_exchange_timed_out (&connection->exchange);
}

/* Half of the shortest time-out, so that none is kept by more than half too late; not so often that thousands of idle
 * connections cost anything. */
static guint64
tick_period (const RagifyListenOptions *options)
{
  const guint64 head = __atomic_load_n (&options->head_timeout_us, __ATOMIC_RELAXED),
                body = __atomic_load_n (&options->body_timeout_us, __ATOMIC_RELAXED),
                idle = __atomic_load_n (&options->idle_timeout_us, __ATOMIC_RELAXED);
  const guint64 shortest = MIN (MIN (head, body), idle);
  return CLAMP (shortest / 2, 50000, 5000000);
}

void
ragify_connection_set_limit (RagifyConnection *connection, guint64 limit)
{
  connection->limit = limit;
}

/* ---- the socket ---- */

static void
watch (RagifyConnection *connection)
{
  struct epoll_event event = { .events = EPOLLRDHUP | EPOLLET, .data.ptr = connection };
  connection->watched = epoll_ctl (connection->listener->watch, EPOLL_CTL_ADD, connection->descriptor, &event) == 0;
}

static void
unwatch (RagifyConnection *connection)
{
  if (connection->watched)
    epoll_ctl (connection->listener->watch, EPOLL_CTL_DEL, connection->descriptor, NULL);
  if (connection->ended)
    g_ptr_array_remove_fast (connection->listener->ended, connection);
  connection->watched = connection->ended = FALSE;
}

void
ragify_connection_client_ended (RagifyConnection *connection)
{
  if (!connection->ended)
    g_ptr_array_add (connection->listener->ended, connection);
  connection->ended = TRUE;
  ragify_exchange_client_left (&connection->exchange);
}

/* libmicrohttpd 0.9.75 does not see an end that came together with the last bytes. */
void
ragify_connection_settle_ended (RagifyConnection *connection)
{
  if (connection->exchange.state <= RAGIFY_EXCHANGE_BODY || connection->exchange.state == RAGIFY_EXCHANGE_LINGERING)
    ragify_connection_shut (connection);
}

/* NULL: plain HTTP. */
static gnutls_session_t
tls_session (const RagifyConnection *connection)
{
  if (connection->listener->shared->tls == NULL)
    return NULL;
  const union MHD_ConnectionInfo *info = MHD_get_connection_info (connection->mhd, MHD_CONNECTION_INFO_GNUTLS_SESSION);
  return info != NULL ? info->tls_session : NULL;
}

void
ragify_connection_send_last (RagifyConnection *connection, const char *data, gsize size)
{
  gnutls_session_t session = tls_session (connection);
  if (session != NULL) {
    /* Before the handshake is over GnuTLS refuses, and then there is nobody to tell. */
    if (gnutls_record_send (session, data, size) > 0)
      gnutls_bye (session, GNUTLS_SHUT_WR);
    shutdown (connection->descriptor, SHUT_WR);
    return;
  }
  /* The socket's buffer is empty, for the last reply has gone; should it be full after all, the client has bigger
   * troubles than not to learn why it was refused. */
  if (send (connection->descriptor, data, size, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
    g_debug ("a refusal could not be sent: %s", g_strerror (errno));
  shutdown (connection->descriptor, SHUT_WR);
}

void
ragify_connection_shut (RagifyConnection *connection)
{
  shutdown (connection->descriptor, SHUT_RDWR);
}

/* ---- what libmicrohttpd calls ---- */

/* Closes the connection of this loop that has been idle for the longest time. */
static gboolean
evict_here (RagifyListener *listener)
{
  RagifyConnection *oldest = listener->oldest_idle;
  if (oldest == NULL)
    return FALSE;
  idle_remove (oldest);
  oldest->exchange.dead = TRUE;
  ragify_connection_shut (oldest);
  ragify_listener_count_refused (listener, "idle-evicted");
  return TRUE;
}

void
ragify_connection_evict (RagifyTask *task)
{
  RagifyListener *listener = (RagifyListener *)((char *)task - offsetof (RagifyListener, evict));
  __atomic_store_n (&listener->evict_posted, FALSE, __ATOMIC_SEQ_CST);
  for (guint wanted = __atomic_exchange_n (&listener->evict_wanted, 0, __ATOMIC_SEQ_CST); wanted > 0; wanted--)
    evict_here (listener);
}

/* Asks another loop to do it, soon. While this listener does not drain, the others are there. */
static gboolean
evict_elsewhere (const RagifyListener *listener)
{
  const RagifyServerShared *shared = listener->shared;
  for (guint i = 0; i < shared->n_listeners && !listener->draining; i++) {
    RagifyListener *other = shared->listeners[i];
    if (other == listener ||
        __atomic_load_n (&other->n_idle, __ATOMIC_RELAXED) <= __atomic_load_n (&other->evict_wanted, __ATOMIC_RELAXED))
      continue;
    __atomic_fetch_add (&other->evict_wanted, 1, __ATOMIC_SEQ_CST);
    if (!__atomic_exchange_n (&other->evict_posted, TRUE, __ATOMIC_SEQ_CST))
      ragify_loop_post (other->loop, &other->evict);
    return TRUE;
  }
  return FALSE;
}

/* Makes room for one more connection. */
static gboolean
evict_idle (RagifyListener *listener)
{
  return evict_here (listener) || evict_elsewhere (listener);
}

enum MHD_Result
ragify_connection_accept (void *user, const struct sockaddr *address, socklen_t size)
{
  RagifyListener *listener = user;
  const RagifyServerShared *shared = listener->shared;
  const RagifyListenOptions *options = &shared->options;
  if (__atomic_load_n (&shared->connections, __ATOMIC_RELAXED) >= options->max_connections + RESERVE) {
    ragify_listener_count_refused (listener, "connections");
    return MHD_NO;
  }
  if (options->max_connections_per_client == 0)
    return MHD_YES;
  const RagifyClientKey key = ragify_client_key (address);
  if (ragify_client_table_count (shared->clients, &key) < options->max_connections_per_client + RESERVE_PER_CLIENT)
    return MHD_YES;
  ragify_listener_count_refused (listener, "connections-of-client");
  return MHD_NO;
}

/* Counts the connection among its client's. */
static void
count_client (RagifyConnection *connection)
{
  RagifyServerShared *shared = connection->listener->shared;
  if (shared->options.max_connections_per_client == 0)
    return;
  const union MHD_ConnectionInfo *info = MHD_get_connection_info (connection->mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
  connection->client = ragify_client_key (info != NULL ? info->client_addr : NULL);
  connection->client_counted = ragify_client_table_add (shared->clients, &connection->client) > 0;
}

/* Whether there is one connection too many, this one counted. */
static const char *
find_crowded (RagifyConnection *connection)
{
  RagifyServerShared *shared = connection->listener->shared;
  const RagifyListenOptions *options = &shared->options;
  if (connection->client_counted &&
      ragify_client_table_count (shared->clients, &connection->client) > options->max_connections_per_client)
    return "connections-of-client";
  if (__atomic_load_n (&shared->connections, __ATOMIC_RELAXED) > options->max_connections &&
      !evict_idle (connection->listener))
    return "connections";
  return NULL;
}

const char *
ragify_connection_crowded (RagifyConnection *connection)
{
  if (connection->crowded != NULL)
    connection->crowded = find_crowded (connection);
  return connection->crowded;
}

static RagifyConnection *
connection_new (RagifyListener *listener, struct MHD_Connection *mhd)
{
  RagifyConnection *connection = g_new0 (RagifyConnection, 1);
  const union MHD_ConnectionInfo *info = MHD_get_connection_info (mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
  connection->listener = listener;
  connection->mhd = mhd;
  connection->descriptor = info->connect_fd;
  connection->consumed_known = TRUE;
  connection->since = ragify_now ();
  ragify_exchange_init (&connection->exchange, connection, listener);

  __atomic_fetch_add (&listener->shared->connections, 1, __ATOMIC_RELAXED);
  ragify_series_add (listener->shared->connections_now, 1);
  ragify_series_add (listener->shared->connections_total, 1);
  count_client (connection);
  connection->crowded = find_crowded (connection);
  all_prepend (connection);
  idle_append (connection);
  watch (connection);
  connection->tick.expired = tick_expired;
  connection->tick_period = tick_period (&listener->shared->options);
  ragify_loop_arm (listener->loop, &connection->tick, connection->since + connection->tick_period);
  return connection;
}

static void
connection_free (RagifyConnection *connection)
{
  RagifyListener *listener = connection->listener;
  ragify_loop_disarm (listener->loop, &connection->tick);
  unwatch (connection);
  idle_remove (connection);
  all_remove (connection);
  ragify_exchange_clear (&connection->exchange);
  if (connection->client_counted)
    ragify_client_table_remove (listener->shared->clients, &connection->client);
  __atomic_fetch_sub (&listener->shared->connections, 1, __ATOMIC_RELAXED);
  ragify_series_add (listener->shared->connections_now, -1);
  g_free (connection);
}

void
ragify_connection_notify (void *user, struct MHD_Connection *mhd, void **context,
                          enum MHD_ConnectionNotificationCode code)
{
  if (code == MHD_CONNECTION_NOTIFY_STARTED) {
    *context = connection_new (user, mhd);
  } else if (*context != NULL) {
    connection_free (*context);
    *context = NULL;
  }
}

static void
count_under_way (RagifyListener *listener, int change)
{
  const guint now = __atomic_load_n (&listener->under_way, __ATOMIC_RELAXED);
  __atomic_store_n (&listener->under_way, now + (guint)change, __ATOMIC_RELAXED);
}

void *
ragify_connection_request_line (void *user, const char *target, struct MHD_Connection *mhd)
{
  const union MHD_ConnectionInfo *info = MHD_get_connection_info (mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
  RagifyConnection *connection = info->socket_context;
  idle_remove (connection);
  count_under_way (connection->listener, 1);
  ragify_exchange_start (&connection->exchange, target != NULL ? target : "");
  return connection;
}

void
ragify_connection_completed (void *user, struct MHD_Connection *mhd, void **context,
                             enum MHD_RequestTerminationCode code)
{
  RagifyConnection *connection = *context;
  if (connection == NULL)
    return;
  *context = NULL;
  const RagifyExchange *exchange = &connection->exchange;
  if (exchange->facts.chunked || connection->listener->shared->tls != NULL)
    connection->consumed_known = FALSE;
  connection->consumed += exchange->head_size + exchange->facts.content_length;
  connection->since = exchange->began;
  connection->head_began = 0;
  connection->limit = 0;
  ragify_exchange_end (&connection->exchange);
  count_under_way (connection->listener, -1);
  idle_append (connection);
}
