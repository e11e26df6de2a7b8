/* The meaning of a RagifyFilter, and its canonical form.
 *
 * A missing member matches no comparison, not even NE and NIN. Values of different types are not equal and not ordered;
 * integers and doubles are one type; texts are ordered by their bytes. All [any]. */
#ifndef RAGIFY_JSON_CONDITION_H
#define RAGIFY_JSON_CONDITION_H

#include "fault.h"

#include <stddef.h>

/* Filters that are nested deeper, or have more nodes and values in all, are refused. */
#define RAGIFY_CONDITION_DEPTH 64u
#define RAGIFY_CONDITION_NODES 100000u

/* The filter as bytes: equal for equal filters. Owned by the caller. NULL with a fault where it is not well formed or
 * too large. */
uint8_t *ragify_condition_key (const RagifyFilter *filter, size_t *size, RagifyFault *fault);

/* Whether metadata matches: one JSON object as text, or empty for none. The filter has passed ragify_condition_key. */
bool ragify_condition_matches (const RagifyFilter *filter, RagifyStr metadata);

/* Whether the text is a JSON object. */
bool ragify_condition_is_object (RagifyStr metadata);

#endif
