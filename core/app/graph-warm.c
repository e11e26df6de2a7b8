/* Warming and the gauges of tiers: what a graph does by itself with its pipelines and tiers.
 *
 * SPDX-License-Identifier: MIT
 */
#include "core/app/graph-private.h"

static RagifyWarmPlan
plan_of (const RagifyConfigNode *config, RagifyPipeline *pipeline)
{
  const char *when = ragify_config_node_get_string (config, "warm");
  const RagifyConfigValue *queries = ragify_config_node_value (config, "warm-queries");
  const gboolean listed = queries != NULL && queries->origin.kind != RAGIFY_ORIGIN_NONE;
  const gboolean both = g_str_equal (when, "both");
  return (RagifyWarmPlan){
    .pipeline = pipeline,
    .file = ragify_config_node_get_string (config, "warm-file"),
    .queries = listed ? (const char *const *)queries->list.items : NULL,
    .n_queries = listed ? (guint)queries->list.count : 0,
    .busiest = (guint)ragify_config_node_get_int (config, "warm-busiest"),
    .at_once = (guint)ragify_config_node_get_int (config, "warm-concurrency"),
    .at_start = both || g_str_equal (when, "start"),
    .after_changes = both || g_str_equal (when, "changes"),
  };
}

/* Of all nodes that run. */
static RagifyNodeGauges *
make_node_gauges (const RagifyGraph *graph)
{
  g_autoptr (GPtrArray) nodes = g_ptr_array_new ();
  for (gsize i = 0; i < graph->n_makings; i++)
    if (graph->makings[i].unit != NULL)
      g_ptr_array_add (nodes, ragify_unit_node (graph->makings[i].unit));
  return ragify_node_gauges_new (graph->runtime, (RagifyNode *const *)nodes->pdata, nodes->len);
}

void
ragify_graph_make_warming (RagifyGraph *graph)
{
  g_autoptr (GArray) plans = g_array_new (FALSE, FALSE, sizeof (RagifyWarmPlan));
  for (gsize i = 0; i < graph->n_makings; i++) {
    const RagifyConfigNode *config = graph->makings[i].config;
    const RagifyPart *part = ragify_graph_find_part (graph->pipelines, config);
    if (part == NULL)
      continue;
    const RagifyWarmPlan plan = plan_of (config, part->object);
    g_array_append_val (plans, plan);
  }
  const char *state_dir = ragify_config_node_get_string (ragify_config_host (graph->config), "state-dir");
  g_autofree char *busiest = g_build_filename (state_dir, "busiest.ndjson", NULL);
  graph->warming =
      ragify_warming_new (graph->runtime, (const RagifyWarmPlan *)(const void *)plans->data, plans->len, busiest);
  graph->gauges = ragify_tier_gauges_new (graph->runtime, graph->serving.tiers, graph->serving.n_tiers);
  graph->node_gauges = make_node_gauges (graph);
  pthread_mutex_lock (&graph->audience->lock);
  g_ptr_array_add (graph->audience->warmings, graph->warming);
  pthread_mutex_unlock (&graph->audience->lock);
}

void
ragify_graph_free_warming (RagifyGraph *graph)
{
  if (graph->warming == NULL)
    return;
  pthread_mutex_lock (&graph->audience->lock);
  g_ptr_array_remove_fast (graph->audience->warmings, graph->warming);
  pthread_mutex_unlock (&graph->audience->lock);
  g_clear_pointer (&graph->warming, ragify_warming_free);
  g_clear_pointer (&graph->gauges, ragify_tier_gauges_free);
  g_clear_pointer (&graph->node_gauges, ragify_node_gauges_free);
}
