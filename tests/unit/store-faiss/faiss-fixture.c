/* The fixture's part that is about the plugin `faiss`: a store in a folder of its own. */
#include "store-fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

bool
fixture_begin (void)
{
  return true;
}

void
fixture_end (void)
{
}

const char *
fixture_plugin (void)
{
  const char *path = getenv ("STORE_FAISS");
  return path != NULL ? path : "store-faiss.so";
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
  const RagifyKitOptions options = { .quiet = 1, .workers = 8 };
  strcpy (fixture->folder, "/tmp/ragify-store-XXXXXX");
  assert_non_null (mkdtemp (fixture->folder));
  snprintf (fixture->path, sizeof fixture->path, "%s/store", fixture->folder);
  fixture->kit = ragify_kit_new (&options);
  *state = fixture;
  return 0;
}

int
fixture_tear_down (void **state)
{
  Fixture *fixture = *state;
  char command[200];
  if (fixture->store != NULL)
    must_close (fixture);
  for (size_t i = 0; i < ragify_kit_faults (fixture->kit); i++)
    print_error ("%s\n", ragify_kit_fault (fixture->kit, i));
  assert_int_equal (ragify_kit_faults (fixture->kit), 0);
  ragify_kit_free (fixture->kit);
  snprintf (command, sizeof command, "chmod -R u+rwX %s; rm -rf %s", fixture->folder, fixture->folder);
  assert_int_equal (system (command), 0);
  free (fixture);
  return 0;
}

int32_t
try_open (Fixture *fixture, const char *const *more_config, const RagifyEmbedderInfo *embedder)
{
  char path[96];
  const char *config[16] = { path, "lock-wait=50ms" };
  snprintf (path, sizeof path, "path=%s", fixture->path);
  for (size_t i = 0; more_config != NULL && more_config[i] != NULL && i < 12; i++)
    config[i + 2] = more_config[i];
  const RagifyPlugin *plugin = ragify_kit_load (fixture->kit, fixture_plugin ());
  if (plugin == NULL)
    fail_msg ("%s", ragify_kit_error (fixture->kit));
  const RagifyComponent *component = ragify_kit_find (fixture->kit, plugin, RAGIFY_KIND_VECTOR_STORE, "faiss");
  RagifyKitInstance *store = ragify_kit_create (fixture->kit, component, config, NULL);
  if (store == NULL)
    return RAGIFY_E_INVALID;
  int32_t code = ragify_kit_start (store, embedder);
  if (code != RAGIFY_OK) {
    ragify_kit_destroy (store);
    return code;
  }
  fixture->store = store;
  fixture->operations = ragify_kit_operations (store);
  return RAGIFY_OK;
}
