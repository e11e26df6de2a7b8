/* Items on their way from the plugin to whoever called.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "core/call/call-private.h"

#define CREDIT 64u               /* items under way to a consumer */
#define COLLECTED_LIMIT 1000000u /* items of a call that nobody consumes on the way */

/* ---- the home's side ---- */

/* Takes all items off the list. */
static RagifyCallItem *
take_items (RagifyCall *call)
{
  pthread_mutex_lock (&call->emit_lock);
  RagifyCallItem *first = call->items;
  call->items = NULL;
  call->items_last = &call->items;
  call->n_items = 0;
  call->held = 0;
  call->emit_posted = FALSE;
  pthread_mutex_unlock (&call->emit_lock);
  return first;
}

static void
renew_credit (RagifyCall *call)
{
  pthread_mutex_lock (&call->emit_lock);
  const gboolean renewed = call->starved && !call->credit_held;
  call->starved = call->starved && call->credit_held;
  pthread_mutex_unlock (&call->emit_lock);
  if (renewed)
    ragify_notice_fire (atomic_load (&call->credit)); /* there since it was told to wait */
}

void
ragify_call_hold_credit (RagifyCall *call, gboolean hold)
{
  pthread_mutex_lock (&call->emit_lock);
  call->credit_held = hold;
  const gboolean nothing_waits = call->items == NULL;
  pthread_mutex_unlock (&call->emit_lock);
  if (!hold && nothing_waits)
    renew_credit (call);
}

static void
free_item (const RagifyCallItem *item)
{
  if (item->arena != NULL)
    ragify_arena_free (item->arena);
}

void
ragify_call_consume_items (RagifyCall *call)
{
  const RagifyCallItem *item = take_items (call);
  while (item != NULL) {
    const RagifyCallItem *next = item->next;
    if (!call->finished_already)
      call->emitted (call, item->item, call->user);
    free_item (item);
    item = next;
  }
  renew_credit (call);
}

static void
consume_at_home (RagifyTask *task)
{
  RagifyCall *call = (RagifyCall *)((char *)task - offsetof (RagifyCall, emit_task));
  ragify_call_consume_items (call);
  ragify_call_unref (call);
}

void
ragify_call_collect_items (RagifyCall *call)
{
  const guint count = call->n_items;
  if (count == 0)
    return;
  call->collected = ragify_arena_alloc (call->owner->arena, count * sizeof *call->collected);
  const RagifyCallItem *item = take_items (call);
  for (guint i = 0; item != NULL; item = item->next)
    call->collected[i++] = item->item;
  call->n_items = count;
}

void
ragify_call_drop_items (RagifyCall *call)
{
  for (const RagifyCallItem *item = take_items (call); item != NULL;) {
    const RagifyCallItem *next = item->next;
    free_item (item);
    item = next;
  }
}

/* ---- the plugin's side ---- */

static RagifyNotice *
credit_of (RagifyCall *call)
{
  RagifyNotice *credit = atomic_load (&call->credit);
  if (credit == NULL) {
    credit = ragify_notice_new (RAGIFY_NOTICE_USED_UP, call->handle, call->instance_loop);
    atomic_store (&call->credit, credit);
  }
  return credit;
}

/* Items that are consumed on the way are freed one by one, so each has an arena; collected ones share the call's. */
static RagifyCallItem *
copy_item (RagifyCall *call, const void *item)
{
  RagifyArena *arena = ragify_call_arena (call);
  RagifyCallItem *node = ragify_arena_alloc (arena, sizeof *node);
  void *copy = ragify_arena_alloc (arena, call->operation->item_size);
  if (node == NULL || copy == NULL)
    return NULL;
  const guint32 size = *(const guint32 *)item;
  memcpy (copy, item, MIN (size, call->operation->item_size));
  *(guint32 *)copy = (guint32)call->operation->item_size;
  node->item = copy;
  node->arena = call->emitted != NULL ? arena : NULL;
  return node;
}

static const char *
refuse_item (const RagifyCall *call, const void *item)
{
  if (call->operation->item_size == 0)
    return "emitted an item where the operation has none";
  if (item == NULL || (guintptr)item % sizeof (guint64) != 0 || *(const guint32 *)item < 8)
    return "emitted an item without a size";
  return NULL;
}

/* Counts an item among those that nobody has taken; returns what is wrong with that. */
static const char *
hold_item (RagifyCall *call, const RagifyCallItem *node)
{
  pthread_mutex_lock (&call->emit_lock);
  call->held += node->arena != NULL ? ragify_arena_size (node->arena) : 0;
  const gboolean fits = call->held <= call->memory_limit;
  const gboolean few = call->n_items < COLLECTED_LIMIT;
  pthread_mutex_unlock (&call->emit_lock);
  if (!fits)
    return "emitted on and on, although it was told to wait";
  return few ? NULL : "emitted more than a million items";
}

/* Copies an item and checks it. NULL: `*fault` says why. */
static RagifyCallItem *
take_item (RagifyCall *call, const void *item, const char **fault)
{
  *fault = refuse_item (call, item);
  RagifyCallItem *node = *fault == NULL ? copy_item (call, item) : NULL;
  if (*fault == NULL && node == NULL)
    *fault = "emitted more than the call's memory limit";
  if (*fault == NULL && call->operation->check_item != NULL)
    *fault = call->operation->check_item (call->args, (void *)node->item);
  if (*fault == NULL)
    *fault = hold_item (call, node);
  return *fault == NULL ? node : NULL;
}

uint32_t
ragify_call_emit (RagifyCall *handle, const void *item)
{
  RagifyCall *call = ragify_handle_call (handle);
  if (call == NULL || ragify_handle_cancelled (handle))
    return RAGIFY_EMIT_STOP;
  const char *fault;
  RagifyCallItem *node = take_item (call, item, &fault);
  if (node == NULL) {
    ragify_call_fail (call, RAGIFY_E_INTERNAL, "%s: %s: %s", ragify_node_name (call->node), call->operation->name,
                      fault);
    return RAGIFY_EMIT_STOP;
  }
  const gboolean consumed = call->emitted != NULL;
  if (consumed)
    call->arena = NULL; /* it goes with the item */

  pthread_mutex_lock (&call->emit_lock);
  *call->items_last = node;
  call->items_last = &node->next;
  call->n_items++;
  const gboolean full = consumed && (call->n_items >= CREDIT || call->credit_held);
  if (full && !call->starved) {
    call->starved = TRUE;
    ragify_notice_calm (credit_of (call)); /* what an earlier renewal left over is not this one's */
  }
  const gboolean post = consumed && call->home != NULL && !call->emit_posted;
  call->emit_posted |= post;
  if (post)
    ragify_call_ref (call);
  if (call->home == NULL)
    pthread_cond_signal (&call->waiter);
  pthread_mutex_unlock (&call->emit_lock);
  if (post) {
    call->emit_task.run = consume_at_home;
    ragify_loop_post (call->home, &call->emit_task);
  }
  return full ? RAGIFY_EMIT_WAIT : RAGIFY_EMIT_GO;
}

void
ragify_call_on_credit (RagifyCall *handle, RagifyNotify resume, void *user)
{
  RagifyCall *call = ragify_handle_call (handle);
  if (call != NULL)
    ragify_notice_set (credit_of (call), resume, user);
}
