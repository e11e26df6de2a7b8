/* SPDX-License-Identifier: MIT
 *
 * The kit's descriptors and those of the context are waited for together. */
#include "kit-glib.h"

#include <glib.h>
#include <poll.h>
#include <time.h>

typedef struct Waiting {
  GMainContext *context;
  GArray *polled; /* GPollFD, which is laid out as struct pollfd: the kit's first, the context's behind them */
} Waiting;

G_STATIC_ASSERT (sizeof (GPollFD) == sizeof (struct pollfd));

static void *
begin (void)
{
  Waiting *waiting = g_new0 (Waiting, 1);
  waiting->context = g_main_context_new ();
  waiting->polled = g_array_new (FALSE, TRUE, sizeof (GPollFD));
  if (!g_main_context_acquire (waiting->context))
    g_assert_not_reached ();
  g_main_context_push_thread_default (waiting->context);
  return waiting;
}

static void
end (void *state)
{
  Waiting *waiting = state;
  while (g_main_context_iteration (waiting->context, FALSE))
    ;
  g_main_context_pop_thread_default (waiting->context);
  g_main_context_release (waiting->context);
  g_main_context_unref (waiting->context);
  g_array_unref (waiting->polled);
  g_free (waiting);
}

/* The number of the context's descriptors, which are behind the kit's then; `*timeout` in ms, -1: no limit. */
static gint
query (Waiting *waiting, gsize count, gint priority, gint *timeout)
{
  for (;;) {
    const gint room = (gint)(waiting->polled->len - count);
    const gint wanted = g_main_context_query (waiting->context, priority, timeout,
                                              &g_array_index (waiting->polled, GPollFD, count), room);
    if (wanted <= room)
      return wanted;
    g_array_set_size (waiting->polled, (guint)count + (guint)wanted);
  }
}

static int
wait_and_dispatch (void *state, struct pollfd *fds, size_t count, int64_t timeout_us)
{
  Waiting *waiting = state;
  gint priority;
  gint timeout;
  g_main_context_prepare (waiting->context, &priority);
  g_array_set_size (waiting->polled, (guint)count + 16);
  const gint own = query (waiting, count, priority, &timeout);
  struct pollfd *polled = (struct pollfd *)(void *)waiting->polled->data;
  for (size_t i = 0; i < count; i++)
    polled[i] = fds[i];
  gint64 us = timeout < 0 ? -1 : (gint64)timeout * 1000;
  if (timeout_us >= 0 && (us < 0 || timeout_us < us))
    us = timeout_us;
  const struct timespec left = { .tv_sec = (time_t)(us / 1000000), .tv_nsec = (long)(us % 1000000) * 1000 };
  const int ready = ppoll (polled, count + (gsize)own, us >= 0 ? &left : NULL, NULL);
  for (size_t i = 0; i < count; i++)
    fds[i].revents = ready > 0 ? polled[i].revents : 0;
  if (g_main_context_check (waiting->context, priority, &g_array_index (waiting->polled, GPollFD, count), own))
    g_main_context_dispatch (waiting->context);
  return ready;
}

const RagifyKitPoller ragify_kit_glib_poller = { .begin = begin, .end = end, .poll = wait_and_dispatch };
