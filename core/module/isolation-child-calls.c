/* Calls in an isolated child: from the parent's frames to the node, and what comes of them back.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>
#include <time.h>

#include "core/call/buffer.h"
#include "core/module/isolation-child.h"

#define HOLD_AT 32u /* items that the parent has not taken */
#define GO_ON_AT 16u

typedef struct ChildCall {
  RagifyOwner owner; /* first */
  guint64 id;
  RagifyIsolationChild *child;
  RagifyCall *call;
  const RagifyDescribedOperation *operation;
  const RagifyOperation *own;
  GPtrArray *buffers;             /* of the arguments */
  RagifyIsolatedValues *replaced; /* reconfigure: what holds again if it fails */
  guint untaken;
  RagifyStream stream;
  pthread_mutex_t lock; /* guards what follows */
  gboolean cancelled;
  pthread_cond_t arrived;
  GBytes *piece;
  gint64 got;
  gboolean answered;
} ChildCall;

/* ---- calls ---- */

static void
call_clear (RagifyOwner *owner)
{
  ChildCall *call = (ChildCall *)owner;
  if (call->buffers != NULL) {
    for (guint i = 0; i < call->buffers->len; i++) {
      RagifyBuffer *buffer = g_ptr_array_index (call->buffers, i);
      buffer->unref (buffer);
    }
    g_ptr_array_unref (call->buffers);
  }
  g_clear_pointer (&call->replaced, ragify_isolated_values_free);
  g_clear_pointer (&call->piece, g_bytes_unref);
  pthread_mutex_destroy (&call->lock);
  pthread_cond_destroy (&call->arrived);
}

static void *
space_alloc (void *user, uint64_t size)
{
  return ragify_arena_alloc (((ChildCall *)user)->owner.arena, size);
}

static RagifyBuffer *
space_buffer (void *user, uint64_t size, uint8_t **data)
{
  ChildCall *call = user;
  RagifyBuffer *buffer = ragify_buffer_new (size, data);
  if (buffer == NULL)
    return NULL;
  if (call->buffers == NULL)
    call->buffers = g_ptr_array_new ();
  buffer->ref (buffer); /* decoding releases those of a value that it refuses */
  g_ptr_array_add (call->buffers, buffer);
  return buffer;
}

/* Decoding gave each buffer's first reference to the value; ours is the only one that is needed from here on. */
static void
drop_second_references (const ChildCall *call)
{
  for (guint i = 0; call->buffers != NULL && i < call->buffers->len; i++) {
    RagifyBuffer *buffer = g_ptr_array_index (call->buffers, i);
    buffer->unref (buffer);
  }
}

static const char *
without_prefix (const ChildCall *call, const char *message)
{
  g_autofree char *prefix = g_strdup_printf ("%s: %s: ", call->child->name, call->own->name);
  return g_str_has_prefix (message, prefix) ? message + strlen (prefix) : message;
}

static void
restore_values (ChildCall *call, gboolean failed)
{
  RagifyIsolationChild *child = call->child;
  if (call->replaced == NULL)
    return;
  pthread_mutex_lock (&child->lock);
  if (failed) {
    RagifyIsolatedValues *tried = child->values;
    child->values = call->replaced;
    call->replaced = tried;
  }
  pthread_mutex_unlock (&child->lock);
}

static void
send_result (ChildCall *call, const void *result)
{
  RagifyFlat flat = { 0 };
  const char *error = NULL;
  gint32 code = RAGIFY_OK;
  if (result != NULL && call->operation->result != NULL)
    code = ragify_flat_encode (call->operation->result, result, call->child->call_memory, &flat, &error);
  if (result != NULL && call->own->discard != NULL)
    call->own->discard ((void *)result);
  if (code == RAGIFY_OK)
    ragify_child_say (call->child, RAGIFY_FRAME_DONE, call->id, flat.data, flat.size, TRUE);
  else
    ragify_child_say_failure (call->child, RAGIFY_FRAME_FAILED, call->id, code, error, 0);
  ragify_flat_free (&flat);
}

static void
call_finished (RagifyCall *done, void *user)
{
  ChildCall *call = user;
  const gint32 code = ragify_call_code (done);
  restore_values (call, code != RAGIFY_OK);
  if (code == RAGIFY_OK)
    send_result (call, ragify_call_result (done));
  else
    ragify_child_say_failure (call->child, RAGIFY_FRAME_FAILED, call->id, code,
                              without_prefix (call, ragify_call_message (done)), ragify_call_retry_after (done));
  g_hash_table_remove (call->child->calls, &call->id);
}

static void
call_emitted (RagifyCall *emitting, const void *item, void *user)
{
  ChildCall *call = user;
  RagifyFlat flat = { 0 };
  const char *error = NULL;
  if (ragify_flat_encode (call->operation->emitted, item, call->child->call_memory, &flat, &error) != RAGIFY_OK)
    return; /* it was checked: only memory can be short */
  call->untaken++;
  if (call->untaken >= HOLD_AT)
    ragify_call_hold_credit (emitting, TRUE);
  ragify_child_say (call->child, RAGIFY_FRAME_ITEM, call->id, flat.data, flat.size, TRUE);
  ragify_flat_free (&flat);
}

/* ---- streams ---- */

static int64_t
stream_read (RagifyStream *stream, uint8_t *data, uint64_t capacity)
{
  ChildCall *call = (ChildCall *)((char *)stream - offsetof (ChildCall, stream));
  const guint64 until = call->call->deadline;
  const struct timespec limit = { .tv_sec = (time_t)(until / 1000000), .tv_nsec = (long)(until % 1000000) * 1000 };
  const guint32 wanted = (guint32)MIN (capacity, 1u << 20);
  gint64 got = -RAGIFY_E_TIMEOUT;
  pthread_mutex_lock (&call->lock);
  call->answered = FALSE;
  if (!call->cancelled)
    ragify_child_say (call->child, RAGIFY_FRAME_READ, call->id, &wanted, sizeof wanted, TRUE);
  gboolean late = FALSE;
  while (!call->answered && !call->cancelled && !late)
    late = pthread_cond_timedwait (&call->arrived, &call->lock, &limit) != 0;
  if (call->answered)
    got = call->got;
  else if (call->cancelled)
    got = -RAGIFY_E_CANCELLED;
  if (got > 0) {
    got = MIN ((guint64)got, MIN (g_bytes_get_size (call->piece), capacity));
    memcpy (data, g_bytes_get_data (call->piece, NULL), (gsize)got);
  }
  pthread_mutex_unlock (&call->lock);
  return got;
}

static void
on_stream (ChildCall *call, const RagifyFrame *frame)
{
  if (frame->size < sizeof call->got)
    return;
  pthread_mutex_lock (&call->lock);
  memcpy (&call->got, frame->data, sizeof call->got);
  g_clear_pointer (&call->piece, g_bytes_unref);
  call->piece = g_bytes_new (frame->data + sizeof call->got, frame->size - sizeof call->got);
  call->answered = TRUE;
  pthread_cond_signal (&call->arrived);
  pthread_mutex_unlock (&call->lock);
}

/* The parent answers no reads of a call that is over for it. */
static void
on_cancel (ChildCall *call)
{
  pthread_mutex_lock (&call->lock);
  call->cancelled = TRUE;
  pthread_cond_signal (&call->arrived);
  pthread_mutex_unlock (&call->lock);
  ragify_call_cancel (call->call); /* which may be the end of it */
}

/* ---- what the parent says, on the loop ---- */

void
ragify_child_init_lock (pthread_mutex_t *lock, pthread_cond_t *condition)
{
  pthread_condattr_t monotonic;
  pthread_mutex_init (lock, NULL);
  pthread_condattr_init (&monotonic);
  pthread_condattr_setclock (&monotonic, CLOCK_MONOTONIC);
  pthread_cond_init (condition, &monotonic);
  pthread_condattr_destroy (&monotonic);
}

static ChildCall *
call_new (RagifyIsolationChild *child, guint64 id, guint32 number)
{
  ChildCall *call = (ChildCall *)ragify_owner_new (sizeof *call, call_clear);
  call->id = id;
  call->child = child;
  call->operation = ragify_frame_operation (child->kind, number);
  call->own = call->operation != NULL ? ragify_operation_find (child->kind_id, call->operation->name) : NULL;
  call->stream.read = stream_read;
  ragify_child_init_lock (&call->lock, &call->arrived);
  return call;
}

static void
take_values (ChildCall *call, const guint8 *data, gsize size)
{
  RagifyIsolationChild *child = call->child;
  if (size == 0)
    return;
  g_autoptr (GBytes) bytes = g_bytes_new (data, size);
  RagifyIsolatedValues *values =
      ragify_isolated_values_new (g_variant_new_from_bytes (G_VARIANT_TYPE ("a(suv)"), bytes, TRUE));
  pthread_mutex_lock (&child->lock);
  call->replaced = child->values; /* texts of it may be in use until reconfigure completes */
  child->values = values;
  pthread_mutex_unlock (&child->lock);
}

static void
begin (ChildCall *call, const RagifyFrameCall *head, const void *args)
{
  RagifyIsolationChild *child = call->child;
  call->call = ragify_call_new (&call->owner, call->own, args, head->deadline, call_finished, call);
  if (call->own->item_size > 0)
    ragify_call_set_emitted (call->call, call_emitted);
  g_hash_table_insert (child->calls, &call->id, call);
  ragify_node_call (child->node, call->call);
}

static void
on_call (RagifyIsolationChild *child, const RagifyFrame *frame)
{
  RagifyFrameCall head;
  if (frame->size < sizeof head)
    return;
  memcpy (&head, frame->data, sizeof head);
  ChildCall *call = call_new (child, frame->id, head.operation);
  const gsize before = sizeof head + head.values;
  const char *error = "the operation is not known here";
  const void *args = NULL;
  if (call->own != NULL && before <= frame->size) {
    const RagifyFlatSpace space = {
      .alloc = space_alloc, .buffer_new = space_buffer, .user = call, .stream = &call->stream
    };
    args = ragify_flat_decode (call->operation->args, frame->data + before, frame->size - before, &space, &error);
  }
  if (args == NULL) {
    ragify_child_say_failure (child, RAGIFY_FRAME_FAILED, frame->id, RAGIFY_E_INTERNAL, error, 0);
    ragify_owner_unref (&call->owner);
    return;
  }
  drop_second_references (call);
  take_values (call, frame->data + sizeof head, head.values);
  begin (call, &head, args);
}

static void
on_taken (ChildCall *call, const RagifyFrame *frame)
{
  guint32 count = 0;
  memcpy (&count, frame->data, MIN (frame->size, sizeof count));
  call->untaken -= MIN (count, call->untaken);
  if (call->untaken <= GO_ON_AT)
    ragify_call_hold_credit (call->call, FALSE);
}

static void
on_ping (RagifyIsolationChild *child)
{
  /* Once it is over the control thread frees the node. */
  const guint64 hanging = child->over ? 0 : ragify_node_counts (child->node).abandoned;
  ragify_child_say (child, RAGIFY_FRAME_PONG, 0, &hanging, sizeof hanging, TRUE);
}

static void
on_shutdown (RagifyIsolationChild *child, guint64 deadline)
{
  pthread_mutex_lock (&child->lock);
  child->over = TRUE;
  child->stop_deadline = deadline;
  pthread_cond_signal (&child->changed);
  pthread_mutex_unlock (&child->lock);
}

void
ragify_child_take_frame (void *user, const RagifyFrame *frame)
{
  RagifyIsolationChild *child = user;
  ChildCall *call = g_hash_table_lookup (child->calls, &frame->id);
  switch (frame->type) {
  case RAGIFY_FRAME_CALL:
    on_call (child, frame);
    break;
  case RAGIFY_FRAME_CANCEL:
    if (call != NULL)
      on_cancel (call);
    break;
  case RAGIFY_FRAME_TAKEN:
    if (call != NULL)
      on_taken (call, frame);
    break;
  case RAGIFY_FRAME_STREAM:
    if (call != NULL)
      on_stream (call, frame);
    break;
  case RAGIFY_FRAME_PING:
    on_ping (child);
    break;
  case RAGIFY_FRAME_SHUTDOWN:
    on_shutdown (child, frame->id);
    break;
  default:
    break;
  }
}

void
ragify_child_call_free (gpointer call)
{
  ragify_owner_unref (&((ChildCall *)call)->owner);
}
