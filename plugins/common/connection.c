#include "connection.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define STATEMENT_ROOM 96
#define BUSY_TIMEOUT_MS 5000

typedef struct {
  const char *sql;
  sqlite3_stmt *statement;
} Prepared;

struct RagifyConnection {
  sqlite3 *handle;
  char *path;
  int count;
  Prepared prepared[STATEMENT_ROOM];
};

static bool
fail_as (RagifyConnection *connection, RagifyFault *fault, int32_t code, const char *what)
{
  return ragify_fault_set (fault, code, "%s: %s (SQLite: %s, %d)", connection->path, what,
                           sqlite3_errmsg (connection->handle), sqlite3_extended_errcode (connection->handle));
}

/* SQLite's code as one of ours, with what a person can do about it. Always false. */
static bool
fail (RagifyConnection *connection, RagifyFault *fault)
{
  int code = sqlite3_extended_errcode (connection->handle);
  int cause = sqlite3_system_errno (connection->handle);
  switch (code & 0xff) {
  case SQLITE_FULL:
    return fail_as (connection, fault, RAGIFY_E_EXHAUSTED, "the disk is full");
  case SQLITE_NOMEM:
    return fail_as (connection, fault, RAGIFY_E_EXHAUSTED, "memory is exhausted");
  case SQLITE_READONLY:
  case SQLITE_PERM:
    return fail_as (connection, fault, RAGIFY_E_UNAVAILABLE, "the data folder is read-only");
  case SQLITE_BUSY:
  case SQLITE_LOCKED:
    return fail_as (connection, fault, RAGIFY_E_UNAVAILABLE, "another process holds the file locked");
  case SQLITE_CORRUPT:
  case SQLITE_NOTADB:
    return fail_as (connection, fault, RAGIFY_E_INTERNAL,
                    "the file is damaged; restore a backup, or remove the folder and fill it again");
  case SQLITE_IOERR:
    if (cause == ENOSPC || cause == EDQUOT)
      return fail_as (connection, fault, RAGIFY_E_EXHAUSTED, "the disk is full");
    if (cause == EFBIG)
      return fail_as (connection, fault, RAGIFY_E_EXHAUSTED, "a file may not become larger (ulimit -f)");
    if (cause == EROFS)
      return fail_as (connection, fault, RAGIFY_E_UNAVAILABLE, "the data folder is read-only");
    return fail_as (connection, fault, RAGIFY_E_UNAVAILABLE, "reading or writing failed");
  case SQLITE_CANTOPEN:
    return fail_as (connection, fault, RAGIFY_E_UNAVAILABLE, cause != 0 ? strerror (cause) : "cannot be opened");
  default:
    return fail_as (connection, fault, RAGIFY_E_INTERNAL, "an operation failed");
  }
}

/* A file name as a URI: what is special there is escaped. */
static char *
make_uri (const char *path, const char *query)
{
  char *uri = malloc (strlen (path) * 3 + strlen (query) + 16);
  if (uri == NULL)
    return NULL;
  char *end = uri + sprintf (uri, "file:");
  for (const char *c = path; *c != '\0'; c++) {
    if (*c == '%' || *c == '?' || *c == '#')
      end += sprintf (end, "%%%02x", (unsigned char)*c);
    else
      *end++ = *c;
  }
  memcpy (end, query, strlen (query) + 1);
  return uri;
}

static bool
has_log (const char *path)
{
  char log[4096];
  struct stat status;
  if (snprintf (log, sizeof log, "%s-wal", path) >= (int)sizeof log)
    return false;
  return stat (log, &status) == 0 && status.st_size > 0;
}

/* Without a write-ahead log nothing can change in a folder that cannot be written, and SQLite needs to be told so: it
 * would want to make its shared index there. With a log it must read it, or commits would be missing. */
static int
open_handle (const char *path, RagifyConnectionMode mode, sqlite3 **handle)
{
  int flags = SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX;
  flags |= mode == RAGIFY_CONNECTION_READ_ONLY ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE;
  if (mode == RAGIFY_CONNECTION_WRITE || mode == RAGIFY_CONNECTION_MEMORY)
    flags |= SQLITE_OPEN_CREATE;
  bool frozen = mode == RAGIFY_CONNECTION_READ_ONLY && !has_log (path);
  const char *query = mode == RAGIFY_CONNECTION_MEMORY ? "?vfs=memdb" : frozen ? "?immutable=1" : "";
  char *uri = make_uri (path, query);
  if (uri == NULL)
    return SQLITE_NOMEM;
  int code = sqlite3_open_v2 (uri, handle, flags, NULL);
  free (uri);
  return code;
}

static bool
set_up (RagifyConnection *connection, RagifyConnectionMode mode, uint64_t cache_bytes, RagifyFault *fault)
{
  char sql[160];
  (void)sqlite3_extended_result_codes (connection->handle, 1);
  (void)sqlite3_busy_timeout (connection->handle, BUSY_TIMEOUT_MS);
  (void)snprintf (sql, sizeof sql, "PRAGMA cache_size=-%llu; PRAGMA temp_store=MEMORY; PRAGMA trusted_schema=OFF",
                  (unsigned long long)cache_bytes / 1024 + 1);
  if (!ragify_connection_execute (connection, sql, fault))
    return false;
  if (mode != RAGIFY_CONNECTION_WRITE)
    return true;
  /* FULL: a commit is on the disk when it returns. The log is cut back after a large batch made it long. */
  return ragify_connection_execute (connection,
                                    "PRAGMA page_size=8192; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
                                    "PRAGMA journal_size_limit=33554432",
                                    fault);
}

RagifyConnection *
ragify_connection_open (const char *path, RagifyConnectionMode mode, uint64_t cache_bytes, RagifyFault *fault)
{
  RagifyConnection *connection = calloc (1, sizeof *connection);
  char *copy = strdup (path);
  if (connection == NULL || copy == NULL) {
    free (connection);
    free (copy);
    ragify_fault_memory (fault);
    return NULL;
  }
  connection->path = copy;
  int code = open_handle (path, mode, &connection->handle);
  bool ok = false;
  if (code != SQLITE_OK && connection->handle == NULL)
    ragify_fault_memory (fault);
  else if (code != SQLITE_OK)
    fail (connection, fault);
  else
    ok = set_up (connection, mode, cache_bytes, fault);
  if (ok)
    return connection;
  ragify_connection_close (connection);
  return NULL;
}

void
ragify_connection_close (RagifyConnection *connection)
{
  if (connection == NULL)
    return;
  for (int i = 0; i < connection->count; i++)
    (void)sqlite3_finalize (connection->prepared[i].statement);
  (void)sqlite3_close (connection->handle);
  free (connection->path);
  free (connection);
}

sqlite3_stmt *
ragify_connection_prepare (RagifyConnection *connection, const char *sql, RagifyFault *fault)
{
  for (int i = 0; i < connection->count; i++) {
    if (connection->prepared[i].sql == sql) {
      (void)sqlite3_clear_bindings (connection->prepared[i].statement);
      return connection->prepared[i].statement;
    }
  }
  if (connection->count == STATEMENT_ROOM) {
    ragify_fault_set (fault, RAGIFY_E_INTERNAL, "more than %d different statements", STATEMENT_ROOM);
    return NULL;
  }
  sqlite3_stmt *statement = NULL;
  if (sqlite3_prepare_v3 (connection->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, NULL) != SQLITE_OK) {
    fail (connection, fault);
    return NULL;
  }
  connection->prepared[connection->count++] = (Prepared){ .sql = sql, .statement = statement };
  return statement;
}

bool
ragify_connection_execute (RagifyConnection *connection, const char *sql, RagifyFault *fault)
{
  if (sqlite3_exec (connection->handle, sql, NULL, NULL, NULL) == SQLITE_OK)
    return true;
  return fail (connection, fault);
}

int
ragify_connection_step (RagifyConnection *connection, sqlite3_stmt *statement, RagifyFault *fault)
{
  int code = sqlite3_step (statement);
  if (code == SQLITE_ROW)
    return 1;
  if (code != SQLITE_DONE)
    fail (connection, fault);
  (void)sqlite3_reset (statement);
  return code == SQLITE_DONE ? 0 : -1;
}

bool
ragify_connection_run (RagifyConnection *connection, sqlite3_stmt *statement, RagifyFault *fault)
{
  int answer;
  do
    answer = ragify_connection_step (connection, statement, fault);
  while (answer > 0);
  return answer == 0;
}

int64_t
ragify_connection_last_row (RagifyConnection *connection)
{
  return sqlite3_last_insert_rowid (connection->handle);
}

int64_t
ragify_connection_changes (RagifyConnection *connection)
{
  return sqlite3_changes (connection->handle);
}

sqlite3 *
ragify_connection_handle (RagifyConnection *connection)
{
  return connection->handle;
}

bool
ragify_connection_busy (RagifyConnection *connection)
{
  return sqlite3_get_autocommit (connection->handle) == 0;
}

void
ragify_bind_str (sqlite3_stmt *statement, int place, RagifyStr text)
{
  (void)sqlite3_bind_text64 (statement, place, text.size > 0 ? text.data : "", text.size, SQLITE_STATIC, SQLITE_UTF8);
}

void
ragify_bind_uuid (sqlite3_stmt *statement, int place, const RagifyUuid *uuid)
{
  (void)sqlite3_bind_blob (statement, place, uuid->bytes, sizeof uuid->bytes, SQLITE_STATIC);
}

RagifyStr
ragify_column_str (sqlite3_stmt *statement, int column)
{
  /* The text first: asking for it may convert, and then the size is another one. */
  const char *text = (const char *)sqlite3_column_text (statement, column);
  return ragify_str (text, text == NULL ? 0 : (size_t)sqlite3_column_bytes (statement, column));
}

RagifyUuid
ragify_column_uuid (sqlite3_stmt *statement, int column)
{
  RagifyUuid uuid = { { 0 } };
  const void *bytes = sqlite3_column_blob (statement, column);
  if (bytes != NULL && sqlite3_column_bytes (statement, column) == (int)sizeof uuid.bytes)
    memcpy (uuid.bytes, bytes, sizeof uuid.bytes);
  return uuid;
}
