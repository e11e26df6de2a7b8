/* A loop thread: a GMainContext of its own, tasks from other threads, deadlines.
 *
 * SPDX-License-Identifier: MIT
 *
 * A request stays on the loop that accepted it. Other threads hand work over with ragify_loop_post, which allocates
 * nothing: a task is a member of whatever it concerns.
 */
#pragma once

#include <glib.h>

typedef struct RagifyLoop RagifyLoop;
typedef struct RagifyTask RagifyTask;
typedef struct RagifyDeadline RagifyDeadline;

/* Something to run once. Owned by whoever embeds it; not touched after `run` was called. */
struct RagifyTask {
  void (*run) (RagifyTask *task);
  RagifyTask *next; /* of the queue that holds it */
};

/* A moment at which something is to happen. Zeroed: not armed. */
struct RagifyDeadline {
  void (*expired) (RagifyDeadline *deadline);
  guint64 at;  /* monotonic µs */
  guint index; /* 1 + place in the loop's heap; 0: not armed */
};

/* Makes loop number `index` and starts its thread. [control] */
RagifyLoop *ragify_loop_new (guint index);

/* Ends the thread after what was posted has run, joins it and frees the loop. [control] */
void ragify_loop_free (RagifyLoop *loop);

/* The context that the thread runs; it is the thread-default one there. [any] */
GMainContext *ragify_loop_context (RagifyLoop *loop);
guint ragify_loop_index (const RagifyLoop *loop);

/* The loop of the calling thread, or NULL elsewhere. [any] */
RagifyLoop *ragify_loop_current (void);

/* Runs `task` on the loop, in the order of posting. [any] */
void ragify_loop_post (RagifyLoop *loop, RagifyTask *task);

/* Arms, or moves, `deadline`. Once it has expired it is no longer armed. [loop] */
void ragify_loop_arm (RagifyLoop *loop, RagifyDeadline *deadline, guint64 at);
/* No effect where it is not armed. [loop] */
void ragify_loop_disarm (RagifyLoop *loop, RagifyDeadline *deadline);

/* Monotonic time in µs. [any] */
guint64 ragify_now (void);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (RagifyLoop, ragify_loop_free)
