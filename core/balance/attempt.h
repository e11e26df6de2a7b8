/* An attempt: one question to a node, asked again while it fails for a passing reason.
 *
 * SPDX-License-Identifier: MIT
 *
 * RAGIFY_E_UNAVAILABLE and RAGIFY_E_EXHAUSTED pass; everything else, and an open circuit, is final. Between tries lies
 * a jittered back-off, or what the callee asked for; all of it inside the deadline, under the node's `retries` and its
 * retry budget. For operations that may be made twice without harm.
 */
#pragma once

#include "core/module/node.h"

typedef struct RagifyAttempt RagifyAttempt;

/* Runs once on the loop of the one who asked, perhaps before ragify_attempt_begin returns. */
typedef void (*RagifyAttemptFinished) (RagifyAttempt *attempt);

/* Zeroed, in the owner's arena. */
struct RagifyAttempt {
  RagifyCall *call; /* the last one: its outcome is the attempt's */

  /* The attempt's own. */
  RagifyOwner *owner; /* a reference until `finished` has returned */
  RagifyNode *node;
  const RagifyOperation *operation;
  const void *args;
  guint64 began, deadline;
  RagifyAttemptFinished finished;
  RagifyDeadline pause; /* before the next try */
  guint tries;
  gboolean cancelled;
};

/* `args` as for ragify_call_new, `deadline` of all tries together. [loop] */
void
ragify_attempt_begin (RagifyAttempt *attempt, RagifyOwner *owner, RagifyNode *node, const RagifyOperation *operation,
                      const void *args, guint64 deadline, RagifyAttemptFinished finished);

/* Nobody wants it any more: `finished` still runs, soon, and not inside this function. [loop] */
void ragify_attempt_cancel (RagifyAttempt *attempt);

/* From begin to the last completion, µs. After it has finished. */
guint64 ragify_attempt_duration (const RagifyAttempt *attempt);

/* Whether a call failed for a reason that may pass. [any] */
gboolean ragify_attempt_is_passing (const RagifyCall *call);
