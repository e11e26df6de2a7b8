/* The functions of RagifyHost that concern calls.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "core/call/buffer.h"
#include "core/call/call-private.h"
#include "core/call/text.h"

#define LONGEST_MESSAGE 4096u

static void *
call_alloc (RagifyCall *handle, uint64_t size)
{
  RagifyCall *call = ragify_handle_call (handle);
  return call != NULL ? ragify_arena_alloc (ragify_call_arena (call), size) : NULL;
}

static uint64_t
call_deadline_us (RagifyCall *handle)
{
  return ragify_handle_deadline (handle);
}

static uint32_t
call_cancelled (RagifyCall *handle)
{
  return ragify_handle_cancelled (handle);
}

static void
call_on_cancel (RagifyCall *handle, RagifyNotify notify, void *user)
{
  RagifyCall *call = ragify_handle_call (handle);
  if (call == NULL)
    return;
  RagifyNotice *cancel = atomic_load (&call->cancel);
  if (cancel == NULL) {
    cancel = ragify_notice_new (RAGIFY_NOTICE_FOR_GOOD, handle, call->instance_loop);
    atomic_store (&call->cancel, cancel);
  }
  /* The canceller looks for `cancel` after it has set the flag: either it finds it or we see the flag. */
  if (atomic_load (&call->cancelled))
    ragify_notice_fire (cancel);
  ragify_notice_set (cancel, notify, user); /* may complete the call: nothing is touched after this */
}

/* The host's own copy of the result, as large as the host knows it; NULL where there is none or `*fault` says why. */
static void *
take_result (RagifyCall *call, const void *result, const char **fault)
{
  const gsize known = call->operation->result_size;
  if (known == 0)
    return NULL;
  if (result == NULL || (guintptr)result % sizeof (guint64) != 0) {
    *fault = "completed without a result";
    return NULL;
  }
  const guint32 size = *(const guint32 *)result;
  if (size < 8) {
    *fault = "completed with a result of no size";
    return NULL;
  }
  void *copy = ragify_arena_alloc (ragify_call_arena (call), known);
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
refuse_result (RagifyCall *call, const char *fault)
{
  ragify_call_describe (call, RAGIFY_E_INTERNAL, "%s: %s: %s", ragify_node_name (call->node), call->operation->name,
                        fault);
}

static void
call_done (RagifyCall *handle, const void *result)
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
    refuse_result (call, fault);
  ragify_call_deliver (call, state);
}

static void
call_fail (RagifyCall *handle, int32_t code, RagifyStr message, uint64_t retry_after_us)
{
  RagifyCall *call;
  const RagifyHandleState state = ragify_handle_complete (handle, &call);
  if (state == RAGIFY_HANDLE_GONE) {
    ragify_handle_doubled (handle);
    return;
  }
  const gboolean known = code >= RAGIFY_E_INVALID && code <= RAGIFY_E_INTERNAL;
  if (state == RAGIFY_HANDLE_OPEN) {
    g_autofree char *text = ragify_text_copy (message, LONGEST_MESSAGE);
    ragify_call_describe (call, known ? code : RAGIFY_E_INTERNAL, "%s: %s: %s", ragify_node_name (call->node),
                          call->operation->name, *text != '\0' ? text : "failed without saying why");
    call->retry_after = retry_after_us;
  }
  ragify_call_deliver (call, state);
}

void
ragify_call_fill_host (RagifyHost *host)
{
  host->call_alloc = call_alloc;
  host->call_deadline_us = call_deadline_us;
  host->call_cancelled = call_cancelled;
  host->call_on_cancel = call_on_cancel;
  host->call_emit = ragify_call_emit;
  host->call_on_credit = ragify_call_on_credit;
  host->call_done = call_done;
  host->call_fail = call_fail;
  host->buffer_new = ragify_buffer_new;
  host->buffer_wrap = ragify_buffer_wrap;
}
