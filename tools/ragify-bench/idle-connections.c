#include "idle-connections.h"

#include <errno.h>
#include <unistd.h>

struct _RagifyIdleConnections {
  guint count;
  int *fds;
};

RagifyIdleConnections *
ragify_idle_connections_open (const RagifyEndpoint *endpoint, guint count, GBytes *request, GError **error)
{
  g_autoptr (RagifyIdleConnections) connections = g_new0 (RagifyIdleConnections, 1);
  connections->fds = g_new (int, MAX (count, 1));
  for (guint i = 0; i < count; i++) {
    int fd = ragify_endpoint_connect (endpoint, TRUE);
    if (fd < 0) {
      g_set_error (error, RAGIFY_ENDPOINT_ERROR, RAGIFY_ENDPOINT_ERROR_UNREACHABLE,
                   "cannot open idle connection %u of %u to %s: %s", i + 1, count, ragify_endpoint_get_url (endpoint),
                   g_strerror (errno));
      return NULL;
    }
    connections->fds[connections->count++] = fd;
    guint status = 0;
    g_autoptr (GBytes) body = ragify_endpoint_exchange (endpoint, fd, request, 10, &status, error);
    if (body == NULL)
      return NULL;
  }
  return g_steal_pointer (&connections);
}

void
ragify_idle_connections_close (RagifyIdleConnections *connections)
{
  if (connections == NULL)
    return;
  for (guint i = 0; i < connections->count; i++)
    close (connections->fds[i]);
  g_free (connections->fds);
  g_free (connections);
}

guint
ragify_idle_connections_count_closed (const RagifyIdleConnections *connections)
{
  guint closed = 0;
  for (guint i = 0; i < connections->count; i++) {
    char byte;
    gssize count = recv (connections->fds[i], &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    /* Silent connections would block; anything else is an end, an error or an answer that nobody asked for. */
    if (count >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK))
      closed++;
  }
  return closed;
}
