/* The exchange as a span: from the request line to the answer handed to the socket.
 *
 * SPDX-License-Identifier: MIT
 */
#include "exchange.h"

#include <string.h>

/* Several headers are one list (RFC 9110, 5.3). FALSE: it is longer than anybody has to keep. */
static RagifyStr
join_states (const RagifyHeadFacts *facts, char joined[RAGIFY_TRACESTATE_MAX + 1])
{
  gsize size = 0;
  if (facts->n_tracestate == 0 || facts->n_tracestate > RAGIFY_HEAD_TRACESTATES)
    return ragify_str (NULL, 0);
  for (guint i = 0; i < facts->n_tracestate; i++) {
    const RagifyStr one = facts->tracestate[i];
    if (size + one.size + 1 > RAGIFY_TRACESTATE_MAX)
      return ragify_str (NULL, 0);
    if (i > 0)
      joined[size++] = ',';
    memcpy (joined + size, one.data, one.size);
    size += one.size;
  }
  joined[size] = '\0';
  return ragify_str (joined, size);
}

void
ragify_exchange_trace_begin (RagifyExchange *exchange)
{
  char joined[RAGIFY_TRACESTATE_MAX + 1];
  if (exchange->action->always) /* probes and pictures are nobody's request */
    return;
  RagifyTrace *trace = ragify_trace_begin (exchange->listener->shared->tracer, exchange->facts.traceparent,
                                           join_states (&exchange->facts, joined));
  if (trace == NULL)
    return;
  exchange->spot = ragify_trace_spot (trace, ragify_trace_caller (trace));
  ragify_trace_unref (trace);
}

void
ragify_exchange_trace_end (RagifyExchange *exchange, guint status, guint64 now)
{
  if (!ragify_trace_records (exchange->spot.trace))
    return;
  const char *route = exchange->route != NULL ? exchange->route->label : "other";
  g_autofree char *name = g_strdup_printf ("%s %s", exchange->method, route);
  g_autofree char *path = g_strndup (exchange->parts.path.data, exchange->parts.path.size);
  RagifySpan *span = ragify_span_new (&exchange->spot, RAGIFY_SPAN_SERVER, name);
  ragify_span_text (span, "http.request.method", exchange->method);
  ragify_span_text (span, "http.route", route);
  ragify_span_text (span, "url.path", path);
  ragify_span_integer (span, "http.response.status_code", status);
  ragify_span_integer (span, "http.request.body.size", (gint64)exchange->received);
  ragify_span_integer (span, "http.response.body.size", (gint64)exchange->reply_size);
  ragify_span_text (span, "ragify.request_id", exchange->id);
  if (exchange->key != NULL)
    ragify_span_text (span, "ragify.key", exchange->key->name);
  if (status >= 500) {
    g_autofree char *fault = g_strdup_printf ("HTTP %u", status);
    ragify_span_fail (span, fault);
  }
  ragify_span_end (span, exchange->began, now);
}
