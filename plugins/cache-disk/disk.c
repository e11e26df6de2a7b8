#include "disk.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "entries.h"

#define READERS_MAX 32
#define READER_CACHE (UINT64_C (4) << 20)
#define WRITER_CACHE (UINT64_C (8) << 20)
#define RETRY_US 5000000
#define EXPIRE_BATCH 200
#define ENTRY_BYTES 4096 /* about, for the table of visited ones */

/* What makes the rows of one file: replaced as a whole when the file is set aside. `lock` is held for reading while any
 * of it is used, for writing while it is replaced. */
struct Disk {
  const RagifyHost *host;
  RagifyContext *context;
  char *folder;
  char *path;
  _Atomic uint64_t max_bytes;
  Visited *visited;

  pthread_rwlock_t lock;
  uint64_t epoch; /* grows when the file is replaced */
  int owner;      /* the locked file; -1: not ours */
  bool readable;
  bool writable;
  uint64_t retry_us; /* when a folder that cannot be used is tried again */
  RagifyFault fault; /* why it is not readable, or not writable */

  pthread_mutex_t idle_lock;
  RagifyConnection *idle[READERS_MAX];
  int idle_count;

  pthread_mutex_t turn_lock;
  pthread_cond_t turn; /* by the monotonic clock */
  bool writing;        /* somebody is, and has what follows to themselves */
  RagifyConnection *writer;
  int64_t place;
  Eviction eviction;

  _Atomic int64_t entries;
  _Atomic uint64_t bytes, hits, misses, sets, evictions, expired, rejected, damaged, rebuilt, errors;
};

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

static void
close_connections (Disk *disk)
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

/* The database's files: moved away, or removed where `to` is NULL. */
static void
move_files (Disk *disk, const char *to)
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
  close_connections (disk);
  move_files (disk, to);
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

static void
open_locked (Disk *disk)
{
  RagifyFault fault = { 0 };
  bool strange = false;
  close_connections (disk);
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
  close_connections (disk);
  disk->fault = fault;
  disk->retry_us = disk->host->clock_us () + RETRY_US;
  if (fault.code != RAGIFY_E_INTERNAL)
    (void)open_read_only (disk, &fault);
}

bool
disk_open (Disk *disk, RagifyFault *fault)
{
  (void)pthread_rwlock_wrlock (&disk->lock);
  open_locked (disk);
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
  close_connections (disk);
  if (disk->owner >= 0)
    (void)close (disk->owner);
  disk->owner = -1;
  disk->fault.code = RAGIFY_OK;
  (void)pthread_rwlock_unlock (&disk->lock);
}

/* ---- entering and leaving ---- */

/* Holds the file for use; false with the fault that makes it unusable. */
static bool
enter (Disk *disk, bool to_write, RagifyFault *fault)
{
  (void)pthread_rwlock_rdlock (&disk->lock);
  if (to_write ? disk->writable : disk->readable)
    return true;
  if (disk->host->clock_us () >= disk->retry_us) {
    const uint64_t seen = disk->retry_us;
    (void)pthread_rwlock_unlock (&disk->lock);
    (void)pthread_rwlock_wrlock (&disk->lock);
    if (!disk->writable && disk->retry_us == seen)
      open_locked (disk);
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

/* Whether what just failed on the connection is the file's own damage. */
static bool
is_damage (RagifyConnection *connection)
{
  const int code = sqlite3_errcode (ragify_connection_handle (connection));
  return code == SQLITE_CORRUPT || code == SQLITE_NOTADB;
}

/* Leaves; a damaged file is replaced, by the first who found that. */
static void
leave (Disk *disk, uint64_t epoch, bool damage, const RagifyFault *fault)
{
  (void)pthread_rwlock_unlock (&disk->lock);
  if (!damage)
    return;
  (void)pthread_rwlock_wrlock (&disk->lock);
  if (disk->epoch == epoch && disk->writable) {
    set_aside (disk, fault->message);
    open_locked (disk);
  }
  (void)pthread_rwlock_unlock (&disk->lock);
}

static RagifyConnection *
take_reader (Disk *disk, RagifyFault *fault)
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

static void
give_reader (Disk *disk, RagifyConnection *reader)
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

/* Waits until nobody else writes; false when that took too long. */
static bool
take_turn (Disk *disk, const struct timespec *end)
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

static void
give_turn (Disk *disk)
{
  (void)pthread_mutex_lock (&disk->turn_lock);
  disk->writing = false;
  (void)pthread_cond_signal (&disk->turn);
  (void)pthread_mutex_unlock (&disk->turn_lock);
}

static bool
begin_writing (Disk *disk, uint64_t deadline_us, RagifyFault *fault)
{
  const struct timespec end = { .tv_sec = (time_t)(deadline_us / 1000000),
                                .tv_nsec = (long)(deadline_us % 1000000) * 1000 };
  if (take_turn (disk, &end))
    return true;
  disk->errors++;
  return ragify_fault_set (fault, RAGIFY_E_TIMEOUT, "%s: others were still writing", disk->path);
}

/* Ends the transaction, for good or for nothing, and notes what is in use. */
static bool
end_writing (Disk *disk, bool well, bool *damage, RagifyFault *fault)
{
  RagifyFault ignored;
  if (well) {
    const int64_t bytes = entries_bytes (disk->writer, fault);
    well = bytes >= 0 && ragify_connection_execute (disk->writer, "COMMIT", fault);
    if (well)
      disk->bytes = (uint64_t)bytes;
  }
  *damage = !well && is_damage (disk->writer);
  if (!well) {
    disk->errors++;
    if (ragify_connection_busy (disk->writer))
      (void)ragify_connection_execute (disk->writer, "ROLLBACK", &ignored);
  }
  give_turn (disk);
  return well;
}

/* ---- operations ---- */

/* The outcome of a find, while what it points to is there. */
static bool
take_value (Disk *disk, const Entry *entry, uint64_t ttl_max_us, RagifyBuffer **value, uint64_t *ttl_us,
            RagifyFault *fault)
{
  const int64_t now = disk->host->wall_us ();
  uint8_t *data = NULL;
  /* One that claims to live longer than any may was written before the clock was set back. */
  if (entry->expires != 0 &&
      (entry->expires <= now || (ttl_max_us != 0 && (uint64_t)(entry->expires - now) > ttl_max_us)))
    return true;
  RagifyBuffer *buffer = disk->host->buffer_new (entry->value.size, &data);
  if (buffer == NULL)
    return ragify_fault_memory (fault);
  if (entry->value.size > 0)
    memcpy (data, entry->value.data, entry->value.size);
  visited_set (disk->visited, entry->id);
  *ttl_us = entry->expires != 0 ? (uint64_t)(entry->expires - now) : 0;
  *value = buffer;
  return true;
}

/* An entry that is not what was written is taken away, if that can be done at once. */
static void
drop_damaged (Disk *disk, uint64_t id)
{
  RagifyFault ignored;
  int64_t removed = 0;
  disk->damaged++;
  if (!disk->writable || !take_turn (disk, &(const struct timespec){ 0 }))
    return;
  if (entries_remove (disk->writer, id, &removed, &ignored))
    disk->entries -= removed;
  give_turn (disk);
}

bool
disk_get (Disk *disk, RagifyBytes key, uint64_t ttl_max_us, RagifyBuffer **value, uint64_t *ttl_us, RagifyFault *fault)
{
  Entry entry = { .key = key };
  sqlite3_stmt *statement = NULL;
  *value = NULL;
  *ttl_us = 0;
  if (!enter (disk, false, fault))
    return false;
  const uint64_t epoch = disk->epoch;
  RagifyConnection *reader = take_reader (disk, fault);
  EntryState state = ENTRY_FAILED;
  bool damage = reader == NULL && fault->code == RAGIFY_E_INTERNAL;
  if (reader != NULL) {
    state = entries_find (reader, &entry, &statement, fault);
    damage = state == ENTRY_FAILED && is_damage (reader);
    if (state == ENTRY_FOUND && !take_value (disk, &entry, ttl_max_us, value, ttl_us, fault))
      state = ENTRY_FAILED;
    entries_end_find (statement);
    give_reader (disk, reader);
  }
  if (state == ENTRY_DAMAGED)
    drop_damaged (disk, entry.id);
  if (state == ENTRY_FAILED)
    disk->errors++;
  else if (*value != NULL)
    disk->hits++;
  else
    disk->misses++;
  leave (disk, epoch, damage, fault);
  return state != ENTRY_FAILED;
}

static bool
put_and_evict (Disk *disk, const Entry *entry, RagifyFault *fault)
{
  Eviction *eviction = &disk->eviction;
  const Eviction before = *eviction;
  int64_t replaced = 0;
  if (!ragify_connection_execute (disk->writer, "BEGIN IMMEDIATE", fault) ||
      !entries_remove (disk->writer, entry->id, &replaced, fault) ||
      !entries_put (disk->writer, entry, disk->place + 1, fault) ||
      !entries_evict (disk->writer, eviction, (int64_t)disk->max_bytes, disk->host->wall_us (), fault)) {
    *eviction = before;
    return false;
  }
  disk->place++;
  (void)visited_take (disk->visited, entry->id);
  const int64_t gone = eviction->evicted - before.evicted + eviction->expired - before.expired;
  disk->entries += 1 - replaced - gone;
  disk->evictions = (uint64_t)eviction->evicted;
  disk->expired = (uint64_t)eviction->expired;
  return true;
}

bool
disk_set (Disk *disk, RagifyBytes key, RagifyBytes value, uint64_t ttl_us, uint64_t deadline_us, RagifyFault *fault)
{
  const int64_t now = disk->host->wall_us ();
  const Entry entry = { .id = entry_id (key),
                        .key = key,
                        .value = value,
                        .expires = ttl_us == 0 || ttl_us > (uint64_t)(INT64_MAX - now) ? 0 : now + (int64_t)ttl_us };
  bool damage = false;
  /* It would push out half of the others. */
  if (key.size + value.size > disk->max_bytes / 2) {
    disk->rejected++;
    return true;
  }
  if (!enter (disk, true, fault))
    return false;
  const uint64_t epoch = disk->epoch;
  bool well = begin_writing (disk, deadline_us, fault);
  if (well) {
    well = put_and_evict (disk, &entry, fault);
    well = end_writing (disk, well, &damage, fault);
  }
  if (well)
    disk->sets++;
  leave (disk, epoch, damage, fault);
  return well;
}

bool
disk_remove (Disk *disk, RagifyBytes key, uint64_t deadline_us, uint64_t *count, RagifyFault *fault)
{
  int64_t removed = 0;
  bool damage = false;
  if (!enter (disk, true, fault))
    return false;
  const uint64_t epoch = disk->epoch;
  bool well = begin_writing (disk, deadline_us, fault);
  if (well) {
    well = ragify_connection_execute (disk->writer, "BEGIN IMMEDIATE", fault) &&
           entries_remove (disk->writer, entry_id (key), &removed, fault);
    well = end_writing (disk, well, &damage, fault);
  }
  if (well)
    disk->entries -= removed;
  *count = (uint64_t)removed;
  leave (disk, epoch, damage, fault);
  return well;
}

bool
disk_clear_all (Disk *disk, uint64_t *count, RagifyFault *fault)
{
  if (!enter (disk, true, fault))
    return false;
  (void)pthread_rwlock_unlock (&disk->lock);
  (void)pthread_rwlock_wrlock (&disk->lock);
  *count = (uint64_t)MAX (disk->entries, 0);
  close_connections (disk);
  move_files (disk, NULL);
  disk->epoch++;
  disk->eviction.hand = 0;
  open_locked (disk);
  const bool well = disk->writable;
  if (!well)
    *fault = disk->fault;
  (void)pthread_rwlock_unlock (&disk->lock);
  return well;
}

/* One step of clearing what has expired. */
static bool
expire_some (Disk *disk, uint64_t deadline_us, int64_t *removed, bool *damage, RagifyFault *fault)
{
  if (!begin_writing (disk, deadline_us, fault))
    return false;
  bool well = ragify_connection_execute (disk->writer, "BEGIN IMMEDIATE", fault) &&
              entries_expire (disk->writer, disk->host->wall_us (), EXPIRE_BATCH, removed, fault);
  well = end_writing (disk, well, damage, fault);
  if (well)
    disk->entries -= *removed;
  return well;
}

bool
disk_clear_expired (Disk *disk, uint64_t deadline_us, uint64_t *count, RagifyFault *fault)
{
  int64_t removed = 0;
  bool well = true;
  *count = 0;
  do { /* in pieces, so that others come to write in between */
    bool damage = false;
    if (!enter (disk, true, fault))
      return false;
    const uint64_t epoch = disk->epoch;
    well = expire_some (disk, deadline_us, &removed, &damage, fault);
    *count += well ? (uint64_t)removed : 0;
    leave (disk, epoch, damage, fault);
    if (well && removed == EXPIRE_BATCH && disk->host->clock_us () >= deadline_us)
      return ragify_fault_set (fault, RAGIFY_E_TIMEOUT, "%" G_GUINT64_FORMAT " entries are gone, others not yet",
                               *count);
  } while (well && removed == EXPIRE_BATCH);
  return well;
}

bool
disk_shrink (Disk *disk, uint64_t bytes, uint64_t deadline_us, uint64_t *count, RagifyFault *fault)
{
  bool damage = false;
  if (!enter (disk, true, fault))
    return false;
  const uint64_t epoch = disk->epoch;
  bool well = begin_writing (disk, deadline_us, fault);
  if (well) {
    Eviction *eviction = &disk->eviction;
    const int64_t before = eviction->evicted + eviction->expired;
    well = ragify_connection_execute (disk->writer, "BEGIN IMMEDIATE", fault) &&
           entries_evict (disk->writer, eviction, (int64_t)MIN (bytes, (uint64_t)INT64_MAX), disk->host->wall_us (),
                          fault);
    *count = (uint64_t)(eviction->evicted + eviction->expired - before);
    well = end_writing (disk, well, &damage, fault);
  }
  if (well)
    disk->entries -= (int64_t)*count;
  leave (disk, epoch, damage, fault);
  return well;
}

bool
disk_check (Disk *disk, RagifyFault *fault)
{
  static const uint8_t nobody[] = "no such key";
  RagifyBuffer *value = NULL;
  uint64_t ttl_us = 0;
  if (!disk_get (disk, (RagifyBytes){ nobody, sizeof nobody }, 0, &value, &ttl_us, fault) || !enter (disk, true, fault))
    return false;
  (void)pthread_rwlock_unlock (&disk->lock);
  return true;
}

DiskStats
disk_stats (Disk *disk)
{
  return (DiskStats){ .entries = (uint64_t)MAX (disk->entries, 0),
                      .bytes = disk->bytes,
                      .hits = disk->hits,
                      .misses = disk->misses,
                      .sets = disk->sets,
                      .evictions = disk->evictions,
                      .expired = disk->expired,
                      .rejected = disk->rejected,
                      .damaged = disk->damaged,
                      .rebuilt = disk->rebuilt,
                      .errors = disk->errors };
}
