#include "top-view.h"

#include "tools/common/json-reader.h"
#include "tools/common/text-table.h"

#include <math.h>
#include <string.h>

/* ---- numbers of the server ---- */

static gboolean
has_labels (const json_t *series, const char *const *labels)
{
  const json_t *given = json_object_get (series, "labels");
  for (; labels != NULL && labels[0] != NULL; labels += 2)
    if (g_strcmp0 (ragify_json_get_string (given, labels[0]), labels[1]) != 0)
      return FALSE;
  return TRUE;
}

/* The sum of a member of all series of that name with these labels. */
static double
sum (const json_t *picture, const char *name, const char *const *labels, const char *member)
{
  const json_t *metrics = json_object_get (json_object_get (picture, "stats"), "metrics");
  double total = 0;
  gsize i;
  const json_t *series;
  json_array_foreach (metrics, i, series)
  {
    if (g_strcmp0 (ragify_json_get_string (series, "name"), name) == 0 && has_labels (series, labels))
      total += ragify_json_get_number (series, member, 0);
  }
  return total;
}

/* The first series' p95 in seconds; NAN: nothing was observed. */
static double
p95 (const json_t *picture, const char *name, const char *const *labels)
{
  const json_t *metrics = json_object_get (json_object_get (picture, "stats"), "metrics");
  gsize i;
  const json_t *series;
  json_array_foreach (metrics, i, series)
  {
    if (g_strcmp0 (ragify_json_get_string (series, "name"), name) == 0 && has_labels (series, labels) &&
        ragify_json_get_number (series, "count", 0) > 0)
      return ragify_json_get_number (series, "p95", NAN);
  }
  return NAN;
}

/* The values of a label among the series of that name, each once, as keys. */
static GPtrArray *
values_of (const json_t *picture, const char *name, const char *label)
{
  const json_t *metrics = json_object_get (json_object_get (picture, "stats"), "metrics");
  GPtrArray *values = g_ptr_array_new ();
  gsize i;
  const json_t *series;
  json_array_foreach (metrics, i, series)
  {
    const char *value = ragify_json_get_string (json_object_get (series, "labels"), label);
    if (g_strcmp0 (ragify_json_get_string (series, "name"), name) == 0 && value != NULL &&
        !g_ptr_array_find_with_equal_func (values, value, g_str_equal, NULL))
      g_ptr_array_add (values, (gpointer)value);
  }
  return values;
}

/* How much more a second it became; NAN: there is no earlier look. */
static double
rate (const json_t *picture, const json_t *before, const char *name, const char *const *labels, const char *member)
{
  if (before == NULL)
    return NAN;
  const double seconds = ragify_json_get_number (picture, "at", 0) - ragify_json_get_number (before, "at", 0);
  const double more = sum (picture, name, labels, member) - sum (before, name, labels, member);
  return seconds > 0 ? MAX (more, 0) / seconds : NAN;
}

/* Of the time since the earlier look; of all time where nothing happened since, or there is none. */
static double
hit_rate (const json_t *picture, const json_t *before, const char *hits, const char *misses, const char *const *labels)
{
  double hit = sum (picture, hits, labels, "value"), miss = sum (picture, misses, labels, "value");
  const double hit_before = before != NULL ? sum (before, hits, labels, "value") : 0;
  const double miss_before = before != NULL ? sum (before, misses, labels, "value") : 0;
  if (hit + miss > hit_before + miss_before) {
    hit -= hit_before;
    miss -= miss_before;
  }
  return hit + miss > 0 ? hit / (hit + miss) : NAN;
}

/* ---- the summary ---- */

static void
set (json_t *object, const char *name, double value)
{
  json_object_set_new (object, name, isfinite (value) ? json_real (value) : json_null ());
}

static json_t *
summarise_host (const json_t *picture, const json_t *before)
{
  static const char *const hit[] = { "cache", "hit", NULL }, *const miss[] = { "cache", "miss", NULL };
  const json_t *stats = json_object_get (picture, "stats");
  json_t *host = json_object ();
  const char *const texts[] = { "status", "version" };
  for (gsize i = 0; i < G_N_ELEMENTS (texts); i++)
    json_object_set (host, texts[i], json_object_get (stats, texts[i]));
  set (host, "uptime", ragify_json_get_number (stats, "uptime", NAN));
  set (host, "requests", rate (picture, before, "ragify_http_requests", NULL, "value"));
  set (host, "answers",
       rate (picture, before, "ragify_request_duration_seconds", hit, "count") +
           rate (picture, before, "ragify_request_duration_seconds", miss, "count"));
  set (host, "computed", rate (picture, before, "ragify_request_duration_seconds", miss, "count"));
  set (host, "p95_computed", p95 (picture, "ragify_request_duration_seconds", miss));
  set (host, "p95_cached", p95 (picture, "ragify_request_duration_seconds", hit));
  set (host, "hit_rate", hit_rate (picture, before, "ragify_cache_hits", "ragify_cache_misses", NULL));
  set (host, "degraded", sum (picture, "ragify_degraded_answers", NULL, "value"));
  set (host, "failed", sum (picture, "ragify_failed_requests", NULL, "value"));
  set (host, "refused", rate (picture, before, "ragify_http_refused", NULL, "value"));
  set (host, "memory", sum (picture, "process_resident_memory_bytes", NULL, "value"));
  set (host, "cpu", rate (picture, before, "process_cpu_seconds", NULL, "value"));
  set (host, "threads", sum (picture, "process_threads", NULL, "value"));
  set (host, "connections", sum (picture, "ragify_http_connections", NULL, "value"));
  set (host, "waiting", sum (picture, "ragify_http_requests_waiting", NULL, "value"));
  return host;
}

static json_t *
summarise_pipelines (const json_t *picture, const json_t *before)
{
  static const char name[] = "ragify_request_duration_seconds";
  json_t *list = json_array ();
  g_autoptr (GPtrArray) names = values_of (picture, name, "pipeline");
  for (guint i = 0; i < names->len; i++) {
    const char *pipeline = names->pdata[i];
    const char *const all[] = { "pipeline", pipeline, NULL };
    const char *const hit[] = { "pipeline", pipeline, "cache", "hit", NULL };
    const char *const miss[] = { "pipeline", pipeline, "cache", "miss", NULL };
    json_t *one = json_pack ("{s:s}", "name", pipeline);
    set (one, "answers", rate (picture, before, name, all, "count"));
    set (one, "computed", rate (picture, before, name, miss, "count"));
    set (one, "p95_cached", p95 (picture, name, hit));
    set (one, "p95_computed", p95 (picture, name, miss));
    set (one, "degraded", sum (picture, "ragify_degraded_answers", all, "value"));
    set (one, "failed", sum (picture, "ragify_failed_requests", all, "value"));
    json_array_append_new (list, one);
  }
  return list;
}

/* The state that /v1/sources tells; "" where it does not tell of that one. */
static const char *
state_of (const json_t *picture, const char *name)
{
  gsize i;
  const json_t *source;
  json_array_foreach (json_object_get (picture, "sources"), i, source)
  {
    if (g_strcmp0 (ragify_json_get_string (source, "name"), name) == 0) {
      const char *status = ragify_json_get_string (source, "status");
      return status != NULL ? status : "";
    }
  }
  return "";
}

static json_t *
summarise_sources (const json_t *picture, const json_t *before)
{
  json_t *list = json_array ();
  g_autoptr (GPtrArray) names = values_of (picture, "ragify_source_duration_seconds", "source");
  for (guint i = 0; i < names->len; i++) {
    const char *source = names->pdata[i];
    const char *const all[] = { "source", source, NULL }, *const ok[] = { "source", source, "status", "ok", NULL };
    json_t *one = json_pack ("{s:s, s:s}", "name", source, "status", state_of (picture, source));
    set (one, "asked", rate (picture, before, "ragify_source_requests", all, "value"));
    set (one, "failed",
         rate (picture, before, "ragify_source_requests", all, "value") -
             rate (picture, before, "ragify_source_requests", ok, "value"));
    set (one, "p95", p95 (picture, "ragify_source_duration_seconds", all));
    json_array_append_new (list, one);
  }
  return list;
}

static json_t *
summarise_caches (const json_t *picture, const json_t *before)
{
  json_t *list = json_array ();
  g_autoptr (GPtrArray) names = values_of (picture, "ragify_cache_level_hits", "level");
  for (guint i = 0; i < names->len; i++) {
    const char *level = names->pdata[i];
    const char *const labels[] = { "level", level, NULL };
    json_t *one = json_pack ("{s:s}", "name", level);
    set (one, "hits", rate (picture, before, "ragify_cache_level_hits", labels, "value"));
    set (one, "hit_rate", hit_rate (picture, before, "ragify_cache_level_hits", "ragify_cache_level_misses", labels));
    set (one, "entries", sum (picture, "ragify_cache_level_entries", labels, "value"));
    set (one, "bytes", sum (picture, "ragify_cache_level_bytes", labels, "value"));
    set (one, "errors", sum (picture, "ragify_cache_level_errors", labels, "value"));
    json_array_append_new (list, one);
  }
  return list;
}

json_t *
ragify_top_summarise (const json_t *picture, const json_t *before)
{
  json_t *summary = json_pack ("{s:O, s:O, s:o, s:o, s:o, s:o}", "url", json_object_get (picture, "url"), "at",
                               json_object_get (picture, "at"), "host", summarise_host (picture, before), "pipelines",
                               summarise_pipelines (picture, before), "sources", summarise_sources (picture, before),
                               "caches", summarise_caches (picture, before));
  json_t *jobs = json_object_get (picture, "jobs");
  json_object_set_new (summary, "jobs", jobs != NULL ? json_incref (jobs) : json_array ());
  return summary;
}

/* ---- the text ---- */

static char *
per_second (const json_t *object, const char *name)
{
  const double value = ragify_json_get_number (object, name, NAN);
  return isnan (value) ? g_strdup ("-") : g_strdup_printf (value < 10 ? "%.1f" : "%.0f", value);
}

static char *
time_text (const json_t *object, const char *name)
{
  const double value = ragify_json_get_number (object, name, NAN);
  if (isnan (value))
    return g_strdup ("-");
  if (value < 1e-3)
    return g_strdup_printf ("%.0f us", value * 1e6);
  return value < 1 ? g_strdup_printf (value < 0.01 ? "%.1f ms" : "%.0f ms", value * 1e3)
                   : g_strdup_printf ("%.1f s", value);
}

static char *
percent (const json_t *object, const char *name)
{
  const double value = ragify_json_get_number (object, name, NAN);
  return isnan (value) ? g_strdup ("-") : g_strdup_printf ("%.1f %%", 100 * value);
}

static char *
whole (const json_t *object, const char *name)
{
  return g_strdup_printf ("%.0f", ragify_json_get_number (object, name, 0));
}

static char *
text_of (const json_t *object, const char *name)
{
  const char *text = ragify_json_get_string (object, name);
  return g_strdup (text != NULL ? text : "");
}

typedef struct {
  const char *heading, *member;
  char *(*write) (const json_t *object, const char *name);
} Column;

static void
append_table (GString *text, const json_t *list, const Column *columns, guint count)
{
  if (json_array_size (list) == 0)
    return;
  char alignment[16] = "l";
  memset (alignment + 1, 'r', count - 1);
  alignment[count] = '\0';
  g_autoptr (RagifyTextTable) table = ragify_text_table_new (alignment);
  g_autoptr (GPtrArray) cells = g_ptr_array_new_with_free_func (g_free);
  for (guint c = 0; c < count; c++)
    g_ptr_array_add (cells, g_strdup (columns[c].heading));
  ragify_text_table_add (table, (const char *const *)cells->pdata);
  gsize i;
  const json_t *object;
  json_array_foreach (list, i, object)
  {
    g_ptr_array_set_size (cells, 0);
    for (guint c = 0; c < count; c++)
      g_ptr_array_add (cells, columns[c].write (object, columns[c].member));
    ragify_text_table_add (table, (const char *const *)cells->pdata);
  }
  g_autofree char *formatted = ragify_text_table_format (table, FALSE);
  g_string_append_printf (text, "\n%s", formatted);
}

static void
append_host (GString *text, const json_t *summary)
{
  const json_t *host = json_object_get (summary, "host");
  const double uptime = ragify_json_get_number (host, "uptime", 0);
  g_autofree char *status = text_of (host, "status"), *version = text_of (host, "version");
  g_autofree char *answers = per_second (host, "answers"), *computed = per_second (host, "computed");
  g_autofree char *requests = per_second (host, "requests"), *refused = per_second (host, "refused");
  g_autofree char *fast = time_text (host, "p95_cached"), *slow = time_text (host, "p95_computed");
  g_autofree char *hits = percent (host, "hit_rate"), *cpu = percent (host, "cpu");
  g_string_append_printf (text, "%s   ragify %s   %s   up %.0f h %02.0f min\n", ragify_json_get_string (summary, "url"),
                          version, status, floor (uptime / 3600), floor (fmod (uptime / 60, 60)));
  g_string_append_printf (text, "answers %s/s   computed %s/s   p95 %s computed, %s cached   hit rate %s\n", answers,
                          computed, slow, fast, hits);
  g_string_append_printf (
      text, "requests %s/s   refused %s/s   degraded %.0f   failed %.0f   under way %.0f   connections %.0f\n",
      requests, refused, ragify_json_get_number (host, "degraded", 0), ragify_json_get_number (host, "failed", 0),
      ragify_json_get_number (host, "waiting", 0), ragify_json_get_number (host, "connections", 0));
  g_string_append_printf (text, "cpu %s   memory %.0f MB   threads %.0f\n", cpu,
                          ragify_json_get_number (host, "memory", 0) / 1e6,
                          ragify_json_get_number (host, "threads", 0));
}

static void
append_jobs (GString *text, const json_t *summary)
{
  static const Column columns[] = { { "job", "id", text_of },
                                    { "state", "state", text_of },
                                    { "documents", "documents", whole },
                                    { "unchanged", "unchanged", whole },
                                    { "set aside", "set_aside_total", whole } };
  append_table (text, json_object_get (summary, "jobs"), columns, G_N_ELEMENTS (columns));
}

char *
ragify_top_format (const json_t *picture, const json_t *before)
{
  static const Column pipelines[] = { { "pipeline", "name", text_of },
                                      { "answers/s", "answers", per_second },
                                      { "computed/s", "computed", per_second },
                                      { "p95 computed", "p95_computed", time_text },
                                      { "p95 cached", "p95_cached", time_text },
                                      { "degraded", "degraded", whole },
                                      { "failed", "failed", whole } };
  static const Column sources[] = { { "source", "name", text_of },
                                    { "state", "status", text_of },
                                    { "asked/s", "asked", per_second },
                                    { "failed/s", "failed", per_second },
                                    { "p95", "p95", time_text } };
  static const Column caches[] = { { "cache", "name", text_of },
                                   { "hits/s", "hits", per_second },
                                   { "hit rate", "hit_rate", percent },
                                   { "entries", "entries", whole },
                                   { "errors", "errors", whole } };
  json_t *summary = ragify_top_summarise (picture, before);
  GString *text = g_string_new (NULL);
  append_host (text, summary);
  append_table (text, json_object_get (summary, "pipelines"), pipelines, G_N_ELEMENTS (pipelines));
  append_table (text, json_object_get (summary, "sources"), sources, G_N_ELEMENTS (sources));
  append_table (text, json_object_get (summary, "caches"), caches, G_N_ELEMENTS (caches));
  append_jobs (text, summary);
  json_decref (summary);
  return g_string_free (text, FALSE);
}
