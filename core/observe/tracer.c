/* SPDX-License-Identifier: MIT */
#include "core/observe/tracer.h"

#include <libsoup/soup.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#include "core/observe/span-private.h"

#define DEFAULT_QUEUE 8192u
#define BATCH 512u
#define BATCH_AGE_MS 1000u
/* A collector has so long to answer, … */
#define ANSWER_SECONDS 10u
/* … and this often: after that its batch is dropped. */
#define TRIES 4u
#define FIRST_PAUSE_MS 500u
#define FLUSH_US (2 * (gint64)G_USEC_PER_SEC)

struct RagifyTracer {
  char *endpoint, *authorization, *service, *version;
  guint64 sample; /* atomic: of 2^32 */
  guint capacity;
  RagifySeries *sent, *full, *unsent, *refused;

  pthread_t thread;
  GCancellable *cancellable; /* of what is under way when time is up */
  pthread_mutex_t lock;      /* guards what follows */
  pthread_cond_t news;
  GQueue spans;
  gboolean ending;

  /* The thread's. */
  SoupSession *session;
  gboolean complained;
};

/* ---- what is sent ---- */

static json_t *
text_attribute (const char *key, const char *value)
{
  return json_pack ("{s:s, s:{s:s}}", "key", key, "value", "stringValue", value);
}

static json_t *
describe_span (const RagifySpan *span)
{
  char id[17], began[24], ended[24];
  const RagifyStr state = ragify_trace_state (span->trace);
  g_snprintf (id, sizeof id, "%016" G_GINT64_MODIFIER "x", span->id);
  g_snprintf (began, sizeof began, "%" G_GINT64_FORMAT, span->began);
  g_snprintf (ended, sizeof ended, "%" G_GINT64_FORMAT, span->ended);
  json_t *json = json_pack ("{s:s, s:s, s:s, s:i, s:s, s:s, s:O}", "traceId", ragify_trace_id (span->trace), "spanId",
                            id, "name", span->name, "kind", (int)span->kind, "startTimeUnixNano", began,
                            "endTimeUnixNano", ended, "attributes", span->attributes);
  if (span->parent != 0) {
    g_snprintf (id, sizeof id, "%016" G_GINT64_MODIFIER "x", span->parent);
    json_object_set_new (json, "parentSpanId", json_string (id));
  }
  if (state.size > 0)
    json_object_set_new (json, "traceState", json_stringn (state.data, state.size));
  if (span->fault != NULL)
    json_object_set_new (json, "status", json_pack ("{s:i, s:s}", "code", 2, "message", span->fault));
  return json;
}

/* One request of ExportTraceServiceRequest's form. */
static GBytes *
describe_batch (const RagifyTracer *tracer, const GPtrArray *batch)
{
  json_t *spans = json_array ();
  for (guint i = 0; i < batch->len; i++)
    json_array_append_new (spans, describe_span (batch->pdata[i]));
  json_t *resource =
      json_pack ("[o, o, o]", text_attribute ("service.name", tracer->service),
                 text_attribute ("service.version", tracer->version), text_attribute ("host.name", g_get_host_name ()));
  json_t *root =
      json_pack ("{s:[{s:{s:o}, s:[{s:{s:s, s:s}, s:o}]}]}", "resourceSpans", "resource", "attributes", resource,
                 "scopeSpans", "scope", "name", "ragify", "version", tracer->version, "spans", spans);
  char *text = json_dumps (root, JSON_COMPACT);
  json_decref (root);
  return g_bytes_new_with_free_func (text, strlen (text), free, text);
}

/* ---- sending; on the thread ---- */

/* Once for each time that it begins to go wrong. */
static void
complain (RagifyTracer *tracer, const char *why)
{
  if (tracer->complained)
    return;
  tracer->complained = TRUE;
  g_warning ("traces cannot be sent to %s: %s; spans are dropped until they can", tracer->endpoint, why);
}

static void
recovered (RagifyTracer *tracer)
{
  if (tracer->complained)
    g_message ("traces are sent to %s again", tracer->endpoint);
  tracer->complained = FALSE;
}

/* How many of a batch that the collector has taken it did not keep after all. */
static guint64
count_rejected (GBytes *body)
{
  gsize size = 0;
  const char *text = g_bytes_get_data (body, &size);
  json_t *answer = size > 0 ? json_loadb (text, size, 0, NULL) : NULL;
  const json_t *partial = json_object_get (answer, "partialSuccess");
  const json_t *rejected = json_object_get (partial, "rejectedSpans");
  const guint64 count = json_is_string (rejected) ? g_ascii_strtoull (json_string_value (rejected), NULL, 10)
                                                  : (guint64)json_integer_value (rejected);
  json_decref (answer);
  return count;
}

typedef enum { OUTCOME_SENT, OUTCOME_AGAIN, OUTCOME_REFUSED } Outcome;

static Outcome
post (RagifyTracer *tracer, GBytes *body, guint64 *rejected, char **why)
{
  g_autoptr (SoupMessage) message = soup_message_new ("POST", tracer->endpoint);
  g_autoptr (GError) error = NULL;
  soup_message_set_request_body_from_bytes (message, "application/json", body);
  soup_message_add_flags (message, SOUP_MESSAGE_NO_REDIRECT);
  if (tracer->authorization != NULL)
    soup_message_headers_replace (soup_message_get_request_headers (message), "Authorization", tracer->authorization);
  g_autoptr (GBytes) answer = soup_session_send_and_read (tracer->session, message, tracer->cancellable, &error);
  if (answer == NULL) {
    *why = g_strdup (error->message);
    return OUTCOME_AGAIN;
  }
  const guint status = soup_message_get_status (message);
  if (status >= 200 && status < 300) {
    *rejected = count_rejected (answer);
    return OUTCOME_SENT;
  }
  *why = g_strdup_printf ("HTTP %u %s", status, soup_message_get_reason_phrase (message));
  return status == 429 || (status >= 502 && status <= 504) ? OUTCOME_AGAIN : OUTCOME_REFUSED;
}

/* Waits, unless it is to end. */
static gboolean
pause_before (RagifyTracer *tracer, guint try)
{
  const gint64 until = g_get_real_time () + (gint64)(FIRST_PAUSE_MS << try) * 1000;
  const struct timespec limit = { .tv_sec = until / G_USEC_PER_SEC, .tv_nsec = until % G_USEC_PER_SEC * 1000 };
  pthread_mutex_lock (&tracer->lock);
  while (!tracer->ending && pthread_cond_timedwait (&tracer->news, &tracer->lock, &limit) == 0)
    continue;
  const gboolean ending = tracer->ending;
  pthread_mutex_unlock (&tracer->lock);
  return !ending;
}

static void
send_batch (RagifyTracer *tracer, const GPtrArray *batch)
{
  g_autoptr (GBytes) body = describe_batch (tracer, batch);
  guint64 rejected = 0;
  Outcome outcome = OUTCOME_AGAIN;
  g_autofree char *why = NULL;
  for (guint try = 0; outcome == OUTCOME_AGAIN && try < TRIES; try++) {
    g_clear_pointer (&why, g_free);
    if (try > 0 && !pause_before (tracer, try - 1))
      break;
    outcome = post (tracer, body, &rejected, &why);
    if (outcome == OUTCOME_AGAIN)
      complain (tracer, why);
  }
  rejected = MIN (rejected, batch->len);
  if (outcome == OUTCOME_SENT) {
    recovered (tracer);
    ragify_series_add (tracer->sent, (double)(batch->len - rejected));
    ragify_series_add (tracer->refused, (double)rejected);
  } else if (outcome == OUTCOME_REFUSED) {
    complain (tracer, why);
    ragify_series_add (tracer->refused, batch->len);
  } else {
    ragify_series_add (tracer->unsent, batch->len);
  }
}

/* A full batch, or what has waited for long enough; NULL: it is to end, and nothing waits. */
static GPtrArray *
take_batch (RagifyTracer *tracer)
{
  GPtrArray *batch = NULL;
  pthread_mutex_lock (&tracer->lock);
  while (g_queue_is_empty (&tracer->spans) && !tracer->ending)
    pthread_cond_wait (&tracer->news, &tracer->lock);
  const gint64 until = g_get_real_time () + (gint64)BATCH_AGE_MS * 1000;
  const struct timespec limit = { .tv_sec = until / G_USEC_PER_SEC, .tv_nsec = until % G_USEC_PER_SEC * 1000 };
  while (g_queue_get_length (&tracer->spans) < BATCH && !tracer->ending &&
         pthread_cond_timedwait (&tracer->news, &tracer->lock, &limit) == 0)
    continue;
  if (!g_queue_is_empty (&tracer->spans)) {
    batch = g_ptr_array_new_full (BATCH, (GDestroyNotify)ragify_span_free);
    while (batch->len < BATCH && !g_queue_is_empty (&tracer->spans))
      g_ptr_array_add (batch, g_queue_pop_head (&tracer->spans));
  }
  pthread_mutex_unlock (&tracer->lock);
  return batch;
}

static void *
send_all (void *data)
{
  RagifyTracer *tracer = data;
  /* libsoup's sessions belong to a thread and its context. */
  g_autoptr (GMainContext) context = g_main_context_new ();
  g_main_context_push_thread_default (context);
  tracer->session = soup_session_new_with_options ("timeout", ANSWER_SECONDS, "user-agent", "Ragify/1.0", NULL);
  for (GPtrArray *batch = take_batch (tracer); batch != NULL; batch = take_batch (tracer)) {
    send_batch (tracer, batch);
    g_ptr_array_unref (batch);
  }
  g_clear_object (&tracer->session);
  while (g_main_context_iteration (context, FALSE))
    continue;
  g_main_context_pop_thread_default (context);
  return NULL;
}

/* ---- taking ---- */

void
ragify_tracer_give (RagifyTracer *tracer, RagifySpan *span)
{
  pthread_mutex_lock (&tracer->lock);
  const guint waiting = g_queue_get_length (&tracer->spans);
  const gboolean room = waiting < tracer->capacity && !tracer->ending;
  if (room)
    g_queue_push_tail (&tracer->spans, span);
  if (room && (waiting == 0 || waiting + 1 == BATCH))
    pthread_cond_signal (&tracer->news);
  pthread_mutex_unlock (&tracer->lock);
  if (room)
    return;
  ragify_series_add (tracer->full, 1);
  ragify_span_free (span);
}

void
ragify_tracer_set_sample (RagifyTracer *tracer, double sample)
{
  __atomic_store_n (&tracer->sample, (guint64)(CLAMP (sample, 0, 1) * 4294967296.0), __ATOMIC_RELAXED);
}

gboolean
ragify_tracer_samples (RagifyTracer *tracer, guint64 random)
{
  return (random & G_MAXUINT32) < __atomic_load_n (&tracer->sample, __ATOMIC_RELAXED);
}

/* ---- making ---- */

static RagifySeries *
dropped_series (RagifyMetrics *metrics, const char *reason)
{
  return ragify_metrics_series (metrics, RAGIFY_SERIES_COUNTER, "ragify_trace_spans_dropped_total",
                                "Spans that no collector has: the queue was full, no collector could be reached, or it "
                                "refused them",
                                "reason", reason, NULL);
}

/* A collector that is named without a path takes spans where OTLP has them. NULL: it is no URL. */
static char *
whole_endpoint (const char *endpoint)
{
  g_autoptr (GUri) uri = g_uri_parse (endpoint, SOUP_HTTP_URI_FLAGS, NULL);
  if (uri == NULL || g_uri_get_host (uri) == NULL || *g_uri_get_host (uri) == '\0' ||
      (!g_str_equal (g_uri_get_scheme (uri), "http") && !g_str_equal (g_uri_get_scheme (uri), "https")))
    return NULL;
  if (strlen (g_uri_get_path (uri)) > 1)
    return g_strdup (endpoint);
  return g_strconcat (endpoint, g_str_has_suffix (endpoint, "/") ? "" : "/", "v1/traces", NULL);
}

RagifyTracer *
ragify_tracer_new (RagifyMetrics *metrics, const RagifyTracerOptions *options, GError **error)
{
  g_autofree char *endpoint = whole_endpoint (options->endpoint);
  if (endpoint == NULL) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                 "expected a URL such as http://127.0.0.1:4318/v1/traces, found '%s'", options->endpoint);
    return NULL;
  }
  RagifyTracer *tracer = g_new0 (RagifyTracer, 1);
  tracer->endpoint = g_steal_pointer (&endpoint);
  tracer->authorization = g_strdup (options->authorization);
  tracer->service = g_strdup (options->service);
  tracer->version = g_strdup (options->version);
  tracer->capacity = options->queue != 0 ? options->queue : DEFAULT_QUEUE;
  ragify_tracer_set_sample (tracer, options->sample);
  tracer->sent = ragify_metrics_series (metrics, RAGIFY_SERIES_COUNTER, "ragify_trace_spans_sent_total",
                                        "Spans that the collector has taken", NULL);
  tracer->full = dropped_series (metrics, "queue-full");
  tracer->unsent = dropped_series (metrics, "unreachable");
  tracer->refused = dropped_series (metrics, "refused");
  tracer->cancellable = g_cancellable_new ();
  g_queue_init (&tracer->spans);
  pthread_mutex_init (&tracer->lock, NULL);
  pthread_cond_init (&tracer->news, NULL);
  pthread_create (&tracer->thread, NULL, send_all, tracer);
  return tracer;
}

void
ragify_tracer_free (RagifyTracer *tracer)
{
  if (tracer == NULL)
    return;
  pthread_mutex_lock (&tracer->lock);
  tracer->ending = TRUE;
  pthread_cond_signal (&tracer->news);
  pthread_mutex_unlock (&tracer->lock);
  const gint64 until = g_get_real_time () + FLUSH_US;
  const struct timespec limit = { .tv_sec = until / G_USEC_PER_SEC, .tv_nsec = until % G_USEC_PER_SEC * 1000 };
  if (pthread_timedjoin_np (tracer->thread, NULL, &limit) != 0) {
    g_cancellable_cancel (tracer->cancellable);
    pthread_join (tracer->thread, NULL);
  }
  g_object_unref (tracer->cancellable);
  g_queue_clear_full (&tracer->spans, (GDestroyNotify)ragify_span_free);
  pthread_cond_destroy (&tracer->news);
  pthread_mutex_destroy (&tracer->lock);
  g_free (tracer->endpoint);
  g_free (tracer->authorization);
  g_free (tracer->service);
  g_free (tracer->version);
  g_free (tracer);
}
