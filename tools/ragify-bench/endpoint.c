#include "endpoint.h"

#include "response-reader.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <unistd.h>

G_DEFINE_QUARK (ragify - endpoint - error - quark, ragify_endpoint_error)

struct _RagifyEndpoint {
  char *url;
  char *host;
  char *target;
  struct sockaddr_storage address;
  socklen_t address_length;
};

void
ragify_endpoint_free (RagifyEndpoint *endpoint)
{
  if (endpoint == NULL)
    return;
  g_free (endpoint->url);
  g_free (endpoint->host);
  g_free (endpoint->target);
  g_free (endpoint);
}

static gboolean
resolve (RagifyEndpoint *endpoint, const char *name, int port, GError **error)
{
  const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV };
  struct addrinfo *list = NULL;
  g_autofree char *service = g_strdup_printf ("%d", port);
  int reason = getaddrinfo (name, service, &hints, &list);
  if (reason != 0) {
    g_set_error (error, RAGIFY_ENDPOINT_ERROR, RAGIFY_ENDPOINT_ERROR_UNREACHABLE, "cannot resolve '%s': %s", name,
                 gai_strerror (reason));
    return FALSE;
  }
  memcpy (&endpoint->address, list->ai_addr, list->ai_addrlen);
  endpoint->address_length = list->ai_addrlen;
  freeaddrinfo (list);
  return TRUE;
}

RagifyEndpoint *
ragify_endpoint_new (const char *url, GError **error)
{
  g_autoptr (GUri) uri = g_uri_parse (url, G_URI_FLAGS_ENCODED, NULL);
  const char *name = uri != NULL ? g_uri_get_host (uri) : NULL;
  if (name == NULL || *name == '\0' || strcmp (g_uri_get_scheme (uri), "http") != 0) {
    g_set_error (error, RAGIFY_ENDPOINT_ERROR, RAGIFY_ENDPOINT_ERROR_URL, "'%s': expected http://HOST[:PORT][/PATH]",
                 url);
    return NULL;
  }
  int port = g_uri_get_port (uri) > 0 ? g_uri_get_port (uri) : 80;
  const char *path = g_uri_get_path (uri);
  const char *query = g_uri_get_query (uri);

  g_autoptr (RagifyEndpoint) endpoint = g_new0 (RagifyEndpoint, 1);
  endpoint->url = g_strdup (url);
  endpoint->host =
      strchr (name, ':') != NULL ? g_strdup_printf ("[%s]:%d", name, port) : g_strdup_printf ("%s:%d", name, port);
  endpoint->target = g_strconcat (*path != '\0' ? path : "/", query != NULL ? "?" : NULL, query, NULL);
  if (!resolve (endpoint, name, port, error))
    return NULL;
  return g_steal_pointer (&endpoint);
}

const char *
ragify_endpoint_get_host (const RagifyEndpoint *endpoint)
{
  return endpoint->host;
}

const char *
ragify_endpoint_get_target (const RagifyEndpoint *endpoint)
{
  return endpoint->target;
}

const char *
ragify_endpoint_get_url (const RagifyEndpoint *endpoint)
{
  return endpoint->url;
}

int
ragify_endpoint_connect (const RagifyEndpoint *endpoint, gboolean blocking)
{
  const int on = 1;
  int fd = socket (endpoint->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | (blocking ? 0 : SOCK_NONBLOCK), 0);
  if (fd < 0)
    return -1;
  setsockopt (fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (connect (fd, (const struct sockaddr *)&endpoint->address, endpoint->address_length) < 0 && errno != EINPROGRESS) {
    int reason = errno;
    close (fd);
    errno = reason;
    return -1;
  }
  return fd;
}

GBytes *
ragify_endpoint_make_request (const RagifyEndpoint *endpoint, const char *method, const char *target,
                              const char *content_type, const char *body, gsize body_length)
{
  GString *request = g_string_new (NULL);
  g_string_append_printf (request, "%s %s HTTP/1.1\r\nHost: %s\r\n", method, target, endpoint->host);
  if (body != NULL)
    g_string_append_printf (request, "Content-Type: %s\r\nContent-Length: %" G_GSIZE_FORMAT "\r\n", content_type,
                            body_length);
  g_string_append (request, "\r\n");
  if (body != NULL)
    g_string_append_len (request, body, (gssize)body_length);
  return g_string_free_to_bytes (request);
}

static gboolean
send_all (int fd, GBytes *request)
{
  gsize length = 0;
  const char *bytes = g_bytes_get_data (request, &length);
  while (length > 0) {
    gssize count = send (fd, bytes, length, MSG_NOSIGNAL);
    if (count < 0 && errno == EINTR)
      continue;
    if (count <= 0)
      return FALSE;
    bytes += count;
    length -= (gsize)count;
  }
  return TRUE;
}

static void
collect (const char *bytes, gsize length, gpointer user_data)
{
  g_byte_array_append (user_data, (const guint8 *)bytes, (guint)length);
}

/* Reads one answer. Returns NULL, or why there is none. */
static const char *
receive (int fd, GByteArray *body, guint *status)
{
  g_autoptr (RagifyResponseReader) reader = ragify_response_reader_new (collect, body);
  RagifyResponseState state = RAGIFY_RESPONSE_MORE;
  char piece[16 * 1024];
  while (state == RAGIFY_RESPONSE_MORE) {
    gsize consumed = 0;
    gssize count = recv (fd, piece, sizeof piece, 0);
    if (count < 0 && errno == EINTR)
      continue;
    if (count <= 0)
      return count == 0 ? "the connection was closed before the answer was complete" : g_strerror (errno);
    state = ragify_response_reader_feed (reader, piece, (gsize)count, &consumed);
  }
  *status = ragify_response_reader_get_status (reader);
  return ragify_response_reader_get_problem (reader);
}

GBytes *
ragify_endpoint_exchange (const RagifyEndpoint *endpoint, int fd, GBytes *request, guint timeout, guint *status,
                          GError **error)
{
  int own = fd >= 0 ? fd : ragify_endpoint_connect (endpoint, TRUE);
  if (own < 0) {
    g_set_error (error, RAGIFY_ENDPOINT_ERROR, RAGIFY_ENDPOINT_ERROR_UNREACHABLE,
                 "cannot reach %s: %s. Is the server running?", endpoint->url, g_strerror (errno));
    return NULL;
  }
  const struct timeval wait = { .tv_sec = (time_t)timeout };
  setsockopt (own, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
  setsockopt (own, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);

  GByteArray *body = g_byte_array_new ();
  const char *problem = send_all (own, request) ? receive (own, body, status) : g_strerror (errno);
  if (own != fd)
    close (own);
  if (problem != NULL) {
    g_byte_array_unref (body);
    g_set_error (error, RAGIFY_ENDPOINT_ERROR, RAGIFY_ENDPOINT_ERROR_ANSWER, "no proper answer from %s: %s",
                 endpoint->url, problem);
    return NULL;
  }
  return g_byte_array_free_to_bytes (body);
}
