/* The indexes of FAISS: built by optimize, kept in a snapshot, and never in the way of what is true. */
#include "former-snapshot.h"
#include "store-fixture.h"

#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define ROWS 1500u

static const char *const ivf[] = { "index=IVF16,Flat", "nprobe=16", NULL };

static void
open_with (Fixture *fixture, const char *const *config)
{
  if (try_open (fixture, config, &fixture_embedder) != RAGIFY_OK)
    fail_msg ("%s", ragify_kit_error (fixture->kit));
}

static void
write_rows (Fixture *fixture, const char *document, uint32_t first, uint32_t count)
{
  Piece *pieces = calloc (count, sizeof *pieces);
  for (uint32_t i = 0; i < count; i++)
    pieces[i] = (Piece){ document, first + i, "x", (first + i) % 100 == 0 ? "{\"round\":true}" : "" };
  RagifyKitCall *call = begin_upsert (fixture, RAGIFY_DOCUMENT_REPLACE, 1, &document, 1, pieces, count, true);
  must_be (call, RAGIFY_OK);
  ragify_kit_call_free (call);
  free (pieces);
}

static int64_t
read_stat (const RagifyKitCall *call, const char *name)
{
  const RagifyPairList *values = &((const RagifyStatsResult *)call->result)->values;
  for (uint64_t i = 0; i < values->count; i++)
    if (values->items[i].name.size == strlen (name) && memcmp (values->items[i].name.data, name, strlen (name)) == 0)
      return values->items[i].value.integer;
  fail_msg ("no statistic %s", name);
  return -1;
}

/* Optimises; how many vectors are searched exactly afterwards. */
static int64_t
optimize (Fixture *fixture)
{
  const RagifyStoreOptimize args = { .struct_size = sizeof args };
  RagifyKitCall *call = ragify_kit_call (fixture->store, (RagifyKitFunction)fixture->operations->optimize, &args, 0);
  must_be (call, RAGIFY_OK);
  int64_t exact = read_stat (call, "exact_vectors");
  ragify_kit_call_free (call);
  return exact;
}

static int64_t
statistic (Fixture *fixture, const char *name)
{
  const RagifyNothing nothing = { .struct_size = sizeof nothing };
  const RagifyComponent *component = ragify_kit_component (fixture->store);
  RagifyKitCall *call = ragify_kit_call (fixture->store, (RagifyKitFunction)component->stats, &nothing, 0);
  must_be (call, RAGIFY_OK);
  int64_t value = read_stat (call, name);
  ragify_kit_call_free (call);
  return value;
}

static uint32_t
count_found (Fixture *fixture, uint32_t first, uint32_t count, uint32_t step)
{
  uint32_t found = 0;
  for (uint32_t i = 0; i < count; i += step)
    found += is_found (fixture, first + i);
  return found;
}

/* Of every `step`th row, how many are the best hit for their own vector, whatever an index that rounds says of it. */
static uint32_t
count_first (Fixture *fixture, uint32_t step)
{
  uint32_t found = 0;
  for (uint32_t number = 0; number < ROWS; number += step) {
    RagifyKitCall *call = ask_search (fixture, number, 1, NULL);
    must_be (call, RAGIFY_OK);
    found += same_id (((const RagifyStoreSearchResult *)call->result)->hits.items[0].id, make_id (number));
    ragify_kit_call_free (call);
  }
  return found;
}

static void
test_it_stays_exact_until_it_pays (void **state)
{
  Fixture *fixture = *state;
  open_with (fixture, ivf);
  write_rows (fixture, "a", 0, 100);
  assert_int_equal (optimize (fixture), 100);
  assert_int_equal (count_found (fixture, 0, 100, 1), 100);
  write_rows (fixture, "b", 100, ROWS - 100);
  assert_int_equal (optimize (fixture), 0);
  assert_int_equal (must_generation (fixture).vectors, ROWS);
  assert_int_equal (count_found (fixture, 0, ROWS, 7), (ROWS + 6) / 7);
}

static void
test_changes_after_it_was_built_count_at_once (void **state)
{
  Fixture *fixture = *state;
  open_with (fixture, ivf);
  write_rows (fixture, "a", 0, ROWS);
  assert_int_equal (optimize (fixture), 0);
  write_rows (fixture, "b", 5000, 10);
  assert_int_equal (count_found (fixture, 5000, 10, 1), 10);
  assert_int_equal (statistic (fixture, "exact_vectors"), 10);
  const uint32_t gone[] = { 3, 4, 5001 };
  RagifyKitCall *call = ask_remove (fixture, gone, 3, NULL, NULL);
  must_be (call, RAGIFY_OK);
  ragify_kit_call_free (call);
  for (size_t i = 0; i < 3; i++)
    assert_false (is_found (fixture, gone[i]));
  assert_int_equal (statistic (fixture, "dead_vectors"), 2);
  /* Written again: of the same document all others stay. */
  const Piece again = { "c", 8, "again", "{\"round\":true}" };
  must_upsert (fixture, RAGIFY_DOCUMENT_REPLACE, 1, "c", &again, 1, 0);
  assert_true (is_found (fixture, 8));
  assert_int_equal (statistic (fixture, "dead_vectors"), 3);
  assert_int_equal (must_generation (fixture).vectors, ROWS + 10 - 3);
  call = ask_remove (fixture, NULL, 0, "a", NULL);
  must_be (call, RAGIFY_OK);
  ragify_kit_call_free (call);
  assert_false (is_found (fixture, 77));
  assert_true (is_found (fixture, 8));
  assert_int_equal (must_generation (fixture).vectors, 10);
}

static void
test_filters_reach_into_it (void **state)
{
  Fixture *fixture = *state;
  RagifyValue value = { .type = RAGIFY_VALUE_BOOL, .integer = 1 };
  const RagifyFilter filter = { .struct_size = sizeof filter,
                                .op = RAGIFY_FILTER_EQ,
                                .field = ragify_str_from ("round"),
                                .values = { .items = &value, .count = 1 } };
  open_with (fixture, ivf);
  write_rows (fixture, "a", 0, ROWS);
  assert_int_equal (optimize (fixture), 0);
  write_rows (fixture, "b", 6000, 1);
  RagifyKitCall *call = ask_search (fixture, 1, 100, &filter);
  must_be (call, RAGIFY_OK);
  const RagifyStoreSearchResult *result = call->result;
  assert_int_equal (result->hits.count, ROWS / 100 + 1);
  for (uint64_t i = 1; i < result->hits.count; i++)
    assert_true (result->hits.items[i].score <= result->hits.items[i - 1].score);
  ragify_kit_call_free (call);
}

static void
test_vectors_come_out_of_it (void **state)
{
  Fixture *fixture = *state;
  const uint32_t numbers[] = { 10, 99999, 11 };
  float expected[DIMENSION];
  open_with (fixture, ivf);
  write_rows (fixture, "a", 0, ROWS);
  assert_int_equal (optimize (fixture), 0);
  RagifyKitCall *call = ask_fetch (fixture, numbers, 3, RAGIFY_FETCH_VECTORS);
  must_be (call, RAGIFY_OK);
  const RagifyStoreFetchResult *result = call->result;
  make_vector (11, DIMENSION, expected);
  assert_memory_equal (result->vectors.items + 2 * DIMENSION, expected, sizeof expected);
  assert_true (result->vectors.items[DIMENSION] == 0);
  ragify_kit_call_free (call);
}

static void
test_the_snapshot_serves_the_next_start (void **state)
{
  Fixture *fixture = *state;
  open_with (fixture, ivf);
  write_rows (fixture, "a", 0, ROWS);
  assert_int_equal (optimize (fixture), 0);
  write_rows (fixture, "b", 5000, 20);
  const uint32_t gone = 7;
  RagifyKitCall *call = ask_remove (fixture, &gone, 1, NULL, NULL);
  ragify_kit_call_free (call);
  must_close (fixture);
  open_with (fixture, ivf);
  assert_int_equal (statistic (fixture, "exact_vectors"), 20);
  assert_int_equal (statistic (fixture, "dead_vectors"), 1);
  assert_int_equal (must_generation (fixture).vectors, ROWS + 19);
  assert_false (is_found (fixture, 7));
  assert_int_equal (count_found (fixture, 5000, 20, 1), 20);
  assert_int_equal (count_found (fixture, 10, ROWS - 10, 11), (ROWS - 10 + 10) / 11);
  must_close (fixture);
  /* Another index is wanted: the snapshot is of no use. */
  must_open (fixture);
  assert_int_equal (statistic (fixture, "exact_vectors"), ROWS + 19);
}

static void
test_a_damaged_snapshot_is_left_aside (void **state)
{
  Fixture *fixture = *state;
  char path[120];
  open_with (fixture, ivf);
  write_rows (fixture, "a", 0, ROWS);
  assert_int_equal (optimize (fixture), 0);
  must_close (fixture);
  snprintf (path, sizeof path, "%s/index.snapshot", fixture->path);
  int file = open (path, O_RDWR);
  assert_true (file >= 0);
  assert_int_equal (pwrite (file, "damage", 6, 60000), 6);
  (void)close (file);
  open_with (fixture, ivf);
  assert_int_equal (statistic (fixture, "exact_vectors"), ROWS);
  assert_int_equal (count_found (fixture, 0, ROWS, 50), ROWS / 50);
  must_close (fixture);
  assert_int_equal (truncate (path, 1000), 0);
  open_with (fixture, ivf);
  assert_int_equal (statistic (fixture, "exact_vectors"), ROWS);
  assert_int_equal (optimize (fixture), 0);
}

/* A disk that was full when the index was to be kept: whoever made room and optimises again gets it kept. */
static void
test_a_snapshot_that_could_not_be_written_is_written_later (void **state)
{
  Fixture *fixture = *state;
  char path[120];
  open_with (fixture, ivf);
  write_rows (fixture, "a", 0, ROWS);
  snprintf (path, sizeof path, "%s/index.snapshot.new", fixture->path);
  assert_int_equal (mkdir (path, 0750), 0);
  const RagifyStoreOptimize args = { .struct_size = sizeof args };
  RagifyKitCall *call = ragify_kit_call (fixture->store, (RagifyKitFunction)fixture->operations->optimize, &args, 0);
  must_be (call, RAGIFY_E_UNAVAILABLE);
  ragify_kit_call_free (call);
  assert_int_equal (statistic (fixture, "exact_vectors"), 0);
  assert_int_equal (rmdir (path), 0);
  assert_int_equal (optimize (fixture), 0);
  must_close (fixture);
  open_with (fixture, ivf);
  assert_int_equal (statistic (fixture, "exact_vectors"), 0);
  assert_int_equal (count_found (fixture, 0, ROWS, 50), ROWS / 50);
}

/* Nor is what is dead kept for good. */
static void
test_an_index_that_little_is_left_of_is_given_up (void **state)
{
  Fixture *fixture = *state;
  open_with (fixture, ivf);
  write_rows (fixture, "a", 0, ROWS);
  write_rows (fixture, "b", 5000, 100);
  assert_int_equal (optimize (fixture), 0);
  RagifyValue value = { .type = RAGIFY_VALUE_BOOL, .integer = 1 };
  RagifyFilter filter = { .struct_size = sizeof filter, .op = RAGIFY_FILTER_EQ, .field = ragify_str_from ("round") };
  filter.values = (RagifyValueList){ .items = &value, .count = 1 };
  for (int round = 0; round < 2; round++) {
    RagifyKitCall *call = ask_search (fixture, 5000, 100, &filter);
    must_be (call, RAGIFY_OK);
    assert_int_equal (((const RagifyStoreSearchResult *)call->result)->hits.count, round == 0 ? ROWS / 100 + 1 : 1);
    ragify_kit_call_free (call);
    if (round > 0)
      break;
    call = ask_remove (fixture, NULL, 0, "a", NULL);
    must_be (call, RAGIFY_OK);
    ragify_kit_call_free (call);
    assert_int_equal (statistic (fixture, "dead_vectors"), ROWS);
    assert_int_equal (optimize (fixture), 100);
    assert_int_equal (statistic (fixture, "dead_vectors"), 0);
  }
  assert_int_equal (count_found (fixture, 5000, 100, 1), 100);
  write_rows (fixture, "b", 5000, 50);
  assert_int_equal (count_found (fixture, 5000, 100, 1), 50);
  must_close (fixture);
  open_with (fixture, ivf);
  assert_int_equal (statistic (fixture, "dead_vectors"), 0);
  assert_int_equal (count_found (fixture, 5000, 50, 1), 50);
  write_rows (fixture, "c", 10000, ROWS);
  assert_int_equal (optimize (fixture), 0);
  assert_int_equal (count_found (fixture, 10000, ROWS, 50), ROWS / 50);
}

static uint32_t
snapshot_format (const char *path)
{
  uint32_t format = 0;
  int file = open (path, O_RDONLY);
  assert_true (file >= 0);
  assert_int_equal (pread (file, &format, sizeof format, 8), sizeof format);
  (void)close (file);
  return format;
}

/* Of an earlier version: it is searched at once, and brought to today's format. */
static void
test_a_snapshot_of_format_1_is_taken_over (void **state)
{
  Fixture *fixture = *state;
  static const char *const indexes[] = { "index=IVF16,Flat", "index=IVF16,SQ8" };
  char path[120];
  snprintf (path, sizeof path, "%s/index.snapshot", fixture->path);
  open_with (fixture, NULL);
  write_rows (fixture, "a", 0, ROWS);
  must_close (fixture);
  for (size_t i = 0; i < 2; i++) {
    const char *const config[] = { indexes[i], "nprobe=16", NULL };
    open_with (fixture, config);
    assert_int_equal (optimize (fixture), 0);
    must_close (fixture);
    former_snapshot_write (path);
    assert_int_equal (snapshot_format (path), 1);
    for (int round = 0; round < 2; round++) { /* as it was read, and as it was written then */
      open_with (fixture, config);
      assert_int_equal (statistic (fixture, "exact_vectors"), 0);
      assert_true (count_first (fixture, 7) >= ROWS / 7 * 9 / 10);
      assert_int_equal (snapshot_format (path), 2);
      must_close (fixture);
    }
  }
}

static void
test_a_snapshot_of_a_newer_format_is_left_aside (void **state)
{
  Fixture *fixture = *state;
  char path[120];
  const uint32_t newer = 99;
  open_with (fixture, ivf);
  write_rows (fixture, "a", 0, ROWS);
  assert_int_equal (optimize (fixture), 0);
  must_close (fixture);
  snprintf (path, sizeof path, "%s/index.snapshot", fixture->path);
  int file = open (path, O_RDWR);
  assert_true (file >= 0);
  assert_int_equal (pwrite (file, &newer, sizeof newer, 8), sizeof newer);
  (void)close (file);
  open_with (fixture, ivf);
  assert_int_equal (statistic (fixture, "exact_vectors"), ROWS);
  assert_int_equal (count_found (fixture, 0, ROWS, 50), ROWS / 50);
}

/* Changes go beside what is mapped; another build and another start find them all. */
static void
test_a_mapped_index_takes_changes_and_is_built_again (void **state)
{
  Fixture *fixture = *state;
  open_with (fixture, ivf);
  write_rows (fixture, "a", 0, ROWS);
  assert_int_equal (optimize (fixture), 0);
  must_close (fixture);
  open_with (fixture, ivf);
  write_rows (fixture, "b", 5000, ROWS);
  assert_int_equal (statistic (fixture, "exact_vectors"), ROWS);
  assert_int_equal (count_found (fixture, 0, ROWS, 50), ROWS / 50);
  assert_int_equal (optimize (fixture), 0);
  RagifyKitCall *call = ask_remove (fixture, NULL, 0, "a", NULL);
  must_be (call, RAGIFY_OK);
  ragify_kit_call_free (call);
  assert_int_equal (optimize (fixture), 0);
  assert_int_equal (statistic (fixture, "dead_vectors"), 0);
  assert_int_equal (count_found (fixture, 5000, ROWS, 7), (ROWS + 6) / 7);
  must_close (fixture);
  open_with (fixture, ivf);
  assert_int_equal (must_generation (fixture).vectors, ROWS);
  assert_int_equal (count_found (fixture, 5000, ROWS, 7), (ROWS + 6) / 7);
}

/* What a search says of a chunk that was found elsewhere is what it says of it as a hit. */
static bool
is_scored_alike (Fixture *fixture, uint32_t number)
{
  float vector[DIMENSION];
  const RagifyUuid id = make_id (number);
  make_vector (number, DIMENSION, vector);
  const RagifyStoreSearch args = { .struct_size = sizeof args,
                                   .top_k = 1,
                                   .vectors = { .items = vector, .count = 1, .dimension = DIMENSION },
                                   .scored = { &id, 1 } };
  RagifyKitCall *call = ragify_kit_call (fixture->store, (RagifyKitFunction)fixture->operations->search, &args, 0);
  must_be (call, RAGIFY_OK);
  const RagifyStoreSearchResult *result = call->result;
  assert_int_equal (result->scores.count, 1);
  const bool alike =
      !same_id (result->hits.items[0].id, id) || fabsf (result->hits.items[0].score - result->scores.items[0]) < 0.01F;
  ragify_kit_call_free (call);
  return alike;
}

static void
test_other_kinds_of_index (void **state)
{
  Fixture *fixture = *state;
  static const char *const names[] = { "index=HNSW16", "index=HNSW16,SQ8", "index=SQ8", "index=SQfp16",
                                       "index=IVF,SQ8" };
  open_with (fixture, NULL);
  write_rows (fixture, "a", 0, ROWS);
  must_close (fixture);
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    const char *const config[] = { names[i], "nlist=16", "nprobe=8", NULL };
    open_with (fixture, config);
    assert_int_equal (optimize (fixture), 0);
    assert_true (count_first (fixture, 13) >= ROWS / 13 * 9 / 10);
    for (uint32_t number = 0; number < ROWS; number += 13)
      assert_true (is_scored_alike (fixture, number));
    must_close (fixture);
    open_with (fixture, config); /* from the snapshot, which is mapped */
    assert_int_equal (statistic (fixture, "exact_vectors"), 0);
    assert_true (count_first (fixture, 13) >= ROWS / 13 * 9 / 10);
    must_close (fixture);
  }
}

static void
test_unknown_names_are_refused_with_the_known_ones (void **state)
{
  Fixture *fixture = *state;
  static const char *const names[] = { "index=",          "index=Flatt",      "index=IVF0,Flat",
                                       "index=IVFx,Flat", "index=HNSW",       "index=IVF10",
                                       "index=PQ",        "index=OPQ16,PQ16", "index=IVF10,Flat,RFlat" };
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    const char *const config[] = { names[i], NULL };
    assert_int_equal (try_open (fixture, config, &fixture_embedder), RAGIFY_E_INVALID);
    if (strstr (ragify_kit_error (fixture->kit), "HNSWm") == NULL)
      fail_msg ("%s: %s", names[i], ragify_kit_error (fixture->kit));
  }
  const char *const product[] = { "index=PQ5", NULL };
  assert_int_equal (try_open (fixture, product, &fixture_embedder), RAGIFY_E_INVALID);
  assert_non_null (strstr (ragify_kit_error (fixture->kit), "dimension is 16"));
}

#define TEST(function) cmocka_unit_test_setup_teardown (function, fixture_set_up, fixture_tear_down)

int
main (void)
{
  const struct CMUnitTest tests[] = {
    TEST (test_it_stays_exact_until_it_pays),
    TEST (test_changes_after_it_was_built_count_at_once),
    TEST (test_filters_reach_into_it),
    TEST (test_vectors_come_out_of_it),
    TEST (test_the_snapshot_serves_the_next_start),
    TEST (test_a_damaged_snapshot_is_left_aside),
    TEST (test_a_snapshot_that_could_not_be_written_is_written_later),
    TEST (test_an_index_that_little_is_left_of_is_given_up),
    TEST (test_a_snapshot_of_format_1_is_taken_over),
    TEST (test_a_snapshot_of_a_newer_format_is_left_aside),
    TEST (test_a_mapped_index_takes_changes_and_is_built_again),
    TEST (test_other_kinds_of_index),
    TEST (test_unknown_names_are_refused_with_the_known_ones),
  };
  cmocka_set_message_output (CM_OUTPUT_TAP);
  return cmocka_run_group_tests (tests, NULL, NULL);
}
