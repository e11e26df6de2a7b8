/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "core/ingest/job-private.h"
#include "core/ingest/markdown.h"
#include "core/ingest/plain-text.h"

#define LARGEST (64 * 1024 * 1024) /* bytes of a file that is taken whole */
#define ATTEMPTS 3u                /* at a file that changes while it is read, and with an extractor that crashed */
#define RECOVERY_US (G_USEC_PER_SEC)
#define LONGEST_TITLE 1024

char *
ragify_job_document_id (const RagifyIngestJob *job, const char *path)
{
  g_autoptr (RagifyIncoming) incoming = NULL;
  g_autofree char *whole = g_strdup_printf ("%s/%s", job->name, path);
  incoming = ragify_incoming_new (whole, NULL, 0, "", "");
  return g_steal_pointer (&incoming->id);
}

/* ---- reading ---- */

typedef enum Reading { WHOLE, CHANGED, FAILED, TOO_LARGE } Reading;

/* All of the descriptor; it grows no further than `limit`. */
static Reading
read_bytes (int fd, guint64 limit, GString *bytes)
{
  for (;;) {
    char piece[65536];
    const gssize got = read (fd, piece, sizeof piece);
    if (got < 0 && errno == EINTR)
      continue;
    if (got < 0)
      return FAILED;
    if (got == 0)
      return WHOLE;
    if (bytes->len + (gsize)got > limit)
      return TOO_LARGE;
    g_string_append_len (bytes, piece, got);
  }
}

static Reading
read_once (const RagifyIngestJob *job, int fd, FilesEntry *entry, GString *bytes)
{
  struct stat before, after;
  const guint64 limit = MIN (job->max_file_size > 0 ? job->max_file_size : LARGEST, LARGEST);
  g_string_truncate (bytes, 0);
  if (lseek (fd, 0, SEEK_SET) != 0 || fstat (fd, &before) != 0)
    return FAILED;
  const Reading reading = read_bytes (fd, limit, bytes);
  if (reading != WHOLE)
    return reading;
  if (fstat (fd, &after) != 0)
    return FAILED;
  if (files_modified_at (&before) != files_modified_at (&after) || (guint64)after.st_size != bytes->len)
    return CHANGED;
  entry->modified = files_modified_at (&after);
  entry->size = bytes->len;
  return WHOLE;
}

static RagifyJobOutcome
read_whole (const RagifyIngestJob *job, FilesEntry *entry, GString *bytes, char **reason)
{
  const int fd = files_tree_open (&job->tree, entry->path);
  const int code = errno;
  if (fd < 0 && (code == ENOENT || code == EINVAL || code == ELOOP || code == ENOTDIR))
    return RAGIFY_JOB_GONE;
  Reading reading = fd >= 0 ? CHANGED : FAILED;
  for (guint i = 0; i < ATTEMPTS && reading == CHANGED; i++)
    reading = read_once (job, fd, entry, bytes);
  const int failure = fd >= 0 ? errno : code;
  if (fd >= 0)
    close (fd);
  if (reading == WHOLE)
    return RAGIFY_JOB_READ;
  if (reading == TOO_LARGE)
    *reason = g_strdup_printf ("is larger than %d bytes", LARGEST);
  else
    *reason = reading == CHANGED ? g_strdup ("changed while it was read, again and again")
                                 : g_strdup_printf ("cannot be read: %s", g_strerror (failure));
  return reading == TOO_LARGE ? RAGIFY_JOB_UNFIT : RAGIFY_JOB_UNREADABLE;
}

/* ---- as a document ---- */

static gboolean
is_called (const char *path, const char *const *endings)
{
  const char *dot = strrchr (path, '.');
  for (; dot != NULL && *endings != NULL; endings++)
    if (g_ascii_strcasecmp (dot + 1, *endings) == 0)
      return TRUE;
  return FALSE;
}

/* What is text, and not for people. */
static const char *
find_foreign_type (const char *path, const char *text)
{
  static const char *const html[] = { "html", "htm", "xhtml", NULL };
  static const char *const rtf[] = { "rtf", NULL };
  static const char *const postscript[] = { "ps", "eps", NULL };
  while (g_ascii_isspace (*text))
    text++;
  if (is_called (path, html) || g_ascii_strncasecmp (text, "<!doctype html", 14) == 0 ||
      g_ascii_strncasecmp (text, "<html", 5) == 0)
    return "HTML";
  if (is_called (path, rtf) || strncmp (text, "{\\rtf", 5) == 0)
    return "RTF";
  if (is_called (path, postscript) || strncmp (text, "%!PS", 4) == 0)
    return "PostScript";
  return strncmp (text, "%PDF-", 5) == 0 ? "PDF" : NULL;
}

static json_t *
metadata_of (const RagifyIngestJob *job, const FilesEntry *entry, const char *encoding)
{
  return json_pack ("{s:s, s:s, s:I, s:s*}", "ingest", job->name, "path", entry->path, "size", (json_int_t)entry->size,
                    "encoding", encoding);
}

/* Takes `text`, `title` (or NULL: the file's name) and `sections` (or NULL). */
static RagifyIncoming *
document_of (const RagifyIngestJob *job, const FilesEntry *entry, char *text, gsize size, char *title, GArray *sections,
             const json_t *metadata)
{
  g_autofree char *id = g_strdup_printf ("%s/%s", job->name, entry->path);
  g_autofree char *place = g_build_filename (job->tree.root, entry->path, NULL);
  g_autofree char *uri = g_filename_to_uri (place, NULL, NULL);
  g_autofree char *name = g_path_get_basename (entry->path);
  const gboolean titled = title != NULL && strlen (title) <= LONGEST_TITLE;
  RagifyIncoming *incoming = ragify_incoming_new (id, text, size, titled ? title : name, uri != NULL ? uri : "");
  char *dumped = json_dumps (metadata, JSON_COMPACT | JSON_SORT_KEYS);
  g_free (incoming->metadata);
  incoming->metadata = g_strdup (dumped);
  incoming->sections = sections;
  incoming->updated_at = entry->modified;
  incoming->chunk_size = job->chunk_size;
  incoming->chunk_overlap = job->chunk_overlap;
  free (dumped);
  g_free (title);
  return incoming;
}

/* Takes `bytes`. */
static RagifyJobOutcome
read_text (const RagifyIngestJob *job, const FilesEntry *entry, char *bytes, gsize size, RagifyIncoming **incoming,
           char **reason)
{
  static const char *const markdown[] = { "md", "markdown", "mkd", NULL };
  const char *why = NULL;
  char *title = NULL;
  g_autofree char *encoding = NULL;
  char *text = ragify_plain_text (bytes, size, &size, &encoding, &why);
  const char *type = text != NULL ? find_foreign_type (entry->path, text) : NULL;
  if (text == NULL || type != NULL || size == 0) {
    *reason = type != NULL ? g_strdup_printf ("is %s, which no extractor is there for", type)
                           : g_strdup (text != NULL ? "is empty" : why);
    g_free (text);
    return RAGIFY_JOB_UNFIT;
  }
  json_t *metadata = metadata_of (job, entry, encoding);
  GArray *sections = is_called (entry->path, markdown) ? ragify_markdown_sections (text, size, metadata, &title) : NULL;
  *incoming = document_of (job, entry, text, size, title, sections, metadata);
  json_decref (metadata);
  return RAGIFY_JOB_READ;
}

/* An extractor that crashed is started anew; it is given a while, and the file another time. */
static gint32
extract_at_last (const RagifyExtractor *extractor, const char *path, const GString *bytes, const json_t *metadata,
                 RagifyExtraction *extraction, char **reason)
{
  gint32 code = RAGIFY_E_UNAVAILABLE;
  for (guint i = 0; i < ATTEMPTS && code == RAGIFY_E_UNAVAILABLE; i++) {
    if (i > 0)
      g_usleep (RECOVERY_US);
    g_clear_pointer (reason, g_free);
    code =
        ragify_extract (extractor, path, g_memdup2 (bytes->str, bytes->len), bytes->len, metadata, extraction, reason);
  }
  return code;
}

static RagifyJobOutcome
read_extracted (const RagifyIngestJob *job, const FilesEntry *entry, const RagifyExtractor *extractor,
                const GString *bytes, RagifyIncoming **incoming, char **reason)
{
  RagifyExtraction extraction = { 0 };
  json_t *metadata = metadata_of (job, entry, NULL);
  const gint32 code = extract_at_last (extractor, entry->path, bytes, metadata, &extraction, reason);
  if (code == RAGIFY_OK)
    *incoming =
        document_of (job, entry, extraction.text, extraction.size, extraction.title, extraction.sections, metadata);
  json_decref (metadata);
  if (code == RAGIFY_OK)
    return RAGIFY_JOB_READ;
  return code == RAGIFY_E_UNAVAILABLE ? RAGIFY_JOB_UNREADABLE : RAGIFY_JOB_UNFIT;
}

RagifyJobOutcome
ragify_job_read_file (const RagifyIngestJob *job, FilesEntry *entry, RagifyIncoming **incoming, char **reason)
{
  g_autoptr (GString) bytes = g_string_new (NULL);
  const RagifyJobOutcome outcome = read_whole (job, entry, bytes, reason);
  if (outcome != RAGIFY_JOB_READ)
    return outcome;
  const RagifyExtractor *extractor =
      bytes->len > 0 ? ragify_extractor_find (job->extractors, job->n_extractors, entry->path, bytes->str, bytes->len)
                     : NULL;
  if (extractor != NULL)
    return read_extracted (job, entry, extractor, bytes, incoming, reason);
  const gsize size = bytes->len;
  return read_text (job, entry, g_string_free (g_steal_pointer (&bytes), FALSE), size, incoming, reason);
}
