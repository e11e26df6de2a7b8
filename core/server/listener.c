/* SPDX-License-Identifier: MIT */
#include "listener.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "connection.h"
#include "health-route.h"
#include "reply.h"

/* What a connection's memory holds beside the request's head. */
#define BESIDE_HEAD 1024
#define WATCH_EVENTS 64

typedef struct ListenerSource {
  GSource base;
  RagifyListener *listener;
  gpointer daemon_tag;
  gpointer watch_tag;
} ListenerSource;

/* ---- counting ---- */

static const guint16 statuses[RAGIFY_STATUS_PLACES] = {
  200, 202, 204, 304, 400, 401, 403, 404, 405, 408, 409, 411, 413, 414, 415, 417, 422, 429, 431, 499, 500, 503, 504,
};

static guint
status_place (guint status)
{
  guint place = 0;
  while (place < RAGIFY_STATUS_PLACES - 1 && statuses[place] != status)
    place++;
  return place;
}

void
ragify_listener_count_answer (RagifyListener *listener, const RagifyRoute *route, guint status, guint64 began,
                              guint64 now, const RagifyTrace *trace)
{
  const guint route_index = ragify_routes_index (route);
  const guint place = status_place (status);
  RagifySeries **requests = &listener->requests[route_index * RAGIFY_STATUS_PLACES + place];
  if (*requests == NULL) {
    char text[16] = "other";
    if (place < RAGIFY_STATUS_PLACES - 1)
      g_snprintf (text, sizeof text, "%u", status);
    *requests =
        ragify_metrics_series (listener->shared->metrics, RAGIFY_SERIES_COUNTER, "ragify_http_requests_total",
                               "Requests answered.", "route", ragify_routes_label (route_index), "status", text, NULL);
  }
  ragify_series_add (*requests, 1);
  ragify_series_observe_traced (listener->shared->durations[route_index], (double)(now - began) / 1e6,
                                trace != NULL ? ragify_trace_id (trace) : NULL);
}

void
ragify_listener_count_refused (RagifyListener *listener, const char *reason)
{
  RagifySeries *series =
      ragify_metrics_series (listener->shared->metrics, RAGIFY_SERIES_COUNTER, "ragify_http_refused_total",
                             "Connections and requests turned away before work was started.", "reason", reason, NULL);
  ragify_series_add (series, 1);
}

/* The connection whose head is whole and has not been given to the access handler, which is called right after: only
 * the one that libmicrohttpd is busy with can be in that state. */
static RagifyConnection *
find_parsed (const RagifyListener *listener)
{
  for (RagifyConnection *connection = listener->all; connection != NULL; connection = connection->next_all)
    if (connection->exchange.state == RAGIFY_EXCHANGE_HEAD &&
        MHD_get_connection_info (connection->mhd, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE) != NULL)
      return connection;
  return NULL;
}

/* What libmicrohttpd refuses by itself is known from its log only. Where it does so for a Content-Length, 0.9.75 writes
 * the head of its answer twice, so there ours goes out first and its own nowhere. */
static void
take_parser_error (RagifyListener *listener, guint status)
{
  char reason[24];
  g_snprintf (reason, sizeof reason, "parser-%u", status);
  ragify_listener_count_refused (listener, reason);
  RagifyConnection *connection = find_parsed (listener);
  if (connection != NULL)
    ragify_exchange_refused_by_parser (&connection->exchange, status);
}

static void
log_message (void *user, const char *format, va_list arguments)
{
  RagifyListener *listener = user;
  if (listener->all != NULL && g_str_has_prefix (format, "Error processing request (HTTP response code is %u")) {
    va_list copy;
    va_copy (copy, arguments);
    take_parser_error (listener, va_arg (copy, guint)); /* NOLINT: `arguments` is initialised by our caller */
    va_end (copy);
  }
  g_autofree char *text = g_strdup_vprintf (format, arguments);
  g_debug ("libmicrohttpd: %s", g_strchomp (text));
}

/* ---- the source ---- */

/* The listener whose daemon runs on this thread: GnuTLS asks for a certificate without saying on whose behalf. */
static _Thread_local RagifyListener *running;

void
ragify_listener_wake (RagifyListener *listener)
{
  listener->pending = TRUE;
}

static gboolean
source_prepare (GSource *source, int *timeout)
{
  *timeout = -1;
  return ((ListenerSource *)source)->listener->pending;
}

static gboolean
source_check (GSource *source)
{
  const ListenerSource *self = (ListenerSource *)source;
  return self->listener->pending || g_source_query_unix_fd (source, self->daemon_tag) != 0 ||
         g_source_query_unix_fd (source, self->watch_tag) != 0;
}

/* Clients that have ended their side. */
static void
handle_watched (RagifyListener *listener)
{
  struct epoll_event events[WATCH_EVENTS];
  const int count = epoll_wait (listener->watch, events, WATCH_EVENTS, 0);
  /* A connection cannot be freed in between: only the daemon does that, which does not run here. */
  for (int i = 0; i < count; i++)
    ragify_connection_client_ended (events[i].data.ptr);
}

static void
run_daemon (RagifyListener *listener)
{
  MHD_UNSIGNED_LONG_LONG timeout = 1;
  listener->pending = FALSE;
  running = listener;
  MHD_run (listener->daemon);
  running = NULL;
  /* No time-outs of its own are set, so that it answers "now" or "whenever". */
  if (MHD_get_timeout (listener->daemon, &timeout) == MHD_YES && timeout == 0)
    listener->pending = TRUE;
  if (listener->pending)
    return;
  for (guint i = 0; i < listener->ended->len; i++)
    ragify_connection_settle_ended (g_ptr_array_index (listener->ended, i));
}

static gboolean
source_dispatch (GSource *source, GSourceFunc callback, gpointer user)
{
  const ListenerSource *self = (ListenerSource *)source;
  if (g_source_query_unix_fd (source, self->watch_tag) != 0)
    handle_watched (self->listener);
  run_daemon (self->listener);
  return G_SOURCE_CONTINUE;
}

static GSourceFuncs source_functions = {
  .prepare = source_prepare,
  .check = source_check,
  .dispatch = source_dispatch,
};

/* ---- the daemon ---- */

static enum MHD_Result
access_handler (void *user, struct MHD_Connection *mhd, const char *target, const char *method, const char *version,
                const char *data, size_t *size, void **context)
{
  RagifyConnection *connection = *context;
  if (connection == NULL)
    return MHD_NO;
  return ragify_exchange_access (&connection->exchange, target, method, version, data, size);
}

/* Targets are taken apart and decoded by ourselves. */
static size_t
leave_encoded (void *user, struct MHD_Connection *mhd, char *text)
{
  return strlen (text);
}

/* Strictness means, in later versions, what the head check does for earlier ones; in those it answers for us where a
 * Host is missing. */
static int
strictness (void)
{
  return g_str_has_prefix (MHD_get_version (), "0.9.7") && strcmp (MHD_get_version (), "0.9.77") < 0 ? 0 : 1;
}

static int
choose_certificate (gnutls_session_t session, const struct gnutls_cert_retr_st *info, gnutls_pcert_st **chain,
                    unsigned int *chain_size, gnutls_ocsp_data_st **ocsp, unsigned int *ocsp_size,
                    gnutls_privkey_t *key, unsigned int *flags)
{
  RagifyListener *listener = running;
  const guint version = ragify_tls_version (listener->shared->tls);
  if (listener->certificates->len == 0 || listener->tls_version != version) {
    g_ptr_array_add (listener->certificates, ragify_tls_certificate (listener->shared->tls));
    listener->tls_version = version;
  }
  RagifyCertificate *now = g_ptr_array_index (listener->certificates, listener->certificates->len - 1);
  *chain = now->chain;
  *chain_size = now->n_chain;
  *key = now->key;
  *ocsp = NULL;
  *ocsp_size = 0;
  *flags = 0; /* all of it stays ours */
  return 0;
}

static gboolean
start_daemon (RagifyListener *listener, int descriptor)
{
  const gboolean tls = listener->shared->tls != NULL;
  const struct MHD_OptionItem tls_options[] = {
    { MHD_OPTION_HTTPS_CERT_CALLBACK2, 0, (void *)(intptr_t)choose_certificate },
    { MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)"SECURE128:%SERVER_PRECEDENCE:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2" },
    { MHD_OPTION_END, 0, NULL },
  };
  static const struct MHD_OptionItem no_options[] = { { MHD_OPTION_END, 0, NULL } };
  const guint limit = listener->shared->options.max_connections + 1024;
  const size_t memory = listener->shared->options.max_head + BESIDE_HEAD;
  listener->daemon = MHD_start_daemon (
      MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG | (tls ? MHD_USE_TLS : 0), 0,
      ragify_connection_accept, listener, access_handler, listener, MHD_OPTION_EXTERNAL_LOGGER, log_message, listener,
      MHD_OPTION_LISTEN_SOCKET, descriptor, MHD_OPTION_CONNECTION_LIMIT, limit, MHD_OPTION_CONNECTION_TIMEOUT, 0u,
      MHD_OPTION_CONNECTION_MEMORY_LIMIT, memory, MHD_OPTION_STRICT_FOR_CLIENT, strictness (),
      MHD_OPTION_NOTIFY_CONNECTION, ragify_connection_notify, listener, MHD_OPTION_NOTIFY_COMPLETED,
      ragify_connection_completed, listener, MHD_OPTION_URI_LOG_CALLBACK, ragify_connection_request_line, listener,
      MHD_OPTION_UNESCAPE_CALLBACK, leave_encoded, listener, MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, MHD_OPTION_ARRAY,
      tls ? tls_options : no_options, MHD_OPTION_END);
  return listener->daemon != NULL;
}

static void
make_source (RagifyListener *listener)
{
  const union MHD_DaemonInfo *info = MHD_get_daemon_info (listener->daemon, MHD_DAEMON_INFO_EPOLL_FD);
  listener->source = g_source_new (&source_functions, sizeof (ListenerSource));
  ListenerSource *self = (ListenerSource *)listener->source;
  self->listener = listener;
  self->daemon_tag = g_source_add_unix_fd (listener->source, info->epoll_fd, G_IO_IN);
  self->watch_tag = g_source_add_unix_fd (listener->source, listener->watch, G_IO_IN);
  g_source_set_name (listener->source, "ragify-listener");
  g_source_set_can_recurse (listener->source, TRUE); /* as in loop.c: saves system calls, and nothing recurses */
  listener->pending = TRUE;
}

static void
make_static_replies (RagifyListener *listener)
{
  listener->live = ragify_reply_new_static (RAGIFY_LIVE_TYPE, RAGIFY_LIVE_BODY, FALSE);
  listener->live_close = ragify_reply_new_static (RAGIFY_LIVE_TYPE, RAGIFY_LIVE_BODY, TRUE);
}

static void
listener_free (RagifyListener *listener)
{
  if (listener->watch >= 0)
    close (listener->watch);
  g_ptr_array_unref (listener->ended);
  g_clear_pointer (&listener->live, MHD_destroy_response);
  g_clear_pointer (&listener->live_close, MHD_destroy_response);
  g_clear_pointer (&listener->serving, ragify_serving_unref);
  g_clear_pointer (&listener->key_set, ragify_key_set_unref);
  g_ptr_array_unref (listener->certificates);
  g_free (listener->requests);
  g_free (listener);
}

RagifyListener *
ragify_listener_new (RagifyServerShared *shared, RagifyLoop *loop, int descriptor, RagifyServing *serving,
                     GError **error)
{
  RagifyListener *listener = g_new0 (RagifyListener, 1);
  listener->shared = shared;
  listener->loop = loop;
  listener->serving = ragify_serving_ref (serving);
  listener->evict.run = ragify_connection_evict;
  listener->requests = g_new0 (RagifySeries *, ragify_routes_count () * RAGIFY_STATUS_PLACES);
  listener->ended = g_ptr_array_new ();
  listener->certificates = g_ptr_array_new_with_free_func ((GDestroyNotify)ragify_certificate_unref);
  listener->watch = epoll_create1 (EPOLL_CLOEXEC);
  if (listener->watch < 0 || !start_daemon (listener, descriptor)) {
    g_set_error (error, G_FILE_ERROR, (int)g_file_error_from_errno (errno), "listen = %s: cannot start: %s",
                 shared->options.listen, g_strerror (errno));
    close (descriptor);
    listener_free (listener);
    return NULL;
  }
  make_static_replies (listener);
  make_source (listener);
  return listener;
}

void
ragify_listener_start (RagifyListener *listener)
{
  g_source_attach (listener->source, ragify_loop_context (listener->loop));
}

/* ---- stopping ---- */

/* What waits on the socket was accepted by the kernel in our name; closing it would reset those connections. */
static void
take_queued (RagifyListener *listener, int descriptor)
{
  while (TRUE) {
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    const int taken = accept4 (descriptor, (struct sockaddr *)&address, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (taken < 0)
      return;
    MHD_add_connection (listener->daemon, taken, (struct sockaddr *)&address, size);
  }
}

void
ragify_listener_drain (RagifyListener *listener)
{
  if (listener->draining)
    return;
  listener->draining = TRUE;
  const int descriptor = MHD_quiesce_daemon (listener->daemon);
  if (descriptor >= 0) {
    take_queued (listener, descriptor);
    close (descriptor);
  }
  listener->pending = TRUE;
}

void
ragify_listener_close (RagifyListener *listener)
{
  ragify_listener_drain (listener);
  g_source_destroy (listener->source);
  g_source_unref (listener->source);
  for (RagifyConnection *connection = listener->all; connection != NULL; connection = connection->next_all)
    ragify_exchange_detach (&connection->exchange);
  MHD_stop_daemon (listener->daemon);
  listener_free (listener);
}
