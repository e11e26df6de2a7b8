/* SPDX-License-Identifier: MIT */
#include "core/module/guard.h"

#include "core/balance/retry-budget.h"
#include "core/call/call-private.h"

/* A caller in more of a hurry than this (or than half the node's own deadline) proves nothing when it goes unserved. */
#define PATIENCE_US (500 * 1000)
#define PROBE_DEADLINE_US (5 * (guint64)G_USEC_PER_SEC)

struct RagifyGuard {
  RagifyNode *node;
  RagifyRuntime *runtime;
  RagifyBreaker *breaker; /* NULL: never opens */
  RagifyRetryBudget *budget;
  guint retries;
  guint64 patience_us, probe_us;
  double configured_weight;
  _Atomic double weight;
  atomic_bool disabled;
  gboolean announced; /* that the circuit is open; under the breaker's lock */
  RagifySeries *state, *opened, *refused, *retried, *unaffordable;
};

/* A probe on its way. */
typedef struct Probe {
  RagifyOwner owner;
  RagifyTask task;
  RagifyGuard *guard;
  RagifyCall *call;
} Probe;

/* ---- the breaker's changes ---- */

/* A warning for the first time; trials that fail afterwards are no news. */
static void
say_open (RagifyGuard *guard, const char *why, guint64 open_us)
{
  const char *name = ragify_node_name (guard->node);
  g_log_structured (G_LOG_DOMAIN, guard->announced ? G_LOG_LEVEL_INFO : G_LOG_LEVEL_WARNING, "RAGIFY_NODE", name,
                    "MESSAGE", "%s: circuit %s: %s; it is left alone for %.3g s", name,
                    guard->announced ? "still open" : "open", why, (double)open_us / 1e6);
  guard->announced = TRUE;
}

static void
changed (RagifyBreakerState state, const char *why, guint64 open_us, void *user)
{
  RagifyGuard *guard = user;
  static const double gauge[] = {
    [RAGIFY_BREAKER_CLOSED] = 0, [RAGIFY_BREAKER_HALF_OPEN] = 1, [RAGIFY_BREAKER_OPEN] = 2
  };
  const char *name = ragify_node_name (guard->node);
  ragify_series_set (guard->state, gauge[state]);
  switch (state) {
  case RAGIFY_BREAKER_OPEN:
    ragify_series_add (guard->opened, 1);
    say_open (guard, why, open_us);
    return;
  case RAGIFY_BREAKER_HALF_OPEN:
    g_log_structured (G_LOG_DOMAIN, G_LOG_LEVEL_INFO, "RAGIFY_NODE", name, "MESSAGE",
                      "%s: circuit half-open: %s, it is tried", name, why);
    return;
  case RAGIFY_BREAKER_CLOSED:
  default:
    guard->announced = FALSE;
    g_log_structured (G_LOG_DOMAIN, G_LOG_LEVEL_MESSAGE, "RAGIFY_NODE", name, "MESSAGE", "%s: circuit closed: %s", name,
                      why);
  }
}

/* ---- probes ---- */

static void
probe_finished (RagifyCall *call, void *user)
{
  Probe *probe = user;
  ragify_breaker_probed (probe->guard->breaker, ragify_call_code (call) == RAGIFY_OK, ragify_now ());
}

static void
run_probe (RagifyTask *task)
{
  static const RagifyNothing nothing = { .struct_size = sizeof nothing };
  Probe *probe = (Probe *)(void *)((char *)task - G_STRUCT_OFFSET (Probe, task));
  RagifyNode *node = probe->guard->node;
  probe->call = ragify_call_new (&probe->owner, &ragify_operation_probe, &nothing,
                                 ragify_now () + probe->guard->probe_us, probe_finished, probe);
  ragify_node_call (node, probe->call);
  ragify_owner_unref (&probe->owner);
  ragify_node_drop (node);
}

/* Not at once: the caller is in the middle of a call of its own, and may be on a thread that cannot begin another. */
static void
begin_probe (RagifyGuard *guard)
{
  RagifyLoop *loop = ragify_loop_current ();
  Probe *probe = (Probe *)ragify_owner_new (sizeof *probe, NULL);
  probe->guard = guard;
  probe->task.run = run_probe;
  ragify_node_hold (guard->node);
  ragify_loop_post (loop != NULL ? loop : guard->runtime->loops[0], &probe->task);
}

/* ---- making ---- */

static RagifySeries *
series (const RagifyGuard *guard, RagifySeriesType type, const char *name, const char *help)
{
  return ragify_metrics_series (guard->runtime->metrics, type, name, help, "node", ragify_node_name (guard->node),
                                NULL);
}

RagifyGuard *
ragify_guard_new (RagifyNode *node, RagifyRuntime *runtime, const RagifyNodeOptions *options)
{
  RagifyGuard *guard = g_new0 (RagifyGuard, 1);
  RagifyBreakerOptions breaker = options->breaker;
  breaker.probes = options->component->probe != NULL;
  guard->node = node;
  guard->runtime = runtime;
  guard->retries = options->retries;
  guard->patience_us = options->deadline_us != 0 ? options->deadline_us / 2 : PATIENCE_US;
  guard->probe_us = options->deadline_us != 0 ? options->deadline_us : PROBE_DEADLINE_US;
  guard->breaker = ragify_breaker_new (&breaker, changed, guard);
  guard->configured_weight = options->weight;
  atomic_init (&guard->weight, options->weight);
  guard->budget = ragify_retry_budget_new (options->retry_budget);
  if (guard->breaker != NULL) {
    guard->state = series (guard, RAGIFY_SERIES_GAUGE, "ragify_breaker_state",
                           "State of a node's circuit breaker: 0 closed, 1 half-open, 2 open");
    guard->opened = series (guard, RAGIFY_SERIES_COUNTER, "ragify_breaker_opened_total",
                            "How often a node's circuit breaker has opened");
    guard->refused = series (guard, RAGIFY_SERIES_COUNTER, "ragify_breaker_refused_total",
                             "Calls that were not made since the circuit was open");
  }
  if (guard->retries > 0) {
    guard->retried = series (guard, RAGIFY_SERIES_COUNTER, "ragify_retries_total",
                             "Calls of a node made again after a failure, or hedged");
    guard->unaffordable = series (guard, RAGIFY_SERIES_COUNTER, "ragify_retries_over_budget_total",
                                  "Retries that the node's retry budget did not allow");
  }
  return guard;
}

void
ragify_guard_free (RagifyGuard *guard)
{
  ragify_breaker_free (guard->breaker);
  ragify_retry_budget_free (guard->budget);
  g_free (guard);
}

/* ---- calls ---- */

gboolean
ragify_guard_admit (RagifyGuard *guard, RagifyCall *call)
{
  if ((call->operation->flags & RAGIFY_OPERATION_REFUSABLE) == 0)
    return TRUE;
  if (guard->retries > 0)
    ragify_retry_budget_deposit (guard->budget);
  if (guard->breaker == NULL)
    return TRUE;
  call->admission = ragify_breaker_admit (guard->breaker, call->began);
  if (call->admission == RAGIFY_ADMISSION_YES || call->admission == RAGIFY_ADMISSION_TRIAL)
    return TRUE;
  if (call->admission == RAGIFY_ADMISSION_PROBE)
    begin_probe (guard);
  ragify_series_add (guard->refused, 1);
  call->refused = TRUE;
  call->retry_after = ragify_breaker_opens_in (guard->breaker, call->began);
  ragify_call_fail (call, RAGIFY_E_UNAVAILABLE, "%s: %s: not asked: its circuit is open",
                    ragify_node_name (guard->node), call->operation->name);
  return FALSE;
}

static RagifyOutcome
outcome_of (const RagifyGuard *guard, const RagifyCall *call)
{
  if (call->overloaded)
    return RAGIFY_OUTCOME_NONE;
  switch (call->code) {
  case RAGIFY_OK:
  case RAGIFY_E_NOT_FOUND:
  case RAGIFY_E_INVALID: /* it looked at what it was given */
    return RAGIFY_OUTCOME_GOOD;
  case RAGIFY_E_CANCELLED:
    return RAGIFY_OUTCOME_NONE;
  case RAGIFY_E_TIMEOUT:
    return call->deadline >= call->began + guard->patience_us ? RAGIFY_OUTCOME_BAD : RAGIFY_OUTCOME_NONE;
  default:
    return RAGIFY_OUTCOME_BAD;
  }
}

void
ragify_guard_record (RagifyGuard *guard, const RagifyCall *call, guint64 now)
{
  if (guard->breaker == NULL || call->refused)
    return;
  /* A trial is a trial whatever the operation; otherwise only reading is judged. */
  if (call->admission == RAGIFY_ADMISSION_TRIAL || (call->operation->flags & RAGIFY_OPERATION_JUDGED) != 0)
    ragify_breaker_record (guard->breaker, call->admission, outcome_of (guard, call), now);
}

/* ---- what others ask ---- */

gboolean
ragify_node_is_ready (const RagifyNode *node, guint64 now)
{
  const RagifyGuard *guard = ragify_node_guard (node);
  return (guard->breaker == NULL || ragify_breaker_is_ready (guard->breaker, now)) && !ragify_node_is_ejected (node);
}

RagifyBreakerState
ragify_node_breaker_state (const RagifyNode *node)
{
  const RagifyGuard *guard = ragify_node_guard (node);
  return guard->breaker != NULL ? ragify_breaker_state (guard->breaker) : RAGIFY_BREAKER_CLOSED;
}

guint
ragify_node_retries (const RagifyNode *node)
{
  return ragify_node_guard (node)->retries;
}

gboolean
ragify_node_take_retry (RagifyNode *node)
{
  const RagifyGuard *guard = ragify_node_guard (node);
  const gboolean affordable = ragify_retry_budget_withdraw (guard->budget);
  if (guard->retries > 0)
    ragify_series_add (affordable ? guard->retried : guard->unaffordable, 1);
  return affordable;
}

double
ragify_node_weight (const RagifyNode *node)
{
  return atomic_load_explicit (&ragify_node_guard (node)->weight, memory_order_relaxed);
}

gboolean
ragify_node_is_enabled (const RagifyNode *node)
{
  return !atomic_load_explicit (&ragify_node_guard (node)->disabled, memory_order_relaxed);
}

void
ragify_node_set_weight (RagifyNode *node, double weight)
{
  atomic_store (&ragify_node_guard (node)->weight, weight);
}

void
ragify_node_set_enabled (RagifyNode *node, gboolean enabled)
{
  atomic_store (&ragify_node_guard (node)->disabled, !enabled);
}

gboolean
ragify_node_is_changed (const RagifyNode *node)
{
  return !ragify_node_is_enabled (node) || ragify_node_weight (node) != ragify_node_guard (node)->configured_weight;
}
