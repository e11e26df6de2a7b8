/* ragify-config-reference: writes docs/configuration-reference.md and docs/ragify.code-snippets from the host's table
 * and the schemas of plugins.
 *
 * SPDX-License-Identifier: MIT
 *
 *   ragify-config-reference [--prefix PREFIX] [--check] FOLDER PLUGIN.so…
 *
 * With --check nothing is written: it exits with 1, naming the file, when one in FOLDER is not what would be written.
 */
#include "config/reference.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

typedef const RagifyPlugin *(*QueryFunction) (void);

/* Adds the module's components. Modules stay loaded: their descriptions are theirs. */
static bool
take_module (const char *path, GPtrArray *components)
{
  void *module = dlopen (path, RTLD_NOW | RTLD_LOCAL);
  void *symbol = module == NULL ? NULL : dlsym (module, RAGIFY_PLUGIN_ENTRY);
  QueryFunction query = NULL;
  const RagifyPlugin *plugin = NULL;

  if (symbol == NULL) {
    fprintf (stderr, "%s: %s\n", path, dlerror ());
    return false;
  }
  memcpy (&query, &symbol, sizeof query);
  plugin = query ();
  if (plugin == NULL || plugin->magic != RAGIFY_PLUGIN_MAGIC || plugin->abi_major != RAGIFY_ABI_MAJOR) {
    fprintf (stderr, "%s: not a plugin of this ABI\n", path);
    return false;
  }
  for (size_t i = 0; plugin->components[i] != NULL; i++)
    g_ptr_array_add (components, (gpointer)plugin->components[i]);
  return true;
}

static bool
settle (const char *folder, const char *name, const char *text, bool check)
{
  g_autofree char *path = g_build_filename (folder, name, NULL);
  g_autofree char *present = NULL;
  g_autoptr (GError) error = NULL;

  if (!check) {
    if (g_file_set_contents (path, text, -1, &error))
      return true;
    fprintf (stderr, "%s\n", error->message);
    return false;
  }
  if (g_file_get_contents (path, &present, NULL, NULL) && strcmp (present, text) == 0)
    return true;
  fprintf (stderr, "%s is stale: run `ninja config-reference` in the build folder and commit what it writes\n", path);
  return false;
}

int
main (int argc, char **argv)
{
  gboolean check = FALSE;
  g_autofree char *prefix = NULL;
  const GOptionEntry entries[] = {
    { "check", 0, 0, G_OPTION_ARG_NONE, &check, "Compare, and write nothing", NULL },
    { "prefix", 0, 0, G_OPTION_ARG_STRING, &prefix, "Where the plugins are going to be installed", "PREFIX" },
    { 0 },
  };
  g_autoptr (GOptionContext) context = g_option_context_new ("FOLDER PLUGIN.so…");
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) components = g_ptr_array_new ();
  g_autoptr (GString) markdown = g_string_new (NULL);
  g_autoptr (GString) snippets = g_string_new (NULL);
  RagifyReferenceInput input = { 0 };
  bool sound = true;

  g_option_context_add_main_entries (context, entries, NULL);
  if (!g_option_context_parse (context, &argc, &argv, &error) || argc < 2) {
    fprintf (stderr, "%s\n", error == NULL ? "expected FOLDER PLUGIN.so…" : error->message);
    return 2;
  }
  for (int i = 2; i < argc; i++)
    if (!take_module (argv[i], components))
      return 2;
  input.components = (const RagifyComponent *const *)components->pdata;
  input.n_components = components->len;
  input.prefix = prefix;
  ragify_reference_markdown (&input, markdown);
  ragify_reference_snippets (&input, snippets);
  sound = settle (argv[1], "configuration-reference.md", markdown->str, check);
  sound = settle (argv[1], "ragify.code-snippets", snippets->str, check) && sound;
  return sound ? 0 : 1;
}
