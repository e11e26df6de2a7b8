/* SPDX-License-Identifier: MIT */
#include "config/reference.h"

#include "config/model.h"
#include "config/value.h"

#include <string.h>

static const char introduction[] =
    "# Configuration reference\n"
    "\n"
    "Every kind of group and every key, written by `ragify-config-reference` from the tables that the host checks\n"
    "files with: do not edit it. [configuration.md](configuration.md) explains the language.\n"
    "\n"
    "*Required* keys have no default. *Reloadable* ones are taken over by a running node; a change of others makes a\n"
    "new one. Any text, URI or secret of a plugin can come from a file: `KEY-file = PATH` in the place of `KEY`.\n";

static void
append_cell (GString *text, const char *cell)
{
  for (; *cell != '\0'; cell++) {
    if (*cell == '|')
      g_string_append_c (text, '\\');
    g_string_append_c (text, *cell);
  }
}

/* "duration, 1ms to 1h", "convex, rrf or max", "[cache] or [tier]". */
static char *
type_text (const RagifyKey *key, uint32_t references)
{
  GString *text = g_string_new (NULL);

  if (references != 0) {
    g_autofree char *kinds = ragify_kinds_text (references, " or ");
    g_string_append_printf (text, "%s %s", key->type == RAGIFY_KEY_REFERENCE ? "one" : "names of", kinds);
  } else if (key->type == RAGIFY_KEY_ENUM && key->choices != NULL) {
    g_auto (GStrv) choices = g_strsplit (key->choices, "|", -1);
    g_autofree char *joined = g_strjoinv ("`, `", choices);
    g_string_append_printf (text, "`%s`", joined);
  } else {
    g_string_append (text, ragify_value_type_name (key->type));
  }
  if (key->minimum != NULL && key->maximum != NULL)
    g_string_append_printf (text, ", %s to %s", key->minimum, key->maximum);
  else if (key->minimum != NULL)
    g_string_append_printf (text, ", at least %s", key->minimum);
  else if (key->maximum != NULL)
    g_string_append_printf (text, ", at most %s", key->maximum);
  if (key->unit != NULL)
    g_string_append_printf (text, key->minimum == NULL && key->maximum == NULL ? ", %s" : " %s", key->unit);
  return g_string_free (text, FALSE);
}

static char *
default_text (const RagifyReferenceInput *input, const RagifyKey *key, bool installed, bool of_plugin)
{
  size_t size = input->prefix == NULL ? 0 : strlen (input->prefix);

  if (installed)
    return g_strdup ("the installation's");
  if (key->default_value == NULL)
    return g_strdup ((key->flags & RAGIFY_KEY_REQUIRED) != 0 ? "*required*" : "");
  if (of_plugin && size > 1 && strncmp (key->default_value, input->prefix, size) == 0 &&
      key->default_value[size] == '/')
    return g_strdup_printf ("`PREFIX%s`", key->default_value + size);
  return g_strdup_printf ("`%s`", key->default_value);
}

static void
append_row (const RagifyReferenceInput *input, GString *text, const RagifyKey *key, uint32_t references, bool installed,
            bool of_plugin)
{
  g_autofree char *type = type_text (key, references);
  g_autofree char *default_value = default_text (input, key, installed, of_plugin);

  g_string_append_printf (text, "| `%s` | ", key->name);
  append_cell (text, type);
  g_string_append (text, " | ");
  append_cell (text, default_value);
  g_string_append (text, " | ");
  append_cell (text, key->summary == NULL ? "" : key->summary);
  if ((key->flags & RAGIFY_KEY_DEPRECATED) != 0)
    g_string_append_printf (text, " *Deprecated%s%s.*", key->replaced_by == NULL ? "" : "; use ",
                            key->replaced_by == NULL ? "" : key->replaced_by);
  if ((key->flags & RAGIFY_KEY_RELOADABLE) != 0)
    g_string_append (text, " *Reloadable.*");
  if (key->since != NULL)
    g_string_append_printf (text, " *Since %s.*", key->since);
  g_string_append (text, " |\n");
}

static void
append_table_head (GString *text)
{
  g_string_append (text, "\n| key | type | default | meaning |\n|---|---|---|---|\n");
}

/* The rows that every kind of plugin has, when `common`; otherwise the others of the kind. */
static void
append_host_keys (const RagifyReferenceInput *input, GString *text, RagifyKind kind, bool common)
{
  size_t count = 0;
  const RagifyHostKey *const *keys = ragify_host_keys (kind, &count);
  bool begun = false;

  for (size_t i = 0; i < count; i++) {
    bool is_common =
        (keys[i]->kinds & RAGIFY_PLUGIN_KINDS) == RAGIFY_PLUGIN_KINDS && ragify_kind_info (kind)->abi_kind != NULL;

    if (is_common != common)
      continue;
    if (!begun)
      append_table_head (text);
    begun = true;
    append_row (input, text, &keys[i]->key, keys[i]->references, (keys[i]->traits & RAGIFY_HOST_KEY_INSTALLED) != 0,
                false);
  }
}

static void
append_component (const RagifyReferenceInput *input, GString *text, const RagifyKindInfo *info,
                  const RagifyComponent *component)
{
  g_string_append_printf (text, "\n### %s: `plugin = %s`\n\n%s\n", info->name, component->name,
                          component->summary == NULL ? "" : component->summary);
  if (component->schema.count == 0)
    return;
  append_table_head (text);
  for (uint32_t i = 0; i < component->schema.count; i++)
    append_row (input, text, ragify_schema_key (&component->schema, i), 0, false, true);
}

static int
compare_components (gconstpointer left, gconstpointer right)
{
  return strcmp ((*(const RagifyComponent *const *)left)->name, (*(const RagifyComponent *const *)right)->name);
}

/* The components of a kind in the order of their names. */
static GPtrArray *
components_of (const RagifyReferenceInput *input, const RagifyKindInfo *info)
{
  GPtrArray *components = g_ptr_array_new ();

  for (size_t i = 0; i < input->n_components; i++)
    if (g_strcmp0 (info->abi_kind, input->components[i]->kind) == 0)
      g_ptr_array_add (components, (gpointer)input->components[i]);
  g_ptr_array_sort (components, compare_components);
  return components;
}

static void
append_kind (const RagifyReferenceInput *input, GString *text, RagifyKind kind)
{
  const RagifyKindInfo *info = ragify_kind_info (kind);
  g_autoptr (GPtrArray) components = components_of (input, info);

  g_string_append_printf (text, "\n## [%s%s]\n\n%s\n\n```ini\n%s```\n", info->name, info->named ? " NAME" : "",
                          info->summary, info->example);
  if (info->abi_kind != NULL)
    g_string_append (text, "\nBeside the [keys of every plugin](#keys-of-every-plugin):\n");
  append_host_keys (input, text, kind, false);
  for (unsigned int i = 0; i < components->len; i++)
    append_component (input, text, info, g_ptr_array_index (components, i));
}

static void
append_profiles (GString *text)
{
  g_string_append (text, "\n## Profiles\n\nWhat `[host] profile` lays under the keys that no file gives:\n");
  for (size_t i = 0; ragify_profile_names ()[i] != NULL; i++) {
    g_string_append (text, "\n```ini\n");
    ragify_profile_print (ragify_profile_names ()[i], text);
    g_string_append (text, "```\n");
  }
}

void
ragify_reference_markdown (const RagifyReferenceInput *input, GString *text)
{
  g_string_append (text, introduction);
  for (unsigned int kind = 0; kind < RAGIFY_N_KINDS; kind++)
    append_kind (input, text, (RagifyKind)kind);
  g_string_append (text,
                   "\n## Keys of every plugin\n\nWhatever does the work, the host itself keeps to these in `[source]`, "
                   "`[cache]`, `[vector-store]`, `[text-index]`,\n`[embedder]`, `[reranker]` and `[extractor]`:\n");
  append_host_keys (input, text, RAGIFY_KIND_ID_EXTRACTOR, true);
  append_profiles (text);
}

/* ---- Snippets --------------------------------------------------------------------------------------------------- */

static void
append_json (GString *text, const char *string)
{
  g_string_append_c (text, '"');
  for (; *string != '\0'; string++) {
    unsigned char c = (unsigned char)*string;

    if (c == '"' || c == '\\')
      g_string_append_printf (text, "\\%c", c);
    else if (c < 0x20)
      g_string_append_printf (text, "\\u%04x", c);
    else
      g_string_append_c (text, (char)c);
  }
  g_string_append_c (text, '"');
}

/* Inside ${1:…} of a snippet. */
static char *
escape_placeholder (const char *value)
{
  GString *text = g_string_new (NULL);

  for (; *value != '\0'; value++) {
    if (strchr ("$}\\,|", *value) != NULL)
      g_string_append_c (text, '\\');
    g_string_append_c (text, *value);
  }
  return g_string_free (text, FALSE);
}

/* "key = ${1|a,b|}" or "key = ${1:default}". */
static char *
key_line (const RagifyKey *key, unsigned int number)
{
  g_autofree char *escaped = escape_placeholder (key->default_value == NULL ? "" : key->default_value);

  if (key->type == RAGIFY_KEY_ENUM && key->choices != NULL) {
    g_auto (GStrv) choices = g_strsplit (key->choices, "|", -1);
    g_autofree char *joined = g_strjoinv (",", choices);
    return g_strdup_printf ("%s = ${%u|%s|}", key->name, number, joined);
  }
  if (key->type == RAGIFY_KEY_BOOL)
    return g_strdup_printf ("%s = ${%u|true,false|}", key->name, number);
  return g_strdup_printf ("%s = ${%u:%s}", key->name, number, escaped);
}

typedef struct Snippets {
  GString *text;
  bool begun;
} Snippets;

static void
append_snippet (Snippets *snippets, const char *title, const char *prefix, const char *const *lines,
                const char *summary)
{
  g_string_append (snippets->text, snippets->begun ? ",\n  " : "  ");
  snippets->begun = true;
  append_json (snippets->text, title);
  g_string_append (snippets->text, ": { \"prefix\": ");
  append_json (snippets->text, prefix);
  g_string_append (snippets->text, ", \"body\": [");
  for (size_t i = 0; lines[i] != NULL; i++) {
    if (i > 0)
      g_string_append (snippets->text, ", ");
    append_json (snippets->text, lines[i]);
  }
  g_string_append (snippets->text, "], \"description\": ");
  append_json (snippets->text, summary == NULL ? "" : summary);
  g_string_append (snippets->text, " }");
}

static void
append_key_snippet (Snippets *snippets, const char *where, const RagifyKey *key)
{
  g_autofree char *title = g_strdup_printf ("%s: %s", where, key->name);
  g_autofree char *line = key_line (key, 1);
  const char *const lines[] = { line, NULL };

  append_snippet (snippets, title, key->name, lines, key->summary);
}

/* A group with what it cannot be without. */
static void
append_group_snippet (Snippets *snippets, RagifyKind kind, const RagifyComponent *component)
{
  const RagifyKindInfo *info = ragify_kind_info (kind);
  g_autoptr (GPtrArray) lines = g_ptr_array_new_with_free_func (g_free);
  g_autofree char *title = component == NULL ? g_strdup_printf ("[%s]", info->name)
                                             : g_strdup_printf ("[%s] %s", info->name, component->name);
  size_t count = 0;
  const RagifyHostKey *const *keys = ragify_host_keys (kind, &count);
  unsigned int number = 2;

  g_ptr_array_add (lines, g_strdup_printf (info->named ? "[%s ${1:name}]" : "[%s]", info->name));
  if (component != NULL)
    g_ptr_array_add (lines, g_strdup_printf ("plugin = %s", component->name));
  for (size_t i = 0; i < count; i++)
    if ((keys[i]->key.flags & RAGIFY_KEY_REQUIRED) != 0 && strcmp (keys[i]->key.name, "plugin") != 0)
      g_ptr_array_add (lines, key_line (&keys[i]->key, number++));
  for (uint32_t i = 0; component != NULL && i < component->schema.count; i++) {
    const RagifyKey *key = ragify_schema_key (&component->schema, i);

    if ((key->flags & RAGIFY_KEY_REQUIRED) != 0)
      g_ptr_array_add (lines, key_line (key, number++));
  }
  g_ptr_array_add (lines, NULL);
  append_snippet (snippets, title, info->name, (const char *const *)lines->pdata,
                  component == NULL ? info->summary : component->summary);
}

void
ragify_reference_snippets (const RagifyReferenceInput *input, GString *text)
{
  Snippets snippets = { .text = text };

  g_string_append (text, "{\n");
  for (unsigned int kind = 0; kind < RAGIFY_N_KINDS; kind++) {
    const RagifyKindInfo *info = ragify_kind_info ((RagifyKind)kind);
    g_autoptr (GPtrArray) components = components_of (input, info);
    size_t count = 0;
    const RagifyHostKey *const *keys = ragify_host_keys ((RagifyKind)kind, &count);

    if (components->len == 0)
      append_group_snippet (&snippets, (RagifyKind)kind, NULL);
    for (unsigned int i = 0; i < components->len; i++)
      append_group_snippet (&snippets, (RagifyKind)kind, g_ptr_array_index (components, i));
    for (size_t i = 0; i < count; i++)
      append_key_snippet (&snippets, info->name, &keys[i]->key);
    for (unsigned int i = 0; i < components->len; i++) {
      const RagifyComponent *component = g_ptr_array_index (components, i);
      g_autofree char *where = g_strdup_printf ("%s %s", info->name, component->name);

      for (uint32_t j = 0; j < component->schema.count; j++)
        append_key_snippet (&snippets, where, ragify_schema_key (&component->schema, j));
    }
  }
  g_string_append (text, "\n}\n");
}
