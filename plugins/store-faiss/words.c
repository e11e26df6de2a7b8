#include "words.h"

void
ragify_words_and (uint64_t *into, const uint64_t *other, size_t size)
{
  for (size_t i = 0; i < size; i++)
    into[i] &= other[i];
}

void
ragify_words_or (uint64_t *into, const uint64_t *other, size_t size)
{
  for (size_t i = 0; i < size; i++)
    into[i] |= other[i];
}

void
ragify_words_invert (uint64_t *into, size_t size)
{
  for (size_t i = 0; i < size; i++)
    into[i] = ~into[i];
}

void
ragify_words_trim (uint64_t *words, uint64_t count)
{
  if (count % 64 != 0)
    words[count / 64] &= (UINT64_C (1) << count % 64) - 1;
}

static uint64_t
count_plain (const uint64_t *words, size_t size)
{
  uint64_t count = 0;
  for (size_t i = 0; i < size; i++)
    count += (uint64_t)__builtin_popcountll (words[i]);
  return count;
}

#if defined(__x86_64__)

/* The same with the instruction for it, which the oldest CPUs of this kind have not. */
__attribute__ ((target ("popcnt"))) static uint64_t
count_by_instruction (const uint64_t *words, size_t size)
{
  uint64_t count = 0;
  for (size_t i = 0; i < size; i++)
    count += (uint64_t)__builtin_popcountll (words[i]);
  return count;
}

uint64_t
ragify_words_count (const uint64_t *words, size_t size)
{
  return __builtin_cpu_supports ("popcnt") ? count_by_instruction (words, size) : count_plain (words, size);
}

#else

uint64_t
ragify_words_count (const uint64_t *words, size_t size)
{
  return count_plain (words, size);
}

#endif
