/* The parent's side of an isolated node: its component, and the calls under way.
 *
 * SPDX-License-Identifier: MIT
 */
#include "core/module/isolation.h"

#include <dlfcn.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/call/call-private.h"
#include "core/module/isolation-private.h"

#define ARGUMENT_MAX ((guint64)256 << 20)
#define DEFAULT_HANG_US (10 * G_USEC_PER_SEC)
#define MOST_OPERATIONS 8u
#define DEFAULT_CALL_MEMORY ((guint64)256 << 20) /* as of every node */

/* ---- calls on their way ---- */

void
ragify_isolated_wake (RagifyIsolated *isolated)
{
  const guint64 one = 1;
  const ssize_t written = write (isolated->wake, &one, sizeof one);
  (void)written; /* full means awake */
}

/* [any] While this runs the call is not completed, so `user` is there. */
static void
on_cancel (RagifyCall *handle, void *user)
{
  RagifyIsolatedCall *call = user;
  RagifyIsolated *isolated = call->isolated;
  pthread_mutex_lock (&isolated->lock);
  const gboolean sent = call->id != 0;
  call->cancelled = TRUE;
  pthread_mutex_unlock (&isolated->lock);
  if (sent)
    ragify_isolated_cancel (isolated, call->id);
}

static RagifyIsolatedCall *
call_new (RagifyIsolated *isolated, RagifyCall *handle, const RagifyDescribedOperation *operation, const void *args)
{
  RagifyIsolatedCall *call = g_new0 (RagifyIsolatedCall, 1);
  call->isolated = isolated;
  call->handle = handle;
  call->operation = operation;
  g_queue_init (&call->kept);
  if (g_str_equal (operation->name, "extract"))
    call->stream = ((const RagifyExtractorExtract *)args)->stream;
  return call;
}

/* Enters the call and sends it. FALSE with `*message` where there is no child to send it to. */
static gboolean
send_call (RagifyIsolated *isolated, RagifyIsolatedCall *call, guint32 number, GBytes *values, const RagifyFlat *flat,
           char **message)
{
  const RagifyFrameCall head = { .deadline = isolated->host->call_deadline_us (call->handle),
                                 .operation = number,
                                 .values = values != NULL ? (guint32)g_bytes_get_size (values) : 0 };
  g_autoptr (GByteArray) bytes = g_byte_array_sized_new (sizeof head + head.values);
  g_byte_array_append (bytes, (const guint8 *)&head, sizeof head);
  if (values != NULL)
    g_byte_array_append (bytes, g_bytes_get_data (values, NULL), head.values);
  g_autoptr (GBytes) both = g_byte_array_free_to_bytes (g_steal_pointer (&bytes));

  pthread_mutex_lock (&isolated->lock);
  call->id = ++isolated->last_id;
  const gboolean up = isolated->state == RAGIFY_ISOLATED_UP;
  const gboolean sent =
      up && ragify_channel_send (isolated->channel, RAGIFY_FRAME_CALL, call->id, both, flat->data, flat->size, TRUE);
  if (sent) {
    g_hash_table_insert (isolated->calls, &call->id, call);
    if (call->cancelled)
      ragify_channel_send (isolated->channel, RAGIFY_FRAME_CANCEL, call->id, NULL, NULL, 0, TRUE);
  } else if (up) {
    *message = g_strdup ("its process does not read what it is sent");
  } else {
    const guint64 now = ragify_now ();
    call->retry_after = isolated->up_again > now ? isolated->up_again - now : 0;
    *message = g_strdup (isolated->down_reason != NULL ? isolated->down_reason : "its process is not running");
  }
  pthread_mutex_unlock (&isolated->lock);
  return sent;
}

static void
forward_with (RagifyIsolated *isolated, RagifyCall *handle, guint32 number, GBytes *values, const void *args)
{
  const RagifyDescribedOperation *operation = ragify_frame_operation (isolated->kind, number);
  RagifyFlat flat = { 0 };
  const char *error = NULL;
  const gint32 code = ragify_flat_encode (operation->args, args, ARGUMENT_MAX, &flat, &error);
  if (code != RAGIFY_OK) {
    isolated->host->call_fail (handle, code, ragify_str_from (error), 0);
    return;
  }
  RagifyIsolatedCall *call = call_new (isolated, handle, operation, args);
  g_autofree char *message = NULL;
  /* Before it is sent: from then on the handle is the supervisor's. */
  isolated->host->call_on_cancel (handle, on_cancel, call);
  if (!send_call (isolated, call, number, values, &flat, &message)) {
    isolated->host->call_fail (handle, RAGIFY_E_UNAVAILABLE, ragify_str_from (message), call->retry_after);
    ragify_isolated_call_free (call);
  }
  ragify_flat_free (&flat);
}

/* The kind's operations do not say which one they are, so there is a function for each place in a vtable. */
#define FORWARD(number)                                                                                                \
  static void forward_##number (void *instance, RagifyCall *call, const void *args)                                    \
  {                                                                                                                    \
    forward_with (instance, call, number, NULL, args);                                                                 \
  }
FORWARD (0)
FORWARD (1)
FORWARD (2)
FORWARD (3)
FORWARD (4)
FORWARD (5)
FORWARD (6)
FORWARD (7)

typedef void (*Forward) (void *instance, RagifyCall *call, const void *args);
static const Forward forwards[MOST_OPERATIONS] = { forward_0, forward_1, forward_2, forward_3,
                                                   forward_4, forward_5, forward_6, forward_7 };

static guint32
common_number (const char *name)
{
  uint32_t count = 0;
  const RagifyDescribedOperation *common = ragify_describe_common (&count);
  guint32 number = 0;
  while (number < count && !g_str_equal (common[number].name, name))
    number++;
  return RAGIFY_FRAME_COMMON + number;
}

/* ---- the component ---- */

static GBytes *
current_values (const RagifyIsolated *isolated)
{
  g_autoptr (GVariant) values =
      g_variant_ref_sink (ragify_isolation_values (isolated->original, isolated->host, isolated->context));
  return g_variant_get_data_as_bytes (values);
}

static int32_t
isolated_create (const RagifyHost *host, RagifyContext *context, const RagifyInstance *which, void **instance)
{
  RagifyIsolated *isolated = (RagifyIsolated *)(gpointer)ragify_node_component (context->node);
  isolated->host = host;
  isolated->context = context;
  isolated->name = g_strdup (ragify_node_name (context->node));
  isolated->values_now = current_values (isolated);
  isolated->wake = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (isolated->wake < 0) {
    host->set_error (context, ragify_str_from ("no descriptor is left for its process"));
    return RAGIFY_E_EXHAUSTED;
  }
  RagifyMetrics *metrics = context->runtime->metrics;
  isolated->restarts = ragify_metrics_series (metrics, RAGIFY_SERIES_COUNTER, "ragify_node_process_restarts_total",
                                              "Times that the process of an isolated node was started anew", "node",
                                              isolated->name, NULL);
  isolated->running =
      ragify_metrics_series (metrics, RAGIFY_SERIES_GAUGE, "ragify_node_process_up",
                             "1 while the process of an isolated node answers", "node", isolated->name, NULL);
  *instance = isolated;
  return RAGIFY_OK;
}

static void
isolated_start (void *instance, RagifyCall *call, const RagifyStart *args)
{
  RagifyIsolated *isolated = instance;
  const char *error = NULL;
  const gint32 code =
      ragify_flat_encode (ragify_describe_struct ("RagifyStart"), args, ARGUMENT_MAX, &isolated->start, &error);
  if (code != RAGIFY_OK) {
    isolated->host->call_fail (call, code, ragify_str_from (error), 0);
    return;
  }
  const guint64 now = ragify_now ();
  const guint64 deadline = isolated->host->call_deadline_us (call);
  isolated->start_time_us = deadline > now ? deadline - now : 0;
  isolated->start_call = call;
  isolated->thread = g_thread_new ("isolation", ragify_isolated_supervise, isolated);
}

static void
isolated_stop (void *instance, RagifyCall *call, const RagifyNothing *args)
{
  RagifyIsolated *isolated = instance;
  pthread_mutex_lock (&isolated->lock);
  const gboolean ended = isolated->state == RAGIFY_ISOLATED_ENDED;
  if (!ended) {
    isolated->stop_deadline = isolated->host->call_deadline_us (call);
    isolated->stop_call = call;
  }
  pthread_mutex_unlock (&isolated->lock);
  if (ended)
    isolated->host->call_done (call, NULL);
  else
    ragify_isolated_wake (isolated);
}

static void
isolated_destroy (void *instance)
{
  RagifyIsolated *isolated = instance;
  pthread_mutex_lock (&isolated->lock);
  isolated->ending = TRUE;
  pthread_mutex_unlock (&isolated->lock);
  ragify_isolated_wake (isolated);
  if (isolated->thread != NULL)
    g_thread_join (isolated->thread);
  close (isolated->wake);
}

static void
isolated_probe (void *instance, RagifyCall *call, const RagifyNothing *args)
{
  RagifyIsolated *isolated = instance;
  if (isolated->original->probe != NULL) {
    forward_with (isolated, call, common_number ("probe"), NULL, args);
    return;
  }
  pthread_mutex_lock (&isolated->lock);
  const gboolean up = isolated->state == RAGIFY_ISOLATED_UP;
  pthread_mutex_unlock (&isolated->lock);
  const RagifyProbeResult result = { .struct_size = sizeof result, .detail = ragify_str_from ("its process runs") };
  if (up)
    isolated->host->call_done (call, &result);
  else
    isolated->host->call_fail (call, RAGIFY_E_UNAVAILABLE, ragify_str_from ("its process is not running"), 0);
}

static void
isolated_reconfigure (void *instance, RagifyCall *call, const RagifyReconfigure *args)
{
  RagifyIsolated *isolated = instance;
  g_autoptr (GBytes) values = current_values (isolated);
  pthread_mutex_lock (&isolated->lock);
  g_bytes_unref (isolated->values_now); /* a child that is made from now on has them from the start */
  isolated->values_now = g_bytes_ref (values);
  pthread_mutex_unlock (&isolated->lock);
  forward_with (isolated, call, common_number ("reconfigure"), values, args);
}

static void
isolated_stats (void *instance, RagifyCall *call, const RagifyNothing *args)
{
  forward_with (instance, call, common_number ("stats"), NULL, args);
}

/* ---- making it ---- */

static gint32
values_get (void *user, const char *key, guint32 type, void *value)
{
  const RagifyIsolated *isolated = user;
  return isolated->values.get != NULL ? isolated->values.get (isolated->values.user, key, type, value)
                                      : RAGIFY_E_NOT_FOUND;
}

/* The last that happens to a node. */
static void
isolated_free (void *user)
{
  RagifyIsolated *isolated = user;
  if (isolated->values.destroy != NULL)
    isolated->values.destroy (isolated->values.user);
  g_hash_table_unref (isolated->calls);
  g_array_unref (isolated->attention);
  g_clear_pointer (&isolated->values_now, g_bytes_unref);
  ragify_flat_free (&isolated->start);
  pthread_mutex_destroy (&isolated->lock);
  g_free (isolated->down_reason);
  g_free (isolated->operations);
  g_free (isolated->module);
  g_free (isolated->executable);
  g_free (isolated->name);
  g_free (isolated);
}

/* The kind's vtable with our function wherever the plugin has one. */
static void *
forwarding_vtable (const RagifyDescribedKind *kind, const RagifyComponent *original)
{
  guint8 *vtable = g_malloc0 (kind->vtable->size);
  const guint32 theirs = *(const guint32 *)original->operations;
  *(guint32 *)(gpointer)vtable = kind->vtable->size;
  for (guint32 i = 0; i < kind->operation_count && i < MOST_OPERATIONS; i++) {
    const guint32 offset = kind->operations[i].offset;
    gpointer function = NULL;
    if (offset + sizeof function <= theirs)
      memcpy (&function, (const guint8 *)original->operations + offset, sizeof function);
    if (function != NULL)
      memcpy (vtable + offset, &forwards[i], sizeof forwards[i]);
  }
  return vtable;
}

static RagifyComponent
forwarding_component (const RagifyComponent *original, const void *operations)
{
  return (RagifyComponent){
    .struct_size = sizeof (RagifyComponent),
    .flags = original->flags,
    .kind = original->kind,
    .name = original->name,
    .summary = original->summary,
    .run_class = RAGIFY_RUN_SHARED,
    .schema = original->schema,
    .operations = operations,
    .create = isolated_create,
    .start = isolated_start,
    .stop = isolated_stop,
    .destroy = isolated_destroy,
    .probe = isolated_probe,
    .reconfigure = original->reconfigure != NULL ? isolated_reconfigure : NULL,
    .stats = original->stats != NULL ? isolated_stats : NULL,
  };
}

gboolean
ragify_isolation_wrap (RagifyNodeOptions *options, const RagifyIsolationOptions *settings, GError **error)
{
  const RagifyComponent *original = options->component;
  const RagifyDescribedKind *kind = ragify_describe_kind (original->kind);
  Dl_info place;
  if (kind == NULL || dladdr (original, &place) == 0 || place.dli_fname == NULL) {
    g_set_error (error, RAGIFY_NODE_ERROR, RAGIFY_E_INVALID,
                 "%s: its component '%s' is in no module that another "
                 "process could load",
                 options->name, original->name);
    return FALSE;
  }
  RagifyIsolated *isolated = g_new0 (RagifyIsolated, 1);
  isolated->original = original;
  isolated->kind = kind;
  isolated->operations = forwarding_vtable (kind, original);
  isolated->component = forwarding_component (original, isolated->operations);
  isolated->module = g_canonicalize_filename (place.dli_fname, NULL);
  isolated->executable = g_strdup (settings->executable != NULL ? settings->executable : "/proc/self/exe");
  isolated->values = options->values;
  isolated->memory = settings->memory;
  isolated->hang_us = settings->hang_us > 0 ? settings->hang_us : DEFAULT_HANG_US;
  isolated->call_memory = options->memory_limit > 0 ? options->memory_limit : DEFAULT_CALL_MEMORY;
  isolated->max_parallel = options->max_parallel;
  isolated->max_abandoned = options->max_abandoned;
  isolated->wake = -1;
  isolated->calls = g_hash_table_new (g_int64_hash, g_int64_equal);
  isolated->attention = g_array_new (FALSE, FALSE, sizeof (guint64));
  pthread_mutex_init (&isolated->lock, NULL);
  options->component = &isolated->component;
  options->values = (RagifyNodeValues){ .get = values_get, .destroy = isolated_free, .user = isolated };
  return TRUE;
}
