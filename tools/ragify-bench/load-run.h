/* The load generator: one thread, one epoll, any number of connections.
 *
 * Closed loop: every client sends its next request when it has the answer to the last; latency is from sending to the
 * answer's last byte. Such a loop slows down together with the server, so its percentiles say what a client sees at
 * that concurrency, not what users at a fixed rate would. Open loop: requests are due at the times of an arrival
 * schedule whatever the server does. One that finds no free connection waits for one, and its latency counts from when
 * it was due: no coordinated omission.
 *
 * Latencies are of answers with status 2xx, and of requests that timed out (with the age they had then); everything
 * else is counted as what it was.
 */
#pragma once

#include "endpoint.h"
#include "latency-histogram.h"
#include "query-sampler.h"

typedef struct {
  const RagifyEndpoint *endpoint;
  const GPtrArray *requests;   /* of GBytes; the sampler's indices are into it */
  RagifyQuerySampler *sampler; /* shared by all clients */
  guint connections;           /* closed loop: the clients; open loop: connections at most */
  double rate;                 /* requests a second of the open loop; 0: closed loop */
  gboolean poisson;            /* open loop: exponential gaps, otherwise fixed ones */
  double duration;             /* seconds in which requests are sent; 0: until request_limit */
  guint64 request_limit;       /* 0: until duration or the sampler ends */
  double timeout;              /* seconds for one answer */
  guint64 seed;
  gboolean probe; /* look for times in the host, cache levels and degraded answers */
} RagifyLoadPlan;

typedef enum {
  RAGIFY_LOAD_ERROR_CONNECT,   /* no connection */
  RAGIFY_LOAD_ERROR_CLOSED,    /* closed or reset before the answer was complete */
  RAGIFY_LOAD_ERROR_MALFORMED, /* not an answer that the strict reader takes */
  RAGIFY_LOAD_ERROR_TIMEOUT,
  RAGIFY_LOAD_ERRORS,
} RagifyLoadError;

/* "connect", "closed", "malformed", "timeout". [any] */
const char *ragify_load_error_name (RagifyLoadError error);

enum {
  RAGIFY_LOAD_STATUSES = 600,
};

typedef struct {
  RagifyLatencyHistogram *latency;    /* ns */
  RagifyLatencyHistogram *processing; /* ns that answers say they took in the host; empty without probe */
  guint64 statuses[RAGIFY_LOAD_STATUSES];
  guint64 errors[RAGIFY_LOAD_ERRORS];
  const char *malformed; /* what the first malformed answer had wrong, or NULL */
  GHashTable *levels;    /* cache level → guint64 *, answers; empty without probe */
  guint64 degraded;
  guint64 sent;
  guint64 body_bytes;
  guint64 reconnects; /* connections that the server closed in good order */
  double elapsed;     /* seconds from the first request to the last answer */
  double client_cpu;  /* our own CPU seconds meanwhile */
  double worst_lag;   /* open loop: seconds that the generator itself was late at most (sending is then not on time) */
} RagifyLoadResult;

void ragify_load_result_free (RagifyLoadResult *result);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (RagifyLoadResult, ragify_load_result_free)

guint64 ragify_load_result_count_succeeded (const RagifyLoadResult *result); /* 2xx */
guint64 ragify_load_result_count_failed (const RagifyLoadResult *result);    /* all else */

/* Opens the connections, runs the plan and waits for the last answers. Returns NULL with error set
 * (RAGIFY_ENDPOINT_ERROR) when not one connection can be had at the start. Blocks. */
RagifyLoadResult *ragify_load_run (const RagifyLoadPlan *plan, GError **error);
