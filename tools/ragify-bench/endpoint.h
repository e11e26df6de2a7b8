/* A server's address, resolved once, and single requests to it over plain sockets. */
#pragma once

#include <gio/gio.h>
#include <sys/socket.h>

#define RAGIFY_ENDPOINT_ERROR (ragify_endpoint_error_quark ())
GQuark ragify_endpoint_error_quark (void);

typedef enum {
  RAGIFY_ENDPOINT_ERROR_URL,         /* not http://HOST[:PORT][/PATH] */
  RAGIFY_ENDPOINT_ERROR_UNREACHABLE, /* no such name, or no connection */
  RAGIFY_ENDPOINT_ERROR_ANSWER,      /* connected, and then no proper answer */
} RagifyEndpointError;

typedef struct _RagifyEndpoint RagifyEndpoint;

/* Only http: the load generator speaks no TLS. Resolves the name. Returns NULL with error set. Blocks. */
RagifyEndpoint *ragify_endpoint_new (const char *url, GError **error);
void ragify_endpoint_free (RagifyEndpoint *endpoint);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (RagifyEndpoint, ragify_endpoint_free)

const char *ragify_endpoint_get_host (const RagifyEndpoint *endpoint);   /* for the Host field, with the port */
const char *ragify_endpoint_get_target (const RagifyEndpoint *endpoint); /* path and query of the URL, at least "/" */
const char *ragify_endpoint_get_url (const RagifyEndpoint *endpoint);

/* A new socket, connecting (blocking == FALSE: perhaps still under way), with Nagle's algorithm off. Returns −1 with
 * errno set. */
int ragify_endpoint_connect (const RagifyEndpoint *endpoint, gboolean blocking);

/* One request with its bytes as they stand, on a connection of its own or on fd when fd >= 0 (which stays open); waits
 * for the answer. timeout: seconds. Returns the body (owned by the caller) and sets *status, or NULL with error set.
 * Blocks. */
GBytes *ragify_endpoint_exchange (const RagifyEndpoint *endpoint, int fd, GBytes *request, guint timeout, guint *status,
                                  GError **error);

/* A request's bytes: method, target, Host, and with a body Content-Type and Content-Length (owned by the caller). */
GBytes *ragify_endpoint_make_request (const RagifyEndpoint *endpoint, const char *method, const char *target,
                                      const char *content_type, const char *body, gsize body_length);
