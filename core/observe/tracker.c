/* SPDX-License-Identifier: MIT */
#include "core/observe/tracker.h"

#include <jansson.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/observe/histogram.h"

#define MOST_OPERATIONS 500u
#define SAMPLES 1000u
#define STRIPES 4u
#define ERRORS 8u
#define ERROR_SIZE 80u

typedef struct Sample {
  gint64 at; /* µs since 1970 */
  guint64 duration_us;
  const char *cache;
  guint chunks;
  guint16 status;
  gboolean failed;
  char request_id[37];
  char error[ERROR_SIZE];
} Sample;

/* Threads record into different stripes, so that they do not wait for each other. */
typedef struct Stripe {
  pthread_mutex_t lock; /* guards what follows */
  guint64 total, failed, sum_us, least_us, most_us;
  gint64 first, last;
  guint64 counts[RAGIFY_HISTOGRAM_BUCKETS];
  Sample *samples; /* SAMPLES / STRIPES, made with the first */
  guint next, n_samples;
} Stripe;

struct RagifyTracked {
  char *name;
  Stripe stripes[STRIPES];
};

struct RagifyTracker {
  pthread_mutex_t lock;  /* guards what follows */
  GPtrArray *operations; /* RagifyTracked, in the order of their making */
  GHashTable *by_name;
};

static void
tracked_free (gpointer data)
{
  RagifyTracked *tracked = data;
  for (guint i = 0; i < STRIPES; i++) {
    pthread_mutex_destroy (&tracked->stripes[i].lock);
    g_free (tracked->stripes[i].samples);
  }
  g_free (tracked->name);
  g_free (tracked);
}

RagifyTracker *
ragify_tracker_new (void)
{
  RagifyTracker *tracker = g_new0 (RagifyTracker, 1);
  pthread_mutex_init (&tracker->lock, NULL);
  tracker->operations = g_ptr_array_new_with_free_func (tracked_free);
  tracker->by_name = g_hash_table_new (g_str_hash, g_str_equal);
  return tracker;
}

void
ragify_tracker_free (RagifyTracker *tracker)
{
  if (tracker == NULL)
    return;
  g_hash_table_unref (tracker->by_name);
  g_ptr_array_unref (tracker->operations);
  pthread_mutex_destroy (&tracker->lock);
  g_free (tracker);
}

RagifyTracked *
ragify_tracker_operation (RagifyTracker *tracker, const char *name)
{
  pthread_mutex_lock (&tracker->lock);
  RagifyTracked *tracked = g_hash_table_lookup (tracker->by_name, name);
  if (tracked == NULL && tracker->operations->len >= MOST_OPERATIONS) {
    name = "other";
    tracked = g_hash_table_lookup (tracker->by_name, name);
  }
  if (tracked == NULL) {
    tracked = g_new0 (RagifyTracked, 1);
    tracked->name = g_utf8_make_valid (name, -1);
    for (guint i = 0; i < STRIPES; i++)
      pthread_mutex_init (&tracked->stripes[i].lock, NULL);
    g_ptr_array_add (tracker->operations, tracked);
    g_hash_table_insert (tracker->by_name, tracked->name, tracked);
  }
  pthread_mutex_unlock (&tracker->lock);
  return tracked;
}

/* ---- recording ---- */

static Stripe *
own_stripe (RagifyTracked *tracked)
{
  static guint threads; /* atomic */
  static _Thread_local guint number;
  if (number == 0)
    number = 1 + __atomic_fetch_add (&threads, 1, __ATOMIC_RELAXED);
  return &tracked->stripes[(number - 1) % STRIPES];
}

static void
keep_sample (Stripe *stripe, const RagifyTrackedSample *from, gint64 at)
{
  if (stripe->samples == NULL)
    stripe->samples = g_new0 (Sample, SAMPLES / STRIPES);
  Sample *sample = &stripe->samples[stripe->next];
  sample->at = at;
  sample->duration_us = from->duration_us;
  sample->cache = from->cache;
  sample->chunks = from->chunks;
  sample->status = (guint16)from->status;
  sample->failed = from->failed;
  g_strlcpy (sample->request_id, from->request_id != NULL ? from->request_id : "", sizeof sample->request_id);
  g_strlcpy (sample->error, from->error != NULL ? from->error : "", sizeof sample->error);
  stripe->next = (stripe->next + 1) % (SAMPLES / STRIPES);
  stripe->n_samples = MIN (stripe->n_samples + 1, SAMPLES / STRIPES);
}

void
ragify_tracker_record (RagifyTracked *tracked, const RagifyTrackedSample *sample)
{
  if (tracked == NULL)
    return;
  const gint64 now = g_get_real_time ();
  Stripe *stripe = own_stripe (tracked);
  pthread_mutex_lock (&stripe->lock);
  stripe->least_us = stripe->total == 0 ? sample->duration_us : MIN (stripe->least_us, sample->duration_us);
  stripe->most_us = MAX (stripe->most_us, sample->duration_us);
  stripe->sum_us += sample->duration_us;
  stripe->total++;
  stripe->failed += sample->failed ? 1 : 0;
  stripe->first = stripe->first == 0 ? now : stripe->first;
  stripe->last = now;
  stripe->counts[ragify_histogram_bucket (sample->duration_us * 1000)]++;
  keep_sample (stripe, sample, now);
  pthread_mutex_unlock (&stripe->lock);
}

/* ---- telling ---- */

typedef struct Summary {
  guint64 total, failed, sum_us, least_us, most_us;
  gint64 first, last;
  guint64 counts[RAGIFY_HISTOGRAM_BUCKETS];
  Sample *samples;
  guint n_samples;
} Summary;

static void
add_stripe (Summary *summary, Stripe *stripe)
{
  pthread_mutex_lock (&stripe->lock);
  if (stripe->total > 0) {
    summary->least_us = summary->total == 0 ? stripe->least_us : MIN (summary->least_us, stripe->least_us);
    summary->most_us = MAX (summary->most_us, stripe->most_us);
    summary->sum_us += stripe->sum_us;
    summary->total += stripe->total;
    summary->failed += stripe->failed;
    summary->first = summary->first == 0 ? stripe->first : MIN (summary->first, stripe->first);
    summary->last = MAX (summary->last, stripe->last);
    for (guint i = 0; i < RAGIFY_HISTOGRAM_BUCKETS; i++)
      summary->counts[i] += stripe->counts[i];
    memcpy (summary->samples + summary->n_samples, stripe->samples, stripe->n_samples * sizeof (Sample));
    summary->n_samples += stripe->n_samples;
  }
  pthread_mutex_unlock (&stripe->lock);
}

/* Of all of them, as well as the buckets tell. */
static json_t *
quantile (const Summary *summary, double which)
{
  const double least = (double)summary->least_us / G_USEC_PER_SEC, most = (double)summary->most_us / G_USEC_PER_SEC;
  return json_real (CLAMP (ragify_histogram_quantile (summary->counts, which), least, most));
}

static json_t *
moment (gint64 at)
{
  g_autoptr (GDateTime) time = g_date_time_new_from_unix_utc (at / G_USEC_PER_SEC);
  g_autofree char *whole = g_date_time_format (time, "%Y-%m-%dT%H:%M:%S");
  return json_sprintf ("%s.%06dZ", whole, (int)(at % G_USEC_PER_SEC));
}

static int
compare_times (const void *a, const void *b)
{
  const Sample *one = a, *other = b;
  return (one->at > other->at) - (one->at < other->at);
}

static int
compare_durations (const void *a, const void *b)
{
  const guint64 one = *(const guint64 *)a, other = *(const guint64 *)b;
  return (one > other) - (one < other);
}

/* Linear interpolation between closest ranks: the value at rank quantile × (n − 1), from 0. */
static double
percentile (const guint64 *sorted, guint count, double quantile)
{
  const double rank = quantile * (count - 1);
  const guint below = (guint)floor (rank), above = MIN (below + 1, count - 1);
  const double low = (double)sorted[below], high = (double)sorted[above];
  return (low + (high - low) * (rank - below)) / G_USEC_PER_SEC;
}

static json_t *
describe_percentiles (const Summary *summary)
{
  g_autofree guint64 *sorted = g_new (guint64, MAX (summary->n_samples, 1));
  for (guint i = 0; i < summary->n_samples; i++)
    sorted[i] = summary->samples[i].duration_us;
  qsort (sorted, summary->n_samples, sizeof *sorted, compare_durations);
  return json_pack ("{s:f, s:f, s:f}", "p50", percentile (sorted, summary->n_samples, 0.50), "p95",
                    percentile (sorted, summary->n_samples, 0.95), "p99",
                    percentile (sorted, summary->n_samples, 0.99));
}

static json_t *
describe_samples (const Summary *summary)
{
  json_t *list = json_array ();
  for (guint i = 0; i < summary->n_samples; i++) {
    const Sample *sample = &summary->samples[i];
    json_t *metadata = json_pack ("{s:i, s:i}", "status", (int)sample->status, "chunks", (int)sample->chunks);
    if (sample->cache != NULL)
      json_object_set_new (metadata, "cache", json_string (sample->cache));
    if (sample->request_id[0] != '\0')
      json_object_set_new (metadata, "request_id", json_string (sample->request_id));
    json_t *one =
        json_pack ("{s:o, s:f, s:b, s:o}", "at", moment (sample->at), "duration",
                   (double)sample->duration_us / G_USEC_PER_SEC, "success", !sample->failed, "metadata", metadata);
    if (sample->error[0] != '\0') {
      g_autofree char *valid = g_utf8_make_valid (sample->error, -1);
      json_object_set_new (one, "error", json_string (valid));
    }
    json_array_append_new (list, one);
  }
  return list;
}

/* Which errors there were among the samples, and how often each. */
static json_t *
describe_errors (const Summary *summary)
{
  json_t *errors = json_object ();
  for (guint i = summary->n_samples; i > 0; i--) {
    const Sample *sample = &summary->samples[i - 1];
    if (sample->error[0] == '\0')
      continue;
    g_autofree char *valid = g_utf8_make_valid (sample->error, -1);
    const json_int_t count = json_integer_value (json_object_get (errors, valid));
    if (count > 0 || json_object_size (errors) < ERRORS)
      json_object_set_new (errors, valid, json_integer (count + 1));
  }
  return errors;
}

static json_t *
describe (const Summary *summary, gboolean samples)
{
  const double total = (double)summary->total;
  json_t *json =
      json_pack ("{s:I, s:I, s:I, s:f, s:f, s:f, s:f, s:o, s:o, s:o, s:o, s:o, s:o}", "total",
                 (json_int_t)summary->total, "successful", (json_int_t)(summary->total - summary->failed), "failed",
                 (json_int_t)summary->failed, "success_rate", (total - (double)summary->failed) / total, "average",
                 (double)summary->sum_us / total / G_USEC_PER_SEC, "minimum",
                 (double)summary->least_us / G_USEC_PER_SEC, "maximum", (double)summary->most_us / G_USEC_PER_SEC,
                 "p50", quantile (summary, 0.50), "p95", quantile (summary, 0.95), "p99", quantile (summary, 0.99),
                 "first", moment (summary->first), "last", moment (summary->last), "errors", describe_errors (summary));
  if (samples) {
    json_object_set_new (json, "sample_percentiles", describe_percentiles (summary));
    json_object_set_new (json, "samples", describe_samples (summary));
  }
  return json;
}

void
ragify_tracker_write (RagifyTracker *tracker, GString *json, gboolean samples)
{
  json_t *all = json_object ();
  g_autofree Sample *room = g_new (Sample, SAMPLES);
  pthread_mutex_lock (&tracker->lock);
  g_autoptr (GPtrArray) operations = g_ptr_array_copy (tracker->operations, NULL, NULL);
  pthread_mutex_unlock (&tracker->lock);
  g_ptr_array_set_free_func (operations, NULL); /* none of them is ever taken away */
  for (guint i = 0; i < operations->len; i++) {
    RagifyTracked *tracked = g_ptr_array_index (operations, i);
    Summary summary = { .samples = room };
    for (guint stripe = 0; stripe < STRIPES; stripe++)
      add_stripe (&summary, &tracked->stripes[stripe]);
    if (summary.total == 0)
      continue;
    qsort (summary.samples, summary.n_samples, sizeof (Sample), compare_times);
    json_object_set_new (all, tracked->name, describe (&summary, samples));
  }
  char *text = json_dumps (all, JSON_COMPACT | JSON_REAL_PRECISION (9));
  g_string_append (json, text);
  free (text);
  json_decref (all);
}
