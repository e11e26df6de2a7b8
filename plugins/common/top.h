/* The best few of many scores.
 *
 * A score and a number are packed into one integer that is smaller for a better score, and for the smaller number
 * among equal scores; selecting and sorting then compare integers alone.
 */
#ifndef RAGIFY_TOP_H
#define RAGIFY_TOP_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* `score` is not NaN. */
static inline uint64_t
ragify_top_key (float score, uint32_t number)
{
  uint32_t bits;
  memcpy (&bits, &score, sizeof bits);
  /* Orders like the score itself, then is turned over: the largest score has the smallest key. */
  bits = (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
  return ((uint64_t)~bits << 32) | number;
}

static inline float
ragify_top_score (uint64_t key)
{
  uint32_t bits = ~(uint32_t)(key >> 32);
  bits = (bits & 0x80000000u) != 0 ? bits & 0x7fffffffu : ~bits;
  float score;
  memcpy (&score, &bits, sizeof score);
  return score;
}

static inline uint32_t
ragify_top_number (uint64_t key)
{
  return (uint32_t)key;
}

/* Brings the `wanted` smallest of `count` different keys to the front, in no order. 0 < wanted ≤ count. */
void ragify_top_select (uint64_t *keys, size_t count, size_t wanted);

/* Sorts ascending. */
void ragify_top_sort (uint64_t *keys, size_t count);

#endif
