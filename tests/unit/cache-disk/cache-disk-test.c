/* The disk level through its loaded plugin. */
#include "disk-fixture.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void
test_what_was_set_is_got (void **state)
{
  Disk *disk = *state;
  uint64_t count = 0;
  disk_open (disk, NULL);
  must_get (disk, "a", NULL);
  must_set (disk, "a", "one");
  must_get (disk, "a", "one");
  must_set (disk, "a", "two");
  must_get (disk, "a", "two");
  assert_int_equal (disk_stat (disk, "entries"), 1);
  assert_int_equal (disk_remove (disk, bytes_of ("a"), &count), RAGIFY_OK);
  assert_int_equal (count, 1);
  assert_int_equal (disk_remove (disk, bytes_of ("a"), &count), RAGIFY_OK);
  assert_int_equal (count, 0);
  must_get (disk, "a", NULL);
  assert_int_equal (disk_stat (disk, "entries"), 0);
  assert_int_equal (disk_probe (disk), RAGIFY_OK);
  assert_non_null (strstr (disk_said (), "0 entries"));
  disk_close (disk);
}

static void
test_what_was_set_outlives_a_restart (void **state)
{
  Disk *disk = *state;
  char key[16];
  disk_open (disk, NULL);
  for (int i = 0; i < 200; i++) {
    (void)snprintf (key, sizeof key, "key %d", i);
    must_set (disk, key, key);
  }
  disk_close (disk);
  disk_open (disk, NULL);
  assert_int_equal (disk_stat (disk, "entries"), 200);
  for (int i = 0; i < 200; i++) {
    (void)snprintf (key, sizeof key, "key %d", i);
    must_get (disk, key, key);
  }
  disk_close (disk);
}

static void
test_any_bytes_are_a_key_and_a_value (void **state)
{
  Disk *disk = *state;
  uint8_t key[1025];
  uint8_t value[4096];
  RagifyBuffer *back = NULL;
  disk_open (disk, NULL);
  for (size_t i = 0; i < sizeof key; i++)
    key[i] = (uint8_t)i;
  for (size_t i = 0; i < sizeof value; i++)
    value[i] = (uint8_t)(i * 7 + (i >> 8));
  for (size_t size = 1; size <= 1024; size *= 2) {
    const RagifyBytes bytes = { key, size };
    assert_int_equal (disk_set (disk, bytes, value, size * 4, 0, 0), RAGIFY_OK);
    assert_int_equal (disk_get (disk, bytes, &back, NULL), RAGIFY_OK);
    assert_non_null (back);
    assert_int_equal (back->size, size * 4);
    assert_memory_equal (back->data, value, size * 4);
    back->unref (back);
  }
  assert_int_equal (disk_set (disk, (RagifyBytes){ key, 0 }, value, 1, 0, 0), RAGIFY_E_INVALID);
  assert_int_equal (disk_get (disk, (RagifyBytes){ key, 1025 }, &back, NULL), RAGIFY_E_INVALID);
  disk_close (disk);
}

static void
test_values_of_every_size (void **state)
{
  Disk *disk = *state;
  static const uint64_t sizes[] = { 0, 1, 4096, 70000, 5000000, UINT64_C (64) << 20 };
  uint8_t *data = malloc (sizes[5] + 1);
  assert_non_null (data);
  for (uint64_t i = 0; i <= sizes[5]; i++)
    data[i] = (uint8_t)(i * 11 + (i >> 13));
  disk_open (disk, NULL);
  for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
    RagifyBuffer *value = NULL;
    if (disk_set (disk, bytes_of ("large"), data, sizes[i], 0, 0) != RAGIFY_OK)
      fail_msg ("%s", disk_said ());
    assert_int_equal (disk_get (disk, bytes_of ("large"), &value, NULL), RAGIFY_OK);
    assert_non_null (value);
    assert_int_equal (value->size, sizes[i]);
    assert_true (sizes[i] == 0 || memcmp (value->data, data, sizes[i]) == 0);
    value->unref (value);
  }
  assert_int_equal (disk_set (disk, bytes_of ("large"), data, sizes[5] + 1, 0, 0), RAGIFY_E_INVALID);
  free (data);
  disk_close (disk);
}

static void
test_an_entry_ends_with_the_shorter_time (void **state)
{
  Disk *disk = *state;
  RagifyBuffer *value = NULL;
  uint64_t ttl_us = 0;
  uint64_t count = 0;
  disk_open (disk, (const char *const[]){ "ttl=100s", NULL });
  assert_int_equal (disk_set (disk, bytes_of ("short"), "x", 1, 1, 0), RAGIFY_OK);
  assert_int_equal (disk_set (disk, bytes_of ("long"), "x", 1, UINT64_C (1000000000), 0), RAGIFY_OK);
  (void)usleep (1000);
  must_get (disk, "short", NULL);
  assert_int_equal (disk_get (disk, bytes_of ("long"), &value, &ttl_us), RAGIFY_OK);
  assert_non_null (value);
  assert_true (ttl_us > 50000000 && ttl_us <= 100000000);
  value->unref (value);
  assert_int_equal (disk_clear (disk, RAGIFY_CACHE_CLEAR_EXPIRED, 0, &count), RAGIFY_OK);
  assert_int_equal (count, 1);
  assert_int_equal (disk_stat (disk, "entries"), 1);
  disk_close (disk);
  disk_open (disk, (const char *const[]){ "ttl=0s", NULL });
  must_set (disk, "eternal", "x");
  assert_int_equal (disk_get (disk, bytes_of ("eternal"), &value, &ttl_us), RAGIFY_OK);
  assert_int_equal (ttl_us, 0);
  value->unref (value);
  disk_close (disk);
  /* What claims to live longer than any entry may was written before the clock was set back. */
  disk_open (disk, (const char *const[]){ "ttl=10s", NULL });
  must_get (disk, "long", NULL);
  disk_close (disk);
}

static void
test_clearing (void **state)
{
  Disk *disk = *state;
  char key[16];
  uint64_t count = 0;
  disk_open (disk, NULL);
  for (int i = 0; i < 500; i++) {
    (void)snprintf (key, sizeof key, "%d", i);
    assert_int_equal (disk_set (disk, bytes_of (key), key, strlen (key), i < 450 ? 1 : 0, 0), RAGIFY_OK);
  }
  (void)usleep (1000);
  assert_int_equal (disk_clear (disk, RAGIFY_CACHE_CLEAR_EXPIRED, 0, &count), RAGIFY_OK);
  assert_int_equal (count, 450);
  assert_int_equal (disk_clear (disk, RAGIFY_CACHE_CLEAR_ALL, 0, &count), RAGIFY_OK);
  assert_int_equal (count, 50);
  must_get (disk, "499", NULL);
  must_set (disk, "499", "again");
  must_get (disk, "499", "again");
  assert_int_equal (disk_clear (disk, 77, 0, &count), RAGIFY_E_INVALID);
  disk_close (disk);
}

/* Ten times as much as there is room for: the bound holds, and what is asked for again and again stays. */
static void
test_it_is_bounded_and_keeps_what_is_used (void **state)
{
  Disk *disk = *state;
  static char noise[20000];
  char key[16];
  uint64_t count = 0;
  disk_open (disk, (const char *const[]){ "max-bytes=2MiB", NULL });
  for (size_t i = 0; i < sizeof noise; i++)
    noise[i] = (char)(i * 31);
  must_set (disk, "favourite", "stays");
  for (int i = 0; i < 1000; i++) {
    (void)snprintf (key, sizeof key, "%d", i);
    assert_int_equal (disk_set (disk, bytes_of (key), noise, sizeof noise, 0, 0), RAGIFY_OK);
    must_get (disk, "favourite", "stays");
  }
  assert_true (disk_stat (disk, "bytes") <= 2 << 20);
  assert_true (disk_stat (disk, "bytes") > 1 << 20);
  assert_true (disk_stat (disk, "evictions") > 800);
  assert_true (disk_file_size (disk) <= (2 << 20) + (64 << 10));
  const int64_t entries = disk_stat (disk, "entries");
  assert_int_equal (disk_clear (disk, RAGIFY_CACHE_CLEAR_SHRINK, 1 << 20, &count), RAGIFY_OK);
  assert_true (count > 10);
  assert_int_equal (disk_stat (disk, "entries"), entries - (int64_t)count);
  assert_true (disk_stat (disk, "bytes") <= 1 << 20);
  must_get (disk, "favourite", "stays");
  assert_int_equal (disk_set (disk, bytes_of ("huge"), noise, 0, 0, 0), RAGIFY_OK);
  char *huge = calloc (1, 3 << 20);
  assert_non_null (huge);
  assert_int_equal (disk_set (disk, bytes_of ("huge"), huge, 3 << 20, 0, 0), RAGIFY_OK);
  free (huge);
  assert_int_equal (disk_stat (disk, "rejected"), 1);
  disk_close (disk);
}

static void
test_new_values_of_reloadable_keys (void **state)
{
  Disk *disk = *state;
  char path[120];
  static char noise[20000];
  char key[16];
  disk_open (disk, NULL);
  for (int i = 0; i < 200; i++) {
    (void)snprintf (key, sizeof key, "%d", i);
    assert_int_equal (disk_set (disk, bytes_of (key), noise, sizeof noise, 0, 0), RAGIFY_OK);
  }
  (void)snprintf (path, sizeof path, "path=%s", disk->path);
  const char *const config[] = { path, "max-bytes=1MiB", "ttl=1s", NULL };
  assert_int_equal (ragify_kit_reconfigure (disk->instance, config), RAGIFY_OK);
  must_set (disk, "a", "x");
  assert_true (disk_stat (disk, "bytes") <= 1 << 20);
  disk_close (disk);
}

/* ---- threads ---- */

typedef struct Worker {
  Disk *disk;
  int number;
  pthread_t thread;
  int wrong;
} Worker;

static void *
work (void *user)
{
  Worker *worker = user;
  for (int i = 0; i < 300; i++) {
    char key[32];
    char text[4000];
    RagifyBuffer *value = NULL;
    const int number = (worker->number * 7 + i) % 60;
    (void)snprintf (key, sizeof key, "%d", number);
    (void)snprintf (text, sizeof text, "%0*d", 1 + number * 50, number);
    if (disk_set (worker->disk, bytes_of (key), text, strlen (text), 0, 0) != RAGIFY_OK ||
        disk_get (worker->disk, bytes_of (key), &value, NULL) != RAGIFY_OK)
      worker->wrong++;
    if (value == NULL)
      continue;
    if (value->size != strlen (text) || memcmp (value->data, text, value->size) != 0)
      worker->wrong++;
    value->unref (value);
  }
  return NULL;
}

static void
test_many_threads (void **state)
{
  Disk *disk = *state;
  Worker workers[6];
  uint64_t count = 0;
  disk_open (disk, (const char *const[]){ "max-bytes=1MiB", NULL });
  for (int i = 0; i < 6; i++) {
    workers[i] = (Worker){ .disk = disk, .number = i };
    assert_int_equal (pthread_create (&workers[i].thread, NULL, work, &workers[i]), 0);
  }
  for (int i = 0; i < 5; i++) { /* the file is replaced under them */
    (void)usleep (20000);
    assert_int_equal (disk_clear (disk, RAGIFY_CACHE_CLEAR_ALL, 0, &count), RAGIFY_OK);
  }
  for (int i = 0; i < 6; i++) {
    (void)pthread_join (workers[i].thread, NULL);
    assert_int_equal (workers[i].wrong, 0);
  }
  disk_close (disk);
}

/* ---- kill -9 ---- */

#define KILL_KEYS 100

/* What stands under key number `key` when it was written in round `round`: it can be told whether it is whole. */
static size_t
make_value (uint8_t *data, uint32_t key, uint32_t round)
{
  const size_t size = 8 + (key * 977 + round * 131) % 30000;
  memcpy (data, &key, 4);
  memcpy (data + 4, &round, 4);
  for (size_t i = 8; i < size; i++)
    data[i] = (uint8_t)(key + round * 7 + i);
  return size;
}

static void
write_forever (Disk *disk, uint32_t first)
{
  uint8_t data[40000];
  char name[16];
  for (uint32_t round = first;; round++) {
    for (uint32_t key = 0; key < KILL_KEYS; key++) {
      (void)snprintf (name, sizeof name, "%u", key);
      const size_t size = make_value (data, key, round);
      if (disk_set (disk, bytes_of (name), data, size, 0, 0) != RAGIFY_OK)
        _exit (1);
      if (key == 0 && round == first && write (STDOUT_FILENO, ".", 1) != 1)
        _exit (1);
    }
  }
}

static int
check_all (Disk *disk, uint32_t *round)
{
  uint8_t data[40000];
  char name[16];
  int found = 0;
  for (uint32_t key = 0; key < KILL_KEYS; key++) {
    RagifyBuffer *value = NULL;
    uint32_t written = 0;
    (void)snprintf (name, sizeof name, "%u", key);
    if (disk_get (disk, bytes_of (name), &value, NULL) != RAGIFY_OK)
      fail_msg ("%s", disk_said ());
    if (value == NULL)
      continue;
    assert_true (value->size >= 8);
    memcpy (&written, value->data + 4, 4);
    assert_int_equal (value->size, make_value (data, key, written));
    assert_memory_equal (value->data, data, value->size);
    value->unref (value);
    *round = written > *round ? written : *round;
    found++;
  }
  return found;
}

static void
test_killed_a_hundred_times_while_writing (void **state)
{
  Disk *disk = *state;
  uint32_t round = 1;
  int found = 0;
  for (int i = 0; i < 100; i++) {
    const pid_t child = fork_writer (disk->path, round + 1);
    (void)usleep ((useconds_t)(i * 37 % 41 * 1000));
    kill_writer (child);
    disk_open (disk, (const char *const[]){ "max-bytes=1MiB", NULL });
    assert_int_equal (disk_stat (disk, "rebuilt"), 0);
    found += check_all (disk, &round);
    assert_int_equal (disk_stat (disk, "damaged"), 0);
    disk_close (disk);
  }
  assert_true (found > 1000);
  assert_true (round > 3);
}

/* This program as the writer that is killed. */
static int
be_writer (const char *path, const char *round)
{
  Disk disk = { 0 };
  (void)snprintf (disk.path, sizeof disk.path, "%s", path);
  disk_open (&disk, (const char *const[]){ "max-bytes=1MiB", NULL });
  write_forever (&disk, (uint32_t)strtoul (round, NULL, 10));
  return 0;
}

int
main (int argc, char **argv)
{
  if (argc == 3)
    return be_writer (argv[1], argv[2]);
  const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown (test_what_was_set_is_got, disk_setup, disk_teardown),
    cmocka_unit_test_setup_teardown (test_what_was_set_outlives_a_restart, disk_setup, disk_teardown),
    cmocka_unit_test_setup_teardown (test_any_bytes_are_a_key_and_a_value, disk_setup, disk_teardown),
    cmocka_unit_test_setup_teardown (test_values_of_every_size, disk_setup, disk_teardown),
    cmocka_unit_test_setup_teardown (test_an_entry_ends_with_the_shorter_time, disk_setup, disk_teardown),
    cmocka_unit_test_setup_teardown (test_clearing, disk_setup, disk_teardown),
    cmocka_unit_test_setup_teardown (test_it_is_bounded_and_keeps_what_is_used, disk_setup, disk_teardown),
    cmocka_unit_test_setup_teardown (test_new_values_of_reloadable_keys, disk_setup, disk_teardown),
    cmocka_unit_test_setup_teardown (test_many_threads, disk_setup, disk_teardown),
    cmocka_unit_test_setup_teardown (test_killed_a_hundred_times_while_writing, disk_setup, disk_teardown),
  };
  cmocka_set_message_output (CM_OUTPUT_TAP);
  return cmocka_run_group_tests_name ("cache-disk", tests, NULL, NULL);
}
