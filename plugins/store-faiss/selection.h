/* A filter on its way through one search, list or removal: which conditions it is made of, what is known of these, and
 * what follows for metadata or rows by operations on whole words. For one thread. */
#ifndef RAGIFY_SELECTION_H
#define RAGIFY_SELECTION_H

#include "database.h"
#include "terms.h"

typedef struct RagifySelection RagifySelection;

/* What a selection lets through of an index. Belongs to the selection, until it is applied again. */
typedef struct RagifyAllowed {
  const uint64_t *base; /* a bit for each row of the approximate index, dead ones left out */
  uint64_t base_set;    /* how many are set */
  const uint64_t *exact;
  uint64_t exact_set;
} RagifyAllowed;

/* [any] For an index of that version (ragify_index_version): a database is asked only about conditions whose rows are
 * not there, or not up to date. `filter` must stay. NULL with a fault. */
RagifySelection *ragify_selection_new (RagifyTerms *terms, const RagifyFilter *filter, RagifyDatabase *database,
                                       uint64_t version, RagifyFault *fault);
void ragify_selection_free (RagifySelection *selection); /* NULL: nothing */

/* [any] What it lets through, while the lock of the index is held. Rows that came after the selection was made, with
 * metadata that it does not know, are not among them. */
bool ragify_selection_apply (RagifySelection *selection, const RagifyLayout *layout, RagifyAllowed *allowed,
                             RagifyFault *fault);

/* [any] The metadata that match a filter, all that the database holds included: a reference of the caller's; NULL with
 * a fault. */
RagifyMatches *
ragify_selection_matches (RagifyTerms *terms, const RagifyFilter *filter, RagifyDatabase *database, RagifyFault *fault);

#endif
