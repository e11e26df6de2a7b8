/* SPDX-License-Identifier: MIT */
#include "core/server/passed-socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/server/listen-socket.h"

#ifdef HAVE_SYSTEMD
#include <systemd/sd-daemon.h>
#endif

#define PREFIX "systemd:"

const char *
ragify_listen_passed_name (const char *address)
{
  return g_str_has_prefix (address, PREFIX) ? address + strlen (PREFIX) : NULL;
}

static gboolean fail (GError **error, const char *address, const char *format, ...) G_GNUC_PRINTF (3, 4);

static gboolean
fail (GError **error, const char *address, const char *format, ...)
{
  va_list arguments;
  va_start (arguments, format);
  g_autofree char *what = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  g_set_error (error, RAGIFY_LISTEN_ERROR, 0, "listen = %s: %s", address, what);
  return FALSE;
}

/* ---- which socket ---- */

#ifdef HAVE_SYSTEMD

static gboolean
find_passed (const char *address, int *descriptor, GError **error)
{
  const char *wanted = ragify_listen_passed_name (address);
  char **names = NULL;
  const int count = sd_listen_fds_with_names (0, &names);
  g_autoptr (GString) others = g_string_new (NULL);
  guint found = 0;
  for (int i = 0; i < count; i++) {
    const char *name = names != NULL && names[i] != NULL ? names[i] : "unknown";
    if (strcmp (name, wanted) == 0 && found++ == 0)
      *descriptor = SD_LISTEN_FDS_START + i;
    g_string_append_printf (others, "%s'%s'", i > 0 ? ", " : "", name);
    free (names != NULL ? names[i] : NULL);
  }
  free (names);
  if (found == 1)
    return TRUE;
  if (found > 1)
    return fail (error, address,
                 "the service manager passed %u sockets of that name; give each of them a unit with a "
                 "FileDescriptorName= of its own",
                 found);
  if (others->len == 0)
    return fail (error, address,
                 "the service manager passed no socket; is the socket unit enabled, and was the service "
                 "started after it?");
  return fail (error, address, "the service manager passed no socket of that name; there are: %s", others->str);
}

#else

static gboolean
find_passed (const char *address, int *descriptor, GError **error)
{
  return fail (error, address, "this build knows no service manager");
}

#endif

/* ---- what it is ---- */

static gboolean
is_listening (int descriptor)
{
  int listening = 0, type = 0;
  socklen_t size = sizeof listening;
  if (getsockopt (descriptor, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) != 0 || listening == 0)
    return FALSE;
  size = sizeof type;
  return getsockopt (descriptor, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM;
}

static char *
describe_unix (const struct sockaddr_un *name, socklen_t size)
{
  const gsize length =
      size > G_STRUCT_OFFSET (struct sockaddr_un, sun_path) ? size - G_STRUCT_OFFSET (struct sockaddr_un, sun_path) : 0;
  if (length == 0 || name->sun_path[0] == '\0')
    return g_strdup ("unix:"); /* of no path */
  return g_strdup_printf ("unix:%.*s", (int)length, name->sun_path);
}

/* As `listen` would name it; NULL: of a family that is not ours. */
static char *
describe (int descriptor, gboolean *local)
{
  struct sockaddr_storage bound = { 0 };
  socklen_t size = sizeof bound;
  char text[INET6_ADDRSTRLEN] = "";
  if (getsockname (descriptor, (struct sockaddr *)&bound, &size) != 0)
    return NULL;
  const struct sockaddr_in *four = (const struct sockaddr_in *)&bound;
  const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)&bound;
  switch (bound.ss_family) {
  case AF_UNIX:
    *local = TRUE;
    return describe_unix ((const struct sockaddr_un *)&bound, size);
  case AF_INET:
    *local = ntohl (four->sin_addr.s_addr) >> 24 == 127;
    inet_ntop (AF_INET, &four->sin_addr, text, sizeof text);
    return g_strdup_printf ("%s:%u", text, ntohs (four->sin_port));
  case AF_INET6:
    *local = IN6_IS_ADDR_LOOPBACK (&six->sin6_addr) != 0;
    inet_ntop (AF_INET6, &six->sin6_addr, text, sizeof text);
    return g_strdup_printf ("[%s]:%u", text, ntohs (six->sin6_port));
  default:
    return NULL;
  }
}

static gboolean
duplicate (const char *address, int descriptor, guint count, int *descriptors, GError **error)
{
  for (guint i = 0; i < count; i++) {
    descriptors[i] = fcntl (descriptor, F_DUPFD_CLOEXEC, 0);
    if (descriptors[i] >= 0)
      continue;
    const int reason = errno;
    while (i-- > 0)
      close (descriptors[i]);
    return fail (error, address, "%s", g_strerror (reason));
  }
  return TRUE;
}

char *
ragify_listen_open_passed (const char *address, guint count, int *descriptors, gboolean *local, GError **error)
{
  const int on = 1;
  int descriptor = -1;
  if (!find_passed (address, &descriptor, error))
    return NULL;
  g_autofree char *where = is_listening (descriptor) ? describe (descriptor, local) : NULL;
  if (where == NULL) {
    fail (error, address,
          "what the service manager passed is not a listening stream socket; the unit needs ListenStream= "
          "and Accept=no");
    return NULL;
  }
  fcntl (descriptor, F_SETFD, FD_CLOEXEC); /* children have no business with it */
  fcntl (descriptor, F_SETFL, fcntl (descriptor, F_GETFL) | O_NONBLOCK);
  setsockopt (descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* fails on Unix sockets, which have no delay */
  if (!duplicate (address, descriptor, count, descriptors, error))
    return NULL;
  return g_steal_pointer (&where);
}
