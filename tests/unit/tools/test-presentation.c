/* What the tools show: progress, tables, wrapped text, nothing that steers the terminal. */
#include "tools/common/progress.h"
#include "tools/common/terminal-text.h"
#include "tools/common/text-table.h"
#include "tools/common/tool-exit.h"

#include "tap.h"

#include <string.h>

static void
progress_shows_rate_and_time_left (void **state)
{
  g_autofree char *half = ragify_progress_format ("ingest", "documents", 1200, 0.5, 10, 100);
  assert_string_equal (half, "ingest [###############...............]  50 %  1,200 documents, 120/s, 0:10 left");
  g_autofree char *unknown = ragify_progress_format ("ingest", "documents", 1200, -1, 10, 100);
  assert_string_equal (unknown, "ingest  1,200 documents, 120/s");
  g_autofree char *hours = ragify_progress_format ("x", "y", 1, 0.01, 100, 100);
  assert_non_null (strstr (hours, "2:45:00 left"));
}

static void
progress_fits_its_width (void **state)
{
  for (guint width = 1; width < 120; width++) {
    g_autofree char *line = ragify_progress_format ("ingest", "documents", 123456, 0.3, 100, width);
    assert_true (strlen (line) <= width);
  }
}

static void
counts_are_grouped (void **state)
{
  static const struct {
    guint64 count;
    const char *text;
  } cases[] = { { 0, "0" }, { 999, "999" }, { 1000, "1,000" }, { 1234567, "1,234,567" } };
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree char *text = ragify_format_count (cases[i].count);
    assert_string_equal (text, cases[i].text);
  }
}

static void
tables_align_and_print_markdown (void **state)
{
  g_autoptr (RagifyTextTable) table = ragify_text_table_new ("lr");
  ragify_text_table_add (table, (const char *const[]){ "mode", "nDCG" });
  ragify_text_table_add (table, (const char *const[]){ "hybrid", "0.7" });
  g_autofree char *plain = ragify_text_table_format (table, FALSE);
  assert_string_equal (plain, "mode    nDCG\nhybrid   0.7\n");
  g_autofree char *markdown = ragify_text_table_format (table, TRUE);
  assert_string_equal (markdown, "| mode   | nDCG |\n|--------|-----:|\n| hybrid |  0.7 |\n");
}

static void
text_is_wrapped_at_words_and_cut_at_lines (void **state)
{
  g_autofree char *all = ragify_terminal_text_wrap ("one  two\nthree four", 10, 2, 0);
  assert_string_equal (all, "  one two\n  three\n  four");
  g_autofree char *cut = ragify_terminal_text_wrap ("one two three four", 10, 2, 1);
  assert_string_equal (cut, "  one two …");
}

static void
nothing_printed_steers_the_terminal (void **state)
{
  g_autofree char *escaped = ragify_tool_printable ("a\033[31mb\x07\xc2\x9b\nc\t\xe2\x80\xae");
  assert_string_equal (escaped, "a?[31mb??\nc\t?");
  g_autofree char *invalid = ragify_tool_printable ("x\xff");
  assert_true (g_utf8_validate (invalid, -1, NULL));
}

static void
json_is_told_in_words (void **state)
{
  json_t *value = json_loads ("{\"a\":1,\"b\":{\"c\":0.5,\"d\":true},\"e\":[],\"f\":[\"x\",null]}", 0, NULL);
  g_autofree char *text = ragify_terminal_text_from_json (value, 2);
  assert_string_equal (text, "  a: 1\n  b:\n    c: 0.5\n    d: yes\n  e:\n  f:\n    1: x\n    2: -");
  json_decref (value);
}

int
main (void)
{
  cmocka_set_message_output (CM_OUTPUT_TAP);
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (progress_shows_rate_and_time_left),
    cmocka_unit_test (progress_fits_its_width),
    cmocka_unit_test (counts_are_grouped),
    cmocka_unit_test (tables_align_and_print_markdown),
    cmocka_unit_test (text_is_wrapped_at_words_and_cut_at_lines),
    cmocka_unit_test (nothing_printed_steers_the_terminal),
    cmocka_unit_test (json_is_told_in_words),
  };
  return cmocka_run_group_tests (tests, NULL, NULL);
}
