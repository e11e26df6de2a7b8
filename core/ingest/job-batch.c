/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "core/ingest/job-private.h"

#define BATCH_BYTES (1024 * 1024)
#define BATCH_DOCUMENTS 500u
#define AHEAD_BYTES (4 * 1024 * 1024) /* more than these are waited for: memory is bounded */
#define DELETED_AT_ONCE 500u

/* What goes to the store together. */
struct RagifyJobLoad {
  GPtrArray *documents; /* RagifyIncoming */
  GPtrArray *paths;     /* of each, for people */
  gsize bytes;
  RagifyIngestReport report; /* of when it was sent off */
};

static RagifyJobLoad *
load_new (void)
{
  RagifyJobLoad *load = g_new0 (RagifyJobLoad, 1);
  load->documents = g_ptr_array_new_with_free_func ((GDestroyNotify)ragify_incoming_free);
  load->paths = g_ptr_array_new_with_free_func (g_free);
  ragify_ingest_report_init (&load->report);
  return load;
}

static void
load_free (RagifyJobLoad *load)
{
  g_ptr_array_unref (load->documents);
  g_ptr_array_unref (load->paths);
  ragify_ingest_report_clear (&load->report);
  g_free (load);
}

/* ---- what the store said ---- */

static void
settle (const RagifyJobBatch *batch, const RagifyJobLoad *load, guint index, const char *reason)
{
  if (batch->settled != NULL)
    batch->settled (batch->user, g_ptr_array_index (load->paths, index), reason);
}

static void
refuse (const RagifyJobBatch *batch, const RagifyJobLoad *load, guint index, const char *reason)
{
  ragify_job_set_aside (batch->job, g_ptr_array_index (load->paths, index), reason);
  settle (batch, load, index, reason);
}

/* The documents that a write set aside, by their ids. */
static void
take_failures (const RagifyJobBatch *batch, const RagifyJobLoad *load, guint first, guint count,
               const RagifyIngestReport *report)
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
      if (strcmp (((const RagifyIncoming *)g_ptr_array_index (load->documents, i))->id, id) == 0)
        refuse (batch, load, i, words);
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

/* `well`: all that was to be written is. */
static void
acknowledge (const RagifyJobBatch *batch, const RagifyJobLoad *load, guint first, guint count, gboolean well,
             const RagifyIngestReport *report)
{
  for (guint i = first; well && i < first + count; i++)
    settle (batch, load, i, NULL);
  if (well)
    take_failures (batch, load, first, count, report);
  ragify_job_count_report (batch->job, report);
}

/* ---- writing, and waiting for it ---- */

static gboolean
put (const RagifyJobBatch *batch, const RagifyJobLoad *load, guint first, guint count, RagifyProblem *problem)
{
  RagifyIngestReport report;
  ragify_ingest_report_init (&report);
  const gboolean well =
      ragify_library_put (batch->job->library, (RagifyIncoming *const *)load->documents->pdata + first, count,
                          batch->job->hold, &report, problem);
  acknowledge (batch, load, first, count, well, &report);
  ragify_ingest_report_clear (&report);
  return well;
}

/* Waits out whatever keeps the store from it. Where the store refuses them, they are halved until the document at fault
 * is found. `problem` is what came of it when it was tried before, with a status of 0: it was not. */
static gboolean
put_at_last (const RagifyJobBatch *batch, const RagifyJobLoad *load, guint first, guint count, RagifyProblem problem)
{
  const RagifyProblem none = { 0 };
  guint64 pause = 0;
  for (;; problem = none) {
    if (problem.status == 0 && !ragify_job_goes_on (batch->job))
      return FALSE;
    if (problem.status == 0 && put (batch, load, first, count, &problem))
      return TRUE;
    g_autofree char *detail = g_strdup (problem.detail);
    const gboolean lasting = ragify_job_fault_is_lasting (&problem);
    ragify_problem_clear (&problem);
    if (lasting && count > 1)
      return put_at_last (batch, load, first, count / 2, none) &&
             put_at_last (batch, load, first + count / 2, count - count / 2, none);
    if (lasting) {
      refuse (batch, load, first, detail);
      return TRUE;
    }
    if (!ragify_job_backs_off (batch->job, &pause, detail))
      return FALSE;
  }
}

/* ---- beside the gathering of the next ---- */

/* Until none is under way: then the reports are the job's. */
static void
wait_for_all (RagifyJobBatch *batch)
{
  if (batch->sent.length > 0)
    ragify_library_land (batch->job->library);
  batch->halted = FALSE;
}

/* Until all that was sent is written. Behind the first that failed none was: these are written one after the other. */
static gboolean
land (RagifyJobBatch *batch)
{
  gboolean failed = FALSE, well = TRUE;
  wait_for_all (batch);
  for (RagifyJobLoad *load = g_queue_pop_head (&batch->sent); load != NULL; load = g_queue_pop_head (&batch->sent)) {
    RagifyProblem problem = load->report.broken;
    const guint count = load->documents->len;
    const gboolean written = problem.status == 0;
    load->report.broken = (RagifyProblem){ 0 };
    acknowledge (batch, load, 0, count, written, &load->report);
    if (failed || !well)
      ragify_problem_clear (&problem);
    if (!written)
      well = well && put_at_last (batch, load, 0, count, problem);
    failed = failed || !written;
    load_free (load);
  }
  return well;
}

/* What is written by now; where one failed, all. */
static gboolean
collect (RagifyJobBatch *batch)
{
  for (;;) {
    RagifyJobLoad *load = g_queue_peek_head (&batch->sent);
    if (load == NULL || g_atomic_int_get (&load->report.under_way) > 0)
      return TRUE;
    if (load->report.broken.status != 0)
      return land (batch);
    acknowledge (batch, load, 0, load->documents->len, TRUE, &load->report);
    load_free (g_queue_pop_head (&batch->sent));
  }
}

static gboolean
send_off (RagifyJobBatch *batch)
{
  RagifyJobLoad *load = batch->load;
  const gboolean large = load->bytes > AHEAD_BYTES;
  RagifyProblem problem = { 0 };
  if (ragify_job_is_held (batch->job) && !land (batch)) /* what is said of it is then true */
    return FALSE;
  if (!ragify_job_goes_on (batch->job))
    return FALSE;
  if (load->documents->len == 0)
    return TRUE;
  load->report.halted = &batch->halted;
  g_queue_push_tail (&batch->sent, load);
  batch->load = load_new ();
  if (ragify_library_put_ahead (batch->job->library, (RagifyIncoming *const *)load->documents->pdata,
                                load->documents->len, batch->job->hold, &load->report, &problem))
    return large ? land (batch) : collect (batch);
  wait_for_all (batch);
  ragify_ingest_report_break (&load->report, &problem);
  return land (batch);
}

/* ---- the whole ---- */

void
ragify_job_batch_init (RagifyJobBatch *batch, RagifyIngestJob *job)
{
  *batch = (RagifyJobBatch){ .job = job, .load = load_new (), .sent = G_QUEUE_INIT };
}

void
ragify_job_batch_clear (RagifyJobBatch *batch)
{
  wait_for_all (batch);
  for (RagifyJobLoad *load = g_queue_pop_head (&batch->sent); load != NULL; load = g_queue_pop_head (&batch->sent)) {
    acknowledge (batch, load, 0, load->documents->len, load->report.broken.status == 0, &load->report);
    load_free (load);
  }
  load_free (batch->load);
}

gboolean
ragify_job_batch_flush (RagifyJobBatch *batch)
{
  return send_off (batch) && land (batch);
}

gboolean
ragify_job_batch_add (RagifyJobBatch *batch, RagifyIncoming *incoming, const char *path)
{
  RagifyJobLoad *load = batch->load;
  g_ptr_array_add (load->documents, incoming);
  g_ptr_array_add (load->paths, g_strdup (path));
  load->bytes += incoming->content_size;
  if (load->bytes < BATCH_BYTES && load->documents->len < BATCH_DOCUMENTS)
    return collect (batch);
  return send_off (batch);
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
