/* SPDX-License-Identifier: MIT */
#include "core/module/node.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "core/call/call-private.h"
#include "core/module/context.h"
#include "core/module/guard.h"

#define DEFAULT_ABANDONED 64u
#define DEFAULT_MEMORY (256u * 1024 * 1024)
#define QUEUE_LIMIT 4096u
#define OPERATIONS_OF_A_KIND 16u
#define STOP_TIME_US G_USEC_PER_SEC /* at least, for one instance */

typedef struct Instance {
  void *self;
  gboolean started;
  RagifyContext context;
} Instance;

/* How one operation goes, for /metrics. */
typedef struct OperationSeries {
  const RagifyOperation *operation;
  RagifySeries *duration, *errors;
} OperationSeries;

struct RagifyNode {
  RagifyRuntime *runtime;
  char *name;
  const RagifyComponent *component;
  RagifyNodeValues values;
  RagifyTally *tally;
  Instance *instances;
  guint n_instances;
  guint max_parallel, max_abandoned;
  gsize memory_limit;
  RagifyGuard *guard;
  GHashTable *quotas; /* by name; [control] */
  OperationSeries series[OPERATIONS_OF_A_KIND];
  guint n_series;

  _Atomic guint64 calls, errors, timeouts, late;
  _Atomic guint64 active;  /* calls, submitted work, posted callbacks: what must be over before it can be freed */
  _Atomic guint64 hanging; /* calls that the host no longer waits for */

  pthread_mutex_t lock; /* guards what follows */
  guint running;        /* of a worker component's max_parallel */
  RagifyCall *queue, **queue_last;
  guint queued;
};

G_DEFINE_QUARK (ragify - node - error - quark, ragify_node_error)

/* ---- metrics ---- */

static void
find_series (RagifyNode *node, const RagifyOperation *operation)
{
  if (!operation->present (node->component) || node->n_series == OPERATIONS_OF_A_KIND)
    return;
  OperationSeries *series = &node->series[node->n_series++];
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
  ragify_guard_record (node->guard, call, now);
  for (guint i = 0; i < node->n_series; i++) {
    const OperationSeries *series = &node->series[i];
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
instance_count (const RagifyRuntime *runtime, const RagifyComponent *component)
{
  return component->run_class == RAGIFY_RUN_LOOP ? runtime->n_loops : 1;
}

static guint
parallel_of (const RagifyNodeOptions *options)
{
  const guint own = MAX (options->component->max_parallel, 1);
  return options->max_parallel != 0 ? MIN (own, options->max_parallel) : own;
}

static gboolean
create_instance (RagifyNode *node, guint index, guint count, GError **error)
{
  Instance *instance = &node->instances[index];
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

static void
destroy (RagifyNode *node)
{
  in_control = TRUE;
  for (guint i = 0; i < node->n_instances; i++)
    node->component->destroy (node->instances[i].self);
  in_control = FALSE;
  if (node->values.destroy != NULL)
    node->values.destroy (node->values.user);
  ragify_guard_free (node->guard);
  g_hash_table_unref (node->quotas);
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
  node->max_parallel = parallel_of (options);
  node->max_abandoned = options->max_abandoned != 0 ? options->max_abandoned : DEFAULT_ABANDONED;
  node->memory_limit = options->memory_limit != 0 ? options->memory_limit : DEFAULT_MEMORY;
  node->quotas = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify)ragify_quota_free);
  node->queue_last = &node->queue;
  pthread_mutex_init (&node->lock, NULL);
  find_all_series (node);
  node->guard = ragify_guard_new (node, runtime, options);

  const guint count = instance_count (runtime, node->component);
  node->instances = g_new0 (Instance, count);
  for (guint i = 0; i < count; i++) {
    if (!create_instance (node, i, count, error)) {
      destroy (node);
      return NULL;
    }
  }
  return node;
}

/* `args` lives as long as the owner. */
static gint32
lifecycle_call (RagifyNode *node, guint index, RagifyOwner *owner, const RagifyOperation *operation, const void *args,
                guint64 deadline, char **message)
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
        lifecycle_call (node, i, owner, &ragify_operation_start, copy_start (owner, start), deadline, &message);
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
ragify_node_free (RagifyNode *node, guint64 deadline)
{
  static const RagifyNothing nothing = { .struct_size = sizeof (RagifyNothing) };
  gboolean idle = settle (node, deadline);
  for (guint i = 0; i < node->n_instances && idle && node->component->stop != NULL; i++) {
    if (!node->instances[i].started)
      continue;
    g_autoptr (RagifyOwner) owner = ragify_owner_new (sizeof (RagifyOwner), NULL);
    g_autofree char *message = NULL;
    const guint64 until = MAX (deadline, ragify_now () + STOP_TIME_US);
    if (lifecycle_call (node, i, owner, &ragify_operation_stop, &nothing, until, &message) != RAGIFY_OK)
      g_warning ("%s", message);
    idle = settle (node, until); /* what stop() left behind, and the end of its function */
  }
  if (!idle) {
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

static void
run_here (RagifyTask *task)
{
  RagifyCall *call = (RagifyCall *)task;
  ragify_call_ref (call); /* the instance stays until its function has returned, not only until the call is complete */
  ragify_call_invoke (call, call->node->component);
  if (call->taken)
    ragify_node_let_go (call->node, call);
  ragify_call_unref (call);
}

static Instance *
nearest (RagifyNode *node)
{
  if (node->n_instances == 1)
    return &node->instances[0];
  const RagifyLoop *current = ragify_loop_current ();
  return &node->instances[current != NULL ? ragify_loop_index (current) % node->n_instances : 0];
}

static void
submit (RagifyNode *node, RagifyCall *call)
{
  call->task.run = run_here;
  if (ragify_workers_submit (node->runtime->workers, &call->task))
    return;
  atomic_store (&call->holds, 1); /* no function will return */
  call->overloaded = TRUE;
  ragify_call_fail (call, RAGIFY_E_EXHAUSTED, "%s: %s: the worker pool's queue is full", node->name,
                    call->operation->name);
}

/* With the lock held. */
static void
give_place (RagifyCall *call)
{
  call->taken = TRUE;
  atomic_store (&call->holds, 2);
}

static void
start_on_worker (RagifyNode *node, RagifyCall *call)
{
  pthread_mutex_lock (&node->lock);
  const gboolean room = node->running < node->max_parallel;
  const gboolean full = !room && node->queued >= QUEUE_LIMIT;
  if (room) {
    node->running++;
    give_place (call);
  } else if (!full) {
    call->next_queued = NULL;
    *node->queue_last = call;
    node->queue_last = &call->next_queued;
    node->queued++;
  }
  pthread_mutex_unlock (&node->lock);
  if (room)
    submit (node, call);
  if (!full)
    return;
  call->overloaded = TRUE;
  ragify_call_fail (call, RAGIFY_E_EXHAUSTED, "%s: %s: %u calls wait already", node->name, call->operation->name,
                    QUEUE_LIMIT);
}

static void
next_on_worker (RagifyNode *node)
{
  pthread_mutex_lock (&node->lock);
  RagifyCall *next = node->queue;
  if (next != NULL) {
    node->queue = next->next_queued;
    if (node->queue == NULL)
      node->queue_last = &node->queue;
    node->queued--;
    give_place (next);
  } else {
    node->running--;
  }
  pthread_mutex_unlock (&node->lock);
  if (next != NULL)
    submit (node, next);
}

void
ragify_node_let_go (RagifyNode *node, RagifyCall *call)
{
  if (atomic_fetch_sub (&call->holds, 1) == 1)
    next_on_worker (node);
}

gboolean
ragify_node_withdraw (RagifyNode *node, RagifyCall *call)
{
  if (node->component->run_class != RAGIFY_RUN_WORKER)
    return FALSE;
  pthread_mutex_lock (&node->lock);
  RagifyCall **place = &node->queue;
  while (*place != NULL && *place != call) /* mostly the first: who came first expires first */
    place = &(*place)->next_queued;
  const gboolean found = *place != NULL;
  if (found) {
    *place = call->next_queued;
    if (*place == NULL)
      node->queue_last = place;
    node->queued--;
  }
  pthread_mutex_unlock (&node->lock);
  if (found)
    atomic_fetch_add_explicit (&node->timeouts, 1, memory_order_relaxed);
  return found;
}

void
ragify_node_call (RagifyNode *node, RagifyCall *call)
{
  if (call->instance == NULL) {
    const Instance *instance = nearest (node);
    call->instance = instance->self;
    call->instance_loop = instance->context.loop;
  }
  atomic_fetch_add_explicit (&node->calls, 1, memory_order_relaxed);
  ragify_call_open (call, node);

  if (!call->operation->present (node->component)) {
    ragify_call_fail (call, RAGIFY_E_INVALID, "%s: its component %s does not offer '%s'", node->name,
                      node->component->name, call->operation->name);
  } else if (!ragify_guard_admit (node->guard, call)) {
    return;
  } else if (ragify_node_is_ejected (node)) {
    call->overloaded = TRUE;
    ragify_call_fail (call, RAGIFY_E_UNAVAILABLE, "%s: ejected: %u calls hang", node->name, node->max_abandoned);
  } else if (node->component->run_class == RAGIFY_RUN_WORKER) {
    start_on_worker (node, call);
  } else if (call->instance_loop != NULL && call->instance_loop != ragify_loop_current ()) {
    call->task.run = run_here;
    ragify_loop_post (call->instance_loop, &call->task);
  } else {
    ragify_call_invoke (call, node->component);
  }
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
  if (node->component->run_class == RAGIFY_RUN_WORKER)
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
  return node->guard;
}

gboolean
ragify_node_is_ejected (const RagifyNode *node)
{
  return atomic_load (&node->hanging) >= node->max_abandoned;
}

const RagifyNodeValues *
ragify_node_values (const RagifyNode *node)
{
  return &node->values;
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
