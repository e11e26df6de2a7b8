/* Calls: one operation of an instance, started once and completed once.
 *
 * SPDX-License-Identifier: MIT
 *
 * A call is made for an owner, on the owner's home loop (or on a thread without a loop, which then waits). Its
 * `finished` function runs on that loop exactly once: when the plugin has completed, or at the deadline plus a grace,
 * whichever is first. In the second case the call is abandoned: it is no longer the host's, its memory stays until the
 * plugin completes, and a late completion is counted on the node.
 */
#pragma once

#include <ragify/ragify.h>

#include "loop.h"
#include "owner.h"

typedef struct RagifyNode RagifyNode;
typedef struct RagifyOperation RagifyOperation;

/* How long after its deadline a call may still complete before the host stops waiting, µs. */
#define RAGIFY_CALL_GRACE_US 5000

/* Runs on the call's home loop; may start other calls. The result is in the owner's arena from here on. */
typedef void (*RagifyCallFinished) (RagifyCall *call, void *user);

/* A call of `operation` for `owner`, allocated in its arena. `args` must live as long as the owner, or be constant.
 * `deadline` is monotonic µs. Memory of results is bounded by the node's limit. [loop] */
RagifyCall *ragify_call_new (RagifyOwner *owner, const RagifyOperation *operation, const void *args, guint64 deadline,
                             RagifyCallFinished finished, void *user);

/* Takes emitted items as they come, on the home loop (or inside ragify_call_wait); `item` is the call's. Before the
 * call is started. Without this function items are collected for ragify_call_items. */
void ragify_call_set_emitted (RagifyCall *call, void (*emitted) (RagifyCall *call, const void *item, void *user));

/* While held, whoever emits is told to wait after each item, also where all were taken: for consumers that hand items
 * on to somebody slower. On the home loop, before it finished. */
void ragify_call_hold_credit (RagifyCall *call, gboolean hold);

/* Asks the plugin to stop; `finished` still runs, after the grace at the latest. [loop] */
void ragify_call_cancel (RagifyCall *call);

/* After it finished: RAGIFY_OK or an error code; the result (NULL on errors and for RagifyNothing); the message for a
 * person (with the node and operation in front, "" on success); when to try again, µs (0: not known). */
gint32 ragify_call_code (const RagifyCall *call);
const void *ragify_call_result (const RagifyCall *call);
const char *ragify_call_message (const RagifyCall *call);
guint64 ragify_call_retry_after (const RagifyCall *call);

/* TRUE where the node was not asked, since its circuit is open. */
gboolean ragify_call_refused (const RagifyCall *call);

/* Items that were emitted and not taken: pointers to structs of the operation's item type. */
const void *const *ragify_call_items (const RagifyCall *call, gsize *count);

/* A spot below an open call, in the trace that its owner is part of; nowhere, where that is none. With the handle that
 * its plugin has, inside the operation. */
RagifyTraceSpot ragify_call_spot (RagifyCall *handle);

/* Of a call whose items are consumed on the way, by a thread without a loop: how long the plugin may take from one item
 * to the next, within the deadline. Before the call begins. */
void ragify_call_set_idle (RagifyCall *call, guint64 idle_us);

/* When it finished, monotonic µs. */
guint64 ragify_call_ended (const RagifyCall *call);
/* From start to finish, µs. */
guint64 ragify_call_duration (const RagifyCall *call);
/* The node that it went to; NULL before it was started. */
RagifyNode *ragify_call_node (const RagifyCall *call);

/* For threads that have no loop ([control] and the host's own; not workers, which could wait for themselves):
 * begin starts the call, end waits for it and returns its code. Every begin has its end. */
void ragify_call_begin (RagifyNode *node, RagifyCall *call);
gint32 ragify_call_end (RagifyCall *call);
/* Has the thread in ragify_call_end wait until `deadline` at most, monotonic µs: as if it had been the call's. Between
 * the call's beginning and the last of its references (core/call/call-private.h). [any] */
void ragify_call_hurry (RagifyCall *call, guint64 deadline);
/* Both in one. */
gint32 ragify_call_wait (RagifyNode *node, RagifyCall *call);

/* The functions of RagifyHost that concern calls and buffers, for the host's vtable. */
void ragify_call_fill_host (RagifyHost *host);
