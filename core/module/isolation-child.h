/* What the parts of an isolated node's child know of each other.
 *
 * SPDX-License-Identifier: MIT
 */
#pragma once

#include <pthread.h>

#include "core/call/call-private.h"
#include "core/call/stream.h"
#include "core/module/isolation-channel.h"
#include "core/module/isolation-frames.h"
#include "core/module/registry.h"

typedef struct RagifyIsolationChild RagifyIsolationChild;

struct RagifyIsolationChild {
  RagifyChannel *channel;
  RagifyRegistry *registry;
  RagifyRuntime runtime;
  RagifyNode *node;
  const RagifyDescribedKind *kind;
  char *kind_id;
  const char *name;
  guint64 call_memory;
  GHashTable *calls; /* id → ChildCall; of the loop */
  guint created;     /* frames that came before the loop took over */
  guint64 start_deadline;
  GBytes *create, *start;

  pthread_mutex_t lock; /* guards what follows */
  pthread_cond_t changed;
  RagifyIsolatedValues *values;
  gboolean over; /* told to stop */
  guint64 stop_deadline;
  gboolean ended; /* the parent has no more to say */
};

/* Says something to the parent; ends the process where the parent does not read. [any] */
void
ragify_child_say (RagifyIsolationChild *child, guint32 type, guint64 id, const void *data, gsize size, gboolean urgent);
void ragify_child_say_failure (RagifyIsolationChild *child, guint32 type, guint64 id, gint32 code, const char *message,
                               guint64 retry_after);

/* Sends the log and the metrics of this process to the parent from now on. There is one child in a process. [control]
 */
void ragify_child_report_to_parent (RagifyIsolationChild *child);
/* RagifyRuntime.find_extension: metrics that the parent has. */
const void *ragify_child_find_extension (const char *id);

/* Frees a call of `calls`: its destroy function. */
void ragify_child_call_free (gpointer call);
/* Whatever the parent says of calls, and more. [loop] */
void ragify_child_take_frame (void *child, const RagifyFrame *frame);
/* A lock and its condition, by the monotonic clock. */
void ragify_child_init_lock (pthread_mutex_t *lock, pthread_cond_t *condition);
