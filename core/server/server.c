/* SPDX-License-Identifier: MIT */
#include "server.h"

#include <pthread.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "connection.h"
#include "core/observe/process-metrics.h"
#include "listen-socket.h"
#include "listener.h"
#include "passed-socket.h"

/* Descriptors that are left to everything but connections. */
#define OTHER_DESCRIPTORS 256
/* A drain ends when nothing was under way for so long. */
#define QUIET_US 50000

struct RagifyServer {
  RagifyServerShared shared;
  RagifyRuntime *runtime;
  char *address;
  RagifyListener **listeners;
  guint n_listeners;
};

/* ---- serving ---- */

RagifyServing *
ragify_serving_ref (RagifyServing *serving)
{
  __atomic_fetch_add (&serving->references, 1, __ATOMIC_RELAXED);
  return serving;
}

void
ragify_serving_unref (RagifyServing *serving)
{
  if (__atomic_fetch_sub (&serving->references, 1, __ATOMIC_ACQ_REL) == 1)
    serving->free (serving);
}

RagifyPipeline *
ragify_serving_pipeline (const RagifyServing *serving, RagifyStr name)
{
  for (guint i = 0; i < serving->n_pipelines; i++) {
    const char *own = ragify_pipeline_name (serving->pipelines[i]);
    if (strlen (own) == name.size && strncmp (own, name.data, name.size) == 0)
      return serving->pipelines[i];
  }
  return NULL;
}

/* ---- doing something on every loop ---- */

typedef struct Everywhere Everywhere;

typedef struct Errand {
  RagifyTask task;
  Everywhere *all;
  RagifyListener *listener;
} Errand;

struct Everywhere {
  pthread_mutex_t lock;
  pthread_cond_t done;
  guint left;
  void (*function) (RagifyListener *listener, void *user);
  void *user;
};

static void
run_errand (RagifyTask *task)
{
  const Errand *errand = (Errand *)task;
  Everywhere *all = errand->all;
  all->function (errand->listener, all->user);
  pthread_mutex_lock (&all->lock);
  if (--all->left == 0)
    pthread_cond_signal (&all->done);
  pthread_mutex_unlock (&all->lock);
}

/* Runs `function` for each listener on its loop and waits. */
static void
everywhere (RagifyServer *server, void (*function) (RagifyListener *listener, void *user), void *user)
{
  Everywhere all = { .left = server->n_listeners, .function = function, .user = user };
  g_autofree Errand *errands = g_new0 (Errand, server->n_listeners);
  pthread_mutex_init (&all.lock, NULL);
  pthread_cond_init (&all.done, NULL);
  for (guint i = 0; i < server->n_listeners; i++) {
    errands[i] = (Errand){ .task.run = run_errand, .all = &all, .listener = server->listeners[i] };
    ragify_loop_post (server->runtime->loops[i], &errands[i].task);
  }
  pthread_mutex_lock (&all.lock);
  while (all.left > 0)
    pthread_cond_wait (&all.done, &all.lock);
  pthread_mutex_unlock (&all.lock);
  pthread_cond_destroy (&all.done);
  pthread_mutex_destroy (&all.lock);
}

/* ---- starting ---- */

static guint
affordable_connections (guint wanted)
{
  struct rlimit limit;
  guint64 most = 1024;
  if (getrlimit (RLIMIT_NOFILE, &limit) == 0)
    most = MIN (limit.rlim_cur, 1000000);
  most = most > 2 * OTHER_DESCRIPTORS ? most - OTHER_DESCRIPTORS : most / 2;
  return wanted == 0 ? (guint)most : (guint)MIN (wanted, most);
}

static void
put_defaults (RagifyListenOptions *options)
{
  options->listen = g_strdup (options->listen);
  options->cors_origins = (const char *const *)g_strdupv ((char **)options->cors_origins);
  options->max_head = options->max_head != 0 ? options->max_head : 16 * 1024;
  options->max_body = options->max_body != 0 ? options->max_body : 1024 * 1024;
  options->head_timeout_us = options->head_timeout_us != 0 ? options->head_timeout_us : 10 * G_USEC_PER_SEC;
  options->body_timeout_us = options->body_timeout_us != 0 ? options->body_timeout_us : 30 * G_USEC_PER_SEC;
  options->idle_timeout_us = options->idle_timeout_us != 0 ? options->idle_timeout_us : 60 * G_USEC_PER_SEC;
  options->client_burst =
      options->client_burst != 0 ? options->client_burst : MAX ((guint)(2 * options->client_rate), 1);
  options->max_requests = options->max_requests != 0 ? options->max_requests : 1000;
  options->max_connections = affordable_connections (options->max_connections);
}

static void
make_metrics (RagifyServerShared *shared, RagifyMetrics *metrics)
{
  shared->metrics = metrics;
  shared->connections_now =
      ragify_metrics_series (metrics, RAGIFY_SERIES_GAUGE, "ragify_http_connections", "Connections open.", NULL);
  shared->connections_total =
      ragify_metrics_series (metrics, RAGIFY_SERIES_COUNTER, "ragify_http_accepted_total", "Connections taken.", NULL);
  shared->waiting_now = ragify_metrics_series (metrics, RAGIFY_SERIES_GAUGE, "ragify_http_requests_waiting",
                                               "Requests whose work is under way.", NULL);
  shared->clients_left = ragify_metrics_series (metrics, RAGIFY_SERIES_COUNTER, "ragify_http_clients_left_total",
                                                "Clients that left before their answer.", NULL);
  shared->durations = g_new0 (RagifySeries *, ragify_routes_count ());
  for (guint i = 0; i < ragify_routes_count (); i++)
    shared->durations[i] = ragify_metrics_series (metrics, RAGIFY_SERIES_HISTOGRAM, "ragify_request_duration_seconds",
                                                  "From the request line to the answer handed to the socket.", "route",
                                                  ragify_routes_label (i), NULL);
  RagifySeries *build = ragify_metrics_series (metrics, RAGIFY_SERIES_GAUGE, "ragify_build_info",
                                               "Always 1; which version runs.", "version", RAGIFY_VERSION, NULL);
  ragify_series_set (build, 1);
  ragify_process_metrics_register (metrics);
}

static void
server_free (RagifyServer *server)
{
  g_clear_pointer (&server->shared.clients, ragify_client_table_free);
  g_clear_pointer (&server->shared.rates, ragify_client_rate_free);
  g_clear_pointer (&server->shared.idempotency, ragify_idempotency_free);
  g_clear_pointer (&server->shared.keys, ragify_key_ring_free);
  g_clear_pointer (&server->shared.tls, ragify_tls_free);
  g_free ((char *)server->shared.options.listen);
  g_strfreev ((char **)server->shared.options.cors_origins);
  g_free (server->shared.durations);
  g_free (server->shared.tracked);
  g_free (server->listeners);
  g_free (server->address);
  g_free (server);
}

static void
close_listener (RagifyListener *listener, void *user)
{
  ragify_listener_close (listener);
}

static void
start_listener (RagifyListener *listener, void *user)
{
  ragify_listener_start (listener);
}

/* An address that is written was checked with the configuration; of one that is passed we learn only now. */
static char *
open_address (const RagifyListenOptions *options, guint count, int *descriptors, GError **error)
{
  gboolean local = FALSE;
  if (ragify_listen_passed_name (options->listen) == NULL)
    return ragify_listen_open (options->listen, count, descriptors, error);
  g_autofree char *address = ragify_listen_open_passed (options->listen, count, descriptors, &local, error);
  if (address == NULL || local || options->api_keys_file != NULL)
    return g_steal_pointer (&address);
  for (guint i = 0; i < count; i++)
    close (descriptors[i]);
  g_set_error (error, RAGIFY_LISTEN_ERROR, 0,
               "listen = %s: the socket's address %s is open to other machines, which needs 'api-keys-file'",
               options->listen, address);
  return NULL;
}

static gboolean
start_listeners (RagifyServer *server, RagifyServing *serving, GError **error)
{
  const guint count = server->runtime->n_loops;
  g_autofree int *descriptors = g_new0 (int, count);
  server->address = open_address (&server->shared.options, count, descriptors, error);
  if (server->address == NULL)
    return FALSE;
  for (guint i = 0; i < count; i++) {
    server->listeners[i] =
        ragify_listener_new (&server->shared, server->runtime->loops[i], descriptors[i], serving, error);
    if (server->listeners[i] != NULL) {
      server->n_listeners++;
      continue;
    }
    for (guint j = i + 1; j < count; j++)
      close (descriptors[j]);
    everywhere (server, close_listener, NULL);
    return FALSE;
  }
  server->shared.listeners = server->listeners;
  server->shared.n_listeners = server->n_listeners;
  everywhere (server, start_listener, NULL);
  return TRUE;
}

static gboolean
read_secrets (RagifyServerShared *shared, const RagifyListenOptions *options, GError **error)
{
  if (options->api_keys_file != NULL && (shared->keys = ragify_key_ring_new (options->api_keys_file, error)) == NULL)
    return FALSE;
  return options->tls_cert == NULL ||
         (shared->tls = ragify_tls_new (options->tls_cert, options->tls_key, error)) != NULL;
}

RagifyServer *
ragify_server_new (RagifyRuntime *runtime, const RagifyListenOptions *options, RagifyServing *serving, GError **error)
{
  RagifyServer *server = g_new0 (RagifyServer, 1);
  server->runtime = runtime;
  server->shared.options = *options;
  put_defaults (&server->shared.options);
  if (!read_secrets (&server->shared, options, error)) {
    server_free (server);
    return NULL;
  }
  server->shared.clients = ragify_client_table_new ();
  server->shared.rates = ragify_client_rate_new ();
  server->shared.idempotency = ragify_idempotency_new (0, 0, 0);
  server->shared.history = runtime->history;
  server->shared.memory = runtime->memory;
  server->shared.tracer = runtime->tracer;
  server->shared.tracker = runtime->tracker;
  server->shared.tracked = g_new0 (RagifyTracked *, ragify_routes_count () * RAGIFY_ROUTE_METHODS);
  make_metrics (&server->shared, runtime->metrics);
  server->listeners = g_new0 (RagifyListener *, runtime->n_loops);
  if (start_listeners (server, serving, error))
    return server;
  server_free (server);
  return NULL;
}

const char *
ragify_server_address (const RagifyServer *server)
{
  return server->address;
}

char *
ragify_server_url (const RagifyServer *server)
{
  const char *scheme = server->shared.tls != NULL ? "https://" : "http://";
  if (ragify_listen_unix_path (server->address) != NULL)
    scheme = "";
  return g_strconcat (scheme, server->address, NULL);
}

/* ---- changing ---- */

static void
swap_serving (RagifyListener *listener, void *user)
{
  ragify_serving_unref (listener->serving);
  listener->serving = ragify_serving_ref (user);
}

void
ragify_server_set_serving (RagifyServer *server, RagifyServing *serving)
{
  everywhere (server, swap_serving, serving);
}

void
ragify_server_set_options (RagifyServer *server, const RagifyListenOptions *options)
{
  RagifyListenOptions *ours = &server->shared.options;
  RagifyListenOptions theirs = *options;
  put_defaults (&theirs);
  __atomic_store_n (&ours->access_log, theirs.access_log, __ATOMIC_RELAXED);
  __atomic_store_n (&ours->max_body, theirs.max_body, __ATOMIC_RELAXED);
  __atomic_store_n (&ours->max_document_body, theirs.max_document_body, __ATOMIC_RELAXED);
  __atomic_store_n (&ours->head_timeout_us, theirs.head_timeout_us, __ATOMIC_RELAXED);
  __atomic_store_n (&ours->body_timeout_us, theirs.body_timeout_us, __ATOMIC_RELAXED);
  __atomic_store_n (&ours->idle_timeout_us, theirs.idle_timeout_us, __ATOMIC_RELAXED);
  g_free ((char *)theirs.listen);
  g_strfreev ((char **)theirs.cors_origins);
}

void
ragify_server_set_unready (RagifyServer *server, const char *reason)
{
  __atomic_store_n (&server->shared.unready, reason, __ATOMIC_RELEASE);
}

/* ---- stopping ---- */

static void
drain_listener (RagifyListener *listener, void *user)
{
  ragify_listener_drain (listener);
}

static guint
under_way (const RagifyServer *server)
{
  guint count = 0;
  for (guint i = 0; i < server->n_listeners; i++)
    count += __atomic_load_n (&server->listeners[i]->under_way, __ATOMIC_RELAXED);
  return count;
}

guint
ragify_server_drain (RagifyServer *server, guint64 deadline)
{
  everywhere (server, drain_listener, NULL);
  /* Clients that keep their connection may be about to use it once more: that answer tells them to close it. */
  guint64 quiet_since = ragify_now ();
  while (TRUE) {
    const guint count = under_way (server);
    const guint64 now = ragify_now ();
    if (count > 0)
      quiet_since = now;
    if (now >= deadline || now - quiet_since >= QUIET_US ||
        (count == 0 && __atomic_load_n (&server->shared.connections, __ATOMIC_RELAXED) == 0))
      return count;
    g_usleep (2000);
  }
}

void
ragify_server_free (RagifyServer *server)
{
  if (server == NULL)
    return;
  /* Not before all of them drain do they leave each other alone. */
  everywhere (server, drain_listener, NULL);
  everywhere (server, close_listener, NULL);
  const char *path = ragify_listen_unix_path (server->shared.options.listen);
  if (path != NULL)
    unlink (path);
  server_free (server);
}
