/* SPDX-License-Identifier: MIT */
#include "core/module/node-private.h"

#include <string.h>

#define DEFAULT_ABANDONED 64u
#define DEFAULT_MEMORY (256u * 1024 * 1024)
#define STOP_TIME_US G_USEC_PER_SEC /* at least, for one instance */

G_DEFINE_QUARK (ragify - node - error - quark, ragify_node_error)

/* ---- metrics ---- */

static void
find_series (RagifyNode *node, const RagifyOperation *operation)
{
  if (!operation->present (node->component) || node->n_series == RAGIFY_NODE_OPERATIONS)
    return;
  RagifyNodeSeries *series = &node->series[node->n_series++];
  series->operation = operation;
  series->duration = ragify_metrics_series (
      node->runtime->metrics, RAGIFY_SERIES_HISTOGRAM, "ragify_node_call_duration_seconds",
      "Time of one call of a node's operation", "node", node->name, "operation", operation->name, NULL);
  series->errors =
      ragify_metrics_series (node->runtime->metrics, RAGIFY_SERIES_COUNTER, "ragify_node_call_errors_total",
                             "Calls of a node's operation that failed or were abandoned", "node", node->name,
                             "operation", operation->name, NULL);
}

static void
find_all_series (RagifyNode *node)
{
  static const RagifyOperation *const operations[] = {
    &ragify_operation_source_query,   &ragify_operation_source_scan,     &ragify_operation_cache_get,
    &ragify_operation_cache_set,      &ragify_operation_cache_remove,    &ragify_operation_cache_clear,
    &ragify_operation_store_upsert,   &ragify_operation_store_search,    &ragify_operation_store_fetch,
    &ragify_operation_store_list,     &ragify_operation_store_remove,    &ragify_operation_text_upsert,
    &ragify_operation_text_search,    &ragify_operation_text_remove,     &ragify_operation_embedder_tokenize,
    &ragify_operation_embedder_embed, &ragify_operation_reranker_rerank, &ragify_operation_extractor_extract,
  };
  for (gsize i = 0; i < G_N_ELEMENTS (operations); i++)
    if (g_str_equal (operations[i]->kind, node->component->kind))
      find_series (node, operations[i]);
}

static void
record (RagifyNode *node, const RagifyCall *call, gboolean failed)
{
  const guint64 now = ragify_now ();
  ragify_guard_record (ragify_node_guard (node), call, now);
  for (guint i = 0; i < node->n_series; i++) {
    const RagifyNodeSeries *series = &node->series[i];
    if (series->operation != call->operation)
      continue;
    ragify_series_observe (series->duration, (double)(now - call->began) / 1e6);
    if (failed)
      ragify_series_add (series->errors, 1);
    return;
  }
}

void
ragify_node_observe (RagifyNode *node, const RagifyCall *call)
{
  const gboolean failed = call->code != RAGIFY_OK;
  record (node, call, failed);
  if (failed)
    atomic_fetch_add_explicit (&node->errors, 1, memory_order_relaxed);
}

/* ---- making and ending ---- */

static _Thread_local gboolean in_control;

gboolean
ragify_node_is_control (void)
{
  return in_control;
}

static guint
instance_count (const RagifyRuntime *runtime, const RagifyNodeOptions *options)
{
  if (options->component->run_class != RAGIFY_RUN_LOOP)
    return 1;
  return options->max_parallel != 0 ? MIN (runtime->n_loops, options->max_parallel) : runtime->n_loops;
}

gboolean
ragify_node_is_on_workers (const RagifyNode *node)
{
  return node->component->run_class == RAGIFY_RUN_WORKER;
}

void
ragify_node_set_limits (RagifyNode *node, const RagifyNodeOptions *options)
{
  const guint own = ragify_node_is_on_workers (node) ? MAX (options->component->max_parallel, 1) : G_MAXUINT;
  pthread_mutex_lock (&node->lock);
  node->max_parallel = options->max_parallel != 0 ? MIN (own, options->max_parallel) : own;
  node->has_places = node->max_parallel != G_MAXUINT;
  node->max_abandoned = options->max_abandoned != 0 ? options->max_abandoned : DEFAULT_ABANDONED;
  node->memory_limit = options->memory_limit != 0 ? options->memory_limit : DEFAULT_MEMORY;
  pthread_mutex_unlock (&node->lock);
}

static gboolean
create_instance (RagifyNode *node, guint index, guint count, GError **error)
{
  RagifyNodeInstance *instance = &node->instances[index];
  instance->context = (RagifyContext){
    .node = node,
    .runtime = node->runtime,
    .index = index,
    .loop = node->component->run_class == RAGIFY_RUN_LOOP ? node->runtime->loops[index] : NULL,
  };
  const RagifyInstance which = {
    .struct_size = sizeof which, .index = index, .count = count, .node = ragify_str_from (node->name)
  };
  in_control = TRUE;
  const gint32 code = node->component->create (ragify_host (), &instance->context, &which, &instance->self);
  in_control = FALSE;
  g_autofree char *said = g_steal_pointer (&instance->context.error);
  if (code == RAGIFY_OK && instance->self != NULL) {
    node->n_instances++;
    return TRUE;
  }
  g_set_error (error, RAGIFY_NODE_ERROR, code, "%s: %s", node->name,
               said != NULL ? said : "its component refused to be created and did not say why");
  return FALSE;
}

gboolean
ragify_node_create_instances (RagifyNode *node, GError **error)
{
  for (guint i = 0; i < node->wanted_instances; i++)
    if (!create_instance (node, i, node->wanted_instances, error))
      return FALSE;
  return TRUE;
}

void
ragify_node_destroy_instances (RagifyNode *node)
{
  in_control = TRUE;
  for (guint i = 0; i < node->n_instances; i++) {
    node->component->destroy (node->instances[i].self);
    node->instances[i] = (RagifyNodeInstance){ 0 };
  }
  in_control = FALSE;
  node->n_instances = 0;
}

static void
destroy (RagifyNode *node)
{
  ragify_node_destroy_instances (node);
  if (node->values.destroy != NULL)
    node->values.destroy (node->values.user);
  g_ptr_array_unref (node->guards);
  g_hash_table_unref (node->quotas);
  pthread_mutex_destroy (&node->values_lock);
  pthread_mutex_destroy (&node->lock);
  g_free (node->instances);
  g_free (node->name);
  g_free (node);
}

RagifyNode *
ragify_node_new (RagifyRuntime *runtime, const RagifyNodeOptions *options, GError **error)
{
  RagifyNode *node = g_new0 (RagifyNode, 1);
  node->runtime = runtime;
  node->name = g_strdup (options->name);
  node->component = options->component;
  node->values = options->values;
  node->tally = ragify_tally_find (node->name);
  node->quotas = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify)ragify_quota_free);
  node->queue_last = &node->queue;
  node->guards = g_ptr_array_new_with_free_func ((GDestroyNotify)ragify_guard_free);
  pthread_mutex_init (&node->values_lock, NULL);
  pthread_mutex_init (&node->lock, NULL);
  ragify_node_set_limits (node, options);
  find_all_series (node);
  ragify_node_set_policy (node, options);
  node->wanted_instances = instance_count (runtime, options);
  node->instances = g_new0 (RagifyNodeInstance, node->wanted_instances);
  if (ragify_node_create_instances (node, error))
    return node;
  destroy (node);
  return NULL;
}

gint32
ragify_node_lifecycle (RagifyNode *node, guint index, RagifyOwner *owner, const RagifyOperation *operation,
                       const void *args, guint64 deadline, char **message)
{
  RagifyCall *call = ragify_call_new (owner, operation, args, deadline, NULL, NULL);
  call->instance = node->instances[index].self;
  call->instance_loop = node->instances[index].context.loop;
  const gint32 code = ragify_call_wait (node, call);
  if (code != RAGIFY_OK)
    *message = g_strdup (ragify_call_message (call));
  return code;
}

/* A start that takes too long goes on reading its arguments after the caller's are gone. */
static const RagifyStart *
copy_start (RagifyOwner *owner, const RagifyStart *start)
{
  RagifyStart *copy = ragify_arena_alloc (owner->arena, sizeof *copy);
  *copy = *start;
  if (start->embedder == NULL)
    return copy;
  RagifyEmbedderInfo *embedder = ragify_arena_alloc (owner->arena, sizeof *embedder);
  *embedder = *start->embedder;
  embedder->fingerprint.data =
      ragify_arena_copy (owner->arena, start->embedder->fingerprint.data, start->embedder->fingerprint.size);
  copy->embedder = embedder;
  return copy;
}

gboolean
ragify_node_start (RagifyNode *node, const RagifyStart *start, guint64 deadline, GError **error)
{
  for (guint i = 0; i < node->n_instances; i++) {
    g_autoptr (RagifyOwner) owner = ragify_owner_new (sizeof (RagifyOwner), NULL);
    g_autofree char *message = NULL;
    const gint32 code =
        ragify_node_lifecycle (node, i, owner, &ragify_operation_start, copy_start (owner, start), deadline, &message);
    if (code != RAGIFY_OK) {
      g_set_error_literal (error, RAGIFY_NODE_ERROR, code, message);
      return FALSE;
    }
    node->instances[i].started = TRUE;
  }
  return TRUE;
}

/* TRUE once nothing is under way any more. */
static gboolean
settle (RagifyNode *node, guint64 deadline)
{
  while (atomic_load (&node->active) > 0 && ragify_now () < deadline)
    g_usleep (200);
  return atomic_load (&node->active) == 0;
}

gboolean
ragify_node_stop_instances (RagifyNode *node, guint64 deadline)
{
  static const RagifyNothing nothing = { .struct_size = sizeof (RagifyNothing) };
  gboolean stopped = TRUE;
  for (guint i = 0; i < node->n_instances && stopped; i++) {
    if (!node->instances[i].started)
      continue;
    node->instances[i].started = FALSE;
    if (node->component->stop == NULL)
      continue;
    g_autoptr (RagifyOwner) owner = ragify_owner_new (sizeof (RagifyOwner), NULL);
    g_autofree char *message = NULL;
    const guint64 until = MAX (deadline, ragify_now () + STOP_TIME_US);
    if (ragify_node_lifecycle (node, i, owner, &ragify_operation_stop, &nothing, until, &message) != RAGIFY_OK)
      g_warning ("%s", message);
    /* What stop() left behind, and the end of its function. */
    stopped = node->paused ? ragify_node_settle_paused (node, until) : settle (node, until);
  }
  return stopped;
}

gboolean
ragify_node_free (RagifyNode *node, guint64 deadline)
{
  if (!settle (node, deadline) || !ragify_node_stop_instances (node, deadline)) {
    g_warning ("%s: calls are still under way; its memory is left behind", node->name);
    node->runtime->left_behind++;
    return FALSE;
  }
  destroy (node);
  return TRUE;
}

/* ---- calls ---- */

void
ragify_node_hold (RagifyNode *node)
{
  atomic_fetch_add_explicit (&node->active, 1, memory_order_relaxed);
}

/* The last that is done to a node: whoever frees it waits for this. */
void
ragify_node_drop (RagifyNode *node)
{
  atomic_fetch_sub_explicit (&node->active, 1, memory_order_release);
}

void
ragify_node_hangs (RagifyNode *node)
{
  atomic_fetch_add (&node->hanging, 1);
}

void
ragify_node_hangs_not (RagifyNode *node)
{
  atomic_fetch_sub (&node->hanging, 1);
}

void
ragify_node_late (RagifyNode *node)
{
  atomic_fetch_add (&node->late, 1);
  atomic_fetch_sub (&node->hanging, 1);
}

void
ragify_node_abandoned (RagifyNode *node, RagifyCall *call)
{
  atomic_fetch_add_explicit (&node->timeouts, 1, memory_order_relaxed);
  record (node, call, TRUE);
  if (ragify_node_is_on_workers (node))
    ragify_workers_replace (node->runtime->workers, &call->task);
}

/* ---- what others ask ---- */

const char *
ragify_node_name (const RagifyNode *node)
{
  return node->name;
}

const RagifyComponent *
ragify_node_component (const RagifyNode *node)
{
  return node->component;
}

gsize
ragify_node_memory_limit (const RagifyNode *node)
{
  return node->memory_limit;
}

RagifyTally *
ragify_node_tally (const RagifyNode *node)
{
  return node->tally;
}

RagifyGuard *
ragify_node_guard (const RagifyNode *node)
{
  return atomic_load_explicit (&node->guard, memory_order_acquire);
}

gboolean
ragify_node_is_ejected (const RagifyNode *node)
{
  return atomic_load (&node->hanging) >= node->max_abandoned;
}

gint32
ragify_node_get_value (RagifyNode *node, const char *key, guint32 type, void *value)
{
  pthread_mutex_lock (&node->values_lock);
  const gint32 code =
      node->values.get != NULL ? node->values.get (node->values.user, key, type, value) : RAGIFY_E_NOT_FOUND;
  pthread_mutex_unlock (&node->values_lock);
  return code;
}

RagifyQuota *
ragify_node_quota (RagifyNode *node, const char *name, guint64 limit)
{
  RagifyQuota *quota = g_hash_table_lookup (node->quotas, name);
  if (quota == NULL) {
    quota = ragify_quota_new (limit);
    g_hash_table_insert (node->quotas, g_strdup (name), quota);
  }
  return quota;
}

RagifyNodeCounts
ragify_node_counts (RagifyNode *node)
{
  pthread_mutex_lock (&node->lock);
  const guint queued = node->queued;
  pthread_mutex_unlock (&node->lock);
  return (RagifyNodeCounts){
    .calls = atomic_load (&node->calls),
    .errors = atomic_load (&node->errors),
    .timeouts = atomic_load (&node->timeouts),
    .active = atomic_load (&node->active),
    .queued = queued,
    .abandoned = atomic_load (&node->hanging),
    .late = atomic_load (&node->late),
    .doubled = __atomic_load_n (&node->tally->doubled, __ATOMIC_RELAXED),
  };
}
