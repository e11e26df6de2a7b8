#include "visited.h"

#include <glib.h>
#include <stdatomic.h>

#define BITS_MIN (UINT64_C (1) << 16)
#define BITS_MAX (UINT64_C (1) << 30)

struct Visited {
  uint64_t mask;
  _Atomic uint64_t *words;
};

Visited *
visited_new (uint64_t entries)
{
  Visited *visited = g_new0 (Visited, 1);
  uint64_t bits = BITS_MIN;
  while (bits < entries * 4 && bits < BITS_MAX)
    bits *= 2;
  visited->mask = bits - 1;
  visited->words = g_malloc0 (bits / 8);
  return visited;
}

void
visited_free (Visited *visited)
{
  if (visited == NULL)
    return;
  g_free ((void *)visited->words);
  g_free (visited);
}

void
visited_set (Visited *visited, uint64_t id)
{
  _Atomic uint64_t *word = &visited->words[(id & visited->mask) / 64];
  const uint64_t bit = UINT64_C (1) << (id % 64);
  /* Most hits find it set: reading alone leaves the line shared. */
  if ((atomic_load_explicit (word, memory_order_relaxed) & bit) == 0)
    atomic_fetch_or_explicit (word, bit, memory_order_relaxed);
}

bool
visited_take (Visited *visited, uint64_t id)
{
  _Atomic uint64_t *word = &visited->words[(id & visited->mask) / 64];
  const uint64_t bit = UINT64_C (1) << (id % 64);
  return (atomic_fetch_and_explicit (word, ~bit, memory_order_relaxed) & bit) != 0;
}
