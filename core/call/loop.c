/* SPDX-License-Identifier: MIT */
#include "core/call/loop.h"

#include <errno.h>
#include <glib-unix.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <unistd.h>

typedef struct LoopSource LoopSource;

struct RagifyLoop {
  guint index;
  GMainContext *context;
  LoopSource *source;
  pthread_t thread;
  _Atomic (RagifyTask *) inbox; /* newest first */
  int wake;                     /* eventfd */
  GPtrArray *deadlines;         /* binary heap, earliest first */
  atomic_bool quit;
};

struct LoopSource {
  GSource base;
  RagifyLoop *loop;
  gpointer wake_tag;
};

static _Thread_local RagifyLoop *current_loop;

guint64
ragify_now (void)
{
  return (guint64)g_get_monotonic_time ();
}

/* ---- the heap of deadlines ---- */

static RagifyDeadline *
heap_at (const RagifyLoop *loop, guint index)
{
  return g_ptr_array_index (loop->deadlines, index - 1);
}

static void
heap_put (RagifyLoop *loop, guint index, RagifyDeadline *deadline)
{
  loop->deadlines->pdata[index - 1] = deadline;
  deadline->index = index;
}

static void
sift_up (RagifyLoop *loop, RagifyDeadline *deadline)
{
  guint index = deadline->index;
  while (index > 1 && heap_at (loop, index / 2)->at > deadline->at) {
    heap_put (loop, index, heap_at (loop, index / 2));
    index /= 2;
  }
  heap_put (loop, index, deadline);
}

static void
sift_down (RagifyLoop *loop, RagifyDeadline *deadline)
{
  guint index = deadline->index;
  const guint count = loop->deadlines->len;
  for (;;) {
    guint child = index * 2;
    if (child > count)
      break;
    if (child < count && heap_at (loop, child + 1)->at < heap_at (loop, child)->at)
      child++;
    if (heap_at (loop, child)->at >= deadline->at)
      break;
    heap_put (loop, index, heap_at (loop, child));
    index = child;
  }
  heap_put (loop, index, deadline);
}

void
ragify_loop_arm (RagifyLoop *loop, RagifyDeadline *deadline, guint64 at)
{
  g_assert (current_loop == loop);
  deadline->at = at;
  if (deadline->index == 0) {
    g_ptr_array_add (loop->deadlines, deadline);
    deadline->index = loop->deadlines->len;
  }
  sift_up (loop, deadline);
  sift_down (loop, deadline);
}

void
ragify_loop_disarm (RagifyLoop *loop, RagifyDeadline *deadline)
{
  g_assert (current_loop == loop);
  if (deadline->index == 0)
    return;
  const guint index = deadline->index;
  RagifyDeadline *last = heap_at (loop, loop->deadlines->len);
  g_ptr_array_set_size (loop->deadlines, (gint)loop->deadlines->len - 1);
  deadline->index = 0;
  if (last == deadline)
    return;
  heap_put (loop, index, last);
  sift_up (loop, last);
  sift_down (loop, last);
}

static void
run_expired (RagifyLoop *loop)
{
  const guint64 now = ragify_now ();
  while (loop->deadlines->len > 0) {
    RagifyDeadline *first = heap_at (loop, 1);
    if (first->at > now)
      return;
    ragify_loop_disarm (loop, first);
    first->expired (first);
  }
}

/* ---- tasks ---- */

static void
run_tasks (RagifyLoop *loop)
{
  RagifyTask *newest = atomic_exchange_explicit (&loop->inbox, NULL, memory_order_acquire);
  RagifyTask *first = NULL;
  while (newest != NULL) { /* turned round: the order of posting */
    RagifyTask *next = newest->next;
    newest->next = first;
    first = newest;
    newest = next;
  }
  while (first != NULL) {
    RagifyTask *next = first->next;
    first->run (first);
    first = next;
  }
}

void
ragify_loop_post (RagifyLoop *loop, RagifyTask *task)
{
  RagifyTask *head = atomic_load_explicit (&loop->inbox, memory_order_relaxed);
  do
    task->next = head;
  while (
      !atomic_compare_exchange_weak_explicit (&loop->inbox, &head, task, memory_order_release, memory_order_relaxed));
  /* Whoever makes the inbox non-empty wakes the loop; on the loop itself prepare() will see it. */
  if (head == NULL && current_loop != loop) {
    const guint64 one = 1;
    while (write (loop->wake, &one, sizeof one) < 0 && errno == EINTR) {
    }
  }
}

/* ---- the source ---- */

static gboolean
source_prepare (GSource *source, gint *timeout)
{
  const RagifyLoop *loop = ((LoopSource *)source)->loop;
  *timeout = -1;
  if (atomic_load_explicit (&loop->inbox, memory_order_relaxed) != NULL)
    return TRUE;
  if (loop->deadlines->len == 0)
    return FALSE;
  const guint64 now = ragify_now ();
  const guint64 at = heap_at (loop, 1)->at;
  if (at <= now)
    return TRUE;
  *timeout = (gint)MIN ((at - now + 999) / 1000, G_MAXINT);
  return FALSE;
}

static gboolean
source_check (GSource *source)
{
  LoopSource *self = (LoopSource *)source;
  gint timeout;
  return g_source_query_unix_fd (source, self->wake_tag) != 0 || source_prepare (source, &timeout);
}

static gboolean
source_dispatch (GSource *source, GSourceFunc callback, gpointer data)
{
  LoopSource *self = (LoopSource *)source;
  if (g_source_query_unix_fd (source, self->wake_tag) != 0) {
    guint64 count;
    while (read (self->loop->wake, &count, sizeof count) < 0 && errno == EINTR) {
    }
  }
  run_tasks (self->loop);
  run_expired (self->loop);
  return G_SOURCE_CONTINUE;
}

static GSourceFuncs source_functions = {
  .prepare = source_prepare,
  .check = source_check,
  .dispatch = source_dispatch,
};

static void *
loop_main (void *data)
{
  RagifyLoop *loop = data;
  current_loop = loop;
  g_main_context_push_thread_default (loop->context);
  while (!atomic_load (&loop->quit))
    g_main_context_iteration (loop->context, TRUE);
  run_tasks (loop);
  g_main_context_pop_thread_default (loop->context);
  return NULL;
}

RagifyLoop *
ragify_loop_new (guint index)
{
  RagifyLoop *loop = g_new0 (RagifyLoop, 1);
  loop->index = index;
  loop->context = g_main_context_new ();
  loop->deadlines = g_ptr_array_new ();
  loop->wake = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
  g_assert (loop->wake >= 0);
  loop->source = (LoopSource *)g_source_new (&source_functions, sizeof (LoopSource));
  loop->source->loop = loop;
  loop->source->wake_tag = g_source_add_unix_fd (&loop->source->base, loop->wake, G_IO_IN);
  /* GLib takes the descriptors of a source that cannot recurse out of the poll while it is dispatched, and signals its
   * wake-up for each, there and back: two dozen system calls a query. Nothing here iterates the context again. */
  g_source_set_can_recurse (&loop->source->base, TRUE);
  g_source_attach (&loop->source->base, loop->context);
  g_assert (pthread_create (&loop->thread, NULL, loop_main, loop) == 0);
  g_autofree char *name = g_strdup_printf ("loop-%u", index);
  pthread_setname_np (loop->thread, name);
  return loop;
}

typedef struct Quit {
  RagifyTask task;
  RagifyLoop *loop;
} Quit;

static void
quit_loop (RagifyTask *task)
{
  atomic_store (&((Quit *)task)->loop->quit, TRUE);
}

void
ragify_loop_free (RagifyLoop *loop)
{
  Quit quit = { .task = { .run = quit_loop }, .loop = loop };
  ragify_loop_post (loop, &quit.task);
  pthread_join (loop->thread, NULL);
  g_source_destroy (&loop->source->base);
  g_source_unref (&loop->source->base);
  g_main_context_unref (loop->context);
  g_ptr_array_unref (loop->deadlines);
  close (loop->wake);
  g_free (loop);
}

GMainContext *
ragify_loop_context (RagifyLoop *loop)
{
  return loop->context;
}

guint
ragify_loop_index (const RagifyLoop *loop)
{
  return loop->index;
}

RagifyLoop *
ragify_loop_current (void)
{
  return current_loop;
}
