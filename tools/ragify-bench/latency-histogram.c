#include "latency-histogram.h"

#include <math.h>

enum {
  SUB_BITS = 7,
  SUB_BUCKETS = 1 << SUB_BITS,
  BUCKETS = (64 - SUB_BITS + 1) * SUB_BUCKETS,
};

struct _RagifyLatencyHistogram {
  guint64 count;
  guint64 min;
  guint64 max;
  double sum;
  guint64 counts[BUCKETS];
};

RagifyLatencyHistogram *
ragify_latency_histogram_new (void)
{
  RagifyLatencyHistogram *histogram = g_new0 (RagifyLatencyHistogram, 1);
  histogram->min = G_MAXUINT64;
  return histogram;
}

void
ragify_latency_histogram_free (RagifyLatencyHistogram *histogram)
{
  g_free (histogram);
}

/* Bucket group 0 holds 0..127 one by one; group g > 0 holds 128·2^(g−1) .. 2·128·2^(g−1) − 1 in steps of 2^(g−1). */
static guint
bucket_of (guint64 value)
{
  if (value < SUB_BUCKETS)
    return (guint)value;
  guint top = 63U - (guint)__builtin_clzll (value);
  guint shift = top - SUB_BITS;
  return (shift + 1) * SUB_BUCKETS + (guint)((value >> shift) - SUB_BUCKETS);
}

static guint64
upper_edge (guint bucket)
{
  guint group = bucket / SUB_BUCKETS;
  guint64 step = bucket % SUB_BUCKETS;
  if (group == 0)
    return step;
  guint shift = group - 1;
  return ((step + SUB_BUCKETS) << shift) + ((G_GUINT64_CONSTANT (1) << shift) - 1);
}

void
ragify_latency_histogram_record (RagifyLatencyHistogram *histogram, guint64 value)
{
  histogram->counts[bucket_of (value)]++;
  histogram->count++;
  histogram->sum += (double)value;
  histogram->min = MIN (histogram->min, value);
  histogram->max = MAX (histogram->max, value);
}

void
ragify_latency_histogram_merge (RagifyLatencyHistogram *histogram, const RagifyLatencyHistogram *other)
{
  for (guint i = 0; i < BUCKETS; i++)
    histogram->counts[i] += other->counts[i];
  histogram->count += other->count;
  histogram->sum += other->sum;
  histogram->min = MIN (histogram->min, other->min);
  histogram->max = MAX (histogram->max, other->max);
}

guint64
ragify_latency_histogram_get_count (const RagifyLatencyHistogram *histogram)
{
  return histogram->count;
}

guint64
ragify_latency_histogram_get_max (const RagifyLatencyHistogram *histogram)
{
  return histogram->max;
}

guint64
ragify_latency_histogram_get_min (const RagifyLatencyHistogram *histogram)
{
  return histogram->count > 0 ? histogram->min : 0;
}

double
ragify_latency_histogram_get_mean (const RagifyLatencyHistogram *histogram)
{
  return histogram->count > 0 ? histogram->sum / (double)histogram->count : 0;
}

guint64
ragify_latency_histogram_get_percentile (const RagifyLatencyHistogram *histogram, double percentile)
{
  if (histogram->count == 0)
    return 0;
  double rank = ceil (CLAMP (percentile, 0.0, 100.0) / 100 * (double)histogram->count);
  guint64 wanted = MAX (1, (guint64)rank);
  guint64 seen = 0;
  for (guint i = 0; i < BUCKETS; i++) {
    seen += histogram->counts[i];
    if (seen >= wanted)
      return MIN (upper_edge (i), histogram->max);
  }
  return histogram->max;
}
