#include "command.h"

#include "ingest-report.h"
#include "tools/common/document-sender.h"
#include "tools/common/progress.h"
#include "tools/common/text-file.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LARGEST_READ (4 * 1024 * 1024) /* bytes of a file; a larger one is sent as it is read */

static const char description[] =
    "DIR   its text files: *.md, *.markdown, *.txt, *.text, *.rst and names without\n"
    "      an extension, as far as they are UTF-8 text. Hidden names and symbolic\n"
    "      links are passed over. A document's id is 'file:' and DIR with the path\n"
    "      inside it, so that the same command brings the same documents up to\n"
    "      date; its metadata have path and mtime.\n"
    "FILE  one text file; or, when its name ends in .ndjson or .jsonl or with\n"
    "      --ndjson, a JSON object a line: {\"_id\" or \"id\", \"content\" or\n"
    "      \"title\" and \"text\", \"uri\", \"metadata\": {…}}\n"
    "-     the same JSON lines from standard input\n"
    "\n"
    "A file may have any size. One of more than 4 MiB goes as it is read; sent again after\n"
    "it was interrupted, it goes on behind what the store has of it.\n"
    "\n"
    "Documents that the store has already, unchanged, are not embedded again.\n"
    "\n" RAGIFY_TOOL_EXIT_HELP "\n";

typedef struct {
  RagifyDocumentSenderOptions sender;
  char *store;
  char *chunking;
  char **include;
  char **exclude;
  char **inputs;
  int parallel;
  gboolean ndjson;
  gboolean quiet;
  gboolean verbose;
} IngestOptions;

/* The work in hand. */
typedef struct {
  const IngestOptions *options;
  RagifyDocumentSender *sender;
  RagifyProgress *progress;
  RagifyIngestReport report;
} Ingest;

static void
show_progress (Ingest *ingest, double fraction)
{
  ragify_progress_update (ingest->progress,
                          ragify_document_totals_count (ragify_document_sender_get_totals (ingest->sender)), fraction);
}

/* An id that stays the same when the same command is given again: a relative path stays relative, "./" and "//" go. */
static char *
make_id (const char *path)
{
  g_autofree char *clean = g_canonicalize_filename (path, "/");
  const char *shown = g_path_is_absolute (path) ? clean : clean + 1;
  /* Below "/", canonicalizing would eat the "..", and two folders would share their ids. */
  if (g_str_has_prefix (path, ".."))
    shown = path;
  return g_strconcat ("file:", shown, NULL);
}

static json_t *
make_metadata (const char *path, gint64 mtime)
{
  g_autoptr (GDateTime) time = g_date_time_new_from_unix_utc (mtime);
  g_autofree char *text = g_date_time_format_iso8601 (time);
  return json_pack ("{s:s, s:s}", "path", path, "mtime", text);
}

/* The heading that a Markdown file starts with, otherwise the file's name. */
static char *
make_title (const char *path, const char *text)
{
  const char *start = text + strspn (text, " \t\r\n");
  if (g_str_has_prefix (start, "# ") && (g_str_has_suffix (path, ".md") || g_str_has_suffix (path, ".markdown"))) {
    g_autofree char *heading = g_strndup (start + 2, strcspn (start + 2, "\r\n"));
    if (*g_strstrip (heading) != '\0')
      return g_steal_pointer (&heading);
  }
  return g_path_get_basename (path);
}

static RagifyRecord *
make_file_record (const char *shown_path, const char *inner_path, gint64 mtime, char *text)
{
  g_autofree char *absolute = g_canonicalize_filename (shown_path, NULL);
  RagifyRecord *record = g_new0 (RagifyRecord, 1);
  record->id = make_id (shown_path);
  record->content = text;
  record->title = make_title (inner_path, text);
  record->uri = g_filename_to_uri (absolute, NULL, NULL);
  record->metadata = make_metadata (inner_path, mtime);
  return record;
}

static void
show_sent (gpointer user_data, double fraction)
{
  show_progress (user_data, fraction);
}

/* A file that was not read, for what it is. Returns TRUE: the work goes on. */
static gboolean
pass_over (Ingest *ingest, const char *folder, const char *shown, RagifyTextResult result, RagifySkipReason skip,
           const GError *reason)
{
  /* In a folder what is no text is passed over; a file that was named is expected to be text. */
  if (result == RAGIFY_TEXT_FAILED)
    ragify_document_sender_add_failure (ingest->sender, shown, reason->message);
  else if (folder == NULL)
    ragify_document_sender_add_failure (ingest->sender, shown, ragify_skip_reason_describe (skip));
  else
    ragify_ingest_report_skip (&ingest->report, shown, skip, ingest->options->verbose);
  return TRUE;
}

/* Reads and sends one file. Returns FALSE with error set only when the work cannot go on. */
static gboolean
ingest_file (Ingest *ingest, const char *folder, const char *path, gint64 mtime, GError **error)
{
  g_autofree char *shown = folder != NULL ? g_build_filename (folder, path, NULL) : g_strdup (path);
  g_autoptr (GError) reason = NULL;
  char *text = NULL;
  RagifySkipReason skip = RAGIFY_SKIP_BINARY;
  guint64 size = 0;
  int fd = -1;

  RagifyTextResult result = ragify_text_file_open (folder, path, &fd, &size, &skip, &reason);
  if (result == RAGIFY_TEXT_READ && size > LARGEST_READ) {
    g_autoptr (RagifyRecord) record = make_file_record (shown, path, mtime, g_strdup (""));
    gboolean sent = ragify_document_sender_send_file (ingest->sender, record, fd, size,
                                                      folder == NULL ? show_sent : NULL, ingest, error);
    close (fd);
    return sent;
  }
  if (result == RAGIFY_TEXT_READ)
    result = ragify_text_file_take (fd, &text, &skip, &reason);
  if (result != RAGIFY_TEXT_READ)
    return pass_over (ingest, folder, shown, result, skip, reason);
  g_autoptr (RagifyRecord) record = make_file_record (shown, path, mtime, text);
  return ragify_document_sender_add (ingest->sender, record, error);
}

static gboolean
ingest_folder (Ingest *ingest, const char *path, GError **error)
{
  const IngestOptions *options = ingest->options;
  g_autoptr (RagifyTextFolder) folder = ragify_text_folder_walk (path, (const char *const *)options->include,
                                                                 (const char *const *)options->exclude, error);
  if (folder == NULL)
    return FALSE;
  for (guint i = 0; i < RAGIFY_SKIP_REASONS; i++)
    ingest->report.skipped[i] += folder->skipped[i];
  for (guint i = 0; i < folder->failures->len; i++)
    ragify_document_sender_add_failure (ingest->sender, path, g_ptr_array_index (folder->failures, i));

  guint64 bytes = 0;
  for (guint i = 0; i < folder->files->len; i++) {
    const RagifyTextFile *file = g_ptr_array_index (folder->files, i);
    if (!ingest_file (ingest, path, file->path, file->mtime, error))
      return FALSE;
    bytes += file->size;
    show_progress (ingest, (double)bytes / (double)MAX (1, folder->bytes));
  }
  return TRUE;
}

static gboolean
ingest_lines (Ingest *ingest, const char *path, GError **error)
{
  g_autoptr (RagifyRecordReader) reader = ragify_record_reader_open (path, error);
  if (reader == NULL)
    return FALSE;
  for (;;) {
    g_autoptr (RagifyRecord) record = NULL;
    g_autoptr (GError) reason = NULL;
    RagifyRecordResult result = ragify_record_reader_next (reader, &record, &reason);
    if (result == RAGIFY_RECORD_END)
      return TRUE;
    if (result == RAGIFY_RECORD_FAILED) {
      g_propagate_error (error, g_steal_pointer (&reason));
      return FALSE;
    }
    if (result == RAGIFY_RECORD_BAD)
      ragify_document_sender_add_failure (ingest->sender, path, reason->message);
    else if (!ragify_document_sender_add (ingest->sender, record, error))
      return FALSE;
    show_progress (ingest, ragify_record_reader_get_fraction (reader));
  }
}

static gboolean
has_lines_name (const char *path)
{
  return g_str_has_suffix (path, ".ndjson") || g_str_has_suffix (path, ".jsonl");
}

static gboolean
ingest_input (Ingest *ingest, const char *path, GError **error)
{
  if (g_file_test (path, G_FILE_TEST_IS_DIR))
    return ingest_folder (ingest, path, error);
  if (strcmp (path, "-") == 0 || ingest->options->ndjson || has_lines_name (path))
    return ingest_lines (ingest, path, error);

  GStatBuf status;
  if (g_stat (path, &status) < 0) {
    int reason = errno;
    g_set_error (error, G_IO_ERROR, g_io_error_from_errno (reason), "cannot read %s: %s", path, g_strerror (reason));
    return FALSE;
  }
  return ingest_file (ingest, NULL, path, status.st_mtime, error);
}

static int
exit_code_for (const GError *error)
{
  /* Our own reading errors are about the command line's inputs. */
  return error->domain == G_IO_ERROR ? RAGIFY_TOOL_EXIT_USAGE : ragify_control_exit_code (error);
}

static int
ingest_all (RagifyControlOptions *control, IngestOptions *options)
{
  g_autoptr (RagifyHttpClient) client = ragify_control_connect (control, (guint)options->parallel, 600);
  if (client == NULL)
    return RAGIFY_TOOL_EXIT_USAGE;

  g_autoptr (GError) error = NULL;
  g_autoptr (RagifyDocumentSender) sender = ragify_document_sender_new (client, &options->sender);
  g_autoptr (RagifyProgress) progress = ragify_progress_new ("ingest", "documents", options->quiet || control->json);
  Ingest ingest = { .options = options, .sender = sender, .progress = progress };
  gint64 started = g_get_monotonic_time ();

  gboolean fine = TRUE;
  for (gsize i = 0; fine && options->inputs[i] != NULL; i++)
    fine = ingest_input (&ingest, options->inputs[i], &error);
  /* What was read before an input failed is sent all the same, so that the report says what the store has. */
  if (fine || error->domain == G_IO_ERROR)
    fine = ragify_document_sender_finish (sender, fine ? &error : NULL) && fine;
  g_clear_pointer (&progress, ragify_progress_free);

  ingest.report.seconds = (double)(g_get_monotonic_time () - started) / G_USEC_PER_SEC;
  ingest.report.totals = ragify_document_sender_get_totals (sender);
  if (error != NULL)
    ragify_tool_complain ("%s", error->message);
  /* Where nothing was done the complaint says it all. */
  if (error == NULL || ragify_document_totals_count (ingest.report.totals) > 0 ||
      ingest.report.totals->failures->len > 0)
    ragify_ingest_report_print (&ingest.report, control->json, options->quiet);
  if (error != NULL)
    return exit_code_for (error);
  return fine && ingest.report.totals->failures->len == 0 ? RAGIFY_TOOL_EXIT_OK : RAGIFY_TOOL_EXIT_FAILED;
}

static gboolean
check (const IngestOptions *options)
{
  if (options->inputs == NULL || options->inputs[0] == NULL)
    ragify_tool_complain ("ingest: expected a folder, a file or '-', as in: ragify-ctl ingest docs");
  else if (options->parallel < 1 || options->parallel > 16)
    ragify_tool_complain ("ingest: --parallel %d: expected 1 to 16", options->parallel);
  else if (options->chunking != NULL && strcmp (options->chunking, "default") != 0 &&
           strcmp (options->chunking, "none") != 0)
    ragify_tool_complain ("ingest: --chunking '%s': expected 'default' or 'none'", options->chunking);
  else
    return TRUE;
  return FALSE;
}

int
ragify_control_ingest (RagifyControlOptions *control, int argc, char **argv)
{
  IngestOptions options = { .sender = RAGIFY_DOCUMENT_SENDER_DEFAULTS, .parallel = 2 };
  const GOptionEntry entries[] = {
    { "store", 's', 0, G_OPTION_ARG_STRING, &options.store, "The store (needed when the host has several)", "NAME" },
    { "chunking", 0, 0, G_OPTION_ARG_STRING, &options.chunking, "default: cut at sentences; none: one chunk a document",
      "HOW" },
    { "include", 0, 0, G_OPTION_ARG_STRING_ARRAY, &options.include,
      "DIR: take names like this instead (may be repeated)", "GLOB" },
    { "exclude", 0, 0, G_OPTION_ARG_STRING_ARRAY, &options.exclude,
      "DIR: pass over files and folders like this (may be repeated)", "GLOB" },
    { "ndjson", 0, 0, G_OPTION_ARG_NONE, &options.ndjson, "FILE is JSON lines whatever its name", NULL },
    { "parallel", 0, 0, G_OPTION_ARG_INT, &options.parallel, "Batches under way at once, 1 to 16 (default: 2)", "N" },
    { "quiet", 'q', 0, G_OPTION_ARG_NONE, &options.quiet, "Print failures only", NULL },
    { "verbose", 'v', 0, G_OPTION_ARG_NONE, &options.verbose, "Name each file that is passed over for its content",
      NULL },
    G_OPTION_ENTRY_NULL,
  };
  int exit_code = RAGIFY_TOOL_EXIT_USAGE;
  if (ragify_control_parse (control, entries, "DIR|FILE|- …", description, &argc, &argv)) {
    options.inputs = argv + 1;
    options.sender.store = options.store;
    options.sender.chunking = options.chunking;
    options.sender.parallel = (guint)options.parallel;
    if (check (&options))
      exit_code = ingest_all (control, &options);
  }
  g_free (options.store);
  g_free (options.chunking);
  g_strfreev (options.include);
  g_strfreev (options.exclude);
  return exit_code;
}
