/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>
#include <xxhash.h>

#include "core/ingest/job-private.h"
#include "core/ingest/text-reader.h"

#define ATTEMPTS 3u /* with an extractor that crashed, or cannot be asked */
#define RECOVERY_US (G_USEC_PER_SEC)

/* A text that is too large to be kept, on its way to the store. */
typedef struct Spill {
  RagifyIngestJob *job;
  const FilesEntry *entry;
  int fd;
  const json_t *metadata;
  RagifyIncoming *document;
  RagifyJobParts *parts;
  RagifyChunker *chunker;
  RagifyCutStream *cuts;
  const char *section; /* metadata of the section under way; not owned */
  int unread;          /* why the file could not be hashed, as errno; 0: it could */
} Spill;

static void
clear_spill (Spill *spill)
{
  g_clear_pointer (&spill->cuts, ragify_cut_stream_free);
  g_clear_pointer (&spill->chunker, ragify_chunker_free);
  g_clear_pointer (&spill->parts, ragify_job_parts_free);
  g_clear_pointer (&spill->document, ragify_incoming_free);
}

static gboolean
take_cut (void *user, const char *text, const RagifyCut *cut)
{
  Spill *spill = user;
  return ragify_job_parts_add (spill->parts, text, cut, spill->section);
}

static gboolean
goes_on (void *user)
{
  return ragify_job_goes_on (user);
}

/* Of the file and of what decides about the text that an extractor finds in it. */
static gboolean
hash_content (const Spill *spill, RagifyUuid *content)
{
  guint64 size = 0;
  RagifyUuid bytes;
  if (ragify_bytes_scan (spill->fd, goes_on, spill->job, &bytes, &size) != RAGIFY_READING_WELL)
    return FALSE;
  g_autofree char *whole = g_malloc (sizeof bytes + strlen (spill->job->cutting) + 1);
  memcpy (whole, &bytes, sizeof bytes);
  strcpy (whole + sizeof bytes, spill->job->cutting);
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash (&canonical, XXH3_128bits (whole, sizeof bytes + strlen (spill->job->cutting)));
  memcpy (content->bytes, canonical.digest, sizeof content->bytes);
  return TRUE;
}

static gboolean
spill_begin (void *user)
{
  Spill *spill = user;
  RagifyUuid content;
  if (!hash_content (spill, &content)) {
    spill->unread = errno;
    return FALSE;
  }
  spill->document = ragify_job_describe_file (spill->job, spill->entry, NULL, spill->metadata);
  spill->parts = ragify_job_parts_new (spill->job, spill->document, &content);
  spill->chunker = ragify_job_chunker_new (spill->job);
  spill->cuts = ragify_cut_stream_new (spill->chunker, take_cut, spill);
  return ragify_job_parts_outcome (spill->parts) == RAGIFY_PARTS_UNDER_WAY;
}

static gboolean
spill_add (void *user, const char *text, gsize size, const char *metadata)
{
  Spill *spill = user;
  spill->section = metadata;
  return ragify_cut_stream_add (spill->cuts, text, size);
}

static gboolean
spill_end (void *user, const char *metadata)
{
  Spill *spill = user;
  spill->section = metadata;
  return ragify_cut_stream_end (spill->cuts);
}

/* ---- whose file it is ---- */

RagifyJobOutcome
ragify_job_find_extractor (RagifyIngestJob *job, const FilesEntry *entry, const char *head, gsize size,
                           const RagifyExtractor **found, char **reason)
{
  /* Waiting for the same extractor at each of many files would take for ever. */
  const guint attempts = job->impatient ? 1 : ATTEMPTS;
  for (guint i = 0; i < attempts; i++) {
    if (i > 0 && !ragify_job_waits (job, RECOVERY_US, *reason))
      return RAGIFY_JOB_GIVEN_UP;
    g_clear_pointer (reason, g_free);
    job->impatient =
        !ragify_extractor_find (job->extractors, job->n_extractors, entry->path, head, size, found, reason);
    if (!job->impatient)
      return RAGIFY_JOB_READ;
  }
  return RAGIFY_JOB_UNREADABLE;
}

/* ---- its text ---- */

/* An extractor that crashed is started anew; it is given a while, and the file another time. */
static gint32
extract_at_last (Spill *spill, const RagifyExtractor *extractor, RagifyExtraction *extraction, char **reason)
{
  const RagifyExtractionSink sink = { .begin = spill_begin, .add = spill_add, .end = spill_end, .user = spill };
  gint32 code = RAGIFY_E_UNAVAILABLE;
  for (guint i = 0; i < ATTEMPTS && code == RAGIFY_E_UNAVAILABLE; i++) {
    if (i > 0 && !ragify_job_waits (spill->job, RECOVERY_US, *reason))
      break;
    g_clear_pointer (reason, g_free);
    clear_spill (spill);
    code = ragify_extract (extractor, spill->entry->path, spill->fd, spill->entry->size, spill->metadata, &sink,
                           extraction, reason);
  }
  return code;
}

/* Records that were left out, each as something set aside, also by later passes that do not look into the file. */
static void
tell_left_out (const Spill *spill, const RagifyExtraction *extraction)
{
  ragify_job_memory_note_parts (spill->job->memory, spill->entry, extraction->left_out);
  ragify_job_set_parts_aside (spill->job, spill->entry->path, extraction->left_out);
}

/* What a failure says about the file: nothing, unless the extractor has looked at it. */
static RagifyJobOutcome
outcome_of (RagifyIngestJob *job, gint32 code)
{
  if (ragify_extraction_found_fault (code))
    return RAGIFY_JOB_UNFIT;
  return ragify_job_goes_on (job) ? RAGIFY_JOB_UNREADABLE : RAGIFY_JOB_GIVEN_UP;
}

static RagifyJobOutcome
end_unread (const Spill *spill, char **reason)
{
  if (spill->unread == ECANCELED)
    return RAGIFY_JOB_GIVEN_UP;
  g_free (*reason);
  *reason = g_strdup_printf ("cannot be read: %s", g_strerror (spill->unread));
  return RAGIFY_JOB_UNREADABLE;
}

static RagifyJobOutcome
end_spill (Spill *spill, gint32 code, char **reason)
{
  struct stat now;
  const gboolean same = fstat (spill->fd, &now) == 0 && (guint64)now.st_size == spill->entry->size &&
                        files_modified_at (&now) == spill->entry->modified;
  const gboolean under_way = ragify_job_parts_outcome (spill->parts) == RAGIFY_PARTS_UNDER_WAY;
  if (under_way && code != RAGIFY_OK)
    return outcome_of (spill->job, code);
  g_clear_pointer (reason, g_free);
  if (under_way && !same)
    return RAGIFY_JOB_CHANGED;
  ragify_job_parts_finish (spill->parts);
  if (ragify_job_parts_outcome (spill->parts) == RAGIFY_PARTS_UNCHANGED)
    ragify_job_count (spill->job, &spill->job->progress.unchanged, 1);
  return ragify_job_stream_outcome (spill->parts, reason);
}

static RagifyJobOutcome
end_whole (const Spill *spill, gint32 code, RagifyExtraction *extraction, RagifyIncoming **incoming)
{
  if (code != RAGIFY_OK)
    return outcome_of (spill->job, code);
  *incoming =
      ragify_job_describe_file (spill->job, spill->entry, g_steal_pointer (&extraction->title), spill->metadata);
  (*incoming)->content = g_steal_pointer (&extraction->text);
  (*incoming)->content_size = extraction->size;
  (*incoming)->sections = g_steal_pointer (&extraction->sections);
  return RAGIFY_JOB_READ;
}

RagifyJobOutcome
ragify_job_extract (RagifyIngestJob *job, const FilesEntry *entry, const RagifyExtractor *extractor, int fd,
                    RagifyIncoming **incoming, char **reason)
{
  g_auto (RagifyExtraction) extraction = { 0 };
  json_t *metadata = ragify_job_file_metadata (job, entry, NULL);
  Spill spill = { .job = job, .entry = entry, .fd = fd, .metadata = metadata };
  const gint32 code = extract_at_last (&spill, extractor, &extraction, reason);
  const RagifyJobOutcome outcome = spill.unread != 0     ? end_unread (&spill, reason)
                                   : spill.parts != NULL ? end_spill (&spill, code, reason)
                                                         : end_whole (&spill, code, &extraction, incoming);
  if (outcome == RAGIFY_JOB_READ || outcome == RAGIFY_JOB_WRITTEN)
    tell_left_out (&spill, &extraction);
  clear_spill (&spill);
  json_decref (metadata);
  return outcome;
}
