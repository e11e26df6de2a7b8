/* What a folder holds that can be ingested as text, found and read without ever leaving the folder.
 *
 * Symbolic links inside the folder are not followed, neither to files nor to folders (so nothing is read twice, and a
 * link cannot lead out of it, not even one put there between finding and reading); hidden names (a leading dot) are
 * passed over.
 */
#pragma once

#include <gio/gio.h>

/* Why a name was passed over. */
typedef enum {
  RAGIFY_SKIP_HIDDEN,  /* its name starts with a dot */
  RAGIFY_SKIP_LINK,    /* a symbolic link */
  RAGIFY_SKIP_SPECIAL, /* a socket, pipe or device */
  RAGIFY_SKIP_NAME,    /* its name is not that of a text file, or an exclude pattern matches */
  RAGIFY_SKIP_EMPTY,   /* no text in it */
  RAGIFY_SKIP_BINARY,  /* not UTF-8 text, or it has control characters that text has not */
  RAGIFY_SKIP_REASONS,
} RagifySkipReason;

/* A plural phrase for a count of such, such as "hidden" or "not UTF-8 text". [any] */
const char *ragify_skip_reason_describe (RagifySkipReason reason);

typedef struct {
  char *path; /* relative to the folder, '/' between parts */
  guint64 size;
  gint64 mtime; /* seconds since the epoch */
} RagifyTextFile;

typedef struct {
  GPtrArray *files;    /* of RagifyTextFile, sorted by path within each folder */
  GPtrArray *failures; /* of strings "PATH: why" for folders that could not be read */
  guint64 bytes;       /* of all files */
  guint64 skipped[RAGIFY_SKIP_REASONS];
} RagifyTextFolder;

/* Walks the folder. include and exclude are NULL-terminated lists of glob patterns (or NULL): one without '/' is
 * compared with the file's name, one with '/' with the whole relative path ('*' matches '/' too). Without include the
 * names taken are *.md, *.markdown, *.txt, *.text,
 * *.rst, in any case, and names without an extension. Returns NULL with error set when the folder itself cannot be
 * opened. [any] */
RagifyTextFolder *
ragify_text_folder_walk (const char *folder, const char *const *include, const char *const *exclude, GError **error);
void ragify_text_folder_free (RagifyTextFolder *folder);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (RagifyTextFolder, ragify_text_folder_free)

typedef enum {
  RAGIFY_TEXT_READ,    /* *text is set (owned by the caller), without a byte order mark */
  RAGIFY_TEXT_SKIPPED, /* *reason is set (…_EMPTY, …_BINARY, …_LINK, …_SPECIAL) */
  RAGIFY_TEXT_FAILED,  /* error is set */
} RagifyTextResult;

/* Opens a file found by the walk (every part of path is opened without following links), or any path when folder is
 * NULL. size: its bytes, 0 when it is a pipe or the like. [any] */
RagifyTextResult ragify_text_file_open (const char *folder, const char *path, int *fd, guint64 *size,
                                        RagifySkipReason *reason, GError **error);

/* Reads and closes it. [any] */
RagifyTextResult ragify_text_file_take (int fd, char **text, RagifySkipReason *reason, GError **error);

/* Both in one. [any] */
RagifyTextResult
ragify_text_file_read (const char *folder, const char *path, char **text, RagifySkipReason *reason, GError **error);
