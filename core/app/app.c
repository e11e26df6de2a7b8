/* SPDX-License-Identifier: MIT */
#include "core/app/app.h"

#include <gio/gio.h>
#include <glib-unix.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/app/connect.h"
#include "core/app/load.h"
#include "core/app/log.h"
#include "core/app/observing.h"
#include "core/app/reloader.h"
#include "core/app/service.h"
#include "core/observe/process-metrics.h"

#define WORKER_QUEUE 65536u
#define WORKER_PATIENCE_US (5 * G_USEC_PER_SEC)

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
  runtime->history = ragify_history_new (runtime->metrics);
  runtime->memory = ragify_memory_new (runtime->metrics);
  ragify_memory_set_limit (runtime->memory, ragify_config_node_get_size (host, "memory-limit"));
  runtime->tracker = ragify_tracker_new ();
  ragify_observing_apply (runtime, host);
  runtime->n_loops = or_cores (ragify_config_node_get_int (host, "threads"));
  runtime->loops = g_new0 (RagifyLoop *, runtime->n_loops);
  for (guint i = 0; i < runtime->n_loops; i++)
    runtime->loops[i] = ragify_loop_new (i);
  /* Two more than cores: a query finds a thread, and the scheduler's share of a core, also while an ingest computes. */
  const gint64 workers = ragify_config_node_get_int (host, "workers");
  runtime->workers =
      ragify_workers_new (workers > 0 ? (guint)workers : MAX (g_get_num_processors (), 1) + 2, WORKER_QUEUE);
  ragify_observing_workers (runtime);
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
  ragify_history_free (runtime->history);
  ragify_memory_free (runtime->memory);
  ragify_tracer_free (runtime->tracer);
  ragify_tracker_free (runtime->tracker);
  ragify_metrics_free (runtime->metrics);
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

/* ---- serving ---- */

static gboolean
on_stop_signal (gpointer data)
{
  g_main_loop_quit (data);
  return G_SOURCE_CONTINUE; /* a second one changes nothing: draining is bounded */
}

static gboolean
on_reload_signal (gpointer data)
{
  ragify_reloader_ask (data, NULL, NULL);
  return G_SOURCE_CONTINUE;
}

static void
wait_for_stop (RagifyRuntime *runtime, RagifyReloader *reloader)
{
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  /* Never taken back: a second signal while the host drains must not end it half-way. */
  g_unix_signal_add_full (G_PRIORITY_DEFAULT, SIGTERM, on_stop_signal, g_main_loop_ref (loop),
                          (GDestroyNotify)g_main_loop_unref);
  g_unix_signal_add_full (G_PRIORITY_DEFAULT, SIGINT, on_stop_signal, g_main_loop_ref (loop),
                          (GDestroyNotify)g_main_loop_unref);
  g_unix_signal_add (SIGHUP, on_reload_signal, reloader); /* dispatched by the loop below alone */
  ragify_reloader_announce (reloader);                    /* not earlier: who reads it may stop us at once */
  RagifyService *service = ragify_service_begin (runtime);
  g_main_loop_run (loop);
  ragify_service_end (service);
}

static int
serve (const RagifyConfigInput *input, RagifyRegistry *registry, RagifyConfig *config, RagifyDiagnostics *diagnostics)
{
  const RagifyConfigNode *host = ragify_config_host (config);
  RagifyRuntime runtime = { 0 };
  signal (SIGXFSZ, SIG_IGN); /* a file that may not grow further (ulimit -f) is like a disk that is full */
  signal (SIGPIPE, SIG_IGN); /* a peer that left, or a log that nobody reads, is an error of one write */
  raise_file_limit ();
  runtime_init (&runtime, host);
  if (!ragify_observing_begin (&runtime, host, diagnostics)) {
    print_diagnostics (diagnostics);
    runtime_clear (&runtime, RAGIFY_EXIT_CONFIG);
    return RAGIFY_EXIT_CONFIG;
  }
  const RagifyReloaderOptions options = { .runtime = &runtime, .input = input, .registry = registry };
  RagifyReloader *reloader = ragify_reloader_new (&options);
  const gboolean serving = ragify_reloader_begin (reloader, config, diagnostics);
  print_diagnostics (diagnostics);
  if (serving) {
    wait_for_stop (&runtime, reloader);
    g_message ("stopping");
  }
  const int code = serving ? RAGIFY_EXIT_OK : RAGIFY_EXIT_CONFIG;
  ragify_reloader_stop (reloader);
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

static int
connect_all (RagifyConfig *config, RagifyDiagnostics *diagnostics)
{
  RagifyRuntime runtime = { 0 };
  g_autoptr (GString) said = g_string_new (NULL);
  signal (SIGPIPE, SIG_IGN);
  runtime_init (&runtime, ragify_config_host (config));
  ragify_app_connect (&runtime, config, said, diagnostics);
  const gboolean well = ragify_diagnostics_count (diagnostics, RAGIFY_SEVERITY_ERROR) == 0;
  fputs (said->str, stdout);
  print_diagnostics (diagnostics);
  runtime_clear (&runtime, well ? RAGIFY_EXIT_OK : RAGIFY_EXIT_CONFIG);
  return well ? RAGIFY_EXIT_OK : RAGIFY_EXIT_CONFIG;
}

/* Graphviz draws; without it the language that it reads is printed, and why. */
static int
print_svg (RagifyConfig *config)
{
  g_autoptr (GString) text = g_string_new (NULL);
  g_autoptr (GError) error = NULL;
  g_autofree char *drawn = NULL;
  ragify_config_print_graph (config, text);
  g_autoptr (GSubprocess) dot =
      g_subprocess_new (G_SUBPROCESS_FLAGS_STDIN_PIPE | G_SUBPROCESS_FLAGS_STDOUT_PIPE, &error, "dot", "-Tsvg", NULL);
  if (dot == NULL || !g_subprocess_communicate_utf8 (dot, text->str, NULL, &drawn, NULL, &error) ||
      !g_subprocess_get_successful (dot)) {
    fprintf (stderr, "ragify-host: Graphviz' dot cannot draw it: %s. Install graphviz, or use --print-graph\n",
             error != NULL ? error->message : "it failed");
    return RAGIFY_EXIT_FAILED;
  }
  fputs (drawn, stdout);
  return RAGIFY_EXIT_OK;
}

int
ragify_app_run (const RagifyConfigInput *input, RagifyAppTask task)
{
  g_autoptr (RagifyRegistry) registry = ragify_registry_new ();
  g_autoptr (RagifyDiagnostics) diagnostics = ragify_diagnostics_new ();
  g_autoptr (RagifyConfig) config = ragify_app_load (input, registry, diagnostics);
  if (config == NULL) {
    print_diagnostics (diagnostics);
    return RAGIFY_EXIT_CONFIG;
  }
  switch (task) {
  case RAGIFY_APP_CHECK:
    print_diagnostics (diagnostics);
    return RAGIFY_EXIT_OK;
  case RAGIFY_APP_CONNECT:
    return connect_all (config, diagnostics);
  case RAGIFY_APP_PRINT_CONFIG:
    return print_text (config, ragify_config_print);
  case RAGIFY_APP_PRINT_GRAPH:
    return print_text (config, ragify_config_print_graph);
  case RAGIFY_APP_PRINT_SVG:
    return print_svg (config);
  case RAGIFY_APP_SERVE:
  default:
    ragify_log_configure (ragify_config_node_get_string (ragify_config_host (config), "log-format"),
                          ragify_config_node_get_string (ragify_config_host (config), "log-level"));
    return serve (input, registry, config, diagnostics);
  }
}
