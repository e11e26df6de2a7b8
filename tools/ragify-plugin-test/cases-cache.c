/* Caches: keys, values, time, clearing. SPDX-License-Identifier: MIT */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conformance.h"

#define LARGEST (UINT64_C (64) << 20)
#define PATIENCE_US (30 * UINT64_C (1000000))

typedef struct Bench {
  Subject *subject;
  RagifyKitInstance *instance;
  const RagifyCacheOperations *operations;
} Bench;

static bool
bench_open (Bench *bench, Subject *subject)
{
  bench->subject = subject;
  bench->instance = subject_open (subject);
  bench->operations = bench->instance != NULL ? ragify_kit_operations (bench->instance) : NULL;
  return bench->instance != NULL;
}

static RagifyBytes
key_of (const char *text)
{
  return (RagifyBytes){ (const uint8_t *)text, strlen (text) };
}

static int32_t
set_bytes (Bench *bench, RagifyBytes key, const void *data, uint64_t size, uint64_t ttl_us)
{
  RagifyBuffer *value = ragify_kit_buffer_new (data, size);
  const RagifyCacheSet args = { .struct_size = sizeof args, .key = key, .value = value, .ttl_us = ttl_us };
  RagifyKitCall *call = ragify_kit_call (bench->instance, (RagifyKitFunction)bench->operations->set, &args, 0);
  subject_well_ended (bench->subject, call, "set");
  const int32_t code = call->code;
  ragify_kit_call_free (call);
  ragify_kit_buffer_unref (value);
  return code;
}

static void
set (Bench *bench, const char *key, const char *value)
{
  const int32_t code = set_bytes (bench, key_of (key), value, strlen (value), 0);
  expect (bench->subject, code == RAGIFY_OK, "set failed with code %d", code);
}

/* A reference to the value, or NULL; `*ttl_us` when there is one. */
static RagifyBuffer *
get_bytes (Bench *bench, RagifyBytes key, uint64_t *ttl_us)
{
  const RagifyCacheGet args = { .struct_size = sizeof args, .key = key };
  RagifyKitCall *call = ragify_kit_call (bench->instance, (RagifyKitFunction)bench->operations->get, &args, 0);
  RagifyBuffer *value = NULL;
  if (subject_succeeded (bench->subject, call, "get")) {
    value = ((const RagifyCacheGetResult *)call->result)->value;
    if (ttl_us != NULL)
      *ttl_us = ((const RagifyCacheGetResult *)call->result)->ttl_us;
  }
  ragify_kit_call_free (call);
  return value;
}

static bool
holds (Bench *bench, RagifyBytes key, const void *data, uint64_t size)
{
  RagifyBuffer *value = get_bytes (bench, key, NULL);
  if (value == NULL)
    return false;
  const bool same = value->size == size && (size == 0 || memcmp (value->data, data, size) == 0);
  expect (bench->subject, same, "a key has another value than it was given (%llu bytes, %llu expected)",
          (unsigned long long)value->size, (unsigned long long)size);
  value->unref (value);
  return same;
}

/* A cache may forget, but one that never keeps a single small value is none. */
static void
expect_holds (Bench *bench, const char *key, const char *value)
{
  expect (bench->subject, holds (bench, key_of (key), value, strlen (value)), "'%s' was set and is not there", key);
}

static void
expect_absent (Bench *bench, const char *key, const char *why)
{
  RagifyBuffer *value = get_bytes (bench, key_of (key), NULL);
  expect (bench->subject, value == NULL, "'%s' is there, %s", key, why);
  ragify_kit_buffer_unref (value);
}

static uint64_t
clear (Bench *bench, uint32_t scope, uint64_t target_bytes)
{
  const RagifyCacheClear args = { .struct_size = sizeof args, .scope = scope, .target_bytes = target_bytes };
  RagifyKitCall *call = ragify_kit_call (bench->instance, (RagifyKitFunction)bench->operations->clear, &args, 0);
  uint64_t count = 0;
  if (subject_succeeded (bench->subject, call, "clear"))
    count = ((const RagifyCacheCount *)call->result)->count;
  ragify_kit_call_free (call);
  return count;
}

static void
keeps_and_replaces (Subject *subject)
{
  Bench bench;
  if (!bench_open (&bench, subject))
    return;
  expect_absent (&bench, "never set", "and nobody set it");
  set (&bench, "a", "first");
  set (&bench, "ab", "other");
  expect_holds (&bench, "a", "first");
  set (&bench, "a", "second, and longer");
  expect_holds (&bench, "a", "second, and longer");
  expect_holds (&bench, "ab", "other");
  const RagifyCacheRemove args = { .struct_size = sizeof args, .key = key_of ("a") };
  for (int i = 0; i < 2; i++) { /* what is not there is removed as well */
    RagifyKitCall *call = ragify_kit_call (bench.instance, (RagifyKitFunction)bench.operations->remove, &args, 0);
    subject_succeeded (subject, call, "remove");
    ragify_kit_call_free (call);
  }
  expect_absent (&bench, "a", "after it was removed");
  expect_holds (&bench, "ab", "other");
  subject_close (subject, bench.instance);
}

static void
keys_are_bytes (Subject *subject)
{
  Bench bench;
  uint8_t key[1024];
  if (!bench_open (&bench, subject))
    return;
  for (unsigned i = 0; i < 256; i++) {
    key[0] = (uint8_t)i;
    set_bytes (&bench, (RagifyBytes){ key, 1 }, key, 1, 0);
  }
  for (unsigned i = 0; i < 256; i++) {
    key[0] = (uint8_t)i;
    expect (subject, holds (&bench, (RagifyBytes){ key, 1 }, key, 1), "the key of the one byte 0x%02x is not kept", i);
  }
  for (size_t i = 0; i < sizeof key; i++)
    key[i] = (uint8_t)(i * 31);
  set_bytes (&bench, (RagifyBytes){ key, sizeof key }, "long", 4, 0);
  set_bytes (&bench, (RagifyBytes){ key, sizeof key - 1 }, "less", 4, 0);
  expect (subject, holds (&bench, (RagifyBytes){ key, sizeof key }, "long", 4), "a key of 1024 bytes is not kept");
  expect (subject, holds (&bench, (RagifyBytes){ key, sizeof key - 1 }, "less", 4), "a key of 1023 bytes is not kept");
  const RagifyBytes with_nul = { (const uint8_t *)"zz\0b", 4 };
  set_bytes (&bench, with_nul, "nul", 3, 0);
  expect (subject, !holds (&bench, key_of ("zz"), "nul", 3), "a key ends at a NUL byte");
  subject_close (subject, bench.instance);
}

static void
values_of_any_size (Subject *subject)
{
  static const uint64_t sizes[] = { 0, 1, 4096, 65537, 1 << 20, LARGEST };
  uint8_t *data = malloc (LARGEST);
  Bench bench;
  if (data == NULL || !bench_open (&bench, subject)) {
    free (data);
    return;
  }
  for (uint64_t i = 0; i < LARGEST; i++)
    data[i] = (uint8_t)(i * 7 + (i >> 12));
  for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
    char key[32];
    snprintf (key, sizeof key, "size-%zu", i);
    const int32_t code = set_bytes (&bench, key_of (key), data, sizes[i], 0);
    expect (subject, code == RAGIFY_OK || (code == RAGIFY_E_EXHAUSTED && sizes[i] > 1 << 20),
            "a value of %llu bytes is refused with code %d", (unsigned long long)sizes[i], code);
    RagifyBuffer *value = get_bytes (&bench, key_of (key), NULL);
    expect (subject, value != NULL || sizes[i] > 65537, "a value of %llu bytes is not kept",
            (unsigned long long)sizes[i]);
    if (value != NULL)
      expect (subject, value->size == sizes[i] && (sizes[i] == 0 || memcmp (value->data, data, sizes[i]) == 0),
              "a value of %llu bytes came back as another one", (unsigned long long)sizes[i]);
    ragify_kit_buffer_unref (value);
  }
  subject_close (subject, bench.instance);
  free (data);
}

static void
ends_with_its_time (Subject *subject)
{
  Bench bench;
  if (!bench_open (&bench, subject))
    return;
  const uint64_t day = UINT64_C (86400) * 1000000;
  set_bytes (&bench, key_of ("short"), "s", 1, 50000);
  set_bytes (&bench, key_of ("long"), "l", 1, day);
  uint64_t left = 0;
  RagifyBuffer *value = get_bytes (&bench, key_of ("long"), &left);
  expect (subject, value != NULL, "a value with a day to live is not there");
  expect (subject, left <= day, "it has more time left than it was given");
  ragify_kit_buffer_unref (value);
  const uint64_t until = ragify_kit_now_us () + PATIENCE_US;
  do {
    usleep (20000);
    value = get_bytes (&bench, key_of ("short"), &left);
    if (value != NULL)
      value->unref (value);
  } while (value != NULL && ragify_kit_now_us () < until);
  expect (subject, value == NULL, "a value of 50 ms is still there after 30 s");
  set_bytes (&bench, key_of ("short"), "again", 5, day);
  expect (subject, holds (&bench, key_of ("short"), "again", 5), "a key whose time was over cannot be set again");
  subject_close (subject, bench.instance);
}

static void
clears_as_told (Subject *subject)
{
  Bench bench;
  if (!bench_open (&bench, subject))
    return;
  set (&bench, "a", "1");
  set (&bench, "b", "2");
  clear (&bench, RAGIFY_CACHE_CLEAR_EXPIRED, 0);
  expect_holds (&bench, "a", "1");
  clear (&bench, RAGIFY_CACHE_CLEAR_ALL, 0);
  expect_absent (&bench, "a", "after all was cleared");
  expect_absent (&bench, "b", "after all was cleared");
  set (&bench, "a", "3");
  expect_holds (&bench, "a", "3");
  clear (&bench, RAGIFY_CACHE_CLEAR_SHRINK, LARGEST * 1024); /* it is smaller already */
  clear (&bench, RAGIFY_CACHE_CLEAR_SHRINK, 0);
  const RagifyCacheClear unknown = { .struct_size = sizeof unknown, .scope = 77 };
  RagifyKitCall *call = ragify_kit_call (bench.instance, (RagifyKitFunction)bench.operations->clear, &unknown, 0);
  subject_failed_with (subject, call, RAGIFY_E_INVALID, "clear of an unknown scope");
  ragify_kit_call_free (call);
  subject_close (subject, bench.instance);
}

static void
values_are_shared_safely (Subject *subject)
{
  Bench bench;
  if (!bench_open (&bench, subject))
    return;
  set (&bench, "a", "the value that is held");
  RagifyBuffer *held = get_bytes (&bench, key_of ("a"), NULL);
  set (&bench, "a", "another");
  clear (&bench, RAGIFY_CACHE_CLEAR_ALL, 0);
  subject_close (subject, bench.instance);
  if (expect (subject, held != NULL, "'a' was set and is not there")) {
    expect (subject, held->size == 22 && memcmp (held->data, "the value that is held", 22) == 0,
            "a value that somebody holds has changed");
    held->unref (held);
  }
  expect (subject, ragify_kit_counts (subject->kit).buffers == 0, "%lld buffers are never released",
          (long long)ragify_kit_counts (subject->kit).buffers);
}

typedef struct Writer {
  Bench *bench;
  unsigned number;
  unsigned wrong;
} Writer;

static void *
write_and_read (void *user)
{
  Writer *writer = user;
  for (unsigned i = 0; i < 60; i++) {
    char key[32], value[64];
    snprintf (key, sizeof key, "key-%u-%u", writer->number % 4, i % 8);
    snprintf (value, sizeof value, "%s belongs to no other key", key);
    RagifyBuffer *stored = ragify_kit_buffer_new (value, strlen (value));
    const RagifyCacheSet put = { .struct_size = sizeof put, .key = key_of (key), .value = stored };
    const RagifyCacheGet look = { .struct_size = sizeof look, .key = key_of (key) };
    ragify_kit_call_free (
        ragify_kit_call (writer->bench->instance, (RagifyKitFunction)writer->bench->operations->set, &put, 0));
    RagifyKitCall *call =
        ragify_kit_call (writer->bench->instance, (RagifyKitFunction)writer->bench->operations->get, &look, 0);
    RagifyBuffer *got = call->code == RAGIFY_OK ? ((const RagifyCacheGetResult *)call->result)->value : NULL;
    writer->wrong += got != NULL && (got->size != strlen (value) || memcmp (got->data, value, got->size) != 0);
    ragify_kit_buffer_unref (got);
    ragify_kit_call_free (call);
    ragify_kit_buffer_unref (stored);
  }
  return NULL;
}

static void
stays_whole_under_many (Subject *subject)
{
  enum { WRITERS = 8 };
  Bench bench;
  Writer writers[WRITERS];
  pthread_t threads[WRITERS];
  if (!bench_open (&bench, subject))
    return;
  for (unsigned i = 0; i < WRITERS; i++) {
    writers[i] = (Writer){ .bench = &bench, .number = i };
    pthread_create (&threads[i], NULL, write_and_read, &writers[i]);
  }
  for (unsigned i = 0; i < WRITERS; i++) {
    pthread_join (threads[i], NULL);
    expect (subject, writers[i].wrong == 0, "%u of 60 keys had the value of another", writers[i].wrong);
  }
  subject_close (subject, bench.instance);
}

#define CACHE RAGIFY_KIND_CACHE

const Case conformance_cache_cases[] = {
  { "keeps and replaces", "what was set is got until it is set again or removed; a miss is a success without a value",
    keeps_and_replaces, CACHE },
  { "keys are bytes", "keys are 1 to 1024 bytes of any value, and no key is the beginning of another", keys_are_bytes,
    CACHE },
  { "values of any size", "values of 0 bytes to 64 MiB come back as they were, or are forgotten", values_of_any_size,
    CACHE },
  { "ends with its time", "a value is not got once its ttl is over, and ttl_us never says more than it was given",
    ends_with_its_time, CACHE },
  { "clears as told", "clear removes all, or what has expired, or shrinks; an unknown scope is INVALID", clears_as_told,
    CACHE },
  { "values are shared safely", "a value that was got stays as it was for as long as its reference is held",
    values_are_shared_safely, CACHE },
  { "stays whole under many", "calls at once never give one key the value of another", stays_whole_under_many, CACHE },
  { NULL, NULL, NULL, NULL },
};
