/* Sets of numbers: a bit for each, in words of 64. All [any]: no state is kept. */
#ifndef RAGIFY_WORDS_H
#define RAGIFY_WORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Words that hold the numbers 0 … count-1. */
static inline size_t
ragify_words_for (uint64_t count)
{
  return (size_t)((count + 63) / 64);
}

static inline bool
ragify_words_has (const uint64_t *words, uint64_t number)
{
  return (words[number / 64] >> number % 64 & 1) != 0;
}

static inline void
ragify_words_add (uint64_t *words, uint64_t number)
{
  words[number / 64] |= UINT64_C (1) << number % 64;
}

static inline void
ragify_words_drop (uint64_t *words, uint64_t number)
{
  words[number / 64] &= ~(UINT64_C (1) << number % 64);
}

/* into: what is in both, in either, or not in it. */
void ragify_words_and (uint64_t *into, const uint64_t *other, size_t size);
void ragify_words_or (uint64_t *into, const uint64_t *other, size_t size);
void ragify_words_invert (uint64_t *into, size_t size);

/* Takes out what lies at or behind `count` in the last word of such a set. */
void ragify_words_trim (uint64_t *words, uint64_t count);

/* How many numbers are in the set. */
uint64_t ragify_words_count (const uint64_t *words, size_t size);

#ifdef __cplusplus
}
#endif
#endif
