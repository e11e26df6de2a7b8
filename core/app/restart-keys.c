/* SPDX-License-Identifier: MIT */
#include "core/app/restart-keys.h"

void
ragify_restart_keys_name (const RagifyConfigNode *before, const RagifyConfigNode *after, RagifyDiagnostics *diagnostics)
{
  g_autoptr (GPtrArray) changed = g_ptr_array_new ();
  ragify_config_node_compare_own (before, after, changed);
  for (guint i = 0; i < changed->len; i++) {
    const char *key = g_ptr_array_index (changed, i);
    if ((ragify_config_node_value (after, key)->flags & RAGIFY_KEY_RELOADABLE) == 0)
      ragify_diagnostics_add (diagnostics, RAGIFY_SEVERITY_WARNING, after, key,
                              "'%s' has changed, and stays as it was until the host is restarted", key);
  }
}
