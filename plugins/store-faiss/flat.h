/* Vectors in memory, searched exactly.
 *
 * Each row is kept twice: as it came (float), and as 8-bit codes with the length of what the codes lose. A search reads
 * all codes (a quarter of the memory), which bounds each row's score from both sides (Cauchy-Schwarz), and computes the
 * true score only of rows that the bounds leave in the race: the answer is that of a scan over the floats.
 *
 * Rows are numbered 0 … count-1. Not locked: readers may run side by side, a writer runs alone but where said.
 */
#ifndef RAGIFY_FLAT_H
#define RAGIFY_FLAT_H

#include "kernels.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct RagifyFlat RagifyFlat;

/* NULL when memory is exhausted. */
RagifyFlat *ragify_flat_new (uint32_t dimension, const RagifyKernels *kernels);
void ragify_flat_free (RagifyFlat *flat);

uint32_t ragify_flat_count (const RagifyFlat *flat);
uint64_t ragify_flat_row_bytes (const RagifyFlat *flat); /* of memory, for each row */

/* Makes room for rows up to number `rows` - 1; false when memory is exhausted. What is there stays where it is. */
bool ragify_flat_reserve (RagifyFlat *flat, uint32_t rows);
uint32_t ragify_flat_room (const RagifyFlat *flat);

/* Fills a row, for which there is room. One behind the last may be filled while searches go on. */
void ragify_flat_write (RagifyFlat *flat, uint32_t row, const float *vector);

/* Copies a row. */
void ragify_flat_move (RagifyFlat *flat, uint32_t to, uint32_t from);

/* Says how many rows there are: all of them were filled. */
void ragify_flat_resize (RagifyFlat *flat, uint32_t count);

const float *ragify_flat_row (const RagifyFlat *flat, uint32_t row);

/* The score of one row, and a word to the memory that it will be asked for soon. */
float ragify_flat_score (const RagifyFlat *flat, const float *vector, uint32_t row);
void ragify_flat_prefetch (const RagifyFlat *flat, uint32_t row);

/* The best `wanted` rows for a query of any length, best first: keys[] (ragify_top_score, ragify_top_number) holds
 * `wanted` of them, and how many were found goes to *found. `allowed`: a bit for each row (words.h), of which
 * `allowed_count` are set; or NULL, and then all count. false when memory is exhausted. */
bool ragify_flat_search (const RagifyFlat *flat, const float *query, uint32_t wanted, const uint64_t *allowed,
                         uint64_t allowed_count, uint64_t *keys, uint32_t *found);

/* The same in one of its two ways, by name; which one is used above follows from how many rows are allowed. */
bool ragify_flat_search_codes (const RagifyFlat *flat, const float *query, uint32_t wanted, const uint64_t *allowed,
                               uint64_t *keys, uint32_t *found);
bool ragify_flat_search_rows (const RagifyFlat *flat, const float *query, uint32_t wanted, const uint64_t *allowed,
                              uint64_t allowed_count, uint64_t *keys, uint32_t *found);

#endif
