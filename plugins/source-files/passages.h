/* The words of a folder's passages, in an SQLite FTS5 index that lives in memory.
 *
 * SPDX-License-Identifier: MIT
 *
 * One thread at a time.
 */
#pragma once

#include <glib.h>

#include "files-tree.h"

typedef struct FilesPassages FilesPassages;

typedef struct FilesPassage {
  char *path, *content;
  guint64 ordinal, begin, end;
  gint64 modified;
  double score; /* BM25, larger is better */
} FilesPassage;

FilesPassages *files_passages_new (GError **error);
void files_passages_free (FilesPassages *passages);

typedef struct FilesLeftOut {
  guint files[N_FILES_REASONS];
} FilesLeftOut;

/* Brings the index in step with the tree: what is new or changed is read, what is gone goes. Returns how many files
 * changed; −1 on an error. */
gint files_passages_update (FilesPassages *passages, const FilesTree *tree, FilesLeftOut *left_out, GError **error);

/* Passages, and files whose state is known. */
guint64 files_passages_count (const FilesPassages *passages);
guint files_passages_files (const FilesPassages *passages);

/* The best passages for a person's words: FilesPassage, best first; NULL on an error. */
GPtrArray *files_passages_search (FilesPassages *passages, const char *text, gsize size, guint limit, GError **error);
