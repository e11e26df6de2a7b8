/* SPDX-License-Identifier: MIT */
#include "exchange-log.h"

#include <gio/gio.h>
#include <netinet/in.h>

#include "authorize.h"
#include "connection.h"

char *
ragify_exchange_client (const RagifyExchange *exchange)
{
  const union MHD_ConnectionInfo *info =
      MHD_get_connection_info (exchange->connection->mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
  if (info == NULL || info->client_addr == NULL)
    return g_strdup ("a local socket");
  const gboolean inet6 = info->client_addr->sa_family == AF_INET6;
  if (!inet6 && info->client_addr->sa_family != AF_INET)
    return g_strdup ("a local socket");
  const guint8 *bytes = inet6
                            ? ((const struct sockaddr_in6 *)(const void *)info->client_addr)->sin6_addr.s6_addr
                            : (const guint8 *)&((const struct sockaddr_in *)(const void *)info->client_addr)->sin_addr;
  g_autoptr (GInetAddress) address =
      g_inet_address_new_from_bytes (bytes, inet6 ? G_SOCKET_FAMILY_IPV6 : G_SOCKET_FAMILY_IPV4);
  return g_inet_address_to_string (address);
}

void
ragify_exchange_log (const RagifyExchange *exchange, guint status, guint64 now)
{
  if (exchange->action != NULL && exchange->action->always)
    return;
  g_autofree char *client = ragify_exchange_client (exchange);
  /* Of the target the path alone: what was asked is nobody's to read in a log. */
  g_autofree char *path = g_strndup (exchange->parts.path.data, MIN (exchange->parts.path.size, 256));
  const char *trace = exchange->spot.trace != NULL ? ragify_trace_id (exchange->spot.trace) : "";
  const char *key = exchange->key != NULL ? exchange->key->name : "";
  char duration[G_ASCII_DTOSTR_BUF_SIZE], code[12], bytes[24];
  g_ascii_formatd (duration, sizeof duration, "%.3f", (double)(now - exchange->began) / 1000);
  g_snprintf (code, sizeof code, "%u", status);
  g_snprintf (bytes, sizeof bytes, "%" G_GSIZE_FORMAT, exchange->reply_size);
  g_log_structured (G_LOG_DOMAIN, G_LOG_LEVEL_INFO, "RAGIFY_EVENT", "access", "RAGIFY_REQUEST_ID", exchange->id,
                    "RAGIFY_TRACE_ID", trace, "RAGIFY_CLIENT", client, "RAGIFY_KEY", key, "RAGIFY_METHOD",
                    exchange->method, "RAGIFY_PATH", path, "RAGIFY_STATUS", code, "RAGIFY_DURATION_MS", duration,
                    "RAGIFY_BYTES", bytes, "MESSAGE", "%s %s %s: %s, %s bytes in %s ms, request %s%s%s", client,
                    exchange->method, path, code, bytes, duration, exchange->id, *key != '\0' ? ", key " : "", key);
}

/* Where the action's operation is kept; NULL: it has none. */
static RagifyTracked **
place_of (const RagifyExchange *exchange)
{
  const RagifyServerShared *shared = exchange->listener->shared;
  if (shared->tracker == NULL || exchange->route == NULL || exchange->action == NULL || exchange->action->always)
    return NULL;
  for (guint i = 0; i < RAGIFY_ROUTE_METHODS; i++)
    if (exchange->route->methods[i].action == exchange->action)
      return &shared->tracked[ragify_routes_index (exchange->route) * RAGIFY_ROUTE_METHODS + i];
  return NULL;
}

void
ragify_exchange_track (const RagifyExchange *exchange, guint status, guint64 now)
{
  RagifyTracked **place = place_of (exchange);
  if (place == NULL)
    return;
  RagifyTracked *tracked = __atomic_load_n (place, __ATOMIC_ACQUIRE);
  if (tracked == NULL) {
    g_autofree char *name = g_strdup_printf ("%s %s", exchange->method, exchange->route->label);
    tracked = ragify_tracker_operation (exchange->listener->shared->tracker, name);
    __atomic_store_n (place, tracked, __ATOMIC_RELEASE);
  }
  char error[16];
  g_snprintf (error, sizeof error, "HTTP %u", status);
  const RagifyTrackedSample sample = { .duration_us = now - exchange->began,
                                       .failed = status >= 400,
                                       .status = status,
                                       .error = status >= 400 ? error : NULL,
                                       .request_id = exchange->id };
  ragify_tracker_record (tracked, &sample);
}

void
ragify_exchange_note_answer (RagifyExchange *exchange, guint status, guint64 now)
{
  const RagifyServerShared *shared = exchange->listener->shared;
  ragify_authorize_audit (exchange, status);
  if (exchange->spot.trace != NULL)
    ragify_exchange_trace_end (exchange, status, now);
  if (!exchange->asked)
    ragify_exchange_track (exchange, status, now);
  if (__atomic_load_n (&shared->options.access_log, __ATOMIC_RELAXED))
    ragify_exchange_log (exchange, status, now);
  ragify_listener_count_answer (exchange->listener, exchange->route, status, exchange->began, now,
                                exchange->spot.trace);
}
