/* The store's truth: one SQLite file in a folder of its own, its writer, and a pool of readers.
 *
 * Files: store.db (with -wal and -shm beside it), and lock, which is held while the store is open for writing.
 * A folder that cannot be written is opened for reading; then there is no writer. A database in memory has no files. */
#ifndef RAGIFY_DATABASE_H
#define RAGIFY_DATABASE_H

#include "connection.h"

#define RAGIFY_STORE_FORMAT 1 /* of the file; grows when older versions could not read it: migrations in database.c */

typedef struct RagifyDatabase RagifyDatabase;

typedef struct RagifyDatabaseOptions {
  const char *folder;    /* absolute; made where it is not there; NULL: in memory alone, and gone when it is closed */
  uint64_t lock_wait_us; /* how long another process may keep the lock */
  uint64_t cache_bytes;  /* pages kept by each connection */
  uint32_t readers;      /* connections for reading, at most */
} RagifyDatabaseOptions;

/* What stands in the file's own table of facts. */
typedef struct RagifyDatabaseHead {
  RagifyGeneration generation;
  uint64_t horizon;   /* deletions up to this generation are no longer known */
  uint32_t dimension; /* of the vectors; 0: none were ever written */
  char *fingerprint;  /* of their embedder; owned by whoever read it */
} RagifyDatabaseHead;

RagifyDatabase *ragify_database_open (const RagifyDatabaseOptions *options, RagifyFault *fault);
void ragify_database_close (RagifyDatabase *database);

/* For people. */
const char *ragify_database_folder (const RagifyDatabase *database);

/* Why it cannot be written, or NULL. */
const char *ragify_database_read_only (const RagifyDatabase *database);

/* [any] A connection of this thread's own, until given back. Waits for one when all are in use. */
RagifyConnection *ragify_database_borrow (RagifyDatabase *database, RagifyFault *fault);
void ragify_database_give_back (RagifyDatabase *database, RagifyConnection *connection);

/* [any] The one connection that writes. Waits for the writer before until `deadline_us` (monotonic). */
RagifyConnection *ragify_database_begin_write (RagifyDatabase *database, uint64_t deadline_us, RagifyFault *fault);
/* Writing is over for good: another may open the folder, while this one goes on reading. Between begin_write and
 * end_write. */
void ragify_database_retire (RagifyDatabase *database);
/* Rolls back what is not committed. */
void ragify_database_end_write (RagifyDatabase *database);

/* Reads the facts, in the transaction that is open or one of its own. */
bool ragify_database_read_head (RagifyConnection *connection, RagifyDatabaseHead *head, RagifyFault *fault);

/* The generation alone. */
bool ragify_database_read_generation (RagifyConnection *connection, uint64_t *generation, RagifyFault *fault);

/* A fact that is text, to be freed; "" where it is not there. */
bool ragify_database_read_text (RagifyConnection *connection, const char *name, char **text, RagifyFault *fault);

/* An id for a store. */
bool ragify_database_new_id (RagifyUuid *uuid, RagifyFault *fault);

/* Gives the store in `file`, which nobody has open, another id. */
bool ragify_database_set_id (const char *file, const RagifyUuid *store, RagifyFault *fault);

/* Changes one fact. */
bool ragify_database_write_fact (RagifyConnection *connection, const char *name, int64_t value, RagifyFault *fault);
bool
ragify_database_write_fact_text (RagifyConnection *connection, const char *name, RagifyStr value, RagifyFault *fault);

#endif
