/* A tracer: sends finished spans to a collector, as OTLP over HTTP in JSON (OpenTelemetry protocol 1.x).
 *
 * SPDX-License-Identifier: MIT
 *
 * A thread of its own sends them in batches. The queue in front of it is bounded: what does not fit is counted and
 * dropped, so that a collector that is slow, gone or wrong costs requests nothing. A batch that a passing fault keeps
 * back (no connection, 429, 502, 503, 504) is tried again a few times.
 */
#pragma once

#include "core/observe/metrics.h"

typedef struct RagifyTracer RagifyTracer;

/* As OTLP numbers them. */
typedef enum { RAGIFY_SPAN_INTERNAL = 1, RAGIFY_SPAN_SERVER = 2, RAGIFY_SPAN_CLIENT = 3 } RagifySpanKind;

/* A span that is over. Made by core/observe/trace.h. */
typedef struct RagifySpan RagifySpan;

typedef struct RagifyTracerOptions {
  const char *endpoint;      /* "http://127.0.0.1:4318/v1/traces" */
  const char *authorization; /* value of an Authorization header; NULL: none */
  const char *service;       /* service.name */
  const char *version;       /* service.version */
  guint queue;               /* spans that may wait; 0: 8,192 */
  double sample;             /* of requests that come without a trace, the part that begins one; 0..1 */
} RagifyTracerOptions;

/* Copies the options. NULL with an error when the endpoint is no URL of http or https. [control] */
RagifyTracer *ragify_tracer_new (RagifyMetrics *metrics, const RagifyTracerOptions *options, GError **error);
/* Sends what waits, for two seconds at most, and ends. No span may come any more. NULL is allowed. [control] */
void ragify_tracer_free (RagifyTracer *tracer);

void ragify_tracer_set_sample (RagifyTracer *tracer, double sample); /* [any] */
/* Whether the next trace that begins here is one that is recorded. [any] */
gboolean ragify_tracer_samples (RagifyTracer *tracer, guint64 random);
/* Takes the span. [any] */
void ragify_tracer_give (RagifyTracer *tracer, RagifySpan *span);
