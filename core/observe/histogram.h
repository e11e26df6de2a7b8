/* The buckets of every histogram of seconds.
 *
 * SPDX-License-Identifier: MIT
 *
 * Bounds are the preferred numbers of the Renard series R10 (ISO 3: 1 1.25 1.6 2 2.5 3.15 4 5 6.3 8) from 10 µs to
 * 100 s: a cache hit takes some 10 µs and no deadline is longer than 100 s, ten steps a decade keep an interpolated
 * quantile within 12 % of the true one, and because the bounds never change histograms of different hosts can be added.
 * The exposition shows the round ones, 1, 2 and 5 of each decade: 22 lines and +Inf.
 */
#pragma once

#include <glib.h>

/* Finite bounds; one more bucket holds what lies above the last. */
#define RAGIFY_HISTOGRAM_BOUNDS 71
#define RAGIFY_HISTOGRAM_BUCKETS (RAGIFY_HISTOGRAM_BOUNDS + 1)
/* Buckets that the exposition shows, with +Inf. */
#define RAGIFY_HISTOGRAM_SHOWN 23

/* The bound of bucket `index` in nanoseconds; an observation equal to a bound belongs to its bucket. */
guint64 ragify_histogram_bound (guint index);
/* Which bucket an observation belongs to. */
guint ragify_histogram_bucket (guint64 nanoseconds);
/* Which of the buckets that the exposition shows an observation belongs to. */
guint ragify_histogram_shown (guint64 nanoseconds);
/* How the exposition writes the bound ("0.005"), or NULL for those that it leaves out. */
const char *ragify_histogram_label (guint index);
/* The value in seconds below which `quantile` (0..1) of the observations lie; NAN when there are none. Inside a bucket
 * they are taken to be spread evenly; above the last bound the answer is that bound. */
double ragify_histogram_quantile (const guint64 counts[RAGIFY_HISTOGRAM_BUCKETS], double quantile);
