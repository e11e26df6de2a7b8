/* What is this store's own: several instances over the same tables, words, indexes, and what a server does to it. */
#include "pgvector-fixture.h"

#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static const Piece pieces[] = { { "a", 1, "Flour and water make a dough.", "{\"n\":1,\"lang\":\"en\"}" },
                                { "a", 2, "A leek soup wants cream, and leeks.", "{\"n\":2,\"lang\":\"en\"}" },
                                { "b", 3, "Flour wird im Deutschen Mehl genannt.", "{\"n\":3,\"lang\":\"de\"}" } };

static void
write_pieces (Fixture *fixture)
{
  must_upsert (fixture, RAGIFY_DOCUMENT_REPLACE, 1, "a", pieces, 2, 0);
  must_upsert (fixture, RAGIFY_DOCUMENT_REPLACE, 1, "b", pieces + 2, 1, 0);
}

/* The numbers of the chunks that are found, best first. */
static char *
find_words (RagifyKitInstance *index, const char *text, const RagifyFilter *filter)
{
  const RagifyTextIndexOperations *operations = ragify_kit_operations (index);
  const RagifyTextSearch args = {
    .struct_size = sizeof args, .top_k = 10, .text = ragify_str_from (text), .filter = filter
  };
  RagifyKitCall *call = ragify_kit_call (index, (RagifyKitFunction)operations->search, &args, 0);
  must_be (call, RAGIFY_OK);
  const RagifyTextSearchResult *result = call->result;
  GString *found = g_string_new (NULL);
  for (uint64_t i = 0; i < result->hits.count; i++) {
    uint32_t number;
    memcpy (&number, result->hits.items[i].id.bytes + 12, sizeof number);
    g_string_append_printf (found, "%s%u", i > 0 ? " " : "", number);
  }
  ragify_kit_call_free (call);
  return g_string_free (found, FALSE);
}

static void
words_find (RagifyKitInstance *index, const char *text, const RagifyFilter *filter, const char *expected)
{
  g_autofree char *found = find_words (index, text, filter);
  assert_string_equal (found, expected);
}

static void
test_words_are_found_with_the_store_s_generation (void **state)
{
  Fixture *fixture = *state;
  must_open (fixture);
  RagifyKitInstance *index = fixture_open_another (fixture, RAGIFY_KIND_TEXT_INDEX, NULL, NULL);
  assert_non_null (index);
  write_pieces (fixture);
  words_find (index, "leeks", NULL, "2");
  words_find (index, "flour dough", NULL, "1 3"); /* the rare word weighs more */
  words_find (index, "the of and", NULL, "");
  words_find (index, "", NULL, "");
  words_find (index, "'); DROP TABLE ragify_chunks; -- \\ ' & | ! <-> leek", NULL, "2");
  RagifyValue value;
  const RagifyFilter filter = filter_text (RAGIFY_FILTER_EQ, "lang", "de", &value);
  words_find (index, "flour", &filter, "3");
  const RagifyTextIndexOperations *operations = ragify_kit_operations (index);
  const RagifyNothing nothing = { .struct_size = sizeof nothing };
  RagifyKitCall *call = ragify_kit_call (index, (RagifyKitFunction)operations->generation, &nothing, 0);
  must_be (call, RAGIFY_OK);
  const RagifyStoreGeneration generation = must_generation (fixture);
  const RagifyTextGeneration *text = call->result;
  assert_memory_equal (&text->generation, &generation.generation, sizeof generation.generation);
  assert_int_equal (text->chunks, 3);
  ragify_kit_call_free (call);
  /* Staged chunks are not found by words either. */
  const Piece staged = { "c", 9, "A staged leek.", "" };
  must_upsert (fixture, RAGIFY_DOCUMENT_STAGE, 1, "c", &staged, 1, 0);
  words_find (index, "leek", NULL, "2");
  assert_int_equal (ragify_kit_close (index), RAGIFY_OK);
}

static void
test_an_index_without_tables_waits_for_them (void **state)
{
  Fixture *fixture = *state;
  RagifyKitInstance *index = fixture_open_another (fixture, RAGIFY_KIND_TEXT_INDEX, NULL, NULL);
  assert_non_null (index);
  must_open (fixture);
  write_pieces (fixture);
  words_find (index, "leeks", NULL, "2");
  assert_int_equal (ragify_kit_close (index), RAGIFY_OK);
}

static void
test_instances_see_each_other_s_batches (void **state)
{
  Fixture *fixture = *state, other = { .kit = fixture->kit };
  must_open (fixture);
  must_open (&other);
  write_pieces (fixture);
  assert_true (is_found (&other, 3));
  RagifyKitCall *call = ask_remove (&other, NULL, 0, "b", NULL);
  must_be (call, RAGIFY_OK);
  ragify_kit_call_free (call);
  assert_false (is_found (fixture, 3));
  assert_int_equal (must_generation (fixture).generation.counter, 3);
  /* Removing nothing changes nothing. */
  call = ask_remove (&other, NULL, 0, "b", NULL);
  must_be (call, RAGIFY_OK);
  ragify_kit_call_free (call);
  assert_int_equal (must_generation (fixture).generation.counter, 3);
  must_close (&other);
}

static void
test_tables_made_anew_are_noticed (void **state)
{
  Fixture *fixture = *state;
  must_open (fixture);
  write_pieces (fixture);
  const RagifyUuid before = must_generation (fixture).generation.store;
  ragify_test_postgres_run (fixture_server (),
                            "DROP TABLE ragify_store, ragify_documents, ragify_chunks, ragify_removals");
  const char *document = "a";
  RagifyKitCall *call = begin_upsert (fixture, RAGIFY_DOCUMENT_REPLACE, 1, &document, 1, pieces, 2, true);
  must_be (call, RAGIFY_E_UNAVAILABLE);
  ragify_kit_call_free (call);
  must_upsert (fixture, RAGIFY_DOCUMENT_REPLACE, 1, "a", pieces, 2, 0);
  assert_false (same_id (must_generation (fixture).generation.store, before));
}

/* Whatever stands where its own would be made is left as it is, and named. */
static void
test_tables_of_others_are_refused (void **state)
{
  static const char *const others[] = {
    "CREATE TABLE foreign_documents (id int, body text)",
    "CREATE TABLE foreign_chunks (id uuid, vector float8[])",
    "CREATE VIEW foreign_removals AS SELECT 1 AS number, 2 AS generation",
    "CREATE TABLE foreign_store (version int8, store uuid, fingerprint text)",
  };
  static const char *const names[] = { "TABLE foreign_documents", "TABLE foreign_chunks", "VIEW foreign_removals",
                                       "TABLE foreign_store" };
  static const char *const config[] = { "table=foreign", NULL };
  Fixture *fixture = *state;
  for (int i = 0; i < 4; i++) {
    char drop[64];
    ragify_test_postgres_run (fixture_server (), others[i]);
    assert_int_equal (try_open (fixture, config, &fixture_embedder), RAGIFY_E_INVALID);
    assert_non_null (strstr (ragify_kit_error (fixture->kit), "public.foreign_…' that are not Ragify's"));
    (void)snprintf (drop, sizeof drop, "DROP %s", names[i]);
    ragify_test_postgres_run (fixture_server (), drop);
  }
}

static void
test_a_zero_in_a_text_is_replaced (void **state)
{
  Fixture *fixture = *state;
  must_open (fixture);
  const float vector[DIMENSION] = { 1 };
  const RagifyDocument document = { .struct_size = sizeof document, .id = ragify_str_from ("a") };
  const RagifyChunk chunk = { .struct_size = sizeof chunk,
                              .id = make_id (1),
                              .document_id = document.id,
                              .content = ragify_str ("a\0b", 3),
                              .metadata = ragify_str_from ("{\"k\":\"x\\u0000\\\\u0000\"}") };
  const RagifyStoreUpsert args = { .struct_size = sizeof args,
                                   .documents = { .items = &document, .count = 1, .stride = sizeof document },
                                   .chunks = { .items = &chunk, .count = 1, .stride = sizeof chunk },
                                   .vectors = { .items = vector, .count = 1, .dimension = DIMENSION } };
  RagifyKitCall *call = ragify_kit_call (fixture->store, (RagifyKitFunction)fixture->operations->upsert, &args, 0);
  must_be (call, RAGIFY_OK);
  ragify_kit_call_free (call);
  const uint32_t number = 1;
  call = ask_fetch (fixture, &number, 1, RAGIFY_FETCH_CONTENT | RAGIFY_FETCH_METADATA);
  must_be (call, RAGIFY_OK);
  const RagifyChunk *found = ((const RagifyStoreFetchResult *)call->result)->chunks.items;
  assert_int_equal (found->content.size, 5);
  assert_memory_equal (found->content.data,
                       "a\xEF\xBF\xBD"
                       "b",
                       5);
  static const char metadata[] = "{\"k\": \"x\xEF\xBF\xBD\\\\u0000\"}";
  assert_int_equal (found->metadata.size, sizeof metadata - 1);
  assert_memory_equal (found->metadata.data, metadata, sizeof metadata - 1);
  ragify_kit_call_free (call);
}

/* jsonb keeps 1e20 as twenty-one digits, which readers of 64 bits take for an error in the JSON. */
static void
test_large_numbers_come_back_as_numbers (void **state)
{
  Fixture *fixture = *state;
  must_open (fixture);
  static const char given[] = "{\"a\":1e20,\"b\":[-9223372036854775808,-1e19,9223372036854775807,1.5],"
                              "\"c\":\"100000000000000000000 \\\" 200000000000000000000\",\"d\":1e-7}";
  static const char expected[] = "{\"a\": 100000000000000000000.0,"
                                 " \"b\": [-9223372036854775808, -10000000000000000000.0, 9223372036854775807, 1.5],"
                                 " \"c\": \"100000000000000000000 \\\" 200000000000000000000\", \"d\": 0.0000001}";
  const Piece piece = { "a", 1, "x", given };
  must_upsert (fixture, RAGIFY_DOCUMENT_REPLACE, 1, "a", &piece, 1, 0);
  const uint32_t number = 1;
  RagifyKitCall *call = ask_fetch (fixture, &number, 1, RAGIFY_FETCH_CONTENT | RAGIFY_FETCH_METADATA);
  must_be (call, RAGIFY_OK);
  const RagifyChunk *found = ((const RagifyStoreFetchResult *)call->result)->chunks.items;
  assert_int_equal (found->metadata.size, sizeof expected - 1);
  assert_memory_equal (found->metadata.data, expected, sizeof expected - 1);
  ragify_kit_call_free (call);
}

#define ROWS 2000

static void
write_rows (Fixture *fixture)
{
  Piece *rows = calloc (ROWS, sizeof *rows);
  for (uint32_t i = 0; i < ROWS; i++)
    rows[i] = (Piece){ "many", i, "x", i % 100 == 0 ? "{\"rare\":true}" : "{\"rare\":false}" };
  must_upsert (fixture, RAGIFY_DOCUMENT_REPLACE, 1, "many", rows, ROWS, 0);
  free (rows);
}

static uint64_t
hits_of (Fixture *fixture, const RagifyFilter *filter)
{
  RagifyKitCall *call = ask_search (fixture, 7, 20, filter);
  must_be (call, RAGIFY_OK);
  const uint64_t count = ((const RagifyStoreSearchResult *)call->result)->hits.count;
  ragify_kit_call_free (call);
  return count;
}

static void
check_index (Fixture *fixture, const char *name)
{
  g_autofree char *key = g_strconcat ("index=", name, NULL);
  g_autofree char *sql = g_strdup_printf ("SELECT count(*) FROM pg_indexes WHERE indexname = 'ragify_chunks_%s'", name);
  const char *const config[] = { key, "index-from=1000", NULL };
  assert_int_equal (try_open (fixture, config, &fixture_embedder), RAGIFY_OK);
  const RagifyStoreOptimize optimize = { .struct_size = sizeof optimize };
  for (int i = 0; i < 2; i++) { /* the first time there are too few vectors, or it is there already */
    if (i == 1)
      write_rows (fixture);
    RagifyKitCall *call =
        ragify_kit_call (fixture->store, (RagifyKitFunction)fixture->operations->optimize, &optimize, 0);
    must_be (call, RAGIFY_OK);
    ragify_kit_call_free (call);
    assert_int_equal (ragify_test_postgres_count (fixture_server (), sql), i);
  }
  uint32_t found = 0;
  for (uint32_t i = 0; i < 100; i++)
    found += is_found (fixture, i * 13);
  assert_true (found >= 95);
  assert_int_equal (hits_of (fixture, NULL), 20);
  RagifyValue value = { .type = RAGIFY_VALUE_BOOL, .integer = 1 };
  const RagifyFilter filter = { .struct_size = sizeof filter,
                                .op = RAGIFY_FILTER_EQ,
                                .field = ragify_str_from ("rare"),
                                .values = { .items = &value, .count = 1 } };
  assert_int_equal (hits_of (fixture, &filter), 20); /* all that there are: the scan goes on until it has them */
}

static void
test_hnsw_is_built_when_it_pays (void **state)
{
  check_index (*state, "hnsw");
}

static void
test_ivfflat_is_built_when_it_pays (void **state)
{
  check_index (*state, "ivfflat");
}

/* The same answers as FAISS gives, which searches the same vectors exactly: ties aside. */
static void
test_exact_searches_are_those_of_faiss (void **state)
{
  Fixture *fixture = *state, faiss = { .kit = fixture->kit };
  char folder[] = "/tmp/ragify-beside-XXXXXX";
  assert_non_null (mkdtemp (folder));
  g_autofree char *path = g_strconcat ("path=", folder, "/store", NULL);
  const char *const config[] = { path, NULL };
  must_open (fixture);
  faiss.store = ragify_kit_open (fixture->kit, getenv ("STORE_FAISS"), RAGIFY_KIND_VECTOR_STORE, "faiss", config,
                                 &fixture_embedder);
  assert_non_null (faiss.store);
  faiss.operations = ragify_kit_operations (faiss.store);
  write_rows (fixture);
  write_rows (&faiss);
  for (uint32_t query = 5000; query < 5100; query++) {
    RagifyKitCall *calls[] = { ask_search (fixture, query, 10, NULL), ask_search (&faiss, query, 10, NULL) };
    const RagifyStoreSearchResult *left = calls[0]->result, *right = calls[1]->result;
    assert_int_equal (left->hits.count, 10);
    assert_int_equal (right->hits.count, 10);
    for (int i = 0; i < 10; i++) {
      const RagifyHit *one = &left->hits.items[i], *other = &right->hits.items[i];
      assert_true (fabsf (one->score - other->score) < 2e-6F);
      assert_true (same_id (one->id, other->id) || fabsf (one->score - other->score) < 1e-6F);
    }
    ragify_kit_call_free (calls[0]);
    ragify_kit_call_free (calls[1]);
  }
  must_close (&faiss);
  g_autofree char *command = g_strconcat ("rm -rf ", folder, NULL);
  assert_int_equal (system (command), 0);
}

/* ---- the server ---- */

static void
test_a_server_that_was_restarted_is_found_again (void **state)
{
  Fixture *fixture = *state;
  must_open (fixture);
  write_pieces (fixture);
  ragify_test_postgres_stop (fixture_server ());
  RagifyKitCall *call = ask_search (fixture, 1, 1, NULL);
  must_be (call, RAGIFY_E_UNAVAILABLE);
  ragify_kit_call_free (call);
  assert_true (ragify_test_postgres_start (fixture_server ()));
  for (int i = 0; i < 100; i++) {
    call = ask_search (fixture, 1, 1, NULL);
    const int32_t code = call->code;
    ragify_kit_call_free (call);
    if (code == RAGIFY_OK)
      break;
    g_usleep (50000);
  }
  assert_true (is_found (fixture, 3));
  assert_int_equal (must_generation (fixture).generation.counter, 2);
}

static void
test_a_server_that_hangs_costs_no_more_than_the_deadline (void **state)
{
  Fixture *fixture = *state;
  must_open (fixture);
  write_pieces (fixture);
  ragify_test_postgres_signal (fixture_server (), SIGSTOP);
  float vector[DIMENSION];
  make_vector (1, DIMENSION, vector);
  const RagifyStoreSearch args = { .struct_size = sizeof args,
                                   .top_k = 1,
                                   .vectors = { .items = vector, .count = 1, .dimension = DIMENSION } };
  RagifyKitCall *call = ragify_kit_call (fixture->store, (RagifyKitFunction)fixture->operations->search, &args, 300000);
  ragify_test_postgres_signal (fixture_server (), SIGCONT);
  assert_int_equal (call->code, RAGIFY_E_TIMEOUT);
  assert_int_equal (call->hung, 0);
  ragify_kit_call_free (call);
  assert_true (is_found (fixture, 1));
}

/* Kills the server so long from now. */
static pid_t
kill_server_in (guint us)
{
  const pid_t killer = fork ();
  assert_true (killer >= 0);
  if (killer > 0)
    return killer;
  g_usleep (us);
  ragify_test_postgres_signal (fixture_server (), SIGKILL);
  _exit (0);
}

/* Killed at any moment under writes: what was acknowledged is there, nothing is there twice, and totals are right. */
static void
test_a_server_killed_under_writes_keeps_what_it_acknowledged (void **state)
{
  Fixture *fixture = *state;
  uint32_t acknowledged[400], count = 0;
  must_open (fixture);
  for (uint32_t round = 0; round < 6; round++) {
    pid_t killer = 0;
    for (uint32_t i = 0; i < 60; i++) {
      char name[16];
      const uint32_t number = 1000 + round * 60 + i;
      snprintf (name, sizeof name, "d%u", number);
      const char *document = name;
      const Piece both[] = { { name, number, "x", "" }, { name, number + 100000, "y", "" } };
      RagifyKitCall *call = begin_upsert (fixture, RAGIFY_DOCUMENT_REPLACE, 1, &document, 1, both, 2, true);
      if (call->code == RAGIFY_OK)
        acknowledged[count++] = number;
      if (killer == 0 && (call->code == RAGIFY_OK || i >= 30)) /* after the first, however slow the machine */
        killer = kill_server_in (10000 + 7000 * round);
      ragify_kit_call_free (call);
    }
    assert_int_equal (waitpid (killer, NULL, 0), killer);
    ragify_test_postgres_stop (fixture_server ());
    assert_true (ragify_test_postgres_start (fixture_server ()));
  }
  assert_true (count > 0);
  for (uint32_t i = 0; i < count; i++) {
    assert_true (is_found (fixture, acknowledged[i]));
    assert_true (is_found (fixture, acknowledged[i] + 100000));
  }
  static const char *const same[] = {
    "SELECT chunks - (SELECT count(*) FROM ragify_chunks WHERE NOT staged) FROM ragify_store",
    "SELECT vectors - (SELECT count(vector) FROM ragify_chunks WHERE NOT staged) FROM ragify_store",
    "SELECT documents - (SELECT count(*) FROM ragify_documents WHERE live) FROM ragify_store",
    "SELECT counter - (SELECT count(*) FROM ragify_documents) FROM ragify_store",
  };
  for (size_t i = 0; i < G_N_ELEMENTS (same); i++)
    assert_int_equal (ragify_test_postgres_count (fixture_server (), same[i]), 0);
}

#define TEST(function) cmocka_unit_test_setup_teardown (function, fixture_set_up, fixture_tear_down)

int
main (void)
{
  const struct CMUnitTest tests[] = {
    TEST (test_words_are_found_with_the_store_s_generation),
    TEST (test_an_index_without_tables_waits_for_them),
    TEST (test_instances_see_each_other_s_batches),
    TEST (test_tables_made_anew_are_noticed),
    TEST (test_tables_of_others_are_refused),
    TEST (test_a_zero_in_a_text_is_replaced),
    TEST (test_large_numbers_come_back_as_numbers),
    TEST (test_hnsw_is_built_when_it_pays),
    TEST (test_ivfflat_is_built_when_it_pays),
    TEST (test_exact_searches_are_those_of_faiss),
    TEST (test_a_server_that_was_restarted_is_found_again),
    TEST (test_a_server_that_hangs_costs_no_more_than_the_deadline),
    TEST (test_a_server_killed_under_writes_keeps_what_it_acknowledged),
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
