/* The worker pool: threads for what blocks or computes.
 *
 * SPDX-License-Identifier: MIT
 */
#pragma once

#include "loop.h"

typedef struct RagifyWorkers RagifyWorkers;

/* `threads` ≥ 1 threads, at most `queue` tasks waiting. [control] */
RagifyWorkers *ragify_workers_new (guint threads, guint queue);

/* Runs what waits, then joins the threads. Threads that are stuck in a task are left behind after `patience` µs and
 * counted. [control] */
guint ragify_workers_free (RagifyWorkers *workers, guint64 patience);

/* FALSE when the queue is full. [any] */
gboolean ragify_workers_submit (RagifyWorkers *workers, RagifyTask *task);

/* The thread that runs `task` is stuck: starts another in its place, up to twice the pool's threads in all; the stuck
 * one ends when it comes back. FALSE when the task is not running or the cap is reached. [any] */
gboolean ragify_workers_replace (RagifyWorkers *workers, const RagifyTask *task);

/* Threads that run a task, and all of them. [any] */
guint ragify_workers_busy (RagifyWorkers *workers);
guint ragify_workers_threads (RagifyWorkers *workers);

/* Tasks waiting now. [any] */
guint ragify_workers_queued (RagifyWorkers *workers);

/* TRUE on a thread of a pool. [any] */
gboolean ragify_workers_is_current (void);
