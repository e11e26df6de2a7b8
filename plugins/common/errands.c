#include "errands.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#define STACK_BYTES (512u << 10)

struct RagifyErrands {
  RagifyContext *context;
  const RagifyLoopExtension *loop;
  unsigned int most;
  pthread_mutex_t lock; /* guards what follows */
  unsigned int running;
  unsigned int references; /* the owner's, and one for each running errand */
  bool open;
};

typedef struct Running {
  RagifyErrands *errands;
  RagifyErrand errand;
} Running;

RagifyErrands *
ragify_errands_new (RagifyContext *context, const RagifyLoopExtension *loop, unsigned int most)
{
  RagifyErrands *errands = calloc (1, sizeof *errands);
  if (errands == NULL)
    return NULL;
  errands->context = context;
  errands->loop = loop;
  errands->most = most;
  errands->references = 1;
  errands->open = true;
  pthread_mutex_init (&errands->lock, NULL);
  return errands;
}

/* With the lock held, which it gives back. */
static void
unref_unlock (RagifyErrands *errands)
{
  const bool last = --errands->references == 0;
  pthread_mutex_unlock (&errands->lock);
  if (!last)
    return;
  pthread_mutex_destroy (&errands->lock);
  free (errands);
}

static void
finish (void *user)
{
  Running *running = user;
  running->errand.finished (running->errand.user);
  free (running);
}

/* The lock is held over `invoke`: while the errands are open, so is the instance. */
static void *
errand_thread (void *user)
{
  Running *running = user;
  RagifyErrands *errands = running->errands;
  running->errand.work (running->errand.user);
  pthread_mutex_lock (&errands->lock);
  errands->running--;
  const bool open = errands->open;
  if (open)
    errands->loop->invoke (errands->context, finish, running);
  unref_unlock (errands);
  if (!open) {
    running->errand.orphaned (running->errand.user);
    free (running);
  }
  return NULL;
}

/* Signals are the host's business. */
static bool
spawn (Running *running)
{
  pthread_attr_t attributes;
  pthread_t thread;
  sigset_t all;
  sigset_t before;
  if (pthread_attr_init (&attributes) != 0)
    return false;
  (void)pthread_attr_setdetachstate (&attributes, PTHREAD_CREATE_DETACHED);
  (void)pthread_attr_setstacksize (&attributes, STACK_BYTES);
  sigfillset (&all);
  pthread_sigmask (SIG_SETMASK, &all, &before);
  const bool spawned = pthread_create (&thread, &attributes, errand_thread, running) == 0;
  pthread_sigmask (SIG_SETMASK, &before, NULL);
  pthread_attr_destroy (&attributes);
  return spawned;
}

bool
ragify_errands_run (RagifyErrands *errands, const RagifyErrand *errand)
{
  Running *running = malloc (sizeof *running);
  if (running == NULL)
    return false;
  *running = (Running){ errands, *errand };
  pthread_mutex_lock (&errands->lock);
  const bool room = errands->open && errands->running < errands->most;
  if (room) {
    errands->running++;
    errands->references++;
  }
  pthread_mutex_unlock (&errands->lock);
  if (room && spawn (running))
    return true;
  if (room) {
    pthread_mutex_lock (&errands->lock);
    errands->running--;
    unref_unlock (errands);
  }
  free (running);
  return false;
}

void
ragify_errands_close (RagifyErrands *errands)
{
  if (errands == NULL)
    return;
  pthread_mutex_lock (&errands->lock);
  errands->open = false;
  unref_unlock (errands);
}
