/* SPDX-License-Identifier: MIT */
#include "core/app/graph-private.h"
#include "core/call/operations.h"

/* For one file, where its extractor says nothing. */
#define EXTRACT_US (60 * (guint64)G_USEC_PER_SEC)

static gboolean
is_written (const RagifyConfigNode *config, const char *key)
{
  const RagifyConfigValue *value = ragify_config_node_value (config, key);
  return value != NULL && value->origin.kind != RAGIFY_ORIGIN_NONE;
}

/* The store's own, where the node says nothing. */
static gint64
int_of (const RagifyConfigNode *config, const RagifyConfigNode *store, const char *key)
{
  return ragify_config_node_get_int (is_written (config, key) ? config : store, key);
}

static const char *const *
list_of (const RagifyConfigNode *config, const char *key)
{
  const RagifyConfigValue *value = ragify_config_node_value (config, key);
  return value != NULL && value->origin.kind != RAGIFY_ORIGIN_NONE ? (const char *const *)value->list.items : NULL;
}

static const char *
string_of (const RagifyConfigNode *config, const char *key)
{
  const RagifyConfigValue *value = ragify_config_node_value (config, key);
  return value != NULL && value->origin.kind != RAGIFY_ORIGIN_NONE ? ragify_config_node_get_string (config, key) : NULL;
}

/* Everything that decides about chunks and vectors besides the documents. */
static char *
cutting_of (RagifyGraph *graph, const RagifyConfigNode *store, const RagifyIngestJobOptions *options,
            const char *extractors)
{
  return g_strdup_printf ("%s %u %u %s %s%s", RAGIFY_VERSION, options->chunk_size, options->chunk_overlap,
                          options->chunk_tokens ? "tokens" : "characters",
                          ragify_graph_embedder_of (graph, store) != NULL ? "vectors" : "", extractors);
}

static gboolean
find_source (RagifyGraph *graph, const RagifyConfigNode *config, RagifyNode **source, RagifyDiagnostics *diagnostics)
{
  const RagifyConfigNode *named = ragify_config_node_ref (config, "source");
  *source = ragify_graph_node (graph, named);
  if (named == NULL)
    return TRUE;
  if (*source == NULL)
    ragify_diagnostics_add (diagnostics, RAGIFY_SEVERITY_WARNING, config, "source",
                            "'%s' is not running, so that nothing is ingested from it",
                            ragify_config_node_name (named));
  else if (!ragify_operation_source_scan.present (ragify_node_component (*source)))
    ragify_diagnostics_add (diagnostics, RAGIFY_SEVERITY_ERROR, config, "source",
                            "the plugin of '%s' can be searched but cannot list what it has, which ingest needs",
                            ragify_config_node_name (named));
  else
    return TRUE;
  return FALSE;
}

/* Those that run, on the basis; RagifyExtractor. `all`: what decides about the text, whether they run or not. */
static GArray *
find_extractors (RagifyGraph *graph, GPtrArray *basis, GString *all, GString *missing)
{
  GArray *extractors = g_array_new (FALSE, FALSE, sizeof (RagifyExtractor));
  for (gsize i = 0; i < graph->n_makings; i++) {
    const RagifyConfigNode *config = graph->makings[i].config;
    if (!ragify_graph_is_kind (config, "extractor"))
      continue;
    RagifyNode *node = ragify_graph_node (graph, config);
    const RagifyConfigValue *value = ragify_config_node_value (config, "deadline");
    const gboolean bounded = node != NULL && value != NULL && value->origin.kind != RAGIFY_ORIGIN_NONE;
    const RagifyExtractor extractor = { node,
                                        bounded ? ragify_config_node_get_duration (config, "deadline") : EXTRACT_US,
                                        ragify_config_node_answer_fingerprint (config).low };
    g_string_append_printf (all, " %s %" G_GINT64_MODIFIER "x", ragify_config_node_name (config),
                            extractor.fingerprint);
    if (node == NULL) {
      g_string_append_printf (missing, "%s%s", missing->len > 0 ? ", " : "", ragify_config_node_name (config));
      continue;
    }
    g_array_append_val (extractors, extractor);
    g_ptr_array_add (basis, node);
  }
  return extractors;
}

static RagifyPart *
new_job (RagifyGraph *graph, const RagifyConfigNode *config, const RagifyIngestJobOptions *options, GPtrArray *basis)
{
  const char *state_dir = ragify_config_node_get_string (ragify_config_host (graph->config), "state-dir");
  g_autofree char *file = g_strdup_printf ("%s/ingest/%s.json", state_dir, options->name);
  RagifyIngestJobOptions whole = *options;
  whole.state_file = file;
  return ragify_graph_part_new (config, basis, ragify_ingest_job_new (graph->runtime, &whole),
                                (GDestroyNotify)ragify_ingest_job_free);
}

void
ragify_graph_make_job (RagifyGraph *graph, RagifyGraph *previous, const RagifyConfigNode *config,
                       RagifyDiagnostics *diagnostics)
{
  const RagifyConfigNode *store = ragify_config_node_ref (config, "store");
  const RagifyPart *library = store != NULL ? ragify_graph_find_part (graph->libraries, store) : NULL;
  RagifyNode *source = NULL;
  if (library == NULL || !find_source (graph, config, &source, diagnostics))
    return; /* a store that failed was reported */
  RagifyIngestJobOptions options = {
    .name = ragify_config_node_name (config),
    .library = library->object,
    .store = ragify_graph_node (graph, store),
    .root = source == NULL ? string_of (config, "root") : NULL,
    .source = source,
    .include = list_of (config, "include"),
    .exclude = list_of (config, "exclude"),
    .max_file_size = ragify_config_node_get_size (config, "max-file-size"),
    .chunk_size = (guint)int_of (config, store, "chunk-size"),
    .chunk_overlap = (guint)int_of (config, store, "overlap"),
    .chunk_tokens =
        g_strcmp0 (string_of (is_written (config, "chunk-unit") ? config : store, "chunk-unit"), "tokens") == 0,
    .embedder = ragify_graph_node (graph, ragify_config_node_ref (store, "embedder")),
    .interval_us = ragify_config_node_get_duration (config, "interval"),
    .watch = ragify_config_node_get_bool (config, "watch"),
  };
  g_autoptr (GPtrArray) basis = g_ptr_array_new ();
  g_ptr_array_add (basis, library->object);
  g_ptr_array_add (basis, source);
  g_ptr_array_add (basis, options.embedder);
  g_autoptr (GString) all = g_string_new (NULL), missing = g_string_new (NULL);
  g_autoptr (GArray) extractors = find_extractors (graph, basis, all, missing);
  options.extractors = (const RagifyExtractor *)(const void *)extractors->data;
  options.n_extractors = extractors->len;
  options.missing = missing->len > 0 ? missing->str : NULL;
  g_autofree char *cutting = cutting_of (graph, store, &options, all->str);
  options.cutting = cutting;
  RagifyPart *part = ragify_graph_share_part (previous != NULL ? previous->jobs : NULL, config, basis);
  if (part != NULL && !ragify_ingest_job_cuts_as (part->object, cutting))
    g_clear_pointer (&part, ragify_graph_part_unref);
  if (part == NULL)
    part = new_job (graph, config, &options, basis);
  g_ptr_array_add (graph->jobs, part);
}

void
ragify_graph_start_jobs (RagifyGraph *graph, RagifyGraph *previous)
{
  for (guint i = 0; previous != NULL && i < previous->jobs->len; i++) {
    RagifyPart *part = g_ptr_array_index (previous->jobs, i);
    if (!g_ptr_array_find (graph->jobs, part, NULL))
      ragify_ingest_job_stop (part->object);
  }
  for (guint i = 0; i < graph->jobs->len; i++)
    ragify_ingest_job_start (((RagifyPart *)g_ptr_array_index (graph->jobs, i))->object);
}
