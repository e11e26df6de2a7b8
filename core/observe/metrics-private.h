/* What a series and a family are made of; for metrics.c and metrics-text.c.
 *
 * SPDX-License-Identifier: MIT
 */
#pragma once

#include "metrics.h"

#include <pthread.h>

#include "histogram.h"

typedef struct RagifyFamily RagifyFamily;

/* One observation of a bucket that is shown, by the trace that it was a part of. */
typedef struct RagifyExemplar {
  char trace_id[33]; /* empty: there is none */
  double value;      /* seconds */
  gint64 at;         /* µs since 1970 */
} RagifyExemplar;

typedef struct RagifyExemplars {
  pthread_mutex_t lock;
  RagifyExemplar by_bucket[RAGIFY_HISTOGRAM_SHOWN]; /* the last is that of +Inf */
} RagifyExemplars;

/* Cells are 64-bit words that threads add to. They stand in stripes, each on cache lines of its own; a thread adds to
 * one stripe and a reader adds the stripes up, so that threads do not fight for a line. */
struct RagifySeries {
  RagifySeriesType type;
  guint stripes;
  gsize stripe_words;
  guint64 *cells; /* atomic */
  char **labels;  /* name, value, …, NULL */
  double (*read) (void *user);
  RagifyExemplars *exemplars; /* atomic; histograms; NULL: there is none yet */
  void *user;
};

struct RagifyFamily {
  char *name; /* a counter's without "_total" */
  char *help;
  RagifySeriesType type;
  GPtrArray *series;      /* in the order of their making */
  GHashTable *by_labels;  /* joined labels → series */
  RagifySeries *overflow; /* once the bound is reached */
};

struct RagifyMetrics {
  pthread_mutex_t lock; /* the tables; values need none */
  GPtrArray *families;  /* by name */
  GPtrArray *strays;    /* series that could not be a part of their family */
  guint stripes;
};

/* Finite bounds of sizes; one more bucket holds what is larger. They stand where those of seconds do. */
#define RAGIFY_SIZES_BOUNDS 17u

/* A snapshot of a histogram; of sizes the sum is one of sizes. */
typedef struct RagifyHistogramCounts {
  guint64 buckets[RAGIFY_HISTOGRAM_BUCKETS];
  guint64 count;
  double sum; /* seconds */
} RagifyHistogramCounts;
void ragify_series_histogram (RagifySeries *series, RagifyHistogramCounts *counts);
/* All of them; FALSE: the series has none. */
gboolean ragify_series_exemplars (RagifySeries *series, RagifyExemplar exemplars[RAGIFY_HISTOGRAM_SHOWN]);
