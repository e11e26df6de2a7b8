/* The order in which entries leave the cache: two queues, S for what is new and M for what has proved itself, and a
 * list of what left S (S3-FIFO: Yang et al., "FIFO queues are all you need for cache eviction", SOSP 2023), with
 * parameters that a tuner changes while it runs. The real cache and the tuner's miniature ones run the same code.
 *
 * Not thread-safe but for memory_policy_touch(): the owner's lock guards the rest. Nodes are the owner's.
 * SPDX-License-Identifier: MIT
 */
#ifndef MEMORY_POLICY_H
#define MEMORY_POLICY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { MEMORY_QUEUE_NONE, MEMORY_QUEUE_NEW, MEMORY_QUEUE_MAIN, MEMORY_QUEUES };

typedef struct MemoryNode {
  struct MemoryNode *next; /* towards the end where entries leave; free for the owner while in no queue */
  struct MemoryNode *previous;
  _Atomic uint32_t stamp; /* `moves` when it was put at the head of M */
  _Atomic uint8_t frequency;
  _Atomic uint8_t queue;
  uint16_t user; /* the owner's */
} MemoryNode;

/* One way to run the queues. */
typedef struct MemoryMode {
  const char *name;
  double new_share;   /* of the cache that S may take */
  double ghost_share; /* how long an eviction from S is remembered, in evictions, as a multiple of the entries */
  uint8_t threshold;  /* hits in S that are needed to go on to M */
  uint8_t direct;     /* of 32 insertions, how many skip S at random; 32: all, S is not used */
  bool recency;       /* M in the order of the last hit, without regard to frequency: LRU */
} MemoryMode;

/* The modes that the tuner chooses between, found by measurement; the first is the one to start with, and the later a
 * mode stands, the worse it is where it does not fit. */
#define MEMORY_MODES 5
extern const MemoryMode memory_modes[MEMORY_MODES];

typedef struct MemoryPolicy {
  MemoryNode queues[MEMORY_QUEUES]; /* rings; `next` is the newest, `previous` the oldest */
  uint64_t counts[MEMORY_QUEUES];
  uint64_t bytes[MEMORY_QUEUES];
  uint64_t (*cost) (const MemoryNode *node); /* bytes of an entry; NULL: they do not matter */
  uint64_t random;
  bool recency;            /* the last eviction was in a mode of recency */
  uint64_t unproved;       /* nodes of M to look at once, since such a mode let in what has proved nothing */
  _Atomic uint32_t moves;  /* to the head of M */
  _Atomic uint32_t window; /* recency: a hit on something that moved within so many moves does not move it again */
} MemoryPolicy;

void memory_policy_init (MemoryPolicy *policy, uint64_t (*cost) (const MemoryNode *node));

uint64_t memory_policy_count (const MemoryPolicy *policy);

/* Puts in a node that is in no queue. `known`: it left S a short while ago. */
void memory_policy_insert (MemoryPolicy *policy, const MemoryMode *mode, MemoryNode *node, bool known);

/* Takes a node out of its queue. */
void memory_policy_remove (MemoryPolicy *policy, MemoryNode *node);

/* Notes a hit, from any thread and without the lock. True when the mode would like memory_policy_promote(). */
bool memory_policy_touch (MemoryPolicy *policy, const MemoryMode *mode, MemoryNode *node);

/* Brings a node of M to its head. */
void memory_policy_promote (MemoryPolicy *policy, MemoryNode *node);

/* The least useful node, taken out; NULL when there is none. `by_bytes`: shares are measured in bytes, not in entries.
 * `*remember`: it left S without having proved itself. */
MemoryNode *memory_policy_evict (MemoryPolicy *policy, const MemoryMode *mode, bool by_bytes, bool *remember);

#endif
