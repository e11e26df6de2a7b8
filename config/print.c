/* SPDX-License-Identifier: MIT */
#include "config/model.h"
#include "config/redact.h"
#include "config/value.h"

#include <string.h>

/* Where comments begin, so that origins stand below one another. */
enum { COMMENT_COLUMN = 44 };

static char *
origin_text (const RagifyOrigin *origin)
{
  switch (origin->kind) {
  case RAGIFY_ORIGIN_DEFAULT:
    return g_strdup ("default");
  case RAGIFY_ORIGIN_PROFILE:
    return g_strdup_printf ("profile %s", origin->file);
  case RAGIFY_ORIGIN_FILE:
  case RAGIFY_ORIGIN_COMMAND_LINE:
    return g_strdup_printf ("%s:%u:%u", origin->file, origin->line, origin->column);
  default:
    return g_strdup ("not set");
  }
}

static void
append_line (GString *text, const char *line, const char *comment)
{
  size_t width = (size_t)g_utf8_strlen (line, -1);

  g_string_append (text, line);
  for (; width < COMMENT_COLUMN - 1; width++)
    g_string_append_c (text, ' ');
  g_string_append_printf (text, " # %s\n", comment);
}

static char *
references_text (const RagifyConfigValue *value)
{
  GString *names = g_string_new (NULL);

  for (size_t i = 0; i < value->refs.count; i++)
    g_string_append_printf (names, "%s%s", i == 0 ? "" : "; ", value->refs.nodes[i]->name);
  return g_string_free (names, FALSE);
}

/* The line's text, or NULL where the value must not be shown at all. */
static char *
value_text (const RagifyConfigNode *node, size_t slot)
{
  const RagifyConfigValue *value = &node->values[slot];
  const RagifyWritten *written = &node->written[slot];
  g_autofree char *text = NULL;
  bool from_file = written->key != NULL && strcmp (written->key, value->key) != 0;

  if (from_file || (written->hidden && value->type != RAGIFY_KEY_SECRET))
    return ragify_redact (written->raw);
  if (value->type == RAGIFY_KEY_SECRET) {
    /* A variable's name says where the secret is and not what it is. */
    if (written->raw == NULL || strncmp (written->raw, "${", 2) != 0 ||
        strchr (written->raw, '}') != written->raw + strlen (written->raw) - 1)
      return NULL;
    return g_strdup (written->raw);
  }
  if (value->type == RAGIFY_KEY_REFERENCE || value->type == RAGIFY_KEY_REFERENCE_LIST)
    return references_text (value);
  text = ragify_value_to_text (value);
  return ragify_redact (text);
}

static void
print_value (const RagifyConfigNode *node, size_t slot, GString *text)
{
  const RagifyConfigValue *value = &node->values[slot];
  const RagifyWritten *written = &node->written[slot];
  bool is_written = value->origin.kind == RAGIFY_ORIGIN_FILE || value->origin.kind == RAGIFY_ORIGIN_COMMAND_LINE;
  const char *key = written->key == NULL ? value->key : written->key;
  g_autofree char *origin = origin_text (&value->origin);
  g_autofree char *shown = NULL;
  g_autofree char *line = NULL;

  if (value->origin.kind == RAGIFY_ORIGIN_NONE) {
    line = g_strdup_printf ("#%s =", value->key);
    append_line (text, line, origin);
    return;
  }
  /* What stands for several keys, such as vector-db-url, is shown once, as it was written. */
  if (written->key != NULL && strcmp (written->key, value->key) != 0 &&
      ragify_config_node_slot (node, written->key) >= 0)
    return;
  shown = value_text (node, slot);
  if (shown == NULL)
    line = g_strdup_printf ("#%s = (not shown)", key);
  else
    line = g_strdup_printf ("%s%s = %s", is_written ? "" : "#", key, shown);
  append_line (text, line, origin);
}

void
ragify_config_print (const RagifyConfig *config, GString *text)
{
  for (unsigned int i = 0; i < config->in_files->len; i++) {
    const RagifyConfigNode *node = g_ptr_array_index (config->in_files, i);
    g_autofree char *head = g_strdup_printf ("[%s]", node->group);
    g_autofree char *origin = origin_text (&node->origin);

    if (i > 0)
      g_string_append_c (text, '\n');
    append_line (text, head, origin);
    if (node->component != NULL && node->component->summary != NULL)
      g_string_append_printf (text, "# %s: %s\n", node->component->name, node->component->summary);
    for (size_t slot = 0; slot < node->n_values; slot++)
      print_value (node, slot, text);
  }
}

/* ---- The graph -------------------------------------------------------------------------------------------------- */

static const char *const fill_colours[RAGIFY_N_KINDS] = {
  [RAGIFY_KIND_ID_HTTP] = "#e8e8e8",         [RAGIFY_KIND_ID_EMBEDDER] = "#ffe9c7",
  [RAGIFY_KIND_ID_VECTOR_STORE] = "#cfe5ff", [RAGIFY_KIND_ID_TEXT_INDEX] = "#d9f0ff",
  [RAGIFY_KIND_ID_SOURCE] = "#d8f5d0",       [RAGIFY_KIND_ID_BALANCER] = "#e9f8df",
  [RAGIFY_KIND_ID_CACHE] = "#f3dcf5",        [RAGIFY_KIND_ID_TIER] = "#f8ebf9",
  [RAGIFY_KIND_ID_RERANKER] = "#ffdcd6",     [RAGIFY_KIND_ID_EXTRACTOR] = "#f0f0d0",
  [RAGIFY_KIND_ID_INGEST] = "#f5efe0",       [RAGIFY_KIND_ID_PIPELINE] = "#fff6b0",
};

/* Names are letters, digits and ". _ -": they need no escaping inside quotes. */
static void
print_graph_node (const RagifyConfigNode *node, GString *text)
{
  const char *kind = ragify_config_node_kind (node);

  g_string_append_printf (text, "  \"%s\" [label=\"%s\\n%s", node->group, node->name, kind);
  if (node->component != NULL)
    g_string_append_printf (text, ": %s", node->component->name);
  g_string_append_printf (text, "\", fillcolor=\"%s\"%s%s];\n", fill_colours[node->kind],
                          node->kind == RAGIFY_KIND_ID_PIPELINE ? ", penwidth=2" : "",
                          node->enabled ? "" : ", style=\"rounded,dashed\", fontcolor=gray");
}

static void
print_graph_edges (const RagifyConfigNode *node, GString *text)
{
  for (size_t slot = 0; slot < node->n_host_values; slot++) {
    const RagifyConfigValue *value = &node->values[slot];

    if (node->host_keys[slot]->references == 0 || value->origin.kind == RAGIFY_ORIGIN_NONE)
      continue;
    for (size_t i = 0; i < value->refs.count; i++)
      g_string_append_printf (text, "  \"%s\" -> \"%s\" [label=\"%s\"%s];\n", node->group, value->refs.nodes[i]->group,
                              value->key, node->enabled ? "" : ", style=dashed");
  }
}

void
ragify_config_print_graph (const RagifyConfig *config, GString *text)
{
  g_string_append (text, "digraph ragify {\n"
                         "  rankdir=LR;\n"
                         "  node [shape=box, style=\"rounded,filled\", fontname=\"sans-serif\", fontsize=11];\n"
                         "  edge [fontname=\"sans-serif\", fontsize=9, color=\"#606060\"];\n");
  for (unsigned int i = 0; i < config->in_files->len; i++) {
    const RagifyConfigNode *node = g_ptr_array_index (config->in_files, i);

    if (node->kind != RAGIFY_KIND_ID_HOST && node->kind != RAGIFY_KIND_ID_HTTP)
      print_graph_node (node, text);
  }
  for (unsigned int i = 0; i < config->in_files->len; i++)
    print_graph_edges (g_ptr_array_index (config->in_files, i), text);
  g_string_append (text, "}\n");
}

/* ---- The graph for programs ------------------------------------------------------------------------------------- */

static bool
is_in_graph (const RagifyConfigNode *node)
{
  return node->kind != RAGIFY_KIND_ID_HOST && node->kind != RAGIFY_KIND_ID_HTTP;
}

static void
print_json_edges (const RagifyConfigNode *node, GString *text, bool *more)
{
  for (size_t slot = 0; slot < node->n_host_values; slot++) {
    const RagifyConfigValue *value = &node->values[slot];

    if (node->host_keys[slot]->references == 0 || value->origin.kind == RAGIFY_ORIGIN_NONE)
      continue;
    for (size_t i = 0; i < value->refs.count; i++) {
      g_string_append_printf (text, "%s{\"from\":\"%s\",\"to\":\"%s\",\"as\":\"%s\"}", *more ? "," : "", node->group,
                              value->refs.nodes[i]->group, value->key);
      *more = true;
    }
  }
}

void
ragify_config_print_graph_json (const RagifyConfig *config, GString *text)
{
  bool more = false;

  g_string_append (text, "{\"nodes\":[");
  for (unsigned int i = 0; i < config->in_files->len; i++) {
    const RagifyConfigNode *node = g_ptr_array_index (config->in_files, i);

    if (!is_in_graph (node))
      continue;
    g_string_append_printf (text, "%s{\"id\":\"%s\",\"kind\":\"%s\",\"name\":\"%s\",\"plugin\":", more ? "," : "",
                            node->group, ragify_config_node_kind (node), node->name);
    if (node->component != NULL)
      g_string_append_printf (text, "\"%s\"", node->component->name);
    else
      g_string_append (text, "null");
    g_string_append_printf (text, ",\"enabled\":%s}", node->enabled ? "true" : "false");
    more = true;
  }
  g_string_append (text, "],\"edges\":[");
  more = false;
  for (unsigned int i = 0; i < config->in_files->len; i++)
    print_json_edges (g_ptr_array_index (config->in_files, i), text, &more);
  g_string_append (text, "]}");
}
