/* SPDX-License-Identifier: MIT */
#include "kit-private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define DEFAULT_TIMEOUT_US 60000000u
#define HUNG_AFTER_US 10000000u
/* Results and items are copied into at least so much, so that members which an older plugin lacks read as 0. */
#define COPY_ROOM 256
#define COPY_MAX 65536

static void
call_recycle (RagifyCall *call)
{
  while (call->blocks != NULL) {
    KitBlock *block = call->blocks;
    call->blocks = block->next;
    free (block->memory);
    free (block);
  }
  for (size_t i = 0; i < call->reply.item_count; i++)
    free ((void *)call->items[i]);
  free (call->items);
  free ((void *)call->reply.result);
  call->items = NULL;
  call->items_size = 0;
  call->reply = (RagifyKitCall){ 0 };

  RagifyKit *kit = call->kit;
  pthread_mutex_lock (&kit->lock);
  call->next = NULL;
  if (kit->free_last != NULL)
    kit->free_last->next = call;
  else
    kit->free_first = call;
  kit->free_last = call;
  kit->free_count++;
  pthread_mutex_unlock (&kit->lock);
}

/* Gives up one reference and the lock with it. */
static void
call_unref_unlock (RagifyCall *call)
{
  const bool last = --call->references == 0;
  pthread_mutex_unlock (&call->lock);
  if (last)
    call_recycle (call);
}

/* One of the two ends of a call, with the reference that it held; the lock is held and given up. */
static void
call_end_unlock (RagifyCall *call)
{
  RagifyKitInstance *instance = --call->ends == 0 ? call->instance : NULL;
  call_unref_unlock (call);
  if (instance != NULL)
    kit_instance_call_ended (instance);
}

static RagifyCall *
call_take (RagifyKit *kit)
{
  pthread_mutex_lock (&kit->lock);
  RagifyCall *call = kit->free_count > KIT_QUARANTINE ? kit->free_first : NULL;
  if (call != NULL) {
    kit->free_first = call->next;
    kit->free_count--;
  }
  pthread_mutex_unlock (&kit->lock);
  if (call != NULL)
    return call;

  call = kit_alloc (sizeof *call);
  pthread_mutex_init (&call->lock, NULL);
  pthread_condattr_t attributes;
  pthread_condattr_init (&attributes);
  pthread_condattr_setclock (&attributes, CLOCK_MONOTONIC);
  pthread_cond_init (&call->changed, &attributes);
  pthread_condattr_destroy (&attributes);
  call->kit = kit;
  pthread_mutex_lock (&kit->lock);
  call->next_all = kit->all_calls;
  kit->all_calls = call;
  pthread_mutex_unlock (&kit->lock);
  return call;
}

RagifyCall *
kit_call_new (RagifyKitInstance *instance, RagifyKitFunction function, const void *args, uint64_t timeout_us)
{
  RagifyKit *kit = instance->context.kit;
  RagifyCall *call = call_take (kit);
  pthread_mutex_lock (&call->lock);
  call->reply.message = "";
  call->instance = instance;
  call->name = instance->context.component->name;
  call->function = function;
  call->args = args;
  call->deadline_us = ragify_kit_now_us () + (timeout_us > 0 ? timeout_us : DEFAULT_TIMEOUT_US);
  call->references = 3;
  call->ends = 2;
  call->completed = call->abandoned = call->cancelled = call->notified = false;
  call->starved = call->resume_pending = false;
  call->on_cancel = call->on_credit = NULL;
  call->credit = kit->options.credit;
  call->allocated = 0;
  call->next = NULL;
  pthread_mutex_unlock (&call->lock);
  atomic_fetch_add (&kit->calls, 1);
  return call;
}

void
kit_calls_free (RagifyKit *kit)
{
  while (kit->all_calls != NULL) {
    RagifyCall *call = kit->all_calls;
    kit->all_calls = call->next_all;
    pthread_mutex_destroy (&call->lock);
    pthread_cond_destroy (&call->changed);
    free (call);
  }
}

void
kit_call_run (RagifyCall *call)
{
  typedef void (*Operation) (void *self, RagifyCall *call, const void *args);
  Operation function = (Operation)call->function;
  function (call->instance->context.self, call, call->args);
  pthread_mutex_lock (&call->lock);
  call_end_unlock (call);
}

/* True when the call may still be used; otherwise counts what was done. The lock is held. */
static bool
call_usable (RagifyCall *call, const char *what)
{
  if (!call->completed)
    return true;
  atomic_fetch_add (&call->kit->late_uses, 1);
  kit_fault (call->kit, "%s: %s on a completed call", call->name, what);
  return false;
}

/* Waits until no callback of the call runs on another thread. The lock is held. */
static void
call_await_callback (RagifyCall *call)
{
  while (call->callback_running && !pthread_equal (call->callback_thread, pthread_self ()))
    pthread_cond_wait (&call->changed, &call->lock);
}

/* Runs one of the plugin's callbacks without the lock, which is held before and afterwards. */
static void
call_run_callback (RagifyCall *call, KitCallback callback, void *user)
{
  const bool nested = call->callback_running;
  call->callback_running = true;
  call->callback_thread = pthread_self ();
  pthread_mutex_unlock (&call->lock);
  callback (call, user);
  pthread_mutex_lock (&call->lock);
  call->callback_running = nested;
  pthread_cond_broadcast (&call->changed);
}

/* On the right thread: runs what is due. Owns one reference. */
static void
call_deliver (void *user)
{
  RagifyCall *call = user;
  pthread_mutex_lock (&call->lock);
  call_await_callback (call);
  if (!call->completed && call->cancelled && !call->notified && call->on_cancel != NULL) {
    call->notified = true;
    call_run_callback (call, call->on_cancel, call->on_cancel_user);
  }
  if (!call->completed && call->resume_pending && call->on_credit != NULL) {
    call->resume_pending = false;
    call_run_callback (call, call->on_credit, call->on_credit_user);
  }
  call_unref_unlock (call);
}

/* Sees to it that call_deliver() runs where the run class wants it. The lock is held and given up. */
static void
call_deliver_unlock (RagifyCall *call)
{
  call->references++;
  KitLoop *loop = call->instance->context.loop;
  pthread_mutex_unlock (&call->lock);
  if (loop != NULL && loop != kit_thread_loop ())
    kit_loop_invoke (loop, call_deliver, call);
  else
    call_deliver (call);
}

void
ragify_kit_cancel (RagifyKitCall *handle)
{
  RagifyCall *call = (RagifyCall *)handle;
  pthread_mutex_lock (&call->lock);
  if (call->completed || call->cancelled) {
    pthread_mutex_unlock (&call->lock);
    return;
  }
  call->cancelled = true;
  call_deliver_unlock (call);
}

void
kit_call_on_cancel (RagifyCall *call, KitCallback notify, void *user)
{
  pthread_mutex_lock (&call->lock);
  if (!call_usable (call, "call_on_cancel")) {
    pthread_mutex_unlock (&call->lock);
    return;
  }
  call_await_callback (call);
  call->on_cancel = notify;
  call->on_cancel_user = user;
  if (notify != NULL && call->cancelled && !call->notified)
    call_deliver_unlock (call);
  else
    pthread_mutex_unlock (&call->lock);
}

void
kit_call_on_credit (RagifyCall *call, KitCallback resume, void *user)
{
  pthread_mutex_lock (&call->lock);
  if (!call_usable (call, "call_on_credit")) {
    pthread_mutex_unlock (&call->lock);
    return;
  }
  call_await_callback (call);
  call->on_credit = resume;
  call->on_credit_user = user;
  if (resume != NULL && call->resume_pending)
    call_deliver_unlock (call);
  else
    pthread_mutex_unlock (&call->lock);
}

uint64_t
kit_call_deadline_us (RagifyCall *call)
{
  pthread_mutex_lock (&call->lock);
  const uint64_t deadline = call_usable (call, "call_deadline_us") ? call->deadline_us : 1;
  pthread_mutex_unlock (&call->lock);
  return deadline;
}

uint32_t
kit_call_cancelled (RagifyCall *call)
{
  pthread_mutex_lock (&call->lock);
  const uint32_t cancelled = !call_usable (call, "call_cancelled") || call->cancelled;
  pthread_mutex_unlock (&call->lock);
  return cancelled;
}

void *
kit_call_alloc (RagifyCall *call, uint64_t size)
{
  const uint64_t limit = call->kit->options.call_memory;
  pthread_mutex_lock (&call->lock);
  const bool usable = call_usable (call, "call_alloc");
  const bool fits = limit == 0 || (size <= limit && call->allocated <= limit - size);
  if (usable && fits)
    call->allocated += size;
  pthread_mutex_unlock (&call->lock);
  if (!usable || !fits || size > PTRDIFF_MAX)
    return NULL;

  /* A block of its own for each piece, so that a sanitizer sees every step past an end. */
  void *memory = NULL;
  const size_t alignment = size >= 64 ? 64 : _Alignof(max_align_t);
  if (posix_memalign (&memory, alignment, size > 0 ? size : 1) != 0)
    return NULL;
  if (size > 0)
    memset (memory, 0, size);
  KitBlock *block = kit_alloc (sizeof *block);
  block->memory = memory;
  pthread_mutex_lock (&call->lock);
  block->next = call->blocks;
  call->blocks = block;
  pthread_mutex_unlock (&call->lock);
  return memory;
}

/* A copy by the struct's own size; NULL with a fault when that cannot be right. */
static void *
copy_struct (RagifyCall *call, const char *what, const void *value)
{
  uint32_t size = 0;
  memcpy (&size, value, sizeof size);
  if (size < 8 || size > COPY_MAX) {
    kit_fault (call->kit, "%s: %s with a struct_size of %u", call->name, what, size);
    return NULL;
  }
  void *copy = kit_alloc (size > COPY_ROOM ? size : COPY_ROOM);
  memcpy (copy, value, size);
  return copy;
}

static void
call_keep_item (RagifyCall *call, void *item)
{
  if (call->reply.item_count == call->items_size) {
    call->items_size = call->items_size > 0 ? call->items_size * 2 : 16;
    const void **items = realloc (call->items, call->items_size * sizeof *items);
    if (items == NULL)
      abort ();
    call->items = items;
    call->reply.items = items;
  }
  call->items[call->reply.item_count++] = item;
}

uint32_t
kit_call_emit (RagifyCall *call, const void *item)
{
  pthread_mutex_lock (&call->lock);
  uint32_t answer = RAGIFY_EMIT_STOP;
  void *copy = NULL;
  if (call_usable (call, "call_emit") && !call->cancelled && !call->abandoned)
    copy = copy_struct (call, "call_emit: an item", item);
  if (copy != NULL) {
    answer = RAGIFY_EMIT_GO;
    call_keep_item (call, copy);
    if (call->kit->options.credit > 0) {
      if (call->credit == 0)
        kit_fault (call->kit, "%s: call_emit after it said WAIT", call->name);
      else
        call->credit--;
      if (call->credit == 0) {
        call->starved = true;
        answer = RAGIFY_EMIT_WAIT;
        pthread_cond_broadcast (&call->changed);
      }
    }
  }
  pthread_mutex_unlock (&call->lock);
  return answer;
}

static void
call_complete (RagifyCall *call, const void *result, int32_t code, RagifyStr message, uint64_t retry_after_us)
{
  pthread_mutex_lock (&call->lock);
  call_await_callback (call);
  if (call->completed) {
    atomic_fetch_add (&call->kit->second_completions, 1);
    kit_fault (call->kit, "%s: a call was completed a second time (%s)", call->name,
               code == RAGIFY_OK ? "done" : "fail");
    pthread_mutex_unlock (&call->lock);
    return;
  }
  if (call->abandoned)
    kit_fault (call->kit, "%s: a call was completed long after its deadline", call->name);
  else {
    call->reply.code = code;
    call->reply.retry_after_us = retry_after_us;
    const size_t size = message.size < KIT_TEXT_MAX - 1 ? message.size : KIT_TEXT_MAX - 1;
    if (size > 0)
      memcpy (call->message, message.data, size);
    call->message[size] = '\0';
    call->reply.message = call->message;
    if (result != NULL) {
      call->reply.result = copy_struct (call, "call_done: a result", result);
      if (call->reply.result == NULL)
        call->reply.code = RAGIFY_E_INTERNAL;
    }
  }
  call->completed = true;
  atomic_fetch_sub (&call->kit->calls, 1);
  pthread_cond_broadcast (&call->changed);
  call_end_unlock (call);
}

void
kit_call_done (RagifyCall *call, const void *result)
{
  call_complete (call, result, RAGIFY_OK, ragify_str (NULL, 0), 0);
}

void
kit_call_fail (RagifyCall *call, int32_t code, RagifyStr message, uint64_t retry_after_us)
{
  if (code < RAGIFY_E_INVALID || code > RAGIFY_E_INTERNAL) {
    kit_fault (call->kit, "%s: call_fail with the code %d, which is no RAGIFY_E_…", call->name, code);
    code = RAGIFY_E_INTERNAL;
  }
  call_complete (call, NULL, code, message, retry_after_us);
}

/* Waits for a change until `until_us`; true when that time came first. The lock is held. */
static bool
call_wait_until (RagifyCall *call, uint64_t until_us)
{
  const struct timespec until = { .tv_sec = (time_t)(until_us / 1000000),
                                  .tv_nsec = (long)(until_us % 1000000) * 1000 };
  return pthread_cond_timedwait (&call->changed, &call->lock, &until) == ETIMEDOUT;
}

RagifyKitCall *
ragify_kit_wait (RagifyKitCall *handle)
{
  RagifyCall *call = (RagifyCall *)handle;
  uint64_t until_us = call->deadline_us;
  bool at_deadline = false;
  pthread_mutex_lock (&call->lock);
  while (!call->completed) {
    if (call->starved) {
      call->starved = false;
      call->credit = call->kit->options.credit;
      call->resume_pending = true;
      call_deliver_unlock (call);
      pthread_mutex_lock (&call->lock);
      continue;
    }
    if (!call_wait_until (call, until_us) || call->completed)
      continue;
    if (!at_deadline) {
      at_deadline = true;
      until_us = ragify_kit_now_us () + HUNG_AFTER_US;
      pthread_mutex_unlock (&call->lock);
      ragify_kit_cancel (handle);
      pthread_mutex_lock (&call->lock);
      continue;
    }
    kit_fault (call->kit, "%s: a call was not completed %u s after its deadline", call->name, HUNG_AFTER_US / 1000000);
    call->abandoned = true;
    handle->hung = 1;
    handle->code = RAGIFY_E_TIMEOUT;
    handle->message = "not completed long after its deadline";
    break;
  }
  pthread_mutex_unlock (&call->lock);
  return handle;
}

void
ragify_kit_call_free (RagifyKitCall *handle)
{
  if (handle == NULL)
    return;
  RagifyCall *call = (RagifyCall *)handle;
  ragify_kit_wait (handle);
  pthread_mutex_lock (&call->lock);
  call_unref_unlock (call);
}
