/* SPDX-License-Identifier: MIT */
#include "core/ingest/job.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/ingest/job-private.h"
#include "core/ingest/library-private.h"
#include "core/ingest/weigh.h"

#define MOST_SET_ASIDE 1000u /* that are kept in words */
#define MOST_WATCHES 8192u
#define SETTLE_US (300 * (guint64)1000)                 /* after a change, for those that come with it */
#define RETRY_US (5 * (guint64)G_USEC_PER_SEC)          /* after a pass that failed … */
#define LONGEST_RETRY_US (60 * (guint64)G_USEC_PER_SEC) /* … again and again */
#define FIRST_WAIT_US (G_USEC_PER_SEC / 2)              /* for a store that is not well … */
#define LONGEST_WAIT_US (30 * (guint64)G_USEC_PER_SEC)  /* … again and again */
#define NEVER G_MAXUINT64

/* ---- what others see ---- */

static void
set_state (RagifyIngestJob *job, const char *state)
{
  pthread_mutex_lock (&job->lock);
  job->progress.state = state;
  pthread_mutex_unlock (&job->lock);
}

void
ragify_job_count (RagifyIngestJob *job, guint64 *counter, guint64 amount)
{
  pthread_mutex_lock (&job->lock);
  *counter += amount;
  pthread_mutex_unlock (&job->lock);
}

void
ragify_job_set_aside (RagifyIngestJob *job, const char *path, const char *reason)
{
  ragify_series_add (job->failed, 1);
  pthread_mutex_lock (&job->lock);
  if (job->progress.n_set_aside++ < MOST_SET_ASIDE) {
    g_ptr_array_add (job->progress.set_aside, g_utf8_make_valid (path, -1));
    g_ptr_array_add (job->progress.set_aside, g_strdup (reason));
  }
  pthread_mutex_unlock (&job->lock);
}

void
ragify_job_set_parts_aside (RagifyIngestJob *job, const char *path, const GPtrArray *parts)
{
  for (guint i = 0; parts != NULL && i + 1 < parts->len; i += 2) {
    g_autofree char *place = g_strdup_printf ("%s, %s", path, (const char *)g_ptr_array_index (parts, i));
    ragify_job_set_aside (job, place, g_ptr_array_index (parts, i + 1));
  }
}

json_t *
ragify_ingest_job_describe (RagifyIngestJob *job, gboolean details)
{
  pthread_mutex_lock (&job->lock);
  json_t *object = ragify_job_progress_describe (&job->progress, details);
  if (job->paused)
    json_object_set_new (object, "state", json_string ("paused"));
  pthread_mutex_unlock (&job->lock);
  json_object_set_new (object, "id", json_string (job->name));
  json_object_set_new (object, "store", json_string (ragify_library_name (job->library)));
  if (job->source != NULL)
    json_object_set_new (object, "source", json_string (ragify_node_name (job->source)));
  else
    json_object_set_new (object, "root", json_string (job->tree.root));
  return object;
}

RagifyChunker *
ragify_job_chunker_new (const RagifyIngestJob *job)
{
  RagifyChunker *chunker = job->chunk_tokens ? ragify_chunker_new_weighed (job->chunk_size, job->chunk_overlap,
                                                                           ragify_weigh_tokens, job->embedder)
                                             : ragify_chunker_new (job->chunk_size, job->chunk_overlap);
  g_assert (chunker != NULL); /* the library's own could be made */
  return chunker;
}

/* ---- waiting ---- */

static void
wake (RagifyIngestJob *job)
{
  const guint64 one = 1;
  while (write (job->wake, &one, sizeof one) < 0 && errno == EINTR)
    continue;
}

/* For the next start of the host; on the thread, since it writes a file. */
static void
keep_pause (RagifyIngestJob *job)
{
  pthread_mutex_lock (&job->lock);
  const gboolean paused = job->paused;
  pthread_mutex_unlock (&job->lock);
  ragify_job_memory_set_paused (job->memory, paused);
}

/* Until something is asked of the job, `watched` (−1: nothing) can be read, or `until`. */
static void
sleep_until (RagifyIngestJob *job, int watched, guint64 until)
{
  struct pollfd fds[] = { { .fd = job->wake, .events = POLLIN }, { .fd = watched, .events = POLLIN } };
  const guint64 now = ragify_now ();
  const int timeout = until == NEVER ? -1 : (int)MIN ((until > now ? until - now : 0) / 1000 + 1, G_MAXINT / 2);
  guint64 count = 0;
  keep_pause (job);
  if (poll (fds, 2, timeout) > 0 && (fds[0].revents & POLLIN) != 0 && read (job->wake, &count, sizeof count) < 0)
    return; /* someone else's wake-up was counted with it */
}

gboolean
ragify_job_is_held (RagifyIngestJob *job)
{
  pthread_mutex_lock (&job->lock);
  const gboolean held = job->closing || job->cancelled || job->paused;
  pthread_mutex_unlock (&job->lock);
  return held;
}

gboolean
ragify_job_goes_on (RagifyIngestJob *job)
{
  for (;;) {
    pthread_mutex_lock (&job->lock);
    const gboolean over = job->closing || job->cancelled;
    const gboolean paused = job->paused;
    pthread_mutex_unlock (&job->lock);
    if (over || !paused)
      return !over;
    sleep_until (job, -1, NEVER);
  }
}

static void
set_error (RagifyIngestJob *job, const char *state, const char *error)
{
  pthread_mutex_lock (&job->lock);
  job->progress.state = state;
  g_free (job->progress.error);
  job->progress.error = g_strdup (error);
  pthread_mutex_unlock (&job->lock);
}

gboolean
ragify_job_waits (RagifyIngestJob *job, guint64 duration_us, const char *error)
{
  const guint64 until = ragify_now () + duration_us;
  set_error (job, "retrying", error);
  while (ragify_now () < until && ragify_job_goes_on (job))
    sleep_until (job, -1, until);
  set_error (job, "running", NULL);
  return ragify_job_goes_on (job);
}

gboolean
ragify_job_backs_off (RagifyIngestJob *job, guint64 *pause_us, const char *error)
{
  *pause_us = CLAMP (2 * *pause_us, FIRST_WAIT_US, LONGEST_WAIT_US);
  return ragify_job_waits (job, *pause_us, error);
}

gboolean
ragify_job_fault_is_lasting (const RagifyProblem *problem)
{
  return problem->status == 422 || problem->status == 413;
}

/* ---- the thread ---- */

/* Takes a wish to look now. */
static gboolean
take_asked (RagifyIngestJob *job)
{
  pthread_mutex_lock (&job->lock);
  const gboolean asked = job->asked;
  job->asked = FALSE;
  job->cancelled = FALSE; /* it was the last pass that was meant */
  pthread_mutex_unlock (&job->lock);
  return asked;
}

static gboolean
is_closing (RagifyIngestJob *job)
{
  pthread_mutex_lock (&job->lock);
  const gboolean closing = job->closing;
  pthread_mutex_unlock (&job->lock);
  return closing;
}

static void
tell_next (RagifyIngestJob *job, guint64 at)
{
  const guint64 now = ragify_now ();
  pthread_mutex_lock (&job->lock);
  job->progress.next_at = at == NEVER ? 0 : g_get_real_time () + (gint64)(at > now ? at - now : 0);
  pthread_mutex_unlock (&job->lock);
}

/* Until the next pass is due; what changes all the time is looked at for a tenth of the time at most. */
static void
wait_until_due (RagifyIngestJob *job, guint64 due, guint64 earliest)
{
  const int watched = job->tree.watch != NULL ? files_watch_descriptor (job->tree.watch) : -1;
  gboolean changed = FALSE;
  tell_next (job, due);
  while (!is_closing (job) && !take_asked (job) && ragify_now () < due) {
    sleep_until (job, changed ? -1 : watched, due);
    if (changed || job->tree.watch == NULL || !files_watch_changed (job->tree.watch))
      continue;
    changed = TRUE;
    due = MIN (due, MAX (ragify_now () + SETTLE_US, earliest));
    tell_next (job, due);
  }
}

static void
log_pass (RagifyIngestJob *job, gboolean well, const char *error)
{
  pthread_mutex_lock (&job->lock);
  const RagifyJobProgress *progress = &job->progress;
  const gboolean quiet = well && progress->documents + progress->deleted == 0 && progress->passes > 1;
  g_autofree char *text = g_strdup_printf (
      "%s: %" G_GUINT64_FORMAT " documents written, %" G_GUINT64_FORMAT " unchanged, %" G_GUINT64_FORMAT
      " deleted, %" G_GUINT64_FORMAT " set aside in %.1f s%s%s",
      job->name, progress->documents, progress->unchanged, progress->deleted, progress->n_set_aside,
      (double)progress->took / G_USEC_PER_SEC, error != NULL ? "; then: " : "", error != NULL ? error : "");
  pthread_mutex_unlock (&job->lock);
  if (!quiet)
    g_log_structured (G_LOG_DOMAIN, error != NULL ? G_LOG_LEVEL_WARNING : G_LOG_LEVEL_MESSAGE, "RAGIFY_NODE", job->name,
                      "MESSAGE", "%s", text);
}

/* TRUE: it came to its end, or was cancelled. */
static gboolean
run_pass (RagifyIngestJob *job)
{
  g_autofree char *error = NULL;
  pthread_mutex_lock (&job->lock);
  ragify_job_progress_begin (&job->progress);
  const guint64 began = job->progress.began;
  pthread_mutex_unlock (&job->lock);
  ragify_series_set (job->running, 1);
  if (job->tree.watch != NULL)
    files_watch_changed (job->tree.watch); /* what was told of up to here is seen now */
  const gboolean well = job->source != NULL ? ragify_job_source_pass (job, &error) : ragify_job_pass (job, &error);
  ragify_series_set (job->running, 0);
  pthread_mutex_lock (&job->lock);
  job->progress.state = error != NULL ? "failed" : well ? "waiting" : "cancelled";
  job->progress.took = ragify_now () - began;
  job->progress.ended_at = g_get_real_time ();
  job->progress.passes += well ? 1 : 0;
  job->progress.error = g_strdup (error);
  const gboolean closing = job->closing;
  pthread_mutex_unlock (&job->lock);
  if (!closing || well)
    log_pass (job, well, error);
  return error == NULL;
}

static void *
job_main (void *data)
{
  RagifyIngestJob *job = data;
  guint64 due = 0, earliest = 0, retry = RETRY_US;
  while (!is_closing (job)) {
    wait_until_due (job, due, earliest);
    if (!ragify_job_goes_on (job)) /* also where it is paused between two passes */
      continue;
    const guint64 began = ragify_now ();
    const gboolean well = run_pass (job);
    const guint64 now = ragify_now ();
    retry = well ? RETRY_US : MIN (2 * retry, LONGEST_RETRY_US);
    due = job->interval_us > 0 ? now + job->interval_us : NEVER;
    due = well ? due : MIN (due, now + retry);
    earliest = now + 10 * (now - began);
  }
  keep_pause (job);
  set_state (job, "closing");
  return NULL;
}

/* ---- beginning and end ---- */

static GPtrArray *
patterns_of (const char *const *texts)
{
  GPtrArray *patterns = g_ptr_array_new_with_free_func ((GDestroyNotify)files_pattern_free);
  for (; texts != NULL && *texts != NULL; texts++)
    g_ptr_array_add (patterns, files_pattern_new (*texts));
  return patterns;
}

static RagifyHold *
hold_of (const char *name)
{
  RagifyProblem problem = { 0 };
  json_t *filter = json_pack ("{s:s}", "ingest", name);
  RagifyHold *hold = ragify_hold_new (filter, &problem);
  json_decref (filter);
  g_assert (hold != NULL);
  return hold;
}

static RagifySeries *
new_series (RagifyRuntime *runtime, const char *name, const char *result)
{
  return ragify_metrics_series (runtime->metrics, RAGIFY_SERIES_COUNTER, "ragify_ingest_documents_total",
                                "Documents that ingest jobs have dealt with, by what became of them", "job", name,
                                "result", result, NULL);
}

RagifyIngestJob *
ragify_ingest_job_new (RagifyRuntime *runtime, const RagifyIngestJobOptions *options)
{
  static const char *const ignore_files[] = { ".gitignore", ".ragifyignore", NULL };
  RagifyIngestJob *job = g_new0 (RagifyIngestJob, 1);
  job->runtime = runtime;
  job->name = g_strdup (options->name);
  job->cutting = g_strdup (options->cutting);
  job->library = ragify_library_ref (options->library);
  job->store = options->store;
  job->source = options->source;
  job->hold = hold_of (options->name);
  job->extractors = g_memdup2 (options->extractors, options->n_extractors * sizeof *options->extractors);
  job->n_extractors = options->n_extractors;
  job->missing = g_strdup (options->missing);
  job->max_file_size = options->max_file_size;
  job->tree = (FilesTree){ .root = g_strdup (options->root),
                           .include = patterns_of (options->include),
                           .exclude = patterns_of (options->exclude),
                           .ignore_files = g_strdupv ((char **)ignore_files),
                           .max_file_size = options->max_file_size > 0 ? options->max_file_size : G_MAXUINT64,
                           .max_size = G_MAXUINT64,
                           .max_files = G_MAXUINT };
  if (options->watch && options->root != NULL)
    job->tree.watch = files_watch_new (MOST_WATCHES);
  job->chunk_size = options->chunk_size;
  job->chunk_overlap = options->chunk_overlap;
  job->chunk_tokens = options->chunk_tokens;
  job->embedder = options->embedder;
  job->interval_us = options->interval_us;
  job->memory = ragify_job_memory_new (options->state_file, options->cutting);
  g_autofree char *place = options->state_file != NULL ? g_strdup_printf ("%s.place", options->state_file) : NULL;
  job->place = ragify_job_place_new (place);
  job->paused = ragify_job_memory_paused (job->memory);
  job->written = new_series (runtime, job->name, "written");
  job->unchanged = new_series (runtime, job->name, "unchanged");
  job->deleted = new_series (runtime, job->name, "deleted");
  job->failed = new_series (runtime, job->name, "set_aside");
  job->running = ragify_metrics_series (runtime->metrics, RAGIFY_SERIES_GAUGE, "ragify_ingest_job_running",
                                        "Whether a pass of the job is under way", "job", job->name, NULL);
  job->wake = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
  g_assert (job->wake >= 0);
  pthread_mutex_init (&job->lock, NULL);
  ragify_job_progress_init (&job->progress);
  return job;
}

void
ragify_ingest_job_start (RagifyIngestJob *job)
{
  if (job->started)
    return;
  job->started = TRUE;
  g_assert (pthread_create (&job->thread, NULL, job_main, job) == 0);
  g_autofree char *name = g_strdup_printf ("sync-%.10s", job->name);
  pthread_setname_np (job->thread, name);
}

void
ragify_ingest_job_stop (RagifyIngestJob *job)
{
  pthread_mutex_lock (&job->lock);
  job->closing = TRUE;
  pthread_mutex_unlock (&job->lock);
  wake (job);
}

void
ragify_ingest_job_free (RagifyIngestJob *job)
{
  ragify_ingest_job_stop (job);
  if (job->started)
    pthread_join (job->thread, NULL);
  close (job->wake);
  g_clear_pointer (&job->tree.watch, files_watch_free);
  g_ptr_array_unref (job->tree.include);
  g_ptr_array_unref (job->tree.exclude);
  g_strfreev (job->tree.ignore_files);
  g_free (job->tree.root);
  ragify_job_memory_free (job->memory);
  ragify_job_place_free (job->place);
  ragify_job_progress_clear (&job->progress);
  ragify_hold_unref (job->hold);
  ragify_library_unref (job->library);
  pthread_mutex_destroy (&job->lock);
  g_free (job->extractors);
  g_free (job->missing);
  g_free (job->cutting);
  g_free (job->name);
  g_free (job);
}

const char *
ragify_ingest_job_name (const RagifyIngestJob *job)
{
  return job->name;
}

gboolean
ragify_ingest_job_cuts_as (const RagifyIngestJob *job, const char *cutting)
{
  return strcmp (job->cutting, cutting) == 0;
}

void
ragify_ingest_job_control (RagifyIngestJob *job, RagifyJobAction action)
{
  pthread_mutex_lock (&job->lock);
  const gboolean runs = g_str_equal (job->progress.state, "running") || g_str_equal (job->progress.state, "retrying");
  job->asked = job->asked || action == RAGIFY_JOB_RUN;
  job->cancelled = job->cancelled || (action == RAGIFY_JOB_CANCEL && runs);
  if (action == RAGIFY_JOB_PAUSE || action == RAGIFY_JOB_RESUME)
    job->paused = action == RAGIFY_JOB_PAUSE;
  pthread_mutex_unlock (&job->lock);
  wake (job);
}
