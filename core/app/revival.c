/* SPDX-License-Identifier: MIT */
#include "core/app/revival.h"

#include <pthread.h>

#define FIRST_PAUSE_US (5 * (guint64)G_USEC_PER_SEC)
#define LONGEST_PAUSE_US (300 * (guint64)G_USEC_PER_SEC)
#define JITTER 0.2 /* of a pause, up and down */

/* A node that is not running. What it needs of its graph is copied: the graph may be gone while it is tried. */
typedef struct Missing {
  RagifyConfig *config; /* a reference */
  const RagifyConfigNode *node;
  gboolean embeds; /* a store, with this embedder: */
  RagifyEmbedderInfo embedder;
  char *fingerprint;
  guint64 pause_us, due;
} Missing;

struct RagifyRevival {
  RagifyRuntime *runtime;
  RagifyRevived revived;
  void *user;
  GThread *thread;      /* NULL: nothing has been missing yet. [control] */
  pthread_mutex_t lock; /* guards what follows */
  pthread_cond_t changed;
  GPtrArray *missing; /* Missing */
  gboolean resting, closing, busy;
};

static void
missing_free (gpointer data)
{
  Missing *missing = data;
  ragify_config_unref (missing->config);
  g_free (missing->fingerprint);
  g_free (missing);
}

static Missing *
missing_new (RagifyConfig *config, const RagifyConfigNode *node, const RagifyEmbedderInfo *embedder)
{
  Missing *missing = g_new0 (Missing, 1);
  missing->config = ragify_config_ref (config);
  missing->node = node;
  missing->embeds = embedder != NULL;
  if (embedder == NULL)
    return missing;
  missing->embedder = *embedder;
  missing->fingerprint = g_strndup (embedder->fingerprint.data, embedder->fingerprint.size);
  missing->embedder.fingerprint = ragify_str_from (missing->fingerprint);
  return missing;
}

static void
set_pause (Missing *missing, guint64 pause_us)
{
  missing->pause_us = MIN (pause_us, LONGEST_PAUSE_US);
  const double jittered = (double)missing->pause_us * g_random_double_range (1 - JITTER, 1 + JITTER);
  missing->due = ragify_now () + (guint64)jittered;
}

/* ---- trying ---- */

/* Started, or NULL. */
static RagifyUnit *
try_it (RagifyRevival *revival, const Missing *missing)
{
  g_autoptr (GError) error = NULL;
  RagifyUnit *unit = ragify_unit_new (revival->runtime, missing->config, missing->node, &error);
  if (unit != NULL && ragify_unit_start (unit, missing->embeds ? &missing->embedder : NULL, &error))
    return unit;
  g_info ("%s: still not running: %s", ragify_config_node_group (missing->node), error->message);
  g_clear_pointer (&unit, ragify_unit_unref);
  return NULL;
}

/* With the lock held; G_MAXUINT: what is missing is something else by now. */
static guint
find (const RagifyRevival *revival, const RagifyConfigNode *node)
{
  for (guint i = 0; i < revival->missing->len; i++)
    if (((const Missing *)g_ptr_array_index (revival->missing, i))->node == node)
      return i;
  return G_MAXUINT;
}

/* The one that is due first; NULL: none. With the lock held. */
static const Missing *
find_first (const RagifyRevival *revival)
{
  const Missing *first = NULL;
  for (guint i = 0; i < revival->missing->len && !revival->resting; i++) {
    const Missing *missing = g_ptr_array_index (revival->missing, i);
    if (first == NULL || missing->due < first->due)
      first = missing;
  }
  return first;
}

/* With the lock held, which is given up meanwhile. */
static void
try_first (RagifyRevival *revival, const Missing *first)
{
  Missing *own = missing_new (first->config, first->node, first->embeds ? &first->embedder : NULL);
  revival->busy = TRUE;
  pthread_mutex_unlock (&revival->lock);
  RagifyUnit *unit = try_it (revival, own);
  pthread_mutex_lock (&revival->lock);
  const guint place = find (revival, own->node);
  if (place != G_MAXUINT && unit == NULL) {
    Missing *missing = g_ptr_array_index (revival->missing, place);
    set_pause (missing, 2 * missing->pause_us);
  } else if (place != G_MAXUINT && !revival->resting && !revival->closing) {
    g_ptr_array_remove_index (revival->missing, place);
    revival->revived (g_steal_pointer (&unit), own->node, revival->user);
  }
  pthread_mutex_unlock (&revival->lock);
  g_clear_pointer (&unit, ragify_unit_unref);
  missing_free (own);
  pthread_mutex_lock (&revival->lock);
  revival->busy = FALSE;
  pthread_cond_broadcast (&revival->changed);
}

/* With the lock held; FALSE at the deadline. */
static gboolean
wait_for_change (RagifyRevival *revival, guint64 deadline)
{
  const struct timespec limit = { .tv_sec = (time_t)(deadline / G_USEC_PER_SEC),
                                  .tv_nsec = (long)(deadline % G_USEC_PER_SEC) * 1000 };
  return pthread_cond_timedwait (&revival->changed, &revival->lock, &limit) == 0;
}

static gpointer
revival_main (gpointer data)
{
  RagifyRevival *revival = data;
  pthread_mutex_lock (&revival->lock);
  while (!revival->closing) {
    const Missing *first = find_first (revival);
    if (first == NULL)
      pthread_cond_wait (&revival->changed, &revival->lock);
    else if (first->due > ragify_now ())
      wait_for_change (revival, first->due);
    else
      try_first (revival, first);
  }
  pthread_mutex_unlock (&revival->lock);
  return NULL;
}

/* ---- what others ask ---- */

RagifyRevival *
ragify_revival_new (RagifyRuntime *runtime, RagifyRevived revived, void *user)
{
  RagifyRevival *revival = g_new0 (RagifyRevival, 1);
  revival->runtime = runtime;
  revival->revived = revived;
  revival->user = user;
  revival->missing = g_ptr_array_new_with_free_func (missing_free);
  pthread_mutex_init (&revival->lock, NULL);
  pthread_condattr_t monotonic;
  pthread_condattr_init (&monotonic);
  pthread_condattr_setclock (&monotonic, CLOCK_MONOTONIC);
  pthread_cond_init (&revival->changed, &monotonic);
  pthread_condattr_destroy (&monotonic);
  return revival;
}

void
ragify_revival_watch (RagifyRevival *revival, RagifyGraph *graph)
{
  g_autoptr (GArray) nodes = ragify_graph_missing (graph);
  GPtrArray *all = g_ptr_array_new_with_free_func (missing_free);
  pthread_mutex_lock (&revival->lock);
  for (guint i = 0; i < nodes->len; i++) {
    const RagifyGraphMissing *found = &g_array_index (nodes, RagifyGraphMissing, i);
    const guint place = find (revival, found->node);
    Missing *missing = missing_new (ragify_graph_config (graph), found->node, found->embedder);
    if (place != G_MAXUINT) {
      const Missing *before = g_ptr_array_index (revival->missing, place);
      missing->pause_us = before->pause_us;
      missing->due = before->due;
    } else
      set_pause (missing, FIRST_PAUSE_US);
    g_ptr_array_add (all, missing);
  }
  GPtrArray *former = revival->missing;
  revival->missing = all;
  revival->resting = FALSE;
  pthread_cond_broadcast (&revival->changed);
  pthread_mutex_unlock (&revival->lock);
  g_ptr_array_unref (former);
  if (revival->thread == NULL && all->len > 0)
    revival->thread = g_thread_new ("revival", revival_main, revival);
}

/* With the lock held; FALSE at the deadline. */
static gboolean
wait_for_trial (RagifyRevival *revival, guint64 deadline)
{
  while (revival->busy && wait_for_change (revival, deadline))
    continue;
  return !revival->busy;
}

void
ragify_revival_rest (RagifyRevival *revival, guint64 deadline)
{
  pthread_mutex_lock (&revival->lock);
  revival->resting = TRUE;
  wait_for_trial (revival, deadline);
  pthread_mutex_unlock (&revival->lock);
}

gboolean
ragify_revival_free (RagifyRevival *revival, guint64 deadline)
{
  pthread_mutex_lock (&revival->lock);
  revival->closing = TRUE;
  pthread_cond_broadcast (&revival->changed);
  const gboolean idle = wait_for_trial (revival, deadline);
  pthread_mutex_unlock (&revival->lock);
  if (!idle) {
    revival->runtime->left_behind++;
    return FALSE;
  }
  if (revival->thread != NULL)
    g_thread_join (revival->thread);
  g_ptr_array_unref (revival->missing);
  pthread_cond_destroy (&revival->changed);
  pthread_mutex_destroy (&revival->lock);
  g_free (revival);
  return TRUE;
}
