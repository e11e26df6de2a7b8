/* Metrics: counters, gauges and histograms, written without locks and read as Prometheus text.
 *
 * SPDX-License-Identifier: MIT
 *
 * A family has a name and a help text; a series is a family with label values. Find series once, at load; adding to
 * one afterwards is a relaxed atomic operation.
 */
#pragma once

#include <glib.h>

typedef struct RagifyMetrics RagifyMetrics;
typedef struct RagifySeries RagifySeries;

typedef enum {
  RAGIFY_SERIES_COUNTER,
  RAGIFY_SERIES_GAUGE,
  RAGIFY_SERIES_HISTOGRAM, /* of seconds */
  RAGIFY_SERIES_SIZES,     /* a histogram of whole numbers; bounds 1, 2, 4 … 65,536 */
} RagifySeriesType;

RagifyMetrics *ragify_metrics_new (void);
void ragify_metrics_free (RagifyMetrics *metrics);

/* The series of `name` with the labels given as name, value, name, value, …, NULL; made where it is new. Values are
 * escaped at output. The number of series of a family is bounded (10,000): past that, one with the label values
 * "other". [any] */
RagifySeries *ragify_metrics_series (RagifyMetrics *metrics, RagifySeriesType type, const char *name, const char *help,
                                     ...) G_GNUC_NULL_TERMINATED;

/* A gauge or counter whose value is asked when it is read. [control] */
void ragify_metrics_callback (RagifyMetrics *metrics, RagifySeriesType type, const char *name, const char *help,
                              double (*read) (void *user), void *user);

void ragify_series_add (RagifySeries *series, double amount);      /* [any] */
void ragify_series_set (RagifySeries *series, double value);       /* [any] gauges */
void ragify_series_observe (RagifySeries *series, double seconds); /* [any] histograms */
void ragify_series_count (RagifySeries *series, guint64 size);     /* [any] sizes */
/* As observe, and where `trace_id` (NULL: none) is the trace of it, that is the bucket's exemplar from now on. [any] */
void ragify_series_observe_traced (RagifySeries *series, double seconds, const char *trace_id);
double ragify_series_value (RagifySeries *series); /* [any] the count, for histograms */
double ragify_series_sum (RagifySeries *series);   /* [any] of all observations; histograms */
/* How many observations each bucket of core/observe/histogram.h has. [any] */
void ragify_series_buckets (RagifySeries *series, guint64 *counts);
/* The value below which `quantile` (0..1) of the observations lie, interpolated inside a bucket; NAN when none. [any]
 */
double ragify_series_quantile (RagifySeries *series, double quantile);

/* Calls `visit` for every series: families by name (a counter's without "_total"), series in the order of their making,
 * `labels` as name, value, …, NULL. No series may be made inside it. [any] */
typedef void (*RagifySeriesVisit) (const char *name, RagifySeriesType type, const char *const *labels,
                                   RagifySeries *series, void *user);
void ragify_metrics_visit (RagifyMetrics *metrics, RagifySeriesVisit visit, void *user);

/* Appends the exposition: Prometheus text 0.0.4, or OpenMetrics 1.0, which alone has exemplars. [any] */
void ragify_metrics_write (RagifyMetrics *metrics, GString *out, gboolean openmetrics);
