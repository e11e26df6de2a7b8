/* SPDX-License-Identifier: MIT */
#include "core/observe/trace.h"

#include <string.h>
#include <sys/random.h>

#include "core/observe/span-private.h"

#define FLAG_SAMPLED 1u
#define STATE_MEMBERS 32u

struct RagifyTrace {
  gint references;      /* atomic */
  RagifyTracer *tracer; /* NULL: it is not recorded */
  guint64 caller;       /* 0: it begins here */
  guint8 flags;
  char id[33];
  gsize state_size;
  char state[];
};

/* ---- ids ---- */

guint64
ragify_trace_new_id (void)
{
  /* SplitMix64 (Steele, Lea, Flood 2014): ids need to be different, not secret. */
  static _Thread_local guint64 state;
  if (state == 0 && getrandom (&state, sizeof state, GRND_NONBLOCK) != (ssize_t)sizeof state)
    state = (guint64)g_random_int () << 32 | g_random_int ();
  while (TRUE) {
    guint64 z = state += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    z ^= z >> 31;
    if (z != 0)
      return z;
  }
}

/* ---- the headers ---- */

/* `size` lower-case hexadecimal digits. */
static gboolean
is_hex (const char *text, gsize size)
{
  for (gsize i = 0; i < size; i++)
    if (!g_ascii_isdigit (text[i]) && (text[i] < 'a' || text[i] > 'f'))
      return FALSE;
  return TRUE;
}

static gboolean
is_zero (const char *text, gsize size)
{
  for (gsize i = 0; i < size; i++)
    if (text[i] != '0')
      return FALSE;
  return TRUE;
}

/* version "-" trace-id "-" parent-id "-" flags, and in versions to come "-" and something. */
static gboolean
is_traceparent (RagifyStr text)
{
  const char *at = text.data;
  if (text.size < RAGIFY_TRACEPARENT_SIZE || at[2] != '-' || at[35] != '-' || at[52] != '-')
    return FALSE;
  if (!is_hex (at, 2) || !is_hex (at + 3, 32) || !is_hex (at + 36, 16) || !is_hex (at + 53, 2))
    return FALSE;
  if (memcmp (at, "ff", 2) == 0 || is_zero (at + 3, 32) || is_zero (at + 36, 16))
    return FALSE;
  const gboolean first = memcmp (at, "00", 2) == 0;
  return text.size == RAGIFY_TRACEPARENT_SIZE || (!first && at[RAGIFY_TRACEPARENT_SIZE] == '-');
}

/* A list of KEY=VALUE, of which some may be empty. */
static gboolean
is_tracestate (RagifyStr text)
{
  guint members = 0;
  gsize begin = 0;
  if (text.size == 0 || text.size > RAGIFY_TRACESTATE_MAX)
    return FALSE;
  for (gsize i = 0; i <= text.size; i++) {
    if (i < text.size && text.data[i] != ',') {
      if ((text.data[i] < 0x20 || text.data[i] > 0x7e) && text.data[i] != '\t')
        return FALSE;
      continue;
    }
    const gsize size = i - begin;
    const char *member = text.data + begin;
    begin = i + 1;
    if (strspn (member, " \t") >= size)
      continue;
    const char *equals = memchr (member, '=', size);
    if (equals == NULL || equals == member || ++members > STATE_MEMBERS)
      return FALSE;
  }
  return members > 0;
}

static guint64
read_hex (const char *text)
{
  guint64 value = 0;
  for (guint i = 0; i < 16; i++)
    value = value << 4 | (guint64)g_ascii_xdigit_value (text[i]);
  return value;
}

void
ragify_trace_write (const RagifyTrace *trace, guint64 span, char traceparent[RAGIFY_TRACEPARENT_SIZE + 1])
{
  g_snprintf (traceparent, RAGIFY_TRACEPARENT_SIZE + 1, "00-%s-%016" G_GINT64_MODIFIER "x-%02x", trace->id,
              span != 0 ? span : trace->caller, trace->flags);
}

RagifyStr
ragify_trace_state (const RagifyTrace *trace)
{
  return ragify_str (trace->state, trace->state_size);
}

/* ---- traces ---- */

static RagifyTrace *
trace_new (RagifyTracer *tracer, RagifyStr state)
{
  RagifyTrace *trace = g_malloc0 (sizeof *trace + state.size + 1);
  trace->references = 1;
  trace->tracer = tracer;
  trace->state_size = state.size;
  if (state.size > 0)
    memcpy (trace->state, state.data, state.size);
  return trace;
}

static RagifyTrace *
begin_here (RagifyTracer *tracer)
{
  const guint64 high = ragify_trace_new_id (), low = ragify_trace_new_id ();
  if (tracer == NULL || !ragify_tracer_samples (tracer, low))
    return NULL;
  RagifyTrace *trace = trace_new (tracer, ragify_str (NULL, 0));
  g_snprintf (trace->id, sizeof trace->id, "%016" G_GINT64_MODIFIER "x%016" G_GINT64_MODIFIER "x", high, low);
  trace->flags = FLAG_SAMPLED;
  return trace;
}

RagifyTrace *
ragify_trace_begin (RagifyTracer *tracer, RagifyStr traceparent, RagifyStr tracestate)
{
  if (!is_traceparent (traceparent))
    return begin_here (tracer);
  const guint flags =
      (guint)g_ascii_xdigit_value (traceparent.data[53]) << 4 | (guint)g_ascii_xdigit_value (traceparent.data[54]);
  const gboolean recorded = tracer != NULL && (flags & FLAG_SAMPLED) != 0;
  RagifyTrace *trace =
      trace_new (recorded ? tracer : NULL, is_tracestate (tracestate) ? tracestate : ragify_str (NULL, 0));
  memcpy (trace->id, traceparent.data + 3, 32);
  trace->caller = read_hex (traceparent.data + 36);
  trace->flags = (guint8)(flags & FLAG_SAMPLED); /* of the others nobody knows whether they still hold */
  return trace;
}

RagifyTrace *
ragify_trace_ref (RagifyTrace *trace)
{
  if (trace != NULL)
    g_atomic_int_inc (&trace->references);
  return trace;
}

void
ragify_trace_unref (RagifyTrace *trace)
{
  if (trace != NULL && g_atomic_int_dec_and_test (&trace->references))
    g_free (trace);
}

gboolean
ragify_trace_records (const RagifyTrace *trace)
{
  return trace != NULL && trace->tracer != NULL;
}

RagifyTracer *
ragify_trace_tracer (const RagifyTrace *trace)
{
  return trace->tracer;
}

const char *
ragify_trace_id (const RagifyTrace *trace)
{
  return trace->id;
}

guint64
ragify_trace_caller (const RagifyTrace *trace)
{
  return trace->caller;
}

RagifyTraceSpot
ragify_trace_spot (RagifyTrace *trace, guint64 above)
{
  if (trace == NULL)
    return (RagifyTraceSpot){ 0 };
  return (RagifyTraceSpot){ .trace = ragify_trace_ref (trace),
                            .span = ragify_trace_records (trace) ? ragify_trace_new_id () : trace->caller,
                            .parent = above };
}

void
ragify_trace_spot_clear (RagifyTraceSpot *spot)
{
  ragify_trace_unref (spot->trace);
  *spot = (RagifyTraceSpot){ 0 };
}

/* ---- spans ---- */

RagifySpan *
ragify_span_new (const RagifyTraceSpot *spot, RagifySpanKind kind, const char *name)
{
  RagifySpan *span = g_new0 (RagifySpan, 1);
  span->trace = ragify_trace_ref (spot->trace);
  span->id = spot->span;
  span->parent = spot->parent;
  span->kind = kind;
  span->name = g_strdup (name);
  span->attributes = json_array ();
  return span;
}

void
ragify_span_free (RagifySpan *span)
{
  ragify_trace_unref (span->trace);
  json_decref (span->attributes);
  g_free (span->name);
  g_free (span->fault);
  g_free (span);
}

/* Takes `value`. */
static void
add (RagifySpan *span, const char *key, const char *type, json_t *value)
{
  json_array_append_new (span->attributes, json_pack ("{s:s, s:{s:o}}", "key", key, "value", type, value));
}

void
ragify_span_text (RagifySpan *span, const char *key, const char *value)
{
  g_autofree char *valid = g_utf8_make_valid (value, -1);
  add (span, key, "stringValue", json_string (valid));
}

void
ragify_span_integer (RagifySpan *span, const char *key, gint64 value)
{
  /* Protocol buffers write 64-bit integers as strings in JSON. */
  char text[24];
  g_snprintf (text, sizeof text, "%" G_GINT64_FORMAT, value);
  add (span, key, "intValue", json_string (text));
}

void
ragify_span_number (RagifySpan *span, const char *key, double value)
{
  add (span, key, "doubleValue", json_real (value));
}

void
ragify_span_fail (RagifySpan *span, const char *message)
{
  g_free (span->fault);
  span->fault = g_utf8_make_valid (message, -1);
}

void
ragify_span_end (RagifySpan *span, guint64 began, guint64 ended)
{
  const gint64 wall = g_get_real_time (), now = g_get_monotonic_time ();
  span->began = (wall - (now - (gint64)began)) * 1000;
  span->ended = (wall - (now - (gint64)ended)) * 1000;
  ragify_tracer_give (span->trace->tracer, span);
}
