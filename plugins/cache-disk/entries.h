/* The entries in the database: one row each, found by a hash of its key. Functions take the connection that they use;
 * who writes holds the only one that may. They return false, or -1, with a fault. */
#ifndef RAGIFY_CACHE_DISK_ENTRIES_H
#define RAGIFY_CACHE_DISK_ENTRIES_H

#include "connection.h"
#include "visited.h"

/* An entry's id. */
uint64_t entry_id (RagifyBytes key);

/* Makes the tables in an empty file. `version`: 0 for an empty file, the format's number otherwise; -1 with a fault. */
int64_t entries_version (RagifyConnection *connection, RagifyFault *fault);
bool entries_create (RagifyConnection *connection, RagifyFault *fault);
#define ENTRIES_VERSION 1

typedef struct Entry {
  uint64_t id;
  RagifyBytes key;
  RagifyBytes value;
  int64_t expires; /* wall clock, µs; 0: never */
} Entry;

typedef enum {
  ENTRY_FAILED = -1, /* with a fault */
  ENTRY_ABSENT,
  ENTRY_FOUND,
  ENTRY_DAMAGED, /* it is there, but its checksum says otherwise */
} EntryState;

/* Looks up `entry->key` and fills the rest. What it points to stays until entries_end_find(), which must follow in any
 * case. */
EntryState entries_find (RagifyConnection *connection, Entry *entry, sqlite3_stmt **statement, RagifyFault *fault);
void entries_end_find (sqlite3_stmt *statement);

/* Writes a row where there is none with that id; `place` orders the rows by age. */
bool entries_put (RagifyConnection *connection, const Entry *entry, int64_t place, RagifyFault *fault);
/* `*removed`: 1 or 0. */
bool entries_remove (RagifyConnection *connection, uint64_t id, int64_t *removed, RagifyFault *fault);
/* The largest place, and the number of rows. */
bool entries_survey (RagifyConnection *connection, int64_t *place, int64_t *count, RagifyFault *fault);

/* Bytes of the pages that are in use. -1 with a fault. */
int64_t entries_bytes (RagifyConnection *connection, RagifyFault *fault);

typedef struct Eviction {
  Visited *visited;
  int64_t hand;    /* the place that was looked at last */
  int64_t evicted; /* rows, in all */
  int64_t expired; /* likewise, whose time was over */
} Eviction;

/* Removes rows until at most `bytes` are in use (SIEVE; Zhang et al., NSDI 2024): the hand goes from old to new, spares
 * what was hit since it came by, and takes the rest. Nothing is moved, so a hit costs no write. */
bool entries_evict (RagifyConnection *connection, Eviction *eviction, int64_t bytes, int64_t now, RagifyFault *fault);

/* Removes at most `limit` rows whose time was over; `*removed` says how many. */
bool entries_expire (RagifyConnection *connection, int64_t now, int64_t limit, int64_t *removed, RagifyFault *fault);

#endif
