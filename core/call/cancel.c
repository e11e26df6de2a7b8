/* SPDX-License-Identifier: MIT */
#include "core/call/cancel.h"

#include <pthread.h>
#include <stdatomic.h>

struct RagifyCancel {
  RagifyTask task; /* to get to `loop` */
  atomic_uint references;
  RagifyCall *handle;
  RagifyLoop *loop;
  pthread_mutex_t lock; /* guards everything below */
  pthread_cond_t idle;  /* `running` has become FALSE */
  void (*notify) (RagifyCall *call, void *user);
  void *user;
  gboolean fired, ended, running, posted;
  pthread_t runner;
};

RagifyCancel *
ragify_cancel_new (RagifyCall *handle, RagifyLoop *loop)
{
  RagifyCancel *cancel = g_new0 (RagifyCancel, 1);
  atomic_init (&cancel->references, 1);
  cancel->handle = handle;
  cancel->loop = loop;
  pthread_mutex_init (&cancel->lock, NULL);
  pthread_cond_init (&cancel->idle, NULL);
  return cancel;
}

void
ragify_cancel_ref (RagifyCancel *cancel)
{
  atomic_fetch_add (&cancel->references, 1);
}

void
ragify_cancel_unref (RagifyCancel *cancel)
{
  if (atomic_fetch_sub (&cancel->references, 1) != 1)
    return;
  pthread_cond_destroy (&cancel->idle);
  pthread_mutex_destroy (&cancel->lock);
  g_free (cancel);
}

/* With the lock held; gives it up while the callback runs, so that the callback may complete the call. */
static void
run (RagifyCancel *cancel)
{
  void (*notify) (RagifyCall * call, void *user) = cancel->notify;
  if (notify == NULL || cancel->ended)
    return;
  cancel->notify = NULL;
  cancel->running = TRUE;
  cancel->runner = pthread_self ();
  pthread_mutex_unlock (&cancel->lock);
  notify (cancel->handle, cancel->user);
  pthread_mutex_lock (&cancel->lock);
  cancel->running = FALSE;
  pthread_cond_broadcast (&cancel->idle);
}

static void
run_on_loop (RagifyTask *task)
{
  RagifyCancel *cancel = (RagifyCancel *)task;
  pthread_mutex_lock (&cancel->lock);
  cancel->posted = FALSE;
  run (cancel);
  pthread_mutex_unlock (&cancel->lock);
  ragify_cancel_unref (cancel);
}

/* With the lock held. */
static void
run_where_due (RagifyCancel *cancel)
{
  if (cancel->loop == NULL || ragify_loop_current () == cancel->loop) {
    run (cancel);
  } else if (!cancel->posted) {
    cancel->posted = TRUE;
    cancel->task.run = run_on_loop;
    ragify_cancel_ref (cancel);
    ragify_loop_post (cancel->loop, &cancel->task);
  }
}

void
ragify_cancel_set (RagifyCancel *cancel, void (*notify) (RagifyCall *call, void *user), void *user)
{
  ragify_cancel_ref (cancel); /* the callback may end the call, and with it the last reference */
  pthread_mutex_lock (&cancel->lock);
  cancel->notify = notify;
  cancel->user = user;
  if (cancel->fired && notify != NULL)
    run_where_due (cancel);
  pthread_mutex_unlock (&cancel->lock);
  ragify_cancel_unref (cancel);
}

void
ragify_cancel_fire (RagifyCancel *cancel)
{
  ragify_cancel_ref (cancel); /* the callback may end the call, and with it the last reference */
  pthread_mutex_lock (&cancel->lock);
  cancel->fired = TRUE;
  if (cancel->notify != NULL)
    run_where_due (cancel);
  pthread_mutex_unlock (&cancel->lock);
  ragify_cancel_unref (cancel);
}

void
ragify_cancel_end (RagifyCancel *cancel)
{
  pthread_mutex_lock (&cancel->lock);
  cancel->ended = TRUE;
  cancel->notify = NULL;
  while (cancel->running && !pthread_equal (cancel->runner, pthread_self ()))
    pthread_cond_wait (&cancel->idle, &cancel->lock);
  pthread_mutex_unlock (&cancel->lock);
}
