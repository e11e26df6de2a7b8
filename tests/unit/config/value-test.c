/* SPDX-License-Identifier: MIT */
#include "config/value.h"

#include "config/redact.h"
#include "config/suggest.h"
#include "tests/unit/config/fixture.h"

static const char *const environment[] = { "WORD=a; b # c", "SECRET=hush", "NUMBER=7", "HOME=/h", NULL };
static const RagifyValueContext context = { .environment = environment, .state_dir = "/state" };

/* Parses as the given key; the text again, or "!" and the error. */
static char *
parse_key (const RagifyKey *key, const char *raw)
{
  RagifyConfigValue value = { .key = key->name, .origin.kind = RAGIFY_ORIGIN_FILE };
  RagifyTextError error = { 0 };
  bool hidden = false;
  char *text = NULL;

  if (!ragify_value_parse (key, raw, &context, &value, &hidden, &error)) {
    g_autofree char *message = error.message;
    return g_strconcat ("!", message, NULL);
  }
  text = ragify_value_to_text (&value);
  ragify_value_clear (&value);
  return text;
}

static void
assert_parsed (uint32_t type, const char *raw, const char *expected)
{
  RagifyKey key = { .name = "k", .type = type, .choices = "one|two|three-four" };
  g_autofree char *found = parse_key (&key, raw);

  assert_string_equal (found, expected);
}

static void
assert_refused (uint32_t type, const char *raw)
{
  RagifyKey key = { .name = "k", .type = type, .choices = "one|two|three-four" };
  g_autofree char *found = parse_key (&key, raw);

  if (found[0] != '!')
    print_message ("'%s' was taken as %s\n", raw, found);
  assert_int_equal (found[0], '!');
}

static void
numbers_are_whole_and_finite (void **state)
{
  static const char *const wrong[] = {
    "", "x", "1.0", "1e3", "0x10", "1 2", "--1", "9223372036854775808", "1_000", "+"
  };
  static const char *const wrong_double[] = { "", "nan", "inf", "-infinity", "1e999", "0x1p3", "1,5", ".", "1e", "e5" };

  assert_parsed (RAGIFY_KEY_INT, "0", "0");
  assert_parsed (RAGIFY_KEY_INT, "-9223372036854775808", "-9223372036854775808");
  assert_parsed (RAGIFY_KEY_INT, "+42", "42");
  assert_parsed (RAGIFY_KEY_INT, "\"42\"", "42");
  assert_parsed (RAGIFY_KEY_INT, "007", "7");
  assert_parsed (RAGIFY_KEY_INT, "${NUMBER}", "7");
  assert_parsed (RAGIFY_KEY_DOUBLE, "0.6", "0.6");
  assert_parsed (RAGIFY_KEY_DOUBLE, "-1.5e-3", "-0.0015");
  assert_parsed (RAGIFY_KEY_DOUBLE, ".5", "0.5");
  assert_parsed (RAGIFY_KEY_DOUBLE, "5.", "5");
  for (size_t i = 0; i < G_N_ELEMENTS (wrong); i++)
    assert_refused (RAGIFY_KEY_INT, wrong[i]);
  for (size_t i = 0; i < G_N_ELEMENTS (wrong_double); i++)
    assert_refused (RAGIFY_KEY_DOUBLE, wrong_double[i]);
}

static void
booleans_are_words (void **state)
{
  static const char *const yes[] = { "true", "yes", "on", "1", "TRUE", "Yes" };
  static const char *const no[] = { "false", "no", "off", "0", "False" };

  for (size_t i = 0; i < G_N_ELEMENTS (yes); i++)
    assert_parsed (RAGIFY_KEY_BOOL, yes[i], "true");
  for (size_t i = 0; i < G_N_ELEMENTS (no); i++)
    assert_parsed (RAGIFY_KEY_BOOL, no[i], "false");
  assert_refused (RAGIFY_KEY_BOOL, "2");
  assert_refused (RAGIFY_KEY_BOOL, "y");
  assert_refused (RAGIFY_KEY_BOOL, "");
}

static void
durations_carry_units (void **state)
{
  static const char *const wrong[] = { "5", "5m", "5M", "5 sec", "-5s", "s", "1h30min", "1.5us", "36501d", "1e3s", "" };

  assert_parsed (RAGIFY_KEY_DURATION, "0", "0");
  assert_parsed (RAGIFY_KEY_DURATION, "0s", "0");
  assert_parsed (RAGIFY_KEY_DURATION, "250us", "250us");
  assert_parsed (RAGIFY_KEY_DURATION, "1000ms", "1s");
  assert_parsed (RAGIFY_KEY_DURATION, "90s", "90s");
  assert_parsed (RAGIFY_KEY_DURATION, "60min", "1h");
  assert_parsed (RAGIFY_KEY_DURATION, "5 min", "5min");
  assert_parsed (RAGIFY_KEY_DURATION, "1.5s", "1500ms");
  assert_parsed (RAGIFY_KEY_DURATION, "0.1ms", "100us");
  assert_parsed (RAGIFY_KEY_DURATION, "36500d", "36500d");
  for (size_t i = 0; i < G_N_ELEMENTS (wrong); i++)
    assert_refused (RAGIFY_KEY_DURATION, wrong[i]);
}

static void
sizes_tell_1000_from_1024 (void **state)
{
  static const char *const wrong[] = {
    "1M", "1K", "1mb", "-1", "1.5", "1.5B", "9223372036854775808", "9000000TiB", "x"
  };

  assert_parsed (RAGIFY_KEY_SIZE, "0", "0");
  assert_parsed (RAGIFY_KEY_SIZE, "512", "512");
  assert_parsed (RAGIFY_KEY_SIZE, "512B", "512");
  assert_parsed (RAGIFY_KEY_SIZE, "64KiB", "64KiB");
  assert_parsed (RAGIFY_KEY_SIZE, "1kB", "1000");
  assert_parsed (RAGIFY_KEY_SIZE, "1KB", "1000");
  assert_parsed (RAGIFY_KEY_SIZE, "1MB", "1000000");
  assert_parsed (RAGIFY_KEY_SIZE, "1024 MiB", "1GiB");
  assert_parsed (RAGIFY_KEY_SIZE, "1.5GiB", "1536MiB");
  for (size_t i = 0; i < G_N_ELEMENTS (wrong); i++)
    assert_refused (RAGIFY_KEY_SIZE, wrong[i]);
}

static void
paths_become_absolute (void **state)
{
  assert_parsed (RAGIFY_KEY_PATH, "docs", "/state/docs");
  assert_parsed (RAGIFY_KEY_PATH, "../docs//x/.", "/docs/x");
  assert_parsed (RAGIFY_KEY_PATH, "/a/b/../c", "/a/c");
  assert_parsed (RAGIFY_KEY_PATH, "${HOME}/x", "/h/x");
  assert_refused (RAGIFY_KEY_PATH, "");
}

static void
uris_have_a_scheme (void **state)
{
  assert_parsed (RAGIFY_KEY_URI, "https://h/p?q=1#f", "https://h/p?q=1#f");
  assert_parsed (RAGIFY_KEY_URI, "postgresql://a:1,b:2/db", "postgresql://a:1,b:2/db");
  assert_parsed (RAGIFY_KEY_URI, "unix:/run/x", "unix:/run/x");
  assert_refused (RAGIFY_KEY_URI, "h/p");
  assert_refused (RAGIFY_KEY_URI, "https:");
  assert_refused (RAGIFY_KEY_URI, "1http://x");
  assert_refused (RAGIFY_KEY_URI, "\"http://a b\"");
}

static void
choices_are_known (void **state)
{
  RagifyKey key = { .name = "k", .type = RAGIFY_KEY_ENUM, .choices = "one|two|three-four" };
  g_autofree char *near = parse_key (&key, "three_for");

  assert_parsed (RAGIFY_KEY_ENUM, "two", "two");
  assert_parsed (RAGIFY_KEY_ENUM, "THREE-FOUR", "three-four");
  assert_parsed (RAGIFY_KEY_ENUM, "one", "one");
  assert_string_equal (near, "!'k' takes one of one, two, three-four, found 'three_for'; did you mean 'three-four'?");
}

static void
texts_are_unquoted_and_expanded (void **state)
{
  assert_parsed (RAGIFY_KEY_STRING, "plain \\n text; as it is", "plain \\n text; as it is");
  assert_parsed (RAGIFY_KEY_STRING, "\"a\\tb\\\"c\\\\\"", "\"a\\tb\\\"c\\\\\"");
  assert_parsed (RAGIFY_KEY_STRING, "\"\"", "\"\"");
  assert_parsed (RAGIFY_KEY_STRING, "<${WORD}>", "\"<a; b # c>\"");
  assert_parsed (RAGIFY_KEY_STRING, "$query costs 5$ and $${x}", "$query costs 5$ and $${x}");
  assert_refused (RAGIFY_KEY_STRING, "${NOT_SET}");
  assert_refused (RAGIFY_KEY_STRING, "${");
  assert_refused (RAGIFY_KEY_STRING, "${a b}");
  assert_refused (RAGIFY_KEY_STRING, "\"a\" b");
  assert_refused (RAGIFY_KEY_STRING, "\"\\x\"");
}

static void
lists_are_split_outside_quotes_and_variables (void **state)
{
  assert_parsed (RAGIFY_KEY_LIST, "a; b ;c", "a; b; c");
  assert_parsed (RAGIFY_KEY_LIST, "a;", "a");
  assert_parsed (RAGIFY_KEY_LIST, "", "");
  assert_parsed (RAGIFY_KEY_LIST, "\"a;b\"; c d", "\"a;b\"; c d");
  assert_parsed (RAGIFY_KEY_LIST, "x; ${WORD}", "x; \"a; b # c\"");
  assert_parsed (RAGIFY_KEY_LIST, "\"\"; a", "\"\"; a");
  assert_refused (RAGIFY_KEY_LIST, "a;;b");
  assert_refused (RAGIFY_KEY_LIST, ";a");
  assert_refused (RAGIFY_KEY_LIST, "a; \"b");
}

static void
bounds_hold_and_are_named (void **state)
{
  RagifyKey key = { .name = "k", .type = RAGIFY_KEY_DURATION, .minimum = "1s", .maximum = "1h" };
  g_autofree char *low = parse_key (&key, "999ms");
  g_autofree char *high = parse_key (&key, "61min");
  g_autofree char *lowest = parse_key (&key, "1s");
  g_autofree char *highest = parse_key (&key, "60min");

  assert_string_equal (low, "!'k' must be from 1s to 1h, found '999ms'");
  assert_string_equal (high, "!'k' must be from 1s to 1h, found '61min'");
  assert_string_equal (lowest, "1s");
  assert_string_equal (highest, "1h");
}

static void
secrets_and_variables_are_hidden_and_never_in_errors (void **state)
{
  RagifyKey secret = { .name = "k", .type = RAGIFY_KEY_SECRET };
  RagifyKey number = { .name = "k", .type = RAGIFY_KEY_INT };
  RagifyConfigValue value = { .origin.kind = RAGIFY_ORIGIN_FILE };
  RagifyTextError error = { 0 };
  bool hidden = false;

  assert_true (ragify_value_parse (&secret, "hush", &context, &value, &hidden, &error));
  assert_true (hidden);
  assert_string_equal (value.string, "hush");
  ragify_value_clear (&value);
  value.origin.kind = RAGIFY_ORIGIN_FILE;
  assert_true (ragify_value_parse (&number, "7", &context, &value, &hidden, &error));
  assert_false (hidden);
  assert_true (ragify_value_parse (&number, "${NUMBER}", &context, &value, &hidden, &error));
  assert_true (hidden);
  assert_false (ragify_value_parse (&number, "${SECRET}", &context, &value, &hidden, &error));
  assert_string_equal (error.message, "'k' takes a whole number, found '${SECRET}'");
  g_free (error.message);
}

static void
credentials_are_redacted (void **state)
{
  static const char *const cases[][2] = {
    { "redis://u:p@h:1/0", "redis://u:***@h:1/0" },
    { "redis://:p@h", "redis://:***@h" },
    { "https://u@h/a:b@c", "https://u@h/a:b@c" },
    { "https://h/a?token=x&b=1", "https://h/a?token=***&b=1" },
    { "host=h password=x user=y", "host=h password=*** user=y" },
    { "host=h PassWord='a' b", "host=h PassWord='***' b" },
    { "plain text", "plain text" },
    { "", "" },
    { "a://b:c@d://e:f@g", "a://b:***@d://e:***@g" },
  };

  for (size_t i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree char *found = ragify_redact (cases[i][0]);
    assert_string_equal (found, cases[i][1]);
  }
}

static void
near_words_are_suggested (void **state)
{
  assert_int_equal (ragify_edit_distance ("deadline", "dedline", 2), 1);
  assert_int_equal (ragify_edit_distance ("deadline", "daedline", 2), 1);
  assert_int_equal (ragify_edit_distance ("deadline", "Dead_line", 3), 1);
  assert_int_equal (ragify_edit_distance ("max_chunks", "max-chunks", 2), 0);
  assert_int_equal (ragify_edit_distance ("abcd", "badc", 2), 2);
  assert_int_equal (ragify_edit_distance ("ca", "abc", 5), 3);
  assert_int_equal (ragify_edit_distance ("abc", "xyz", 2), 3);
  assert_int_equal (ragify_edit_distance ("", "ab", 2), 2);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (numbers_are_whole_and_finite),
    cmocka_unit_test (booleans_are_words),
    cmocka_unit_test (durations_carry_units),
    cmocka_unit_test (sizes_tell_1000_from_1024),
    cmocka_unit_test (paths_become_absolute),
    cmocka_unit_test (uris_have_a_scheme),
    cmocka_unit_test (choices_are_known),
    cmocka_unit_test (texts_are_unquoted_and_expanded),
    cmocka_unit_test (lists_are_split_outside_quotes_and_variables),
    cmocka_unit_test (bounds_hold_and_are_named),
    cmocka_unit_test (secrets_and_variables_are_hidden_and_never_in_errors),
    cmocka_unit_test (credentials_are_redacted),
    cmocka_unit_test (near_words_are_suggested),
  };

  cmocka_set_message_output (CM_OUTPUT_TAP);
  return cmocka_run_group_tests (tests, NULL, NULL);
}
