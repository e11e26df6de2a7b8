#include "text-file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
  DEPTH_LIMIT = 200, /* folders open at once */
  SIZE_LIMIT = 256 * 1024 * 1024,
};

typedef struct {
  RagifyTextFolder *folder;
  const char *const *include;
  const char *const *exclude;
} Walk;

const char *
ragify_skip_reason_describe (RagifySkipReason reason)
{
  static const char *const words[RAGIFY_SKIP_REASONS] = {
    [RAGIFY_SKIP_HIDDEN] = "hidden",
    [RAGIFY_SKIP_LINK] = "symbolic links",
    [RAGIFY_SKIP_SPECIAL] = "not regular files",
    [RAGIFY_SKIP_NAME] = "not named as text",
    [RAGIFY_SKIP_EMPTY] = "empty",
    [RAGIFY_SKIP_BINARY] = "not UTF-8 text",
  };
  return words[reason];
}

static void
free_file (gpointer data)
{
  RagifyTextFile *file = data;
  g_free (file->path);
  g_free (file);
}

void
ragify_text_folder_free (RagifyTextFolder *folder)
{
  if (folder == NULL)
    return;
  g_ptr_array_unref (folder->files);
  g_ptr_array_unref (folder->failures);
  g_free (folder);
}

static gboolean
matches_any (const char *const *patterns, const char *path, const char *name)
{
  for (gsize i = 0; patterns != NULL && patterns[i] != NULL; i++)
    if (g_pattern_match_simple (patterns[i], strchr (patterns[i], '/') != NULL ? path : name))
      return TRUE;
  return FALSE;
}

static gboolean
is_text_name (const char *name)
{
  static const char *const extensions[] = { "md", "markdown", "txt", "text", "rst" };
  const char *dot = strrchr (name, '.');
  if (dot == NULL)
    return TRUE;
  for (gsize i = 0; i < G_N_ELEMENTS (extensions); i++)
    if (g_ascii_strcasecmp (dot + 1, extensions[i]) == 0)
      return TRUE;
  return FALSE;
}

static gboolean
is_wanted (const Walk *walk, const char *path, const char *name)
{
  if (matches_any (walk->exclude, path, name))
    return FALSE;
  return walk->include != NULL ? matches_any (walk->include, path, name) : is_text_name (name);
}

static void
add_walk_failure (const Walk *walk, const char *path, int reason)
{
  g_ptr_array_add (walk->folder->failures, g_strdup_printf ("%s: %s", path, g_strerror (reason)));
}

static void
add_file (const Walk *walk, const char *path, const struct stat *status)
{
  RagifyTextFile *file = g_new0 (RagifyTextFile, 1);
  file->path = g_strdup (path);
  file->size = (guint64)status->st_size;
  file->mtime = status->st_mtime;
  walk->folder->bytes += file->size;
  g_ptr_array_add (walk->folder->files, file);
}

static int
compare_names (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *)a, *(const char *const *)b);
}

/* The folder's names, sorted, so that two walks of the same tree meet the files in the same order. Takes fd over. */
static GPtrArray *
list_names (int fd)
{
  DIR *directory = fdopendir (fd);
  if (directory == NULL) {
    close (fd);
    return NULL;
  }
  GPtrArray *names = g_ptr_array_new_with_free_func (g_free);
  for (const struct dirent *entry = readdir (directory); entry != NULL; entry = readdir (directory))
    if (strcmp (entry->d_name, ".") != 0 && strcmp (entry->d_name, "..") != 0)
      g_ptr_array_add (names, g_strdup (entry->d_name));
  closedir (directory);
  g_ptr_array_sort (names, compare_names);
  return names;
}

static void walk_folder (const Walk *walk, int fd, const char *path, guint depth);

static void
walk_entry (const Walk *walk, int fd, const char *path, const char *name, guint depth)
{
  guint64 *skipped = walk->folder->skipped;
  g_autofree char *entry = *path == '\0' ? g_strdup (name) : g_strconcat (path, "/", name, NULL);
  struct stat status;

  if (*name == '.')
    skipped[RAGIFY_SKIP_HIDDEN]++;
  else if (fstatat (fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
    add_walk_failure (walk, entry, errno);
  else if (S_ISLNK (status.st_mode))
    skipped[RAGIFY_SKIP_LINK]++;
  else if (S_ISDIR (status.st_mode)) {
    if (matches_any (walk->exclude, entry, name))
      skipped[RAGIFY_SKIP_NAME]++;
    else
      walk_folder (walk, openat (fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), entry, depth + 1);
  } else if (!S_ISREG (status.st_mode))
    skipped[RAGIFY_SKIP_SPECIAL]++;
  else if (!is_wanted (walk, entry, name))
    skipped[RAGIFY_SKIP_NAME]++;
  else if (status.st_size == 0)
    skipped[RAGIFY_SKIP_EMPTY]++;
  else if (!g_utf8_validate (entry, -1, NULL))
    g_ptr_array_add (walk->folder->failures, g_strdup_printf ("%s: its name is not UTF-8", entry));
  else
    add_file (walk, entry, &status);
}

/* fd: the folder, owned by this function; negative with errno set when it could not be opened. */
static void
walk_folder (const Walk *walk, int fd, const char *path, guint depth)
{
  int reason = fd < 0 ? errno : depth > DEPTH_LIMIT ? ELOOP : 0;
  int listing = reason == 0 ? fcntl (fd, F_DUPFD_CLOEXEC, 0) : -1;
  g_autoptr (GPtrArray) names = listing >= 0 ? list_names (listing) : NULL;
  if (names == NULL) {
    add_walk_failure (walk, path, reason != 0 ? reason : errno);
    if (fd >= 0)
      close (fd);
    return;
  }
  for (guint i = 0; i < names->len; i++)
    walk_entry (walk, fd, path, g_ptr_array_index (names, i), depth);
  close (fd);
}

RagifyTextFolder *
ragify_text_folder_walk (const char *folder, const char *const *include, const char *const *exclude, GError **error)
{
  int fd = open (folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) {
    int reason = errno;
    g_set_error (error, G_IO_ERROR, g_io_error_from_errno (reason), "cannot read %s: %s", folder, g_strerror (reason));
    return NULL;
  }
  RagifyTextFolder *found = g_new0 (RagifyTextFolder, 1);
  found->files = g_ptr_array_new_with_free_func (free_file);
  found->failures = g_ptr_array_new_with_free_func (g_free);
  const Walk walk = { .folder = found, .include = include, .exclude = exclude };
  walk_folder (&walk, fd, "", 0);
  return found;
}

/* Opens a path below a folder, part by part, so that no part is a symbolic link whatever happened since the walk. */
static int
open_beneath (const char *folder, const char *path)
{
  g_auto (GStrv) parts = g_strsplit (path, "/", -1);
  int fd = open (folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  for (gsize i = 0; fd >= 0 && parts[i] != NULL; i++) {
    int flags = O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | (parts[i + 1] != NULL ? O_DIRECTORY : 0);
    int next = openat (fd, parts[i], flags);
    int reason = errno;
    close (fd);
    errno = reason;
    fd = next;
  }
  return fd;
}

static GString *
read_all (int fd, GError **error)
{
  g_autoptr (GString) text = g_string_new (NULL);
  char piece[64 * 1024];
  for (;;) {
    gssize count = read (fd, piece, sizeof piece);
    if (count < 0 && errno == EINTR)
      continue;
    if (count == 0)
      return g_steal_pointer (&text);
    if (count < 0 || text->len + (gsize)count > SIZE_LIMIT) {
      int reason = count < 0 ? errno : EFBIG;
      g_set_error_literal (error, G_IO_ERROR, g_io_error_from_errno (reason), g_strerror (reason));
      return NULL;
    }
    g_string_append_len (text, piece, count);
  }
}

/* Text has no control characters but tab, line feed, carriage return, form feed, backspace (overstruck manual pages)
 * and escape. */
static gboolean
is_text (const GString *text)
{
  for (gsize i = 0; i < text->len; i++) {
    guchar c = (guchar)text->str[i];
    if (c < 0x20 && strchr ("\t\n\r\f\b\033", c) == NULL)
      return FALSE;
    if (c == '\0')
      return FALSE;
  }
  return g_utf8_validate (text->str, (gssize)text->len, NULL);
}

static gboolean
is_blank (const char *text)
{
  return text[strspn (text, " \t\r\n\f\v")] == '\0';
}

RagifyTextResult
ragify_text_file_open (const char *folder, const char *path, int *fd, guint64 *size, RagifySkipReason *reason,
                       GError **error)
{
  int opened = folder != NULL ? open_beneath (folder, path) : open (path, O_RDONLY | O_CLOEXEC);
  struct stat status;
  if (opened < 0 && folder != NULL && errno == ELOOP) {
    *reason = RAGIFY_SKIP_LINK;
    return RAGIFY_TEXT_SKIPPED;
  }
  if (opened < 0 || fstat (opened, &status) < 0) {
    int code = errno;
    g_set_error_literal (error, G_IO_ERROR, g_io_error_from_errno (code), g_strerror (code));
    if (opened >= 0)
      close (opened);
    return RAGIFY_TEXT_FAILED;
  }
  if (folder != NULL && !S_ISREG (status.st_mode)) {
    close (opened);
    *reason = RAGIFY_SKIP_SPECIAL;
    return RAGIFY_TEXT_SKIPPED;
  }
  *fd = opened;
  *size = S_ISREG (status.st_mode) ? (guint64)status.st_size : 0;
  return RAGIFY_TEXT_READ;
}

RagifyTextResult
ragify_text_file_take (int fd, char **text, RagifySkipReason *reason, GError **error)
{
  g_autoptr (GString) content = read_all (fd, error);
  close (fd);
  if (content == NULL)
    return RAGIFY_TEXT_FAILED;

  if (g_str_has_prefix (content->str, "\xef\xbb\xbf"))
    g_string_erase (content, 0, 3);
  if (!is_text (content) || is_blank (content->str)) {
    *reason = is_text (content) ? RAGIFY_SKIP_EMPTY : RAGIFY_SKIP_BINARY;
    return RAGIFY_TEXT_SKIPPED;
  }
  *text = g_string_free (g_steal_pointer (&content), FALSE);
  return RAGIFY_TEXT_READ;
}

RagifyTextResult
ragify_text_file_read (const char *folder, const char *path, char **text, RagifySkipReason *reason, GError **error)
{
  int fd = -1;
  guint64 size = 0;
  RagifyTextResult result = ragify_text_file_open (folder, path, &fd, &size, reason, error);
  return result == RAGIFY_TEXT_READ ? ragify_text_file_take (fd, text, reason, error) : result;
}
