/* One attempt to put an upload in: the file is read, and given to the library piece by piece.
 *
 * SPDX-License-Identifier: MIT
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/observe/memory.h"
#include "upload-queue-private.h"

#define PIECE (256 * 1024)
#define MEMORY_DELAY_US ((guint64)G_USEC_PER_SEC)

/* What the library says to the thread that feeds it. */
typedef struct Feeding {
  RagifyUploadQueue *queue;
  gboolean waits, answered; /* under the queue's lock */
  char *body;
  RagifyProblem problem;
} Feeding;

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

static void
wait_for_memory (const RagifyUploadItem *item)
{
  while (ragify_memory_step (item->queue->runtime->memory) >= RAGIFY_MEMORY_NO_INGEST && ragify_upload_goes_on (item))
    ragify_upload_pause (item, MEMORY_DELAY_US);
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
feed (const RagifyUploadItem *item, RagifyUpload *upload, int fd, guint64 size, Feeding *feeding)
{
  g_autofree char *piece = g_malloc (PIECE);
  guint64 done = 0;
  gssize got;
  while ((got = read_piece (fd, piece)) > 0) {
    wait_for_memory (item);
    if (!ragify_upload_goes_on (item))
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
static RagifyUploadAttempt
given_up (const RagifyUploadItem *item)
{
  pthread_mutex_lock (&item->queue->lock);
  const gboolean cancelled = item->cancelled;
  pthread_mutex_unlock (&item->queue->lock);
  return cancelled ? RAGIFY_UPLOAD_CANCELLED : RAGIFY_UPLOAD_ADJOURNED;
}

static RagifyUploadAttempt
judge (const RagifyUploadItem *item, const Feeding *feeding)
{
  const guint status = feeding->problem.status;
  if (feeding->body != NULL)
    return RAGIFY_UPLOAD_DONE;
  if (!ragify_upload_goes_on (item))
    return given_up (item);
  return status == 429 || status == 503 || status == 504 || status == 507 ? RAGIFY_UPLOAD_AGAIN : RAGIFY_UPLOAD_FAILED;
}

/* NULL with a problem: what was kept of it is not what was written. */
static RagifyUpload *
new_upload (const RagifyUploadItem *item, RagifyLibrary *library, RagifyProblem *problem)
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

static RagifyUploadAttempt
put_in (const RagifyUploadItem *item, RagifyLibrary *library, int fd, Feeding *feeding)
{
  struct stat facts;
  RagifyUpload *upload = new_upload (item, library, &feeding->problem);
  if (upload == NULL)
    return RAGIFY_UPLOAD_FAILED;
  if (fstat (fd, &facts) == 0 && feed (item, upload, fd, (guint64)facts.st_size, feeding)) {
    ragify_upload_finish (upload, replied, feeding);
    wait_until (feeding, &feeding->answered, TRUE);
  } else {
    ragify_upload_abort (upload);
  }
  return judge (item, feeding);
}

static RagifyLibrary *
find_library (const RagifyServing *serving, const char *store)
{
  for (guint i = 0; i < serving->n_libraries; i++)
    if (strcmp (ragify_library_name (serving->libraries[i]), store) == 0)
      return serving->libraries[i];
  return NULL;
}

static RagifyUploadAttempt
attempt (const RagifyUploadItem *item, const RagifyServing *serving, Feeding *feeding)
{
  g_autofree char *path = ragify_upload_queue_body (item->queue, item->id, TRUE);
  RagifyLibrary *library = find_library (serving, item->ticket.store);
  if (library == NULL) {
    ragify_problem_set (&feeding->problem, 404, "Not found", "store", "there is no store '%.100s' now",
                        item->ticket.store);
    return RAGIFY_UPLOAD_AGAIN; /* it was there, and may be again after a reload */
  }
  const int fd = open (path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    ragify_problem_set (&feeding->problem, 500, "Internal error", NULL, "%s: %s", path, g_strerror (errno));
    return RAGIFY_UPLOAD_FAILED;
  }
  const RagifyUploadAttempt outcome = put_in (item, library, fd, feeding);
  close (fd);
  return outcome;
}

RagifyUploadAttempt
ragify_upload_attempt (const RagifyUploadItem *item, const RagifyServing *serving, char **body, RagifyProblem *problem)
{
  Feeding feeding = { .queue = item->queue };
  const RagifyUploadAttempt outcome =
      ragify_upload_goes_on (item) ? attempt (item, serving, &feeding) : given_up (item);
  *body = feeding.body;
  *problem = feeding.problem;
  return outcome;
}
