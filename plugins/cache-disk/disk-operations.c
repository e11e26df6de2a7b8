#include "disk-private.h"

#include <glib.h>
#include <string.h>

#define EXPIRE_BATCH 200

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
  if (!disk->writable || !disk_take_turn (disk, &(const struct timespec){ 0 }))
    return;
  if (entries_remove (disk->writer, id, &removed, &ignored))
    disk->entries -= removed;
  disk_give_turn (disk);
}

bool
disk_get (Disk *disk, RagifyBytes key, uint64_t ttl_max_us, RagifyBuffer **value, uint64_t *ttl_us, RagifyFault *fault)
{
  Entry entry = { .key = key };
  sqlite3_stmt *statement = NULL;
  *value = NULL;
  *ttl_us = 0;
  if (!disk_enter (disk, false, fault))
    return false;
  const uint64_t epoch = disk->epoch;
  RagifyConnection *reader = disk_take_reader (disk, fault);
  EntryState state = ENTRY_FAILED;
  bool damage = reader == NULL && fault->code == RAGIFY_E_INTERNAL;
  if (reader != NULL) {
    state = entries_find (reader, &entry, &statement, fault);
    damage = state == ENTRY_FAILED && disk_is_damage (reader);
    if (state == ENTRY_FOUND && !take_value (disk, &entry, ttl_max_us, value, ttl_us, fault))
      state = ENTRY_FAILED;
    entries_end_find (statement);
    disk_give_reader (disk, reader);
  }
  if (state == ENTRY_DAMAGED)
    drop_damaged (disk, entry.id);
  if (state == ENTRY_FAILED)
    disk->errors++;
  else if (*value != NULL)
    disk->hits++;
  else
    disk->misses++;
  disk_leave (disk, epoch, damage, fault);
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
  if (!disk_enter (disk, true, fault))
    return false;
  const uint64_t epoch = disk->epoch;
  bool well = disk_begin_writing (disk, deadline_us, fault);
  if (well) {
    well = put_and_evict (disk, &entry, fault);
    well = disk_end_writing (disk, well, &damage, fault);
  }
  if (well)
    disk->sets++;
  disk_leave (disk, epoch, damage, fault);
  return well;
}

bool
disk_remove (Disk *disk, RagifyBytes key, uint64_t deadline_us, uint64_t *count, RagifyFault *fault)
{
  int64_t removed = 0;
  bool damage = false;
  if (!disk_enter (disk, true, fault))
    return false;
  const uint64_t epoch = disk->epoch;
  bool well = disk_begin_writing (disk, deadline_us, fault);
  if (well) {
    well = ragify_connection_execute (disk->writer, "BEGIN IMMEDIATE", fault) &&
           entries_remove (disk->writer, entry_id (key), &removed, fault);
    well = disk_end_writing (disk, well, &damage, fault);
  }
  if (well)
    disk->entries -= removed;
  *count = (uint64_t)removed;
  disk_leave (disk, epoch, damage, fault);
  return well;
}

bool
disk_clear_all (Disk *disk, uint64_t *count, RagifyFault *fault)
{
  if (!disk_enter (disk, true, fault))
    return false;
  (void)pthread_rwlock_unlock (&disk->lock);
  (void)pthread_rwlock_wrlock (&disk->lock);
  *count = (uint64_t)MAX (disk->entries, 0);
  disk_close_connections (disk);
  disk_move_files (disk, NULL);
  disk->epoch++;
  disk->eviction.hand = 0;
  disk_open_locked (disk);
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
  if (!disk_begin_writing (disk, deadline_us, fault))
    return false;
  bool well = ragify_connection_execute (disk->writer, "BEGIN IMMEDIATE", fault) &&
              entries_expire (disk->writer, disk->host->wall_us (), EXPIRE_BATCH, removed, fault);
  well = disk_end_writing (disk, well, damage, fault);
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
    if (!disk_enter (disk, true, fault))
      return false;
    const uint64_t epoch = disk->epoch;
    well = expire_some (disk, deadline_us, &removed, &damage, fault);
    *count += well ? (uint64_t)removed : 0;
    disk_leave (disk, epoch, damage, fault);
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
  if (!disk_enter (disk, true, fault))
    return false;
  const uint64_t epoch = disk->epoch;
  bool well = disk_begin_writing (disk, deadline_us, fault);
  if (well) {
    Eviction *eviction = &disk->eviction;
    const int64_t before = eviction->evicted + eviction->expired;
    well = ragify_connection_execute (disk->writer, "BEGIN IMMEDIATE", fault) &&
           entries_evict (disk->writer, eviction, (int64_t)MIN (bytes, (uint64_t)INT64_MAX), disk->host->wall_us (),
                          fault);
    *count = (uint64_t)(eviction->evicted + eviction->expired - before);
    well = disk_end_writing (disk, well, &damage, fault);
  }
  if (well)
    disk->entries -= (int64_t)*count;
  disk_leave (disk, epoch, damage, fault);
  return well;
}

bool
disk_check (Disk *disk, RagifyFault *fault)
{
  static const uint8_t nobody[] = "no such key";
  RagifyBuffer *value = NULL;
  uint64_t ttl_us = 0;
  if (!disk_get (disk, (RagifyBytes){ nobody, sizeof nobody }, 0, &value, &ttl_us, fault) ||
      !disk_enter (disk, true, fault))
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
