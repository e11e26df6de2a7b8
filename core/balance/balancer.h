/* A balancer: several nodes with the same content, of which one is asked.
 *
 * SPDX-License-Identifier: MIT
 *
 * Each member has a configured weight (its node's, which may change while it runs), a health (1; × `error_penalty` at
 * each error, back towards 1 with successes and with time) and, after its circuit was open, a slow start. Their product
 * is its effective weight. Members whose circuit is open, or that are disabled, are passed over; one whose circuit may
 * be tried is picked at once, so that it comes back.
 *
 * The time is the caller's, monotonic µs. One short mutex; [any] throughout.
 */
#pragma once

#include "core/balance/breaker.h"
#include "core/module/node.h"

typedef struct RagifyBalancer RagifyBalancer;

typedef enum {
  RAGIFY_BALANCE_WEIGHTED_RANDOM,   /* by effective weight */
  RAGIFY_BALANCE_ROUND_ROBIN,       /* in turn, weighted and evenly spread (nginx's smooth round robin) */
  RAGIFY_BALANCE_LEAST_OUTSTANDING, /* of two at random, the one with fewer calls under way (Mitzenmacher 2001) */
  RAGIFY_BALANCE_EWMA, /* of two at random, the one with the lower latency × calls under way; latency is a moving
                          average over 10 s that rises at once (Finagle's peak EWMA) */
} RagifyBalancePolicy;

#define RAGIFY_BALANCER_MEMBERS 64u /* at most */
#define RAGIFY_BALANCER_NOBODY G_MAXUINT

typedef struct RagifyBalancerMember {
  RagifyNode *node;
  guint64 deadline_us; /* of one call; 0: the balancer's */
} RagifyBalancerMember;

typedef struct RagifyBalancerOptions {
  const char *name;
  const RagifyBalancerMember *members;
  guint n_members; /* 1..64 */
  RagifyBalancePolicy policy;
  double error_penalty;     /* 0.8 */
  guint64 slow_start_us;    /* 0: none */
  gboolean sticky;          /* the same key goes to the same member while it is well (rendezvous hashing) */
  guint64 hedge_us;         /* ask a second member after this; 0: never */
  gboolean hedge_at_p95;    /* … or after what 95 % of the first one's calls take, once that is known */
  guint retries;            /* on other members */
  double retry_budget;      /* retries and hedges per call */
  guint64 (*random) (void); /* NULL: the usual */
  RagifyMetrics *metrics;   /* NULL: none */
} RagifyBalancerOptions;

/* Copies the options; the nodes outlive it. [control] */
RagifyBalancer *ragify_balancer_new (const RagifyBalancerOptions *options);
void ragify_balancer_free (RagifyBalancer *balancer);

/* Who is asked next, but not those whose bit is set in `tried`; NOBODY: all were tried. `key` matters where it is
 * sticky. Of each pick ragify_balancer_ended is told the end. */
guint ragify_balancer_pick (RagifyBalancer *balancer, guint64 key, guint64 tried, guint64 now);
/* `latency` in µs. NONE: it was cancelled or not even asked. */
void
ragify_balancer_ended (RagifyBalancer *balancer, guint member, RagifyOutcome outcome, guint64 latency, guint64 now);

/* When a second member is asked, from the start of the first call, µs; 0: never. */
guint64 ragify_balancer_hedge_after (RagifyBalancer *balancer, guint member);
/* First calls put in what retries and hedges take out. */
void ragify_balancer_deposit (RagifyBalancer *balancer);
gboolean ragify_balancer_take_retry (RagifyBalancer *balancer, gboolean hedge);

const char *ragify_balancer_name (const RagifyBalancer *balancer);
guint ragify_balancer_retries (const RagifyBalancer *balancer);
guint ragify_balancer_n_members (const RagifyBalancer *balancer);
const RagifyBalancerMember *ragify_balancer_member (const RagifyBalancer *balancer, guint member);

typedef struct RagifyBalancerCounts {
  guint64 requests, errors;
  guint under_way;
  double effective_weight, health;
  guint64 latency_us, p95_us; /* 0: not known */
} RagifyBalancerCounts;
RagifyBalancerCounts ragify_balancer_counts (RagifyBalancer *balancer, guint member, guint64 now);
