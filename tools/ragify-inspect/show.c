#include "inspect.h"

#include <stdio.h>
#include <string.h>

#include "config/host-keys.h"
#include "tools/common/tool-exit.h"

const char *
ragify_inspect_group (const json_t *component)
{
  const char *kind = ragify_json_get_string (component, "kind");
  for (guint i = 0; kind != NULL && i < RAGIFY_N_KINDS; i++) {
    const RagifyKindInfo *info = ragify_kind_info ((RagifyKind)i);
    if (info->abi_kind != NULL && g_str_equal (info->abi_kind, kind))
      return info->name;
  }
  return "";
}

static void G_GNUC_PRINTF (1, 2) say (const char *format, ...)
{
  va_list arguments;
  va_start (arguments, format);
  g_autofree char *text = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  g_autofree char *printable = ragify_tool_printable (text);
  fputs (printable, stdout);
}

static const char *
text_of (const json_t *object, const char *name)
{
  const char *text = ragify_json_get_string (object, name);
  return text != NULL ? text : "";
}

/* ---- the list ---- */

static void
list_module (const json_t *module)
{
  gsize index;
  const json_t *component;
  if (json_object_get (module, "refusal") != NULL) {
    say ("%s\n  not loaded: %s.\n", text_of (module, "path"), text_of (module, "refusal"));
    return;
  }
  say ("%s\n  %s %s (%s)\n", text_of (module, "path"), text_of (module, "id"), text_of (module, "version"),
       text_of (module, "licence"));
  json_array_foreach (json_object_get (module, "components"), index, component)
  {
    say ("  %-13s %-14s %s\n", ragify_inspect_group (component), text_of (component, "name"),
         text_of (component, "summary"));
  }
}

guint
ragify_inspect_list (const json_t *modules, gboolean failed_only)
{
  guint failed = 0, components = 0, printed = 0;
  gsize index;
  const json_t *module;
  json_array_foreach (modules, index, module)
  {
    const gboolean refused = json_object_get (module, "refusal") != NULL;
    failed += refused ? 1 : 0;
    components += (guint)json_array_size (json_object_get (module, "components"));
    if (failed_only && !refused)
      continue;
    list_module (module);
    printed++;
  }
  say ("%s%zu modules, %u components, %u not loaded\n", printed > 0 ? "\n" : "", json_array_size (modules), components,
       failed);
  return printed;
}

/* ---- one component ---- */

static void
show_range (const json_t *key)
{
  const char *minimum = ragify_json_get_string (key, "minimum"), *maximum = ragify_json_get_string (key, "maximum");
  if (minimum != NULL && maximum != NULL)
    say (", %s to %s", minimum, maximum);
  else if (minimum != NULL)
    say (", at least %s", minimum);
  else if (maximum != NULL)
    say (", at most %s", maximum);
}

static void
show_choices (const json_t *key)
{
  gsize index;
  const json_t *choice;
  json_array_foreach (json_object_get (key, "choices"), index, choice)
  {
    say ("%s%s", index == 0 ? ": " : "|", json_string_value (choice));
  }
}

static void
show_key (const json_t *key)
{
  const char *unit = ragify_json_get_string (key, "unit"), *value = ragify_json_get_string (key, "default");
  say ("  %s\n    %s\n    %s", text_of (key, "name"), text_of (key, "summary"), text_of (key, "type"));
  show_choices (key);
  show_range (key);
  if (unit != NULL)
    say (" %s", unit);
  if (value != NULL)
    say ("; default %s", *value != '\0' ? value : "empty");
  if (json_object_get (key, "required") != NULL)
    say ("; required");
  if (json_object_get (key, "reloadable") != NULL)
    say ("; reloadable");
  if (json_object_get (key, "deprecated") != NULL)
    say ("; deprecated, use %s", text_of (key, "replaced_by"));
  if (g_str_equal (text_of (key, "type"), "secret"))
    say ("; also %s-file, ${ENVIRONMENT} or a file in $CREDENTIALS_DIRECTORY", text_of (key, "name"));
  say ("\n");
}

static void
show_host_keys (const json_t *component)
{
  RagifyKind kind;
  size_t count = 0;
  if (!ragify_kind_from_name (ragify_inspect_group (component), &kind))
    return;
  const RagifyHostKey *const *keys = ragify_host_keys (kind, &count);
  say ("\nKeys that every [%s NAME] has:\n ", ragify_inspect_group (component));
  for (size_t i = 0; i < count; i++)
    say (" %s%s", keys[i]->key.name, i + 1 < count ? "," : "\n");
}

void
ragify_inspect_show (const json_t *module, const json_t *component)
{
  gsize index;
  const json_t *item;
  say ("%s %s: %s\n\n", ragify_inspect_group (component), text_of (component, "name"), text_of (component, "summary"));
  say ("Module   %s\nPlugin   %s %s, %s, ABI %s\n", text_of (module, "path"), text_of (module, "id"),
       text_of (module, "version"), text_of (module, "licence"), text_of (module, "abi"));
  if (*text_of (module, "url") != '\0')
    say ("Home     %s\n", text_of (module, "url"));
  say ("Runs     %s", text_of (component, "runs"));
  if (json_object_get (component, "max_parallel") != NULL)
    say (", %" G_GINT64_FORMAT " calls at once", ragify_json_get_integer (component, "max_parallel", 1));
  json_array_foreach (json_object_get (component, "flags"), index, item)
  {
    say (", %s", json_string_value (item));
  }
  say ("\n\nKeys:\n");
  json_array_foreach (json_object_get (component, "keys"), index, item)
  {
    show_key (item);
  }
  if (json_array_size (json_object_get (component, "keys")) == 0)
    say ("  none of its own\n");
  show_host_keys (component);
}
