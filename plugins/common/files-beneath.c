/* SPDX-License-Identifier: MIT */
#include "files-beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FLAGS (O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)

/* For kernels before 5.6, and sandboxes that do not know the call: name by name, and no link is followed. */
static int
open_step_by_step (int root, const char *path)
{
  int fd = fcntl (root, F_DUPFD_CLOEXEC, 0);
  g_auto (GStrv) names = g_strsplit (path, "/", -1);
  for (char **name = names; fd >= 0 && *name != NULL; name++) {
    const gboolean last = name[1] == NULL;
    const int next = strcmp (*name, "..") != 0 ? openat (fd, *name, FLAGS | O_NOFOLLOW | (last ? 0 : O_DIRECTORY)) : -1;
    close (fd);
    fd = next;
  }
  return fd;
}

int
files_open_beneath (int root, const char *path, gboolean follow)
{
  struct open_how how = { .flags = FLAGS, .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS };
  if (!follow)
    how.resolve |= RESOLVE_NO_SYMLINKS;
  for (guint i = 0; i < 8; i++) {
    const long fd = syscall (SYS_openat2, root, path, &how, sizeof how);
    if (fd >= 0 || (errno != EAGAIN && errno != EINTR)) { /* EAGAIN: something was renamed meanwhile */
      if (fd < 0 && (errno == ENOSYS || errno == EPERM))
        break;
      return (int)fd;
    }
  }
  return open_step_by_step (root, path);
}
