/* Searches beside writes, and what happens to damaged files and full disks. */
#include "text-fixture.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define ROUNDS 40
#define READERS 4

typedef struct {
  TextFixture *fixture;
  atomic_bool over;
  atomic_uint searches;
} Shared;

/* How many hits a query has. */
static uint64_t
count_hits (TextFixture *fixture, const char *text)
{
  RagifyKitCall *call = text_search (fixture, text, strlen (text), 100);
  text_must_be (call, RAGIFY_OK);
  uint64_t count = ((const RagifyTextSearchResult *)call->result)->hits.count;
  ragify_kit_call_free (call);
  return count;
}

static void *
search_all_the_time (void *user)
{
  Shared *shared = user;
  while (!atomic_load (&shared->over)) {
    uint64_t fixed = count_hits (shared->fixture, "whale");
    if (fixed != 1)
      fail_msg ("expected one whale, found %llu", (unsigned long long)fixed);
    (void)count_hits (shared->fixture, "herring sea");
    atomic_fetch_add (&shared->searches, 1);
  }
  return NULL;
}

static void
test_searches_go_on_while_batches_are_written (void **state)
{
  TextFixture *fixture = *state;
  Shared shared = { .fixture = fixture };
  pthread_t readers[READERS];
  const TextPiece whale = { 1, "", "A whale in the sea." };
  text_must_open (fixture);
  text_must_upsert (fixture, &whale, 1, 1);
  for (size_t i = 0; i < READERS; i++)
    assert_int_equal (pthread_create (&readers[i], NULL, search_all_the_time, &shared), 0);
  for (uint32_t round = 1; round <= ROUNDS; round++) {
    char content[32];
    snprintf (content, sizeof content, "herring round%u", round);
    const TextPiece piece = { 10 + round % 7, "", content };
    text_must_upsert (fixture, &piece, 1, round + 1);
    /* Found by the search after it, however many read at the same time. */
    snprintf (content, sizeof content, "round%u", round);
    assert_int_equal (count_hits (fixture, content), 1);
  }
  atomic_store (&shared.over, true);
  for (size_t i = 0; i < READERS; i++)
    (void)pthread_join (readers[i], NULL);
  assert_true (atomic_load (&shared.searches) > 0);
  assert_int_equal (text_generation (fixture).chunks, 8);
}

/* Overwrites the middle of every file of the index. */
static void
damage_files (TextFixture *fixture)
{
  char folder[100], path[400], noise[4096];
  memset (noise, 0x77, sizeof noise);
  snprintf (folder, sizeof folder, "%s/%s", fixture->path, getenv ("TEXT_COMPONENT"));
  DIR *files = opendir (folder);
  assert_non_null (files);
  for (const struct dirent *entry = readdir (files); entry != NULL; entry = readdir (files)) {
    if (entry->d_name[0] == '.' || strstr (entry->d_name, "lock") != NULL)
      continue;
    snprintf (path, sizeof path, "%s/%s", folder, entry->d_name);
    int file = open (path, O_RDWR);
    assert_true (file >= 0);
    assert_int_equal (pwrite (file, noise, sizeof noise, 0), (ssize_t)sizeof noise);
    (void)close (file);
  }
  (void)closedir (files);
}

static void
test_a_damaged_index_is_made_anew (void **state)
{
  TextFixture *fixture = *state;
  const TextPiece whale = { 1, "", "A whale in the sea." };
  text_must_open (fixture);
  text_must_upsert (fixture, &whale, 1, 5);
  text_must_close (fixture);
  damage_files (fixture);
  text_must_open (fixture);
  assert_int_equal (text_generation (fixture).generation.counter, 0);
  assert_int_equal (text_generation (fixture).chunks, 0);
  text_must_upsert (fixture, &whale, 1, 5);
  assert_int_equal (count_hits (fixture, "whale"), 1);
}

static void
test_a_full_disk_refuses_writes_and_goes_on_reading (void **state)
{
  TextFixture *fixture = *state;
  if (mkdir (fixture->path, 0750) != 0 || mount ("none", fixture->path, "tmpfs", 0, "size=1m") != 0)
    skip ();
  char *content = malloc (40000);
  text_must_open (fixture);
  const TextPiece whale = { 1, "", "A whale in the sea." };
  text_must_upsert (fixture, &whale, 1, 1);
  int32_t code = RAGIFY_OK;
  uint64_t written = 1;
  for (uint32_t round = 2; round < 200 && code == RAGIFY_OK; round++) {
    size_t used = 0;
    for (uint32_t i = 0; i < 3000; i++)
      used += (size_t)snprintf (content + used, 40000 - used, "w%ux%u ", round, i);
    const TextPiece piece = { round, "", content };
    RagifyKitCall *call = text_upsert (fixture, &piece, 1, NULL, 0, round);
    code = call->code;
    written = code == RAGIFY_OK ? round : written;
    ragify_kit_call_free (call);
  }
  free (content);
  assert_int_equal (code, RAGIFY_E_EXHAUSTED);
  assert_int_equal (count_hits (fixture, "whale"), 1);
  assert_int_equal (text_generation (fixture).generation.counter, written);
  text_must_close (fixture);
  assert_int_equal (umount (fixture->path), 0);
}

#define TEST(function) cmocka_unit_test_setup_teardown (function, text_set_up, text_tear_down)

int
main (void)
{
  const struct CMUnitTest tests[] = {
    TEST (test_searches_go_on_while_batches_are_written),
    TEST (test_a_damaged_index_is_made_anew),
    TEST (test_a_full_disk_refuses_writes_and_goes_on_reading),
  };
  cmocka_set_message_output (CM_OUTPUT_TAP);
  return cmocka_run_group_tests (tests, NULL, NULL);
}
