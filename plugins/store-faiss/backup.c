/* A copy of everything, as of one moment, while the store goes on. */
#include "store-private.h"

#include "snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CANCEL_EVERY 20000 /* steps of SQLite's machine */

static bool
fail (RagifyFault *fault, const char *path)
{
  int32_t code = errno == ENOSPC || errno == EDQUOT ? RAGIFY_E_EXHAUSTED : RAGIFY_E_UNAVAILABLE;
  return ragify_fault_set (fault, code, "%.300s: %s", path, strerror (errno));
}

static char *
join (const char *folder, const char *name)
{
  char *path = malloc (strlen (folder) + strlen (name) + 2);
  if (path != NULL)
    (void)sprintf (path, "%s%s", folder, name);
  return path;
}

/* Only what a backup makes. */
static void
clear_folder (const char *folder)
{
  static const char *const files[] = { "/store.db", "/store.db-wal", "/store.db-shm", "/store.db-journal",
                                       "/index.snapshot" };
  for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
    char *path = join (folder, files[i]);
    if (path != NULL)
      (void)unlink (path);
    free (path);
  }
  (void)rmdir (folder);
}

static int
should_stop (void *user)
{
  return ragify_store_is_cancelled (user);
}

/* One statement of one read transaction: writers go on beside it. */
static bool
copy_database (RagifyStore *store, const RagifyAnswer *answer, const char *file, RagifyFault *fault)
{
  RagifyConnection *connection = ragify_database_borrow (store->database, fault);
  char *sql = connection != NULL ? sqlite3_mprintf ("VACUUM INTO %Q", file) : NULL;
  if (connection == NULL || sql == NULL) {
    ragify_database_give_back (store->database, connection);
    return connection != NULL && ragify_fault_memory (fault);
  }
  sqlite3 *handle = ragify_connection_handle (connection);
  sqlite3_progress_handler (handle, CANCEL_EVERY, should_stop, (void *)answer);
  bool ok = ragify_connection_execute (connection, sql, fault);
  sqlite3_progress_handler (handle, 0, NULL, NULL);
  sqlite3_free (sql);
  ragify_database_give_back (store->database, connection);
  if (!ok && ragify_store_is_cancelled ((void *)answer))
    return ragify_fault_set (fault, RAGIFY_E_CANCELLED, "the caller gave up; nothing was kept");
  return ok;
}

static bool
sync_path (const char *path, bool must_be_there, uint64_t *bytes, RagifyFault *fault)
{
  struct stat status;
  int descriptor = open (path, O_RDONLY | O_CLOEXEC);
  if (descriptor < 0)
    return (!must_be_there && errno == ENOENT) || fail (fault, path);
  bool ok = fsync (descriptor) == 0 && fstat (descriptor, &status) == 0;
  if (!ok)
    (void)fail (fault, path);
  else if (S_ISREG (status.st_mode))
    *bytes += (uint64_t)status.st_size;
  (void)close (descriptor);
  return ok;
}

/* The index first: what it says may be older than the database, and never newer. */
static bool
fill (RagifyStore *store, const RagifyAnswer *answer, const char *folder, uint64_t *bytes, RagifyFault *fault)
{
  RagifyUuid id;
  char *file = join (folder, "/store.db"), *index = join (folder, "/index.snapshot");
  bool ok = file != NULL && index != NULL ? ragify_database_new_id (&id, fault) : ragify_fault_memory (fault);
  ok = ok && ragify_snapshot_copy (store->folder, folder, &id, fault) && copy_database (store, answer, file, fault) &&
       ragify_database_set_id (file, &id, fault) && sync_path (file, true, bytes, fault) &&
       sync_path (index, false, bytes, fault) && sync_path (folder, true, bytes, fault);
  free (file);
  free (index);
  return ok;
}

/* The disk has the new name when this returns. */
static bool
put_in_place (const char *partial, const char *path, RagifyFault *fault)
{
  uint64_t ignored = 0;
  char *above = strdup (path);
  if (above == NULL)
    return ragify_fault_memory (fault);
  char *slash = strrchr (above, '/');
  slash[slash == above] = '\0';
  bool ok = (rename (partial, path) == 0 || fail (fault, path)) && sync_path (above, true, &ignored, fault);
  free (above);
  return ok;
}

static bool
check_path (const RagifyStore *store, const char *path, RagifyFault *fault)
{
  struct stat status;
  if (store->in_memory)
    return ragify_fault_set (fault, RAGIFY_E_INVALID, "the store is in memory alone, from which no backup is made");
  if (path[0] != '/' || path[1] == '\0')
    return ragify_fault_set (fault, RAGIFY_E_INVALID, "path: expected an absolute one, found '%.300s'", path);
  if (strcmp (path, store->folder) == 0 || lstat (path, &status) == 0)
    return ragify_fault_set (fault, RAGIFY_E_INVALID, "%.300s: there is something already; a backup is a new folder",
                             path);
  return errno == ENOENT || fail (fault, path);
}

static bool
make_copy (RagifyStore *store, const RagifyAnswer *answer, const RagifyStoreBackup *args, uint64_t *bytes,
           RagifyFault *fault)
{
  char *path = strndup (args->path.data != NULL ? args->path.data : "", args->path.size);
  char *partial = path != NULL ? join (path, ".partial") : NULL;
  bool ok = partial != NULL ? check_path (store, path, fault) : ragify_fault_memory (fault);
  *bytes = 0;
  if (ok) {
    clear_folder (partial);
    ok = (mkdir (partial, 0700) == 0 || fail (fault, partial)) && fill (store, answer, partial, bytes, fault) &&
         put_in_place (partial, path, fault);
    if (!ok)
      clear_folder (partial);
  }
  free (partial);
  free (path);
  return ok;
}

/* Two at once to the same place would clear away each other's half. */
bool
ragify_store_backup (RagifyStore *store, const RagifyAnswer *answer, const RagifyStoreBackup *args, uint64_t *bytes,
                     RagifyFault *fault)
{
  if (atomic_flag_test_and_set (&store->copying))
    return ragify_fault_set (fault, RAGIFY_E_UNAVAILABLE, "a backup of this store is under way already");
  const bool ok = make_copy (store, answer, args, bytes, fault);
  atomic_flag_clear (&store->copying);
  return ok;
}
