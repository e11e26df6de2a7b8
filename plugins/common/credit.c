/* SPDX-License-Identifier: MIT */
#include "credit.h"

#include <time.h>

#define LOOK_AGAIN_NS 20000000

static void
renewed (RagifyCall *call, void *user)
{
  (void)call;
  RagifyCredit *credit = user;
  pthread_mutex_lock (&credit->lock);
  credit->renewals++;
  pthread_cond_signal (&credit->changed);
  pthread_mutex_unlock (&credit->lock);
}

void
ragify_credit_begin (RagifyCredit *credit, const RagifyHost *host, RagifyCall *call)
{
  credit->host = host;
  credit->call = call;
  credit->renewals = 0;
  pthread_mutex_init (&credit->lock, NULL);
  pthread_cond_init (&credit->changed, NULL);
  host->call_on_credit (call, renewed, credit);
}

/* The call's cancel callback is its owner's, so cancellation is asked for now and then. With the lock held. */
static void
wait_a_while (RagifyCredit *credit)
{
  struct timespec until;
  clock_gettime (CLOCK_REALTIME, &until);
  until.tv_nsec += LOOK_AGAIN_NS;
  until.tv_sec += until.tv_nsec / 1000000000;
  until.tv_nsec %= 1000000000;
  (void)pthread_cond_timedwait (&credit->changed, &credit->lock, &until);
}

bool
ragify_credit_emit (RagifyCredit *credit, const void *item)
{
  pthread_mutex_lock (&credit->lock);
  const unsigned before = credit->renewals; /* a renewal may come before call_emit has returned */
  pthread_mutex_unlock (&credit->lock);
  const uint32_t answer = credit->host->call_emit (credit->call, item);
  if (answer != RAGIFY_EMIT_WAIT)
    return answer == RAGIFY_EMIT_GO;
  pthread_mutex_lock (&credit->lock);
  while (credit->renewals == before && credit->host->call_cancelled (credit->call) == 0)
    wait_a_while (credit);
  pthread_mutex_unlock (&credit->lock);
  return credit->host->call_cancelled (credit->call) == 0;
}

void
ragify_credit_end (RagifyCredit *credit)
{
  credit->host->call_on_credit (credit->call, NULL, NULL); /* once this has returned it runs no more */
  pthread_mutex_destroy (&credit->lock);
  pthread_cond_destroy (&credit->changed);
}
