#include "arrival-schedule.h"

#include "random-source.h"

#include <math.h>

struct _RagifyArrivalSchedule {
  double interval; /* mean, ns */
  gboolean poisson;
  guint64 number; /* of the next arrival */
  double next;    /* ns */
  RagifyRandomSource random;
};

static double
gap (RagifyArrivalSchedule *schedule)
{
  /* 1 − u is in (0, 1], whose logarithm is finite. */
  return -log (1 - ragify_random_source_next_double (&schedule->random)) * schedule->interval;
}

RagifyArrivalSchedule *
ragify_arrival_schedule_new (double rate, gboolean poisson, guint64 seed)
{
  RagifyArrivalSchedule *schedule = g_new0 (RagifyArrivalSchedule, 1);
  schedule->interval = 1e9 / rate;
  schedule->poisson = poisson;
  ragify_random_source_init (&schedule->random, seed);
  schedule->next = poisson ? gap (schedule) : 0;
  return schedule;
}

void
ragify_arrival_schedule_free (RagifyArrivalSchedule *schedule)
{
  g_free (schedule);
}

guint64
ragify_arrival_schedule_peek (const RagifyArrivalSchedule *schedule)
{
  return (guint64)schedule->next;
}

void
ragify_arrival_schedule_advance (RagifyArrivalSchedule *schedule)
{
  schedule->number++;
  if (schedule->poisson)
    schedule->next += gap (schedule);
  else
    schedule->next = (double)schedule->number * schedule->interval;
}
