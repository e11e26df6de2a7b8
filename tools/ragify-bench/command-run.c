#include "bench-options.h"
#include "load-report.h"
#include "request-set.h"

static const char summary[] = "Sends the queries of a file to POST /v1/context and measures.";

static const char description[] = "Without --rate it is a closed loop: each client sends its next query when it\n"
                                  "has the answer to the last. With --rate it is an open loop: queries are due at\n"
                                  "given times whatever the server does, and each latency counts from the time its\n"
                                  "query was due, so that a server that stalls cannot hide the queries that piled\n"
                                  "up meanwhile (no coordinated omission).\n"
                                  "\n"
                                  "Percentiles come from a histogram with buckets at most 1/128 of their value\n"
                                  "wide: never too small, too large by less than 0.79 %. They cover answers with\n"
                                  "status 2xx and queries that timed out; all else is counted by status and kind.\n"
                                  "\n"
                                  "The exit code is 0 only when every query got an answer with status 2xx.\n"
                                  "\n" RAGIFY_TOOL_EXIT_HELP "\n"
                                  "\n"
                                  "Examples:\n"
                                  "  ragify-bench run --queries queries.jsonl --clients 8 --cache bypass \\\n"
                                  "    --pid $(pidof ragify-host)\n"
                                  "  ragify-bench run --queries queries.jsonl --rate 500 \\\n"
                                  "    --distribution zipf:1.1 --cpu 1 --json\n";

typedef struct {
  char *queries;
  char *distribution;
  RagifyQueryShape shape;
  char *mode;
  char *cache;
  char *pipeline;
} RunOptions;

static int
run (const RagifyBenchLoad *load, const RunOptions *options)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) queries = ragify_request_set_read_queries (options->queries, 0, &error);
  g_autoptr (RagifyEndpoint) endpoint = queries != NULL ? ragify_endpoint_new (load->url, &error) : NULL;
  if (endpoint == NULL) {
    ragify_tool_complain ("%s", error->message);
    return ragify_bench_exit_code (error);
  }
  const char *distribution = options->distribution != NULL ? options->distribution : "uniform";
  g_autoptr (GPtrArray) requests = ragify_request_set_make (endpoint, queries, &options->shape);
  int exit_code = RAGIFY_TOOL_EXIT_OK;
  g_autoptr (RagifyBenchMeasurement) measurement =
      ragify_bench_measure (load, endpoint, requests, distribution, TRUE, &exit_code);
  if (measurement == NULL)
    return exit_code;

  g_autofree char *what = g_strdup_printf ("%u queries %s, mode %s, cache %s", queries->len, distribution,
                                           options->mode != NULL ? options->mode : "default",
                                           options->cache != NULL ? options->cache : "default");
  if (load->json)
    ragify_load_report_print_json (load, what, measurement);
  else
    ragify_load_report_print (load, what, measurement);
  return ragify_load_report_exit_code (measurement);
}

int
ragify_bench_run (int argc, char **argv)
{
  RunOptions options = { .shape.max_chunks = -1 };
  const GOptionEntry entries[] = {
    { "queries", 'q', 0, G_OPTION_ARG_FILENAME, &options.queries,
      "BEIR queries.jsonl, or a text file with a query a line (required)", "FILE" },
    { "distribution", 0, 0, G_OPTION_ARG_STRING, &options.distribution, "uniform (default), zipf[:S] or once", "HOW" },
    { "mode", 'm', 0, G_OPTION_ARG_STRING, &options.mode, "hybrid, dense or lexical", "MODE" },
    { "cache", 0, 0, G_OPTION_ARG_STRING, &options.cache, "use, refresh or bypass", "WHAT" },
    { "max-chunks", 0, 0, G_OPTION_ARG_INT, &options.shape.max_chunks, "Chunks asked for", "N" },
    { "pipeline", 0, 0, G_OPTION_ARG_STRING, &options.pipeline, "The pipeline asked", "NAME" },
    G_OPTION_ENTRY_NULL,
  };
  g_auto (RagifyBenchLoad) load;
  ragify_bench_load_init (&load);
  int exit_code = RAGIFY_TOOL_EXIT_USAGE;
  if (ragify_bench_load_parse (&load, entries, summary, description, argc, argv)) {
    options.shape.mode = options.mode;
    options.shape.cache = options.cache;
    options.shape.pipeline = options.pipeline;
    if (options.queries == NULL)
      ragify_tool_complain ("run: expected --queries FILE");
    else
      exit_code = run (&load, &options);
  }
  g_free (options.queries);
  g_free (options.distribution);
  g_free (options.mode);
  g_free (options.cache);
  g_free (options.pipeline);
  return exit_code;
}
