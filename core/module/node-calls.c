/* Calls of a node: where they run, and the queue of those that wait for one of its places.
 *
 * SPDX-License-Identifier: MIT
 */
#include "core/module/node-private.h"

#define QUEUE_LIMIT 4096u

static void
run_here (RagifyTask *task)
{
  RagifyCall *call = (RagifyCall *)task;
  ragify_call_ref (call); /* the instance stays until its function has returned, not only until the call is complete */
  ragify_call_invoke (call, call->node->component);
  if (call->taken && ragify_node_is_on_workers (call->node))
    ragify_node_let_go (call->node, call);
  ragify_call_unref (call);
}

static RagifyNodeInstance *
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

/* With the lock held. The instance is not chosen earlier: while the call waited it may have been changed. */
static void
give_place (RagifyNode *node, RagifyCall *call)
{
  node->running++;
  call->taken = TRUE;
  if (call->instance == NULL)
    call->instance = node->instances[0].self;
  atomic_store (&call->holds, ragify_node_is_on_workers (node) ? 2 : 1);
}

/* Where the component runs. `waited`: on any thread, perhaps inside the call that was before it: never here and now. */
static void
dispatch (RagifyNode *node, RagifyCall *call, gboolean waited)
{
  RagifyLoop *loop = call->instance_loop;
  if (ragify_node_is_on_workers (node)) {
    submit (node, call);
    return;
  }
  if (loop == NULL && waited)
    loop = call->home != NULL ? call->home : node->runtime->loops[0];
  if (loop == NULL || (!waited && loop == ragify_loop_current ())) {
    ragify_call_invoke (call, node->component);
    return;
  }
  call->task.run = run_here;
  ragify_loop_post (loop, &call->task);
}

static gboolean
is_lifecycle (const RagifyCall *call)
{
  return call->operation == &ragify_operation_start || call->operation == &ragify_operation_stop;
}

/* On one of the node's places, or in the queue for them. */
static void
start_on_place (RagifyNode *node, RagifyCall *call)
{
  pthread_mutex_lock (&node->lock);
  const gboolean dead = node->dead && !is_lifecycle (call);
  const gboolean room = !dead && node->running < node->max_parallel && (!node->paused || is_lifecycle (call));
  const gboolean full = !dead && !room && node->queued >= QUEUE_LIMIT;
  if (room) {
    give_place (node, call);
  } else if (!full && !dead) {
    call->next_queued = NULL;
    *node->queue_last = call;
    node->queue_last = &call->next_queued;
    node->queued++;
  }
  pthread_mutex_unlock (&node->lock);
  if (room)
    dispatch (node, call, FALSE);
  if (!full && !dead)
    return;
  call->overloaded = full;
  if (full)
    ragify_call_fail (call, RAGIFY_E_EXHAUSTED, "%s: %s: %u calls wait already", node->name, call->operation->name,
                      QUEUE_LIMIT);
  else
    ragify_call_fail (call, RAGIFY_E_UNAVAILABLE, "%s: %s: it could not be opened again after a change", node->name,
                      call->operation->name);
}

/* With the lock held; NULL: nobody waits, or nobody may begin. */
static RagifyCall *
take_next (RagifyNode *node)
{
  RagifyCall *next = node->queue;
  if (next == NULL || node->paused || node->running >= node->max_parallel)
    return NULL;
  node->queue = next->next_queued;
  if (node->queue == NULL)
    node->queue_last = &node->queue;
  node->queued--;
  give_place (node, next);
  return next;
}

static void
next_on_place (RagifyNode *node)
{
  pthread_mutex_lock (&node->lock);
  node->running--;
  RagifyCall *next = take_next (node);
  pthread_mutex_unlock (&node->lock);
  if (next != NULL)
    dispatch (node, next, TRUE);
}

/* ---- the end of a pause ---- */

/* With the lock held. */
static RagifyCall *
take_whole_queue (RagifyNode *node)
{
  RagifyCall *all = node->queue;
  node->queue = NULL;
  node->queue_last = &node->queue;
  node->queued = 0;
  return all;
}

void
ragify_node_resume (RagifyNode *node)
{
  RagifyCall *lost = NULL;
  pthread_mutex_lock (&node->lock);
  node->paused = FALSE;
  if (node->dead)
    lost = take_whole_queue (node);
  RagifyCall *next = take_next (node);
  pthread_mutex_unlock (&node->lock);
  while (next != NULL) {
    submit (node, next);
    pthread_mutex_lock (&node->lock);
    next = take_next (node);
    pthread_mutex_unlock (&node->lock);
  }
  while (lost != NULL) {
    RagifyCall *call = lost;
    lost = call->next_queued;
    start_on_place (node, call);
  }
}

void
ragify_node_let_go (RagifyNode *node, RagifyCall *call)
{
  if (atomic_fetch_sub (&call->holds, 1) == 1)
    next_on_place (node);
}

gboolean
ragify_node_withdraw (RagifyNode *node, RagifyCall *call)
{
  if (!node->has_places)
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
  if (call->instance == NULL && !ragify_node_is_on_workers (node)) {
    const RagifyNodeInstance *instance = nearest (node);
    call->instance = instance->self;
    call->instance_loop = instance->context.loop;
  }
  atomic_fetch_add_explicit (&node->calls, 1, memory_order_relaxed);
  ragify_call_open (call, node);

  if (!call->operation->present (node->component)) {
    ragify_call_fail (call, RAGIFY_E_INVALID, "%s: its component %s does not offer '%s'", node->name,
                      node->component->name, call->operation->name);
  } else if (!ragify_guard_admit (ragify_node_guard (node), call)) {
    return;
  } else if (ragify_node_is_ejected (node)) {
    call->overloaded = TRUE;
    ragify_call_fail (call, RAGIFY_E_UNAVAILABLE, "%s: ejected: %u calls hang", node->name, node->max_abandoned);
  } else if (ragify_node_is_on_workers (node) || (node->has_places && !is_lifecycle (call))) {
    start_on_place (node, call);
  } else {
    dispatch (node, call, FALSE);
  }
}
