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

/* What a file descriptor may be called by systemd. */
static bool
check_passed (const char *name, bool *local, char **message)
{
  if (*name == '\0' || strlen (name) > 255 ||
      strspn (name, G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "_.@-") < strlen (name)) {
    *message = g_strdup ("the name of a socket of the service manager has 1 to 255 letters, digits or _.@-, as in "
                         "systemd:http");
    return false;
  }
  *local = true; /* what it is, is seen when it is opened */
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
  if (g_str_has_prefix (text, "systemd:"))
    return check_passed (text + strlen ("systemd:"), local, message);
  if (colon == NULL || !is_port (colon + 1)) {
    *message = g_strdup ("expected ADDRESS:PORT with a port from 0 to 65535, [IPv6]:PORT, unix:/PATH or systemd:NAME, "
                         "such as 127.0.0.1:8080");
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
