/* Who reads without a lock, so that what was taken out is freed only when nobody can see it any more: two counters per
 * slot of threads, used in turns (as in sleepable RCU: McKenney, "Sleepable RCU", LWN 2006).
 * All functions [any]. SPDX-License-Identifier: MIT */
#ifndef MEMORY_READERS_H
#define MEMORY_READERS_H

#include "policy.h"

typedef struct MemoryReaders MemoryReaders;

/* Numbers that readers count; each has its own cache line per slot of threads. */
enum { MEMORY_COUNT_HITS, MEMORY_COUNT_MISSES, MEMORY_COUNT_SKIPPED, MEMORY_COUNTS };

/* A reader's ticket between enter and leave. */
typedef struct MemoryTicket {
  uint32_t slot;
  uint32_t turn;
} MemoryTicket;

/* `release` frees one retired node. NULL when memory is exhausted. */
MemoryReaders *memory_readers_new (void (*release) (MemoryNode *node, void *user), void *user);

/* Nobody reads any more; frees all that is retired. */
void memory_readers_free (MemoryReaders *readers);

MemoryTicket memory_readers_enter (MemoryReaders *readers);
void memory_readers_leave (MemoryReaders *readers, MemoryTicket ticket);

void memory_readers_count (MemoryReaders *readers, MemoryTicket ticket, int what);
uint64_t memory_readers_sum (MemoryReaders *readers, int what);

/* Frees `node` when those who read now have left. New readers cannot find it any more. `bytes`: what it holds. */
void memory_readers_retire (MemoryReaders *readers, MemoryNode *node, uint64_t bytes);

/* Frees what can be freed now; `wait`: everything that is retired now, waiting for readers (they take nanoseconds). */
void memory_readers_reclaim (MemoryReaders *readers, bool wait);

#endif
