/* SPDX-License-Identifier: MIT */
#include "core/call/call-private.h"

#include <string.h>
#include <time.h>

/* ---- making and asking ---- */

RagifyCall *
ragify_call_new (RagifyOwner *owner, const RagifyOperation *operation, const void *args, guint64 deadline,
                 RagifyCallFinished finished, void *user)
{
  RagifyCall *call = ragify_arena_alloc (owner->arena, sizeof *call);
  call->owner = owner;
  call->home = ragify_loop_current ();
  call->operation = operation;
  call->args = args;
  call->deadline = deadline;
  call->finished = finished;
  call->user = user;
  call->message = "";
  call->items_last = &call->items;
  return call;
}

void
ragify_call_set_emitted (RagifyCall *call, void (*emitted) (RagifyCall *call, const void *item, void *user))
{
  call->emitted = emitted;
}

gint32
ragify_call_code (const RagifyCall *call)
{
  return call->code;
}

const void *
ragify_call_result (const RagifyCall *call)
{
  return call->result;
}

const char *
ragify_call_message (const RagifyCall *call)
{
  return call->message;
}

guint64
ragify_call_retry_after (const RagifyCall *call)
{
  return call->retry_after;
}

gboolean
ragify_call_refused (const RagifyCall *call)
{
  return call->refused;
}

guint64
ragify_call_ended (const RagifyCall *call)
{
  return call->ended;
}

guint64
ragify_call_duration (const RagifyCall *call)
{
  return call->ended - call->began;
}

RagifyNode *
ragify_call_node (const RagifyCall *call)
{
  return call->node;
}

const void *const *
ragify_call_items (const RagifyCall *call, gsize *count)
{
  *count = call->collected != NULL ? call->n_items : 0;
  return call->collected;
}

/* ---- who works on it ---- */

RagifyArena *
ragify_call_arena (RagifyCall *call)
{
  if (call->arena == NULL)
    call->arena = ragify_arena_new (call->memory_limit);
  return call->arena;
}

void
ragify_call_ref (RagifyCall *call)
{
  atomic_fetch_add (&call->references, 1);
}

static void
clear_notice (RagifyNotice *notice)
{
  if (notice != NULL)
    ragify_notice_unref (notice);
}

void
ragify_call_unref (RagifyCall *call)
{
  if (atomic_fetch_sub (&call->references, 1) != 1)
    return;
  RagifyOwner *owner = call->owner;
  RagifyNode *node = call->node;
  clear_notice (atomic_load (&call->cancel));
  clear_notice (atomic_load (&call->credit));
  if (call->home == NULL)
    pthread_cond_destroy (&call->waiter);
  pthread_mutex_destroy (&call->emit_lock);
  ragify_handle_free (call->handle);
  ragify_owner_unref (owner);
  ragify_node_drop (node);
}

/* ---- the end of a call ---- */

static void
finish (RagifyCall *call)
{
  if (call->finished_already)
    return;
  call->finished_already = TRUE;
  call->ended = ragify_now ();
  if (call->span != 0)
    ragify_call_trace_end (call);
  if (call->finished != NULL)
    call->finished (call, call->user);
}

/* On the home thread: the plugin has completed and the host still waits. */
static void
deliver_at_home (RagifyCall *call)
{
  if (call->home != NULL)
    ragify_loop_disarm (call->home, &call->expiry);
  if (call->emitted != NULL)
    ragify_call_consume_items (call);
  else
    ragify_call_collect_items (call);
  if (call->arena != NULL)
    ragify_arena_graft (call->owner->arena, g_steal_pointer (&call->arena));
  ragify_node_observe (call->node, call);
  finish (call);
  ragify_call_unref (call);
}

static void
run_delivery (RagifyTask *task)
{
  deliver_at_home ((RagifyCall *)task);
}

static void
end_notices (RagifyCall *call)
{
  RagifyNotice *cancel = atomic_load (&call->cancel);
  RagifyNotice *credit = atomic_load (&call->credit);
  if (cancel != NULL)
    ragify_notice_end (cancel);
  if (credit != NULL)
    ragify_notice_end (credit);
}

/* Nobody waits: what came is dropped here and now. */
static void
drop (RagifyCall *call)
{
  ragify_call_drop_items (call);
  g_clear_pointer (&call->arena, ragify_arena_free);
  ragify_node_late (call->node);
  ragify_call_unref (call);
}

void
ragify_call_deliver (RagifyCall *call, RagifyHandleState state)
{
  end_notices (call);
  if (call->taken)
    ragify_node_let_go (call->node, call);
  if (state == RAGIFY_HANDLE_ABANDONED) {
    drop (call);
    return;
  }
  if (call->home == NULL) {
    pthread_mutex_lock (&call->emit_lock);
    call->waited = TRUE;
    pthread_cond_signal (&call->waiter);
    pthread_mutex_unlock (&call->emit_lock);
    return;
  }
  if (atomic_exchange (&call->phase, RAGIFY_CALL_COMPLETED_INSIDE) == RAGIFY_CALL_INVOKING)
    return; /* ragify_call_invoke finds it */
  call->task.run = run_delivery;
  ragify_loop_post (call->home, &call->task);
}

static void G_GNUC_PRINTF (3, 0) set_failure (RagifyCall *call, gint32 code, const char *format, va_list arguments)
{
  g_autofree char *text = g_strdup_vprintf (format, arguments);
  call->code = code;
  call->result = NULL;
  call->message = ragify_arena_copy (ragify_call_arena (call), text, strlen (text));
  if (call->message != NULL)
    return;
  /* The plugin has used up its memory; who it was has to be said all the same. */
  RagifyArena *roomy = ragify_arena_new (0);
  call->message = ragify_arena_copy (roomy, text, strlen (text));
  ragify_arena_graft (roomy, g_steal_pointer (&call->arena));
  call->arena = roomy;
}

void
ragify_call_describe (RagifyCall *call, gint32 code, const char *format, ...)
{
  va_list arguments;
  va_start (arguments, format);
  set_failure (call, code, format, arguments);
  va_end (arguments);
}

void
ragify_call_fail (RagifyCall *call, gint32 code, const char *format, ...)
{
  RagifyCall *claimed;
  const RagifyHandleState state = ragify_handle_complete (call->handle, &claimed);
  if (state == RAGIFY_HANDLE_GONE)
    return;
  if (state == RAGIFY_HANDLE_OPEN) { /* otherwise the home thread was told another outcome, and may be reading it */
    va_list arguments;
    va_start (arguments, format);
    set_failure (call, code, format, arguments);
    va_end (arguments);
  }
  ragify_call_deliver (call, state);
}

/* The host stops waiting: `finished` runs now, the memory stays until the plugin completes. FALSE where the completion
 * is on its way. */
static gboolean
abandon (RagifyCall *call)
{
  const gboolean cancelled = atomic_load (&call->cancelled);
  const gint32 code = cancelled ? RAGIFY_E_CANCELLED : RAGIFY_E_TIMEOUT;
  const char *reason = cancelled ? "cancelled" : "no answer within its deadline";
  if (ragify_node_withdraw (call->node, call)) { /* the plugin has never seen it */
    ragify_call_fail (call, code, "%s: %s: %s", ragify_node_name (call->node), call->operation->name, reason);
    return FALSE;
  }
  ragify_call_ref (call); /* the plugin may complete from here on at any time */
  ragify_node_hangs (call->node);
  if (!ragify_handle_abandon (call->handle)) {
    ragify_node_hangs_not (call->node);
    ragify_call_unref (call);
    return FALSE;
  }
  g_autofree char *text = g_strdup_printf ("%s: %s: %s", ragify_node_name (call->node), call->operation->name, reason);
  call->code = code;
  call->message = ragify_arena_copy (call->owner->arena, text, strlen (text));
  atomic_store (&call->cancelled, TRUE);
  ragify_node_abandoned (call->node, call);
  RagifyNotice *cancel = atomic_load (&call->cancel);
  if (cancel != NULL)
    ragify_notice_fire (cancel);
  finish (call);
  ragify_call_unref (call);
  return TRUE;
}

static void
expire (RagifyDeadline *expiry)
{
  abandon ((RagifyCall *)((char *)expiry - offsetof (RagifyCall, expiry)));
}

void
ragify_call_cancel (RagifyCall *call)
{
  if (call->handle == NULL || call->finished_already || atomic_exchange (&call->cancelled, TRUE))
    return;
  ragify_handle_cancel (call->handle);
  if (call->home != NULL && call->expiry.index != 0)
    ragify_loop_arm (call->home, &call->expiry, MIN (call->expiry.at, ragify_now () + RAGIFY_CALL_GRACE_US));
  RagifyNotice *cancel = atomic_load (&call->cancel);
  if (cancel != NULL)
    ragify_notice_fire (cancel);
}

/* ---- the start of a call ---- */

void
ragify_call_open (RagifyCall *call, RagifyNode *node)
{
  g_assert (call->handle == NULL);
  call->node = node;
  call->memory_limit = ragify_node_memory_limit (node);
  call->began = ragify_now ();
  atomic_init (&call->references, 1);
  atomic_init (&call->phase, RAGIFY_CALL_INVOKED);
  ragify_node_hold (node);
  pthread_mutex_init (&call->emit_lock, NULL);
  ragify_owner_ref (call->owner);
  if (call->owner->spot.trace != NULL)
    ragify_call_trace_begin (call);
  call->handle = ragify_handle_new (call, ragify_node_tally (node), call->deadline);
  if (call->home != NULL) {
    call->expiry.expired = expire;
    ragify_loop_arm (call->home, &call->expiry, call->deadline + RAGIFY_CALL_GRACE_US);
  }
}

void
ragify_call_invoke (RagifyCall *call, const RagifyComponent *component)
{
  if (atomic_load (&call->cancelled)) {
    ragify_call_fail (call, RAGIFY_E_CANCELLED, "%s: %s: cancelled", ragify_node_name (call->node),
                      call->operation->name);
    return;
  }
  /* Only at home can the completion be taken up without a detour: there nobody else can be in `finished`. */
  const gboolean at_home = call->home != NULL && ragify_loop_current () == call->home;
  if (!at_home) {
    call->operation->invoke (component, call->instance, call->handle, call->args);
    return;
  }
  atomic_store (&call->phase, RAGIFY_CALL_INVOKING);
  call->operation->invoke (component, call->instance, call->handle, call->args);
  if (atomic_exchange (&call->phase, RAGIFY_CALL_INVOKED) == RAGIFY_CALL_COMPLETED_INSIDE)
    deliver_at_home (call);
}

static void
init_waiter (pthread_cond_t *waiter)
{
  pthread_condattr_t monotonic;
  pthread_condattr_init (&monotonic);
  pthread_condattr_setclock (&monotonic, CLOCK_MONOTONIC);
  pthread_cond_init (waiter, &monotonic);
  pthread_condattr_destroy (&monotonic);
}

void
ragify_call_set_idle (RagifyCall *call, guint64 idle_us)
{
  call->idle_us = idle_us;
}

void
ragify_call_begin (RagifyNode *node, RagifyCall *call)
{
  g_assert (call->home == NULL && !ragify_workers_is_current ());
  init_waiter (&call->waiter);
  ragify_owner_ref (call->owner); /* until ragify_call_end has read what came */
  ragify_node_call (node, call);
}

/* When the host stops waiting, as it is now. */
static struct timespec
end_of_patience (const RagifyCall *call)
{
  const guint64 idle = call->idle_us > 0 ? ragify_now () + call->idle_us : call->deadline;
  const guint64 usual = MIN (idle, call->deadline) + RAGIFY_CALL_GRACE_US;
  const guint64 until = call->hurry > 0 ? MIN (usual, call->hurry) : usual;
  return (struct timespec){ .tv_sec = (time_t)(until / 1000000), .tv_nsec = (long)(until % 1000000) * 1000 };
}

/* TRUE once the plugin has completed; FALSE at the deadline plus the grace. With emit_lock held. */
static gboolean
wait_for_completion (RagifyCall *call)
{
  struct timespec limit = end_of_patience (call);
  while (!call->waited) {
    if (call->emitted != NULL && call->items != NULL) {
      pthread_mutex_unlock (&call->emit_lock);
      ragify_call_consume_items (call);
      pthread_mutex_lock (&call->emit_lock);
      limit = end_of_patience (call);
    } else if (pthread_cond_timedwait (&call->waiter, &call->emit_lock, &limit) != 0) {
      return call->waited;
    } else if (call->hurry > 0) {
      limit = end_of_patience (call);
    }
  }
  return TRUE;
}

void
ragify_call_hurry (RagifyCall *call, guint64 deadline)
{
  pthread_mutex_lock (&call->emit_lock);
  call->hurry = deadline;
  pthread_cond_broadcast (&call->waiter);
  pthread_mutex_unlock (&call->emit_lock);
}

gint32
ragify_call_end (RagifyCall *call)
{
  RagifyOwner *owner = call->owner;
  pthread_mutex_lock (&call->emit_lock);
  gboolean complete = wait_for_completion (call);
  pthread_mutex_unlock (&call->emit_lock);
  if (!complete && !abandon (call)) { /* it has completed after all: the word is on its way */
    pthread_mutex_lock (&call->emit_lock);
    while (!call->waited)
      pthread_cond_wait (&call->waiter, &call->emit_lock);
    pthread_mutex_unlock (&call->emit_lock);
    complete = TRUE;
  }
  if (complete)
    deliver_at_home (call);
  const gint32 code = call->code;
  ragify_owner_unref (owner);
  return code;
}

gint32
ragify_call_wait (RagifyNode *node, RagifyCall *call)
{
  ragify_owner_ref (call->owner);
  RagifyOwner *owner = call->owner;
  ragify_call_begin (node, call);
  const gint32 code = ragify_call_end (call);
  ragify_owner_unref (owner);
  return code;
}
