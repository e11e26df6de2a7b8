/* SPDX-License-Identifier: MIT */
#include "core/call/call-private.h"

#include <string.h>
#include <time.h>

#define CREDIT 64u               /* items under way to a consumer */
#define COLLECTED_LIMIT 1000000u /* items of a call that nobody consumes on the way */

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

/* ---- items ---- */

static RagifyArena *
arena_of (RagifyCall *call)
{
  if (call->arena == NULL)
    call->arena = ragify_arena_new (call->memory_limit);
  return call->arena;
}

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
  void (*resume) (RagifyCall * call, void *user) = call->starved ? call->resume : NULL;
  void *user = call->resume_user;
  call->starved = FALSE;
  pthread_mutex_unlock (&call->emit_lock);
  if (resume != NULL)
    resume (call->handle, user);
}

/* Gives the items to the consumer and frees them. On the home thread. */
static void
consume_items (RagifyCall *call)
{
  RagifyCallItem *item = take_items (call);
  while (item != NULL) {
    RagifyCallItem *next = item->next;
    if (!call->finished_already)
      call->emitted (call, item->item, call->user);
    ragify_arena_free (item->arena);
    item = next;
  }
  renew_credit (call);
}

static void
consume_at_home (RagifyTask *task)
{
  RagifyCall *call = (RagifyCall *)((char *)task - offsetof (RagifyCall, emit_task));
  RagifyOwner *owner = call->owner;
  consume_items (call);
  ragify_owner_unref (owner);
}

/* The items of a call that nobody consumed on the way become an array in the owner's arena. */
static void
collect_items (RagifyCall *call)
{
  const guint count = call->n_items;
  if (count == 0)
    return;
  call->collected = ragify_arena_alloc (call->owner->arena, count * sizeof *call->collected);
  RagifyCallItem *item = take_items (call);
  for (guint i = 0; item != NULL; i++) {
    RagifyCallItem *next = item->next;
    call->collected[i] = item->item;
    ragify_arena_graft (call->owner->arena, item->arena);
    item = next;
  }
  call->n_items = count;
}

static void
drop_items (RagifyCall *call)
{
  for (RagifyCallItem *item = take_items (call); item != NULL;) {
    RagifyCallItem *next = item->next;
    ragify_arena_free (item->arena);
    item = next;
  }
}

/* ---- the end of a call ---- */

static void
finish (RagifyCall *call)
{
  if (call->finished_already)
    return;
  call->finished_already = TRUE;
  call->ended = ragify_now ();
  if (call->finished != NULL)
    call->finished (call, call->user);
}

static void
release (RagifyCall *call, RagifyHandleState state)
{
  RagifyOwner *owner = call->owner;
  RagifyCancel *cancel = atomic_load (&call->cancel);
  if (cancel != NULL)
    ragify_cancel_unref (cancel);
  RagifyCall *handle = call->handle;
  ragify_node_released (call->node, call, state);
  if (call->home == NULL)
    pthread_cond_destroy (&call->waiter);
  pthread_mutex_destroy (&call->emit_lock);
  ragify_handle_free (handle);
  ragify_owner_unref (owner);
}

/* On the home thread: the plugin has completed and the host still waits. */
static void
deliver_at_home (RagifyCall *call)
{
  if (call->home != NULL)
    ragify_loop_disarm (call->home, &call->expiry);
  if (call->emitted != NULL)
    consume_items (call);
  else
    collect_items (call);
  if (call->arena != NULL)
    ragify_arena_graft (call->owner->arena, g_steal_pointer (&call->arena));
  finish (call);
  release (call, RAGIFY_HANDLE_OPEN);
}

static void
run_delivery (RagifyTask *task)
{
  deliver_at_home ((RagifyCall *)task);
}

void
ragify_call_deliver (RagifyCall *call, RagifyHandleState state)
{
  RagifyCancel *cancel = atomic_load (&call->cancel);
  if (cancel != NULL)
    ragify_cancel_end (cancel);

  if (state == RAGIFY_HANDLE_ABANDONED) { /* nobody waits: what came is dropped here and now */
    drop_items (call);
    g_clear_pointer (&call->arena, ragify_arena_free);
    release (call, state);
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
  call->message = ragify_arena_copy (arena_of (call), text, strlen (text));
  if (call->message == NULL)
    call->message = "the call's memory limit is reached";
}

static void G_GNUC_PRINTF (3, 4) describe_failure (RagifyCall *call, gint32 code, const char *format, ...)
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
  va_list arguments;
  va_start (arguments, format);
  set_failure (call, code, format, arguments);
  va_end (arguments);
  ragify_call_deliver (call, state);
}

/* The host stops waiting: `finished` runs now, the memory stays until the plugin completes. */
static gboolean
abandon (RagifyCall *call)
{
  RagifyOwner *owner = call->owner;
  if (!ragify_handle_abandon (call->handle))
    return FALSE; /* the completion is on its way */
  const gboolean cancelled = atomic_load (&call->cancelled);
  call->code = cancelled ? RAGIFY_E_CANCELLED : RAGIFY_E_TIMEOUT;
  g_autofree char *text = g_strdup_printf ("%s: %s: %s", ragify_node_name (call->node), call->operation->name,
                                           cancelled ? "cancelled" : "no answer within its deadline");
  const char *message = ragify_arena_copy (owner->arena, text, strlen (text));
  ragify_owner_ref (owner); /* the plugin may complete, and release its reference, from here on */
  call->message = message;
  atomic_store (&call->cancelled, TRUE);
  RagifyCancel *cancel = atomic_load (&call->cancel);
  if (cancel != NULL)
    ragify_cancel_fire (cancel);
  ragify_node_abandoned (call->node, call);
  finish (call);
  ragify_owner_unref (owner);
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
  RagifyCancel *cancel = atomic_load (&call->cancel);
  if (cancel != NULL)
    ragify_cancel_fire (cancel);
}

/* ---- the start of a call ---- */

void
ragify_call_open (RagifyCall *call, RagifyNode *node)
{
  g_assert (call->handle == NULL);
  call->node = node;
  call->memory_limit = ragify_node_memory_limit (node);
  call->began = ragify_now ();
  atomic_init (&call->phase, RAGIFY_CALL_INVOKED);
  pthread_mutex_init (&call->emit_lock, NULL);
  ragify_owner_ref (call->owner);
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
ragify_call_begin (RagifyNode *node, RagifyCall *call)
{
  g_assert (call->home == NULL && !ragify_workers_is_current ());
  init_waiter (&call->waiter);
  ragify_owner_ref (call->owner); /* until ragify_call_end has read what came */
  ragify_node_call (node, call);
}

/* TRUE once the plugin has completed; FALSE at the deadline plus the grace. With emit_lock held. */
static gboolean
wait_for_completion (RagifyCall *call, const struct timespec *limit)
{
  while (!call->waited) {
    if (call->emitted != NULL && call->items != NULL) {
      pthread_mutex_unlock (&call->emit_lock);
      consume_items (call);
      pthread_mutex_lock (&call->emit_lock);
    } else if (pthread_cond_timedwait (&call->waiter, &call->emit_lock, limit) != 0) {
      return call->waited;
    }
  }
  return TRUE;
}

gint32
ragify_call_end (RagifyCall *call)
{
  RagifyOwner *owner = call->owner;
  const guint64 until = call->deadline + RAGIFY_CALL_GRACE_US;
  const struct timespec limit = { .tv_sec = (time_t)(until / 1000000), .tv_nsec = (long)(until % 1000000) * 1000 };
  pthread_mutex_lock (&call->emit_lock);
  gboolean complete = wait_for_completion (call, &limit);
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

/* ---- RagifyHost: what plugins call ---- */

static void *
host_call_alloc (RagifyCall *handle, uint64_t size)
{
  RagifyCall *call = ragify_handle_call (handle);
  return call != NULL ? ragify_arena_alloc (arena_of (call), size) : NULL;
}

static uint64_t
host_call_deadline_us (RagifyCall *handle)
{
  return ragify_handle_deadline (handle);
}

static uint32_t
host_call_cancelled (RagifyCall *handle)
{
  return ragify_handle_cancelled (handle);
}

static void
host_call_on_cancel (RagifyCall *handle, void (*notify) (RagifyCall *call, void *user), void *user)
{
  RagifyCall *call = ragify_handle_call (handle);
  if (call == NULL)
    return;
  RagifyCancel *cancel = atomic_load (&call->cancel);
  if (cancel == NULL) {
    cancel = ragify_cancel_new (handle, call->instance_loop);
    atomic_store (&call->cancel, cancel);
  }
  /* The canceller looks for `cancel` after it has set the flag: either it finds it or we see the flag. Once the
   * callback is set it may complete the call from another thread, so the call is not touched after that. */
  const gboolean cancelled = atomic_load (&call->cancelled);
  ragify_cancel_ref (cancel);
  ragify_cancel_set (cancel, notify, user);
  if (notify != NULL && cancelled)
    ragify_cancel_fire (cancel);
  ragify_cancel_unref (cancel);
}

static RagifyCallItem *
copy_item (RagifyCall *call, const void *item)
{
  RagifyArena *arena = arena_of (call);
  RagifyCallItem *node = ragify_arena_alloc (arena, sizeof *node);
  void *copy = ragify_arena_alloc (arena, call->operation->item_size);
  if (node == NULL || copy == NULL)
    return NULL;
  const guint32 size = *(const guint32 *)item;
  memcpy (copy, item, MIN (size, call->operation->item_size));
  *(guint32 *)copy = (guint32)call->operation->item_size;
  node->item = copy;
  node->arena = arena;
  return node;
}

static const char *
refuse_item (RagifyCall *call, const void *item)
{
  if (call->operation->item_size == 0)
    return "emitted an item where the operation has none";
  if (item == NULL || *(const guint32 *)item < 8)
    return "emitted an item without a size";
  return NULL;
}

/* Counts an item among those that nobody has taken; FALSE when they are too many bytes. */
static gboolean
hold_item (RagifyCall *call, const RagifyCallItem *node)
{
  pthread_mutex_lock (&call->emit_lock);
  call->held += ragify_arena_size (node->arena);
  const gboolean fits = call->memory_limit == 0 || call->held <= call->memory_limit;
  pthread_mutex_unlock (&call->emit_lock);
  return fits;
}

static uint32_t
host_call_emit (RagifyCall *handle, const void *item)
{
  RagifyCall *call = ragify_handle_call (handle);
  if (call == NULL || ragify_handle_cancelled (handle))
    return RAGIFY_EMIT_STOP;
  const char *fault = refuse_item (call, item);
  RagifyCallItem *node = fault == NULL ? copy_item (call, item) : NULL;
  if (fault == NULL && node == NULL)
    fault = "emitted more than the call's memory limit";
  if (fault == NULL && call->operation->check_item != NULL)
    fault = call->operation->check_item (call->args, (void *)node->item);
  if (fault == NULL && !hold_item (call, node))
    fault = "emitted on and on, although it was told to wait";
  if (fault != NULL) {
    ragify_call_fail (call, RAGIFY_E_INTERNAL, "%s: %s: %s", ragify_node_name (call->node), call->operation->name,
                      fault);
    return RAGIFY_EMIT_STOP;
  }
  call->arena = NULL; /* it goes with the item */

  pthread_mutex_lock (&call->emit_lock);
  *call->items_last = node;
  call->items_last = &node->next;
  call->n_items++;
  const gboolean full = call->n_items >= (call->emitted != NULL ? CREDIT : COLLECTED_LIMIT);
  call->starved = full;
  const gboolean post = call->emitted != NULL && call->home != NULL && !call->emit_posted;
  call->emit_posted |= post;
  if (call->home == NULL)
    pthread_cond_signal (&call->waiter);
  pthread_mutex_unlock (&call->emit_lock);
  if (post) {
    ragify_owner_ref (call->owner);
    call->emit_task.run = consume_at_home;
    ragify_loop_post (call->home, &call->emit_task);
  }
  return full ? RAGIFY_EMIT_WAIT : RAGIFY_EMIT_GO;
}

static void
host_call_on_credit (RagifyCall *handle, void (*resume) (RagifyCall *call, void *user), void *user)
{
  RagifyCall *call = ragify_handle_call (handle);
  if (call == NULL)
    return;
  pthread_mutex_lock (&call->emit_lock);
  call->resume = resume;
  call->resume_user = user;
  const gboolean renewed = resume != NULL && !call->starved && call->n_items == 0;
  pthread_mutex_unlock (&call->emit_lock);
  if (renewed)
    resume (handle, user);
}

/* The host's own copy of the result, as large as the host knows it; NULL where there is none or `*fault` says why. */
static void *
take_result (RagifyCall *call, const void *result, const char **fault)
{
  const gsize known = call->operation->result_size;
  if (known == 0)
    return NULL;
  if (result == NULL) {
    *fault = "completed without a result";
    return NULL;
  }
  const guint32 size = *(const guint32 *)result;
  if (size < 8) {
    *fault = "completed with a result of no size";
    return NULL;
  }
  void *copy = ragify_arena_alloc (arena_of (call), known);
  if (copy == NULL) {
    *fault = "the result exceeds the call's memory limit";
    return NULL;
  }
  memcpy (copy, result, MIN (size, known));
  *(guint32 *)copy = (guint32)known;
  if (call->operation->check != NULL)
    *fault = call->operation->check (call->args, copy);
  return copy;
}

static void
host_call_done (RagifyCall *handle, const void *result)
{
  RagifyCall *call;
  const RagifyHandleState state = ragify_handle_complete (handle, &call);
  if (state == RAGIFY_HANDLE_GONE) {
    ragify_handle_doubled (handle);
    return;
  }
  const char *fault = NULL;
  void *copy = take_result (call, result, &fault);
  const gboolean wanted = state == RAGIFY_HANDLE_OPEN && fault == NULL;
  if (!wanted && copy != NULL && call->operation->discard != NULL)
    call->operation->discard (copy);
  /* An abandoned call's outcome is what the home thread was told: it may be reading it now. */
  if (wanted)
    call->result = copy;
  else if (state == RAGIFY_HANDLE_OPEN)
    describe_failure (call, RAGIFY_E_INTERNAL, "%s: %s: %s", ragify_node_name (call->node), call->operation->name,
                      fault);
  ragify_call_deliver (call, state);
}

static void
host_call_fail (RagifyCall *handle, int32_t code, RagifyStr message, uint64_t retry_after_us)
{
  RagifyCall *call;
  const RagifyHandleState state = ragify_handle_complete (handle, &call);
  if (state == RAGIFY_HANDLE_GONE) {
    ragify_handle_doubled (handle);
    return;
  }
  const gboolean known = code >= RAGIFY_E_INVALID && code <= RAGIFY_E_INTERNAL;
  g_autofree char *text =
      g_utf8_make_valid (message.data != NULL ? message.data : "", (gssize)MIN (message.size, 4096));
  if (state == RAGIFY_HANDLE_OPEN) {
    describe_failure (call, known ? code : RAGIFY_E_INTERNAL, "%s: %s: %s", ragify_node_name (call->node),
                      call->operation->name, *text != '\0' ? text : "failed without saying why");
    call->retry_after = retry_after_us;
  }
  ragify_call_deliver (call, state);
}

/* ---- buffers ---- */

typedef struct HostBuffer {
  RagifyBuffer base;
  gint references;
  void (*release) (void *user);
  void *user;
} HostBuffer;

static void
buffer_ref (RagifyBuffer *buffer)
{
  g_atomic_int_inc (&((HostBuffer *)buffer)->references);
}

static void
buffer_unref (RagifyBuffer *buffer)
{
  HostBuffer *self = (HostBuffer *)buffer;
  if (!g_atomic_int_dec_and_test (&self->references))
    return;
  if (self->release != NULL)
    self->release (self->user);
  g_free (self);
}

static HostBuffer *
buffer_make (gsize extra)
{
  HostBuffer *self = g_try_malloc (sizeof *self + extra);
  if (self == NULL)
    return NULL;
  *self = (HostBuffer){ .base = { .struct_size = sizeof (RagifyBuffer), .ref = buffer_ref, .unref = buffer_unref },
                        .references = 1 };
  return self;
}

static RagifyBuffer *
host_buffer_new (uint64_t size, uint8_t **data)
{
  HostBuffer *self = size < G_MAXSIZE / 2 ? buffer_make (size) : NULL;
  if (self == NULL)
    return NULL;
  *data = (uint8_t *)(self + 1);
  self->base.data = *data;
  self->base.size = size;
  return &self->base;
}

static RagifyBuffer *
host_buffer_wrap (const uint8_t *data, uint64_t size, void (*release_data) (void *user), void *user)
{
  HostBuffer *self = buffer_make (0);
  if (self == NULL)
    return NULL;
  self->base.data = data;
  self->base.size = size;
  self->release = release_data;
  self->user = user;
  return &self->base;
}

void
ragify_call_fill_host (RagifyHost *host)
{
  host->call_alloc = host_call_alloc;
  host->call_deadline_us = host_call_deadline_us;
  host->call_cancelled = host_call_cancelled;
  host->call_on_cancel = host_call_on_cancel;
  host->call_emit = host_call_emit;
  host->call_on_credit = host_call_on_credit;
  host->call_done = host_call_done;
  host->call_fail = host_call_fail;
  host->buffer_new = host_buffer_new;
  host->buffer_wrap = host_buffer_wrap;
}
