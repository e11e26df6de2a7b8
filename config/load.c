/* SPDX-License-Identifier: MIT */
#include "config/fingerprint.h"
#include "config/loader.h"

/* Enough for the mistakes that people make, and an end to those that are made on purpose. */
enum { SUGGESTIONS_MAX = 200000 };

void
ragify_load_report (RagifyLoader *loader, RagifySeverity severity, const RagifyConfigNode *node, const char *key,
                    const char *format, ...)
{
  int slot = key == NULL ? -1 : ragify_config_node_slot (node, key);
  const RagifyDraftEntry *entry = slot < 0 ? NULL : node->written[slot].entry;
  RagifyPlace place = { .file = "configuration", .group = node->group };
  g_autofree char *message = NULL;
  va_list arguments;

  if (entry != NULL)
    place = ragify_draft_value_place (node->draft, entry, 0);
  else if (node->draft != NULL)
    place = ragify_draft_group_place (node->draft);
  va_start (arguments, format);
  message = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  ragify_diagnostics_report (loader->diagnostics, severity, &place, "%s", message);
}

/* What points into the draft, which is about to go. */
static void
forget_draft (RagifyConfig *config)
{
  for (unsigned int i = 0; i < config->nodes->len; i++) {
    RagifyConfigNode *node = g_ptr_array_index (config->nodes, i);

    node->draft = NULL;
    for (size_t slot = 0; slot < node->n_values; slot++)
      node->written[slot].entry = NULL;
  }
}

RagifyConfig *
ragify_config_load (const RagifyConfigInput *input, const RagifySchemaLookup *lookup, RagifyDiagnostics *diagnostics)
{
  unsigned int errors = ragify_diagnostics_count (diagnostics, RAGIFY_SEVERITY_ERROR);
  g_autofree char *start_dir = g_get_current_dir ();
  g_autoptr (RagifyDraft) draft = ragify_draft_new (input, diagnostics);
  g_autoptr (RagifyConfig) config = ragify_config_new ();
  g_autoptr (GHashTable) broken_names = g_hash_table_new (g_str_hash, g_str_equal);
  RagifyLoader loader = { .input = input,
                          .lookup = lookup,
                          .diagnostics = diagnostics,
                          .draft = draft,
                          .config = config,
                          .context = { .environment = input->environment },
                          .start_context = { .environment = input->environment, .state_dir = start_dir },
                          .start_dir = start_dir,
                          .broken_names = broken_names,
                          .suggestions = SUGGESTIONS_MAX };

  loader.incomplete = ragify_diagnostics_count (diagnostics, RAGIFY_SEVERITY_ERROR) > errors;
  ragify_load_nodes (&loader);
  if (ragify_load_edges (&loader)) {
    ragify_load_lint (&loader);
    ragify_fingerprint_all (config);
  }
  forget_draft (config);
  g_free (loader.state_dir);
  if (ragify_diagnostics_count (diagnostics, RAGIFY_SEVERITY_ERROR) > errors)
    return NULL;
  return g_steal_pointer (&config);
}
