/* A retry budget: retries are a bounded share of calls, so that they cannot multiply the load on what is failing.
 *
 * SPDX-License-Identifier: MIT
 *
 * A bucket of tokens: each first call puts `ratio` of a token in, each retry (or hedged call) takes one out; it holds
 * ten at most and begins full, so that a rare call can be retried. After Finagle's RetryBudget and gRPC's retry
 * throttling (proposal A6).
 */
#pragma once

#include <glib.h>

typedef struct RagifyRetryBudget RagifyRetryBudget;

/* `ratio` 0..1: retries per call. [any] */
RagifyRetryBudget *ragify_retry_budget_new (double ratio);
void ragify_retry_budget_free (RagifyRetryBudget *budget);

void ragify_retry_budget_deposit (RagifyRetryBudget *budget);      /* [any] */
gboolean ragify_retry_budget_withdraw (RagifyRetryBudget *budget); /* [any] FALSE: there is none left */

/* Back-off before retry number `attempt` (from 1), µs: 25 ms doubled each time up to 1 s, of which a random part
 * between a half and the whole; never before `retry_after`. `random`: any number. */
guint64 ragify_retry_delay (guint attempt, guint64 retry_after, guint64 random);
