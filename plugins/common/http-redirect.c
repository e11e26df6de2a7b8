/* Where an answer sends a request. SPDX-License-Identifier: MIT */
#include "http-private.h"

#include <string.h>

static gboolean
refuse (RagifyFault *fault, const RagifyHttpExchange *exchange, const char *why)
{
  return ragify_fault_set (fault, RAGIFY_E_INTERNAL, "%s: redirected %u times, %s", exchange->origin_key,
                           exchange->redirects, why);
}

/* 303 asks for a GET, and after 301 and 302 everybody sends one in place of a POST (RFC 9110, 15.4). */
static void
choose_method (RagifyHttpExchange *exchange, guint status)
{
  const gboolean post = strcmp (exchange->method, "POST") == 0;
  const gboolean head = strcmp (exchange->method, "HEAD") == 0;
  if ((status == 303 && !head) || (post && (status == 301 || status == 302))) {
    g_free (exchange->method);
    exchange->method = g_strdup ("GET");
    exchange->idempotent = TRUE;
    g_clear_pointer (&exchange->body, g_bytes_unref);
  }
}

gboolean
ragify_http_exchange_redirect (RagifyHttpExchange *exchange, RagifyFault *fault)
{
  const char *location =
      soup_message_headers_get_one (soup_message_get_response_headers (exchange->message), "Location");
  if (exchange->redirects > exchange->client->settings->max_redirects)
    return refuse (fault, exchange, "more often than max-redirects allows");
  g_autoptr (GUri) target =
      g_uri_parse_relative (soup_message_get_uri (exchange->message), location, SOUP_HTTP_URI_FLAGS, NULL);
  g_autofree char *url = target != NULL ? g_uri_to_string_partial (target, G_URI_HIDE_FRAGMENT) : NULL;
  RagifyFault unused;
  g_autofree char *origin = url != NULL ? ragify_http_origin (url, "Location", &unused) : NULL;
  if (origin == NULL)
    return refuse (fault, exchange, "to what is no http or https URL without a user name");
  if (g_str_has_prefix (exchange->origin_key, "https:") && !g_str_has_prefix (origin, "https:"))
    return refuse (fault, exchange, "from https to http");
  choose_method (exchange, soup_message_get_status (exchange->message));
  if (exchange->body != NULL && strcmp (origin, exchange->origin_key) != 0)
    return refuse (fault, exchange, "with its body to another host");
  g_free (exchange->url);
  exchange->url = g_steal_pointer (&url);
  return TRUE;
}
