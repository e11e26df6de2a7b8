/* Searches, reads and writes side by side. */
#include "store-fixture.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ROUNDS 60
#define READERS 4
#define FIXED 50u /* chunks that are never touched */
#define MOVING 30u

typedef struct {
  Fixture *fixture;
  atomic_bool over;
  atomic_uint searches;
} Shared;

/* What is not being changed is found every time, and what is found is fetched whole. */
static void *
read_all_the_time (void *user)
{
  Shared *shared = user;
  for (uint32_t i = 0; !atomic_load (&shared->over); i++) {
    uint32_t number = i % FIXED;
    if (!is_found (shared->fixture, number))
      fail_msg ("chunk %u was not found", number);
    RagifyKitCall *call =
        ask_fetch (shared->fixture, &number, 1, RAGIFY_FETCH_CONTENT | RAGIFY_FETCH_METADATA | RAGIFY_FETCH_VECTORS);
    must_be (call, RAGIFY_OK);
    const RagifyStoreFetchResult *result = call->result;
    if (result->chunks.items[0].content.size != 5 || result->vectors.items[0] == 0)
      fail_msg ("chunk %u was not whole", number);
    ragify_kit_call_free (call);
    RagifyValue value;
    const RagifyFilter filter = filter_text (RAGIFY_FILTER_EQ, "k", i % 2 == 0 ? "fixed" : "moving", &value);
    call = ask_search (shared->fixture, number, 10, &filter);
    must_be (call, RAGIFY_OK);
    if (i % 2 == 0 && !same_id (((const RagifyStoreSearchResult *)call->result)->hits.items[0].id, make_id (number)))
      fail_msg ("chunk %u was not found with a filter", number);
    ragify_kit_call_free (call);
    atomic_fetch_add (&shared->searches, 1);
  }
  return NULL;
}

static void
write_round (Fixture *fixture, uint32_t round)
{
  Piece pieces[MOVING];
  uint32_t count = 1 + round * 7 % MOVING;
  for (uint32_t i = 0; i < count; i++)
    pieces[i] = (Piece){ "moving", 1000 + (round + i) % MOVING, "moved", "{\"k\":\"moving\"}" };
  const char *document = "moving";
  RagifyKitCall *call = begin_upsert (fixture, RAGIFY_DOCUMENT_REPLACE, round, &document, 1, pieces, count, true);
  must_be (call, RAGIFY_OK);
  ragify_kit_call_free (call);
  /* A search that starts after an upsert was acknowledged sees it. */
  for (uint32_t i = 0; i < count; i++)
    assert_true (is_found (fixture, pieces[i].number));
  if (round % 3 == 0) {
    call = ask_remove (fixture, NULL, 0, "moving", NULL);
    must_be (call, RAGIFY_OK);
    ragify_kit_call_free (call);
    assert_false (is_found (fixture, pieces[0].number));
  }
}

static void
test_searches_go_on_while_batches_are_written (void **state)
{
  Fixture *fixture = *state;
  Shared shared = { .fixture = fixture };
  pthread_t readers[READERS];
  Piece fixed[FIXED];
  must_open (fixture);
  for (uint32_t i = 0; i < FIXED; i++)
    fixed[i] = (Piece){ "fixed", i, "fixed", "{\"k\":\"fixed\"}" };
  must_upsert (fixture, RAGIFY_DOCUMENT_REPLACE, 1, "fixed", fixed, FIXED, 0);
  for (size_t i = 0; i < READERS; i++)
    assert_int_equal (pthread_create (&readers[i], NULL, read_all_the_time, &shared), 0);
  for (uint32_t round = 0; round < ROUNDS; round++)
    write_round (fixture, round);
  atomic_store (&shared.over, true);
  for (size_t i = 0; i < READERS; i++)
    (void)pthread_join (readers[i], NULL);
  assert_true (atomic_load (&shared.searches) > 0);
}

typedef struct {
  Fixture *fixture;
  uint32_t number;
} Writer;

static void *
write_own_documents (void *user)
{
  const Writer *writer = user;
  for (uint32_t round = 0; round < 10; round++) {
    char name[16];
    const char *document = name;
    snprintf (name, sizeof name, "w%u", writer->number);
    const Piece piece = { name, 5000 + 100 * writer->number + round, "by one of many", "" };
    RagifyKitCall *call = begin_upsert (writer->fixture, RAGIFY_DOCUMENT_REPLACE, round, &document, 1, &piece, 1, true);
    must_be (call, RAGIFY_OK);
    ragify_kit_call_free (call);
  }
  return NULL;
}

static void
test_writers_take_turns (void **state)
{
  Fixture *fixture = *state;
  pthread_t threads[READERS];
  Writer writers[READERS];
  must_open (fixture);
  for (uint32_t i = 0; i < READERS; i++) {
    writers[i] = (Writer){ fixture, i };
    assert_int_equal (pthread_create (&threads[i], NULL, write_own_documents, &writers[i]), 0);
  }
  for (size_t i = 0; i < READERS; i++)
    (void)pthread_join (threads[i], NULL);
  RagifyStoreGeneration generation = must_generation (fixture);
  assert_int_equal (generation.generation.counter, 10 * READERS);
  assert_int_equal (generation.chunks, READERS);
  assert_int_equal (generation.vectors, READERS);
  for (uint32_t i = 0; i < READERS; i++)
    assert_true (is_found (fixture, 5000 + 100 * i + 9));
}

#define TEST(function) cmocka_unit_test_setup_teardown (function, fixture_set_up, fixture_tear_down)

int
main (void)
{
  const struct CMUnitTest tests[] = {
    TEST (test_searches_go_on_while_batches_are_written),
    TEST (test_writers_take_turns),
  };
  cmocka_set_message_output (CM_OUTPUT_TAP);
  return cmocka_run_group_tests (tests, NULL, NULL);
}
