/* What calls and nodes share.
 *
 * SPDX-License-Identifier: MIT
 *
 * Who may touch what: before a call is started, its home thread; from then until its completion is claimed
 * (ragify_handle_complete) `arena` and `items` belong to the plugin's side, under `emit_lock` where both sides meet;
 * the claimer writes code, message and result; after delivery everything belongs to the home thread again.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "core/call/call.h"
#include "core/call/cancel.h"
#include "core/call/handle.h"
#include "core/call/operations.h"
#include "core/module/node.h"

typedef struct RagifyCallItem RagifyCallItem;

struct RagifyCallItem {
  RagifyCallItem *next;
  RagifyArena *arena; /* what the item points to; and the item itself */
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

  RagifyNode *node;
  void *instance;
  RagifyLoop *instance_loop;
  RagifyCall *handle;
  RagifyCall *next_queued; /* in its node's queue */
  atomic_int phase;        /* RAGIFY_CALL_INVOKING … */
  atomic_bool cancelled;
  _Atomic (RagifyCancel *) cancel;
  gboolean taken;            /* runs on a worker, or is counted as such */
  gboolean finished_already; /* home: `finished` has run */

  RagifyArena *arena; /* the plugin's, since the last item */
  gsize memory_limit;
  gint32 code;
  const char *message; /* in `arena`, later the owner's */
  guint64 retry_after;
  void *result;

  void (*emitted) (RagifyCall *call, const void *item, void *user);
  pthread_mutex_t emit_lock; /* guards the items and the credit callback */
  RagifyCallItem *items, **items_last;
  guint n_items;
  gsize held; /* bytes of the items that nobody has taken */
  gboolean emit_posted, starved;
  void (*resume) (RagifyCall *call, void *user);
  void *resume_user;
  const void **collected;

  pthread_cond_t waiter; /* of a thread that waits; with emit_lock */
  gboolean waited;
};

/* A call was claimed from `state`; whoever claimed it has filled code, message and result. Leads to `finished` unless
 * it was abandoned. [any] */
void ragify_call_deliver (RagifyCall *call, RagifyHandleState state);

/* Completes a call for the host itself. No effect when it is complete already. [any] */
void ragify_call_fail (RagifyCall *call, gint32 code, const char *format, ...) G_GNUC_PRINTF (3, 4);

/* Runs the operation, unless the call is over already. [call] */
void ragify_call_invoke (RagifyCall *call, const RagifyComponent *component);

/* Opens the handle and arms the deadline; takes a reference to the owner. [loop], or a thread that waits */
void ragify_call_open (RagifyCall *call, RagifyNode *node);

/* ---- the node's side ---- */

/* The plugin has let go of the call: counts, the next in the queue. [any] */
void ragify_node_released (RagifyNode *node, RagifyCall *call, RagifyHandleState state);
/* The host has stopped waiting. [any] */
void ragify_node_abandoned (RagifyNode *node, RagifyCall *call);
gsize ragify_node_memory_limit (const RagifyNode *node);
RagifyTally *ragify_node_tally (const RagifyNode *node);
