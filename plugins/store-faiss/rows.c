#include "rows.h"

#include "words.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_WORDS (RAGIFY_ROWS_BLOCK / 64u)

struct RagifyRows {
  atomic_uint references;
  bool base_whole; /* the metadata of all rows of the approximate index were known */
  uint64_t version;
  uint64_t epoch;
  uint64_t base_set;
  uint64_t exact_set;
  size_t base_words;
  size_t words;
  uint64_t blocks;
  uint64_t data[]; /* the words, and for each block the version that it was made of; 0: make it again */
};

/* The bits of up to 64 rows; false where the metadata of one of them are not known. */
static bool
make_word (const RagifyMatches *matches, const uint32_t *metadata, uint32_t count, uint64_t *word)
{
  const uint64_t *bits = ragify_matches_bits (matches), known = ragify_matches_known (matches);
  uint64_t made = 0;
  bool whole = true;
  for (uint32_t i = 0; i < count; i++) {
    const bool in_reach = metadata[i] <= known;
    const uint64_t number = in_reach ? metadata[i] : 0;
    made |= ((bits[number / 64] >> number % 64 & 1) & in_reach) << i;
    whole &= in_reach;
  }
  *word = made;
  return whole;
}

static bool
make_words (const RagifyMatches *matches, const uint32_t *metadata, uint32_t count, uint64_t *words)
{
  bool whole = true;
  for (uint32_t first = 0; first < count; first += 64)
    whole &= make_word (matches, metadata + first, count - first < 64 ? count - first : 64, &words[first / 64]);
  return whole;
}

static void
refresh_base (RagifyRows *rows, const RagifyRows *before, const RagifyMatches *matches, const RagifyLayout *layout)
{
  if (before != NULL && before->base_whole && before->epoch == layout->epoch) {
    memcpy (rows->data, before->data, rows->base_words * sizeof rows->data[0]);
    rows->base_set = before->base_set;
    rows->base_whole = true;
    return;
  }
  rows->base_whole = make_words (matches, layout->metadata, layout->base_count, rows->data);
  rows->base_set = ragify_words_count (rows->data, rows->base_words);
}

static bool
refresh_exact (RagifyRows *rows, const RagifyRows *before, const RagifyMatches *matches, const RagifyLayout *layout)
{
  uint64_t *words = rows->data + rows->base_words, *made_of = rows->data + rows->words;
  const bool same = before != NULL && before->epoch == layout->epoch;
  bool whole = true;
  for (uint64_t block = 0; block < rows->blocks; block++) {
    const uint32_t first = (uint32_t)block * RAGIFY_ROWS_BLOCK, left = layout->exact_count - first;
    const uint32_t count = left < RAGIFY_ROWS_BLOCK ? left : RAGIFY_ROWS_BLOCK;
    made_of[block] = layout->changed_in[block];
    if (same && block < before->blocks && before->data[before->words + block] == made_of[block]) {
      memcpy (words + block * BLOCK_WORDS, before->data + before->base_words + block * BLOCK_WORDS,
              ragify_words_for (count) * sizeof *words);
      continue;
    }
    if (make_words (matches, layout->metadata + layout->base_count + first, count, words + block * BLOCK_WORDS))
      continue;
    made_of[block] = 0;
    whole = false;
  }
  rows->exact_set = ragify_words_count (words, rows->words - rows->base_words);
  return whole;
}

RagifyRows *
ragify_rows_refresh (const RagifyRows *before, const RagifyMatches *matches, const RagifyLayout *layout)
{
  const size_t base = ragify_words_for (layout->base_count), words = base + ragify_words_for (layout->exact_count);
  const uint64_t blocks = ragify_layout_blocks (layout);
  RagifyRows *rows = malloc (sizeof *rows + (words + blocks) * sizeof rows->data[0]);
  if (rows == NULL)
    return NULL;
  *rows = (RagifyRows){ .epoch = layout->epoch, .base_words = base, .words = words, .blocks = blocks };
  atomic_init (&rows->references, 1);
  refresh_base (rows, before, matches, layout);
  const bool whole = refresh_exact (rows, before, matches, layout);
  rows->version = whole && rows->base_whole ? layout->version : 0;
  return rows;
}

uint64_t
ragify_rows_version (const RagifyRows *rows)
{
  return rows->version;
}

const uint64_t *
ragify_rows_words (const RagifyRows *rows)
{
  return rows->data;
}

uint64_t
ragify_rows_base_set (const RagifyRows *rows)
{
  return rows->base_set;
}

uint64_t
ragify_rows_exact_set (const RagifyRows *rows)
{
  return rows->exact_set;
}

uint64_t
ragify_rows_bytes (const RagifyRows *rows)
{
  return sizeof *rows + (rows->words + rows->blocks) * sizeof rows->data[0];
}

RagifyRows *
ragify_rows_ref (RagifyRows *rows)
{
  if (rows != NULL)
    atomic_fetch_add (&rows->references, 1);
  return rows;
}

void
ragify_rows_unref (RagifyRows *rows)
{
  if (rows != NULL && atomic_fetch_sub (&rows->references, 1) == 1)
    free (rows);
}
