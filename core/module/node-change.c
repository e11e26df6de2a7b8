/* SPDX-License-Identifier: MIT */
#include "core/module/node-private.h"

#include <string.h>

/* How long the calls under way are waited for before instances are replaced. */
#define QUIET_US (10 * G_USEC_PER_SEC)

/* Puts `values` in force and returns those that were. */
static RagifyNodeValues
swap_values (RagifyNode *node, RagifyNodeValues values)
{
  pthread_mutex_lock (&node->values_lock);
  const RagifyNodeValues former = node->values;
  node->values = values;
  pthread_mutex_unlock (&node->values_lock);
  return former;
}

static void
destroy_values (RagifyNodeValues values)
{
  if (values.destroy != NULL)
    values.destroy (values.user);
}

void
ragify_node_set_policy (RagifyNode *node, const RagifyNodeOptions *options)
{
  const gboolean enabled = node->guards->len == 0 || ragify_node_is_enabled (node);
  RagifyGuard *guard = ragify_guard_new (node, node->runtime, options);
  g_ptr_array_add (node->guards, guard);
  atomic_store_explicit (&node->guard, guard, memory_order_release);
  ragify_node_set_enabled (node, enabled);
}

/* ---- other values ---- */

/* What the call reads lives as long as its owner. */
static const RagifyReconfigure *
make_arguments (RagifyOwner *owner, const char *const *keys)
{
  const guint count = g_strv_length ((char **)keys);
  RagifyStr *items = ragify_arena_alloc (owner->arena, MAX (count, 1) * sizeof *items);
  for (guint i = 0; i < count; i++)
    items[i] = ragify_str (ragify_arena_copy (owner->arena, keys[i], strlen (keys[i])), strlen (keys[i]));
  RagifyReconfigure *arguments = ragify_arena_alloc (owner->arena, sizeof *arguments);
  *arguments = (RagifyReconfigure){ .struct_size = sizeof *arguments, .keys = { items, count } };
  return arguments;
}

static gboolean
tell_instance (RagifyNode *node, guint index, const char *const *keys, guint64 deadline, GError **error)
{
  g_autoptr (RagifyOwner) owner = ragify_owner_new (sizeof (RagifyOwner), NULL);
  g_autofree char *message = NULL;
  const gint32 code = ragify_node_lifecycle (node, index, owner, &ragify_operation_reconfigure,
                                             make_arguments (owner, keys), deadline, &message);
  if (code != RAGIFY_OK)
    g_set_error_literal (error, RAGIFY_NODE_ERROR, code, message);
  return code == RAGIFY_OK;
}

gboolean
ragify_node_reconfigure (RagifyNode *node, RagifyNodeValues values, const char *const *keys, guint64 deadline,
                         GError **error)
{
  const RagifyNodeValues former = swap_values (node, values);
  guint told = 0;
  while (told < node->n_instances && tell_instance (node, told, keys, deadline, error))
    told++;
  if (told == node->n_instances) {
    destroy_values (former);
    return TRUE;
  }
  destroy_values (swap_values (node, former));
  for (guint i = 0; i < told; i++) {
    g_autoptr (GError) stuck = NULL;
    if (!tell_instance (node, i, keys, ragify_now () + QUIET_US, &stuck))
      g_warning ("%s: keeps new values although the change was taken back: %s", node->name, stuck->message);
  }
  return FALSE;
}

/* ---- other instances ---- */

void
ragify_node_pause (RagifyNode *node)
{
  pthread_mutex_lock (&node->lock);
  node->paused = TRUE;
  pthread_mutex_unlock (&node->lock);
}

gboolean
ragify_node_settle_paused (RagifyNode *node, guint64 deadline)
{
  while (TRUE) {
    pthread_mutex_lock (&node->lock);
    const gboolean quiet = node->running == 0 && atomic_load (&node->active) == node->queued;
    pthread_mutex_unlock (&node->lock);
    if (quiet || ragify_now () >= deadline)
      return quiet;
    g_usleep (200);
  }
}

static gboolean
open_instances (RagifyNode *node, const RagifyStart *start, guint64 deadline, GError **error)
{
  if (ragify_node_create_instances (node, error) && ragify_node_start (node, start, deadline, error))
    return TRUE;
  if (ragify_node_stop_instances (node, ragify_now () + QUIET_US))
    ragify_node_destroy_instances (node);
  return FALSE;
}

static void
set_dead (RagifyNode *node)
{
  pthread_mutex_lock (&node->lock);
  node->dead = TRUE;
  pthread_mutex_unlock (&node->lock);
}

/* With the node paused. TRUE when there are no instances any more. */
static gboolean
close_instances (RagifyNode *node, GError **error)
{
  const guint64 deadline = ragify_now () + QUIET_US;
  if (!ragify_node_settle_paused (node, deadline)) {
    g_set_error (error, RAGIFY_NODE_ERROR, RAGIFY_E_TIMEOUT, "%s: calls that are under way do not come to an end",
                 node->name);
    return FALSE;
  }
  if (!ragify_node_stop_instances (node, deadline)) {
    g_set_error (error, RAGIFY_NODE_ERROR, RAGIFY_E_TIMEOUT, "%s: its stop does not come to an end", node->name);
    set_dead (node);
    return FALSE;
  }
  ragify_node_destroy_instances (node);
  g_hash_table_remove_all (node->quotas); /* their limits were the former values' */
  return TRUE;
}

static gboolean
replace_instances (RagifyNode *node, const RagifyNodeOptions *options, const RagifyStart *start,
                   const RagifyStart *former, guint64 deadline, GError **error)
{
  if (!close_instances (node, error)) {
    destroy_values (options->values);
    return FALSE;
  }
  const RagifyNodeValues before = swap_values (node, options->values);
  if (open_instances (node, start, deadline, error)) {
    destroy_values (before);
    ragify_node_set_limits (node, options);
    return TRUE;
  }
  destroy_values (swap_values (node, before));
  g_autoptr (GError) lost = NULL;
  if (node->n_instances > 0 || !open_instances (node, former, deadline, &lost)) {
    set_dead (node);
    g_critical ("%s: cannot be opened again as it was: %s", node->name,
                lost != NULL ? lost->message : "what was started does not come to an end");
  }
  return FALSE;
}

gboolean
ragify_node_restart (RagifyNode *node, const RagifyNodeOptions *options, const RagifyStart *start,
                     const RagifyStart *former, guint64 deadline, GError **error)
{
  g_return_val_if_fail (node->component == options->component && node->component->run_class == RAGIFY_RUN_WORKER,
                        FALSE);
  ragify_node_pause (node);
  const gboolean replaced = replace_instances (node, options, start, former, deadline, error);
  ragify_node_resume (node);
  return replaced;
}

gboolean
ragify_node_is_dead (const RagifyNode *node)
{
  return node->dead;
}
