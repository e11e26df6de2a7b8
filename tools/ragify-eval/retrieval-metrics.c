#include "retrieval-metrics.h"

#include <math.h>

static int
grade_of (GHashTable *judgments, const char *id)
{
  return GPOINTER_TO_INT (g_hash_table_lookup (judgments, id));
}

guint
ragify_metric_count_relevant (GHashTable *judgments)
{
  GHashTableIter iter;
  gpointer grade = NULL;
  guint count = 0;
  g_hash_table_iter_init (&iter, judgments);
  while (g_hash_table_iter_next (&iter, NULL, &grade))
    count += GPOINTER_TO_INT (grade) > 0 ? 1 : 0;
  return count;
}

static double
gain (int grade, guint position)
{
  return grade > 0 ? grade / log2 (position + 2.0) : 0;
}

static int
compare_descending (gconstpointer a, gconstpointer b)
{
  return *(const int *)b - *(const int *)a;
}

static double
ideal_gain (GHashTable *judgments, guint cut)
{
  g_autoptr (GArray) grades = g_array_new (FALSE, FALSE, sizeof (int));
  GHashTableIter iter;
  gpointer value = NULL;
  g_hash_table_iter_init (&iter, judgments);
  while (g_hash_table_iter_next (&iter, NULL, &value)) {
    int grade = GPOINTER_TO_INT (value);
    g_array_append_val (grades, grade);
  }
  g_array_sort (grades, compare_descending);
  double sum = 0;
  for (guint i = 0; i < MIN (grades->len, cut); i++)
    sum += gain (g_array_index (grades, int, i), i);
  return sum;
}

double
ragify_metric_ndcg (const GPtrArray *ranking, GHashTable *judgments, guint cut)
{
  double ideal = ideal_gain (judgments, cut);
  double sum = 0;
  for (guint i = 0; i < MIN (ranking->len, cut); i++)
    sum += gain (grade_of (judgments, g_ptr_array_index (ranking, i)), i);
  return ideal > 0 ? sum / ideal : 0;
}

double
ragify_metric_recall (const GPtrArray *ranking, GHashTable *judgments, guint cut)
{
  guint relevant = ragify_metric_count_relevant (judgments);
  guint found = 0;
  for (guint i = 0; i < MIN (ranking->len, cut); i++)
    found += grade_of (judgments, g_ptr_array_index (ranking, i)) > 0 ? 1 : 0;
  return relevant > 0 ? (double)found / relevant : 0;
}

double
ragify_metric_reciprocal_rank (const GPtrArray *ranking, GHashTable *judgments, guint cut)
{
  for (guint i = 0; i < MIN (ranking->len, cut); i++)
    if (grade_of (judgments, g_ptr_array_index (ranking, i)) > 0)
      return 1.0 / (i + 1.0);
  return 0;
}
