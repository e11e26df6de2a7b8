/* Metadata filters: from JSON to the tree of the plugin ABI, and their meaning.
 *
 * SPDX-License-Identifier: MIT
 *
 *   {"lang": "en", "year": {"gte": 2020, "lt": 2024}, "or": [{"team": {"in": ["a", "b"]}}, {"not": {"draft": true}}]}
 *
 * Members side by side must all hold. A member is `and` or `or` with a list of filters, `not` with a filter, or the
 * name of a metadata member with a value (equal) or with an object of comparisons: eq ne gt gte lt lte in nin.
 */
#pragma once

#include <jansson.h>

#include "core/call/arena.h"
#include "request.h"

#define RAGIFY_FILTER_MAX_DEPTH 16    /* nested and, or, not */
#define RAGIFY_FILTER_MAX_NODES 256   /* comparisons and combinations in all */
#define RAGIFY_FILTER_MAX_VALUES 1000 /* of one in or nin */

/* Builds the tree in `arena`, texts copied. NULL for a filter without a condition, which everything matches; FALSE with
 * a problem (422, field `filter…`). [any] */
gboolean
ragify_filter_parse (RagifyArena *arena, const json_t *json, const RagifyFilter **filter, RagifyProblem *problem);

/* Whether metadata (one JSON object as text; empty, or anything else: no members) matches. A missing member matches no
 * comparison, not even ne and nin. Values of different types are not equal and not ordered; integers and doubles are
 * one type; texts are ordered by their bytes. [any] */
gboolean ragify_filter_matches (const RagifyFilter *filter, RagifyStr metadata);
