/* SPDX-License-Identifier: MIT */
#include "core/balance/balancer.h"

#include <math.h>
#include <pthread.h>
#include <string.h>
#include <xxhash.h>

#include "core/balance/random.h"
#include "core/balance/retry-budget.h"

/* Fifty successes undo most of the harm of many errors: a member that fails half of its calls is left with a tenth. */
#define RECOVERY 0.02
#define RECOVERY_TIME_US (20.0 * G_USEC_PER_SEC)
#define LEAST_HEALTH 0.01
#define LATENCY_TIME_US (10.0 * G_USEC_PER_SEC)
#define SLOW_START_FLOOR 0.1
#define ABOUT_EQUAL 0.9
#define P95_STEP 0.05
#define P95_WARM_UP 20u
#define SHORTEST_HEDGE_US 1000u

typedef struct Member {
  RagifyBalancerMember as;
  guint64 hash;
  guint64 requests, errors;
  guint under_way;
  double health;
  guint64 health_at; /* when it was last brought up to date */
  double latency;    /* µs; 0: not known */
  guint64 latency_at;
  double p95; /* µs */
  guint samples;
  double turn;      /* round robin: its credit */
  gboolean away;    /* its circuit was not closed when it was last looked at */
  guint64 returned; /* when it was closed again; 0: never open */
  RagifySeries *picked, *failed, *weight;
} Member;

struct RagifyBalancer {
  char *name;
  RagifyBalancerOptions options;
  RagifyRetryBudget *budget;
  RagifySeries *retried, *hedged;
  pthread_mutex_t lock; /* guards the members */
  Member *members;
};

/* Members that can be picked, and what they weigh. */
typedef struct Choice {
  guint count;
  guint members[RAGIFY_BALANCER_MEMBERS];
  double weights[RAGIFY_BALANCER_MEMBERS], sum;
} Choice;

/* ---- what a member weighs; locked ---- */

static double
health_of (Member *member, guint64 now)
{
  if (member->health < 1 && now > member->health_at)
    member->health += (1 - member->health) * -expm1 (-(double)(now - member->health_at) / RECOVERY_TIME_US);
  member->health_at = MAX (now, member->health_at);
  return member->health;
}

static double
slow_start_of (const RagifyBalancer *balancer, Member *member, guint64 now)
{
  const gboolean closed = ragify_node_breaker_state (member->as.node) == RAGIFY_BREAKER_CLOSED;
  if (closed && member->away)
    member->returned = now;
  member->away = !closed;
  const guint64 since = now - MIN (now, member->returned);
  if (member->returned == 0 || since >= balancer->options.slow_start_us)
    return 1;
  return SLOW_START_FLOOR + (1 - SLOW_START_FLOOR) * (double)since / (double)balancer->options.slow_start_us;
}

static double
effective_weight (const RagifyBalancer *balancer, Member *member, guint64 now)
{
  return ragify_node_weight (member->as.node) * health_of (member, now) * slow_start_of (balancer, member, now);
}

/* Those that are well, or all that were not tried where none is. Returns one that must be tried now, or NOBODY. */
static guint
look (RagifyBalancer *balancer, guint64 tried, guint64 now, Choice *choice)
{
  guint due = RAGIFY_BALANCER_NOBODY;
  for (guint pass = 0; pass < 2 && choice->count == 0; pass++)
    for (guint i = 0; i < balancer->options.n_members; i++) {
      Member *member = &balancer->members[i];
      const gboolean enabled = ragify_node_is_enabled (member->as.node);
      const gboolean ready = ragify_node_is_ready (member->as.node, now);
      const double weight = effective_weight (balancer, member, now);
      if ((tried & G_GUINT64_CONSTANT (1) << i) != 0 || !enabled || weight <= 0 || (!ready && pass == 0))
        continue;
      if (ready && member->away && pass == 0)
        due = i;
      choice->members[choice->count] = i;
      choice->weights[choice->count++] = weight;
      choice->sum += weight;
    }
  return due;
}

/* ---- policies: each returns a place in the choice; locked ---- */

static double
uniform (const RagifyBalancer *balancer)
{
  return (double)(balancer->options.random () >> 11) * 0x1p-53;
}

static guint
weighted_random (const RagifyBalancer *balancer, const Choice *choice)
{
  double point = uniform (balancer) * choice->sum;
  for (guint i = 0; i + 1 < choice->count; i++) {
    if (point < choice->weights[i])
      return i;
    point -= choice->weights[i];
  }
  return choice->count - 1;
}

static guint
round_robin (RagifyBalancer *balancer, const Choice *choice)
{
  guint best = 0;
  for (guint i = 0; i < choice->count; i++) {
    balancer->members[choice->members[i]].turn += choice->weights[i];
    if (balancer->members[choice->members[i]].turn > balancer->members[choice->members[best]].turn)
      best = i;
  }
  balancer->members[choice->members[best]].turn -= choice->sum;
  return best;
}

static double
cost (const RagifyBalancer *balancer, const Choice *choice, guint place, guint64 now)
{
  const Member *member = &balancer->members[choice->members[place]];
  const double load = (member->under_way + 1) / choice->weights[place];
  if (balancer->options.policy == RAGIFY_BALANCE_LEAST_OUTSTANDING)
    return load;
  /* What was slow long ago is given another chance. Nothing known: as if it were fast, so that it is found out. */
  const double age = (double)(now - MIN (now, member->latency_at));
  return load * (1 + member->latency * exp (-age / LATENCY_TIME_US));
}

static guint
better_of_two (const RagifyBalancer *balancer, const Choice *choice, guint64 now)
{
  if (choice->count == 1)
    return 0;
  const guint first = (guint)(uniform (balancer) * choice->count);
  guint second = (guint)(uniform (balancer) * (choice->count - 1));
  if (second >= first)
    second++;
  /* Among about equals chance, which made one the first, decides: else one that is almost well again would never be
   * asked while little is asked. */
  const gboolean better = cost (balancer, choice, second, now) < ABOUT_EQUAL * cost (balancer, choice, first, now);
  return better ? second : first;
}

/* Thaler and Ravishankar 1998, with weights after Schindelhauer and Schomaker 2005: each member draws for the key.
 * Health does not count, so that a key stays where it is. */
static guint
rendezvous (const RagifyBalancer *balancer, const Choice *choice, guint64 key)
{
  guint best = 0;
  double best_score = INFINITY;
  for (guint i = 0; i < choice->count; i++) {
    const Member *member = &balancer->members[choice->members[i]];
    const guint64 hash = XXH3_64bits_withSeed (&key, sizeof key, member->hash);
    const double score = -log (((double)(hash >> 11) + 0.5) * 0x1p-53) / ragify_node_weight (member->as.node);
    if (score < best_score) {
      best_score = score;
      best = i;
    }
  }
  return best;
}

static guint
choose (RagifyBalancer *balancer, const Choice *choice, guint64 key, guint64 now)
{
  if (balancer->options.sticky)
    return rendezvous (balancer, choice, key);
  switch (balancer->options.policy) {
  case RAGIFY_BALANCE_ROUND_ROBIN:
    return round_robin (balancer, choice);
  case RAGIFY_BALANCE_LEAST_OUTSTANDING:
  case RAGIFY_BALANCE_EWMA:
    return better_of_two (balancer, choice, now);
  case RAGIFY_BALANCE_WEIGHTED_RANDOM:
  default:
    return weighted_random (balancer, choice);
  }
}

/* ---- making ---- */

static void
init_member (RagifyBalancer *balancer, Member *member, const RagifyBalancerMember *as)
{
  const char *name = ragify_node_name (as->node);
  RagifyMetrics *metrics = balancer->options.metrics;
  member->as = *as;
  member->hash = XXH3_64bits (name, strlen (name));
  member->health = 1;
  if (metrics == NULL)
    return;
  member->picked = ragify_metrics_series (metrics, RAGIFY_SERIES_COUNTER, "ragify_balancer_requests_total",
                                          "Calls that a balancer gave to a member", "balancer", balancer->name,
                                          "member", name, NULL);
  member->failed = ragify_metrics_series (metrics, RAGIFY_SERIES_COUNTER, "ragify_balancer_errors_total",
                                          "Calls of a balancer that its member failed", "balancer", balancer->name,
                                          "member", name, NULL);
  member->weight = ragify_metrics_series (metrics, RAGIFY_SERIES_GAUGE, "ragify_balancer_weight",
                                          "A member's effective weight when it was last asked", "balancer",
                                          balancer->name, "member", name, NULL);
}

RagifyBalancer *
ragify_balancer_new (const RagifyBalancerOptions *options)
{
  RagifyBalancer *balancer = g_new0 (RagifyBalancer, 1);
  balancer->name = g_strdup (options->name);
  balancer->options = *options;
  balancer->options.n_members = MIN (options->n_members, RAGIFY_BALANCER_MEMBERS);
  balancer->options.members = NULL;
  if (options->random == NULL)
    balancer->options.random = ragify_random;
  balancer->budget = ragify_retry_budget_new (options->retry_budget);
  if (options->metrics != NULL) {
    balancer->retried = ragify_metrics_series (options->metrics, RAGIFY_SERIES_COUNTER, "ragify_balancer_retries_total",
                                               "Calls made again on another member", "balancer", options->name, NULL);
    balancer->hedged = ragify_metrics_series (options->metrics, RAGIFY_SERIES_COUNTER, "ragify_balancer_hedges_total",
                                              "Calls made on a second member since the first was slow", "balancer",
                                              options->name, NULL);
  }
  pthread_mutex_init (&balancer->lock, NULL);
  balancer->members = g_new0 (Member, balancer->options.n_members);
  for (guint i = 0; i < balancer->options.n_members; i++)
    init_member (balancer, &balancer->members[i], &options->members[i]);
  return balancer;
}

void
ragify_balancer_free (RagifyBalancer *balancer)
{
  ragify_retry_budget_free (balancer->budget);
  pthread_mutex_destroy (&balancer->lock);
  g_free (balancer->members);
  g_free (balancer->name);
  g_free (balancer);
}

/* ---- picking ---- */

guint
ragify_balancer_pick (RagifyBalancer *balancer, guint64 key, guint64 tried, guint64 now)
{
  Choice choice;
  choice.count = 0;
  choice.sum = 0;
  pthread_mutex_lock (&balancer->lock);
  guint picked = look (balancer, tried, now, &choice);
  if (picked == RAGIFY_BALANCER_NOBODY && choice.count > 0)
    picked = choice.members[choose (balancer, &choice, key, now)];
  if (picked != RAGIFY_BALANCER_NOBODY) {
    Member *member = &balancer->members[picked];
    member->under_way++;
    member->requests++;
    if (member->picked != NULL) {
      ragify_series_add (member->picked, 1);
      ragify_series_set (member->weight, effective_weight (balancer, member, now));
    }
  }
  pthread_mutex_unlock (&balancer->lock);
  return picked;
}

static void
take_latency (Member *member, double latency, guint64 now)
{
  const double age = (double)(now - MIN (now, member->latency_at));
  const double old = member->latency * exp (-age / LATENCY_TIME_US);
  member->latency = latency > old ? latency : latency + (member->latency - latency) * exp (-age / LATENCY_TIME_US);
  member->latency_at = now;
}

/* A quantile by stochastic approximation (Robbins and Monro 1951), in steps that are a part of the value: it needs no
 * samples kept and follows a member that changes. */
static void
take_p95 (Member *member, double latency)
{
  if (member->samples++ == 0)
    member->p95 = latency;
  else
    member->p95 *= 1 + (latency > member->p95 ? 0.95 : -0.05) * P95_STEP * (member->samples < 200 ? 4 : 1);
}

void
ragify_balancer_ended (RagifyBalancer *balancer, guint index, RagifyOutcome outcome, guint64 latency, guint64 now)
{
  pthread_mutex_lock (&balancer->lock);
  Member *member = &balancer->members[index];
  member->under_way--;
  health_of (member, now);
  switch (outcome) {
  case RAGIFY_OUTCOME_GOOD:
    member->health += (1 - member->health) * RECOVERY;
    take_latency (member, (double)latency, now);
    take_p95 (member, (double)latency);
    break;
  case RAGIFY_OUTCOME_BAD:
    member->errors++;
    member->health = MAX (member->health * balancer->options.error_penalty, LEAST_HEALTH);
    if (member->failed != NULL)
      ragify_series_add (member->failed, 1);
    break;
  case RAGIFY_OUTCOME_NONE:
  default:
    if ((double)latency > member->latency) /* it would have taken at least so long */
      take_latency (member, (double)latency, now);
  }
  pthread_mutex_unlock (&balancer->lock);
}

guint64
ragify_balancer_hedge_after (RagifyBalancer *balancer, guint index)
{
  if (!balancer->options.hedge_at_p95 || balancer->options.n_members < 2)
    return balancer->options.hedge_us;
  pthread_mutex_lock (&balancer->lock);
  const Member *member = &balancer->members[index];
  const guint64 after =
      member->samples >= P95_WARM_UP ? MAX ((guint64)member->p95, SHORTEST_HEDGE_US) : balancer->options.hedge_us;
  pthread_mutex_unlock (&balancer->lock);
  return after;
}

void
ragify_balancer_deposit (RagifyBalancer *balancer)
{
  ragify_retry_budget_deposit (balancer->budget);
}

gboolean
ragify_balancer_take_retry (RagifyBalancer *balancer, gboolean hedge)
{
  if (!ragify_retry_budget_withdraw (balancer->budget))
    return FALSE;
  RagifySeries *series = hedge ? balancer->hedged : balancer->retried;
  if (series != NULL)
    ragify_series_add (series, 1);
  return TRUE;
}

/* ---- what it is ---- */

const char *
ragify_balancer_name (const RagifyBalancer *balancer)
{
  return balancer->name;
}

guint
ragify_balancer_retries (const RagifyBalancer *balancer)
{
  return balancer->options.retries;
}

guint
ragify_balancer_n_members (const RagifyBalancer *balancer)
{
  return balancer->options.n_members;
}

const RagifyBalancerMember *
ragify_balancer_member (const RagifyBalancer *balancer, guint member)
{
  return &balancer->members[member].as;
}

RagifyBalancerCounts
ragify_balancer_counts (RagifyBalancer *balancer, guint index, guint64 now)
{
  pthread_mutex_lock (&balancer->lock);
  Member *member = &balancer->members[index];
  const RagifyBalancerCounts counts = { .requests = member->requests,
                                        .errors = member->errors,
                                        .under_way = member->under_way,
                                        .effective_weight = effective_weight (balancer, member, now),
                                        .health = member->health,
                                        .latency_us = (guint64)member->latency,
                                        .p95_us = (guint64)member->p95 };
  pthread_mutex_unlock (&balancer->lock);
  return counts;
}
