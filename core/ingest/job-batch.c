/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "core/ingest/job-private.h"

#define BATCH_BYTES (1024 * 1024)
#define BATCH_DOCUMENTS 500u
#define DELETED_AT_ONCE 500u

void
ragify_job_batch_init (RagifyJobBatch *batch, RagifyIngestJob *job)
{
  *batch = (RagifyJobBatch){ .job = job,
                             .documents = g_ptr_array_new_with_free_func ((GDestroyNotify)ragify_incoming_free),
                             .paths = g_ptr_array_new_with_free_func (g_free) };
}

void
ragify_job_batch_clear (RagifyJobBatch *batch)
{
  g_ptr_array_unref (batch->documents);
  g_ptr_array_unref (batch->paths);
}

/* ---- what the store said ---- */

static void
settle (RagifyJobBatch *batch, guint index, const char *reason)
{
  if (batch->settled != NULL)
    batch->settled (batch->user, g_ptr_array_index (batch->paths, index), reason);
}

static void
refuse (RagifyJobBatch *batch, guint index, const char *reason)
{
  ragify_job_set_aside (batch->job, g_ptr_array_index (batch->paths, index), reason);
  settle (batch, index, reason);
}

/* The documents that a write set aside, by their ids. */
static void
take_failures (RagifyJobBatch *batch, guint first, guint count, const RagifyIngestReport *report)
{
  g_autofree char *list = g_strdup_printf ("[%s]", report->failed->str);
  json_t *failures = json_loads (list, 0, NULL), *failure = NULL;
  size_t place;
  json_array_foreach (failures, place, failure)
  {
    const char *id = json_string_value (json_object_get (failure, "id"));
    const char *field = json_string_value (json_object_get (failure, "field"));
    const char *reason = json_string_value (json_object_get (failure, "reason"));
    g_autofree char *words = g_strdup_printf ("%s %s", field != NULL ? field : "it", reason != NULL ? reason : "?");
    for (guint i = first; i < first + count && id != NULL; i++)
      if (strcmp (((const RagifyIncoming *)g_ptr_array_index (batch->documents, i))->id, id) == 0)
        refuse (batch, i, words);
  }
  json_decref (failures);
}

void
ragify_job_count_report (RagifyIngestJob *job, const RagifyIngestReport *report)
{
  ragify_job_count (job, &job->progress.documents, report->documents);
  ragify_job_count (job, &job->progress.chunks, report->chunks);
  ragify_job_count (job, &job->progress.unchanged, report->unchanged);
  ragify_job_count (job, &job->progress.embedded, report->embedded);
  ragify_job_count (job, &job->progress.reused, report->reused);
  ragify_series_add (job->written, (double)report->documents);
  ragify_series_add (job->unchanged, (double)report->unchanged);
}

/* ---- writing ---- */

static gboolean
put (RagifyJobBatch *batch, guint first, guint count, RagifyProblem *problem)
{
  RagifyIngestReport report;
  ragify_ingest_report_init (&report);
  const gboolean well =
      ragify_library_put (batch->job->library, (RagifyIncoming *const *)batch->documents->pdata + first, count,
                          batch->job->hold, &report, problem);
  for (guint i = first; well && i < first + count; i++)
    settle (batch, i, NULL);
  if (well)
    take_failures (batch, first, count, &report);
  ragify_job_count_report (batch->job, &report);
  ragify_ingest_report_clear (&report);
  return well;
}

/* Waits out whatever keeps the store from it. A batch that the store refuses is halved until the document at fault is
 * found. */
static gboolean
put_at_last (RagifyJobBatch *batch, guint first, guint count)
{
  guint64 pause = 0;
  for (;;) {
    RagifyProblem problem = { 0 };
    if (!ragify_job_goes_on (batch->job))
      return FALSE;
    if (put (batch, first, count, &problem))
      return TRUE;
    g_autofree char *detail = g_strdup (problem.detail);
    const gboolean lasting = ragify_job_fault_is_lasting (&problem);
    ragify_problem_clear (&problem);
    if (lasting && count > 1)
      return put_at_last (batch, first, count / 2) && put_at_last (batch, first + count / 2, count - count / 2);
    if (lasting) {
      refuse (batch, first, detail);
      return TRUE;
    }
    if (!ragify_job_backs_off (batch->job, &pause, detail))
      return FALSE;
  }
}

gboolean
ragify_job_batch_flush (RagifyJobBatch *batch)
{
  const gboolean well =
      batch->documents->len == 0 ? ragify_job_goes_on (batch->job) : put_at_last (batch, 0, batch->documents->len);
  g_ptr_array_set_size (batch->documents, 0);
  g_ptr_array_set_size (batch->paths, 0);
  batch->bytes = 0;
  return well;
}

gboolean
ragify_job_batch_add (RagifyJobBatch *batch, RagifyIncoming *incoming, const char *path)
{
  g_ptr_array_add (batch->documents, incoming);
  g_ptr_array_add (batch->paths, g_strdup (path));
  batch->bytes += incoming->content_size;
  if (batch->bytes < BATCH_BYTES && batch->documents->len < BATCH_DOCUMENTS)
    return TRUE;
  return ragify_job_batch_flush (batch);
}

/* ---- deleting ---- */

static gboolean
delete_some (RagifyIngestJob *job, const char *const *ids, guint count)
{
  guint64 pause = 0, chunks = 0;
  for (;;) {
    RagifyProblem problem = { 0 };
    if (!ragify_job_goes_on (job))
      return FALSE;
    if (ragify_library_remove (job->library, ids, count, job->hold, &chunks, &problem))
      break;
    g_autofree char *detail = g_strdup (problem.detail);
    ragify_problem_clear (&problem);
    if (!ragify_job_backs_off (job, &pause, detail))
      return FALSE;
  }
  ragify_job_count (job, &job->progress.deleted, count);
  ragify_series_add (job->deleted, (double)count);
  return TRUE;
}

gboolean
ragify_job_delete (RagifyIngestJob *job, const GPtrArray *ids)
{
  for (guint first = 0; first < ids->len; first += DELETED_AT_ONCE)
    if (!delete_some (job, (const char *const *)ids->pdata + first, MIN (DELETED_AT_ONCE, ids->len - first)))
      return FALSE;
  return TRUE;
}
