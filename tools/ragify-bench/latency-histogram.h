/* Durations counted in buckets whose width grows with the value, so that percentiles of any number of requests take
 * constant memory.
 *
 * Each power of two is cut into 128 buckets of equal width: a value of v nanoseconds lies in a bucket at most v / 128
 * wide. A percentile is reported as its bucket's upper edge (but never above the greatest value recorded): it is never
 * too small, and too large by less than 0.79 %. Values below 256 ns are exact, since their buckets are one nanosecond
 * wide. Source of the layout: G. Tene, HdrHistogram (http://hdrhistogram.org), the linear buckets inside logarithmic
 * ones.
 *
 * Not thread-safe: one thread records; merge for more.
 */
#pragma once

#include <glib.h>

typedef struct _RagifyLatencyHistogram RagifyLatencyHistogram;

RagifyLatencyHistogram *ragify_latency_histogram_new (void);
void ragify_latency_histogram_free (RagifyLatencyHistogram *histogram);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (RagifyLatencyHistogram, ragify_latency_histogram_free)

/* value: nanoseconds; any 64-bit value is taken. */
void ragify_latency_histogram_record (RagifyLatencyHistogram *histogram, guint64 value);

/* Adds every count of other. */
void ragify_latency_histogram_merge (RagifyLatencyHistogram *histogram, const RagifyLatencyHistogram *other);

guint64 ragify_latency_histogram_get_count (const RagifyLatencyHistogram *histogram);
guint64 ragify_latency_histogram_get_max (const RagifyLatencyHistogram *histogram); /* exact; 0 when empty */
guint64 ragify_latency_histogram_get_min (const RagifyLatencyHistogram *histogram); /* exact; 0 when empty */
double ragify_latency_histogram_get_mean (const RagifyLatencyHistogram *histogram); /* exact; 0 when empty */

/* The smallest reported value that at least `percentile` percent (0..100) of the values are not above (nearest rank); 0
 * when empty. Nanoseconds. */
guint64 ragify_latency_histogram_get_percentile (const RagifyLatencyHistogram *histogram, double percentile);
