/* 'ragify-ctl tune': which configuration serves these queries best, on this machine. */
#include "tune.h"

#include <glib/gstdio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "tools/common/json-reader.h"
#include "tools/ragify-bench/request-set.h"

static const char description[] =
    "Starts a ragify-host of its own for each candidate, with the configuration given and the candidate's changes "
    "laid\n"
    "over it, and sends it the queries. A store has one writer, so the host that uses --state-dir otherwise must not\n"
    "run meanwhile. Two things are tuned:\n"
    "\n"
    "  recall   the smallest nprobe (IVF) or efSearch (HNSW) with which the store finds --recall of what exact search\n"
    "           finds, among the first --chunks; a store that is exact is left as it is\n"
    "  speed    with that: the profiles whose backends are configured, threads, workers, the embedder's batch window,\n"
    "           the size of the memory cache. Every run begins with empty caches and gets the same queries in the "
    "same\n"
    "           order (popularity after Zipf's law); runs of all candidates are interleaved and repeated; only whole,\n"
    "           successful answers count. A candidate wins when its slowest run is faster than the fastest run of the\n"
    "           configuration as it is; otherwise that one stays.\n"
    "\n" RAGIFY_TOOL_EXIT_HELP "\n"
    "\n"
    "Example:\n"
    "  ragify-ctl tune --queries queries.jsonl --recall 0.95 \\\n"
    "    --state-dir /var/lib/ragify --write /tmp/95-tuned.conf\n";

/* The nodes that candidates change. */
typedef struct {
  char *embedder, *cache;
} Names;

/* ---- asking the host about its configuration ---- */

static gboolean
run_host (const RagifyTuneOptions *options, const char *task, const RagifyCandidate *candidate, char **out, char **err)
{
  g_autoptr (GPtrArray) arguments = g_ptr_array_new ();
  g_ptr_array_add (arguments, options->host.binary);
  g_ptr_array_add (arguments, (gpointer)task);
  for (gsize i = 0; options->host.configs != NULL && options->host.configs[i] != NULL; i++) {
    g_ptr_array_add (arguments, (gpointer) "--config");
    g_ptr_array_add (arguments, options->host.configs[i]);
  }
  for (gsize i = 0; options->host.extra != NULL && options->host.extra[i] != NULL; i++)
    g_ptr_array_add (arguments, options->host.extra[i]);
  for (guint i = 0; candidate != NULL && i < candidate->settings->len; i++) {
    g_ptr_array_add (arguments, (gpointer) "--set");
    g_ptr_array_add (arguments, g_ptr_array_index (candidate->settings, i));
  }
  g_ptr_array_add (arguments, NULL);
  int status = 0;
  g_autoptr (GError) error = NULL;
  if (!g_spawn_sync (NULL, (char **)arguments->pdata, NULL, G_SPAWN_DEFAULT, NULL, NULL, out, err, &status, &error)) {
    *err = g_strdup_printf ("%s: %s\n", options->host.binary, error->message);
    return FALSE;
  }
  return g_spawn_check_wait_status (status, NULL);
}

/* Why the candidate cannot be run: its configuration is wrong, or its profile lacks a backend. */
static char *
refusal_of (const RagifyTuneOptions *options, const RagifyCandidate *candidate)
{
  g_autofree char *out = NULL;
  g_autofree char *err = NULL;
  const gboolean right = run_host (options, "--check", candidate, &out, &err);
  g_auto (GStrv) lines = g_strsplit (err != NULL ? err : "", "\n", -1);
  for (char **line = lines; *line != NULL; line++)
    if ((!right && strstr (*line, "error:") != NULL) ||
        (strstr (*line, "profile") != NULL && strstr (*line, "is made for") != NULL))
      return g_strdup (*line);
  return right ? NULL : g_strdup ("its configuration is not valid");
}

/* The first embedder and the first memory cache. */
static void
find_names (const RagifyTuneOptions *options, Names *names)
{
  g_autofree char *out = NULL;
  g_autofree char *err = NULL;
  if (!run_host (options, "--print-config", NULL, &out, &err))
    return;
  g_auto (GStrv) lines = g_strsplit (out, "\n", -1);
  g_autofree char *cache = NULL;
  for (char **line = lines; *line != NULL; line++) {
    char *end = strchr (*line, ']');
    if (**line == '[')
      g_clear_pointer (&cache, g_free);
    if (g_str_has_prefix (*line, "[embedder ") && end != NULL && names->embedder == NULL)
      names->embedder = g_strndup (*line + 10, (gsize)(end - *line - 10));
    if (g_str_has_prefix (*line, "[cache ") && end != NULL)
      cache = g_strndup (*line + 7, (gsize)(end - *line - 7));
    if (cache != NULL && names->cache == NULL && g_str_has_prefix (*line, "plugin = memory"))
      names->cache = g_strdup (cache);
  }
}

/* ---- candidates ---- */

static void add_candidate (GPtrArray *candidates, const char *common, const char *format, ...) G_GNUC_PRINTF (3, 4);

static void
add_candidate (GPtrArray *candidates, const char *common, const char *format, ...)
{
  va_list arguments;
  va_start (arguments, format);
  g_autofree char *setting = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  const char *const settings[] = { *setting != '\0' ? setting : common, *setting != '\0' ? common : NULL, NULL };
  g_ptr_array_add (candidates, ragify_candidate_new (*setting != '\0' ? setting : "as configured", settings));
}

static GPtrArray *
make_candidates (const RagifyTuneOptions *options, const char *common)
{
  GPtrArray *candidates = g_ptr_array_new_with_free_func ((GDestroyNotify)ragify_candidate_free);
  const guint cores = g_get_num_processors ();
  Names names = { 0 };
  find_names (options, &names);
  add_candidate (candidates, common, "%s", "");
  for (const char *const *name = ragify_profile_names (); *name != NULL; name++)
    add_candidate (candidates, common, "host.profile=%s", *name);
  add_candidate (candidates, common, "host.threads=1");
  add_candidate (candidates, common, "host.workers=%u", cores);
  add_candidate (candidates, common, "host.workers=%u", 2 * cores + 2);
  if (names.embedder != NULL) {
    add_candidate (candidates, common, "embedder %s.max-wait=0", names.embedder);
    add_candidate (candidates, common, "embedder %s.max-wait=2ms", names.embedder);
  }
  if (names.cache != NULL) {
    add_candidate (candidates, common, "cache %s.max-entries=100", names.cache);
    add_candidate (candidates, common, "cache %s.max-entries=100000", names.cache);
  }
  g_free (names.embedder);
  g_free (names.cache);
  for (guint i = 0; i < candidates->len; i++) {
    RagifyCandidate *candidate = g_ptr_array_index (candidates, i);
    candidate->refusal = refusal_of (options, candidate);
  }
  return candidates;
}

static void
run_all (const RagifyTuneOptions *options, GPtrArray *candidates)
{
  for (int round = 0; round < options->repeats; round++)
    for (guint i = 0; i < candidates->len; i++) {
      RagifyCandidate *candidate = g_ptr_array_index (candidates, i);
      if (candidate->refusal != NULL)
        continue;
      fprintf (stderr, "run %d of %d: %s\n", round + 1, options->repeats, candidate->name);
      ragify_tune_run (options, candidate, (guint)round);
    }
}

/* The first candidate is the configuration as it is. */
static const RagifyCandidate *
choose (const GPtrArray *candidates)
{
  const RagifyCandidate *best = g_ptr_array_index (candidates, 0);
  const double bar = best->refusal == NULL ? ragify_spread_of (best->throughput).high : 0;
  for (guint i = 1; i < candidates->len; i++) {
    const RagifyCandidate *candidate = g_ptr_array_index (candidates, i);
    const RagifySpread spread = ragify_spread_of (candidate->throughput);
    if (candidate->refusal == NULL && candidate->failed == 0 && spread.low > bar &&
        spread.median > ragify_spread_of (best->throughput).median)
      best = candidate;
  }
  return best;
}

/* ---- showing ---- */

static void
show_recall (const RagifyTuneOptions *options, const RagifyRecall *recall)
{
  if (recall->key == NULL) {
    printf ("Recall: the index of '%s' is exact; there is nothing to tune.\n\n", options->store);
    return;
  }
  g_autoptr (RagifyTextTable) table = ragify_text_table_new ("rrr");
  const char *const heading[] = { recall->key, "recall", "ms, median" };
  ragify_text_table_add (table, heading);
  for (guint i = 0; i < recall->tried->len; i++) {
    const RagifyRecallPoint *point = &g_array_index (recall->tried, RagifyRecallPoint, i);
    char value[24], reached[24], time[24];
    g_snprintf (value, sizeof value, "%" G_GINT64_FORMAT "%s", point->value, point->value == recall->value ? " *" : "");
    g_snprintf (reached, sizeof reached, "%.4f", point->recall);
    g_snprintf (time, sizeof time, "%.2f", point->median_ms);
    const char *const cells[] = { value, reached, time };
    ragify_text_table_add (table, cells);
  }
  g_autofree char *text = ragify_text_table_format (table, FALSE);
  printf ("Recall of the first %d chunks against exact search, %u queries:\n\n%s\n", options->chunks,
          options->queries->len, text);
  if (recall->value > 0)
    printf ("The smallest %s that reaches %.4g: %" G_GINT64_FORMAT "\n\n", recall->key, options->recall, recall->value);
  else
    printf ("No %s reaches %.4g.\n\n", recall->key, options->recall);
}

static void
show_candidates (const RagifyTuneOptions *options, const GPtrArray *candidates, const RagifyCandidate *best)
{
  g_autoptr (RagifyTextTable) table = ragify_text_table_new ("lrrrrr");
  const char *const heading[] = { "candidate", "answers/s", "least–most", "p95 ms", "least–most", "failed" };
  ragify_text_table_add (table, heading);
  for (guint i = 0; i < candidates->len; i++) {
    const RagifyCandidate *candidate = g_ptr_array_index (candidates, i);
    if (candidate->refusal != NULL)
      continue;
    const RagifySpread rate = ragify_spread_of (candidate->throughput), p95 = ragify_spread_of (candidate->p95);
    g_autofree char *name = g_strdup_printf ("%s%s", candidate->name, candidate == best ? " *" : "");
    char median[24], spread[48], late[24], late_spread[48], failed[24];
    g_snprintf (median, sizeof median, "%.0f", rate.median);
    g_snprintf (spread, sizeof spread, "%.0f–%.0f", rate.low, rate.high);
    g_snprintf (late, sizeof late, "%.2f", p95.median);
    g_snprintf (late_spread, sizeof late_spread, "%.2f–%.2f", p95.low, p95.high);
    g_snprintf (failed, sizeof failed, "%" G_GUINT64_FORMAT, candidate->failed);
    const char *const cells[] = { name, median, spread, late, late_spread, failed };
    ragify_text_table_add (table, cells);
  }
  g_autofree char *text = ragify_text_table_format (table, FALSE);
  printf ("%d runs each of %.3g s with %d clients, interleaved, caches empty at the start:\n\n%s\n", options->repeats,
          options->duration, options->clients, text);
  for (guint i = 0; i < candidates->len; i++) {
    const RagifyCandidate *candidate = g_ptr_array_index (candidates, i);
    if (candidate->refusal != NULL)
      printf ("Not measured: %s: %s\n", candidate->name, candidate->refusal);
  }
}

static void
print_json (const RagifyRecall *recall, const GPtrArray *candidates, const RagifyCandidate *best)
{
  json_t *list = json_array ();
  for (guint i = 0; candidates != NULL && i < candidates->len; i++) {
    const RagifyCandidate *candidate = g_ptr_array_index (candidates, i);
    json_array_append_new (list, json_pack ("{s:s, s:o, s:o, s:I, s:s*, s:b}", "name", candidate->name, "throughput",
                                            ragify_spread_describe (ragify_spread_of (candidate->throughput)), "p95_ms",
                                            ragify_spread_describe (ragify_spread_of (candidate->p95)), "failed",
                                            (json_int_t)candidate->failed, "refusal", candidate->refusal, "chosen",
                                            candidate == best));
  }
  json_t *root = json_pack ("{s:o, s:o}", "recall", ragify_recall_describe (recall), "candidates", list);
  char *text = json_dumps (root, JSON_INDENT (2) | JSON_REAL_PRECISION (8));
  printf ("%s\n", text);
  free (text);
  json_decref (root);
}

/* ---- writing ---- */

static char *
make_drop_in (const RagifyTuneOptions *options, const RagifyCandidate *best)
{
  const RagifySpread rate = ragify_spread_of (best->throughput);
  g_autofree char *comment =
      g_strdup_printf ("Written by ragify-ctl tune: %.0f answers a second (%.0f to %.0f), recall of %.4g asked.",
                       rate.median, rate.low, rate.high, options->recall);
  return ragify_drop_in_of (comment, (const char *const *)best->settings->pdata, best->settings->len);
}

static gboolean
write_drop_in (const RagifyTuneOptions *options, const RagifyCandidate *best, const char *path)
{
  g_autofree char *text = make_drop_in (options, best);
  g_autoptr (GError) error = NULL;
  if (g_file_set_contents (path, text, -1, &error)) {
    fprintf (stderr, "Written to %s; 'ragify-ctl reload' puts it in force where the host reads that folder.\n", path);
    return TRUE;
  }
  ragify_tool_complain ("%s", error->message);
  return FALSE;
}

/* ---- the command ---- */

static gboolean
measure_recall (const RagifyTuneOptions *options, RagifyRecall *recall)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (RagifyHostProcess) host = ragify_tune_start_host (options, NULL, &error);
  if (host != NULL)
    return ragify_tune_recall (options, ragify_host_process_get_url (host), recall);
  ragify_tool_complain ("%s", error->message);
  return FALSE;
}

static int
tune (const RagifyTuneOptions *options, gboolean as_json, const char *path)
{
  RagifyRecall recall = { 0 };
  if (!measure_recall (options, &recall)) {
    ragify_recall_clear (&recall);
    return RAGIFY_TOOL_EXIT_FAILED;
  }
  g_autofree char *common = recall.value > 0 ? g_strdup_printf ("vector-store %s.%s=%" G_GINT64_FORMAT, options->store,
                                                                recall.key, recall.value)
                                             : NULL;
  g_autoptr (GPtrArray) candidates = make_candidates (options, common);
  run_all (options, candidates);
  const RagifyCandidate *best = choose (candidates);
  if (as_json) {
    print_json (&recall, candidates, best);
  } else {
    show_recall (options, &recall);
    show_candidates (options, candidates, best);
    printf ("\nChosen: %s\n", best->name);
  }
  gboolean well = best->refusal == NULL;
  if (!well)
    ragify_tool_complain ("%s", best->refusal);
  if (well && path != NULL)
    well = write_drop_in (options, best, path);
  ragify_recall_clear (&recall);
  return well ? RAGIFY_TOOL_EXIT_OK : RAGIFY_TOOL_EXIT_FAILED;
}

static gboolean
check_options (const RagifyTuneOptions *options, const char *queries)
{
  if (queries == NULL)
    ragify_tool_complain ("tune: expected --queries FILE");
  else if (options->host.binary == NULL)
    ragify_tool_complain ("ragify-host is neither beside this program nor on the path; say --host-binary PATH");
  else if (options->host.state_dir == NULL)
    ragify_tool_complain ("tune: expected --state-dir DIR, where the stores to be tuned lie");
  else if (options->recall <= 0 || options->recall > 1)
    ragify_tool_complain ("--recall %g: expected more than 0, and 1 at most", options->recall);
  else if (options->chunks < 1 || options->chunks > 1000 || options->repeats < 1 || options->clients < 1 ||
           options->duration <= 0)
    ragify_tool_complain ("--chunks is 1 to 1000; --repeats, --clients and --seconds are more than 0");
  else
    return TRUE;
  return FALSE;
}

static int
run (RagifyTuneOptions *options, const char *queries, int limit, gboolean as_json, const char *path)
{
  g_autoptr (GError) error = NULL;
  if (options->host.binary == NULL)
    options->host.binary = ragify_control_find_host ();
  if (!check_options (options, queries))
    return RAGIFY_TOOL_EXIT_USAGE;
  options->queries = ragify_request_set_read_queries (queries, (guint)MAX (limit, 0), &error);
  if (options->queries == NULL) {
    ragify_tool_complain ("%s", error->message);
    return RAGIFY_TOOL_EXIT_USAGE;
  }
  return tune (options, as_json, path);
}

int
ragify_control_tune (RagifyControlOptions *common, int argc, char **argv)
{
  RagifyTuneOptions options = { .recall = 0.95, .chunks = 10, .repeats = 3, .duration = 3, .clients = 8 };
  char *queries = NULL, *path = NULL;
  int limit = 200;
  ragify_host_process_options_init (&options.host);
  const GOptionEntry entries[] = {
    { "queries", 'q', 0, G_OPTION_ARG_FILENAME, &queries, "BEIR queries.jsonl, or a query a line (required)", "FILE" },
    { "limit", 0, 0, G_OPTION_ARG_INT, &limit, "Only the first so many of them (default: 200; 0: all)", "N" },
    { "recall", 'r', 0, G_OPTION_ARG_DOUBLE, &options.recall, "Of exact search, 0..1 (default: 0.95)", "SHARE" },
    { "chunks", 'k', 0, G_OPTION_ARG_INT, &options.chunks, "Chunks of an answer (default: 10)", "N" },
    { "pipeline", 0, 0, G_OPTION_ARG_STRING, &options.pipeline, "The pipeline asked (default: default)", "NAME" },
    { "store", 0, 0, G_OPTION_ARG_STRING, &options.store, "The vector store tuned (default: docs)", "NAME" },
    { "repeats", 0, 0, G_OPTION_ARG_INT, &options.repeats, "Runs of each candidate (default: 3)", "N" },
    { "seconds", 0, 0, G_OPTION_ARG_DOUBLE, &options.duration, "Time of a run (default: 3)", "SECONDS" },
    { "clients", 0, 0, G_OPTION_ARG_INT, &options.clients, "Clients at once (default: 8)", "N" },
    { "write", 'w', 0, G_OPTION_ARG_FILENAME, &path, "Write what was chosen as a drop-in", "FILE" },
    { "host-binary", 0, 0, G_OPTION_ARG_FILENAME, &options.host.binary, "The host (default: the installed one)",
      "PATH" },
    { "config", 'c', 0, G_OPTION_ARG_FILENAME_ARRAY, &options.host.configs, "Its configuration (repeatable)", "PATH" },
    { "state-dir", 0, 0, G_OPTION_ARG_FILENAME, &options.host.state_dir, "Where its stores lie (required)", "DIR" },
    { "host-option", 0, 0, G_OPTION_ARG_STRING_ARRAY, &options.host.extra, "One more argument of it (repeatable)",
      "ARGUMENT" },
    G_OPTION_ENTRY_NULL,
  };
  int code = RAGIFY_TOOL_EXIT_USAGE;
  if (ragify_control_parse (common, entries, "--queries FILE --state-dir DIR", description, &argc, &argv)) {
    options.pipeline = options.pipeline != NULL ? options.pipeline : g_strdup ("default");
    options.store = options.store != NULL ? options.store : g_strdup ("docs");
    code = run (&options, queries, limit, common->json, path);
  }
  g_clear_pointer (&options.queries, g_ptr_array_unref);
  ragify_host_process_options_clear (&options.host);
  g_free (options.pipeline);
  g_free (options.store);
  g_free (queries);
  g_free (path);
  return code;
}
