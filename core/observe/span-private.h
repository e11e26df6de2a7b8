/* What a span is made of; for trace.c and tracer.c.
 *
 * SPDX-License-Identifier: MIT
 */
#pragma once

#include <jansson.h>

#include "core/observe/trace.h"

struct RagifySpan {
  RagifyTrace *trace; /* a reference */
  guint64 id, parent; /* parent 0: none */
  RagifySpanKind kind;
  gint64 began, ended; /* ns since 1970 */
  char *name;
  char *fault;        /* NULL: it went well */
  json_t *attributes; /* as OTLP has them */
};

void ragify_span_free (RagifySpan *span);
/* The tracer that the trace is recorded by; NULL: none. */
RagifyTracer *ragify_trace_tracer (const RagifyTrace *trace);
