/* SPDX-License-Identifier: MIT */
#include "fixture.h"

#include <string.h>

static const char *const schema =
    "CREATE TABLE documents (id text PRIMARY KEY, content text, relevance_score float8, metadata jsonb);"
    "INSERT INTO documents VALUES"
    " ('bread', 'Flour, water, salt and yeast make a dough.', 0.9, '{\"lang\": \"en\", \"year\": 2020}'),"
    " ('soup', 'A leek soup wants potatoes, cream and salt.', 0.4, '{\"lang\": \"en\", \"year\": 2021}'),"
    " ('percent', 'It is 100% salt_free, they say \\o/.', 0.5, NULL),"
    " ('thousand', 'It is 1000 salts and more.', NULL, '{}'),"
    " ('quote', 'O''Brien said \"no\"; DROP TABLE documents; --', 0.1, '{\"lang\": \"ga\"}')";

int
fixture_start_server (void **state)
{
  RagifyTestPostgres *server = ragify_test_postgres_new (NULL);
  if (server == NULL)
    return -1;
  ragify_test_postgres_run (server, schema);
  *state = server;
  return 0;
}

int
fixture_stop_server (void **state)
{
  ragify_test_postgres_free (*state);
  return 0;
}

int
fixture_set_up (void **state)
{
  Fixture *fixture = g_new0 (Fixture, 1);
  const RagifyKitOptions options = { .quiet = 1, .workers = 2 };
  fixture->server = *state;
  fixture->kit = ragify_kit_new (&options);
  *state = fixture;
  return 0;
}

void
fixture_close (Fixture *fixture)
{
  while (fixture->n_opened > 0)
    ragify_kit_close (fixture->opened[--fixture->n_opened]);
  fixture->source = NULL;
}

int
fixture_tear_down (void **state)
{
  Fixture *fixture = *state;
  fixture_close (fixture);
  fixture_await (fixture, CONNECTED, 0);
  const RagifyKitCounts counts = ragify_kit_counts (fixture->kit);
  for (size_t i = 0; i < ragify_kit_faults (fixture->kit); i++)
    print_error ("%s\n", ragify_kit_fault (fixture->kit, i));
  assert_int_equal (ragify_kit_faults (fixture->kit), 0);
  assert_int_equal (counts.watches + counts.timers + counts.calls + counts.jobs, 0);
  ragify_kit_free (fixture->kit);
  *state = fixture->server;
  g_free (fixture);
  return 0;
}

char *
fixture_try (Fixture *fixture, const char *component, const char *dsn, const RagifyKitNode *node,
             const char *const *keys)
{
  const char *config[32] = { NULL };
  g_autofree char *own = ragify_test_postgres_dsn (fixture->server, "postgres");
  g_autofree char *full = g_strconcat ("dsn=", dsn != NULL ? dsn : own, NULL);
  guint count = 0;
  config[count++] = full;
  for (guint i = 0; keys != NULL && keys[i] != NULL; i++)
    config[count++] = keys[i];
  const RagifyPlugin *plugin = ragify_kit_load (fixture->kit, g_getenv ("SOURCE_POSTGRES"));
  assert_non_null (plugin);
  const RagifyComponent *found = ragify_kit_find (fixture->kit, plugin, RAGIFY_KIND_SOURCE, component);
  assert_non_null (found);
  RagifyKitInstance *source = ragify_kit_create (fixture->kit, found, config, node);
  if (source == NULL)
    return g_strdup (ragify_kit_error (fixture->kit));
  if (ragify_kit_start (source, NULL) != RAGIFY_OK) {
    char *error = g_strdup (ragify_kit_error (fixture->kit));
    ragify_kit_destroy (source);
    return error;
  }
  assert_true (fixture->n_opened < MOST_INSTANCES);
  fixture->source = fixture->opened[fixture->n_opened++] = source;
  return NULL;
}

void
fixture_open (Fixture *fixture, const char *first, ...)
{
  const char *keys[32] = { NULL };
  guint count = 0;
  va_list more;
  va_start (more, first);
  for (const char *key = first; key != NULL; key = va_arg (more, const char *))
    keys[count++] = key;
  va_end (more);
  g_autofree char *error = fixture_try (fixture, "postgres", NULL, NULL, keys);
  if (error != NULL)
    fail_msg ("%s", error);
}

RagifyKitCall *
fixture_begin (Fixture *fixture, RagifySourceQuery *query, const char *text, guint64 timeout_us)
{
  const RagifySourceOperations *operations = ragify_kit_operations (fixture->source);
  *query = (RagifySourceQuery){ .struct_size = sizeof *query, .top_k = 10, .text = ragify_str_from (text) };
  return ragify_kit_begin (fixture->source, (RagifyKitFunction)operations->query, query, timeout_us);
}

RagifyKitCall *
fixture_ask (Fixture *fixture, const char *text, guint top_k, guint64 timeout_us)
{
  const RagifySourceOperations *operations = ragify_kit_operations (fixture->source);
  const RagifySourceQuery query = { .struct_size = sizeof query, .top_k = top_k, .text = ragify_str_from (text) };
  return ragify_kit_call (fixture->source, (RagifyKitFunction)operations->query, &query, timeout_us);
}

const RagifyChunk *
fixture_chunk (const RagifyKitCall *call, guint index)
{
  const RagifySourceResult *result = call->result;
  if (call->code != RAGIFY_OK)
    fail_msg ("%d %s", call->code, call->message);
  assert_true (index < result->chunks.count);
  return &result->chunks.items[index];
}

char *
fixture_found (Fixture *fixture, const char *text)
{
  RagifyKitCall *call = fixture_ask (fixture, text, 10, 0);
  if (call->code != RAGIFY_OK)
    fail_msg ("%d %s", call->code, call->message);
  const RagifySourceResult *result = call->result;
  GString *names = g_string_new (NULL);
  for (guint64 i = 0; i < result->chunks.count; i++) {
    const RagifyStr id = result->chunks.items[i].document_id;
    g_string_append_printf (names, "%s%.*s", i > 0 ? " " : "", (int)id.size, id.data);
  }
  ragify_kit_call_free (call);
  return g_string_free (names, FALSE);
}

void
fixture_finds (Fixture *fixture, const char *text, const char *expected)
{
  g_autofree char *found = fixture_found (fixture, text);
  assert_string_equal (found, expected);
}

void
fixture_fails (RagifyKitCall *call, gint32 code, const char *part)
{
  if (call->code != code || strstr (call->message, part) == NULL)
    fail_msg ("expected %d and '%s', found %d and '%s'", code, part, call->code, call->message);
  ragify_kit_call_free (call);
}

gint64
fixture_stat (Fixture *fixture, const char *name)
{
  static const RagifyNothing nothing = { .struct_size = sizeof nothing };
  const RagifyComponent *component = ragify_kit_component (fixture->source);
  RagifyKitCall *call = ragify_kit_call (fixture->source, (RagifyKitFunction)component->stats, &nothing, 0);
  const RagifyStatsResult *result = call->result;
  gint64 value = -1;
  for (guint64 i = 0; i < result->values.count; i++) {
    const RagifyPair *pair = &result->values.items[i];
    if (pair->name.size == strlen (name) && memcmp (pair->name.data, name, pair->name.size) == 0)
      value = pair->value.integer;
  }
  ragify_kit_call_free (call);
  return value;
}

void
fixture_await (Fixture *fixture, const char *sql, gint64 expected)
{
  gint64 found = -1;
  for (guint i = 0; i < 400; i++) {
    found = ragify_test_postgres_count (fixture->server, sql);
    if (found == expected)
      return;
    g_usleep (50000);
  }
  fail_msg ("%s: expected %d, found %d", sql, (int)expected, (int)found);
}
