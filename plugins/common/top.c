#include "top.h"

#include <stdlib.h>

static void
swap (uint64_t *left, uint64_t *right)
{
  uint64_t kept = *left;
  *left = *right;
  *right = kept;
}

/* Orders first, middle and last, and returns the middle one: sorted input, the usual bad case, becomes a good one. */
static uint64_t
pivot (uint64_t *keys, size_t count)
{
  uint64_t *low = keys, *middle = keys + count / 2, *high = keys + count - 1;
  if (*middle < *low)
    swap (middle, low);
  if (*high < *low)
    swap (high, low);
  if (*high < *middle)
    swap (high, middle);
  return *middle;
}

/* Hoare's partition: returns how many stand in the left part, of which none is larger than any of the right part. Both
 * parts are smaller than the whole. */
static size_t
partition (uint64_t *keys, size_t count)
{
  uint64_t middle = pivot (keys, count);
  size_t left = 0, right = count - 1;
  for (;;) {
    while (keys[left] < middle)
      left++;
    while (keys[right] > middle)
      right--;
    if (left >= right)
      return right + 1;
    swap (&keys[left++], &keys[right--]);
  }
}

static void
insertion_sort (uint64_t *keys, size_t count)
{
  for (size_t i = 1; i < count; i++) {
    uint64_t key = keys[i];
    size_t place = i;
    for (; place > 0 && keys[place - 1] > key; place--)
      keys[place] = keys[place - 1];
    keys[place] = key;
  }
}

static int
compare (const void *left, const void *right)
{
  uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
  return (a > b) - (a < b);
}

/* C. A. R. Hoare's "Find" (1961); a bad run of pivots ends in the library's sort, which bounds the cost. */
void
ragify_top_select (uint64_t *keys, size_t count, size_t wanted)
{
  for (unsigned rounds = 64; count > 16; rounds--) {
    if (rounds == 0) {
      qsort (keys, count, sizeof *keys, compare);
      return;
    }
    size_t left = partition (keys, count);
    if (wanted == left)
      return;
    if (wanted < left) {
      count = left;
    } else {
      keys += left;
      count -= left;
      wanted -= left;
    }
  }
  insertion_sort (keys, count);
}

static void
sort_bounded (uint64_t *keys, size_t count, unsigned depth)
{
  while (count > 16) {
    if (depth-- == 0) {
      qsort (keys, count, sizeof *keys, compare);
      return;
    }
    size_t left = partition (keys, count);
    sort_bounded (keys, left, depth);
    keys += left;
    count -= left;
  }
  insertion_sort (keys, count);
}

void
ragify_top_sort (uint64_t *keys, size_t count)
{
  sort_bounded (keys, count, 64);
}
