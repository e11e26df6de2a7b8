/* SPDX-License-Identifier: MIT */
#include "core/app/app.h"

#include <glib-unix.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/app/graph.h"
#include "core/app/log.h"
#include "core/app/service.h"
#include "core/app/supported.h"
#include "core/module/registry.h"
#include "core/observe/process-metrics.h"

#define WORKER_QUEUE 65536u
#define WORKER_PATIENCE_US (5 * G_USEC_PER_SEC)

/* ---- the registry as the configuration asks for it ---- */

static void
load_plugins (void *data, const char *const *plugin_dirs)
{
  RagifyRegistry *registry = data;
  for (const char *const *dir = plugin_dirs; *dir != NULL; dir++) {
    g_autoptr (GError) error = NULL;
    if (!ragify_registry_load_folder (registry, *dir, &error))
      g_warning ("plugin-dir %s: %s", *dir, error->message);
  }
}

static const RagifyComponent *
find_component (void *data, const char *kind, const char *name)
{
  return ragify_registry_find (data, kind, name, NULL);
}

static char **
list_components (void *data, const char *kind)
{
  g_autoptr (GPtrArray) components = ragify_registry_list (data, kind);
  GPtrArray *names = g_ptr_array_new ();
  for (guint i = 0; i < components->len; i++)
    g_ptr_array_add (names, g_strdup (((const RagifyComponent *)g_ptr_array_index (components, i))->name));
  g_ptr_array_add (names, NULL);
  return (char **)g_ptr_array_free (names, FALSE);
}

static RagifyConfig *
load_config (const RagifyConfigInput *input, RagifyRegistry *registry, RagifyDiagnostics *diagnostics)
{
  const RagifySchemaLookup lookup = {
    .data = registry, .prepare = load_plugins, .find = find_component, .list = list_components
  };
  return ragify_config_load (input, &lookup, diagnostics);
}

static void
print_diagnostics (const RagifyDiagnostics *diagnostics)
{
  g_autofree char *text = ragify_diagnostics_to_text (diagnostics);
  fputs (text, stderr);
}

/* ---- the runtime ---- */

static guint
or_cores (gint64 configured)
{
  return configured > 0 ? (guint)configured : MAX (g_get_num_processors (), 1);
}

static void
runtime_init (RagifyRuntime *runtime, const RagifyConfigNode *host)
{
  runtime->metrics = ragify_metrics_new ();
  ragify_process_metrics_register (runtime->metrics);
  runtime->n_loops = or_cores (ragify_config_node_get_int (host, "threads"));
  runtime->loops = g_new0 (RagifyLoop *, runtime->n_loops);
  for (guint i = 0; i < runtime->n_loops; i++)
    runtime->loops[i] = ragify_loop_new (i);
  /* Two more than cores: a query finds a thread, and the scheduler's share of a core, also while an ingest computes. */
  const gint64 workers = ragify_config_node_get_int (host, "workers");
  runtime->workers =
      ragify_workers_new (workers > 0 ? (guint)workers : MAX (g_get_num_processors (), 1) + 2, WORKER_QUEUE);
}

/* Where threads are still in plugins, what they use is not freed, nor are destructors run under them: the process ends
 * here and now, with `code`. */
static void
runtime_clear (RagifyRuntime *runtime, int code)
{
  const guint stuck = ragify_workers_free (runtime->workers, WORKER_PATIENCE_US);
  if (stuck > 0 || runtime->left_behind > 0) {
    g_warning ("%u nodes and %u worker threads are stuck in plugins and left behind", runtime->left_behind, stuck);
    fflush (NULL);
    _exit (code);
  }
  for (guint i = 0; i < runtime->n_loops; i++)
    ragify_loop_free (runtime->loops[i]);
  g_free (runtime->loops);
  ragify_metrics_free (runtime->metrics);
}

/* ---- servers ---- */

static guint
connection_limit (gint64 configured)
{
  if (configured > 0)
    return (guint)configured;
  struct rlimit limit;
  const guint64 files = getrlimit (RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_cur : 1024;
  return (guint)CLAMP (files > 256 ? files - 128 : files / 2, 16, 1000000); /* some are the plugins' and the stores' */
}

/* As many open files as the system lets this process have: each connection is one. */
static void
raise_file_limit (void)
{
  struct rlimit limit;
  if (getrlimit (RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= limit.rlim_max)
    return;
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit (RLIMIT_NOFILE, &limit) != 0)
    g_warning ("cannot raise the limit of open files to %" G_GUINT64_FORMAT, (guint64)limit.rlim_max);
}

static RagifyServer *
listen_on (RagifyRuntime *runtime, const RagifyConfigNode *config, RagifyServing *serving, GError **error)
{
  const RagifyListenOptions options = {
    .listen = ragify_config_node_get_string (config, "listen"),
    .api_keys_file = ragify_config_node_get_string (config, "api-keys-file"),
    .cors_origins = ragify_config_node_get_list (config, "cors-origins", NULL),
    .tls_cert = ragify_config_node_get_string (config, "tls-cert"),
    .tls_key = ragify_config_node_get_string (config, "tls-key"),
    .max_head = ragify_config_node_get_size (config, "max-head"),
    .max_body = ragify_config_node_get_size (config, "max-body"),
    .max_document_body = ragify_config_node_get_size (config, "max-document-body"),
    .head_timeout_us = ragify_config_node_get_duration (config, "head-timeout"),
    .body_timeout_us = ragify_config_node_get_duration (config, "body-timeout"),
    .idle_timeout_us = ragify_config_node_get_duration (config, "idle-timeout"),
    .max_connections = connection_limit (ragify_config_node_get_int (config, "max-connections")),
    .max_connections_per_client = (guint)ragify_config_node_get_int (config, "max-connections-per-client"),
  };
  return ragify_server_new (runtime, &options, serving, error);
}

static gboolean
listen_on_all (RagifyRuntime *runtime, RagifyConfig *config, RagifyServing *serving, GPtrArray *servers,
               RagifyDiagnostics *diagnostics)
{
  gsize count;
  const RagifyConfigNode *const *nodes = ragify_config_nodes (config, &count);
  for (gsize i = 0; i < count; i++) {
    if (!g_str_equal (ragify_config_node_kind (nodes[i]), "http"))
      continue;
    g_autoptr (GError) error = NULL;
    RagifyServer *server = listen_on (runtime, nodes[i], serving, &error);
    if (server != NULL)
      g_ptr_array_add (servers, server);
    else
      ragify_diagnostics_add (diagnostics, RAGIFY_SEVERITY_ERROR, nodes[i], "listen", "%s", error->message);
  }
  return ragify_diagnostics_count (diagnostics, RAGIFY_SEVERITY_ERROR) == 0;
}

/* ---- serving ---- */

static gboolean
on_stop_signal (gpointer data)
{
  g_main_loop_quit (data);
  return G_SOURCE_CONTINUE; /* a second one changes nothing: draining is bounded */
}

static void
announce (const GPtrArray *servers)
{
  for (guint i = 0; i < servers->len; i++) {
    g_autofree char *url = ragify_server_url (g_ptr_array_index (servers, i));
    printf ("listening on %s\n", url);
  }
  fflush (stdout);
}

static void
wait_for_stop (const GPtrArray *servers)
{
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  /* Never taken back: a second signal while the host drains must not end it half-way. */
  g_unix_signal_add_full (G_PRIORITY_DEFAULT, SIGTERM, on_stop_signal, g_main_loop_ref (loop),
                          (GDestroyNotify)g_main_loop_unref);
  g_unix_signal_add_full (G_PRIORITY_DEFAULT, SIGINT, on_stop_signal, g_main_loop_ref (loop),
                          (GDestroyNotify)g_main_loop_unref);
  announce (servers); /* not earlier: who reads it may stop us at once */
  RagifyService *service = ragify_service_begin ();
  g_main_loop_run (loop);
  ragify_service_end (service);
}

static void
drain (const GPtrArray *servers, guint64 timeout)
{
  const guint64 deadline = ragify_now () + timeout;
  for (guint i = 0; i < servers->len; i++)
    ragify_server_set_unready (g_ptr_array_index (servers, i), "shutting down");
  for (guint i = 0; i < servers->len; i++) {
    const guint left = ragify_server_drain (g_ptr_array_index (servers, i), deadline);
    if (left > 0)
      g_warning ("%u requests were still under way when the drain timeout was over", left);
  }
}

static int
serve (RagifyConfig *config, RagifyDiagnostics *diagnostics)
{
  const RagifyConfigNode *host = ragify_config_host (config);
  RagifyRuntime runtime = { 0 };
  signal (SIGPIPE, SIG_IGN); /* a peer that left, or a log that nobody reads, is an error of one write */
  raise_file_limit ();
  runtime_init (&runtime, host);
  int code = RAGIFY_EXIT_CONFIG;
  g_autoptr (GPtrArray) servers = g_ptr_array_new_with_free_func ((GDestroyNotify)ragify_server_free);
  RagifyGraph *graph = ragify_graph_new (&runtime, config, diagnostics);
  if (graph != NULL && listen_on_all (&runtime, config, ragify_graph_serving (graph), servers, diagnostics)) {
    print_diagnostics (diagnostics);
    wait_for_stop (servers);
    g_message ("stopping");
    drain (servers, ragify_config_node_get_duration (host, "drain-timeout"));
    code = RAGIFY_EXIT_OK;
  } else {
    print_diagnostics (diagnostics);
  }
  g_ptr_array_set_size (servers, 0);
  g_clear_pointer (&graph, ragify_graph_free);
  runtime_clear (&runtime, code);
  return code;
}

static int
print_text (RagifyConfig *config, void (*print) (const RagifyConfig *config, GString *text))
{
  g_autoptr (GString) text = g_string_new (NULL);
  print (config, text);
  fputs (text->str, stdout);
  return RAGIFY_EXIT_OK;
}

int
ragify_app_run (const RagifyConfigInput *input, RagifyAppTask task)
{
  g_autoptr (RagifyRegistry) registry = ragify_registry_new ();
  g_autoptr (RagifyDiagnostics) diagnostics = ragify_diagnostics_new ();
  g_autoptr (RagifyConfig) config = load_config (input, registry, diagnostics);
  if (config == NULL || !ragify_supported_check (config, diagnostics)) {
    print_diagnostics (diagnostics);
    return RAGIFY_EXIT_CONFIG;
  }
  switch (task) {
  case RAGIFY_APP_CHECK:
    print_diagnostics (diagnostics);
    return RAGIFY_EXIT_OK;
  case RAGIFY_APP_PRINT_CONFIG:
    return print_text (config, ragify_config_print);
  case RAGIFY_APP_PRINT_GRAPH:
    return print_text (config, ragify_config_print_graph);
  case RAGIFY_APP_SERVE:
  default:
    ragify_log_configure (ragify_config_node_get_string (ragify_config_host (config), "log-format"),
                          ragify_config_node_get_string (ragify_config_host (config), "log-level"));
    return serve (config, diagnostics);
  }
}
