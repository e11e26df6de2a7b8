/* SPDX-License-Identifier: MIT */
#include "core/app/graph-private.h"

/* A unit that was changed, and how to change it back. */
typedef struct Undo {
  RagifyMaking *making;
  RagifyConfig *config; /* a reference */
  const RagifyConfigNode *values;
} Undo;

/* A step from one graph to the next. */
typedef struct Adoption {
  RagifyGraph *graph, *previous;
  RagifyDiagnostics *diagnostics;
  GArray *units;        /* Undo */
  GPtrArray *libraries; /* RagifyPart: those that have other options now */
} Adoption;

static void
undo_clear (gpointer data)
{
  ragify_config_unref (((Undo *)data)->config);
}

/* ---- units ---- */

static gboolean
change_unit (Adoption *adoption, RagifyMaking *making)
{
  g_autoptr (GError) error = NULL;
  const Undo undo = { making, ragify_config_ref (ragify_unit_config (making->unit)),
                      ragify_unit_values (making->unit) };
  if (ragify_unit_change (making->unit, making->fate, adoption->graph->config, making->config,
                          ragify_graph_embedder_of (adoption->graph, making->config), making->keys, &error)) {
    g_array_append_val (adoption->units, undo);
    return TRUE;
  }
  ragify_config_unref (undo.config);
  ragify_diagnostics_add (adoption->diagnostics, RAGIFY_SEVERITY_ERROR, making->config, NULL, "%s", error->message);
  return FALSE;
}

static gboolean
change_units (Adoption *adoption, RagifyFate fate)
{
  for (gsize i = 0; i < adoption->graph->n_makings; i++) {
    RagifyMaking *making = &adoption->graph->makings[i];
    if (making->unit != NULL && making->fate == fate && !change_unit (adoption, making))
      return FALSE;
  }
  return TRUE;
}

static void
change_units_back (Adoption *adoption)
{
  for (guint i = adoption->units->len; i > 0; i--) {
    const Undo *undo = &g_array_index (adoption->units, Undo, i - 1);
    const RagifyMaking *before = ragify_graph_counterpart (adoption->previous, undo->values);
    const RagifyEmbedderInfo *embedder =
        before != NULL ? ragify_graph_embedder_of (adoption->previous, before->config) : NULL;
    g_autoptr (GError) error = NULL;
    if (!ragify_unit_change (undo->making->unit, undo->making->fate, undo->config, undo->values, embedder,
                             undo->making->keys, &error))
      g_critical ("%s: cannot be changed back: %s", ragify_config_node_group (undo->values), error->message);
  }
}

/* ---- libraries ---- */

static gboolean
is_same_library (const RagifyLibraryOptions *one, const RagifyLibraryOptions *other)
{
  if (one->embedder != other->embedder || one->optimize_every != other->optimize_every ||
      one->upsert_batch != other->upsert_batch || one->n_text_indexes != other->n_text_indexes ||
      one->chunk_size != other->chunk_size || one->chunk_overlap != other->chunk_overlap ||
      one->chunk_tokens != other->chunk_tokens)
    return FALSE;
  for (guint i = 0; i < one->n_text_indexes; i++)
    if (one->text_indexes[i] != other->text_indexes[i])
      return FALSE;
  return TRUE;
}

static const RagifyConfigNode *
store_of (const RagifyGraph *graph, const RagifyPart *part)
{
  return ragify_config_find (graph->config, "vector-store", ragify_library_name (part->object));
}

static gboolean
change_library (Adoption *adoption, RagifyPart *part)
{
  g_autoptr (GPtrArray) former_indexes = g_ptr_array_new (), indexes = g_ptr_array_new ();
  const RagifyConfigNode *store = store_of (adoption->graph, part);
  const RagifyLibraryOptions former =
      ragify_graph_library_options (adoption->previous, store_of (adoption->previous, part), former_indexes);
  const RagifyLibraryOptions options = ragify_graph_library_options (adoption->graph, store, indexes);
  g_autoptr (GError) error = NULL;
  if (is_same_library (&former, &options))
    return TRUE;
  if (ragify_library_change (part->object, &options, &error)) {
    g_ptr_array_add (adoption->libraries, part);
    return TRUE;
  }
  ragify_diagnostics_add (adoption->diagnostics, RAGIFY_SEVERITY_ERROR, store, NULL, "%s", error->message);
  return FALSE;
}

/* Those that both graphs have. */
static gboolean
change_libraries (Adoption *adoption)
{
  for (guint i = 0; adoption->previous != NULL && i < adoption->graph->libraries->len; i++) {
    RagifyPart *part = g_ptr_array_index (adoption->graph->libraries, i);
    if (g_ptr_array_find (adoption->previous->libraries, part, NULL) && !change_library (adoption, part))
      return FALSE;
  }
  return TRUE;
}

static void
change_libraries_back (Adoption *adoption)
{
  for (guint i = adoption->libraries->len; i > 0; i--) {
    const RagifyPart *part = g_ptr_array_index (adoption->libraries, i - 1);
    g_autoptr (GPtrArray) indexes = g_ptr_array_new ();
    const RagifyLibraryOptions options =
        ragify_graph_library_options (adoption->previous, store_of (adoption->previous, part), indexes);
    g_autoptr (GError) error = NULL;
    if (!ragify_library_change (part->object, &options, &error))
      g_critical ("%s: its writer cannot be changed back: %s", options.name, error->message);
  }
}

/* A pipeline must know a store's generation before it may cache an answer of it; the store's writer says it, so that
 * none is said after a later one. */
static void
tell_generations (Adoption *adoption)
{
  for (guint i = 0; i < adoption->graph->libraries->len; i++)
    ragify_library_announce (((const RagifyPart *)g_ptr_array_index (adoption->graph->libraries, i))->object);
}

static void
apply_policies (Adoption *adoption)
{
  for (gsize i = 0; i < adoption->graph->n_makings; i++) {
    const RagifyMaking *making = &adoption->graph->makings[i];
    if (making->unit != NULL)
      ragify_unit_apply_policy (making->unit, making->config);
  }
}

gboolean
ragify_graph_adopt (RagifyGraph *graph, RagifyGraph *previous, RagifyDiagnostics *diagnostics)
{
  Adoption adoption = { .graph = graph, .previous = previous, .diagnostics = diagnostics };
  g_autoptr (GArray) units = adoption.units = g_array_new (FALSE, FALSE, sizeof (Undo));
  g_autoptr (GPtrArray) libraries = g_ptr_array_new ();
  adoption.libraries = libraries;
  g_array_set_clear_func (units, undo_clear);
  /* What is changed back easily comes first. */
  const gboolean adopted = change_units (&adoption, RAGIFY_FATE_RECONFIGURE) &&
                           change_units (&adoption, RAGIFY_FATE_RESTART) && change_libraries (&adoption);
  if (adopted) {
    apply_policies (&adoption);
    tell_generations (&adoption);
  } else {
    change_libraries_back (&adoption);
    change_units_back (&adoption);
  }
  return adopted;
}

/* ---- what has changed ---- */

static const char *
word_for (const RagifyMaking *making, const RagifyMaking *before)
{
  const gboolean ran = before != NULL && before->unit != NULL;
  if (making->unit == NULL)
    return ran ? "removed" : NULL;
  if (making->fate == RAGIFY_FATE_RECONFIGURE)
    return "reconfigured";
  if (making->fate == RAGIFY_FATE_RESTART)
    return "restarted";
  if (making->fate == RAGIFY_FATE_BUILD)
    return ran ? "rebuilt" : "built";
  return NULL;
}

static const char *
word_for_part (const GPtrArray *parts, const GPtrArray *former, const RagifyConfigNode *node)
{
  const RagifyPart *part = ragify_graph_find_part (parts, node);
  const RagifyPart *before = former != NULL ? ragify_graph_find_part (former, node) : NULL;
  if (part == NULL || part == before)
    return NULL;
  return before != NULL ? "rebuilt" : "built";
}

static void
add_change (GArray *changes, const RagifyConfigNode *node, const char *what)
{
  const RagifyGraphChange change = { ragify_config_node_group (node), what };
  if (what != NULL)
    g_array_append_val (changes, change);
}

static void
add_removed (GArray *changes, const RagifyGraph *graph, const RagifyGraph *previous)
{
  for (gsize i = 0; previous != NULL && i < previous->n_makings; i++) {
    const RagifyConfigNode *node = previous->makings[i].config;
    const gboolean ran =
        previous->makings[i].unit != NULL || ragify_graph_find_part (previous->pipelines, node) != NULL;
    if (ran && ragify_graph_counterpart (graph, node) == NULL)
      add_change (changes, node, "removed");
  }
}

GArray *
ragify_graph_changes (const RagifyGraph *graph, const RagifyGraph *previous, guint *kept)
{
  GArray *changes = g_array_new (FALSE, FALSE, sizeof (RagifyGraphChange));
  *kept = 0;
  for (gsize i = 0; i < graph->n_makings; i++) {
    const RagifyMaking *making = &graph->makings[i];
    if (ragify_graph_is_kind (making->config, "pipeline")) {
      add_change (changes, making->config,
                  word_for_part (graph->pipelines, previous != NULL ? previous->pipelines : NULL, making->config));
      continue;
    }
    add_change (changes, making->config, word_for (making, ragify_graph_counterpart (previous, making->config)));
    *kept += making->unit != NULL && making->fate == RAGIFY_FATE_KEEP;
  }
  add_removed (changes, graph, previous);
  return changes;
}
