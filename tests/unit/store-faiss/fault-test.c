/* What the store says and does when its folder is not as it should be. */
#include "store-fixture.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static const Piece pieces[] = { { "a", 1, "one", "" }, { "a", 2, "two", "" } };

static void
assert_says (Fixture *fixture, const char *part)
{
  if (strstr (ragify_kit_error (fixture->kit), part) == NULL)
    fail_msg ("expected '%s' in: %s", part, ragify_kit_error (fixture->kit));
}

static void
test_an_open_store_is_not_opened_twice (void **state)
{
  Fixture *fixture = *state, other = { 0 };
  must_open (fixture);
  other.kit = fixture->kit;
  memcpy (other.path, fixture->path, sizeof other.path);
  assert_int_equal (try_open (&other, NULL, &fixture_embedder), RAGIFY_E_UNAVAILABLE);
  assert_says (fixture, "another node of this process");
  must_upsert (fixture, RAGIFY_DOCUMENT_REPLACE, 1, "a", pieces, 2, 0);
}

static void
write_file (Fixture *fixture, const char *name, off_t offset, const char *data, size_t size)
{
  char path[160];
  snprintf (path, sizeof path, "%s/%s", fixture->path, name);
  int file = open (path, O_WRONLY | O_CREAT, 0640);
  assert_true (file >= 0);
  assert_int_equal (pwrite (file, data, size, offset), (ssize_t)size);
  (void)close (file);
}

static void
test_a_damaged_file_is_named (void **state)
{
  Fixture *fixture = *state;
  char noise[8192];
  memset (noise, 0x5a, sizeof noise);
  must_open (fixture);
  must_upsert (fixture, RAGIFY_DOCUMENT_REPLACE, 1, "a", pieces, 2, 0);
  must_close (fixture);
  for (off_t page = 1; page < 6; page++)
    write_file (fixture, "store.db", page * 8192, noise, sizeof noise);
  assert_int_equal (try_open (fixture, NULL, &fixture_embedder), RAGIFY_E_INTERNAL);
  assert_says (fixture, "store.db");
  assert_says (fixture, "damaged");
  write_file (fixture, "store.db", 0, noise, sizeof noise);
  assert_int_equal (try_open (fixture, NULL, &fixture_embedder), RAGIFY_E_INTERNAL);
  assert_says (fixture, "damaged");
}

static void
test_a_file_in_place_of_the_folder (void **state)
{
  Fixture *fixture = *state;
  char path[80];
  memcpy (path, fixture->path, sizeof path);
  int file = open (path, O_WRONLY | O_CREAT, 0640);
  assert_true (file >= 0);
  (void)close (file);
  assert_int_equal (try_open (fixture, NULL, &fixture_embedder), RAGIFY_E_INVALID);
  assert_says (fixture, "expected a folder");
}

static void *
read_whole (const char *path, size_t *size)
{
  static char bytes[1 << 20];
  FILE *file = fopen (path, "rb");
  assert_non_null (file);
  *size = fread (bytes, 1, sizeof bytes, file);
  (void)fclose (file);
  char *copy = malloc (*size);
  memcpy (copy, bytes, *size);
  return copy;
}

/* Somebody named the wrong folder. */
static void
test_a_file_of_another_program_is_left_as_it_is (void **state)
{
  Fixture *fixture = *state;
  static const char *const contents[] = {
    "CREATE TABLE bookmarks (url TEXT); INSERT INTO bookmarks VALUES ('https://example.org')",
    "CREATE TABLE facts (name TEXT PRIMARY KEY, value); INSERT INTO facts VALUES ('sky', 'blue')",
  };
  for (size_t i = 0; i < 2; i++) {
    char path[160];
    size_t before_size, after_size;
    sqlite3 *database;
    (void)mkdir (fixture->path, 0750);
    snprintf (path, sizeof path, "%s/store.db", fixture->path);
    (void)unlink (path);
    assert_int_equal (sqlite3_open (path, &database), SQLITE_OK);
    assert_int_equal (sqlite3_exec (database, contents[i], NULL, NULL, NULL), SQLITE_OK);
    (void)sqlite3_close (database);
    void *before = read_whole (path, &before_size);
    assert_int_equal (try_open (fixture, NULL, &fixture_embedder), RAGIFY_E_INVALID);
    assert_says (fixture, "not a store of Ragify");
    void *after = read_whole (path, &after_size);
    assert_int_equal (before_size, after_size);
    assert_memory_equal (before, after, before_size);
    free (before);
    free (after);
  }
}

static void
test_a_newer_format_is_refused (void **state)
{
  Fixture *fixture = *state;
  char command[300];
  must_open (fixture);
  must_close (fixture);
  snprintf (command, sizeof command, "sqlite3 %s/store.db \"UPDATE facts SET value = 99 WHERE name = 'format'\"",
            fixture->path);
  if (system ("command -v sqlite3 >/dev/null") != 0)
    skip ();
  assert_int_equal (system (command), 0);
  assert_int_equal (try_open (fixture, NULL, &fixture_embedder), RAGIFY_E_INVALID);
  assert_says (fixture, "99");
  assert_says (fixture, "newer");
}

/* Runs a check in a process of its own that is not root, since root may write everywhere. */
static void
run_as_nobody (Fixture *fixture, const char *check)
{
  pid_t child = fork ();
  assert_true (child >= 0);
  if (child == 0) {
    (void)execl ("/proc/self/exe", "fault-test", check, fixture->path, (char *)NULL);
    _exit (127);
  }
  int status;
  assert_int_equal (waitpid (child, &status, 0), child);
  assert_true (WIFEXITED (status));
  assert_int_equal (WEXITSTATUS (status), 0);
}

/* In the child a failed assertion cannot be reported by cmocka. */
static void
demand (bool condition, const char *what)
{
  if (condition)
    return;
  (void)fprintf (stderr, "# %s\n", what);
  _exit (1);
}

static void
check_read_only (Fixture *fixture)
{
  const char *document = "b";
  demand (try_open (fixture, NULL, &fixture_embedder) == RAGIFY_OK, ragify_kit_error (fixture->kit));
  demand (is_found (fixture, 1) && is_found (fixture, 2), "not found");
  RagifyKitCall *call = begin_upsert (fixture, RAGIFY_DOCUMENT_REPLACE, 1, &document, 1, NULL, 0, true);
  demand (call->code == RAGIFY_E_UNAVAILABLE && strstr (call->message, "read-only") != NULL, call->message);
  ragify_kit_call_free (call);
  const uint32_t number = 2;
  call = ask_fetch (fixture, &number, 1, RAGIFY_FETCH_CONTENT);
  demand (call->code == RAGIFY_OK, call->message);
  ragify_kit_call_free (call);
  demand (ragify_kit_close (fixture->store) == RAGIFY_OK, "close");
}

static void
test_a_read_only_folder_is_read (void **state)
{
  Fixture *fixture = *state;
  char command[400];
  must_open (fixture);
  must_upsert (fixture, RAGIFY_DOCUMENT_REPLACE, 1, "a", pieces, 2, 0);
  must_close (fixture);
  snprintf (command, sizeof command, "chmod 0755 %s; chmod 0444 %s/*; chmod 0555 %s", fixture->folder, fixture->path,
            fixture->path);
  assert_int_equal (system (command), 0);
  run_as_nobody (fixture, "read-only");
}

static void
check_nothing_there (Fixture *fixture)
{
  demand (try_open (fixture, NULL, &fixture_embedder) == RAGIFY_E_UNAVAILABLE, "opened");
  demand (strstr (ragify_kit_error (fixture->kit), "cannot be made") != NULL, ragify_kit_error (fixture->kit));
}

static void
test_a_folder_that_cannot_be_made (void **state)
{
  Fixture *fixture = *state;
  assert_int_equal (chmod (fixture->folder, 0555), 0);
  run_as_nobody (fixture, "nothing-there");
}

/* A disk of its own that is soon full; false where this process may not make one. */
static bool
mount_small_disk (Fixture *fixture)
{
  return mkdir (fixture->path, 0750) == 0 && mount ("none", fixture->path, "tmpfs", 0, "size=2m") == 0;
}

static void
test_a_full_disk_refuses_writes_and_goes_on_reading (void **state)
{
  Fixture *fixture = *state;
  enum { LARGE = 200000 };
  if (!mount_small_disk (fixture))
    skip ();
  char *content = malloc (LARGE + 1);
  memset (content, 'x', LARGE);
  content[LARGE] = '\0';
  must_open (fixture);
  uint64_t written = 0;
  int32_t code = RAGIFY_OK;
  char message[300] = "";
  for (uint32_t i = 0; i < 50 && code == RAGIFY_OK; i++) {
    char name[16];
    const char *document = name;
    snprintf (name, sizeof name, "d%u", i);
    const Piece piece = { name, 10 + i, content, "" };
    RagifyKitCall *call = begin_upsert (fixture, RAGIFY_DOCUMENT_REPLACE, 1, &document, 1, &piece, 1, true);
    code = call->code;
    snprintf (message, sizeof message, "%s", call->message);
    written += code == RAGIFY_OK;
    ragify_kit_call_free (call);
  }
  free (content);
  assert_int_equal (code, RAGIFY_E_EXHAUSTED);
  assert_non_null (strstr (message, "disk is full"));
  assert_true (written > 0);
  for (uint32_t i = 0; i < written; i++)
    assert_true (is_found (fixture, 10 + i));
  assert_false (is_found (fixture, 10 + (uint32_t)written));
  assert_int_equal (must_generation (fixture).generation.counter, written);
  assert_int_equal (must_generation (fixture).chunks, written);
  must_close (fixture);
  must_open (fixture);
  assert_true (is_found (fixture, 10));
  assert_int_equal (must_generation (fixture).generation.counter, written);
  must_close (fixture);
  assert_int_equal (umount (fixture->path), 0);
}

static void
test_a_call_that_is_given_up_changes_nothing (void **state)
{
  Fixture *fixture = *state;
  must_open (fixture);
  must_upsert (fixture, RAGIFY_DOCUMENT_REPLACE, 1, "a", pieces, 2, 0);
  const RagifyStr name = ragify_str_from ("a");
  const RagifyStoreRemove args = { .struct_size = sizeof args, .documents = { .items = &name, .count = 1 } };
  for (int i = 0; i < 20; i++) {
    uint64_t before = must_generation (fixture).generation.counter;
    RagifyKitCall *call = ragify_kit_begin (fixture->store, (RagifyKitFunction)fixture->operations->remove, &args, 0);
    ragify_kit_cancel (call);
    call = ragify_kit_wait (call);
    assert_true (call->code == RAGIFY_OK || call->code == RAGIFY_E_CANCELLED);
    bool gone = call->code == RAGIFY_OK;
    assert_int_equal (must_generation (fixture).generation.counter, before + gone);
    assert_int_equal (is_found (fixture, 1), !gone);
    ragify_kit_call_free (call);
    if (gone)
      must_upsert (fixture, RAGIFY_DOCUMENT_REPLACE, 1, "a", pieces, 2, 0);
  }
}

#define TEST(function) cmocka_unit_test_setup_teardown (function, fixture_set_up, fixture_tear_down)

/* The other process: loads the plugin while it may, then is nobody. */
static int
be_nobody (const char *check, const char *path)
{
  Fixture fixture = { 0 };
  const RagifyKitOptions options = { .quiet = 1 };
  snprintf (fixture.path, sizeof fixture.path, "%s", path);
  fixture.kit = ragify_kit_new (&options);
  demand (ragify_kit_load (fixture.kit, fixture_plugin ()) != NULL, ragify_kit_error (fixture.kit));
  demand (geteuid () != 0 || (setgid (65534) == 0 && setuid (65534) == 0), "cannot be nobody");
  if (strcmp (check, "read-only") == 0)
    check_read_only (&fixture);
  else
    check_nothing_there (&fixture);
  ragify_kit_free (fixture.kit);
  return 0;
}

int
main (int argc, char **argv)
{
  if (argc == 3)
    return be_nobody (argv[1], argv[2]);
  const struct CMUnitTest tests[] = {
    TEST (test_an_open_store_is_not_opened_twice),
    TEST (test_a_damaged_file_is_named),
    TEST (test_a_file_in_place_of_the_folder),
    TEST (test_a_file_of_another_program_is_left_as_it_is),
    TEST (test_a_newer_format_is_refused),
    TEST (test_a_read_only_folder_is_read),
    TEST (test_a_folder_that_cannot_be_made),
    TEST (test_a_full_disk_refuses_writes_and_goes_on_reading),
    TEST (test_a_call_that_is_given_up_changes_nothing),
  };
  cmocka_set_message_output (CM_OUTPUT_TAP);
  return cmocka_run_group_tests (tests, NULL, NULL);
}
