/* A limiter: so much work at once, a bounded queue for the rest, and an early word for what cannot be in time.
 *
 * SPDX-License-Identifier: MIT
 *
 * Whoever asks is granted a place at once, waits in the order of asking, or is refused at once: when the queue is full,
 * or when it could not be done in time. While one takes about as long as at its best, that is its time, and the wait
 * for a place. Where more at once make each slower (twice as long), what counts is how many are done in a second:
 * the mean of how many were at work, divided by the mean time of one (Little's law); those at work, those who wait and
 * the new one take so many seconds, and more for safety. Who finds nobody at work is always granted.
 *
 * Adaptive: the limit moves between four and the configured one by the gradient of the work's time (after Netflix's
 * concurrency-limits: Gradient2); where work takes twice as long as at its best, more at once only makes it longer.
 */
#pragma once

#include "core/call/loop.h"
#include "core/observe/metrics.h"

typedef struct RagifyLimiter RagifyLimiter;
typedef struct RagifyTicket RagifyTicket;

typedef struct RagifyLimiterOptions {
  const char *scope; /* for metrics and refusals: "host", "pipeline default" */
  guint limit;       /* 1.. */
  guint queue;       /* who may wait; 0: nobody */
  guint64 queue_timeout_us;
  gboolean adaptive;
  RagifyMetrics *metrics; /* NULL: none */
} RagifyLimiterOptions;

typedef enum {
  RAGIFY_TICKET_NEW,
  RAGIFY_TICKET_QUEUED,
  RAGIFY_TICKET_COMING, /* granted; the word is on its way */
  RAGIFY_TICKET_GRANTED,
  RAGIFY_TICKET_OVER, /* refused, given back or withdrawn */
} RagifyTicketState;

typedef enum {
  RAGIFY_REFUSED_NOT,
  RAGIFY_REFUSED_FULL,
  RAGIFY_REFUSED_LATE,
  RAGIFY_REFUSED_TIMEOUT,
  RAGIFY_N_REFUSALS
} RagifyRefusal;

/* Somebody's place, or wish for one; zeroed. Whoever owns it keeps it until it is over. */
struct RagifyTicket {
  gboolean waited;       /* set by whoever asks: it has waited for a place elsewhere */
  RagifyRefusal refusal; /* why it was refused */
  guint64 retry_after;   /* µs: when it may be better */

  /* The limiter's. */
  RagifyLimiter *limiter;
  RagifyLoop *loop;
  void (*granted) (RagifyTicket *ticket); /* or refused after all: see `refusal` */
  guint64 asked, began, deadline;
  guint beside;            /* how many were at work when it began */
  RagifyTicketState state; /* guarded by the limiter's lock until it is granted or over */
  RagifyTask task;
  RagifyDeadline expiry;
  RagifyTicket *next, *previous;
};

RagifyLimiter *ragify_limiter_new (const RagifyLimiterOptions *options); /* [control] */
/* Nobody may have or want a place. [control] */
void ragify_limiter_free (RagifyLimiter *limiter);
const char *ragify_limiter_scope (const RagifyLimiter *limiter);

/* GRANTED or OVER (refused): at once, and `granted` does not run. QUEUED: it runs once on the current loop, later.
 * `deadline`: when the work must be done, monotonic µs. [loop] */
RagifyTicketState ragify_limiter_ask (RagifyLimiter *limiter, RagifyTicket *ticket, guint64 deadline,
                                      void (*granted) (RagifyTicket *ticket));
/* TRUE: it waited, and does no more; `granted` will not run. FALSE: it does not wait; where the word is on its way,
 * `granted` runs. [loop] */
gboolean ragify_limiter_withdraw (RagifyTicket *ticket);
/* The work is done. `counts`: its time says something (it was not cancelled or refused elsewhere). No effect on what
 * was not granted. [loop] */
void ragify_limiter_give_back (RagifyTicket *ticket, gboolean counts);

typedef struct RagifyLimiterCounts {
  guint limit, active, queued;
  guint64 granted, refused;
  double per_second; /* works done, as far as is known; 0: not known */
} RagifyLimiterCounts;
RagifyLimiterCounts ragify_limiter_counts (RagifyLimiter *limiter); /* [any] */
