/* What an ingest did, in words or as JSON. */
#pragma once

#include "tools/common/document-sender.h"
#include "tools/common/text-file.h"

typedef struct {
  const RagifyDocumentTotals *totals;
  guint64 skipped[RAGIFY_SKIP_REASONS];
  double seconds;
} RagifyIngestReport;

/* Counts a file that was passed over for its content, and names it on standard error when verbose. */
void
ragify_ingest_report_skip (RagifyIngestReport *report, const char *path, RagifySkipReason reason, gboolean verbose);

/* Words: the failures to standard error (all of them), and unless quiet the totals to standard output. JSON: everything
 * to standard output. */
void ragify_ingest_report_print (const RagifyIngestReport *report, gboolean json, gboolean quiet);
