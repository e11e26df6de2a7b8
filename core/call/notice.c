/* SPDX-License-Identifier: MIT */
#include "core/call/notice.h"

#include <pthread.h>
#include <stdatomic.h>

struct RagifyNotice {
  RagifyTask task; /* to get to `loop` */
  atomic_uint references;
  RagifyNoticeKind kind;
  RagifyCall *handle;
  RagifyLoop *loop;
  pthread_mutex_t lock; /* guards everything below */
  pthread_cond_t idle;  /* `running` has become 0 */
  RagifyNotify notify;
  void *user;
  gboolean fired, ended, posted;
  guint running; /* callbacks on the stack of `runner`, one inside the other */
  pthread_t runner;
};

RagifyNotice *
ragify_notice_new (RagifyNoticeKind kind, RagifyCall *handle, RagifyLoop *loop)
{
  RagifyNotice *notice = g_new0 (RagifyNotice, 1);
  atomic_init (&notice->references, 1);
  notice->kind = kind;
  notice->handle = handle;
  notice->loop = loop;
  pthread_mutex_init (&notice->lock, NULL);
  pthread_cond_init (&notice->idle, NULL);
  return notice;
}

static void
ref (RagifyNotice *notice)
{
  atomic_fetch_add (&notice->references, 1);
}

void
ragify_notice_unref (RagifyNotice *notice)
{
  if (atomic_fetch_sub (&notice->references, 1) != 1)
    return;
  pthread_cond_destroy (&notice->idle);
  pthread_mutex_destroy (&notice->lock);
  g_free (notice);
}

/* With the lock held; gives it up while the callback runs, so that the callback may complete the call. Another thread
 * that is in the callback looks again when it comes out, so nobody waits for it here. */
static void
run (RagifyNotice *notice)
{
  if (notice->running > 0 && !pthread_equal (notice->runner, pthread_self ()))
    return;
  while (notice->notify != NULL && notice->fired && !notice->ended) {
    RagifyNotify notify = notice->notify;
    void *user = notice->user;
    if (notice->kind == RAGIFY_NOTICE_FOR_GOOD)
      notice->notify = NULL;
    else
      notice->fired = FALSE;
    notice->running++;
    notice->runner = pthread_self ();
    pthread_mutex_unlock (&notice->lock);
    notify (notice->handle, user);
    pthread_mutex_lock (&notice->lock);
    if (--notice->running == 0)
      pthread_cond_broadcast (&notice->idle);
  }
}

/* With the lock held: until no other thread is in the callback. */
static void
wait_until_idle (RagifyNotice *notice)
{
  while (notice->running > 0 && !pthread_equal (notice->runner, pthread_self ()))
    pthread_cond_wait (&notice->idle, &notice->lock);
}

static void
run_on_loop (RagifyTask *task)
{
  RagifyNotice *notice = (RagifyNotice *)task;
  pthread_mutex_lock (&notice->lock);
  notice->posted = FALSE;
  run (notice);
  pthread_mutex_unlock (&notice->lock);
  ragify_notice_unref (notice);
}

/* With the lock held. */
static void
run_where_due (RagifyNotice *notice)
{
  if (notice->notify == NULL || !notice->fired || notice->ended)
    return;
  if (notice->loop == NULL || ragify_loop_current () == notice->loop) {
    run (notice);
  } else if (!notice->posted) {
    notice->posted = TRUE;
    notice->task.run = run_on_loop;
    ref (notice);
    ragify_loop_post (notice->loop, &notice->task);
  }
}

void
ragify_notice_set (RagifyNotice *notice, RagifyNotify notify, void *user)
{
  ref (notice); /* the callback may end the call, and with it the last reference */
  pthread_mutex_lock (&notice->lock);
  notice->notify = notify;
  notice->user = user;
  wait_until_idle (notice);
  run_where_due (notice);
  pthread_mutex_unlock (&notice->lock);
  ragify_notice_unref (notice);
}

void
ragify_notice_fire (RagifyNotice *notice)
{
  ref (notice); /* as above */
  pthread_mutex_lock (&notice->lock);
  notice->fired = TRUE;
  run_where_due (notice);
  pthread_mutex_unlock (&notice->lock);
  ragify_notice_unref (notice);
}

void
ragify_notice_calm (RagifyNotice *notice)
{
  pthread_mutex_lock (&notice->lock);
  notice->fired = FALSE;
  pthread_mutex_unlock (&notice->lock);
}

void
ragify_notice_end (RagifyNotice *notice)
{
  pthread_mutex_lock (&notice->lock);
  notice->ended = TRUE;
  notice->notify = NULL;
  wait_until_idle (notice);
  pthread_mutex_unlock (&notice->lock);
}
