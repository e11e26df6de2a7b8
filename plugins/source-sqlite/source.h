/* One instance: a database file that is only read, with a connection for each query that runs at once.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef SQLITE_SOURCE_H
#define SQLITE_SOURCE_H

#include <glib.h>
#include <pthread.h>
#include <ragify/ragify.h>
#include <sqlite3.h>

#include "fault.h"
#include "record.h"

typedef struct SqliteSource {
  const RagifyHost *host;
  RagifyContext *context;
  RagifyColumnNames columns;
  gboolean usual_names; /* a statement of the assembler's */
  char *path;
  char *sql;
  char *scan_sql;
  guint64 busy_us, max_result;
  pthread_mutex_t lock; /* guards what follows */
  GPtrArray *idle;      /* of SqliteReader */
  guint32 told;
} SqliteSource;

/* A connection with its statement. One thread at a time. */
typedef struct SqliteReader {
  sqlite3 *handle;
  sqlite3_stmt *statement; /* the query's, prepared once */
  const SqliteSource *source;
  RagifyCall *call; /* that it works for */
  guint64 deadline;
} SqliteReader;

/* NULL with a fault that names the file. */
SqliteReader *sqlite_reader_open (SqliteSource *source, RagifyFault *fault);
void sqlite_reader_free (SqliteReader *reader);

/* The operations. [worker] */
void sqlite_source_query (void *instance, RagifyCall *call, const RagifySourceQuery *args);
void sqlite_source_scan (void *instance, RagifyCall *call, const RagifySourceScan *args);
void sqlite_source_probe (void *instance, RagifyCall *call, const RagifyNothing *args);

#endif
