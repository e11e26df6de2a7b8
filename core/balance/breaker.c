/* SPDX-License-Identifier: MIT */
#include "core/balance/breaker.h"

#include <pthread.h>
#include <stdatomic.h>

#define BUCKETS 10u
#define MINIMUM_CALLS 20u /* a share of fewer says nothing */
#define LONGEST_FACTOR 8u
#define COUNT_BITS 20u
#define COUNT_MAX ((1u << COUNT_BITS) - 1)

/* A tenth of the window in one word, so that it is changed as a whole: number of the tenth (24 bits), failures, calls
 * (20 each; full is full). */
typedef _Atomic guint64 Bucket;

struct RagifyBreaker {
  RagifyBreakerOptions options;
  RagifyBreakerChanged changed;
  void *user;
  Bucket buckets[BUCKETS];
  _Atomic guint in_a_row;
  _Atomic guint state;
  _Atomic guint64 until; /* open: when it may be tried */
  pthread_mutex_t lock;  /* guards changes of state, and what follows */
  guint64 open_us;       /* of this opening: grows while trials fail */
  gboolean taken;        /* half-open: the trial, or the probe, is under way */
  gboolean probing;      /* half-open: the probe has not succeeded yet */
};

/* ---- the window ---- */

static guint64
epoch_of (const RagifyBreaker *breaker, guint64 now)
{
  return now / MAX (breaker->options.window_us / BUCKETS, 1);
}

static guint64
pack (guint64 epoch, guint64 bad, guint64 all)
{
  return (epoch & 0xFFFFFF) << (2 * COUNT_BITS) | bad << COUNT_BITS | all;
}

static void
count (RagifyBreaker *breaker, gboolean bad, guint64 now)
{
  const guint64 epoch = epoch_of (breaker, now);
  Bucket *bucket = &breaker->buckets[epoch % BUCKETS];
  guint64 old = atomic_load_explicit (bucket, memory_order_relaxed), new;
  do {
    const gboolean current = old >> (2 * COUNT_BITS) == (epoch & 0xFFFFFF);
    const guint64 all = current ? old & COUNT_MAX : 0;
    const guint64 failed = current ? old >> COUNT_BITS & COUNT_MAX : 0;
    if (all == COUNT_MAX)
      return;
    new = pack (epoch, failed + (bad ? 1 : 0), all + 1);
  } while (!atomic_compare_exchange_weak_explicit (bucket, &old, new, memory_order_relaxed, memory_order_relaxed));
}

static gboolean
rate_exceeded (const RagifyBreaker *breaker, guint64 now, guint *percent)
{
  const guint64 epoch = epoch_of (breaker, now);
  guint64 all = 0, bad = 0;
  for (guint i = 0; i < BUCKETS; i++) {
    const guint64 bucket = atomic_load_explicit (&breaker->buckets[i], memory_order_relaxed);
    if (((epoch - (bucket >> (2 * COUNT_BITS))) & 0xFFFFFF) >= BUCKETS)
      continue;
    all += bucket & COUNT_MAX;
    bad += bucket >> COUNT_BITS & COUNT_MAX;
  }
  if (breaker->options.error_rate <= 0 || all < MINIMUM_CALLS)
    return FALSE;
  *percent = (guint)(100 * bad / all);
  return (double)bad >= breaker->options.error_rate * (double)all;
}

static void
clear_window (RagifyBreaker *breaker)
{
  for (guint i = 0; i < BUCKETS; i++)
    atomic_store_explicit (&breaker->buckets[i], 0, memory_order_relaxed);
  atomic_store_explicit (&breaker->in_a_row, 0, memory_order_relaxed);
}

/* ---- changes of state; locked ---- */

static void
change (RagifyBreaker *breaker, RagifyBreakerState state, const char *why)
{
  atomic_store (&breaker->state, state);
  if (breaker->changed != NULL)
    breaker->changed (state, why, breaker->open_us, breaker->user);
}

static void
open_it (RagifyBreaker *breaker, const char *why, guint64 now)
{
  atomic_store (&breaker->until, now + breaker->open_us);
  change (breaker, RAGIFY_BREAKER_OPEN, why);
}

static void
open_again (RagifyBreaker *breaker, const char *why, guint64 now)
{
  breaker->open_us = MIN (2 * breaker->open_us, LONGEST_FACTOR * breaker->options.open_us);
  breaker->taken = FALSE;
  open_it (breaker, why, now);
}

static void
close_it (RagifyBreaker *breaker)
{
  breaker->taken = FALSE;
  breaker->open_us = breaker->options.open_us;
  clear_window (breaker);
  change (breaker, RAGIFY_BREAKER_CLOSED, "the trial succeeded");
}

static RagifyAdmission
take_trial (RagifyBreaker *breaker)
{
  if (breaker->taken)
    return RAGIFY_ADMISSION_NO;
  breaker->taken = TRUE;
  return breaker->probing ? RAGIFY_ADMISSION_PROBE : RAGIFY_ADMISSION_TRIAL;
}

/* ---- what callers see ---- */

RagifyBreaker *
ragify_breaker_new (const RagifyBreakerOptions *options, RagifyBreakerChanged changed, void *user)
{
  if (options->failures == 0 && options->error_rate <= 0)
    return NULL;
  RagifyBreaker *breaker = g_new0 (RagifyBreaker, 1);
  breaker->options = *options;
  breaker->changed = changed;
  breaker->user = user;
  breaker->open_us = options->open_us;
  pthread_mutex_init (&breaker->lock, NULL);
  return breaker;
}

void
ragify_breaker_free (RagifyBreaker *breaker)
{
  if (breaker == NULL)
    return;
  pthread_mutex_destroy (&breaker->lock);
  g_free (breaker);
}

RagifyAdmission
ragify_breaker_admit (RagifyBreaker *breaker, guint64 now)
{
  if (atomic_load_explicit (&breaker->state, memory_order_acquire) == RAGIFY_BREAKER_CLOSED)
    return RAGIFY_ADMISSION_YES;
  RagifyAdmission admission = RAGIFY_ADMISSION_NO;
  pthread_mutex_lock (&breaker->lock);
  switch ((RagifyBreakerState)atomic_load (&breaker->state)) {
  case RAGIFY_BREAKER_CLOSED:
    admission = RAGIFY_ADMISSION_YES;
    break;
  case RAGIFY_BREAKER_OPEN:
    if (now < atomic_load (&breaker->until))
      break;
    breaker->taken = FALSE;
    breaker->probing = breaker->options.probes;
    change (breaker, RAGIFY_BREAKER_HALF_OPEN, "its time is over");
    admission = take_trial (breaker);
    break;
  case RAGIFY_BREAKER_HALF_OPEN:
  default:
    admission = take_trial (breaker);
    break;
  }
  pthread_mutex_unlock (&breaker->lock);
  return admission;
}

static void
record_trial (RagifyBreaker *breaker, RagifyOutcome outcome, guint64 now)
{
  pthread_mutex_lock (&breaker->lock);
  if (outcome == RAGIFY_OUTCOME_NONE)
    breaker->taken = FALSE; /* the next call tries */
  else if (outcome == RAGIFY_OUTCOME_GOOD)
    close_it (breaker);
  else
    open_again (breaker, "the trial failed", now);
  pthread_mutex_unlock (&breaker->lock);
}

static void
trip (RagifyBreaker *breaker, const char *why, guint64 now)
{
  pthread_mutex_lock (&breaker->lock);
  if (atomic_load (&breaker->state) == RAGIFY_BREAKER_CLOSED)
    open_it (breaker, why, now);
  pthread_mutex_unlock (&breaker->lock);
}

void
ragify_breaker_record (RagifyBreaker *breaker, RagifyAdmission admission, RagifyOutcome outcome, guint64 now)
{
  if (admission == RAGIFY_ADMISSION_TRIAL) {
    record_trial (breaker, outcome, now);
    return;
  }
  /* What was begun before it opened ends too late to matter. */
  if (outcome == RAGIFY_OUTCOME_NONE ||
      atomic_load_explicit (&breaker->state, memory_order_relaxed) != RAGIFY_BREAKER_CLOSED)
    return;
  count (breaker, outcome == RAGIFY_OUTCOME_BAD, now);
  if (outcome == RAGIFY_OUTCOME_GOOD) {
    if (atomic_load_explicit (&breaker->in_a_row, memory_order_relaxed) != 0)
      atomic_store_explicit (&breaker->in_a_row, 0, memory_order_relaxed);
    return;
  }
  const guint in_a_row = atomic_fetch_add_explicit (&breaker->in_a_row, 1, memory_order_relaxed) + 1;
  guint percent = 0;
  char why[64];
  if (breaker->options.failures > 0 && in_a_row >= breaker->options.failures)
    g_snprintf (why, sizeof why, "%u failures in a row", in_a_row);
  else if (rate_exceeded (breaker, now, &percent))
    g_snprintf (why, sizeof why, "%u %% of its calls failed", percent);
  else
    return;
  trip (breaker, why, now);
}

void
ragify_breaker_probed (RagifyBreaker *breaker, gboolean well, guint64 now)
{
  pthread_mutex_lock (&breaker->lock);
  if (well) {
    breaker->probing = FALSE;
    breaker->taken = FALSE;
  } else
    open_again (breaker, "the probe failed", now);
  pthread_mutex_unlock (&breaker->lock);
}

RagifyBreakerState
ragify_breaker_state (const RagifyBreaker *breaker)
{
  return (RagifyBreakerState)atomic_load (&breaker->state);
}

guint64
ragify_breaker_opens_in (const RagifyBreaker *breaker, guint64 now)
{
  const guint64 until = atomic_load (&breaker->until);
  return ragify_breaker_state (breaker) == RAGIFY_BREAKER_OPEN && until > now ? until - now : 0;
}

gboolean
ragify_breaker_is_ready (const RagifyBreaker *breaker, guint64 now)
{
  RagifyBreaker *own = (RagifyBreaker *)breaker;
  switch (ragify_breaker_state (breaker)) {
  case RAGIFY_BREAKER_CLOSED:
    return TRUE;
  case RAGIFY_BREAKER_OPEN:
    return ragify_breaker_opens_in (breaker, now) == 0;
  case RAGIFY_BREAKER_HALF_OPEN:
  default:
    break;
  }
  pthread_mutex_lock (&own->lock);
  const gboolean ready = !own->taken;
  pthread_mutex_unlock (&own->lock);
  return ready;
}
