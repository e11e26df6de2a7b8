/* Calls of an isolated node that are under way in its child: completions, items and streams. On the supervisor's
 * thread, if nothing else is said.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "core/module/isolation-private.h"

#define READ_MAX (1u << 20)

/* ---- completing ---- */

void
ragify_isolated_call_free (RagifyIsolatedCall *call)
{
  g_queue_clear_full (&call->kept, (GDestroyNotify)g_bytes_unref);
  g_clear_pointer (&call->result, g_bytes_unref);
  g_free (call->message);
  g_free (call);
}

static void *
space_alloc (void *user, uint64_t size)
{
  const RagifyIsolatedCall *call = user;
  return call->isolated->host->call_alloc (call->handle, size);
}

static RagifyBuffer *
space_buffer (void *user, uint64_t size, uint8_t **data)
{
  const RagifyIsolatedCall *call = user;
  return call->isolated->host->buffer_new (size, data);
}

static void *
decode (RagifyIsolatedCall *call, const RagifyDescribedStruct *type, GBytes *flat, const char **error)
{
  const RagifyFlatSpace space = { .alloc = space_alloc, .buffer_new = space_buffer, .user = call };
  gsize size = 0;
  const void *data = g_bytes_get_data (flat, &size);
  return ragify_flat_decode (type, data, size, &space, error);
}

/* Tells the host how it went. The call is no longer in the table. */
static void
complete (RagifyIsolatedCall *call)
{
  const RagifyHost *host = call->isolated->host;
  const char *error = NULL;
  void *result = NULL;
  if (call->code == RAGIFY_OK && call->operation->result != NULL)
    result = decode (call, call->operation->result, call->result, &error);
  if (call->code != RAGIFY_OK)
    host->call_fail (call->handle, call->code, ragify_str_from (call->message), call->retry_after);
  else if (error != NULL)
    host->call_fail (call->handle, RAGIFY_E_INTERNAL, ragify_str_from (error), 0);
  else
    host->call_done (call->handle, result);
  ragify_isolated_call_free (call);
}

/* Completes a call that is over, unless something of it is still to come. */
static void
settle (RagifyIsolatedCall *call)
{
  RagifyIsolated *isolated = call->isolated;
  if (!call->over || (call->code == RAGIFY_OK && !g_queue_is_empty (&call->kept)))
    return;
  pthread_mutex_lock (&isolated->lock);
  const gboolean free_to_go = call->reading == 0;
  if (free_to_go)
    g_hash_table_remove (isolated->calls, &call->id);
  pthread_mutex_unlock (&isolated->lock);
  if (free_to_go)
    complete (call);
}

static RagifyIsolatedCall *
find (RagifyIsolated *isolated, guint64 id)
{
  pthread_mutex_lock (&isolated->lock);
  RagifyIsolatedCall *call = g_hash_table_lookup (isolated->calls, &id);
  pthread_mutex_unlock (&isolated->lock);
  return call;
}

void
ragify_isolated_done (RagifyIsolated *isolated, const RagifyFrame *frame)
{
  RagifyIsolatedCall *call = find (isolated, frame->id);
  if (call == NULL || call->over)
    return;
  call->over = TRUE;
  call->result = g_bytes_new (frame->data, frame->size);
  settle (call);
}

void
ragify_isolated_failed (RagifyIsolated *isolated, const RagifyFrame *frame)
{
  RagifyIsolatedCall *call = find (isolated, frame->id);
  RagifyFrameFailure failure;
  if (call == NULL || call->over || frame->size < sizeof failure)
    return;
  memcpy (&failure, frame->data, sizeof failure);
  call->over = TRUE;
  call->code = failure.code != RAGIFY_OK ? failure.code : RAGIFY_E_INTERNAL;
  call->message = g_strndup ((const char *)frame->data + sizeof failure, frame->size - sizeof failure);
  call->retry_after = failure.retry_after;
  settle (call);
}

void
ragify_isolated_fail_all (RagifyIsolated *isolated, const char *reason)
{
  pthread_mutex_lock (&isolated->lock);
  g_autoptr (GList) calls = g_hash_table_get_values (isolated->calls);
  pthread_mutex_unlock (&isolated->lock);
  for (const GList *item = calls; item != NULL; item = item->next) {
    RagifyIsolatedCall *call = item->data;
    if (!call->over) {
      call->over = TRUE;
      call->code = RAGIFY_E_UNAVAILABLE;
      call->message = g_strdup (reason);
    }
    settle (call);
  }
}

/* ---- items ---- */

static void
send_taken (RagifyIsolatedCall *call, guint32 count)
{
  RagifyIsolated *isolated = call->isolated;
  pthread_mutex_lock (&isolated->lock);
  if (isolated->channel != NULL)
    ragify_channel_send (isolated->channel, RAGIFY_FRAME_TAKEN, call->id, NULL, &count, sizeof count, TRUE);
  pthread_mutex_unlock (&isolated->lock);
}

void
ragify_isolated_cancel (RagifyIsolated *isolated, guint64 id)
{
  pthread_mutex_lock (&isolated->lock);
  if (isolated->channel != NULL)
    ragify_channel_send (isolated->channel, RAGIFY_FRAME_CANCEL, id, NULL, NULL, 0, TRUE);
  pthread_mutex_unlock (&isolated->lock);
}

/* [any] */
static void
on_credit (RagifyCall *handle, void *user)
{
  RagifyIsolatedCall *call = user;
  RagifyIsolated *isolated = call->isolated;
  pthread_mutex_lock (&isolated->lock);
  call->resumed = TRUE;
  g_array_append_val (isolated->attention, call->id);
  pthread_mutex_unlock (&isolated->lock);
  ragify_isolated_wake (isolated);
}

static void
hand_on (RagifyIsolatedCall *call, GBytes *flat)
{
  const RagifyHost *host = call->isolated->host;
  const char *error = NULL;
  if (!call->listening)
    host->call_on_credit (call->handle, on_credit, call);
  call->listening = TRUE;
  const void *item = decode (call, call->operation->emitted, flat, &error);
  const uint32_t answer = item != NULL ? host->call_emit (call->handle, item) : RAGIFY_EMIT_STOP;
  call->waiting = answer == RAGIFY_EMIT_WAIT;
  call->refused |= answer == RAGIFY_EMIT_STOP;
  if (call->refused)
    ragify_isolated_cancel (call->isolated, call->id);
  else
    send_taken (call, 1);
}

void
ragify_isolated_item (RagifyIsolated *isolated, const RagifyFrame *frame)
{
  RagifyIsolatedCall *call = find (isolated, frame->id);
  if (call == NULL || call->over || call->refused || call->operation->emitted == NULL)
    return;
  GBytes *flat = g_bytes_new (frame->data, frame->size);
  if (call->waiting) {
    g_queue_push_tail (&call->kept, flat);
    return;
  }
  hand_on (call, flat);
  g_bytes_unref (flat);
}

/* Credit was renewed: what was kept goes on, until it is told to wait again. */
static void
go_on (RagifyIsolatedCall *call)
{
  call->waiting = FALSE;
  while (!call->waiting && !call->refused && !g_queue_is_empty (&call->kept)) {
    GBytes *flat = g_queue_pop_head (&call->kept);
    hand_on (call, flat);
    g_bytes_unref (flat);
  }
  if (call->refused)
    g_queue_clear_full (&call->kept, (GDestroyNotify)g_bytes_unref);
}

void
ragify_isolated_attend (RagifyIsolated *isolated)
{
  pthread_mutex_lock (&isolated->lock);
  g_autoptr (GArray) ids = isolated->attention;
  isolated->attention = g_array_new (FALSE, FALSE, sizeof (guint64));
  pthread_mutex_unlock (&isolated->lock);
  for (guint i = 0; i < ids->len; i++) {
    RagifyIsolatedCall *call = find (isolated, g_array_index (ids, guint64, i));
    if (call == NULL)
      continue;
    pthread_mutex_lock (&isolated->lock);
    const gboolean resumed = call->resumed;
    call->resumed = FALSE;
    pthread_mutex_unlock (&isolated->lock);
    if (resumed)
      go_on (call);
    settle (call);
  }
}

/* ---- streams: read on a worker, where that may block ---- */

typedef struct Reading {
  RagifyIsolatedCall *call;
  guint32 capacity;
} Reading;

static void
read_stream (void *user)
{
  g_autofree Reading *reading = user;
  RagifyIsolatedCall *call = reading->call;
  RagifyIsolated *isolated = call->isolated;
  g_autofree guint8 *data = g_malloc (reading->capacity);
  const gint64 got = isolated->host->stream_read (call->stream, data, reading->capacity);
  g_autoptr (GBytes) head = g_bytes_new (&got, sizeof got);
  pthread_mutex_lock (&isolated->lock);
  if (isolated->channel != NULL)
    ragify_channel_send (isolated->channel, RAGIFY_FRAME_STREAM, call->id, head, data, got > 0 ? (gsize)got : 0, TRUE);
  call->reading--;
  g_array_append_val (isolated->attention, call->id);
  pthread_mutex_unlock (&isolated->lock); /* from here on the call may be freed */
  ragify_isolated_wake (isolated);
}

void
ragify_isolated_read (RagifyIsolated *isolated, const RagifyFrame *frame)
{
  RagifyIsolatedCall *call = find (isolated, frame->id);
  guint32 capacity;
  if (call == NULL || call->over || call->stream == NULL || frame->size != sizeof capacity)
    return;
  memcpy (&capacity, frame->data, sizeof capacity);
  Reading *reading = g_new (Reading, 1);
  *reading = (Reading){ call, CLAMP (capacity, 1, READ_MAX) };
  pthread_mutex_lock (&isolated->lock);
  call->reading++;
  pthread_mutex_unlock (&isolated->lock);
  if (isolated->host->submit (isolated->context, read_stream, reading) == RAGIFY_OK)
    return;
  g_free (reading);
  const gint64 full = -RAGIFY_E_EXHAUSTED;
  pthread_mutex_lock (&isolated->lock);
  call->reading--;
  if (isolated->channel != NULL)
    ragify_channel_send (isolated->channel, RAGIFY_FRAME_STREAM, call->id, NULL, &full, sizeof full, TRUE);
  pthread_mutex_unlock (&isolated->lock);
}
