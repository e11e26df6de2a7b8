/* Connections that have had one answer and then stay open and silent, as those of a browser or a connection pool do. */
#pragma once

#include "endpoint.h"

typedef struct _RagifyIdleConnections RagifyIdleConnections;

/* Opens count connections, sends request on each and reads the answer. Returns NULL with error set when one cannot be
 * had. Blocks. */
RagifyIdleConnections *
ragify_idle_connections_open (const RagifyEndpoint *endpoint, guint count, GBytes *request, GError **error);

/* Closes them all. */
void ragify_idle_connections_close (RagifyIdleConnections *connections);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (RagifyIdleConnections, ragify_idle_connections_close)

/* How many the server has closed since. */
guint ragify_idle_connections_count_closed (const RagifyIdleConnections *connections);
