/* SPDX-License-Identifier: MIT */
#include "config/listen-address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>

static bool
check_unix (const char *path, bool *local, char **message)
{
  struct sockaddr_un address;

  if (*path != '/') {
    *message = g_strdup ("the path of a Unix socket must be absolute, as in unix:/run/ragify/http.sock");
    return false;
  }
  if (strlen (path) >= sizeof address.sun_path) {
    *message = g_strdup_printf ("the path of a Unix socket has at most %zu bytes", sizeof address.sun_path - 1);
    return false;
  }
  *local = true;
  return true;
}

static bool
is_port (const char *text)
{
  size_t digits = strspn (text, "0123456789");

  return digits > 0 && digits <= 5 && text[digits] == '\0' && g_ascii_strtoull (text, NULL, 10) <= 65535;
}

static bool
is_local_6 (const struct in6_addr *address)
{
  if (IN6_IS_ADDR_V4MAPPED (address))
    return address->s6_addr[12] == 127;
  return IN6_IS_ADDR_LOOPBACK (address);
}

bool
ragify_listen_address_check (const char *text, bool *local, char **message)
{
  const char *colon = strrchr (text, ':');
  g_autofree char *host = NULL;
  struct in_addr address;
  struct in6_addr address_6;

  if (g_str_has_prefix (text, "unix:"))
    return check_unix (text + strlen ("unix:"), local, message);
  if (colon == NULL || !is_port (colon + 1)) {
    *message = g_strdup ("expected ADDRESS:PORT with a port from 0 to 65535, [IPv6]:PORT or unix:/PATH, such as "
                         "127.0.0.1:8080");
    return false;
  }
  host = g_strndup (text, (gsize)(colon - text));
  if (inet_pton (AF_INET, host, &address) == 1) {
    *local = (ntohl (address.s_addr) >> 24) == 127;
    return true;
  }
  if (host[0] == '[' && host[strlen (host) - 1] == ']') {
    host[strlen (host) - 1] = '\0';
    if (inet_pton (AF_INET6, host + 1, &address_6) == 1) {
      *local = is_local_6 (&address_6);
      return true;
    }
  }
  *message = g_strdup ("the address must be numeric: 127.0.0.1 for this machine alone, 0.0.0.0 or [::] for all of its "
                       "addresses");
  return false;
}
