/* What a series and a family are made of; for metrics.c and metrics-text.c.
 *
 * SPDX-License-Identifier: MIT
 */
#pragma once

#include "metrics.h"

#include <pthread.h>

#include "histogram.h"

typedef struct RagifyFamily RagifyFamily;

/* Cells are 64-bit words that threads add to. They stand in stripes, each on cache lines of its own; a thread adds to
 * one stripe and a reader adds the stripes up, so that threads do not fight for a line. */
struct RagifySeries {
  RagifySeriesType type;
  guint stripes;
  gsize stripe_words;
  guint64 *cells; /* atomic */
  char **labels;  /* name, value, …, NULL */
  double (*read) (void *user);
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

/* A snapshot of a histogram. */
typedef struct RagifyHistogramCounts {
  guint64 buckets[RAGIFY_HISTOGRAM_BUCKETS];
  guint64 count;
  double sum; /* seconds */
} RagifyHistogramCounts;
void ragify_series_histogram (RagifySeries *series, RagifyHistogramCounts *counts);
