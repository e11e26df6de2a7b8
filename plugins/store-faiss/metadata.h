/* Metadata, kept once however many chunks carry the same, under a number that is never used for another.
 *
 * So a filter is evaluated once for each different metadata, and what it came to stays true: a matcher remembers it for
 * the filters used last, and looks at new metadata only. */
#ifndef RAGIFY_METADATA_H
#define RAGIFY_METADATA_H

#include "connection.h"

#define RAGIFY_METADATA_NONE 0 /* the number of no metadata */

/* The number of a JSON object, which is added where it is new. INVALID where it is not one. On the writing
 * connection. */
bool ragify_metadata_number (RagifyConnection *connection, RagifyStr json, int64_t *number, RagifyFault *fault);

/* Which metadata match a filter, by number. Immutable, counted. */
typedef struct RagifyMatches RagifyMatches;

/* [any] */
bool ragify_matches_has (const RagifyMatches *matches, uint64_t number);
void ragify_matches_unref (RagifyMatches *matches);

typedef struct RagifyMatcher RagifyMatcher;

RagifyMatcher *ragify_matcher_new (void);
void ragify_matcher_free (RagifyMatcher *matcher);

/* [any] What matches the filter, all metadata that the connection sees included. A reference of the caller's. */
RagifyMatches *ragify_matcher_find (RagifyMatcher *matcher, RagifyConnection *connection, const RagifyFilter *filter,
                                    RagifyFault *fault);

#endif
