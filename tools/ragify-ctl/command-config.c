/* 'ragify-ctl config': checking and printing configurations, without a running host. */
#include "command.h"

#include "tools/common/json-writer.h"

#include <sys/wait.h>

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

/* What the host says, as one object. */
static int
print_host (const char *task, int argc, char **argv)
{
  g_autofree char *host = ragify_control_find_host ();
  if (host == NULL) {
    ragify_tool_complain ("ragify-host is neither beside this program nor on the path");
    return RAGIFY_TOOL_EXIT_USAGE;
  }
  g_autofree char **arguments = g_new0 (char *, (gsize)argc + 3);
  g_autofree char *out = NULL;
  g_autofree char *err = NULL;
  g_autoptr (GError) error = NULL;
  int status = 0;
  arguments[0] = host;
  arguments[1] = (char *)task;
  for (int i = 0; i < argc; i++)
    arguments[i + 2] = argv[i];
  if (!g_spawn_sync (NULL, arguments, NULL, G_SPAWN_DEFAULT, NULL, NULL, &out, &err, &status, &error)) {
    ragify_tool_complain ("%s", error->message);
    return RAGIFY_TOOL_EXIT_FAILED;
  }
  const int code = WIFEXITED (status) ? WEXITSTATUS (status) : RAGIFY_TOOL_EXIT_FAILED;
  g_auto (GStrv) messages = g_strsplit (g_strchomp (err), "\n", -1);
  g_autoptr (RagifyJsonWriter) writer = ragify_json_writer_new ();
  ragify_json_writer_begin_object (writer, NULL);
  ragify_json_writer_add_boolean (writer, "valid", code == 0);
  ragify_json_writer_add_integer (writer, "exit_code", code);
  ragify_json_writer_begin_array (writer, "messages");
  for (char **line = messages; *line != NULL; line++)
    ragify_json_writer_add_string (writer, NULL, *line);
  ragify_json_writer_end_array (writer);
  ragify_json_writer_add_string (writer, "output", out);
  ragify_json_writer_end_object (writer);
  ragify_json_writer_print (writer);
  return code;
}

/* Takes --json and -j out of the host's options. */
static gboolean
take_json (int *argc, char **argv)
{
  int kept = 0;
  for (int i = 0; i < *argc; i++)
    if (strcmp (argv[i], "--json") != 0 && strcmp (argv[i], "-j") != 0)
      argv[kept++] = argv[i];
  const gboolean found = kept < *argc;
  *argc = kept;
  return found;
}

static void
print_profile (const char *name, const char *text)
{
  const char *const *names = ragify_profile_names ();
  g_autoptr (RagifyJsonWriter) writer = ragify_json_writer_new ();
  ragify_json_writer_begin_object (writer, NULL);
  ragify_json_writer_begin_array (writer, "profiles");
  for (gsize i = 0; names[i] != NULL; i++)
    ragify_json_writer_add_string (writer, NULL, names[i]);
  ragify_json_writer_end_array (writer);
  if (name != NULL) {
    ragify_json_writer_add_string (writer, "profile", name);
    ragify_json_writer_add_string (writer, "text", text);
  }
  ragify_json_writer_end_object (writer);
  ragify_json_writer_print (writer);
}

static int
show_profile (const char *name, gboolean json)
{
  g_autoptr (GString) text = g_string_new (NULL);
  const char *const *names = ragify_profile_names ();
  if (json && (name == NULL || ragify_profile_print (name, text))) {
    print_profile (name, text->str);
    return RAGIFY_TOOL_EXIT_OK;
  }
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
    if (strcmp (argv[1], tasks[i].word) == 0) {
      int rest = argc - 2;
      const gboolean json = take_json (&rest, argv + 2) || options->json;
      return json ? print_host (tasks[i].option, rest, argv + 2) : run_host (tasks[i].option, rest, argv + 2);
    }
  if (!ragify_control_parse (options, NULL, "check|print|graph|show-profile …", description, &argc, &argv))
    return RAGIFY_TOOL_EXIT_USAGE;
  if (argc > 1 && argc <= 3 && strcmp (argv[1], "show-profile") == 0)
    return show_profile (argc > 2 ? argv[2] : NULL, options->json);
  ragify_tool_complain ("expected check, print, graph or show-profile (see 'ragify-ctl config --help')");
  return RAGIFY_TOOL_EXIT_USAGE;
}
