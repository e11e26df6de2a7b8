#include "tools/ragify-eval/evaluation.h"
#include "tools/ragify-eval/judged-queries.h"

#include "tap.h"

#include <glib/gstdio.h>
#include <jansson.h>
#include <string.h>

static int
set_up (void **state)
{
  *state = g_dir_make_tmp ("ragify-beir-XXXXXX", NULL);
  return *state != NULL ? 0 : -1;
}

static int
tear_down (void **state)
{
  static const char *const names[] = { "queries.jsonl", "qrels.tsv", "qrels/test.tsv", "qrels", "" };
  for (gsize i = 0; i < G_N_ELEMENTS (names); i++) {
    g_autofree char *path = g_build_filename (*state, names[i], NULL);
    g_remove (path);
  }
  g_free (*state);
  return 0;
}

static void
write_file (const char *folder, const char *name, const char *text)
{
  g_autofree char *path = g_build_filename (folder, name, NULL);
  assert_true (g_file_set_contents (path, text, -1, NULL));
}

static void
judged_queries_are_read_in_order (void **state)
{
  guint without_text = 0;
  write_file (*state, "queries.jsonl",
              "{\"_id\":\"1\",\"text\":\"one\"}\n{\"_id\":\"2\",\"text\":\"two\"}\n{\"_id\":\"3\",\"text\":\"three\"}"
              "\n{\"_id\":\"4\",\"text\":\"four\"}\n");
  write_file (*state, "qrels.tsv", "query-id\tcorpus-id\tscore\n3\tA b\t2\n3\tC\t0\n1\tA b\t1\r\n2\tX\t0\n9\tX\t1\n");
  g_autoptr (GPtrArray) queries = ragify_judged_queries_read (*state, &without_text, NULL);
  /* 2 has no relevant document, 4 no judgment, 9 no text. */
  assert_int_equal (queries->len, 2);
  assert_int_equal (without_text, 1);
  const RagifyJudgedQuery *first = g_ptr_array_index (queries, 0);
  const RagifyJudgedQuery *second = g_ptr_array_index (queries, 1);
  assert_string_equal (first->id, "1");
  assert_string_equal (second->text, "three");
  assert_int_equal (GPOINTER_TO_INT (g_hash_table_lookup (second->judgments, "A b")), 2);
}

static void
judgments_may_lie_in_a_folder_of_their_own (void **state)
{
  guint without_text = 0;
  g_autofree char *folder = g_build_filename (*state, "qrels", NULL);
  g_mkdir (folder, 0700);
  write_file (*state, "queries.jsonl", "{\"_id\":\"1\",\"text\":\"one\"}\n");
  write_file (*state, "qrels/test.tsv", "query-id\tcorpus-id\tscore\n1\tA\t1\n");
  g_autoptr (GPtrArray) queries = ragify_judged_queries_read (*state, &without_text, NULL);
  assert_int_equal (queries->len, 1);
}

static void
a_bad_judgment_is_named_by_line (void **state)
{
  guint without_text = 0;
  g_autoptr (GError) error = NULL;
  write_file (*state, "queries.jsonl", "{\"_id\":\"1\",\"text\":\"one\"}\n");
  write_file (*state, "qrels.tsv", "query-id\tcorpus-id\tscore\n1\tA\t1\n1 B 1\n");
  assert_null (ragify_judged_queries_read (*state, &without_text, &error));
  assert_non_null (strstr (error->message, "qrels.tsv:3: expected"));
}

static void
documents_are_ranked_by_their_best_chunk (void **state)
{
  json_t *answer = json_loads ("{\"chunks\":[{\"document_id\":\"b\"},{\"document_id\":\"a\"},{\"document_id\":\"b\"},{}"
                               ",{\"document_id\":\"c\"}]}",
                               0, NULL);
  g_autoptr (GPtrArray) ranking = ragify_evaluation_rank_documents (answer);
  assert_int_equal (ranking->len, 3);
  assert_string_equal (g_ptr_array_index (ranking, 0), "b");
  assert_string_equal (g_ptr_array_index (ranking, 1), "a");
  assert_string_equal (g_ptr_array_index (ranking, 2), "c");
  json_decref (answer);
}

int
main (void)
{
  cmocka_set_message_output (CM_OUTPUT_TAP);
  const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown (judged_queries_are_read_in_order, set_up, tear_down),
    cmocka_unit_test_setup_teardown (judgments_may_lie_in_a_folder_of_their_own, set_up, tear_down),
    cmocka_unit_test_setup_teardown (a_bad_judgment_is_named_by_line, set_up, tear_down),
    cmocka_unit_test (documents_are_ranked_by_their_best_chunk),
  };
  return cmocka_run_group_tests (tests, NULL, NULL);
}
