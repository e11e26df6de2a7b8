/* SPDX-License-Identifier: MIT */
#include "core/app/graph-private.h"

/* What /v1/embeddings may name: each embedder that is running, with a batcher of its own. */
void
ragify_graph_list_embedders (RagifyGraph *graph)
{
  GArray *embedders = g_array_new (FALSE, TRUE, sizeof (RagifyServedEmbedder));
  for (gsize i = 0; i < graph->n_makings; i++) {
    const RagifyMaking *making = &graph->makings[i];
    if (making->unit == NULL || !ragify_graph_is_kind (making->config, "embedder"))
      continue;
    const RagifyConfigValue *model = ragify_config_node_value (making->config, "model");
    RagifyNode *node = ragify_unit_node (making->unit);
    const RagifyServedEmbedder embedder = {
      .name = ragify_config_node_name (making->config),
      .model = model != NULL ? model->string : NULL,
      .dimension = ragify_unit_embedder (making->unit)->dimension,
      .node = node,
      .workers = graph->runtime->workers,
      .batcher = ragify_embed_batcher_new (graph->runtime, node,
                                           (guint)ragify_config_node_get_int (making->config, "max-batch"),
                                           ragify_config_node_get_duration (making->config, "max-wait")),
    };
    g_array_append_val (embedders, embedder);
  }
  graph->serving.n_embedders = embedders->len;
  graph->serving.embedders = (const RagifyServedEmbedder *)(void *)g_array_free (embedders, FALSE);
}

void
ragify_graph_free_embedders (RagifyGraph *graph)
{
  for (guint i = 0; i < graph->serving.n_embedders; i++)
    ragify_embed_batcher_free (graph->serving.embedders[i].batcher);
  g_clear_pointer ((gpointer *)&graph->serving.embedders, g_free);
}
