/* What the commands of ragify-bench share. */
#pragma once

#include "load-run.h"
#include "process-usage.h"

#include "tools/common/tool-exit.h"

/* Each gets its own argument vector (argv[0] is the command's name) and returns the exit code. */
int ragify_bench_run (int argc, char **argv);
int ragify_bench_get (int argc, char **argv);
int ragify_bench_targets (int argc, char **argv);

/* How requests are sent, as `run` and `get` take it from the command line. */
typedef struct {
  char *url;
  int clients;
  double rate;
  char *arrivals; /* "poisson" or "fixed" */
  double duration;
  gint64 requests;
  gint64 warmup; /* requests before measuring */
  double timeout;
  int idle;
  char *idle_target;
  int cpu;
  char **pids;
  gint64 seed;
  gboolean json;
} RagifyBenchLoad;

/* The defaults of every member. */
void ragify_bench_load_init (RagifyBenchLoad *load);
void ragify_bench_load_clear (RagifyBenchLoad *load);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (RagifyBenchLoad, ragify_bench_load_clear)

/* Parses a command's own entries and those of RagifyBenchLoad, and checks the latter. Returns FALSE after a complaint.
 */
gboolean ragify_bench_load_parse (RagifyBenchLoad *load, const GOptionEntry *entries, const char *summary,
                                  const char *description, int argc, char **argv);

/* Binds this process to a core (cpu < 0: leaves it), and lets it open as many files as it may. Returns FALSE after a
 * complaint. */
gboolean ragify_bench_prepare_process (int cpu);

/* What one measured run gave. */
typedef struct {
  RagifyLoadResult *load;
  gboolean has_server; /* processes were named */
  double server_cpu;   /* seconds during the run */
  double server_user;
  double server_system;
  RagifyProcessUsage after;
  guint idle_open;
  guint idle_closed;
} RagifyBenchMeasurement;

void ragify_bench_measurement_free (RagifyBenchMeasurement *measurement);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (RagifyBenchMeasurement, ragify_bench_measurement_free)

/* Opens the idle connections, warms up, runs, measures. sampler_text: as --distribution. Returns NULL with *exit_code
 * set after a complaint. */
RagifyBenchMeasurement *
ragify_bench_measure (const RagifyBenchLoad *load, const RagifyEndpoint *endpoint, const GPtrArray *requests,
                      const char *distribution, gboolean probe, int *exit_code);

/* The exit code for an error of RAGIFY_ENDPOINT_ERROR or of reading a file. */
int ragify_bench_exit_code (const GError *error);
