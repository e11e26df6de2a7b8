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
#include <unistd.h>

#include "core/module/isolation-child.h"
#include "core/module/isolation.h"

#define CHILD_SOCKET 3
#define CHILD_MEMORY 4
#define WORKERS_MAX 64u
#define WORKER_QUEUE 65536u
#define WORKER_PATIENCE_US G_USEC_PER_SEC
#define DATA_SLACK ((guint64)64 << 20) /* beyond the bound of memory, before allocation fails */

static gboolean
on_bell (gint fd, GIOCondition condition, gpointer data)
{
  RagifyIsolationChild *child = data;
  if (!ragify_channel_wake (child->channel)) {
    pthread_mutex_lock (&child->lock);
    const gboolean ended = child->ended;
    pthread_mutex_unlock (&child->lock);
    if (!ended)
      _exit (EXIT_FAILURE); /* the parent is gone */
    return G_SOURCE_REMOVE;
  }
  do
    ragify_channel_receive (child->channel, ragify_child_take_frame, child);
  while (!ragify_channel_sleep (child->channel));
  return G_SOURCE_CONTINUE;
}

/* ---- the control thread ---- */

/* The first two frames, before there is a loop. */
static void
take_first (void *user, const RagifyFrame *frame)
{
  RagifyIsolationChild *child = user;
  if (frame->type == RAGIFY_FRAME_CREATE)
    child->create = g_bytes_new (frame->data, frame->size);
  if (frame->type != RAGIFY_FRAME_START)
    return;
  child->start = g_bytes_new (frame->data, frame->size);
  child->start_deadline = frame->id;
}

static gboolean
await_first (RagifyIsolationChild *child)
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
  RagifyIsolationChild *child = user;
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
runtime_init (RagifyIsolationChild *child, const RagifyComponent *component, guint max_parallel)
{
  const guint own = MAX (component->max_parallel, 1);
  child->runtime.metrics = ragify_metrics_new ();
  child->runtime.find_extension = ragify_child_find_extension;
  child->runtime.n_loops = 1;
  child->runtime.loops = g_new0 (RagifyLoop *, 1);
  child->runtime.loops[0] = ragify_loop_new (0);
  child->runtime.workers =
      ragify_workers_new (MIN ((max_parallel != 0 ? MIN (own, max_parallel) : own) + 1, WORKERS_MAX), WORKER_QUEUE);
}

static gboolean
make_node (RagifyIsolationChild *child, GError **error)
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
  ragify_child_report_to_parent (child);
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
start_node (RagifyIsolationChild *child, GError **error)
{
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
clear (RagifyIsolationChild *child)
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
serve (RagifyIsolationChild *child)
{
  GSource *source = g_unix_fd_source_new (ragify_channel_descriptor (child->channel), G_IO_IN | G_IO_HUP);
  g_source_set_callback (source, G_SOURCE_FUNC (on_bell), child, NULL);
  if (!ragify_channel_sleep (child->channel))
    g_source_set_ready_time (source, 0); /* what came meanwhile */
  g_source_attach (source, ragify_loop_context (child->runtime.loops[0]));
  g_source_unref (source);
  ragify_child_say_failure (child, RAGIFY_FRAME_STARTED, 0, RAGIFY_OK, "", 0);

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
  ragify_child_say_failure (child, RAGIFY_FRAME_STOPPED, 0, whole ? RAGIFY_OK : RAGIFY_E_TIMEOUT,
                            whole ? "" : "calls hang", 0);
  if (!whole)
    _exit (EXIT_FAILURE); /* its threads use what would be freed */
}

static int
run (RagifyIsolationChild *child)
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
  ragify_child_say_failure (child, RAGIFY_FRAME_STARTED, 0, code, bare_message (child->name, error->message), 0);
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
  signal (SIGXFSZ, SIG_IGN);
}

int
ragify_isolation_child (int argc, char **argv)
{
  confine (argv[2]);
  g_autoptr (GError) error = NULL;
  RagifyChannel *channel = ragify_channel_open (CHILD_SOCKET, CHILD_MEMORY, &error);
  if (channel == NULL)
    return EXIT_FAILURE;
  RagifyIsolationChild *child = g_new0 (RagifyIsolationChild, 1);
  child->channel = channel;
  child->name = argv[3];
  child->registry = ragify_registry_new ();
  child->calls = g_hash_table_new_full (g_int64_hash, g_int64_equal, NULL, ragify_child_call_free);
  ragify_child_init_lock (&child->lock, &child->changed);
  /* A terminal's Ctrl-C goes to the whole group: the parent tells us what to do. */
  signal (SIGINT, SIG_IGN);
  signal (SIGTERM, SIG_IGN);
  return run (child);
}
