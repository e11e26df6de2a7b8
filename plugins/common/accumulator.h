/* Scores gathered word by word, and the best of them.
 *
 * BM25: a word that stands in `df` of `n` chunks adds to each of them
 *
 *     log (1 + (n − df + 0.5) / (df + 0.5)) · tf · (k1 + 1) / (tf + k1 · (1 − b + b · length / mean length))
 *
 * (Robertson and Zaragoza, "The Probabilistic Relevance Framework", 2009; with the idf that is never negative).
 * One thread at a time. */
#ifndef RAGIFY_ACCUMULATOR_H
#define RAGIFY_ACCUMULATOR_H

#include "roster.h"

#include <ragify/text-index.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct RagifyBm25 {
  float k1;
  float b;
} RagifyBm25;

typedef struct RagifyAccumulator {
  float *scores; /* by number; 0: not found yet */
  uint32_t room;
  uint32_t *found; /* the numbers that were */
  uint32_t count;
  const RagifyRoster *roster;
  float rise;   /* k1 · b / mean length */
  float floor;  /* k1 · (1 − b) */
  float top;    /* k1 + 1 */
  float weight; /* of the word at hand */
} RagifyAccumulator;

void ragify_accumulator_clear (RagifyAccumulator *accumulator);

/* Starts a query over numbers below `limit`. False when memory is exhausted. */
bool ragify_accumulator_begin (RagifyAccumulator *accumulator, const RagifyRoster *roster, uint32_t limit,
                               const RagifyBm25 *bm25, double mean_length);

/* Starts a word: it stands in `frequency` of `total` chunks, and `times` in the query. */
void ragify_accumulator_word (RagifyAccumulator *accumulator, double frequency, double total, uint32_t times);

/* The word stands `times` in the chunk with this number. */
static inline void
ragify_accumulator_add (RagifyAccumulator *accumulator, uint32_t number, uint32_t times)
{
  if (number >= accumulator->room)
    return;
  float length = (float)ragify_roster_length (accumulator->roster, number);
  float tf = (float)times;
  float score = accumulator->weight * tf / (tf + accumulator->floor + accumulator->rise * length);
  float before = accumulator->scores[number];
  accumulator->scores[number] = before + score;
  accumulator->found[accumulator->count] = number;
  accumulator->count += before == 0;
}

/* Ends the query: the best `wanted` hits, best first, into hits[wanted]; how many there are into *found. False when
 * memory is exhausted. */
bool ragify_accumulator_end (RagifyAccumulator *accumulator, uint32_t wanted, RagifyHit *hits, uint32_t *found);

/* Ends it without an answer. */
void ragify_accumulator_abandon (RagifyAccumulator *accumulator);

#ifdef __cplusplus
}
#endif
#endif
