/* A trace: this process' part of what one request causes everywhere (W3C Trace Context, Recommendation of 2021).
 *
 * SPDX-License-Identifier: MIT
 *
 * A request that is part of no trace has none of this: a NULL is all that it costs. A trace that is not recorded is
 * only handed on to whomever we ask.
 */
#pragma once

#include <glib.h>
#include <ragify/ragify.h>

#include "core/observe/tracer.h"

typedef struct RagifyTrace RagifyTrace;

/* Where something stands in a trace; zeroed: nowhere. Spans of what it causes have `span` as their parent. */
typedef struct RagifyTraceSpot {
  RagifyTrace *trace; /* a reference; NULL: part of none */
  guint64 span, parent;
} RagifyTraceSpot;

/* Length of a traceparent of version 00, without the NUL. */
#define RAGIFY_TRACEPARENT_SIZE 55
#define RAGIFY_TRACESTATE_MAX 512

/* The trace that a request belongs to: the one that `traceparent` names, where it is valid, otherwise a new one of
 * `tracer` (NULL: none), where its sampling says so. `tracestate` goes along with a valid traceparent, where it is
 * valid itself. NULL: none. [any] */
RagifyTrace *ragify_trace_begin (RagifyTracer *tracer, RagifyStr traceparent, RagifyStr tracestate);
RagifyTrace *ragify_trace_ref (RagifyTrace *trace);       /* [any] NULL is allowed */
void ragify_trace_unref (RagifyTrace *trace);             /* [any] NULL is allowed */
gboolean ragify_trace_records (const RagifyTrace *trace); /* [any] its spans go to the tracer. NULL: FALSE */
/* The trace's id as 32 digits. [any] */
const char *ragify_trace_id (const RagifyTrace *trace);
/* The span of the caller that the request comes from; 0: it begins here. [any] */
guint64 ragify_trace_caller (const RagifyTrace *trace);

/* A spot below `above`: it has a span of its own where the trace is recorded. Takes a reference. [any] */
RagifyTraceSpot ragify_trace_spot (RagifyTrace *trace, guint64 above);
void ragify_trace_spot_clear (RagifyTraceSpot *spot); /* [any] */

/* What to send to somebody who is asked on behalf of `span`: writes RAGIFY_TRACEPARENT_SIZE characters and a NUL. The
 * tracestate is constant while the trace lives, empty where there is none. [any] */
void ragify_trace_write (const RagifyTrace *trace, guint64 span, char traceparent[RAGIFY_TRACEPARENT_SIZE + 1]);
RagifyStr ragify_trace_state (const RagifyTrace *trace);

/* An id that is not 0. [any] */
guint64 ragify_trace_new_id (void);

/* ---- spans, of traces that are recorded ---- */

/* A span at `spot`; `name` is copied. Its fields are the maker's until it is ended. [any] */
RagifySpan *ragify_span_new (const RagifyTraceSpot *spot, RagifySpanKind kind, const char *name);
void ragify_span_text (RagifySpan *span, const char *key, const char *value);
void ragify_span_integer (RagifySpan *span, const char *key, gint64 value);
void ragify_span_number (RagifySpan *span, const char *key, double value);
void ragify_span_fail (RagifySpan *span, const char *message);
/* It took from `began` to `ended`, monotonic µs. Gives it to the tracer, which takes it. [any] */
void ragify_span_end (RagifySpan *span, guint64 began, guint64 ended);
