/* The contract of the vector store, through the loaded plugin. */
#include "store-fixture.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof (array) / sizeof *(array))

static const Piece three[] = { { "a", 1, "one", "{\"n\":1,\"lang\":\"en\"}" },
                               { "a", 2, "two", "{\"n\":2,\"lang\":\"en\"}" },
                               { "a", 3, "three", "{\"n\":3,\"lang\":\"de\"}" } };

/* A store may write JSON in its own way. */
static bool
same_but_for_blanks (RagifyStr text, const char *expected)
{
  for (uint64_t i = 0; i < text.size; i++)
    if (text.data[i] != ' ' && text.data[i] != *expected++)
      return false;
  return *expected == '\0';
}

static void
test_what_was_written_is_found_and_fetched (void **state)
{
  Fixture *fixture = *state;
  must_open (fixture);
  assert_int_equal (must_upsert (fixture, RAGIFY_DOCUMENT_REPLACE, 1, "a", three, 3, 0), 1);
  for (uint32_t i = 1; i <= 3; i++)
    assert_true (is_found (fixture, i));
  const uint32_t numbers[] = { 3, 77, 1 };
  RagifyKitCall *call =
      ask_fetch (fixture, numbers, 3, RAGIFY_FETCH_CONTENT | RAGIFY_FETCH_METADATA | RAGIFY_FETCH_VECTORS);
  must_be (call, RAGIFY_OK);
  const RagifyStoreFetchResult *result = call->result;
  assert_int_equal (result->chunks.count, 3);
  assert_int_equal (result->chunks.stride, sizeof (RagifyChunk));
  assert_memory_equal (result->chunks.items[0].content.data, "three", 5);
  assert_int_equal (result->chunks.items[0].content.size, 5);
  assert_int_equal (result->chunks.items[0].ordinal, 2);
  assert_int_equal (result->chunks.items[0].begin, 20);
  assert_int_equal (result->chunks.items[0].document_id.size, 1);
  assert_memory_equal (result->chunks.items[0].title.data, "a title", 7);
  assert_true (same_but_for_blanks (result->chunks.items[0].metadata, three[2].metadata));
  assert_true (result->chunks.items[0].created_at > 0);
  assert_int_equal (result->chunks.items[1].flags, RAGIFY_CHUNK_MISSING);
  assert_int_equal (result->vectors.count, 3);
  float expected[DIMENSION];
  make_vector (3, DIMENSION, expected);
  assert_memory_equal (result->vectors.items, expected, sizeof expected);
  for (size_t i = 0; i < DIMENSION; i++)
    assert_true (result->vectors.items[DIMENSION + i] == 0);
  ragify_kit_call_free (call);
}

static void
test_vectors_alone_bring_no_chunks (void **state)
{
  Fixture *fixture = *state;
  must_open (fixture);
  must_upsert (fixture, RAGIFY_DOCUMENT_REPLACE, 1, "a", three, 3, 0);
  const uint32_t number = 2;
  RagifyKitCall *call = ask_fetch (fixture, &number, 1, RAGIFY_FETCH_VECTORS);
  must_be (call, RAGIFY_OK);
  const RagifyStoreFetchResult *result = call->result;
  assert_int_equal (result->chunks.count, 0);
  assert_int_equal (result->vectors.count, 1);
  ragify_kit_call_free (call);
}

static void
test_replacing_removes_what_is_not_written_again (void **state)
{
  Fixture *fixture = *state;
  must_open (fixture);
  must_upsert (fixture, RAGIFY_DOCUMENT_REPLACE, 1, "a", three, 3, 0);
  const Piece now[] = { { "a", 2, "two again", "" }, { "a", 4, "four", "" } };
  const char *document = "a";
  RagifyKitCall *call = begin_upsert (fixture, RAGIFY_DOCUMENT_REPLACE, 2, &document, 1, now, 2, true);
  must_be (call, RAGIFY_OK);
  const RagifyStoreUpsertResult *result = call->result;
  assert_int_equal (result->generation.counter, 2);
  assert_int_equal (result->removed.count, 2);
  for (size_t i = 0; i < 2; i++)
    assert_true (same_id (result->removed.items[i], make_id (1)) || same_id (result->removed.items[i], make_id (3)));
  ragify_kit_call_free (call);
  assert_false (is_found (fixture, 1));
  assert_true (is_found (fixture, 2));
  assert_false (is_found (fixture, 3));
  assert_true (is_found (fixture, 4));
  assert_int_equal (must_generation (fixture).chunks, 2);
  assert_int_equal (must_generation (fixture).vectors, 2);
  assert_int_equal (must_generation (fixture).documents, 1);
}

static void
test_an_empty_document_is_kept (void **state)
{
  Fixture *fixture = *state;
  must_open (fixture);
  must_upsert (fixture, RAGIFY_DOCUMENT_REPLACE, 7, "empty", NULL, 0, 0);
  RagifyKitCall *call = ask_list (fixture, RAGIFY_LIST_DOCUMENTS, 10, ragify_str (NULL, 0), "empty", NULL, 0);
  must_be (call, RAGIFY_OK);
  const RagifyStoreListResult *result = call->result;
  assert_int_equal (result->documents.count, 1);
  assert_true (same_id (result->documents.items[0].content_hash, make_id (7)));
  ragify_kit_call_free (call);
  assert_int_equal (must_generation (fixture).documents, 1);
}

static void
test_a_chunk_moves_to_the_document_that_names_it_last (void **state)
{
  Fixture *fixture = *state;
  must_open (fixture);
  must_upsert (fixture, RAGIFY_DOCUMENT_REPLACE, 1, "a", three, 3, 0);
  const Piece taken = { "b", 2, "now of b", "" };
  must_upsert (fixture, RAGIFY_DOCUMENT_REPLACE, 1, "b", &taken, 1, 0);
  assert_int_equal (must_generation (fixture).chunks, 3);
  RagifyKitCall *call = ask_list (fixture, RAGIFY_LIST_DOCUMENTS, 10, ragify_str (NULL, 0), "a", NULL, 0);
  const RagifyStoreListResult *result = call->result;
  assert_int_equal (result->documents.items[0].chunks, 2);
  ragify_kit_call_free (call);
  assert_true (is_found (fixture, 2));
}

static void
test_staged_chunks_are_found_after_the_commit_only (void **state)
{
  Fixture *fixture = *state;
  must_open (fixture);
  must_upsert (fixture, RAGIFY_DOCUMENT_REPLACE, 1, "a", three, 3, 0);
  const Piece first[] = { { "a", 1, "one, new", "" }, { "a", 11, "eleven", "" } };
  const Piece last[] = { { "a", 12, "twelve", "" } };
  assert_int_equal (must_upsert (fixture, RAGIFY_DOCUMENT_STAGE, 2, "a", first, 2, 0), 2);
  assert_false (is_found (fixture, 11));
  for (uint32_t i = 1; i <= 3; i++)
    assert_true (is_found (fixture, i));
  RagifyKitCall *call = ask_list (fixture, RAGIFY_LIST_DOCUMENTS, 10, ragify_str (NULL, 0), "a", NULL, 0);
  const RagifyStoreListResult *list = call->result;
  assert_int_equal (list->documents.items[0].staged, 2);
  assert_int_equal (list->documents.items[0].chunks, 3);
  assert_true (same_id (list->documents.items[0].staged_hash, make_id (2)));
  assert_true (same_id (list->documents.items[0].content_hash, make_id (1)));
  ragify_kit_call_free (call);
  must_close (fixture);
  must_open (fixture);
  assert_false (is_found (fixture, 11));
  /* The same once more, as after an answer that was lost: nothing is doubled. */
  must_upsert (fixture, RAGIFY_DOCUMENT_STAGE, 2, "a", first, 2, 0);
  must_upsert (fixture, RAGIFY_DOCUMENT_COMMIT, 2, "a", last, 1, 2);
  assert_true (is_found (fixture, 1));
  assert_false (is_found (fixture, 2));
  assert_true (is_found (fixture, 11));
  assert_true (is_found (fixture, 12));
  RagifyStoreGeneration generation = must_generation (fixture);
  assert_int_equal (generation.chunks, 3);
  assert_int_equal (generation.vectors, 3);
  assert_int_equal (generation.generation.counter, 4);
  const uint32_t number = 1;
  call = ask_fetch (fixture, &number, 1, RAGIFY_FETCH_CONTENT);
  assert_int_equal (((const RagifyStoreFetchResult *)call->result)->chunks.items[0].content.size, 8);
  ragify_kit_call_free (call);
}

static void
test_staged_chunks_of_another_content_are_dropped (void **state)
{
  Fixture *fixture = *state;
  must_open (fixture);
  const Piece old = { "a", 20, "of an older version", "" }, new = { "a", 21, "of a newer one", "" };
  must_upsert (fixture, RAGIFY_DOCUMENT_STAGE, 1, "a", &old, 1, 0);
  assert_int_equal (must_generation (fixture).documents, 0);
  must_upsert (fixture, RAGIFY_DOCUMENT_COMMIT, 2, "a", &new, 1, 0);
  assert_false (is_found (fixture, 20));
  assert_true (is_found (fixture, 21));
  assert_int_equal (must_generation (fixture).chunks, 1);
  assert_int_equal (must_generation (fixture).documents, 1);
}

static void
write_documents (Fixture *fixture, uint32_t from, uint32_t to)
{
  for (uint32_t i = from; i < to; i++) {
    char name[16], metadata[64];
    snprintf (name, sizeof name, "d%u", i);
    snprintf (metadata, sizeof metadata, "{\"n\":%u,\"even\":%s}", i, i % 2 == 0 ? "true" : "false");
    const Piece piece = { name, 100 + i, name, metadata };
    must_upsert (fixture, RAGIFY_DOCUMENT_REPLACE, i, name, &piece, 1, 0);
  }
}

static void
test_removing_by_id_document_and_filter (void **state)
{
  Fixture *fixture = *state;
  must_open (fixture);
  must_upsert (fixture, RAGIFY_DOCUMENT_REPLACE, 1, "a", three, 3, 0);
  write_documents (fixture, 0, 10);
  const uint32_t ids[] = { 1, 999 };
  RagifyKitCall *call = ask_remove (fixture, ids, 2, NULL, NULL);
  must_be (call, RAGIFY_OK);
  assert_int_equal (((const RagifyStoreRemoveResult *)call->result)->removed.count, 1);
  assert_int_equal (((const RagifyStoreRemoveResult *)call->result)->generation.counter, 12);
  ragify_kit_call_free (call);
  assert_false (is_found (fixture, 1));

  call = ask_remove (fixture, NULL, 0, "a", NULL);
  assert_int_equal (((const RagifyStoreRemoveResult *)call->result)->removed.count, 2);
  ragify_kit_call_free (call);
  assert_int_equal (must_generation (fixture).documents, 10);

  RagifyValue value;
  const RagifyFilter filter = filter_integer (RAGIFY_FILTER_GTE, "n", 5, &value);
  call = ask_remove (fixture, NULL, 0, NULL, &filter);
  must_be (call, RAGIFY_OK);
  assert_int_equal (((const RagifyStoreRemoveResult *)call->result)->removed.count, 5);
  ragify_kit_call_free (call);
  RagifyStoreGeneration generation = must_generation (fixture);
  assert_int_equal (generation.chunks, 5);
  assert_int_equal (generation.documents, 5);
  assert_int_equal (generation.vectors, 5);
  for (uint32_t i = 0; i < 10; i++)
    assert_int_equal (is_found (fixture, 100 + i), i < 5);

  call = ask_remove (fixture, NULL, 0, NULL, NULL);
  must_be (call, RAGIFY_OK);
  assert_int_equal (((const RagifyStoreRemoveResult *)call->result)->generation.counter, generation.generation.counter);
  ragify_kit_call_free (call);
}

static void
check_filter (Fixture *fixture, const RagifyFilter *filter, const char *expected)
{
  char found[16] = "..........";
  RagifyKitCall *call = ask_search (fixture, 100, 100, filter);
  must_be (call, RAGIFY_OK);
  const RagifyStoreSearchResult *result = call->result;
  for (uint64_t i = 0; i < result->hits.count; i++) {
    uint32_t number;
    memcpy (&number, result->hits.items[i].id.bytes + 12, sizeof number);
    assert_in_range (number, 100, 109);
    found[number - 100] = '#';
  }
  ragify_kit_call_free (call);
  assert_string_equal (found, expected);
}

static void
test_filters_mean_what_the_header_says (void **state)
{
  Fixture *fixture = *state;
  must_open (fixture);
  write_documents (fixture, 0, 9);
  const Piece bare = { "bare", 109, "no metadata", "" };
  must_upsert (fixture, RAGIFY_DOCUMENT_REPLACE, 1, "bare", &bare, 1, 0);
  RagifyValue value;
  RagifyFilter filter = filter_integer (RAGIFY_FILTER_EQ, "n", 3, &value);
  check_filter (fixture, &filter, "...#......");
  filter.op = RAGIFY_FILTER_NE;
  check_filter (fixture, &filter, "###.#####.");
  filter.op = RAGIFY_FILTER_LTE;
  check_filter (fixture, &filter, "####......");
  value = (RagifyValue){ .type = RAGIFY_VALUE_DOUBLE, .number = 3.0 };
  filter.op = RAGIFY_FILTER_GT;
  check_filter (fixture, &filter, "....#####.");
  filter = filter_text (RAGIFY_FILTER_EQ, "n", "3", &value);
  check_filter (fixture, &filter, "..........");
  filter.field = ragify_str_from ("even");
  value = (RagifyValue){ .type = RAGIFY_VALUE_BOOL, .integer = 1 };
  check_filter (fixture, &filter, "#.#.#.#.#.");
  const RagifyFilter not = { .struct_size = sizeof not,
                             .op = RAGIFY_FILTER_NOT,
                             .children = { .items = &filter, .count = 1, .stride = sizeof filter } };
  check_filter (fixture, &not, ".#.#.#.#.#");
  RagifyValue numbers[] = { { .type = RAGIFY_VALUE_INT, .integer = 1 }, { .type = RAGIFY_VALUE_INT, .integer = 2 } };
  RagifyFilter in = { .struct_size = sizeof in, .op = RAGIFY_FILTER_IN, .field = ragify_str_from ("n") };
  in.values = (RagifyValueList){ .items = numbers, .count = 2 };
  check_filter (fixture, &in, ".##.......");
  const RagifyFilter parts[] = { in, filter };
  RagifyFilter both = { .struct_size = sizeof both, .op = RAGIFY_FILTER_AND };
  both.children = (RagifyFilterList){ .items = parts, .count = 2, .stride = sizeof *parts };
  check_filter (fixture, &both, "..#.......");
  both.op = RAGIFY_FILTER_OR;
  check_filter (fixture, &both, "###.#.#.#.");
  /* What is written after a filter was remembered is seen by it. */
  const Piece changed = { "d3", 103, "changed", "{\"n\":2}" };
  must_upsert (fixture, RAGIFY_DOCUMENT_REPLACE, 9, "d3", &changed, 1, 0);
  check_filter (fixture, &in, ".###......");
  both.op = 99;
  RagifyKitCall *call = ask_search (fixture, 1, 1, &both);
  must_be (call, RAGIFY_E_INVALID);
  ragify_kit_call_free (call);
}

/* Names that a server keeps for itself, numbers that need all their digits or are no 64-bit integers, empty lists. */
static void
test_filters_mean_the_same_with_odd_names_and_numbers (void **state)
{
  static const char *const metadata[] = {
    "{\"n\":1700000000.25}", "{\"n\":1700000000.5}",    "{\"n\":0.30000000000000004}",
    "{\"n\":1e23,\"$n\":1}", "{\"n\":-1e19,\"#n\":1}",  "{\"n\":5e-324}",
    "{\"chroma:n\":1}",      "{\"ragify_document\":1}", "{\"n\":\"1e20\"}",
    "{\"n\":{\"$n\":1}}",
  };
  Fixture *fixture = *state;
  must_open (fixture);
  for (uint32_t i = 0; i < 10; i++) {
    char name[16];
    (void)snprintf (name, sizeof name, "d%u", i);
    const Piece piece = { name, 100 + i, "a", metadata[i] };
    must_upsert (fixture, RAGIFY_DOCUMENT_REPLACE, i, name, &piece, 1, 0);
  }
  RagifyValue value = { .type = RAGIFY_VALUE_DOUBLE, .number = 1700000000.3 };
  RagifyFilter filter = { .struct_size = sizeof filter, .op = RAGIFY_FILTER_GT, .field = ragify_str_from ("n") };
  filter.values = (RagifyValueList){ .items = &value, .count = 1 };
  check_filter (fixture, &filter, ".#.#......");
  filter.op = RAGIFY_FILTER_LTE;
  check_filter (fixture, &filter, "#.#.##....");
  value.number = 0.3;
  check_filter (fixture, &filter, "....##....");
  value.number = 5e-324;
  filter.op = RAGIFY_FILTER_EQ;
  check_filter (fixture, &filter, ".....#....");
  value.number = 1e23;
  check_filter (fixture, &filter, "...#......");
  static const char *const names[] = { "$n", "#n", "chroma:n", "ragify_document" };
  static const char *const expected[] = { "...#......", "....#.....", "......#...", ".......#.." };
  for (int i = 0; i < 4; i++) {
    filter = filter_integer (RAGIFY_FILTER_EQ, names[i], 1, &value);
    check_filter (fixture, &filter, expected[i]);
  }
  filter = (RagifyFilter){ .struct_size = sizeof filter, .op = RAGIFY_FILTER_IN, .field = ragify_str_from ("n") };
  check_filter (fixture, &filter, "..........");
  RagifyKitCall *call = ask_list (fixture, RAGIFY_LIST_CHUNKS, 10, ragify_str (NULL, 0), NULL, &filter, 0);
  must_be (call, RAGIFY_OK);
  ragify_kit_call_free (call);
  call = ask_remove (fixture, NULL, 0, NULL, &filter);
  must_be (call, RAGIFY_OK);
  assert_int_equal (((const RagifyStoreRemoveResult *)call->result)->removed.count, 0);
  ragify_kit_call_free (call);
  filter.op = RAGIFY_FILTER_NIN;
  check_filter (fixture, &filter, "######..##");
}

static void
test_removing_a_document_without_chunks (void **state)
{
  Fixture *fixture = *state;
  must_open (fixture);
  write_documents (fixture, 0, 2);
  must_upsert (fixture, RAGIFY_DOCUMENT_REPLACE, 1, "empty", NULL, 0, 0);
  assert_int_equal (must_generation (fixture).documents, 3);
  RagifyKitCall *call = ask_remove (fixture, NULL, 0, "empty", NULL);
  must_be (call, RAGIFY_OK);
  ragify_kit_call_free (call);
  assert_int_equal (must_generation (fixture).documents, 2);
}

/* Pages through a list; how many items there were, of them deleted ones in *deleted. */
static size_t
page_through (Fixture *fixture, uint32_t what, uint32_t limit, const char *document, const RagifyFilter *filter,
              uint64_t since, size_t *deleted)
{
  char cursor[200];
  size_t total = 0, size = 0;
  *deleted = 0;
  do {
    RagifyKitCall *call = ask_list (fixture, what, limit, ragify_str (cursor, size), document, filter, since);
    must_be (call, RAGIFY_OK);
    const RagifyStoreListResult *result = call->result;
    assert_int_equal (result->since_too_old, 0);
    assert_true (result->chunks.count + result->documents.count <= limit);
    total += result->chunks.count + result->documents.count;
    for (uint64_t i = 0; i < result->chunks.count; i++)
      *deleted += (result->chunks.items[i].flags & RAGIFY_CHUNK_DELETED) != 0;
    for (uint64_t i = 0; i < result->documents.count; i++)
      *deleted += (result->documents.items[i].flags & RAGIFY_DOCUMENT_DELETED) != 0;
    size = result->cursor.size;
    assert_true (size < sizeof cursor);
    if (size > 0)
      memcpy (cursor, result->cursor.data, size);
    ragify_kit_call_free (call);
  } while (size > 0);
  return total;
}

static void
test_lists_come_in_pages (void **state)
{
  Fixture *fixture = *state;
  size_t deleted;
  must_open (fixture);
  write_documents (fixture, 0, 25);
  must_upsert (fixture, RAGIFY_DOCUMENT_REPLACE, 1, "a", three, 3, 0);
  for (uint32_t limit = 1; limit < 40; limit += 6) {
    assert_int_equal (page_through (fixture, RAGIFY_LIST_DOCUMENTS, limit, NULL, NULL, 0, &deleted), 26);
    assert_int_equal (page_through (fixture, RAGIFY_LIST_CHUNKS, limit, NULL, NULL, 0, &deleted), 28);
    assert_int_equal (page_through (fixture, RAGIFY_LIST_CHUNKS, limit, "a", NULL, 0, &deleted), 3);
    assert_int_equal (page_through (fixture, RAGIFY_LIST_DOCUMENTS, limit, "d7", NULL, 0, &deleted), 1);
    assert_int_equal (page_through (fixture, RAGIFY_LIST_DOCUMENTS, limit, "none", NULL, 0, &deleted), 0);
    RagifyValue value;
    const RagifyFilter filter = filter_integer (RAGIFY_FILTER_LT, "n", 3, &value);
    assert_int_equal (page_through (fixture, RAGIFY_LIST_CHUNKS, limit, NULL, &filter, 0, &deleted), 5);
  }
  RagifyKitCall *call = ask_list (fixture, RAGIFY_LIST_CHUNKS, 10, ragify_str_from ("nonsense"), NULL, NULL, 0);
  must_be (call, RAGIFY_E_INVALID);
  ragify_kit_call_free (call);
  call = ask_list (fixture, RAGIFY_LIST_CHUNKS, 0, ragify_str (NULL, 0), NULL, NULL, 0);
  must_be (call, RAGIFY_E_INVALID);
  ragify_kit_call_free (call);
}

static void
test_chunks_of_a_document_come_in_its_order (void **state)
{
  Fixture *fixture = *state;
  must_open (fixture);
  must_upsert (fixture, RAGIFY_DOCUMENT_REPLACE, 1, "a", three, 3, 0);
  RagifyKitCall *call = ask_list (fixture, RAGIFY_LIST_CHUNKS, 10, ragify_str (NULL, 0), "a", NULL, 0);
  const RagifyStoreListResult *result = call->result;
  assert_int_equal (result->chunks.count, 3);
  for (uint64_t i = 0; i < 3; i++)
    assert_int_equal (result->chunks.items[i].ordinal, i);
  ragify_kit_call_free (call);
}

static void
test_changes_since_a_generation (void **state)
{
  Fixture *fixture = *state;
  size_t deleted;
  must_open (fixture);
  write_documents (fixture, 0, 10);
  RagifyKitCall *call = ask_remove (fixture, NULL, 0, "d3", NULL); /* 11 */
  ragify_kit_call_free (call);
  const uint32_t id = 105;
  call = ask_remove (fixture, &id, 1, NULL, NULL); /* 12 */
  ragify_kit_call_free (call);
  for (uint32_t limit = 1; limit < 20; limit += 3) {
    assert_int_equal (page_through (fixture, RAGIFY_LIST_CHUNKS, limit, NULL, NULL, 10, &deleted), 2);
    assert_int_equal (deleted, 2);
    assert_int_equal (page_through (fixture, RAGIFY_LIST_DOCUMENTS, limit, NULL, NULL, 11, &deleted), 1);
    assert_int_equal (deleted, 1);
    assert_int_equal (page_through (fixture, RAGIFY_LIST_CHUNKS, limit, NULL, NULL, 8, &deleted), 4);
    assert_int_equal (deleted, 2);
    assert_int_equal (page_through (fixture, RAGIFY_LIST_CHUNKS, limit, NULL, NULL, 12, &deleted), 0);
    assert_int_equal (page_through (fixture, RAGIFY_LIST_CHUNKS, limit, "d3", NULL, 9, &deleted), 1);
  }
  /* Back again: no longer removed. */
  const Piece piece = { "d3", 103, "back", "" };
  must_upsert (fixture, RAGIFY_DOCUMENT_REPLACE, 1, "d3", &piece, 1, 0);
  assert_int_equal (page_through (fixture, RAGIFY_LIST_CHUNKS, 10, NULL, NULL, 10, &deleted), 2);
  assert_int_equal (deleted, 1);
  call = ask_list (fixture, RAGIFY_LIST_CHUNKS, 10, ragify_str (NULL, 0), NULL, NULL, 99);
  assert_int_equal (((const RagifyStoreListResult *)call->result)->since_too_old, 1);
  ragify_kit_call_free (call);
}

static void
test_everything_is_there_after_a_restart (void **state)
{
  Fixture *fixture = *state;
  must_open (fixture);
  must_upsert (fixture, RAGIFY_DOCUMENT_REPLACE, 1, "a", three, 3, 0);
  write_documents (fixture, 0, 5);
  RagifyKitCall *call = ask_remove (fixture, NULL, 0, "d2", NULL);
  ragify_kit_call_free (call);
  RagifyStoreGeneration before = must_generation (fixture);
  must_close (fixture);
  must_open (fixture);
  RagifyStoreGeneration after = must_generation (fixture);
  assert_memory_equal (&before, &after, sizeof before);
  for (uint32_t i = 0; i < 5; i++)
    assert_int_equal (is_found (fixture, 100 + i), i != 2);
  assert_true (is_found (fixture, 3));
}

static void
test_many_rows_are_searched_exactly (void **state)
{
  Fixture *fixture = *state;
  enum { ROWS = 3000, TOP = 50 };
  must_open (fixture);
  Piece *pieces = calloc (ROWS, sizeof *pieces);
  for (uint32_t i = 0; i < ROWS; i++)
    pieces[i] = (Piece){ "a", i, "x", "" };
  must_upsert (fixture, RAGIFY_DOCUMENT_REPLACE, 1, "a", pieces, ROWS, 0);
  /* Leaves holes that other rows are moved into. */
  must_upsert (fixture, RAGIFY_DOCUMENT_REPLACE, 2, "a", pieces + 500, ROWS - 500, 500);
  free (pieces);
  for (uint32_t query = 5000; query < 5020; query++) {
    float left[DIMENSION], right[DIMENSION];
    make_vector (query, DIMENSION, left);
    RagifyKitCall *call = ask_search (fixture, query, TOP, NULL);
    const RagifyStoreSearchResult *result = call->result;
    assert_int_equal (result->hits.count, TOP);
    size_t better = 0;
    for (uint32_t i = 500; i < ROWS; i++) {
      float sum = 0;
      make_vector (i, DIMENSION, right);
      for (size_t j = 0; j < DIMENSION; j++)
        sum += left[j] * right[j];
      better += sum > result->hits.items[TOP - 1].score + 1e-5F;
    }
    assert_true (better < TOP);
    for (size_t i = 1; i < TOP; i++)
      assert_true (result->hits.items[i].score <= result->hits.items[i - 1].score);
    ragify_kit_call_free (call);
  }
}

static void
test_several_queries_in_one_call (void **state)
{
  Fixture *fixture = *state;
  float vectors[3 * DIMENSION];
  must_open (fixture);
  must_upsert (fixture, RAGIFY_DOCUMENT_REPLACE, 1, "a", three, 3, 0);
  for (uint32_t i = 0; i < 3; i++)
    make_vector (i + 1, DIMENSION, vectors + i * DIMENSION);
  for (size_t i = 0; i < DIMENSION; i++)
    vectors[i] *= 5; /* scores stay cosines */
  RagifyStoreSearch args = { .struct_size = sizeof args, .top_k = 2 };
  args.vectors = (RagifyVectors){ .items = vectors, .count = 3, .dimension = DIMENSION };
  RagifyKitCall *call = ragify_kit_call (fixture->store, (RagifyKitFunction)fixture->operations->search, &args, 0);
  must_be (call, RAGIFY_OK);
  const RagifyStoreSearchResult *result = call->result;
  assert_int_equal (result->counts.count, 3);
  assert_int_equal (result->hits.count, 6);
  for (uint32_t i = 0; i < 3; i++) {
    assert_int_equal (result->counts.items[i], 2);
    assert_true (same_id (result->hits.items[2 * i].id, make_id (i + 1)));
    assert_true (fabsf (result->hits.items[2 * i].score - 1) < 1e-5F);
  }
  ragify_kit_call_free (call);
}

static void
test_a_search_scores_chunks_found_elsewhere (void **state)
{
  Fixture *fixture = *state;
  float vectors[2 * DIMENSION], other[DIMENSION];
  const RagifyUuid ids[] = { make_id (3), make_id (99), make_id (1) };
  must_open (fixture);
  must_upsert (fixture, RAGIFY_DOCUMENT_REPLACE, 1, "a", three, 3, 0);
  for (uint32_t i = 0; i < 2; i++)
    make_vector (i + 1, DIMENSION, vectors + i * DIMENSION);
  make_vector (3, DIMENSION, other);
  RagifyStoreSearch args = { .struct_size = sizeof args, .top_k = 1, .scored = { ids, 3 } };
  args.vectors = (RagifyVectors){ .items = vectors, .count = 2, .dimension = DIMENSION };
  RagifyKitCall *call = ragify_kit_call (fixture->store, (RagifyKitFunction)fixture->operations->search, &args, 0);
  must_be (call, RAGIFY_OK);
  const RagifyVectors *scores = &((const RagifyStoreSearchResult *)call->result)->scores;
  assert_int_equal (scores->count, 2);
  assert_int_equal (scores->dimension, 3);
  for (uint32_t i = 0; i < 2; i++) {
    float third = 0;
    for (uint32_t d = 0; d < DIMENSION; d++)
      third += vectors[i * DIMENSION + d] * other[d];
    assert_true (fabsf (scores->items[3 * i] - third) < 1e-5F);
    assert_true (scores->items[3 * i + 1] == 0); /* nobody knows it */
  }
  assert_true (fabsf (scores->items[2] - 1) < 1e-5F);
  ragify_kit_call_free (call);
}

static void
test_a_chunk_written_without_vector_loses_the_old_one (void **state)
{
  Fixture *fixture = *state;
  const char *document = "a";
  must_open (fixture);
  must_upsert (fixture, RAGIFY_DOCUMENT_REPLACE, 1, "a", three, 3, 0);
  RagifyKitCall *call = begin_upsert (fixture, RAGIFY_DOCUMENT_REPLACE, 2, &document, 1, three, 2, false);
  must_be (call, RAGIFY_OK);
  ragify_kit_call_free (call);
  assert_false (is_found (fixture, 1));
  assert_int_equal (must_generation (fixture).vectors, 0);
  assert_int_equal (must_generation (fixture).chunks, 2);
}

static void
test_an_empty_store_answers (void **state)
{
  Fixture *fixture = *state;
  must_open (fixture);
  RagifyKitCall *call = ask_search (fixture, 1, 10, NULL);
  must_be (call, RAGIFY_OK);
  assert_int_equal (((const RagifyStoreSearchResult *)call->result)->hits.count, 0);
  assert_int_equal (((const RagifyStoreSearchResult *)call->result)->counts.count, 1);
  ragify_kit_call_free (call);
  assert_int_equal (must_generation (fixture).generation.counter, 0);
}

static void
refuse_upsert (Fixture *fixture, const RagifyStoreUpsert *args)
{
  uint64_t before = must_generation (fixture).generation.counter;
  RagifyKitCall *call = ragify_kit_call (fixture->store, (RagifyKitFunction)fixture->operations->upsert, args, 0);
  must_be (call, RAGIFY_E_INVALID);
  assert_true (strlen (call->message) > 10);
  ragify_kit_call_free (call);
  assert_int_equal (must_generation (fixture).generation.counter, before);
}

static void
test_bad_batches_are_refused_whole (void **state)
{
  Fixture *fixture = *state;
  float vectors[2 * DIMENSION];
  must_open (fixture);
  make_vector (1, DIMENSION, vectors);
  make_vector (2, DIMENSION, vectors + DIMENSION);
  const RagifyDocument document = { .struct_size = sizeof document, .id = ragify_str_from ("a") };
  RagifyChunk chunks[2] = { { .struct_size = sizeof *chunks, .id = make_id (1), .document_id = document.id },
                            { .struct_size = sizeof *chunks, .id = make_id (2), .document_id = document.id } };
  RagifyStoreUpsert args = { .struct_size = sizeof args,
                             .documents = { .items = &document, .count = 1, .stride = sizeof document },
                             .chunks = { .items = chunks, .count = 2, .stride = sizeof *chunks },
                             .vectors = { .items = vectors, .count = 2, .dimension = DIMENSION } };
  args.vectors.dimension = DIMENSION / 2;
  refuse_upsert (fixture, &args);
  args.vectors = (RagifyVectors){ .items = vectors, .count = 1, .dimension = DIMENSION };
  refuse_upsert (fixture, &args);
  args.vectors.count = 2;
  vectors[DIMENSION + 3] += 2;
  refuse_upsert (fixture, &args);
  make_vector (2, DIMENSION, vectors + DIMENSION);
  chunks[1].id = make_id (1);
  refuse_upsert (fixture, &args);
  chunks[1].id = make_id (2);
  chunks[1].document_id = ragify_str_from ("another");
  refuse_upsert (fixture, &args);
  chunks[1].document_id = document.id;
  chunks[1].metadata = ragify_str_from ("[1]");
  refuse_upsert (fixture, &args);
  chunks[1].metadata = ragify_str_from ("{\"a\":");
  refuse_upsert (fixture, &args);
  assert_false (is_found (fixture, 1));
  chunks[1].metadata = ragify_str_from ("{\"a\":1}");
  RagifyKitCall *call = ragify_kit_call (fixture->store, (RagifyKitFunction)fixture->operations->upsert, &args, 0);
  must_be (call, RAGIFY_OK);
  ragify_kit_call_free (call);
  assert_true (is_found (fixture, 2));
}

static void
test_bad_searches_are_refused (void **state)
{
  Fixture *fixture = *state;
  float vector[DIMENSION] = { 0 };
  must_open (fixture);
  RagifyPair pair = { .name = ragify_str_from ("nprobe"), .value = { .type = RAGIFY_VALUE_STRING } };
  RagifyStoreSearch args = { .struct_size = sizeof args, .top_k = 1 };
  args.vectors = (RagifyVectors){ .items = vector, .count = 1, .dimension = DIMENSION };
  const RagifyKitFunction search = (RagifyKitFunction)fixture->operations->search;
  for (int i = 0; i < 5; i++) {
    vector[0] = i == 0 ? 0 : 1;
    args.top_k = i == 1 ? 0 : i == 2 ? 100001 : 1;
    args.vectors.dimension = i == 3 ? DIMENSION - 1 : DIMENSION;
    args.tuning = i == 4 ? (RagifyPairList){ .items = &pair, .count = 1 } : (RagifyPairList){ 0 };
    RagifyKitCall *call = ragify_kit_call (fixture->store, search, &args, 0);
    must_be (call, RAGIFY_E_INVALID);
    ragify_kit_call_free (call);
  }
  pair.name = ragify_str_from ("somethingElse");
  RagifyKitCall *call = ragify_kit_call (fixture->store, search, &args, 0);
  must_be (call, RAGIFY_OK);
  ragify_kit_call_free (call);
}

static void
test_another_embedder_is_refused_with_both_named (void **state)
{
  Fixture *fixture = *state;
  const RagifyEmbedderInfo other = { .struct_size = sizeof other,
                                     .dimension = DIMENSION,
                                     .fingerprint = ragify_str_from ("other-16") };
  must_open (fixture);
  must_close (fixture);
  /* Nothing was written yet: it may change. */
  assert_int_equal (try_open (fixture, NULL, &other), RAGIFY_OK);
  must_close (fixture);
  must_open (fixture);
  must_upsert (fixture, RAGIFY_DOCUMENT_REPLACE, 1, "a", three, 3, 0);
  must_close (fixture);
  assert_int_equal (try_open (fixture, NULL, &other), RAGIFY_E_INVALID);
  const char *message = ragify_kit_error (fixture->kit);
  assert_non_null (strstr (message, "test-16"));
  assert_non_null (strstr (message, "other-16"));
  assert_non_null (strstr (message, "ragify-ctl reindex"));
  must_open (fixture);
  assert_true (is_found (fixture, 2));
}

static void
test_a_store_without_embedder_keeps_words_alone (void **state)
{
  Fixture *fixture = *state;
  const char *document = "a";
  assert_int_equal (try_open (fixture, NULL, NULL), RAGIFY_OK);
  RagifyKitCall *call = begin_upsert (fixture, RAGIFY_DOCUMENT_REPLACE, 1, &document, 1, three, 3, false);
  must_be (call, RAGIFY_OK);
  ragify_kit_call_free (call);
  call = begin_upsert (fixture, RAGIFY_DOCUMENT_REPLACE, 1, &document, 1, three, 3, true);
  must_be (call, RAGIFY_E_INVALID);
  ragify_kit_call_free (call);
  call = ask_search (fixture, 1, 1, NULL);
  must_be (call, RAGIFY_E_INVALID);
  ragify_kit_call_free (call);
  const uint32_t number = 2;
  call = ask_fetch (fixture, &number, 1, RAGIFY_FETCH_CONTENT);
  must_be (call, RAGIFY_OK);
  assert_int_equal (((const RagifyStoreFetchResult *)call->result)->chunks.items[0].content.size, 3);
  ragify_kit_call_free (call);
  must_close (fixture);
  must_open (fixture);
  assert_int_equal (must_generation (fixture).chunks, 3);
  assert_int_equal (must_generation (fixture).vectors, 0);
  must_upsert (fixture, RAGIFY_DOCUMENT_REPLACE, 2, "a", three, 3, 0);
  assert_true (is_found (fixture, 2));
}

static void
test_probe_stats_flush_and_optimize_answer (void **state)
{
  Fixture *fixture = *state;
  must_open (fixture);
  must_upsert (fixture, RAGIFY_DOCUMENT_REPLACE, 1, "a", three, 3, 0);
  const RagifyNothing nothing = { .struct_size = sizeof nothing };
  const RagifyStoreOptimize optimize = { .struct_size = sizeof optimize };
  const RagifyComponent *component = ragify_kit_component (fixture->store);
  RagifyKitCall *call = ragify_kit_call (fixture->store, (RagifyKitFunction)component->probe, &nothing, 0);
  must_be (call, RAGIFY_OK);
  ragify_kit_call_free (call);
  call = ragify_kit_call (fixture->store, (RagifyKitFunction)component->stats, &nothing, 0);
  must_be (call, RAGIFY_OK);
  assert_true (((const RagifyStatsResult *)call->result)->values.count > 3);
  ragify_kit_call_free (call);
  call = ragify_kit_call (fixture->store, (RagifyKitFunction)fixture->operations->flush, &nothing, 0);
  must_be (call, RAGIFY_OK);
  ragify_kit_call_free (call);
  call = ragify_kit_call (fixture->store, (RagifyKitFunction)fixture->operations->optimize, &optimize, 0);
  must_be (call, RAGIFY_OK);
  ragify_kit_call_free (call);
  assert_true (is_found (fixture, 1));
}

#define TEST(function) cmocka_unit_test_setup_teardown (function, fixture_set_up, fixture_tear_down)

/* Without those that the store at hand is not held to; how many are left. */
static size_t
leave_out (struct CMUnitTest *tests, size_t count)
{
  size_t left = 0;
  for (size_t i = 0; i < count; i++) {
    const char *const *name = fixture_exceptions ();
    while (*name != NULL && strcmp (*name, tests[i].name) != 0)
      name++;
    if (*name == NULL)
      tests[left++] = tests[i];
  }
  return left;
}

int
main (void)
{
  struct CMUnitTest tests[] = {
    TEST (test_what_was_written_is_found_and_fetched),
    TEST (test_vectors_alone_bring_no_chunks),
    TEST (test_replacing_removes_what_is_not_written_again),
    TEST (test_an_empty_document_is_kept),
    TEST (test_a_chunk_moves_to_the_document_that_names_it_last),
    TEST (test_staged_chunks_are_found_after_the_commit_only),
    TEST (test_staged_chunks_of_another_content_are_dropped),
    TEST (test_removing_by_id_document_and_filter),
    TEST (test_filters_mean_what_the_header_says),
    TEST (test_filters_mean_the_same_with_odd_names_and_numbers),
    TEST (test_removing_a_document_without_chunks),
    TEST (test_lists_come_in_pages),
    TEST (test_chunks_of_a_document_come_in_its_order),
    TEST (test_changes_since_a_generation),
    TEST (test_everything_is_there_after_a_restart),
    TEST (test_many_rows_are_searched_exactly),
    TEST (test_several_queries_in_one_call),
    TEST (test_a_search_scores_chunks_found_elsewhere),
    TEST (test_a_chunk_written_without_vector_loses_the_old_one),
    TEST (test_an_empty_store_answers),
    TEST (test_bad_batches_are_refused_whole),
    TEST (test_bad_searches_are_refused),
    TEST (test_another_embedder_is_refused_with_both_named),
    TEST (test_a_store_without_embedder_keeps_words_alone),
    TEST (test_probe_stats_flush_and_optimize_answer),
  };
  if (!fixture_begin ()) {
    puts ("1..0 # SKIP what the store needs is not there");
    return 0;
  }
  cmocka_set_message_output (CM_OUTPUT_TAP);
  const size_t count = leave_out (tests, sizeof tests / sizeof *tests);
  const int failed = _cmocka_run_group_tests ("tests", tests, count, NULL, NULL);
  fixture_end ();
  return failed;
}
