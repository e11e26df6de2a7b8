/* One request on its way: its turn, its redirects, its answer. SPDX-License-Identifier: MIT
 *
 * An exchange is freed when it is finished and libsoup has nothing more to call back for it. The parts of the quotas
 * are held as long as libsoup may use a connection for it. */
#include "http-private.h"

#include <string.h>

#define READ_PIECE 16384u
#define READS_AT_ONCE 16u

static void send_message (RagifyHttpExchange *exchange);
static void read_on (RagifyHttpExchange *exchange);

static guint64
now (const RagifyHttpExchange *exchange)
{
  return exchange->client->host->clock_us ();
}

/* ---- the end ---- */

static void
drop_message (RagifyHttpExchange *exchange)
{
  for (guint i = 0; exchange->message != NULL && i < G_N_ELEMENTS (exchange->handlers); i++)
    g_clear_signal_handler (&exchange->handlers[i], exchange->message);
  g_clear_object (&exchange->message);
  g_clear_object (&exchange->cancellable);
}

/* What was not read of an answer is not wanted: its connection is closed and not used again. */
static void
drop_stream (RagifyHttpExchange *exchange)
{
  if (exchange->stream != NULL)
    g_cancellable_cancel (exchange->cancellable);
  g_clear_object (&exchange->stream);
}

static void
free_exchange (RagifyHttpExchange *exchange)
{
  RagifyHttpClient *client = exchange->client;
  if (exchange->timer != NULL)
    client->loop->timer_remove (exchange->timer);
  if (exchange->origin != NULL)
    exchange->origin->exchanges--;
  g_queue_unlink (&client->exchanges, &exchange->link);
  drop_stream (exchange);
  drop_message (exchange);
  ragify_http_client_give_back (client, exchange); /* the connection is free by now */
  g_clear_pointer (&exchange->body, g_bytes_unref);
  g_byte_array_unref (exchange->bytes);
  g_free (exchange->method);
  g_free (exchange->url);
  g_free (exchange->origin_key);
  g_free (exchange->accept);
  g_free (exchange->content_type);
  g_strfreev (exchange->headers);
  g_strfreev (exchange->trace_headers);
  g_free (exchange);
  ragify_http_client_left (client);
}

static void
finish (RagifyHttpExchange *exchange, const RagifyHttpAnswer *answer)
{
  RagifyHttpClient *client = exchange->client;
  exchange->finished = TRUE;
  client->stats.active--;
  if (answer == NULL)
    client->stats.failures++;
  if (exchange->call != NULL)
    client->host->call_on_cancel (exchange->call, NULL, NULL);
  exchange->done (answer, answer == NULL ? &exchange->fault : NULL, exchange->user);
  if (exchange->pending)
    g_cancellable_cancel (exchange->cancellable);
  else
    free_exchange (exchange);
}

/* The fault is there: finished from the loop, never from inside what the caller called. */
static void
finish_soon (RagifyHttpExchange *exchange)
{
  exchange->settled = TRUE;
  exchange->client->loop->timer_restart (exchange->timer, 0);
}

void
ragify_http_exchange_abort (RagifyHttpExchange *exchange, int32_t code, const char *message)
{
  if (exchange->finished || exchange->settled)
    return;
  ragify_fault_set (&exchange->fault, code, "%s", message);
  finish_soon (exchange);
}

void
ragify_http_exchange_cancel (RagifyHttpExchange *exchange)
{
  ragify_http_exchange_abort (exchange, RAGIFY_E_CANCELLED, "cancelled");
}

/* The authority alone: paths and queries may hold what nobody should read in a log. */
static const char *
place (const RagifyHttpExchange *exchange)
{
  return exchange->origin_key != NULL ? exchange->origin_key : exchange->client->settings->origin;
}

static void
fail (RagifyHttpExchange *exchange, int32_t code, const char *text)
{
  ragify_fault_set (&exchange->fault, code, "%s: %s", place (exchange), text);
  finish (exchange, NULL);
}

/* ---- time ---- */

static void
arm (RagifyHttpExchange *exchange, const char *phase, guint64 allowance_us)
{
  const guint64 at = now (exchange);
  exchange->phase = phase;
  exchange->due_us = allowance_us > 0 ? at + allowance_us : 0;
  const guint64 due = exchange->due_us > 0 ? MIN (exchange->due_us, exchange->deadline_us) : exchange->deadline_us;
  exchange->client->loop->timer_restart (exchange->timer, due > at ? due - at : 0);
}

static void
timed_out (RagifyHttpExchange *exchange)
{
  g_autofree char *text = g_strdup_printf ("no answer in time, %s%s", exchange->phase,
                                           exchange->bytes->len > 0 ? " after a part of the answer" : "");
  fail (exchange, RAGIFY_E_TIMEOUT, text);
}

static void
expired (void *user)
{
  RagifyHttpExchange *exchange = user;
  if (exchange->finished)
    return;
  if (exchange->settled) {
    finish (exchange, NULL);
    return;
  }
  const guint64 at = now (exchange);
  const guint64 due = exchange->due_us > 0 ? MIN (exchange->due_us, exchange->deadline_us) : exchange->deadline_us;
  if (at < due) { /* a phase began since the timer was set */
    exchange->client->loop->timer_restart (exchange->timer, due - at);
  } else {
    timed_out (exchange);
  }
}

static void
call_cancelled (RagifyCall *call, void *user)
{
  RagifyHttpExchange *exchange = user;
  if (now (exchange) >= exchange->deadline_us)
    ragify_http_exchange_abort (exchange, RAGIFY_E_TIMEOUT, "no answer in time");
  else
    ragify_http_exchange_cancel (exchange);
}

/* ---- failing ---- */

/* `error` of libsoup, before or in the midst of an answer. */
static void
message_failed (RagifyHttpExchange *exchange, const GError *error)
{
  const gboolean unsent = g_strcmp0 (exchange->phase, "connecting") == 0;
  if (unsent && exchange->origin != NULL)
    ragify_http_names_forget (exchange->client->names, exchange->origin->host);
  const gboolean refused = g_error_matches (error, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED);
  g_autofree char *text = g_strdup_printf ("%s: %s", exchange->phase, error->message);
  const gboolean lasting = error->domain == G_TLS_ERROR;
  fail (exchange, refused ? RAGIFY_E_INVALID : lasting ? RAGIFY_E_INTERNAL : RAGIFY_E_UNAVAILABLE, text);
}

/* ---- the answer ---- */

static const char *
header (const RagifyHttpExchange *exchange, const char *name)
{
  return soup_message_headers_get_one (soup_message_get_response_headers (exchange->message), name);
}

/* Seconds, or a date (RFC 9110, 10.2.3), as µs from now. */
static guint64
retry_after (const RagifyHttpExchange *exchange)
{
  const char *text = header (exchange, "Retry-After");
  const char *exact = header (exchange, "retry-after-ms"); /* OpenAI's and Azure's */
  guint64 seconds = 0, milliseconds = 0;
  if (exact != NULL && g_ascii_string_to_unsigned (exact, 10, 0, 86400000, &milliseconds, NULL))
    return milliseconds * 1000;
  if (text == NULL)
    return 0;
  if (g_ascii_string_to_unsigned (text, 10, 0, 86400, &seconds, NULL))
    return seconds * G_USEC_PER_SEC;
  g_autoptr (GDateTime) date = soup_date_time_new_from_http_string (text);
  if (date == NULL)
    return 0;
  const gint64 left = g_date_time_to_unix (date) - g_get_real_time () / G_USEC_PER_SEC;
  return left > 0 ? (guint64)MIN (left, 86400) * G_USEC_PER_SEC : 0;
}

static void
answer (RagifyHttpExchange *exchange)
{
  static const guint8 end = 0;
  g_autofree char *type = g_ascii_strdown (
      soup_message_headers_get_content_type (soup_message_get_response_headers (exchange->message), NULL) != NULL
          ? soup_message_headers_get_content_type (soup_message_get_response_headers (exchange->message), NULL)
          : "",
      -1);
  const guint size = exchange->bytes->len;
  g_byte_array_append (exchange->bytes, &end, 1);
  const RagifyHttpAnswer given = {
    .status = soup_message_get_status (exchange->message),
    .reason = soup_message_get_reason_phrase (exchange->message) != NULL
                  ? soup_message_get_reason_phrase (exchange->message)
                  : "",
    .body = { .data = exchange->bytes->data, .size = size },
    .content_type = type,
    .etag = header (exchange, "ETag"),
    .last_modified = header (exchange, "Last-Modified"),
    .cache_control = header (exchange, "Cache-Control"),
    .retry_after_us = exchange->retry_after_us,
    .redirects = exchange->redirects,
  };
  finish (exchange, &given);
}

static gboolean
is_redirect (guint status)
{
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/* The body is there, or as much of it as matters. */
static void
judge (RagifyHttpExchange *exchange)
{
  RagifyHttpClient *client = exchange->client;
  const guint status = soup_message_get_status (exchange->message);
  client->stats.bytes += exchange->bytes->len;
  exchange->retry_after_us = retry_after (exchange);
  if (is_redirect (status) && header (exchange, "Location") != NULL) {
    client->stats.redirects++;
    exchange->redirects++;
    if (!ragify_http_exchange_redirect (exchange, &exchange->fault)) {
      finish (exchange, NULL);
      return;
    }
    ragify_http_client_give_back (client, exchange);
    send_message (exchange);
    return;
  }
  answer (exchange);
}

#define TOO_LARGE "the answer is larger than max-response-size"

gboolean
ragify_http_answer_is_too_large (const RagifyFault *fault)
{
  return fault->code == RAGIFY_E_INTERNAL && strstr (fault->message, TOO_LARGE) != NULL;
}

static void
too_large (RagifyHttpExchange *exchange)
{
  g_autofree char *text =
      g_strdup_printf (TOO_LARGE ", %" G_GUINT64_FORMAT " bytes", exchange->client->settings->max_response_size);
  fail (exchange, RAGIFY_E_INTERNAL, text);
}

/* FALSE where the exchange went another way. */
static gboolean
take_piece (RagifyHttpExchange *exchange, gssize got, const GError *error)
{
  if (got < 0) {
    drop_stream (exchange);
    message_failed (exchange, error);
    return FALSE;
  }
  if (got == 0) {
    g_clear_object (&exchange->stream);
    judge (exchange);
    return FALSE;
  }
  if (exchange->bytes->len <= exchange->limit)
    return TRUE;
  drop_stream (exchange);
  if (soup_message_get_status (exchange->message) < 300)
    too_large (exchange);
  else
    judge (exchange); /* of an error the beginning is enough */
  return FALSE;
}

static void
piece_came (GObject *source, GAsyncResult *result, gpointer user)
{
  RagifyHttpExchange *exchange = user;
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) piece = g_input_stream_read_bytes_finish (G_INPUT_STREAM (source), result, &error);
  exchange->pending = FALSE;
  const gboolean over = exchange->finished || exchange->settled;
  if (exchange->finished)
    free_exchange (exchange);
  if (over)
    return;
  const gsize size = piece != NULL ? g_bytes_get_size (piece) : 0;
  if (size > 0)
    g_byte_array_append (exchange->bytes, g_bytes_get_data (piece, NULL), (guint)size);
  if (take_piece (exchange, piece != NULL ? (gssize)size : -1, error))
    read_on (exchange);
}

/* Reads what is there without a turn of the loop; a fast endless answer must not keep the loop from others. */
static void
read_on (RagifyHttpExchange *exchange)
{
  GPollableInputStream *stream =
      G_IS_POLLABLE_INPUT_STREAM (exchange->stream) ? G_POLLABLE_INPUT_STREAM (exchange->stream) : NULL;
  const gboolean pollable = stream != NULL && g_pollable_input_stream_can_poll (stream);
  for (guint reads = 0; pollable && reads < READS_AT_ONCE; reads++) {
    g_autoptr (GError) error = NULL;
    guint8 piece[READ_PIECE];
    const gssize got =
        g_pollable_input_stream_read_nonblocking (stream, piece, sizeof piece, exchange->cancellable, &error);
    if (got > 0)
      g_byte_array_append (exchange->bytes, piece, (guint)got);
    if (got < 0 && g_error_matches (error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK))
      break;
    if (!take_piece (exchange, got, error))
      return;
  }
  arm (exchange, "reading", exchange->client->settings->read_timeout_us);
  exchange->pending = TRUE;
  g_input_stream_read_bytes_async (exchange->stream, READ_PIECE, G_PRIORITY_DEFAULT, exchange->cancellable, piece_came,
                                   exchange);
}

static void
head_came (GObject *source, GAsyncResult *result, gpointer user)
{
  RagifyHttpExchange *exchange = user;
  g_autoptr (GError) error = NULL;
  exchange->stream = soup_session_send_finish (SOUP_SESSION (source), result, &error);
  exchange->pending = FALSE;
  const gboolean over = exchange->finished || exchange->settled;
  if (exchange->finished)
    free_exchange (exchange);
  if (over)
    return;
  if (exchange->stream == NULL) {
    message_failed (exchange, error);
    return;
  }
  const guint64 most = exchange->client->settings->max_response_size;
  const gboolean well = soup_message_get_status (exchange->message) < 300;
  exchange->limit = well ? most : MIN (most, RAGIFY_HTTP_ERROR_BODY);
  SoupMessageHeaders *headers = soup_message_get_response_headers (exchange->message);
  if (well && soup_message_headers_get_encoding (headers) == SOUP_ENCODING_CONTENT_LENGTH &&
      (guint64)soup_message_headers_get_content_length (headers) > most) {
    too_large (exchange);
    return;
  }
  exchange->phase = "reading";
  read_on (exchange);
}

/* ---- sending ---- */

static void
starting (SoupMessage *message, gpointer user)
{
  RagifyHttpExchange *exchange = user;
  if (!exchange->finished && !exchange->settled)
    arm (exchange, "waiting for the answer", exchange->client->settings->read_timeout_us);
}

static void
network_event (SoupMessage *message, GSocketClientEvent event, GIOStream *stream, gpointer user)
{
  static const char *const protocols[] = { "http/1.1", NULL };
  RagifyHttpExchange *exchange = user;
  if (event == G_SOCKET_CLIENT_CONNECTED)
    ragify_http_client_connected (exchange->client, stream);
  if (event == G_SOCKET_CLIENT_TLS_HANDSHAKING && G_IS_TLS_CONNECTION (stream))
    g_tls_connection_set_advertised_protocols (G_TLS_CONNECTION (stream), protocols);
}

static gboolean
take_any_certificate (SoupMessage *message, GTlsCertificate *certificate, GTlsCertificateFlags errors, gpointer user)
{
  return TRUE;
}

static void
add_headers (SoupMessageHeaders *to, char *const *lines)
{
  for (; lines != NULL && *lines != NULL; lines++) {
    const char *colon = strchr (*lines, ':');
    g_autofree char *name = g_strndup (*lines, (gsize)(colon - *lines));
    g_autofree char *value = g_strstrip (g_strdup (colon + 1));
    soup_message_headers_replace (to, name, value);
  }
}

char **
ragify_http_client_trace (const RagifyHttpClient *client, RagifyCall *call)
{
  RagifyStr parent, state;
  if (client->trace == NULL || client->trace->context (call, &parent, &state) == 0)
    return NULL;
  char **lines = g_new0 (char *, 3);
  lines[0] = g_strdup_printf ("traceparent: %.*s", (int)parent.size, parent.data);
  if (state.size > 0)
    lines[1] = g_strdup_printf ("tracestate: %.*s", (int)state.size, state.data);
  return lines;
}

static void
set_headers (RagifyHttpExchange *exchange)
{
  SoupMessageHeaders *headers = soup_message_get_request_headers (exchange->message);
  soup_message_headers_replace (headers, "User-Agent", "Ragify/1.0");
  soup_message_headers_replace (headers, "Accept", exchange->accept);
  soup_message_headers_replace (headers, "Accept-Encoding", "gzip, deflate");
  /* The other loops keep theirs too. */
  if ((guint)g_atomic_int_get (&exchange->client->open->count) > exchange->client->share)
    soup_message_headers_replace (headers, "Connection", "close");
  if (!exchange->at_home)
    return;
  add_headers (headers, exchange->trace_headers);
  add_headers (headers, exchange->headers);
  add_headers (headers, exchange->client->settings->headers);
}

/* NULL where the URL cannot be one. */
static SoupMessage *
make_message (RagifyHttpExchange *exchange)
{
  const char *credential = exchange->client->settings->query_credential;
  g_autofree char *url = NULL;
  if (exchange->at_home && exchange->redirects == 0 && credential != NULL)
    url = g_strconcat (exchange->url, strchr (exchange->url, '?') != NULL ? "&" : "?", credential, NULL);
  g_autoptr (GUri) uri = g_uri_parse (url != NULL ? url : exchange->url, SOUP_HTTP_URI_FLAGS, NULL);
  if (uri == NULL)
    return NULL;
  SoupMessage *message = soup_message_new_from_uri (exchange->method, uri);
  soup_message_add_flags (message, SOUP_MESSAGE_NO_REDIRECT);
  if (exchange->idempotent)
    soup_message_add_flags (message, SOUP_MESSAGE_IDEMPOTENT);
  if (exchange->body != NULL)
    soup_message_set_request_body_from_bytes (message, exchange->content_type, exchange->body);
  exchange->handlers[0] = g_signal_connect (message, "starting", G_CALLBACK (starting), exchange);
  exchange->handlers[1] = g_signal_connect (message, "network-event", G_CALLBACK (network_event), exchange);
  if (!exchange->client->settings->tls_verify)
    g_signal_connect (message, "accept-certificate", G_CALLBACK (take_any_certificate), NULL);
  return message;
}

static gboolean
find_origin (RagifyHttpExchange *exchange)
{
  g_autofree char *key = ragify_http_origin (exchange->url, "url", &exchange->fault);
  if (key == NULL)
    return FALSE;
  g_autoptr (GUri) uri = g_uri_parse (key, SOUP_HTTP_URI_FLAGS, NULL);
  RagifyHttpOrigin *origin =
      ragify_http_client_origin (exchange->client, key, g_uri_get_host (uri), (guint16)g_uri_get_port (uri));
  origin->exchanges++;
  if (exchange->origin != NULL)
    exchange->origin->exchanges--;
  exchange->origin = origin;
  g_free (exchange->origin_key);
  exchange->origin_key = g_steal_pointer (&key);
  exchange->at_home = strcmp (exchange->origin_key, exchange->client->settings->origin) == 0;
  return TRUE;
}

void
ragify_http_exchange_resume (RagifyHttpExchange *exchange)
{
  RagifyHttpClient *client = exchange->client;
  if (exchange->settled)
    return;
  drop_message (exchange);
  exchange->retry_after_us = 0;
  g_byte_array_set_size (exchange->bytes, 0);
  exchange->message = make_message (exchange);
  if (exchange->message == NULL) {
    ragify_http_exchange_abort (exchange, RAGIFY_E_INVALID, "url: is not one");
    return;
  }
  set_headers (exchange);
  exchange->cancellable = g_cancellable_new ();
  client->stats.sent++;
  arm (exchange, "connecting", client->settings->connect_timeout_us);
  exchange->pending = TRUE;
  soup_session_send_async (exchange->origin->session, exchange->message, G_PRIORITY_DEFAULT, exchange->cancellable,
                           head_came, exchange);
}

/* One message, from waiting for its turn on. */
static void
send_message (RagifyHttpExchange *exchange)
{
  if (!find_origin (exchange)) {
    finish_soon (exchange);
    return;
  }
  arm (exchange, "waiting for a connection that is free", 0);
  if (ragify_http_client_take (exchange->client, exchange))
    ragify_http_exchange_resume (exchange);
}

static gboolean
method_is_idempotent (const char *method)
{
  static const char *const methods[] = { "GET", "HEAD", "PUT", "DELETE", "OPTIONS" };
  for (guint i = 0; i < G_N_ELEMENTS (methods); i++)
    if (strcmp (method, methods[i]) == 0)
      return TRUE;
  return FALSE;
}

static guint64
deadline_of (const RagifyHttpExchange *exchange, const RagifyHttpRequest *request)
{
  guint64 deadline = now (exchange) + exchange->client->settings->timeout_us;
  if (request->deadline_us > 0)
    deadline = MIN (deadline, request->deadline_us);
  if (request->call != NULL)
    deadline = MIN (deadline, exchange->client->host->call_deadline_us (request->call));
  return deadline;
}

RagifyHttpExchange *
ragify_http_client_send (RagifyHttpClient *client, const RagifyHttpRequest *request, RagifyHttpDone done, void *user)
{
  RagifyHttpExchange *exchange = g_new0 (RagifyHttpExchange, 1);
  exchange->client = client;
  exchange->link.data = exchange;
  g_queue_push_tail_link (&client->exchanges, &exchange->link);
  client->stats.requests++;
  client->stats.active++;
  exchange->call = request->call;
  exchange->done = done;
  exchange->user = user;
  exchange->method = g_strdup (request->method != NULL ? request->method : "GET");
  exchange->url = g_strdup (request->url);
  exchange->accept = g_strdup (request->accept != NULL ? request->accept : "application/json");
  exchange->headers = g_strdupv ((char **)request->headers);
  exchange->idempotent = request->idempotent || method_is_idempotent (exchange->method);
  exchange->bytes = g_byte_array_new ();
  if (request->body.size > 0) {
    exchange->body = g_bytes_new (request->body.data, request->body.size);
    exchange->content_type = g_strdup (request->content_type);
  }
  if (exchange->call != NULL)
    exchange->trace_headers = ragify_http_client_trace (client, exchange->call);
  exchange->deadline_us = deadline_of (exchange, request);
  exchange->timer = client->loop->timer_new (client->context, client->settings->timeout_us, 0, expired, exchange);
  if (client->closing)
    ragify_http_exchange_cancel (exchange);
  else
    send_message (exchange);
  if (exchange->call != NULL)
    client->host->call_on_cancel (exchange->call, call_cancelled, exchange);
  return exchange;
}
