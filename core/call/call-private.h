/* What calls and nodes share.
 *
 * SPDX-License-Identifier: MIT
 *
 * Who may touch what: before a call is started, its home thread; from then until its completion is claimed
 * (ragify_handle_complete) `arena` belongs to the plugin's side, and the items to both, under `emit_lock`; the claimer
 * writes code, message and result, unless the call was abandoned: then they are the home thread's, as everything is
 * again after delivery. What lasts until nobody works on the call any more (`references`): the locks, the notices, the
 * handle's slot, a reference to the owner and the node's count of what is under way.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "core/call/call.h"
#include "core/call/handle.h"
#include "core/call/notice.h"
#include "core/call/operations.h"
#include "core/module/node.h"

typedef struct RagifyCallItem RagifyCallItem;

struct RagifyCallItem {
  RagifyCallItem *next;
  RagifyArena *arena; /* what the item points to, and the item itself; NULL: in the call's, collected */
  const void *item;
};

/* Whether the invoking function is still on the stack when the completion comes. */
enum { RAGIFY_CALL_INVOKING, RAGIFY_CALL_INVOKED, RAGIFY_CALL_COMPLETED_INSIDE };

struct RagifyCall {
  RagifyTask task;      /* first the way to where it runs, later the way home */
  RagifyTask emit_task; /* the way home of emitted items */
  RagifyDeadline expiry;
  RagifyOwner *owner;
  RagifyLoop *home; /* NULL: a thread that waits */
  const RagifyOperation *operation;
  const void *args;
  RagifyCallFinished finished;
  void *user;
  guint64 deadline, began, ended;
  guint64 span;    /* of its owner's trace; 0: not recorded */
  guint64 idle_us; /* of a call that is waited for; 0: no bound */

  RagifyNode *node;
  void *instance;
  RagifyLoop *instance_loop;
  RagifyCall *handle;
  atomic_int references; /* one until it is completed and delivered, and one of whoever works on it beside that */
  atomic_int phase;      /* RAGIFY_CALL_INVOKING … */
  atomic_bool cancelled;
  _Atomic (RagifyNotice *) cancel, credit; /* made by the plugin's side */
  gboolean finished_already;               /* home: `finished` has run */
  RagifyAdmission admission;               /* what its node's circuit breaker said */
  gboolean refused;                        /* … and so it was never made */
  atomic_bool overloaded;                  /* failed by the host, which was too busy: not the node's fault */

  RagifyCall *next_queued; /* in its node's queue */
  gboolean taken;          /* it has one of its node's places, … */
  atomic_int holds; /* … until it was completed and, on a worker, its function has returned: how many are to come */

  RagifyArena *arena; /* the plugin's, since the last item */
  gsize memory_limit;
  gint32 code;
  const char *message; /* in `arena`, later the owner's */
  guint64 retry_after;
  void *result;

  void (*emitted) (RagifyCall *call, const void *item, void *user);
  pthread_mutex_t emit_lock; /* guards the items */
  RagifyCallItem *items, **items_last;
  guint n_items;
  gsize held; /* bytes of the items that nobody has taken */
  gboolean emit_posted, starved, credit_held;
  const void **collected;

  pthread_cond_t waiter; /* of a thread that waits; with emit_lock */
  guint64 hurry;         /* the waiter's patience ends then at the latest; 0: at the deadline. Under emit_lock */
  gboolean waited;
};

/* A call was claimed from `state`; whoever claimed it has filled code, message and result. Leads to `finished` unless
 * it was abandoned. [any] */
void ragify_call_deliver (RagifyCall *call, RagifyHandleState state);

/* Writes a failure into a call that was claimed while it was open. By the claimer */
void ragify_call_describe (RagifyCall *call, gint32 code, const char *format, ...) G_GNUC_PRINTF (3, 4);

/* Completes a call for the host itself. No effect when it is complete already. [any] */
void ragify_call_fail (RagifyCall *call, gint32 code, const char *format, ...) G_GNUC_PRINTF (3, 4);

/* Runs the operation, unless the call is over already. [call] */
void ragify_call_invoke (RagifyCall *call, const RagifyComponent *component);

/* Opens the handle and arms the deadline; takes a reference to the owner. [loop], or a thread that waits */
void ragify_call_open (RagifyCall *call, RagifyNode *node);

/* Keeps the call, its node and its owner while they are worked on. [any] */
void ragify_call_ref (RagifyCall *call);
void ragify_call_unref (RagifyCall *call);

/* The arena that the plugin allocates from now. By the plugin's side */
RagifyArena *ragify_call_arena (RagifyCall *call);

/* ---- tracing, in call-trace.c; of owners with a trace ---- */

/* Gives the call a span of its own, where the trace is recorded; ends it. On the home thread */
void ragify_call_trace_begin (RagifyCall *call);
void ragify_call_trace_end (RagifyCall *call);

/* ---- items, in emit.c ---- */

/* Gives the items to the consumer and frees them. On the home thread. */
void ragify_call_consume_items (RagifyCall *call);
/* The items of a call that nobody consumed on the way become an array in the owner's arena. On the home thread */
void ragify_call_collect_items (RagifyCall *call);
void ragify_call_drop_items (RagifyCall *call);
/* As RagifyHost.call_emit and call_on_credit. [any] */
uint32_t ragify_call_emit (RagifyCall *handle, const void *item);
void ragify_call_on_credit (RagifyCall *handle, RagifyNotify resume, void *user);

/* ---- the node's side ---- */

/* Something of the plugin's is under way: the node is not freed before it is over. [any] */
void ragify_node_hold (RagifyNode *node);
void ragify_node_drop (RagifyNode *node);

/* The call is over for its home: counts. [loop], or a thread that waits */
void ragify_node_observe (RagifyNode *node, const RagifyCall *call);
/* Completed, or returned from by a worker: with the last of what it was held for its place is the next one's. [any] */
void ragify_node_let_go (RagifyNode *node, RagifyCall *call);
/* Takes a call that has no place yet out of the queue; FALSE when it is not there. [any] */
gboolean ragify_node_withdraw (RagifyNode *node, RagifyCall *call);

/* The host is about to stop waiting; it did not after all; it has; the plugin has completed nevertheless. [any] */
void ragify_node_hangs (RagifyNode *node);
void ragify_node_hangs_not (RagifyNode *node);
void ragify_node_abandoned (RagifyNode *node, RagifyCall *call);
void ragify_node_late (RagifyNode *node);

gsize ragify_node_memory_limit (const RagifyNode *node);
RagifyTally *ragify_node_tally (const RagifyNode *node);
