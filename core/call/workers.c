/* SPDX-License-Identifier: MIT */
#include "core/call/workers.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <sys/resource.h>
#include <time.h>

#define NICER 5

typedef struct Worker Worker;

struct Worker {
  RagifyWorkers *pool;
  /* Of this one, once for each time that it was idle. Not a condition: a thread that wakes up from one takes the lock
   * first of all, in a way that costs it another system call when it lets go. */
  sem_t wake;
  Worker *next_idle;
  RagifyTask *running; /* only compared: a task is not touched after it was run */
  gboolean replaced;   /* another thread has taken its place: it ends when it comes back */
};

struct RagifyWorkers {
  pthread_mutex_t lock; /* guards everything below */
  Worker *idle;         /* the one that was busy last comes first: its stack and its heap are still in the caches */
  pthread_cond_t ended; /* a thread has ended */
  RagifyTask *first, **last;
  guint queued, queue_limit;
  GPtrArray *threads; /* Worker, those that run */
  GPtrArray *all;     /* Worker, also those that have ended: somebody may be about to signal them */
  guint cap;          /* the most that may run, replacements included */
  guint serial;       /* for names */
  gboolean closing;
};

static _Thread_local gboolean on_worker;

static RagifyTask *
take (RagifyWorkers *workers)
{
  RagifyTask *task = workers->first;
  workers->first = task->next;
  if (workers->first == NULL)
    workers->last = &workers->first;
  workers->queued--;
  return task;
}

static void
worker_free (gpointer data)
{
  Worker *worker = data;
  sem_destroy (&worker->wake);
  g_free (worker);
}

/* Takes one idle worker off the list, or NULL. With the lock held. */
static Worker *
wake_one (RagifyWorkers *workers)
{
  Worker *worker = workers->idle;
  if (worker == NULL)
    return NULL;
  workers->idle = worker->next_idle;
  return worker;
}

/* With the lock held, which is given back meanwhile. */
static void
wait_for_task (RagifyWorkers *workers, Worker *worker)
{
  worker->next_idle = workers->idle;
  workers->idle = worker;
  pthread_mutex_unlock (&workers->lock);
  while (sem_wait (&worker->wake) != 0 && errno == EINTR) {
  }
  pthread_mutex_lock (&workers->lock);
}

/* What computes neither interrupts the loops, which answer, nor takes their share where all cores are busy: health,
 * refusals and cached answers stay quick. Niceness is a thread's own on Linux. */
static void
yield_to_loops (void)
{
  sched_setscheduler (0, SCHED_BATCH, &(struct sched_param){ 0 });
  setpriority (PRIO_PROCESS, 0, getpriority (PRIO_PROCESS, 0) + NICER);
}

static void *
worker_main (void *data)
{
  Worker *worker = data;
  RagifyWorkers *workers = worker->pool;
  on_worker = TRUE;
  yield_to_loops ();
  pthread_mutex_lock (&workers->lock);
  while (!worker->replaced) {
    if (workers->first != NULL) {
      RagifyTask *task = take (workers);
      worker->running = task;
      pthread_mutex_unlock (&workers->lock);
      task->run (task);
      pthread_mutex_lock (&workers->lock);
      worker->running = NULL;
    } else if (workers->closing) {
      break;
    } else {
      wait_for_task (workers, worker);
    }
  }
  g_ptr_array_remove_fast (workers->threads, worker);
  pthread_cond_signal (&workers->ended);
  pthread_mutex_unlock (&workers->lock);
  return NULL;
}

/* With the lock held. */
static gboolean
add_thread (RagifyWorkers *workers)
{
  pthread_t thread;
  Worker *worker = g_new0 (Worker, 1);
  worker->pool = workers;
  sem_init (&worker->wake, 0, 0);
  if (pthread_create (&thread, NULL, worker_main, worker) != 0) {
    worker_free (worker);
    return FALSE;
  }
  g_ptr_array_add (workers->all, worker);
  g_autofree char *name = g_strdup_printf ("worker-%u", workers->serial++);
  pthread_setname_np (thread, name);
  pthread_detach (thread);
  g_ptr_array_add (workers->threads, worker);
  return TRUE;
}

RagifyWorkers *
ragify_workers_new (guint threads, guint queue)
{
  g_assert (threads >= 1);
  RagifyWorkers *workers = g_new0 (RagifyWorkers, 1);
  pthread_condattr_t monotonic;
  pthread_condattr_init (&monotonic);
  pthread_condattr_setclock (&monotonic, CLOCK_MONOTONIC);
  pthread_mutex_init (&workers->lock, NULL);
  pthread_cond_init (&workers->ended, &monotonic);
  pthread_condattr_destroy (&monotonic);
  workers->last = &workers->first;
  workers->queue_limit = queue;
  workers->threads = g_ptr_array_new ();
  workers->all = g_ptr_array_new_with_free_func (worker_free);
  workers->cap = threads * 2;
  pthread_mutex_lock (&workers->lock);
  for (guint i = 0; i < threads; i++)
    g_assert (add_thread (workers));
  pthread_mutex_unlock (&workers->lock);
  return workers;
}

guint
ragify_workers_free (RagifyWorkers *workers, guint64 patience)
{
  const guint64 until = ragify_now () + patience;
  const struct timespec deadline = { .tv_sec = (time_t)(until / 1000000), .tv_nsec = (long)(until % 1000000) * 1000 };
  pthread_mutex_lock (&workers->lock);
  workers->closing = TRUE;
  for (Worker *worker = wake_one (workers); worker != NULL; worker = wake_one (workers))
    sem_post (&worker->wake);
  while (workers->threads->len > 0 && pthread_cond_timedwait (&workers->ended, &workers->lock, &deadline) == 0) {
  }
  const guint stuck = workers->threads->len;
  pthread_mutex_unlock (&workers->lock);
  if (stuck > 0)
    return stuck; /* they may still come back and look at the pool: it stays */
  pthread_cond_destroy (&workers->ended);
  pthread_mutex_destroy (&workers->lock);
  g_ptr_array_unref (workers->threads);
  g_ptr_array_unref (workers->all);
  g_free (workers);
  return 0;
}

gboolean
ragify_workers_submit (RagifyWorkers *workers, RagifyTask *task)
{
  Worker *worker = NULL;
  pthread_mutex_lock (&workers->lock);
  const gboolean room = workers->queued < workers->queue_limit && !workers->closing;
  if (room) {
    task->next = NULL;
    *workers->last = task;
    workers->last = &task->next;
    workers->queued++;
    worker = wake_one (workers); /* none: whoever is done first takes it */
  }
  pthread_mutex_unlock (&workers->lock);
  /* After the lock is given back: on one core the woken thread would run at once, only to wait for it. */
  if (worker != NULL)
    sem_post (&worker->wake);
  return room;
}

gboolean
ragify_workers_replace (RagifyWorkers *workers, const RagifyTask *task)
{
  gboolean added = FALSE;
  pthread_mutex_lock (&workers->lock);
  for (guint i = 0; i < workers->threads->len; i++) {
    Worker *worker = g_ptr_array_index (workers->threads, i);
    if (worker->running != task || worker->replaced)
      continue;
    added = workers->threads->len < workers->cap && !workers->closing && add_thread (workers);
    worker->replaced = added;
    break;
  }
  pthread_mutex_unlock (&workers->lock);
  return added;
}

guint
ragify_workers_queued (RagifyWorkers *workers)
{
  pthread_mutex_lock (&workers->lock);
  const guint queued = workers->queued;
  pthread_mutex_unlock (&workers->lock);
  return queued;
}

gboolean
ragify_workers_is_current (void)
{
  return on_worker;
}

guint
ragify_workers_busy (RagifyWorkers *workers)
{
  guint busy = 0;
  pthread_mutex_lock (&workers->lock);
  for (guint i = 0; i < workers->threads->len; i++)
    busy += ((const Worker *)g_ptr_array_index (workers->threads, i))->running != NULL ? 1 : 0;
  pthread_mutex_unlock (&workers->lock);
  return busy;
}

guint
ragify_workers_threads (RagifyWorkers *workers)
{
  pthread_mutex_lock (&workers->lock);
  const guint threads = workers->threads->len;
  pthread_mutex_unlock (&workers->lock);
  return threads;
}
