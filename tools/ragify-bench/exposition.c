#include "exposition.h"

#include <math.h>
#include <string.h>

void
ragify_exposition_histogram_free (RagifyExpositionHistogram *histogram)
{
  if (histogram == NULL)
    return;
  g_array_unref (histogram->edges);
  g_array_unref (histogram->counts);
  g_free (histogram);
}

static RagifyExpositionHistogram *
new_histogram (void)
{
  RagifyExpositionHistogram *histogram = g_new0 (RagifyExpositionHistogram, 1);
  histogram->edges = g_array_new (FALSE, FALSE, sizeof (double));
  histogram->counts = g_array_new (FALSE, FALSE, sizeof (double));
  return histogram;
}

static double
item (const GArray *array, guint i)
{
  return ((const double *)(const void *)array->data)[i];
}

/* Copies the value of a label out of `{a="x",b="y"}`, its escapes undone; NULL when the label is not there. */
static char *
find_label (const char *labels, gsize length, const char *name)
{
  const char *p = labels;
  const char *end = labels + length;
  while (p < end) {
    p += strspn (p, "{, ");
    const char *equal = memchr (p, '=', (gsize)(end - p));
    if (equal == NULL || equal + 1 >= end || equal[1] != '"')
      return NULL;
    gboolean wanted = (gsize)(equal - p) == strlen (name) && memcmp (p, name, strlen (name)) == 0;
    g_autoptr (GString) value = g_string_new (NULL);
    for (p = equal + 2; p < end && *p != '"'; p++) {
      if (*p == '\\' && p + 1 < end)
        p++;
      g_string_append_c (value, *p == 'n' && p[-1] == '\\' ? '\n' : *p);
    }
    p++;
    if (wanted)
      return g_strdup (value->str);
  }
  return NULL;
}

/* One sample's line. */
typedef struct {
  const char *labels; /* "{…}" or "" */
  gsize labels_length;
  double value;
} Sample;

/* Splits a line that starts with the metric's name. The closing brace is searched from the end, since a label's value
 * may hold one. */
static gboolean
read_sample (const char *line, gsize length, const char *name, Sample *sample)
{
  gsize name_length = strlen (name);
  if (length <= name_length || memcmp (line, name, name_length) != 0)
    return FALSE;
  const char *rest = line + name_length;
  const char *value = rest;
  sample->labels = rest;
  sample->labels_length = 0;
  if (*rest == '{') {
    const char *brace = memrchr (rest, '}', length - name_length);
    if (brace == NULL)
      return FALSE;
    sample->labels_length = (gsize)(brace - rest);
    value = brace + 1;
  } else if (*rest != ' ' && *rest != '\t')
    return FALSE;
  char *end = NULL;
  sample->value = g_ascii_strtod (value, &end);
  return end != value;
}

static gboolean
has_label (const Sample *sample, const char *label, const char *value)
{
  if (label == NULL)
    return TRUE;
  g_autofree char *found = find_label (sample->labels, sample->labels_length, label);
  return g_strcmp0 (found, value) == 0;
}

typedef void (*SampleFunction) (const Sample *sample, gpointer user_data);

static void
for_each_sample (const char *text, const char *name, const char *label, const char *value, SampleFunction function,
                 gpointer user_data)
{
  for (const char *line = text; *line != '\0';) {
    gsize length = strcspn (line, "\n");
    Sample sample;
    if (read_sample (line, length, name, &sample) && has_label (&sample, label, value))
      function (&sample, user_data);
    line += length + (line[length] == '\n' ? 1 : 0);
  }
}

static void
add_bucket (const Sample *sample, gpointer user_data)
{
  RagifyExpositionHistogram *histogram = user_data;
  g_autofree char *text = find_label (sample->labels, sample->labels_length, "le");
  if (text == NULL)
    return;
  double edge = strcmp (text, "+Inf") == 0 ? INFINITY : g_ascii_strtod (text, NULL);
  guint i = 0;
  while (i < histogram->edges->len && item (histogram->edges, i) < edge)
    i++;
  if (i < histogram->edges->len && item (histogram->edges, i) == edge) {
    g_array_index (histogram->counts, double, i) += sample->value;
    return;
  }
  g_array_insert_val (histogram->edges, i, edge);
  g_array_insert_val (histogram->counts, i, sample->value);
}

static void
add_value (const Sample *sample, gpointer user_data)
{
  double *sum = user_data;
  *sum = (isnan (*sum) ? 0 : *sum) + sample->value;
}

double
ragify_exposition_find_value (const char *text, const char *name, const char *label, const char *value)
{
  double sum = NAN;
  for_each_sample (text, name, label, value, add_value, &sum);
  return sum;
}

RagifyExpositionHistogram *
ragify_exposition_find_histogram (const char *text, const char *name, const char *label, const char *value)
{
  g_autoptr (RagifyExpositionHistogram) histogram = new_histogram ();
  g_autofree char *bucket_name = g_strconcat (name, "_bucket", NULL);
  g_autofree char *sum_name = g_strconcat (name, "_sum", NULL);
  for_each_sample (text, bucket_name, label, value, add_bucket, histogram);
  if (histogram->edges->len == 0)
    return NULL;
  histogram->sum = ragify_exposition_find_value (text, sum_name, label, value);
  return g_steal_pointer (&histogram);
}

RagifyExpositionHistogram *
ragify_exposition_histogram_subtract (const RagifyExpositionHistogram *after, const RagifyExpositionHistogram *before)
{
  g_autoptr (RagifyExpositionHistogram) difference = new_histogram ();
  if (before != NULL && before->edges->len != after->edges->len)
    return NULL;
  for (guint i = 0; i < after->edges->len; i++) {
    double edge = item (after->edges, i);
    if (before != NULL && item (before->edges, i) != edge)
      return NULL;
    double count = item (after->counts, i) - (before != NULL ? item (before->counts, i) : 0);
    g_array_append_val (difference->edges, edge);
    g_array_append_val (difference->counts, count);
  }
  difference->sum = after->sum - (before != NULL ? before->sum : 0);
  return g_steal_pointer (&difference);
}

double
ragify_exposition_histogram_get_count (const RagifyExpositionHistogram *histogram)
{
  return histogram->counts->len > 0 ? item (histogram->counts, histogram->counts->len - 1) : 0;
}

double
ragify_exposition_histogram_get_quantile (const RagifyExpositionHistogram *histogram, double quantile)
{
  double count = ragify_exposition_histogram_get_count (histogram);
  if (!(count > 0))
    return NAN;
  double rank = quantile * count;
  guint i = 0;
  while (i + 1 < histogram->counts->len && item (histogram->counts, i) < rank)
    i++;
  double low = i > 0 ? item (histogram->edges, i - 1) : 0;
  double high = item (histogram->edges, i);
  if (isinf (high))
    return low;
  double below = i > 0 ? item (histogram->counts, i - 1) : 0;
  double inside = item (histogram->counts, i) - below;
  return inside > 0 ? low + (high - low) * (rank - below) / inside : high;
}

double
ragify_exposition_histogram_get_mean (const RagifyExpositionHistogram *histogram)
{
  double count = ragify_exposition_histogram_get_count (histogram);
  return count > 0 ? histogram->sum / count : NAN;
}
