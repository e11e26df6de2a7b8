#include "cache-fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static _Thread_local char said[1024];

RagifyBytes
bytes_of (const char *text)
{
  return (RagifyBytes){ (const uint8_t *)text, strlen (text) };
}

const char *
cache_said (void)
{
  return said;
}

void
cache_open_url (Cache *cache, const char *url, const char *const *config)
{
  char place[300];
  const char *whole[CONFIG_ROOM] = { place };
  (void)snprintf (place, sizeof place, "url=%s", url);
  for (int i = 0; config != NULL && config[i] != NULL; i++)
    whole[i + 1] = config[i];
  cache->kit = ragify_kit_new (NULL);
  cache->instance = ragify_kit_open (cache->kit, getenv ("CACHE_REDIS"), RAGIFY_KIND_CACHE, "redis", whole, NULL);
  if (cache->instance == NULL)
    fail_msg ("%s", ragify_kit_error (cache->kit));
  cache->operations = ragify_kit_operations (cache->instance);
  cache->probe = (RagifyKitFunction)ragify_kit_component (cache->instance)->probe;
}

void
cache_open (Cache *cache, uint16_t port, const char *const *config)
{
  char url[64];
  (void)snprintf (url, sizeof url, "redis://127.0.0.1:%u", port);
  cache_open_url (cache, url, config);
}

void
cache_close (Cache *cache)
{
  assert_int_equal (ragify_kit_close (cache->instance), RAGIFY_OK);
  const RagifyKitCounts counts = ragify_kit_counts (cache->kit);
  for (size_t i = 0; ragify_kit_fault (cache->kit, i) != NULL; i++)
    (void)fprintf (stderr, "# %s\n", ragify_kit_fault (cache->kit, i));
  assert_int_equal (counts.buffers, 0);
  assert_int_equal (counts.calls, 0);
  assert_int_equal (counts.watches, 0);
  assert_int_equal (counts.timers, 0);
  assert_int_equal (counts.faults, 0);
  ragify_kit_free (cache->kit);
}

static int32_t
end_call (RagifyKitCall *call)
{
  const int32_t code = call->code;
  (void)snprintf (said, sizeof said, "%s", call->message);
  ragify_kit_call_free (call);
  return code;
}

int32_t
cache_set (Cache *cache, RagifyBytes key, const void *data, uint64_t size, uint64_t ttl_us, uint64_t timeout_us)
{
  RagifyBuffer *value = ragify_kit_buffer_new (data, size);
  const RagifyCacheSet args = { .struct_size = sizeof args, .key = key, .value = value, .ttl_us = ttl_us };
  const int32_t code =
      end_call (ragify_kit_call (cache->instance, (RagifyKitFunction)cache->operations->set, &args, timeout_us));
  ragify_kit_buffer_unref (value);
  return code;
}

int32_t
cache_get (Cache *cache, RagifyBytes key, RagifyBuffer **value, uint64_t timeout_us)
{
  const RagifyCacheGet args = { .struct_size = sizeof args, .key = key };
  RagifyKitCall *call = ragify_kit_call (cache->instance, (RagifyKitFunction)cache->operations->get, &args, timeout_us);
  const RagifyCacheGetResult *result = call->result;
  *value = result != NULL ? result->value : NULL;
  return end_call (call);
}

static int32_t
end_count (RagifyKitCall *call, uint64_t *count)
{
  const RagifyCacheCount *result = call->result;
  *count = result != NULL ? result->count : 0;
  return end_call (call);
}

int32_t
cache_remove (Cache *cache, RagifyBytes key, uint64_t *count)
{
  const RagifyCacheRemove args = { .struct_size = sizeof args, .key = key };
  return end_count (ragify_kit_call (cache->instance, (RagifyKitFunction)cache->operations->remove, &args, 0), count);
}

int32_t
cache_clear (Cache *cache, uint32_t scope, uint64_t *count)
{
  const RagifyCacheClear args = { .struct_size = sizeof args, .scope = scope };
  return end_count (ragify_kit_call (cache->instance, (RagifyKitFunction)cache->operations->clear, &args, 0), count);
}

int32_t
cache_probe (Cache *cache)
{
  const RagifyNothing nothing = { .struct_size = sizeof nothing };
  RagifyKitCall *call = ragify_kit_call (cache->instance, cache->probe, &nothing, 0);
  const RagifyProbeResult *result = call->result;
  const int32_t code = call->code;
  if (result != NULL)
    (void)snprintf (said, sizeof said, "%.*s", (int)result->detail.size, result->detail.data);
  else
    (void)snprintf (said, sizeof said, "%s", call->message);
  ragify_kit_call_free (call);
  return code;
}

int64_t
cache_stat (Cache *cache, const char *name)
{
  const RagifyNothing nothing = { .struct_size = sizeof nothing };
  RagifyKitCall *call =
      ragify_kit_call (cache->instance, (RagifyKitFunction)ragify_kit_component (cache->instance)->stats, &nothing, 0);
  const RagifyStatsResult *result = call->result;
  int64_t value = -1;
  assert_non_null (result);
  for (uint64_t i = 0; i < result->values.count; i++) {
    const RagifyPair *pair = &result->values.items[i];
    if (pair->name.size == strlen (name) && memcmp (pair->name.data, name, pair->name.size) == 0)
      value = pair->value.integer;
  }
  ragify_kit_call_free (call);
  return value;
}

void
must_set (Cache *cache, const char *key, const char *text)
{
  if (cache_set (cache, bytes_of (key), text, strlen (text), 0, 0) != RAGIFY_OK)
    fail_msg ("set %s: %s", key, said);
}

void
must_get (Cache *cache, const char *key, const char *text)
{
  RagifyBuffer *value = NULL;
  if (cache_get (cache, bytes_of (key), &value, 0) != RAGIFY_OK)
    fail_msg ("get %s: %s", key, said);
  if (text == NULL) {
    assert_null (value);
    return;
  }
  assert_non_null (value);
  assert_int_equal (value->size, strlen (text));
  assert_memory_equal (value->data, text, value->size);
  value->unref (value);
}

void
await_set (Cache *cache, const char *key, const char *text)
{
  for (int i = 0; i < 6000; i++) {
    if (cache_set (cache, bytes_of (key), text, strlen (text), 0, 1000000) == RAGIFY_OK)
      return;
    (void)usleep (10000);
  }
  fail_msg ("set %s: %s", key, said);
}

void
must_fail (int32_t code, int32_t expected, const char *part)
{
  if (code != expected || strstr (said, part) == NULL)
    fail_msg ("expected code %d with '%s', got %d: %s", expected, part, code, said);
}
