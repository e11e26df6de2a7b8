/* A memory of what was evicted lately: fingerprints in buckets of eight, four bytes each, the oldest overwritten.
 * It may remember what never was (one in 100,000) and forget a little early; both cost a fraction of a hit.
 * Not thread-safe. SPDX-License-Identifier: MIT */
#ifndef MEMORY_GHOST_H
#define MEMORY_GHOST_H

#include <stdbool.h>
#include <stdint.h>

typedef struct MemoryGhost MemoryGhost;

/* For a cache of about `entries`. NULL when memory is exhausted. */
MemoryGhost *memory_ghost_new (uint64_t entries);
void memory_ghost_free (MemoryGhost *ghost);

/* Notes an eviction. `hash` is a good 64-bit hash of the key. */
void memory_ghost_add (MemoryGhost *ghost, uint64_t hash);

/* True when it was noted and at most `window` evictions have been noted since; forgets it then. */
bool memory_ghost_take (MemoryGhost *ghost, uint64_t hash, uint64_t window);

void memory_ghost_clear (MemoryGhost *ghost);

/* Bytes that it occupies. */
uint64_t memory_ghost_size (const MemoryGhost *ghost);

#endif
