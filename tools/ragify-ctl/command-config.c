/* 'ragify-ctl config': checking and printing configurations, without a running host. */
#include "command.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "config/config.h"

static const char description[] =
    "  check [HOST OPTIONS]   Is the configuration right? All mistakes at once; exit status 0 or 78\n"
    "  print [HOST OPTIONS]   Every value, and the file and line that it came from\n"
    "  graph [HOST OPTIONS]   The nodes as a graph, in Graphviz' language\n"
    "  show-profile [NAME]    What a profile sets where the files do not; without a name, which there are\n"
    "\n"
    "The first three run the ragify-host that is installed beside this program; it takes --config PATH,\n"
    "--set 'KIND NAME.KEY=VALUE' and all its other options; --connect lets 'check' probe every backend.\n"
    "\n"
    "Examples:\n"
    "  ragify-ctl config check --config ./ragify.conf.d --connect\n"
    "  ragify-ctl config show-profile low_latency > /etc/ragify/ragify.conf.d/50-profile.conf\n";

char *
ragify_control_find_host (void)
{
  g_autofree char *self = g_file_read_link ("/proc/self/exe", NULL);
  g_autofree char *folder = g_path_get_dirname (self != NULL ? self : ".");
  char *candidates[] = { g_build_filename (folder, "ragify-host", NULL),
                         g_build_filename (folder, "..", "..", "core", "ragify-host", NULL) };
  char *found = NULL;
  for (gsize i = 0; i < G_N_ELEMENTS (candidates); i++) {
    if (found == NULL && g_file_test (candidates[i], G_FILE_TEST_IS_EXECUTABLE))
      found = g_strdup (candidates[i]);
    g_free (candidates[i]);
  }
  return found != NULL ? found : g_find_program_in_path ("ragify-host");
}

/* Becomes the host; returns only where that fails. */
static int
run_host (const char *task, int argc, char **argv)
{
  g_autofree char *host = ragify_control_find_host ();
  if (host == NULL) {
    ragify_tool_complain ("ragify-host is neither beside this program nor on the path");
    return RAGIFY_TOOL_EXIT_USAGE;
  }
  g_autofree char **arguments = g_new0 (char *, (gsize)argc + 3);
  arguments[0] = host;
  arguments[1] = (char *)task;
  for (int i = 0; i < argc; i++)
    arguments[i + 2] = argv[i];
  execv (host, arguments);
  ragify_tool_complain ("%s: %s", host, g_strerror (errno));
  return RAGIFY_TOOL_EXIT_FAILED;
}

static int
show_profile (const char *name)
{
  g_autoptr (GString) text = g_string_new (NULL);
  const char *const *names = ragify_profile_names ();
  if (name == NULL) {
    for (gsize i = 0; names[i] != NULL; i++)
      printf ("%s\n", names[i]);
    return RAGIFY_TOOL_EXIT_OK;
  }
  if (ragify_profile_print (name, text)) {
    fputs (text->str, stdout);
    return RAGIFY_TOOL_EXIT_OK;
  }
  g_autofree char *all = g_strjoinv (", ", (char **)names);
  ragify_tool_complain ("'%s' is not a profile; there are: %s", name, all);
  return RAGIFY_TOOL_EXIT_USAGE;
}

int
ragify_control_config (RagifyControlOptions *options, int argc, char **argv)
{
  static const struct {
    const char *word, *option;
  } tasks[] = { { "check", "--check" }, { "print", "--print-config" }, { "graph", "--print-graph" } };
  /* What follows is the host's, --help included. */
  for (gsize i = 0; argc > 1 && i < G_N_ELEMENTS (tasks); i++)
    if (strcmp (argv[1], tasks[i].word) == 0)
      return run_host (tasks[i].option, argc - 2, argv + 2);
  if (!ragify_control_parse (options, NULL, "check|print|graph|show-profile …", description, &argc, &argv))
    return RAGIFY_TOOL_EXIT_USAGE;
  if (argc > 1 && argc <= 3 && strcmp (argv[1], "show-profile") == 0)
    return show_profile (argc > 2 ? argv[2] : NULL);
  ragify_tool_complain ("expected check, print, graph or show-profile (see 'ragify-ctl config --help')");
  return RAGIFY_TOOL_EXIT_USAGE;
}
