/* A circuit breaker: what fails again and again is left alone for a while, then tried with a single call.
 *
 * SPDX-License-Identifier: MIT
 *
 *   closed ──failures in a row, or their share in a window──► open
 *   open ──its time is over──► half-open: one probe, or one live call
 *   half-open ──success──► closed;  ──failure──► open, for twice as long (up to eight times `open_us`)
 *
 * The pattern is Michael Nygard's ("Release It!", 2007). While it is closed nothing takes a lock: a success is one
 * relaxed load and one atomic exchange, a failure an addition more. The time is the caller's, monotonic µs.
 */
#pragma once

#include <glib.h>

typedef struct RagifyBreaker RagifyBreaker;

typedef enum { RAGIFY_BREAKER_CLOSED, RAGIFY_BREAKER_HALF_OPEN, RAGIFY_BREAKER_OPEN } RagifyBreakerState;

typedef struct RagifyBreakerOptions {
  guint failures;    /* in a row, that open it; 0: never */
  double error_rate; /* share of failures in the window that opens it, once it has seen 20 calls; 0: never */
  guint64 window_us;
  guint64 open_us;
  gboolean probes; /* half-open begins with a probe of the caller's; otherwise with a live call at once */
} RagifyBreakerOptions;

/* May a call go? */
typedef enum {
  RAGIFY_ADMISSION_YES,
  RAGIFY_ADMISSION_TRIAL, /* yes, and on its outcome all depends */
  RAGIFY_ADMISSION_PROBE, /* no; but probe it now, and say how that went */
  RAGIFY_ADMISSION_NO,
} RagifyAdmission;

typedef enum {
  RAGIFY_OUTCOME_GOOD,
  RAGIFY_OUTCOME_BAD,
  RAGIFY_OUTCOME_NONE, /* says nothing about the callee: cancelled, refused input, too little time */
} RagifyOutcome;

/* The state has changed; `why` in words, of the callee's side ("5 failures in a row"). One at a time, with the
 * breaker's lock held: nothing of it may be called. */
typedef void (*RagifyBreakerChanged) (RagifyBreakerState state, const char *why, guint64 open_us, void *user);

/* NULL where the options never open it. [any] */
RagifyBreaker *ragify_breaker_new (const RagifyBreakerOptions *options, RagifyBreakerChanged changed, void *user);
void ragify_breaker_free (RagifyBreaker *breaker);

/* Of each that was told YES or TRIAL, ragify_breaker_record is told the outcome; of each PROBE, _probed. [any] */
RagifyAdmission ragify_breaker_admit (RagifyBreaker *breaker, guint64 now);
void ragify_breaker_record (RagifyBreaker *breaker, RagifyAdmission admission, RagifyOutcome outcome, guint64 now);
void ragify_breaker_probed (RagifyBreaker *breaker, gboolean well, guint64 now);

RagifyBreakerState ragify_breaker_state (const RagifyBreaker *breaker); /* [any] */
/* Whether admit would let a call, or a probe, go now. [any] */
gboolean ragify_breaker_is_ready (const RagifyBreaker *breaker, guint64 now);
/* µs until it may be tried; 0: now. [any] */
guint64 ragify_breaker_opens_in (const RagifyBreaker *breaker, guint64 now);
