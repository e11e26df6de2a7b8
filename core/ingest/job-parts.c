/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "core/ingest/job-private.h"

#define PART_CHUNKS 1000u
#define PART_BYTES (2 * 1024 * 1024)

struct RagifyJobParts {
  RagifyIngestJob *job;
  const RagifyIncoming *document;
  RagifyPartState state;
  RagifyPartsOutcome outcome;
  char *reason;
  RagifyCutStream *cuts; /* NULL: places are not kept */
  guint64 ordinal;       /* of the next chunk */
  guint64 first;         /* of the first of `chunks` */
  GArray *chunks;        /* RagifyPartChunk */
  gsize bytes;
};

static void
clear_chunk (gpointer data)
{
  RagifyPartChunk *chunk = data;
  g_free (chunk->text);
  g_free ((char *)chunk->metadata);
}

static void
refuse (RagifyJobParts *parts, const char *reason)
{
  parts->outcome = RAGIFY_PARTS_REFUSED;
  parts->reason = g_strdup (reason);
}

/* ---- asking and writing, until the store can ---- */

/* After something failed. FALSE: there is no point in another attempt; the outcome says so. */
static gboolean
wait_out (RagifyJobParts *parts, RagifyProblem *problem, guint64 *pause)
{
  g_autofree char *detail = g_strdup (problem->detail);
  const gboolean lasting = ragify_job_fault_is_lasting (problem);
  ragify_problem_clear (problem);
  *problem = (RagifyProblem){ 0 };
  if (lasting) {
    refuse (parts, detail);
    return FALSE;
  }
  if (!ragify_job_backs_off (parts->job, pause, detail)) {
    parts->outcome = RAGIFY_PARTS_GIVEN_UP;
    return FALSE;
  }
  return TRUE;
}

static void
look (RagifyJobParts *parts, const RagifyUuid *content)
{
  guint64 pause = 0;
  RagifyProblem problem = { 0 };
  while (
      !ragify_library_look (parts->job->library, parts->document, content, parts->job->hold, &parts->state, &problem))
    if (!wait_out (parts, &problem, &pause))
      return;
  if (parts->state.foreign)
    refuse (parts, "id is taken");
  else if (parts->state.unchanged)
    parts->outcome = RAGIFY_PARTS_UNCHANGED;
}

static gboolean
put (RagifyJobParts *parts, const RagifyPart *part, gboolean *written, RagifyProblem *problem)
{
  RagifyIngestJob *job = parts->job;
  RagifyIngestReport report;
  ragify_ingest_report_init (&report);
  const gboolean well = ragify_library_put_part (job->library, part, &parts->state, &report, problem);
  *written = report.documents > 0;
  ragify_job_count_report (job, &report);
  ragify_ingest_report_clear (&report);
  return well;
}

/* TRUE: the part is written. */
static gboolean
write_part (RagifyJobParts *parts, gboolean last)
{
  const RagifyPart part = { .document = parts->document,
                            .hash = parts->state.hash,
                            .first = parts->first,
                            .chunks = (const RagifyPartChunk *)(const void *)parts->chunks->data,
                            .count = parts->chunks->len,
                            .last = last };
  guint64 pause = 0;
  RagifyProblem problem = { 0 };
  gboolean written = FALSE;
  do {
    if (!ragify_job_goes_on (parts->job)) {
      parts->outcome = RAGIFY_PARTS_GIVEN_UP;
      return FALSE;
    }
  } while (!put (parts, &part, &written, &problem) && wait_out (parts, &problem, &pause));
  if (parts->outcome != RAGIFY_PARTS_UNDER_WAY)
    return FALSE;
  if (written || parts->state.unchanged) /* the latter where the answer to an earlier attempt was lost */
    parts->outcome = RAGIFY_PARTS_WRITTEN;
  else if (last || parts->state.staged != part.first + part.count)
    parts->outcome = RAGIFY_PARTS_AGAIN;
  g_array_set_size (parts->chunks, 0);
  parts->bytes = 0;
  parts->first = parts->ordinal;
  return parts->outcome == RAGIFY_PARTS_UNDER_WAY;
}

static void
keep_place (RagifyJobParts *parts)
{
  RagifyCutPlace place = { 0 };
  if (parts->cuts == NULL)
    return;
  ragify_cut_stream_place (parts->cuts, &place);
  if (place.chunks > 0 && place.chunks <= parts->state.staged)
    ragify_job_place_keep (parts->job->place, &parts->state.hash, &place);
  ragify_cut_place_clear (&place);
}

/* ---- the document ---- */

RagifyJobParts *
ragify_job_parts_new (RagifyIngestJob *job, const RagifyIncoming *document, const RagifyUuid *content)
{
  RagifyJobParts *parts = g_new0 (RagifyJobParts, 1);
  parts->job = job;
  parts->document = document;
  parts->chunks = g_array_new (FALSE, FALSE, sizeof (RagifyPartChunk));
  g_array_set_clear_func (parts->chunks, clear_chunk);
  look (parts, content);
  parts->first = parts->state.staged;
  return parts;
}

void
ragify_job_parts_free (RagifyJobParts *parts)
{
  g_array_unref (parts->chunks);
  g_free (parts->reason);
  g_free (parts);
}

RagifyPartsOutcome
ragify_job_parts_outcome (const RagifyJobParts *parts)
{
  return parts->outcome;
}

const char *
ragify_job_parts_reason (const RagifyJobParts *parts)
{
  return parts->reason;
}

void
ragify_job_parts_follow (RagifyJobParts *parts, RagifyCutStream *cuts, guint64 *begin)
{
  RagifyCutPlace place = { 0 };
  parts->cuts = cuts;
  if (!ragify_job_place_find (parts->job->place, &parts->state.hash, parts->state.staged, &place))
    return;
  ragify_cut_stream_go_on (cuts, &place);
  parts->ordinal = place.chunks;
  *begin = place.begin;
  ragify_cut_place_clear (&place);
}

gboolean
ragify_job_parts_add (RagifyJobParts *parts, const char *text, const RagifyCut *cut, const char *metadata)
{
  if (parts->outcome != RAGIFY_PARTS_UNDER_WAY)
    return FALSE;
  if (parts->ordinal < parts->first) { /* it is staged already */
    parts->ordinal++;
    return TRUE;
  }
  if ((parts->chunks->len == PART_CHUNKS || parts->bytes >= PART_BYTES) && !write_part (parts, FALSE))
    return FALSE;
  if (parts->chunks->len == 0)
    keep_place (parts);
  const RagifyPartChunk chunk = { .text = g_strndup (text, cut->end - cut->begin),
                                  .size = cut->end - cut->begin,
                                  .begin = cut->begin,
                                  .metadata = g_strdup (metadata) };
  g_array_append_val (parts->chunks, chunk);
  parts->bytes += chunk.size;
  parts->ordinal++;
  return TRUE;
}

void
ragify_job_parts_finish (RagifyJobParts *parts)
{
  if (parts->outcome != RAGIFY_PARTS_UNDER_WAY)
    return;
  if (parts->ordinal == 0)
    refuse (parts, "content holds no text but white space");
  else if (parts->ordinal < parts->first)
    refuse (parts, "what the store has of it does not fit: delete it");
  else
    write_part (parts, TRUE);
  if (parts->outcome == RAGIFY_PARTS_WRITTEN)
    ragify_job_place_forget (parts->job->place);
}
