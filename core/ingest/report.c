/* SPDX-License-Identifier: MIT */
#include "core/ingest/report.h"

#include <string.h>

#include "core/ingest/document.h"

#define FAILURES_IN_WORDS 1000u

void
ragify_ingest_report_init (RagifyIngestReport *report)
{
  *report = (RagifyIngestReport){ .failed = g_string_new (NULL), .warnings = g_ptr_array_new_with_free_func (g_free) };
}

void
ragify_ingest_report_clear (RagifyIngestReport *report)
{
  g_string_free (report->failed, TRUE);
  g_ptr_array_unref (report->warnings);
  g_clear_pointer (&report->first_reason, g_free);
  ragify_problem_clear (&report->broken);
}

void
ragify_ingest_report_fail (RagifyIngestReport *report, const char *id, const char *field, const char *reason)
{
  if (report->first_reason == NULL)
    report->first_reason = g_strdup_printf ("%s%s%s", field != NULL ? field : "", field != NULL ? " " : "", reason);
  if (report->n_failed++ >= FAILURES_IN_WORDS)
    return;
  json_t *object = json_pack ("{s:s*, s:s*, s:s}", "id", id, "field", field, "reason", reason);
  char *text = json_dumps (object, JSON_COMPACT);
  json_decref (object);
  if (report->failed->len > 0)
    g_string_append_c (report->failed, ',');
  g_string_append (report->failed, text != NULL ? text : "{}");
  free (text);
}

void
ragify_ingest_report_warn (RagifyIngestReport *report, const char *text)
{
  if (!g_ptr_array_find_with_equal_func (report->warnings, text, g_str_equal, NULL))
    g_ptr_array_add (report->warnings, g_strdup (text));
}

void
ragify_ingest_report_break (RagifyIngestReport *report, RagifyProblem *problem)
{
  if (report->broken.status == 0)
    report->broken = *problem;
  else
    ragify_problem_clear (problem);
  *problem = (RagifyProblem){ 0 };
  if (report->halted != NULL)
    *report->halted = TRUE;
}

gboolean
ragify_ingest_report_is_halted (const RagifyIngestReport *report)
{
  return report->broken.status != 0 || (report->halted != NULL && *report->halted);
}

gboolean
ragify_ingest_problem (RagifyProblem *problem, gint32 code, const char *message, guint64 retry_after_us)
{
  static const struct {
    gint32 code;
    guint status;
    const char *title;
  } table[] = {
    { RAGIFY_E_INVALID, 422, "Refused by the store" },  { RAGIFY_E_NOT_FOUND, 404, "Not found" },
    { RAGIFY_E_UNAVAILABLE, 503, "Store unavailable" }, { RAGIFY_E_TIMEOUT, 503, "Store too slow" },
    { RAGIFY_E_EXHAUSTED, 507, "No room to store" },    { RAGIFY_E_UNAUTHORIZED, 502, "Store refused access" },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (table); i++) {
    if (table[i].code != code)
      continue;
    ragify_problem_set (problem, table[i].status, table[i].title, NULL, "%s", message);
    problem->retry_after = table[i].status == 503 ? (guint)MAX (1, retry_after_us / G_USEC_PER_SEC) : 0;
    return FALSE;
  }
  return ragify_problem_set (problem, 500, "Store failed", NULL, "%s", message);
}
