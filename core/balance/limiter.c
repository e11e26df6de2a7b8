/* SPDX-License-Identifier: MIT */
#include "core/balance/limiter.h"

#include <pthread.h>

#include "core/balance/gradient.h"

#define WARM_UP 8u   /* works whose time must be known before anybody is refused for it */
#define SMOOTHING 64 /* samples that a mean is about of */
#define MARGIN 2.0
#define FEW 4
#define FORGETTING (1 + 1.0 / 65536) /* of the best time, each sample */

struct RagifyLimiter {
  char *scope;
  RagifyLimiterOptions options;
  RagifySeries *limit_series, *active_series, *queued_series, *waited_series, *refused_series[4];
  pthread_mutex_t lock; /* guards what follows */
  RagifyGradient gradient;
  guint limit, active, queued;
  RagifyTicket *first, *last;
  double mean_us, mean_active, best_us;
  guint64 began_sum; /* of those at work */
  guint samples;
  guint64 granted, refused;
};

/* ---- the queue; locked ---- */

static void
enqueue (RagifyLimiter *limiter, RagifyTicket *ticket)
{
  ticket->state = RAGIFY_TICKET_QUEUED;
  ticket->next = NULL;
  ticket->previous = limiter->last;
  *(limiter->last != NULL ? &limiter->last->next : &limiter->first) = ticket;
  limiter->last = ticket;
  limiter->queued++;
}

static void
take_out (RagifyLimiter *limiter, RagifyTicket *ticket)
{
  *(ticket->previous != NULL ? &ticket->previous->next : &limiter->first) = ticket->next;
  *(ticket->next != NULL ? &ticket->next->previous : &limiter->last) = ticket->previous;
  limiter->queued--;
}

static void
show (const RagifyLimiter *limiter)
{
  if (limiter->active_series == NULL)
    return;
  ragify_series_set (limiter->active_series, limiter->active);
  ragify_series_set (limiter->queued_series, limiter->queued);
}

/* ---- estimates; locked ---- */

static double
per_second (const RagifyLimiter *limiter)
{
  return limiter->samples >= WARM_UP ? limiter->mean_active / limiter->mean_us * G_USEC_PER_SEC : 0;
}

/* More at once make each slower: then it matters how many are at work, otherwise only whether there is a place. Told by
 * the age of those at work, which is half of their time in the mean: it shows at once, while times are known
 * afterwards. */
static gboolean
is_saturated (const RagifyLimiter *limiter, guint64 now)
{
  return limiter->active >= FEW && (double)now - (double)limiter->began_sum / limiter->active > limiter->best_us;
}

/* Until a work that has `queued` others before it would be done; 0 where that is not known. */
static double
time_until_done (const RagifyLimiter *limiter, double margin, guint queued, guint64 now)
{
  if (limiter->samples < WARM_UP || limiter->active == 0)
    return 0;
  if (is_saturated (limiter, now))
    return margin * (limiter->active + queued + 1) / per_second (limiter) * G_USEC_PER_SEC;
  const gboolean waits = queued > 0 || limiter->active >= limiter->limit;
  return waits ? limiter->mean_us * ((queued + 1.0) / limiter->limit + 1) : 0;
}

/* Who comes is promised a turn with some to spare, since it is better to know at once. Who has waited for it is refused
 * only where it would surely be for nothing. */
static gboolean
is_in_time (const RagifyLimiter *limiter, const RagifyTicket *ticket, gboolean waited, guint queued, guint64 now)
{
  return (double)now + time_until_done (limiter, waited ? 1 : MARGIN, queued, now) <= (double)ticket->deadline;
}

static void
take_sample (RagifyLimiter *limiter, const RagifyTicket *ticket, guint64 now)
{
  const double duration_us = (double)MAX (now - ticket->began, 1);
  const double active = (ticket->beside + limiter->active + 2) / 2.0; /* itself is in neither */
  const double part = limiter->samples < SMOOTHING ? limiter->samples + 1 : SMOOTHING;
  limiter->samples++;
  limiter->mean_us += (duration_us - limiter->mean_us) / part;
  limiter->mean_active += (active - limiter->mean_active) / part;
  if (limiter->samples == WARM_UP || limiter->mean_us < limiter->best_us)
    limiter->best_us = limiter->mean_us;
  else
    limiter->best_us *= FORGETTING;
  if (!limiter->options.adaptive)
    return;
  limiter->limit = ragify_gradient_sample (&limiter->gradient, duration_us, limiter->active + 1, now);
  if (limiter->limit_series != NULL)
    ragify_series_set (limiter->limit_series, limiter->limit);
}

/* ---- granting and refusing ---- */

static void
count_refusal (RagifyLimiter *limiter, RagifyTicket *ticket, RagifyRefusal refusal, guint64 now)
{
  ticket->refusal = refusal;
  ticket->state = RAGIFY_TICKET_OVER;
  ticket->retry_after = (guint64)time_until_done (limiter, MARGIN, limiter->queued, now);
  limiter->refused++;
  if (limiter->refused_series[refusal] != NULL)
    ragify_series_add (limiter->refused_series[refusal], 1);
}

static void
tell (RagifyTask *task)
{
  RagifyTicket *ticket = (RagifyTicket *)(void *)((char *)task - G_STRUCT_OFFSET (RagifyTicket, task));
  ragify_loop_disarm (ticket->loop, &ticket->expiry);
  if (ticket->state == RAGIFY_TICKET_COMING)
    ticket->state = RAGIFY_TICKET_GRANTED;
  ticket->granted (ticket);
}

/* Gives free places to those who wait, and the word to those for whom it is too late. Locked. */
static void
grant_next (RagifyLimiter *limiter, guint64 now)
{
  while (limiter->first != NULL && limiter->active < limiter->limit) {
    RagifyTicket *ticket = limiter->first;
    take_out (limiter, ticket);
    if (!is_in_time (limiter, ticket, TRUE, 0, now) || (double)now + limiter->mean_us > (double)ticket->deadline)
      count_refusal (limiter, ticket, RAGIFY_REFUSED_LATE, now);
    else {
      ticket->state = RAGIFY_TICKET_COMING;
      ticket->began = now;
      ticket->beside = limiter->active;
      limiter->began_sum += now;
      limiter->active++;
      limiter->granted++;
      if (limiter->waited_series != NULL)
        ragify_series_observe (limiter->waited_series, (double)(now - ticket->asked) / G_USEC_PER_SEC);
    }
    ticket->task.run = tell;
    ragify_loop_post (ticket->loop, &ticket->task);
  }
}

static void
expire (RagifyDeadline *expiry)
{
  RagifyTicket *ticket = (RagifyTicket *)(void *)((char *)expiry - G_STRUCT_OFFSET (RagifyTicket, expiry));
  RagifyLimiter *limiter = ticket->limiter;
  pthread_mutex_lock (&limiter->lock);
  const gboolean waits = ticket->state == RAGIFY_TICKET_QUEUED;
  if (waits) {
    take_out (limiter, ticket);
    count_refusal (limiter, ticket, RAGIFY_REFUSED_TIMEOUT, ragify_now ());
    show (limiter);
  }
  pthread_mutex_unlock (&limiter->lock);
  if (waits)
    ticket->granted (ticket);
}

/* ---- making ---- */

static void
add_metrics (RagifyLimiter *limiter, RagifyMetrics *metrics)
{
  static const char *const reasons[] = {
    [RAGIFY_REFUSED_FULL] = "queue-full", [RAGIFY_REFUSED_LATE] = "deadline", [RAGIFY_REFUSED_TIMEOUT] = "queue-timeout"
  };
  const char *scope = limiter->scope;
  limiter->limit_series = ragify_metrics_series (metrics, RAGIFY_SERIES_GAUGE, "ragify_concurrency_limit",
                                                 "Requests that may be computed at once", "scope", scope, NULL);
  limiter->active_series = ragify_metrics_series (metrics, RAGIFY_SERIES_GAUGE, "ragify_concurrency_active",
                                                  "Requests being computed", "scope", scope, NULL);
  limiter->queued_series = ragify_metrics_series (metrics, RAGIFY_SERIES_GAUGE, "ragify_concurrency_queued",
                                                  "Requests that wait for their turn", "scope", scope, NULL);
  limiter->waited_series = ragify_metrics_series (metrics, RAGIFY_SERIES_HISTOGRAM, "ragify_concurrency_wait_seconds",
                                                  "Time that requests waited for their turn", "scope", scope, NULL);
  for (guint i = RAGIFY_REFUSED_FULL; i <= RAGIFY_REFUSED_TIMEOUT; i++)
    limiter->refused_series[i] =
        ragify_metrics_series (metrics, RAGIFY_SERIES_COUNTER, "ragify_concurrency_refused_total",
                               "Requests refused for want of a place", "scope", scope, "reason", reasons[i], NULL);
  ragify_series_set (limiter->limit_series, limiter->limit);
}

RagifyLimiter *
ragify_limiter_new (const RagifyLimiterOptions *options)
{
  RagifyLimiter *limiter = g_new0 (RagifyLimiter, 1);
  limiter->scope = g_strdup (options->scope);
  limiter->options = *options;
  limiter->limit = MAX (options->limit, 1);
  ragify_gradient_init (&limiter->gradient, limiter->limit);
  if (options->adaptive)
    limiter->limit = ragify_gradient_limit (&limiter->gradient);
  pthread_mutex_init (&limiter->lock, NULL);
  if (options->metrics != NULL)
    add_metrics (limiter, options->metrics);
  return limiter;
}

void
ragify_limiter_free (RagifyLimiter *limiter)
{
  g_warn_if_fail (limiter->first == NULL);
  pthread_mutex_destroy (&limiter->lock);
  g_free (limiter->scope);
  g_free (limiter);
}

const char *
ragify_limiter_scope (const RagifyLimiter *limiter)
{
  return limiter->scope;
}

/* ---- asking ---- */

RagifyTicketState
ragify_limiter_ask (RagifyLimiter *limiter, RagifyTicket *ticket, guint64 deadline,
                    void (*granted) (RagifyTicket *ticket))
{
  const guint64 now = ragify_now ();
  ticket->limiter = limiter;
  ticket->loop = ragify_loop_current ();
  ticket->granted = granted;
  ticket->asked = ticket->began = now;
  ticket->deadline = deadline;
  ticket->expiry.expired = expire;
  pthread_mutex_lock (&limiter->lock);
  const gboolean free_place = limiter->active < limiter->limit && limiter->first == NULL;
  if (!is_in_time (limiter, ticket, ticket->waited, limiter->queued, now)) {
    count_refusal (limiter, ticket, RAGIFY_REFUSED_LATE, now);
  } else if (free_place) {
    ticket->state = RAGIFY_TICKET_GRANTED;
    ticket->beside = limiter->active;
    limiter->began_sum += now;
    limiter->active++;
    limiter->granted++;
  } else if (limiter->queued >= limiter->options.queue)
    count_refusal (limiter, ticket, RAGIFY_REFUSED_FULL, now);
  else if (time_until_done (limiter, MARGIN, limiter->queued, now) >
           (double)limiter->options.queue_timeout_us + limiter->mean_us)
    count_refusal (limiter, ticket, RAGIFY_REFUSED_LATE, now);
  else
    enqueue (limiter, ticket);
  const RagifyTicketState state = ticket->state;
  show (limiter);
  /* Armed before anybody can grant it: only its own loop disarms it. */
  if (state == RAGIFY_TICKET_QUEUED)
    ragify_loop_arm (ticket->loop, &ticket->expiry, MIN (deadline, now + limiter->options.queue_timeout_us));
  pthread_mutex_unlock (&limiter->lock);
  return state;
}

gboolean
ragify_limiter_withdraw (RagifyTicket *ticket)
{
  RagifyLimiter *limiter = ticket->limiter;
  if (limiter == NULL)
    return FALSE;
  pthread_mutex_lock (&limiter->lock);
  const gboolean waits = ticket->state == RAGIFY_TICKET_QUEUED;
  if (waits) {
    take_out (limiter, ticket);
    ticket->state = RAGIFY_TICKET_OVER;
    show (limiter);
  }
  pthread_mutex_unlock (&limiter->lock);
  if (waits)
    ragify_loop_disarm (ticket->loop, &ticket->expiry);
  return waits;
}

void
ragify_limiter_give_back (RagifyTicket *ticket, gboolean counts)
{
  RagifyLimiter *limiter = ticket->limiter;
  if (limiter == NULL)
    return;
  const guint64 now = ragify_now ();
  pthread_mutex_lock (&limiter->lock);
  if (ticket->state == RAGIFY_TICKET_GRANTED) {
    ticket->state = RAGIFY_TICKET_OVER;
    limiter->active--;
    limiter->began_sum -= ticket->began;
    if (counts)
      take_sample (limiter, ticket, now);
    grant_next (limiter, now);
    show (limiter);
  }
  pthread_mutex_unlock (&limiter->lock);
}

RagifyLimiterCounts
ragify_limiter_counts (RagifyLimiter *limiter)
{
  pthread_mutex_lock (&limiter->lock);
  const RagifyLimiterCounts counts = { .limit = limiter->limit,
                                       .active = limiter->active,
                                       .queued = limiter->queued,
                                       .granted = limiter->granted,
                                       .refused = limiter->refused,
                                       .per_second = per_second (limiter) };
  pthread_mutex_unlock (&limiter->lock);
  return counts;
}
