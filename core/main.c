/* ragify-host: the command line.
 *
 * SPDX-License-Identifier: MIT
 */
#include <locale.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/app/app.h"
#include "core/app/log.h"
#include "core/module/isolation.h"

typedef struct Options {
  char **config, **set;
  char *state_dir, *models_dir, *plugin_dir, *listen;
  gboolean check, connect, print_config, print_graph, svg, version;
} Options;

static gboolean
parse (Options *options, int *argc, char ***argv, GError **error)
{
  const GOptionEntry entries[] = {
    { "config", 'c', 0, G_OPTION_ARG_FILENAME_ARRAY, &options->config,
      "Read this drop-in folder or file in place of the installed ones (repeatable)", "PATH" },
    { "set", 's', 0, G_OPTION_ARG_STRING_ARRAY, &options->set,
      "Set one key over all files: 'cache ram.ttl=1min' (repeatable)", "KIND NAME.KEY=VALUE" },
    { "state-dir", 0, 0, G_OPTION_ARG_FILENAME, &options->state_dir, "Where stores and indexes lie", "DIR" },
    { "models-dir", 0, 0, G_OPTION_ARG_FILENAME, &options->models_dir, "Where models are looked up by name", "DIR" },
    { "plugin-dir", 0, 0, G_OPTION_ARG_FILENAME, &options->plugin_dir, "Where plugins are loaded from", "DIR" },
    { "listen", 'l', 0, G_OPTION_ARG_STRING, &options->listen, "Address of [http public]", "ADDRESS:PORT" },
    { "check", 0, 0, G_OPTION_ARG_NONE, &options->check, "Check the configuration and exit: 0 or 78", NULL },
    { "connect", 0, 0, G_OPTION_ARG_NONE, &options->connect,
      "With --check: start and probe every node that speaks to another process, too", NULL },
    { "print-config", 0, 0, G_OPTION_ARG_NONE, &options->print_config,
      "Print the configuration with the origin of each value", NULL },
    { "print-graph", 0, 0, G_OPTION_ARG_NONE, &options->print_graph, "Print the nodes as a Graphviz graph", NULL },
    { "svg", 0, 0, G_OPTION_ARG_NONE, &options->svg, "With --print-graph: drawn, where graphviz is installed", NULL },
    { "version", 0, 0, G_OPTION_ARG_NONE, &options->version, "Print the version", NULL },
    { NULL, 0, 0, G_OPTION_ARG_NONE, NULL, NULL, NULL },
  };
  g_autoptr (GOptionContext) context = g_option_context_new (NULL);
  g_option_context_set_summary (context, "Finds the passages that a language model should read before it answers.");
  g_option_context_set_description (context, "Exit codes: 0 stopped as told; 1 failed; 2 wrong command line; 78 the "
                                             "configuration is wrong.\n");
  g_option_context_add_main_entries (context, entries, NULL);
  if (!g_option_context_parse (context, argc, argv, error))
    return FALSE;
  if ((options->connect && !options->check) || (options->svg && !options->print_graph)) {
    g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "%s goes with %s",
                 options->svg ? "--svg" : "--connect", options->svg ? "--print-graph" : "--check");
    return FALSE;
  }
  if (*argc > 1) {
    g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "unexpected argument '%s'", (*argv)[1]);
    return FALSE;
  }
  return TRUE;
}

static char *
absolute (const char *path)
{
  return path != NULL ? g_canonicalize_filename (path, NULL) : NULL;
}

/* The options that stand for a key, as --set has them. */
static GPtrArray *
overrides_of (const Options *options)
{
  const struct {
    const char *key;
    char *value;
  } keys[] = { { "host.state-dir", absolute (options->state_dir) },
               { "host.models-dir", absolute (options->models_dir) },
               { "host.plugin-dir", absolute (options->plugin_dir) },
               { "http public.listen", g_strdup (options->listen) } };
  GPtrArray *overrides = g_ptr_array_new_with_free_func (g_free);
  for (gsize i = 0; i < G_N_ELEMENTS (keys); i++) {
    if (keys[i].value != NULL)
      g_ptr_array_add (overrides, g_strdup_printf ("%s=%s", keys[i].key, keys[i].value));
    g_free (keys[i].value);
  }
  for (char **set = options->set; set != NULL && *set != NULL; set++)
    g_ptr_array_add (overrides, g_strdup (*set));
  g_ptr_array_add (overrides, NULL);
  return overrides;
}

static RagifyAppTask
task_of (const Options *options)
{
  if (options->check)
    return options->connect ? RAGIFY_APP_CONNECT : RAGIFY_APP_CHECK;
  if (options->print_config)
    return RAGIFY_APP_PRINT_CONFIG;
  if (options->print_graph)
    return options->svg ? RAGIFY_APP_PRINT_SVG : RAGIFY_APP_PRINT_GRAPH;
  return RAGIFY_APP_SERVE;
}

static void
clear (Options *options)
{
  g_strfreev (options->config);
  g_strfreev (options->set);
  g_free (options->state_dir);
  g_free (options->models_dir);
  g_free (options->plugin_dir);
  g_free (options->listen);
}

/* By default glibc gives memory back to the system whenever 128 KiB lie free at the end of a heap, and takes it again
 * for the next request: half of a cached answer's time went into clearing pages. Measured with 10,000 idle connections:
 * 31 µs a request before, 21 µs with this. */
static void
keep_freed_memory (void)
{
#ifdef __GLIBC__
  mallopt (M_TRIM_THRESHOLD, 64 * 1024 * 1024);
  mallopt (M_TOP_PAD, 1024 * 1024);
  mallopt (M_MMAP_THRESHOLD, 4 * 1024 * 1024); /* setting the others froze it at 128 KiB */
#endif
}

/* OpenBLAS 0.3.21, with which plugins train indexes on Debian 12, takes a CPU that is newer than itself for one of
 * 2004, unless its variable is there, be it empty: then it looks at what the CPU can do (29 against 126 GFLOP/s of
 * sgemm on a Xeon with avx512_bf16). Before there are threads. */
static void
let_blas_look (void)
{
  g_setenv ("OPENBLAS_CORETYPE", "", FALSE);
}

int
main (int argc, char **argv)
{
  keep_freed_memory ();
  let_blas_look ();
  setlocale (LC_CTYPE, "C.UTF-8");
  if (ragify_isolation_is_child (argc, argv))
    return ragify_isolation_child (argc, argv);
  ragify_log_install ();
  Options options = { 0 };
  g_autoptr (GError) error = NULL;
  int code;
  if (!parse (&options, &argc, &argv, &error)) {
    fprintf (stderr, "ragify-host: %s. See ragify-host --help\n", error->message);
    code = RAGIFY_EXIT_USAGE;
  } else if (options.version) {
    printf ("ragify-host %s\n", RAGIFY_VERSION);
    code = RAGIFY_EXIT_OK;
  } else {
    g_autoptr (GPtrArray) overrides = overrides_of (&options);
    const RagifyConfigInput input = { .paths = (const char *const *)options.config,
                                      .vendor_directory = RAGIFY_CONF_DIR,
                                      .system_directory = "/etc/ragify/ragify.conf.d",
                                      .overrides = (const char *const *)overrides->pdata,
                                      .default_models_dir = RAGIFY_MODELS_DIR,
                                      .default_plugin_dir = RAGIFY_PLUGIN_DIR };
    code = ragify_app_run (&input, task_of (&options));
  }
  clear (&options);
  return code;
}
