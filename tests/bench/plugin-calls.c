/* What one plugin call costs the host: its start, its completion and its delivery on the same loop, by run class, and
 * in a process of its own.
 *
 *     plugin-calls-run [--assert] RAGIFY-HOST SAMPLE.so
 *     plugin-calls-run --count CLASS CALLS RAGIFY-HOST SAMPLE.so     one run of one class, for callgrind to count
 *
 * SPDX-License-Identifier: MIT
 *
 * The plugin answers at once with nothing. Calls are made one after the other from the loop, each started by the end of
 * the one before. CPU time is the whole process's (and, isolated, the child's too), so that no thread's share is
 * missed; the median of interleaved runs. Instructions are those of user mode, of all threads, where the system lets
 * them be counted.
 */
#include <linux/perf_event.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "core/call/call-private.h"
#include "core/module/isolation.h"
#include "core/module/registry.h"

#define RUNS 7
#define CALLS_OF_AN_OWNER 16
#define MOST_NESTED 64
#define PATIENCE_US (60 * G_USEC_PER_SEC)

typedef struct Subject {
  const char *label, *component;
  gboolean isolated;
  guint calls;
  double limit_us; /* of CPU for each call; 0: none is set */
  RagifyNode *node;
  GPid child;
  double cpu_us[RUNS], child_us[RUNS], wall_us[RUNS], instructions[RUNS];
} Subject;

/* One run: a chain of calls on the loop. */
typedef struct Chain {
  RagifyTask task;
  RagifyLoop *loop;
  RagifyNode *node;
  RagifyOwner *owner;
  guint left, failed, nested;
  char said[256];
  GMutex lock;
  GCond over;
  gboolean done;
} Chain;

static const RagifySourceQuery query = { .struct_size = sizeof query, .top_k = 10, .text = { "why", 3 } };

static void next_call (Chain *chain);

static void
finished (RagifyCall *call, void *user)
{
  Chain *chain = user;
  if (ragify_call_code (call) != RAGIFY_OK) {
    chain->failed++;
    g_strlcpy (chain->said, ragify_call_message (call), sizeof chain->said);
  }
  /* A call that completes inside its start nests the next one in it; now and then the loop goes round. */
  if (++chain->nested % MOST_NESTED == 0)
    ragify_loop_post (chain->loop, &chain->task);
  else
    next_call (chain);
}

static void
next_call (Chain *chain)
{
  if (chain->owner == NULL || chain->left % CALLS_OF_AN_OWNER == 0) { /* a request makes a few calls */
    if (chain->owner != NULL)
      ragify_owner_unref (chain->owner);
    chain->owner = chain->left > 0 ? ragify_owner_new (sizeof (RagifyOwner), NULL) : NULL;
  }
  if (chain->left == 0) {
    g_mutex_lock (&chain->lock);
    chain->done = TRUE;
    g_cond_signal (&chain->over);
    g_mutex_unlock (&chain->lock);
    return;
  }
  chain->left--;
  ragify_node_call (chain->node, ragify_call_new (chain->owner, &ragify_operation_source_query, &query,
                                                  ragify_now () + PATIENCE_US, finished, chain));
}

static void
begin_chain (RagifyTask *task)
{
  next_call ((Chain *)task);
}

static double
cpu_seconds (void)
{
  struct timespec time;
  clock_gettime (CLOCK_PROCESS_CPUTIME_ID, &time);
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* CPU time of another process, from the scheduler's own nanoseconds: of all of its threads. */
static double
child_seconds (GPid pid)
{
  g_autofree char *folder = g_strdup_printf ("/proc/%d/task", (int)pid);
  g_autoptr (GDir) dir = pid > 0 ? g_dir_open (folder, 0, NULL) : NULL;
  double seconds = 0;
  for (const char *name = dir != NULL ? g_dir_read_name (dir) : NULL; name != NULL; name = g_dir_read_name (dir)) {
    g_autofree char *path = g_build_filename (folder, name, "schedstat", NULL);
    g_autofree char *text = NULL;
    if (g_file_get_contents (path, &text, NULL, NULL))
      seconds += g_ascii_strtod (text, NULL) / 1e9;
  }
  return seconds;
}

static int
open_counter (void)
{
  struct perf_event_attr attributes = { .type = PERF_TYPE_HARDWARE,
                                        .size = sizeof attributes,
                                        .config = PERF_COUNT_HW_INSTRUCTIONS,
                                        .exclude_kernel = 1,
                                        .exclude_hv = 1,
                                        .inherit = 1 };
  return (int)syscall (SYS_perf_event_open, &attributes, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
}

static double
read_counter (int counter)
{
  guint64 count = 0;
  return counter >= 0 && read (counter, &count, sizeof count) == sizeof count ? (double)count : 0;
}

static void
measure (Subject *subject, RagifyLoop *loop, guint run, int counter)
{
  Chain chain = { .task = { .run = begin_chain }, .loop = loop, .node = subject->node, .left = subject->calls };
  g_mutex_init (&chain.lock);
  g_cond_init (&chain.over);
  const double cpu = cpu_seconds (), child = child_seconds (subject->child), instructions = read_counter (counter);
  const guint64 wall = ragify_now ();
  ragify_loop_post (loop, &chain.task);
  g_mutex_lock (&chain.lock);
  while (!chain.done)
    g_cond_wait (&chain.over, &chain.lock);
  g_mutex_unlock (&chain.lock);
  subject->cpu_us[run] = (cpu_seconds () - cpu) / subject->calls * 1e6;
  subject->child_us[run] = (child_seconds (subject->child) - child) / subject->calls * 1e6;
  subject->wall_us[run] = (double)(ragify_now () - wall) / subject->calls;
  subject->instructions[run] = (read_counter (counter) - instructions) / subject->calls;
  if (chain.failed > 0)
    g_error ("%s: %u calls failed, the last: %s", subject->label, chain.failed, chain.said);
}

static int
compare (const void *a, const void *b)
{
  const double left = *(const double *)a, right = *(const double *)b;
  return (left > right) - (left < right);
}

static double
median (const double *values)
{
  double sorted[RUNS];
  memcpy (sorted, values, sizeof sorted);
  qsort (sorted, RUNS, sizeof *sorted, compare);
  return sorted[RUNS / 2];
}

static GPid
find_child (void)
{
  g_autoptr (GDir) dir = g_dir_open ("/proc", 0, NULL);
  for (const char *name = g_dir_read_name (dir); name != NULL; name = g_dir_read_name (dir)) {
    g_autofree char *path = g_build_filename ("/proc", name, "stat", NULL);
    g_autofree char *text = NULL;
    const char *behind = g_file_get_contents (path, &text, NULL, NULL) ? strrchr (text, ')') : NULL;
    int parent = 0;
    if (behind != NULL && sscanf (behind, ") %*c %d", &parent) == 1 && parent == getpid ())
      return atoi (name);
  }
  return 0;
}

static void
open_subject (Subject *subject, RagifyRuntime *runtime, RagifyRegistry *registry, const char *executable)
{
  g_autoptr (GError) error = NULL;
  RagifyNodeOptions options = {
    .name = subject->label,
    .component = ragify_registry_find (registry, RAGIFY_KIND_SOURCE, subject->component, NULL),
  };
  const RagifyIsolationOptions isolation = { .executable = executable };
  const RagifyStart start = { .struct_size = sizeof start };
  if (subject->isolated && !ragify_isolation_wrap (&options, &isolation, &error))
    g_error ("%s", error->message);
  subject->node = ragify_node_new (runtime, &options, &error);
  if (subject->node == NULL || !ragify_node_start (subject->node, &start, ragify_now () + PATIENCE_US, &error))
    g_error ("%s", error->message);
  subject->child = subject->isolated ? find_child () : 0;
}

/* From the death of its process to the next answer, ms. */
static double
time_restart (RagifyNode *node, GPid child)
{
  kill (child, SIGKILL);
  const guint64 died = ragify_now ();
  gboolean failed = FALSE;
  for (;;) {
    g_autoptr (RagifyOwner) owner = ragify_owner_new (sizeof (RagifyOwner), NULL);
    RagifyCall *call =
        ragify_call_new (owner, &ragify_operation_source_query, &query, ragify_now () + PATIENCE_US, NULL, NULL);
    const gboolean answered = ragify_call_wait (node, call) == RAGIFY_OK;
    if (answered && failed)
      return (double)(ragify_now () - died) / 1e3;
    failed |= !answered;
    g_usleep (200);
  }
}

static gboolean
report (const Subject *subject)
{
  const double cpu = median (subject->cpu_us), child = median (subject->child_us);
  char limit[32] = "", instructions[32] = "not countable here";
  if (subject->limit_us > 0)
    snprintf (limit, sizeof limit, "%.0f µs", subject->limit_us);
  if (median (subject->instructions) > 0)
    snprintf (instructions, sizeof instructions, "%.0f", median (subject->instructions));
  printf ("| %-18s | %7.2f µs | %7.2f µs | %7.2f µs | %18s | %5s |\n", subject->label, cpu, child,
          median (subject->wall_us), instructions, limit);
  return subject->limit_us == 0 || cpu <= subject->limit_us;
}

static void
count_calls (Subject *subjects, gsize n_subjects, const char *label, int calls, RagifyLoop *loop)
{
  for (gsize i = 0; i < n_subjects; i++) {
    if (!g_str_equal (subjects[i].label, label))
      continue;
    subjects[i].calls = MAX ((guint)calls / CALLS_OF_AN_OWNER, 1) * CALLS_OF_AN_OWNER;
    measure (&subjects[i], loop, 0, -1);
  }
}

static void
close_all (Subject *subjects, gsize n_subjects, RagifyRuntime *runtime)
{
  for (gsize i = 0; i < n_subjects; i++)
    ragify_node_free (subjects[i].node, ragify_now () + PATIENCE_US);
  ragify_workers_free (runtime->workers, PATIENCE_US);
  ragify_loop_free (runtime->loops[0]);
  ragify_metrics_free (runtime->metrics);
}

int
main (int argc, char **argv)
{
#ifdef __GLIBC__
  mallopt (M_TRIM_THRESHOLD, 64 * 1024 * 1024); /* as ragify-host has it */
  mallopt (M_TOP_PAD, 1024 * 1024);
#endif
  const gboolean assert_limits = argc > 1 && g_str_equal (argv[1], "--assert");
  const gboolean count = argc > 1 && g_str_equal (argv[1], "--count");
  const int options = assert_limits ? 1 : count ? 3 : 0;
  if (argc != 3 + options) {
    fprintf (stderr, "usage: plugin-calls-run [--assert | --count CLASS CALLS] RAGIFY-HOST SAMPLE.so\n");
    return 2;
  }
  const char *executable = argv[1 + options], *module = argv[2 + options];
  Subject subjects[] = {
    { .label = "SHARED", .component = "shared", .calls = 200000, .limit_us = 1 },
    { .label = "LOOP", .component = "loop", .calls = 200000, .limit_us = 3 },
    { .label = "WORKER", .component = "worker", .calls = 20000, .limit_us = 15 },
    { .label = "SHARED, isolated", .component = "shared", .isolated = TRUE, .calls = 10000 },
  };
  const int counter = open_counter (); /* before the threads, which it then counts too */
  RagifyLoop *loops[] = { ragify_loop_new (0) };
  RagifyRuntime runtime = {
    .loops = loops, .n_loops = 1, .workers = ragify_workers_new (2, 1024), .metrics = ragify_metrics_new ()
  };
  g_autoptr (RagifyRegistry) registry = ragify_registry_new ();
  g_autoptr (GError) error = NULL;
  if (!ragify_registry_load (registry, module, &error))
    g_error ("%s", error->message);
  for (gsize i = 0; i < G_N_ELEMENTS (subjects); i++)
    open_subject (&subjects[i], &runtime, registry, executable);
  if (count) {
    count_calls (subjects, G_N_ELEMENTS (subjects), argv[2], atoi (argv[3]), loops[0]);
    close_all (subjects, G_N_ELEMENTS (subjects), &runtime);
    return 0;
  }
  for (guint run = 0; run < RUNS; run++)
    for (gsize i = 0; i < G_N_ELEMENTS (subjects); i++)
      measure (&subjects[i], loops[0], run, counter);

  gboolean holds = TRUE;
  printf ("| %-18s | %10s | %10s | %10s | %18s | %5s |\n", "run class", "CPU", "child's", "wall", "instructions",
          "limit");
  printf ("|--------------------|-----------:|-----------:|-----------:|-------------------:|------:|\n");
  for (gsize i = 0; i < G_N_ELEMENTS (subjects); i++)
    holds &= report (&subjects[i]);
  Subject *isolated = &subjects[G_N_ELEMENTS (subjects) - 1];
  const double restart = time_restart (isolated->node, isolated->child);
  printf ("\nback in service after its process was killed: %.0f ms (limit 1000 ms)\n", restart);
  holds &= restart < 1000;
  close_all (subjects, G_N_ELEMENTS (subjects), &runtime);
  printf ("%s\n", holds ? "every limit holds" : "a limit does not hold");
  return assert_limits && !holds;
}
