/* Which rows of an index match one condition: a bit for each, kept from search to search.
 *
 * A row of the approximate index never changes its metadata, so its bit holds as long as that index is there. The exact
 * rows are told by blocks, each with the version of the index that changed it last; only blocks that changed since are
 * looked at anew. What was removed is not taken out here but by whoever asks, who knows it. */
#ifndef RAGIFY_ROWS_H
#define RAGIFY_ROWS_H

#include "metadata.h"

#define RAGIFY_ROWS_BLOCK 4096u /* exact rows, a multiple of 64 */

/* An index, as it stands while its lock is held. */
typedef struct RagifyLayout {
  uint64_t version;           /* of all of it; not 0 */
  uint64_t epoch;             /* of the approximate index */
  uint32_t base_count;        /* rows of the approximate index, … */
  uint32_t base_dead;         /* … and how many of them were removed */
  uint32_t exact_count;       /* further rows */
  const uint64_t *base_live;  /* a bit for each row of the approximate index */
  const uint32_t *metadata;   /* by row, the exact ones behind the others */
  const uint64_t *changed_in; /* by block of the exact rows: the version that changed it last */
} RagifyLayout;

static inline uint64_t
ragify_layout_blocks (const RagifyLayout *layout)
{
  return ((uint64_t)layout->exact_count + RAGIFY_ROWS_BLOCK - 1) / RAGIFY_ROWS_BLOCK;
}

/* Immutable, counted. */
typedef struct RagifyRows RagifyRows;

/* [any] Brought up to date from `before` (NULL: made), by what `matches` knows; a row whose metadata it does not know
 * is not among them, and is looked at again next time. NULL when memory is exhausted. */
RagifyRows *ragify_rows_refresh (const RagifyRows *before, const RagifyMatches *matches, const RagifyLayout *layout);

/* [any] The version of the index that they are right for; 0 where some rows' metadata were not known. */
uint64_t ragify_rows_version (const RagifyRows *rows);

/* The approximate index's rows, and behind them, from a word of their own on, the exact ones; how many of each match.
 */
const uint64_t *ragify_rows_words (const RagifyRows *rows);
uint64_t ragify_rows_base_set (const RagifyRows *rows);
uint64_t ragify_rows_exact_set (const RagifyRows *rows);

uint64_t ragify_rows_bytes (const RagifyRows *rows);
RagifyRows *ragify_rows_ref (RagifyRows *rows);
void ragify_rows_unref (RagifyRows *rows); /* NULL: nothing */

#endif
