#include "bench-options.h"

#include "idle-connections.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/resource.h>

void
ragify_bench_load_init (RagifyBenchLoad *load)
{
  *load = (RagifyBenchLoad){ .clients = -1, .timeout = 30, .cpu = -1, .seed = 1 };
}

void
ragify_bench_load_clear (RagifyBenchLoad *load)
{
  g_free (load->url);
  g_free (load->arrivals);
  g_free (load->idle_target);
  g_strfreev (load->pids);
}

static gboolean
complain_number (const char *option, double value, const char *expected)
{
  ragify_tool_complain ("%s %g: expected %s", option, value, expected);
  return FALSE;
}

/* Fills in what was left out and refuses what cannot be. */
static gboolean
check (RagifyBenchLoad *load)
{
  if (load->rate < 0 || load->rate > 1e6)
    return complain_number ("--rate", load->rate, "0 (closed loop) to 1000000 requests a second");
  if (load->clients == -1)
    load->clients = load->rate > 0 ? 256 : 1;
  if (load->clients < 1 || load->clients > 100000)
    return complain_number ("--clients", load->clients, "1 to 100000");
  if (load->duration < 0 || load->duration > 86400)
    return complain_number ("--duration", load->duration, "0 to 86400 seconds");
  if (load->requests < 0 || load->warmup < 0)
    return complain_number (load->requests < 0 ? "--requests" : "--warmup", (double)MIN (load->requests, load->warmup),
                            "0 or more");
  if (load->timeout <= 0)
    return complain_number ("--timeout", load->timeout, "more than 0 seconds");
  if (load->idle < 0 || load->idle > 100000)
    return complain_number ("--idle", load->idle, "0 to 100000");
  if (load->arrivals != NULL && strcmp (load->arrivals, "poisson") != 0 && strcmp (load->arrivals, "fixed") != 0) {
    ragify_tool_complain ("--arrivals '%s': expected 'poisson' or 'fixed'", load->arrivals);
    return FALSE;
  }
  if (load->duration == 0 && load->requests == 0)
    load->duration = 10;
  if (load->url == NULL)
    load->url = g_strdup ("http://127.0.0.1:8080");
  return TRUE;
}

gboolean
ragify_bench_load_parse (RagifyBenchLoad *load, const GOptionEntry *entries, const char *summary,
                         const char *description, int argc, char **argv)
{
  const GOptionEntry common[] = {
    { "url", 'u', 0, G_OPTION_ARG_STRING, &load->url, "The server (default: http://127.0.0.1:8080)", "URL" },
    { "clients", 'c', 0, G_OPTION_ARG_INT, &load->clients,
      "Closed loop: so many clients (default: 1); with --rate: connections at most (256)", "N" },
    { "rate", 'r', 0, G_OPTION_ARG_DOUBLE, &load->rate,
      "Open loop: so many requests a second, whatever the server does", "R" },
    { "arrivals", 0, 0, G_OPTION_ARG_STRING, &load->arrivals, "Open loop: poisson (default) or fixed gaps", "HOW" },
    { "duration", 'd', 0, G_OPTION_ARG_DOUBLE, &load->duration, "Send for so long (default: 10, without --requests)",
      "SECONDS" },
    { "requests", 'n', 0, G_OPTION_ARG_INT64, &load->requests, "Send so many", "N" },
    { "warmup", 'w', 0, G_OPTION_ARG_INT64, &load->warmup, "Send so many before measuring", "N" },
    { "timeout", 0, 0, G_OPTION_ARG_DOUBLE, &load->timeout, "Time for one answer (default: 30)", "SECONDS" },
    { "idle", 0, 0, G_OPTION_ARG_INT, &load->idle, "Hold so many silent keep-alive connections open besides", "N" },
    { "idle-path", 0, 0, G_OPTION_ARG_STRING, &load->idle_target, "What each of them has asked once (default: /livez)",
      "PATH" },
    { "cpu", 0, 0, G_OPTION_ARG_INT, &load->cpu, "Bind this client to a core", "CORE" },
    { "pid", 'p', 0, G_OPTION_ARG_STRING_ARRAY, &load->pids,
      "Measure the server's process: CPU a request, memory (may be repeated)", "PID" },
    { "seed", 0, 0, G_OPTION_ARG_INT64, &load->seed, "Of the random choices (default: 1)", "N" },
    { "json", 'j', 0, G_OPTION_ARG_NONE, &load->json, "Print JSON", NULL },
    G_OPTION_ENTRY_NULL,
  };
  g_autofree char *parameters = g_strdup (argv[0]);
  g_autoptr (GOptionContext) context = g_option_context_new (parameters);
  g_autoptr (GError) error = NULL;
  g_option_context_add_main_entries (context, entries, NULL);
  g_option_context_add_main_entries (context, common, NULL);
  g_option_context_set_summary (context, summary);
  g_option_context_set_description (context, description);
  if (!g_option_context_parse (context, &argc, &argv, &error)) {
    ragify_tool_complain ("%s (see 'ragify-bench %s --help')", error->message, argv[0]);
    return FALSE;
  }
  if (argc > 1) {
    ragify_tool_complain ("%s: '%s' is too much; it takes options only", argv[0], argv[1]);
    return FALSE;
  }
  return check (load);
}

gboolean
ragify_bench_prepare_process (int cpu)
{
  struct rlimit limit;
  if (getrlimit (RLIMIT_NOFILE, &limit) == 0) {
    limit.rlim_cur = limit.rlim_max;
    setrlimit (RLIMIT_NOFILE, &limit);
  }
  if (cpu < 0)
    return TRUE;

  cpu_set_t set;
  CPU_ZERO (&set);
  CPU_SET ((size_t)cpu, &set);
  if (cpu < CPU_SETSIZE && sched_setaffinity (0, sizeof set, &set) == 0)
    return TRUE;
  ragify_tool_complain ("--cpu %d: %s", cpu, cpu < CPU_SETSIZE ? g_strerror (errno) : "no such core");
  return FALSE;
}

int
ragify_bench_exit_code (const GError *error)
{
  if (error->domain != RAGIFY_ENDPOINT_ERROR || error->code == RAGIFY_ENDPOINT_ERROR_URL)
    return RAGIFY_TOOL_EXIT_USAGE;
  return error->code == RAGIFY_ENDPOINT_ERROR_UNREACHABLE ? RAGIFY_TOOL_EXIT_UNREACHABLE : RAGIFY_TOOL_EXIT_FAILED;
}

void
ragify_bench_measurement_free (RagifyBenchMeasurement *measurement)
{
  if (measurement == NULL)
    return;
  ragify_load_result_free (measurement->load);
  g_free (measurement);
}

/* The process ids of --pid. Returns FALSE after a complaint. */
static gboolean
read_pids (const RagifyBenchLoad *load, GArray *pids)
{
  for (gsize i = 0; load->pids != NULL && load->pids[i] != NULL; i++) {
    guint64 number = 0;
    if (!g_ascii_string_to_unsigned (load->pids[i], 10, 1, G_MAXINT, &number, NULL)) {
      ragify_tool_complain ("--pid '%s': expected the number of a process", load->pids[i]);
      return FALSE;
    }
    pid_t pid = (pid_t)number;
    g_array_append_val (pids, pid);
  }
  return TRUE;
}

static RagifyLoadResult *
run_load (const RagifyBenchLoad *load, const RagifyEndpoint *endpoint, const GPtrArray *requests,
          RagifyQuerySampler *sampler, gboolean probe, gboolean warmup, GError **error)
{
  const RagifyLoadPlan plan = {
    .endpoint = endpoint,
    .requests = requests,
    .sampler = sampler,
    .connections = (guint)load->clients,
    .rate = warmup ? 0 : load->rate,
    .poisson = g_strcmp0 (load->arrivals, "fixed") != 0,
    .duration = warmup ? 0 : load->duration,
    .request_limit = (guint64)(warmup ? load->warmup : load->requests),
    .timeout = load->timeout,
    .seed = (guint64)load->seed,
    .probe = probe,
  };
  return ragify_load_run (&plan, error);
}

static RagifyQuerySampler *
make_sampler (const char *distribution, const GPtrArray *requests, gint64 seed, GError **error)
{
  RagifyDistribution kind = RAGIFY_DISTRIBUTION_UNIFORM;
  double exponent = 1;
  if (!ragify_query_sampler_parse (distribution, &kind, &exponent)) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                 "--distribution '%s': expected 'zipf', 'zipf:S' with S from 0.01 to 10, 'uniform' or 'once'",
                 distribution);
    return NULL;
  }
  return ragify_query_sampler_new (kind, exponent, requests->len, (guint64)seed);
}

/* Everything between the idle connections' opening and closing. */
static gboolean
measure (const RagifyBenchLoad *load, const RagifyEndpoint *endpoint, const GPtrArray *requests,
         RagifyQuerySampler *sampler, gboolean probe, const GArray *pids, RagifyBenchMeasurement *measurement,
         GError **error)
{
  const pid_t *processes = (const pid_t *)(const void *)pids->data;
  RagifyProcessUsage before = { 0 };
  if (load->warmup > 0) {
    /* The warm-up must not use up what `once` has to give. */
    g_autoptr (RagifyQuerySampler) uniform =
        ragify_query_sampler_new (RAGIFY_DISTRIBUTION_UNIFORM, 1, requests->len, (guint64)load->seed + 1);
    g_autoptr (RagifyLoadResult) warm = run_load (load, endpoint, requests, uniform, FALSE, TRUE, error);
    if (warm == NULL)
      return FALSE;
  }
  if (!ragify_process_usage_read (processes, pids->len, FALSE, &before, error))
    return FALSE;
  measurement->load = run_load (load, endpoint, requests, sampler, probe, FALSE, error);
  if (measurement->load == NULL || !ragify_process_usage_read (processes, pids->len, TRUE, &measurement->after, error))
    return FALSE;
  measurement->has_server = pids->len > 0;
  measurement->server_cpu = measurement->after.cpu - before.cpu;
  measurement->server_user = measurement->after.user - before.user;
  measurement->server_system = measurement->after.system - before.system;
  return TRUE;
}

RagifyBenchMeasurement *
ragify_bench_measure (const RagifyBenchLoad *load, const RagifyEndpoint *endpoint, const GPtrArray *requests,
                      const char *distribution, gboolean probe, int *exit_code)
{
  g_autoptr (GArray) pids = g_array_new (FALSE, FALSE, sizeof (pid_t));
  *exit_code = RAGIFY_TOOL_EXIT_USAGE;
  if (!read_pids (load, pids) || !ragify_bench_prepare_process (load->cpu))
    return NULL;

  g_autoptr (GError) error = NULL;
  g_autoptr (RagifyBenchMeasurement) measurement = g_new0 (RagifyBenchMeasurement, 1);
  g_autoptr (RagifyIdleConnections) idle = NULL;
  g_autoptr (RagifyQuerySampler) sampler = make_sampler (distribution, requests, load->seed, &error);
  const char *target = load->idle_target != NULL ? load->idle_target : "/livez";
  g_autoptr (GBytes) idle_request = ragify_endpoint_make_request (endpoint, "GET", target, NULL, NULL, 0);

  if (error == NULL && load->idle > 0)
    idle = ragify_idle_connections_open (endpoint, (guint)load->idle, idle_request, &error);
  if (error == NULL)
    measure (load, endpoint, requests, sampler, probe, pids, measurement, &error);
  if (error != NULL) {
    ragify_tool_complain ("%s", error->message);
    *exit_code = ragify_bench_exit_code (error);
    return NULL;
  }
  measurement->idle_open = (guint)load->idle;
  measurement->idle_closed = idle != NULL ? ragify_idle_connections_count_closed (idle) : 0;
  *exit_code = RAGIFY_TOOL_EXIT_OK;
  return g_steal_pointer (&measurement);
}
