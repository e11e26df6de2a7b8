/* Fuzz target of metrics: whatever a node, route or reason is called, the exposition can be read.
 *
 * SPDX-License-Identifier: MIT
 *
 * The input is cut at NULs into label values; both expositions are read back by a reader of their grammar.
 */
#include <string.h>

#include "core/observe/metrics.h"
#include "tests/fuzz/replay.h"

/* Past one quoted value; NULL: it is none. */
static const char *
skip_value (const char *at)
{
  if (*at++ != '"')
    return NULL;
  for (; *at != '"'; at++) {
    if (*at == '\0' || *at == '\n')
      return NULL;
    if (*at == '\\' && strchr ("\\\"n", *++at) == NULL)
      return NULL;
  }
  return at + 1;
}

static const char *
skip_name (const char *at)
{
  const size_t length = strspn (at, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_:");
  return length > 0 ? at + length : NULL;
}

static const char *
skip_labels (const char *at)
{
  if (*at != '{')
    return at;
  do {
    at = skip_name (at + 1);
    at = at != NULL && *at == '=' ? skip_value (at + 1) : NULL;
  } while (at != NULL && *at == ',');
  return at != NULL && *at == '}' ? at + 1 : NULL;
}

static void
check_sample (const char *line)
{
  const char *at = skip_name (line);
  at = at != NULL ? skip_labels (at) : NULL;
  fuzz_require (at != NULL && *at == ' ', "a sample is a name, labels and a value");
  fuzz_require (strspn (at + 1, "0123456789.+-eEINFinfNa# {}\"_=") > 0, "a value is a number");
}

static void
check_exposition (RagifyMetrics *metrics, gboolean openmetrics)
{
  g_autoptr (GString) text = g_string_new (NULL);
  ragify_metrics_write (metrics, text, openmetrics);
  fuzz_require (g_utf8_validate (text->str, (gssize)text->len, NULL), "an exposition is UTF-8");
  fuzz_require (text->len == 0 || text->str[text->len - 1] == '\n', "an exposition ends its last line");
  g_auto (GStrv) lines = g_strsplit (text->str, "\n", -1);
  for (char **line = lines; *line != NULL; line++)
    if (**line != '\0' && **line != '#')
      check_sample (*line);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  RagifyMetrics *metrics = ragify_metrics_new ();
  const char *at = (const char *)data, *const end = at + size;
  for (guint count = 0; at < end && count < 64; count++) {
    const gsize length = strnlen (at, (gsize)(end - at));
    g_autofree char *value = g_strndup (at, length);
    at += length + 1;
    ragify_series_add (
        ragify_metrics_series (metrics, RAGIFY_SERIES_COUNTER, "fuzz_total", "Help.", "node", value, NULL), 1);
    ragify_series_set (
        ragify_metrics_series (metrics, RAGIFY_SERIES_GAUGE, "fuzz_now", "Help.", "node", value, "state", "a", NULL),
        (double)count);
    ragify_series_observe (
        ragify_metrics_series (metrics, RAGIFY_SERIES_HISTOGRAM, "fuzz_seconds", "Help.", "route", value, NULL), 0.1);
  }
  check_exposition (metrics, FALSE);
  check_exposition (metrics, TRUE);
  ragify_metrics_free (metrics);
  return 0;
}
