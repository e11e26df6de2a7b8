/* SPDX-License-Identifier: MIT */
#include "authorize.h"

#include <string.h>

#include "connection.h"
#include "exchange-log.h"

static gboolean
refuse (RagifyExchange *exchange, const char *reason, guint status, const char *title, const char *detail)
{
  ragify_listener_count_refused (exchange->listener, reason);
  return ragify_exchange_refuse (exchange, status, title, NULL, "%s", detail);
}

/* The listener's keys, brought up to the ring's. */
static RagifyKeySet *
current_set (RagifyListener *listener)
{
  const guint version = ragify_key_ring_version (listener->shared->keys);
  if (listener->key_set != NULL && listener->key_version == version)
    return listener->key_set;
  g_clear_pointer (&listener->key_set, ragify_key_set_unref);
  listener->key_set = ragify_key_ring_set (listener->shared->keys);
  listener->key_version = version;
  return listener->key_set;
}

/* "Bearer KEY" or X-API-Key; empty: none was sent. */
static RagifyStr
credentials (const RagifyHeadFacts *facts)
{
  static const char scheme[] = "Bearer ";
  RagifyStr text = facts->authorization;
  if (text.size <= strlen (scheme) || g_ascii_strncasecmp (text.data, scheme, strlen (scheme)) != 0)
    return facts->api_key;
  text = ragify_str (text.data + strlen (scheme), text.size - strlen (scheme));
  while (text.size > 0 && *text.data == ' ')
    text = ragify_str (text.data + 1, text.size - 1);
  return text;
}

static gboolean
find_key (RagifyExchange *exchange)
{
  const RagifyStr text = credentials (&exchange->facts);
  if (text.size == 0)
    return refuse (exchange, "no-key", 401, "Unauthorized",
                   "an API key is needed: Authorization: Bearer KEY, or X-API-Key: KEY");
  RagifyKeySet *set = current_set (exchange->listener);
  const RagifyApiKey *key = ragify_key_set_find (set, text);
  if (key == NULL)
    return refuse (exchange, "unknown-key", 401, "Unauthorized", "there is no such API key");
  if (key->expires != 0 && g_get_real_time () / G_USEC_PER_SEC >= key->expires)
    return refuse (exchange, "expired-key", 401, "Unauthorized", "the API key has expired");
  exchange->key_set = ragify_key_set_ref (set);
  exchange->key = key;
  return TRUE;
}

static gboolean
check_scope (RagifyExchange *exchange)
{
  static const struct {
    guint scope;
    const char *name;
  } needed[] = { [RAGIFY_ACCESS_READ] = { RAGIFY_SCOPE_READ, "read" },
                 [RAGIFY_ACCESS_WRITE] = { RAGIFY_SCOPE_WRITE, "write" },
                 [RAGIFY_ACCESS_ADMIN] = { RAGIFY_SCOPE_ADMIN, "admin" } };
  const RagifyAction *action = exchange->action;
  if ((exchange->key->scopes & needed[action->access].scope) == 0) {
    ragify_listener_count_refused (exchange->listener, "scope");
    return ragify_exchange_refuse (exchange, 403, "Forbidden", NULL, "this needs a key with the scope '%s'",
                                   needed[action->access].name);
  }
  if (exchange->key->hold != NULL && !action->held)
    return refuse (exchange, "held-key", 403, "Forbidden",
                   "this tells about everything there is, and the key is held to a filter");
  return TRUE;
}

static gboolean
check_limits (RagifyExchange *exchange)
{
  guint retry_after = 1;
  const char *detail = "the key's rate is used up";
  if (ragify_api_key_take_turn (exchange->key, ragify_now (), &retry_after)) {
    exchange->entered = ragify_api_key_enter (exchange->key);
    detail = "as many requests of the key as may be are under way";
  }
  if (exchange->entered)
    return TRUE;
  refuse (exchange, "key-limit", 429, "Too many requests", detail);
  exchange->problem.retry_after = retry_after;
  return FALSE;
}

/* One address may not take everybody's share, whatever keys it has. */
static gboolean
check_client (RagifyExchange *exchange)
{
  const RagifyServerShared *shared = exchange->listener->shared;
  guint retry_after = 1;
  if (shared->options.client_rate <= 0 || exchange->action->always)
    return TRUE;
  const union MHD_ConnectionInfo *info =
      MHD_get_connection_info (exchange->connection->mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
  const RagifyClientKey client = ragify_client_key (info != NULL ? info->client_addr : NULL);
  if (ragify_client_rate_take (shared->rates, &client, shared->options.client_rate, shared->options.client_burst,
                               ragify_now (), &retry_after))
    return TRUE;
  refuse (exchange, "client-rate", 429, "Too many requests", "this address sends more requests than it may");
  exchange->problem.retry_after = retry_after;
  return FALSE;
}

gboolean
ragify_authorize (RagifyExchange *exchange)
{
  if (!check_client (exchange))
    return FALSE;
  if (exchange->listener->shared->keys == NULL || exchange->action->access == RAGIFY_ACCESS_OPEN)
    return TRUE;
  return find_key (exchange) && check_scope (exchange) && check_limits (exchange);
}

void
ragify_authorize_end (RagifyExchange *exchange)
{
  if (exchange->entered)
    ragify_api_key_leave (exchange->key);
  exchange->entered = FALSE;
  exchange->key = NULL;
  g_clear_pointer (&exchange->key_set, ragify_key_set_unref);
}

void
ragify_authorize_audit (const RagifyExchange *exchange, guint status)
{
  const RagifyAction *action = exchange->action;
  if (action == NULL || action->quiet ||
      (action->access != RAGIFY_ACCESS_WRITE && action->access != RAGIFY_ACCESS_ADMIN))
    return;
  /* Where nobody is asked for a key, who it was is not known: such lines are for those who look closely. */
  const GLogLevelFlags level = exchange->listener->shared->keys != NULL ? G_LOG_LEVEL_MESSAGE : G_LOG_LEVEL_INFO;
  g_autofree char *client = ragify_exchange_client (exchange);
  const char *key = exchange->key != NULL ? exchange->key->name : "-";
  g_log_structured (G_LOG_DOMAIN, level, "RAGIFY_EVENT", "audit", "RAGIFY_REQUEST_ID", exchange->id, "RAGIFY_KEY", key,
                    "RAGIFY_CLIENT", client, "MESSAGE", "audit: key %s from %s: %s %.*s: %u", key, client,
                    exchange->method, (int)MIN (exchange->parts.path.size, 256), exchange->parts.path.data, status);
}
