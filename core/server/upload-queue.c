/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>

#include "api-key.h"
#include "upload-queue-private.h"

#define MOST_WAITING 1000u
#define FIRST_DELAY_US (G_USEC_PER_SEC / 2)
#define LONGEST_DELAY_US (30 * (guint64)G_USEC_PER_SEC)

void
ragify_upload_ticket_clear (RagifyUploadTicket *ticket)
{
  g_free (ticket->store);
  json_decref (ticket->document);
}

void
ragify_upload_item_free (gpointer data)
{
  RagifyUploadItem *item = data;
  ragify_upload_ticket_clear (&item->ticket);
  g_free (item->id);
  g_free (item);
}

RagifyRuntime *
ragify_upload_queue_runtime (const RagifyUploadQueue *queue)
{
  return queue->runtime;
}

gboolean
ragify_upload_goes_on (const RagifyUploadItem *item)
{
  pthread_mutex_lock (&item->queue->lock);
  const gboolean on = !item->queue->closing && !item->cancelled;
  pthread_mutex_unlock (&item->queue->lock);
  return on;
}

void
ragify_upload_pause (const RagifyUploadItem *item, guint64 delay_us)
{
  RagifyUploadQueue *queue = item->queue;
  struct timespec limit;
  clock_gettime (CLOCK_REALTIME, &limit);
  const guint64 nanoseconds = (guint64)limit.tv_nsec + delay_us % G_USEC_PER_SEC * 1000;
  limit.tv_sec += (time_t)(delay_us / G_USEC_PER_SEC + nanoseconds / 1000000000);
  limit.tv_nsec = (long)(nanoseconds % 1000000000);
  pthread_mutex_lock (&queue->lock);
  while (!queue->closing && !item->cancelled && pthread_cond_timedwait (&queue->changed, &queue->lock, &limit) == 0)
    continue;
  pthread_mutex_unlock (&queue->lock);
}

/* Thread only. */
static void
remember_over (RagifyUploadQueue *queue, const char *id)
{
  g_queue_push_tail (&queue->over, g_strdup (id));
  while (queue->over.length > RAGIFY_JOBS_REMEMBERED) {
    g_autofree char *oldest = g_queue_pop_head (&queue->over);
    g_autofree char *path = ragify_upload_note_path (queue, oldest);
    g_unlink (path);
  }
}

/* ---- beginning ---- */

static void
cancel (void *user)
{
  RagifyUploadItem *item = user;
  pthread_mutex_lock (&item->queue->lock);
  item->cancelled = TRUE;
  pthread_cond_broadcast (&item->queue->changed);
  pthread_mutex_unlock (&item->queue->lock);
}

static void
post (RagifyUploadItem *item)
{
  const RagifyJobOffer offer = { .kind = "upload",
                                 .id = item->id,
                                 .store = item->ticket.store,
                                 .scope = RAGIFY_SCOPE_WRITE,
                                 .began_at = item->began_at,
                                 .cancel = cancel,
                                 .user = item };
  item->job = ragify_job_board_post (item->queue->board, &offer);
}

static gboolean
is_full (RagifyUploadQueue *queue)
{
  pthread_mutex_lock (&queue->lock);
  const gboolean full = queue->closing || queue->items.length >= MOST_WAITING;
  pthread_mutex_unlock (&queue->lock);
  return full;
}

/* Of the process's memory only: it goes on after the next start. */
static void
adjourn (RagifyUploadItem *item)
{
  if (item->job != NULL) /* the board is closed where there is none */
    ragify_posted_job_end (item->job, NULL, NULL);
  ragify_upload_item_free (item);
}

static void
enqueue (RagifyUploadQueue *queue, RagifyUploadItem *item)
{
  pthread_mutex_lock (&queue->lock);
  const gboolean open = !queue->closing;
  if (open)
    g_queue_push_tail (&queue->items, item);
  pthread_cond_broadcast (&queue->changed);
  pthread_mutex_unlock (&queue->lock);
  if (!open)
    adjourn (item);
}

gboolean
ragify_upload_queue_accept (RagifyUploadQueue *queue, const char *id, const RagifyUploadTicket *ticket,
                            RagifyProblem *problem)
{
  g_autoptr (GError) error = NULL;
  if (is_full (queue)) {
    problem->retry_after = 30;
    return ragify_problem_set (problem, 503, "Service unavailable", NULL,
                               "too many uploads wait to be put in; try again later");
  }
  RagifyUploadItem *item = g_new0 (RagifyUploadItem, 1);
  *item = (RagifyUploadItem){ .queue = queue, .id = g_strdup (id), .ticket = *ticket, .began_at = g_get_real_time () };
  item->ticket.store = g_strdup (ticket->store);
  json_incref (item->ticket.document);
  if (!ragify_upload_note_write (queue, id, ragify_upload_note (item), &error)) {
    ragify_upload_item_free (item);
    return ragify_problem_set (problem, 507, "No room to store", NULL, "%s", error->message);
  }
  post (item);
  enqueue (queue, item);
  return TRUE;
}

/* ---- one upload ---- */

/* Takes `result`; NULL: cancelled, or failed with a problem. Frees the item. */
static void
end_item (RagifyUploadItem *item, json_t *result, const RagifyProblem *problem)
{
  RagifyUploadQueue *queue = item->queue;
  g_autofree char *path = ragify_upload_queue_body (queue, item->id, TRUE);
  g_autoptr (GError) error = NULL;
  json_t *note = ragify_upload_note (item);
  json_object_set_new (note, "ended_at", json_integer ((json_int_t)g_get_real_time ()));
  json_object_set (note, "result", result != NULL ? result : json_null ());
  json_object_set_new (note, "error", problem != NULL ? json_string (problem->detail) : json_null ());
  if (ragify_upload_note_write (queue, item->id, note, &error))
    g_unlink (path);
  else /* it is put in once more after the next start, and finds its documents unchanged */
    g_warning ("uploads: %s", error->message);
  remember_over (queue, item->id);
  if (problem != NULL)
    g_log_structured (G_LOG_DOMAIN, G_LOG_LEVEL_WARNING, "MESSAGE", "upload %s into %s: %s", item->id,
                      item->ticket.store, problem->detail);
  ragify_posted_job_end (item->job, result, problem);
  ragify_upload_item_free (item);
}

/* Behind the others, and after a while. */
static void
postpone (RagifyUploadItem *item, const RagifyProblem *problem)
{
  item->delay_us = CLAMP (2 * item->delay_us, FIRST_DELAY_US, LONGEST_DELAY_US);
  ragify_posted_job_state (item->job, "retrying", problem->detail);
  ragify_upload_pause (item, item->delay_us);
  enqueue (item->queue, item);
}

static void
work_on (RagifyUploadItem *item, const RagifyServing *serving)
{
  g_autofree char *body = NULL;
  RagifyProblem problem = { 0 };
  ragify_posted_job_state (item->job, "running", NULL);
  switch (ragify_upload_attempt (item, serving, &body, &problem)) {
  case RAGIFY_UPLOAD_DONE:
    end_item (item, json_loads (body, 0, NULL), NULL);
    break;
  case RAGIFY_UPLOAD_FAILED:
    end_item (item, NULL, &problem);
    break;
  case RAGIFY_UPLOAD_AGAIN:
    postpone (item, &problem);
    break;
  case RAGIFY_UPLOAD_CANCELLED:
    end_item (item, NULL, NULL);
    break;
  case RAGIFY_UPLOAD_ADJOURNED:
  default:
    adjourn (item);
    break;
  }
  ragify_problem_clear (&problem);
}

/* The next one with what it is to be put into; NULL: the host stops. */
static RagifyUploadItem *
take_item (RagifyUploadQueue *queue, RagifyServing **serving)
{
  RagifyUploadItem *item = NULL;
  pthread_mutex_lock (&queue->lock);
  while (!queue->closing && (g_queue_is_empty (&queue->items) || queue->serving == NULL))
    pthread_cond_wait (&queue->changed, &queue->lock);
  if (!queue->closing) {
    item = g_queue_pop_head (&queue->items);
    *serving = ragify_serving_ref (queue->serving);
  }
  pthread_mutex_unlock (&queue->lock);
  return item;
}

static gpointer
queue_main (gpointer data)
{
  RagifyUploadQueue *queue = data;
  RagifyServing *serving = NULL;
  for (RagifyUploadItem *item = take_item (queue, &serving); item != NULL; item = take_item (queue, &serving)) {
    work_on (item, serving);
    ragify_serving_unref (serving);
  }
  return NULL;
}

/* ---- what was there before ---- */

static int
compare_found (gconstpointer a, gconstpointer b)
{
  const gint64 one = ((const RagifyUploadFound *)a)->item->began_at,
               other = ((const RagifyUploadFound *)b)->item->began_at;
  return one < other ? -1 : one > other;
}

/* One that is over is only remembered; others go on. Takes what was found. */
static void
resume_found (RagifyUploadQueue *queue, RagifyUploadFound *found)
{
  RagifyUploadItem *item = found->item;
  if (found->ended_at == 0) {
    post (item);
    enqueue (queue, item);
    return;
  }
  const RagifyProblem problem = { .status = 500, .title = "Failed", .detail = found->error };
  const RagifyJobOffer offer = { .kind = "upload",
                                 .id = item->id,
                                 .store = item->ticket.store,
                                 .scope = RAGIFY_SCOPE_WRITE,
                                 .began_at = item->began_at,
                                 .ended_at = found->ended_at };
  RagifyPostedJob *job = ragify_job_board_post (queue->board, &offer);
  ragify_posted_job_end (job, json_is_object (found->result) ? json_incref (found->result) : NULL,
                         found->error != NULL ? &problem : NULL);
  g_autofree char *body = ragify_upload_queue_body (queue, item->id, TRUE);
  g_unlink (body); /* where the host ended before it could do so */
  remember_over (queue, item->id);
  ragify_upload_item_free (item);
}

static void
look_into_folder (RagifyUploadQueue *queue)
{
  g_autoptr (GDir) dir = g_dir_open (queue->folder, 0, NULL);
  g_autoptr (GArray) all = g_array_new (FALSE, FALSE, sizeof (RagifyUploadFound));
  for (const char *name = dir != NULL ? g_dir_read_name (dir) : NULL; name != NULL; name = g_dir_read_name (dir)) {
    RagifyUploadFound found;
    if (g_str_has_suffix (name, ".json") && ragify_upload_note_read (queue, name, &found))
      g_array_append_val (all, found);
  }
  g_array_sort (all, compare_found);
  for (guint i = 0; i < all->len; i++) {
    RagifyUploadFound *found = &g_array_index (all, RagifyUploadFound, i);
    resume_found (queue, found);
    json_decref (found->result);
    g_free (found->error);
  }
}

/* ---- beginning and end ---- */

RagifyUploadQueue *
ragify_upload_queue_new (RagifyRuntime *runtime, RagifyJobBoard *board, const char *folder)
{
  RagifyUploadQueue *queue = g_new0 (RagifyUploadQueue, 1);
  queue->references = 1;
  queue->runtime = runtime;
  queue->board = board;
  queue->folder = g_strdup (folder);
  pthread_mutex_init (&queue->lock, NULL);
  pthread_cond_init (&queue->changed, NULL);
  if (g_mkdir_with_parents (folder, 0700) != 0)
    g_warning ("uploads: %s: %s", folder, g_strerror (errno)); /* each upload is told */
  ragify_upload_folder_tidy (queue);
  look_into_folder (queue);
  return queue;
}

void
ragify_upload_queue_set_serving (RagifyUploadQueue *queue, RagifyServing *serving)
{
  pthread_mutex_lock (&queue->lock);
  RagifyServing *before = queue->serving;
  queue->serving = ragify_serving_ref (serving);
  pthread_cond_broadcast (&queue->changed);
  pthread_mutex_unlock (&queue->lock);
  if (before != NULL)
    ragify_serving_unref (before);
  if (queue->thread == NULL)
    queue->thread = g_thread_new ("uploads", queue_main, queue);
}

void
ragify_upload_queue_close (RagifyUploadQueue *queue)
{
  pthread_mutex_lock (&queue->lock);
  queue->closing = TRUE;
  pthread_cond_broadcast (&queue->changed);
  pthread_mutex_unlock (&queue->lock);
  g_clear_pointer (&queue->thread, g_thread_join);
  g_clear_pointer (&queue->serving, ragify_serving_unref);
  for (RagifyUploadItem *item = g_queue_pop_head (&queue->items); item != NULL; item = g_queue_pop_head (&queue->items))
    adjourn (item);
}

RagifyUploadQueue *
ragify_upload_queue_ref (RagifyUploadQueue *queue)
{
  g_atomic_int_inc (&queue->references);
  return queue;
}

void
ragify_upload_queue_unref (RagifyUploadQueue *queue)
{
  if (!g_atomic_int_dec_and_test (&queue->references))
    return;
  g_queue_clear_full (&queue->over, g_free);
  pthread_cond_destroy (&queue->changed);
  pthread_mutex_destroy (&queue->lock);
  g_free (queue->folder);
  g_free (queue);
}
