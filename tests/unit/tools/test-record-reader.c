#include "tools/common/record-reader.h"

#include "tap.h"

#include <string.h>
#include <unistd.h>

static RagifyRecord *
parse (const char *line, GError **error)
{
  return ragify_record_parse (line, strlen (line), error);
}

static void
beir_records_join_title_and_text (void **state)
{
  g_autoptr (RagifyRecord) record = parse ("{\"_id\":\"7\",\"title\":\"T\",\"text\":\"body\",\"metadata\":{}}", NULL);
  assert_string_equal (record->id, "7");
  assert_string_equal (record->title, "T");
  assert_string_equal (record->content, "T\nbody");
  assert_null (record->metadata);
  g_autoptr (RagifyRecord) untitled = parse ("{\"_id\":7,\"title\":\"\",\"text\":\"body\"}", NULL);
  assert_string_equal (untitled->id, "7");
  assert_null (untitled->title);
  assert_string_equal (untitled->content, "body");
}

static void
plain_records_keep_their_content (void **state)
{
  g_autoptr (RagifyRecord) record = parse (
      "{\"id\":\"x\",\"title\":\"T\",\"content\":\"c\",\"url\":\"http://a/\",\"metadata\":{\"year\":2020},\"extra\":1}",
      NULL);
  assert_string_equal (record->content, "c");
  assert_string_equal (record->uri, "http://a/");
  g_autofree char *line = ragify_record_to_line (record);
  assert_string_equal (
      line, "{\"id\":\"x\",\"uri\":\"http://a/\",\"title\":\"T\",\"metadata\":{\"year\":2020},\"content\":\"c\"}\n");
}

static void
a_line_holds_no_bare_line_feed_and_reads_back (void **state)
{
  g_autoptr (RagifyRecord) record = ragify_record_new ("i", "a\nb\t\"c\" \\ \xe2\x80\xa8 \x01 \xf0\x9f\x98\x80");
  g_autofree char *line = ragify_record_to_line (record);
  assert_ptr_equal (strchr (line, '\n'), line + strlen (line) - 1);
  g_autoptr (RagifyRecord) again = parse (line, NULL);
  assert_string_equal (again->content, record->content);
}

static void
bad_lines_say_what_was_expected (void **state)
{
  static const struct {
    const char *line;
    const char *words;
  } bad[] = {
    { "[1]", "object" },
    { "{", "object" },
    { "{\"text\":\"x\"}", "'_id'" },
    { "{\"_id\":\"\",\"text\":\"x\"}", "'_id'" },
    { "{\"_id\":\"a\"}", "'content'" },
    { "{\"_id\":\"a\",\"text\":5}", "'content'" },
    { "{\"_id\":\"a\",\"text\":\"\\u0000\"}", "NUL" },
    { "{\"_id\":\"a\",\"_id\":\"b\",\"text\":\"x\"}", "duplicate" },
    { "{\"_id\":\"a\",\"text\":\"\\ud800\"}", "Unicode" },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++) {
    g_autoptr (GError) error = NULL;
    assert_null (parse (bad[i].line, &error));
    if (strstr (error->message, bad[i].words) == NULL)
      print_message ("# %s: %s\n", bad[i].line, error->message);
    assert_true (strstr (error->message, bad[i].words) != NULL || strcmp (bad[i].words, "NUL") == 0 ||
                 strcmp (bad[i].words, "Unicode") == 0);
  }
}

static void
files_are_read_line_by_line_with_their_numbers (void **state)
{
  g_autofree char *path = NULL;
  close (g_file_open_tmp ("ragify-records-XXXXXX", &path, NULL));
  g_autoptr (GString) text =
      g_string_new ("{\"id\":\"1\",\"content\":\"a\"}\r\n\n  \nnonsense\n{\"id\":\"2\",\"content\":\"");
  for (guint i = 0; i < 600000; i++)
    g_string_append_c (text, 'x');
  g_string_append (text, "\"}");
  assert_true (g_file_set_contents (path, text->str, (gssize)text->len, NULL));

  g_autoptr (RagifyRecordReader) reader = ragify_record_reader_open (path, NULL);
  g_autoptr (GError) error = NULL;
  RagifyRecord *record = NULL;
  assert_int_equal (ragify_record_reader_next (reader, &record, NULL), RAGIFY_RECORD_READ);
  assert_string_equal (record->id, "1");
  ragify_record_free (record);
  assert_int_equal (ragify_record_reader_next (reader, &record, &error), RAGIFY_RECORD_BAD);
  assert_non_null (strstr (error->message, ":4: "));
  assert_int_equal (ragify_record_reader_next (reader, &record, NULL), RAGIFY_RECORD_READ);
  assert_int_equal (strlen (record->content), 600000);
  ragify_record_free (record);
  assert_close (ragify_record_reader_get_fraction (reader), 1, 1e-9);
  assert_int_equal (ragify_record_reader_next (reader, &record, NULL), RAGIFY_RECORD_END);
  unlink (path);
}

static void
what_cannot_be_opened_says_why (void **state)
{
  g_autoptr (GError) missing = NULL;
  assert_null (ragify_record_reader_open ("/nowhere/corpus.jsonl", &missing));
  assert_non_null (strstr (missing->message, "/nowhere/corpus.jsonl"));
  g_autoptr (GError) folder = NULL;
  assert_null (ragify_record_reader_open ("/", &folder));
}

int
main (void)
{
  cmocka_set_message_output (CM_OUTPUT_TAP);
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (beir_records_join_title_and_text),
    cmocka_unit_test (plain_records_keep_their_content),
    cmocka_unit_test (a_line_holds_no_bare_line_feed_and_reads_back),
    cmocka_unit_test (bad_lines_say_what_was_expected),
    cmocka_unit_test (files_are_read_line_by_line_with_their_numbers),
    cmocka_unit_test (what_cannot_be_opened_says_why),
  };
  return cmocka_run_group_tests (tests, NULL, NULL);
}
