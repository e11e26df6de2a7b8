/* SPDX-License-Identifier: MIT */
#include "core/ingest/text-intake.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "core/ingest/cut-stream.h"
#include "core/ingest/plain-text.h"
#include "core/ingest/text-reader.h"

#define LARGEST_WHOLE (4 * 1024 * 1024) /* bytes of a text that is not written in parts; as job-file.c has it */
#define STEP_CHUNKS 1000u

struct RagifyTextIntake {
  RagifyIncoming *document;
  RagifyChunking chunking;
  char *folder;
  GString *head; /* all of it, until it becomes too long; then what is not in the file yet */
  int fd;        /* −1: there is no file */
  guint64 size;

  /* From the first step on, of a long text. */
  RagifyCommitter *committer; /* that it was begun with; another one cuts in its own way */
  RagifyTextFacts facts;
  RagifyPartState state;
  RagifyChunker *chunker;
  RagifyCutStream *cuts;
  RagifyTextReader *reader;
  GArray *chunks;         /* RagifyPartChunk: those that are not written yet */
  guint64 first, ordinal; /* of those, and of the next */
};

static void
clear_chunk (gpointer data)
{
  g_free (((RagifyPartChunk *)data)->text);
}

RagifyTextIntake *
ragify_text_intake_new (RagifyIncoming *document, RagifyChunking chunking, const char *folder)
{
  RagifyTextIntake *intake = g_new0 (RagifyTextIntake, 1);
  intake->document = document;
  intake->chunking = chunking;
  intake->folder = g_strdup (folder);
  intake->head = g_string_new (NULL);
  intake->fd = -1;
  intake->chunks = g_array_new (FALSE, FALSE, sizeof (RagifyPartChunk));
  g_array_set_clear_func (intake->chunks, clear_chunk);
  return intake;
}

static void
stop_cutting (RagifyTextIntake *intake)
{
  g_clear_pointer (&intake->reader, ragify_text_reader_free);
  g_clear_pointer (&intake->cuts, ragify_cut_stream_free);
  g_clear_pointer (&intake->chunker, ragify_chunker_free);
  g_array_set_size (intake->chunks, 0);
  intake->ordinal = 0;
  intake->committer = NULL;
}

void
ragify_text_intake_free (RagifyTextIntake *intake)
{
  stop_cutting (intake);
  if (intake->fd >= 0)
    close (intake->fd);
  g_array_unref (intake->chunks);
  g_string_free (intake->head, TRUE);
  ragify_incoming_free (intake->document);
  g_free (intake->folder);
  g_free (intake);
}

/* ---- the file ---- */

static gboolean
fail_file (const RagifyTextIntake *intake, int reason, RagifyProblem *problem)
{
  const gboolean full = reason == ENOSPC || reason == EDQUOT || reason == EFBIG;
  return ragify_problem_set (problem, full ? 507 : 500, full ? "No room to store" : "Internal error", NULL,
                             "the upload cannot be kept in %s until it is whole: %s", intake->folder,
                             full ? "the disk is full" : g_strerror (reason));
}

static gboolean
open_file (RagifyTextIntake *intake, RagifyProblem *problem)
{
  g_mkdir_with_parents (intake->folder, 0700);
  intake->fd = open (intake->folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (intake->fd >= 0)
    return TRUE;
  g_autofree char *name = g_build_filename (intake->folder, "upload-XXXXXX", NULL); /* not every file system has it */
  intake->fd = g_mkstemp_full (name, O_RDWR | O_CLOEXEC, 0600);
  if (intake->fd < 0)
    return fail_file (intake, errno, problem);
  g_unlink (name);
  return TRUE;
}

static gboolean
write_out (RagifyTextIntake *intake, RagifyProblem *problem)
{
  const char *data = intake->head->str;
  for (gsize left = intake->head->len; left > 0;) {
    const gssize written = write (intake->fd, data, left);
    if (written < 0 && errno != EINTR)
      return fail_file (intake, errno, problem);
    data += MAX (written, 0);
    left -= (gsize)MAX (written, 0);
  }
  g_string_truncate (intake->head, 0);
  return TRUE;
}

gboolean
ragify_text_intake_add (RagifyTextIntake *intake, const char *data, gsize size, RagifyProblem *problem)
{
  g_string_append_len (intake->head, data, (gssize)size);
  intake->size += size;
  if (intake->size <= LARGEST_WHOLE)
    return TRUE;
  return (intake->fd >= 0 || open_file (intake, problem)) && write_out (intake, problem);
}

/* ---- a short text ---- */

static RagifyIntakeOutcome
refuse (const RagifyTextIntake *intake, RagifyIngestReport *report, const char *reason)
{
  ragify_ingest_report_fail (report, intake->document->id, "content", reason);
  return RAGIFY_INTAKE_DONE;
}

static RagifyIntakeOutcome
put_whole (RagifyTextIntake *intake, RagifyCommitter *committer, const RagifyHold *hold, RagifyIngestReport *report,
           RagifyProblem *problem)
{
  RagifyIncoming *document = intake->document;
  const char *why = NULL;
  g_autofree char *encoding = NULL;
  char *bytes = g_string_free (intake->head, FALSE);
  intake->head = g_string_new (NULL);
  g_free (document->content);
  document->content = ragify_plain_text (bytes, intake->size, &document->content_size, &encoding, &why);
  if (document->content == NULL || document->content_size == 0)
    return refuse (intake, report, document->content == NULL ? why : "must not be empty");
  return ragify_committer_put (committer, &document, 1, intake->chunking, hold, report, problem) ? RAGIFY_INTAKE_DONE
                                                                                                 : RAGIFY_INTAKE_FAILED;
}

/* ---- a long one ---- */

static gboolean
take_cut (void *user, const char *text, const RagifyCut *cut)
{
  RagifyTextIntake *intake = user;
  if (intake->ordinal++ < intake->first)
    return TRUE; /* it is staged already */
  const RagifyPartChunk chunk = { .text = g_strndup (text, cut->end - cut->begin),
                                  .size = cut->end - cut->begin,
                                  .begin = cut->begin };
  g_array_append_val (intake->chunks, chunk);
  return TRUE;
}

/* Finds out what the bytes are. FAILED or DONE where that is the end of it. */
static RagifyIntakeOutcome
scan (RagifyTextIntake *intake, RagifyIngestReport *report, RagifyProblem *problem)
{
  const char *why = NULL;
  if (intake->facts.size > 0)
    return RAGIFY_INTAKE_MORE;
  const RagifyReading reading = ragify_text_scan (intake->fd, NULL, NULL, &intake->facts, &why);
  if (reading == RAGIFY_READING_WELL)
    return RAGIFY_INTAKE_MORE;
  if (reading == RAGIFY_READING_NO_TEXT)
    return refuse (intake, report, why);
  fail_file (intake, errno, problem);
  return RAGIFY_INTAKE_FAILED;
}

static RagifyIntakeOutcome
begin (RagifyTextIntake *intake, RagifyCommitter *committer, const RagifyHold *hold, RagifyIngestReport *report,
       RagifyProblem *problem)
{
  stop_cutting (intake);
  const RagifyIntakeOutcome outcome = scan (intake, report, problem);
  if (outcome != RAGIFY_INTAKE_MORE)
    return outcome;
  if (!ragify_committer_look (committer, intake->document, &intake->facts.hash, hold, &intake->state, problem))
    return RAGIFY_INTAKE_FAILED;
  if (intake->state.foreign) {
    ragify_ingest_report_fail (report, intake->document->id, "id", "is taken");
    return RAGIFY_INTAKE_DONE;
  }
  if (intake->state.unchanged) {
    report->unchanged++;
    return RAGIFY_INTAKE_DONE;
  }
  intake->committer = committer;
  intake->first = intake->state.staged;
  intake->chunker = ragify_committer_chunker_new (committer);
  intake->cuts = ragify_cut_stream_new (intake->chunker, take_cut, intake);
  intake->reader = ragify_text_reader_new (intake->fd, &intake->facts, 0);
  return RAGIFY_INTAKE_MORE;
}

/* Reads on until there is a part. FALSE with a problem. */
static gboolean
read_part (RagifyTextIntake *intake, gboolean *last, RagifyProblem *problem)
{
  while (!*last && intake->chunks->len < STEP_CHUNKS) {
    RagifyStr piece;
    if (ragify_text_reader_next (intake->reader, &piece) != RAGIFY_READING_WELL)
      return fail_file (intake, errno, problem);
    *last = piece.size == 0;
    if (!*last)
      ragify_cut_stream_add (intake->cuts, piece.data, piece.size);
    else
      ragify_cut_stream_end (intake->cuts);
  }
  return TRUE;
}

static gboolean
put_part (RagifyTextIntake *intake, gboolean last, RagifyIngestReport *report, RagifyProblem *problem)
{
  const guint64 documents = report->documents;
  const guint count = last ? intake->chunks->len : MIN (intake->chunks->len, STEP_CHUNKS);
  const RagifyPart part = { .document = intake->document,
                            .hash = intake->state.hash,
                            .first = intake->first,
                            .chunks = (const RagifyPartChunk *)(const void *)intake->chunks->data,
                            .count = count,
                            .last = last };
  if (!ragify_committer_put_part (intake->committer, &part, &intake->state, report, problem))
    return FALSE;
  const gboolean well =
      last ? report->documents > documents || intake->state.unchanged : intake->state.staged == part.first + part.count;
  g_array_remove_range (intake->chunks, 0, count);
  intake->first += count;
  return well || ragify_problem_set (problem, 409, "Conflict", "id",
                                     "somebody else writes a document of the same id at the same time");
}

RagifyIntakeOutcome
ragify_text_intake_step (RagifyTextIntake *intake, RagifyCommitter *committer, const RagifyHold *hold,
                         RagifyIngestReport *report, RagifyProblem *problem)
{
  gboolean last = FALSE;
  if (intake->fd < 0)
    return put_whole (intake, committer, hold, report, problem);
  if (intake->chunking == RAGIFY_CHUNKING_NONE)
    return refuse (intake, report, "is too long to be one chunk: 4 MiB at most with chunking=none");
  if (intake->committer != committer)
    return begin (intake, committer, hold, report, problem);
  if (!read_part (intake, &last, problem))
    return RAGIFY_INTAKE_FAILED;
  if (last && intake->ordinal == 0)
    return refuse (intake, report, "holds no text but white space");
  if (last && intake->ordinal < intake->first)
    return refuse (intake, report, "what the store has of it does not fit: delete it");
  if (!put_part (intake, last, report, problem))
    return RAGIFY_INTAKE_FAILED;
  return last ? RAGIFY_INTAKE_DONE : RAGIFY_INTAKE_MORE;
}
