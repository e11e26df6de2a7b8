/* Which words a text has. */
#include "tokenizer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

typedef struct {
  char text[400];
  size_t size;
} Joined;

static bool
join (void *user, const RagifyToken *token)
{
  Joined *joined = user;
  assert_in_range (token->size, 1, RAGIFY_TOKEN_BYTES);
  assert_true (token->begin < token->end);
  joined->size += (size_t)snprintf (joined->text + joined->size, sizeof joined->text - joined->size, "%s%.*s",
                                    joined->size > 0 ? "|" : "", (int)token->size, token->text);
  return true;
}

static void
check (RagifyTokenizePurpose purpose, const char *text, const char *expected)
{
  Joined joined = { .size = 0 };
  assert_true (ragify_tokenize (ragify_str_from (text), purpose, join, &joined));
  assert_string_equal (joined.text, expected);
}

static void
test_words_of_scripts_with_spaces (void **state)
{
  const RagifyTokenizePurpose query = RAGIFY_TOKENIZE_QUERY;
  check (query, "", "");
  check (query, " ,.;- ", "");
  check (query, "The CAT, the mat.", "the|cat|the|mat");
  check (query, "foo_bar foo-bar a/b", "foo|bar|foo|bar|a|b");
  check (query, "it's the dogs' bone; l'eau d\xe2\x80\x99or", "it|the|dogs|bone|eau|or");
  check (query, "p53 IL-6 x", "p53|il|6|x");
  check (query, "3.5 1,000 1,2 1,0000 12. .5 1.2.3", "3.5|1000|1|2|1|0000|12|5|1.2.3");
  check (query, "C++ c# f#x a+b +", "c++|c#|f|x|a|b");
  check (query,
         "\xc3\x89t\xc3\xa9 e\xcc\x81t\xc3\xa9 \xc3\x85ngstr\xc3\xb6m Stra\xc3\x9f"
         "e",
         "ete|ete|angstrom|strasse");
  check (query, "\xef\xbc\xa1\xef\xbc\xa2\xef\xbc\xa3 \xef\xac\x81x", "abc|fix");
  check (query, "\xd0\x9c\xd0\xbe\xd1\x81\xd0\xba\xd0\xb2\xd0\xb0", "\xd0\xbc\xd0\xbe\xd1\x81\xd0\xba\xd0\xb2\xd0\xb0");
}

static void
test_words_of_scripts_without_spaces (void **state)
{
  check (RAGIFY_TOKENIZE_QUERY, "\xe7\xab\x99\xe5\x9c\xa8\xe5\xb1\xb1 x",
         "\xe7\xab\x99\xe5\x9c\xa8|\xe5\x9c\xa8\xe5\xb1\xb1|x");
  check (RAGIFY_TOKENIZE_QUERY, "\xe5\xb1\xb1", "\xe5\xb1\xb1");
  check (RAGIFY_TOKENIZE_DOCUMENT, "\xe5\xb1\xb1\xe4\xb8\x8a", "\xe5\xb1\xb1|\xe4\xb8\x8a|\xe5\xb1\xb1\xe4\xb8\x8a");
  check (RAGIFY_TOKENIZE_QUERY, "iPhone\xe6\x89\x8b\xe6\x9c\xba", "iphone|\xe6\x89\x8b\xe6\x9c\xba");
}

static void
test_bytes_that_are_no_text_separate (void **state)
{
  check (RAGIFY_TOKENIZE_QUERY,
         "a\xff"
         "b \xc3",
         "a|b");
  check (RAGIFY_TOKENIZE_QUERY, "x\xed\xa0\x80y", "x|y");
  Joined joined = { .size = 0 };
  assert_true (ragify_tokenize (ragify_str ("a\0b", 3), RAGIFY_TOKENIZE_QUERY, join, &joined));
  assert_string_equal (joined.text, "a|b");
}

static bool
take_two (void *user, const RagifyToken *token)
{
  return ++*(int *)user < 2;
}

static void
test_the_taker_may_stop (void **state)
{
  int count = 0;
  assert_false (ragify_tokenize (ragify_str_from ("a b c d"), RAGIFY_TOKENIZE_QUERY, take_two, &count));
  assert_int_equal (count, 2);
}

static void
test_long_words_are_cut (void **state)
{
  char text[4001];
  Joined joined = { .size = 0 };
  memset (text, 'x', 4000);
  assert_true (ragify_tokenize (ragify_str (text, 4000), RAGIFY_TOKENIZE_DOCUMENT, join, &joined));
  assert_int_equal (joined.size, RAGIFY_TOKEN_BYTES);
  for (size_t i = 0; i < 4000; i += 2)
    memcpy (text + i, "\xc3\xa9", 2);
  joined.size = 0;
  (void)ragify_tokenize (ragify_str (text, 4000), RAGIFY_TOKENIZE_DOCUMENT, join, &joined);
  assert_true (joined.size <= RAGIFY_TOKEN_BYTES);
}

static void
test_function_words (void **state)
{
  static const char *const function[] = { "a",   "about",  "and", "how",     "i",  "its", "me",   "or",
                                          "she", "should", "the", "through", "to", "was", "with", "your" };
  static const char *const others[] = { "", "no", "not", "without", "cat", "th", "thee", "zebra", "yourself" };
  for (size_t i = 0; i < sizeof function / sizeof *function; i++)
    assert_true (ragify_is_stop_word (function[i], strlen (function[i])));
  for (size_t i = 0; i < sizeof others / sizeof *others; i++)
    assert_false (ragify_is_stop_word (others[i], strlen (others[i])));
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (test_words_of_scripts_with_spaces),
    cmocka_unit_test (test_words_of_scripts_without_spaces),
    cmocka_unit_test (test_bytes_that_are_no_text_separate),
    cmocka_unit_test (test_the_taker_may_stop),
    cmocka_unit_test (test_long_words_are_cut),
    cmocka_unit_test (test_function_words),
  };
  cmocka_set_message_output (CM_OUTPUT_TAP);
  return cmocka_run_group_tests (tests, NULL, NULL);
}
