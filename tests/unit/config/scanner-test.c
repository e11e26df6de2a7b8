/* SPDX-License-Identifier: MIT */
#include "config/scanner.h"

#include "tests/unit/config/fixture.h"

#include <string.h>

typedef struct Scanned {
  RagifyScan *scan;
  RagifyDiagnostics *diagnostics;
  char *text;
} Scanned;

static Scanned
scan_n (const char *bytes, size_t size)
{
  Scanned scanned = { .diagnostics = ragify_diagnostics_new () };

  scanned.scan = ragify_scan_bytes ("f", bytes, size, scanned.diagnostics);
  scanned.text = ragify_diagnostics_to_text (scanned.diagnostics);
  return scanned;
}

static Scanned
scan (const char *bytes)
{
  return scan_n (bytes, strlen (bytes));
}

static void
clear (Scanned *scanned)
{
  ragify_scan_free (scanned->scan);
  ragify_diagnostics_free (scanned->diagnostics);
  g_free (scanned->text);
}

static const RagifyScanEntry *
entry_at (const Scanned *scanned, unsigned int index)
{
  assert_true (index < scanned->scan->entries->len);
  return &g_array_index (scanned->scan->entries, RagifyScanEntry, index);
}

static const RagifyScanGroup *
group_at (const Scanned *scanned, unsigned int index)
{
  assert_true (index < scanned->scan->groups->len);
  return &g_array_index (scanned->scan->groups, RagifyScanGroup, index);
}

/* The value of the only entry of "[host]\nk = …". */
static void
assert_value (const char *written, const char *expected)
{
  g_autofree char *text = g_strconcat ("[host]\nk = ", written, NULL);
  Scanned scanned = scan (text);

  assert_string_equal (scanned.text, "");
  assert_string_equal (entry_at (&scanned, 0)->value, expected);
  clear (&scanned);
}

static void
groups_entries_and_places_are_found (void **state)
{
  Scanned scanned = scan ("# c\n\n[host]\n  a = 1\nb=2\n[source x.y-z_1] ; c\n\tkey\t=\tv v \n");

  assert_string_equal (scanned.text, "");
  assert_int_equal (scanned.scan->groups->len, 2);
  assert_string_equal (group_at (&scanned, 0)->text, "host");
  assert_string_equal (group_at (&scanned, 0)->name, "");
  assert_int_equal (group_at (&scanned, 0)->n_entries, 2);
  assert_string_equal (group_at (&scanned, 1)->kind, "source");
  assert_string_equal (group_at (&scanned, 1)->name, "x.y-z_1");
  assert_string_equal (group_at (&scanned, 1)->text, "source x.y-z_1");
  assert_int_equal (group_at (&scanned, 1)->line, 6);
  assert_string_equal (entry_at (&scanned, 0)->key, "a");
  assert_int_equal (entry_at (&scanned, 0)->line, 4);
  assert_int_equal (entry_at (&scanned, 0)->column, 3);
  assert_string_equal (entry_at (&scanned, 2)->value, "v v");
  assert_int_equal (entry_at (&scanned, 2)->column, 2);
  clear (&scanned);
}

static void
comments_end_values_after_a_blank_only (void **state)
{
  assert_value ("v # c", "v");
  assert_value ("v\t# c", "v");
  assert_value ("v# c", "v# c");
  assert_value ("#v", "");
  assert_value ("a#b c #d", "a#b c");
  assert_value ("v ; w", "v ; w");
  assert_value ("", "");
  assert_value ("# only a comment", "");
}

static void
quotes_hide_comments_where_an_item_begins (void **state)
{
  assert_value ("\"a # b\" # c", "\"a # b\"");
  assert_value ("x; \"a # b\"; y # c", "x; \"a # b\"; y");
  assert_value ("say \"hi # there\"", "say \"hi");
  assert_value ("\"a \\\" # b\" # c", "\"a \\\" # b\"");
  assert_value ("\"a\\\\\" # c", "\"a\\\\\"");
}

static void
a_backslash_continues_and_joins_with_one_space (void **state)
{
  assert_value ("a \\\n   b \\\n\tc\n", "a b c");
  assert_value ("a\\\nb\n", "a b");
  assert_value ("a \\\n# comment\n  # another\nb\n", "a b");
  assert_value ("a # c \\\nb = 2\n", "a");
  assert_value ("\\\nb\n", "b");
  assert_value ("a \\\n\n", "a");
  assert_value ("\"x # \\\n y\"\n", "\"x # y\"");
  assert_value ("a \\\r\n  b\r\n", "a b");
  assert_value ("a; \\\n; b\n", "a; ; b");
}

static void
places_inside_continued_values_are_those_of_the_file (void **state)
{
  Scanned scanned = scan ("[host]\nk = äö; \\\n      ü; \\\n  x\n");
  const RagifyScanEntry *entry = entry_at (&scanned, 0);
  unsigned int line = 0;
  unsigned int column = 0;

  assert_string_equal (entry->value, "äö; ü; x");
  ragify_scan_locate (scanned.scan, entry, 0, &line, &column);
  assert_int_equal (line, 2);
  assert_int_equal (column, 5);
  ragify_scan_locate (scanned.scan, entry, strlen ("äö"), &line, &column);
  assert_int_equal (line, 2);
  assert_int_equal (column, 7);
  ragify_scan_locate (scanned.scan, entry, strlen ("äö; "), &line, &column);
  assert_int_equal (line, 3);
  assert_int_equal (column, 7);
  ragify_scan_locate (scanned.scan, entry, strlen ("äö; ü; "), &line, &column);
  assert_int_equal (line, 4);
  assert_int_equal (column, 3);
  clear (&scanned);
}

static void
what_is_wrong_is_reported_and_the_rest_still_read (void **state)
{
  Scanned scanned = scan ("x = 1\n[host\ny = 2\n[host]\noops\nz = 3\nz = 4\n= 5\n[a b c]\nw = 6\n[host]\nv = 7\n");

  assert_string_equal (
      scanned.text, "f:1:1: error: 'x' stands before the first [group]\n"
                    "f:2:1: error: a group without its closing ']'\n"
                    "f:5:1: error: [host]: expected key = value, [group] or a comment, found 'oops'\n"
                    "f:7:1: error: [host]: 'z' was given at line 6 already\n"
                    "f:8:1: error: [host]: '' cannot be a key; keys are words of letters, digits and '-'\n"
                    "f:9:1: error: a group has a kind and one name, and this one has more words\n"
                    "f:11:1: error: [host]: this group stands in this file already, at line 4; put its keys there\n");
  assert_int_equal (scanned.scan->entries->len, 2);
  assert_true (group_at (&scanned, 0)->damaged);
  clear (&scanned);
}

static void
bytes_that_are_no_text_are_refused (void **state)
{
  static const char nul[] = "[host]\na = 1\0\nb = 2\n";
  Scanned scanned = scan_n (nul, sizeof nul - 1);

  assert_string_equal (scanned.text,
                       "f:2:1: error: [host]: a NUL byte; this is not a text file, and its rest is not read\n");
  assert_int_equal (scanned.scan->entries->len, 0);
  clear (&scanned);
  scanned = scan ("[host]\nä = \xff\nb = 2\n");
  assert_string_equal (scanned.text,
                       "f:2:5: error: [host]: invalid UTF-8 (byte 0xff); configuration files are UTF-8\n");
  assert_string_equal (entry_at (&scanned, 0)->key, "b");
  clear (&scanned);
  scanned = scan ("[host]\na = \x07\n");
  assert_string_equal (scanned.text,
                       "f:2:5: error: [host]: control character 0x07; only blanks and tabs may stand in a line\n");
  clear (&scanned);
}

static void
byte_order_mark_and_crlf_are_read_over (void **state)
{
  Scanned scanned = scan ("\xef\xbb\xbf[host]\r\na = 1 \r\n\r\n# c\r\nb = \"x\"\r");

  assert_string_equal (scanned.text, "");
  assert_string_equal (entry_at (&scanned, 0)->value, "1");
  assert_string_equal (entry_at (&scanned, 1)->value, "\"x\"");
  clear (&scanned);
}

static void
too_many_errors_end_the_file (void **state)
{
  GString *text = g_string_new (NULL);
  Scanned scanned;

  for (int i = 0; i < 1000; i++)
    g_string_append (text, "nonsense\n");
  scanned = scan (text->str);
  assert_int_equal (ragify_diagnostics_count (scanned.diagnostics, RAGIFY_SEVERITY_ERROR), RAGIFY_SCAN_ERRORS_MAX + 1);
  assert_non_null (strstr (scanned.text, "the rest of this file is not read"));
  clear (&scanned);
  g_string_free (text, TRUE);
}

static void
values_and_files_have_a_limit (void **state)
{
  g_autofree char *large = g_strnfill (RAGIFY_SCAN_FILE_MAX + 1, '\n');
  g_autofree char *word = g_strnfill (RAGIFY_SCAN_VALUE_MAX + 1, 'x');
  g_autofree char *text = g_strdup_printf ("[host]\na = %s\nb = %.*s\n", word, RAGIFY_SCAN_VALUE_MAX, word);
  Scanned scanned = scan (large);

  assert_string_equal (scanned.text, "f: error: larger than 16 MiB; this is not a configuration file\n");
  clear (&scanned);
  scanned = scan (text);
  assert_string_equal (scanned.text,
                       "f:2:5: error: [host]: a value of more than 64 KiB; long texts belong in a file of "
                       "their own\n");
  assert_int_equal (strlen (entry_at (&scanned, 0)->value), RAGIFY_SCAN_VALUE_MAX);
  clear (&scanned);
}

static void
nothing_is_something (void **state)
{
  Scanned scanned = scan_n (NULL, 0);

  assert_string_equal (scanned.text, "");
  assert_int_equal (scanned.scan->groups->len, 0);
  clear (&scanned);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (groups_entries_and_places_are_found),
    cmocka_unit_test (comments_end_values_after_a_blank_only),
    cmocka_unit_test (quotes_hide_comments_where_an_item_begins),
    cmocka_unit_test (a_backslash_continues_and_joins_with_one_space),
    cmocka_unit_test (places_inside_continued_values_are_those_of_the_file),
    cmocka_unit_test (what_is_wrong_is_reported_and_the_rest_still_read),
    cmocka_unit_test (bytes_that_are_no_text_are_refused),
    cmocka_unit_test (byte_order_mark_and_crlf_are_read_over),
    cmocka_unit_test (too_many_errors_end_the_file),
    cmocka_unit_test (values_and_files_have_a_limit),
    cmocka_unit_test (nothing_is_something),
  };

  cmocka_set_message_output (CM_OUTPUT_TAP);
  return cmocka_run_group_tests (tests, NULL, NULL);
}
