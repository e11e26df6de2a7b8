/* SPDX-License-Identifier: MIT */
#include "config/lint.h"

#include <string.h>

/* A pipeline inside a pipeline takes part in every request of the outer one; deeper than this nobody follows it. */
enum { PIPELINE_DEPTH_MAX = 8 };

static bool
is_enabled_kind (const RagifyConfigNode *node, RagifyKind kind)
{
  return node->kind == kind && node->enabled;
}

/* ---- Names ------------------------------------------------------------------------------------------------------ */

static void
check_names (RagifyLoader *loader)
{
  GPtrArray *nodes = loader->config->in_files;
  g_autoptr (GHashTable) taken = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);

  for (unsigned int i = 0; i < nodes->len; i++) {
    const RagifyConfigNode *node = g_ptr_array_index (nodes, i);
    RagifyNameSpace space = ragify_kind_info (node->kind)->names;
    g_autofree char *name = g_strdup_printf ("%d %s", (int)space, node->name);
    const RagifyConfigNode *other = g_hash_table_lookup (taken, name);

    if (space == RAGIFY_NAMES_OWN)
      continue;
    if (other == NULL)
      g_hash_table_insert (taken, g_steal_pointer (&name), (gpointer)node);
    else
      ragify_load_report (
          loader, RAGIFY_SEVERITY_ERROR, node, NULL,
          "the name '%s' is taken by [%s] (%s:%u); what pipelines refer to by name needs different names", node->name,
          other->group, other->origin.file, other->origin.line);
  }
}

/* ---- Use -------------------------------------------------------------------------------------------------------- */

/* What is reached from the nodes that are there for their own sake. Later nodes refer to earlier ones only, so that one
 * pass from the end suffices. */
static void
check_use (RagifyLoader *loader)
{
  GPtrArray *nodes = loader->config->nodes;

  for (unsigned int i = nodes->len; i-- > 0;) {
    RagifyConfigNode *node = g_ptr_array_index (nodes, i);

    if (ragify_kind_info (node->kind)->root)
      node->used = true;
    /* What only something disabled uses is not to be reported: it comes back with that. */
    if (!node->used && node->enabled)
      continue;
    for (size_t slot = 0; slot < node->n_host_values; slot++) {
      const RagifyConfigValue *value = &node->values[slot];

      if (node->host_keys[slot]->references == 0 || value->origin.kind == RAGIFY_ORIGIN_NONE)
        continue;
      for (size_t j = 0; j < value->refs.count; j++)
        ((RagifyConfigNode *)value->refs.nodes[j])->used = true;
    }
  }
  for (unsigned int i = 0; i < nodes->len && !loader->incomplete; i++) {
    const RagifyConfigNode *node = g_ptr_array_index (nodes, i);

    if (!node->used && node->enabled)
      ragify_load_report (loader, RAGIFY_SEVERITY_WARNING, node, NULL, "nothing uses this node");
  }
}

static void
check_presence (RagifyLoader *loader)
{
  const RagifyPlace whole = { .file = "configuration" };
  bool pipeline = false;
  bool listener = false;

  for (unsigned int i = 0; i < loader->config->nodes->len; i++) {
    const RagifyConfigNode *node = g_ptr_array_index (loader->config->nodes, i);

    pipeline = pipeline || is_enabled_kind (node, RAGIFY_KIND_ID_PIPELINE);
    listener = listener || node->kind == RAGIFY_KIND_ID_HTTP;
  }
  /* What was refused may have been what is missed. */
  if (loader->incomplete)
    return;
  if (!pipeline)
    ragify_diagnostics_report (loader->diagnostics, RAGIFY_SEVERITY_WARNING, &whole,
                               "there is no [pipeline NAME]: no query can be answered");
  else if (ragify_config_find (loader->config, "pipeline", "default") == NULL)
    ragify_diagnostics_report (loader->diagnostics, RAGIFY_SEVERITY_WARNING, &whole,
                               "there is no [pipeline default]: requests must name their pipeline");
  if (!listener)
    ragify_diagnostics_report (loader->diagnostics, RAGIFY_SEVERITY_WARNING, &whole,
                               "there is no [http NAME]: the API is not served");
}

/* ---- Profiles --------------------------------------------------------------------------------------------------- */

static void
check_profile (RagifyLoader *loader)
{
  size_t count = 0;
  const RagifyProfileBackend *backends =
      loader->profile == NULL ? NULL : ragify_profile_backends (loader->profile, &count);

  for (size_t i = 0; i < count; i++) {
    bool found = false;

    for (unsigned int j = 0; j < loader->config->nodes->len && !found; j++) {
      const RagifyConfigNode *node = g_ptr_array_index (loader->config->nodes, j);

      found = is_enabled_kind (node, backends[i].kind) && node->component != NULL &&
              strcmp (node->component->name, backends[i].component) == 0;
    }
    if (!found)
      ragify_load_report (loader, RAGIFY_SEVERITY_WARNING, loader->config->host, "profile",
                          "profile '%s' is made for a %s with plugin = %s, and there is none; %s", loader->profile,
                          ragify_kind_info (backends[i].kind)->name, backends[i].component, backends[i].advice);
  }
}

/* ---- Pipelines -------------------------------------------------------------------------------------------------- */

/* Warns where `node`, or what it asks in turn, may take longer than the pipeline has. */
static void
check_deadline (RagifyLoader *loader, const RagifyConfigNode *pipeline, const RagifyConfigNode *node, GHashTable *seen)
{
  uint64_t whole = ragify_config_node_get_duration (pipeline, "deadline");
  int slot = ragify_config_node_slot (node, "deadline");
  size_t count = 0;
  const RagifyConfigNode *const *members = NULL;

  if (!g_hash_table_add (seen, (gpointer)node))
    return;
  if (slot >= 0 && node->written[slot].entry != NULL && node->values[slot].origin.kind != RAGIFY_ORIGIN_NONE &&
      node->values[slot].duration > whole) {
    g_autofree char *own = ragify_value_to_text (&node->values[slot]);
    g_autofree char *limit = ragify_value_to_text (ragify_config_node_value (pipeline, "deadline"));

    ragify_load_report (loader, RAGIFY_SEVERITY_WARNING, node, "deadline",
                        "'deadline' of %s is beyond the %s of [%s], which will not wait as long", own, limit,
                        pipeline->group);
  }
  if (node->kind == RAGIFY_KIND_ID_BALANCER)
    members = ragify_config_node_refs (node, "members", &count);
  else if (node->kind == RAGIFY_KIND_ID_PIPELINE && node == pipeline)
    members = ragify_config_node_refs (node, "retrieve", &count);
  for (size_t i = 0; i < count; i++)
    check_deadline (loader, pipeline, members[i], seen);
}

static void
check_part_deadlines (RagifyLoader *loader, const RagifyConfigNode *pipeline)
{
  g_autoptr (GHashTable) seen = g_hash_table_new (NULL, NULL);
  const RagifyConfigNode *reranker = ragify_config_node_ref (pipeline, "rerank");

  if (!ragify_config_node_has (pipeline, "deadline"))
    return;
  check_deadline (loader, pipeline, pipeline, seen);
  if (reranker != NULL)
    check_deadline (loader, pipeline, reranker, seen);
}

/* How many pipelines stand one in the other below this one; in dependency order, so that the inner ones are known. */
static void
check_depth (RagifyLoader *loader, const RagifyConfigNode *pipeline, unsigned int *depths)
{
  size_t count = 0;
  const RagifyConfigNode *const *parts = ragify_config_node_refs (pipeline, "retrieve", &count);

  depths[pipeline->index] = 1;
  for (size_t i = 0; i < count; i++)
    depths[pipeline->index] = MAX (depths[pipeline->index], depths[parts[i]->index] + 1);
  if (depths[pipeline->index] == PIPELINE_DEPTH_MAX + 1)
    ragify_load_report (loader, RAGIFY_SEVERITY_ERROR, pipeline, "retrieve",
                        "pipelines stand more than %d deep in one "
                        "another",
                        PIPELINE_DEPTH_MAX);
}

static void
check_pipelines (RagifyLoader *loader)
{
  GPtrArray *nodes = loader->config->nodes;
  g_autofree unsigned int *depths = g_new0 (unsigned int, nodes->len);

  for (unsigned int i = 0; i < nodes->len; i++) {
    const RagifyConfigNode *node = g_ptr_array_index (nodes, i);

    if (node->kind != RAGIFY_KIND_ID_PIPELINE)
      continue;
    check_depth (loader, node, depths);
    if (node->enabled)
      check_part_deadlines (loader, node);
  }
}

/* ---- Nodes that must not share ---------------------------------------------------------------------------------- */

/* Two nodes that would write into one place, or listen on one address. */
static void
check_shared (RagifyLoader *loader, uint32_t kinds, const char *key)
{
  g_autoptr (GHashTable) owners = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);

  for (unsigned int i = 0; i < loader->config->in_files->len; i++) {
    const RagifyConfigNode *node = g_ptr_array_index (loader->config->in_files, i);
    const RagifyConfigValue *value = ragify_config_node_value (node, key);
    const RagifyConfigNode *other = NULL;
    g_autofree char *place = NULL;

    if ((kinds & RAGIFY_KIND_BIT (node->kind)) == 0 || !node->enabled || value == NULL ||
        value->origin.kind == RAGIFY_ORIGIN_NONE ||
        (value->type != RAGIFY_KEY_PATH && value->type != RAGIFY_KEY_STRING))
      continue;
    /* A free port is another one each time; different plugins lay their files out side by side. */
    if (node->kind == RAGIFY_KIND_ID_HTTP && g_str_has_suffix (value->string, ":0"))
      continue;
    place = g_strconcat (ragify_kind_info (node->kind)->name, " ", node->component == NULL ? "" : node->component->name,
                         " ", value->string, NULL);
    other = g_hash_table_lookup (owners, place);
    if (other == NULL)
      g_hash_table_insert (owners, g_steal_pointer (&place), (gpointer)node);
    else
      ragify_load_report (loader, RAGIFY_SEVERITY_ERROR, node, key, "'%s' is the same as that of [%s] (%s:%u)", key,
                          other->group, other->origin.file == NULL ? "default" : other->origin.file,
                          other->origin.line);
  }
}

void
ragify_load_lint (RagifyLoader *loader)
{
  const uint32_t stores = RAGIFY_KIND_BIT (RAGIFY_KIND_ID_VECTOR_STORE) | RAGIFY_KIND_BIT (RAGIFY_KIND_ID_TEXT_INDEX) |
                          RAGIFY_KIND_BIT (RAGIFY_KIND_ID_CACHE);

  check_names (loader);
  check_use (loader);
  check_presence (loader);
  check_profile (loader);
  check_pipelines (loader);
  check_shared (loader, RAGIFY_KIND_BIT (RAGIFY_KIND_ID_HTTP), "listen");
  check_shared (loader, stores, "path");
  ragify_lint_nodes (loader);
}
