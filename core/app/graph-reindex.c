/* SPDX-License-Identifier: MIT */
#include "core/app/graph-private.h"

#include <string.h>

#include "core/call/operations.h"

/* What the store's former embedder is; NULL: there is none, or it is not running. */
static const RagifyEmbedderInfo *
former_of (RagifyGraph *graph, const RagifyConfigNode *store)
{
  const RagifyConfigNode *former =
      ragify_graph_is_kind (store, "vector-store") ? ragify_config_node_ref (store, "former-embedder") : NULL;
  const RagifyUnit *unit = former != NULL ? ragify_graph_making (graph, former)->unit : NULL;
  return unit != NULL ? ragify_unit_embedder (unit) : NULL;
}

static gboolean
is_same (const RagifyEmbedderInfo *one, const RagifyEmbedderInfo *other)
{
  return one != NULL && one->dimension == other->dimension && one->fingerprint.size == other->fingerprint.size &&
         memcmp (one->fingerprint.data, other->fingerprint.data, one->fingerprint.size) == 0;
}

gboolean
ragify_graph_is_reindexed (RagifyGraph *previous, const RagifyConfigNode *store)
{
  const RagifyPart *part = previous != NULL ? ragify_graph_find_part (previous->reindexers, store) : NULL;
  return part != NULL && ragify_reindexer_is_finished (part->object);
}

gboolean
ragify_graph_keeps_former (RagifyGraph *graph, RagifyGraph *previous, const RagifyConfigNode *store,
                           const RagifyMaking *before)
{
  const RagifyEmbedderInfo *former = former_of (graph, store);
  if (former == NULL || before == NULL || before->unit == NULL)
    return FALSE;
  return !ragify_graph_is_reindexed (previous, store) && is_same (ragify_unit_begun_with (before->unit), former);
}

void
ragify_graph_start_with_former (RagifyGraph *graph, RagifyMaking *making)
{
  const RagifyEmbedderInfo *former = former_of (graph, making->config);
  g_autoptr (GError) again = NULL;
  if (making->error == NULL || making->unit == NULL || making->fate != RAGIFY_FATE_BUILD || former == NULL)
    return;
  g_clear_pointer (&making->unit, ragify_unit_unref);
  RagifyUnit *unit = ragify_unit_new (graph->runtime, graph->config, making->config, &again);
  if (unit == NULL)
    return;
  making->unit = unit;
  if (!ragify_unit_start (unit, former, &again))
    return;
  g_clear_error (&making->error);
  making->former = TRUE;
}

void
ragify_graph_make_reindexer (RagifyGraph *graph, RagifyGraph *previous, const RagifyConfigNode *config,
                             RagifyDiagnostics *diagnostics)
{
  const RagifyPart *library = ragify_graph_find_part (graph->libraries, config);
  const RagifyConfigNode *embedder = ragify_config_node_ref (config, "embedder");
  const RagifyUnit *unit = embedder != NULL ? ragify_graph_making (graph, embedder)->unit : NULL;
  if (!ragify_graph_making (graph, config)->former || library == NULL || unit == NULL)
    return;
  if (!ragify_operation_store_reindex.present (ragify_config_node_component (config))) {
    ragify_diagnostics_add (diagnostics, RAGIFY_SEVERITY_WARNING, config, "former-embedder",
                            "the plugin '%s' does not make vectors anew: the store goes on with those that it has",
                            ragify_config_node_component (config)->name);
    return;
  }
  const RagifyReindexerOptions options = {
    .store_name = ragify_config_node_name (config),
    .former_name = ragify_config_node_name (ragify_config_node_ref (config, "former-embedder")),
    .library = library->object,
    .store = ragify_graph_node (graph, config),
    .embedder = ragify_unit_node (unit),
    .info = ragify_unit_embedder (unit),
  };
  g_autoptr (GPtrArray) basis = g_ptr_array_new ();
  g_ptr_array_add (basis, options.library);
  g_ptr_array_add (basis, options.store);
  g_ptr_array_add (basis, options.embedder);
  RagifyPart *part = ragify_graph_share_part (previous != NULL ? previous->reindexers : NULL, config, basis);
  if (part == NULL)
    part = ragify_graph_part_new (config, basis, ragify_reindexer_new (graph->runtime, &options),
                                  (GDestroyNotify)ragify_reindexer_free);
  g_ptr_array_add (graph->reindexers, part);
}

void
ragify_graph_start_reindexing (RagifyGraph *graph, void (*whole) (void *user), void *user)
{
  for (guint i = 0; i < graph->reindexers->len; i++)
    ragify_reindexer_begin (((const RagifyPart *)g_ptr_array_index (graph->reindexers, i))->object, whole, user);
}
