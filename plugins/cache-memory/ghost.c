/* SPDX-License-Identifier: MIT */
#include "ghost.h"

#include <stdlib.h>
#include <string.h>

#define WAYS 8
/* A slot: 20 bits of the hash (never 0, which is "empty") above 12 bits of time. */
#define TIME_BITS 12
#define TIME_MASK ((1u << TIME_BITS) - 1)
/* The time of one cache's worth of evictions; the rest of the 12 bits keeps old slots from looking young. */
#define TIMES_PER_CACHE 1024

struct MemoryGhost {
  uint64_t buckets;
  uint64_t unit; /* evictions for one step of time */
  uint64_t added;
  uint32_t slots[];
};

MemoryGhost *
memory_ghost_new (uint64_t entries)
{
  /* 1.5 caches' worth at four fifths full. */
  const uint64_t buckets = entries * 15 / 8 / WAYS + 1;
  if (buckets > (SIZE_MAX - sizeof (MemoryGhost)) / (WAYS * sizeof (uint32_t)))
    return NULL;
  MemoryGhost *ghost = calloc (1, sizeof *ghost + buckets * WAYS * sizeof (uint32_t));
  if (ghost == NULL)
    return NULL;
  ghost->buckets = buckets;
  ghost->unit = entries > TIMES_PER_CACHE ? entries / TIMES_PER_CACHE : 1;
  return ghost;
}

void
memory_ghost_free (MemoryGhost *ghost)
{
  free (ghost);
}

static uint32_t *
find_bucket (MemoryGhost *ghost, uint64_t hash)
{
  return ghost->slots + (uint64_t)(((unsigned __int128)hash * ghost->buckets) >> 64) * WAYS;
}

/* From bits that the bucket does not depend on. */
static uint32_t
make_tag (uint64_t hash)
{
  return (uint32_t)(hash & 0xfffff) | 1;
}

static uint32_t
get_age (const MemoryGhost *ghost, uint32_t slot)
{
  return ((uint32_t)(ghost->added / ghost->unit) - slot) & TIME_MASK;
}

void
memory_ghost_add (MemoryGhost *ghost, uint64_t hash)
{
  uint32_t *bucket = find_bucket (ghost, hash);
  const uint32_t tag = make_tag (hash);
  uint32_t *chosen = bucket;
  uint32_t oldest = 0;
  for (int i = 0; i < WAYS; i++) {
    if (bucket[i] == 0 || bucket[i] >> TIME_BITS == tag) {
      chosen = &bucket[i];
      break;
    }
    const uint32_t age = get_age (ghost, bucket[i]);
    if (age >= oldest) {
      oldest = age;
      chosen = &bucket[i];
    }
  }
  *chosen = tag << TIME_BITS | ((uint32_t)(ghost->added / ghost->unit) & TIME_MASK);
  ghost->added++;
}

bool
memory_ghost_take (MemoryGhost *ghost, uint64_t hash, uint64_t window)
{
  uint32_t *bucket = find_bucket (ghost, hash);
  const uint32_t tag = make_tag (hash);
  for (int i = 0; i < WAYS; i++) {
    if (bucket[i] >> TIME_BITS != tag)
      continue;
    const bool young = (uint64_t)get_age (ghost, bucket[i]) * ghost->unit <= window;
    bucket[i] = 0;
    return young;
  }
  return false;
}

void
memory_ghost_clear (MemoryGhost *ghost)
{
  memset (ghost->slots, 0, ghost->buckets * WAYS * sizeof ghost->slots[0]);
}

uint64_t
memory_ghost_size (const MemoryGhost *ghost)
{
  return sizeof *ghost + ghost->buckets * WAYS * sizeof ghost->slots[0];
}
