/* The exposition formats: https://prometheus.io/docs/instrumenting/exposition_formats/ and OpenMetrics 1.0.
 *
 * SPDX-License-Identifier: MIT
 */
#include "metrics-private.h"

#include <math.h>
#include <string.h>

typedef struct Writer {
  GString *out;
  gboolean openmetrics;
} Writer;

/* The shortest text that reads back as the same number. */
static void
write_number (GString *out, double value)
{
  if (isnan (value)) {
    g_string_append (out, "NaN");
  } else if (isinf (value)) {
    g_string_append (out, value > 0 ? "+Inf" : "-Inf");
  } else if (value == floor (value) && fabs (value) < 9007199254740992.0) {
    g_string_append_printf (out, "%" G_GINT64_FORMAT, (gint64)value);
  } else {
    char text[G_ASCII_DTOSTR_BUF_SIZE];
    for (int precision = 15; precision <= 17; precision++) {
      char format[8];
      g_snprintf (format, sizeof format, "%%.%dg", precision);
      g_ascii_formatd (text, sizeof text, format, value);
      if (g_ascii_strtod (text, NULL) == value)
        break;
    }
    g_string_append (out, text);
  }
}

/* HELP of the older format leaves quotes alone. */
static void
write_escaped (GString *out, const char *text, gboolean quotes)
{
  for (const char *c = text; *c != '\0'; c++) {
    if (*c == '\\')
      g_string_append (out, "\\\\");
    else if (*c == '\n')
      g_string_append (out, "\\n");
    else if (*c == '"' && quotes)
      g_string_append (out, "\\\"");
    else
      g_string_append_c (out, *c);
  }
}

/* {name="value",…}, with `le` last where it is given. */
static void
write_labels (GString *out, char **labels, const char *le)
{
  if (labels[0] == NULL && le == NULL)
    return;
  char separator = '{';
  for (guint i = 0; labels[i] != NULL; i += 2) {
    g_string_append_c (out, separator);
    g_string_append (out, labels[i]);
    g_string_append (out, "=\"");
    write_escaped (out, labels[i + 1], TRUE);
    g_string_append_c (out, '"');
    separator = ',';
  }
  if (le != NULL)
    g_string_append_printf (out, "%cle=\"%s\"", separator, le);
  g_string_append_c (out, '}');
}

static void
write_sample (GString *out, const RagifyFamily *family, const char *suffix, char **labels, const char *le, double value)
{
  g_string_append (out, family->name);
  g_string_append (out, suffix);
  write_labels (out, labels, le);
  g_string_append_c (out, ' ');
  write_number (out, value);
  g_string_append_c (out, '\n');
}

/* One sample of a bucket. `exemplar` NULL: without. */
static void
write_bucket (GString *out, const RagifyFamily *family, char **labels, const char *le, guint64 below,
              const RagifyExemplar *exemplar)
{
  write_sample (out, family, "_bucket", labels, le, (double)below);
  if (exemplar == NULL || exemplar->trace_id[0] == '\0')
    return;
  g_string_truncate (out, out->len - 1); /* the line goes on */
  g_string_append_printf (out, " # {trace_id=\"%s\"} ", exemplar->trace_id);
  write_number (out, exemplar->value);
  g_string_append_printf (out, " %" G_GINT64_FORMAT ".%06d\n", exemplar->at / G_USEC_PER_SEC,
                          (int)(exemplar->at % G_USEC_PER_SEC));
}

static void
write_histogram (const Writer *writer, const RagifyFamily *family, RagifySeries *series)
{
  RagifyExemplar exemplars[RAGIFY_HISTOGRAM_SHOWN];
  const gboolean traced = writer->openmetrics && ragify_series_exemplars (series, exemplars);
  RagifyHistogramCounts counts; /* read after the exemplars, so that each of them is counted */
  ragify_series_histogram (series, &counts);
  guint64 below = 0;
  guint shown = 0;
  for (guint i = 0; i < RAGIFY_HISTOGRAM_BOUNDS; i++) {
    below += counts.buckets[i];
    const char *label = ragify_histogram_label (i);
    if (label == NULL)
      continue;
    char le[16];
    g_strlcpy (le, label, sizeof le);
    /* OpenMetrics writes whole bounds as floats ("1.0"), the older format as Go prints them ("1"). */
    if (!writer->openmetrics && g_str_has_suffix (le, ".0"))
      le[strlen (le) - 2] = '\0';
    write_bucket (writer->out, family, series->labels, le, below, traced ? &exemplars[shown] : NULL);
    shown++;
  }
  write_bucket (writer->out, family, series->labels, "+Inf", counts.count, traced ? &exemplars[shown] : NULL);
  write_sample (writer->out, family, "_sum", series->labels, NULL, counts.sum);
  write_sample (writer->out, family, "_count", series->labels, NULL, (double)counts.count);
}

static void
write_sizes (const Writer *writer, const RagifyFamily *family, RagifySeries *series)
{
  RagifyHistogramCounts counts;
  guint64 below = 0;
  ragify_series_histogram (series, &counts);
  for (guint i = 0; i < RAGIFY_SIZES_BOUNDS; i++) {
    char le[16];
    below += counts.buckets[i];
    g_snprintf (le, sizeof le, writer->openmetrics ? "%u.0" : "%u", 1u << i);
    write_sample (writer->out, family, "_bucket", series->labels, le, (double)below);
  }
  write_sample (writer->out, family, "_bucket", series->labels, "+Inf", (double)counts.count);
  write_sample (writer->out, family, "_sum", series->labels, NULL, counts.sum);
  write_sample (writer->out, family, "_count", series->labels, NULL, (double)counts.count);
}

static void
write_series (const Writer *writer, const RagifyFamily *family, RagifySeries *series)
{
  if (family->type == RAGIFY_SERIES_HISTOGRAM) {
    write_histogram (writer, family, series);
    return;
  }
  if (family->type == RAGIFY_SERIES_SIZES) {
    write_sizes (writer, family, series);
    return;
  }
  const double value = ragify_series_value (series);
  /* A counter that cannot be read has no value that either format allows. */
  if (family->type == RAGIFY_SERIES_COUNTER && !(value >= 0))
    return;
  write_sample (writer->out, family, family->type == RAGIFY_SERIES_COUNTER ? "_total" : "", series->labels, NULL,
                value);
}

static const char *
unit_of (const RagifyFamily *family)
{
  static const char *const units[] = { "seconds", "bytes", "ratio", "celsius" };
  for (guint i = 0; i < G_N_ELEMENTS (units); i++) {
    const gsize length = strlen (units[i]);
    const gsize name = strlen (family->name);
    if (name > length && family->name[name - length - 1] == '_' && strcmp (family->name + name - length, units[i]) == 0)
      return units[i];
  }
  return NULL;
}

static void
write_metadata (const Writer *writer, const RagifyFamily *family)
{
  static const char *const types[] = {
    [RAGIFY_SERIES_COUNTER] = "counter",
    [RAGIFY_SERIES_GAUGE] = "gauge",
    [RAGIFY_SERIES_HISTOGRAM] = "histogram",
    [RAGIFY_SERIES_SIZES] = "histogram",
  };
  const char *suffix = family->type == RAGIFY_SERIES_COUNTER && !writer->openmetrics ? "_total" : "";
  g_string_append_printf (writer->out, "# HELP %s%s ", family->name, suffix);
  write_escaped (writer->out, family->help, writer->openmetrics);
  g_string_append_printf (writer->out, "\n# TYPE %s%s %s\n", family->name, suffix, types[family->type]);
  const char *unit = unit_of (family);
  if (writer->openmetrics && unit != NULL)
    g_string_append_printf (writer->out, "# UNIT %s %s\n", family->name, unit);
}

void
ragify_metrics_write (RagifyMetrics *metrics, GString *out, gboolean openmetrics)
{
  const Writer writer = { .out = out, .openmetrics = openmetrics };
  pthread_mutex_lock (&metrics->lock);
  for (guint f = 0; f < metrics->families->len; f++) {
    const RagifyFamily *family = metrics->families->pdata[f];
    write_metadata (&writer, family);
    for (guint s = 0; s < family->series->len; s++)
      write_series (&writer, family, family->series->pdata[s]);
  }
  pthread_mutex_unlock (&metrics->lock);
  if (openmetrics)
    g_string_append (out, "# EOF\n");
}
