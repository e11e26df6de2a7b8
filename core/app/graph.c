/* SPDX-License-Identifier: MIT */
#include "core/app/graph-private.h"

/* ---- looking up ---- */

gboolean
ragify_graph_is_kind (const RagifyConfigNode *node, const char *kind)
{
  return g_str_equal (ragify_config_node_kind (node), kind);
}

RagifyMaking *
ragify_graph_making (RagifyGraph *graph, const RagifyConfigNode *node)
{
  return &graph->makings[ragify_config_node_index (node)];
}

RagifyNode *
ragify_graph_node (RagifyGraph *graph, const RagifyConfigNode *node)
{
  const RagifyUnit *unit = node != NULL ? ragify_graph_making (graph, node)->unit : NULL;
  return unit != NULL ? ragify_unit_node (unit) : NULL;
}

RagifyMaking *
ragify_graph_counterpart (const RagifyGraph *graph, const RagifyConfigNode *node)
{
  if (graph == NULL)
    return NULL;
  const RagifyConfigNode *found =
      ragify_config_find (graph->config, ragify_config_node_kind (node), ragify_config_node_name (node));
  return found != NULL ? &graph->makings[ragify_config_node_index (found)] : NULL;
}

const RagifyConfigNode *
ragify_graph_embedder_node (RagifyGraph *graph, const RagifyConfigNode *store)
{
  return ragify_config_node_ref (store, ragify_graph_making (graph, store)->former ? "former-embedder" : "embedder");
}

const RagifyEmbedderInfo *
ragify_graph_embedder_of (RagifyGraph *graph, const RagifyConfigNode *store)
{
  const RagifyConfigNode *embedder =
      ragify_graph_is_kind (store, "vector-store") ? ragify_graph_embedder_node (graph, store) : NULL;
  const RagifyUnit *unit = embedder != NULL ? ragify_graph_making (graph, embedder)->unit : NULL;
  return unit != NULL ? ragify_unit_embedder (unit) : NULL;
}

RagifyConfig *
ragify_graph_config (const RagifyGraph *graph)
{
  return graph->config;
}

/* ---- nodes ---- */

/* A folder has one writer, and a running node that is not changed in place is it. */
static gboolean
is_taken (const RagifyGraph *previous, const RagifyConfigNode *node, GError **error)
{
  for (gsize i = 0; previous != NULL && i < previous->n_makings; i++) {
    const RagifyMaking *other = &previous->makings[i];
    const char *folder = other->unit != NULL ? ragify_unit_shared_folder (other->unit, node) : NULL;
    if (folder == NULL)
      continue;
    g_set_error (
        error, RAGIFY_NODE_ERROR, RAGIFY_E_UNAVAILABLE,
        "%s: the running [%s] has %s open, which one can have at a time; a reload changes neither its name nor, "
        "in a process of its own, its values: restart the host",
        ragify_config_node_name (node), ragify_config_node_group (other->config), folder);
    return TRUE;
  }
  return FALSE;
}

/* Shares the previous graph's unit, or makes one. */
static void
make_unit (RagifyGraph *graph, RagifyGraph *previous, RagifyMaking *making)
{
  const RagifyMaking *before = ragify_graph_counterpart (previous, making->config);
  making->fate = RAGIFY_FATE_BUILD;
  if (graph->revived != NULL && before->unit == NULL) {
    making->unit = making->config == graph->revived ? ragify_unit_ref (graph->revived_unit) : NULL;
    return;
  }
  making->former = ragify_graph_keeps_former (graph, previous, making->config, before);
  const gboolean anew = ragify_graph_is_reindexed (previous, making->config);
  if (before != NULL && before->unit != NULL && !anew)
    making->fate = ragify_unit_compare (before->unit, graph->config, making->config,
                                        ragify_graph_embedder_of (graph, making->config), making->keys);
  if (making->fate != RAGIFY_FATE_BUILD)
    making->unit = ragify_unit_ref (before->unit);
  else if (anew || !is_taken (previous, making->config, &making->error))
    making->unit = ragify_unit_new (graph->runtime, graph->config, making->config, &making->error);
}

typedef struct Starting {
  RagifyMaking *making;
  const RagifyEmbedderInfo *embedder;
} Starting;

static gpointer
start_unit (gpointer data)
{
  g_autofree Starting *starting = data;
  ragify_unit_start (starting->making->unit, starting->embedder, &starting->making->error);
  return NULL;
}

/* TRUE for a store whose embedder is required and has failed: that failure is enough to report. */
static gboolean
lacks_embedder (RagifyGraph *graph, const RagifyConfigNode *config)
{
  const RagifyConfigNode *embedder =
      ragify_graph_is_kind (config, "vector-store") ? ragify_config_node_ref (config, "embedder") : NULL;
  return embedder != NULL && ragify_graph_making (graph, embedder)->error != NULL &&
         ragify_config_node_get_bool (embedder, "required");
}

/* A vector store learns its embedder's dimension at start, so embedders come first; all else has no order. */
static void
make_and_start (RagifyGraph *graph, RagifyGraph *previous, gboolean stores)
{
  for (gsize i = 0; i < graph->n_makings; i++) {
    RagifyMaking *making = &graph->makings[i];
    if (!ragify_config_node_enabled (making->config) || ragify_config_node_component (making->config) == NULL ||
        ragify_graph_is_kind (making->config, "vector-store") != stores || lacks_embedder (graph, making->config))
      continue;
    make_unit (graph, previous, making);
    if (making->unit == NULL || making->fate != RAGIFY_FATE_BUILD || making->unit == graph->revived_unit)
      continue;
    Starting *starting = g_new (Starting, 1);
    *starting = (Starting){ making, ragify_graph_embedder_of (graph, making->config) };
    making->thread = g_thread_new ("start", start_unit, starting);
  }
}

static void
join_kind (RagifyGraph *graph, const char *kind)
{
  for (gsize i = 0; i < graph->n_makings; i++) {
    RagifyMaking *making = &graph->makings[i];
    if (making->thread != NULL && (kind == NULL || ragify_graph_is_kind (making->config, kind)))
      g_thread_join (g_steal_pointer (&making->thread));
  }
}

/* A node that failed: an error where it is required, otherwise it is left out with a warning. */
static void
report_failure (RagifyMaking *making, RagifyDiagnostics *diagnostics)
{
  if (making->error == NULL)
    return;
  const gboolean required = ragify_config_node_get_bool (making->config, "required");
  ragify_diagnostics_add (diagnostics, required ? RAGIFY_SEVERITY_ERROR : RAGIFY_SEVERITY_WARNING, making->config, NULL,
                          "%s%s", making->error->message, required ? "" : " (required = false: left out)");
  g_clear_pointer (&making->unit, ragify_unit_unref);
  g_clear_error (&making->error);
}

static gboolean
make_nodes (RagifyGraph *graph, RagifyGraph *previous, RagifyDiagnostics *diagnostics)
{
  const RagifyConfigNode *const *nodes = ragify_config_nodes (graph->config, &graph->n_makings);
  graph->makings = g_new0 (RagifyMaking, graph->n_makings);
  for (gsize i = 0; i < graph->n_makings; i++)
    graph->makings[i] = (RagifyMaking){ .config = nodes[i], .keys = g_ptr_array_new () };
  make_and_start (graph, previous, FALSE);
  join_kind (graph, "embedder");
  make_and_start (graph, previous, TRUE);
  join_kind (graph, NULL);
  for (gsize i = 0; i < graph->n_makings; i++)
    ragify_graph_start_with_former (graph, &graph->makings[i]);
  for (gsize i = 0; i < graph->n_makings; i++)
    report_failure (&graph->makings[i], diagnostics);
  return ragify_diagnostics_count (diagnostics, RAGIFY_SEVERITY_ERROR) == 0;
}

/* ---- the audience ---- */

static RagifyAudience *
audience_of (const RagifyGraph *previous)
{
  if (previous != NULL) {
    previous->audience->references++;
    return previous->audience;
  }
  RagifyAudience *audience = g_new0 (RagifyAudience, 1);
  audience->references = 1;
  pthread_mutex_init (&audience->lock, NULL);
  audience->pipelines = g_ptr_array_new ();
  audience->warmings = g_ptr_array_new ();
  return audience;
}

static void
audience_unref (RagifyAudience *audience)
{
  if (--audience->references > 0)
    return;
  g_ptr_array_unref (audience->pipelines);
  g_ptr_array_unref (audience->warmings);
  pthread_mutex_destroy (&audience->lock);
  g_free (audience);
}

/* ---- the whole ---- */

static void
serving_free (RagifyServing *serving)
{
  RagifyGraph *graph = (RagifyGraph *)(void *)((char *)serving - G_STRUCT_OFFSET (RagifyGraph, serving));
  graph->released (graph, graph->released_user);
}

static gpointer *
objects_of (const GPtrArray *parts)
{
  gpointer *objects = g_new0 (gpointer, parts->len + 1);
  for (guint i = 0; i < parts->len; i++)
    objects[i] = ((const RagifyPart *)g_ptr_array_index (parts, i))->object;
  return objects;
}

static char *
printed (const RagifyConfig *config, void (*print) (const RagifyConfig *config, GString *text))
{
  GString *text = g_string_new (NULL);
  print (config, text);
  return g_string_free (text, FALSE);
}

/* `revived` and its unit as in RagifyGraph. */
static RagifyGraph *
make_graph (RagifyRuntime *runtime, RagifyConfig *config, RagifyGraph *previous, const RagifyConfigNode *revived,
            RagifyUnit *revived_unit, RagifyDiagnostics *diagnostics)
{
  RagifyGraph *graph = g_new0 (RagifyGraph, 1);
  graph->runtime = runtime;
  graph->config = ragify_config_ref (config);
  graph->revived = revived;
  graph->revived_unit = revived_unit;
  graph->audience = audience_of (previous);
  graph->tiers = g_ptr_array_new ();
  graph->balancers = g_ptr_array_new ();
  graph->nested = g_ptr_array_new ();
  graph->pipelines = g_ptr_array_new ();
  graph->libraries = g_ptr_array_new ();
  graph->jobs = g_ptr_array_new ();
  graph->reindexers = g_ptr_array_new ();
  if (make_nodes (graph, previous, diagnostics))
    ragify_graph_make_parts (graph, previous, diagnostics);
  graph->serving =
      (RagifyServing){ .references = 1,
                       .pipelines = (RagifyPipeline **)objects_of (graph->pipelines),
                       .n_pipelines = graph->pipelines->len,
                       .libraries = (RagifyLibrary **)objects_of (graph->libraries),
                       .n_libraries = graph->libraries->len,
                       .tiers = (RagifyTier **)objects_of (graph->tiers),
                       .jobs = (RagifyIngestJob **)objects_of (graph->jobs),
                       .n_jobs = graph->jobs->len,
                       .reindexers = (RagifyReindexer **)objects_of (graph->reindexers),
                       .n_reindexers = graph->reindexers->len,
                       .n_tiers = graph->tiers->len,
                       .backup_dir = ragify_config_node_get_string (ragify_config_host (config), "backup-dir"),
                       .graph = printed (config, ragify_config_print_graph_json),
                       .configuration = printed (config, ragify_config_print),
                       .free = serving_free };
  if (ragify_diagnostics_count (diagnostics, RAGIFY_SEVERITY_ERROR) > 0) {
    ragify_graph_free (graph);
    return NULL;
  }
  ragify_graph_list_sources (graph);
  ragify_graph_list_embedders (graph);
  ragify_graph_make_warming (graph);
  graph->serving.warming = graph->warming;
  ragify_graph_make_relief (graph);
  ragify_graph_make_health (graph);
  return graph;
}

RagifyGraph *
ragify_graph_new (RagifyRuntime *runtime, RagifyConfig *config, RagifyGraph *previous, RagifyDiagnostics *diagnostics)
{
  return make_graph (runtime, config, previous, NULL, NULL, diagnostics);
}

RagifyGraph *
ragify_graph_new_revived (RagifyRuntime *runtime, RagifyGraph *previous, const RagifyConfigNode *node, RagifyUnit *unit,
                          RagifyDiagnostics *diagnostics)
{
  return make_graph (runtime, previous->config, previous, node, unit, diagnostics);
}

GArray *
ragify_graph_missing (RagifyGraph *graph)
{
  GArray *all = g_array_new (FALSE, FALSE, sizeof (RagifyGraphMissing));
  for (gsize i = 0; i < graph->n_makings; i++) {
    const RagifyConfigNode *node = graph->makings[i].config;
    const RagifyGraphMissing missing = { node, ragify_graph_embedder_of (graph, node) };
    if (graph->makings[i].unit == NULL && ragify_config_node_enabled (node) &&
        ragify_config_node_component (node) != NULL)
      g_array_append_val (all, missing);
  }
  return all;
}

void
ragify_graph_free (RagifyGraph *graph)
{
  ragify_graph_free_health (graph);
  ragify_graph_free_relief (graph);
  ragify_graph_free_warming (graph);
  ragify_graph_free_embedders (graph);
  ragify_graph_free_parts (graph);
  /* Nodes come after those that they refer to, so the users go first. */
  for (gsize i = graph->n_makings; i > 0; i--) {
    RagifyMaking *making = &graph->makings[i - 1];
    g_clear_pointer (&making->unit, ragify_unit_unref);
    g_ptr_array_unref (making->keys);
  }
  audience_unref (graph->audience);
  g_free (graph->serving.pipelines);
  g_free (graph->serving.libraries);
  g_free (graph->serving.tiers);
  g_free (graph->serving.jobs);
  g_free (graph->serving.reindexers);
  g_free ((gpointer)graph->serving.sources);
  g_free ((char *)graph->serving.graph);
  g_free ((char *)graph->serving.configuration);
  g_free (graph->makings);
  ragify_config_unref (graph->config);
  g_free (graph);
}

RagifyServing *
ragify_graph_serving (RagifyGraph *graph)
{
  return &graph->serving;
}

void
ragify_graph_release (RagifyGraph *graph, void (*released) (RagifyGraph *graph, void *user), void *user)
{
  graph->released = released;
  graph->released_user = user;
  ragify_serving_unref (&graph->serving);
}
