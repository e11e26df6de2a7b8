/* SPDX-License-Identifier: MIT */
#include "core/app/graph-private.h"

static gboolean
is_searched (const RagifyConfigNode *config)
{
  return ragify_graph_is_kind (config, "vector-store") || ragify_graph_is_kind (config, "text-index");
}

void
ragify_graph_list_sources (RagifyGraph *graph)
{
  GArray *sources = g_array_new (FALSE, TRUE, sizeof (RagifyServedSource));
  for (gsize i = 0; i < graph->n_makings; i++) {
    const RagifyConfigNode *config = graph->makings[i].config;
    const gboolean balances = ragify_graph_is_kind (config, "balancer");
    const RagifyPart *part = balances ? ragify_graph_find_part (graph->balancers, config) : NULL;
    const gboolean asked = is_searched (config) || ragify_graph_is_kind (config, "source");
    const RagifyServedSource source = { .name = ragify_config_node_name (config),
                                        .kind = ragify_config_node_kind (config),
                                        .node = asked ? ragify_graph_node (graph, config) : NULL,
                                        .operation = is_searched (config) ? "search" : "query",
                                        .balancer = part != NULL ? part->object : NULL };
    if (source.node != NULL || source.balancer != NULL)
      g_array_append_val (sources, source);
  }
  graph->serving.n_sources = sources->len;
  graph->serving.sources = (const RagifyServedSource *)(void *)g_array_free (sources, FALSE);
}
