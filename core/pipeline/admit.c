/* Admission: what has to be computed first gets a place in its pipeline and in the host. Answers out of a cache, and
 * those who wait for another's computation, take none.
 *
 * SPDX-License-Identifier: MIT
 */
#include "core/pipeline/run.h"

static void ask_for_places (RagifyRun *run);

static RagifyLimiter *
limiter_of (const RagifyRun *run, guint place)
{
  if (place > 0 && run->request->nested)
    return NULL;
  return place == 0 ? run->pipeline->limiter : run->pipeline->options.host_limiter;
}

static void
refuse (RagifyRun *run, const RagifyTicket *ticket)
{
  static const char *const reasons[] = {
    [RAGIFY_REFUSED_FULL] = "as many requests as may wait do so already",
    [RAGIFY_REFUSED_LATE] = "it would not have its turn in time for its deadline",
    [RAGIFY_REFUSED_TIMEOUT] = "it has not had its turn in time",
  };
  RagifyProblem problem = { 0 };
  ragify_problem_set (&problem, 503, "Overloaded", NULL, "%s: %s", ragify_limiter_scope (ticket->limiter),
                      reasons[ticket->refusal]);
  problem.retry_after = (guint)CLAMP ((ticket->retry_after + G_USEC_PER_SEC - 1) / G_USEC_PER_SEC, 1, 3600);
  ragify_run_finish_problem (run, &problem);
}

static void
granted (RagifyTicket *ticket)
{
  RagifyRun *run = ((RagifyRunTicket *)ticket)->run;
  run->queued = FALSE;
  if (run->cancelled)
    ragify_run_complete (run);
  else if (ticket->refusal != RAGIFY_REFUSED_NOT)
    refuse (run, ticket);
  else
    ask_for_places (run);
}

static void
ask_for_places (RagifyRun *run)
{
  while (run->n_tickets < G_N_ELEMENTS (run->tickets)) {
    RagifyRunTicket *at = &run->tickets[run->n_tickets];
    RagifyLimiter *limiter = limiter_of (run, run->n_tickets++);
    if (limiter == NULL)
      continue;
    at->run = run;
    run->queued = TRUE;
    switch (ragify_limiter_ask (limiter, &at->ticket, run->deadline, granted)) {
    case RAGIFY_TICKET_GRANTED:
      run->queued = FALSE;
      break;
    case RAGIFY_TICKET_OVER:
      run->queued = FALSE;
      refuse (run, &at->ticket);
      return;
    default:
      return;
    }
  }
  ragify_run_retrieve (run);
}

void
ragify_run_admit (RagifyRun *run)
{
  ask_for_places (run);
}

gboolean
ragify_run_leave_queue (RagifyRun *run)
{
  if (!ragify_limiter_withdraw (&run->tickets[run->n_tickets - 1].ticket))
    return FALSE;
  run->queued = FALSE;
  return TRUE;
}

void
ragify_run_depart (RagifyRun *run)
{
  for (guint i = run->n_tickets; i > 0; i--)
    ragify_limiter_give_back (&run->tickets[i - 1].ticket, run->asked > 0 && !run->cancelled);
}
