#include "query-sampler.h"

#include "random-source.h"

#include <math.h>
#include <string.h>

struct _RagifyQuerySampler {
  RagifyDistribution distribution;
  guint count;
  guint given;        /* how many `once` has given */
  double *cumulative; /* Zipf: probability of rank 0 .. r; NULL otherwise */
  guint *index_of_rank;
  RagifyRandomSource random;
};

static double *
make_cumulative (double exponent, guint count)
{
  double *cumulative = g_new (double, count);
  double sum = 0;
  for (guint i = 0; i < count; i++) {
    sum += pow (i + 1.0, -exponent);
    cumulative[i] = sum;
  }
  for (guint i = 0; i < count; i++)
    cumulative[i] /= sum;
  cumulative[count - 1] = 1;
  return cumulative;
}

/* Fisher and Yates. */
static void
shuffle (guint *values, guint count, RagifyRandomSource *random)
{
  for (guint i = count - 1; i > 0; i--) {
    guint j = (guint)(ragify_random_source_next_double (random) * (i + 1.0));
    guint value = values[i];
    values[i] = values[j];
    values[j] = value;
  }
}

RagifyQuerySampler *
ragify_query_sampler_new (RagifyDistribution distribution, double exponent, guint count, guint64 seed)
{
  g_assert (count > 0);
  RagifyQuerySampler *sampler = g_new0 (RagifyQuerySampler, 1);
  sampler->distribution = distribution;
  sampler->count = count;
  ragify_random_source_init (&sampler->random, seed);
  sampler->index_of_rank = g_new (guint, count);
  for (guint i = 0; i < count; i++)
    sampler->index_of_rank[i] = i;
  if (distribution == RAGIFY_DISTRIBUTION_ZIPF) {
    sampler->cumulative = make_cumulative (exponent, count);
    shuffle (sampler->index_of_rank, count, &sampler->random);
  }
  return sampler;
}

void
ragify_query_sampler_free (RagifyQuerySampler *sampler)
{
  if (sampler == NULL)
    return;
  g_free (sampler->cumulative);
  g_free (sampler->index_of_rank);
  g_free (sampler);
}

gboolean
ragify_query_sampler_parse (const char *text, RagifyDistribution *distribution, double *exponent)
{
  *exponent = 1;
  if (strcmp (text, "uniform") == 0)
    *distribution = RAGIFY_DISTRIBUTION_UNIFORM;
  else if (strcmp (text, "once") == 0)
    *distribution = RAGIFY_DISTRIBUTION_ONCE;
  else if (strcmp (text, "zipf") == 0)
    *distribution = RAGIFY_DISTRIBUTION_ZIPF;
  else if (g_str_has_prefix (text, "zipf:")) {
    char *end = NULL;
    *distribution = RAGIFY_DISTRIBUTION_ZIPF;
    *exponent = g_ascii_strtod (text + 5, &end);
    return end != text + 5 && *end == '\0' && *exponent >= 0.01 && *exponent <= 10;
  } else
    return FALSE;
  return TRUE;
}

/* The first rank whose cumulative probability is above u. */
static guint
find_rank (const RagifyQuerySampler *sampler, double u)
{
  guint low = 0;
  guint high = sampler->count - 1;
  while (low < high) {
    guint middle = low + (high - low) / 2;
    if (sampler->cumulative[middle] > u)
      high = middle;
    else
      low = middle + 1;
  }
  return low;
}

gboolean
ragify_query_sampler_next (RagifyQuerySampler *sampler, guint *index)
{
  switch (sampler->distribution) {
  case RAGIFY_DISTRIBUTION_ONCE:
    if (sampler->given == sampler->count)
      return FALSE;
    *index = sampler->given++;
    return TRUE;
  case RAGIFY_DISTRIBUTION_ZIPF:
    *index = sampler->index_of_rank[find_rank (sampler, ragify_random_source_next_double (&sampler->random))];
    return TRUE;
  case RAGIFY_DISTRIBUTION_UNIFORM:
  default:
    *index = (guint)(ragify_random_source_next_double (&sampler->random) * sampler->count);
    return TRUE;
  }
}

double
ragify_query_sampler_get_probability (const RagifyQuerySampler *sampler, guint rank)
{
  if (sampler->cumulative == NULL)
    return 1.0 / sampler->count;
  return sampler->cumulative[rank] - (rank > 0 ? sampler->cumulative[rank - 1] : 0);
}

guint
ragify_query_sampler_get_index (const RagifyQuerySampler *sampler, guint rank)
{
  return sampler->index_of_rank[rank];
}
