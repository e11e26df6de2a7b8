#include "pgvector-fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static RagifyTestPostgres *server;

RagifyTestPostgres *
fixture_server (void)
{
  return server;
}

bool
fixture_begin (void)
{
  server = ragify_test_postgres_new_with_vector (NULL);
  return server != NULL;
}

void
fixture_end (void)
{
  ragify_test_postgres_free (server);
}

const char *
fixture_plugin (void)
{
  const char *path = getenv ("STORE_PGVECTOR");
  return path != NULL ? path : "store-pgvector.so";
}

const char *const *
fixture_exceptions (void)
{
  static const char *const none[] = { NULL };
  return none;
}

int
fixture_set_up (void **state)
{
  Fixture *fixture = calloc (1, sizeof *fixture);
  const RagifyKitOptions options = { .quiet = 1, .workers = 2 };
  fixture->kit = ragify_kit_new (&options);
  ragify_test_postgres_run (
      server, "SET client_min_messages = error; DROP TABLE IF EXISTS ragify_store, ragify_documents, ragify_chunks,"
              " ragify_removals");
  *state = fixture;
  return 0;
}

int
fixture_tear_down (void **state)
{
  Fixture *fixture = *state;
  if (fixture->store != NULL)
    must_close (fixture);
  for (size_t i = 0; i < ragify_kit_faults (fixture->kit); i++)
    print_error ("%s\n", ragify_kit_fault (fixture->kit, i));
  assert_int_equal (ragify_kit_faults (fixture->kit), 0);
  const RagifyKitCounts counts = ragify_kit_counts (fixture->kit);
  assert_int_equal (counts.watches + counts.timers + counts.calls + counts.jobs, 0);
  ragify_kit_free (fixture->kit);
  free (fixture);
  return 0;
}

RagifyKitInstance *
fixture_open_another (Fixture *fixture, const char *kind, const char *const *more_config,
                      const RagifyEmbedderInfo *embedder)
{
  g_autofree char *dsn = ragify_test_postgres_dsn (server, "postgres");
  g_autofree char *key = g_strconcat ("dsn=", dsn, NULL);
  const char *config[16] = { key, "max-size=3" };
  for (size_t i = 0; more_config != NULL && more_config[i] != NULL && i < 12; i++)
    config[i + 2] = more_config[i];
  return ragify_kit_open (fixture->kit, fixture_plugin (), kind, "pgvector", config, embedder);
}

int32_t
try_open (Fixture *fixture, const char *const *more_config, const RagifyEmbedderInfo *embedder)
{
  RagifyKitInstance *store = fixture_open_another (fixture, RAGIFY_KIND_VECTOR_STORE, more_config, embedder);
  if (store == NULL)
    return RAGIFY_E_INVALID;
  fixture->store = store;
  fixture->operations = ragify_kit_operations (store);
  return RAGIFY_OK;
}
