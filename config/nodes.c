/* SPDX-License-Identifier: MIT */
#include "config/loader.h"
#include "config/profiles.h"
#include "config/suggest.h"

#include <ragify/ragify.h>
#include <string.h>

static void G_GNUC_PRINTF (4, 5)
    report (RagifyLoader *loader, RagifySeverity severity, const RagifyPlace *place, const char *format, ...)
{
  g_autofree char *message = NULL;
  va_list arguments;

  va_start (arguments, format);
  message = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  ragify_diagnostics_report (loader->diagnostics, severity, place, "%s", message);
}

/* ---- Values ----------------------------------------------------------------------------------------------------- */

void
ragify_load_note_origin (RagifyLoader *loader, RagifyConfigNode *node, int slot, const RagifyDraftEntry *entry,
                         bool hidden)
{
  RagifyPlace place = ragify_draft_key_place (node->draft, entry);
  bool on_command_line = strcmp (place.file, ragify_command_line) == 0;

  node->values[slot].origin = (RagifyOrigin){
    .kind = on_command_line ? RAGIFY_ORIGIN_COMMAND_LINE : RAGIFY_ORIGIN_FILE,
    .file = g_string_chunk_insert_const (loader->config->paths, place.file),
    .line = place.line,
    .column = place.column,
  };
  node->written[slot].entry = entry;
  node->written[slot].key = g_strdup (entry->entry->key);
  node->written[slot].raw = g_strdup (entry->entry->value);
  node->written[slot].hidden = hidden;
}

static const RagifyValueContext *
context_for (const RagifyLoader *loader, const RagifyConfigNode *node, const char *key)
{
  bool is_state_dir = node->kind == RAGIFY_KIND_ID_HOST && strcmp (key, "state-dir") == 0;

  return is_state_dir ? &loader->start_context : &loader->context;
}

bool
ragify_load_value (RagifyLoader *loader, RagifyConfigNode *node, int slot, const RagifyDraftEntry *entry,
                   const char *raw)
{
  const RagifyKey *key = ragify_config_node_key (node, (size_t)slot);
  RagifyTextError error = { 0 };
  RagifyPlace place;
  bool hidden = false;

  if (ragify_value_parse (key, raw, context_for (loader, node, key->name), &node->values[slot], &hidden, &error)) {
    ragify_load_note_origin (loader, node, slot, entry, hidden);
    return true;
  }
  place = ragify_draft_value_place (node->draft, entry, raw == entry->entry->value ? error.offset : 0);
  report (loader, RAGIFY_SEVERITY_ERROR, &place, "%s", error.message);
  g_free (error.message);
  return false;
}

/* A value's default: the profile's, the installation's, or the table's or schema's. */
static const char *
default_of (const RagifyLoader *loader, const RagifyConfigNode *node, const RagifyKey *key, bool *from_profile)
{
  const RagifyConfigInput *input = loader->input;
  const char *component = node->component == NULL ? NULL : node->component->name;
  const char *value = ragify_profile_value (loader->profile, node->kind, component, key->name);

  *from_profile = value != NULL;
  if (value == NULL && node->kind == RAGIFY_KIND_ID_HOST) {
    if (strcmp (key->name, "state-dir") == 0)
      value = loader->state_dir;
    else if (strcmp (key->name, "models-dir") == 0)
      value = input->default_models_dir;
    else if (strcmp (key->name, "plugin-dir") == 0)
      value = input->default_plugin_dir;
  }
  return value == NULL ? key->default_value : value;
}

static void
fill_default (RagifyLoader *loader, RagifyConfigNode *node, size_t slot)
{
  const RagifyKey *key = ragify_config_node_key (node, slot);
  RagifyConfigValue *value = &node->values[slot];
  RagifyTextError error = { 0 };
  bool from_profile = false;
  bool hidden = false;
  const char *text = default_of (loader, node, key, &from_profile);
  RagifyValueContext context = *context_for (loader, node, key->name);

  if (text == NULL)
    return;
  if (!ragify_value_parse (key, text, &context, value, &hidden, &error)) {
    RagifyPlace place = ragify_draft_group_place (node->draft);

    report (loader, RAGIFY_SEVERITY_ERROR, &place, "plugin '%s' has a default that it does not take itself: %s",
            node->component == NULL ? "" : node->component->name, error.message);
    g_free (error.message);
    return;
  }
  value->origin = (RagifyOrigin){ .kind = from_profile ? RAGIFY_ORIGIN_PROFILE : RAGIFY_ORIGIN_DEFAULT,
                                  .file = from_profile ? loader->profile : NULL };
}

/* ---- Keys ------------------------------------------------------------------------------------------------------- */

/* The slot that KEY-file stands for, where KEY is a text, a URI or a secret of the component; −1: none. */
static int
file_slot (const RagifyConfigNode *node, const char *key)
{
  g_autofree char *base = NULL;
  int slot = -1;

  if (!g_str_has_suffix (key, "-file"))
    return -1;
  base = g_strndup (key, strlen (key) - strlen ("-file"));
  slot = ragify_config_node_slot (node, base);
  if (slot < (int)node->n_host_values)
    return -1;
  switch (node->values[slot].type) {
  case RAGIFY_KEY_STRING:
  case RAGIFY_KEY_URI:
  case RAGIFY_KEY_SECRET:
    return slot;
  default:
    return -1;
  }
}

/* "; it is a key of [http]", or "". */
static char *
other_kind_text (const char *key)
{
  for (unsigned int kind = 0; kind < RAGIFY_N_KINDS; kind++)
    if (ragify_host_key ((RagifyKind)kind, key) != NULL)
      return g_strdup_printf ("; it is a key of [%s]", ragify_kind_info ((RagifyKind)kind)->name);
  return g_strdup ("");
}

static void
report_unknown_key (RagifyLoader *loader, const RagifyConfigNode *node, const RagifyDraftEntry *entry, bool stand_in)
{
  RagifyPlace place = ragify_draft_key_place (node->draft, entry);
  const char *key = entry->entry->key;
  RagifySuggestion suggestion;
  g_autofree char *hint = NULL;

  ragify_suggestion_init (&suggestion, key, &loader->suggestions);
  for (size_t i = 0; i < node->n_values; i++)
    ragify_suggestion_try (&suggestion, node->values[i].key);
  hint = suggestion.best == NULL ? other_kind_text (key) : ragify_suggestion_text (&suggestion);
  if (stand_in && suggestion.best == NULL) {
    report (loader, RAGIFY_SEVERITY_WARNING, &place, "'%s' is not a key of '%s', which stands in; it has no effect",
            key, node->component->name);
    return;
  }
  report (loader, RAGIFY_SEVERITY_ERROR, &place, "unknown key '%s'%s", key, hint);
}

static void
report_deprecated (RagifyLoader *loader, const RagifyConfigNode *node, const RagifyDraftEntry *entry,
                   const RagifyKey *key)
{
  RagifyPlace place = ragify_draft_key_place (node->draft, entry);

  if (key->replaced_by != NULL)
    report (loader, RAGIFY_SEVERITY_WARNING, &place, "'%s' is deprecated; use '%s'", key->name, key->replaced_by);
  else
    report (loader, RAGIFY_SEVERITY_WARNING, &place, "'%s' is deprecated and will go", key->name);
}

/* Puts one entry where it belongs. `stand_in`: the component is a fallback, and the keys may be those of the other. */
static void
take_entry (RagifyLoader *loader, RagifyConfigNode *node, const RagifyDraftEntry *entry, bool open, bool stand_in)
{
  const char *name = entry->entry->key;
  int slot = ragify_config_node_slot (node, name);
  bool from_file = slot < 0;

  if (slot < 0)
    slot = file_slot (node, name);
  if (slot < 0) {
    /* Without its component nobody knows the node's keys. */
    if (!open)
      report_unknown_key (loader, node, entry, stand_in);
    return;
  }
  if (*entry->entry->value == '\0')
    return;
  if ((node->values[slot].flags & RAGIFY_KEY_DEPRECATED) != 0)
    report_deprecated (loader, node, entry, ragify_config_node_key (node, (size_t)slot));
  if (node->written[slot].entry != NULL) {
    RagifyPlace place = ragify_draft_key_place (node->draft, entry);

    report (loader, RAGIFY_SEVERITY_ERROR, &place, "'%s' and '%s' are both given; leave one out", name,
            node->written[slot].key);
    return;
  }
  if (from_file) {
    if (!ragify_load_value_file (loader, node, slot, entry))
      node->written[slot].entry = entry;
    return;
  }
  if (node->values[slot].type == RAGIFY_KEY_REFERENCE || node->values[slot].type == RAGIFY_KEY_REFERENCE_LIST) {
    ragify_load_note_origin (loader, node, slot, entry, false);
    return;
  }
  /* A value that was refused is there all the same: its key is not missing, and has no default. */
  if (!ragify_load_value (loader, node, slot, entry, entry->entry->value))
    node->written[slot].entry = entry;
}

/* ---- Components ------------------------------------------------------------------------------------------------- */

static const RagifyDraftEntry *
find_entry (const RagifyDraftGroup *group, const char *key)
{
  for (unsigned int i = 0; group != NULL && i < group->entries->len; i++) {
    const RagifyDraftEntry *entry = &g_array_index (group->entries, RagifyDraftEntry, i);

    if (strcmp (entry->entry->key, key) == 0 && *entry->entry->value != '\0')
      return entry;
  }
  return NULL;
}

/* A text that is needed before the node's keys are known; NULL: not written, or wrong, which is said later. */
static char *
early_text (const RagifyLoader *loader, const RagifyDraftGroup *group, const char *key)
{
  const RagifyDraftEntry *entry = find_entry (group, key);
  RagifyTextError error = { 0 };
  bool expanded = false;
  char *text = NULL;

  if (entry == NULL)
    return NULL;
  text = ragify_text_scalar (entry->entry->value, loader->context.environment, &expanded, &error);
  g_free (error.message);
  return text;
}

static char *
installed_text (const RagifyLoader *loader, RagifyKind kind)
{
  g_auto (GStrv) names = loader->lookup->list (loader->lookup->data, ragify_kind_info (kind)->abi_kind);
  g_autofree char *joined = names == NULL ? NULL : g_strjoinv (", ", names);

  if (joined == NULL || *joined == '\0')
    return g_strdup_printf ("no plugin for [%s] is installed", ragify_kind_info (kind)->name);
  return g_strdup_printf ("installed: %s", joined);
}

static void
report_unknown_plugin (RagifyLoader *loader, const RagifyConfigNode *node, const char *key, const char *plugin)
{
  const RagifyDraftEntry *entry = find_entry (node->draft, key);
  RagifyPlace place = ragify_draft_value_place (node->draft, entry, 0);
  g_auto (GStrv) names = loader->lookup->list (loader->lookup->data, ragify_kind_info (node->kind)->abi_kind);
  g_autofree char *installed = installed_text (loader, node->kind);
  g_autofree char *shown = ragify_quote (plugin);
  g_autofree char *hint = NULL;
  RagifySuggestion suggestion;

  ragify_suggestion_init (&suggestion, plugin, &loader->suggestions);
  for (size_t i = 0; names != NULL && names[i] != NULL; i++)
    ragify_suggestion_try (&suggestion, names[i]);
  hint = ragify_suggestion_text (&suggestion);
  report (loader, RAGIFY_SEVERITY_ERROR, &place, "unknown plugin %s%s (%s)", shown, hint, installed);
}

/* The component of `plugin`, or of the fallback where that is not installed. */
static const RagifyComponent *
choose_component (RagifyLoader *loader, RagifyConfigNode *node, const char *key, const char *plugin, bool *stand_in)
{
  const RagifySchemaLookup *lookup = loader->lookup;
  const char *abi_kind = ragify_kind_info (node->kind)->abi_kind;
  g_autofree char *fallback = early_text (loader, node->draft, "fallback");
  const RagifyComponent *component = lookup->find (lookup->data, abi_kind, plugin);
  RagifyPlace place;

  if (component != NULL)
    return component;
  component = fallback == NULL ? NULL : lookup->find (lookup->data, abi_kind, fallback);
  if (component == NULL) {
    if (node->enabled)
      report_unknown_plugin (loader, node, key, plugin);
    if (node->enabled && fallback != NULL)
      report_unknown_plugin (loader, node, "fallback", fallback);
    return NULL;
  }
  place = ragify_draft_value_place (node->draft, find_entry (node->draft, key), 0);
  report (loader, RAGIFY_SEVERITY_NOTE, &place, "plugin '%s' is not installed; '%s' stands in for it", plugin,
          fallback);
  *stand_in = true;
  return component;
}

/* Takes vector-db-url apart: the plugin, and the values of the keys of its that it stands for. */
static char *
store_url_plugin (RagifyLoader *loader, RagifyConfigNode *node, RagifyStoreUrl *parsed)
{
  const RagifyDraftEntry *entry =
      node->kind == RAGIFY_KIND_ID_VECTOR_STORE ? find_entry (node->draft, "vector-db-url") : NULL;
  g_autofree char *url = entry == NULL ? NULL : early_text (loader, node->draft, "vector-db-url");
  RagifyTextError error = { 0 };
  const char *plugin = NULL;
  RagifyPlace place;

  if (url == NULL)
    return NULL;
  place = ragify_draft_value_place (node->draft, entry, 0);
  if (find_entry (node->draft, "plugin") != NULL) {
    report (loader, RAGIFY_SEVERITY_ERROR, &place, "'plugin' and 'vector-db-url' are both given; leave one out");
    return NULL;
  }
  plugin = ragify_store_url_parse (url, parsed, &error);
  if (plugin == NULL)
    report (loader, RAGIFY_SEVERITY_ERROR, &place, "%s", error.message);
  g_free (error.message);
  return g_strdup (plugin);
}

static void
take_store_url (RagifyLoader *loader, RagifyConfigNode *node, const char *key, const char *value)
{
  const RagifyDraftEntry *entry = find_entry (node->draft, "vector-db-url");
  int slot = key == NULL || node->component == NULL ? -1 : ragify_config_node_slot (node, key);
  RagifyPlace place = ragify_draft_value_place (node->draft, entry, 0);
  g_autofree char *raw = value == NULL ? NULL : ragify_text_write (value, false);

  if (key == NULL || node->component == NULL)
    return;
  if (slot < 0)
    report (loader, RAGIFY_SEVERITY_ERROR, &place, "plugin '%s' has no key '%s' for the place that the URL says",
            node->component->name, key);
  else if (node->written[slot].entry != NULL)
    report (loader, RAGIFY_SEVERITY_ERROR, &place, "'%s' and 'vector-db-url' are both given; leave one out", key);
  else if (ragify_load_value (loader, node, slot, entry, raw))
    node->written[slot].hidden = true;
}

/* ---- Nodes ------------------------------------------------------------------------------------------------------ */

static void
check_missing (RagifyLoader *loader, const RagifyConfigNode *node)
{
  RagifyPlace place = ragify_draft_group_place (node->draft);

  /* A line that could not be read may have been the one that is missed. */
  if (node->draft->damaged || !node->enabled)
    return;
  for (size_t i = 0; i < node->n_values; i++) {
    const RagifyConfigValue *value = &node->values[i];
    g_autofree char *installed = NULL;

    if ((value->flags & RAGIFY_KEY_REQUIRED) == 0 || value->origin.kind != RAGIFY_ORIGIN_NONE ||
        node->written[i].entry != NULL)
      continue;
    if (strcmp (value->key, "plugin") != 0) {
      report (loader, RAGIFY_SEVERITY_ERROR, &place, "'%s' is missing", value->key);
      continue;
    }
    if (node->kind == RAGIFY_KIND_ID_VECTOR_STORE && find_entry (node->draft, "vector-db-url") != NULL)
      continue;
    installed = installed_text (loader, node->kind);
    report (loader, RAGIFY_SEVERITY_ERROR, &place, "'plugin' is missing (%s)", installed);
  }
}

static void
take_entries (RagifyLoader *loader, RagifyConfigNode *node, bool stand_in)
{
  bool open = ragify_kind_info (node->kind)->abi_kind != NULL && node->component == NULL;

  for (unsigned int i = 0; i < node->draft->entries->len; i++)
    take_entry (loader, node, &g_array_index (node->draft->entries, RagifyDraftEntry, i), open, stand_in);
}

static void
take_component (RagifyLoader *loader, RagifyConfigNode *node, bool *stand_in, RagifyStoreUrl *parsed)
{
  g_autofree char *url_plugin = NULL;
  g_autofree char *plugin = NULL;
  const RagifyComponent *component = NULL;

  if (ragify_kind_info (node->kind)->abi_kind == NULL)
    return;
  url_plugin = store_url_plugin (loader, node, parsed);
  plugin = early_text (loader, node->draft, "plugin");
  if (plugin == NULL && url_plugin == NULL)
    return;
  component = choose_component (loader, node, url_plugin == NULL ? "plugin" : "vector-db-url",
                                url_plugin == NULL ? plugin : url_plugin, stand_in);
  if (component != NULL)
    ragify_config_node_set_component (node, component);
}

static bool
is_disabled (const RagifyLoader *loader, const RagifyConfigNode *node)
{
  const RagifyHostKey *key = ragify_host_key (node->kind, "enabled");
  g_autofree char *text = key == NULL ? NULL : early_text (loader, node->draft, "enabled");
  RagifyConfigValue value = { 0 };
  RagifyTextError error = { 0 };
  bool parsed = text != NULL && ragify_value_from_text (&key->key, text, &loader->context, &value, &error);

  g_free (error.message);
  return parsed && !value.boolean;
}

static RagifyConfigNode *
build_node (RagifyLoader *loader, RagifyKind kind, const RagifyDraftGroup *group)
{
  RagifyConfigNode *node = ragify_config_add_node (loader->config, kind, group->name, group->text);
  g_auto (RagifyStoreUrl) parsed = { 0 };
  bool stand_in = false;

  node->draft = group;
  node->origin =
      (RagifyOrigin){ .kind = strcmp (group->scan->path, ragify_command_line) == 0 ? RAGIFY_ORIGIN_COMMAND_LINE
                                                                                   : RAGIFY_ORIGIN_FILE,
                      .file = g_string_chunk_insert_const (loader->config->paths, group->scan->path),
                      .line = group->line,
                      .column = group->column };
  node->enabled = !is_disabled (loader, node);
  take_component (loader, node, &stand_in, &parsed);
  take_entries (loader, node, stand_in);
  for (size_t i = 0; i < G_N_ELEMENTS (parsed.keys); i++)
    if (parsed.keys[i] != NULL)
      take_store_url (loader, node, parsed.keys[i], parsed.values[i]);
  for (size_t i = 0; i < node->n_values; i++)
    if (node->values[i].origin.kind == RAGIFY_ORIGIN_NONE && node->written[i].entry == NULL)
      fill_default (loader, node, i);
  check_missing (loader, node);
  return node;
}

/* The kind of a group, or false and why there is none. */
static bool
check_kind (RagifyLoader *loader, const RagifyDraftGroup *group, RagifyKind *kind)
{
  RagifyPlace place = ragify_draft_group_place (group);
  RagifySuggestion suggestion;
  g_autofree char *hint = NULL;

  if (ragify_kind_from_name (group->kind, kind)) {
    const RagifyKindInfo *info = ragify_kind_info (*kind);

    if (info->named == (*group->name != '\0'))
      return true;
    if (info->named)
      report (loader, RAGIFY_SEVERITY_ERROR, &place, "a name is missing; write [%s NAME]", info->name);
    else
      report (loader, RAGIFY_SEVERITY_ERROR, &place, "there is one [%s], and it has no name", info->name);
    return false;
  }
  ragify_suggestion_init (&suggestion, group->kind, &loader->suggestions);
  for (unsigned int i = 0; i < RAGIFY_N_KINDS; i++)
    ragify_suggestion_try (&suggestion, ragify_kind_info ((RagifyKind)i)->name);
  hint = ragify_suggestion_text (&suggestion);
  report (loader, RAGIFY_SEVERITY_ERROR, &place, "unknown kind '%s'%s", group->kind, hint);
  return false;
}

/* [host] state-dir comes before everything else, since relative paths are under it. */
static void
find_state_dir (RagifyLoader *loader, const RagifyDraftGroup *group)
{
  g_autofree char *written = early_text (loader, group, "state-dir");
  const char *from_service = ragify_environment_get (loader->context.environment, "STATE_DIRECTORY");
  g_autofree char *first = from_service == NULL ? NULL : g_strndup (from_service, strcspn (from_service, ":"));
  const char *chosen = written;

  if (chosen == NULL || *chosen == '\0')
    chosen = first;
  if (chosen == NULL || *chosen == '\0')
    chosen = loader->input->default_state_dir;
  if (chosen == NULL)
    chosen = ragify_host_key (RAGIFY_KIND_ID_HOST, "state-dir")->key.default_value;
  loader->state_dir = g_canonicalize_filename (chosen, loader->start_dir);
  loader->context.state_dir = loader->state_dir;
}

static void
build_host (RagifyLoader *loader)
{
  const RagifyDraftGroup *group = ragify_draft_find (loader->draft, "host");
  g_autofree char *profile = early_text (loader, group, "profile");

  find_state_dir (loader, group);
  for (size_t i = 0; profile != NULL && ragify_profile_names ()[i] != NULL; i++)
    if (g_ascii_strcasecmp (profile, ragify_profile_names ()[i]) == 0)
      loader->profile = ragify_profile_names ()[i];
  if (group != NULL) {
    loader->config->host = build_node (loader, RAGIFY_KIND_ID_HOST, group);
    return;
  }
  loader->config->host = ragify_config_add_node (loader->config, RAGIFY_KIND_ID_HOST, "", "host");
  loader->config->host->origin.kind = RAGIFY_ORIGIN_DEFAULT;
  for (size_t i = 0; i < loader->config->host->n_values; i++)
    fill_default (loader, loader->config->host, i);
}

void
ragify_load_nodes (RagifyLoader *loader)
{
  build_host (loader);
  if (loader->lookup->prepare != NULL)
    loader->lookup->prepare (loader->lookup->data,
                             ragify_config_node_get_list (loader->config->host, "plugin-dir", NULL));
  for (unsigned int i = 0; i < loader->draft->groups->len; i++) {
    const RagifyDraftGroup *group = g_ptr_array_index (loader->draft->groups, i);
    RagifyKind kind = RAGIFY_KIND_ID_HOST;

    if (!check_kind (loader, group, &kind)) {
      g_hash_table_add (loader->broken_names, (char *)group->name);
      loader->incomplete = true;
    } else if (kind != RAGIFY_KIND_ID_HOST)
      build_node (loader, kind, group);
  }
}
