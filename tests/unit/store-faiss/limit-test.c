/* max-memory: where the index stops growing, and what goes on then. */
#include "store-fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define FITS 250u /* of this size; 400 do not */

static const char *const limited[] = { "max-memory=64KiB", NULL };
static const char *const tight[] = { "max-memory=16KiB", NULL };

static void
open_with (Fixture *fixture, const char *const *config)
{
  if (try_open (fixture, config, &fixture_embedder) != RAGIFY_OK)
    fail_msg ("%s", ragify_kit_error (fixture->kit));
}

/* The code; what is said of a refusal has to help. */
static int32_t
write_rows (Fixture *fixture, uint32_t mode, const char *document, uint32_t first, uint32_t count)
{
  Piece *pieces = calloc (count, sizeof *pieces);
  for (uint32_t i = 0; i < count; i++)
    pieces[i] = (Piece){ document, first + i, "x", "" };
  RagifyKitCall *call = begin_upsert (fixture, mode, 1, &document, 1, pieces, count, true);
  const int32_t code = call->code;
  if (code != RAGIFY_OK && (strstr (call->message, "max-memory") == NULL || strstr (call->message, "65536") == NULL))
    fail_msg ("%s", call->message);
  ragify_kit_call_free (call);
  free (pieces);
  return code;
}

static void
remove_document (Fixture *fixture, const char *document)
{
  RagifyKitCall *call = ask_remove (fixture, NULL, 0, document, NULL);
  must_be (call, RAGIFY_OK);
  ragify_kit_call_free (call);
}

static void
test_a_batch_beyond_it_is_refused_as_a_whole (void **state)
{
  Fixture *fixture = *state;
  open_with (fixture, limited);
  assert_int_equal (write_rows (fixture, RAGIFY_DOCUMENT_REPLACE, "a", 0, FITS), RAGIFY_OK);
  const RagifyStoreGeneration before = must_generation (fixture);
  assert_int_equal (write_rows (fixture, RAGIFY_DOCUMENT_REPLACE, "b", 1000, 400), RAGIFY_E_EXHAUSTED);
  const RagifyStoreGeneration after = must_generation (fixture);
  assert_int_equal (after.generation.counter, before.generation.counter);
  assert_int_equal (after.chunks, FITS);
  for (uint32_t i = 0; i < FITS; i += 7)
    assert_true (is_found (fixture, i));
  assert_false (is_found (fixture, 1000));
}

static void
test_what_is_deleted_makes_room (void **state)
{
  Fixture *fixture = *state;
  open_with (fixture, limited);
  assert_int_equal (write_rows (fixture, RAGIFY_DOCUMENT_REPLACE, "a", 0, FITS), RAGIFY_OK);
  assert_int_equal (write_rows (fixture, RAGIFY_DOCUMENT_REPLACE, "b", 1000, FITS), RAGIFY_E_EXHAUSTED);
  remove_document (fixture, "a");
  assert_int_equal (write_rows (fixture, RAGIFY_DOCUMENT_REPLACE, "b", 1000, FITS), RAGIFY_OK);
  assert_true (is_found (fixture, 1001));
}

/* Such a store was made with a higher one, or without. */
static void
test_a_store_beyond_it_is_served_and_takes_nothing (void **state)
{
  Fixture *fixture = *state;
  open_with (fixture, NULL);
  assert_int_equal (write_rows (fixture, RAGIFY_DOCUMENT_REPLACE, "a", 0, 600), RAGIFY_OK);
  must_close (fixture);
  open_with (fixture, limited);
  assert_int_equal (must_generation (fixture).vectors, 600);
  for (uint32_t i = 0; i < 600; i += 41)
    assert_true (is_found (fixture, i));
  assert_int_equal (write_rows (fixture, RAGIFY_DOCUMENT_REPLACE, "b", 1000, 1), RAGIFY_E_EXHAUSTED);
  /* Nor a part of a document that is only staged, and would be refused when it is whole. */
  assert_int_equal (write_rows (fixture, RAGIFY_DOCUMENT_STAGE, "c", 2000, 1), RAGIFY_E_EXHAUSTED);
  remove_document (fixture, "a");
  assert_int_equal (write_rows (fixture, RAGIFY_DOCUMENT_REPLACE, "b", 1000, 1), RAGIFY_OK);
}

static void
test_parts_are_counted_when_they_become_findable (void **state)
{
  Fixture *fixture = *state;
  open_with (fixture, limited);
  assert_int_equal (write_rows (fixture, RAGIFY_DOCUMENT_STAGE, "a", 0, 400), RAGIFY_OK);
  assert_int_equal (write_rows (fixture, RAGIFY_DOCUMENT_COMMIT, "a", 400, 1), RAGIFY_E_EXHAUSTED);
  assert_int_equal (must_generation (fixture).documents, 0);
  must_close (fixture);
  open_with (fixture, NULL);
  assert_int_equal (write_rows (fixture, RAGIFY_DOCUMENT_COMMIT, "a", 400, 1), RAGIFY_OK);
  assert_int_equal (must_generation (fixture).chunks, 401);
}

static void
test_an_empty_store_says_that_nothing_fits (void **state)
{
  Fixture *fixture = *state;
  const Piece piece = { "a", 1, "x", "" };
  const char *const document = "a";
  const char *const nothing[] = { "max-memory=4KiB", NULL };
  open_with (fixture, nothing);
  RagifyKitCall *call = begin_upsert (fixture, RAGIFY_DOCUMENT_REPLACE, 1, &document, 1, &piece, 1, true);
  must_be (call, RAGIFY_E_EXHAUSTED);
  ragify_kit_call_free (call);
  must_close (fixture);
  open_with (fixture, tight);
  call = begin_upsert (fixture, RAGIFY_DOCUMENT_REPLACE, 1, &document, 1, &piece, 1, true);
  must_be (call, RAGIFY_OK);
  ragify_kit_call_free (call);
}

#define TEST(function) cmocka_unit_test_setup_teardown (function, fixture_set_up, fixture_tear_down)

int
main (void)
{
  const struct CMUnitTest tests[] = {
    TEST (test_a_batch_beyond_it_is_refused_as_a_whole),       TEST (test_what_is_deleted_makes_room),
    TEST (test_a_store_beyond_it_is_served_and_takes_nothing), TEST (test_parts_are_counted_when_they_become_findable),
    TEST (test_an_empty_store_says_that_nothing_fits),
  };
  cmocka_set_message_output (CM_OUTPUT_TAP);
  return cmocka_run_group_tests (tests, NULL, NULL);
}
