#include "disk-private.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define READER_CACHE (UINT64_C (4) << 20)
#define WRITER_CACHE (UINT64_C (8) << 20)
#define RETRY_US 5000000
#define ENTRY_BYTES 4096 /* about, for the table of visited ones */

Disk *
disk_new (const DiskOptions *options)
{
  Disk *disk = g_new0 (Disk, 1);
  disk->host = options->host;
  disk->context = options->context;
  disk->folder = g_strdup (options->path);
  disk->path = g_strdup_printf ("%s/entries.db", options->path);
  disk->max_bytes = options->max_bytes;
  disk->visited = visited_new (options->max_bytes / ENTRY_BYTES);
  disk->eviction.visited = disk->visited;
  disk->owner = -1;
  (void)pthread_rwlock_init (&disk->lock, NULL);
  (void)pthread_mutex_init (&disk->idle_lock, NULL);
  (void)pthread_mutex_init (&disk->turn_lock, NULL);
  pthread_condattr_t monotonic;
  (void)pthread_condattr_init (&monotonic);
  (void)pthread_condattr_setclock (&monotonic, CLOCK_MONOTONIC);
  (void)pthread_cond_init (&disk->turn, &monotonic);
  (void)pthread_condattr_destroy (&monotonic);
  return disk;
}

void
disk_free (Disk *disk)
{
  if (disk == NULL)
    return;
  disk_close (disk);
  (void)pthread_cond_destroy (&disk->turn);
  (void)pthread_mutex_destroy (&disk->turn_lock);
  (void)pthread_mutex_destroy (&disk->idle_lock);
  (void)pthread_rwlock_destroy (&disk->lock);
  visited_free (disk->visited);
  g_free (disk->path);
  g_free (disk->folder);
  g_free (disk);
}

void
disk_set_max_bytes (Disk *disk, uint64_t max_bytes)
{
  disk->max_bytes = max_bytes;
}

/* ---- opening: under the lock for writing ---- */

void
disk_close_connections (Disk *disk)
{
  while (disk->idle_count > 0)
    ragify_connection_close (disk->idle[--disk->idle_count]);
  ragify_connection_close (disk->writer);
  disk->writer = NULL;
  disk->readable = disk->writable = false;
}

static void
warn (Disk *disk, const char *text)
{
  disk->host->log (disk->context, RAGIFY_LOG_WARNING, ragify_str_from (text));
}

void
disk_move_files (Disk *disk, const char *to)
{
  static const char *const endings[] = { "-wal", "-shm" };
  if (to == NULL || rename (disk->path, to) != 0)
    (void)unlink (disk->path);
  for (size_t i = 0; i < G_N_ELEMENTS (endings); i++) {
    g_autofree char *name = g_strconcat (disk->path, endings[i], NULL);
    (void)unlink (name);
  }
}

static void
set_aside (Disk *disk, const char *why)
{
  g_autofree char *to = g_strconcat (disk->path, ".damaged", NULL);
  g_autofree char *text =
      g_strdup_printf ("%s is set aside as entries.db.damaged and a new one begun: %s", disk->path, why);
  disk_close_connections (disk);
  disk_move_files (disk, to);
  disk->rebuilt++;
  disk->epoch++;
  warn (disk, text);
}

/* Two processes that evict and rebuild one file would take it away from under each other. */
static bool
own_folder (Disk *disk, RagifyFault *fault)
{
  if (disk->owner >= 0)
    return true;
  g_autofree char *name = g_strdup_printf ("%s/lock", disk->folder);
  const int fd = open (name, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
  if (fd < 0)
    return errno == EROFS || errno == EACCES || errno == EPERM
               ? ragify_fault_set (fault, RAGIFY_E_UNAVAILABLE, "%s: the folder cannot be written: %s", disk->folder,
                                   g_strerror (errno))
               : ragify_fault_set (fault, RAGIFY_E_UNAVAILABLE, "%s: %s", name, g_strerror (errno));
  if (flock (fd, LOCK_EX | LOCK_NB) != 0) {
    (void)close (fd);
    return ragify_fault_set (fault, RAGIFY_E_UNAVAILABLE, "%s: another process uses this cache", disk->folder);
  }
  disk->owner = fd;
  return true;
}

/* A writer for a file of our format. False with a fault; `*strange`: it is there, but not one of ours. */
static bool
open_writer (Disk *disk, bool *strange, RagifyFault *fault)
{
  int64_t count = 0;
  *strange = false;
  disk->writer = ragify_connection_open (disk->path, RAGIFY_CONNECTION_WRITE, WRITER_CACHE, fault);
  if (disk->writer == NULL) {
    *strange = fault->code == RAGIFY_E_INTERNAL;
    return false;
  }
  const int64_t version = entries_version (disk->writer, fault);
  if (version == 0) {
    if (!entries_create (disk->writer, fault))
      return false;
  } else if (version != ENTRIES_VERSION) {
    *strange = version >= 0 || fault->code == RAGIFY_E_INTERNAL;
    return version < 0 ? false
                       : ragify_fault_set (fault, RAGIFY_E_INVALID, "its format is %d, expected %d", (int)version,
                                           ENTRIES_VERSION);
  }
  /* A commit is safe from kill -9 without a sync, and a cache may lose its last ones with the power. */
  if (!ragify_connection_execute (disk->writer, "PRAGMA synchronous=NORMAL; PRAGMA cell_size_check=ON", fault))
    return false;
  int64_t bytes = -1;
  if (entries_survey (disk->writer, &disk->place, &count, fault))
    bytes = entries_bytes (disk->writer, fault);
  disk->entries = count;
  disk->bytes = (uint64_t)MAX (bytes, 0);
  *strange = bytes < 0 && fault->code == RAGIFY_E_INTERNAL;
  return bytes >= 0;
}

/* What can still be read where nothing can be written. */
static bool
open_read_only (Disk *disk, RagifyFault *fault)
{
  RagifyFault ignored;
  RagifyConnection *reader = ragify_connection_open (disk->path, RAGIFY_CONNECTION_READ_ONLY, READER_CACHE, &ignored);
  if (reader == NULL)
    return false;
  if (entries_version (reader, &ignored) != ENTRIES_VERSION) {
    ragify_connection_close (reader);
    return false;
  }
  disk->idle[disk->idle_count++] = reader;
  disk->readable = true;
  return true;
}

void
disk_open_locked (Disk *disk)
{
  RagifyFault fault = { 0 };
  bool strange = false;
  disk_close_connections (disk);
  (void)g_mkdir_with_parents (disk->folder, 0750);
  bool well = own_folder (disk, &fault);
  if (well && !open_writer (disk, &strange, &fault)) {
    well = false;
    if (strange) {
      set_aside (disk, fault.message);
      well = open_writer (disk, &strange, &fault);
    }
  }
  if (well) {
    disk->readable = disk->writable = true;
    disk->fault = (RagifyFault){ 0 };
    return;
  }
  disk_close_connections (disk);
  disk->fault = fault;
  disk->retry_us = disk->host->clock_us () + RETRY_US;
  if (fault.code != RAGIFY_E_INTERNAL)
    (void)open_read_only (disk, &fault);
}

bool
disk_open (Disk *disk, RagifyFault *fault)
{
  (void)pthread_rwlock_wrlock (&disk->lock);
  disk_open_locked (disk);
  const bool well = disk->writable;
  if (!well)
    *fault = disk->fault;
  (void)pthread_rwlock_unlock (&disk->lock);
  return well;
}

void
disk_close (Disk *disk)
{
  (void)pthread_rwlock_wrlock (&disk->lock);
  disk_close_connections (disk);
  if (disk->owner >= 0)
    (void)close (disk->owner);
  disk->owner = -1;
  disk->fault.code = RAGIFY_OK;
  (void)pthread_rwlock_unlock (&disk->lock);
}

/* ---- entering and leaving ---- */

bool
disk_enter (Disk *disk, bool to_write, RagifyFault *fault)
{
  (void)pthread_rwlock_rdlock (&disk->lock);
  if (to_write ? disk->writable : disk->readable)
    return true;
  if (disk->host->clock_us () >= disk->retry_us) {
    const uint64_t seen = disk->retry_us;
    (void)pthread_rwlock_unlock (&disk->lock);
    (void)pthread_rwlock_wrlock (&disk->lock);
    if (!disk->writable && disk->retry_us == seen)
      disk_open_locked (disk);
    (void)pthread_rwlock_unlock (&disk->lock);
    (void)pthread_rwlock_rdlock (&disk->lock);
    if (to_write ? disk->writable : disk->readable)
      return true;
  }
  *fault = disk->fault;
  if (fault->code == RAGIFY_OK)
    ragify_fault_set (fault, RAGIFY_E_UNAVAILABLE, "%s: not open", disk->path);
  disk->errors++;
  (void)pthread_rwlock_unlock (&disk->lock);
  return false;
}

bool
disk_is_damage (RagifyConnection *connection)
{
  const int code = sqlite3_errcode (ragify_connection_handle (connection));
  return code == SQLITE_CORRUPT || code == SQLITE_NOTADB;
}

void
disk_leave (Disk *disk, uint64_t epoch, bool damage, const RagifyFault *fault)
{
  (void)pthread_rwlock_unlock (&disk->lock);
  if (!damage)
    return;
  (void)pthread_rwlock_wrlock (&disk->lock);
  if (disk->epoch == epoch && disk->writable) {
    set_aside (disk, fault->message);
    disk_open_locked (disk);
  }
  (void)pthread_rwlock_unlock (&disk->lock);
}

RagifyConnection *
disk_take_reader (Disk *disk, RagifyFault *fault)
{
  RagifyConnection *reader = NULL;
  (void)pthread_mutex_lock (&disk->idle_lock);
  if (disk->idle_count > 0)
    reader = disk->idle[--disk->idle_count];
  (void)pthread_mutex_unlock (&disk->idle_lock);
  if (reader != NULL)
    return reader;
  reader = ragify_connection_open (disk->path, disk->writable ? RAGIFY_CONNECTION_READ : RAGIFY_CONNECTION_READ_ONLY,
                                   READER_CACHE, fault);
  return reader;
}

void
disk_give_reader (Disk *disk, RagifyConnection *reader)
{
  bool kept = false;
  (void)pthread_mutex_lock (&disk->idle_lock);
  if (disk->idle_count < READERS_MAX) {
    disk->idle[disk->idle_count++] = reader;
    kept = true;
  }
  (void)pthread_mutex_unlock (&disk->idle_lock);
  if (!kept)
    ragify_connection_close (reader);
}

bool
disk_take_turn (Disk *disk, const struct timespec *end)
{
  (void)pthread_mutex_lock (&disk->turn_lock);
  int code = 0;
  while (disk->writing && code == 0)
    code = pthread_cond_timedwait (&disk->turn, &disk->turn_lock, end);
  const bool taken = !disk->writing;
  disk->writing = true;
  (void)pthread_mutex_unlock (&disk->turn_lock);
  return taken;
}

void
disk_give_turn (Disk *disk)
{
  (void)pthread_mutex_lock (&disk->turn_lock);
  disk->writing = false;
  (void)pthread_cond_signal (&disk->turn);
  (void)pthread_mutex_unlock (&disk->turn_lock);
}

bool
disk_begin_writing (Disk *disk, uint64_t deadline_us, RagifyFault *fault)
{
  const struct timespec end = { .tv_sec = (time_t)(deadline_us / 1000000),
                                .tv_nsec = (long)(deadline_us % 1000000) * 1000 };
  if (disk_take_turn (disk, &end))
    return true;
  disk->errors++;
  return ragify_fault_set (fault, RAGIFY_E_TIMEOUT, "%s: others were still writing", disk->path);
}

bool
disk_end_writing (Disk *disk, bool well, bool *damage, RagifyFault *fault)
{
  RagifyFault ignored;
  if (well) {
    const int64_t bytes = entries_bytes (disk->writer, fault);
    well = bytes >= 0 && ragify_connection_execute (disk->writer, "COMMIT", fault);
    if (well)
      disk->bytes = (uint64_t)bytes;
  }
  *damage = !well && disk_is_damage (disk->writer);
  if (!well) {
    disk->errors++;
    if (ragify_connection_busy (disk->writer))
      (void)ragify_connection_execute (disk->writer, "ROLLBACK", &ignored);
  }
  disk_give_turn (disk);
  return well;
}
