/* Files of older formats are brought to today's step by step, or left as they are. */
#include "migration.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* A made-up history: format 2 gave notes a language, format 3 counts them. */
static const RagifyMigration history[] = {
  { 2, "CREATE TABLE counts (language TEXT PRIMARY KEY, notes INTEGER NOT NULL);"
       "INSERT INTO counts SELECT language, count(*) FROM notes GROUP BY language" },
  { 1, "ALTER TABLE notes ADD COLUMN language TEXT NOT NULL DEFAULT 'en'" },
  { 0, NULL },
};
static const RagifyMigration broken[] = {
  { 1, "ALTER TABLE notes ADD COLUMN language TEXT NOT NULL DEFAULT 'en'" },
  { 2, "DELETE FROM notes; INSERT INTO no_such_table VALUES (1)" },
  { 0, NULL },
};
static const RagifyMigration with_a_gap[] = { { 1, "DELETE FROM notes" }, { 3, "DELETE FROM notes" }, { 0, NULL } };

typedef struct {
  char path[64];
  RagifyConnection *connection;
} File;

static bool
note (RagifyConnection *connection, int64_t format, RagifyFault *fault)
{
  char sql[80];
  (void)snprintf (sql, sizeof sql, "UPDATE facts SET value = %d WHERE name = 'format'", (int)format);
  return ragify_connection_execute (connection, sql, fault);
}

static void
must_run (File *file, const char *sql)
{
  RagifyFault fault;
  if (!ragify_connection_execute (file->connection, sql, &fault))
    fail_msg ("%s", fault.message);
}

static int64_t
ask (File *file, const char *sql)
{
  sqlite3_stmt *statement = NULL;
  assert_int_equal (sqlite3_prepare_v2 (ragify_connection_handle (file->connection), sql, -1, &statement, NULL),
                    SQLITE_OK);
  assert_int_equal (sqlite3_step (statement), SQLITE_ROW);
  int64_t value = sqlite3_column_int64 (statement, 0);
  (void)sqlite3_finalize (statement);
  return value;
}

static int64_t
format_of (File *file)
{
  return ask (file, "SELECT value FROM facts WHERE name = 'format'");
}

/* As the first format left it. */
static int
set_up (void **state)
{
  File *file = calloc (1, sizeof *file);
  RagifyFault fault;
  strcpy (file->path, "/tmp/ragify-migration-XXXXXX");
  (void)close (mkstemp (file->path));
  file->connection = ragify_connection_open (file->path, RAGIFY_CONNECTION_WRITE, 1 << 20, &fault);
  assert_non_null (file->connection);
  must_run (file, "CREATE TABLE facts (name TEXT PRIMARY KEY, value); INSERT INTO facts VALUES ('format', 1);"
                  "CREATE TABLE notes (text TEXT NOT NULL); INSERT INTO notes VALUES ('one'), ('two'), ('three')");
  *state = file;
  return 0;
}

static int
tear_down (void **state)
{
  File *file = *state;
  ragify_connection_close (file->connection);
  (void)unlink (file->path);
  free (file);
  return 0;
}

static void
test_every_step_is_taken_in_order (void **state)
{
  File *file = *state;
  RagifyFault fault;
  assert_true (ragify_migration_run (file->connection, history, 1, 3, note, &fault));
  assert_int_equal (format_of (file), 3);
  assert_int_equal (ask (file, "SELECT notes FROM counts WHERE language = 'en'"), 3);
  /* There is nothing left to do. */
  assert_true (ragify_migration_run (file->connection, history, 3, 3, note, &fault));
  assert_int_equal (ask (file, "SELECT count(*) FROM notes"), 3);
}

/* As a process leaves it that was killed between the two. */
static void
test_it_goes_on_where_it_was (void **state)
{
  File *file = *state;
  RagifyFault fault;
  assert_true (ragify_migration_run (file->connection, history, 1, 2, note, &fault));
  assert_int_equal (format_of (file), 2);
  assert_true (ragify_migration_run (file->connection, history, format_of (file), 3, note, &fault));
  assert_int_equal (ask (file, "SELECT notes FROM counts WHERE language = 'en'"), 3);
}

static void
test_a_step_that_fails_changes_nothing (void **state)
{
  File *file = *state;
  RagifyFault fault;
  assert_false (ragify_migration_run (file->connection, broken, 1, 3, note, &fault));
  assert_int_equal (format_of (file), 2); /* which is whole */
  assert_int_equal (ask (file, "SELECT count(*) FROM notes"), 3);
  assert_false (ragify_connection_busy (file->connection));
  assert_true (ragify_migration_run (file->connection, history, 2, 3, note, &fault));
}

static void
test_other_formats_are_refused_with_those_that_can_be_read (void **state)
{
  File *file = *state;
  RagifyFault fault;
  assert_false (ragify_migration_run (file->connection, history, 4, 3, note, &fault));
  assert_int_equal (fault.code, RAGIFY_E_INVALID);
  assert_string_equal (fault.message, "expected format 1 to 3, found 4");
  assert_false (ragify_migration_run (file->connection, history, 0, 3, note, &fault));
  assert_string_equal (fault.message, "expected format 1 to 3, found 0");
  assert_false (ragify_migration_run (file->connection, with_a_gap, 1, 4, note, &fault));
  assert_string_equal (fault.message, "expected format 3 to 4, found 1");
  assert_int_equal (format_of (file), 1);
  assert_int_equal (ask (file, "SELECT count(*) FROM notes"), 3);
}

#define TEST(function) cmocka_unit_test_setup_teardown (function, set_up, tear_down)

int
main (void)
{
  const struct CMUnitTest tests[] = {
    TEST (test_every_step_is_taken_in_order),
    TEST (test_it_goes_on_where_it_was),
    TEST (test_a_step_that_fails_changes_nothing),
    TEST (test_other_formats_are_refused_with_those_that_can_be_read),
  };
  cmocka_set_message_output (CM_OUTPUT_TAP);
  return cmocka_run_group_tests (tests, NULL, NULL);
}
