/* GET /, /v1/graph, /v1/history and /v1/config: what the dashboard shows, and the dashboard.
 *
 * SPDX-License-Identifier: MIT
 */
#include <gio/gio.h>
#include <string.h>

#include "exchange.h"
#include "server-resources.h"

static const char *const no_parameters[] = { NULL };

static gboolean
begin (RagifyExchange *exchange)
{
  return ragify_query_allow (exchange->query, no_parameters, &exchange->problem);
}

static void
finish_graph (RagifyExchange *exchange)
{
  const char *text = exchange->listener->serving->graph;
  ragify_exchange_reply (exchange, 200, "application/json", g_strdup (text), strlen (text));
}

static void
finish_config (RagifyExchange *exchange)
{
  const char *text = exchange->listener->serving->configuration;
  ragify_exchange_reply (exchange, 200, "text/plain; charset=utf-8", g_strdup (text), strlen (text));
}

static void
finish_history (RagifyExchange *exchange)
{
  GString *json = g_string_sized_new (65536);
  ragify_history_write (exchange->listener->shared->history, json);
  const gsize size = json->len;
  ragify_exchange_reply (exchange, 200, "application/json", g_string_free (json, FALSE), size);
}

/* The page's own script and style are let in by their hashes, and nothing else by anything. */
static char *
policy_source (const char *page, const char *element)
{
  g_autofree char *opening = g_strdup_printf ("<%s>", element);
  g_autofree char *closing = g_strdup_printf ("</%s>", element);
  const char *begins = strstr (page, opening) + strlen (opening);
  const char *ends = strstr (begins, closing);
  guint8 hash[32];
  gsize size = sizeof hash;
  g_autoptr (GChecksum) checksum = g_checksum_new (G_CHECKSUM_SHA256);
  g_checksum_update (checksum, (const guchar *)begins, ends - begins);
  g_checksum_get_digest (checksum, hash, &size);
  g_autofree char *text = g_base64_encode (hash, size);
  return g_strdup_printf ("%s-src 'sha256-%s'", element, text);
}

static void
finish_page (RagifyExchange *exchange)
{
  g_autoptr (GBytes) bytes =
      g_resource_lookup_data (ragify_server_get_resource (), "/org/ragify/server/dashboard.html", 0, NULL);
  gsize size = 0;
  const char *page = g_bytes_get_data (bytes, &size);
  g_autofree char *script = policy_source (page, "script");
  g_autofree char *style = policy_source (page, "style");
  /* Bars are as wide as their value says, by an attribute that the script sets. */
  g_autofree char *policy =
      g_strdup_printf ("default-src 'none'; %s; %s; style-src-attr 'unsafe-inline'; connect-src 'self'; img-src data:; "
                       "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
                       script, style);
  ragify_exchange_reply_page (exchange, page, size, policy);
}

const RagifyAction ragify_action_graph = { .always = TRUE, .begin = begin, .finish = finish_graph };
const RagifyAction ragify_action_history = { .always = TRUE, .begin = begin, .finish = finish_history };
const RagifyAction ragify_action_config = {
  .always = TRUE, .access = RAGIFY_ACCESS_ADMIN, .quiet = TRUE, .begin = begin, .finish = finish_config
};
const RagifyAction ragify_action_page = {
  .always = TRUE, .access = RAGIFY_ACCESS_OPEN, .begin = begin, .finish = finish_page
};
