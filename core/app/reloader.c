/* SPDX-License-Identifier: MIT */
#include "core/app/reloader.h"

#include <pthread.h>

#include "core/app/load.h"
#include "core/app/log.h"
#include "core/app/observing.h"
#include "core/app/reload-report.h"
#include "core/app/restart-keys.h"
#include "core/app/revival.h"
#include "core/app/service.h"
#include "core/server/upload-queue.h"

/* How long a reload waits for graphs that requests still use: their folders may be wanted. */
#define FORMER_PATIENCE_US (5 * G_USEC_PER_SEC)
/* How long a stop waits for nodes that do not come to an end. */
#define STOP_PATIENCE_US (15 * G_USEC_PER_SEC)

/* How long it waits for a node that is being tried, which the reload will try itself. */
#define REVIVAL_PATIENCE_US (5 * G_USEC_PER_SEC)

typedef enum { ERRAND_RELOAD, ERRAND_RENEW, ERRAND_DISPOSE, ERRAND_REVIVE, ERRAND_END } ErrandType;

typedef struct Errand {
  ErrandType type;
  RagifyGraph *graph;           /* DISPOSE: nobody uses it any more */
  RagifyUnit *unit;             /* REVIVE: runs at last, a reference, … */
  const RagifyConfigNode *node; /* … for this node */
  RagifyReloaded reloaded;
  void *user;
} Errand;

struct RagifyReloader {
  RagifyReloaderOptions options;
  RagifyAdmin admin;
  GThread *thread;
  GAsyncQueue *errands; /* Errand */
  GQueue waiting;       /* Errand: reloads that came while graphs were waited for; the thread's */
  guint former;         /* graphs that were released and not yet freed; the thread's */
  guint number;         /* the thread's */
  RagifyGraph *graph;
  RagifyRevival *revival;
  RagifyConfig *first; /* the process was started with */

  pthread_mutex_t lock; /* guards what follows; held while a reload is put in force */
  RagifyListeners *listeners;
  guint64 drain_timeout, drain_delay;
  gboolean stopping;

  pthread_cond_t ended;
  gboolean has_ended;
};

static void
push (RagifyReloader *reloader, const Errand *errand)
{
  g_async_queue_push (reloader->errands, g_memdup2 (errand, sizeof *errand));
}

static void
errand_free (gpointer data)
{
  Errand *errand = data;
  g_clear_pointer (&errand->unit, ragify_unit_unref);
  g_free (errand);
}

void
ragify_reloader_ask (RagifyReloader *reloader, RagifyReloaded reloaded, void *user)
{
  push (reloader, &(Errand){ .type = ERRAND_RELOAD, .reloaded = reloaded, .user = user });
}

/* A store's vectors are those of its new embedder: the configuration that serves is made anew. On any thread. */
static void
ask_renewal (void *user)
{
  push (user, &(Errand){ .type = ERRAND_RENEW });
}

/* ---- former graphs ---- */

/* The last request has left it. On any thread. */
static void
released (RagifyGraph *graph, void *user)
{
  push (user, &(Errand){ .type = ERRAND_DISPOSE, .graph = graph });
}

static void
release (RagifyReloader *reloader, RagifyGraph *graph)
{
  reloader->former++;
  ragify_graph_release (graph, released, reloader);
}

static void
dispose (RagifyReloader *reloader, RagifyGraph *graph)
{
  ragify_graph_free (graph);
  reloader->former--;
}

/* Frees former graphs as they are left, until there are none or `deadline`. */
static void
wait_for_former (RagifyReloader *reloader, guint64 deadline)
{
  while (reloader->former > 0) {
    const guint64 now = ragify_now ();
    Errand *errand =
        g_async_queue_timeout_pop (reloader->errands, now < deadline ? MIN (deadline - now, G_USEC_PER_SEC) : 0);
    if (errand == NULL && now >= deadline)
      return;
    if (errand == NULL)
      continue;
    if (errand->type == ERRAND_DISPOSE) {
      dispose (reloader, errand->graph);
      g_free (errand);
    } else {
      g_queue_push_tail (&reloader->waiting, errand);
    }
  }
}

/* ---- a reload ---- */

static void
take_drain (RagifyReloader *reloader, const RagifyConfigNode *host)
{
  reloader->drain_timeout = ragify_config_node_get_duration (host, "drain-timeout");
  reloader->drain_delay = ragify_config_node_get_duration (host, "drain-delay");
}

static void
put_in_force (RagifyReloader *reloader, RagifyGraph *graph, RagifyDiagnostics *diagnostics)
{
  const RagifyConfigNode *host = ragify_config_host (ragify_graph_config (graph));
  ragify_listeners_commit (reloader->listeners, ragify_graph_serving (graph), diagnostics);
  ragify_upload_queue_set_serving (reloader->admin.uploads, ragify_graph_serving (graph));
  ragify_restart_keys_name (ragify_config_host (reloader->first), host, diagnostics);
  ragify_log_configure (ragify_config_node_get_string (host, "log-format"),
                        ragify_config_node_get_string (host, "log-level"));
  ragify_memory_set_limit (reloader->options.runtime->memory, ragify_config_node_get_size (host, "memory-limit"));
  ragify_observing_apply (reloader->options.runtime, host);
  take_drain (reloader, host);
  ragify_graph_start_jobs (graph, reloader->graph);
  ragify_graph_start_reindexing (graph, ask_renewal, reloader);
  release (reloader, reloader->graph);
  reloader->graph = graph;
  ragify_warming_start (ragify_graph_serving (graph)->warming);
}

/* With the lock held. */
static gboolean
take_over (RagifyReloader *reloader, RagifyConfig *config, RagifyGraph *graph, RagifyDiagnostics *diagnostics)
{
  if (reloader->stopping) {
    ragify_diagnostics_add (diagnostics, RAGIFY_SEVERITY_ERROR, ragify_config_host (config), NULL,
                            "the host is shutting down");
    return FALSE;
  }
  if (!ragify_listeners_prepare (reloader->listeners, config, ragify_graph_serving (reloader->graph), diagnostics))
    return FALSE;
  if (ragify_graph_adopt (graph, reloader->graph, diagnostics))
    return TRUE;
  ragify_listeners_abandon (reloader->listeners);
  return FALSE;
}

/* What came of a reload beside its diagnostics. */
typedef struct Outcome {
  GArray *changes;
  guint kept;
  GPtrArray *retired; /* servers */
} Outcome;

/* TRUE when the graph serves; otherwise it was freed. */
static gboolean
serve (RagifyReloader *reloader, RagifyGraph *graph, RagifyDiagnostics *diagnostics, Outcome *outcome)
{
  pthread_mutex_lock (&reloader->lock);
  const gboolean taken = take_over (reloader, ragify_graph_config (graph), graph, diagnostics);
  if (taken) {
    outcome->changes = ragify_graph_changes (graph, reloader->graph, &outcome->kept);
    put_in_force (reloader, graph, diagnostics);
    outcome->retired = ragify_listeners_take_retired (reloader->listeners);
  }
  pthread_mutex_unlock (&reloader->lock);
  if (!taken)
    ragify_graph_free (graph);
  return taken;
}

static void
outcome_clear (RagifyReloader *reloader, Outcome *outcome)
{
  g_clear_pointer (&outcome->changes, g_array_unref);
  if (outcome->retired == NULL)
    return;
  ragify_listeners_close (outcome->retired, reloader->drain_timeout);
  g_ptr_array_unref (outcome->retired);
}

/* TRUE when the configuration that is on the disk now serves; with `renew`, the one that served before. */
static gboolean
reload (RagifyReloader *reloader, gboolean renew, RagifyDiagnostics *diagnostics, Outcome *outcome)
{
  g_autoptr (RagifyConfig) config =
      renew ? ragify_config_ref (ragify_graph_config (reloader->graph))
            : ragify_app_load (reloader->options.input, reloader->options.registry, diagnostics);
  if (config == NULL)
    return FALSE;
  wait_for_former (reloader, ragify_now () + FORMER_PATIENCE_US);
  RagifyGraph *graph = ragify_graph_new (reloader->options.runtime, config, reloader->graph, diagnostics);
  if (graph == NULL)
    return FALSE;
  const gboolean taken = serve (reloader, graph, diagnostics, outcome);
  reloader->number += taken ? 1 : 0;
  return taken;
}

/* Those that wait for the reload that begins now. */
static GPtrArray *
gather_reloads (RagifyReloader *reloader, Errand *first)
{
  GPtrArray *all = g_ptr_array_new_with_free_func (errand_free);
  g_ptr_array_add (all, first);
  for (Errand *errand = g_async_queue_try_pop (reloader->errands); errand != NULL;
       errand = g_async_queue_try_pop (reloader->errands))
    g_queue_push_tail (&reloader->waiting, errand);
  for (GList *link = reloader->waiting.head, *next = NULL; link != NULL; link = next) {
    next = link->next;
    Errand *errand = link->data;
    if (errand->type != ERRAND_RELOAD && errand->type != ERRAND_RENEW && errand->type != ERRAND_REVIVE)
      continue;
    if (errand->type != ERRAND_REVIVE)
      g_ptr_array_add (all, errand);
    else
      errand_free (errand); /* the reload tries it itself */
    g_queue_delete_link (&reloader->waiting, link);
  }
  return all;
}

static void
run_reload (RagifyReloader *reloader, Errand *first)
{
  ragify_revival_rest (reloader->revival, ragify_now () + REVIVAL_PATIENCE_US);
  g_autoptr (GPtrArray) asked = gather_reloads (reloader, first);
  /* One that somebody asked for reads the files, and renews stores as well. */
  for (guint i = 0; i < asked->len; i++)
    if (((const Errand *)g_ptr_array_index (asked, i))->type == ERRAND_RELOAD)
      first = g_ptr_array_index (asked, i);
  g_autoptr (RagifyDiagnostics) diagnostics = ragify_diagnostics_new ();
  Outcome outcome = { 0 };
  const guint64 began = ragify_now ();
  RagifyReloadReport report = { .diagnostics = diagnostics };
  ragify_service_reloading ();
  report.applied = reload (reloader, first->type == ERRAND_RENEW, diagnostics, &outcome);
  report.number = reloader->number;
  report.duration_us = ragify_now () - began;
  report.kept = outcome.kept;
  report.changes = outcome.changes != NULL ? (const RagifyGraphChange *)(const void *)outcome.changes->data : NULL;
  report.n_changes = outcome.changes != NULL ? outcome.changes->len : 0;
  ragify_reload_report_log (&report);
  ragify_service_reloaded (report.applied);
  for (guint i = 0; i < asked->len; i++) {
    const Errand *errand = g_ptr_array_index (asked, i);
    if (errand->reloaded != NULL)
      errand->reloaded (&report, errand->user);
  }
  ragify_revival_watch (reloader->revival, reloader->graph);
  outcome_clear (reloader, &outcome);
}

/* ---- nodes that were missing ---- */

/* On the revival's thread. */
static void
revived (RagifyUnit *unit, const RagifyConfigNode *node, void *user)
{
  push (user, &(Errand){ .type = ERRAND_REVIVE, .unit = unit, .node = node });
}

/* The graph that serves, with the node in it. What is tried rests during a reload, so the node is one of the graph's.
 */
static void
run_revive (RagifyReloader *reloader, const Errand *errand)
{
  g_autoptr (RagifyDiagnostics) diagnostics = ragify_diagnostics_new ();
  Outcome outcome = { 0 };
  const char *name = ragify_config_node_group (errand->node);
  RagifyGraph *graph =
      ragify_graph_new_revived (reloader->options.runtime, reloader->graph, errand->node, errand->unit, diagnostics);
  if (graph != NULL && serve (reloader, graph, diagnostics, &outcome))
    g_message ("%s: it runs now, and takes part from here on", name);
  else
    g_warning ("%s: it runs now, and cannot take part: it will be tried again, or reload to see why", name);
  ragify_revival_watch (reloader->revival, reloader->graph);
  outcome_clear (reloader, &outcome);
}

/* What came too late. */
static void
drop_errands (RagifyReloader *reloader)
{
  for (Errand *errand = g_async_queue_try_pop (reloader->errands); errand != NULL;
       errand = g_async_queue_try_pop (reloader->errands))
    errand_free (errand);
  g_queue_clear_full (&reloader->waiting, errand_free);
}

static gpointer
reloader_main (gpointer data)
{
  RagifyReloader *reloader = data;
  gboolean more = TRUE;
  while (more) {
    Errand *errand = g_queue_pop_head (&reloader->waiting);
    if (errand == NULL)
      errand = g_async_queue_pop (reloader->errands);
    more = errand->type != ERRAND_END;
    if (errand->type == ERRAND_DISPOSE)
      dispose (reloader, errand->graph);
    if (errand->type == ERRAND_REVIVE)
      run_revive (reloader, errand);
    if (errand->type == ERRAND_RELOAD || errand->type == ERRAND_RENEW)
      run_reload (reloader, errand);
    else
      errand_free (errand);
  }
  ragify_revival_free (reloader->revival, ragify_now () + REVIVAL_PATIENCE_US);
  release (reloader, reloader->graph);
  wait_for_former (reloader, ragify_now () + STOP_PATIENCE_US);
  drop_errands (reloader);
  reloader->options.runtime->left_behind += reloader->former;
  pthread_mutex_lock (&reloader->lock);
  reloader->has_ended = TRUE;
  pthread_cond_signal (&reloader->ended);
  pthread_mutex_unlock (&reloader->lock);
  return NULL;
}

/* ---- the administrative route ---- */

typedef struct AdminReply {
  RagifyTask task;
  RagifyLoop *loop;
  RagifyAdminReplied replied;
  void *user;
  guint status;
  char *body;
  gsize size;
} AdminReply;

static void
run_admin_reply (RagifyTask *task)
{
  AdminReply *reply = (AdminReply *)task;
  reply->replied (reply->status, reply->body, reply->size, reply->user);
  g_free (reply->body);
  g_free (reply);
}

static void
admin_reloaded (const RagifyReloadReport *report, void *user)
{
  AdminReply *reply = user;
  reply->task.run = run_admin_reply;
  reply->status = report->applied ? 200 : 422;
  reply->body = ragify_reload_report_to_json (report, &reply->size);
  ragify_loop_post (reply->loop, &reply->task);
}

static void
admin_reload (void *application, RagifyLoop *loop, RagifyAdminReplied replied, void *user)
{
  AdminReply *reply = g_new0 (AdminReply, 1);
  reply->loop = loop;
  reply->replied = replied;
  reply->user = user;
  ragify_reloader_ask (application, admin_reloaded, reply);
}

const RagifyAdmin *
ragify_reloader_admin (RagifyReloader *reloader)
{
  return &reloader->admin;
}

/* ---- beginning and end ---- */

RagifyReloader *
ragify_reloader_new (const RagifyReloaderOptions *options)
{
  RagifyReloader *reloader = g_new0 (RagifyReloader, 1);
  reloader->options = *options;
  reloader->admin = (RagifyAdmin){ .reload = admin_reload, .application = reloader, .jobs = ragify_job_board_new () };
  reloader->errands = g_async_queue_new ();
  reloader->number = 1;
  reloader->listeners = ragify_listeners_new (options->runtime, &reloader->admin);
  reloader->revival = ragify_revival_new (options->runtime, revived, reloader);
  g_queue_init (&reloader->waiting);
  pthread_mutex_init (&reloader->lock, NULL);
  pthread_cond_init (&reloader->ended, NULL);
  return reloader;
}

gboolean
ragify_reloader_begin (RagifyReloader *reloader, RagifyConfig *config, RagifyDiagnostics *diagnostics)
{
  reloader->graph = ragify_graph_new (reloader->options.runtime, config, NULL, diagnostics);
  if (reloader->graph == NULL)
    return FALSE;
  reloader->first = ragify_config_ref (config);
  take_drain (reloader, ragify_config_host (config));
  g_autofree char *uploads =
      g_build_filename (ragify_config_node_get_string (ragify_config_host (config), "state-dir"), "uploads", NULL);
  reloader->admin.uploads = ragify_upload_queue_new (reloader->options.runtime, reloader->admin.jobs, uploads);
  const gboolean open =
      ragify_graph_adopt (reloader->graph, NULL, diagnostics) &&
      ragify_listeners_prepare (reloader->listeners, config, ragify_graph_serving (reloader->graph), diagnostics);
  if (open) {
    ragify_listeners_commit (reloader->listeners, ragify_graph_serving (reloader->graph), diagnostics);
    ragify_upload_queue_set_serving (reloader->admin.uploads, ragify_graph_serving (reloader->graph));
    ragify_graph_start_jobs (reloader->graph, NULL);
    ragify_graph_start_reindexing (reloader->graph, ask_renewal, reloader);
    ragify_warming_start (ragify_graph_serving (reloader->graph)->warming);
    ragify_revival_watch (reloader->revival, reloader->graph);
  }
  reloader->thread = g_thread_new ("reloader", reloader_main, reloader);
  return open;
}

void
ragify_reloader_announce (RagifyReloader *reloader)
{
  pthread_mutex_lock (&reloader->lock);
  ragify_listeners_announce (reloader->listeners);
  pthread_mutex_unlock (&reloader->lock);
}

static void
reloader_free (RagifyReloader *reloader)
{
  g_clear_pointer (&reloader->first, ragify_config_unref);
  g_async_queue_unref (reloader->errands);
  g_clear_pointer (&reloader->admin.uploads, ragify_upload_queue_unref);
  ragify_job_board_free (reloader->admin.jobs);
  pthread_cond_destroy (&reloader->ended);
  pthread_mutex_destroy (&reloader->lock);
  g_free (reloader);
}

/* A reload that is under way has a node to start, and goes on with that; what comes of it is not put in force. */
static void
close_listeners (RagifyReloader *reloader)
{
  pthread_mutex_lock (&reloader->lock);
  reloader->stopping = TRUE;
  pthread_mutex_unlock (&reloader->lock);
  ragify_listeners_unready (reloader->listeners, "shutting down");
  g_usleep (reloader->drain_delay);
  const guint left = ragify_listeners_drain (reloader->listeners, ragify_now () + reloader->drain_timeout);
  if (left > 0)
    g_warning ("%u requests were still under way when the drain timeout was over", left);
}

static gboolean
wait_for_end (RagifyReloader *reloader)
{
  struct timespec limit;
  clock_gettime (CLOCK_REALTIME, &limit);
  limit.tv_sec += 2 * STOP_PATIENCE_US / G_USEC_PER_SEC;
  pthread_mutex_lock (&reloader->lock);
  while (!reloader->has_ended && pthread_cond_timedwait (&reloader->ended, &reloader->lock, &limit) == 0)
    continue;
  const gboolean ended = reloader->has_ended;
  pthread_mutex_unlock (&reloader->lock);
  return ended;
}

/* What uploads that were answered before, and jobs, have still to embed is done after the next start: an embedder that
 * hangs must not keep the host until its calls are over. */
static void
hurry_libraries (RagifyReloader *reloader)
{
  pthread_mutex_lock (&reloader->lock);
  const RagifyServing *serving = reloader->graph != NULL ? ragify_graph_serving (reloader->graph) : NULL;
  for (guint i = 0; serving != NULL && i < serving->n_libraries; i++)
    ragify_library_hurry (serving->libraries[i]);
  pthread_mutex_unlock (&reloader->lock);
}

void
ragify_reloader_stop (RagifyReloader *reloader)
{
  close_listeners (reloader);
  hurry_libraries (reloader);
  if (reloader->admin.uploads != NULL)
    ragify_upload_queue_close (reloader->admin.uploads);
  ragify_job_board_close (reloader->admin.jobs);
  ragify_listeners_free (g_steal_pointer (&reloader->listeners));
  if (reloader->thread == NULL) {
    ragify_revival_free (reloader->revival, ragify_now ());
    reloader_free (reloader);
    return;
  }
  push (reloader, &(Errand){ .type = ERRAND_END });
  if (!wait_for_end (reloader)) {
    reloader->options.runtime->left_behind++;
    return;
  }
  g_thread_join (reloader->thread);
  reloader_free (reloader);
}
