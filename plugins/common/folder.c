#include "folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LOCK_POLL_US 20000

struct RagifyFolder {
  int lock; /* -1: read-only */
  char read_only[100];
};

static uint64_t
now_us (void)
{
  struct timespec time;
  (void)clock_gettime (CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000 + (uint64_t)time.tv_nsec / 1000;
}

/* Makes the folder and those above it. */
static bool
make_folder (const char *folder, RagifyFault *fault)
{
  char *path = strdup (folder);
  if (path == NULL)
    return ragify_fault_memory (fault);
  for (char *slash = strchr (path + 1, '/'); slash != NULL; slash = strchr (slash + 1, '/')) {
    *slash = '\0';
    (void)mkdir (path, 0750);
    *slash = '/';
  }
  free (path);
  struct stat status;
  int cause = mkdir (folder, 0750) == 0 ? 0 : errno;
  if (stat (folder, &status) == 0 && S_ISDIR (status.st_mode))
    return true;
  if (cause == EEXIST || cause == ENOTDIR)
    return ragify_fault_set (fault, RAGIFY_E_INVALID, "%s: expected a folder, found a file", folder);
  return ragify_fault_set (fault, cause == ENOSPC ? RAGIFY_E_EXHAUSTED : RAGIFY_E_UNAVAILABLE,
                           "%s: the folder cannot be made: %s", folder, strerror (cause));
}

static void
read_owner (int lock, char *owner, size_t size)
{
  ssize_t count = pread (lock, owner, size - 1, 0);
  owner[count > 0 ? count : 0] = '\0';
  owner[strcspn (owner, "\n")] = '\0';
}

static void
write_owner (int lock)
{
  char owner[32];
  int length = snprintf (owner, sizeof owner, "%ld\n", (long)getpid ());
  /* Only for a message: a full disk must not keep the folder closed. */
  if (ftruncate (lock, 0) == 0)
    (void)!pwrite (lock, owner, (size_t)length, 0);
}

static bool
wait_for_lock (int lock, const char *path, uint64_t wait_us, RagifyFault *fault)
{
  uint64_t until = now_us () + wait_us;
  while (flock (lock, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK && errno != EINTR)
      return ragify_fault_set (fault, RAGIFY_E_UNAVAILABLE, "%s: cannot be locked: %s", path, strerror (errno));
    if (now_us () >= until) {
      char owner[32];
      read_owner (lock, owner, sizeof owner);
      if (strtol (owner, NULL, 10) == (long)getpid ())
        return ragify_fault_set (fault, RAGIFY_E_UNAVAILABLE,
                                 "%s: another node of this process has this folder open, or had it until a moment ago; "
                                 "give this one a path of its own, or restart",
                                 path);
      return ragify_fault_set (fault, RAGIFY_E_UNAVAILABLE,
                               "%s: another process (%s) has this folder open; stop it, or give this one a path of its "
                               "own",
                               path, owner[0] != '\0' ? owner : "not known which");
    }
    (void)usleep (LOCK_POLL_US);
  }
  write_owner (lock);
  return true;
}

static bool
take_lock (RagifyFolder *folder, const char *path, uint64_t wait_us, RagifyFault *fault)
{
  size_t size = strlen (path) + 6;
  char *file = malloc (size);
  if (file == NULL)
    return ragify_fault_memory (fault);
  (void)snprintf (file, size, "%s/lock", path);
  folder->lock = open (file, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
  int cause = errno;
  free (file);
  if (folder->lock >= 0)
    return wait_for_lock (folder->lock, path, wait_us, fault);
  if (cause != EROFS && cause != EACCES && cause != EPERM)
    return ragify_fault_set (fault, cause == ENOSPC ? RAGIFY_E_EXHAUSTED : RAGIFY_E_UNAVAILABLE,
                             "%s: cannot be opened: %s", path, strerror (cause));
  (void)snprintf (folder->read_only, sizeof folder->read_only, "%s", strerror (cause));
  return true;
}

RagifyFolder *
ragify_folder_open (const char *path, uint64_t lock_wait_us, RagifyFault *fault)
{
  RagifyFolder *folder = calloc (1, sizeof *folder);
  if (folder == NULL) {
    (void)ragify_fault_memory (fault);
    return NULL;
  }
  folder->lock = -1;
  if (make_folder (path, fault) && take_lock (folder, path, lock_wait_us, fault))
    return folder;
  ragify_folder_close (folder);
  return NULL;
}

void
ragify_folder_close (RagifyFolder *folder)
{
  if (folder == NULL)
    return;
  if (folder->lock >= 0)
    (void)close (folder->lock);
  free (folder);
}

const char *
ragify_folder_read_only (const RagifyFolder *folder)
{
  return folder->lock >= 0 ? NULL : folder->read_only;
}
