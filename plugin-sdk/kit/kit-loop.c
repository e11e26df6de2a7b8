/* SPDX-License-Identifier: MIT
 *
 * One thread around poll(2). Watches and timers belong to the loop thread alone; only `invoke` crosses threads. A
 * removed watch or timer stays in its list until the round is over, so that callbacks may remove any of them. */
#include "kit-private.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

struct RagifyWatch {
  RagifyWatch *next;
  KitLoop *loop;
  int32_t fd;
  uint32_t events;
  void (*ready) (void *user, int32_t fd, uint32_t events);
  void *user;
  bool removed;
};

struct RagifyTimer {
  RagifyTimer *next;
  KitLoop *loop;
  uint64_t due_us; /* 0: not running */
  uint64_t period_us;
  void (*expired) (void *user);
  void *user;
  bool removed;
};

typedef struct Invocation {
  struct Invocation *next;
  void (*function) (void *user);
  void *user;
} Invocation;

struct KitLoop {
  RagifyKit *kit;
  pthread_t thread;
  int wake[2];
  pthread_mutex_t lock;
  Invocation *first;
  Invocation *last;
  bool ending;
  RagifyWatch *watches; /* the rest is the loop thread's own */
  RagifyTimer *timers;
  struct pollfd *polled;
  RagifyWatch **polled_watches;
  size_t polled_size;
};

void
kit_loop_invoke (KitLoop *loop, void (*function) (void *user), void *user)
{
  Invocation *invocation = kit_alloc (sizeof *invocation);
  invocation->function = function;
  invocation->user = user;
  pthread_mutex_lock (&loop->lock);
  if (loop->last != NULL)
    loop->last->next = invocation;
  else
    loop->first = invocation;
  loop->last = invocation;
  pthread_mutex_unlock (&loop->lock);
  while (write (loop->wake[1], "", 1) == 0)
    ;
}

/* Runs what was invoked before the round began. */
static void
run_invocations (KitLoop *loop)
{
  char drained[256];
  while (read (loop->wake[0], drained, sizeof drained) > 0)
    ;
  pthread_mutex_lock (&loop->lock);
  Invocation *invocation = loop->first;
  loop->first = loop->last = NULL;
  pthread_mutex_unlock (&loop->lock);
  while (invocation != NULL) {
    Invocation *next = invocation->next;
    invocation->function (invocation->user);
    free (invocation);
    invocation = next;
  }
}

static void
run_timers (KitLoop *loop)
{
  const uint64_t now = ragify_kit_now_us ();
  for (RagifyTimer *timer = loop->timers; timer != NULL; timer = timer->next) {
    if (timer->removed || timer->due_us == 0 || timer->due_us > now)
      continue;
    timer->due_us = timer->period_us > 0 ? now + timer->period_us : 0;
    timer->expired (timer->user);
  }
}

static void
run_watches (KitLoop *loop, size_t count)
{
  for (size_t i = 1; i < count; i++) {
    RagifyWatch *watch = loop->polled_watches[i];
    const short revents = loop->polled[i].revents;
    uint32_t events = 0;
    if (revents & POLLIN)
      events |= RAGIFY_FD_READ & watch->events;
    if (revents & POLLOUT)
      events |= RAGIFY_FD_WRITE & watch->events;
    if (revents & (POLLHUP | POLLERR | POLLNVAL))
      events |= RAGIFY_FD_HANGUP;
    if (events != 0 && !watch->removed)
      watch->ready (watch->user, watch->fd, events);
  }
}

static void
sweep (KitLoop *loop)
{
  for (RagifyWatch **at = &loop->watches; *at != NULL;) {
    RagifyWatch *watch = *at;
    if (!watch->removed) {
      at = &watch->next;
      continue;
    }
    *at = watch->next;
    free (watch);
  }
  for (RagifyTimer **at = &loop->timers; *at != NULL;) {
    RagifyTimer *timer = *at;
    if (!timer->removed) {
      at = &timer->next;
      continue;
    }
    *at = timer->next;
    free (timer);
  }
}

static size_t
collect_watches (KitLoop *loop)
{
  size_t count = 1;
  for (const RagifyWatch *watch = loop->watches; watch != NULL; watch = watch->next)
    count++;
  if (count > loop->polled_size) {
    loop->polled_size = count * 2;
    free (loop->polled);
    free (loop->polled_watches);
    loop->polled = kit_alloc (loop->polled_size * sizeof *loop->polled);
    loop->polled_watches = kit_alloc (loop->polled_size * sizeof (RagifyWatch *));
  }
  loop->polled[0] = (struct pollfd){ .fd = loop->wake[0], .events = POLLIN };
  count = 1;
  for (RagifyWatch *watch = loop->watches; watch != NULL; watch = watch->next) {
    const short events =
        (short)((watch->events & RAGIFY_FD_READ ? POLLIN : 0) | (watch->events & RAGIFY_FD_WRITE ? POLLOUT : 0));
    loop->polled[count] = (struct pollfd){ .fd = watch->fd, .events = events };
    loop->polled_watches[count++] = watch;
  }
  return count;
}

/* µs until the next timer; -1: none runs. */
static int64_t
next_due (const KitLoop *loop)
{
  uint64_t due = UINT64_MAX;
  for (const RagifyTimer *timer = loop->timers; timer != NULL; timer = timer->next) {
    if (timer->due_us != 0 && timer->due_us < due)
      due = timer->due_us;
  }
  if (due == UINT64_MAX)
    return -1;
  const uint64_t now = ragify_kit_now_us ();
  return due > now ? (int64_t)(due - now) : 0;
}

static int
plain_poll (void *state, struct pollfd *fds, size_t count, int64_t timeout_us)
{
  (void)state;
  const struct timespec left = { .tv_sec = (time_t)(timeout_us / 1000000),
                                 .tv_nsec = (long)(timeout_us % 1000000) * 1000 };
  return ppoll (fds, count, timeout_us >= 0 ? &left : NULL, NULL);
}

static const RagifyKitPoller plain_poller = { .poll = plain_poll };

static void *
loop_thread (void *user)
{
  KitLoop *loop = user;
  const RagifyKitPoller *poller = loop->kit->options.poller != NULL ? loop->kit->options.poller : &plain_poller;
  kit_thread_set_role (RAGIFY_THREAD_LOOP, loop);
  void *state = poller->begin != NULL ? poller->begin () : NULL;
  for (;;) {
    const size_t count = collect_watches (loop);
    if (poller->poll (state, loop->polled, count, next_due (loop)) > 0) {
      run_watches (loop, count);
      if (loop->polled[0].revents != 0)
        run_invocations (loop);
    }
    run_timers (loop);
    sweep (loop);
    pthread_mutex_lock (&loop->lock);
    const bool end = loop->ending && loop->first == NULL;
    pthread_mutex_unlock (&loop->lock);
    if (end)
      break;
  }
  if (poller->end != NULL)
    poller->end (state);
  return NULL;
}

KitLoop *
kit_loop_new (RagifyKit *kit)
{
  KitLoop *loop = kit_alloc (sizeof *loop);
  loop->kit = kit;
  pthread_mutex_init (&loop->lock, NULL);
  if (pipe2 (loop->wake, O_CLOEXEC | O_NONBLOCK) != 0 || pthread_create (&loop->thread, NULL, loop_thread, loop) != 0)
    abort ();
  return loop;
}

static void
loop_end (void *user)
{
  KitLoop *loop = user;
  pthread_mutex_lock (&loop->lock);
  loop->ending = true;
  pthread_mutex_unlock (&loop->lock);
}

void
kit_loop_free (KitLoop *loop)
{
  if (loop == NULL)
    return;
  kit_loop_invoke (loop, loop_end, loop);
  pthread_join (loop->thread, NULL);
  for (RagifyWatch *watch = loop->watches; watch != NULL; watch = watch->next) {
    kit_fault (loop->kit, "an fd watch on %d was not removed before destroy returned", watch->fd);
    watch->removed = true;
  }
  for (RagifyTimer *timer = loop->timers; timer != NULL; timer = timer->next) {
    kit_fault (loop->kit, "a timer was not removed before destroy returned");
    timer->removed = true;
  }
  sweep (loop);
  close (loop->wake[0]);
  close (loop->wake[1]);
  free (loop->polled);
  free (loop->polled_watches);
  pthread_mutex_destroy (&loop->lock);
  free (loop);
}

static bool
on_loop (KitLoop *loop, const char *what)
{
  if (kit_thread_loop () == loop)
    return true;
  kit_fault (loop->kit, "%s was not called on the instance's loop", what);
  return false;
}

static RagifyWatch *
watch_new (RagifyContext *context, int32_t fd, uint32_t events, void (*ready) (void *user, int32_t fd, uint32_t events),
           void *user)
{
  KitLoop *loop = context->loop;
  if (!on_loop (loop, "watch_new"))
    return NULL;
  if (fd < 0 || ready == NULL) {
    kit_fault (loop->kit, "%s: watch_new: a descriptor of %d or no callback", context->component->name, fd);
    return NULL;
  }
  RagifyWatch *watch = kit_alloc (sizeof *watch);
  *watch =
      (RagifyWatch){ .next = loop->watches, .loop = loop, .fd = fd, .events = events, .ready = ready, .user = user };
  loop->watches = watch;
  atomic_fetch_add (&loop->kit->watches, 1);
  return watch;
}

static void
watch_set_events (RagifyWatch *watch, uint32_t events)
{
  if (on_loop (watch->loop, "watch_set_events"))
    watch->events = events;
}

static void
watch_remove (RagifyWatch *watch)
{
  if (!on_loop (watch->loop, "watch_remove"))
    return;
  watch->removed = true;
  atomic_fetch_sub (&watch->loop->kit->watches, 1);
}

static RagifyTimer *
timer_new (RagifyContext *context, uint64_t delay_us, uint64_t period_us, void (*expired) (void *user), void *user)
{
  KitLoop *loop = context->loop;
  if (!on_loop (loop, "timer_new"))
    return NULL;
  RagifyTimer *timer = kit_alloc (sizeof *timer);
  *timer = (RagifyTimer){
    .next = loop->timers,
    .loop = loop,
    .due_us = ragify_kit_now_us () + delay_us,
    .period_us = period_us,
    .expired = expired,
    .user = user,
  };
  loop->timers = timer;
  atomic_fetch_add (&loop->kit->timers, 1);
  return timer;
}

static void
timer_restart (RagifyTimer *timer, uint64_t delay_us)
{
  if (on_loop (timer->loop, "timer_restart"))
    timer->due_us = ragify_kit_now_us () + delay_us;
}

static void
timer_remove (RagifyTimer *timer)
{
  if (!on_loop (timer->loop, "timer_remove"))
    return;
  timer->removed = true;
  atomic_fetch_sub (&timer->loop->kit->timers, 1);
}

static void
context_invoke (RagifyContext *context, void (*function) (void *user), void *user)
{
  kit_loop_invoke (context->loop, function, user);
}

const RagifyLoopExtension kit_loop_extension = {
  .struct_size = sizeof (RagifyLoopExtension),
  .watch_new = watch_new,
  .watch_set_events = watch_set_events,
  .watch_remove = watch_remove,
  .timer_new = timer_new,
  .timer_restart = timer_restart,
  .timer_remove = timer_remove,
  .invoke = context_invoke,
};
