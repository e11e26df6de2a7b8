#include "ingest-report.h"

#include "tools/common/json-writer.h"
#include "tools/common/progress.h"
#include "tools/common/tool-exit.h"

#include <stdio.h>

void
ragify_ingest_report_skip (RagifyIngestReport *report, const char *path, RagifySkipReason reason, gboolean verbose)
{
  report->skipped[reason]++;
  if (verbose)
    ragify_tool_complain ("passed over %s: %s", path, ragify_skip_reason_describe (reason));
}

static void
print_json (const RagifyIngestReport *report)
{
  const RagifyDocumentTotals *totals = report->totals;
  g_autoptr (RagifyJsonWriter) writer = ragify_json_writer_new ();
  ragify_json_writer_begin_object (writer, NULL);
  ragify_json_writer_add_integer (writer, "documents", (gint64)totals->documents);
  ragify_json_writer_add_integer (writer, "unchanged", (gint64)totals->unchanged);
  ragify_json_writer_add_integer (writer, "replaced", (gint64)totals->replaced);
  ragify_json_writer_add_integer (writer, "chunks", (gint64)totals->chunks);
  ragify_json_writer_begin_array (writer, "failed");
  for (guint i = 0; i < totals->failures->len; i++) {
    const RagifyDocumentFailure *failure = g_ptr_array_index (totals->failures, i);
    ragify_json_writer_begin_object (writer, NULL);
    ragify_json_writer_add_string (writer, "id", failure->id);
    ragify_json_writer_add_string (writer, "reason", failure->reason);
    ragify_json_writer_end_object (writer);
  }
  ragify_json_writer_end_array (writer);
  ragify_json_writer_begin_object (writer, "skipped");
  for (guint i = 0; i < RAGIFY_SKIP_REASONS; i++)
    ragify_json_writer_add_integer (writer, ragify_skip_reason_describe (i), (gint64)report->skipped[i]);
  ragify_json_writer_end_object (writer);
  ragify_json_writer_add_string (writer, "generation", totals->generation);
  ragify_json_writer_add_number (writer, "seconds", report->seconds);
  ragify_json_writer_end_object (writer);
  ragify_json_writer_print (writer);
}

static void
print_skipped (const RagifyIngestReport *report)
{
  g_autoptr (GString) line = g_string_new (NULL);
  for (guint i = 0; i < RAGIFY_SKIP_REASONS; i++)
    if (report->skipped[i] > 0) {
      g_autofree char *count = ragify_format_count (report->skipped[i]);
      g_string_append_printf (line, "%s%s %s", line->len > 0 ? ", " : "passed over: ", count,
                              ragify_skip_reason_describe (i));
    }
  if (line->len > 0)
    puts (line->str);
}

void
ragify_ingest_report_print (const RagifyIngestReport *report, gboolean json, gboolean quiet)
{
  const RagifyDocumentTotals *totals = report->totals;
  if (json) {
    print_json (report);
    return;
  }
  for (guint i = 0; i < totals->failures->len; i++) {
    const RagifyDocumentFailure *failure = g_ptr_array_index (totals->failures, i);
    ragify_tool_complain ("failed: %s: %s", failure->id, failure->reason);
  }
  for (guint i = 0; i < totals->warnings->len; i++)
    ragify_tool_complain ("%s", (const char *)g_ptr_array_index (totals->warnings, i));
  if (quiet)
    return;
  guint64 count = ragify_document_totals_count (totals);
  g_autofree char *documents = ragify_format_count (count);
  g_autofree char *unchanged = ragify_format_count (totals->unchanged);
  g_autofree char *replaced = ragify_format_count (totals->replaced);
  g_autofree char *chunks = ragify_format_count (totals->chunks);
  printf ("%s documents (%s unchanged, %s replaced), %s new chunks, %u failed, in %.1f s (%.0f documents/s)\n",
          documents, unchanged, replaced, chunks, totals->failures->len, report->seconds,
          (double)count / MAX (report->seconds, 1e-3));
  print_skipped (report);
}
