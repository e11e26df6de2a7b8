/* SPDX-License-Identifier: MIT */
#include "upload-spool.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <unistd.h>

#define PIECE (512 * 1024)

struct RagifySpool {
  RagifyTask task; /* on its way to a worker, or back */
  RagifyUploadQueue *queue;
  RagifyLoop *loop;
  RagifyUploadTicket ticket;
  char *id;
  GString *gathered;
  int fd; /* −1: not yet */
  gboolean finished, aborted;
  RagifyProblem problem; /* status 0: all is well */
  void (*resume) (void *user);
  RagifySpooled spooled;
  void *user;
};

static void
spool_free (RagifySpool *spool)
{
  g_autofree char *path = ragify_upload_queue_body (spool->queue, spool->id, FALSE);
  if (spool->fd >= 0) {
    close (spool->fd);
    g_unlink (path); /* no effect where it has become an upload */
  }
  g_string_free (spool->gathered, TRUE);
  ragify_problem_clear (&spool->problem);
  ragify_upload_queue_unref (spool->queue);
  ragify_upload_ticket_clear (&spool->ticket);
  g_free (spool->id);
  g_free (spool);
}

/* ---- on a worker ---- */

static gboolean
fail (RagifySpool *spool, const char *path)
{
  return ragify_problem_set (&spool->problem, 507, "No room to store", NULL, "%s: %s", path, g_strerror (errno));
}

static gboolean
write_gathered (RagifySpool *spool, const char *path)
{
  gsize done = 0;
  if (spool->fd < 0)
    spool->fd = open (path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (spool->fd < 0)
    return fail (spool, path);
  while (done < spool->gathered->len) {
    const gssize written = write (spool->fd, spool->gathered->str + done, spool->gathered->len - done);
    if (written < 0 && errno != EINTR)
      return fail (spool, path);
    done += written > 0 ? (gsize)written : 0;
  }
  g_string_truncate (spool->gathered, 0);
  return TRUE;
}

/* From here on it survives whatever becomes of the host. */
static gboolean
hand_over (RagifySpool *spool, const char *path)
{
  g_autofree char *whole = ragify_upload_queue_body (spool->queue, spool->id, TRUE);
  if (fsync (spool->fd) != 0 || g_rename (path, whole) != 0)
    return fail (spool, whole);
  if (ragify_upload_queue_accept (spool->queue, spool->id, &spool->ticket, &spool->problem))
    return TRUE;
  g_unlink (whole);
  return FALSE;
}

static void come_back (RagifyTask *task);

static void
work (RagifyTask *task)
{
  RagifySpool *spool = (RagifySpool *)task;
  g_autofree char *path = ragify_upload_queue_body (spool->queue, spool->id, FALSE);
  if (spool->problem.status == 0 && !spool->aborted && write_gathered (spool, path) && spool->finished)
    hand_over (spool, path);
  if (spool->aborted) {
    spool_free (spool);
    return;
  }
  spool->task.run = come_back;
  ragify_loop_post (spool->loop, &spool->task);
}

/* ---- on the loop ---- */

static void
come_back (RagifyTask *task)
{
  RagifySpool *spool = (RagifySpool *)task;
  if (!spool->finished) {
    spool->resume (spool->user);
    return;
  }
  spool->spooled (spool->id, spool->problem.status != 0 ? &spool->problem : NULL, spool->user);
  spool_free (spool);
}

/* FALSE where the workers have too much to do. */
static gboolean
send_off (RagifySpool *spool)
{
  spool->task.run = work;
  if (ragify_workers_submit (ragify_upload_queue_runtime (spool->queue)->workers, &spool->task))
    return TRUE;
  if (spool->problem.status == 0)
    ragify_problem_set (&spool->problem, 503, "Service unavailable", NULL, "too much is under way; try again soon");
  return FALSE;
}

RagifySpool *
ragify_spool_new (RagifyUploadQueue *queue, RagifyLoop *loop, const RagifyUploadTicket *ticket)
{
  RagifySpool *spool = g_new0 (RagifySpool, 1);
  spool->queue = ragify_upload_queue_ref (queue);
  spool->loop = loop;
  spool->ticket = *ticket;
  spool->id = g_uuid_string_random ();
  spool->gathered = g_string_new (NULL);
  spool->fd = -1;
  return spool;
}

gboolean
ragify_spool_feed (RagifySpool *spool, const char *data, gsize size, void (*resume) (void *user), void *user)
{
  if (spool->problem.status != 0)
    return TRUE;
  g_string_append_len (spool->gathered, data, (gssize)size);
  if (spool->gathered->len < PIECE)
    return TRUE;
  spool->resume = resume;
  spool->user = user;
  return !send_off (spool);
}

void
ragify_spool_finish (RagifySpool *spool, RagifySpooled spooled, void *user)
{
  spool->finished = TRUE;
  spool->spooled = spooled;
  spool->user = user;
  if (send_off (spool))
    return;
  spool->task.run = come_back;
  ragify_loop_post (spool->loop, &spool->task);
}

void
ragify_spool_abort (RagifySpool *spool)
{
  spool->aborted = TRUE;
  if (!send_off (spool))
    spool_free (spool);
}
