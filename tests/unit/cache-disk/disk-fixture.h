/* The disk level through its loaded plugin, in a folder of its own. */
#ifndef RAGIFY_CACHE_DISK_FIXTURE_H
#define RAGIFY_CACHE_DISK_FIXTURE_H

#include "kit.h"

#include <stddef.h>
#include <sys/types.h>

typedef struct Disk {
  char path[96];
  RagifyKit *kit;
  RagifyKitInstance *instance; /* NULL: not open */
  const RagifyCacheOperations *operations;
} Disk;

/* For cmocka: a Disk with a new folder, and the end of it. */
int disk_setup (void **state);
int disk_teardown (void **state);

/* Opens the level with more keys (ended by NULL; NULL: none). */
void disk_open (Disk *disk, const char *const *config);
/* Nothing may be left of it. */
void disk_close (Disk *disk);

RagifyBytes bytes_of (const char *text);

/* Codes of RAGIFY_E_…; what was said is in disk_said(). `timeout_us` 0: 60 s. */
int32_t disk_set (Disk *disk, RagifyBytes key, const void *data, uint64_t size, uint64_t ttl_us, uint64_t timeout_us);
/* `*value`: a reference of the caller's, or NULL for a miss; `ttl_us` may be NULL. */
int32_t disk_get (Disk *disk, RagifyBytes key, RagifyBuffer **value, uint64_t *ttl_us);
int32_t disk_remove (Disk *disk, RagifyBytes key, uint64_t *count);
int32_t disk_clear (Disk *disk, uint32_t scope, uint64_t target, uint64_t *count);
int32_t disk_probe (Disk *disk);
const char *disk_said (void); /* by the last call of this thread */
int64_t disk_stat (Disk *disk, const char *name);
off_t disk_file_size (const Disk *disk);

/* Short forms for text, that fail the test. `text` NULL: a miss. */
void must_set (Disk *disk, const char *key, const char *text);
void must_get (Disk *disk, const char *key, const char *text);
void must_fail (int32_t code, int32_t expected, const char *part);

/* This program again, with a folder and a number as its arguments, once it has written something to its standard
 * output; and its end by SIGKILL. */
pid_t fork_writer (const char *path, uint32_t number);
void kill_writer (pid_t writer);

#endif
