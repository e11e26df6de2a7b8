/* What an operator has the store do: a copy of it all, verifying, and vectors of another embedder. */
#include "store-fixture.h"

#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define OTHER_DIMENSION 24u

static const RagifyEmbedderInfo other_embedder = { .struct_size = sizeof other_embedder,
                                                   .dimension = OTHER_DIMENSION,
                                                   .fingerprint = { "other-24", 8 } };

static void
write_document (Fixture *fixture, const char *document, uint32_t first, uint32_t count, const char *content)
{
  Piece *pieces = calloc (count, sizeof *pieces);
  for (uint32_t i = 0; i < count; i++)
    pieces[i] = (Piece){ document, first + i, content, "{\"lang\":\"en\"}" };
  RagifyKitCall *call = begin_upsert (fixture, RAGIFY_DOCUMENT_REPLACE, first + 1, &document, 1, pieces, count, true);
  must_be (call, RAGIFY_OK);
  ragify_kit_call_free (call);
  free (pieces);
}

/* ---- backup ---- */

static int32_t
back_up (Fixture *fixture, const char *path)
{
  const RagifyStoreBackup args = { .struct_size = sizeof args, .path = ragify_str_from (path) };
  RagifyKitCall *call = ragify_kit_call (fixture->store, (RagifyKitFunction)fixture->operations->backup, &args, 0);
  int32_t code = call->code;
  ragify_kit_call_free (call);
  return code;
}

static void
copy_path (const Fixture *fixture, char *path, size_t size)
{
  (void)snprintf (path, size, "%s/copy", fixture->folder);
}

/* From here on the store is the copy. */
static void
open_copy (Fixture *fixture, const char *const *config)
{
  must_close (fixture);
  copy_path (fixture, fixture->path, sizeof fixture->path);
  if (try_open (fixture, config, &fixture_embedder) != RAGIFY_OK)
    fail_msg ("%s", ragify_kit_error (fixture->kit));
}

static void
must_answer_the_same (Fixture *fixture, const RagifyKitCall *before, uint32_t number)
{
  RagifyKitCall *after = ask_search (fixture, number, 10, NULL);
  must_be (after, RAGIFY_OK);
  const RagifyStoreSearchResult *one = before->result, *other = after->result;
  assert_int_equal (one->hits.count, other->hits.count);
  for (uint64_t i = 0; i < one->hits.count; i++) {
    assert_true (same_id (one->hits.items[i].id, other->hits.items[i].id));
    assert_true (fabsf (one->hits.items[i].score - other->hits.items[i].score) < 1e-6F);
  }
  ragify_kit_call_free (after);
}

static void
test_a_backup_gives_the_same_answers (void **state)
{
  Fixture *fixture = *state;
  char path[96];
  copy_path (fixture, path, sizeof path);
  must_open (fixture);
  write_document (fixture, "a", 0, 300, "first");
  write_document (fixture, "b", 300, 200, "second");
  RagifyKitCall *before = ask_search (fixture, 7, 10, NULL);
  const RagifyStoreGeneration original = must_generation (fixture);
  assert_int_equal (back_up (fixture, path), RAGIFY_OK);
  write_document (fixture, "a", 0, 5, "what comes later is not in it");
  open_copy (fixture, NULL);
  must_answer_the_same (fixture, before, 7);
  const RagifyStoreGeneration copy = must_generation (fixture);
  assert_int_equal (copy.generation.counter, original.generation.counter);
  assert_int_equal (copy.chunks, 500);
  assert_int_equal (copy.documents, 2);
  /* What was derived from the one must not pass for the other's. */
  assert_false (same_id (copy.generation.store, original.generation.store));
  ragify_kit_call_free (before);
}

static void
test_a_backup_has_the_index_with_it (void **state)
{
  static const char *const ivf[] = { "index=IVF16,Flat", "nprobe=16", NULL };
  Fixture *fixture = *state;
  char path[96], snapshot[128];
  struct stat status;
  copy_path (fixture, path, sizeof path);
  if (try_open (fixture, ivf, &fixture_embedder) != RAGIFY_OK)
    skip (); /* a build without FAISS */
  write_document (fixture, "a", 0, 1500, "x");
  const RagifyStoreOptimize args = { .struct_size = sizeof args };
  RagifyKitCall *call = ragify_kit_call (fixture->store, (RagifyKitFunction)fixture->operations->optimize, &args, 0);
  must_be (call, RAGIFY_OK);
  ragify_kit_call_free (call);
  assert_int_equal (back_up (fixture, path), RAGIFY_OK);
  (void)snprintf (snapshot, sizeof snapshot, "%s/index.snapshot", path);
  assert_int_equal (stat (snapshot, &status), 0);
  open_copy (fixture, ivf);
  const RagifyNothing nothing = { .struct_size = sizeof nothing };
  call = ragify_kit_call (fixture->store, (RagifyKitFunction)ragify_kit_component (fixture->store)->stats, &nothing, 0);
  must_be (call, RAGIFY_OK);
  const RagifyPairList *values = &((const RagifyStatsResult *)call->result)->values;
  for (uint64_t i = 0; i < values->count; i++)
    if (strncmp (values->items[i].name.data, "exact_vectors", values->items[i].name.size) == 0)
      assert_int_equal (values->items[i].value.integer, 0);
  ragify_kit_call_free (call);
  for (uint32_t i = 0; i < 1500; i += 101)
    assert_true (is_found (fixture, i));
}

static void
test_a_backup_is_refused_where_something_is (void **state)
{
  Fixture *fixture = *state;
  char path[96], nowhere[128];
  copy_path (fixture, path, sizeof path);
  must_open (fixture);
  write_document (fixture, "a", 0, 3, "x");
  assert_int_equal (back_up (fixture, "relative"), RAGIFY_E_INVALID);
  assert_int_equal (back_up (fixture, fixture->path), RAGIFY_E_INVALID);
  (void)snprintf (nowhere, sizeof nowhere, "%s/not/there", fixture->folder);
  assert_int_equal (back_up (fixture, nowhere), RAGIFY_E_UNAVAILABLE);
  assert_int_equal (back_up (fixture, path), RAGIFY_OK);
  assert_int_equal (back_up (fixture, path), RAGIFY_E_INVALID);
}

typedef struct Writer {
  Fixture *fixture;
  atomic_bool stop;
  uint32_t written;
} Writer;

/* Each batch replaces the document as a whole: a copy that is of one moment has all chunks of one batch. */
static void *
write_on (void *user)
{
  Writer *writer = user;
  char content[16];
  while (!atomic_load (&writer->stop)) {
    (void)snprintf (content, sizeof content, "g%u", ++writer->written);
    write_document (writer->fixture, "churn", 1000, 20, content);
  }
  return NULL;
}

static void
must_be_of_one_moment (Fixture *fixture)
{
  uint32_t numbers[20];
  for (uint32_t i = 0; i < 20; i++)
    numbers[i] = 1000 + i;
  RagifyKitCall *call = ask_fetch (fixture, numbers, 20, RAGIFY_FETCH_CONTENT);
  must_be (call, RAGIFY_OK);
  const RagifyStoreFetchResult *result = call->result;
  for (uint64_t i = 0; i < 20; i++) {
    assert_int_equal (result->chunks.items[i].flags & RAGIFY_CHUNK_MISSING, 0);
    assert_int_equal (result->chunks.items[i].content.size, result->chunks.items[0].content.size);
    assert_memory_equal (result->chunks.items[i].content.data, result->chunks.items[0].content.data,
                         result->chunks.items[0].content.size);
    assert_true (is_found (fixture, numbers[i]));
  }
  ragify_kit_call_free (call);
}

static void
test_a_backup_under_writes_is_of_one_moment (void **state)
{
  Fixture *fixture = *state;
  Writer writer = { .fixture = fixture };
  pthread_t thread;
  char path[96];
  copy_path (fixture, path, sizeof path);
  must_open (fixture);
  write_document (fixture, "rest", 0, 500, "x");
  write_document (fixture, "churn", 1000, 20, "g0");
  assert_int_equal (pthread_create (&thread, NULL, write_on, &writer), 0);
  for (int i = 0; i < 5; i++) {
    char each[128];
    (void)snprintf (each, sizeof each, "%s%d", path, i);
    assert_int_equal (back_up (fixture, each), RAGIFY_OK);
  }
  assert_int_equal (back_up (fixture, path), RAGIFY_OK);
  atomic_store (&writer.stop, true);
  assert_int_equal (pthread_join (thread, NULL), 0);
  assert_true (writer.written > 0);
  open_copy (fixture, NULL);
  assert_int_equal (must_generation (fixture).chunks, 520);
  must_be_of_one_moment (fixture);
}

/* ---- verify ---- */

/* What is done to the file behind the store's back. */
static void
meddle (const Fixture *fixture, const char *sql)
{
  char file[128];
  sqlite3 *database;
  char *message = NULL;
  (void)snprintf (file, sizeof file, "%s/store.db", fixture->path);
  assert_int_equal (sqlite3_open (file, &database), SQLITE_OK);
  if (sqlite3_exec (database, sql, NULL, NULL, &message) != SQLITE_OK)
    fail_msg ("%s", message);
  assert_int_equal (sqlite3_close (database), SQLITE_OK);
}

/* How many problems are left; *repaired of them were mended. */
static uint64_t
verify (Fixture *fixture, uint32_t flags, uint64_t *repaired)
{
  const RagifyStoreVerify args = { .struct_size = sizeof args, .flags = flags };
  RagifyKitCall *call = ragify_kit_call (fixture->store, (RagifyKitFunction)fixture->operations->verify, &args, 0);
  must_be (call, RAGIFY_OK);
  const RagifyStoreVerifyResult *result = call->result;
  uint64_t left = result->problems.count;
  for (uint64_t i = 0; i < left; i++)
    print_message ("# %.*s\n", (int)result->problems.items[i].size, result->problems.items[i].data);
  if (repaired != NULL)
    *repaired = result->repaired;
  ragify_kit_call_free (call);
  return left;
}

static void
test_a_sound_store_has_no_problems (void **state)
{
  Fixture *fixture = *state;
  must_open (fixture);
  assert_int_equal (verify (fixture, 0, NULL), 0);
  write_document (fixture, "a", 0, 50, "x");
  write_document (fixture, "a", 0, 20, "y");
  assert_int_equal (verify (fixture, 0, NULL), 0);
  assert_int_equal (verify (fixture, RAGIFY_VERIFY_REPAIR, NULL), 0);
}

static void
test_what_does_not_agree_is_found_and_mended (void **state)
{
  Fixture *fixture = *state;
  uint64_t repaired;
  must_open (fixture);
  write_document (fixture, "a", 0, 50, "x");
  meddle (fixture, "UPDATE documents SET chunks = 7");
  meddle (fixture, "INSERT INTO vectors SELECT 100000, vector FROM vectors LIMIT 1");
  meddle (fixture,
          "INSERT INTO chunks (uuid, staged, document, ordinal, generation, metadata, first, past, created_at,"
          " updated_at, content) VALUES (x'00112233445566778899aabbccddeeff', 0, 999, 0, 1, 0, 0, 0, 0, 0, 'z')");
  assert_int_equal (verify (fixture, 0, &repaired), 3);
  assert_int_equal (repaired, 0);
  assert_int_equal (verify (fixture, RAGIFY_VERIFY_REPAIR, &repaired), 0);
  assert_int_equal (repaired, 3);
  for (uint32_t i = 0; i < 50; i++)
    assert_true (is_found (fixture, i));
  assert_int_equal (verify (fixture, 0, NULL), 0);
}

static void
test_a_damaged_vector_is_dropped_and_its_document_comes_again (void **state)
{
  static const uint32_t three = 3;
  Fixture *fixture = *state;
  uint64_t repaired;
  must_open (fixture);
  write_document (fixture, "a", 0, 50, "x");
  meddle (fixture, "UPDATE vectors SET vector = zeroblob (64) WHERE chunk = 4");
  assert_int_equal (verify (fixture, RAGIFY_VERIFY_REPAIR, &repaired), 0);
  assert_int_equal (repaired, 1);
  assert_false (is_found (fixture, three));
  assert_int_equal (must_generation (fixture).vectors, 49);
  RagifyKitCall *call = ask_fetch (fixture, &three, 1, RAGIFY_FETCH_CONTENT);
  must_be (call, RAGIFY_OK);
  assert_int_equal (((const RagifyStoreFetchResult *)call->result)->chunks.items[0].flags, 0);
  ragify_kit_call_free (call);
  call = ask_list (fixture, RAGIFY_LIST_DOCUMENTS, 10, ragify_str (NULL, 0), "a", NULL, 0);
  must_be (call, RAGIFY_OK);
  static const RagifyUuid none;
  assert_true (same_id (((const RagifyStoreListResult *)call->result)->documents.items[0].content_hash, none));
  ragify_kit_call_free (call);
}

/* ---- reindex ---- */

static RagifyStoreReindex
reindex_args (uint32_t flags, uint32_t limit)
{
  return (RagifyStoreReindex){ .struct_size = sizeof (RagifyStoreReindex),
                               .flags = flags,
                               .fingerprint = other_embedder.fingerprint,
                               .dimension = OTHER_DIMENSION,
                               .limit = limit };
}

static RagifyKitCall *
ask_reindex (Fixture *fixture, const RagifyStoreReindex *args)
{
  return ragify_kit_call (fixture->store, (RagifyKitFunction)fixture->operations->reindex, args, 0);
}

/* Brings vectors for what `before` handed out. */
static RagifyKitCall *
answer_reindex (Fixture *fixture, const RagifyKitCall *before, uint32_t flags, uint32_t limit)
{
  const RagifyStoreReindexResult *result = before->result;
  RagifyStoreReindex args = reindex_args (flags, limit);
  RagifyUuid *ids = calloc (result->chunks.count + 1, sizeof *ids);
  float *vectors = calloc (result->chunks.count * OTHER_DIMENSION + 1, sizeof *vectors);
  for (uint64_t i = 0; i < result->chunks.count; i++) {
    uint32_t number;
    ids[i] = result->chunks.items[i].id;
    memcpy (&number, ids[i].bytes + 12, sizeof number);
    make_vector (number + 7777, OTHER_DIMENSION, vectors + i * OTHER_DIMENSION);
  }
  args.ids = (RagifyUuidList){ ids, result->chunks.count };
  args.vectors = (RagifyVectors){ vectors, (uint32_t)result->chunks.count, OTHER_DIMENSION };
  args.as_of = result->generation;
  RagifyKitCall *call = ask_reindex (fixture, &args);
  must_be (call, RAGIFY_OK);
  free (ids);
  free (vectors);
  return call;
}

/* One after the other until nothing is missing; how many rounds that took, `most` at most. */
static uint32_t
reindex_all (Fixture *fixture, uint32_t limit, uint32_t most)
{
  RagifyStoreReindex args = reindex_args (0, limit);
  RagifyKitCall *call = ask_reindex (fixture, &args);
  uint32_t rounds = 0;
  must_be (call, RAGIFY_OK);
  while (((const RagifyStoreReindexResult *)call->result)->chunks.count > 0 && rounds < most) {
    RagifyKitCall *next = answer_reindex (fixture, call, 0, limit);
    ragify_kit_call_free (call);
    call = next;
    rounds++;
  }
  ragify_kit_call_free (call);
  return rounds;
}

static bool
finish_reindex (Fixture *fixture)
{
  RagifyStoreReindex args = reindex_args (RAGIFY_REINDEX_FINISH, 10);
  RagifyKitCall *call = ask_reindex (fixture, &args);
  must_be (call, RAGIFY_OK);
  bool finished = ((const RagifyStoreReindexResult *)call->result)->finished != 0;
  ragify_kit_call_free (call);
  return finished;
}

static uint64_t
reindexed (Fixture *fixture)
{
  RagifyStoreReindex args = reindex_args (0, 0);
  RagifyKitCall *call = ask_reindex (fixture, &args);
  must_be (call, RAGIFY_OK);
  uint64_t done = ((const RagifyStoreReindexResult *)call->result)->done;
  ragify_kit_call_free (call);
  return done;
}

static bool
is_found_anew (Fixture *fixture, uint32_t number)
{
  float vector[OTHER_DIMENSION];
  make_vector (number + 7777, OTHER_DIMENSION, vector);
  const RagifyStoreSearch args = { .struct_size = sizeof args, .top_k = 1, .vectors = { vector, 1, OTHER_DIMENSION } };
  RagifyKitCall *call = ragify_kit_call (fixture->store, (RagifyKitFunction)fixture->operations->search, &args, 0);
  must_be (call, RAGIFY_OK);
  const RagifyStoreSearchResult *result = call->result;
  bool found = result->hits.count == 1 && same_id (result->hits.items[0].id, make_id (number)) &&
               fabsf (result->hits.items[0].score - 1) < 1e-5F;
  ragify_kit_call_free (call);
  return found;
}

static void
test_vectors_of_another_embedder_take_the_place_of_the_former (void **state)
{
  Fixture *fixture = *state;
  must_open (fixture);
  write_document (fixture, "a", 0, 30, "x");
  assert_int_equal (reindexed (fixture), 0);
  assert_int_equal (reindex_all (fixture, 8, 100), 4);
  assert_int_equal (reindexed (fixture), 30);
  for (uint32_t i = 0; i < 30; i++)
    assert_true (is_found (fixture, i)); /* the former ones answer until the end */
  const uint64_t before = must_generation (fixture).generation.counter;
  assert_true (finish_reindex (fixture));
  assert_true (is_found (fixture, 3)); /* … and until it is started again */
  must_close (fixture);
  assert_int_not_equal (try_open (fixture, NULL, &fixture_embedder), RAGIFY_OK);
  assert_int_equal (try_open (fixture, NULL, &other_embedder), RAGIFY_OK);
  for (uint32_t i = 0; i < 30; i++)
    assert_true (is_found_anew (fixture, i));
  assert_int_equal (must_generation (fixture).generation.counter, before + 1);
  assert_int_equal (verify (fixture, 0, NULL), 0);
}

static void
test_reindexing_goes_on_after_a_restart (void **state)
{
  Fixture *fixture = *state;
  must_open (fixture);
  write_document (fixture, "a", 0, 30, "x");
  assert_int_equal (reindex_all (fixture, 8, 2), 2);
  must_close (fixture);
  must_open (fixture);
  assert_int_equal (reindexed (fixture), 16);
  assert_false (finish_reindex (fixture));
  assert_int_equal (reindex_all (fixture, 8, 100), 2);
  assert_true (finish_reindex (fixture));
}

static void
test_what_is_written_meanwhile_is_handed_out_again (void **state)
{
  Fixture *fixture = *state;
  must_open (fixture);
  write_document (fixture, "a", 0, 30, "x");
  write_document (fixture, "b", 100, 5, "y");
  RagifyStoreReindex args = reindex_args (0, 100);
  RagifyKitCall *call = ask_reindex (fixture, &args);
  must_be (call, RAGIFY_OK);
  assert_int_equal (((const RagifyStoreReindexResult *)call->result)->chunks.count, 35);
  write_document (fixture, "b", 100, 4, "another text: vectors of the former one must not count");
  RagifyKitCall *next = answer_reindex (fixture, call, 0, 100);
  assert_int_equal (((const RagifyStoreReindexResult *)next->result)->chunks.count, 4);
  assert_false (finish_reindex (fixture));
  RagifyKitCall *last = answer_reindex (fixture, next, 0, 100);
  assert_int_equal (((const RagifyStoreReindexResult *)last->result)->chunks.count, 0);
  ragify_kit_call_free (call);
  ragify_kit_call_free (next);
  ragify_kit_call_free (last);
  call = ask_remove (fixture, NULL, 0, "b", NULL);
  must_be (call, RAGIFY_OK);
  ragify_kit_call_free (call);
  assert_true (finish_reindex (fixture));
  must_close (fixture);
  assert_int_equal (try_open (fixture, NULL, &other_embedder), RAGIFY_OK);
  assert_int_equal (must_generation (fixture).vectors, 30);
  assert_int_equal (verify (fixture, 0, NULL), 0);
}

/* Whoever looks at it must not be told that nothing is left. */
static void
test_what_was_done_and_is_gone_is_not_counted (void **state)
{
  Fixture *fixture = *state;
  must_open (fixture);
  write_document (fixture, "a", 0, 30, "x");
  write_document (fixture, "b", 100, 5, "y");
  reindex_all (fixture, 8, 100);
  assert_int_equal (reindexed (fixture), 35);
  write_document (fixture, "a", 0, 30, "another text");
  RagifyStoreReindex args = reindex_args (0, 10);
  RagifyKitCall *call = ask_reindex (fixture, &args);
  must_be (call, RAGIFY_OK);
  assert_int_equal (((const RagifyStoreReindexResult *)call->result)->chunks.count, 10);
  assert_int_equal (((const RagifyStoreReindexResult *)call->result)->done, 5);
  ragify_kit_call_free (call);
}

static void
test_a_store_that_is_reindexed_takes_no_more_vectors_of_the_former_kind (void **state)
{
  static const char *const document = "late";
  static const Piece piece = { "late", 500, "x", "" };
  Fixture *fixture = *state;
  must_open (fixture);
  write_document (fixture, "a", 0, 3, "x");
  reindex_all (fixture, 10, 10);
  assert_true (finish_reindex (fixture));
  RagifyKitCall *call = begin_upsert (fixture, RAGIFY_DOCUMENT_REPLACE, 1, &document, 1, &piece, 1, true);
  must_be (call, RAGIFY_E_UNAVAILABLE);
  ragify_kit_call_free (call);
  call = ask_remove (fixture, NULL, 0, "a", NULL);
  must_be (call, RAGIFY_E_UNAVAILABLE);
  ragify_kit_call_free (call);
}

static void
test_reindexing_is_given_up_and_begun_for_a_third_one (void **state)
{
  Fixture *fixture = *state;
  must_open (fixture);
  write_document (fixture, "a", 0, 20, "x");
  reindex_all (fixture, 8, 1);
  assert_int_equal (reindexed (fixture), 8);
  RagifyStoreReindex args = reindex_args (0, 8);
  args.fingerprint = ragify_str_from ("third");
  RagifyKitCall *call = ask_reindex (fixture, &args);
  must_be (call, RAGIFY_OK);
  assert_int_equal (((const RagifyStoreReindexResult *)call->result)->done, 0);
  ragify_kit_call_free (call);
  assert_int_equal (reindexed (fixture), 0);
  args.flags = RAGIFY_REINDEX_DROP;
  call = ask_reindex (fixture, &args);
  must_be (call, RAGIFY_OK);
  ragify_kit_call_free (call);
  assert_true (is_found (fixture, 5));
  assert_int_equal (verify (fixture, 0, NULL), 0);
}

static void
test_vectors_that_cannot_be_are_refused (void **state)
{
  Fixture *fixture = *state;
  must_open (fixture);
  write_document (fixture, "a", 0, 3, "x");
  RagifyUuid id = make_id (0);
  float vector[OTHER_DIMENSION] = { 0 };
  RagifyStoreReindex args = reindex_args (0, 8);
  args.ids = (RagifyUuidList){ &id, 1 };
  args.vectors = (RagifyVectors){ vector, 1, OTHER_DIMENSION };
  args.as_of = must_generation (fixture).generation;
  RagifyKitCall *call = ask_reindex (fixture, &args);
  must_be (call, RAGIFY_E_INVALID);
  ragify_kit_call_free (call);
  args.vectors.dimension = DIMENSION;
  call = ask_reindex (fixture, &args);
  must_be (call, RAGIFY_E_INVALID);
  ragify_kit_call_free (call);
}

#define TEST(function) cmocka_unit_test_setup_teardown (function, fixture_set_up, fixture_tear_down)

int
main (void)
{
  const struct CMUnitTest tests[] = {
    TEST (test_a_backup_gives_the_same_answers),
    TEST (test_a_backup_has_the_index_with_it),
    TEST (test_a_backup_is_refused_where_something_is),
    TEST (test_a_backup_under_writes_is_of_one_moment),
    TEST (test_a_sound_store_has_no_problems),
    TEST (test_what_does_not_agree_is_found_and_mended),
    TEST (test_a_damaged_vector_is_dropped_and_its_document_comes_again),
    TEST (test_vectors_of_another_embedder_take_the_place_of_the_former),
    TEST (test_reindexing_goes_on_after_a_restart),
    TEST (test_what_is_written_meanwhile_is_handed_out_again),
    TEST (test_what_was_done_and_is_gone_is_not_counted),
    TEST (test_a_store_that_is_reindexed_takes_no_more_vectors_of_the_former_kind),
    TEST (test_reindexing_is_given_up_and_begun_for_a_third_one),
    TEST (test_vectors_that_cannot_be_are_refused),
  };
  cmocka_set_message_output (CM_OUTPUT_TAP);
  return cmocka_run_group_tests (tests, NULL, NULL);
}
