/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "core/ingest/committer-private.h"
#include "core/ingest/library-private.h"
#include "core/ingest/text-intake.h"
#include "core/pipeline/json-extent.h"

#define BUFFERED (1024 * 1024)              /* bytes fed and not yet taken: past that the client waits */
#define LARGEST_DOCUMENT (64 * 1024 * 1024) /* one NDJSON line, or one JSON body */
#define MOST_GATHERED (256u * 1024 * 1024)  /* of those, of all uploads together */
#define MOST_VALUES 1000000u                /* in one of those: as a tree each costs some hundred bytes */
#define BATCH_BYTES (1024 * 1024)           /* content gathered before it is written */
#define BATCH_DOCUMENTS 1000u
#define BATCH_AGE_US (2 * G_USEC_PER_SEC)

struct RagifyUpload {
  RagifyLibraryJob job;
  RagifyLibrary *library;
  RagifyLoop *loop;
  RagifyBodyType type;
  RagifyChunking chunking;
  RagifyHold *hold; /* NULL: none */

  /* Under the library's lock. */
  GString *fed;
  gboolean finished, aborted;
  gsize counted; /* of library->gathered */
  void (*resume) (void *user);
  void *resume_user;
  RagifyLibraryReplied replied;
  void *user;

  /* The thread's. */
  GString *unparsed; /* what was taken and is not parsed yet, */
  gsize parsed;      /* … from here on */
  guint64 line;
  gboolean begun;         /* its first bytes were looked at */
  gboolean skipping;      /* a line that is too long, up to its end */
  RagifyTextIntake *text; /* in place of what follows, where one document comes as text */
  GPtrArray *documents;
  gsize documents_bytes;
  guint64 oldest; /* when the first of them came */
  gboolean failed;
  RagifyProblem problem;
  RagifyIngestReport report;
};

/* With the library's lock held. */
static void
count (RagifyUpload *upload, gsize gathered)
{
  upload->library->gathered += gathered - upload->counted;
  upload->counted = gathered;
}

/* With its memory, which cutting a GString short would keep. */
static void
discard (RagifyUpload *upload)
{
  g_string_free (upload->unparsed, TRUE);
  upload->unparsed = g_string_new (NULL);
  upload->parsed = 0;
}

static void
upload_free (RagifyUpload *upload)
{
  pthread_mutex_lock (&upload->library->lock);
  count (upload, 0);
  pthread_mutex_unlock (&upload->library->lock);
  g_string_free (upload->fed, TRUE);
  g_string_free (upload->unparsed, TRUE);
  g_clear_pointer (&upload->text, ragify_text_intake_free);
  g_ptr_array_unref (upload->documents);
  ragify_problem_clear (&upload->problem);
  ragify_ingest_report_clear (&upload->report);
  g_clear_pointer (&upload->hold, ragify_hold_unref);
  ragify_library_unref (upload->library);
  g_free (upload);
}

/* ---- parsing, on the thread ---- */

static void
keep_document (RagifyUpload *upload, RagifyIncoming *incoming)
{
  if (upload->documents->len == 0)
    upload->oldest = ragify_now ();
  g_ptr_array_add (upload->documents, incoming);
  upload->documents_bytes += incoming->content_size;
}

/* What [ingest] nodes write is theirs to change and to delete. */
static gboolean
check_owner (const RagifyIncoming *incoming, char **field, char **reason)
{
  if (!ragify_incoming_is_of_a_job (incoming))
    return TRUE;
  *field = g_strdup ("metadata.ingest");
  *reason = g_strdup ("names the [ingest] node that its id begins with, which looks after such documents itself: use"
                      " another id, or leave this member out");
  return FALSE;
}

static void
take_object (RagifyUpload *upload, const json_t *object, const char *where)
{
  g_autofree char *field = NULL;
  g_autofree char *reason = NULL;
  g_autoptr (RagifyIncoming) incoming = ragify_incoming_parse (object, &field, &reason);
  if (incoming != NULL && (upload->hold == NULL || ragify_hold_mark (upload->hold, incoming, &field, &reason)) &&
      check_owner (incoming, &field, &reason)) {
    keep_document (upload, g_steal_pointer (&incoming));
    return;
  }
  const json_t *id = json_object_get (object, "id");
  g_autofree char *place = field != NULL ? g_strdup_printf ("%s.%s", where, field) : g_strdup (where);
  ragify_ingest_report_fail (&upload->report, json_string_value (id), place, reason);
}

static void
take_line (RagifyUpload *upload, const char *line, gsize size)
{
  upload->line++;
  g_autofree char *where = g_strdup_printf ("line %" G_GUINT64_FORMAT, upload->line);
  if (upload->skipping) {
    upload->skipping = FALSE;
    g_autofree char *reason = g_strdup_printf ("is longer than %d bytes", LARGEST_DOCUMENT);
    ragify_ingest_report_fail (&upload->report, NULL, where, reason);
    return;
  }
  if (strspn (line, " \t\r") >= size)
    return; /* an empty line */
  if (!ragify_json_is_within (line, size, G_MAXUINT, MOST_VALUES)) {
    g_autofree char *reason = g_strdup_printf ("has more than %u values", MOST_VALUES);
    ragify_ingest_report_fail (&upload->report, NULL, where, reason);
    return;
  }
  json_error_t error;
  json_t *object = json_loadb (line, size, JSON_REJECT_DUPLICATES, &error);
  if (object != NULL) {
    take_object (upload, object, where);
  } else {
    g_autofree char *reason = g_strdup_printf ("is not JSON: %s (at byte %d)", error.text, error.position);
    ragify_ingest_report_fail (&upload->report, NULL, where, reason);
  }
  json_decref (object);
}

/* A byte order mark is none of the text, which begins behind it. */
static void
skip_mark (RagifyUpload *upload)
{
  static const char mark[] = { '\xef', '\xbb', '\xbf' };
  GString *text = upload->unparsed;
  const gsize known = MIN (text->len, sizeof mark);
  if (upload->begun || known == 0)
    return;
  const gboolean marked = memcmp (text->str, mark, known) == 0;
  if (marked && known == sizeof mark)
    g_string_erase (text, 0, sizeof mark);
  upload->begun = !marked || known == sizeof mark;
}

static const char *
end_of_line (const RagifyUpload *upload)
{
  const GString *text = upload->unparsed;
  return memchr (text->str + upload->parsed, '\n', text->len - upload->parsed);
}

/* Takes one line off; FALSE when none is whole. */
static gboolean
parse_line (RagifyUpload *upload, gboolean at_end)
{
  GString *text = upload->unparsed;
  const char *begin = text->str + upload->parsed;
  const char *end = end_of_line (upload);
  const gsize left = text->len - upload->parsed;
  if (end == NULL && !at_end) {
    if (left > LARGEST_DOCUMENT) {
      upload->skipping = TRUE;
      g_string_truncate (text, upload->parsed);
    }
    return FALSE;
  }
  if (end == NULL && left == 0 && !upload->skipping)
    return FALSE;
  const gsize size = end != NULL ? (gsize)(end - begin) : left;
  g_autofree char *line = g_strndup (begin, size);
  upload->parsed += MIN (size + 1, left);
  take_line (upload, line, size);
  return TRUE;
}

static gboolean
refuse_body (RagifyUpload *upload, const char *field, const char *detail)
{
  upload->failed = TRUE;
  return ragify_problem_set (&upload->problem, 422, "Invalid value", field, "%s", detail);
}

static void
parse_object (RagifyUpload *upload, const json_t *root)
{
  if (!json_is_object (root)) {
    refuse_body (upload, NULL, "the body must be an object with the member documents, or one document");
    return;
  }
  const json_t *documents = json_object_get (root, "documents");
  if (documents == NULL) { /* one document by itself */
    take_object (upload, root, "document");
    return;
  }
  if (!json_is_array (documents)) {
    refuse_body (upload, "documents", "documents must be an array of objects");
    return;
  }
  const char *name;
  json_t *value;
  json_object_foreach ((json_t *)root, name, value)
  {
    if (g_str_equal (name, "documents"))
      continue;
    g_autofree char *detail = g_strdup_printf ("'%.64s' is not a member of this request. Its one member is documents; "
                                               "store and chunking are query parameters",
                                               name);
    refuse_body (upload, name, detail);
    return;
  }
  for (gsize i = 0; i < json_array_size (documents); i++) {
    g_autofree char *where = g_strdup_printf ("documents[%zu]", i);
    take_object (upload, json_array_get (documents, i), where);
  }
}

static void
parse_body (RagifyUpload *upload)
{
  GString *text = upload->unparsed;
  json_error_t error;
  if (!ragify_json_is_within (text->str, text->len, G_MAXUINT, MOST_VALUES)) {
    upload->failed = TRUE;
    ragify_problem_set (&upload->problem, 413, "Body too large", NULL,
                        "a JSON body may have %u values; send application/x-ndjson, of any size, one document a line",
                        MOST_VALUES);
    discard (upload);
    return;
  }
  json_t *root = json_loadb (text->str, text->len, JSON_REJECT_DUPLICATES, &error);
  if (root != NULL) {
    parse_object (upload, root);
    json_decref (root);
  } else {
    upload->failed = TRUE;
    ragify_problem_set (&upload->problem, 400, "Malformed JSON", NULL, "%s (line %d, column %d)", error.text,
                        error.line, error.column);
  }
  discard (upload);
}

/* ---- the steps ---- */

static gboolean
is_due (const RagifyUpload *upload, gboolean at_end)
{
  return upload->documents->len > 0 &&
         (at_end || upload->documents_bytes >= BATCH_BYTES || upload->documents->len >= BATCH_DOCUMENTS ||
          ragify_now () - upload->oldest > BATCH_AGE_US);
}

static void
write_documents (RagifyUpload *upload, RagifyCommitter *committer)
{
  if (!ragify_committer_put_ahead (committer, (RagifyIncoming *const *)upload->documents->pdata, upload->documents->len,
                                   upload->chunking, upload->hold, &upload->report, &upload->problem))
    upload->failed = TRUE;
  g_ptr_array_set_size (upload->documents, 0);
  upload->documents_bytes = 0;
}

/* Waits for what is still being written. */
static void
settle (RagifyUpload *upload, RagifyCommitter *committer)
{
  RagifyProblem late = { 0 };
  if (ragify_committer_settle (committer, &upload->report, &late))
    return;
  if (upload->failed)
    ragify_problem_clear (&late);
  else
    upload->problem = late;
  upload->failed = TRUE;
}

/* One step; TRUE where it was the last. */
static gboolean
write_text (RagifyUpload *upload, RagifyCommitter *committer)
{
  const RagifyIntakeOutcome outcome =
      ragify_text_intake_step (upload->text, committer, upload->hold, &upload->report, &upload->problem);
  upload->failed = outcome == RAGIFY_INTAKE_FAILED;
  return outcome != RAGIFY_INTAKE_MORE;
}

static char *
encode_report (const RagifyIngestReport *report)
{
  g_autoptr (GString) text = g_string_new (NULL);
  char store[37];
  ragify_uuid_write (&report->generation.store, store);
  g_string_append_printf (text,
                          "{\"documents\":%" G_GUINT64_FORMAT ",\"chunks\":%" G_GUINT64_FORMAT
                          ",\"unchanged\":%" G_GUINT64_FORMAT ",\"replaced\":%" G_GUINT64_FORMAT
                          ",\"embedded\":%" G_GUINT64_FORMAT ",\"reused\":%" G_GUINT64_FORMAT
                          ",\"failed_total\":%" G_GUINT64_FORMAT ",\"failed\":[%s]",
                          report->documents, report->chunks, report->unchanged, report->replaced, report->embedded,
                          report->reused, report->n_failed, report->failed->str);
  if (report->generation.counter != 0)
    g_string_append_printf (text, ",\"generation\":\"%s:%" G_GUINT64_FORMAT "\"", store, report->generation.counter);
  if (report->warnings->len > 0) {
    json_t *warnings = json_array ();
    for (guint i = 0; i < report->warnings->len; i++)
      json_array_append_new (warnings, json_string (g_ptr_array_index (report->warnings, i)));
    char *list = json_dumps (warnings, JSON_COMPACT);
    g_string_append_printf (text, ",\"warnings\":%s", list);
    free (list);
    json_decref (warnings);
  }
  g_string_append_c (text, '}');
  return g_strdup (text->str);
}

/* A failure of the store tells what had been committed before it. */
static void
reply (RagifyUpload *upload)
{
  RagifyIngestReport *report = &upload->report;
  const gboolean nothing_was_good =
      report->n_failed > 0 && report->documents + report->unchanged == 0 && !upload->failed;
  if (nothing_was_good) {
    upload->failed = TRUE;
    ragify_problem_set (&upload->problem, 422, "Invalid document", "documents",
                        "none of %" G_GUINT64_FORMAT " documents could be taken; the first: %s", report->n_failed,
                        report->first_reason);
  } else if (upload->failed && report->documents + report->unchanged > 0) {
    g_autofree char *detail =
        g_strdup_printf ("%s (%" G_GUINT64_FORMAT " documents of this upload had been committed before)",
                         upload->problem.detail, report->documents + report->unchanged);
    g_free (upload->problem.detail);
    upload->problem.detail = g_steal_pointer (&detail);
  }
  char *body = upload->failed ? NULL : encode_report (report);
  ragify_library_reply (upload->loop, body, &upload->problem, upload->replied, upload->user);
  upload->problem = (RagifyProblem){ 0 };
}

typedef struct Resume {
  RagifyTask task;
  void (*resume) (void *user);
  void *user;
} Resume;

static void
run_resume (RagifyTask *task)
{
  Resume *resume = (Resume *)task;
  resume->resume (resume->user);
  g_free (resume);
}

/* Takes what was fed, unless there are lines to parse still: so much memory and no more. With the library's lock held.
 */
static void
take_fed (RagifyUpload *upload)
{
  if (!upload->failed && upload->type == RAGIFY_BODY_NDJSON && end_of_line (upload) != NULL)
    return;
  if (!upload->failed)
    g_string_append_len (upload->unparsed, upload->fed->str, (gssize)upload->fed->len);
  g_string_truncate (upload->fed, 0);
  if (upload->resume == NULL)
    return;
  Resume *resume = g_new0 (Resume, 1);
  *resume = (Resume){ .task = { .run = run_resume }, .resume = upload->resume, .user = upload->resume_user };
  upload->resume = NULL;
  ragify_loop_post (upload->loop, &resume->task);
}

static void
parse (RagifyUpload *upload, gboolean at_end)
{
  if (upload->failed)
    return;
  if (upload->type != RAGIFY_BODY_TEXT)
    skip_mark (upload);
  if (upload->type == RAGIFY_BODY_NDJSON) {
    while (!is_due (upload, FALSE) && parse_line (upload, at_end)) {
    }
    if (upload->parsed == upload->unparsed->len)
      discard (upload);
    g_string_erase (upload->unparsed, 0, (gssize)upload->parsed);
    upload->parsed = 0;
  } else if (upload->type == RAGIFY_BODY_TEXT) {
    upload->failed =
        !ragify_text_intake_add (upload->text, upload->unparsed->str, upload->unparsed->len, &upload->problem);
    g_string_truncate (upload->unparsed, 0);
  } else if (at_end) {
    if (upload->unparsed->len > 0)
      parse_body (upload);
  } else if (upload->unparsed->len > LARGEST_DOCUMENT) {
    upload->failed = TRUE;
    ragify_problem_set (&upload->problem, 413, "Body too large", NULL,
                        "a JSON body may have %d bytes; send application/x-ndjson, of any size, one document a line",
                        LARGEST_DOCUMENT);
    discard (upload);
  }
}

/* Many at once that are large and not whole: each may be, but not all of them. Only then does it fail, for the others
 * would wait for each other. `gathered`: of all. */
static void
bound (RagifyUpload *upload, RagifyCommitter *committer, gsize gathered)
{
  if (upload->failed || upload->unparsed->len <= 4 * BUFFERED)
    return; /* it is being parsed as it comes */
  if (gathered > MOST_GATHERED) {
    ragify_problem_set (&upload->problem, 503, "Busy", NULL,
                        "documents of more than %u MiB that are not whole are being taken: send them one after the "
                        "other, or as application/x-ndjson, one a line",
                        MOST_GATHERED / (1024 * 1024));
    upload->problem.retry_after = 1;
    upload->failed = TRUE;
  } else {
    upload->failed = !ragify_committer_has_memory (committer, &upload->problem);
  }
  if (upload->failed)
    discard (upload);
}

/* With the library's lock held. */
static gboolean
has_more (const RagifyUpload *upload)
{
  return upload->fed->len > 0 || upload->finished || upload->aborted || upload->job.scheduled;
}

static gboolean
upload_step (RagifyLibraryJob *job, RagifyCommitter *committer)
{
  RagifyUpload *upload = (RagifyUpload *)job;
  RagifyLibrary *library = upload->library;
  pthread_mutex_lock (&library->lock);
  const gboolean aborted = upload->aborted;
  take_fed (upload);
  count (upload, upload->unparsed->len);
  const gsize gathered = library->gathered;
  const gboolean at_end = upload->finished && upload->fed->len == 0;
  pthread_mutex_unlock (&library->lock);
  if (aborted) {
    ragify_committer_drop (committer, &upload->report);
    ragify_committer_land (committer);
    upload_free (upload);
    return FALSE;
  }

  bound (upload, committer, gathered);
  parse (upload, at_end);
  if (at_end && !upload->failed && upload->text != NULL && !write_text (upload, committer))
    return TRUE;
  const gboolean unparsed = upload->type == RAGIFY_BODY_NDJSON && end_of_line (upload) != NULL;
  if (!upload->failed && is_due (upload, at_end && !unparsed))
    write_documents (upload, committer);
  if (at_end && (upload->failed || (!unparsed && upload->unparsed->len == 0 && upload->documents->len == 0))) {
    settle (upload, committer);
    reply (upload);
    upload_free (upload);
    return FALSE;
  }

  if (at_end || unparsed)
    return TRUE;
  pthread_mutex_lock (&library->lock);
  count (upload, upload->unparsed->len);
  const gboolean more = has_more (upload);
  if (!more)
    upload->job.running = FALSE; /* from here on feeding schedules it */
  pthread_mutex_unlock (&library->lock);
  return more;
}

static void
upload_refuse (RagifyLibraryJob *job)
{
  RagifyUpload *upload = (RagifyUpload *)job;
  pthread_mutex_lock (&upload->library->lock);
  upload->failed = TRUE;
  ragify_problem_clear (&upload->problem);
  ragify_problem_set (&upload->problem, 503, "Shutting down", NULL, "the host is shutting down");
  job->scheduled = FALSE;
  take_fed (upload);
  const gboolean finished = upload->finished;
  const gboolean aborted = upload->aborted;
  pthread_mutex_unlock (&upload->library->lock);
  if (finished && !aborted)
    reply (upload);
  if (finished || aborted)
    upload_free (upload);
}

/* ---- feeding, on the loop ---- */

RagifyUpload *
ragify_upload_new (RagifyLibrary *library, RagifyLoop *loop, RagifyBodyType type, RagifyChunking chunking,
                   RagifyHold *hold)
{
  RagifyUpload *upload = g_new0 (RagifyUpload, 1);
  upload->job.step = upload_step;
  upload->job.refuse = upload_refuse;
  upload->library = ragify_library_ref (library);
  upload->loop = loop;
  upload->type = type;
  upload->chunking = chunking;
  upload->hold = hold != NULL ? ragify_hold_ref (hold) : NULL;
  upload->fed = g_string_new (NULL);
  upload->unparsed = g_string_new (NULL);
  upload->documents = g_ptr_array_new_with_free_func ((GDestroyNotify)ragify_incoming_free);
  ragify_ingest_report_init (&upload->report);
  return upload;
}

RagifyUpload *
ragify_upload_new_text (RagifyLibrary *library, RagifyLoop *loop, RagifyIncoming *document, RagifyChunking chunking,
                        RagifyHold *hold)
{
  RagifyUpload *upload = ragify_upload_new (library, loop, RAGIFY_BODY_TEXT, chunking, hold);
  upload->text = ragify_text_intake_new (document, chunking, library->uploads);
  return upload;
}

gboolean
ragify_upload_feed (RagifyUpload *upload, const char *data, gsize size, void (*resume) (void *user), void *user)
{
  RagifyLibrary *library = upload->library;
  pthread_mutex_lock (&library->lock);
  if (!library->closing)
    g_string_append_len (upload->fed, data, (gssize)size);
  const gboolean scheduled = ragify_library_schedule (library, &upload->job, FALSE);
  const gboolean full = scheduled && upload->fed->len > BUFFERED;
  if (full) {
    upload->resume = resume;
    upload->resume_user = user;
  }
  pthread_mutex_unlock (&library->lock);
  return !full;
}

/* The last that the loop does with it; gives the lock back. Where the thread no longer runs, the loop ends it itself.
 */
static void
end_and_unlock (RagifyUpload *upload, RagifyLibrary *library)
{
  const gboolean queued = upload->job.scheduled || upload->job.running;
  const gboolean taken = ragify_library_schedule (library, &upload->job, upload->aborted);
  pthread_mutex_unlock (&library->lock); /* from here on the thread may have freed it */
  if (!taken && !queued)
    upload_refuse (&upload->job);
}

void
ragify_upload_finish (RagifyUpload *upload, RagifyLibraryReplied replied, void *user)
{
  RagifyLibrary *library = upload->library;
  pthread_mutex_lock (&library->lock);
  upload->replied = replied;
  upload->user = user;
  upload->finished = TRUE;
  end_and_unlock (upload, library);
}

void
ragify_upload_abort (RagifyUpload *upload)
{
  RagifyLibrary *library = upload->library;
  pthread_mutex_lock (&library->lock);
  upload->aborted = TRUE;
  upload->resume = NULL;
  if (library->committer != NULL)
    ragify_committer_drop (library->committer, &upload->report); /* the thread may be waiting for it */
  end_and_unlock (upload, library);
}
