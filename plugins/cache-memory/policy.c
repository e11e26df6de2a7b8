/* SPDX-License-Identifier: MIT */
#include "policy.h"

#include <string.h>

#define FREQUENCY_MAX 3
#define DIRECT_OF 32
/* An eighth of the cache: exact enough for recency, and most hits on popular entries then need no lock. */
#define WINDOW_OF 8

/* Measured on traces of very different kinds (tests/bench/cache-traces): each one is the best somewhere. `scan` keeps a
 * random part of a loop that is larger than the cache. */
const MemoryMode memory_modes[MEMORY_MODES] = {
  { .name = "balanced", .new_share = 0.15, .ghost_share = 1.3, .threshold = 3 },
  { .name = "frequency", .new_share = 0.03, .ghost_share = 1.5, .threshold = 1 },
  { .name = "wide", .new_share = 0.4, .ghost_share = 1.5, .threshold = 1 },
  { .name = "scan", .new_share = 0.01, .ghost_share = 0.9, .threshold = 3, .direct = 1 },
  { .name = "recency", .new_share = 0, .ghost_share = 0.9, .threshold = 1, .direct = DIRECT_OF, .recency = true },
};

void
memory_policy_init (MemoryPolicy *policy, uint64_t (*cost) (const MemoryNode *node))
{
  memset (policy, 0, sizeof *policy);
  for (int i = 0; i < MEMORY_QUEUES; i++)
    policy->queues[i].next = policy->queues[i].previous = &policy->queues[i];
  policy->cost = cost;
  policy->random = 0x9e3779b97f4a7c15u;
}

uint64_t
memory_policy_count (const MemoryPolicy *policy)
{
  return policy->counts[MEMORY_QUEUE_NEW] + policy->counts[MEMORY_QUEUE_MAIN];
}

static void
push (MemoryPolicy *policy, MemoryNode *node, uint8_t queue)
{
  MemoryNode *ring = &policy->queues[queue];
  node->next = ring->next;
  node->previous = ring;
  ring->next->previous = node;
  ring->next = node;
  policy->counts[queue]++;
  policy->bytes[queue] += policy->cost != NULL ? policy->cost (node) : 0;
  atomic_store_explicit (&node->queue, queue, memory_order_relaxed);
  if (queue == MEMORY_QUEUE_MAIN) {
    const uint32_t moves = atomic_load_explicit (&policy->moves, memory_order_relaxed) + 1;
    atomic_store_explicit (&policy->moves, moves, memory_order_relaxed);
    atomic_store_explicit (&node->stamp, moves, memory_order_relaxed);
    const uint64_t window = memory_policy_count (policy) / WINDOW_OF;
    atomic_store_explicit (&policy->window, window < UINT32_MAX / 2 ? (uint32_t)window : UINT32_MAX / 2,
                           memory_order_relaxed);
  }
}

void
memory_policy_remove (MemoryPolicy *policy, MemoryNode *node)
{
  const uint8_t queue = atomic_load_explicit (&node->queue, memory_order_relaxed);
  node->next->previous = node->previous;
  node->previous->next = node->next;
  policy->counts[queue]--;
  policy->bytes[queue] -= policy->cost != NULL ? policy->cost (node) : 0;
  atomic_store_explicit (&node->queue, MEMORY_QUEUE_NONE, memory_order_relaxed);
}

static uint32_t
draw (MemoryPolicy *policy)
{
  /* xorshift64 (Marsaglia 2003): only to spread, nothing depends on its quality. */
  policy->random ^= policy->random << 13;
  policy->random ^= policy->random >> 7;
  policy->random ^= policy->random << 17;
  return (uint32_t)(policy->random >> 32);
}

void
memory_policy_insert (MemoryPolicy *policy, const MemoryMode *mode, MemoryNode *node, bool known)
{
  atomic_store_explicit (&node->frequency, 0, memory_order_relaxed);
  const bool direct = mode->direct > 0 && draw (policy) % DIRECT_OF < mode->direct;
  push (policy, node, known || direct ? MEMORY_QUEUE_MAIN : MEMORY_QUEUE_NEW);
}

bool
memory_policy_touch (MemoryPolicy *policy, const MemoryMode *mode, MemoryNode *node)
{
  /* Two threads may count one hit: nothing depends on it, and no cache line is written for the popular ones. */
  const uint8_t frequency = atomic_load_explicit (&node->frequency, memory_order_relaxed);
  if (frequency < FREQUENCY_MAX)
    atomic_store_explicit (&node->frequency, frequency + 1, memory_order_relaxed);
  if (!mode->recency || atomic_load_explicit (&node->queue, memory_order_relaxed) != MEMORY_QUEUE_MAIN)
    return false;
  const uint32_t age = atomic_load_explicit (&policy->moves, memory_order_relaxed) -
                       atomic_load_explicit (&node->stamp, memory_order_relaxed);
  return age >= atomic_load_explicit (&policy->window, memory_order_relaxed);
}

void
memory_policy_promote (MemoryPolicy *policy, MemoryNode *node)
{
  if (atomic_load_explicit (&node->queue, memory_order_relaxed) != MEMORY_QUEUE_MAIN)
    return;
  memory_policy_remove (policy, node);
  push (policy, node, MEMORY_QUEUE_MAIN);
}

/* The oldest of S that did not prove itself; those that did move on. NULL when none is left. */
static MemoryNode *
evict_new (MemoryPolicy *policy, const MemoryMode *mode)
{
  while (policy->counts[MEMORY_QUEUE_NEW] > 0) {
    MemoryNode *node = policy->queues[MEMORY_QUEUE_NEW].previous;
    memory_policy_remove (policy, node);
    if (atomic_load_explicit (&node->frequency, memory_order_relaxed) < mode->threshold)
      return node;
    atomic_store_explicit (&node->frequency, 0, memory_order_relaxed);
    push (policy, node, MEMORY_QUEUE_MAIN);
  }
  return NULL;
}

/* The oldest of M that was not hit since it was looked at last; of the others `*looks` at most are looked at. */
static MemoryNode *
evict_main (MemoryPolicy *policy, const MemoryMode *mode, uint64_t *looks)
{
  for (; *looks > 0 && policy->counts[MEMORY_QUEUE_MAIN] > 0; --*looks) {
    MemoryNode *node = policy->queues[MEMORY_QUEUE_MAIN].previous;
    memory_policy_remove (policy, node);
    const uint8_t frequency = atomic_load_explicit (&node->frequency, memory_order_relaxed);
    if (frequency == 0 || mode->recency)
      return node;
    atomic_store_explicit (&node->frequency, frequency - 1, memory_order_relaxed);
    push (policy, node, MEMORY_QUEUE_MAIN);
  }
  return NULL;
}

/* After a mode of recency M is full of what was never hit; it would stay for long, as M changes slowly. */
static MemoryNode *
evict_unproved (MemoryPolicy *policy, const MemoryMode *mode)
{
  if (policy->recency && !mode->recency)
    policy->unproved = policy->counts[MEMORY_QUEUE_MAIN];
  else if (mode->recency)
    policy->unproved = 0;
  policy->recency = mode->recency;
  MemoryNode *node = evict_main (policy, mode, &policy->unproved);
  if (node != NULL)
    policy->unproved--;
  return node;
}

MemoryNode *
memory_policy_evict (MemoryPolicy *policy, const MemoryMode *mode, bool by_bytes, bool *remember)
{
  *remember = false;
  MemoryNode *node = evict_unproved (policy, mode);
  if (node != NULL)
    return node;
  const uint64_t *parts = by_bytes ? policy->bytes : policy->counts;
  const double whole = (double)(parts[MEMORY_QUEUE_NEW] + parts[MEMORY_QUEUE_MAIN]);
  double share = whole * mode->new_share;
  if (!by_bytes && share < 1 && !mode->recency)
    share = 1;
  if (policy->counts[MEMORY_QUEUE_MAIN] == 0 || (uint64_t)share <= parts[MEMORY_QUEUE_NEW])
    node = evict_new (policy, mode);
  *remember = node != NULL;
  uint64_t looks = UINT64_MAX;
  if (node == NULL)
    node = evict_main (policy, mode, &looks);
  if (node == NULL && (node = evict_new (policy, mode)) != NULL)
    *remember = true;
  return node;
}
