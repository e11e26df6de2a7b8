/* What the files of 'ragify-ctl tune' share. */
#pragma once

#include "command.h"
#include "core/pipeline/recall.h"
#include "tools/common/host-process.h"
#include "tools/common/text-table.h"

typedef struct {
  RagifyHostProcessOptions host;
  GPtrArray *queries; /* texts */
  char *pipeline, *store, *embedder;
  double recall;
  int chunks;      /* that recall is taken over */
  int repeats;     /* runs of each candidate */
  double duration; /* seconds of a run */
  int clients;
} RagifyTuneOptions;

/* One way of running: changes to the configuration that --set takes. */
typedef struct {
  char *name;
  GPtrArray *settings; /* "KIND NAME.KEY=VALUE" */
  GArray *throughput;  /* double: answers a second, of each run */
  GArray *p95;         /* double: ms */
  guint64 failed;
  char *refusal; /* why it cannot run; NULL: it can */
} RagifyCandidate;

RagifyCandidate *ragify_candidate_new (const char *name, const char *const *settings);
void ragify_candidate_free (RagifyCandidate *candidate);

/* ---- tune-recall.c ---- */

/* Finds the smallest nprobe or efSearch with which the pipeline's dense answers reach options->recall of exact search,
 * on a host that runs at url. FALSE after a complaint. The recall is to be cleared either way. */
gboolean ragify_tune_recall (const RagifyTuneOptions *options, const char *url, RagifyRecall *recall);

/* ---- tune-load.c ---- */

/* Starts a host for the candidate, cold, sends it the queries, and notes what came. FALSE after a complaint. */
gboolean ragify_tune_run (const RagifyTuneOptions *options, RagifyCandidate *candidate, guint round);

/* A host for a candidate (NULL: as configured); NULL with an error. */
RagifyHostProcess *
ragify_tune_start_host (const RagifyTuneOptions *options, const RagifyCandidate *candidate, GError **error);
