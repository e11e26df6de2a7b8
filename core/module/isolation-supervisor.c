/* The supervisor of an isolated node: makes the child, listens to it, watches it, and makes the next one.
 *
 * SPDX-License-Identifier: MIT
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/call/call-private.h"
#include "core/module/isolation-private.h"

#define CHILD_SOCKET 3
#define CHILD_MEMORY 4
#define TICK_MS 100
#define FIRST_PAUSE_US 20000u
#define LONGEST_PAUSE_US (30 * G_USEC_PER_SEC)
#define WELL_AFTER_US (30 * G_USEC_PER_SEC) /* a child that lived so long has its crash forgiven */
#define EXIT_TIME_US (2 * G_USEC_PER_SEC)
#define MOST_METRICS 1000u

/* One child, from its making to its end. */
typedef struct Child {
  RagifyIsolated *isolated;
  RagifyChannel *channel;
  GPid pid;
  int process; /* a descriptor of it */
  guint64 began, start_deadline;
  gboolean started, stopped, gone;
  guint64 pinged;        /* when a ping went out that was not answered; 0: none */
  guint64 hanging_since; /* 0: no call hangs */
  char *failure;         /* why it is no good, in words; NULL: it is well */
  gint32 failure_code;
  GHashTable *metrics; /* id → RagifyMetric */
} Child;

/* ---- making one ---- */

/* What a child may know of our environment: how to find and write things, and nothing that could be a secret. */
static char **
child_environment (void)
{
  static const char *const names[] = {
    "PATH",          "LANG",        "LC_ALL",           "LC_CTYPE",        "TZ",
    "TMPDIR",        "HOME",        "ASAN_OPTIONS",     "UBSAN_OPTIONS",   "LSAN_OPTIONS",
    "TSAN_OPTIONS",  "G_SLICE",     "MALLOC_ARENA_MAX", "OMP_NUM_THREADS", "LD_LIBRARY_PATH",
    "SSL_CERT_FILE", "SSL_CERT_DIR"
  };
  char **environment = NULL;
  for (gsize i = 0; i < G_N_ELEMENTS (names); i++)
    if (g_getenv (names[i]) != NULL)
      environment = g_environ_setenv (environment, names[i], g_getenv (names[i]), TRUE);
  return environment != NULL ? environment : g_new0 (char *, 1);
}

static gboolean
spawn (Child *child, GError **error)
{
  int sockets = -1, memory = -1;
  child->channel = ragify_channel_new (&sockets, &memory, error);
  if (child->channel == NULL)
    return FALSE;
  g_autofree char *parent = g_strdup_printf ("%d", getpid ());
  const char *const arguments[] = { child->isolated->executable, RAGIFY_ISOLATION_ARGUMENT, parent,
                                    child->isolated->name, NULL };
  g_auto (GStrv) environment = child_environment ();
  const int sources[] = { sockets, memory }, targets[] = { CHILD_SOCKET, CHILD_MEMORY };
  /* Nothing else is inherited: GLib closes every other descriptor. What it prints goes where our own errors go. */
  const gboolean made = g_spawn_async_with_pipes_and_fds (
      NULL, arguments, (const char *const *)environment, G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_STDOUT_TO_DEV_NULL, NULL,
      NULL, -1, -1, -1, sources, targets, G_N_ELEMENTS (sources), &child->pid, NULL, NULL, NULL, error);
  close (sockets);
  close (memory);
  if (made)
    child->process = pidfd_open (child->pid, 0);
  return made;
}

static void
send_create (Child *child)
{
  RagifyIsolated *isolated = child->isolated;
  pthread_mutex_lock (&isolated->lock);
  g_autoptr (GVariant) values =
      g_variant_ref_sink (g_variant_new_from_bytes (G_VARIANT_TYPE ("a(suv)"), isolated->values_now, TRUE));
  pthread_mutex_unlock (&isolated->lock);
  g_autoptr (GVariant) create = g_variant_ref_sink (g_variant_new (
      "(sssuutt@a(suv))", isolated->module, isolated->original->kind, isolated->original->name, isolated->max_parallel,
      isolated->max_abandoned, (guint64)isolated->call_memory, isolated->memory, values));
  ragify_channel_send (child->channel, RAGIFY_FRAME_CREATE, 0, NULL, g_variant_get_data (create),
                       g_variant_get_size (create), FALSE);
  ragify_channel_send (child->channel, RAGIFY_FRAME_START, child->start_deadline, NULL, isolated->start.data,
                       isolated->start.size, TRUE);
}

/* ---- what it says ---- */

static void G_GNUC_PRINTF (3, 4) give_up (Child *child, gint32 code, const char *format, ...)
{
  if (child->failure != NULL)
    return;
  va_list arguments;
  va_start (arguments, format);
  child->failure = g_strdup_vprintf (format, arguments);
  child->failure_code = code;
  va_end (arguments);
}

static gboolean
take_failure (const RagifyFrame *frame, RagifyFrameFailure *failure, char **message)
{
  if (frame->size < sizeof *failure)
    return FALSE;
  memcpy (failure, frame->data, sizeof *failure);
  *message = g_strndup ((const char *)frame->data + sizeof *failure, frame->size - sizeof *failure);
  return TRUE;
}

static void
on_started (Child *child, const RagifyFrame *frame)
{
  RagifyIsolated *isolated = child->isolated;
  RagifyFrameFailure failure;
  g_autofree char *message = NULL;
  if (!take_failure (frame, &failure, &message) || child->started)
    return;
  if (failure.code != RAGIFY_OK) {
    give_up (child, failure.code, "%s", message);
    return;
  }
  child->started = TRUE;
  pthread_mutex_lock (&isolated->lock);
  isolated->state = RAGIFY_ISOLATED_UP;
  RagifyCall *call = g_steal_pointer (&isolated->start_call);
  g_clear_pointer (&isolated->down_reason, g_free);
  pthread_mutex_unlock (&isolated->lock);
  ragify_series_set (isolated->running, 1);
  if (call != NULL)
    isolated->host->call_done (call, NULL);
  else
    g_message ("%s: its process is back (%d, after %.0f ms)", isolated->name, (int)child->pid,
               (double)(ragify_now () - child->began) / 1e3);
}

static void
on_metric (Child *child, const RagifyFrame *frame)
{
  RagifyIsolated *isolated = child->isolated;
  const RagifyMetricsExtension *metrics = isolated->host->get_extension (isolated->context, RAGIFY_EXT_METRICS);
  RagifyFrameMetric what;
  if (frame->size < sizeof what)
    return;
  memcpy (&what, frame->data, sizeof what);
  RagifyMetric *metric = g_hash_table_lookup (child->metrics, GSIZE_TO_POINTER (frame->id));
  if (what.what == RAGIFY_FRAME_METRIC_NEW) {
    if (metric != NULL || g_hash_table_size (child->metrics) >= MOST_METRICS)
      return;
    g_autofree char *name = g_strndup ((const char *)frame->data + sizeof what, frame->size - sizeof what);
    metric = metrics->metric_new (isolated->context, what.type, name, "As its plugin says");
    if (metric != NULL)
      g_hash_table_insert (child->metrics, GSIZE_TO_POINTER (frame->id), metric);
  } else if (metric != NULL && what.what == RAGIFY_FRAME_METRIC_ADD) {
    metrics->add (metric, what.value);
  } else if (metric != NULL && what.what == RAGIFY_FRAME_METRIC_SET) {
    metrics->set (metric, what.value);
  } else if (metric != NULL && what.what == RAGIFY_FRAME_METRIC_OBSERVE) {
    metrics->observe (metric, what.value);
  }
}

static void
on_pong (Child *child, const RagifyFrame *frame)
{
  guint64 hanging = 0;
  memcpy (&hanging, frame->data, MIN (frame->size, sizeof hanging));
  child->pinged = 0;
  if (hanging == 0)
    child->hanging_since = 0;
  else if (child->hanging_since == 0)
    child->hanging_since = ragify_now ();
}

/* Whoever waits for the stop is told; there will be no other child. */
static void
end_in_order (RagifyIsolated *isolated, const char *why)
{
  pthread_mutex_lock (&isolated->lock);
  RagifyCall *call = g_steal_pointer (&isolated->stop_call);
  isolated->state = RAGIFY_ISOLATED_ENDED;
  pthread_mutex_unlock (&isolated->lock);
  if (call != NULL && why != NULL)
    isolated->host->call_fail (call, RAGIFY_E_UNAVAILABLE, ragify_str_from (why), 0);
  else if (call != NULL)
    isolated->host->call_done (call, NULL);
}

static void
on_stopped (Child *child, const RagifyFrame *frame)
{
  RagifyFrameFailure failure;
  g_autofree char *message = NULL;
  child->stopped = TRUE;
  if (take_failure (frame, &failure, &message) && failure.code != RAGIFY_OK)
    give_up (child, failure.code, "%s", message);
  end_in_order (child->isolated, child->failure);
}

static void
take_frame (void *user, const RagifyFrame *frame)
{
  Child *child = user;
  switch (frame->type) {
  case RAGIFY_FRAME_STARTED:
    on_started (child, frame);
    break;
  case RAGIFY_FRAME_DONE:
    ragify_isolated_done (child->isolated, frame);
    break;
  case RAGIFY_FRAME_FAILED:
    ragify_isolated_failed (child->isolated, frame);
    break;
  case RAGIFY_FRAME_ITEM:
    ragify_isolated_item (child->isolated, frame);
    break;
  case RAGIFY_FRAME_READ:
    ragify_isolated_read (child->isolated, frame);
    break;
  case RAGIFY_FRAME_LOG:
    child->isolated->host->log (child->isolated->context, (guint32)frame->id,
                                ragify_str ((const char *)frame->data, frame->size));
    break;
  case RAGIFY_FRAME_METRIC:
    on_metric (child, frame);
    break;
  case RAGIFY_FRAME_PONG:
    on_pong (child, frame);
    break;
  case RAGIFY_FRAME_STOPPED:
    on_stopped (child, frame);
    break;
  default:
    break;
  }
}

/* ---- watching it ---- */

static guint64
resident_bytes (GPid pid)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/statm", (int)pid);
  g_autofree char *text = NULL;
  guint64 total = 0, resident = 0;
  if (!g_file_get_contents (path, &text, NULL, NULL) || sscanf (text, "%lu %lu", &total, &resident) != 2)
    return 0;
  return resident * (guint64)sysconf (_SC_PAGESIZE);
}

static void
watch_over (Child *child)
{
  const RagifyIsolated *isolated = child->isolated;
  const guint64 now = ragify_now ();
  const guint64 resident = isolated->memory > 0 ? resident_bytes (child->pid) : 0;
  if (resident > isolated->memory)
    give_up (child, RAGIFY_E_EXHAUSTED, "it used %.0f MiB of memory, more than isolation-memory = %.0f MiB",
             (double)resident / 1048576, (double)isolated->memory / 1048576);
  if (!child->started) {
    if (now > child->start_deadline + G_USEC_PER_SEC)
      give_up (child, RAGIFY_E_TIMEOUT, "start: no answer within its deadline");
    return;
  }
  if (child->pinged == 0) {
    ragify_channel_send (child->channel, RAGIFY_FRAME_PING, 0, NULL, NULL, 0, TRUE);
    child->pinged = now;
  } else if (now - child->pinged > isolated->hang_us) {
    give_up (child, RAGIFY_E_UNAVAILABLE, "it did not answer for %.1f s", (double)isolated->hang_us / 1e6);
  }
  if (child->hanging_since != 0 && now - child->hanging_since > isolated->hang_us)
    give_up (child, RAGIFY_E_UNAVAILABLE, "calls hung in it for %.1f s", (double)isolated->hang_us / 1e6);
}

/* What the others want of the supervisor. TRUE: it is to end. */
static gboolean
read_wishes (Child *child, gboolean *shutting_down)
{
  RagifyIsolated *isolated = child->isolated;
  guint64 count;
  const ssize_t got = read (isolated->wake, &count, sizeof count);
  (void)got;
  ragify_isolated_attend (isolated);
  pthread_mutex_lock (&isolated->lock);
  const gboolean stop = isolated->stop_call != NULL, end = isolated->ending;
  const guint64 deadline = isolated->stop_deadline;
  pthread_mutex_unlock (&isolated->lock);
  if (stop && !*shutting_down) {
    ragify_channel_send (child->channel, RAGIFY_FRAME_SHUTDOWN, deadline, NULL, NULL, 0, TRUE);
    *shutting_down = TRUE;
  }
  return end;
}

/* Listens until the child is gone, or no good any more. */
static void
listen_to (Child *child)
{
  gboolean shutting_down = FALSE;
  guint64 looked = 0;
  while (child->failure == NULL && !child->gone && !child->stopped) {
    struct pollfd fds[] = { { .fd = ragify_channel_descriptor (child->channel), .events = POLLIN },
                            { .fd = child->isolated->wake, .events = POLLIN },
                            { .fd = child->process, .events = POLLIN } };
    if (ragify_channel_sleep (child->channel))
      poll (fds, G_N_ELEMENTS (fds), TICK_MS);
    child->gone = (fds[0].revents != 0 && !ragify_channel_wake (child->channel)) || (fds[2].revents & POLLIN) != 0;
    if (!ragify_channel_receive (child->channel, take_frame, child))
      give_up (child, RAGIFY_E_INTERNAL, "it wrote over the memory that it shares with the host");
    if (fds[1].revents != 0 && read_wishes (child, &shutting_down))
      return;
    if (ragify_now () - looked >= TICK_MS * 1000) {
      looked = ragify_now ();
      watch_over (child);
    }
  }
}

/* ---- its end ---- */

/* Waits for a child that is to exit by itself; FALSE when it does not. */
static gboolean
exits (const Child *child, int *status)
{
  for (const guint64 until = ragify_now () + EXIT_TIME_US; ragify_now () < until; g_usleep (1000))
    if (waitpid (child->pid, status, WNOHANG) == child->pid)
      return TRUE;
  return FALSE;
}

/* How it ended, in words. */
static char *
describe_end (const Child *child, int status)
{
  if (child->failure != NULL)
    return g_strdup (child->failure);
  if (WIFSIGNALED (status))
    return g_strdup_printf ("it was ended by signal %d (%s)", WTERMSIG (status), strsignal (WTERMSIG (status)));
  return g_strdup_printf ("it exited with code %d", WIFEXITED (status) ? WEXITSTATUS (status) : -1);
}

static char *
bury (Child *child)
{
  RagifyIsolated *isolated = child->isolated;
  int status = 0;
  const gboolean by_itself = child->stopped || (child->gone && child->failure == NULL);
  if (!by_itself || !exits (child, &status)) {
    kill (child->pid, SIGKILL);
    waitpid (child->pid, &status, 0);
  }
  pthread_mutex_lock (&isolated->lock);
  isolated->channel = NULL;
  if (isolated->state == RAGIFY_ISOLATED_UP)
    isolated->state = RAGIFY_ISOLATED_DOWN;
  pthread_mutex_unlock (&isolated->lock);
  ragify_series_set (isolated->running, 0);
  return describe_end (child, status);
}

static void
child_clear (Child *child)
{
  if (child->process >= 0)
    close (child->process);
  g_clear_pointer (&child->channel, ragify_channel_free);
  g_spawn_close_pid (child->pid);
  g_hash_table_unref (child->metrics);
  g_free (child->failure);
}

/* ---- one after the other ---- */

static gboolean
is_to_end (RagifyIsolated *isolated)
{
  pthread_mutex_lock (&isolated->lock);
  const gboolean end = isolated->ending || isolated->stop_call != NULL;
  pthread_mutex_unlock (&isolated->lock);
  return end;
}

/* Between two children. */
static void
pause_until (RagifyIsolated *isolated, guint64 until)
{
  for (guint64 now = ragify_now (); now < until && !is_to_end (isolated); now = ragify_now ()) {
    struct pollfd fd = { .fd = isolated->wake, .events = POLLIN };
    guint64 count;
    poll (&fd, 1, (int)((until - now) / 1000 + 1));
    const ssize_t got = read (isolated->wake, &count, sizeof count);
    (void)got;
    ragify_isolated_attend (isolated);
  }
}

/* A child's whole life. Returns how it ended; `*lived` µs in service. */
static char *
live (RagifyIsolated *isolated, guint64 *lived, gint32 *code)
{
  Child child = { .isolated = isolated, .process = -1, .began = ragify_now () };
  g_autoptr (GError) error = NULL;
  child.start_deadline = child.began + isolated->start_time_us;
  child.metrics = g_hash_table_new (NULL, NULL);
  if (!spawn (&child, &error)) {
    child_clear (&child);
    *code = RAGIFY_E_UNAVAILABLE;
    return g_strdup_printf ("it cannot be made: %s", error->message);
  }
  pthread_mutex_lock (&isolated->lock);
  isolated->channel = child.channel;
  pthread_mutex_unlock (&isolated->lock);
  send_create (&child);
  listen_to (&child);
  *lived = child.started ? ragify_now () - child.began : 0;
  *code = child.failure_code != RAGIFY_OK ? child.failure_code : RAGIFY_E_UNAVAILABLE;
  const gboolean in_order = child.stopped && child.failure == NULL;
  char *end = bury (&child);
  g_autofree char *reason = g_strdup_printf ("its process is gone: %s", end);
  ragify_isolated_fail_all (isolated, reason);
  child_clear (&child);
  if (!in_order)
    return end;
  g_free (end);
  return NULL;
}

/* The first start failed: whoever waits for it is told. */
static gboolean
refuse_start (RagifyIsolated *isolated, gint32 code, const char *why)
{
  pthread_mutex_lock (&isolated->lock);
  RagifyCall *call = g_steal_pointer (&isolated->start_call);
  if (call != NULL)
    isolated->state = RAGIFY_ISOLATED_ENDED;
  pthread_mutex_unlock (&isolated->lock);
  if (call == NULL)
    return FALSE;
  g_autofree char *message = g_strdup_printf ("in its own process: %s", why);
  isolated->host->call_fail (call, code, ragify_str_from (message), 0);
  return TRUE;
}

static void
plan_next (RagifyIsolated *isolated, const char *why, guint64 pause)
{
  g_warning ("%s: its process is gone: %s; a new one is started in %.2f s", isolated->name, why, (double)pause / 1e6);
  ragify_series_add (isolated->restarts, 1);
  pthread_mutex_lock (&isolated->lock);
  g_free (isolated->down_reason);
  isolated->down_reason = g_strdup_printf ("its process is being started anew: %s", why);
  isolated->up_again = ragify_now () + pause;
  pthread_mutex_unlock (&isolated->lock);
  pause_until (isolated, ragify_now () + pause);
}

gpointer
ragify_isolated_supervise (gpointer data)
{
  RagifyIsolated *isolated = data;
  guint64 pause = FIRST_PAUSE_US;
  g_autofree char *why = NULL;
  for (;;) {
    guint64 lived = 0;
    gint32 code = RAGIFY_OK;
    g_free (why);
    why = live (isolated, &lived, &code);
    if (why != NULL && refuse_start (isolated, code, why))
      return NULL;
    if (is_to_end (isolated) || why == NULL)
      break;
    if (lived > WELL_AFTER_US)
      pause = FIRST_PAUSE_US;
    plan_next (isolated, why, pause);
    pause = MIN (pause * 2, LONGEST_PAUSE_US);
    if (is_to_end (isolated)) {
      g_clear_pointer (&why, g_free); /* nothing was lost by stopping between two children */
      break;
    }
  }
  end_in_order (isolated, why);
  return NULL;
}
