/* Which query comes next: Zipf (rank r with probability proportional to 1 / r^s), uniform, or each once in order.
 *
 * Zipf samples by binary search in the table of cumulative probabilities: exact, and repeatable for a seed. Which query
 * has which rank is a shuffle by the same seed, since the order of a query file has often a meaning of its own.
 */
#pragma once

#include <glib.h>

typedef enum {
  RAGIFY_DISTRIBUTION_ZIPF,
  RAGIFY_DISTRIBUTION_UNIFORM,
  RAGIFY_DISTRIBUTION_ONCE,
} RagifyDistribution;

typedef struct _RagifyQuerySampler RagifyQuerySampler;

/* count > 0: how many queries there are. exponent: of Zipf, > 0 (ignored otherwise). */
RagifyQuerySampler *
ragify_query_sampler_new (RagifyDistribution distribution, double exponent, guint count, guint64 seed);
void ragify_query_sampler_free (RagifyQuerySampler *sampler);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (RagifyQuerySampler, ragify_query_sampler_free)

/* Reads "zipf", "zipf:S", "uniform" or "once". Returns FALSE when text is none of these (zipf's S defaults to 1, and is
 * 0.01 to 10). */
gboolean ragify_query_sampler_parse (const char *text, RagifyDistribution *distribution, double *exponent);

/* Sets *index to the next query's, 0 .. count − 1. Returns FALSE when `once` has come to its end. */
gboolean ragify_query_sampler_next (RagifyQuerySampler *sampler, guint *index);

/* The probability of the query at the popularity rank (0: the most popular one). */
double ragify_query_sampler_get_probability (const RagifyQuerySampler *sampler, guint rank);

/* The index of the query that has this popularity rank. */
guint ragify_query_sampler_get_index (const RagifyQuerySampler *sampler, guint rank);
