/* One connection to a SQLite file, with its prepared statements. One thread at a time. */
#ifndef RAGIFY_CONNECTION_H
#define RAGIFY_CONNECTION_H

#include "fault.h"

#include <sqlite3.h>

typedef struct RagifyConnection RagifyConnection;

typedef enum {
  RAGIFY_CONNECTION_WRITE,     /* makes the file where there is none */
  RAGIFY_CONNECTION_READ,      /* beside a writer */
  RAGIFY_CONNECTION_READ_ONLY, /* of a folder that cannot be written */
  RAGIFY_CONNECTION_MEMORY,    /* no file: `path` is a name that all connections of this process to the same database
                                  have; it is gone with the last of them */
} RagifyConnectionMode;

/* `path` is the database file; `cache_bytes` bounds the pages that the connection keeps. */
RagifyConnection *
ragify_connection_open (const char *path, RagifyConnectionMode mode, uint64_t cache_bytes, RagifyFault *fault);
void ragify_connection_close (RagifyConnection *connection);

/* The statement for `sql`, a constant that is recognised by its address: prepared once, handed out reset and with
 * nothing bound. NULL on failure. At most one use of a statement at a time. */
sqlite3_stmt *ragify_connection_prepare (RagifyConnection *connection, const char *sql, RagifyFault *fault);

/* Runs statements that return nothing. */
bool ragify_connection_execute (RagifyConnection *connection, const char *sql, RagifyFault *fault);

/* Runs a prepared statement to its end, and resets it. */
bool ragify_connection_run (RagifyConnection *connection, sqlite3_stmt *statement, RagifyFault *fault);

/* Steps: 1 a row, 0 the end (the statement is reset), -1 failed (reset too). */
int ragify_connection_step (RagifyConnection *connection, sqlite3_stmt *statement, RagifyFault *fault);

int64_t ragify_connection_last_row (RagifyConnection *connection);
int64_t ragify_connection_changes (RagifyConnection *connection);

/* For what is not here. */
sqlite3 *ragify_connection_handle (RagifyConnection *connection);

/* Whether a transaction is open. */
bool ragify_connection_busy (RagifyConnection *connection);

/* Binding and reading of our own types. Bound memory must stay until the statement is reset. */
void ragify_bind_str (sqlite3_stmt *statement, int place, RagifyStr text);
void ragify_bind_uuid (sqlite3_stmt *statement, int place, const RagifyUuid *uuid);
RagifyStr ragify_column_str (sqlite3_stmt *statement, int column);
/* All 0 where the column is not 16 bytes. */
RagifyUuid ragify_column_uuid (sqlite3_stmt *statement, int column);

#endif
