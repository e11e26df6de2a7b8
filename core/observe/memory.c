/* SPDX-License-Identifier: MIT */
#include "core/observe/memory.h"

#include <malloc.h>
#include <pthread.h>

#include "core/observe/memory-bounds.h"

#define TIGHT 0.80    /* dropping and shrinking */
#define TIGHTER 0.87  /* no more documents */
#define TIGHTEST 0.94 /* no more requests */
#define SLACK 0.05    /* a step is taken back so much below what led to it */
/* The next look comes before a growth of so much could get from here to the limit: answers out of memory into a cache
 * in memory are as fast as that. */
#define FASTEST_GROWTH 500e6 /* bytes a second */
#define SOONEST_MS 20
#define LATEST_MS 1000
#define SHRINK_EVERY_US (G_USEC_PER_SEC / 4)

typedef struct Relief {
  RagifyRelieve relieve;
  void *user;
} Relief;

struct RagifyMemory {
  RagifyMemoryBounds *bounds;
  guint timer;
  gint64 shrunk; /* when caches were told last, monotonic µs; the main thread's */
  gint step;     /* atomic; RagifyMemoryStep */
  guint64 limit; /* atomic; bytes */
  RagifySeries *gauge_limit, *gauge_used, *gauge_ratio, *gauge_step;
  RagifySeries *taken[RAGIFY_MEMORY_SHED + 1];
  pthread_mutex_t lock; /* guards what follows */
  RagifyMemoryUse use;
  GArray *reliefs; /* Relief */
};

const char *
ragify_memory_step_name (RagifyMemoryStep step)
{
  static const char *const names[] = { "none", "expire", "shrink", "no-ingest", "shed" };
  return names[step];
}

RagifyMemoryStep
ragify_memory_step (const RagifyMemory *memory)
{
  return memory != NULL ? (RagifyMemoryStep)__atomic_load_n (&memory->step, __ATOMIC_RELAXED) : RAGIFY_MEMORY_AT_EASE;
}

void
ragify_memory_set_limit (RagifyMemory *memory, guint64 limit)
{
  __atomic_store_n (&memory->limit, limit, __ATOMIC_RELAXED);
}

void
ragify_memory_use (RagifyMemory *memory, RagifyMemoryUse *use)
{
  pthread_mutex_lock (&memory->lock);
  *use = memory->use;
  pthread_mutex_unlock (&memory->lock);
}

/* ---- steps ---- */

/* How far use of this kind may lead. */
static RagifyMemoryStep
furthest (double ratio)
{
  if (ratio >= TIGHTEST)
    return RAGIFY_MEMORY_SHED;
  if (ratio >= TIGHTER)
    return RAGIFY_MEMORY_NO_INGEST;
  return ratio >= TIGHT ? RAGIFY_MEMORY_SHRINK : RAGIFY_MEMORY_AT_EASE;
}

static RagifyMemoryStep
next_step (RagifyMemoryStep step, double ratio)
{
  const RagifyMemoryStep most = furthest (ratio), least = furthest (ratio + SLACK);
  if (step > least)
    return least;
  if (step >= most)
    return step;
  return most == RAGIFY_MEMORY_SHED ? most : step + 1;
}

static void
relieve (RagifyMemory *memory, RagifyMemoryStep step)
{
  pthread_mutex_lock (&memory->lock);
  for (guint i = 0; i < memory->reliefs->len; i++) {
    const Relief *relief = &g_array_index (memory->reliefs, Relief, i);
    relief->relieve (step, relief->user);
  }
  pthread_mutex_unlock (&memory->lock);
}

static void
say (const RagifyMemoryUse *use, RagifyMemoryStep step)
{
  static const char *const words[] = { "", "caches drop what has expired", "caches shrink", "documents are refused",
                                       "requests are refused" };
  g_warning ("memory: %.0f %% of %" G_GUINT64_FORMAT " MiB (%s) in use: %s", use->ratio * 100, use->limit >> 20,
             use->bound, words[step]);
}

static void
go_to (RagifyMemory *memory, RagifyMemoryStep from, RagifyMemoryStep to, const RagifyMemoryUse *use)
{
  for (RagifyMemoryStep step = from + 1; step <= to; step++) {
    say (use, step);
    ragify_series_add (memory->taken[step], 1);
    if (step <= RAGIFY_MEMORY_SHRINK)
      relieve (memory, step);
  }
  if (to < from)
    g_message ("memory: %.0f %% in use: %s", use->ratio * 100,
               to == RAGIFY_MEMORY_AT_EASE    ? "all is as usual again"
               : to < RAGIFY_MEMORY_NO_INGEST ? "documents are taken again"
                                              : "requests are taken again");
  ragify_series_set (memory->gauge_step, to);
  __atomic_store_n (&memory->step, (gint)to, __ATOMIC_RELAXED);
}

/* As long as it is tight, what caches have let go is given back to the system, and they are told again. */
static void
go_on (RagifyMemory *memory, RagifyMemoryStep step)
{
  const gint64 now = g_get_monotonic_time ();
  if (step < RAGIFY_MEMORY_SHRINK || now - memory->shrunk < SHRINK_EVERY_US)
    return;
  memory->shrunk = now;
  malloc_trim (0);
  relieve (memory, RAGIFY_MEMORY_SHRINK);
}

static void
consider (RagifyMemory *memory, RagifyMemoryUse *use)
{
  const RagifyMemoryStep before = ragify_memory_step (memory);
  use->ratio = use->limit > 0 ? (double)use->used / (double)use->limit : 0;
  use->step = next_step (before, use->ratio);
  ragify_series_set (memory->gauge_limit, (double)use->limit);
  ragify_series_set (memory->gauge_used, (double)use->used);
  ragify_series_set (memory->gauge_ratio, use->ratio);
  pthread_mutex_lock (&memory->lock);
  memory->use = *use;
  pthread_mutex_unlock (&memory->lock);
  if (use->step != before)
    go_to (memory, before, use->step, use);
  else
    go_on (memory, before);
}

/* ---- looking ---- */

static void
keep_nearest (RagifyMemoryUse *use, guint64 used, guint64 limit, const char *bound)
{
  if (limit == 0 || (use->limit > 0 && (double)used / (double)limit <= (double)use->used / (double)use->limit))
    return;
  use->used = used;
  use->limit = limit;
  use->bound = bound;
}

static gboolean look (gpointer data);

static void
look_later (RagifyMemory *memory, const RagifyMemoryUse *use)
{
  const double left = TIGHTEST * (double)use->limit - (double)use->used;
  memory->timer = g_timeout_add ((guint)CLAMP (left / FASTEST_GROWTH * 1000, SOONEST_MS, LATEST_MS), look, memory);
}

static gboolean
look (gpointer data)
{
  RagifyMemory *memory = data;
  RagifyMemoryReading now;
  ragify_memory_bounds_read (memory->bounds, &now);
  RagifyMemoryUse use = { .rss = now.rss, .vms = now.vms, .available = now.available, .bound = "machine" };
  keep_nearest (&use, now.anonymous, now.total, "machine");
  keep_nearest (&use, now.group_used, now.group_limit, "control group");
  keep_nearest (&use, now.anonymous, __atomic_load_n (&memory->limit, __ATOMIC_RELAXED), "memory-limit");
  consider (memory, &use);
  look_later (memory, &use);
  return G_SOURCE_REMOVE;
}

void
ragify_memory_look (RagifyMemory *memory, guint64 used, guint64 limit)
{
  RagifyMemoryUse use = { .rss = used, .vms = used, .used = used, .limit = limit, .bound = "memory-limit" };
  consider (memory, &use);
}

/* ---- beginning and end ---- */

static void
make_series (RagifyMemory *memory, RagifyMetrics *metrics)
{
  memory->gauge_limit = ragify_metrics_series (metrics, RAGIFY_SERIES_GAUGE, "ragify_memory_limit_bytes",
                                               "The bound that memory in use is nearest to.", NULL);
  memory->gauge_used = ragify_metrics_series (metrics, RAGIFY_SERIES_GAUGE, "ragify_memory_used_bytes",
                                              "Memory in use that the system cannot take back by itself.", NULL);
  memory->gauge_ratio = ragify_metrics_series (metrics, RAGIFY_SERIES_GAUGE, "ragify_memory_used_ratio",
                                               "Memory in use as a part of its bound.", NULL);
  memory->gauge_step =
      ragify_metrics_series (metrics, RAGIFY_SERIES_GAUGE, "ragify_memory_step",
                             "0: at ease, 1: caches drop what has expired, 2: caches shrink, 3: documents are refused, "
                             "4: requests are refused.",
                             NULL);
  for (guint step = RAGIFY_MEMORY_EXPIRE; step <= RAGIFY_MEMORY_SHED; step++)
    memory->taken[step] = ragify_metrics_series (metrics, RAGIFY_SERIES_COUNTER, "ragify_memory_steps_total",
                                                 "Steps that were taken for want of memory.", "step",
                                                 ragify_memory_step_name (step), NULL);
}

RagifyMemory *
ragify_memory_new (RagifyMetrics *metrics)
{
  RagifyMemory *memory = g_new0 (RagifyMemory, 1);
  memory->bounds = ragify_memory_bounds_new ("/proc", "/sys/fs/cgroup");
  memory->reliefs = g_array_new (FALSE, FALSE, sizeof (Relief));
  memory->use.bound = "machine";
  pthread_mutex_init (&memory->lock, NULL);
  make_series (memory, metrics);
  memory->timer = g_timeout_add (SOONEST_MS, look, memory);
  return memory;
}

void
ragify_memory_free (RagifyMemory *memory)
{
  if (memory == NULL)
    return;
  g_source_remove (memory->timer);
  ragify_memory_bounds_free (memory->bounds);
  g_array_unref (memory->reliefs);
  pthread_mutex_destroy (&memory->lock);
  g_free (memory);
}

void
ragify_memory_add_relief (RagifyMemory *memory, RagifyRelieve function, void *user)
{
  const Relief relief = { function, user };
  pthread_mutex_lock (&memory->lock);
  g_array_append_val (memory->reliefs, relief);
  pthread_mutex_unlock (&memory->lock);
}

void
ragify_memory_remove_relief (RagifyMemory *memory, void *user)
{
  pthread_mutex_lock (&memory->lock);
  for (guint i = memory->reliefs->len; i > 0; i--)
    if (g_array_index (memory->reliefs, Relief, i - 1).user == user)
      g_array_remove_index (memory->reliefs, i - 1);
  pthread_mutex_unlock (&memory->lock);
}
