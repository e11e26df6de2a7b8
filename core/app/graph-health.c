/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "core/app/graph-private.h"

#define NOT_CHECKED G_MAXUINT
#define LEAST_INTERVAL_US ((guint64)G_USEC_PER_SEC / 10)

/* `auto` leaves out what is paid for by the call. */
static RagifyCheckDepth
depth_of (const RagifyConfigNode *config, const RagifyComponent *component)
{
  const char *wish = ragify_config_node_get_string (config, "health");
  const gboolean paid =
      (component->flags & RAGIFY_COMPONENT_REMOTE) != 0 &&
      (g_str_equal (component->kind, RAGIFY_KIND_EMBEDDER) || g_str_equal (component->kind, RAGIFY_KIND_RERANKER));
  if (g_str_equal (wish, "probe") || (g_str_equal (wish, "auto") && paid))
    return RAGIFY_CHECK_PROBE;
  return RAGIFY_CHECK_DEEP;
}

static gboolean
is_checked (const RagifyMaking *making)
{
  return making->unit != NULL && ragify_config_node_value (making->config, "health") != NULL &&
         !g_str_equal (ragify_config_node_get_string (making->config, "health"), "off");
}

/* Those that are checked; `places` gets each making's place among them. */
static GArray *
list_parts (RagifyGraph *graph, guint *places)
{
  GArray *parts = g_array_new (FALSE, TRUE, sizeof (RagifyHealthPart));
  for (gsize i = 0; i < graph->n_makings; i++) {
    const RagifyMaking *making = &graph->makings[i];
    places[i] = NOT_CHECKED;
    if (!is_checked (making))
      continue;
    RagifyNode *node = ragify_unit_node (making->unit);
    const RagifyEmbedderInfo *embedder = ragify_graph_embedder_of (graph, making->config);
    const RagifyHealthPart part = { .name = ragify_config_node_name (making->config),
                                    .node = node,
                                    .depth = depth_of (making->config, ragify_node_component (node)),
                                    .dimension = embedder != NULL ? embedder->dimension : 0,
                                    .deadline_us = ragify_config_node_get_duration (making->config, "deadline") };
    places[i] = parts->len;
    g_array_append_val (parts, part);
  }
  return parts;
}

/* The parts that the pipeline asks; a balancer stands for its members, another pipeline for itself. */
static GArray *
parts_of (const RagifyConfigNode *pipeline, const char *key, const guint *places)
{
  GArray *list = g_array_new (FALSE, FALSE, sizeof (guint));
  gsize count;
  const RagifyConfigNode *const *asked = ragify_config_node_refs (pipeline, key, &count);
  for (gsize i = 0; i < count; i++) {
    const guint place = places[ragify_config_node_index (asked[i])];
    if (place != NOT_CHECKED)
      g_array_append_val (list, place);
    if (!ragify_graph_is_kind (asked[i], "balancer"))
      continue;
    g_autoptr (GArray) members = parts_of (asked[i], "members", places);
    g_array_append_vals (list, members->data, members->len);
  }
  return list;
}

/* Whether the pipeline asks somebody of whom nothing is known: then it may well answer. */
static gboolean
asks_others (const RagifyConfigNode *pipeline, const guint *places)
{
  gsize count;
  const RagifyConfigNode *const *asked = ragify_config_node_refs (pipeline, "retrieve", &count);
  for (gsize i = 0; i < count; i++)
    if (!ragify_graph_is_kind (asked[i], "balancer") && places[ragify_config_node_index (asked[i])] == NOT_CHECKED)
      return TRUE;
  return FALSE;
}

static void
clear_list (gpointer data)
{
  g_array_unref (*(GArray **)data);
}

static guint64
interval_of (const RagifyConfigNode *host)
{
  const guint64 interval = ragify_config_node_get_duration (host, "health-interval");
  return interval == 0 ? 0 : MAX (interval, LEAST_INTERVAL_US);
}

void
ragify_graph_make_health (RagifyGraph *graph)
{
  const RagifyConfigNode *host = ragify_config_host (graph->config);
  g_autofree guint *places = g_new0 (guint, graph->n_makings);
  g_autoptr (GArray) parts = list_parts (graph, places);
  g_autoptr (GArray) pipelines = g_array_new (FALSE, FALSE, sizeof (RagifyHealthPipeline));
  g_autoptr (GArray) lists = g_array_new (FALSE, FALSE, sizeof (GArray *));
  g_array_set_clear_func (lists, clear_list);
  for (gsize i = 0; i < graph->n_makings; i++) {
    const RagifyConfigNode *config = graph->makings[i].config;
    if (ragify_graph_find_part (graph->pipelines, config) == NULL || asks_others (config, places))
      continue;
    GArray *list = parts_of (config, "retrieve", places);
    const RagifyHealthPipeline pipeline = { ragify_config_node_name (config), (const guint *)(const void *)list->data,
                                            list->len };
    g_array_append_val (lists, list);
    g_array_append_val (pipelines, pipeline);
  }
  const RagifyHealthOptions options = {
    .parts = (const RagifyHealthPart *)(const void *)parts->data,
    .n_parts = parts->len,
    .pipelines = (const RagifyHealthPipeline *)(const void *)pipelines->data,
    .n_pipelines = pipelines->len,
    .tiers = graph->serving.tiers,
    .n_tiers = graph->serving.n_tiers,
    .state_dir = ragify_config_node_get_string (host, "state-dir"),
    .query = ragify_config_node_get_string (host, "health-query"),
    .interval_us = interval_of (host),
  };
  graph->serving.health = ragify_health_new (graph->runtime, &options);
}

void
ragify_graph_free_health (RagifyGraph *graph)
{
  g_clear_pointer (&graph->serving.health, ragify_health_free);
}
