/* SPDX-License-Identifier: MIT */
#include "core/app/reload-report.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static const char *
severity_name (RagifySeverity severity)
{
  static const char *const names[] = {
    [RAGIFY_SEVERITY_ERROR] = "error", [RAGIFY_SEVERITY_WARNING] = "warning", [RAGIFY_SEVERITY_NOTE] = "note"
  };
  return names[severity];
}

void
ragify_reload_report_log (const RagifyReloadReport *report)
{
  const RagifyDiagnostic *diagnostic;
  for (guint i = 0; (diagnostic = ragify_diagnostics_get (report->diagnostics, i)) != NULL; i++) {
    g_autofree char *text = ragify_diagnostic_to_text (diagnostic);
    if (diagnostic->severity == RAGIFY_SEVERITY_NOTE)
      g_info ("%s", text);
    else
      g_warning ("%s", text);
  }
  const guint errors = ragify_diagnostics_count (report->diagnostics, RAGIFY_SEVERITY_ERROR);
  if (report->applied)
    g_message ("configuration %u is in force after %" G_GUINT64_FORMAT " ms: %u nodes go on as they were, %u changed",
               report->number, report->duration_us / 1000, report->kept, report->n_changes);
  else
    g_warning ("the configuration was not reloaded: %u error%s; nothing was changed", errors, errors == 1 ? "" : "s");
}

static json_t *
describe_diagnostic (const RagifyDiagnostic *diagnostic)
{
  g_autofree char *text = ragify_diagnostic_to_text (diagnostic);
  return json_pack ("{s:s, s:s, s:i, s:i, s:s*, s:s, s:s}", "severity", severity_name (diagnostic->severity), "file",
                    diagnostic->file != NULL ? diagnostic->file : "", "line", (int)diagnostic->line, "column",
                    (int)diagnostic->column, "group", diagnostic->group, "message", diagnostic->message, "text", text);
}

static json_t *
describe_diagnostics (const RagifyReloadReport *report)
{
  json_t *list = json_array ();
  const RagifyDiagnostic *diagnostic;
  for (guint i = 0; (diagnostic = ragify_diagnostics_get (report->diagnostics, i)) != NULL; i++)
    json_array_append_new (list, describe_diagnostic (diagnostic));
  return list;
}

static json_t *
describe_changes (const RagifyReloadReport *report)
{
  json_t *list = json_array ();
  for (guint i = 0; i < report->n_changes; i++)
    json_array_append_new (
        list, json_pack ("{s:s, s:s}", "node", report->changes[i].node, "change", report->changes[i].what));
  return list;
}

char *
ragify_reload_report_to_json (const RagifyReloadReport *report, gsize *size)
{
  const guint errors = ragify_diagnostics_count (report->diagnostics, RAGIFY_SEVERITY_ERROR);
  g_autofree char *detail = g_strdup_printf ("%u error%s; nothing was changed", errors, errors == 1 ? "" : "s");
  json_t *object =
      report->applied ? json_pack ("{s:s, s:i, s:f, s:i, s:o}", "status", "reloaded", "configuration",
                                   (int)report->number, "duration", (double)report->duration_us / G_USEC_PER_SEC,
                                   "kept", (int)report->kept, "changes", describe_changes (report))
                      : json_pack ("{s:s, s:s, s:i, s:s, s:i}", "type", "about:blank", "title", "Invalid configuration",
                                   "status", 422, "detail", detail, "configuration", (int)report->number);
  json_object_set_new (object, "diagnostics", describe_diagnostics (report));
  char *text = json_dumps (object, JSON_COMPACT | JSON_REAL_PRECISION (6));
  json_decref (object);
  *size = strlen (text);
  char *copy = g_memdup2 (text, *size + 1);
  free (text);
  return copy;
}
