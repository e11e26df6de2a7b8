#include "database.h"

#include "folder.h"
#include "migration.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>

struct RagifyDatabase {
  char *folder;
  char *file;
  RagifyFolder *held; /* NULL: in memory, or retired */
  bool in_memory, writable;
  uint64_t cache_bytes;
  uint32_t reader_limit;
  RagifyConnection *writer;

  pthread_mutex_t mutex; /* guards what follows */
  pthread_cond_t changed;
  bool writing;
  uint32_t readers;
  uint32_t idle_count;
  RagifyConnection **idle;
};

/* A chunk's number is never used twice, so it also says which version of the chunk a vector belongs to. Its index by
 * uuid carries what a start must read, so that starting reads no content. */
static const char schema[] =
    "CREATE TABLE facts (name TEXT PRIMARY KEY, value) WITHOUT ROWID;"
    "CREATE TABLE metadata (number INTEGER PRIMARY KEY AUTOINCREMENT, hash INTEGER NOT NULL, json TEXT NOT NULL);"
    "CREATE INDEX metadata_hash ON metadata (hash);"
    "CREATE TABLE documents (number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,"
    "  generation INTEGER NOT NULL, live INTEGER NOT NULL, content_hash BLOB NOT NULL, chunks INTEGER NOT NULL,"
    "  staged INTEGER NOT NULL, staged_hash BLOB NOT NULL, created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL,"
    "  metadata INTEGER NOT NULL, uri TEXT NOT NULL, title TEXT NOT NULL);"
    "CREATE INDEX documents_generation ON documents (generation);"
    "CREATE TABLE chunks (number INTEGER PRIMARY KEY AUTOINCREMENT, uuid BLOB NOT NULL, staged INTEGER NOT NULL,"
    "  document INTEGER NOT NULL, ordinal INTEGER NOT NULL, generation INTEGER NOT NULL, metadata INTEGER NOT NULL,"
    "  first INTEGER NOT NULL, past INTEGER NOT NULL, created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL,"
    "  title TEXT, uri TEXT, content TEXT NOT NULL);"
    "CREATE INDEX chunks_uuid ON chunks (uuid, staged, metadata);"
    "CREATE INDEX chunks_document ON chunks (document, staged, ordinal);"
    "CREATE INDEX chunks_generation ON chunks (generation) WHERE staged = 0;"
    "CREATE INDEX chunks_metadata ON chunks (metadata) WHERE staged = 0;"
    "CREATE TABLE vectors (chunk INTEGER PRIMARY KEY, vector BLOB NOT NULL);"
    "CREATE TABLE removals (number INTEGER PRIMARY KEY AUTOINCREMENT, generation INTEGER NOT NULL, chunk BLOB,"
    "  document TEXT NOT NULL);"
    "CREATE INDEX removals_generation ON removals (generation);"
    "CREATE UNIQUE INDEX removals_chunk ON removals (chunk) WHERE chunk IS NOT NULL;"
    "CREATE UNIQUE INDEX removals_document ON removals (document) WHERE chunk IS NULL;";

/* What leads from older formats to RAGIFY_STORE_FORMAT: to raise it, change the schema above and say here how a file of
 * the former format comes to it. Steps stay as they are for ever. */
static const RagifyMigration migrations[] = { { 0, NULL } };

static const char *
read_only (const RagifyDatabase *database)
{
  return database->writable ? NULL : ragify_folder_read_only (database->held);
}

static char *
join (const char *folder, const char *name)
{
  char *path = malloc (strlen (folder) + strlen (name) + 2);
  if (path != NULL)
    (void)sprintf (path, "%s/%s", folder, name);
  return path;
}

bool
ragify_database_new_id (RagifyUuid *uuid, RagifyFault *fault)
{
  if (getrandom (uuid->bytes, sizeof uuid->bytes, 0) != (ssize_t)sizeof uuid->bytes)
    return ragify_fault_set (fault, RAGIFY_E_UNAVAILABLE, "no random numbers: %s", strerror (errno));
  uuid->bytes[6] = (uint8_t)((uuid->bytes[6] & 0x0f) | 0x40);
  uuid->bytes[8] = (uint8_t)((uuid->bytes[8] & 0x3f) | 0x80);
  return true;
}

static const char write_fact[] = "INSERT OR REPLACE INTO facts (name, value) VALUES (?1, ?2)";
static const char read_fact[] = "SELECT value FROM facts WHERE name = ?1";

bool
ragify_database_write_fact (RagifyConnection *connection, const char *name, int64_t value, RagifyFault *fault)
{
  sqlite3_stmt *statement = ragify_connection_prepare (connection, write_fact, fault);
  if (statement == NULL)
    return false;
  (void)sqlite3_bind_text (statement, 1, name, -1, SQLITE_STATIC);
  (void)sqlite3_bind_int64 (statement, 2, value);
  return ragify_connection_run (connection, statement, fault);
}

bool
ragify_database_write_fact_text (RagifyConnection *connection, const char *name, RagifyStr value, RagifyFault *fault)
{
  sqlite3_stmt *statement = ragify_connection_prepare (connection, write_fact, fault);
  if (statement == NULL)
    return false;
  (void)sqlite3_bind_text (statement, 1, name, -1, SQLITE_STATIC);
  ragify_bind_str (statement, 2, value);
  return ragify_connection_run (connection, statement, fault);
}

static bool
write_store_id (RagifyConnection *connection, const RagifyUuid *store, RagifyFault *fault)
{
  sqlite3_stmt *statement = ragify_connection_prepare (connection, write_fact, fault);
  if (statement == NULL)
    return false;
  (void)sqlite3_bind_text (statement, 1, "store", -1, SQLITE_STATIC);
  ragify_bind_uuid (statement, 2, store);
  return ragify_connection_run (connection, statement, fault);
}

static bool
make_schema (RagifyConnection *connection, RagifyFault *fault)
{
  RagifyUuid store;
  if (!ragify_database_new_id (&store, fault) || !ragify_connection_execute (connection, "BEGIN IMMEDIATE", fault))
    return false;
  if (ragify_connection_execute (connection, schema, fault) && write_store_id (connection, &store, fault) &&
      ragify_database_write_fact (connection, "format", RAGIFY_STORE_FORMAT, fault) &&
      ragify_database_write_fact (connection, "generation", 0, fault) &&
      ragify_database_write_fact (connection, "horizon", 0, fault) &&
      ragify_connection_execute (connection, "COMMIT", fault))
    return true;
  RagifyFault ignored;
  (void)ragify_connection_execute (connection, "ROLLBACK", &ignored);
  return false;
}

/* Reads one fact as a number; `missing` where it is not there. */
static bool
read_number (RagifyConnection *connection, const char *name, int64_t missing, int64_t *value, RagifyFault *fault)
{
  sqlite3_stmt *statement = ragify_connection_prepare (connection, read_fact, fault);
  if (statement == NULL)
    return false;
  (void)sqlite3_bind_text (statement, 1, name, -1, SQLITE_STATIC);
  int answer = ragify_connection_step (connection, statement, fault);
  if (answer < 0)
    return false;
  *value = answer == 0 ? missing : sqlite3_column_int64 (statement, 0);
  (void)sqlite3_reset (statement);
  return true;
}

/* 1 when the file has tables, 0 when it is new, -1 on failure. */
static int
has_schema (RagifyConnection *connection, RagifyFault *fault)
{
  static const char sql[] = "SELECT count(*) FROM sqlite_master";
  sqlite3_stmt *statement = ragify_connection_prepare (connection, sql, fault);
  if (statement == NULL || ragify_connection_step (connection, statement, fault) < 0)
    return -1;
  int found = sqlite3_column_int (statement, 0) > 0;
  (void)sqlite3_reset (statement);
  return found;
}

/* A file that has tables, but is no store of ours, must stay as it is; so this is asked before anything else. */
static bool
check_owner (const RagifyDatabase *database, RagifyFault *fault)
{
  static const char sql[] = "SELECT count(*) FROM sqlite_master WHERE name = 'facts'";
  RagifyFault ignored;
  struct stat status;
  if (database->in_memory || stat (database->file, &status) != 0 || status.st_size == 0)
    return true;
  RagifyConnection *connection =
      ragify_connection_open (database->file, RAGIFY_CONNECTION_READ_ONLY, database->cache_bytes, &ignored);
  /* What cannot be read is told by whoever opens it for good. */
  if (connection == NULL || has_schema (connection, &ignored) <= 0) {
    ragify_connection_close (connection);
    return true;
  }
  sqlite3_stmt *statement = ragify_connection_prepare (connection, sql, &ignored);
  int64_t format = 1;
  bool ours = statement == NULL || ragify_connection_step (connection, statement, &ignored) < 0 ||
              sqlite3_column_int (statement, 0) > 0;
  if (statement != NULL)
    (void)sqlite3_reset (statement);
  ours = ours && (!read_number (connection, "format", 0, &format, &ignored) || format != 0);
  ragify_connection_close (connection);
  return ours || ragify_fault_set (fault, RAGIFY_E_INVALID,
                                   "%s: it is not a store of Ragify, and was left as it is; name another `path`",
                                   database->file);
}

static bool
note_format (RagifyConnection *connection, int64_t format, RagifyFault *fault)
{
  return ragify_database_write_fact (connection, "format", format, fault);
}

static bool
check_format (const RagifyDatabase *database, RagifyConnection *connection, RagifyFault *fault)
{
  int64_t format;
  RagifyFault cause;
  if (!read_number (connection, "format", 0, &format, fault))
    return false;
  if (format < RAGIFY_STORE_FORMAT && read_only (database) != NULL)
    return ragify_fault_set (fault, RAGIFY_E_UNAVAILABLE,
                             "%s: its format %lld is to be brought to %d, but the folder is read-only (%s)",
                             database->file, (long long)format, RAGIFY_STORE_FORMAT, read_only (database));
  if (ragify_migration_run (connection, migrations, format, RAGIFY_STORE_FORMAT, note_format, &cause))
    return true;
  return ragify_fault_set (fault, cause.code, "%s: %s%s", database->file, cause.message,
                           format > RAGIFY_STORE_FORMAT ? "; a newer Ragify wrote it: use that version" : "");
}

static bool
check_schema (RagifyDatabase *database, RagifyConnection *connection, RagifyFault *fault)
{
  int found = has_schema (connection, fault);
  if (found < 0)
    return false;
  if (found == 0 && read_only (database) != NULL)
    return ragify_fault_set (fault, RAGIFY_E_UNAVAILABLE, "%s: there is no store yet, and the folder is read-only (%s)",
                             database->folder, read_only (database));
  return found == 0 ? make_schema (connection, fault) : check_format (database, connection, fault);
}

static bool
open_files (RagifyDatabase *database, RagifyFault *fault)
{
  RagifyConnectionMode mode = database->in_memory            ? RAGIFY_CONNECTION_MEMORY
                              : read_only (database) != NULL ? RAGIFY_CONNECTION_READ_ONLY
                                                             : RAGIFY_CONNECTION_WRITE;
  if (!check_owner (database, fault))
    return false;
  RagifyConnection *connection = ragify_connection_open (database->file, mode, database->cache_bytes, fault);
  if (connection == NULL)
    return false;
  if (!check_schema (database, connection, fault)) {
    ragify_connection_close (connection);
    return false;
  }
  if (read_only (database) == NULL) {
    database->writer = connection;
  } else {
    database->idle[database->idle_count++] = connection;
    database->readers = 1;
  }
  return true;
}

/* A name that no other database in this process has. */
static char *
make_name (void)
{
  static atomic_uint made;
  char name[40];
  (void)snprintf (name, sizeof name, "/ragify-store-%u", atomic_fetch_add (&made, 1));
  return strdup (name);
}

static RagifyDatabase *
make (const RagifyDatabaseOptions *options)
{
  RagifyDatabase *database = calloc (1, sizeof *database);
  if (database == NULL)
    return NULL;
  pthread_condattr_t attributes;
  (void)pthread_condattr_init (&attributes);
  (void)pthread_condattr_setclock (&attributes, CLOCK_MONOTONIC);
  (void)pthread_cond_init (&database->changed, &attributes);
  (void)pthread_condattr_destroy (&attributes);
  (void)pthread_mutex_init (&database->mutex, NULL);
  database->cache_bytes = options->cache_bytes;
  database->reader_limit = options->readers > 0 ? options->readers : 1;
  database->in_memory = options->folder == NULL;
  database->folder = strdup (database->in_memory ? "memory" : options->folder);
  database->file = database->in_memory ? make_name () : join (options->folder, "store.db");
  database->idle = calloc (database->reader_limit, sizeof (RagifyConnection *));
  if (database->folder != NULL && database->file != NULL && database->idle != NULL)
    return database;
  ragify_database_close (database);
  return NULL;
}

RagifyDatabase *
ragify_database_open (const RagifyDatabaseOptions *options, RagifyFault *fault)
{
  RagifyDatabase *database = make (options);
  if (database == NULL) {
    ragify_fault_memory (fault);
    return NULL;
  }
  if (!database->in_memory)
    database->held = ragify_folder_open (options->folder, options->lock_wait_us, fault);
  database->writable =
      database->in_memory || (database->held != NULL && ragify_folder_read_only (database->held) == NULL);
  if ((database->in_memory || database->held != NULL) && open_files (database, fault))
    return database;
  ragify_database_close (database);
  return NULL;
}

void
ragify_database_close (RagifyDatabase *database)
{
  if (database == NULL)
    return;
  for (uint32_t i = 0; database->idle != NULL && i < database->idle_count; i++)
    ragify_connection_close (database->idle[i]);
  /* The writer last: the last one out empties the write-ahead log into the file. */
  ragify_connection_close (database->writer);
  ragify_folder_close (database->held);
  (void)pthread_cond_destroy (&database->changed);
  (void)pthread_mutex_destroy (&database->mutex);
  free (database->idle);
  free (database->file);
  free (database->folder);
  free (database);
}

const char *
ragify_database_folder (const RagifyDatabase *database)
{
  return database->folder;
}

const char *
ragify_database_read_only (const RagifyDatabase *database)
{
  return read_only (database);
}

RagifyConnection *
ragify_database_borrow (RagifyDatabase *database, RagifyFault *fault)
{
  RagifyConnection *connection = NULL;
  (void)pthread_mutex_lock (&database->mutex);
  while (database->idle_count == 0 && database->readers == database->reader_limit)
    (void)pthread_cond_wait (&database->changed, &database->mutex);
  if (database->idle_count > 0)
    connection = database->idle[--database->idle_count];
  else
    database->readers++;
  (void)pthread_mutex_unlock (&database->mutex);
  if (connection != NULL)
    return connection;
  RagifyConnectionMode mode = database->in_memory            ? RAGIFY_CONNECTION_MEMORY
                              : read_only (database) != NULL ? RAGIFY_CONNECTION_READ_ONLY
                                                             : RAGIFY_CONNECTION_READ;
  connection = ragify_connection_open (database->file, mode, database->cache_bytes, fault);
  if (connection == NULL) {
    (void)pthread_mutex_lock (&database->mutex);
    database->readers--;
    (void)pthread_cond_broadcast (&database->changed);
    (void)pthread_mutex_unlock (&database->mutex);
  }
  return connection;
}

void
ragify_database_give_back (RagifyDatabase *database, RagifyConnection *connection)
{
  if (connection == NULL)
    return;
  if (ragify_connection_busy (connection)) {
    RagifyFault ignored;
    (void)ragify_connection_execute (connection, "ROLLBACK", &ignored);
  }
  (void)pthread_mutex_lock (&database->mutex);
  database->idle[database->idle_count++] = connection;
  (void)pthread_cond_broadcast (&database->changed);
  (void)pthread_mutex_unlock (&database->mutex);
}

RagifyConnection *
ragify_database_begin_write (RagifyDatabase *database, uint64_t deadline_us, RagifyFault *fault)
{
  if (read_only (database) != NULL) {
    ragify_fault_set (fault, RAGIFY_E_UNAVAILABLE, "%s: nothing can be written, the folder is read-only (%s)",
                      database->folder, read_only (database));
    return NULL;
  }
  struct timespec until = { .tv_sec = (time_t)(deadline_us / 1000000),
                            .tv_nsec = (long)(deadline_us % 1000000) * 1000 };
  int late = 0;
  (void)pthread_mutex_lock (&database->mutex);
  while (database->writing && late == 0)
    late = pthread_cond_timedwait (&database->changed, &database->mutex, &until);
  bool mine = !database->writing;
  bool retired = mine && database->writer == NULL;
  database->writing = database->writing || !retired;
  (void)pthread_mutex_unlock (&database->mutex);
  if (retired) {
    ragify_fault_set (fault, RAGIFY_E_UNAVAILABLE,
                      "%s: its vectors are those of another embedder now, which it is to be started with",
                      database->folder);
    return NULL;
  }
  if (mine)
    return database->writer;
  ragify_fault_set (fault, RAGIFY_E_TIMEOUT, "the writer before did not finish in time");
  return NULL;
}

void
ragify_database_retire (RagifyDatabase *database)
{
  ragify_connection_close (database->writer);
  database->writer = NULL;
  ragify_folder_close (database->held);
  database->held = NULL;
}

void
ragify_database_end_write (RagifyDatabase *database)
{
  if (database->writer != NULL && ragify_connection_busy (database->writer)) {
    RagifyFault ignored;
    (void)ragify_connection_execute (database->writer, "ROLLBACK", &ignored);
  }
  (void)pthread_mutex_lock (&database->mutex);
  database->writing = false;
  (void)pthread_cond_broadcast (&database->changed);
  (void)pthread_mutex_unlock (&database->mutex);
}

bool
ragify_database_read_generation (RagifyConnection *connection, uint64_t *generation, RagifyFault *fault)
{
  int64_t value;
  if (!read_number (connection, "generation", 0, &value, fault))
    return false;
  *generation = (uint64_t)value;
  return true;
}

bool
ragify_database_read_text (RagifyConnection *connection, const char *name, char **text, RagifyFault *fault)
{
  sqlite3_stmt *statement = ragify_connection_prepare (connection, read_fact, fault);
  if (statement == NULL)
    return false;
  (void)sqlite3_bind_text (statement, 1, name, -1, SQLITE_STATIC);
  int answer = ragify_connection_step (connection, statement, fault);
  if (answer < 0)
    return false;
  RagifyStr value = answer == 0 ? ragify_str (NULL, 0) : ragify_column_str (statement, 0);
  char *copy = strndup (value.size > 0 ? value.data : "", value.size);
  (void)sqlite3_reset (statement);
  if (copy == NULL)
    return ragify_fault_memory (fault);
  *text = copy;
  return true;
}

static bool
read_store_id (RagifyConnection *connection, RagifyUuid *store, RagifyFault *fault)
{
  sqlite3_stmt *statement = ragify_connection_prepare (connection, read_fact, fault);
  if (statement == NULL)
    return false;
  (void)sqlite3_bind_text (statement, 1, "store", -1, SQLITE_STATIC);
  int answer = ragify_connection_step (connection, statement, fault);
  if (answer < 0)
    return false;
  if (answer > 0)
    *store = ragify_column_uuid (statement, 0);
  (void)sqlite3_reset (statement);
  return true;
}

bool
ragify_database_read_head (RagifyConnection *connection, RagifyDatabaseHead *head, RagifyFault *fault)
{
  RagifyDatabaseHead found = { 0 };
  int64_t horizon, dimension;
  if (!read_store_id (connection, &found.generation.store, fault) ||
      !ragify_database_read_generation (connection, &found.generation.counter, fault) ||
      !read_number (connection, "horizon", 0, &horizon, fault) ||
      !read_number (connection, "dimension", 0, &dimension, fault) ||
      !ragify_database_read_text (connection, "fingerprint", &found.fingerprint, fault))
    return false;
  found.horizon = (uint64_t)horizon;
  found.dimension = (uint32_t)dimension;
  *head = found;
  return true;
}

bool
ragify_database_set_id (const char *file, const RagifyUuid *store, RagifyFault *fault)
{
  const uint64_t cache_bytes = 1 << 20;
  RagifyConnection *connection = ragify_connection_open (file, RAGIFY_CONNECTION_WRITE, cache_bytes, fault);
  bool ok = connection != NULL && write_store_id (connection, store, fault);
  ragify_connection_close (connection);
  return ok;
}
