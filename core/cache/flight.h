/* Flights: who computes an answer now, and who waits for it.
 *
 * SPDX-License-Identifier: MIT
 *
 * A key in flight has a leader (several, after leaders gave up) and any number of waiters, on any loop. The table is
 * sharded by key; a shard's lock is held for list operations only.
 */
#pragma once

#include "core/cache/tier.h"

typedef struct RagifyFlights RagifyFlights;
typedef struct RagifyWaiter RagifyWaiter;

/* Member of whoever waits. */
struct RagifyWaiter {
  RagifyWaiter *next, *previous;
  gboolean queued; /* guarded by the shard's lock */
  /* Runs once, on the thread that settles or abandons, without a lock; must only post. `envelope` (a reference that
   * passes) and `level` as in RagifyTierFound; without an envelope the waiter leads now. */
  void (*wake) (RagifyWaiter *waiter, RagifyBuffer *envelope, const char *level);
};

typedef enum {
  RAGIFY_FLIGHT_LEADS,      /* nobody was there: the caller leads */
  RAGIFY_FLIGHT_LEADS_ANEW, /* the same, and another may have landed with this key since the caller looked */
  RAGIFY_FLIGHT_WAITS,      /* `wake` will run, unless left before */
  RAGIFY_FLIGHT_DONE,       /* the answer is there already: `*envelope` and `*level` are set */
} RagifyFlightJoin;

RagifyFlights *ragify_flights_new (void);
void ragify_flights_free (RagifyFlights *flights); /* none may be left */

/* To be taken before the levels are looked at, and given to ragify_flights_join. [any] */
guint64 ragify_flights_landed (RagifyFlights *flights, const RagifyTierKey *key);

/* [any] */
RagifyFlightJoin ragify_flights_join (RagifyFlights *flights, const RagifyTierKey *key, guint64 landed,
                                      RagifyWaiter *waiter, RagifyBuffer **envelope, const char **level);

/* Takes the waiter out; FALSE when it has been, or is being, woken. [any] */
gboolean ragify_flights_leave (RagifyFlights *flights, const RagifyTierKey *key, RagifyWaiter *waiter);

/* Wakes all waiters with the answer. The flight stays for latecomers until ragify_flights_land, which must follow when
 * this returns TRUE; FALSE: nobody was in flight, or it is settled already. [any] */
gboolean
ragify_flights_settle (RagifyFlights *flights, const RagifyTierKey *key, RagifyBuffer *envelope, const char *level);
void ragify_flights_land (RagifyFlights *flights, const RagifyTierKey *key);

/* A leader gives up: the first two waiters lead; with neither leader nor waiter left the flight is over. [any] */
void ragify_flights_abandon (RagifyFlights *flights, const RagifyTierKey *key);
