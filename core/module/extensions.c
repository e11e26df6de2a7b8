/* The host's extensions: loop, quota, metrics, secrets, trace, thread check.
 *
 * SPDX-License-Identifier: MIT
 */
#include <glib-unix.h>
#include <limits.h>
#include <pthread.h>
#include <string.h>

#include "core/call/call-private.h"
#include "core/call/text.h"
#include "core/module/context.h"

/* ---- loop ---- */

struct RagifyWatch {
  RagifyContext *context;
  GSource *source;
  int fd;
  void (*ready) (void *user, int32_t fd, uint32_t events);
  void *user;
  gboolean inside, removed; /* removal from the callback waits until it has returned */
};

static GIOCondition
to_condition (uint32_t events)
{
  return (events & RAGIFY_FD_READ ? G_IO_IN : 0) | (events & RAGIFY_FD_WRITE ? G_IO_OUT : 0);
}

static gboolean
watch_ready (gint fd, GIOCondition condition, gpointer data)
{
  RagifyWatch *watch = data;
  const uint32_t events = (condition & G_IO_IN ? RAGIFY_FD_READ : 0) | (condition & G_IO_OUT ? RAGIFY_FD_WRITE : 0) |
                          (condition & (G_IO_HUP | G_IO_ERR | G_IO_NVAL) ? RAGIFY_FD_HANGUP : 0);
  watch->inside = TRUE;
  watch->ready (watch->user, fd, events);
  watch->inside = FALSE;
  if (watch->removed)
    g_free (watch);
  return G_SOURCE_CONTINUE;
}

static void
watch_attach (RagifyWatch *watch, uint32_t events)
{
  watch->source = g_unix_fd_source_new (watch->fd, to_condition (events));
  g_source_set_callback (watch->source, G_SOURCE_FUNC (watch_ready), watch, NULL);
  /* As for the loop's own source: or GLib wakes its own poll twice for each time that it dispatches this one. */
  g_source_set_can_recurse (watch->source, TRUE);
  g_source_attach (watch->source, ragify_loop_context (watch->context->loop));
}

static void
watch_detach (RagifyWatch *watch)
{
  g_source_destroy (watch->source);
  g_clear_pointer (&watch->source, g_source_unref);
}

static RagifyWatch *
watch_new (RagifyContext *context, int32_t fd, uint32_t events, void (*ready) (void *user, int32_t fd, uint32_t events),
           void *user)
{
  if (context->loop == NULL)
    return NULL;
  RagifyWatch *watch = g_new0 (RagifyWatch, 1);
  watch->context = context;
  watch->fd = fd;
  watch->ready = ready;
  watch->user = user;
  watch_attach (watch, events);
  return watch;
}

static void
watch_set_events (RagifyWatch *watch, uint32_t events)
{
  watch_detach (watch);
  watch_attach (watch, events);
}

static void
watch_remove (RagifyWatch *watch)
{
  watch_detach (watch);
  if (watch->inside)
    watch->removed = TRUE;
  else
    g_free (watch);
}

struct RagifyTimer {
  RagifyDeadline deadline;
  RagifyContext *context;
  uint64_t period_us;
  void (*expired) (void *user);
  void *user;
  gboolean inside, removed;
};

static void
timer_expired (RagifyDeadline *deadline)
{
  RagifyTimer *timer = (RagifyTimer *)deadline;
  if (timer->period_us != 0)
    ragify_loop_arm (timer->context->loop, deadline, ragify_now () + timer->period_us);
  timer->inside = TRUE;
  timer->expired (timer->user);
  timer->inside = FALSE;
  if (timer->removed)
    g_free (timer);
}

static RagifyTimer *
timer_new (RagifyContext *context, uint64_t delay_us, uint64_t period_us, void (*expired) (void *user), void *user)
{
  if (context->loop == NULL)
    return NULL;
  RagifyTimer *timer = g_new0 (RagifyTimer, 1);
  timer->deadline.expired = timer_expired;
  timer->context = context;
  timer->period_us = period_us;
  timer->expired = expired;
  timer->user = user;
  ragify_loop_arm (context->loop, &timer->deadline, ragify_now () + delay_us);
  return timer;
}

static void
timer_restart (RagifyTimer *timer, uint64_t delay_us)
{
  ragify_loop_arm (timer->context->loop, &timer->deadline, ragify_now () + delay_us);
}

static void
timer_remove (RagifyTimer *timer)
{
  ragify_loop_disarm (timer->context->loop, &timer->deadline);
  if (timer->inside)
    timer->removed = TRUE;
  else
    g_free (timer);
}

/* What was posted to a loop keeps its node: it may use the instance. */
typedef struct Invocation {
  RagifyTask task;
  RagifyNode *node;
  void (*function) (void *user);
  void *user;
} Invocation;

static void
run_invocation (RagifyTask *task)
{
  Invocation *invocation = (Invocation *)task;
  RagifyNode *node = invocation->node;
  invocation->function (invocation->user);
  g_free (invocation);
  ragify_node_drop (node);
}

static void
loop_invoke (RagifyContext *context, void (*function) (void *user), void *user)
{
  if (context->loop == NULL)
    return;
  Invocation *invocation = g_new (Invocation, 1);
  *invocation =
      (Invocation){ .task = { .run = run_invocation }, .node = context->node, .function = function, .user = user };
  ragify_node_hold (context->node);
  ragify_loop_post (context->loop, &invocation->task);
}

static const RagifyLoopExtension loop_extension = {
  .struct_size = sizeof (RagifyLoopExtension),
  .watch_new = watch_new,
  .watch_set_events = watch_set_events,
  .watch_remove = watch_remove,
  .timer_new = timer_new,
  .timer_restart = timer_restart,
  .timer_remove = timer_remove,
  .invoke = loop_invoke,
};

/* ---- quota ---- */

typedef struct Waiter {
  RagifyContext *context;
  guint64 amount;
  void (*available) (void *user);
  void *user;
} Waiter;

struct RagifyQuota {
  pthread_mutex_t lock; /* guards what follows */
  guint64 limit, used;
  GArray *waiters;
};

RagifyQuota *
ragify_quota_new (guint64 limit)
{
  RagifyQuota *quota = g_new0 (RagifyQuota, 1);
  pthread_mutex_init (&quota->lock, NULL);
  quota->limit = limit;
  quota->waiters = g_array_new (FALSE, FALSE, sizeof (Waiter));
  return quota;
}

void
ragify_quota_free (RagifyQuota *quota)
{
  g_array_unref (quota->waiters);
  pthread_mutex_destroy (&quota->lock);
  g_free (quota);
}

static RagifyQuota *
quota_open (RagifyContext *context, const char *name, uint64_t limit)
{
  return ragify_node_quota (context->node, name, limit);
}

static uint32_t
quota_try_acquire (RagifyQuota *quota, uint64_t amount)
{
  pthread_mutex_lock (&quota->lock);
  const gboolean room = amount <= quota->limit && quota->used <= quota->limit - amount;
  if (room)
    quota->used += amount;
  pthread_mutex_unlock (&quota->lock);
  return room;
}

/* Tells all for whom there is enough, in the order of asking: one of them may not want it any more, and who finds it
 * taken asks again. With the lock held. */
static void
tell_waiters (RagifyQuota *quota)
{
  const guint64 room = quota->limit - MIN (quota->used, quota->limit);
  guint kept = 0;
  for (guint i = 0; i < quota->waiters->len; i++) {
    const Waiter waiter = g_array_index (quota->waiters, Waiter, i);
    if (waiter.amount > room)
      g_array_index (quota->waiters, Waiter, kept++) = waiter;
    else
      loop_invoke (waiter.context, waiter.available, waiter.user);
  }
  g_array_set_size (quota->waiters, kept);
}

static void
quota_release (RagifyQuota *quota, uint64_t amount)
{
  pthread_mutex_lock (&quota->lock);
  quota->used -= MIN (amount, quota->used);
  tell_waiters (quota);
  pthread_mutex_unlock (&quota->lock);
}

static uint64_t
quota_in_use (RagifyQuota *quota)
{
  pthread_mutex_lock (&quota->lock);
  const guint64 used = quota->used;
  pthread_mutex_unlock (&quota->lock);
  return used;
}

static void
forget_waiter (RagifyQuota *quota, const RagifyContext *context, const void *user)
{
  for (guint i = quota->waiters->len; i > 0; i--) {
    const Waiter *waiter = &g_array_index (quota->waiters, Waiter, i - 1);
    if (waiter->context == context && waiter->user == user)
      g_array_remove_index (quota->waiters, i - 1);
  }
}

static void
quota_notify_release (RagifyContext *context, RagifyQuota *quota, uint64_t amount, void (*available) (void *user),
                      void *user)
{
  const Waiter waiter = { context, amount, available, user };
  pthread_mutex_lock (&quota->lock);
  if (available != NULL) {
    g_array_append_val (quota->waiters, waiter);
    tell_waiters (quota); /* something may have been released since the caller tried */
  } else {
    forget_waiter (quota, context, user);
  }
  pthread_mutex_unlock (&quota->lock);
}

static const RagifyQuotaExtension quota_extension = {
  .struct_size = sizeof (RagifyQuotaExtension),
  .open = quota_open,
  .try_acquire = quota_try_acquire,
  .release = quota_release,
  .in_use = quota_in_use,
  .notify_release = quota_notify_release,
};

/* ---- metrics: a RagifyMetric is a RagifySeries ---- */

static RagifyMetric *
metric_new (RagifyContext *context, uint32_t type, const char *name, const char *help)
{
  static const RagifySeriesType types[] = { [RAGIFY_METRIC_COUNTER] = RAGIFY_SERIES_COUNTER,
                                            [RAGIFY_METRIC_GAUGE] = RAGIFY_SERIES_GAUGE,
                                            [RAGIFY_METRIC_HISTOGRAM] = RAGIFY_SERIES_HISTOGRAM };
  if (type < RAGIFY_METRIC_COUNTER || type > RAGIFY_METRIC_HISTOGRAM || *name == '\0' ||
      strspn (name, "abcdefghijklmnopqrstuvwxyz_") != strlen (name))
    return NULL;
  g_autofree char *full = g_strconcat ("ragify_plugin_", name, NULL);
  return (RagifyMetric *)ragify_metrics_series (context->runtime->metrics, types[type], full, help, "node",
                                                ragify_node_name (context->node), NULL);
}

static void
metric_add (RagifyMetric *metric, double amount)
{
  ragify_series_add ((RagifySeries *)metric, amount);
}

static void
metric_set (RagifyMetric *metric, double value)
{
  ragify_series_set ((RagifySeries *)metric, value);
}

static void
metric_observe (RagifyMetric *metric, double value)
{
  ragify_series_observe ((RagifySeries *)metric, value);
}

static const RagifyMetricsExtension metrics_extension = {
  .struct_size = sizeof (RagifyMetricsExtension),
  .metric_new = metric_new,
  .add = metric_add,
  .set = metric_set,
  .observe = metric_observe,
};

/* ---- secrets ---- */

static RagifyBuffer *
secrets_read (RagifyContext *context, RagifyStr name)
{
  const char *folder = g_getenv ("CREDENTIALS_DIRECTORY");
  g_autofree char *file = ragify_text_copy (name, NAME_MAX);
  if (folder == NULL || *file == '\0' || strchr (file, '/') != NULL || *file == '.')
    return NULL;
  g_autofree char *path = g_build_filename (folder, file, NULL);
  char *content = NULL;
  gsize size = 0;
  if (!g_file_get_contents (path, &content, &size, NULL))
    return NULL;
  RagifyBuffer *buffer = ragify_host ()->buffer_wrap ((const uint8_t *)content, size, g_free, content);
  if (buffer == NULL)
    g_free (content);
  return buffer;
}

static const RagifySecretsExtension secrets_extension = {
  .struct_size = sizeof (RagifySecretsExtension),
  .read = secrets_read,
};

/* ---- trace ---- */

static uint32_t
trace_context (RagifyCall *handle, RagifyStr *traceparent, RagifyStr *tracestate)
{
  RagifyCall *call = ragify_handle_call (handle);
  const RagifyTraceSpot *spot = call != NULL ? &call->owner->spot : NULL;
  *traceparent = *tracestate = ragify_str (NULL, 0);
  char *text = spot != NULL && spot->trace != NULL
                   ? ragify_arena_alloc (ragify_call_arena (call), RAGIFY_TRACEPARENT_SIZE + 1)
                   : NULL;
  if (text == NULL)
    return 0;
  ragify_trace_write (spot->trace, call->span != 0 ? call->span : spot->span, text);
  *traceparent = ragify_str (text, RAGIFY_TRACEPARENT_SIZE);
  *tracestate = ragify_trace_state (spot->trace);
  return 1;
}

static const RagifyTraceExtension trace_extension = {
  .struct_size = sizeof (RagifyTraceExtension),
  .context = trace_context,
};

/* ---- thread check ---- */

static uint32_t
thread_current (void)
{
  if (ragify_loop_current () != NULL)
    return RAGIFY_THREAD_LOOP;
  if (ragify_workers_is_current ())
    return RAGIFY_THREAD_WORKER;
  return ragify_node_is_control () || g_main_context_is_owner (g_main_context_default ()) ? RAGIFY_THREAD_CONTROL
                                                                                          : RAGIFY_THREAD_OTHER;
}

static uint32_t
thread_on_own_loop (RagifyContext *context)
{
  return context->loop != NULL && ragify_loop_current () == context->loop;
}

static const RagifyThreadCheckExtension thread_check_extension = {
  .struct_size = sizeof (RagifyThreadCheckExtension),
  .current = thread_current,
  .on_own_loop = thread_on_own_loop,
};

const void *
ragify_extension_find (RagifyContext *context, const char *id)
{
  const RagifyRuntime *runtime = context->runtime;
  const void *instead = runtime->find_extension != NULL ? runtime->find_extension (id) : NULL;
  if (instead != NULL)
    return instead;
  if (g_str_equal (id, RAGIFY_EXT_LOOP))
    return context->loop != NULL ? &loop_extension : NULL;
  if (g_str_equal (id, RAGIFY_EXT_QUOTA))
    return &quota_extension;
  if (g_str_equal (id, RAGIFY_EXT_METRICS))
    return &metrics_extension;
  if (g_str_equal (id, RAGIFY_EXT_SECRETS))
    return &secrets_extension;
  if (g_str_equal (id, RAGIFY_EXT_TRACE))
    return &trace_extension;
  if (g_str_equal (id, RAGIFY_EXT_THREAD_CHECK))
    return &thread_check_extension;
  return NULL;
}
