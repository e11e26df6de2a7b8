/* SPDX-License-Identifier: MIT */
#include "core/app/connect.h"

#include "core/app/unit.h"
#include "core/call/operations.h"

#define PROBE_TIMEOUT_US (10 * (guint64)G_USEC_PER_SEC)

typedef struct Probing {
  RagifyRuntime *runtime;
  RagifyConfig *config;
  const RagifyConfigNode *node;
  RagifyUnit *unit;
  GThread *thread;
  char *detail;
  guint64 duration_us;
  GError *error;
} Probing;

static gboolean
probe (Probing *probing)
{
  static const RagifyNothing nothing = { .struct_size = sizeof nothing };
  RagifyNode *node = ragify_unit_node (probing->unit);
  if (ragify_node_component (node)->probe == NULL)
    return TRUE;
  g_autoptr (RagifyOwner) owner = ragify_owner_new (sizeof (RagifyOwner), NULL);
  RagifyCall *call =
      ragify_call_new (owner, &ragify_operation_probe, &nothing, ragify_now () + PROBE_TIMEOUT_US, NULL, NULL);
  if (ragify_call_wait (node, call) != RAGIFY_OK) {
    g_set_error_literal (&probing->error, RAGIFY_NODE_ERROR, ragify_call_code (call), ragify_call_message (call));
    return FALSE;
  }
  const RagifyProbeResult *result = ragify_call_result (call);
  probing->detail = g_strndup (result->detail.data, result->detail.size);
  return TRUE;
}

static gpointer
run (gpointer data)
{
  Probing *probing = data;
  const guint64 began = ragify_now ();
  if (probing->unit != NULL && ragify_unit_start (probing->unit, NULL, &probing->error))
    probe (probing);
  probing->duration_us = ragify_now () - began;
  return NULL;
}

/* What a text index reads is made by its store, where that has not been there before. */
static void
wait_for_stores (const GPtrArray *all)
{
  for (guint i = 0; i < all->len; i++) {
    Probing *probing = g_ptr_array_index (all, i);
    if (g_str_equal (ragify_config_node_kind (probing->node), "vector-store"))
      g_clear_pointer (&probing->thread, g_thread_join);
  }
}

static void
begin (GPtrArray *all, RagifyRuntime *runtime, RagifyConfig *config, const RagifyConfigNode *node)
{
  Probing *probing = g_new0 (Probing, 1);
  *probing = (Probing){ .runtime = runtime, .config = config, .node = node };
  if (g_str_equal (ragify_config_node_kind (node), "text-index"))
    wait_for_stores (all);
  probing->unit = ragify_unit_new (runtime, config, node, &probing->error);
  probing->thread = g_thread_new ("probe", run, probing);
  g_ptr_array_add (all, probing);
}

static void
end (Probing *probing, GString *said, RagifyDiagnostics *diagnostics)
{
  g_clear_pointer (&probing->thread, g_thread_join);
  if (probing->error != NULL)
    ragify_diagnostics_add (diagnostics, RAGIFY_SEVERITY_ERROR, probing->node, NULL, "%s", probing->error->message);
  else
    g_string_append_printf (said, "[%s] answers after %.0f ms%s%s\n", ragify_config_node_group (probing->node),
                            (double)probing->duration_us / 1000,
                            probing->detail != NULL && *probing->detail != '\0' ? ": " : "",
                            probing->detail != NULL ? probing->detail : "");
  g_clear_pointer (&probing->unit, ragify_unit_unref);
  g_clear_error (&probing->error);
  g_free (probing->detail);
  g_free (probing);
}

void
ragify_app_connect (RagifyRuntime *runtime, RagifyConfig *config, GString *said, RagifyDiagnostics *diagnostics)
{
  gsize count;
  const RagifyConfigNode *const *nodes = ragify_config_nodes (config, &count);
  g_autoptr (GPtrArray) all = g_ptr_array_new ();
  for (gsize i = 0; i < count; i++) {
    const RagifyComponent *component = ragify_config_node_component (nodes[i]);
    if (ragify_config_node_enabled (nodes[i]) && component != NULL && (component->flags & RAGIFY_COMPONENT_REMOTE) != 0)
      begin (all, runtime, config, nodes[i]);
  }
  for (guint i = 0; i < all->len; i++)
    end (g_ptr_array_index (all, i), said, diagnostics);
  if (all->len == 0)
    g_string_append (said, "no node speaks to another process\n");
}
