/* SPDX-License-Identifier: MIT */
#include "core/pipeline/candidates.h"

#include <math.h>
#include <string.h>

static guint
hash_of (const RagifyUuid *id, guint16 holder)
{
  guint64 halves[2];
  memcpy (halves, id->bytes, sizeof halves);
  /* Ids may come from elsewhere and be anything: mixed by a multiplication (Fibonacci hashing). */
  const guint64 mixed = (halves[0] ^ (halves[1] * 0x9E3779B97F4A7C15ULL) ^ holder) * 0x9E3779B97F4A7C15ULL;
  return (guint)(mixed >> 32);
}

void
ragify_candidates_init (RagifyCandidates *candidates, RagifyArena *arena, guint capacity)
{
  capacity = MAX (capacity, 1);
  guint n_slots = 16;
  while (n_slots < 2 * capacity)
    n_slots *= 2;
  *candidates = (RagifyCandidates){
    .capacity = capacity,
    .ids = ragify_arena_alloc (arena, capacity * sizeof (RagifyUuid)),
    .holders = ragify_arena_alloc (arena, capacity * sizeof (guint16)),
    .spaces = ragify_arena_alloc (arena, capacity * sizeof (guint16)),
    .ranks = ragify_arena_alloc (arena, capacity * sizeof (guint16)),
    .cosines = ragify_arena_alloc (arena, capacity * sizeof (float)),
    .weights = ragify_arena_alloc (arena, capacity * sizeof (float)),
    .fused = ragify_arena_alloc (arena, capacity * sizeof (float)),
    .chunks = ragify_arena_alloc (arena, capacity * sizeof (RagifyChunk *)),
    .marks = ragify_arena_alloc (arena, capacity),
    .slots = ragify_arena_alloc (arena, n_slots * sizeof (guint32)),
    .mask = n_slots - 1,
  };
}

guint32
ragify_candidates_add (RagifyCandidates *candidates, const RagifyUuid *id, guint16 holder, gboolean *is_new)
{
  guint at = hash_of (id, holder) & candidates->mask;
  for (; candidates->slots[at] != 0; at = (at + 1) & candidates->mask) {
    const guint32 found = candidates->slots[at] - 1;
    if (candidates->holders[found] == holder && memcmp (&candidates->ids[found], id, sizeof *id) == 0) {
      *is_new = FALSE;
      return found;
    }
  }
  g_assert (candidates->count < candidates->capacity);
  const guint32 candidate = candidates->count++;
  candidates->slots[at] = candidate + 1;
  candidates->ids[candidate] = *id;
  candidates->holders[candidate] = holder;
  candidates->ranks[candidate] = G_MAXUINT16;
  candidates->cosines[candidate] = NAN;
  candidates->weights[candidate] = 1;
  *is_new = TRUE;
  return candidate;
}
