#include "inspect.h"

#include <stdio.h>
#include <string.h>

#include "config/host-keys.h"

/* What a required key may look like; it is to be replaced. */
static const char *
placeholder (const json_t *key)
{
  static const struct {
    const char *type, *example;
  } examples[] = { { "text", "TEXT" },     { "integer", "1" },       { "number", "1" },   { "boolean", "true" },
                   { "duration", "1s" },   { "size", "1MiB" },       { "path", "/PATH" }, { "URI", "https://EXAMPLE" },
                   { "list", "ONE; TWO" }, { "secret", "${SECRET}" } };
  const json_t *choices = json_object_get (key, "choices");
  const char *type = ragify_json_get_string (key, "type");
  if (json_array_size (choices) > 0)
    return json_string_value (json_array_get (choices, 0));
  for (gsize i = 0; i < G_N_ELEMENTS (examples); i++)
    if (g_ascii_strcasecmp (examples[i].type, type != NULL ? type : "") == 0)
      return examples[i].example;
  return "VALUE";
}

static void
print_key (const json_t *key)
{
  const gboolean required = json_object_get (key, "required") != NULL;
  const char *name = ragify_json_get_string (key, "name"), *value = ragify_json_get_string (key, "default");
  const char *summary = ragify_json_get_string (key, "summary");
  if (json_object_get (key, "deprecated") != NULL)
    return;
  printf ("# %s%s\n", summary != NULL ? summary : "", required ? " Required." : "");
  printf ("%s%s = %s\n", required ? "" : "#", name, value != NULL ? value : required ? placeholder (key) : "");
}

/* Other nodes that the host's own keys of the kind demand. */
static void
print_references (const json_t *component)
{
  RagifyKind kind;
  size_t count = 0;
  if (!ragify_kind_from_name (ragify_inspect_group (component), &kind))
    return;
  const RagifyHostKey *const *keys = ragify_host_keys (kind, &count);
  for (size_t i = 0; i < count; i++) {
    if (keys[i]->references == 0)
      continue;
    const gboolean required = (keys[i]->key.flags & RAGIFY_KEY_REQUIRED) != 0;
    g_autofree char *kinds = ragify_kinds_text (keys[i]->references, " or ");
    printf ("# %s Names %s.%s\n%s%s = NAME\n", keys[i]->key.summary, kinds, required ? " Required." : "",
            required ? "" : "#", keys[i]->key.name);
  }
}

void
ragify_inspect_stub (const json_t *component)
{
  const char *name = ragify_json_get_string (component, "name"),
             *summary = ragify_json_get_string (component, "summary");
  gsize index;
  const json_t *key;
  printf ("# %s\n[%s my-%s]\nplugin = %s\n", summary != NULL ? summary : "", ragify_inspect_group (component), name,
          name);
  print_references (component);
  json_array_foreach (json_object_get (component, "keys"), index, key)
  {
    print_key (key);
  }
}
