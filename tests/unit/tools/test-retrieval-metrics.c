/* Measures against cases worked out by hand. */
#include "tools/ragify-eval/retrieval-metrics.h"

#include "tap.h"

static const double tolerance = 1e-9;

/* Pairs of id and grade, ended by NULL. */
static GHashTable *
judge (const char *first, int grade, ...)
{
  GHashTable *judgments = g_hash_table_new (g_str_hash, g_str_equal);
  va_list arguments;
  va_start (arguments, grade);
  for (const char *id = first; id != NULL; id = va_arg (arguments, const char *)) {
    g_hash_table_insert (judgments, (gpointer)id, GINT_TO_POINTER (id == first ? grade : va_arg (arguments, int)));
  }
  va_end (arguments);
  return judgments;
}

static GPtrArray *
rank (const char *ids)
{
  GPtrArray *ranking = g_ptr_array_new_with_free_func (g_free);
  g_auto (GStrv) parts = g_strsplit (ids, " ", -1);
  for (gsize i = 0; parts[i] != NULL && *ids != '\0'; i++)
    g_ptr_array_add (ranking, g_strdup (parts[i]));
  return ranking;
}

static void
ndcg_of_one_relevant_document_is_its_discount (void **state)
{
  g_autoptr (GHashTable) judgments = judge ("b", 1, NULL);
  g_autoptr (GPtrArray) first = rank ("b a c");
  g_autoptr (GPtrArray) second = rank ("a b c");
  g_autoptr (GPtrArray) fourth = rank ("a c d b");
  assert_close (ragify_metric_ndcg (first, judgments, 10), 1.0, tolerance);
  /* 1 / log2 (3) */
  assert_close (ragify_metric_ndcg (second, judgments, 10), 0.6309297535714574, tolerance);
  /* 1 / log2 (5) */
  assert_close (ragify_metric_ndcg (fourth, judgments, 10), 0.43067655807339306, tolerance);
}

static void
ndcg_has_linear_gain (void **state)
{
  /* Ranking: grades 1, 0, 3, 2. DCG = 1 + 0 + 3 / 2 + 2 / log2 (5) = 3.361353116146786.
   * Ideal 3, 2, 1: 3 + 2 / log2 (3) + 1 / 2 = 4.761859507142915. Exponential gain would give 0.693. */
  g_autoptr (GHashTable) judgments = judge ("a", 1, "c", 3, "d", 2, NULL);
  g_autoptr (GPtrArray) ranking = rank ("a b c d");
  assert_close (ragify_metric_ndcg (ranking, judgments, 10), 3.361353116146786 / 4.761859507142915, tolerance);
}

static void
ndcg_looks_no_further_than_the_cut (void **state)
{
  g_autoptr (GHashTable) judgments = judge ("x", 1, "y", 1, NULL);
  g_autoptr (GPtrArray) ranking = rank ("a b x y");
  assert_close (ragify_metric_ndcg (ranking, judgments, 2), 0, tolerance);
  /* (1 / 2) / (1 + 1 / log2 (3)) */
  assert_close (ragify_metric_ndcg (ranking, judgments, 3), 0.5 / 1.6309297535714573, tolerance);
}

static void
ndcg_ideal_is_cut_too (void **state)
{
  /* Three relevant documents, cut 1: one at the top is all that can be had. */
  g_autoptr (GHashTable) judgments = judge ("a", 1, "b", 1, "c", 1, NULL);
  g_autoptr (GPtrArray) ranking = rank ("c");
  assert_close (ragify_metric_ndcg (ranking, judgments, 1), 1, tolerance);
}

static void
documents_judged_irrelevant_gain_nothing (void **state)
{
  g_autoptr (GHashTable) judgments = judge ("a", 0, "b", -1, "c", 1, NULL);
  g_autoptr (GPtrArray) ranking = rank ("a b c");
  assert_int_equal (ragify_metric_count_relevant (judgments), 1);
  assert_close (ragify_metric_ndcg (ranking, judgments, 10), 0.5, tolerance);
  assert_close (ragify_metric_recall (ranking, judgments, 2), 0, tolerance);
  assert_close (ragify_metric_reciprocal_rank (ranking, judgments, 10), 1.0 / 3, tolerance);
}

static void
recall_is_the_share_of_all_relevant_documents (void **state)
{
  g_autoptr (GHashTable) judgments = judge ("a", 1, "b", 2, "c", 1, "d", 1, NULL);
  g_autoptr (GPtrArray) ranking = rank ("x a y b c");
  assert_close (ragify_metric_recall (ranking, judgments, 100), 0.75, tolerance);
  assert_close (ragify_metric_recall (ranking, judgments, 4), 0.5, tolerance);
}

static void
reciprocal_rank_is_zero_beyond_the_cut (void **state)
{
  g_autoptr (GHashTable) judgments = judge ("z", 1, NULL);
  g_autoptr (GPtrArray) eleventh = rank ("a b c d e f g h i j z");
  g_autoptr (GPtrArray) tenth = rank ("a b c d e f g h i z");
  assert_close (ragify_metric_reciprocal_rank (eleventh, judgments, 10), 0, tolerance);
  assert_close (ragify_metric_reciprocal_rank (tenth, judgments, 10), 0.1, tolerance);
}

static void
an_empty_ranking_scores_zero (void **state)
{
  g_autoptr (GHashTable) judgments = judge ("z", 1, NULL);
  g_autoptr (GPtrArray) nothing = rank ("");
  assert_close (ragify_metric_ndcg (nothing, judgments, 10), 0, tolerance);
  assert_close (ragify_metric_recall (nothing, judgments, 100), 0, tolerance);
  assert_close (ragify_metric_reciprocal_rank (nothing, judgments, 10), 0, tolerance);
}

int
main (void)
{
  cmocka_set_message_output (CM_OUTPUT_TAP);
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (ndcg_of_one_relevant_document_is_its_discount),
    cmocka_unit_test (ndcg_has_linear_gain),
    cmocka_unit_test (ndcg_looks_no_further_than_the_cut),
    cmocka_unit_test (ndcg_ideal_is_cut_too),
    cmocka_unit_test (documents_judged_irrelevant_gain_nothing),
    cmocka_unit_test (recall_is_the_share_of_all_relevant_documents),
    cmocka_unit_test (reciprocal_rank_is_zero_beyond_the_cut),
    cmocka_unit_test (an_empty_ranking_scores_zero),
  };
  return cmocka_run_group_tests (tests, NULL, NULL);
}
