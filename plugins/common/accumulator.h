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
  const RagifyRoster *roster;
  uint32_t first; /* of the numbers at hand */
  uint32_t span;  /* how many these are */
  float *scores;  /* by number - first; 0: not found yet */
  uint32_t room;
  uint32_t *found; /* the numbers that were, less `first` */
  uint32_t count;
  uint64_t *keys; /* the best so far, in no order, and what may replace them */
  uint32_t wanted;
  uint32_t kept;
  float rise;   /* k1 · b / mean length */
  float floor;  /* k1 · (1 − b) */
  float top;    /* k1 + 1 */
  float weight; /* of the word at hand */
} RagifyAccumulator;

void ragify_accumulator_clear (RagifyAccumulator *accumulator);

/* Starts a query whose best `wanted` are to be found. */
void ragify_accumulator_begin (RagifyAccumulator *accumulator, const RagifyRoster *roster, uint32_t wanted,
                               const RagifyBm25 *bm25, double mean_length);

/* The `span` numbers from `first` on are next, behind those that came before: memory is for so many, whatever the
 * collection. All words of the query are added for each such range. False when memory is exhausted. */
bool ragify_accumulator_range (RagifyAccumulator *accumulator, uint32_t first, uint32_t span);

/* Starts a word: it stands in `frequency` of `total` chunks, and `times` in the query. */
void ragify_accumulator_word (RagifyAccumulator *accumulator, double frequency, double total, uint32_t times);

/* The word stands `times` in the chunk with this number, which is one of the range. */
static inline void
ragify_accumulator_add (RagifyAccumulator *accumulator, uint32_t number, uint32_t times)
{
  uint32_t place = number - accumulator->first;
  if (place >= accumulator->span)
    return;
  float length = (float)ragify_roster_length (accumulator->roster, number);
  float tf = (float)times;
  float score = accumulator->weight * tf / (tf + accumulator->floor + accumulator->rise * length);
  float before = accumulator->scores[place];
  accumulator->scores[place] = before + score;
  accumulator->found[accumulator->count] = place;
  accumulator->count += before == 0;
}

/* Ends the query: the best `wanted` hits, best first, into hits[wanted]; how many there are into *found. False when
 * memory is exhausted. */
bool ragify_accumulator_end (RagifyAccumulator *accumulator, RagifyHit *hits, uint32_t *found);

/* Ends it without an answer. */
void ragify_accumulator_abandon (RagifyAccumulator *accumulator);

#ifdef __cplusplus
}
#endif
#endif
