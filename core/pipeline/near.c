/* SPDX-License-Identifier: MIT */
#include "core/pipeline/near.h"

#include <string.h>

#include "core/pipeline/fuse.h"

#define FIRST_CAPACITY 32
#define TRIPLE 3

static guint64
mix (guint64 z)
{
  z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
  z = (z ^ z >> 27) * 0x94D049BB133111EBu;
  return z ^ z >> 31;
}

static gboolean
is_word (guchar c)
{
  return g_ascii_isalnum (c) || c >= 0x80;
}

/* The hash of the next word from `*at` on; FALSE at the end. */
static gboolean
next_word (RagifyStr text, guint64 *at, guint64 *hash)
{
  while (*at < text.size && !is_word ((guchar)text.data[*at]))
    (*at)++;
  if (*at == text.size)
    return FALSE;
  *hash = 0xCBF29CE484222325u; /* FNV-1a */
  for (; *at < text.size && is_word ((guchar)text.data[*at]); (*at)++)
    *hash = (*hash ^ (guchar)g_ascii_tolower (text.data[*at])) * 0x100000001B3u;
  return TRUE;
}

static void
take (RagifySketch *sketch, guint64 triple)
{
  const guint64 hash = mix (triple);
  for (guint64 i = 0; i < RAGIFY_SKETCH_SIZE; i++) {
    const guint32 value = (guint32)(hash * (0x9E3779B97F4A7C15u * (2 * i + 1) | 1) >> 32);
    sketch->minima[i] = MIN (sketch->minima[i], value);
  }
}

void
ragify_sketch_make (RagifySketch *sketch, RagifyStr content)
{
  guint64 at = 0, word, last[TRIPLE] = { 0 };
  guint words = 0;
  memset (sketch->minima, 0xFF, sizeof sketch->minima);
  while (next_word (content, &at, &word)) {
    memmove (last, last + 1, sizeof last - sizeof *last);
    last[TRIPLE - 1] = word;
    if (++words >= TRIPLE)
      take (sketch, mix (mix (last[0]) + last[1]) + last[2]);
  }
  if (words < TRIPLE) /* too short for one: as a whole */
    take (sketch, mix (mix (last[0]) + last[1]) + last[2]);
}

double
ragify_sketch_similarity (const RagifySketch *one, const RagifySketch *other)
{
  guint equal = 0;
  for (guint i = 0; i < RAGIFY_SKETCH_SIZE; i++)
    equal += one->minima[i] == other->minima[i];
  return (double)equal / RAGIFY_SKETCH_SIZE;
}

void
ragify_near_init (RagifyNear *near, RagifyArena *arena, double threshold, double cosine)
{
  *near = (RagifyNear){ .arena = arena, .threshold = threshold, .cosine = cosine };
}

static const RagifySketch *
sketch_of (const RagifyNear *near, RagifyNearPassage *passage)
{
  if (passage->sketch == NULL) {
    passage->sketch = ragify_arena_alloc (near->arena, sizeof *passage->sketch);
    ragify_sketch_make (passage->sketch, passage->content);
  }
  return passage->sketch;
}

static gboolean
is_near (const RagifyNear *near, RagifyNearPassage *one, RagifyNearPassage *other)
{
  if (near->cosine > 0 && one->vector != NULL && other->vector != NULL && one->space == other->space &&
      one->dimension == other->dimension)
    return (double)ragify_dot (one->vector, other->vector, one->dimension) >= near->cosine;
  return ragify_sketch_similarity (sketch_of (near, one), sketch_of (near, other)) >= near->threshold;
}

gboolean
ragify_near_admit (RagifyNear *near, const RagifyNearPassage *passage)
{
  RagifyNearPassage own = *passage;
  for (guint i = 0; i < near->count; i++)
    if (is_near (near, &near->admitted[i], &own))
      return FALSE;
  if (near->count == near->capacity) {
    const guint capacity = MAX (near->capacity * 2, FIRST_CAPACITY);
    RagifyNearPassage *admitted = ragify_arena_alloc (near->arena, capacity * sizeof *admitted);
    if (near->count > 0)
      memcpy (admitted, near->admitted, near->count * sizeof *admitted);
    near->admitted = admitted;
    near->capacity = capacity;
  }
  near->admitted[near->count++] = own;
  return TRUE;
}
