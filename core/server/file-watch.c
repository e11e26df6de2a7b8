/* SPDX-License-Identifier: MIT */
#include "core/server/file-watch.h"

#include <sys/stat.h>

#define LOOK_MS 1000

struct RagifyFileWatch {
  char **paths;
  struct stat *seen; /* by path; zeroed where there was none */
  guint timer;
  void (*changed) (void *user);
  void *user;
};

static gboolean
is_same_file (const struct stat *one, const struct stat *other)
{
  return one->st_ino == other->st_ino && one->st_dev == other->st_dev && one->st_size == other->st_size &&
         one->st_mtim.tv_sec == other->st_mtim.tv_sec && one->st_mtim.tv_nsec == other->st_mtim.tv_nsec;
}

/* Takes note of how the files are now; TRUE: one is not as it was. */
static gboolean
take_note (RagifyFileWatch *watch)
{
  gboolean differs = FALSE;
  for (guint i = 0; watch->paths[i] != NULL; i++) {
    struct stat now = { 0 };
    if (stat (watch->paths[i], &now) != 0)
      now = (struct stat){ 0 };
    differs = differs || !is_same_file (&now, &watch->seen[i]);
    watch->seen[i] = now;
  }
  return differs;
}

static gboolean
look (gpointer data)
{
  RagifyFileWatch *watch = data;
  if (take_note (watch))
    watch->changed (watch->user);
  return G_SOURCE_CONTINUE;
}

RagifyFileWatch *
ragify_file_watch_new (const char *const *paths, void (*changed) (void *user), void *user)
{
  RagifyFileWatch *watch = g_new0 (RagifyFileWatch, 1);
  watch->paths = g_strdupv ((char **)paths);
  watch->seen = g_new0 (struct stat, g_strv_length (watch->paths));
  watch->changed = changed;
  watch->user = user;
  take_note (watch);
  watch->timer = g_timeout_add (LOOK_MS, look, watch);
  return watch;
}

void
ragify_file_watch_free (RagifyFileWatch *watch)
{
  g_source_remove (watch->timer);
  g_strfreev (watch->paths);
  g_free (watch->seen);
  g_free (watch);
}
