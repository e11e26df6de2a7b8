/* SPDX-License-Identifier: MIT */
#include "upload-queue.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api-key.h"
#include "core/observe/memory.h"

#define MOST_WAITING 1000u
#define PIECE (256 * 1024)
#define FIRST_DELAY_US (G_USEC_PER_SEC / 2)
#define LONGEST_DELAY_US (30 * (guint64)G_USEC_PER_SEC)
#define MEMORY_DELAY_US ((guint64)G_USEC_PER_SEC)

/* One upload that was accepted. */
typedef struct Item {
  RagifyUploadQueue *queue;
  char *id;
  RagifyUploadTicket ticket;
  gint64 began_at;
  guint64 delay_us; /* before the next attempt; 0: there was none */
  gboolean cancelled;
  RagifyPostedJob *job;
} Item;

struct RagifyUploadQueue {
  gint references; /* atomic */
  RagifyRuntime *runtime;
  RagifyJobBoard *board;
  char *folder;
  GThread *thread;      /* NULL: not yet */
  GQueue over;          /* the thread's: ids, the oldest first */
  pthread_mutex_t lock; /* guards what follows, and whether items are cancelled; taken while the board's is held */
  pthread_cond_t changed;
  GQueue items;           /* Item */
  RagifyServing *serving; /* a reference; NULL: none yet */
  gboolean closing;
};

/* What the library says to the thread that feeds it. */
typedef struct Feeding {
  RagifyUploadQueue *queue;
  gboolean waits, answered; /* under the queue's lock */
  char *body;
  RagifyProblem problem;
} Feeding;

typedef enum {
  ATTEMPT_DONE,
  ATTEMPT_FAILED,    /* for good, with a problem */
  ATTEMPT_AGAIN,     /* later, with a problem */
  ATTEMPT_ADJOURNED, /* to the next start of the host */
  ATTEMPT_CANCELLED,
} Attempt;

static const char *const type_names[] = {
  [RAGIFY_BODY_JSON] = "json", [RAGIFY_BODY_NDJSON] = "ndjson", [RAGIFY_BODY_TEXT] = "text"
};

void
ragify_upload_ticket_clear (RagifyUploadTicket *ticket)
{
  g_free (ticket->store);
  json_decref (ticket->document);
}

static void
item_free (gpointer data)
{
  Item *item = data;
  ragify_upload_ticket_clear (&item->ticket);
  g_free (item->id);
  g_free (item);
}

/* ---- the folder ---- */

char *
ragify_upload_queue_body (const RagifyUploadQueue *queue, const char *id, gboolean whole)
{
  return g_strdup_printf ("%s/%s.%s", queue->folder, id, whole ? "body" : "part");
}

RagifyRuntime *
ragify_upload_queue_runtime (const RagifyUploadQueue *queue)
{
  return queue->runtime;
}

static char *
note_path (const RagifyUploadQueue *queue, const char *id)
{
  return g_strdup_printf ("%s/%s.json", queue->folder, id);
}

/* The names in the folder are on the disk, too. */
static void
settle_folder (const RagifyUploadQueue *queue)
{
  const int fd = open (queue->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0)
    return;
  if (fsync (fd) != 0)
    g_debug ("%s: %s", queue->folder, g_strerror (errno));
  close (fd);
}

static json_t *
note_of (const Item *item)
{
  return json_pack ("{s:s, s:s, s:s, s:I, s:O*}", "store", item->ticket.store, "type", type_names[item->ticket.type],
                    "chunking", item->ticket.chunking == RAGIFY_CHUNKING_NONE ? "none" : "default", "began_at",
                    (json_int_t)item->began_at, "document", item->ticket.document);
}

/* Takes `note`. */
static gboolean
write_note (const RagifyUploadQueue *queue, const char *id, json_t *note, GError **error)
{
  g_autofree char *path = note_path (queue, id);
  char *text = json_dumps (note, JSON_COMPACT);
  json_decref (note);
  const gboolean written = g_file_set_contents_full (
      path, text, -1, G_FILE_SET_CONTENTS_CONSISTENT | G_FILE_SET_CONTENTS_DURABLE, 0600, error);
  free (text);
  if (written)
    settle_folder (queue);
  return written;
}

/* Thread only. */
static void
remember_over (RagifyUploadQueue *queue, const char *id)
{
  g_queue_push_tail (&queue->over, g_strdup (id));
  while (queue->over.length > RAGIFY_JOBS_REMEMBERED) {
    g_autofree char *oldest = g_queue_pop_head (&queue->over);
    g_autofree char *path = note_path (queue, oldest);
    g_unlink (path);
  }
}

/* ---- beginning ---- */

static void
cancel (void *user)
{
  Item *item = user;
  pthread_mutex_lock (&item->queue->lock);
  item->cancelled = TRUE;
  pthread_cond_broadcast (&item->queue->changed);
  pthread_mutex_unlock (&item->queue->lock);
}

static void
post (Item *item)
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
adjourn (Item *item)
{
  if (item->job != NULL) /* the board is closed where there is none */
    ragify_posted_job_end (item->job, NULL, NULL);
  item_free (item);
}

static void
enqueue (RagifyUploadQueue *queue, Item *item)
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
  Item *item = g_new0 (Item, 1);
  *item = (Item){ .queue = queue, .id = g_strdup (id), .ticket = *ticket, .began_at = g_get_real_time () };
  item->ticket.store = g_strdup (ticket->store);
  json_incref (item->ticket.document);
  if (!write_note (queue, id, note_of (item), &error)) {
    item_free (item);
    return ragify_problem_set (problem, 507, "No room to store", NULL, "%s", error->message);
  }
  post (item);
  enqueue (queue, item);
  return TRUE;
}

/* ---- feeding a library ---- */

static void
may_go_on (void *user)
{
  Feeding *feeding = user;
  pthread_mutex_lock (&feeding->queue->lock);
  feeding->waits = FALSE;
  pthread_cond_broadcast (&feeding->queue->changed);
  pthread_mutex_unlock (&feeding->queue->lock);
}

static void
replied (const char *body, gsize size, const RagifyProblem *problem, void *user)
{
  Feeding *feeding = user;
  pthread_mutex_lock (&feeding->queue->lock);
  feeding->body = problem == NULL ? g_strndup (body, size) : NULL;
  if (problem != NULL)
    ragify_problem_set (&feeding->problem, problem->status, problem->title, problem->field, "%s",
                        problem->detail != NULL ? problem->detail : problem->title);
  feeding->answered = TRUE;
  pthread_cond_broadcast (&feeding->queue->changed);
  pthread_mutex_unlock (&feeding->queue->lock);
}

/* Whether the item is to be worked on further. */
static gboolean
goes_on (const Item *item)
{
  pthread_mutex_lock (&item->queue->lock);
  const gboolean on = !item->queue->closing && !item->cancelled;
  pthread_mutex_unlock (&item->queue->lock);
  return on;
}

/* For so long, or until there is no more to be done. */
static void
pause_item (const Item *item, guint64 delay_us)
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

static void
wait_for_memory (const Item *item)
{
  while (ragify_memory_step (item->queue->runtime->memory) >= RAGIFY_MEMORY_NO_INGEST && goes_on (item))
    pause_item (item, MEMORY_DELAY_US);
}

static void
wait_until (Feeding *feeding, const gboolean *flag, gboolean value)
{
  pthread_mutex_lock (&feeding->queue->lock);
  while (*flag != value)
    pthread_cond_wait (&feeding->queue->changed, &feeding->queue->lock);
  pthread_mutex_unlock (&feeding->queue->lock);
}

static gssize
read_piece (int fd, char *piece)
{
  gssize got;
  do
    got = read (fd, piece, PIECE);
  while (got < 0 && errno == EINTR);
  return got;
}

/* TRUE when all of the file was fed. */
static gboolean
feed (const Item *item, RagifyUpload *upload, int fd, guint64 size, Feeding *feeding)
{
  g_autofree char *piece = g_malloc (PIECE);
  guint64 done = 0;
  gssize got;
  while ((got = read_piece (fd, piece)) > 0) {
    wait_for_memory (item);
    if (!goes_on (item))
      return FALSE;
    feeding->waits = TRUE; /* nobody else looks at it before it is given away */
    if (!ragify_upload_feed (upload, piece, (gsize)got, may_go_on, feeding))
      wait_until (feeding, &feeding->waits, FALSE);
    done += (guint64)got;
    ragify_posted_job_say (item->job,
                           json_pack ("{s:I, s:I}", "read_bytes", (json_int_t)done, "to_read_bytes", (json_int_t)size));
  }
  if (got < 0)
    ragify_problem_set (&feeding->problem, 500, "Internal error", NULL, "the upload cannot be read any more: %s",
                        g_strerror (errno));
  return got == 0;
}

/* Why it does not go on. */
static Attempt
given_up (const Item *item)
{
  pthread_mutex_lock (&item->queue->lock);
  const gboolean cancelled = item->cancelled;
  pthread_mutex_unlock (&item->queue->lock);
  return cancelled ? ATTEMPT_CANCELLED : ATTEMPT_ADJOURNED;
}

static Attempt
judge (const Item *item, const Feeding *feeding)
{
  const guint status = feeding->problem.status;
  if (feeding->body != NULL)
    return ATTEMPT_DONE;
  if (!goes_on (item))
    return given_up (item);
  return status == 429 || status == 503 || status == 504 || status == 507 ? ATTEMPT_AGAIN : ATTEMPT_FAILED;
}

/* NULL with a problem: what was kept of it is not what was written. */
static RagifyUpload *
new_upload (const Item *item, RagifyLibrary *library, RagifyProblem *problem)
{
  RagifyLoop *loop = item->queue->runtime->loops[0];
  const RagifyUploadTicket *ticket = &item->ticket;
  g_autofree char *field = NULL;
  g_autofree char *reason = NULL;
  if (ticket->type != RAGIFY_BODY_TEXT)
    return ragify_upload_new (library, loop, ticket->type, ticket->chunking, NULL);
  RagifyIncoming *document = ragify_incoming_parse (ticket->document, &field, &reason);
  if (document != NULL)
    return ragify_upload_new_text (library, loop, document, ticket->chunking, NULL);
  ragify_problem_set (problem, 500, "Internal error", field, "%s.json: %s %s", item->id, field != NULL ? field : "it",
                      reason);
  return NULL;
}

static Attempt
put_in (const Item *item, RagifyLibrary *library, int fd, Feeding *feeding)
{
  struct stat facts;
  RagifyUpload *upload = new_upload (item, library, &feeding->problem);
  if (upload == NULL)
    return ATTEMPT_FAILED;
  if (fstat (fd, &facts) == 0 && feed (item, upload, fd, (guint64)facts.st_size, feeding)) {
    ragify_upload_finish (upload, replied, feeding);
    wait_until (feeding, &feeding->answered, TRUE);
  } else {
    ragify_upload_abort (upload);
  }
  return judge (item, feeding);
}

/* ---- one upload ---- */

static RagifyLibrary *
find_library (const RagifyServing *serving, const char *store)
{
  for (guint i = 0; i < serving->n_libraries; i++)
    if (strcmp (ragify_library_name (serving->libraries[i]), store) == 0)
      return serving->libraries[i];
  return NULL;
}

static Attempt
attempt (const Item *item, const RagifyServing *serving, Feeding *feeding)
{
  g_autofree char *path = ragify_upload_queue_body (item->queue, item->id, TRUE);
  RagifyLibrary *library = find_library (serving, item->ticket.store);
  if (library == NULL) {
    ragify_problem_set (&feeding->problem, 404, "Not found", "store", "there is no store '%.100s' now",
                        item->ticket.store);
    return ATTEMPT_AGAIN; /* it was there, and may be again after a reload */
  }
  const int fd = open (path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    ragify_problem_set (&feeding->problem, 500, "Internal error", NULL, "%s: %s", path, g_strerror (errno));
    return ATTEMPT_FAILED;
  }
  const Attempt outcome = put_in (item, library, fd, feeding);
  close (fd);
  return outcome;
}

/* Takes `result`; NULL: cancelled, or failed with a problem. Frees the item. */
static void
end_item (Item *item, json_t *result, const RagifyProblem *problem)
{
  RagifyUploadQueue *queue = item->queue;
  g_autofree char *path = ragify_upload_queue_body (queue, item->id, TRUE);
  g_autoptr (GError) error = NULL;
  json_t *note = note_of (item);
  json_object_set_new (note, "ended_at", json_integer ((json_int_t)g_get_real_time ()));
  json_object_set (note, "result", result != NULL ? result : json_null ());
  json_object_set_new (note, "error", problem != NULL ? json_string (problem->detail) : json_null ());
  if (write_note (queue, item->id, note, &error))
    g_unlink (path);
  else /* it is put in once more after the next start, and finds its documents unchanged */
    g_warning ("uploads: %s", error->message);
  remember_over (queue, item->id);
  if (problem != NULL)
    g_log_structured (G_LOG_DOMAIN, G_LOG_LEVEL_WARNING, "MESSAGE", "upload %s into %s: %s", item->id,
                      item->ticket.store, problem->detail);
  ragify_posted_job_end (item->job, result, problem);
  item_free (item);
}

/* Behind the others, and after a while. */
static void
postpone (Item *item, const RagifyProblem *problem)
{
  item->delay_us = CLAMP (2 * item->delay_us, FIRST_DELAY_US, LONGEST_DELAY_US);
  ragify_posted_job_state (item->job, "retrying", problem->detail);
  pause_item (item, item->delay_us);
  enqueue (item->queue, item);
}

static void
work_on (Item *item, const RagifyServing *serving)
{
  Feeding feeding = { .queue = item->queue };
  ragify_posted_job_state (item->job, "running", NULL);
  switch (goes_on (item) ? attempt (item, serving, &feeding) : given_up (item)) {
  case ATTEMPT_DONE:
    end_item (item, json_loads (feeding.body, 0, NULL), NULL);
    break;
  case ATTEMPT_FAILED:
    end_item (item, NULL, &feeding.problem);
    break;
  case ATTEMPT_AGAIN:
    postpone (item, &feeding.problem);
    break;
  case ATTEMPT_CANCELLED:
    end_item (item, NULL, NULL);
    break;
  case ATTEMPT_ADJOURNED:
  default:
    adjourn (item);
    break;
  }
  ragify_problem_clear (&feeding.problem);
  g_free (feeding.body);
}

/* The next one with what it is to be put into; NULL: the host stops. */
static Item *
take_item (RagifyUploadQueue *queue, RagifyServing **serving)
{
  Item *item = NULL;
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
  for (Item *item = take_item (queue, &serving); item != NULL; item = take_item (queue, &serving)) {
    work_on (item, serving);
    ragify_serving_unref (serving);
  }
  return NULL;
}

/* ---- what was there before ---- */

typedef struct Found {
  Item *item;
  gint64 ended_at;
  json_t *result;
  char *error;
} Found;

static int
compare_found (gconstpointer a, gconstpointer b)
{
  const gint64 one = ((const Found *)a)->item->began_at, other = ((const Found *)b)->item->began_at;
  return one < other ? -1 : one > other;
}

static RagifyBodyType
find_type (const char *name)
{
  for (guint i = 0; i < G_N_ELEMENTS (type_names); i++)
    if (strcmp (type_names[i], name) == 0)
      return (RagifyBodyType)i;
  return RAGIFY_BODY_JSON;
}

/* FALSE: it says nothing that can be understood. */
static gboolean
read_note (RagifyUploadQueue *queue, const char *name, Found *found)
{
  g_autofree char *path = g_build_filename (queue->folder, name, NULL);
  json_t *note = json_load_file (path, 0, NULL);
  const char *store = json_string_value (json_object_get (note, "store"));
  const char *type = json_string_value (json_object_get (note, "type"));
  const char *chunking = json_string_value (json_object_get (note, "chunking"));
  if (store != NULL && type != NULL) {
    Item *item = g_new0 (Item, 1);
    *item = (Item){ .queue = queue,
                    .id = g_strndup (name, strlen (name) - strlen (".json")),
                    .ticket = { .store = g_strdup (store),
                                .type = find_type (type),
                                .chunking =
                                    g_strcmp0 (chunking, "none") == 0 ? RAGIFY_CHUNKING_NONE : RAGIFY_CHUNKING_DEFAULT,
                                .document = json_incref (json_object_get (note, "document")) },
                    .began_at = json_integer_value (json_object_get (note, "began_at")) };
    *found = (Found){ .item = item,
                      .ended_at = json_integer_value (json_object_get (note, "ended_at")),
                      .result = json_incref (json_object_get (note, "result")),
                      .error = g_strdup (json_string_value (json_object_get (note, "error"))) };
  }
  json_decref (note);
  return store != NULL && type != NULL;
}

/* One that is over is only remembered; others go on. Takes what was found. */
static void
resume_found (RagifyUploadQueue *queue, Found *found)
{
  Item *item = found->item;
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
  remember_over (queue, item->id);
  item_free (item);
}

static void
look_into_folder (RagifyUploadQueue *queue)
{
  g_autoptr (GDir) dir = g_dir_open (queue->folder, 0, NULL);
  g_autoptr (GArray) all = g_array_new (FALSE, FALSE, sizeof (Found));
  for (const char *name = dir != NULL ? g_dir_read_name (dir) : NULL; name != NULL; name = g_dir_read_name (dir)) {
    Found found;
    g_autofree char *path = g_build_filename (queue->folder, name, NULL);
    if (g_str_has_suffix (name, ".part"))
      g_unlink (path); /* was never answered */
    else if (g_str_has_suffix (name, ".json") && read_note (queue, name, &found))
      g_array_append_val (all, found);
  }
  g_array_sort (all, compare_found);
  for (guint i = 0; i < all->len; i++) {
    Found *found = &g_array_index (all, Found, i);
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
  for (Item *item = g_queue_pop_head (&queue->items); item != NULL; item = g_queue_pop_head (&queue->items))
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
