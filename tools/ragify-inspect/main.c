/* ragify-inspect: which plugins are there, what they can do, and why one is not loaded. */
#include "inspect.h"

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/common/tool-exit.h"

static const char summary[] =
    "Without COMPONENT lists the plugins, those that are refused with the reason; with one shows its keys.\n"
    "Each module is opened in a process of its own: one that crashes is reported.";

static const char description[] =
    "COMPONENT is a name, such as postgres, or a kind and a name, such as 'vector-store faiss'.\n"
    "\n"
    "Exit codes: 0 done; 1 something is refused, or there is no such component; 2 wrong usage.\n"
    "\n"
    "Examples:\n"
    "  ragify-inspect\n"
    "  ragify-inspect postgres\n"
    "  ragify-inspect --stub postgres >> /etc/ragify/ragify.conf.d/20-sources.conf\n"
    "  ragify-inspect --plugin-dir ./build --failed\n";

typedef struct Options {
  char **paths;
  gboolean json, failed, stub, version;
} Options;

static int
print_json (const json_t *value)
{
  char *text = json_dumps (value, JSON_INDENT (2));
  printf ("%s\n", text);
  free (text);
  return RAGIFY_TOOL_EXIT_OK;
}

static int
list (const Options *options, const json_t *modules)
{
  gsize index;
  const json_t *module;
  g_autoptr (RagifyJson) refused = json_array ();
  json_array_foreach (modules, index, module)
  {
    if (json_object_get (module, "refusal") != NULL)
      json_array_append (refused, (json_t *)module);
  }
  if (options->json)
    print_json (options->failed ? refused : modules);
  else
    ragify_inspect_list (modules, options->failed);
  return json_array_size (refused) == 0 ? RAGIFY_TOOL_EXIT_OK : RAGIFY_TOOL_EXIT_FAILED;
}

static int
show (const Options *options, const json_t *modules, const char *name)
{
  const json_t *module = NULL;
  g_autofree char *reason = NULL;
  const json_t *component = ragify_inspect_find (modules, name, &module, &reason);
  if (component == NULL) {
    ragify_tool_complain ("%s", reason);
    return RAGIFY_TOOL_EXIT_FAILED;
  }
  if (options->stub)
    ragify_inspect_stub (component);
  else if (options->json)
    print_json (component);
  else
    ragify_inspect_show (module, component);
  return RAGIFY_TOOL_EXIT_OK;
}

static gboolean
parse (Options *options, int *argc, char ***argv)
{
  const GOptionEntry entries[] = {
    { "plugin-dir", 'p', 0, G_OPTION_ARG_FILENAME_ARRAY, &options->paths,
      "A folder of modules, or a module (repeatable; default: " RAGIFY_PLUGIN_DIR ")", "PATH" },
    { "json", 'j', 0, G_OPTION_ARG_NONE, &options->json, "Print JSON", NULL },
    { "failed", 0, 0, G_OPTION_ARG_NONE, &options->failed, "List only what is not loaded", NULL },
    { "stub", 0, 0, G_OPTION_ARG_NONE, &options->stub, "Print a group for a configuration, with every key", NULL },
    { "version", 'V', 0, G_OPTION_ARG_NONE, &options->version, "Print the version", NULL },
    G_OPTION_ENTRY_NULL,
  };
  g_autoptr (GOptionContext) context = g_option_context_new ("[COMPONENT]");
  g_autoptr (GError) error = NULL;
  g_option_context_add_main_entries (context, entries, NULL);
  g_option_context_set_summary (context, summary);
  g_option_context_set_description (context, description);
  if (!g_option_context_parse (context, argc, argv, &error)) {
    ragify_tool_complain ("%s (see 'ragify-inspect --help')", error->message);
    return FALSE;
  }
  if (*argc > 3 || (*argc > 1 && options->failed) || (*argc < 2 && options->stub)) {
    ragify_tool_complain ("expected at most one COMPONENT, without --failed and not missing with --stub (see "
                          "'ragify-inspect --help')");
    return FALSE;
  }
  return TRUE;
}

static int
run (Options *options, int argc, char **argv)
{
  static const char *const installed[] = { RAGIFY_PLUGIN_DIR, NULL };
  gboolean whole = TRUE;
  g_autoptr (RagifyJson) modules =
      ragify_inspect_discover (options->paths != NULL ? (const char *const *)options->paths : installed, &whole);
  g_autofree char *name = argc > 2 ? g_strjoin (" ", argv[1], argv[2], NULL) : g_strdup (argv[1]);
  const int code = name != NULL ? show (options, modules, name) : list (options, modules);
  return whole ? code : RAGIFY_TOOL_EXIT_USAGE;
}

/* The record separator tells the answer from what a module prints when it is opened. */
static int
be_child (const char *path)
{
  g_autoptr (RagifyJson) module = ragify_inspect_describe (path);
  char *text = json_dumps (module, JSON_COMPACT);
  printf ("\n\x1e%s", text);
  free (text);
  return 0;
}

int
main (int argc, char **argv)
{
  setlocale (LC_CTYPE, "C.UTF-8");
  g_set_prgname ("ragify-inspect");
  if (argc == 3 && strcmp (argv[1], RAGIFY_INSPECT_CHILD) == 0)
    return be_child (argv[2]);
  Options options = { 0 };
  g_auto (GStrv) arguments = g_strdupv (argv);
  g_autofree char **view = g_memdup2 (arguments, sizeof (char *) * ((gsize)argc + 1));
  int code = RAGIFY_TOOL_EXIT_USAGE;
  if (parse (&options, &argc, &view)) {
    if (options.version)
      printf ("ragify-inspect %s\n", RAGIFY_TOOLS_VERSION);
    code = options.version ? RAGIFY_TOOL_EXIT_OK : run (&options, argc, view);
  }
  g_strfreev (options.paths);
  return code;
}
