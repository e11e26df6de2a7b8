#include "text-fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

int
text_set_up (void **state)
{
  TextFixture *fixture = calloc (1, sizeof *fixture);
  const RagifyKitOptions options = { .quiet = 1, .workers = 8 };
  strcpy (fixture->folder, "/tmp/ragify-text-XXXXXX");
  assert_non_null (mkdtemp (fixture->folder));
  snprintf (fixture->path, sizeof fixture->path, "%s/words", fixture->folder);
  fixture->kit = ragify_kit_new (&options);
  *state = fixture;
  return 0;
}

int
text_tear_down (void **state)
{
  TextFixture *fixture = *state;
  char command[200];
  if (fixture->index != NULL)
    text_must_close (fixture);
  for (size_t i = 0; i < ragify_kit_faults (fixture->kit); i++)
    print_error ("%s\n", ragify_kit_fault (fixture->kit, i));
  assert_int_equal (ragify_kit_faults (fixture->kit), 0);
  ragify_kit_free (fixture->kit);
  snprintf (command, sizeof command, "chmod -R u+rwX %s; rm -rf %s", fixture->folder, fixture->folder);
  assert_int_equal (system (command), 0);
  free (fixture);
  return 0;
}

RagifyUuid
text_id (uint32_t number)
{
  RagifyUuid id = { { 0x40 } };
  memcpy (id.bytes + 12, &number, sizeof number);
  return id;
}

int32_t
text_try_open (TextFixture *fixture, const char *const *more_config)
{
  char path[96];
  const char *config[16] = { path, "lock-wait=50ms" };
  snprintf (path, sizeof path, "path=%s", fixture->path);
  for (size_t i = 0; more_config != NULL && more_config[i] != NULL && i < 12; i++)
    config[i + 2] = more_config[i];
  const RagifyPlugin *plugin = ragify_kit_load (fixture->kit, getenv ("TEXT_PLUGIN"));
  if (plugin == NULL)
    fail_msg ("%s", ragify_kit_error (fixture->kit));
  const RagifyComponent *component =
      ragify_kit_find (fixture->kit, plugin, RAGIFY_KIND_TEXT_INDEX, getenv ("TEXT_COMPONENT"));
  RagifyKitInstance *index = ragify_kit_create (fixture->kit, component, config, NULL);
  if (index == NULL)
    return RAGIFY_E_INVALID;
  int32_t code = ragify_kit_start (index, NULL);
  if (code != RAGIFY_OK) {
    ragify_kit_destroy (index);
    return code;
  }
  fixture->index = index;
  fixture->operations = ragify_kit_operations (index);
  return RAGIFY_OK;
}

void
text_must_open (TextFixture *fixture)
{
  if (text_try_open (fixture, NULL) != RAGIFY_OK)
    fail_msg ("%s", ragify_kit_error (fixture->kit));
}

void
text_must_close (TextFixture *fixture)
{
  assert_int_equal (ragify_kit_close (fixture->index), RAGIFY_OK);
  fixture->index = NULL;
}

void
text_must_be (const RagifyKitCall *call, int32_t code)
{
  if (call->code != code)
    fail_msg ("expected code %d, found %d: %s", code, call->code, call->message);
}

RagifyKitCall *
text_upsert (TextFixture *fixture, const TextPiece *pieces, size_t count, const uint32_t *removed, size_t removed_count,
             uint64_t generation)
{
  RagifyChunk *chunks = calloc (count + 1, sizeof *chunks);
  RagifyUuid *ids = calloc (removed_count + 1, sizeof *ids);
  for (size_t i = 0; i < count; i++) {
    chunks[i] = (RagifyChunk){ .struct_size = sizeof *chunks, .id = text_id (pieces[i].number) };
    chunks[i].title = ragify_str_from (pieces[i].title);
    chunks[i].content = ragify_str_from (pieces[i].content);
  }
  for (size_t i = 0; i < removed_count; i++)
    ids[i] = text_id (removed[i]);
  RagifyTextUpsert args = { .struct_size = sizeof args,
                            .chunks = { .items = chunks, .count = count, .stride = sizeof *chunks },
                            .removed = { .items = ids, .count = removed_count },
                            .generation = { .store = text_id (4711), .counter = generation } };
  RagifyKitCall *call = ragify_kit_call (fixture->index, (RagifyKitFunction)fixture->operations->upsert, &args, 0);
  free (chunks);
  free (ids);
  return call;
}

void
text_must_upsert (TextFixture *fixture, const TextPiece *pieces, size_t count, uint64_t generation)
{
  RagifyKitCall *call = text_upsert (fixture, pieces, count, NULL, 0, generation);
  text_must_be (call, RAGIFY_OK);
  ragify_kit_call_free (call);
}

RagifyKitCall *
text_search (TextFixture *fixture, const char *text, size_t size, uint32_t top_k)
{
  const RagifyTextSearch args = { .struct_size = sizeof args, .top_k = top_k, .text = ragify_str (text, size) };
  return ragify_kit_call (fixture->index, (RagifyKitFunction)fixture->operations->search, &args, 0);
}

RagifyKitCall *
text_remove (TextFixture *fixture, uint32_t flags, const uint32_t *numbers, size_t count, uint64_t generation)
{
  RagifyUuid *ids = calloc (count + 1, sizeof *ids);
  for (size_t i = 0; i < count; i++)
    ids[i] = text_id (numbers[i]);
  const RagifyTextRemove args = { .struct_size = sizeof args,
                                  .flags = flags,
                                  .ids = { .items = ids, .count = count },
                                  .generation = { .store = text_id (4711), .counter = generation } };
  RagifyKitCall *call = ragify_kit_call (fixture->index, (RagifyKitFunction)fixture->operations->remove, &args, 0);
  free (ids);
  return call;
}

RagifyTextGeneration
text_generation (TextFixture *fixture)
{
  const RagifyNothing nothing = { .struct_size = sizeof nothing };
  RagifyKitCall *call =
      ragify_kit_call (fixture->index, (RagifyKitFunction)fixture->operations->generation, &nothing, 0);
  text_must_be (call, RAGIFY_OK);
  RagifyTextGeneration generation = *(const RagifyTextGeneration *)call->result;
  ragify_kit_call_free (call);
  return generation;
}

const char *
text_found (TextFixture *fixture, const char *text)
{
  static char found[1000];
  RagifyKitCall *call = text_search (fixture, text, strlen (text), 50);
  text_must_be (call, RAGIFY_OK);
  const RagifyTextSearchResult *result = call->result;
  size_t used = 0;
  found[0] = '\0';
  for (uint64_t i = 0; i < result->hits.count; i++) {
    uint32_t number;
    memcpy (&number, result->hits.items[i].id.bytes + 12, sizeof number);
    used += (size_t)snprintf (found + used, sizeof found - used, "%s%u", i > 0 ? " " : "", number);
  }
  ragify_kit_call_free (call);
  return found;
}
