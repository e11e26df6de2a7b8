/* The disk level on a disk that is full, read-only, damaged or somebody else's. Whatever happens, a value that comes
 * back is the one that was set under that key. */
#include "disk-fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define PAGE 8192

static void
fill (Disk *disk, int count)
{
  char key[16];
  char text[3000];
  for (int i = 0; i < count; i++) {
    (void)snprintf (key, sizeof key, "%d", i);
    (void)snprintf (text, sizeof text, "%0*d", 1 + i * 37 % 2900, i);
    must_set (disk, key, text);
  }
}

/* Reads all of them; none may be wrong, some may be gone. Returns how many are there. */
static int
check (Disk *disk, int count)
{
  char key[16];
  char text[3000];
  int found = 0;
  for (int i = 0; i < count; i++) {
    RagifyBuffer *value = NULL;
    (void)snprintf (key, sizeof key, "%d", i);
    (void)snprintf (text, sizeof text, "%0*d", 1 + i * 37 % 2900, i);
    if (disk_get (disk, bytes_of (key), &value, NULL) != RAGIFY_OK || value == NULL)
      continue;
    assert_int_equal (value->size, strlen (text));
    assert_memory_equal (value->data, text, value->size);
    value->unref (value);
    found++;
  }
  return found;
}

static void
overwrite (const Disk *disk, off_t offset, const void *data, size_t size)
{
  char path[120];
  (void)snprintf (path, sizeof path, "%s/entries.db", disk->path);
  const int fd = open (path, O_WRONLY);
  assert_true (fd >= 0);
  assert_int_equal (pwrite (fd, data, size, offset), (ssize_t)size);
  (void)close (fd);
}

static bool
is_set_aside (const Disk *disk)
{
  char path[120];
  (void)snprintf (path, sizeof path, "%s/entries.db.damaged", disk->path);
  return access (path, F_OK) == 0;
}

static void
test_a_file_that_is_none_is_set_aside (void **state)
{
  Disk *disk = *state;
  static char noise[PAGE * 3];
  memset (noise, 'x', sizeof noise);
  disk_open (disk, NULL);
  must_set (disk, "a", "one");
  disk_close (disk);
  overwrite (disk, 0, noise, sizeof noise);
  disk_open (disk, NULL);
  assert_int_equal (disk_stat (disk, "rebuilt"), 1);
  assert_int_equal (ragify_kit_counts (disk->kit).warnings, 1);
  assert_true (is_set_aside (disk));
  must_get (disk, "a", NULL);
  must_set (disk, "a", "two");
  must_get (disk, "a", "two");
  disk_close (disk);
}

static void
test_another_format_is_set_aside (void **state)
{
  Disk *disk = *state;
  static const uint8_t version[4] = { 0, 0, 0, 9 };
  disk_open (disk, NULL);
  must_set (disk, "a", "one");
  disk_close (disk);
  overwrite (disk, 60, version, sizeof version); /* SQLite's user_version */
  disk_open (disk, NULL);
  assert_int_equal (disk_stat (disk, "rebuilt"), 1);
  must_get (disk, "a", NULL);
  must_set (disk, "a", "two");
  disk_close (disk);
}

static void
test_a_value_that_rotted_is_a_miss (void **state)
{
  Disk *disk = *state;
  static char value[PAGE * 8];
  RagifyBuffer *back = NULL;
  memset (value, 'v', sizeof value);
  disk_open (disk, NULL);
  assert_int_equal (disk_set (disk, bytes_of ("large"), value, sizeof value, 0, 0), RAGIFY_OK);
  must_set (disk, "small", "is well");
  disk_close (disk);
  /* In the middle of the value's own pages. */
  overwrite (disk, disk_file_size (disk) - PAGE / 2, "?", 1);
  disk_open (disk, NULL);
  assert_int_equal (disk_get (disk, bytes_of ("large"), &back, NULL), RAGIFY_OK);
  assert_null (back);
  assert_int_equal (disk_stat (disk, "damaged"), 1);
  assert_int_equal (disk_stat (disk, "entries"), 1); /* it is gone */
  must_get (disk, "small", "is well");
  disk_close (disk);
}

/* Noise in any page, found at the start or in the middle of work. */
static void
test_pages_that_rotted_never_give_a_wrong_answer (void **state)
{
  Disk *disk = *state;
  uint8_t noise[PAGE];
  uint64_t random = 12345;
  int found = 0;
  int64_t rebuilt = 0;
  for (int round = 0; round < 60; round++) {
    disk_open (disk, NULL);
    fill (disk, 150);
    if (round % 2 == 0)
      disk_close (disk);
    for (int i = 0; i < 1 + round % 3; i++) {
      for (size_t j = 0; j < sizeof noise; j++) {
        random = random * UINT64_C (6364136223846793005) + 1442695040888963407u;
        noise[j] = (uint8_t)(random >> 56);
      }
      const off_t pages = disk_file_size (disk) / PAGE;
      const size_t size = round % 4 < 2 ? sizeof noise : 1 + random % 64;
      overwrite (disk, (off_t)((random >> 20) % (uint64_t)pages) * PAGE + (size < PAGE ? (off_t)(random % 8000) : 0),
                 noise, size);
    }
    if (round % 2 == 0)
      disk_open (disk, NULL);
    found += check (disk, 150);
    fill (disk, 20); /* it works again, at the latest after a failure */
    (void)check (disk, 150);
    rebuilt += disk_stat (disk, "rebuilt");
    disk_close (disk);
  }
  assert_true (found > 1000);
  assert_true (rebuilt > 5);
}

static void
test_a_file_in_place_of_the_folder (void **state)
{
  Disk *disk = *state;
  RagifyBuffer *value = NULL;
  char folder[96];
  memcpy (folder, disk->path, sizeof folder);
  (void)strcat (disk->path, "/file");
  const int fd = open (disk->path, O_WRONLY | O_CREAT, 0640);
  assert_true (fd >= 0);
  (void)close (fd);
  disk_open (disk, NULL); /* the host starts all the same */
  assert_int_equal (ragify_kit_counts (disk->kit).warnings, 1);
  must_fail (disk_get (disk, bytes_of ("a"), &value, NULL), RAGIFY_E_UNAVAILABLE, "Not a directory");
  must_fail (disk_set (disk, bytes_of ("a"), "x", 1, 0, 0), RAGIFY_E_UNAVAILABLE, "Not a directory");
  assert_int_equal (disk_probe (disk), RAGIFY_E_UNAVAILABLE);
  disk_close (disk);
  memcpy (disk->path, folder, sizeof folder);
}

static void
test_a_folder_has_one_owner (void **state)
{
  Disk *disk = *state;
  Disk other = *disk;
  disk_open (disk, NULL);
  must_set (disk, "a", "one");
  disk_open (&other, NULL);
  must_fail (disk_set (&other, bytes_of ("a"), "x", 1, 0, 0), RAGIFY_E_UNAVAILABLE, "another process");
  must_get (disk, "a", "one");
  disk_close (&other);
  disk_close (disk);
}

/* ---- a file system of its own ---- */

static void
mount_small (const Disk *disk)
{
  if (mount ("ragify-test", disk->path, "tmpfs", 0, "size=3m") != 0)
    skip ();
}

static void
test_a_full_disk (void **state)
{
  Disk *disk = *state;
  static char value[30000];
  char key[16];
  int32_t code = RAGIFY_OK;
  mount_small (disk);
  disk_open (disk, NULL);
  must_set (disk, "a", "one");
  for (int i = 0; i < 500 && code == RAGIFY_OK; i++) {
    (void)snprintf (key, sizeof key, "n%d", i);
    code = disk_set (disk, bytes_of (key), value, sizeof value, 0, 0);
  }
  must_fail (code, RAGIFY_E_EXHAUSTED, "the disk is full");
  must_get (disk, "a", "one"); /* what is there can be read */
  uint64_t count = 0;
  assert_int_equal (disk_clear (disk, RAGIFY_CACHE_CLEAR_ALL, 0, &count), RAGIFY_OK);
  assert_true (count > 10);
  must_set (disk, "a", "two"); /* and there is room again */
  must_get (disk, "a", "two");
  disk_close (disk);
  assert_int_equal (umount (disk->path), 0);
}

static void
test_a_disk_that_becomes_read_only (void **state)
{
  Disk *disk = *state;
  mount_small (disk);
  disk_open (disk, NULL);
  must_set (disk, "a", "one");
  disk_close (disk);
  assert_int_equal (mount ("ragify-test", disk->path, "tmpfs", MS_REMOUNT | MS_RDONLY, "size=3m"), 0);
  disk_open (disk, NULL);
  must_get (disk, "a", "one");
  must_fail (disk_set (disk, bytes_of ("a"), "x", 1, 0, 0), RAGIFY_E_UNAVAILABLE, "cannot be written");
  assert_int_equal (disk_probe (disk), RAGIFY_E_UNAVAILABLE);
  assert_int_equal (mount ("ragify-test", disk->path, "tmpfs", MS_REMOUNT, "size=3m"), 0);
  for (int i = 0; i < 600 && disk_set (disk, bytes_of ("a"), "two", 3, 0, 0) != RAGIFY_OK; i++)
    (void)usleep (100000); /* it is tried again now and then */
  must_get (disk, "a", "two");
  disk_close (disk);
  assert_int_equal (umount (disk->path), 0);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown (test_a_file_that_is_none_is_set_aside, disk_setup, disk_teardown),
    cmocka_unit_test_setup_teardown (test_another_format_is_set_aside, disk_setup, disk_teardown),
    cmocka_unit_test_setup_teardown (test_a_value_that_rotted_is_a_miss, disk_setup, disk_teardown),
    cmocka_unit_test_setup_teardown (test_pages_that_rotted_never_give_a_wrong_answer, disk_setup, disk_teardown),
    cmocka_unit_test_setup_teardown (test_a_file_in_place_of_the_folder, disk_setup, disk_teardown),
    cmocka_unit_test_setup_teardown (test_a_folder_has_one_owner, disk_setup, disk_teardown),
    cmocka_unit_test_setup_teardown (test_a_full_disk, disk_setup, disk_teardown),
    cmocka_unit_test_setup_teardown (test_a_disk_that_becomes_read_only, disk_setup, disk_teardown),
  };
  cmocka_set_message_output (CM_OUTPUT_TAP);
  return cmocka_run_group_tests_name ("cache-disk fault", tests, NULL, NULL);
}
