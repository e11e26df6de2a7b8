/* SPDX-License-Identifier: MIT */
#include "histogram.h"

#include <math.h>

/* Nanoseconds. */
static const guint64 bounds[RAGIFY_HISTOGRAM_BOUNDS] = {
  10000,       12500,       16000,       20000,       25000,       31500,       40000,       50000,        63000,
  80000,       100000,      125000,      160000,      200000,      250000,      315000,      400000,       500000,
  630000,      800000,      1000000,     1250000,     1600000,     2000000,     2500000,     3150000,      4000000,
  5000000,     6300000,     8000000,     10000000,    12500000,    16000000,    20000000,    25000000,     31500000,
  40000000,    50000000,    63000000,    80000000,    100000000,   125000000,   160000000,   200000000,    250000000,
  315000000,   400000000,   500000000,   630000000,   800000000,   1000000000,  1250000000,  1600000000,   2000000000,
  2500000000,  3150000000,  4000000000,  5000000000,  6300000000,  8000000000,  10000000000, 12500000000,  16000000000,
  20000000000, 25000000000, 31500000000, 40000000000, 50000000000, 63000000000, 80000000000, 100000000000,
};

/* Of the bounds 1, 2 and 5 of each decade. */
static const char *const labels[] = {
  "1e-05", "2e-05", "5e-05", "0.0001", "0.0002", "0.0005", "0.001", "0.002", "0.005", "0.01", "0.02",
  "0.05",  "0.1",   "0.2",   "0.5",    "1.0",    "2.0",    "5.0",   "10.0",  "20.0",  "50.0", "100.0",
};

guint64
ragify_histogram_bound (guint index)
{
  return bounds[index];
}

guint
ragify_histogram_bucket (guint64 nanoseconds)
{
  guint low = 0;
  guint high = RAGIFY_HISTOGRAM_BOUNDS;
  while (low < high) {
    const guint middle = (low + high) / 2;
    if (nanoseconds <= bounds[middle])
      high = middle;
    else
      low = middle + 1;
  }
  return low;
}

guint
ragify_histogram_shown (guint64 nanoseconds)
{
  const guint bucket = ragify_histogram_bucket (nanoseconds);
  guint shown = 0;
  for (guint i = 0; i < bucket; i++)
    if (ragify_histogram_label (i) != NULL)
      shown++;
  return shown;
}

const char *
ragify_histogram_label (guint index)
{
  switch (index % 10) {
  case 0:
    return labels[index / 10 * 3];
  case 3:
    return labels[index / 10 * 3 + 1];
  case 7:
    return labels[index / 10 * 3 + 2];
  default:
    return NULL;
  }
}

double
ragify_histogram_quantile (const guint64 counts[RAGIFY_HISTOGRAM_BUCKETS], double quantile)
{
  guint64 total = 0;
  for (guint i = 0; i < RAGIFY_HISTOGRAM_BUCKETS; i++)
    total += counts[i];
  if (total == 0 || isnan (quantile))
    return NAN;

  const double rank = CLAMP (quantile, 0, 1) * (double)total;
  double below = 0;
  for (guint i = 0; i < RAGIFY_HISTOGRAM_BOUNDS; i++) {
    const double inside = (double)counts[i];
    if (inside > 0 && below + inside >= rank) {
      const double from = i == 0 ? 0 : (double)bounds[i - 1];
      return (from + ((double)bounds[i] - from) * (rank - below) / inside) / 1e9;
    }
    below += inside;
  }
  return (double)bounds[RAGIFY_HISTOGRAM_BOUNDS - 1] / 1e9;
}
