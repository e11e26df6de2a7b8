/* SPDX-License-Identifier: MIT */
#include "files-tree.h"

#include "files-beneath.h"
#include "files-ignore.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEEPEST 64u
#define MOST_IGNORE_BYTES 262144u

typedef struct Walk {
  const FilesTree *tree;
  int root;
  GPtrArray *entries;
  guint *left_out;
  FilesIgnore *ignore;
  GPtrArray *names; /* of the place where it is, ended by NULL */
  GHashTable *seen; /* "device:inode" of what was taken; only where links are followed */
  GPtrArray *links; /* paths of links, looked at when all else is known */
  guint64 size;
} Walk;

void
files_entry_free (gpointer data)
{
  FilesEntry *entry = data;
  g_free (entry->path);
  g_free (entry);
}

static const char *const *
place (const Walk *walk)
{
  return (const char *const *)walk->names->pdata;
}

static void
enter (Walk *walk, const char *name)
{
  g_ptr_array_insert (walk->names, (gint)walk->names->len - 1, g_strdup (name));
}

static void
leave (Walk *walk)
{
  g_ptr_array_remove_index (walk->names, walk->names->len - 2);
}

static gboolean
matches_any (const GPtrArray *patterns, const char *const *path)
{
  for (guint i = 0; i < patterns->len; i++)
    if (files_pattern_match (g_ptr_array_index (patterns, i), path))
      return TRUE;
  return FALSE;
}

static gboolean
is_selected (const Walk *walk)
{
  const FilesTree *tree = walk->tree;
  const gboolean included = tree->include->len == 0 || matches_any (tree->include, place (walk));
  return included && !matches_any (tree->exclude, place (walk));
}

gint64
files_modified_at (const struct stat *info)
{
  return (gint64)info->st_mtim.tv_sec * 1000000 + info->st_mtim.tv_nsec / 1000;
}

/* The place where the walk is. */
static void
leave_out (Walk *walk, FilesReason reason)
{
  walk->left_out[reason]++;
  if (walk->tree->left_out == NULL)
    return;
  g_autofree char *path = g_strjoinv ("/", (char **)walk->names->pdata);
  walk->tree->left_out (walk->tree->user, path, reason);
}

/* FALSE where the same file or folder was taken under another name; always TRUE where no links are followed. */
static gboolean
is_new (Walk *walk, const struct stat *info)
{
  if (!walk->tree->follow)
    return TRUE;
  return g_hash_table_add (walk->seen, g_strdup_printf ("%" G_GUINT64_FORMAT ":%" G_GUINT64_FORMAT,
                                                        (guint64)info->st_dev, (guint64)info->st_ino));
}

static void
take_file (Walk *walk, const struct stat *info)
{
  if (!is_selected (walk) || files_ignore_match (walk->ignore, place (walk), FALSE))
    return;
  const guint64 size = (guint64)info->st_size;
  if (size > walk->tree->max_file_size) {
    leave_out (walk, FILES_TOO_LARGE);
    return;
  }
  if (walk->entries->len >= walk->tree->max_files || walk->size + size > walk->tree->max_size) {
    leave_out (walk, FILES_TOO_MANY);
    return;
  }
  walk->size += size;
  FilesEntry *entry = g_new0 (FilesEntry, 1);
  entry->path = g_strjoinv ("/", (char **)walk->names->pdata);
  entry->size = size;
  entry->modified = files_modified_at (info);
  g_ptr_array_add (walk->entries, entry);
}

/* Reads at most `limit` bytes; FALSE on an error, and where there are more. */
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
      return FALSE;
    g_string_append_len (text, piece, got);
  }
}

static void
read_ignore_files (Walk *walk, int folder)
{
  for (char **name = walk->tree->ignore_files; *name != NULL; name++) {
    const int fd = openat (folder, *name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    struct stat info;
    g_autoptr (GString) text = g_string_new (NULL);
    if (fd >= 0 && fstat (fd, &info) == 0 && S_ISREG (info.st_mode) && read_all (fd, text, MOST_IGNORE_BYTES))
      files_ignore_add (walk->ignore, text->str, walk->names->len - 1);
    if (fd >= 0)
      close (fd);
  }
}

static void walk_folder (Walk *walk, int fd);

/* Of a name in the folder `fd`, which is entered. */
static void
take_name (Walk *walk, int fd, const char *name)
{
  struct stat info;
  if (fstatat (fd, name, &info, AT_SYMLINK_NOFOLLOW) != 0) {
    if (errno != ENOENT) /* otherwise it is gone */
      leave_out (walk, FILES_UNREADABLE);
    return;
  }
  if (S_ISREG (info.st_mode)) {
    if (is_new (walk, &info))
      take_file (walk, &info);
  } else if (S_ISDIR (info.st_mode)) {
    if (files_ignore_match (walk->ignore, place (walk), TRUE))
      return;
    if (walk->names->len > DEEPEST) {
      leave_out (walk, FILES_TOO_DEEP);
      return;
    }
    const int child = openat (fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (child >= 0)
      walk_folder (walk, child);
    else if (errno != ENOENT)
      leave_out (walk, FILES_UNREADABLE);
  } else if (S_ISLNK (info.st_mode) && walk->tree->follow) {
    g_ptr_array_add (walk->links, g_strjoinv ("/", (char **)walk->names->pdata));
  }
}

/* Takes over `fd`; −1: it could not be opened. */
static void
walk_folder (Walk *walk, int fd)
{
  struct stat info;
  const gboolean there = fd >= 0 && fstat (fd, &info) == 0;
  const gboolean new = there &&is_new (walk, &info);
  DIR *folder = new ? fdopendir (fd) : NULL;
  if (folder == NULL) {
    if (!there || new)
      leave_out (walk, FILES_UNREADABLE);
    if (fd >= 0)
      close (fd);
    return;
  }
  const guint rules = files_ignore_count (walk->ignore);
  if (walk->tree->watch != NULL)
    files_watch_add (walk->tree->watch, fd); /* before it is listed: what comes later is an event */
  read_ignore_files (walk, fd);
  errno = 0;
  for (const struct dirent *item = readdir (folder); item != NULL; errno = 0, item = readdir (folder)) {
    if (item->d_name[0] == '.')
      continue;
    if (!g_utf8_validate (item->d_name, -1, NULL)) {
      g_autofree char *name = g_utf8_make_valid (item->d_name, -1);
      enter (walk, name);
      leave_out (walk, FILES_NO_TEXT);
      leave (walk);
      continue;
    }
    enter (walk, item->d_name);
    take_name (walk, fd, item->d_name);
    leave (walk);
  }
  if (errno != 0) /* the list is not whole */
    leave_out (walk, FILES_UNREADABLE);
  files_ignore_cut (walk->ignore, rules);
  closedir (folder);
}

/* What the links lead to, unless it was found without them. Links that are found on the way are looked at as well. The
 * ignore files above a link are not its target's, so only the root's count there. */
static void
walk_links (Walk *walk)
{
  for (guint i = 0; i < walk->links->len && i < walk->tree->max_files; i++) {
    g_auto (GStrv) names = g_strsplit (g_ptr_array_index (walk->links, i), "/", -1);
    for (char **name = names; *name != NULL; name++)
      enter (walk, *name);
    struct stat info;
    const int fd = files_open_beneath (walk->root, g_ptr_array_index (walk->links, i), TRUE);
    if (fd >= 0 && fstat (fd, &info) == 0 && S_ISDIR (info.st_mode) && walk->names->len <= DEEPEST) {
      walk_folder (walk, fd);
    } else if (fd >= 0) {
      if (S_ISREG (info.st_mode) && is_new (walk, &info))
        take_file (walk, &info);
      close (fd);
    }
    for (char **name = names; *name != NULL; name++)
      leave (walk);
  }
}

static int
compare_paths (gconstpointer a, gconstpointer b)
{
  return strcmp ((*(const FilesEntry *const *)a)->path, (*(const FilesEntry *const *)b)->path);
}

GPtrArray *
files_tree_list (const FilesTree *tree, guint left_out[N_FILES_REASONS], GError **error)
{
  const int root = open (tree->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (root < 0) {
    g_set_error (error, G_IO_ERROR, g_io_error_from_errno (errno), "%s: %s", tree->root, g_strerror (errno));
    return NULL;
  }
  Walk walk = { .tree = tree,
                .root = root,
                .left_out = left_out,
                .ignore = files_ignore_new (),
                .entries = g_ptr_array_new_with_free_func (files_entry_free),
                .names = g_ptr_array_new_with_free_func (g_free),
                .links = g_ptr_array_new_with_free_func (g_free),
                .seen = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL) };
  g_ptr_array_add (walk.names, NULL);
  walk_folder (&walk, fcntl (root, F_DUPFD_CLOEXEC, 0));
  walk_links (&walk);
  g_ptr_array_sort (walk.entries, compare_paths);
  files_ignore_free (walk.ignore);
  g_ptr_array_unref (walk.names);
  g_ptr_array_unref (walk.links);
  g_hash_table_unref (walk.seen);
  close (root);
  return walk.entries;
}

gboolean
files_tree_is_empty (const FilesTree *tree)
{
  g_autoptr (GDir) folder = g_dir_open (tree->root, 0, NULL);
  return folder != NULL && g_dir_read_name (folder) == NULL;
}

/* ---- reading ---- */

int
files_tree_open (const FilesTree *tree, const char *path)
{
  const int root = open (tree->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (root < 0)
    return -1;
  struct stat info;
  int fd = files_open_beneath (root, path, tree->follow);
  int code = errno;
  if (fd >= 0 && (fstat (fd, &info) != 0 || !S_ISREG (info.st_mode))) {
    close (fd);
    fd = -1;
    code = EINVAL;
  }
  close (root);
  errno = code;
  return fd;
}

typedef enum Outcome { WHOLE, CHANGED, REFUSED } Outcome;

static Outcome
read_once (const FilesTree *tree, int root, FilesEntry *entry, GString *text, FilesReason *why)
{
  *why = FILES_UNREADABLE;
  const int fd = files_open_beneath (root, entry->path, tree->follow);
  struct stat before;
  struct stat after;
  gboolean whole = fd >= 0 && fstat (fd, &before) == 0 && S_ISREG (before.st_mode);
  if (whole) {
    g_string_truncate (text, 0);
    whole = read_all (fd, text, tree->max_file_size) && fstat (fd, &after) == 0;
  }
  if (fd >= 0)
    close (fd);
  if (!whole) {
    if (text->len > 0)
      *why = FILES_TOO_LARGE; /* it grew while it was read */
    return REFUSED;
  }
  if (files_modified_at (&before) != files_modified_at (&after) || (guint64)after.st_size != text->len)
    return CHANGED;
  entry->modified = files_modified_at (&after);
  entry->size = text->len;
  return WHOLE;
}

char *
files_tree_read (const FilesTree *tree, FilesEntry *entry, gsize *size, FilesReason *why)
{
  const int root = open (tree->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  g_autoptr (GString) text = g_string_new (NULL);
  Outcome outcome = CHANGED;
  for (guint i = 0; i < 3 && outcome == CHANGED; i++)
    outcome = read_once (tree, root, entry, text, why);
  if (root >= 0)
    close (root);
  if (outcome == CHANGED)
    *why = FILES_UNSTEADY;
  if (outcome != WHOLE)
    return NULL;
  if (memchr (text->str, '\0', text->len) != NULL || !g_utf8_validate_len (text->str, text->len, NULL)) {
    *why = FILES_NO_TEXT;
    return NULL;
  }
  *size = text->len;
  return g_string_free (g_steal_pointer (&text), FALSE);
}
