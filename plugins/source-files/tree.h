/* The files below a folder, as the patterns select them.
 *
 * SPDX-License-Identifier: MIT
 *
 * Patterns are those of fnmatch(3) over the path from the root, with '**' for any number of folders. Hidden files and
 * folders are left out, symbolic links are not followed, and only regular files are opened: nothing outside the root is
 * ever read.
 */
#pragma once

#include <glib.h>

typedef struct FilesTree {
  char *root;
  char **include, **exclude; /* ended by NULL; an empty `include` takes all */
  guint64 max_file_size;     /* bytes; larger files are left out */
  guint max_files;
} FilesTree;

typedef struct FilesEntry {
  char *path;      /* from the root */
  gint64 modified; /* µs since 1970 */
  guint64 size;
} FilesEntry;

/* All files, by path. `*skipped` counts those that were too large or too many. NULL when the root cannot be read. */
GPtrArray *files_tree_list (const FilesTree *tree, guint *skipped, GError **error);

/* The text of one file as valid UTF-8, or NULL when it is not text (it holds a NUL, or is no UTF-8) or cannot be read.
 * Free with g_free. */
char *files_tree_read (const FilesTree *tree, const FilesEntry *entry, gsize *size);

/* TRUE when `path` matches `pattern`. */
gboolean files_pattern_match (const char *pattern, const char *path);
