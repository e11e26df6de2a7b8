/* A balanced call: one question to a balancer, asked of one member after the other until it is answered; of two at once
 * where the first is slow and the balancer hedges.
 *
 * SPDX-License-Identifier: MIT
 *
 * Any failure but a refusal of the input goes to another member that was not tried, up to the balancer's `retries` and
 * under its retry budget; a member with an open circuit costs neither. The first answer counts, the other call is
 * cancelled.
 */
#pragma once

#include "core/balance/balancer.h"

typedef struct RagifyBalanced RagifyBalanced;

/* Runs once on the loop of the one who asked, perhaps before ragify_balanced_begin returns. */
typedef void (*RagifyBalancedFinished) (RagifyBalanced *balanced, void *user);

typedef struct RagifyBalancedSlot {
  RagifyBalanced *of;
  RagifyCall *call;
  guint member;
  guint64 began;
  gboolean under_way;
} RagifyBalancedSlot;

/* Zeroed, in the owner's arena. */
struct RagifyBalanced {
  RagifyCall *call; /* whose outcome it is; after it has finished. NULL: no member can be asked */
  guint member;     /* who that was */

  /* Its own. */
  RagifyOwner *owner; /* a reference until `finished` has returned */
  RagifyBalancer *balancer;
  const RagifyOperation *operation;
  const void *args;
  guint64 key, began, ended, deadline;
  RagifyBalancedFinished finished;
  void *user;
  RagifyBalancedSlot slots[2];
  RagifyDeadline timer; /* of the hedge, or of an end that is on its way */
  guint64 tried;
  guint retries;
  gboolean cancelled, done;
};

/* As ragify_attempt_begin; `key`: what is sticky. [loop] */
void ragify_balanced_begin (RagifyBalanced *balanced, RagifyOwner *owner, RagifyBalancer *balancer,
                            const RagifyOperation *operation, const void *args, guint64 key, guint64 deadline,
                            RagifyBalancedFinished finished, void *user);
/* Nobody wants it any more: `finished` still runs, soon, and not inside this function. [loop] */
void ragify_balanced_cancel (RagifyBalanced *balanced);
/* From begin to end, µs. After it has finished. */
guint64 ragify_balanced_duration (const RagifyBalanced *balanced);
