/* The child of an isolated node: runs one component on a node, a loop and workers of its own, and answers its parent.
 *
 * SPDX-License-Identifier: MIT
 *
 * The main thread is the control thread: it makes the node, starts it and frees it. Everything else happens on the one
 * loop: frames are read there, calls have their home there, results and items are sent from there. Only streams are
 * waited for elsewhere, on workers.
 */
#include <glib-unix.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "core/call/buffer.h"
#include "core/call/call-private.h"
#include "core/call/stream.h"
#include "core/module/isolation-channel.h"
#include "core/module/isolation-frames.h"
#include "core/module/isolation.h"
#include "core/module/registry.h"

#define CHILD_SOCKET 3
#define CHILD_MEMORY 4
#define WORKERS_MAX 64u
#define WORKER_QUEUE 65536u
#define WORKER_PATIENCE_US G_USEC_PER_SEC
#define HOLD_AT 32u /* items that the parent has not taken */
#define GO_ON_AT 16u
#define DATA_SLACK ((guint64)64 << 20) /* beyond the bound of memory, before allocation fails */

typedef struct Child {
  RagifyChannel *channel;
  RagifyRegistry *registry;
  RagifyRuntime runtime;
  RagifyNode *node;
  const RagifyDescribedKind *kind;
  char *kind_id;
  const char *name;
  guint64 call_memory;
  GHashTable *calls; /* id → ChildCall; of the loop */
  guint created;     /* frames that came before the loop took over */
  guint64 start_deadline;
  GBytes *create, *start;

  pthread_mutex_t lock; /* guards what follows */
  pthread_cond_t changed;
  RagifyIsolatedValues *values;
  gboolean over; /* told to stop */
  guint64 stop_deadline;
  gboolean ended; /* the parent has no more to say */
} Child;

/* Functions that a plugin calls are told a context and no more, and there is one node in this process. */
static Child *the_child;

typedef struct ChildCall {
  RagifyOwner owner; /* first */
  guint64 id;
  Child *child;
  RagifyCall *call;
  const RagifyDescribedOperation *operation;
  const RagifyOperation *own;
  GPtrArray *buffers;             /* of the arguments */
  RagifyIsolatedValues *replaced; /* reconfigure: what holds again if it fails */
  guint untaken;
  RagifyStream stream;
  pthread_mutex_t lock; /* guards what follows */
  pthread_cond_t arrived;
  GBytes *piece;
  gint64 got;
  gboolean answered;
} ChildCall;

static void
say (Child *child, guint32 type, guint64 id, const void *data, gsize size, gboolean urgent)
{
  if (!ragify_channel_send (child->channel, type, id, NULL, data, size, urgent))
    _exit (EXIT_FAILURE); /* the parent does not read: it has other things to do than to live with us */
}

static void
say_failure (Child *child, guint32 type, guint64 id, gint32 code, const char *message, guint64 retry_after)
{
  const RagifyFrameFailure failure = { .code = code, .retry_after = retry_after };
  g_autoptr (GBytes) head = g_bytes_new (&failure, sizeof failure);
  ragify_channel_send (child->channel, type, id, head, message, strlen (message), TRUE);
}

/* ---- logs and metrics go to the parent ---- */

static GLogWriterOutput
write_log (GLogLevelFlags level, const GLogField *fields, gsize count, gpointer user)
{
  Child *child = user;
  const char *message = "";
  for (gsize i = 0; i < count; i++)
    if (g_str_equal (fields[i].key, "MESSAGE"))
      message = fields[i].value;
  /* The parent puts the name in front of it again. */
  const gsize length = strlen (child->name);
  if (strncmp (message, child->name, length) == 0 && g_str_has_prefix (message + length, ": "))
    message += length + 2;
  guint64 own = RAGIFY_LOG_DEBUG;
  if (level & (G_LOG_LEVEL_ERROR | G_LOG_LEVEL_CRITICAL))
    own = RAGIFY_LOG_ERROR;
  else if (level & G_LOG_LEVEL_WARNING)
    own = RAGIFY_LOG_WARNING;
  else if (level & (G_LOG_LEVEL_MESSAGE | G_LOG_LEVEL_INFO))
    own = RAGIFY_LOG_INFO;
  ragify_channel_send (child->channel, RAGIFY_FRAME_LOG, own, NULL, message, strlen (message),
                       own <= RAGIFY_LOG_WARNING);
  return G_LOG_WRITER_HANDLED;
}

static RagifyMetric *
metric_new (RagifyContext *context, uint32_t type, const char *name, const char *help)
{
  static GHashTable *ids; /* [control]: one thread */
  if (type < RAGIFY_METRIC_COUNTER || type > RAGIFY_METRIC_HISTOGRAM || *name == '\0' ||
      strspn (name, "abcdefghijklmnopqrstuvwxyz_") != strlen (name))
    return NULL;
  if (ids == NULL)
    ids = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  gpointer known = g_hash_table_lookup (ids, name);
  if (known != NULL)
    return known;
  const guint64 id = g_hash_table_size (ids) + 1;
  g_hash_table_insert (ids, g_strdup (name), GSIZE_TO_POINTER (id));
  const RagifyFrameMetric what = { .what = RAGIFY_FRAME_METRIC_NEW, .type = type };
  g_autoptr (GBytes) head = g_bytes_new (&what, sizeof what);
  ragify_channel_send (the_child->channel, RAGIFY_FRAME_METRIC, id, head, name, strlen (name), FALSE);
  return GSIZE_TO_POINTER (id); /* NOLINT: never dereferenced */
}

static void
metric_say (RagifyMetric *metric, guint32 what, double value)
{
  const RagifyFrameMetric frame = { .what = what, .value = value };
  ragify_channel_send (the_child->channel, RAGIFY_FRAME_METRIC, (guint64)(guintptr)metric, NULL, &frame, sizeof frame,
                       FALSE);
}

static void
metric_add (RagifyMetric *metric, double amount)
{
  metric_say (metric, RAGIFY_FRAME_METRIC_ADD, amount);
}

static void
metric_set (RagifyMetric *metric, double value)
{
  metric_say (metric, RAGIFY_FRAME_METRIC_SET, value);
}

static void
metric_observe (RagifyMetric *metric, double value)
{
  metric_say (metric, RAGIFY_FRAME_METRIC_OBSERVE, value);
}

static const void *
find_extension (const char *id)
{
  static const RagifyMetricsExtension metrics = {
    .struct_size = sizeof metrics,
    .metric_new = metric_new,
    .add = metric_add,
    .set = metric_set,
    .observe = metric_observe,
  };
  return g_str_equal (id, RAGIFY_EXT_METRICS) ? &metrics : NULL;
}

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
  Child *child = call->child;
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
    say (call->child, RAGIFY_FRAME_DONE, call->id, flat.data, flat.size, TRUE);
  else
    say_failure (call->child, RAGIFY_FRAME_FAILED, call->id, code, error, 0);
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
    say_failure (call->child, RAGIFY_FRAME_FAILED, call->id, code, without_prefix (call, ragify_call_message (done)),
                 ragify_call_retry_after (done));
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
  say (call->child, RAGIFY_FRAME_ITEM, call->id, flat.data, flat.size, TRUE);
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
  say (call->child, RAGIFY_FRAME_READ, call->id, &wanted, sizeof wanted, TRUE);
  gboolean late = FALSE;
  while (!call->answered && !late)
    late = pthread_cond_timedwait (&call->arrived, &call->lock, &limit) != 0;
  if (call->answered)
    got = call->got;
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

/* ---- what the parent says, on the loop ---- */

static void
init_lock (pthread_mutex_t *lock, pthread_cond_t *condition)
{
  pthread_condattr_t monotonic;
  pthread_mutex_init (lock, NULL);
  pthread_condattr_init (&monotonic);
  pthread_condattr_setclock (&monotonic, CLOCK_MONOTONIC);
  pthread_cond_init (condition, &monotonic);
  pthread_condattr_destroy (&monotonic);
}

static ChildCall *
call_new (Child *child, guint64 id, guint32 number)
{
  ChildCall *call = (ChildCall *)ragify_owner_new (sizeof *call, call_clear);
  call->id = id;
  call->child = child;
  call->operation = ragify_frame_operation (child->kind, number);
  call->own = call->operation != NULL ? ragify_operation_find (child->kind_id, call->operation->name) : NULL;
  call->stream.read = stream_read;
  init_lock (&call->lock, &call->arrived);
  return call;
}

static void
take_values (ChildCall *call, const guint8 *data, gsize size)
{
  Child *child = call->child;
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
  Child *child = call->child;
  call->call = ragify_call_new (&call->owner, call->own, args, head->deadline, call_finished, call);
  if (call->own->item_size > 0)
    ragify_call_set_emitted (call->call, call_emitted);
  g_hash_table_insert (child->calls, &call->id, call);
  ragify_node_call (child->node, call->call);
}

static void
on_call (Child *child, const RagifyFrame *frame)
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
    say_failure (child, RAGIFY_FRAME_FAILED, frame->id, RAGIFY_E_INTERNAL, error, 0);
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
on_ping (Child *child)
{
  /* Once it is over the control thread frees the node. */
  const guint64 hanging = child->over ? 0 : ragify_node_counts (child->node).abandoned;
  say (child, RAGIFY_FRAME_PONG, 0, &hanging, sizeof hanging, TRUE);
}

static void
on_shutdown (Child *child, guint64 deadline)
{
  pthread_mutex_lock (&child->lock);
  child->over = TRUE;
  child->stop_deadline = deadline;
  pthread_cond_signal (&child->changed);
  pthread_mutex_unlock (&child->lock);
}

static void
take_frame (void *user, const RagifyFrame *frame)
{
  Child *child = user;
  ChildCall *call = g_hash_table_lookup (child->calls, &frame->id);
  switch (frame->type) {
  case RAGIFY_FRAME_CALL:
    on_call (child, frame);
    break;
  case RAGIFY_FRAME_CANCEL:
    if (call != NULL)
      ragify_call_cancel (call->call);
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

static gboolean
on_bell (gint fd, GIOCondition condition, gpointer data)
{
  Child *child = data;
  if (!ragify_channel_wake (child->channel)) {
    pthread_mutex_lock (&child->lock);
    const gboolean ended = child->ended;
    pthread_mutex_unlock (&child->lock);
    if (!ended)
      _exit (EXIT_FAILURE); /* the parent is gone */
    return G_SOURCE_REMOVE;
  }
  do
    ragify_channel_receive (child->channel, take_frame, child);
  while (!ragify_channel_sleep (child->channel));
  return G_SOURCE_CONTINUE;
}

/* ---- the control thread ---- */

/* The first two frames, before there is a loop. */
static void
take_first (void *user, const RagifyFrame *frame)
{
  Child *child = user;
  if (frame->type == RAGIFY_FRAME_CREATE)
    child->create = g_bytes_new (frame->data, frame->size);
  if (frame->type != RAGIFY_FRAME_START)
    return;
  child->start = g_bytes_new (frame->data, frame->size);
  child->start_deadline = frame->id;
}

static gboolean
await_first (Child *child)
{
  while (child->start == NULL) {
    struct pollfd fd = { .fd = ragify_channel_descriptor (child->channel), .events = POLLIN };
    if (ragify_channel_sleep (child->channel))
      poll (&fd, 1, -1);
    if (!ragify_channel_wake (child->channel))
      return FALSE;
    ragify_channel_receive (child->channel, take_first, child);
  }
  return child->create != NULL;
}

static gint32
values_get (void *user, const char *key, guint32 type, void *value)
{
  Child *child = user;
  pthread_mutex_lock (&child->lock);
  const gint32 code = ragify_isolated_values_get (child->values, key, type, value);
  pthread_mutex_unlock (&child->lock);
  return code;
}

/* More memory than the bound is refused to it, so that it does not take the machine's before it is noticed. Sanitizers
 * reserve terabytes. */
static void
bound_memory (guint64 bound)
{
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  const struct rlimit limit = { bound + DATA_SLACK, bound + DATA_SLACK };
  if (bound > 0)
    setrlimit (RLIMIT_DATA, &limit);
#endif
}

static void
runtime_init (Child *child, const RagifyComponent *component, guint max_parallel)
{
  const guint own = MAX (component->max_parallel, 1);
  child->runtime.metrics = ragify_metrics_new ();
  child->runtime.find_extension = find_extension;
  child->runtime.n_loops = 1;
  child->runtime.loops = g_new0 (RagifyLoop *, 1);
  child->runtime.loops[0] = ragify_loop_new (0);
  child->runtime.workers =
      ragify_workers_new (MIN ((max_parallel != 0 ? MIN (own, max_parallel) : own) + 1, WORKERS_MAX), WORKER_QUEUE);
}

static gboolean
make_node (Child *child, GError **error)
{
  const char *module, *kind, *component_name;
  guint32 max_parallel, max_abandoned;
  guint64 bound;
  g_autoptr (GVariant) values = NULL;
  g_autoptr (GVariant) create =
      g_variant_ref_sink (g_variant_new_from_bytes (G_VARIANT_TYPE ("(sssuutta(suv))"), child->create, TRUE));
  g_variant_get (create, "(&s&s&suutt@a(suv))", &module, &kind, &component_name, &max_parallel, &max_abandoned,
                 &child->call_memory, &bound, &values);
  bound_memory (bound);
  child->kind = ragify_describe_kind (kind);
  child->kind_id = g_strdup (kind);
  child->values = ragify_isolated_values_new (values);
  if (!ragify_registry_load (child->registry, module, error))
    return FALSE;
  const RagifyComponent *component = ragify_registry_find (child->registry, kind, component_name, NULL);
  if (component == NULL) {
    g_set_error (error, RAGIFY_NODE_ERROR, RAGIFY_E_NOT_FOUND, "%s: has no component '%s'", module, component_name);
    return FALSE;
  }
  runtime_init (child, component, max_parallel);
  const RagifyNodeOptions options = { .name = child->name,
                                      .component = component,
                                      .values = { .get = values_get, .user = child },
                                      .max_parallel = max_parallel,
                                      .max_abandoned = max_abandoned,
                                      .memory_limit = child->call_memory };
  child->node = ragify_node_new (&child->runtime, &options, error);
  return child->node != NULL;
}

static void *
plain_alloc (void *user, uint64_t size)
{
  return ragify_arena_alloc (user, size);
}

static gboolean
start_node (Child *child, GError **error)
{
  g_log_set_writer_func (write_log, child, NULL);
  g_autoptr (RagifyArena) arena = ragify_arena_new (0);
  const RagifyFlatSpace space = { .alloc = plain_alloc, .user = arena };
  const char *fault = NULL;
  const RagifyStart *start =
      ragify_flat_decode (ragify_describe_struct ("RagifyStart"), g_bytes_get_data (child->start, NULL),
                          g_bytes_get_size (child->start), &space, &fault);
  if (start == NULL) {
    g_set_error_literal (error, RAGIFY_NODE_ERROR, RAGIFY_E_INTERNAL, fault);
    return FALSE;
  }
  return ragify_node_start (child->node, start, child->start_deadline, error);
}

/* What the parent puts in front of it again is taken away. */
static const char *
bare_message (const char *name, const char *message)
{
  g_autofree char *prefix = g_strconcat (name, ": ", NULL);
  if (g_str_has_prefix (message, prefix))
    message += strlen (prefix);
  return g_str_has_prefix (message, "start: ") ? message + strlen ("start: ") : message;
}

static void
clear (Child *child)
{
  if (child->runtime.workers != NULL) {
    ragify_workers_free (child->runtime.workers, WORKER_PATIENCE_US);
    ragify_loop_free (child->runtime.loops[0]);
    g_free (child->runtime.loops);
    ragify_metrics_free (child->runtime.metrics);
  }
  g_clear_pointer (&child->values, ragify_isolated_values_free);
  g_clear_pointer (&child->create, g_bytes_unref);
  g_clear_pointer (&child->start, g_bytes_unref);
  g_hash_table_unref (child->calls);
  ragify_registry_free (child->registry);
  g_free (child->kind_id);
}

/* Serves until it is told to stop; then ends the node. */
static void
serve (Child *child)
{
  GSource *source = g_unix_fd_source_new (ragify_channel_descriptor (child->channel), G_IO_IN | G_IO_HUP);
  g_source_set_callback (source, G_SOURCE_FUNC (on_bell), child, NULL);
  if (!ragify_channel_sleep (child->channel))
    g_source_set_ready_time (source, 0); /* what came meanwhile */
  g_source_attach (source, ragify_loop_context (child->runtime.loops[0]));
  g_source_unref (source);
  say_failure (child, RAGIFY_FRAME_STARTED, 0, RAGIFY_OK, "", 0);

  pthread_mutex_lock (&child->lock);
  while (!child->over)
    pthread_cond_wait (&child->changed, &child->lock);
  const guint64 now = ragify_now ();
  /* Before the parent loses patience. */
  const guint64 deadline = now + (child->stop_deadline - MIN (child->stop_deadline, now)) / 4 * 3;
  pthread_mutex_unlock (&child->lock);
  const gboolean whole = ragify_node_free (child->node, deadline);
  pthread_mutex_lock (&child->lock);
  child->ended = TRUE;
  pthread_mutex_unlock (&child->lock);
  say_failure (child, RAGIFY_FRAME_STOPPED, 0, whole ? RAGIFY_OK : RAGIFY_E_TIMEOUT, whole ? "" : "calls hang", 0);
  if (!whole)
    _exit (EXIT_FAILURE); /* its threads use what would be freed */
}

static int
run (Child *child)
{
  g_autoptr (GError) error = NULL;
  if (!await_first (child))
    return EXIT_FAILURE;
  const gboolean made = make_node (child, &error);
  if (made && start_node (child, &error)) {
    serve (child);
    clear (child);
    return EXIT_SUCCESS;
  }
  const gint32 code = error->domain == RAGIFY_NODE_ERROR ? error->code : RAGIFY_E_UNAVAILABLE;
  say_failure (child, RAGIFY_FRAME_STARTED, 0, code, bare_message (child->name, error->message), 0);
  if (made && !ragify_node_free (child->node, ragify_now () + G_USEC_PER_SEC))
    _exit (EXIT_FAILURE);
  clear (child);
  return EXIT_FAILURE;
}

gboolean
ragify_isolation_is_child (int argc, char **argv)
{
  return argc == 4 && g_str_equal (argv[1], RAGIFY_ISOLATION_ARGUMENT);
}

/* Ends with its parent, gets no new privileges, writes no core (it would hold what it knows), is the first to go when
 * memory is short. */
static void
confine (const char *parent)
{
  prctl (PR_SET_PDEATHSIG, SIGKILL);
  if (getppid () != atoi (parent))
    _exit (EXIT_FAILURE); /* it was gone before */
  prctl (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  const struct rlimit none = { 0, 0 };
  setrlimit (RLIMIT_CORE, &none);
  g_file_set_contents_full ("/proc/self/oom_score_adj", "500", 3, G_FILE_SET_CONTENTS_NONE, 0, NULL);
  signal (SIGPIPE, SIG_IGN);
}

int
ragify_isolation_child (int argc, char **argv)
{
  confine (argv[2]);
  g_autoptr (GError) error = NULL;
  RagifyChannel *channel = ragify_channel_open (CHILD_SOCKET, CHILD_MEMORY, &error);
  if (channel == NULL)
    return EXIT_FAILURE;
  Child *child = g_new0 (Child, 1);
  the_child = child;
  child->channel = channel;
  child->name = argv[3];
  child->registry = ragify_registry_new ();
  child->calls = g_hash_table_new_full (g_int64_hash, g_int64_equal, NULL, (GDestroyNotify)ragify_owner_unref);
  init_lock (&child->lock, &child->changed);
  /* A terminal's Ctrl-C goes to the whole group: the parent tells us what to do. */
  signal (SIGINT, SIG_IGN);
  signal (SIGTERM, SIG_IGN);
  return run (child);
}
