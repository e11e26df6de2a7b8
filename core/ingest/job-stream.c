/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include "core/ingest/job-private.h"
#include "core/ingest/text-reader.h"

typedef struct Streaming {
  RagifyIngestJob *job;
  FilesEntry *entry;
  int fd;
  RagifyTextFacts facts;
  struct stat before;
  RagifyJobParts *parts;
} Streaming;

static gboolean
goes_on (void *user)
{
  return ragify_job_goes_on (user);
}

static gboolean
take_cut (void *user, const char *text, const RagifyCut *cut)
{
  return ragify_job_parts_add (user, text, cut, NULL);
}

static gboolean
is_as_before (const Streaming *streaming)
{
  struct stat now;
  return fstat (streaming->fd, &now) == 0 && now.st_size == streaming->before.st_size &&
         files_modified_at (&now) == files_modified_at (&streaming->before);
}

static RagifyJobOutcome
fail (RagifyReading reading, const char *why, char **reason)
{
  if (reading == RAGIFY_READING_FAILED && errno == ECANCELED)
    return RAGIFY_JOB_GIVEN_UP;
  *reason =
      reading == RAGIFY_READING_FAILED ? g_strdup_printf ("cannot be read: %s", g_strerror (errno)) : g_strdup (why);
  return reading == RAGIFY_READING_FAILED ? RAGIFY_JOB_UNREADABLE : RAGIFY_JOB_UNFIT;
}

/* The bytes that were read since the last time are told as progress. */
static void
count_bytes (Streaming *streaming, guint64 *told, guint64 place)
{
  if (place <= *told)
    return;
  ragify_job_count (streaming->job, &streaming->job->progress.bytes, place - *told);
  *told = place;
}

static RagifyReading
read_and_cut (Streaming *streaming, RagifyCutStream *cuts, guint64 begin)
{
  g_autoptr (RagifyTextReader) reader = ragify_text_reader_new (streaming->fd, &streaming->facts, begin);
  const gboolean is_utf8 = *streaming->facts.encoding == '\0';
  guint64 told = 0;
  RagifyStr piece;
  for (;;) {
    const RagifyReading reading = ragify_text_reader_next (reader, &piece);
    if (reading != RAGIFY_READING_WELL || piece.size == 0)
      return reading;
    if (!ragify_cut_stream_add (cuts, piece.data, piece.size) || !ragify_job_goes_on (streaming->job))
      return RAGIFY_READING_WELL; /* the parts know why */
    if (is_utf8)
      count_bytes (streaming, &told, ragify_cut_stream_length (cuts));
  }
}

/* The text in parts; what was staged before is left out. */
static RagifyJobOutcome
write_parts (Streaming *streaming, char **reason)
{
  RagifyIngestJob *job = streaming->job;
  guint64 begin = 0;
  g_autoptr (RagifyChunker) chunker = ragify_job_chunker_new (job);
  g_autoptr (RagifyCutStream) cuts = ragify_cut_stream_new (chunker, take_cut, streaming->parts);
  if (*streaming->facts.encoding == '\0')
    ragify_job_parts_follow (streaming->parts, cuts, &begin);
  const RagifyReading reading = read_and_cut (streaming, cuts, begin);
  if (!ragify_job_goes_on (job))
    return RAGIFY_JOB_GIVEN_UP;
  if (!is_as_before (streaming) || reading == RAGIFY_READING_NO_TEXT)
    return RAGIFY_JOB_CHANGED;
  if (reading != RAGIFY_READING_WELL)
    return fail (reading, NULL, reason);
  ragify_cut_stream_end (cuts);
  ragify_job_parts_finish (streaming->parts);
  return ragify_job_stream_outcome (streaming->parts, reason);
}

RagifyJobOutcome
ragify_job_stream_outcome (const RagifyJobParts *parts, char **reason)
{
  switch (ragify_job_parts_outcome (parts)) {
  case RAGIFY_PARTS_WRITTEN:
  case RAGIFY_PARTS_UNCHANGED:
    return RAGIFY_JOB_WRITTEN;
  case RAGIFY_PARTS_REFUSED:
    *reason = g_strdup (ragify_job_parts_reason (parts));
    return RAGIFY_JOB_UNFIT;
  case RAGIFY_PARTS_AGAIN:
    return RAGIFY_JOB_CHANGED;
  default:
    return RAGIFY_JOB_GIVEN_UP;
  }
}

RagifyJobOutcome
ragify_job_stream_text (RagifyIngestJob *job, FilesEntry *entry, int fd, char **reason)
{
  Streaming streaming = { .job = job, .entry = entry, .fd = fd };
  const char *why = NULL;
  if (fstat (fd, &streaming.before) != 0)
    return fail (RAGIFY_READING_FAILED, NULL, reason);
  const RagifyReading reading = ragify_text_scan (fd, goes_on, job, &streaming.facts, &why);
  if (reading != RAGIFY_READING_WELL)
    return fail (reading, why, reason);
  if (!is_as_before (&streaming) || streaming.facts.size != (guint64)streaming.before.st_size)
    return RAGIFY_JOB_CHANGED;
  entry->modified = files_modified_at (&streaming.before);
  entry->size = streaming.facts.size;

  const char *encoding = *streaming.facts.encoding != '\0' ? streaming.facts.encoding : NULL;
  json_t *metadata = ragify_job_file_metadata (job, entry, encoding);
  g_autoptr (RagifyIncoming) document = ragify_job_describe_file (job, entry, NULL, metadata);
  json_decref (metadata);
  streaming.parts = ragify_job_parts_new (job, document, &streaming.facts.hash);
  const RagifyJobOutcome outcome = ragify_job_parts_outcome (streaming.parts) == RAGIFY_PARTS_UNDER_WAY
                                       ? write_parts (&streaming, reason)
                                       : ragify_job_stream_outcome (streaming.parts, reason);
  if (ragify_job_parts_outcome (streaming.parts) == RAGIFY_PARTS_UNCHANGED)
    ragify_job_count (job, &job->progress.unchanged, 1);
  ragify_job_parts_free (streaming.parts);
  return outcome;
}
