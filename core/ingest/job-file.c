/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "core/ingest/job-private.h"
#include "core/ingest/markdown.h"
#include "core/ingest/plain-text.h"

#define LARGEST_WHOLE (4 * 1024 * 1024) /* bytes of a file that is not read as a stream, … */
#define LARGEST_MARKDOWN (64 * 1024 * 1024)
#define ATTEMPTS 3u /* at a file that changes while it is read */
#define HEAD 4096   /* bytes by which a file is known */
#define LONGEST_TITLE 1024
#define FOREIGN "is %s, which no extractor is there for"

static const char *const markdown[] = { "md", "markdown", "mkd", NULL };

char *
ragify_job_document_id (const RagifyIngestJob *job, const char *path)
{
  g_autoptr (RagifyIncoming) incoming = NULL;
  g_autofree char *whole = g_strdup_printf ("%s/%s", job->name, path);
  incoming = ragify_incoming_new (whole, NULL, 0, "", "");
  return g_steal_pointer (&incoming->id);
}

/* ---- reading ---- */

/* All of the descriptor, that is `size` bytes as it seems. */
static RagifyJobOutcome
read_bytes (int fd, gsize size, GString *bytes, char **reason)
{
  g_string_truncate (bytes, 0);
  while (bytes->len <= size) { /* one more than it had: it has grown */
    char piece[65536];
    const gssize got = pread (fd, piece, sizeof piece, (off_t)bytes->len);
    if (got < 0 && errno == EINTR)
      continue;
    if (got < 0) {
      *reason = g_strdup_printf ("cannot be read: %s", g_strerror (errno));
      return RAGIFY_JOB_UNREADABLE;
    }
    if (got == 0)
      break;
    g_string_append_len (bytes, piece, got);
  }
  return bytes->len == size ? RAGIFY_JOB_READ : RAGIFY_JOB_CHANGED;
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

json_t *
ragify_job_file_metadata (const RagifyIngestJob *job, const FilesEntry *entry, const char *encoding)
{
  return json_pack ("{s:s, s:s, s:I, s:s*}", "ingest", job->name, "path", entry->path, "size", (json_int_t)entry->size,
                    "encoding", encoding);
}

RagifyIncoming *
ragify_job_describe_file (const RagifyIngestJob *job, const FilesEntry *entry, char *title, const json_t *metadata)
{
  g_autofree char *id = g_strdup_printf ("%s/%s", job->name, entry->path);
  g_autofree char *place = g_build_filename (job->tree.root, entry->path, NULL);
  g_autofree char *uri = g_filename_to_uri (place, NULL, NULL);
  g_autofree char *name = g_path_get_basename (entry->path);
  const gboolean titled = title != NULL && strlen (title) <= LONGEST_TITLE;
  RagifyIncoming *incoming = ragify_incoming_new (id, NULL, 0, titled ? title : name, uri != NULL ? uri : "");
  char *dumped = json_dumps (metadata, JSON_COMPACT | JSON_SORT_KEYS);
  g_free (incoming->metadata);
  incoming->metadata = g_strdup (dumped);
  incoming->updated_at = entry->modified;
  incoming->chunk_size = job->chunk_size;
  incoming->chunk_overlap = job->chunk_overlap;
  incoming->chunk_tokens = job->chunk_tokens;
  free (dumped);
  g_free (title);
  return incoming;
}

/* Takes `text`, `title` (or NULL: the file's name) and `sections` (or NULL). */
static RagifyIncoming *
document_of (const RagifyIngestJob *job, const FilesEntry *entry, char *text, gsize size, char *title, GArray *sections,
             const json_t *metadata)
{
  RagifyIncoming *incoming = ragify_job_describe_file (job, entry, title, metadata);
  incoming->content = text;
  incoming->content_size = size;
  incoming->sections = sections;
  return incoming;
}

/* Takes `bytes`. */
static RagifyJobOutcome
read_text (const RagifyIngestJob *job, const FilesEntry *entry, char *bytes, gsize size, RagifyIncoming **incoming,
           char **reason)
{
  const char *why = NULL;
  char *title = NULL;
  g_autofree char *encoding = NULL;
  char *text = ragify_plain_text (bytes, size, &size, &encoding, &why);
  const char *type = text != NULL ? find_foreign_type (entry->path, text) : NULL;
  if (text == NULL || type != NULL || size == 0) {
    *reason = type != NULL ? g_strdup_printf (FOREIGN, type) : g_strdup (text != NULL ? "is empty" : why);
    g_free (text);
    return RAGIFY_JOB_UNFIT;
  }
  json_t *metadata = ragify_job_file_metadata (job, entry, encoding);
  GArray *sections = is_called (entry->path, markdown) ? ragify_markdown_sections (text, size, metadata, &title) : NULL;
  *incoming = document_of (job, entry, text, size, title, sections, metadata);
  json_decref (metadata);
  return RAGIFY_JOB_READ;
}

/* ---- the file ---- */

static gboolean
is_as_before (int fd, const struct stat *before)
{
  struct stat now;
  return fstat (fd, &now) == 0 && now.st_size == before->st_size &&
         files_modified_at (&now) == files_modified_at (before);
}

static RagifyJobOutcome
read_whole (const RagifyIngestJob *job, const FilesEntry *entry, int fd, RagifyIncoming **incoming, char **reason)
{
  g_autoptr (GString) bytes = g_string_sized_new (entry->size + 1);
  const RagifyJobOutcome outcome = read_bytes (fd, entry->size, bytes, reason);
  if (outcome != RAGIFY_JOB_READ)
    return outcome;
  const gsize size = bytes->len;
  return read_text (job, entry, g_string_free (g_steal_pointer (&bytes), FALSE), size, incoming, reason);
}

/* As a stream, unless it is Markdown, whose sections are found in the whole. */
static RagifyJobOutcome
read_plain (RagifyIngestJob *job, FilesEntry *entry, int fd, const char *head, RagifyIncoming **incoming, char **reason)
{
  const guint64 whole = is_called (entry->path, markdown) ? LARGEST_MARKDOWN : LARGEST_WHOLE;
  const char *type = entry->size > whole ? find_foreign_type (entry->path, head) : NULL;
  if (entry->size <= whole)
    return read_whole (job, entry, fd, incoming, reason);
  if (type == NULL)
    return ragify_job_stream_text (job, entry, fd, reason);
  *reason = g_strdup_printf (FOREIGN, type);
  return RAGIFY_JOB_UNFIT;
}

/* Its text, or that of the extractor that it is for. What no other takes may be for one that does not run. */
static RagifyJobOutcome
read_by_type (RagifyIngestJob *job, FilesEntry *entry, int fd, const char *head, gsize size, RagifyIncoming **incoming,
              char **reason)
{
  const RagifyExtractor *extractor = NULL;
  if (size == 0)
    return read_plain (job, entry, fd, head, incoming, reason);
  RagifyJobOutcome outcome = ragify_job_find_extractor (job, entry, head, size, &extractor, reason);
  if (outcome != RAGIFY_JOB_READ)
    return outcome;
  if (job->missing != NULL)
    ragify_job_memory_doubt (job->memory);
  outcome = extractor != NULL ? ragify_job_extract (job, entry, extractor, fd, incoming, reason)
                              : read_plain (job, entry, fd, head, incoming, reason);
  if (outcome != RAGIFY_JOB_UNFIT || job->missing == NULL)
    return outcome;
  g_autofree char *why = g_steal_pointer (reason);
  *reason = g_strdup_printf ("%s; extractors that do not run may be for it: %s", why, job->missing);
  return RAGIFY_JOB_UNREADABLE;
}

static RagifyJobOutcome
read_once (RagifyIngestJob *job, FilesEntry *entry, int fd, RagifyIncoming **incoming, char **reason)
{
  struct stat before;
  char head[HEAD + 1];
  const gssize size = fstat (fd, &before) == 0 ? pread (fd, head, HEAD, 0) : -1;
  if (size < 0) {
    *reason = g_strdup_printf ("cannot be read: %s", g_strerror (errno));
    return RAGIFY_JOB_UNREADABLE;
  }
  head[size] = '\0';
  entry->modified = files_modified_at (&before);
  entry->size = (guint64)before.st_size;
  const RagifyJobOutcome outcome = read_by_type (job, entry, fd, head, (gsize)size, incoming, reason);
  const gboolean judged = outcome == RAGIFY_JOB_READ || outcome == RAGIFY_JOB_UNFIT;
  if (!judged || is_as_before (fd, &before))
    return outcome;
  g_clear_pointer (incoming, ragify_incoming_free); /* what is half there may seem to be damaged */
  return RAGIFY_JOB_CHANGED;
}

RagifyJobOutcome
ragify_job_read_file (RagifyIngestJob *job, FilesEntry *entry, RagifyIncoming **incoming, char **reason)
{
  const int fd = files_tree_open (&job->tree, entry->path);
  if (fd < 0 && (errno == ENOENT || errno == EINVAL || errno == ELOOP || errno == ENOTDIR))
    return RAGIFY_JOB_GONE;
  if (fd < 0) {
    *reason = g_strdup_printf ("cannot be read: %s", g_strerror (errno));
    return RAGIFY_JOB_UNREADABLE;
  }
  RagifyJobOutcome outcome = RAGIFY_JOB_CHANGED;
  for (guint i = 0; i < ATTEMPTS && outcome == RAGIFY_JOB_CHANGED; i++) {
    g_clear_pointer (reason, g_free);
    outcome = read_once (job, entry, fd, incoming, reason);
  }
  close (fd);
  if (outcome != RAGIFY_JOB_CHANGED)
    return outcome;
  g_free (*reason);
  *reason = g_strdup ("changed while it was read, again and again");
  return RAGIFY_JOB_UNREADABLE;
}
