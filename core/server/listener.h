/* A listener: one libmicrohttpd daemon on one loop, and what the connections on it share.
 *
 * SPDX-License-Identifier: MIT
 *
 * Everything but the counters is touched on its loop only.
 */
#pragma once

#include <microhttpd.h>

#include "client-rate.h"
#include "client-table.h"
#include "core/observe/history.h"
#include "core/observe/memory.h"
#include "core/observe/metrics.h"
#include "idempotency.h"
#include "key-ring.h"
#include "routes.h"
#include "server.h"
#include "tls.h"

typedef struct RagifyListener RagifyListener;
typedef struct RagifyConnection RagifyConnection;

/* Statuses that requests are counted under; others go to the last place. */
#define RAGIFY_STATUS_PLACES 24

/* Shared by the listeners of a server. */
typedef struct RagifyServerShared {
  RagifyListener **listeners;
  guint n_listeners;
  RagifyListenOptions options; /* with defaults put in */
  RagifyMetrics *metrics;
  RagifyMemory *memory;    /* NULL: nobody looks */
  RagifyHistory *history;  /* NULL: none is kept */
  RagifyTracer *tracer;    /* NULL: spans are sent nowhere */
  RagifyTracker *tracker;  /* NULL: nothing is recorded */
  RagifyTracked **tracked; /* by route and method, of what asks no pipeline; found when first used; atomic */
  RagifyClientTable *clients;
  RagifyClientRate *rates;
  RagifyIdempotency *idempotency;
  RagifyTls *tls;      /* NULL: plain HTTP */
  RagifyKeyRing *keys; /* NULL: everybody may do everything */
  const char *unready; /* atomic; NULL: ready */
  guint connections;   /* atomic */
  guint waiting;       /* atomic; exchanges whose work is under way */
  gboolean draining;   /* atomic */

  RagifySeries *connections_now;
  RagifySeries *connections_total;
  RagifySeries *waiting_now;
  RagifySeries *clients_left;
  RagifySeries **durations; /* by route */
} RagifyServerShared;

struct RagifyListener {
  RagifyServerShared *shared;
  RagifyLoop *loop;
  struct MHD_Daemon *daemon;
  GSource *source;
  int watch;        /* epoll; tells of clients that end their side */
  GPtrArray *ended; /* connections whose clients have */
  gboolean pending; /* the daemon has something to do already */
  gboolean draining;
  guint under_way; /* atomic, written on the loop: exchanges from their request line to their end */
  RagifyServing *serving;
  RagifyKeySet *key_set; /* the ring's, as of `key_version` */
  guint key_version;
  GPtrArray *certificates; /* the last is that of `tls_version`; a handshake may still use the others */
  guint tls_version;
  RagifyConnection *all; /* list through next_all */
  RagifyConnection *oldest_idle, *newest_idle;
  guint n_idle;       /* atomic, written on the loop */
  guint evict_wanted; /* atomic; idle connections that other loops want closed, and whether that is posted */
  gboolean evict_posted;
  RagifyTask evict;
  struct MHD_Response *live, *live_close;
  RagifySeries **requests; /* by route and place of the status; found when first used */
};

/* Makes the daemon around a listening descriptor, which it takes. NULL with an error. [control] */
RagifyListener *ragify_listener_new (RagifyServerShared *shared, RagifyLoop *loop, int descriptor,
                                     RagifyServing *serving, GError **error);

/* Begins to accept connections. [loop] */
void ragify_listener_start (RagifyListener *listener);

/* Has the daemon look at its connections again, soon. [loop] */
void ragify_listener_wake (RagifyListener *listener);

/* Takes what is queued on the listening socket and closes it; answers from now on close their connection. [loop] */
void ragify_listener_drain (RagifyListener *listener);

/* Closes all connections and frees the daemon, then the listener. [loop] */
void ragify_listener_close (RagifyListener *listener);

/* Counts something refused. [loop] */
void ragify_listener_count_refused (RagifyListener *listener, const char *reason);
/* Counts an answer, to a request of `trace` (NULL: none). [loop] */
void ragify_listener_count_answer (RagifyListener *listener, const RagifyRoute *route, guint status, guint64 began,
                                   guint64 now, const RagifyTrace *trace);
