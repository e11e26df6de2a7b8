/* SPDX-License-Identifier: MIT */
#include "files-watch.h"

#include <errno.h>
#include <stdalign.h>
#include <sys/inotify.h>
#include <unistd.h>

#define CHANGES                                                                                                        \
  (IN_CREATE | IN_DELETE | IN_MODIFY | IN_CLOSE_WRITE | IN_MOVE | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF |          \
   IN_ONLYDIR)

struct FilesWatch {
  int fd; /* −1: none */
  guint most;
  gboolean partial;
  GHashTable *folders; /* the set of watch descriptors */
};

FilesWatch *
files_watch_new (guint most)
{
  FilesWatch *watch = g_new0 (FilesWatch, 1);
  watch->fd = most > 0 ? inotify_init1 (IN_NONBLOCK | IN_CLOEXEC) : -1;
  watch->most = most;
  watch->partial = watch->fd < 0;
  watch->folders = g_hash_table_new (NULL, NULL);
  return watch;
}

void
files_watch_free (FilesWatch *watch)
{
  if (watch->fd >= 0)
    close (watch->fd);
  g_hash_table_unref (watch->folders);
  g_free (watch);
}

void
files_watch_add (FilesWatch *watch, int fd)
{
  if (watch->fd < 0)
    return;
  /* By the descriptor, since a name may lead elsewhere by now. */
  char path[64];
  g_snprintf (path, sizeof path, "/proc/self/fd/%d", fd);
  const int folder = inotify_add_watch (watch->fd, path, CHANGES);
  if (folder < 0) {
    watch->partial = TRUE;
    return;
  }
  if (g_hash_table_contains (watch->folders, GINT_TO_POINTER (folder)))
    return;
  if (g_hash_table_size (watch->folders) < watch->most) {
    g_hash_table_add (watch->folders, GINT_TO_POINTER (folder));
    return;
  }
  inotify_rm_watch (watch->fd, folder);
  watch->partial = TRUE;
}

gboolean
files_watch_changed (FilesWatch *watch)
{
  alignas (struct inotify_event) char events[16384];
  gboolean changed = FALSE;
  for (;;) {
    const gssize got = watch->fd >= 0 ? read (watch->fd, events, sizeof events) : 0;
    if (got < 0 && errno == EINTR)
      continue;
    if (got <= 0)
      return changed;
    for (gssize at = 0; at < got;) {
      const struct inotify_event *event = (const struct inotify_event *)(const void *)(events + at);
      if (event->mask & IN_IGNORED)
        g_hash_table_remove (watch->folders, GINT_TO_POINTER (event->wd));
      else
        changed = TRUE;
      at += (gssize)(sizeof *event + event->len);
    }
  }
}

int
files_watch_descriptor (const FilesWatch *watch)
{
  return watch->fd;
}

guint
files_watch_count (const FilesWatch *watch)
{
  return g_hash_table_size (watch->folders);
}

gboolean
files_watch_is_partial (const FilesWatch *watch)
{
  return watch->partial;
}
