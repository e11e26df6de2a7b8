/* A node's guard: its circuit breaker and its retry budget, with what they show in logs and metrics.
 *
 * SPDX-License-Identifier: MIT
 *
 * Only operations that read (RAGIFY_OPERATION_GUARDED) are judged and refused: a full disk that fails writes must not
 * take searches away. What node.h says about breaker, retries, weight and enabling is implemented here, too.
 */
#pragma once

#include "core/call/call.h"
#include "core/module/node.h"

typedef struct RagifyGuard RagifyGuard;

/* `options` as in RagifyNodeOptions. [control] */
RagifyGuard *ragify_guard_new (RagifyNode *node, RagifyRuntime *runtime, const RagifyNodeOptions *options);
void ragify_guard_free (RagifyGuard *guard);

/* FALSE: the call, which is open, was failed instead. [loop], or a thread that waits */
gboolean ragify_guard_admit (RagifyGuard *guard, RagifyCall *call);
/* The call is over for its home: it completed, or was abandoned. Once for each admitted call. [as its home] */
void ragify_guard_record (RagifyGuard *guard, const RagifyCall *call, guint64 now);

/* The guard of a node, which is never NULL once it is made. */
RagifyGuard *ragify_node_guard (const RagifyNode *node);
