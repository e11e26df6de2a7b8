/* Where connections go: names resolved, remembered for a while, and refused where they lead inside.
 *
 * SPDX-License-Identifier: MIT
 *
 * The address of one host as a GSocketConnectable. Refusing is decided on the resolved address each time a connection
 * is made, so a name whose answer changes (DNS rebinding) leads nowhere else. Proxies of the environment are not used:
 * they would connect to what was not looked at. [loop]
 */
#ifndef RAGIFY_HTTP_ADDRESS_H
#define RAGIFY_HTTP_ADDRESS_H

#include <gio/gio.h>

/* Names that were resolved, of one loop; reference-counted. */
typedef struct RagifyHttpNames RagifyHttpNames;

/* `ttl_us`: how long an answer is used again; 0: never. */
RagifyHttpNames *ragify_http_names_new (guint64 ttl_us);
RagifyHttpNames *ragify_http_names_ref (RagifyHttpNames *names);
void ragify_http_names_unref (RagifyHttpNames *names);

/* Forgets what is known of a host, since nobody answers there. */
void ragify_http_names_forget (RagifyHttpNames *names, const char *host);

/* The address of `host` (a name, or an address as text) and `port`. It is a GNetworkAddress, so TLS knows the name to
 * check. With `allow_private` FALSE, addresses that ragify_http_address_is_private() names fail with
 * G_IO_ERROR_PERMISSION_DENIED. */
GSocketConnectable *
ragify_http_address_new (RagifyHttpNames *names, const char *host, guint16 port, gboolean allow_private);

/* TRUE for an address that is not of the public internet: this host, private and link-local networks, shared (CGNAT),
 * benchmarking, multicast and reserved ranges (RFC 6890), unique local IPv6, and IPv6 addresses that carry such an IPv4
 * address (mapped, compatible, 6to4, NAT64). [any] */
gboolean ragify_http_address_is_private (GInetAddress *address);

#endif
