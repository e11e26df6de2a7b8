/* Plain sockets, since GSocket takes SO_REUSEPORT back.
 *
 * SPDX-License-Identifier: MIT
 */
#include "listen-socket.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 4096

G_DEFINE_QUARK (ragify - listen - error - quark, ragify_listen_error)

static gboolean
fail (GError **error, const char *address, const char *what)
{
  g_set_error (error, RAGIFY_LISTEN_ERROR, 0, "listen = %s: %s", address, what);
  return FALSE;
}

const char *
ragify_listen_unix_path (const char *address)
{
  return g_str_has_prefix (address, "unix:") ? address + strlen ("unix:") : NULL;
}

/* ---- TCP ---- */

/* Takes "host:port" or "[host]:port" apart and resolves it; numbers only, no name service is asked. */
static gboolean
parse_address (const char *address, struct sockaddr_storage *parsed, socklen_t *size, GError **error)
{
  const char *colon = strrchr (address, ':');
  guint64 port = 0;
  if (colon == NULL || colon == address || !g_ascii_string_to_unsigned (colon + 1, 10, 0, 65535, &port, NULL))
    return fail (error, address, "expected ADDRESS:PORT, [IPV6]:PORT or unix:PATH, PORT being 0..65535");
  g_autofree char *host = g_strndup (address, (gsize)(colon - address));
  const gsize length = strlen (host);
  char *name = host;
  if (host[0] == '[' && host[length - 1] == ']') {
    host[length - 1] = '\0';
    name++;
  } else if (strchr (host, ':') != NULL) {
    return fail (error, address, "an IPv6 address must stand in brackets, as in [::1]:8080");
  }

  const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV };
  struct addrinfo *found = NULL;
  const gboolean is_localhost = strcmp (name, "localhost") == 0;
  if (getaddrinfo (is_localhost ? "127.0.0.1" : name, colon + 1, &hints, &found) != 0)
    return fail (error, address, "not an IP address; names other than localhost are not looked up");
  memcpy (parsed, found->ai_addr, found->ai_addrlen);
  *size = found->ai_addrlen;
  freeaddrinfo (found);
  return TRUE;
}

static int
open_tcp (const char *address, const struct sockaddr_storage *parsed, socklen_t size, GError **error)
{
  const int on = 1;
  const int descriptor = socket (parsed->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (descriptor >= 0) {
    setsockopt (descriptor, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt (descriptor, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    /* Inherited by what is accepted, which saves a call for each connection. */
    setsockopt (descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (parsed->ss_family == AF_INET6)
      setsockopt (descriptor, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (bind (descriptor, (const struct sockaddr *)parsed, size) == 0 && listen (descriptor, BACKLOG) == 0)
      return descriptor;
  }
  const int reason = errno;
  if (descriptor >= 0)
    close (descriptor);
  fail (error, address, g_strerror (reason));
  return -1;
}

/* Another server that has the port with SO_REUSEPORT would quietly share our connections; two hosts on one port are
 * meant to (a rolling restart), so only somebody else's plain socket is an error, which bind reports. */
static char *
open_all_tcp (const char *address, guint count, int *descriptors, GError **error)
{
  struct sockaddr_storage parsed = { 0 };
  socklen_t size = 0;
  if (!parse_address (address, &parsed, &size, error))
    return NULL;
  for (guint i = 0; i < count; i++) {
    descriptors[i] = open_tcp (address, &parsed, size, error);
    if (descriptors[i] < 0) {
      while (i-- > 0)
        close (descriptors[i]);
      return NULL;
    }
    /* The first one settles the port. */
    socklen_t room = sizeof parsed;
    getsockname (descriptors[i], (struct sockaddr *)&parsed, &room);
  }
  const in_port_t port = parsed.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&parsed)->sin6_port
                                                      : ((struct sockaddr_in *)&parsed)->sin_port;
  const char *colon = strrchr (address, ':');
  return g_strdup_printf ("%.*s:%u", (int)(colon - address), address, ntohs (port));
}

/* ---- Unix ---- */

/* Removes a socket that a dead process left behind, and nothing else. */
static gboolean
remove_stale (const char *address, const struct sockaddr_un *name, GError **error)
{
  struct stat info;
  if (lstat (name->sun_path, &info) != 0)
    return TRUE;
  if (!S_ISSOCK (info.st_mode))
    return fail (error, address, "the path is there and is not a socket");
  const int probe = socket (AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const int connected = connect (probe, (const struct sockaddr *)name, sizeof *name);
  const int reason = errno;
  close (probe);
  if (connected == 0 || reason != ECONNREFUSED)
    return fail (error, address, "another process listens there");
  if (unlink (name->sun_path) != 0)
    return fail (error, address, g_strerror (errno));
  return TRUE;
}

static char *
open_all_unix (const char *address, guint count, int *descriptors, GError **error)
{
  const char *path = ragify_listen_unix_path (address);
  struct sockaddr_un name = { .sun_family = AF_UNIX };
  if (path[0] != '/' || strlen (path) >= sizeof name.sun_path) {
    fail (error, address, "expected an absolute path of at most 107 bytes after unix:");
    return NULL;
  }
  g_strlcpy (name.sun_path, path, sizeof name.sun_path);
  if (!remove_stale (address, &name, error))
    return NULL;

  const int first = socket (AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (first < 0 || bind (first, (const struct sockaddr *)&name, sizeof name) != 0 || listen (first, BACKLOG) != 0) {
    fail (error, address, g_strerror (errno));
    if (first >= 0)
      close (first);
    return NULL;
  }
  descriptors[0] = first;
  for (guint i = 1; i < count; i++)
    descriptors[i] = fcntl (first, F_DUPFD_CLOEXEC, 0);
  return g_strdup (address);
}

char *
ragify_listen_open (const char *address, guint count, int *descriptors, GError **error)
{
  g_return_val_if_fail (address != NULL, NULL);
  if (ragify_listen_unix_path (address) != NULL)
    return open_all_unix (address, count, descriptors, error);
  return open_all_tcp (address, count, descriptors, error);
}
