/* SPDX-License-Identifier: MIT */
#include "core/module/registry.h"

#include <gmodule.h>
#include <string.h>

#include "config/config.h"
#include "core/module/abi-size.h"

#define PLUGIN_1_0 RAGIFY_SIZE_UP_TO (RagifyPlugin, components)
#define COMPONENT_1_0 RAGIFY_SIZE_UP_TO (RagifyComponent, get_extension)
#define KEY_1_0 RAGIFY_SIZE_UP_TO (RagifyKey, replaced_by)
#define MOST_KEYS 1000u

struct RagifyRegistry {
  GPtrArray *modules; /* RagifyModule */
};

G_DEFINE_QUARK (ragify - module - error - quark, ragify_module_error)

static const char *const kinds[] = {
  RAGIFY_KIND_SOURCE,   RAGIFY_KIND_CACHE,    RAGIFY_KIND_VECTOR_STORE, RAGIFY_KIND_TEXT_INDEX,
  RAGIFY_KIND_EMBEDDER, RAGIFY_KIND_RERANKER, RAGIFY_KIND_EXTRACTOR,
};

static void
module_free (gpointer data)
{
  RagifyModule *module = data;
  g_free (module->path);
  g_free (module->refusal);
  g_free (module);
}

RagifyRegistry *
ragify_registry_new (void)
{
  RagifyRegistry *registry = g_new0 (RagifyRegistry, 1);
  registry->modules = g_ptr_array_new_with_free_func (module_free);
  return registry;
}

void
ragify_registry_free (RagifyRegistry *registry)
{
  g_ptr_array_unref (registry->modules);
  g_free (registry);
}

/* ---- refusals: each says what is wrong and the way out ---- */

static gboolean
is_name (const char *text)
{
  if (text == NULL || *text < 'a' || *text > 'z')
    return FALSE;
  return strspn (text, "abcdefghijklmnopqrstuvwxyz0123456789-") == strlen (text);
}

static const RagifyKey *
key_at (const RagifySchema *schema, guint32 index)
{
  return (const RagifyKey *)(const void *)((const char *)schema->keys + (gsize)index * schema->stride);
}

static char *
refuse_schema (const RagifyComponent *component)
{
  const RagifySchema *schema = &component->schema;
  if (schema->count > 0 && (schema->keys == NULL || schema->stride < KEY_1_0 || schema->stride % sizeof (void *) != 0))
    return g_strdup_printf ("component '%s' has a schema whose keys are too small for ABI 1.0", component->name);
  if (schema->count > MOST_KEYS)
    return g_strdup_printf ("component '%s' says that its schema has %u keys; %u is the most", component->name,
                            schema->count, MOST_KEYS);
  for (guint32 i = 0; i < schema->count; i++) {
    const RagifyKey *key = key_at (schema, i);
    if (!is_name (key->name))
      return g_strdup_printf ("component '%s' declares a key that is not a name: '%s'. Names are [a-z][a-z0-9-]*",
                              component->name, key->name != NULL ? key->name : "");
    if (key->type < RAGIFY_KEY_STRING || key->type > RAGIFY_KEY_SECRET)
      return g_strdup_printf ("component '%s': key '%s' has the unknown type %u", component->name, key->name,
                              key->type);
    if (ragify_host_key_is_reserved (component->kind, key->name))
      return g_strdup_printf ("component '%s' declares the key '%s', which is reserved for the host. Rename it",
                              component->name, key->name);
    for (guint32 k = 0; k < i; k++)
      if (g_str_equal (key_at (schema, k)->name, key->name))
        return g_strdup_printf ("component '%s' declares the key '%s' twice", component->name, key->name);
  }
  return NULL;
}

/* The functions that a kind cannot do without. */
static const char *
missing_operation (const RagifyComponent *component)
{
#define NEED(Operations, member)                                                                                       \
  do {                                                                                                                 \
    const Operations *operations = component->operations;                                                              \
    if (!RAGIFY_HAS (operations, member) || operations->member == NULL)                                                \
      return #member;                                                                                                  \
  } while (0)
  if (g_str_equal (component->kind, RAGIFY_KIND_SOURCE))
    NEED (RagifySourceOperations, query);
  if (g_str_equal (component->kind, RAGIFY_KIND_CACHE)) {
    NEED (RagifyCacheOperations, get);
    NEED (RagifyCacheOperations, set);
    NEED (RagifyCacheOperations, remove);
    NEED (RagifyCacheOperations, clear);
  }
  if (g_str_equal (component->kind, RAGIFY_KIND_VECTOR_STORE)) {
    NEED (RagifyVectorStoreOperations, upsert);
    NEED (RagifyVectorStoreOperations, search);
    NEED (RagifyVectorStoreOperations, fetch);
    NEED (RagifyVectorStoreOperations, list);
    NEED (RagifyVectorStoreOperations, remove);
    NEED (RagifyVectorStoreOperations, generation);
  }
  if (g_str_equal (component->kind, RAGIFY_KIND_TEXT_INDEX)) {
    NEED (RagifyTextIndexOperations, upsert);
    NEED (RagifyTextIndexOperations, search);
    NEED (RagifyTextIndexOperations, remove);
    NEED (RagifyTextIndexOperations, generation);
  }
  if (g_str_equal (component->kind, RAGIFY_KIND_EMBEDDER)) {
    NEED (RagifyEmbedderOperations, describe);
    NEED (RagifyEmbedderOperations, embed);
  }
  if (g_str_equal (component->kind, RAGIFY_KIND_RERANKER))
    NEED (RagifyRerankerOperations, rerank);
  if (g_str_equal (component->kind, RAGIFY_KIND_EXTRACTOR)) {
    NEED (RagifyExtractorOperations, accepts);
    NEED (RagifyExtractorOperations, extract);
  }
#undef NEED
  return NULL;
}

static gboolean
is_known_kind (const char *kind)
{
  for (gsize i = 0; kind != NULL && i < G_N_ELEMENTS (kinds); i++)
    if (g_str_equal (kind, kinds[i]))
      return TRUE;
  return FALSE;
}

static char *
refuse_component (const RagifyRegistry *registry, const RagifyComponent *component)
{
  if (component->struct_size < COMPONENT_1_0)
    return g_strdup_printf ("a component is %u bytes where ABI 1.0 has %zu. Rebuild against ragify-plugin-sdk 1.x",
                            component->struct_size, COMPONENT_1_0);
  if (!is_name (component->name))
    return g_strdup ("a component has no name. Names are [a-z][a-z0-9-]*");
  if (!is_known_kind (component->kind))
    return g_strdup_printf ("component '%s' is of the kind '%s', which this host does not know. Upgrade ragify-host",
                            component->name, component->kind != NULL ? component->kind : "");
  if (component->run_class < RAGIFY_RUN_LOOP || component->run_class > RAGIFY_RUN_WORKER)
    return g_strdup_printf ("component '%s' has the unknown run class %u", component->name, component->run_class);
  if (component->create == NULL || component->start == NULL || component->destroy == NULL)
    return g_strdup_printf ("component '%s' lacks one of create, start and destroy", component->name);
  if (component->operations == NULL)
    return g_strdup_printf ("component '%s' has no operations", component->name);
  const char *missing = missing_operation (component);
  if (missing != NULL)
    return g_strdup_printf ("component '%s' lacks the operation '%s', which %s needs", component->name, missing,
                            component->kind);
  const RagifyModule *owner = NULL;
  if (ragify_registry_find (registry, component->kind, component->name, &owner) != NULL)
    return g_strdup_printf ("component '%s' of %s is already there, from %s. Remove one of the two", component->name,
                            component->kind, owner->path);
  return refuse_schema (component);
}

static char *
refuse_plugin (const RagifyRegistry *registry, const RagifyPlugin *plugin)
{
  if (plugin == NULL)
    return g_strdup (RAGIFY_PLUGIN_ENTRY " returned nothing");
  if (plugin->magic != RAGIFY_PLUGIN_MAGIC)
    return g_strdup_printf ("it is not a Ragify plugin: magic %08x where %08x was expected", plugin->magic,
                            RAGIFY_PLUGIN_MAGIC);
  if (plugin->abi_major != RAGIFY_ABI_MAJOR || plugin->abi_minor_needed > RAGIFY_ABI_MINOR)
    return g_strdup_printf ("needs plugin ABI %u.%u, this host speaks %u.0-%u.%u. Rebuild against ragify-plugin-sdk "
                            "%u.x, or upgrade ragify-host",
                            plugin->abi_major, plugin->abi_minor_needed, RAGIFY_ABI_MAJOR, RAGIFY_ABI_MAJOR,
                            RAGIFY_ABI_MINOR, RAGIFY_ABI_MAJOR);
  if (plugin->struct_size < PLUGIN_1_0)
    return g_strdup_printf ("its description is %u bytes where ABI 1.0 has %zu. Rebuild against ragify-plugin-sdk 1.x",
                            plugin->struct_size, PLUGIN_1_0);
  if (plugin->id == NULL || *plugin->id == '\0' || plugin->version == NULL || plugin->components == NULL)
    return g_strdup ("its description lacks an id, a version or its components");
  for (guint i = 0; i < registry->modules->len; i++) {
    const RagifyModule *other = g_ptr_array_index (registry->modules, i);
    if (other->plugin != NULL && g_str_equal (other->plugin->id, plugin->id))
      return g_strdup_printf ("a plugin with the id '%s' is already loaded, from %s. Remove one of the two", plugin->id,
                              other->path);
  }
  for (const RagifyComponent *const *component = plugin->components; *component != NULL; component++) {
    char *refusal = refuse_component (registry, *component);
    if (refusal != NULL)
      return refusal;
    for (const RagifyComponent *const *earlier = plugin->components; earlier != component; earlier++)
      if (g_str_equal ((*earlier)->kind, (*component)->kind) && g_str_equal ((*earlier)->name, (*component)->name))
        return g_strdup_printf ("it has two components '%s' of %s. Rename one of the two", (*component)->name,
                                (*component)->kind);
  }
  return NULL;
}

static const RagifyPlugin *
open_module (const char *path, char **refusal)
{
  GModule *handle = g_module_open (path, G_MODULE_BIND_LOCAL);
  if (handle == NULL) {
    const char *said = g_module_error ();
    *refusal = g_strdup_printf ("%s", said != NULL ? said : "it cannot be opened");
    return NULL;
  }
  g_module_make_resident (handle);
  gpointer symbol = NULL;
  if (!g_module_symbol (handle, RAGIFY_PLUGIN_ENTRY, &symbol) || symbol == NULL) {
    *refusal = g_strdup ("it has no symbol " RAGIFY_PLUGIN_ENTRY ". A plugin exports it with RAGIFY_EXPORT");
    return NULL;
  }
  const RagifyPlugin *(*query) (void);
  memcpy (&query, &symbol, sizeof query);
  return query ();
}

/* The module of this path that was loaded, if it was; one that was refused is forgotten, so that it is tried again. */
static RagifyModule *
take_known (RagifyRegistry *registry, const char *path)
{
  for (guint i = 0; i < registry->modules->len; i++) {
    RagifyModule *module = g_ptr_array_index (registry->modules, i);
    if (!g_str_equal (module->path, path))
      continue;
    if (module->plugin != NULL)
      return module;
    g_ptr_array_remove_index (registry->modules, i);
    return NULL;
  }
  return NULL;
}

/* What has been loaded stays, whatever becomes of its file. */
static void
warn_of_change (RagifyModule *module)
{
  GStatBuf now;
  if (g_stat (module->path, &now) != 0 ||
      (now.st_ino == module->file.st_ino && now.st_mtim.tv_sec == module->file.st_mtim.tv_sec &&
       now.st_mtim.tv_nsec == module->file.st_mtim.tv_nsec))
    return;
  g_warning ("%s has changed since it was loaded, and stays as it was until the host is restarted", module->path);
}

gboolean
ragify_registry_load (RagifyRegistry *registry, const char *path, GError **error)
{
  RagifyModule *known = take_known (registry, path);
  if (known != NULL) {
    warn_of_change (known);
    return TRUE;
  }
  RagifyModule *module = g_new0 (RagifyModule, 1);
  module->path = g_strdup (path);
  if (g_stat (path, &module->file) != 0)
    module->file = (GStatBuf){ 0 };
  const RagifyPlugin *plugin = open_module (path, &module->refusal);
  if (module->refusal == NULL)
    module->refusal = refuse_plugin (registry, plugin);
  if (module->refusal == NULL)
    module->plugin = plugin;
  g_ptr_array_add (registry->modules, module);
  if (module->refusal == NULL)
    return TRUE;
  g_set_error (error, RAGIFY_MODULE_ERROR, 0, "%s: not loaded: %s.", path, module->refusal);
  return FALSE;
}

static int
compare_names (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *)a, *(const char *const *)b);
}

gboolean
ragify_registry_load_folder (RagifyRegistry *registry, const char *folder, GError **error)
{
  g_autoptr (GDir) dir = g_dir_open (folder, 0, error);
  if (dir == NULL)
    return FALSE;
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  for (const char *name = g_dir_read_name (dir); name != NULL; name = g_dir_read_name (dir))
    if (g_str_has_suffix (name, ".so"))
      g_ptr_array_add (names, g_strdup (name));
  g_ptr_array_sort (names, compare_names);
  for (guint i = 0; i < names->len; i++) {
    g_autofree char *path = g_build_filename (folder, g_ptr_array_index (names, i), NULL);
    g_autoptr (GError) refusal = NULL;
    if (!ragify_registry_load (registry, path, &refusal))
      g_warning ("%s", refusal->message);
  }
  return TRUE;
}

const GPtrArray *
ragify_registry_modules (const RagifyRegistry *registry)
{
  return registry->modules;
}

const RagifyComponent *
ragify_registry_find (const RagifyRegistry *registry, const char *kind, const char *name, const RagifyModule **module)
{
  for (guint i = 0; i < registry->modules->len; i++) {
    const RagifyModule *candidate = g_ptr_array_index (registry->modules, i);
    if (candidate->plugin == NULL)
      continue;
    for (const RagifyComponent *const *component = candidate->plugin->components; *component != NULL; component++) {
      if (!g_str_equal ((*component)->kind, kind) || !g_str_equal ((*component)->name, name))
        continue;
      if (module != NULL)
        *module = candidate;
      return *component;
    }
  }
  return NULL;
}

static int
compare_components (gconstpointer a, gconstpointer b)
{
  return strcmp ((*(const RagifyComponent *const *)a)->name, (*(const RagifyComponent *const *)b)->name);
}

GPtrArray *
ragify_registry_list (const RagifyRegistry *registry, const char *kind)
{
  GPtrArray *list = g_ptr_array_new ();
  for (guint i = 0; i < registry->modules->len; i++) {
    const RagifyModule *module = g_ptr_array_index (registry->modules, i);
    for (const RagifyComponent *const *component = module->plugin != NULL ? module->plugin->components : NULL;
         component != NULL && *component != NULL; component++)
      if (g_str_equal ((*component)->kind, kind))
        g_ptr_array_add (list, (gpointer)*component);
  }
  g_ptr_array_sort (list, compare_components);
  return list;
}
