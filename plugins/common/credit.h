/* Emitting from a worker: items one after the other, waiting there while none is wanted.
 *
 * SPDX-License-Identifier: MIT
 */
#pragma once

#include <pthread.h>
#include <ragify/ragify.h>
#include <stdbool.h>

typedef struct RagifyCredit {
  const RagifyHost *host;
  RagifyCall *call;
  pthread_mutex_t lock; /* guards what follows */
  pthread_cond_t changed;
  unsigned renewals;
} RagifyCredit;

/* Begins: sets the call's credit callback. `credit` stays where it is until the end. [worker] */
void ragify_credit_begin (RagifyCredit *credit, const RagifyHost *host, RagifyCall *call);

/* Emits an item; waits, where that is told, until more is wanted. False: it was cancelled, or the call is over.
 * [worker] */
bool ragify_credit_emit (RagifyCredit *credit, const void *item);

/* Takes the callback back. Before the call is completed. [worker] */
void ragify_credit_end (RagifyCredit *credit);
