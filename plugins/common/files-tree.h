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
#include <sys/stat.h>

#include "files-pattern.h"
#include "files-watch.h"

/* Why files were left out. */
typedef enum FilesReason {
  FILES_TOO_LARGE,
  FILES_TOO_MANY,   /* files, or bytes in all */
  FILES_UNREADABLE, /* files and folders */
  FILES_NO_TEXT,    /* holds a NUL, or is no UTF-8; so are names */
  FILES_UNSTEADY,   /* changed while it was read, again and again */
  FILES_TOO_DEEP,   /* folders, in too many others */
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
  /* Told of each file and folder that is left out, by its path from the root; NULL: nobody is. */
  void (*left_out) (void *user, const char *path, FilesReason reason);
  void *user;
} FilesTree;

typedef struct FilesEntry {
  char *path;      /* from the root */
  gint64 modified; /* µs since 1970 */
  guint64 size;
} FilesEntry;

/* All files, by path. `left_out` is added to. NULL when the root cannot be read. */
GPtrArray *files_tree_list (const FilesTree *tree, guint left_out[N_FILES_REASONS], GError **error);

/* Opens a regular file below the root for reading; −1 with errno, EINVAL where it is something else. */
int files_tree_open (const FilesTree *tree, const char *path);
/* When the file was changed last, µs since 1970. */
gint64 files_modified_at (const struct stat *info);
/* Whether the root holds nothing at all, as the place of a file system that is not mounted does. */
gboolean files_tree_is_empty (const FilesTree *tree);

/* The text of one file as valid UTF-8, with the entry's time and size brought up to date; NULL, and `*why`, where there
 * is none to be had. Free with g_free. */
char *files_tree_read (const FilesTree *tree, FilesEntry *entry, gsize *size, FilesReason *why);

void files_entry_free (gpointer entry);
