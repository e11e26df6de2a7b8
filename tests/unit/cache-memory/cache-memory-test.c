/* The memory cache through its loaded plugin. SPDX-License-Identifier: MIT */
#include "kit.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

typedef struct Fixture {
  RagifyKit *kit;
  RagifyKitInstance *cache;
  const RagifyCacheOperations *operations;
} Fixture;

static void
open_cache (Fixture *fixture, const char *const *config)
{
  fixture->kit = ragify_kit_new (NULL);
  fixture->cache = ragify_kit_open (fixture->kit, getenv ("CACHE_MEMORY"), RAGIFY_KIND_CACHE, "memory", config, NULL);
  if (fixture->cache == NULL)
    fail_msg ("%s", ragify_kit_error (fixture->kit));
  fixture->operations = ragify_kit_operations (fixture->cache);
}

/* Nothing may be left when the instance is gone. */
static void
close_cache (Fixture *fixture)
{
  assert_int_equal (ragify_kit_close (fixture->cache), RAGIFY_OK);
  const RagifyKitCounts counts = ragify_kit_counts (fixture->kit);
  assert_int_equal (counts.buffers, 0);
  assert_int_equal (counts.calls, 0);
  assert_int_equal (counts.faults, 0);
  ragify_kit_free (fixture->kit);
}

static RagifyBytes
bytes_of (const char *text)
{
  return (RagifyBytes){ (const uint8_t *)text, strlen (text) };
}

static int32_t
set_buffer (Fixture *fixture, RagifyBytes key, RagifyBuffer *value, uint64_t ttl_us)
{
  const RagifyCacheSet args = { .struct_size = sizeof args, .key = key, .value = value, .ttl_us = ttl_us };
  RagifyKitCall *call = ragify_kit_call (fixture->cache, (RagifyKitFunction)fixture->operations->set, &args, 0);
  const int32_t code = call->code;
  ragify_kit_call_free (call);
  return code;
}

static int32_t
set_bytes (Fixture *fixture, RagifyBytes key, const void *data, uint64_t size, uint64_t ttl_us)
{
  RagifyBuffer *value = ragify_kit_buffer_new (data, size);
  const int32_t code = set_buffer (fixture, key, value, ttl_us);
  ragify_kit_buffer_unref (value);
  return code;
}

/* The value with a reference for the caller, or NULL for a miss. */
static RagifyBuffer *
get_key (Fixture *fixture, RagifyBytes key, uint64_t *ttl_us)
{
  const RagifyCacheGet args = { .struct_size = sizeof args, .key = key };
  RagifyKitCall *call = ragify_kit_call (fixture->cache, (RagifyKitFunction)fixture->operations->get, &args, 0);
  if (call->code != RAGIFY_OK)
    fail_msg ("get: %s", call->message);
  const RagifyCacheGetResult *result = call->result;
  RagifyBuffer *value = result->value;
  if (ttl_us != NULL)
    *ttl_us = result->ttl_us;
  ragify_kit_call_free (call);
  return value;
}

static void
assert_value (Fixture *fixture, RagifyBytes key, const void *data, uint64_t size)
{
  RagifyBuffer *value = get_key (fixture, key, NULL);
  assert_non_null (value);
  assert_int_equal (value->size, size);
  if (size > 0)
    assert_memory_equal (value->data, data, size);
  value->unref (value);
}

static void
assert_absent (Fixture *fixture, RagifyBytes key)
{
  assert_null (get_key (fixture, key, NULL));
}

static uint64_t
remove_key (Fixture *fixture, RagifyBytes key)
{
  const RagifyCacheRemove args = { .struct_size = sizeof args, .key = key };
  RagifyKitCall *call = ragify_kit_call (fixture->cache, (RagifyKitFunction)fixture->operations->remove, &args, 0);
  const uint64_t count = ((const RagifyCacheCount *)call->result)->count;
  ragify_kit_call_free (call);
  return count;
}

static uint64_t
clear (Fixture *fixture, uint32_t scope, uint64_t target_bytes)
{
  const RagifyCacheClear args = { .struct_size = sizeof args, .scope = scope, .target_bytes = target_bytes };
  RagifyKitCall *call = ragify_kit_call (fixture->cache, (RagifyKitFunction)fixture->operations->clear, &args, 0);
  assert_int_equal (call->code, RAGIFY_OK);
  const uint64_t count = ((const RagifyCacheCount *)call->result)->count;
  ragify_kit_call_free (call);
  return count;
}

static int64_t
statistic (Fixture *fixture, const char *name)
{
  const RagifyNothing args = { .struct_size = sizeof args };
  RagifyKitCall *call =
      ragify_kit_call (fixture->cache, (RagifyKitFunction)ragify_kit_component (fixture->cache)->stats, &args, 0);
  const RagifyPairList values = ((const RagifyStatsResult *)call->result)->values;
  int64_t number = -1;
  for (uint64_t i = 0; i < values.count; i++) {
    if (values.items[i].name.size == strlen (name) && memcmp (values.items[i].name.data, name, strlen (name)) == 0)
      number = values.items[i].value.integer;
  }
  ragify_kit_call_free (call);
  return number;
}

static void
pause_ms (long ms)
{
  nanosleep (&(struct timespec){ .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 }, NULL);
}

static void
what_was_set_is_got_until_it_is_removed (void **state)
{
  (void)state;
  Fixture fixture;
  open_cache (&fixture, NULL);
  assert_absent (&fixture, bytes_of ("a"));
  assert_int_equal (set_bytes (&fixture, bytes_of ("a"), "one", 3, 0), RAGIFY_OK);
  assert_int_equal (set_bytes (&fixture, bytes_of ("b"), "two", 3, 0), RAGIFY_OK);
  assert_value (&fixture, bytes_of ("a"), "one", 3);
  assert_int_equal (set_bytes (&fixture, bytes_of ("a"), "another", 7, 0), RAGIFY_OK);
  assert_value (&fixture, bytes_of ("a"), "another", 7);
  assert_value (&fixture, bytes_of ("b"), "two", 3);
  assert_int_equal (statistic (&fixture, "entries"), 2);
  assert_int_equal (remove_key (&fixture, bytes_of ("a")), 1);
  assert_int_equal (remove_key (&fixture, bytes_of ("a")), 0);
  assert_absent (&fixture, bytes_of ("a"));
  assert_int_equal (remove_key (&fixture, bytes_of ("b")), 1);
  assert_int_equal (statistic (&fixture, "entries"), 0);
  assert_int_equal (statistic (&fixture, "bytes"), 0);
  assert_int_equal (statistic (&fixture, "hits"), 3);
  assert_int_equal (statistic (&fixture, "misses"), 2);
  close_cache (&fixture);
}

static void
keys_are_any_1_to_1024_bytes (void **state)
{
  (void)state;
  Fixture fixture;
  open_cache (&fixture, NULL);
  uint8_t key[1025];
  for (size_t i = 0; i < sizeof key; i++)
    key[i] = (uint8_t)(i * 7);
  for (uint64_t size = 1; size <= 1024; size++)
    assert_int_equal (set_bytes (&fixture, (RagifyBytes){ key, size }, &size, sizeof size, 0), RAGIFY_OK);
  for (uint64_t size = 1; size <= 1024; size++)
    assert_value (&fixture, (RagifyBytes){ key, size }, &size, sizeof size);
  assert_int_equal (set_bytes (&fixture, (RagifyBytes){ key, 0 }, "x", 1, 0), RAGIFY_E_INVALID);
  assert_int_equal (set_bytes (&fixture, (RagifyBytes){ key, 1025 }, "x", 1, 0), RAGIFY_E_INVALID);
  assert_int_equal (set_bytes (&fixture, (RagifyBytes){ NULL, 5 }, "x", 1, 0), RAGIFY_E_INVALID);
  assert_int_equal (set_buffer (&fixture, bytes_of ("k"), NULL, 0), RAGIFY_E_INVALID);
  close_cache (&fixture);
}

static void
values_are_0_bytes_to_64_mib (void **state)
{
  (void)state;
  Fixture fixture;
  open_cache (&fixture, (const char *[]){ "max-bytes=200MiB", "max-entries=50000", NULL });
  const uint64_t size = UINT64_C (64) << 20;
  uint8_t *large = calloc (1, size + 1);
  large[0] = 1;
  large[size - 1] = 2;
  assert_int_equal (set_bytes (&fixture, bytes_of ("empty"), "", 0, 0), RAGIFY_OK);
  assert_int_equal (set_bytes (&fixture, bytes_of ("large"), large, size, 0), RAGIFY_OK);
  assert_value (&fixture, bytes_of ("empty"), "", 0);
  assert_value (&fixture, bytes_of ("large"), large, size);
  assert_int_equal (set_bytes (&fixture, bytes_of ("over"), large, size + 1, 0), RAGIFY_E_INVALID);
  for (int i = 0; i < 6; i++) {
    char key[32];
    snprintf (key, sizeof key, "large-%d", i);
    assert_int_equal (set_bytes (&fixture, bytes_of (key), large, size, 0), RAGIFY_OK);
    assert_value (&fixture, bytes_of (key), large, size);
    assert_true (statistic (&fixture, "bytes") <= INT64_C (200) << 20);
  }
  /* What was evicted is freed soon, not at some later time: it is too much to keep. */
  assert_true (ragify_kit_counts (fixture.kit).buffers <= 4);
  free (large);
  close_cache (&fixture);
}

static void
a_value_larger_than_the_cache_is_not_kept_nor_the_one_before (void **state)
{
  (void)state;
  Fixture fixture;
  open_cache (&fixture, (const char *[]){ "max-bytes=64KiB", NULL });
  static const uint8_t data[70000];
  assert_int_equal (set_bytes (&fixture, bytes_of ("k"), "old", 3, 0), RAGIFY_OK);
  assert_int_equal (set_bytes (&fixture, bytes_of ("k"), data, sizeof data, 0), RAGIFY_OK);
  assert_absent (&fixture, bytes_of ("k"));
  assert_int_equal (statistic (&fixture, "rejected"), 1);
  close_cache (&fixture);
}

static void
a_value_lives_for_the_shorter_of_both_times (void **state)
{
  (void)state;
  Fixture fixture;
  open_cache (&fixture, (const char *[]){ "ttl=10s", NULL });
  uint64_t left = 0;
  RagifyBuffer *value = NULL;
  set_bytes (&fixture, bytes_of ("own"), "x", 1, 0);
  value = get_key (&fixture, bytes_of ("own"), &left);
  assert_true (left <= 10000000 && left > 5000000);
  value->unref (value);
  set_bytes (&fixture, bytes_of ("longer"), "x", 1, 3600000000u);
  value = get_key (&fixture, bytes_of ("longer"), &left);
  assert_true (left <= 10000000 && left > 5000000);
  value->unref (value);
  set_bytes (&fixture, bytes_of ("huge"), "x", 1, UINT64_MAX);
  value = get_key (&fixture, bytes_of ("huge"), &left);
  assert_true (left <= 10000000 && left > 5000000);
  value->unref (value);
  set_bytes (&fixture, bytes_of ("short"), "x", 1, 20000);
  pause_ms (40);
  assert_absent (&fixture, bytes_of ("short"));
  assert_int_equal (statistic (&fixture, "entries"), 3);
  assert_int_equal (statistic (&fixture, "expired"), 1);
  close_cache (&fixture);
}

static void
a_ttl_of_0_keeps_without_end_and_can_change_while_it_runs (void **state)
{
  (void)state;
  Fixture fixture;
  open_cache (&fixture, (const char *[]){ "ttl=0s", NULL });
  uint64_t left = 1;
  set_bytes (&fixture, bytes_of ("k"), "x", 1, 0);
  RagifyBuffer *value = get_key (&fixture, bytes_of ("k"), &left);
  assert_int_equal (left, 0);
  value->unref (value);
  assert_int_equal (ragify_kit_reconfigure (fixture.cache, (const char *[]){ "ttl=10ms", NULL }), RAGIFY_OK);
  set_bytes (&fixture, bytes_of ("l"), "x", 1, 0);
  pause_ms (30);
  assert_absent (&fixture, bytes_of ("l"));
  assert_value (&fixture, bytes_of ("k"), "x", 1);
  close_cache (&fixture);
}

static void
limits_hold_at_every_moment (void **state)
{
  (void)state;
  Fixture fixture;
  for (int round = 0; round < 3; round++) {
    const char *configs[][4] = {
      { "max-entries=1", NULL },
      { "max-entries=100", "max-bytes=64KiB", NULL },
      { "max-entries=40000", "max-bytes=256KiB", "shards=8", NULL },
    };
    const int64_t entries[] = { 1, 100, 40000 };
    const int64_t bytes[] = { 256 << 20, 64 << 10, 256 << 10 };
    open_cache (&fixture, configs[round]);
    static const uint8_t data[3000];
    for (uint32_t i = 0; i < 3000; i++) {
      set_bytes (&fixture, (RagifyBytes){ (const uint8_t *)&i, sizeof i }, data, i * 31 % sizeof data, 0);
      assert_value (&fixture, (RagifyBytes){ (const uint8_t *)&i, sizeof i }, data, i * 31 % sizeof data);
      assert_true (statistic (&fixture, "entries") <= entries[round]);
      assert_true (statistic (&fixture, "bytes") <= bytes[round]);
    }
    assert_true (statistic (&fixture, "evictions") > 0);
    assert_int_equal (clear (&fixture, RAGIFY_CACHE_CLEAR_ALL, 0), 3000 - statistic (&fixture, "evictions"));
    assert_int_equal (statistic (&fixture, "bytes"), 0);
    close_cache (&fixture);
  }
}

static void
clear_takes_what_its_scope_says (void **state)
{
  (void)state;
  Fixture fixture;
  open_cache (&fixture, (const char *[]){ "max-entries=40000", "shards=4", NULL });
  static const uint8_t data[1000];
  for (uint32_t i = 0; i < 1000; i++)
    set_bytes (&fixture, (RagifyBytes){ (const uint8_t *)&i, sizeof i }, data, sizeof data, i % 4 == 0 ? 1000 : 0);
  pause_ms (10);
  assert_int_equal (clear (&fixture, RAGIFY_CACHE_CLEAR_EXPIRED, 0), 250);
  assert_int_equal (statistic (&fixture, "entries"), 750);
  assert_true (clear (&fixture, RAGIFY_CACHE_CLEAR_SHRINK, 200000) > 500);
  assert_true (statistic (&fixture, "bytes") <= 200000);
  assert_true (statistic (&fixture, "entries") > 150);
  const int64_t left = statistic (&fixture, "entries");
  assert_int_equal (clear (&fixture, RAGIFY_CACHE_CLEAR_ALL, 0), left);
  assert_int_equal (statistic (&fixture, "entries"), 0);
  /* What is cleared is also freed. */
  assert_int_equal (ragify_kit_counts (fixture.kit).buffers, 0);
  close_cache (&fixture);
}

static int64_t
resident_bytes (void)
{
  long long pages = 0;
  FILE *file = fopen ("/proc/self/statm", "r");
  assert_non_null (file);
  assert_int_equal (fscanf (file, "%*s %lld", &pages), 1);
  fclose (file);
  return pages * sysconf (_SC_PAGESIZE);
}

/* Fills and empties a cache a few times: the first time may leave something behind for later, the others must not. */
static void
what_is_cleared_is_given_back_to_the_system (void **state)
{
  (void)state;
  Fixture fixture;
  open_cache (&fixture, (const char *[]){ "max-entries=100000", NULL });
  RagifyBuffer *value = ragify_kit_buffer_new ("v", 1);
  const uint32_t entries = 60000;
  for (int round = 0; round < 3; round++) {
    for (uint32_t i = 0; i < entries; i++)
      set_buffer (&fixture, (RagifyBytes){ (const uint8_t *)&i, sizeof i }, value, 0);
    const int64_t full = resident_bytes ();
    assert_int_equal (statistic (&fixture, "entries"), entries);
    assert_int_equal (clear (&fixture, RAGIFY_CACHE_CLEAR_ALL, 0), entries);
#ifndef __SANITIZE_THREAD__ /* it touches memory of its own for what is unmapped */
    assert_true (resident_bytes () <= full - (int64_t)entries * 48);
#else
    (void)full;
#endif
  }
  ragify_kit_buffer_unref (value);
  close_cache (&fixture);
}

static void
a_value_that_is_being_read_outlives_its_entry (void **state)
{
  (void)state;
  Fixture fixture;
  open_cache (&fixture, NULL);
  set_bytes (&fixture, bytes_of ("k"), "still here", 10, 0);
  RagifyBuffer *value = get_key (&fixture, bytes_of ("k"), NULL);
  clear (&fixture, RAGIFY_CACHE_CLEAR_ALL, 0);
  assert_memory_equal (value->data, "still here", 10);
  value->unref (value);
  close_cache (&fixture);
}

static void
bad_configuration_is_refused (void **state)
{
  (void)state;
  static const char *const cases[] = { "max-entries=0",  "max-entries=100000000",
                                       "max-bytes=1KiB", "shards=3",
                                       "shards=64",      "ttl=x" };
  RagifyKit *kit = ragify_kit_new (NULL);
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    const char *config[] = { cases[i], NULL };
    assert_null (ragify_kit_open (kit, getenv ("CACHE_MEMORY"), RAGIFY_KIND_CACHE, "memory", config, NULL));
  }
  assert_int_equal (ragify_kit_faults (kit), 0);
  ragify_kit_free (kit);
}

static uint32_t
draw (uint64_t *random)
{
  *random = *random * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)(*random >> 33);
}

/* Against a list of what was set last: a hit must be that; a key that was removed must miss. */
static void
no_hit_is_ever_wrong (void **state)
{
  (void)state;
  enum { KEYS = 3000 };
  uint32_t *expected = calloc (KEYS, sizeof *expected);
  for (int shards = 1; shards <= 8; shards *= 8) {
    Fixture fixture;
    char entries[32];
    char text[32];
    snprintf (entries, sizeof entries, "max-entries=%d", 1000);
    snprintf (text, sizeof text, "shards=%d", shards);
    open_cache (&fixture, (const char *[]){ entries, text, NULL });
    memset (expected, 0, KEYS * sizeof *expected);
    uint64_t random = 42;
    for (uint32_t i = 1; i < 60000; i++) {
      const uint32_t key = draw (&random) % KEYS * (draw (&random) % KEYS) / KEYS;
      const RagifyBytes bytes = { (const uint8_t *)&key, sizeof key };
      const uint32_t what = draw (&random) % 20;
      if (what == 0) {
        remove_key (&fixture, bytes);
        expected[key] = 0;
      } else if (what < 8) {
        set_bytes (&fixture, bytes, &i, sizeof i, 0);
        expected[key] = i;
      } else {
        RagifyBuffer *value = get_key (&fixture, bytes, NULL);
        if (value == NULL)
          continue;
        assert_int_not_equal (expected[key], 0);
        assert_memory_equal (value->data, &expected[key], sizeof expected[key]);
        value->unref (value);
      }
    }
    assert_true (statistic (&fixture, "hits") > 5000);
    close_cache (&fixture);
  }
  free (expected);
}

typedef struct Worker {
  Fixture *fixture;
  uint64_t random;
  uint64_t hits;
  uint64_t wrong;
} Worker;

static void *
work (void *user)
{
  Worker *worker = user;
  for (int i = 0; i < 20000; i++) {
    const uint32_t key = draw (&worker->random) % 700;
    const RagifyBytes bytes = { (const uint8_t *)&key, sizeof key };
    const uint32_t what = draw (&worker->random) % 100;
    if (what < 15) {
      /* Every value says whose it is: key, and its complement at the end. */
      const uint32_t value[] = { key, (uint32_t)i, ~key };
      set_bytes (worker->fixture, bytes, value, sizeof value, what == 0 ? 50 : 0);
    } else if (what < 18)
      remove_key (worker->fixture, bytes);
    else if (what == 18 && i % 50 == 0)
      clear (worker->fixture, (uint32_t)i / 50 % 3, 20000);
    else {
      RagifyBuffer *found = get_key (worker->fixture, bytes, NULL);
      if (found == NULL)
        continue;
      uint32_t value[3];
      memcpy (value, found->data, sizeof value);
      worker->hits++;
      worker->wrong += found->size != sizeof value || value[0] != key || value[2] != ~key;
      found->unref (found);
    }
  }
  return NULL;
}

static void
threads_do_not_disturb_each_other (void **state)
{
  (void)state;
  const char *const configs[][3] = { { "max-entries=300", "shards=1", NULL }, { "max-entries=300", "shards=4", NULL } };
  for (size_t round = 0; round < 2; round++) {
    Fixture fixture;
    open_cache (&fixture, configs[round]);
    pthread_t threads[4];
    Worker workers[4];
    for (size_t i = 0; i < 4; i++) {
      workers[i] = (Worker){ .fixture = &fixture, .random = i + 1 };
      assert_int_equal (pthread_create (&threads[i], NULL, work, &workers[i]), 0);
    }
    uint64_t hits = 0;
    for (size_t i = 0; i < 4; i++) {
      pthread_join (threads[i], NULL);
      assert_int_equal (workers[i].wrong, 0);
      hits += workers[i].hits;
    }
    assert_int_equal (statistic (&fixture, "hits"), hits);
    assert_true (hits > 1000);
    assert_true (statistic (&fixture, "entries") <= 300);
    clear (&fixture, RAGIFY_CACHE_CLEAR_ALL, 0);
    assert_int_equal (statistic (&fixture, "bytes"), 0);
    close_cache (&fixture);
  }
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (what_was_set_is_got_until_it_is_removed),
    cmocka_unit_test (keys_are_any_1_to_1024_bytes),
    cmocka_unit_test (values_are_0_bytes_to_64_mib),
    cmocka_unit_test (a_value_larger_than_the_cache_is_not_kept_nor_the_one_before),
    cmocka_unit_test (a_value_lives_for_the_shorter_of_both_times),
    cmocka_unit_test (a_ttl_of_0_keeps_without_end_and_can_change_while_it_runs),
    cmocka_unit_test (limits_hold_at_every_moment),
    cmocka_unit_test (clear_takes_what_its_scope_says),
    cmocka_unit_test (what_is_cleared_is_given_back_to_the_system),
    cmocka_unit_test (a_value_that_is_being_read_outlives_its_entry),
    cmocka_unit_test (bad_configuration_is_refused),
    cmocka_unit_test (no_hit_is_ever_wrong),
    cmocka_unit_test (threads_do_not_disturb_each_other),
  };
  cmocka_set_message_output (CM_OUTPUT_TAP);
  return cmocka_run_group_tests (tests, NULL, NULL);
}
