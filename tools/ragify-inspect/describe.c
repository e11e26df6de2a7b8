#include "inspect.h"

#include <string.h>

#include "config/value.h"
#include "core/module/registry.h"

static const RagifyKey *
key_at (const RagifySchema *schema, guint index)
{
  return (const RagifyKey *)(const void *)((const char *)schema->keys + (gsize)index * schema->stride);
}

/* Text of a module need not be UTF-8; what is not is replaced. */
static void
set_text (json_t *object, const char *name, const char *text)
{
  g_autofree char *valid = text != NULL ? g_utf8_make_valid (text, -1) : NULL;
  if (valid != NULL)
    json_object_set_new (object, name, json_string (valid));
}

static void
set_flag (json_t *object, const char *name, gboolean set)
{
  if (set)
    json_object_set_new (object, name, json_true ());
}

static json_t *
split_choices (const char *choices)
{
  g_auto (GStrv) items = g_strsplit (choices, "|", -1);
  json_t *list = json_array ();
  for (char **item = items; *item != NULL; item++)
    json_array_append_new (list, json_string (*item));
  return list;
}

static json_t *
describe_key (const RagifyKey *key)
{
  json_t *object = json_object ();
  set_text (object, "name", key->name);
  set_text (object, "type", ragify_value_type_name (key->type));
  set_flag (object, "required", (key->flags & RAGIFY_KEY_REQUIRED) != 0);
  set_flag (object, "reloadable", (key->flags & RAGIFY_KEY_RELOADABLE) != 0);
  set_flag (object, "deprecated", (key->flags & RAGIFY_KEY_DEPRECATED) != 0);
  set_text (object, "default", key->default_value);
  set_text (object, "unit", key->unit);
  if (key->choices != NULL)
    json_object_set_new (object, "choices", split_choices (key->choices));
  set_text (object, "minimum", key->minimum);
  set_text (object, "maximum", key->maximum);
  set_text (object, "summary", key->summary);
  set_text (object, "since", key->since);
  set_text (object, "replaced_by", key->replaced_by);
  return object;
}

static json_t *
describe_flags (guint32 flags)
{
  json_t *list = json_array ();
  if (flags & RAGIFY_COMPONENT_WANTS_EMBEDDING)
    json_array_append_new (list, json_string ("wants-embedding"));
  if (flags & RAGIFY_COMPONENT_FILTERS)
    json_array_append_new (list, json_string ("filters"));
  if (flags & RAGIFY_COMPONENT_REMOTE)
    json_array_append_new (list, json_string ("remote"));
  return list;
}

static json_t *
describe_component (const RagifyComponent *component)
{
  static const char *const classes[] = {
    [RAGIFY_RUN_LOOP] = "loop", [RAGIFY_RUN_SHARED] = "shared", [RAGIFY_RUN_WORKER] = "worker"
  };
  json_t *object = json_object (), *keys = json_array ();
  set_text (object, "kind", component->kind);
  set_text (object, "name", component->name);
  set_text (object, "summary", component->summary);
  set_text (object, "runs", classes[component->run_class]);
  if (component->run_class == RAGIFY_RUN_WORKER)
    json_object_set_new (object, "max_parallel", json_integer (MAX (component->max_parallel, 1)));
  json_object_set_new (object, "flags", describe_flags (component->flags));
  for (guint i = 0; i < component->schema.count; i++)
    json_array_append_new (keys, describe_key (key_at (&component->schema, i)));
  json_object_set_new (object, "keys", keys);
  return object;
}

static void
describe_plugin (json_t *object, const RagifyPlugin *plugin)
{
  g_autofree char *abi = g_strdup_printf ("%u.%u", plugin->abi_major, plugin->abi_minor_needed);
  json_t *components = json_array ();
  set_text (object, "id", plugin->id);
  set_text (object, "version", plugin->version);
  set_text (object, "licence", plugin->licence);
  set_text (object, "summary", plugin->summary);
  set_text (object, "url", plugin->url);
  set_text (object, "abi", abi);
  for (const RagifyComponent *const *component = plugin->components; *component != NULL; component++)
    json_array_append_new (components, describe_component (*component));
  json_object_set_new (object, "components", components);
}

json_t *
ragify_inspect_describe (const char *path)
{
  g_autoptr (RagifyRegistry) registry = ragify_registry_new ();
  json_t *object = json_object ();
  set_text (object, "path", path);
  ragify_registry_load (registry, path, NULL);
  const RagifyModule *module = g_ptr_array_index (ragify_registry_modules (registry), 0);
  if (module->plugin != NULL)
    describe_plugin (object, module->plugin);
  else
    set_text (object, "refusal", module->refusal);
  return object;
}
