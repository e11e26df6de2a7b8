/* A node's guard: its circuit breaker and its retry budget, with what they show in logs and metrics.
 *
 * SPDX-License-Identifier: MIT
 *
 * Only operations that read (RAGIFY_OPERATION_GUARDED) are judged and refused: a full disk that fails writes must not
 * take searches away.
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

/* As the node's functions of the same name. */
gboolean ragify_guard_is_ready (const RagifyGuard *guard, guint64 now);
RagifyBreakerState ragify_guard_state (const RagifyGuard *guard);
guint ragify_guard_retries (const RagifyGuard *guard);
gboolean ragify_guard_take_retry (RagifyGuard *guard);
