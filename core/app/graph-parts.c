/* SPDX-License-Identifier: MIT */
#include "core/app/graph-private.h"

#include <string.h>

/* ---- parts ---- */

RagifyPart *
ragify_graph_part_new (const RagifyConfigNode *config, GPtrArray *basis, gpointer object, GDestroyNotify free)
{
  RagifyPart *part = g_new0 (RagifyPart, 1);
  part->references = 1;
  part->group = g_strdup (ragify_config_node_group (config));
  part->fingerprint = ragify_config_node_fingerprint (config);
  part->basis = g_ptr_array_ref (basis);
  part->object = object;
  part->free = free;
  return part;
}

void
ragify_graph_part_unref (RagifyPart *part)
{
  if (--part->references > 0)
    return;
  part->free (part->object);
  g_ptr_array_unref (part->basis);
  g_free (part->group);
  g_free (part);
}

RagifyPart *
ragify_graph_find_part (const GPtrArray *parts, const RagifyConfigNode *node)
{
  for (guint i = 0; i < parts->len; i++) {
    RagifyPart *part = g_ptr_array_index (parts, i);
    if (g_str_equal (part->group, ragify_config_node_group (node)))
      return part;
  }
  return NULL;
}

static gboolean
is_same_basis (const GPtrArray *one, const GPtrArray *other)
{
  return one->len == other->len && memcmp (one->pdata, other->pdata, one->len * sizeof *one->pdata) == 0;
}

RagifyPart *
ragify_graph_share_part (const GPtrArray *parts, const RagifyConfigNode *config, const GPtrArray *basis)
{
  RagifyPart *part = parts != NULL ? ragify_graph_find_part (parts, config) : NULL;
  const RagifyFingerprint fingerprint = ragify_config_node_fingerprint (config);
  if (part == NULL || part->fingerprint.high != fingerprint.high || part->fingerprint.low != fingerprint.low ||
      !is_same_basis (part->basis, basis))
    return NULL;
  part->references++;
  return part;
}

/* ---- libraries ---- */

static void
store_changed (void *user, RagifyNode *store, const RagifyGeneration *generation, const RagifyUuidList *removed,
               gboolean behind)
{
  RagifyAudience *audience = user;
  gboolean news = FALSE; /* a writer also says what everybody knows */
  pthread_mutex_lock (&audience->lock);
  for (guint i = 0; i < audience->pipelines->len; i++)
    news = ragify_pipeline_store_changed (g_ptr_array_index (audience->pipelines, i), store, generation, removed,
                                          behind) ||
           news;
  for (guint i = 0; i < audience->warmings->len && news; i++)
    ragify_warming_store_changed (g_ptr_array_index (audience->warmings, i));
  pthread_mutex_unlock (&audience->lock);
}

static void
find_text_indexes (RagifyGraph *graph, const RagifyConfigNode *store, GPtrArray *list)
{
  for (gsize i = 0; i < graph->n_makings; i++) {
    const RagifyMaking *making = &graph->makings[i];
    if (making->unit != NULL && ragify_graph_is_kind (making->config, "text-index") &&
        ragify_config_node_ref (making->config, "of") == store)
      g_ptr_array_add (list, ragify_unit_node (making->unit));
  }
}

RagifyLibraryOptions
ragify_graph_library_options (RagifyGraph *graph, const RagifyConfigNode *store, GPtrArray *text_indexes)
{
  find_text_indexes (graph, store, text_indexes);
  return (RagifyLibraryOptions){
    .name = ragify_config_node_name (store),
    .store = ragify_graph_node (graph, store),
    .embedder = ragify_graph_node (graph, ragify_graph_embedder_node (graph, store)),
    .text_indexes = (RagifyNode *const *)text_indexes->pdata,
    .n_text_indexes = text_indexes->len,
    .chunk_size = (guint)ragify_config_node_get_int (store, "chunk-size"),
    .chunk_overlap = (guint)ragify_config_node_get_int (store, "overlap"),
    .chunk_tokens = g_strcmp0 (ragify_config_node_get_string (store, "chunk-unit"), "tokens") == 0,
    .upsert_batch = (guint)ragify_config_node_get_int (store, "upsert-batch"),
    .optimize_every = (guint64)ragify_config_node_get_int (store, "optimize-every"),
    .state_dir = ragify_config_node_get_string (ragify_config_host (graph->config), "state-dir"),
    .changed = store_changed,
    .user = graph->audience,
  };
}

/* A store has one writer for as long as its node lives, however much else about it changes. */
static RagifyPart *
share_library (RagifyGraph *previous, const RagifyConfigNode *config, const RagifyNode *store)
{
  RagifyPart *part = previous != NULL ? ragify_graph_find_part (previous->libraries, config) : NULL;
  if (part == NULL || g_ptr_array_index (part->basis, 0) != store)
    return NULL;
  part->references++;
  return part;
}

static void
make_library (RagifyGraph *graph, RagifyGraph *previous, const RagifyConfigNode *config, RagifyDiagnostics *diagnostics)
{
  g_autoptr (GPtrArray) text_indexes = g_ptr_array_new ();
  const RagifyLibraryOptions options = ragify_graph_library_options (graph, config, text_indexes);
  RagifyPart *part = share_library (previous, config, options.store);
  if (part == NULL) {
    g_autoptr (GError) error = NULL;
    g_autoptr (GPtrArray) basis = g_ptr_array_new ();
    RagifyLibrary *library = ragify_library_new (graph->runtime, &options, &error);
    if (library == NULL) {
      ragify_diagnostics_add (diagnostics, RAGIFY_SEVERITY_ERROR, config, NULL, "%s", error->message);
      return;
    }
    g_ptr_array_add (basis, options.store);
    if (ragify_graph_is_reindexed (previous, config)) /* the former index went with the former vectors */
      ragify_library_optimize_soon (library);
    part = ragify_graph_part_new (config, basis, library, (GDestroyNotify)ragify_library_free);
  }
  g_ptr_array_add (graph->libraries, part);
}

/* ---- the whole ---- */

typedef void (*Make) (RagifyGraph *graph, RagifyGraph *previous, const RagifyConfigNode *config,
                      RagifyDiagnostics *diagnostics);

static void
each_of_kind (RagifyGraph *graph, RagifyGraph *previous, const char *kind, RagifyDiagnostics *diagnostics, Make make)
{
  for (gsize i = 0; i < graph->n_makings; i++) {
    const RagifyMaking *making = &graph->makings[i];
    const gboolean there = making->unit != NULL || ragify_config_node_component (making->config) == NULL;
    if (ragify_graph_is_kind (making->config, kind) && ragify_config_node_enabled (making->config) && there)
      make (graph, previous, making->config, diagnostics);
  }
}

void
ragify_graph_make_parts (RagifyGraph *graph, RagifyGraph *previous, RagifyDiagnostics *diagnostics)
{
  ragify_graph_make_limiter (graph, previous);
  each_of_kind (graph, previous, "pipeline", diagnostics, ragify_graph_make_pipeline);
  each_of_kind (graph, previous, "vector-store", diagnostics, make_library);
  each_of_kind (graph, previous, "ingest", diagnostics, ragify_graph_make_job);
  each_of_kind (graph, previous, "vector-store", diagnostics, ragify_graph_make_reindexer);
}

/* What stands for the pipeline in others, which are gone, before the pipeline itself. */
static void
free_nested (RagifyGraph *graph, const RagifyPart *pipeline)
{
  for (guint i = graph->nested->len; i > 0; i--) {
    RagifyPart *part = g_ptr_array_index (graph->nested, i - 1);
    if (g_str_equal (part->group, pipeline->group)) {
      g_ptr_array_remove_index (graph->nested, i - 1);
      ragify_graph_part_unref (part);
    }
  }
}

/* Those that ask others come after them, and go first. */
static void
free_pipelines (RagifyGraph *graph)
{
  for (guint i = graph->pipelines->len; i > 0; i--) {
    RagifyPart *part = g_ptr_array_index (graph->pipelines, i - 1);
    free_nested (graph, part);
    if (part->references == 1) {
      pthread_mutex_lock (&graph->audience->lock);
      g_ptr_array_remove_fast (graph->audience->pipelines, part->object);
      pthread_mutex_unlock (&graph->audience->lock);
    }
    ragify_graph_part_unref (part);
  }
  g_ptr_array_unref (graph->pipelines);
}

static void
free_parts (GPtrArray *parts)
{
  for (guint i = 0; i < parts->len; i++)
    ragify_graph_part_unref (g_ptr_array_index (parts, i));
  g_ptr_array_unref (parts);
}

void
ragify_graph_free_parts (RagifyGraph *graph)
{
  free_parts (graph->jobs);       /* they use the libraries */
  free_parts (graph->reindexers); /* so do these */
  free_parts (graph->libraries);  /* their threads use everything else */
  free_pipelines (graph);
  g_clear_pointer (&graph->limiter, ragify_graph_part_unref);
  free_parts (graph->tiers);
  free_parts (graph->balancers);
  free_parts (graph->nested);
}
