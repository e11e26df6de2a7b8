/* What the parts of an isolated node's parent side know of each other.
 *
 * SPDX-License-Identifier: MIT
 *
 * Threads: calls come from any; the supervisor's own thread makes the child, reads what it says and completes calls.
 * Locks: `lock` guards what is marked; no function of the host that could run a callback of ours is called with it
 * held.
 */
#pragma once

#include <pthread.h>

#include "core/module/context.h"
#include "core/module/isolation-channel.h"
#include "core/module/isolation-frames.h"
#include "core/module/isolation.h"

typedef struct RagifyIsolated RagifyIsolated;

/* One call under way in the child. Only the supervisor frees it, after it has completed it. */
typedef struct RagifyIsolatedCall {
  guint64 id; /* (lock) 0: not sent yet */
  RagifyIsolated *isolated;
  RagifyCall *handle;
  const RagifyDescribedOperation *operation;
  RagifyStream *stream; /* of an extractor; NULL: none */
  guint reading;        /* (lock) reads of the stream under way: it is not completed meanwhile */
  gboolean resumed;     /* (lock) credit was renewed */
  gboolean cancelled;   /* (lock) */
  gboolean waiting;     /* the supervisor's from here: told to wait, so items are kept */
  gboolean listening;   /* call_on_credit is set */
  gboolean refused;     /* items are not wanted any more */
  GQueue kept;          /* GBytes: items */
  GBytes *result;       /* what completes it, where that had to wait */
  gint32 code;          /* as that; RAGIFY_OK with a result */
  char *message;
  guint64 retry_after;
  gboolean over; /* completed by the child or with it, and not yet told */
} RagifyIsolatedCall;

typedef enum {
  RAGIFY_ISOLATED_DOWN, /* no child, or one that is not ready */
  RAGIFY_ISOLATED_UP,
  RAGIFY_ISOLATED_ENDED, /* there will be none any more */
} RagifyIsolatedState;

struct RagifyIsolated {
  RagifyComponent component; /* first: what the node has */
  const RagifyComponent *original;
  const RagifyDescribedKind *kind;
  void *operations; /* the kind's vtable with our functions */
  char *module, *executable, *name;
  RagifyNodeValues values; /* the node's own */
  guint64 memory, hang_us, call_memory;
  guint max_parallel, max_abandoned;

  const RagifyHost *host;
  RagifyContext *context;
  RagifySeries *restarts, *running;
  GThread *thread;
  int wake; /* an eventfd: the supervisor has something to look at */

  pthread_mutex_t lock;
  RagifyIsolatedState state; /* (lock) */
  RagifyChannel *channel;    /* (lock) while there is a child */
  GHashTable *calls;         /* (lock) by id */
  guint64 last_id;           /* (lock) */
  GArray *attention;         /* (lock) ids of calls that the supervisor has to look at */
  GBytes *values_now;        /* (lock) as CREATE sends them */
  RagifyFlat start;          /* RagifyStart, for every child */
  guint64 start_time_us;     /* that it may take */
  RagifyCall *start_call;    /* (lock) until the first start is over */
  RagifyCall *stop_call;     /* (lock) asked to stop */
  guint64 stop_deadline;     /* (lock) */
  gboolean ending;           /* (lock) destroy waits for the thread */
  char *down_reason;         /* (lock) */
  guint64 up_again;          /* (lock) when the next child is tried */
};

/* ---- isolation.c and isolation-calls.c ---- */

/* Asks the child to stop working on a call. [any] */
void ragify_isolated_cancel (RagifyIsolated *isolated, guint64 id);
void ragify_isolated_call_free (RagifyIsolatedCall *call);

/* What came for a call: `data` is copied where it is kept. On the supervisor's thread. */
void ragify_isolated_done (RagifyIsolated *isolated, const RagifyFrame *frame);
void ragify_isolated_failed (RagifyIsolated *isolated, const RagifyFrame *frame);
void ragify_isolated_item (RagifyIsolated *isolated, const RagifyFrame *frame);
void ragify_isolated_read (RagifyIsolated *isolated, const RagifyFrame *frame);
/* Looks at the calls that asked for it. */
void ragify_isolated_attend (RagifyIsolated *isolated);
/* The child is gone: fails what is under way, saying why. */
void ragify_isolated_fail_all (RagifyIsolated *isolated, const char *reason);
void ragify_isolated_wake (RagifyIsolated *isolated);

/* ---- isolation-supervisor.c ---- */

/* The thread's function: children, one after the other, until it is told to end. */
gpointer ragify_isolated_supervise (gpointer isolated);
