/* Chooses how the cache's queues are run, by trying: each mode of policy.h runs on a miniature cache that holds keys
 * only and sees a sample of the requests (Waldspurger et al., "Cache Modeling and Optimization using Miniature
 * Simulations", USENIX ATC 2017). The mode whose miniature hits most, counting what is recent more, is the mode of the
 * real cache. All functions [any]. SPDX-License-Identifier: MIT */
#ifndef MEMORY_TUNER_H
#define MEMORY_TUNER_H

#include "policy.h"

typedef struct MemoryTuner MemoryTuner;

/* It does nothing before memory_tuner_resize(). NULL when memory is exhausted. */
MemoryTuner *memory_tuner_new (void);
void memory_tuner_free (MemoryTuner *tuner);

/* Says how many entries the real cache holds when it is full. Cheap when that is about what was said before. */
void memory_tuner_resize (MemoryTuner *tuner, uint64_t entries);

/* A request for a key with this hash, which the real cache had (`hit`) or not. Never waits: false when another thread
 * was in the way and the request was not counted. */
bool memory_tuner_request (MemoryTuner *tuner, uint64_t hash, bool hit);

/* A key comes into the real cache. */
void memory_tuner_admit (MemoryTuner *tuner, uint64_t hash);

/* The mode to use now. */
const MemoryMode *memory_tuner_mode (MemoryTuner *tuner);

/* Bytes that it occupies. */
uint64_t memory_tuner_size (MemoryTuner *tuner);

#endif
