/* SPDX-License-Identifier: MIT */
#include "core/balance/balanced.h"

static gboolean launch (RagifyBalanced *balanced, RagifyBalancedSlot *slot);

static RagifyOutcome
outcome_of (const RagifyCall *call)
{
  if (ragify_call_refused (call))
    return RAGIFY_OUTCOME_NONE;
  switch (ragify_call_code (call)) {
  case RAGIFY_OK:
  case RAGIFY_E_INVALID:
  case RAGIFY_E_NOT_FOUND:
    return RAGIFY_OUTCOME_GOOD;
  case RAGIFY_E_CANCELLED:
    return RAGIFY_OUTCOME_NONE;
  default:
    return RAGIFY_OUTCOME_BAD;
  }
}

static RagifyBalancedSlot *
other (RagifyBalanced *balanced, const RagifyBalancedSlot *slot)
{
  return &balanced->slots[slot == &balanced->slots[0] ? 1 : 0];
}

/* `slot` has the outcome. The call of the other one, where it is under way, is no longer waited for. */
static void
end (RagifyBalanced *balanced, const RagifyBalancedSlot *slot)
{
  RagifyOwner *owner = balanced->owner;
  balanced->done = TRUE;
  balanced->call = slot->call;
  balanced->member = slot->member;
  balanced->ended = ragify_now ();
  ragify_loop_disarm (ragify_loop_current (), &balanced->timer);
  if (other (balanced, slot)->under_way)
    ragify_call_cancel (other (balanced, slot)->call);
  balanced->finished (balanced, balanced->user);
  ragify_owner_unref (owner);
}

/* TRUE: another member is asked, or the other call may still answer. */
static gboolean
goes_on (RagifyBalanced *balanced, RagifyBalancedSlot *slot, RagifyOutcome outcome)
{
  if (balanced->cancelled || outcome == RAGIFY_OUTCOME_GOOD)
    return FALSE;
  if (other (balanced, slot)->under_way)
    return TRUE;
  if (ragify_now () >= balanced->deadline)
    return FALSE;
  if (ragify_call_refused (slot->call))
    return launch (balanced, slot);
  if (balanced->retries >= ragify_balancer_retries (balanced->balancer) ||
      !ragify_balancer_take_retry (balanced->balancer, FALSE))
    return FALSE;
  balanced->retries++;
  return launch (balanced, slot);
}

static void
slot_finished (RagifyCall *call, void *user)
{
  RagifyBalancedSlot *slot = user;
  RagifyBalanced *balanced = slot->of;
  const RagifyOutcome outcome = outcome_of (call);
  const guint64 now = ragify_call_ended (call);
  slot->under_way = FALSE;
  ragify_balancer_ended (balanced->balancer, slot->member, outcome, now - slot->began, now);
  if (balanced->done)
    return;
  if (!goes_on (balanced, slot, outcome))
    end (balanced, slot);
}

/* FALSE: there is nobody left. The call may be over, and all with it, when this returns TRUE. */
static gboolean
launch (RagifyBalanced *balanced, RagifyBalancedSlot *slot)
{
  const guint64 now = ragify_now ();
  const guint member = ragify_balancer_pick (balanced->balancer, balanced->key, balanced->tried, now);
  if (member == RAGIFY_BALANCER_NOBODY)
    return FALSE;
  const RagifyBalancerMember *as = ragify_balancer_member (balanced->balancer, member);
  const guint64 own = as->deadline_us != 0 ? now + as->deadline_us : G_MAXUINT64;
  balanced->tried |= G_GUINT64_CONSTANT (1) << member;
  slot->of = balanced;
  slot->member = member;
  slot->began = now;
  slot->under_way = TRUE;
  slot->call = ragify_call_new (balanced->owner, balanced->operation, balanced->args, MIN (own, balanced->deadline),
                                slot_finished, slot);
  ragify_node_call (as->node, slot->call);
  return TRUE;
}

static void
hedge (RagifyDeadline *timer)
{
  RagifyBalanced *balanced = (RagifyBalanced *)(void *)((char *)timer - G_STRUCT_OFFSET (RagifyBalanced, timer));
  if (balanced->done || balanced->cancelled || !balanced->slots[0].under_way)
    return;
  if (ragify_balancer_take_retry (balanced->balancer, TRUE))
    launch (balanced, &balanced->slots[1]);
}

static void
nobody (RagifyDeadline *timer)
{
  RagifyBalanced *balanced = (RagifyBalanced *)(void *)((char *)timer - G_STRUCT_OFFSET (RagifyBalanced, timer));
  RagifyOwner *owner = balanced->owner;
  balanced->ended = ragify_now ();
  balanced->finished (balanced, balanced->user);
  ragify_owner_unref (owner);
}

void
ragify_balanced_begin (RagifyBalanced *balanced, RagifyOwner *owner, RagifyBalancer *balancer,
                       const RagifyOperation *operation, const void *args, guint64 key, guint64 deadline,
                       RagifyBalancedFinished finished, void *user)
{
  balanced->owner = ragify_owner_ref (owner);
  balanced->balancer = balancer;
  balanced->operation = operation;
  balanced->args = args;
  balanced->key = key;
  balanced->began = ragify_now ();
  balanced->deadline = deadline;
  balanced->finished = finished;
  balanced->user = user;
  ragify_balancer_deposit (balancer);
  g_autoptr (RagifyOwner) kept = ragify_owner_ref (owner); /* it may be over at once */
  if (!launch (balanced, &balanced->slots[0])) {
    balanced->timer.expired = nobody;
    ragify_loop_arm (ragify_loop_current (), &balanced->timer, balanced->began);
    return;
  }
  const guint64 after = ragify_balancer_hedge_after (balancer, balanced->slots[0].member);
  if (balanced->done || after == 0)
    return;
  balanced->timer.expired = hedge;
  ragify_loop_arm (ragify_loop_current (), &balanced->timer, balanced->began + after);
}

void
ragify_balanced_cancel (RagifyBalanced *balanced)
{
  balanced->cancelled = TRUE;
  for (guint i = 0; i < G_N_ELEMENTS (balanced->slots); i++)
    if (balanced->slots[i].under_way)
      ragify_call_cancel (balanced->slots[i].call);
}

guint64
ragify_balanced_duration (const RagifyBalanced *balanced)
{
  return balanced->ended - balanced->began;
}
