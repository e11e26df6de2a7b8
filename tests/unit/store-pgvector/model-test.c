/* Random batches against a model in memory: after each, the store holds what the model holds, the totals are right, and
 * a replica that follows by `since` alone holds it as well. */
#include "pgvector-fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define DOCUMENTS 6u
#define CHUNKS 8u /* of a document, at most */
#define STEPS 250u
#define KINDS 4u

typedef struct {
  bool live;
  bool chunks[CHUNKS], staged[CHUNKS];
  uint32_t staged_version;
} ModelDocument;

typedef struct {
  Fixture *fixture;
  GRand *random;
  ModelDocument documents[DOCUMENTS];
  bool replica[DOCUMENTS * CHUNKS];
  uint64_t followed;
} Model;

static uint32_t
number_of (uint32_t document, uint32_t chunk)
{
  return 1 + document * CHUNKS + chunk;
}

static uint64_t
count_of (const bool *chunks)
{
  uint64_t count = 0;
  for (uint32_t i = 0; i < CHUNKS; i++)
    count += chunks[i];
  return count;
}

/* ---- batches ---- */

static void
write_batch (Model *model, uint32_t which, uint32_t mode)
{
  static const char *const metadata[KINDS] = { "{\"kind\":0}", "{\"kind\":1}", "{\"kind\":2}", "{\"kind\":3}" };
  ModelDocument *document = &model->documents[which];
  bool given[CHUNKS], next[CHUNKS];
  char name[8];
  Piece pieces[CHUNKS];
  uint32_t count = 0;
  const uint32_t version = 1 + (uint32_t)g_rand_int_range (model->random, 0, 2);
  (void)g_snprintf (name, sizeof name, "d%u", which);
  if (mode == RAGIFY_DOCUMENT_REPLACE || document->staged_version != version)
    memset (document->staged, 0, sizeof document->staged);
  for (uint32_t i = 0; i < CHUNKS; i++) {
    given[i] = g_rand_boolean (model->random) && !(mode == RAGIFY_DOCUMENT_COMMIT && document->staged[i]);
    if (given[i])
      pieces[count++] = (Piece){ name, number_of (which, i), "some words", metadata[i % KINDS] };
    next[i] = given[i] || (mode != RAGIFY_DOCUMENT_REPLACE && document->staged[i]);
  }
  uint64_t removed = 0;
  for (uint32_t i = 0; i < CHUNKS && mode != RAGIFY_DOCUMENT_STAGE; i++)
    removed += document->chunks[i] && !next[i];
  must_upsert (model->fixture, mode, version, name, pieces, count, removed);
  if (mode == RAGIFY_DOCUMENT_STAGE) {
    memcpy (document->staged, next, sizeof next);
    document->staged_version = version;
    return;
  }
  memcpy (document->chunks, next, sizeof next);
  memset (document->staged, 0, sizeof document->staged);
  document->staged_version = 0;
  document->live = true;
}

static void
remove_and_expect (Model *model, const uint32_t *numbers, size_t count, const char *document,
                   const RagifyFilter *filter, uint64_t expected)
{
  RagifyKitCall *call = ask_remove (model->fixture, numbers, count, document, filter);
  must_be (call, RAGIFY_OK);
  assert_int_equal (((const RagifyStoreRemoveResult *)call->result)->removed.count, expected);
  ragify_kit_call_free (call);
}

static void
remove_document (Model *model, uint32_t which)
{
  ModelDocument *document = &model->documents[which];
  char name[8];
  (void)g_snprintf (name, sizeof name, "d%u", which);
  remove_and_expect (model, NULL, 0, name, NULL, count_of (document->chunks));
  memset (document, 0, sizeof *document);
}

/* A document that loses its last chunk is gone with it. */
static void
drop_chunk (ModelDocument *document, uint32_t chunk)
{
  document->chunks[chunk] = false;
  if (count_of (document->chunks) == 0)
    document->live = false;
}

static void
remove_chunk (Model *model, uint32_t which)
{
  ModelDocument *document = &model->documents[which];
  const uint32_t chunk = (uint32_t)g_rand_int_range (model->random, 0, CHUNKS);
  const uint32_t number = number_of (which, chunk);
  remove_and_expect (model, &number, 1, NULL, NULL, document->chunks[chunk]);
  if (document->chunks[chunk])
    drop_chunk (document, chunk);
}

static void
remove_kind (Model *model)
{
  RagifyValue value;
  const uint32_t kind = (uint32_t)g_rand_int_range (model->random, 0, KINDS);
  const RagifyFilter filter = filter_integer (RAGIFY_FILTER_EQ, "kind", kind, &value);
  uint64_t expected = 0;
  for (uint32_t i = 0; i < DOCUMENTS; i++)
    for (uint32_t k = kind; k < CHUNKS; k += KINDS)
      expected += model->documents[i].chunks[k];
  remove_and_expect (model, NULL, 0, NULL, &filter, expected);
  for (uint32_t i = 0; i < DOCUMENTS; i++)
    for (uint32_t k = kind; k < CHUNKS; k += KINDS)
      if (model->documents[i].chunks[k])
        drop_chunk (&model->documents[i], k);
}

/* ---- what the store holds ---- */

/* Everything that changed since `since`, or all that is there, into `chunks`; the generation that it reflects. */
static uint64_t
read_into (Model *model, uint64_t since, bool *chunks)
{
  char cursor[200];
  size_t size = 0;
  uint64_t generation;
  do {
    RagifyKitCall *call =
        ask_list (model->fixture, RAGIFY_LIST_CHUNKS, 5, ragify_str (cursor, size), NULL, NULL, since);
    must_be (call, RAGIFY_OK);
    const RagifyStoreListResult *result = call->result;
    assert_int_equal (result->since_too_old, 0);
    for (uint64_t i = 0; i < result->chunks.count; i++) {
      uint32_t number;
      memcpy (&number, result->chunks.items[i].id.bytes + 12, sizeof number);
      assert_in_range (number, 1, DOCUMENTS * CHUNKS);
      chunks[number - 1] = (result->chunks.items[i].flags & RAGIFY_CHUNK_DELETED) == 0;
    }
    generation = result->generation.counter;
    size = result->cursor.size;
    memcpy (cursor, size > 0 ? result->cursor.data : "", size);
    ragify_kit_call_free (call);
  } while (size > 0);
  return generation;
}

static void
check (Model *model)
{
  bool expected[DOCUMENTS * CHUNKS], found[DOCUMENTS * CHUNKS] = { false };
  uint64_t documents = 0, chunks = 0;
  for (uint32_t i = 0; i < DOCUMENTS; i++) {
    documents += model->documents[i].live;
    chunks += count_of (model->documents[i].chunks);
    memcpy (expected + (size_t)i * CHUNKS, model->documents[i].chunks, sizeof model->documents[i].chunks);
  }
  read_into (model, 0, found);
  assert_memory_equal (found, expected, sizeof found);
  model->followed = read_into (model, model->followed, model->replica);
  assert_memory_equal (model->replica, expected, sizeof expected);
  const RagifyStoreGeneration generation = must_generation (model->fixture);
  assert_int_equal (generation.documents, documents);
  assert_int_equal (generation.chunks, chunks);
  assert_int_equal (generation.vectors, chunks);
  const uint32_t some = (uint32_t)g_rand_int_range (model->random, 0, DOCUMENTS * CHUNKS);
  assert_int_equal (is_found (model->fixture, some + 1), expected[some]);
}

static void
step (Model *model)
{
  const uint32_t which = (uint32_t)g_rand_int_range (model->random, 0, DOCUMENTS);
  const int what = g_rand_int_range (model->random, 0, 20);
  if (what < 6)
    write_batch (model, which, RAGIFY_DOCUMENT_REPLACE);
  else if (what < 10)
    write_batch (model, which, RAGIFY_DOCUMENT_STAGE);
  else if (what < 13)
    write_batch (model, which, RAGIFY_DOCUMENT_COMMIT);
  else if (what < 15)
    remove_document (model, which);
  else if (what < 18)
    remove_chunk (model, which);
  else if (what < 19)
    remove_kind (model);
  else {
    must_close (model->fixture);
    must_open (model->fixture);
  }
}

static void
run (Fixture *fixture, uint32_t seed)
{
  Model model = { .fixture = fixture, .random = g_rand_new_with_seed (seed) };
  /* A batch first: a replica that follows from 0 would be given all that is there, without what went. */
  write_batch (&model, 0, RAGIFY_DOCUMENT_REPLACE);
  model.followed = read_into (&model, 0, model.replica);
  for (uint32_t i = 0; i < STEPS; i++) {
    step (&model);
    check (&model);
  }
  g_rand_free (model.random);
}

static void
test_random_batches_do_what_the_model_does (void **state)
{
  must_open (*state);
  run (*state, 20261128);
}

static void
test_another_seed (void **state)
{
  must_open (*state);
  run (*state, 7);
}

#define TEST(function) cmocka_unit_test_setup_teardown (function, fixture_set_up, fixture_tear_down)

int
main (void)
{
  const struct CMUnitTest tests[] = {
    TEST (test_random_batches_do_what_the_model_does),
    TEST (test_another_seed),
  };
  if (!fixture_begin ()) {
    puts ("1..0 # SKIP no PostgreSQL with pgvector");
    return 0;
  }
  cmocka_set_message_output (CM_OUTPUT_TAP);
  const int failed = cmocka_run_group_tests (tests, NULL, NULL);
  fixture_end ();
  return failed;
}
