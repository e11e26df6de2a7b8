/* Metadata, kept once however many chunks carry the same, under a number that is never used for another.
 *
 * So a condition is evaluated once for each different metadata, and what it came to stays true: later only new metadata
 * are looked at. */
#ifndef RAGIFY_METADATA_H
#define RAGIFY_METADATA_H

#include "connection.h"

#define RAGIFY_METADATA_NONE 0 /* the number of no metadata */

/* The number of a JSON object, which is added where it is new. INVALID where it is not one. On the writing
 * connection. */
bool ragify_metadata_number (RagifyConnection *connection, RagifyStr json, int64_t *number, RagifyFault *fault);

/* The largest number that was given as far as the connection sees; whoever had it may be gone, but for rows of an index
 * that were removed. */
bool ragify_metadata_newest (RagifyConnection *connection, uint64_t *newest, RagifyFault *fault);

/* Which metadata match a condition: a bit for each number up to `known`, the largest that was looked at. Immutable,
 * counted. */
typedef struct RagifyMatches RagifyMatches;

/* [any] What matches the filter among the numbers up to `newest`, of which `before` (NULL: none) tells the first. A
 * reference of the caller's. */
RagifyMatches *ragify_matches_evaluate (RagifyConnection *connection, const RagifyFilter *filter,
                                        const RagifyMatches *before, uint64_t newest, RagifyFault *fault);

/* [any] Replaces them by what matches the same filter among all numbers that the connection sees, where there are more.
 */
bool ragify_matches_catch_up (RagifyConnection *connection, const RagifyFilter *filter, RagifyMatches **matches,
                              RagifyFault *fault);

/* Numbers up to `known`, none of which is in it yet; ragify_matches_words can be filled before anybody else has it.
 * NULL when memory is exhausted. */
RagifyMatches *ragify_matches_new (uint64_t known);

/* [any] */
bool ragify_matches_has (const RagifyMatches *matches, uint64_t number);
uint64_t ragify_matches_known (const RagifyMatches *matches);
uint64_t *ragify_matches_words (RagifyMatches *matches);
const uint64_t *ragify_matches_bits (const RagifyMatches *matches);
uint64_t ragify_matches_bytes (const RagifyMatches *matches);
RagifyMatches *ragify_matches_ref (RagifyMatches *matches);
void ragify_matches_unref (RagifyMatches *matches); /* NULL: nothing */

#endif
