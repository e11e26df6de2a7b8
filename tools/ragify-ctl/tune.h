/* What the files of 'ragify-ctl tune' share. */
#pragma once

#include "command.h"
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

typedef struct {
  double median, low, high;
} RagifySpread;
RagifySpread ragify_spread_of (const GArray *values);

/* ---- tune-recall.c ---- */

/* How much of the exact answer a search setting finds. */
typedef struct {
  const char *key;    /* of the store: "nprobe", "ef-search"; NULL: its index is exact */
  const char *member; /* of a request's `search` */
  gint64 value;       /* the smallest that reaches the recall; 0: none does */
  double recall;      /* with it */
  GArray *tried;      /* RagifyRecallPoint, in the order of the values */
} RagifyRecall;

typedef struct {
  gint64 value;
  double recall;
  double median_ms; /* at the client, one query after the other, in the same round as all other values */
} RagifyRecallPoint;

/* Finds the smallest nprobe or efSearch with which the pipeline's dense answers reach options->recall of exact search,
 * on a host that runs at url. FALSE after a complaint. */
gboolean ragify_tune_recall (const RagifyTuneOptions *options, const char *url, RagifyRecall *recall);

/* ---- tune-load.c ---- */

/* Starts a host for the candidate, cold, sends it the queries, and notes what came. FALSE after a complaint. */
gboolean ragify_tune_run (const RagifyTuneOptions *options, RagifyCandidate *candidate, guint round);

/* A host for a candidate (NULL: as configured); NULL with an error. */
RagifyHostProcess *
ragify_tune_start_host (const RagifyTuneOptions *options, const RagifyCandidate *candidate, GError **error);
