/* The performance tracker: what became of each operation, as totals since the start and as the samples seen last.
 *
 * SPDX-License-Identifier: MIT
 *
 * Totals are exact; p50, p95 and p99 of the summary come from a histogram with the buckets of core/observe/histogram.h,
 * so that those of several hosts can be added. An export has the last samples (1,000 of each operation) and the
 * percentiles of these, by linear interpolation between closest ranks. Memory is constant: so many operations, so many
 * samples.
 */
#pragma once

#include <glib.h>

typedef struct RagifyTracker RagifyTracker;
typedef struct RagifyTracked RagifyTracked;

typedef struct RagifyTrackedSample {
  guint64 duration_us;
  gboolean failed;
  guint status;           /* of HTTP */
  const char *error;      /* in words, shortened; NULL: none, or not known */
  const char *request_id; /* shortened to 36 characters; NULL: none */
  const char *cache;      /* constant; NULL: not known */
  guint chunks;
} RagifyTrackedSample;

RagifyTracker *ragify_tracker_new (void);
void ragify_tracker_free (RagifyTracker *tracker);

/* The operation of that name, made where it is new; past 500 of them one that is called "other". [any] */
RagifyTracked *ragify_tracker_operation (RagifyTracker *tracker, const char *name);
/* NULL `tracked` is allowed: nothing is recorded. [any] */
void ragify_tracker_record (RagifyTracked *tracked, const RagifyTrackedSample *sample);

/* Appends {"NAME": {"total":…,"successful":…,"failed":…,"success_rate":…,"average":…,"minimum":…,"maximum":…,"p50":…,
 * "p95":…,"p99":…,"first":…,"last":…,"errors":{"TEXT":COUNT}}, …}: times as RFC 3339, durations in seconds, of
 * operations that took place. With `samples` each has also "samples": the last ones, the oldest first, and
 * "sample_percentiles". [any] */
void ragify_tracker_write (RagifyTracker *tracker, GString *json, gboolean samples);
