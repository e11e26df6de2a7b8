/* SPDX-License-Identifier: MIT */
#include "http-fixture.h"

#include <dirent.h>
#include <gio/gio.h>
#include <string.h>

static guint
count_descriptors (void)
{
  guint count = 0;
  DIR *folder = opendir ("/proc/self/fd");
  while (readdir (folder) != NULL)
    count++;
  closedir (folder);
  return count;
}

static ScriptedHttp *shared;

int
http_set_up (void **state)
{
  HttpFixture *fixture = g_new0 (HttpFixture, 1);
  /* One server for all tests: what it saw is forgotten between them. */
  if (shared == NULL)
    shared = scripted_http_new (g_getenv ("SCRIPTED_HTTP"), 0);
  fixture->server = shared;
  g_free (scripted_http_get (fixture->server, "/_reset"));
  const RagifyKitOptions options = { .quiet = 1, .poller = &ragify_kit_glib_poller };
  fixture->kit = ragify_kit_new (&options);
  *state = fixture;
  return 0;
}

int
http_tear_down (void **state)
{
  HttpFixture *fixture = *state;
  if (fixture->source != NULL)
    http_close (fixture);
  ragify_kit_free (fixture->kit);
  shared = fixture->server;
  g_free (fixture);
  return 0;
}

int
http_group_tear_down (void **state)
{
  g_clear_pointer (&shared, scripted_http_free);
  return 0;
}

RagifyKitInstance *
http_try_open (HttpFixture *fixture, const char *const *config)
{
  fixture->source = ragify_kit_open (fixture->kit, g_getenv ("SOURCE_HTTP"), RAGIFY_KIND_SOURCE, "http", config, NULL);
  return fixture->source;
}

void
http_open (HttpFixture *fixture, const char *behaviour, ...)
{
  g_autofree char *url =
      g_strdup_printf ("base-url=http://127.0.0.1:%u/%s", scripted_http_port (fixture->server), behaviour);
  const char *config[16] = { url };
  va_list more;
  va_start (more, behaviour);
  for (guint i = 1; i < G_N_ELEMENTS (config) - 1 && (config[i] = va_arg (more, const char *)) != NULL; i++)
    ;
  va_end (more);
  if (http_try_open (fixture, config) == NULL)
    fail_msg ("%s", ragify_kit_error (fixture->kit));
}

void
http_close (HttpFixture *fixture)
{
  assert_int_equal (ragify_kit_close (fixture->source), RAGIFY_OK);
  fixture->source = NULL;
  for (guint i = 0; ragify_kit_fault (fixture->kit, i) != NULL; i++)
    print_message ("# %s\n", ragify_kit_fault (fixture->kit, i));
  assert_int_equal (ragify_kit_faults (fixture->kit), 0);
  assert_true (fixture->server == NULL || scripted_http_await (fixture->server, "/_connections", "0"));
  /* GLib keeps some of its own from its first use on. */
  static guint usual;
  const guint left = count_descriptors ();
  usual = usual == 0 ? left : usual;
  assert_true (left <= usual);
}

RagifyKitCall *
http_ask (HttpFixture *fixture, const char *text, guint top_k, guint64 timeout_us)
{
  const RagifySourceOperations *operations = ragify_kit_operations (fixture->source);
  const RagifySourceQuery query = { .struct_size = sizeof query, .top_k = top_k, .text = ragify_str_from (text) };
  return ragify_kit_call (fixture->source, (RagifyKitFunction)operations->query, &query, timeout_us);
}

void
http_expect (HttpFixture *fixture, guint64 timeout_us, int32_t code, const char *words)
{
  RagifyKitCall *call = http_ask (fixture, "question", 5, timeout_us);
  if (call->code != code || strstr (call->message, words) == NULL || call->hung)
    fail_msg ("expected %d with '%s', found %d '%s'", code, words, call->code, call->message);
  ragify_kit_call_free (call);
}

const RagifyChunk *
http_chunk (const RagifyKitCall *call, guint64 i)
{
  if (call->code != RAGIFY_OK)
    fail_msg ("%d: %s", call->code, call->message);
  const RagifyChunkList *chunks = &((const RagifySourceResult *)call->result)->chunks;
  assert_true (i < chunks->count);
  return (const RagifyChunk *)(const void *)((const char *)chunks->items + i * chunks->stride);
}

void
http_assert_str (RagifyStr text, const char *expected)
{
  g_autofree char *copy = g_strndup (text.size > 0 ? text.data : "", text.size);
  assert_string_equal (copy, expected);
}

int64_t
http_stat (HttpFixture *fixture, const char *name)
{
  const RagifyNothing nothing = { .struct_size = sizeof nothing };
  RagifyKitCall *call =
      ragify_kit_call (fixture->source, (RagifyKitFunction)ragify_kit_component (fixture->source)->stats, &nothing, 0);
  const RagifyPairList *values = &((const RagifyStatsResult *)call->result)->values;
  int64_t found = -1;
  for (guint64 i = 0; i < values->count; i++)
    if (values->items[i].name.size == strlen (name) && memcmp (values->items[i].name.data, name, strlen (name)) == 0)
      found = values->items[i].value.integer;
  ragify_kit_call_free (call);
  assert_true (found >= 0);
  return found;
}
