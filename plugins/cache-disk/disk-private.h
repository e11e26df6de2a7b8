/* The inside of a Disk, for disk.c, which opens its file and lets users in, and disk-operations.c, which uses it. */
#ifndef RAGIFY_CACHE_DISK_DISK_PRIVATE_H
#define RAGIFY_CACHE_DISK_DISK_PRIVATE_H

#include "disk.h"
#include "entries.h"

#include <pthread.h>
#include <stdatomic.h>

#define READERS_MAX 32

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

/* Holds the file for use; false with the fault that makes it unusable. */
bool disk_enter (Disk *disk, bool to_write, RagifyFault *fault);
/* Leaves; a damaged file is replaced, by the first who found that. `epoch`: what it was when it was entered. */
void disk_leave (Disk *disk, uint64_t epoch, bool damage, const RagifyFault *fault);
/* Whether what just failed on the connection is the file's own damage. */
bool disk_is_damage (RagifyConnection *connection);

/* A connection to read by, for one who has entered. NULL with a fault. */
RagifyConnection *disk_take_reader (Disk *disk, RagifyFault *fault);
void disk_give_reader (Disk *disk, RagifyConnection *reader);

/* Waits until nobody else writes; false when that took too long. */
bool disk_take_turn (Disk *disk, const struct timespec *end);
void disk_give_turn (Disk *disk);
/* The same with a fault. */
bool disk_begin_writing (Disk *disk, uint64_t deadline_us, RagifyFault *fault);
/* Ends the transaction, for good or for nothing, notes what is in use, and gives the turn. */
bool disk_end_writing (Disk *disk, bool well, bool *damage, RagifyFault *fault);

/* Under the lock for writing. */
void disk_close_connections (Disk *disk);
/* The database's files: moved away, or removed where `to` is NULL. */
void disk_move_files (Disk *disk, const char *to);
void disk_open_locked (Disk *disk);

#endif
