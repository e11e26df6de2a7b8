/* SPDX-License-Identifier: MIT */
#include "tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <gio/gio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEEPEST 64u

typedef struct Walk {
  const FilesTree *tree;
  GPtrArray *entries;
  guint skipped;
} Walk;

static void
entry_free (gpointer data)
{
  FilesEntry *entry = data;
  g_free (entry->path);
  g_free (entry);
}

gboolean
files_pattern_match (const char *pattern, const char *path)
{
  const char *stars = strstr (pattern, "**/");
  if (stars == NULL || (stars != pattern && stars[-1] != '/'))
    return fnmatch (pattern, path, FNM_PATHNAME | FNM_PERIOD) == 0;
  /* The part before '**' must match folder by folder, the part behind it any tail. */
  g_autofree char *before = g_strndup (pattern, (gsize)(stars - pattern));
  const char *rest = path;
  for (const char *p = before; *p != '\0'; p++) {
    if (*p != '/')
      continue;
    const char *slash = strchr (rest, '/');
    if (slash == NULL)
      return FALSE;
    rest = slash + 1;
  }
  g_autofree char *head = g_strndup (path, (gsize)(rest - path));
  if (*before != '\0' && fnmatch (before, head, FNM_PATHNAME | FNM_PERIOD) != 0)
    return FALSE;
  for (;; rest++) {
    if (files_pattern_match (stars + 3, rest))
      return TRUE;
    rest = strchr (rest, '/');
    if (rest == NULL)
      return FALSE;
  }
}

static gboolean
matches_any (char **patterns, const char *path)
{
  for (char **pattern = patterns; pattern != NULL && *pattern != NULL; pattern++)
    if (files_pattern_match (*pattern, path))
      return TRUE;
  return FALSE;
}

static gboolean
is_selected (const FilesTree *tree, const char *path)
{
  const gboolean included = tree->include == NULL || tree->include[0] == NULL || matches_any (tree->include, path);
  return included && !matches_any (tree->exclude, path);
}

static void
take_file (Walk *walk, const char *path, const struct stat *info)
{
  if (!is_selected (walk->tree, path))
    return;
  if ((guint64)info->st_size > walk->tree->max_file_size || walk->entries->len >= walk->tree->max_files) {
    walk->skipped++;
    return;
  }
  FilesEntry *entry = g_new0 (FilesEntry, 1);
  entry->path = g_strdup (path);
  entry->size = (guint64)info->st_size;
  entry->modified = (gint64)info->st_mtim.tv_sec * 1000000 + info->st_mtim.tv_nsec / 1000;
  g_ptr_array_add (walk->entries, entry);
}

/* Takes over `fd`. */
static void
walk_folder (Walk *walk, int fd, const char *prefix, guint depth)
{
  DIR *folder = fdopendir (fd);
  if (folder == NULL) {
    close (fd);
    return;
  }
  for (const struct dirent *item = readdir (folder); item != NULL; item = readdir (folder)) {
    struct stat info;
    if (item->d_name[0] == '.' || !g_utf8_validate (item->d_name, -1, NULL) ||
        fstatat (fd, item->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0)
      continue;
    g_autofree char *path = g_strconcat (prefix, item->d_name, NULL);
    if (S_ISREG (info.st_mode)) {
      take_file (walk, path, &info);
    } else if (S_ISDIR (info.st_mode) && depth < DEEPEST) {
      const int child = openat (fd, item->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
      g_autofree char *child_prefix = g_strconcat (path, "/", NULL);
      if (child >= 0)
        walk_folder (walk, child, child_prefix, depth + 1);
    }
  }
  closedir (folder);
}

static int
compare_paths (gconstpointer a, gconstpointer b)
{
  return strcmp ((*(const FilesEntry *const *)a)->path, (*(const FilesEntry *const *)b)->path);
}

GPtrArray *
files_tree_list (const FilesTree *tree, guint *skipped, GError **error)
{
  const int fd = open (tree->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) {
    g_set_error (error, G_IO_ERROR, g_io_error_from_errno (errno), "%s: %s", tree->root, g_strerror (errno));
    return NULL;
  }
  Walk walk = { .tree = tree, .entries = g_ptr_array_new_with_free_func (entry_free) };
  walk_folder (&walk, fd, "", 0);
  g_ptr_array_sort (walk.entries, compare_paths);
  *skipped = walk.skipped;
  return walk.entries;
}

/* Opens a path from the root without following a link anywhere on the way. */
static int
open_below (const char *root, const char *path)
{
  int fd = open (root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  g_auto (GStrv) parts = g_strsplit (path, "/", -1);
  for (char **part = parts; fd >= 0 && *part != NULL; part++) {
    const gboolean last = part[1] == NULL;
    const int next = openat (fd, *part, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | (last ? O_NONBLOCK : O_DIRECTORY));
    close (fd);
    fd = next;
  }
  return fd;
}

/* Reads at most `limit` bytes; FALSE on an error. */
static gboolean
read_all (int fd, GString *text, guint64 limit)
{
  char piece[65536];
  for (;;) {
    const gssize got = read (fd, piece, sizeof piece);
    if (got < 0 && errno == EINTR)
      continue;
    if (got <= 0)
      return got == 0;
    if (text->len + (gsize)got > limit)
      return FALSE; /* it grew while it was read: next time */
    g_string_append_len (text, piece, got);
  }
}

char *
files_tree_read (const FilesTree *tree, const FilesEntry *entry, gsize *size)
{
  const int fd = open_below (tree->root, entry->path);
  if (fd < 0)
    return NULL;
  struct stat info;
  g_autoptr (GString) text = g_string_new (NULL);
  const gboolean whole = fstat (fd, &info) == 0 && S_ISREG (info.st_mode) && read_all (fd, text, tree->max_file_size);
  close (fd);
  if (!whole || memchr (text->str, '\0', text->len) != NULL || !g_utf8_validate_len (text->str, text->len, NULL))
    return NULL;
  *size = text->len;
  return g_string_free (g_steal_pointer (&text), FALSE);
}
