/* The files below a folder, as patterns and ignore files select them.
 *
 * SPDX-License-Identifier: MIT
 *
 * Hidden files and folders are left out, and only regular files are opened. Nothing outside the root is ever read:
 * paths are resolved by openat2(2) below the root's descriptor, without symbolic links, or (`follow`) with those that
 * stay inside. Where the kernel has no openat2, no link is followed.
 */
#pragma once

#include <glib.h>

#include "pattern.h"
#include "watch.h"

/* Why files were left out. */
typedef enum FilesReason {
  FILES_TOO_LARGE,
  FILES_TOO_MANY,   /* files, or bytes in all */
  FILES_UNREADABLE, /* files and folders */
  FILES_NO_TEXT,    /* holds a NUL, or is no UTF-8; so are names */
  FILES_UNSTEADY,   /* changed while it was read, again and again */
  N_FILES_REASONS
} FilesReason;

typedef struct FilesTree {
  char *root;
  GPtrArray *include, *exclude; /* of FilesPattern; an empty `include` takes all */
  char **ignore_files;          /* names; ended by NULL */
  gboolean follow;              /* links that stay inside */
  guint64 max_file_size;        /* bytes; larger files are left out */
  guint64 max_size;             /* of all files */
  guint max_files;
  FilesWatch *watch; /* gets every folder; NULL: none */
} FilesTree;

typedef struct FilesEntry {
  char *path;      /* from the root */
  gint64 modified; /* µs since 1970 */
  guint64 size;
} FilesEntry;

/* All files, by path. `left_out` is added to. NULL when the root cannot be read. */
GPtrArray *files_tree_list (const FilesTree *tree, guint left_out[N_FILES_REASONS], GError **error);

/* The text of one file as valid UTF-8, with the entry's time and size brought up to date; NULL, and `*why`, where there
 * is none to be had. Free with g_free. */
char *files_tree_read (const FilesTree *tree, FilesEntry *entry, gsize *size, FilesReason *why);

void files_entry_free (gpointer entry);
