/* What an upload comes to, and what is said when it fails.
 *
 * SPDX-License-Identifier: MIT
 */
#pragma once

#include <glib.h>
#include <ragify/ragify.h>

#include "core/pipeline/request.h"

/* What became of an upload, added up over its batches. */
typedef struct RagifyIngestReport {
  guint64 documents, chunks, unchanged, replaced;
  guint64 embedded, reused; /* vectors of those chunks: made, or taken over from what was replaced */
  GString *failed;          /* JSON objects separated by commas: {"id":…,"field":…,"reason":…} */
  guint64 n_failed;
  char *first_reason;  /* of the first failed document, with its field in front */
  GPtrArray *warnings; /* texts, each once */
  RagifyGeneration generation;
  RagifyProblem broken; /* why a write that was still under way failed; status 0: none did */
  gboolean *halted; /* shared by the reports of one sender, each of which is about some of its batches: TRUE once one
                       is broken, and none behind it is written. NULL: this is his only one */
  gint under_way;   /* atomic: batches. While there are some, the report is the library's thread's */
} RagifyIngestReport;

void ragify_ingest_report_init (RagifyIngestReport *report);
void ragify_ingest_report_clear (RagifyIngestReport *report);
/* A document that is set aside; `id` or `field` may be NULL. At most 1,000 are kept in words, all are counted. */
void ragify_ingest_report_fail (RagifyIngestReport *report, const char *id, const char *field, const char *reason);
/* A warning, once however often it comes. */
void ragify_ingest_report_warn (RagifyIngestReport *report, const char *text);

/* Takes the problem, where it is the first, and halts what is behind. */
void ragify_ingest_report_break (RagifyIngestReport *report, RagifyProblem *problem);
/* Whether a batch before has failed, so that none is written any more. */
gboolean ragify_ingest_report_is_halted (const RagifyIngestReport *report);

/* HTTP's view of a failed call. Returns FALSE. */
gboolean ragify_ingest_problem (RagifyProblem *problem, gint32 code, const char *message, guint64 retry_after_us);
