/* SPDX-License-Identifier: MIT */
#include "metrics-private.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_SERIES 10000
#define CACHE_LINE 64
/* After the buckets of a histogram: the sum of all observations in ns. */
#define SUM_WORD RAGIFY_HISTOGRAM_BUCKETS

/* Which stripe this thread adds to. Threads number themselves at their first observation. */
static guint
thread_number (void)
{
  static guint threads; /* atomic */
  static _Thread_local guint number;
  if (number == 0)
    number = 1 + __atomic_fetch_add (&threads, 1, __ATOMIC_RELAXED);
  return number - 1;
}

static guint64 *
own_stripe (RagifySeries *series)
{
  return series->cells + series->stripe_words * (thread_number () % series->stripes);
}

static double
word_to_double (guint64 word)
{
  double value;
  memcpy (&value, &word, sizeof value);
  return value;
}

static guint64
double_to_word (double value)
{
  guint64 word;
  memcpy (&word, &value, sizeof word);
  return word;
}

static void
add_double (guint64 *cell, double amount)
{
  guint64 old = __atomic_load_n (cell, __ATOMIC_RELAXED);
  guint64 new;
  do {
    new = double_to_word (word_to_double (old) + amount);
  } while (!__atomic_compare_exchange_n (cell, &old, new, TRUE, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
}

/* A gauge can be set, which only one cell allows. */
static guint
stripes_for (const RagifyMetrics *metrics, RagifySeriesType type)
{
  return type == RAGIFY_SERIES_GAUGE ? 1 : metrics->stripes;
}

static RagifySeries *
series_new (const RagifyMetrics *metrics, RagifySeriesType type, char **labels)
{
  const gsize words = type == RAGIFY_SERIES_HISTOGRAM || type == RAGIFY_SERIES_SIZES ? SUM_WORD + 1 : 1;
  const gsize per_line = CACHE_LINE / sizeof (guint64);
  RagifySeries *series = g_new0 (RagifySeries, 1);
  series->type = type;
  series->labels = labels;
  series->stripes = stripes_for (metrics, type);
  series->stripe_words = (words + per_line - 1) / per_line * per_line;
  const gsize size = series->stripes * series->stripe_words * sizeof (guint64);
  series->cells = g_aligned_alloc0 (1, size, CACHE_LINE);
  return series;
}

static void
exemplars_free (RagifyExemplars *exemplars)
{
  pthread_mutex_destroy (&exemplars->lock);
  g_free (exemplars);
}

static void
series_free (void *data)
{
  RagifySeries *series = data;
  if (series->exemplars != NULL)
    exemplars_free (series->exemplars);
  g_aligned_free (series->cells);
  g_strfreev (series->labels);
  g_free (series);
}

static void
family_free (void *data)
{
  RagifyFamily *family = data;
  g_ptr_array_unref (family->series);
  g_hash_table_unref (family->by_labels);
  g_free (family->name);
  g_free (family->help);
  g_free (family);
}

RagifyMetrics *
ragify_metrics_new (void)
{
  RagifyMetrics *metrics = g_new0 (RagifyMetrics, 1);
  pthread_mutex_init (&metrics->lock, NULL);
  metrics->families = g_ptr_array_new_with_free_func (family_free);
  metrics->strays = g_ptr_array_new_with_free_func (series_free);
  metrics->stripes = CLAMP (g_get_num_processors (), 1, 8);
  return metrics;
}

void
ragify_metrics_free (RagifyMetrics *metrics)
{
  if (metrics == NULL)
    return;
  g_ptr_array_unref (metrics->families);
  g_ptr_array_unref (metrics->strays);
  pthread_mutex_destroy (&metrics->lock);
  g_free (metrics);
}

/* [a-zA-Z_][a-zA-Z0-9_]*; the colon is for recording rules. */
static char *
clean_name (const char *name)
{
  char *clean = g_str_to_ascii (name, "C");
  for (char *c = clean; *c != '\0'; c++)
    if (!g_ascii_isalnum (*c) && *c != '_')
      *c = '_';
  if (!g_ascii_isdigit (clean[0]) && clean[0] != '\0')
    return clean;
  char *longer = g_strconcat ("_", clean, NULL);
  g_free (clean);
  return longer;
}

/* "_total" belongs to a counter's sample, not to its family. */
static char *
family_name (RagifySeriesType type, const char *name)
{
  char *clean = clean_name (name);
  if (type == RAGIFY_SERIES_COUNTER && g_str_has_suffix (clean, "_total"))
    clean[strlen (clean) - strlen ("_total")] = '\0';
  return clean;
}

/* Where `name` is among the families, or would be. Lock held. */
static guint
find_place (const RagifyMetrics *metrics, const char *name, gboolean *found)
{
  guint low = 0;
  guint high = metrics->families->len;
  while (low < high) {
    const guint middle = (low + high) / 2;
    const RagifyFamily *family = metrics->families->pdata[middle];
    if (strcmp (family->name, name) < 0)
      low = middle + 1;
    else
      high = middle;
  }
  *found = low < metrics->families->len && strcmp (((RagifyFamily *)metrics->families->pdata[low])->name, name) == 0;
  return low;
}

/* Lock held. NULL where the name is taken by a family of another type. */
static RagifyFamily *
find_family (RagifyMetrics *metrics, RagifySeriesType type, const char *name, const char *help)
{
  g_autofree char *base = family_name (type, name);
  gboolean found = FALSE;
  const guint place = find_place (metrics, base, &found);
  if (found) {
    RagifyFamily *family = metrics->families->pdata[place];
    return family->type == type ? family : NULL;
  }

  RagifyFamily *family = g_new0 (RagifyFamily, 1);
  family->name = g_steal_pointer (&base);
  family->help = g_utf8_make_valid (help != NULL ? help : "", -1);
  family->type = type;
  family->series = g_ptr_array_new_with_free_func (series_free);
  family->by_labels = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  g_ptr_array_insert (metrics->families, (int)place, family);
  return family;
}

/* Adds a label as it is written, and to the key that tells series apart. */
static void
add_label (GStrvBuilder *labels, GString *key, const char *name, const char *value)
{
  g_autofree char *clean = clean_name (name);
  g_autofree char *valid = g_utf8_make_valid (value != NULL ? value : "", -1);
  g_string_append_printf (key, "%s%c%s%c", clean, 1, valid, 2);
  g_strv_builder_add (labels, clean);
  g_strv_builder_add (labels, valid);
}

/* The series past the bound: all its values are "other". Lock held. */
static RagifySeries *
overflow_series (RagifyMetrics *metrics, RagifyFamily *family, char **labels)
{
  if (family->overflow == NULL) {
    char **copy = g_strdupv (labels);
    for (guint i = 0; copy[i] != NULL; i += 2) {
      g_free (copy[i + 1]);
      copy[i + 1] = g_strdup ("other");
    }
    family->overflow = series_new (metrics, family->type, copy);
    g_ptr_array_add (family->series, family->overflow);
  }
  return family->overflow;
}

/* Takes `labels`. Lock held. */
static RagifySeries *
find_series (RagifyMetrics *metrics, RagifyFamily *family, char **labels, const char *key)
{
  RagifySeries *series = g_hash_table_lookup (family->by_labels, key);
  if (series == NULL && family->series->len < MAX_SERIES) {
    series = series_new (metrics, family->type, g_steal_pointer (&labels));
    g_ptr_array_add (family->series, series);
    g_hash_table_insert (family->by_labels, g_strdup (key), series);
  } else if (series == NULL) {
    series = overflow_series (metrics, family, labels);
  }
  g_strfreev (labels);
  return series;
}

RagifySeries *
ragify_metrics_series (RagifyMetrics *metrics, RagifySeriesType type, const char *name, const char *help, ...)
{
  g_autoptr (GString) key = g_string_new (NULL);
  g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();
  va_list pairs;
  va_start (pairs, help);
  for (const char *label = va_arg (pairs, const char *); label != NULL; label = va_arg (pairs, const char *))
    add_label (builder, key, label, va_arg (pairs, const char *));
  va_end (pairs);
  char **labels = g_strv_builder_end (builder);

  pthread_mutex_lock (&metrics->lock);
  RagifyFamily *family = find_family (metrics, type, name, help);
  RagifySeries *series = NULL;
  if (family != NULL) {
    series = find_series (metrics, family, labels, key->str);
  } else {
    series = series_new (metrics, type, labels);
    g_ptr_array_add (metrics->strays, series);
  }
  pthread_mutex_unlock (&metrics->lock);
  if (family == NULL)
    g_critical ("metric %s is already there with another type; this one is not shown", name);
  return series;
}

void
ragify_metrics_callback (RagifyMetrics *metrics, RagifySeriesType type, const char *name, const char *help,
                         double (*read) (void *user), void *user)
{
  RagifySeries *series = ragify_metrics_series (metrics, type, name, help, NULL);
  pthread_mutex_lock (&metrics->lock);
  series->user = user;
  series->read = read;
  pthread_mutex_unlock (&metrics->lock);
}

void
ragify_series_add (RagifySeries *series, double amount)
{
  if (series->type <= RAGIFY_SERIES_GAUGE)
    add_double (own_stripe (series), amount);
}

void
ragify_series_set (RagifySeries *series, double value)
{
  if (series->type == RAGIFY_SERIES_GAUGE)
    __atomic_store_n (series->cells, double_to_word (value), __ATOMIC_RELAXED);
}

void
ragify_series_observe (RagifySeries *series, double seconds)
{
  if (series->type != RAGIFY_SERIES_HISTOGRAM || isnan (seconds))
    return;
  /* The clamp is at 31 years: past it the sum could wrap. */
  const guint64 nanoseconds = (guint64)(CLAMP (seconds, 0, 1e9) * 1e9 + 0.5);
  guint64 *stripe = own_stripe (series);
  __atomic_fetch_add (stripe + ragify_histogram_bucket (nanoseconds), 1, __ATOMIC_RELAXED);
  __atomic_fetch_add (stripe + SUM_WORD, nanoseconds, __ATOMIC_RELAXED);
}

void
ragify_series_count (RagifySeries *series, guint64 size)
{
  if (series->type != RAGIFY_SERIES_SIZES)
    return;
  guint bucket = 0;
  while (bucket < RAGIFY_SIZES_BOUNDS && ((guint64)1 << bucket) < size)
    bucket++;
  guint64 *stripe = own_stripe (series);
  __atomic_fetch_add (stripe + bucket, 1, __ATOMIC_RELAXED);
  __atomic_fetch_add (stripe + SUM_WORD, size, __ATOMIC_RELAXED);
}

static RagifyExemplars *
exemplars_of (RagifySeries *series)
{
  RagifyExemplars *there = __atomic_load_n (&series->exemplars, __ATOMIC_ACQUIRE);
  if (there != NULL)
    return there;
  RagifyExemplars *made = g_new0 (RagifyExemplars, 1);
  pthread_mutex_init (&made->lock, NULL);
  if (__atomic_compare_exchange_n (&series->exemplars, &there, made, FALSE, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
    return made;
  exemplars_free (made);
  return there;
}

void
ragify_series_observe_traced (RagifySeries *series, double seconds, const char *trace_id)
{
  ragify_series_observe (series, seconds);
  if (trace_id == NULL || series->type != RAGIFY_SERIES_HISTOGRAM || isnan (seconds))
    return;
  const double value = CLAMP (seconds, 0, 1e9);
  RagifyExemplars *exemplars = exemplars_of (series);
  RagifyExemplar *exemplar = &exemplars->by_bucket[ragify_histogram_shown ((guint64)(value * 1e9 + 0.5))];
  pthread_mutex_lock (&exemplars->lock);
  g_strlcpy (exemplar->trace_id, trace_id, sizeof exemplar->trace_id);
  exemplar->value = value;
  exemplar->at = g_get_real_time ();
  pthread_mutex_unlock (&exemplars->lock);
}

gboolean
ragify_series_exemplars (RagifySeries *series, RagifyExemplar exemplars[RAGIFY_HISTOGRAM_SHOWN])
{
  RagifyExemplars *there = __atomic_load_n (&series->exemplars, __ATOMIC_ACQUIRE);
  if (there == NULL)
    return FALSE;
  pthread_mutex_lock (&there->lock);
  memcpy (exemplars, there->by_bucket, sizeof there->by_bucket);
  pthread_mutex_unlock (&there->lock);
  return TRUE;
}

void
ragify_series_histogram (RagifySeries *series, RagifyHistogramCounts *counts)
{
  *counts = (RagifyHistogramCounts){ 0 };
  for (guint s = 0; s < series->stripes; s++) {
    const guint64 *stripe = series->cells + s * series->stripe_words;
    for (guint i = 0; i < RAGIFY_HISTOGRAM_BUCKETS; i++) {
      const guint64 count = __atomic_load_n (stripe + i, __ATOMIC_RELAXED);
      counts->buckets[i] += count;
      counts->count += count;
    }
    const guint64 sum = __atomic_load_n (stripe + SUM_WORD, __ATOMIC_RELAXED);
    counts->sum += series->type == RAGIFY_SERIES_SIZES ? (double)sum : (double)sum / 1e9;
  }
}

double
ragify_series_value (RagifySeries *series)
{
  if (series->type > RAGIFY_SERIES_GAUGE) {
    RagifyHistogramCounts counts;
    ragify_series_histogram (series, &counts);
    return (double)counts.count;
  }
  if (series->read != NULL)
    return series->read (series->user);
  double value = 0;
  for (guint s = 0; s < series->stripes; s++)
    value += word_to_double (__atomic_load_n (series->cells + s * series->stripe_words, __ATOMIC_RELAXED));
  return value;
}

double
ragify_series_sum (RagifySeries *series)
{
  RagifyHistogramCounts counts = { 0 };
  if (series->type > RAGIFY_SERIES_GAUGE)
    ragify_series_histogram (series, &counts);
  return counts.sum;
}

void
ragify_series_buckets (RagifySeries *series, guint64 *counts)
{
  RagifyHistogramCounts all = { 0 };
  if (series->type == RAGIFY_SERIES_HISTOGRAM)
    ragify_series_histogram (series, &all);
  memcpy (counts, all.buckets, sizeof all.buckets);
}

double
ragify_series_quantile (RagifySeries *series, double quantile)
{
  if (series->type != RAGIFY_SERIES_HISTOGRAM)
    return NAN;
  RagifyHistogramCounts counts;
  ragify_series_histogram (series, &counts);
  return ragify_histogram_quantile (counts.buckets, quantile);
}

void
ragify_metrics_visit (RagifyMetrics *metrics, RagifySeriesVisit visit, void *user)
{
  pthread_mutex_lock (&metrics->lock);
  for (guint f = 0; f < metrics->families->len; f++) {
    const RagifyFamily *family = metrics->families->pdata[f];
    for (guint s = 0; s < family->series->len; s++) {
      RagifySeries *series = family->series->pdata[s];
      visit (family->name, family->type, (const char *const *)series->labels, series, user);
    }
  }
  pthread_mutex_unlock (&metrics->lock);
}
