/* SPDX-License-Identifier: MIT */
#include "core/app/supported.h"

static gboolean
is_kind (const RagifyConfigNode *node, const char *kind)
{
  return g_str_equal (ragify_config_node_kind (node), kind);
}

/* What a pipeline asks of another is kept by that one, which knows the stores that it was made from. */
static void
refuse_nested_cache (const RagifyConfigNode *node, RagifyDiagnostics *diagnostics)
{
  gsize count;
  const RagifyConfigNode *const *places = ragify_config_node_refs (node, "retrieve", &count);
  for (gsize i = 0; i < count; i++)
    if (is_kind (places[i], "pipeline") && ragify_config_node_ref (node, "cache") != NULL)
      ragify_diagnostics_add (diagnostics, RAGIFY_SEVERITY_ERROR, node, "cache",
                              "a pipeline that asks another one keeps no answers itself, since it would not see the "
                              "other's documents change; take `cache` away here, and give it to [pipeline %s]",
                              ragify_config_node_name (places[i]));
}

gboolean
ragify_supported_check (RagifyConfig *config, RagifyDiagnostics *diagnostics)
{
  gsize count;
  const RagifyConfigNode *const *nodes = ragify_config_nodes (config, &count);
  for (gsize i = 0; i < count; i++) {
    if (!ragify_config_node_enabled (nodes[i]))
      continue;
    if (is_kind (nodes[i], "pipeline"))
      refuse_nested_cache (nodes[i], diagnostics);
  }
  return ragify_diagnostics_count (diagnostics, RAGIFY_SEVERITY_ERROR) == 0;
}
