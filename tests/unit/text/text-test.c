/* The contract of a text index, through the loaded plugin. */
#include "text-fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const TextPiece animals[] = { { 1, "Cats", "A cat sleeps on the warm roof of a house." },
                                     { 2, "Dogs", "Dogs were barking at the postman's bicycle." },
                                     { 3, "Birds", "The house sparrow lives near houses. It is no cat." },
                                     { 4, "Empty", "" } };

static void
test_words_are_found_best_first (void **state)
{
  TextFixture *fixture = *state;
  text_must_open (fixture);
  text_must_upsert (fixture, animals, 4, 1);
  assert_string_equal (text_found (fixture, "sparrow"), "3");
  assert_string_equal (text_found (fixture, "cat"), "1 3");
  assert_string_equal (text_found (fixture, "sparrow houses"), "3 1");
  assert_string_equal (text_found (fixture, "zebra"), "");
  assert_string_equal (text_found (fixture, ""), "");
}

static void
test_endings_case_and_titles_do_not_matter (void **state)
{
  TextFixture *fixture = *state;
  text_must_open (fixture);
  text_must_upsert (fixture, animals, 4, 1);
  assert_string_equal (text_found (fixture, "BARKED"), "2");
  assert_string_equal (text_found (fixture, "bicycles"), "2");
  assert_string_equal (text_found (fixture, "postman"), "2");
  assert_string_equal (text_found (fixture, "empty"), "4");
}

static void
test_function_words_count_only_alone (void **state)
{
  TextFixture *fixture = *state;
  text_must_open (fixture);
  text_must_upsert (fixture, animals, 4, 1);
  assert_string_equal (text_found (fixture, "where is the bicycle of the postman"), "2");
  assert_string_not_equal (text_found (fixture, "on the"), "");
}

static void
test_a_query_is_words_and_no_language (void **state)
{
  TextFixture *fixture = *state;
  text_must_open (fixture);
  text_must_upsert (fixture, animals, 4, 1);
  static const char *const queries[] = { "\"",
                                         "\"sparrow",
                                         "sparrow AND",
                                         "NOT sparrow",
                                         "sparrow NEAR(",
                                         "title:sparrow",
                                         "-sparrow",
                                         "spar*",
                                         "{sparrow}",
                                         "^sparrow",
                                         "sparrow OR )",
                                         "'sparrow'; DROP TABLE x",
                                         "%s%n sparrow",
                                         "sparrow\\",
                                         "((((",
                                         "*",
                                         "+",
                                         "c++",
                                         "\xff\xfe sparrow",
                                         "\xed\xa0\x80",
                                         "\xf4\x90\x80\x80",
                                         "a\xcc\x81\xcc\x81\xcc\x81" };
  for (size_t i = 0; i < sizeof queries / sizeof *queries; i++) {
    RagifyKitCall *call = text_search (fixture, queries[i], strlen (queries[i]), 10);
    text_must_be (call, RAGIFY_OK);
    const RagifyTextSearchResult *result = call->result;
    if (strstr (queries[i], "sparrow") != NULL && result->hits.count == 0)
      fail_msg ("nothing found for %s", queries[i]);
    ragify_kit_call_free (call);
  }
  RagifyKitCall *call = text_search (fixture, "sparrow\0zebra", 13, 10);
  text_must_be (call, RAGIFY_OK);
  assert_int_equal (((const RagifyTextSearchResult *)call->result)->hits.count, 1);
  ragify_kit_call_free (call);
}

static void
test_long_queries_and_long_words (void **state)
{
  TextFixture *fixture = *state;
  const size_t size = 32768;
  char *text = malloc (size + 1);
  text_must_open (fixture);
  text_must_upsert (fixture, animals, 4, 1);
  for (size_t i = 0; i < size; i++)
    text[i] = i % 6 == 5 ? ' ' : (char)('a' + (i * i / 7) % 26);
  memcpy (text + size - 8, " sparrow", 8);
  RagifyKitCall *call = text_search (fixture, text, size, 10);
  text_must_be (call, RAGIFY_OK);
  assert_int_equal (((const RagifyTextSearchResult *)call->result)->hits.count, 1);
  ragify_kit_call_free (call);
  memset (text, 'x', size);
  text[size] = '\0';
  const TextPiece piece = { 9, "", text };
  text_must_upsert (fixture, &piece, 1, 2);
  call = text_search (fixture, text, size, 10);
  text_must_be (call, RAGIFY_OK);
  ragify_kit_call_free (call);
  free (text);
}

static void
test_other_scripts_and_accents (void **state)
{
  TextFixture *fixture = *state;
  static const TextPiece pieces[] = { { 1, "", "\xe7\xab\x99\xe5\x9c\xa8\xe5\xb1\xb1\xe4\xb8\x8a" /* 站在山上 */ },
                                      { 2, "", "\xe6\xb5\xb7\xe8\xbe\xb9\xe6\x9c\x89\xe8\x88\xb9" /* 海边有船 */ },
                                      { 3, "",
                                        "\xe0\xb9\x81\xe0\xb8\xa1\xe0\xb8\xa7\xe0\xb8\x99\xe0\xb8\xad\xe0\xb8\x99"
                                        /* แมวนอน */ },
                                      { 4, "",
                                        "Caf\xc3\xa9 na\xc3\xafve \xc3\x9c"
                                        "bergr\xc3\xb6\xc3\x9f"
                                        "e" },
                                      { 5, "", "\xd0\x9c\xd0\xbe\xd1\x81\xd0\xba\xd0\xb2\xd0\xb0" /* Москва */ },
                                      { 6, "", "\xef\xac\x81ling e\xcc\x81t\xc3\xa9" /* ﬁling été */ } };
  text_must_open (fixture);
  text_must_upsert (fixture, pieces, sizeof pieces / sizeof *pieces, 1);
  assert_string_equal (text_found (fixture, "\xe5\xb1\xb1\xe4\xb8\x8a"), "1");
  assert_string_equal (text_found (fixture, "\xe5\xb1\xb1"), "1");
  assert_string_equal (text_found (fixture, "\xe6\x9c\x89\xe8\x88\xb9\xe5\x90\x97"), "2");
  assert_string_equal (text_found (fixture, "\xe0\xb9\x81\xe0\xb8\xa1\xe0\xb8\xa7"), "3");
  assert_string_equal (text_found (fixture, "cafe"), "4");
  assert_string_equal (text_found (fixture, "NAIVE"), "4");
  assert_string_equal (text_found (fixture, "ubergrosse"), "4");
  assert_string_equal (text_found (fixture, "\xd0\x9c\xd0\x9e\xd0\xa1\xd0\x9a\xd0\x92\xd0\x90"), "5");
  assert_string_equal (text_found (fixture, "filing"), "6");
  assert_string_equal (text_found (fixture, "ete"), "6");
}

static void
test_numbers_and_signs (void **state)
{
  TextFixture *fixture = *state;
  static const TextPiece pieces[] = { { 1, "", "The ratio was 3.5 of 1,000." },
                                      { 2, "", "Written in C++ and C#." },
                                      { 3, "", "Plain C, version 3; 5 of them." } };
  text_must_open (fixture);
  text_must_upsert (fixture, pieces, 3, 1);
  assert_string_equal (text_found (fixture, "3.5"), "1");
  assert_string_equal (text_found (fixture, "1000"), "1");
  assert_string_equal (text_found (fixture, "c++"), "2");
  assert_string_equal (text_found (fixture, "c#"), "2");
  assert_string_equal (text_found (fixture, "c"), "3");
}

static void
test_writing_again_replaces (void **state)
{
  TextFixture *fixture = *state;
  text_must_open (fixture);
  text_must_upsert (fixture, animals, 4, 1);
  const TextPiece again = { 1, "Cats", "Now it is about whales." };
  text_must_upsert (fixture, &again, 1, 2);
  assert_string_equal (text_found (fixture, "roof"), "");
  assert_string_equal (text_found (fixture, "whale"), "1");
  assert_int_equal (text_generation (fixture).chunks, 4);
  assert_int_equal (text_generation (fixture).generation.counter, 2);
}

static void
test_removing (void **state)
{
  TextFixture *fixture = *state;
  text_must_open (fixture);
  text_must_upsert (fixture, animals, 4, 1);
  const uint32_t numbers[] = { 1, 999 };
  RagifyKitCall *call = text_remove (fixture, 0, numbers, 2, 2);
  text_must_be (call, RAGIFY_OK);
  ragify_kit_call_free (call);
  assert_string_equal (text_found (fixture, "cat"), "3");
  assert_int_equal (text_generation (fixture).chunks, 3);
  /* In a batch removals come first: what is removed and written is there. */
  const uint32_t both[] = { 3, 2 };
  call = text_upsert (fixture, &animals[1], 1, both, 2, 3);
  text_must_be (call, RAGIFY_OK);
  ragify_kit_call_free (call);
  assert_string_equal (text_found (fixture, "cat"), "");
  assert_string_equal (text_found (fixture, "bicycle"), "2");
  call = text_remove (fixture, RAGIFY_TEXT_REMOVE_ALL, NULL, 0, 9);
  text_must_be (call, RAGIFY_OK);
  ragify_kit_call_free (call);
  assert_string_equal (text_found (fixture, "bicycle"), "");
  assert_int_equal (text_generation (fixture).chunks, 0);
  assert_int_equal (text_generation (fixture).generation.counter, 9);
  text_must_upsert (fixture, animals, 4, 10);
  assert_string_equal (text_found (fixture, "cat"), "1 3");
}

static void
test_everything_is_there_after_a_restart (void **state)
{
  TextFixture *fixture = *state;
  text_must_open (fixture);
  assert_int_equal (text_generation (fixture).generation.counter, 0);
  text_must_upsert (fixture, animals, 4, 7);
  const uint32_t number = 1;
  RagifyKitCall *call = text_remove (fixture, 0, &number, 1, 8);
  ragify_kit_call_free (call);
  RagifyTextGeneration before = text_generation (fixture);
  text_must_close (fixture);
  text_must_open (fixture);
  RagifyTextGeneration after = text_generation (fixture);
  assert_memory_equal (&before, &after, sizeof before);
  assert_string_equal (text_found (fixture, "cat"), "3");
  assert_string_equal (text_found (fixture, "barking"), "2");
}

static void
test_other_settings_make_it_anew (void **state)
{
  TextFixture *fixture = *state;
  const char *const none[] = { "language=none", NULL };
  text_must_open (fixture);
  text_must_upsert (fixture, animals, 4, 7);
  text_must_close (fixture);
  assert_int_equal (text_try_open (fixture, none), RAGIFY_OK);
  assert_int_equal (text_generation (fixture).generation.counter, 0);
  assert_int_equal (text_generation (fixture).chunks, 0);
  text_must_upsert (fixture, animals, 4, 7);
  assert_string_equal (text_found (fixture, "barked"), "");
  assert_string_equal (text_found (fixture, "barking"), "2");
}

static void
test_bad_arguments (void **state)
{
  TextFixture *fixture = *state;
  const char *const klingon[] = { "language=klingon", NULL };
  assert_int_equal (text_try_open (fixture, klingon), RAGIFY_E_INVALID);
  assert_non_null (strstr (ragify_kit_error (fixture->kit), "klingon"));
  text_must_open (fixture);
  RagifyKitCall *call = text_search (fixture, "x", 1, 0);
  text_must_be (call, RAGIFY_E_INVALID);
  ragify_kit_call_free (call);
  call = text_search (fixture, "x", 1, 100001);
  text_must_be (call, RAGIFY_E_INVALID);
  ragify_kit_call_free (call);
}

static void
test_a_second_process_is_told_who_has_it (void **state)
{
  TextFixture *fixture = *state, other = { 0 };
  text_must_open (fixture);
  other.kit = fixture->kit;
  memcpy (other.path, fixture->path, sizeof other.path);
  assert_int_equal (text_try_open (&other, NULL), RAGIFY_E_UNAVAILABLE);
  assert_non_null (strstr (ragify_kit_error (fixture->kit), "another "));
}

#define TEST(function) cmocka_unit_test_setup_teardown (function, text_set_up, text_tear_down)

int
main (void)
{
  const struct CMUnitTest tests[] = {
    TEST (test_words_are_found_best_first),
    TEST (test_endings_case_and_titles_do_not_matter),
    TEST (test_function_words_count_only_alone),
    TEST (test_a_query_is_words_and_no_language),
    TEST (test_long_queries_and_long_words),
    TEST (test_other_scripts_and_accents),
    TEST (test_numbers_and_signs),
    TEST (test_writing_again_replaces),
    TEST (test_removing),
    TEST (test_everything_is_there_after_a_restart),
    TEST (test_other_settings_make_it_anew),
    TEST (test_bad_arguments),
    TEST (test_a_second_process_is_told_who_has_it),
  };
  cmocka_set_message_output (CM_OUTPUT_TAP);
  return cmocka_run_group_tests (tests, NULL, NULL);
}
