/* What the conditions of filters let through, kept from search to search: for each condition the metadata and the rows
 * that match it. As many as fit into a given number of bytes; those used longest ago go first. */
#ifndef RAGIFY_TERMS_H
#define RAGIFY_TERMS_H

#include "rows.h"

typedef struct RagifyTerms RagifyTerms;

/* One condition. Counted; it may have been dropped from what is kept, and is good all the same. */
typedef struct RagifyTerm RagifyTerm;

typedef struct RagifyTermsCounts {
  uint64_t terms; /* that are kept */
  uint64_t bytes; /* that these take */
  uint64_t limit;
  uint64_t hits;    /* conditions of searches whose rows were there, up to date */
  uint64_t misses;  /* that were made, or brought up to date */
  uint64_t evicted; /* that had to go */
} RagifyTermsCounts;

/* [control] NULL when memory is exhausted. */
RagifyTerms *ragify_terms_new (uint64_t limit);
void ragify_terms_free (RagifyTerms *terms);

/* [any] */
void ragify_terms_set_limit (RagifyTerms *terms, uint64_t bytes);
RagifyTermsCounts ragify_terms_counts (RagifyTerms *terms);

/* [any] Drops all of them: they are of an index that is going. */
void ragify_terms_clear (RagifyTerms *terms);

/* [any] The condition's term, a reference of the caller's; NULL with a fault. */
RagifyTerm *ragify_terms_find (RagifyTerms *terms, const RagifyFilter *condition, RagifyFault *fault);
void ragify_term_unref (RagifyTerm *term); /* NULL: nothing */

/* [any] What is known of it: references of the caller's, or NULL. */
void ragify_terms_look (RagifyTerms *terms, const RagifyTerm *term, RagifyMatches **matches, RagifyRows **rows);

/* [any] Counts a search in which the term's rows were there, or were not. */
void ragify_terms_note (RagifyTerms *terms, bool hit);

/* [any] The metadata that match, all that the connection sees included: a reference of the caller's; NULL with a fault.
 * One thread evaluates a condition, others that want the same wait for it. */
RagifyMatches *ragify_terms_evaluate (RagifyTerms *terms, RagifyTerm *term, RagifyConnection *connection,
                                      const RagifyFilter *condition, RagifyFault *fault);

/* [any] Keeps rows that were made, unless newer ones are kept already. */
void ragify_terms_keep (RagifyTerms *terms, RagifyTerm *term, RagifyRows *rows);

#endif
