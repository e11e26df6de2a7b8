/* A store in memory alone: the same answers, nothing on the disk, nothing left. */
#include "store-fixture.h"

#include <dirent.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char *const in_memory[] = { "in-memory=true", NULL };

static void
open_in_memory (Fixture *fixture)
{
  if (try_open (fixture, in_memory, &fixture_embedder) != RAGIFY_OK)
    fail_msg ("%s", ragify_kit_error (fixture->kit));
}

static unsigned
files_in (const char *folder)
{
  DIR *entries = opendir (folder);
  unsigned count = 0;
  assert_non_null (entries);
  for (const struct dirent *entry; (entry = readdir (entries)) != NULL;)
    count += entry->d_name[0] != '.';
  (void)closedir (entries);
  return count;
}

static void
write_some (Fixture *fixture, const char *document, uint32_t first, uint32_t count)
{
  Piece *pieces = calloc (count, sizeof *pieces);
  for (uint32_t i = 0; i < count; i++)
    pieces[i] = (Piece){ document, first + i, "x", "{\"lang\":\"en\"}" };
  RagifyKitCall *call = begin_upsert (fixture, RAGIFY_DOCUMENT_REPLACE, 1, &document, 1, pieces, count, true);
  must_be (call, RAGIFY_OK);
  ragify_kit_call_free (call);
  free (pieces);
}

static void
test_it_answers_and_leaves_nothing (void **state)
{
  Fixture *fixture = *state;
  open_in_memory (fixture);
  write_some (fixture, "a", 0, 200);
  for (uint32_t i = 0; i < 200; i += 7)
    assert_true (is_found (fixture, i));
  RagifyValue room;
  const RagifyFilter none = filter_text (RAGIFY_FILTER_EQ, "lang", "de", &room);
  RagifyKitCall *call = ask_search (fixture, 1, 10, &none);
  must_be (call, RAGIFY_OK);
  assert_int_equal (((const RagifyStoreSearchResult *)call->result)->hits.count, 0);
  ragify_kit_call_free (call);
  assert_int_equal (files_in (fixture->folder), 0);
  const RagifyStoreGeneration before = must_generation (fixture);
  must_close (fixture);
  open_in_memory (fixture);
  assert_int_equal (must_generation (fixture).chunks, 0);
  assert_false (same_id (must_generation (fixture).generation.store, before.generation.store));
}

static void
test_its_index_is_built_and_no_backup_is_made (void **state)
{
  static const char *const ivf[] = { "in-memory=true", "index=IVF16,Flat", "nprobe=16", NULL };
  Fixture *fixture = *state;
  if (try_open (fixture, ivf, &fixture_embedder) != RAGIFY_OK)
    skip (); /* a build without FAISS */
  write_some (fixture, "a", 0, 1500);
  const RagifyStoreOptimize optimize = { .struct_size = sizeof optimize };
  RagifyKitCall *call =
      ragify_kit_call (fixture->store, (RagifyKitFunction)fixture->operations->optimize, &optimize, 0);
  must_be (call, RAGIFY_OK);
  ragify_kit_call_free (call);
  assert_true (is_found (fixture, 1234));
  const RagifyStoreBackup backup = { .struct_size = sizeof backup, .path = ragify_str_from ("/tmp/nowhere") };
  call = ragify_kit_call (fixture->store, (RagifyKitFunction)fixture->operations->backup, &backup, 0);
  must_be (call, RAGIFY_E_INVALID);
  ragify_kit_call_free (call);
  assert_int_equal (files_in (fixture->folder), 0);
}

typedef struct Reader {
  Fixture *fixture;
  atomic_bool stop;
  atomic_uint asked;
} Reader;

static void *
read_on (void *user)
{
  static const uint32_t numbers[] = { 1, 2, 3 };
  Reader *reader = user;
  while (!atomic_load (&reader->stop)) {
    RagifyKitCall *call = ask_fetch (reader->fixture, numbers, 3, RAGIFY_FETCH_CONTENT | RAGIFY_FETCH_METADATA);
    must_be (call, RAGIFY_OK);
    ragify_kit_call_free (call);
    atomic_fetch_add (&reader->asked, 1);
  }
  return NULL;
}

static void
test_readers_and_a_writer_get_along (void **state)
{
  Fixture *fixture = *state;
  Reader reader = { .fixture = fixture };
  pthread_t threads[3];
  open_in_memory (fixture);
  write_some (fixture, "a", 0, 10);
  for (int i = 0; i < 3; i++)
    assert_int_equal (pthread_create (&threads[i], NULL, read_on, &reader), 0);
  for (uint32_t i = 0; i < 40; i++)
    write_some (fixture, "b", 1000, 50);
  while (atomic_load (&reader.asked) < 10)
    continue;
  atomic_store (&reader.stop, true);
  for (int i = 0; i < 3; i++)
    assert_int_equal (pthread_join (threads[i], NULL), 0);
  assert_int_equal (must_generation (fixture).chunks, 60);
}

#define TEST(function) cmocka_unit_test_setup_teardown (function, fixture_set_up, fixture_tear_down)

int
main (void)
{
  const struct CMUnitTest tests[] = {
    TEST (test_it_answers_and_leaves_nothing),
    TEST (test_its_index_is_built_and_no_backup_is_made),
    TEST (test_readers_and_a_writer_get_along),
  };
  cmocka_set_message_output (CM_OUTPUT_TAP);
  return cmocka_run_group_tests (tests, NULL, NULL);
}
