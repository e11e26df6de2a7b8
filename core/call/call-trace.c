/* Calls as spans of the trace that their owner is part of.
 *
 * SPDX-License-Identifier: MIT
 */
#include "core/call/call-private.h"

static const char *
word_for (gint32 code)
{
  switch (code) {
  case RAGIFY_OK:
    return "ok";
  case RAGIFY_E_TIMEOUT:
    return "timeout";
  case RAGIFY_E_CANCELLED:
    return "cancelled";
  case RAGIFY_E_UNAVAILABLE:
    return "unavailable";
  case RAGIFY_E_EXHAUSTED:
    return "exhausted";
  default:
    return "error";
  }
}

void
ragify_call_trace_begin (RagifyCall *call)
{
  if (ragify_trace_records (call->owner->spot.trace))
    call->span = ragify_trace_new_id ();
}

RagifyTraceSpot
ragify_call_spot (RagifyCall *handle)
{
  const RagifyCall *call = ragify_handle_call (handle);
  const RagifyTraceSpot *above = call != NULL ? &call->owner->spot : NULL;
  return above != NULL ? ragify_trace_spot (above->trace, call->span != 0 ? call->span : above->span)
                       : (RagifyTraceSpot){ 0 };
}

void
ragify_call_trace_end (RagifyCall *call)
{
  const RagifyComponent *component = ragify_node_component (call->node);
  const RagifyTraceSpot *above = &call->owner->spot;
  const RagifyTraceSpot spot = { .trace = above->trace, .span = call->span, .parent = above->span };
  const gboolean remote = (component->flags & RAGIFY_COMPONENT_REMOTE) != 0;
  g_autofree char *name = g_strdup_printf ("%s %s", call->operation->name, ragify_node_name (call->node));
  RagifySpan *span = ragify_span_new (&spot, remote ? RAGIFY_SPAN_CLIENT : RAGIFY_SPAN_INTERNAL, name);
  ragify_span_text (span, "ragify.node", ragify_node_name (call->node));
  ragify_span_text (span, "ragify.kind", component->kind);
  ragify_span_text (span, "ragify.plugin", component->name);
  ragify_span_text (span, "ragify.operation", call->operation->name);
  ragify_span_text (span, "ragify.outcome", call->refused ? "open-circuit" : word_for (call->code));
  if (call->code != RAGIFY_OK)
    ragify_span_fail (span, call->message);
  ragify_span_end (span, call->began, call->ended);
}
