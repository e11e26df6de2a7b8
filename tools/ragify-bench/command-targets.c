#include "bench-options.h"
#include "exposition.h"
#include "request-set.h"

#include "tools/common/corpus-ingest.h"
#include "tools/common/host-process.h"
#include "tools/common/text-table.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const char summary[] = "Measures the project's targets on a running host, or on one that it starts,\n"
                              "and prints the table as Markdown.";

static const char description[] = "Query response time, context retrieval and vector search are 95th percentiles\n"
                                  "of hybrid (vector search: dense) queries that go past the cache. The hit rate\n"
                                  "is of 10,000 Zipf-distributed queries (exponent 1) that find the cache empty.\n"
                                  "For the concurrent queries, more and more clients ask without a pause, as long\n"
                                  "as all are answered and the 95th percentile stays below 500 ms. Memory is the\n"
                                  "host's PSS after all that.\n"
                                  "\n" RAGIFY_TOOL_EXIT_HELP "\n"
                                  "\n"
                                  "Example:\n"
                                  "  ragify-bench targets --corpus scifact \\\n"
                                  "    --host-binary build/core/ragify-host --config ragify.conf.d\n";

enum {
  CLIENTS = 4,
  HIT_RATE_QUERIES = 10000,
};

typedef struct {
  char *url;
  RagifyHostProcessOptions host;
  char *corpus;
  char *queries;
  int pid;
  double duration;
  int cpu;
  gboolean no_ingest;
} TargetOptions;

/* One row of the table. */
typedef struct {
  const char *name;
  const char *unit;
  double good; /* the target's bound */
  double fair; /* the bound of what is acceptable */
  gboolean more_is_better;
  const char *target;
  const char *acceptable;
  double value; /* NaN: not measured */
  char *how;
} Target;

typedef enum {
  TARGET_RESPONSE,
  TARGET_RETRIEVAL,
  TARGET_SEARCH,
  TARGET_HIT_RATE,
  TARGET_MEMORY,
  TARGET_CONCURRENT,
  TARGETS,
} TargetIndex;

static void
init_targets (Target *targets)
{
  targets[TARGET_RESPONSE] =
      (Target){ "query response time", "ms", 100, 500, FALSE, "< 100 ms", "100–500 ms", NAN, NULL };
  targets[TARGET_RETRIEVAL] = (Target){ "context retrieval", "ms", 50, 200, FALSE, "< 50 ms", "50–200 ms", NAN, NULL };
  targets[TARGET_SEARCH] = (Target){ "vector search", "ms", 20, 100, FALSE, "< 20 ms", "20–100 ms", NAN, NULL };
  targets[TARGET_HIT_RATE] = (Target){ "cache hit rate", "%", 90, 70, TRUE, "> 90 %", "70–90 %", NAN, NULL };
  targets[TARGET_MEMORY] = (Target){ "memory", "MB", 1000, 4000, FALSE, "< 1 GB", "1–4 GB", NAN, NULL };
  targets[TARGET_CONCURRENT] = (Target){ "concurrent queries", "", 1000, 100, TRUE, "> 1000", "100–1000", NAN, NULL };
}

static const char *
band_of (const Target *target)
{
  if (isnan (target->value))
    return "not measured";
  if (target->more_is_better ? target->value > target->good : target->value < target->good)
    return "target";
  return (target->more_is_better ? target->value >= target->fair : target->value <= target->fair) ? "acceptable"
                                                                                                  : "poor";
}

/* What the measuring needs. */
typedef struct {
  const TargetOptions *options;
  RagifyEndpoint *endpoint;
  GPtrArray *queries;
  pid_t pid;
  const char *url;
  Target *targets;
} Measuring;

static void
set (Measuring *measuring, TargetIndex index, double value, char *how)
{
  measuring->targets[index].value = value;
  g_free (measuring->targets[index].how);
  measuring->targets[index].how = how;
}

static char *
scrape (const Measuring *measuring)
{
  guint status = 0;
  g_autoptr (GBytes) request = ragify_endpoint_make_request (measuring->endpoint, "GET", "/metrics", NULL, NULL, 0);
  g_autoptr (GBytes) body = ragify_endpoint_exchange (measuring->endpoint, -1, request, 10, &status, NULL);
  if (body == NULL || status != 200)
    return g_strdup ("");
  gsize length = 0;
  const char *text = g_bytes_get_data (body, &length);
  return g_strndup (text, length);
}

/* One measured load; requests 0: for the options' duration. */
typedef struct {
  const char *mode;
  const char *cache;
  const char *distribution;
  guint clients;
  guint64 requests;
} Load;

static RagifyLoadResult *
run_load (const Measuring *measuring, const Load *load, GError **error)
{
  const RagifyQueryShape shape = { .mode = load->mode, .cache = load->cache, .max_chunks = 10 };
  RagifyDistribution kind = RAGIFY_DISTRIBUTION_UNIFORM;
  double exponent = 1;
  ragify_query_sampler_parse (load->distribution, &kind, &exponent);
  g_autoptr (GPtrArray) requests = ragify_request_set_make (measuring->endpoint, measuring->queries, &shape);
  g_autoptr (RagifyQuerySampler) sampler = ragify_query_sampler_new (kind, exponent, requests->len, 1);
  const RagifyLoadPlan plan = {
    .endpoint = measuring->endpoint,
    .requests = requests,
    .sampler = sampler,
    .connections = load->clients,
    .duration = load->requests == 0 ? measuring->options->duration : 0,
    .request_limit = load->requests,
    .timeout = 30,
    .seed = 1,
    .probe = TRUE,
  };
  return ragify_load_run (&plan, error);
}

/* What a histogram of the host's counted between two scrapes, or NULL when it has no such histogram. */
static RagifyExpositionHistogram *
histogram_between (const char *before, const char *after, const char *name, const char *label, const char *value)
{
  g_autoptr (RagifyExpositionHistogram) first = ragify_exposition_find_histogram (before, name, label, value);
  g_autoptr (RagifyExpositionHistogram) last = ragify_exposition_find_histogram (after, name, label, value);
  return last != NULL ? ragify_exposition_histogram_subtract (last, first) : NULL;
}

static double
p95 (const RagifyLatencyHistogram *histogram)
{
  if (ragify_latency_histogram_get_count (histogram) == 0)
    return NAN;
  return (double)ragify_latency_histogram_get_percentile (histogram, 95) * 1e-6;
}

/* One client, and for comparison several: what a query takes, and what it takes when others ask too. */
static gboolean
measure_uncached (Measuring *measuring, GError **error)
{
  const Load by_several = { .mode = "hybrid", .cache = "bypass", .distribution = "uniform", .clients = CLIENTS };
  const Load by_one = { .mode = "hybrid", .cache = "bypass", .distribution = "uniform", .clients = 1 };
  g_autoptr (RagifyLoadResult) several = run_load (measuring, &by_several, error);
  g_autoptr (RagifyLoadResult) one = several != NULL ? run_load (measuring, &by_one, error) : NULL;
  if (one == NULL)
    return FALSE;
  guint64 failed = ragify_load_result_count_failed (one) + ragify_load_result_count_failed (several);
  set (measuring, TARGET_RESPONSE, p95 (one->latency),
       g_strdup_printf ("p95 at the client, uncached hybrid, one client (%d clients: %.1f ms); %" G_GUINT64_FORMAT
                        " failed",
                        CLIENTS, p95 (several->latency), failed));
  set (measuring, TARGET_RETRIEVAL, p95 (one->processing),
       g_strdup_printf ("p95 in the host, the same queries (%d clients: %.1f ms)", CLIENTS, p95 (several->processing)));
  return TRUE;
}

/* The host's own histogram is the only place where one stage can be seen; its buckets are coarse, so the mean is told
 * too. */
static gboolean
measure_search (Measuring *measuring, GError **error)
{
  g_autofree char *before = scrape (measuring);
  const Load by_one = { .mode = "dense", .cache = "bypass", .distribution = "uniform", .clients = 1 };
  g_autoptr (RagifyLoadResult) dense = run_load (measuring, &by_one, error);
  if (dense == NULL)
    return FALSE;
  g_autofree char *after = scrape (measuring);
  g_autoptr (RagifyExpositionHistogram) search =
      histogram_between (before, after, "ragify_stage_duration_seconds", "stage", "search");
  if (search == NULL) {
    set (measuring, TARGET_SEARCH, NAN, g_strdup ("the host has no ragify_stage_duration_seconds{stage=\"search\"}"));
    return TRUE;
  }
  set (measuring, TARGET_SEARCH, ragify_exposition_histogram_get_quantile (search, 0.95) * 1e3,
       g_strdup_printf ("p95 of the stage, uncached dense, one client (mean %.2f ms)",
                        ragify_exposition_histogram_get_mean (search) * 1e3));
  return TRUE;
}

static gboolean
measure_hit_rate (Measuring *measuring, GError **error)
{
  const Load popular = {
    .mode = "hybrid", .cache = "use", .distribution = "zipf:1", .clients = CLIENTS, .requests = HIT_RATE_QUERIES
  };
  g_autoptr (RagifyLoadResult) result = run_load (measuring, &popular, error);
  if (result == NULL)
    return FALSE;
  const guint64 *misses = g_hash_table_lookup (result->levels, "miss");
  double answers = (double)ragify_load_result_count_succeeded (result);
  double hits = answers - (misses != NULL ? (double)*misses : 0);
  set (measuring, TARGET_HIT_RATE, answers > 0 ? 100 * hits / answers : NAN,
       g_strdup_printf ("%.0f queries, Zipf 1 over %u, from an empty cache", answers, measuring->queries->len));
  return TRUE;
}

static gboolean
measure_concurrent (Measuring *measuring, GError **error)
{
  static const guint steps[] = { 100, 500, 1000, 2000, 4000 };
  double most = 0;
  g_autofree char *how = g_strdup ("not even 100 clients at once were all answered");
  for (gsize i = 0; i < G_N_ELEMENTS (steps); i++) {
    const Load crowd = { .mode = "hybrid", .cache = "use", .distribution = "zipf:1", .clients = steps[i] };
    g_autoptr (RagifyLoadResult) result = run_load (measuring, &crowd, error);
    if (result == NULL)
      return FALSE;
    if (ragify_load_result_count_failed (result) > 0 ||
        ragify_latency_histogram_get_percentile (result->latency, 95) > 500 * 1000000ull)
      break;
    most = steps[i];
    g_free (how);
    how = g_strdup_printf ("clients at once, all answered, p95 %.1f ms, cached, Zipf 1 (steps up to %u)",
                           (double)ragify_latency_histogram_get_percentile (result->latency, 95) * 1e-6,
                           steps[G_N_ELEMENTS (steps) - 1]);
  }
  set (measuring, TARGET_CONCURRENT, most, g_steal_pointer (&how));
  return TRUE;
}

static void
measure_memory (Measuring *measuring)
{
  RagifyProcessUsage usage = { 0 };
  g_autoptr (GError) error = NULL;
  if (measuring->pid <= 0)
    set (measuring, TARGET_MEMORY, NAN, g_strdup ("--pid was not given"));
  else if (!ragify_process_usage_read (&measuring->pid, 1, TRUE, &usage, &error))
    set (measuring, TARGET_MEMORY, NAN, g_strdup (error->message));
  else
    set (measuring, TARGET_MEMORY, (double)usage.pss * 1e-6,
         g_strdup_printf ("PSS after all of this; peak RSS %.0f MB", (double)usage.peak * 1e-6));
}

static void
print_table (const Target *targets)
{
  g_autoptr (RagifyTextTable) table = ragify_text_table_new ("lrlrrl");
  ragify_text_table_add (table, (const char *const[]){ "metric", "measured", "band", "target", "acceptable", "how" });
  for (guint i = 0; i < TARGETS; i++) {
    const Target *target = &targets[i];
    int digits = target->value < 100 && *target->unit != '\0' ? 1 : 0;
    g_autofree char *value =
        isnan (target->value) ? g_strdup ("–") : g_strdup_printf ("%.*f %s", digits, target->value, target->unit);
    g_strchomp (value);
    const char *how = target->how != NULL ? target->how : "";
    ragify_text_table_add (
        table, (const char *const[]){ target->name, value, band_of (target), target->target, target->acceptable, how });
  }
  g_autofree char *text = ragify_text_table_format (table, TRUE);
  fputs (text, stdout);
}

static gboolean
ingest_corpus (const TargetOptions *options, const char *url, GError **error)
{
  if (options->corpus == NULL || options->no_ingest)
    return TRUE;
  RagifyDocumentSenderOptions sending = RAGIFY_DOCUMENT_SENDER_DEFAULTS;
  g_autofree char *path = g_build_filename (options->corpus, "corpus.jsonl", NULL);
  g_autoptr (RagifyHttpClient) client = ragify_http_client_new (url, 300, sending.parallel, error);
  if (client == NULL)
    return FALSE;
  g_autoptr (RagifyDocumentSender) sender = ragify_document_sender_new (client, &sending);
  return ragify_corpus_ingest (sender, path, FALSE, NULL, error);
}

static int
measure_all (Measuring *measuring)
{
  g_autoptr (GError) error = NULL;
  gboolean fine = ingest_corpus (measuring->options, measuring->url, &error) && measure_uncached (measuring, &error) &&
                  measure_search (measuring, &error) && measure_hit_rate (measuring, &error) &&
                  measure_concurrent (measuring, &error);
  if (!fine) {
    ragify_tool_complain ("%s", error->message);
    return error->domain == RAGIFY_ENDPOINT_ERROR ? ragify_bench_exit_code (error) : RAGIFY_TOOL_EXIT_FAILED;
  }
  measure_memory (measuring);
  print_table (measuring->targets);
  for (guint i = 0; i < TARGETS; i++)
    if (isnan (measuring->targets[i].value))
      return RAGIFY_TOOL_EXIT_FAILED;
  return RAGIFY_TOOL_EXIT_OK;
}

/* Measures the host at url; pid 0: not known. */
static int
measure_host (const TargetOptions *options, const char *url, pid_t pid, GPtrArray *queries)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (RagifyEndpoint) endpoint = ragify_endpoint_new (url, &error);
  if (endpoint == NULL) {
    ragify_tool_complain ("%s", error->message);
    return ragify_bench_exit_code (error);
  }
  if (!ragify_bench_prepare_process (options->cpu))
    return RAGIFY_TOOL_EXIT_USAGE;

  Target targets[TARGETS];
  init_targets (targets);
  Measuring measuring = {
    .options = options, .endpoint = endpoint, .queries = queries, .pid = pid, .url = url, .targets = targets
  };
  int exit_code = measure_all (&measuring);
  for (guint i = 0; i < TARGETS; i++)
    g_free (targets[i].how);
  return exit_code;
}

static int
run (const TargetOptions *options)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *beside = options->corpus != NULL ? g_build_filename (options->corpus, "queries.jsonl", NULL) : NULL;
  const char *path = options->queries != NULL ? options->queries : beside;
  g_autoptr (GPtrArray) queries = ragify_request_set_read_queries (path, 0, &error);
  if (queries == NULL) {
    ragify_tool_complain ("%s", error->message);
    return ragify_bench_exit_code (error);
  }
  if (options->host.binary == NULL)
    return measure_host (options, options->url, (pid_t)options->pid, queries);
  /* The host inherits the right to as many connections as we open. */
  ragify_bench_prepare_process (-1);

  g_autoptr (RagifyHostProcess) host = ragify_host_process_start (&options->host, options->url, 60, &error);
  if (host == NULL) {
    ragify_tool_complain ("%s", error->message);
    return RAGIFY_TOOL_EXIT_FAILED;
  }
  return measure_host (options, ragify_host_process_get_url (host), ragify_host_process_get_pid (host), queries);
}

int
ragify_bench_targets (int argc, char **argv)
{
  TargetOptions options = { .duration = 5, .cpu = -1 };
  ragify_host_process_options_init (&options.host);
  const GOptionEntry entries[] = {
    { "url", 'u', 0, G_OPTION_ARG_STRING, &options.url, "The host (default: http://127.0.0.1:8080)", "URL" },
    { "corpus", 0, 0, G_OPTION_ARG_FILENAME, &options.corpus,
      "BEIR folder: its corpus.jsonl is ingested, its queries.jsonl asked", "FOLDER" },
    { "no-ingest", 0, 0, G_OPTION_ARG_NONE, &options.no_ingest, "The corpus is in the store already", NULL },
    { "queries", 'q', 0, G_OPTION_ARG_FILENAME, &options.queries, "Ask these instead", "FILE" },
    { "pid", 'p', 0, G_OPTION_ARG_INT, &options.pid, "The running host's process, for its memory", "PID" },
    { "duration", 'd', 0, G_OPTION_ARG_DOUBLE, &options.duration, "Of each measurement (default: 5)", "SECONDS" },
    { "cpu", 0, 0, G_OPTION_ARG_INT, &options.cpu, "Bind this client to a core", "CORE" },
    G_OPTION_ENTRY_NULL,
  };
  g_autoptr (GOptionContext) context = g_option_context_new ("targets");
  g_autoptr (GError) error = NULL;
  int exit_code = RAGIFY_TOOL_EXIT_USAGE;
  g_option_context_add_main_entries (context, entries, NULL);
  ragify_host_process_options_add_entries (&options.host, context);
  g_option_context_set_summary (context, summary);
  g_option_context_set_description (context, description);
  if (!g_option_context_parse (context, &argc, &argv, &error))
    ragify_tool_complain ("%s (see 'ragify-bench targets --help')", error->message);
  else if (argc > 1)
    ragify_tool_complain ("targets: '%s' is too much; it takes options only", argv[1]);
  else if (options.corpus == NULL && options.queries == NULL)
    ragify_tool_complain ("targets: expected --corpus FOLDER or --queries FILE");
  else if (options.duration <= 0)
    ragify_tool_complain ("--duration %g: expected more than 0 seconds", options.duration);
  else {
    if (options.url == NULL && options.host.binary == NULL)
      options.url = g_strdup ("http://127.0.0.1:8080");
    exit_code = run (&options);
  }
  g_free (options.url);
  ragify_host_process_options_clear (&options.host);
  g_free (options.corpus);
  g_free (options.queries);
  return exit_code;
}
