/* What lies in an index's place and is somebody else's stays as it is. TEXT_FOREIGN names a program that makes such a
 * thing, and says whether it is still the same. */
#include "text-fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

static int
foreign (const TextFixture *fixture, const char *what)
{
  char command[1000];
  (void)mkdir (fixture->path, 0750);
  snprintf (command, sizeof command, "%s %s %s/%s", getenv ("TEXT_FOREIGN"), what, fixture->path,
            getenv ("TEXT_COMPONENT"));
  return system (command);
}

static void
must_be_refused (TextFixture *fixture)
{
  assert_int_equal (text_try_open (fixture, NULL), RAGIFY_E_INVALID);
  assert_non_null (strstr (ragify_kit_error (fixture->kit), "left as it is"));
  assert_non_null (strstr (ragify_kit_error (fixture->kit), fixture->path));
}

static void
test_a_database_of_somebody_else_is_refused (void **state)
{
  TextFixture *fixture = *state;
  assert_int_equal (foreign (fixture, "make"), 0);
  for (int i = 0; i < 2; i++) {
    must_be_refused (fixture);
    assert_int_equal (foreign (fixture, "check"), 0);
  }
}

static void
test_another_file_is_refused (void **state)
{
  static const char letter[] = "Dear heron, the reeds are high this year.\n";
  TextFixture *fixture = *state;
  char path[200], found[sizeof letter + 1];
  if (strcmp (getenv ("TEXT_COMPONENT"), "fts5") != 0)
    return; /* a folder of files: what they are is Xapian's */
  (void)mkdir (fixture->path, 0750);
  snprintf (path, sizeof path, "%s/fts5", fixture->path);
  (void)mkdir (path, 0750);
  snprintf (path, sizeof path, "%s/fts5/words.db", fixture->path);
  FILE *file = fopen (path, "w");
  assert_non_null (file);
  assert_true (fputs (letter, file) >= 0);
  assert_int_equal (fclose (file), 0);
  must_be_refused (fixture);
  file = fopen (path, "r");
  assert_non_null (file);
  assert_int_equal (fread (found, 1, sizeof found, file), sizeof letter - 1);
  assert_memory_equal (found, letter, sizeof letter - 1);
  (void)fclose (file);
}

static void
test_an_index_of_its_own_is_opened (void **state)
{
  static const TextPiece piece = { 1, "", "A heron in the reeds" };
  TextFixture *fixture = *state;
  for (uint64_t i = 1; i < 4; i++) {
    text_must_open (fixture);
    assert_int_equal (text_generation (fixture).generation.counter, i - 1);
    text_must_upsert (fixture, &piece, 1, i);
    assert_string_equal (text_found (fixture, "heron"), "1");
    text_must_close (fixture);
  }
}

#define TEST(function) cmocka_unit_test_setup_teardown (function, text_set_up, text_tear_down)

int
main (void)
{
  const struct CMUnitTest tests[] = {
    TEST (test_a_database_of_somebody_else_is_refused),
    TEST (test_another_file_is_refused),
    TEST (test_an_index_of_its_own_is_opened),
  };
  cmocka_set_message_output (CM_OUTPUT_TAP);
  return cmocka_run_group_tests (tests, NULL, NULL);
}
