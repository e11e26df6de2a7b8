/* Histograms out of a Prometheus text exposition (version 0.0.4), as far as a benchmark needs them. */
#pragma once

#include <glib.h>

/* One histogram, or the difference of two states of it: buckets by their upper edge, each counting what the lower ones
 * count too. */
typedef struct {
  GArray *edges;  /* of double, seconds as a rule; the last is infinite */
  GArray *counts; /* of double, as many */
  double sum;
} RagifyExpositionHistogram;

void ragify_exposition_histogram_free (RagifyExpositionHistogram *histogram);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (RagifyExpositionHistogram, ragify_exposition_histogram_free)

/* Adds up all series of the metric `name` that have the label with that value (label NULL: all of them). Returns NULL
 * when there is none. [any] */
RagifyExpositionHistogram *
ragify_exposition_find_histogram (const char *text, const char *name, const char *label, const char *value);

/* What was counted between two states; before may be NULL. Returns NULL when the buckets differ. [any] */
RagifyExpositionHistogram *
ragify_exposition_histogram_subtract (const RagifyExpositionHistogram *after, const RagifyExpositionHistogram *before);

double ragify_exposition_histogram_get_count (const RagifyExpositionHistogram *histogram);

/* The quantile (0..1), by linear interpolation inside its bucket, as PromQL's histogram_quantile does it; in the bucket
 * without an upper edge, that bucket's lower edge. NaN when nothing was counted. [any] */
double ragify_exposition_histogram_get_quantile (const RagifyExpositionHistogram *histogram, double quantile);

/* The mean; NaN when nothing was counted. [any] */
double ragify_exposition_histogram_get_mean (const RagifyExpositionHistogram *histogram);

/* The sum of all series of a plain metric, or NaN when there is none. label as above. [any] */
double ragify_exposition_find_value (const char *text, const char *name, const char *label, const char *value);
