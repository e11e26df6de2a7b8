/* Admission: what has to be computed first gets a place in its pipeline and in the host. Answers out of a cache, and
 * those who wait for another's computation, take none.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "core/pipeline/run.h"

static void ask_for_places (RagifyRun *run);

static RagifyLimiter *
limiter_of (const RagifyRun *run, guint place)
{
  if (place > 0 && run->request->nested)
    return NULL;
  return place == 0 ? run->pipeline->limiter : run->pipeline->options.host_limiter;
}

static const char *const reasons[RAGIFY_N_REFUSALS] = {
  [RAGIFY_REFUSED_FULL] = "as many requests as may wait do so already",
  [RAGIFY_REFUSED_LATE] = "it would not have its turn in time for its deadline",
  [RAGIFY_REFUSED_TIMEOUT] = "it has not had its turn in time",
};

void
ragify_pipeline_write_refusals (RagifyPipeline *pipeline)
{
  RagifyLimiter *const limiters[RAGIFY_N_LIMITERS] = { pipeline->limiter, pipeline->options.host_limiter };
  for (guint place = 0; place < RAGIFY_N_LIMITERS; place++)
    for (guint i = RAGIFY_REFUSED_FULL; i < RAGIFY_N_REFUSALS && limiters[place] != NULL; i++) {
      g_autofree char *detail = g_strdup_printf ("%s: %s", ragify_limiter_scope (limiters[place]), reasons[i]);
      RagifyWriter writer;
      ragify_writer_init (&writer, 128);
      ragify_writer_text (&writer, "{\"status\":503,\"title\":\"Overloaded\",\"detail\":");
      ragify_writer_string (&writer, ragify_str_from (detail));
      ragify_writer_bytes (&writer, ",\"request_id\":", sizeof ",\"request_id\":"); /* with its NUL */
      gsize size;
      pipeline->refusals[place][i] = ragify_writer_steal (&writer, &size);
    }
}

void
ragify_pipeline_free_refusals (RagifyPipeline *pipeline)
{
  for (guint place = 0; place < RAGIFY_N_LIMITERS; place++)
    for (guint i = 0; i < RAGIFY_N_REFUSALS; i++)
      g_free (pipeline->refusals[place][i]);
}

/* Thousands a second are refused beside those that are computed: the problem document is there already, but for who
 * it is that is refused. */
static void
refuse (RagifyRun *run, const RagifyTicket *ticket)
{
  const char *known = run->pipeline->refusals[run->n_tickets - 1][ticket->refusal];
  const gsize room = strlen (known) + 6 * sizeof run->request->id + 4;
  RagifyWriter writer;
  ragify_writer_init_fixed (&writer, ragify_arena_alloc (run->arena, room), room);
  ragify_writer_text (&writer, known);
  ragify_writer_string (&writer, ragify_str_from (run->request->id));
  ragify_writer_text (&writer, "}");
  run->answer.head = ragify_writer_steal (&writer, &run->answer.head_size);
  run->answer.retry_after = (guint)CLAMP ((ticket->retry_after + G_USEC_PER_SEC - 1) / G_USEC_PER_SEC, 1, 3600);
  ragify_run_finish_refused (run, 503);
}

static void
granted (RagifyTicket *ticket)
{
  RagifyRun *run = ((RagifyRunTicket *)ticket)->run;
  run->queued = FALSE;
  run->waited = TRUE;
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
  while (run->n_tickets < RAGIFY_N_LIMITERS) {
    RagifyRunTicket *at = &run->tickets[run->n_tickets];
    RagifyLimiter *limiter = limiter_of (run, run->n_tickets++);
    if (limiter == NULL)
      continue;
    at->run = run;
    at->ticket.waited = run->waited;
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
