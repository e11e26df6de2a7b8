/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "core/ingest/job-private.h"
#include "core/ingest/markdown.h"
#include "core/ingest/plain-text.h"

#define LARGEST (64 * 1024 * 1024) /* bytes of a file that is taken whole */
#define ATTEMPTS 3u                /* at a file that changes while it is read */

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

static void
describe (const RagifyIngestJob *job, const FilesEntry *entry, const char *encoding, RagifyIncoming *incoming)
{
  static const char *const markdown[] = { "md", "markdown", "mkd", NULL };
  json_t *metadata = json_pack ("{s:s, s:s, s:I, s:s*}", "ingest", job->name, "path", entry->path, "size",
                                (json_int_t)entry->size, "encoding", encoding);
  char *text = json_dumps (metadata, JSON_COMPACT | JSON_SORT_KEYS);
  g_free (incoming->metadata);
  incoming->metadata = g_strdup (text);
  free (text);
  if (is_called (entry->path, markdown)) {
    g_autofree char *title = NULL;
    incoming->sections = ragify_markdown_sections (incoming->content, incoming->content_size, metadata, &title);
    if (title != NULL && strlen (title) <= 1024) {
      g_free (incoming->title);
      incoming->title = g_steal_pointer (&title);
    }
  }
  json_decref (metadata);
}

RagifyJobOutcome
ragify_job_read_file (const RagifyIngestJob *job, FilesEntry *entry, RagifyIncoming **incoming, char **reason)
{
  g_autoptr (GString) bytes = g_string_new (NULL);
  const RagifyJobOutcome outcome = read_whole (job, entry, bytes, reason);
  if (outcome != RAGIFY_JOB_READ)
    return outcome;
  gsize size = bytes->len;
  const char *why = NULL;
  g_autofree char *encoding = NULL;
  g_autofree char *text =
      ragify_plain_text (g_string_free (g_steal_pointer (&bytes), FALSE), size, &size, &encoding, &why);
  const char *type = text != NULL ? find_foreign_type (entry->path, text) : NULL;
  if (text == NULL || type != NULL || size == 0) {
    *reason = type != NULL ? g_strdup_printf ("is %s, which no extractor is there for", type)
                           : g_strdup (text != NULL ? "is empty" : why);
    return RAGIFY_JOB_UNFIT;
  }
  g_autofree char *id = g_strdup_printf ("%s/%s", job->name, entry->path);
  g_autofree char *place = g_build_filename (job->tree.root, entry->path, NULL);
  g_autofree char *uri = g_filename_to_uri (place, NULL, NULL);
  g_autofree char *name = g_path_get_basename (entry->path);
  *incoming = ragify_incoming_new (id, g_steal_pointer (&text), size, name, uri != NULL ? uri : "");
  (*incoming)->updated_at = entry->modified;
  (*incoming)->chunk_size = job->chunk_size;
  (*incoming)->chunk_overlap = job->chunk_overlap;
  describe (job, entry, encoding, *incoming);
  return RAGIFY_JOB_READ;
}
