/* A cache in one file, from any number of threads: readers beside each other and beside the one who writes. A damaged
 * file is set aside and a new one begun; a folder that cannot be used makes every call fail, and is tried again now and
 * then. */
#ifndef RAGIFY_CACHE_DISK_DISK_H
#define RAGIFY_CACHE_DISK_DISK_H

#include "fault.h"

#include <ragify/host.h>

typedef struct Disk Disk;

typedef struct DiskOptions {
  const char *path; /* a folder; made where it is missing */
  uint64_t max_bytes;
  const RagifyHost *host; /* for its clocks and log */
  RagifyContext *context;
} DiskOptions;

typedef struct DiskStats {
  uint64_t entries, bytes;
  uint64_t hits, misses, sets, evictions, expired;
  uint64_t rejected; /* values that are too large for the cache */
  uint64_t damaged;  /* entries whose checksum was wrong */
  uint64_t rebuilt;  /* files that were set aside */
  uint64_t errors;
} DiskStats;

/* Copies the options; nothing is opened. [control] */
Disk *disk_new (const DiskOptions *options);
void disk_free (Disk *disk); /* [control] */

/* Opens the file; a failure is not the end, since every call tries again. [worker] */
bool disk_open (Disk *disk, RagifyFault *fault);
void disk_close (Disk *disk);

/* [any] A new bound; what is too much goes with the next set. */
void disk_set_max_bytes (Disk *disk, uint64_t max_bytes);

/* The value with a reference for the caller, or NULL for a miss. `ttl_max_us`: no entry lives longer than this from now
 * (0: no bound), whatever its row says. `*ttl_us`: what is left; 0: no end. [worker] */
bool
disk_get (Disk *disk, RagifyBytes key, uint64_t ttl_max_us, RagifyBuffer **value, uint64_t *ttl_us, RagifyFault *fault);
/* `ttl_us` 0: no end. Waits for other writers until `deadline_us`. [worker] */
bool
disk_set (Disk *disk, RagifyBytes key, RagifyBytes value, uint64_t ttl_us, uint64_t deadline_us, RagifyFault *fault);
bool disk_remove (Disk *disk, RagifyBytes key, uint64_t deadline_us, uint64_t *count, RagifyFault *fault);
/* Everything, and its file; what has expired; the least useful until at most `bytes` are in use. [worker] */
bool disk_clear_all (Disk *disk, uint64_t *count, RagifyFault *fault);
bool disk_clear_expired (Disk *disk, uint64_t deadline_us, uint64_t *count, RagifyFault *fault);
bool disk_shrink (Disk *disk, uint64_t bytes, uint64_t deadline_us, uint64_t *count, RagifyFault *fault);

/* Whether it can be read, and written. [worker] */
bool disk_check (Disk *disk, RagifyFault *fault);
DiskStats disk_stats (Disk *disk); /* [worker] */

#endif
