/* SPDX-License-Identifier: MIT */
#include "core/balance/attempt.h"

#include "core/balance/random.h"
#include "core/balance/retry-budget.h"

static void try_once (RagifyAttempt *attempt);

gboolean
ragify_attempt_is_passing (const RagifyCall *call)
{
  const gint32 code = ragify_call_code (call);
  return (code == RAGIFY_E_UNAVAILABLE || code == RAGIFY_E_EXHAUSTED) && !ragify_call_refused (call);
}

static void
end (RagifyAttempt *attempt)
{
  RagifyOwner *owner = attempt->owner;
  attempt->finished (attempt);
  ragify_owner_unref (owner);
}

static void
paused (RagifyDeadline *pause)
{
  RagifyAttempt *attempt = (RagifyAttempt *)(void *)((char *)pause - G_STRUCT_OFFSET (RagifyAttempt, pause));
  if (attempt->cancelled)
    end (attempt);
  else
    try_once (attempt);
}

/* FALSE: what came is final. */
static gboolean
try_again (RagifyAttempt *attempt)
{
  if (attempt->cancelled || attempt->tries > ragify_node_retries (attempt->node) ||
      !ragify_attempt_is_passing (attempt->call))
    return FALSE;
  const guint64 now = ragify_now ();
  const guint64 delay = ragify_retry_delay (attempt->tries, ragify_call_retry_after (attempt->call), ragify_random ());
  if (delay >= attempt->deadline - MIN (now, attempt->deadline) || !ragify_node_take_retry (attempt->node))
    return FALSE;
  attempt->pause.expired = paused;
  ragify_loop_arm (ragify_loop_current (), &attempt->pause, now + delay);
  return TRUE;
}

static void
call_finished (RagifyCall *call, void *user)
{
  RagifyAttempt *attempt = user;
  if (!try_again (attempt))
    end (attempt);
}

static void
try_once (RagifyAttempt *attempt)
{
  attempt->tries++;
  attempt->call =
      ragify_call_new (attempt->owner, attempt->operation, attempt->args, attempt->deadline, call_finished, attempt);
  ragify_node_call (attempt->node, attempt->call);
}

void
ragify_attempt_begin (RagifyAttempt *attempt, RagifyOwner *owner, RagifyNode *node, const RagifyOperation *operation,
                      const void *args, guint64 deadline, RagifyAttemptFinished finished)
{
  attempt->owner = ragify_owner_ref (owner);
  attempt->node = node;
  attempt->operation = operation;
  attempt->args = args;
  attempt->began = ragify_now ();
  attempt->deadline = deadline;
  attempt->finished = finished;
  try_once (attempt);
}

void
ragify_attempt_cancel (RagifyAttempt *attempt)
{
  attempt->cancelled = TRUE;
  if (attempt->pause.index != 0)
    ragify_loop_arm (ragify_loop_current (), &attempt->pause, ragify_now ());
  else if (attempt->call != NULL)
    ragify_call_cancel (attempt->call);
}

guint64
ragify_attempt_duration (const RagifyAttempt *attempt)
{
  return ragify_call_ended (attempt->call) - attempt->began;
}
