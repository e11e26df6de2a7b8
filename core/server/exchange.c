/* SPDX-License-Identifier: MIT */
#include "exchange-private.h"

#include <stdarg.h>
#include <string.h>

#include "authorize.h"
#include "connection.h"
#include "cors.h"
#include "exchange-log.h"
#include "reply.h"
#include "request-id.h"
#include "stream-reply.h"

/* A body up to here that belongs to a refused request is read to its end, so that the connection can be used on. */
#define SWALLOW_LIMIT 262144
/* What a body that is not expected may have. */
#define IGNORED_LIMIT 65536
/* How long a client has to read a refusal that it did not wait for. */
#define LINGER_US 3000000
/* A body's buffer that grew past this is given back. */
#define KEEP_BUFFER 65536

void
ragify_exchange_init (RagifyExchange *exchange, RagifyConnection *connection, RagifyListener *listener)
{
  *exchange = (RagifyExchange){
    .connection = connection,
    .listener = listener,
    .target = g_string_sized_new (64),
    .body = g_string_sized_new (0),
  };
}

void
ragify_exchange_clear (RagifyExchange *exchange)
{
  g_string_free (exchange->target, TRUE);
  g_string_free (exchange->body, TRUE);
}

/* ---- refusing ---- */

gboolean
ragify_exchange_refuse (RagifyExchange *exchange, guint status, const char *title, const char *field,
                        const char *format, ...)
{
  va_list arguments;
  va_start (arguments, format);
  g_autofree char *detail = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  return ragify_problem_set (&exchange->problem, status, title, field, "%s", detail);
}

/* Tells the action, where it knows of the exchange, that nobody wants it any more. */
static void
drop_work (RagifyExchange *exchange)
{
  if (!exchange->begun)
    return;
  exchange->begun = FALSE;
  if (exchange->action->detach != NULL)
    exchange->action->detach (exchange);
  exchange->work = NULL;
}

/* Writes the exchange's problem past libmicrohttpd, and reads on for a while. */
static void
refuse_and_linger (RagifyExchange *exchange)
{
  const guint64 now = ragify_now ();
  gsize size = 0;
  g_autofree char *text = ragify_reply_raw_problem (&exchange->problem, exchange->id, &size);
  drop_work (exchange);
  ragify_connection_send_last (exchange->connection, text, size);
  ragify_exchange_note_answer (exchange, exchange->problem.status, now);
  exchange->state = RAGIFY_EXCHANGE_LINGERING;
  ragify_connection_set_limit (exchange->connection, now + LINGER_US);
}

/* The head cannot be trusted, and so not where it ends: the connection closes. */
static enum MHD_Result
refuse_head (RagifyExchange *exchange, const char *reason)
{
  ragify_listener_count_refused (exchange->listener, reason);
  ragify_exchange_set_reply (exchange, exchange->problem.status,
                             ragify_reply_new_problem (&exchange->problem, exchange->id, NULL, TRUE), 0);
  ragify_problem_clear (&exchange->problem);
  return ragify_exchange_queue_reply (exchange);
}

/* The request will not be served; what to do with its body? */
static enum MHD_Result
refuse_request (RagifyExchange *exchange)
{
  const RagifyHeadFacts *facts = &exchange->facts;
  const gboolean has_body = facts->chunked || facts->content_length > 0;
  if (has_body && facts->expects_continue) {
    ragify_exchange_reply_problem (exchange, &exchange->problem);
    return ragify_exchange_queue_reply (exchange);
  }
  if (facts->chunked || facts->content_length > SWALLOW_LIMIT)
    refuse_and_linger (exchange);
  else
    exchange->refused = TRUE;
  return MHD_YES;
}

RagifyHold *
ragify_exchange_hold (const RagifyExchange *exchange)
{
  return exchange->key != NULL ? exchange->key->hold : NULL;
}

/* ---- the head ---- */

static enum MHD_Result
gather_field (void *user, enum MHD_ValueKind kind, const char *name, size_t name_size, const char *value,
              size_t value_size)
{
  ragify_head_add (user, name, name_size, value, value_size);
  return MHD_YES;
}

/* libmicrohttpd up to 0.9.76 hides some of what is wrong with a head; later ones refuse it when told to be strict. */
static gboolean
parser_hides_faults (void)
{
  static int hides = -1; /* atomic */
  int known = __atomic_load_n (&hides, __ATOMIC_RELAXED);
  if (known < 0) {
    const char *version = MHD_get_version ();
    known = strcmp (version, "0.9.75") == 0 || strcmp (version, "0.9.76") == 0;
    __atomic_store_n (&hides, known, __ATOMIC_RELAXED);
  }
  return known != 0;
}

static const char *
check_head (RagifyExchange *exchange, const char *target, const char *method, const char *version)
{
  RagifyHead head;
  head.n_fields = 0;
  head.too_many = FALSE;
  head.method = ragify_str_from (method);
  head.version = ragify_str_from (version);
  head.target = ragify_str (target, exchange->target->len);
  MHD_get_connection_values_n (exchange->connection->mhd, MHD_HEADER_KIND, gather_field, &head);

  const union MHD_ConnectionInfo *info =
      MHD_get_connection_info (exchange->connection->mhd, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
  exchange->head_size = info != NULL ? info->header_size : 0;
  const char *reason = ragify_head_check (&head, &exchange->facts, &exchange->problem);
  if (reason == NULL && parser_hides_faults () && !ragify_head_is_seamless (&head, exchange->head_size)) {
    ragify_problem_set (&exchange->problem, 400, "Bad request", NULL,
                        "the head has a NUL, a folded line, or blanks where there must be one");
    reason = "seam";
  }
  return reason;
}

/* Documents are refused earlier than what only asks; who administers may be about to help. */
static gboolean
check_memory (RagifyExchange *exchange)
{
  const RagifyMemoryStep step = ragify_memory_step (exchange->listener->shared->memory);
  const RagifyMemoryStep bearable =
      exchange->action->body == RAGIFY_BODY_STREAMED ? RAGIFY_MEMORY_SHRINK : RAGIFY_MEMORY_NO_INGEST;
  if (step <= bearable || exchange->action->access == RAGIFY_ACCESS_ADMIN)
    return TRUE;
  ragify_listener_count_refused (exchange->listener, "memory");
  ragify_exchange_refuse (exchange, 503, "Short of memory", NULL, "the host is short of memory; try again later");
  exchange->problem.retry_after = 10;
  return FALSE;
}

/* Whether there is room to serve it now. */
static gboolean
check_room (RagifyExchange *exchange)
{
  RagifyServerShared *shared = exchange->listener->shared;
  if (exchange->action->always)
    return TRUE;
  const char *crowded = ragify_connection_crowded (exchange->connection);
  const guint waiting = __atomic_load_n (&shared->waiting, __ATOMIC_RELAXED);
  if (crowded == NULL && waiting < shared->options.max_requests)
    return check_memory (exchange);
  ragify_listener_count_refused (exchange->listener, crowded != NULL ? crowded : "too-many-requests");
  const gboolean own_fault = crowded != NULL && strcmp (crowded, "connections-of-client") == 0;
  ragify_exchange_refuse (exchange, own_fault ? 429 : 503, own_fault ? "Too many requests" : "Service unavailable",
                          NULL, "%s",
                          crowded == NULL ? "as many requests as are allowed are under way; try again soon"
                          : own_fault     ? "this client has too many connections open"
                                          : "as many connections as are allowed are open; try again soon");
  exchange->problem.retry_after = 1;
  return FALSE;
}

/* The most bytes that the body may have; 0: any number. */
static guint64
body_limit (const RagifyExchange *exchange)
{
  const RagifyListenOptions *options = &exchange->listener->shared->options;
  switch (exchange->action->body) {
  case RAGIFY_BODY_GATHERED:
    return __atomic_load_n (&options->max_body, __ATOMIC_RELAXED);
  case RAGIFY_BODY_STREAMED:
    return __atomic_load_n (&options->max_document_body, __ATOMIC_RELAXED);
  case RAGIFY_BODY_IGNORED:
  default:
    return IGNORED_LIMIT;
  }
}

static gboolean
refuse_size (RagifyExchange *exchange)
{
  return ragify_exchange_refuse (exchange, 413, "Content too large", NULL,
                                 "the body may have at most %" G_GUINT64_FORMAT " bytes", body_limit (exchange));
}

static gboolean
check_body (RagifyExchange *exchange)
{
  const RagifyHeadFacts *facts = &exchange->facts;
  const guint64 limit = body_limit (exchange);
  if (limit != 0 && facts->content_length > limit)
    return refuse_size (exchange);
  if (facts->content_encoding.size != 0 && !ragify_str_is (facts->content_encoding, "identity"))
    return ragify_exchange_refuse (exchange, 415, "Unsupported media type", "Content-Encoding",
                                   "the body must not be encoded; found Content-Encoding: %.*s",
                                   (int)facts->content_encoding.size, facts->content_encoding.data);
  return TRUE;
}

static void
finish_preflight (RagifyExchange *exchange)
{
  ragify_exchange_set_reply (exchange, 204, ragify_cors_preflight (exchange, exchange->route->allow), 0);
}

static const RagifyAction preflight = { .always = TRUE, .access = RAGIFY_ACCESS_OPEN, .finish = finish_preflight };

/* Finds the action for what the head asks. */
static gboolean
find_action (RagifyExchange *exchange, const char *method)
{
  const RagifyRouteMatch match = ragify_routes_match (exchange->parts.path, ragify_str_from (method));
  exchange->route = match.route;
  exchange->action = match.action;
  exchange->parameter = match.parameter;
  g_strlcpy (exchange->method, method, sizeof exchange->method);
  if (match.route == NULL)
    return ragify_exchange_refuse (exchange, 404, "Not found", NULL, "there is nothing at %.*s",
                                   (int)MIN (exchange->parts.path.size, 200), exchange->parts.path.data);
  if (match.action == NULL && ragify_cors_is_preflight (exchange, method)) {
    exchange->action = &preflight;
    return TRUE;
  }
  if (match.action == NULL)
    return ragify_exchange_refuse (exchange, 405, "Method not allowed", NULL, "%s takes %s, not %.20s",
                                   match.route->label, match.route->allow, method);
  return TRUE;
}

static gboolean
begin_action (RagifyExchange *exchange)
{
  if (!ragify_authorize (exchange) || !check_room (exchange) || !check_body (exchange))
    return FALSE;
  if (exchange->parts.query.size > 0) {
    exchange->query = ragify_query_new (exchange->parts.query, &exchange->problem);
    if (exchange->query == NULL)
      return FALSE;
  }
  exchange->begun = exchange->action->begin == NULL || exchange->action->begin (exchange);
  return exchange->begun;
}

static enum MHD_Result
take_head (RagifyExchange *exchange, const char *target, const char *method, const char *version)
{
  exchange->state = RAGIFY_EXCHANGE_BODY;
  ragify_connection_set_limit (exchange->connection, exchange->began + ragify_exchange_patience (exchange, 0));
  const char *reason = check_head (exchange, target, method, version);
  ragify_request_id_choose (exchange->facts.request_id, exchange->id);
  if (reason != NULL)
    return refuse_head (exchange, reason);
  const RagifyStr sent = ragify_str (exchange->target->str, exchange->target->len);
  if (!ragify_target_parse (&exchange->parts, sent, exchange->facts.host, &exchange->problem))
    return refuse_head (exchange, "target");
  if (!find_action (exchange, method))
    return refuse_request (exchange);
  if (exchange->facts.traceparent.size > 0 || exchange->listener->shared->tracer != NULL)
    ragify_exchange_trace_begin (exchange);
  if (!begin_action (exchange))
    return refuse_request (exchange);
  return MHD_YES;
}

/* ---- the body ---- */

static void
feed_action (RagifyExchange *exchange, const char *data, gsize size)
{
  const RagifyHeadFacts *facts = &exchange->facts;
  if (exchange->action->body == RAGIFY_BODY_GATHERED) {
    if (exchange->body->len == 0 && facts->content_length > size)
      g_string_set_size (exchange->body, facts->content_length);
    exchange->body->len = exchange->received - size;
    g_string_append_len (exchange->body, data, (gssize)size);
  } else if (exchange->action->body == RAGIFY_BODY_STREAMED) {
    exchange->running = TRUE;
    exchange->action->feed (exchange, data, size);
    exchange->running = FALSE;
    const guint64 took = ragify_exchange_patience (exchange, exchange->received) + exchange->paused_time;
    ragify_connection_set_limit (exchange->connection, exchange->began + took);
  }
}

static void
take_body (RagifyExchange *exchange, const char *data, gsize size)
{
  exchange->received += size;
  if (exchange->refused || exchange->state == RAGIFY_EXCHANGE_LINGERING)
    return;
  const guint64 limit = body_limit (exchange);
  if (limit != 0 && exchange->received > limit) {
    refuse_size (exchange);
    refuse_and_linger (exchange);
    return;
  }
  feed_action (exchange, data, size);
}

static void
finish_request (RagifyExchange *exchange)
{
  exchange->state = RAGIFY_EXCHANGE_FINISHING;
  exchange->running = TRUE;
  if (exchange->refused)
    ragify_exchange_reply_problem (exchange, &exchange->problem);
  else
    exchange->action->finish (exchange);
  exchange->running = FALSE;
}

/* What the functions above have led to. */
static enum MHD_Result
settle (RagifyExchange *exchange)
{
  if (exchange->response != NULL)
    return ragify_exchange_queue_reply (exchange);
  const gboolean waits = exchange->state == RAGIFY_EXCHANGE_FINISHING;
  if (waits) {
    exchange->state = RAGIFY_EXCHANGE_WAITING;
    ragify_exchange_count (exchange);
  }
  if (waits || exchange->state == RAGIFY_EXCHANGE_PAUSED) {
    ragify_connection_set_limit (exchange->connection, 0);
    MHD_suspend_connection (exchange->connection->mhd);
    /* A client that left in the meantime does not say so again. */
    if (exchange->connection->ended)
      ragify_exchange_client_left (exchange);
  }
  return MHD_YES;
}

enum MHD_Result
ragify_exchange_access (RagifyExchange *exchange, const char *target, const char *method, const char *version,
                        const char *data, size_t *size)
{
  if (exchange->dead)
    return MHD_NO;
  switch (exchange->state) {
  case RAGIFY_EXCHANGE_HEAD:
    return take_head (exchange, target, method, version);
  case RAGIFY_EXCHANGE_LINGERING:
    if (*size == 0)
      return MHD_NO;
    *size = 0;
    return MHD_YES;
  case RAGIFY_EXCHANGE_BODY:
    if (*size > 0) {
      take_body (exchange, data, *size);
      *size = 0;
    } else {
      finish_request (exchange);
    }
    return settle (exchange);
  case RAGIFY_EXCHANGE_WAITING:
    return exchange->response != NULL ? ragify_exchange_queue_reply (exchange) : MHD_YES;
  case RAGIFY_EXCHANGE_PAUSED: /* a chunk that was already there is left where it is */
  case RAGIFY_EXCHANGE_REPLIED:
  case RAGIFY_EXCHANGE_FINISHING:
  case RAGIFY_EXCHANGE_IDLE:
  default:
    return MHD_YES;
  }
}

void
ragify_exchange_pause (RagifyExchange *exchange)
{
  exchange->state = RAGIFY_EXCHANGE_PAUSED;
  exchange->paused_at = ragify_now ();
}

void
ragify_exchange_resume (RagifyExchange *exchange)
{
  if (exchange->state != RAGIFY_EXCHANGE_PAUSED)
    return;
  exchange->state = RAGIFY_EXCHANGE_BODY;
  exchange->paused_time += ragify_now () - exchange->paused_at;
  const guint64 took = ragify_exchange_patience (exchange, exchange->received) + exchange->paused_time;
  ragify_connection_set_limit (exchange->connection, exchange->began + took);
  if (!exchange->running)
    ragify_exchange_wake (exchange);
}

/* ---- beginning and end ---- */

void
ragify_exchange_count (RagifyExchange *exchange)
{
  if (exchange->counted)
    return;
  exchange->counted = TRUE;
  __atomic_fetch_add (&exchange->listener->shared->waiting, 1, __ATOMIC_RELAXED);
  ragify_series_add (exchange->listener->shared->waiting_now, 1);
}

void
ragify_exchange_start (RagifyExchange *exchange, const char *target)
{
  const guint64 now = ragify_now ();
  exchange->state = RAGIFY_EXCHANGE_HEAD;
  exchange->began = now;
  g_string_assign (exchange->target, target);
  const guint64 *patience = &exchange->listener->shared->options.head_timeout_us;
  ragify_connection_set_limit (exchange->connection, now + __atomic_load_n (patience, __ATOMIC_RELAXED));
}

void
ragify_exchange_client_left (RagifyExchange *exchange)
{
  if (exchange->stream != NULL && exchange->state == RAGIFY_EXCHANGE_REPLIED && !exchange->left) {
    exchange->left = TRUE;
    ragify_series_add (exchange->listener->shared->clients_left, 1);
    drop_work (exchange);
    ragify_stream_reply_break (exchange->stream);
    return;
  }
  const gboolean paused = exchange->state == RAGIFY_EXCHANGE_PAUSED;
  if (exchange->left || (!paused && exchange->state != RAGIFY_EXCHANGE_WAITING))
    return;
  exchange->left = TRUE;
  ragify_series_add (exchange->listener->shared->clients_left, 1);
  if (paused) {
    drop_work (exchange);
    exchange->dead = TRUE;
    ragify_exchange_wake (exchange);
  } else if (exchange->response == NULL && exchange->action->left != NULL) {
    exchange->action->left (exchange);
  }
}

/* Writes a problem past libmicrohttpd, which then finds the connection closed. */
static void
answer_last (RagifyExchange *exchange, guint status, const char *title, const char *field, const char *detail)
{
  gsize size = 0;
  if (exchange->id[0] == '\0')
    ragify_request_id_choose (ragify_str (NULL, 0), exchange->id);
  ragify_problem_set (&exchange->problem, status, title, field, "%s", detail);
  g_autofree char *text = ragify_reply_raw_problem (&exchange->problem, exchange->id, &size);
  ragify_problem_clear (&exchange->problem);
  drop_work (exchange);
  ragify_connection_send_last (exchange->connection, text, size);
  exchange->dead = TRUE;
}

void
ragify_exchange_refused_by_parser (RagifyExchange *exchange, guint status)
{
  if (status == 413)
    answer_last (exchange, 413, "Content too large", "Content-Length", "Content-Length is larger than any body may be");
  else
    answer_last (exchange, 400, "Bad request", "Content-Length", "Content-Length must be digits, once");
}

void
ragify_exchange_timed_out (RagifyExchange *exchange)
{
  static const char *const names[] = {
    [RAGIFY_EXCHANGE_IDLE] = "head-timeout",
    [RAGIFY_EXCHANGE_HEAD] = "head-timeout",
    [RAGIFY_EXCHANGE_BODY] = "body-timeout",
    [RAGIFY_EXCHANGE_REPLIED] = "send-timeout",
  };
  if (exchange->state < G_N_ELEMENTS (names) && names[exchange->state] != NULL)
    ragify_listener_count_refused (exchange->listener, names[exchange->state]);
  if (exchange->state <= RAGIFY_EXCHANGE_BODY)
    answer_last (exchange, 408, "Request timeout", NULL,
                 "the request did not arrive as a whole in the time that it has");
  exchange->dead = TRUE;
  ragify_connection_shut (exchange->connection);
}

static void
forget_body (RagifyExchange *exchange)
{
  if (exchange->body->allocated_len > KEEP_BUFFER) {
    g_string_free (exchange->body, TRUE);
    exchange->body = g_string_sized_new (0);
  }
  g_string_truncate (exchange->body, 0);
}

void
ragify_exchange_end (RagifyExchange *exchange)
{
  drop_work (exchange);
  if (exchange->counted) {
    __atomic_fetch_sub (&exchange->listener->shared->waiting, 1, __ATOMIC_RELAXED);
    ragify_series_add (exchange->listener->shared->waiting_now, -1);
  }
  ragify_exchange_release_response (exchange);
  g_clear_pointer (&exchange->stream, ragify_stream_reply_part);
  ragify_authorize_end (exchange);
  g_clear_pointer (&exchange->query, ragify_query_free);
  if (exchange->spot.trace != NULL)
    ragify_trace_spot_clear (&exchange->spot);
  ragify_problem_clear (&exchange->problem);
  forget_body (exchange);
  *exchange = (RagifyExchange){
    .connection = exchange->connection,
    .listener = exchange->listener,
    .target = exchange->target,
    .body = exchange->body,
    .dead = exchange->dead,
  };
}

void
ragify_exchange_detach (RagifyExchange *exchange)
{
  const gboolean suspended = exchange->state == RAGIFY_EXCHANGE_WAITING || exchange->state == RAGIFY_EXCHANGE_PAUSED;
  drop_work (exchange);
  exchange->dead = TRUE;
  if (suspended)
    ragify_exchange_wake (exchange);
  else if (exchange->stream != NULL)
    ragify_stream_reply_break (exchange->stream);
}
