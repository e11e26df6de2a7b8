/* SPDX-License-Identifier: MIT */
#include "core/app/load.h"

#include "core/app/supported.h"

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

RagifyConfig *
ragify_app_load (const RagifyConfigInput *input, RagifyRegistry *registry, RagifyDiagnostics *diagnostics)
{
  const RagifySchemaLookup lookup = {
    .data = registry, .prepare = load_plugins, .find = find_component, .list = list_components
  };
  g_autoptr (RagifyConfig) config = ragify_config_load (input, &lookup, diagnostics);
  if (config == NULL || !ragify_supported_check (config, diagnostics))
    return NULL;
  return g_steal_pointer (&config);
}
