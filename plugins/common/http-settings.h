/* How an HTTP client behaves, and the configuration keys that say so.
 *
 * SPDX-License-Identifier: MIT
 *
 * A component that is a client of an HTTP service has the keys of http-keys.inc.h among its own:
 *
 *     static const RagifyKey keys[] = {
 *       { .name = "model", … },
 *     #include "http-keys.inc.h"
 *     };
 */
#ifndef RAGIFY_HTTP_SETTINGS_H
#define RAGIFY_HTTP_SETTINGS_H

#include "fault.h"

#include <glib.h>
#include <ragify/ragify.h>

typedef enum RagifyHttpPrivate {
  RAGIFY_HTTP_PRIVATE_CONFIGURED, /* the configured host may be anywhere, others must be public */
  RAGIFY_HTTP_PRIVATE_NEVER,
  RAGIFY_HTTP_PRIVATE_ALWAYS,
} RagifyHttpPrivate;

typedef struct RagifyHttpSettings {
  char *base_url;         /* without a slash at its end */
  char *origin;           /* its scheme, host and port: where credentials and `headers` may be sent */
  char **headers;         /* "Name: value", ended by NULL: the configured ones and the credentials */
  char *query_credential; /* "name=value", encoded, to append to the URL; NULL: none */
  char *tls_ca;           /* NULL: the system's authorities */
  gboolean tls_verify;
  RagifyHttpPrivate private_addresses;
  guint max_connections;          /* of the node, … */
  guint max_connections_per_host; /* … and of it to the configured host */
  guint64 dns_ttl_us;
  guint64 keep_alive_us;
  guint64 timeout_us;         /* all of one request */
  guint64 connect_timeout_us; /* until a connection can be written to */
  guint64 read_timeout_us;    /* between two pieces of the answer */
  guint64 max_response_size;  /* bytes, decoded */
  guint max_redirects;
} RagifyHttpSettings;

/* Reads the keys. NULL with a fault where they do not fit together. [control][call] */
RagifyHttpSettings *ragify_http_settings_new (const RagifyHost *host, RagifyContext *context, RagifyFault *fault);
void ragify_http_settings_free (RagifyHttpSettings *settings);

/* "scheme://host:port" of an absolute http or https URL, or NULL with a fault that begins with `what`. [any] */
char *ragify_http_origin (const char *url, const char *what, RagifyFault *fault);

/* The text with everything but RFC 3986's unreserved characters as %XX. Free with g_free. [any] */
char *ragify_http_escape (const char *text, gsize size);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (RagifyHttpSettings, ragify_http_settings_free)

#endif
