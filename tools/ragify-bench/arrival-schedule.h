/* When requests are meant to be sent in an open loop, whatever the server does: at a fixed interval or as a Poisson
 * process (exponential gaps). Latency counted from these times has no coordinated omission (G. Tene, "How NOT to
 * measure latency"). */
#pragma once

#include <glib.h>

typedef struct _RagifyArrivalSchedule RagifyArrivalSchedule;

/* rate: requests a second, > 0. */
RagifyArrivalSchedule *ragify_arrival_schedule_new (double rate, gboolean poisson, guint64 seed);
void ragify_arrival_schedule_free (RagifyArrivalSchedule *schedule);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (RagifyArrivalSchedule, ragify_arrival_schedule_free)

/* Nanoseconds from the schedule's start to the next arrival; does not go on to the one after it. */
guint64 ragify_arrival_schedule_peek (const RagifyArrivalSchedule *schedule);

/* Goes on to the arrival after that. */
void ragify_arrival_schedule_advance (RagifyArrivalSchedule *schedule);
