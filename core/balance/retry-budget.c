/* SPDX-License-Identifier: MIT */
#include "core/balance/retry-budget.h"

#include <stdatomic.h>

#define TOKEN 1000 /* in thousandths */
#define CAPACITY (10 * TOKEN)
#define FIRST_DELAY_US 25000u
#define LONGEST_DELAY_US 1000000u

struct RagifyRetryBudget {
  gint64 deposit;
  _Atomic gint64 tokens;
};

RagifyRetryBudget *
ragify_retry_budget_new (double ratio)
{
  RagifyRetryBudget *budget = g_new0 (RagifyRetryBudget, 1);
  budget->deposit = (gint64)(CLAMP (ratio, 0, 1) * TOKEN);
  atomic_init (&budget->tokens, ratio > 0 ? CAPACITY : 0);
  return budget;
}

void
ragify_retry_budget_free (RagifyRetryBudget *budget)
{
  g_free (budget);
}

void
ragify_retry_budget_deposit (RagifyRetryBudget *budget)
{
  /* Mostly it is full, and nothing is written. */
  gint64 tokens = atomic_load_explicit (&budget->tokens, memory_order_relaxed);
  while (tokens < CAPACITY &&
         !atomic_compare_exchange_weak_explicit (&budget->tokens, &tokens, MIN (tokens + budget->deposit, CAPACITY),
                                                 memory_order_relaxed, memory_order_relaxed))
    ;
}

gboolean
ragify_retry_budget_withdraw (RagifyRetryBudget *budget)
{
  gint64 tokens = atomic_load_explicit (&budget->tokens, memory_order_relaxed);
  while (tokens >= TOKEN)
    if (atomic_compare_exchange_weak_explicit (&budget->tokens, &tokens, tokens - TOKEN, memory_order_relaxed,
                                               memory_order_relaxed))
      return TRUE;
  return FALSE;
}

guint64
ragify_retry_delay (guint attempt, guint64 retry_after, guint64 random)
{
  const guint64 full = MIN ((guint64)FIRST_DELAY_US << MIN (MAX (attempt, 1) - 1, 16), LONGEST_DELAY_US);
  return MAX (retry_after, full / 2 + random % (full / 2 + 1));
}
