/* SPDX-License-Identifier: MIT */
#include "core/pipeline/recall.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LARGEST 65536
#define LARGEST_TRIAL 4096

static const struct {
  const char *key, *member;
} knobs[] = { { "nprobe", "nprobe" }, { "ef-search", "efSearch" } };

/* ---- numbers ---- */

static int
compare_numbers (gconstpointer a, gconstpointer b)
{
  const double one = *(const double *)a, other = *(const double *)b;
  return one < other ? -1 : one > other;
}

static GArray *
sorted_copy (const GArray *values)
{
  GArray *sorted = g_array_sized_new (FALSE, FALSE, sizeof (double), values->len);
  g_array_append_vals (sorted, values->data, values->len);
  g_array_sort (sorted, compare_numbers);
  return sorted;
}

double
ragify_percentile_of (const GArray *values, double percent)
{
  if (values->len == 0)
    return 0;
  g_autoptr (GArray) sorted = sorted_copy (values);
  const double place = percent / 100 * (sorted->len - 1);
  const guint below = (guint)place, above = MIN (below + 1, sorted->len - 1);
  const double low = g_array_index (sorted, double, below), high = g_array_index (sorted, double, above);
  return low + (high - low) * (place - below);
}

RagifySpread
ragify_spread_of (const GArray *values)
{
  return (RagifySpread){ ragify_percentile_of (values, 50), ragify_percentile_of (values, 0),
                         ragify_percentile_of (values, 100) };
}

json_t *
ragify_spread_describe (RagifySpread spread)
{
  return json_pack ("{s:f, s:f, s:f}", "median", spread.median, "least", spread.low, "most", spread.high);
}

/* ---- answers ---- */

void
ragify_recall_answers_init (RagifyRecallAnswers *answers)
{
  *answers = (RagifyRecallAnswers){ g_ptr_array_new_with_free_func ((GDestroyNotify)g_ptr_array_unref),
                                    g_array_new (FALSE, FALSE, sizeof (double)) };
}

void
ragify_recall_answers_clear (RagifyRecallAnswers *answers)
{
  g_clear_pointer (&answers->ids, g_ptr_array_unref);
  g_clear_pointer (&answers->times, g_array_unref);
}

void
ragify_recall_clear (RagifyRecall *recall)
{
  g_clear_pointer (&recall->tried, g_array_unref);
}

json_t *
ragify_recall_describe (const RagifyRecall *recall)
{
  json_t *tried = json_array ();
  for (guint i = 0; i < recall->tried->len; i++) {
    const RagifyRecallPoint *point = &g_array_index (recall->tried, RagifyRecallPoint, i);
    json_array_append_new (tried, json_pack ("{s:I, s:f, s:f}", "value", (json_int_t)point->value, "recall",
                                             point->recall, "median_ms", point->median_ms));
  }
  return json_pack ("{s:s*, s:I, s:f, s:o}", "key", recall->key, "value", (json_int_t)recall->value, "reached",
                    recall->recall, "tried", tried);
}

char *
ragify_drop_in_of (const char *comment, const char *const *settings, gsize count)
{
  GString *text = g_string_new (NULL);
  g_string_append_printf (text, "# %s\n", comment);
  for (gsize i = 0; i < count; i++) {
    const char *equals = strchr (settings[i], '=');
    const char *dot = g_strrstr_len (settings[i], equals - settings[i], ".");
    g_string_append_printf (text, "\n[%.*s]\n%.*s = %s\n", (int)(dot - settings[i]), settings[i],
                            (int)(equals - dot - 1), dot + 1, equals + 1);
  }
  return g_string_free (text, FALSE);
}

char *
ragify_recall_request (const char *query, const char *pipeline, const char *store, guint chunks, const char *member,
                       gint64 value)
{
  json_t *search = value > 0 ? json_pack ("{s:I}", member, (json_int_t)value) : json_pack ("{s:b}", "exact", 1);
  json_t *body = json_pack ("{s:s, s:s, s:s, s:s, s:i, s:o*}", "query", query, "mode", "dense", "cache", "bypass",
                            "pipeline", pipeline, "max_chunks", (int)chunks, "search", member != NULL ? search : NULL);
  if (member == NULL)
    json_decref (search);
  if (store != NULL)
    json_object_set_new (body, "sources", json_pack ("[s]", store));
  char *text = json_dumps (body, JSON_COMPACT);
  json_decref (body);
  char *copy = g_strdup (text);
  free (text);
  return copy;
}

GPtrArray *
ragify_recall_read_ids (const char *answer, gsize size)
{
  json_t *json = json_loadb (answer, size, JSON_ALLOW_NUL, NULL);
  const json_t *chunks = json_object_get (json, "chunks"), *chunk;
  GPtrArray *ids = NULL;
  gsize index;
  if (json_is_array (chunks) && !json_is_true (json_object_get (json, "degraded")))
    ids = g_ptr_array_new_with_free_func (g_free);
  json_array_foreach (chunks, index, chunk)
  {
    const char *id = json_string_value (json_object_get (chunk, "id"));
    if (ids != NULL)
      g_ptr_array_add (ids, g_strdup (id != NULL ? id : ""));
  }
  json_decref (json);
  return ids;
}

/* ---- searching ---- */

typedef struct Search {
  double wanted;
  RagifyRecallAsk ask;
  void *user;
  RagifyRecallAnswers exact;
} Search;

static double
recall_of (const RagifyRecallAnswers *exact, const RagifyRecallAnswers *found)
{
  guint64 wanted = 0, had = 0;
  for (guint i = 0; i < exact->ids->len; i++) {
    const GPtrArray *right = g_ptr_array_index (exact->ids, i), *given = g_ptr_array_index (found->ids, i);
    wanted += right->len;
    for (guint k = 0; k < right->len; k++)
      had += g_ptr_array_find_with_equal_func ((GPtrArray *)given, g_ptr_array_index (right, k), g_str_equal, NULL);
  }
  return wanted > 0 ? (double)had / (double)wanted : 1;
}

static int
compare_points (gconstpointer a, gconstpointer b)
{
  const gint64 one = ((const RagifyRecallPoint *)a)->value, other = ((const RagifyRecallPoint *)b)->value;
  return one < other ? -1 : one > other;
}

/* −1 where it cannot go on. */
static double
try_value (const Search *search, GArray *tried, const char *member, gint64 value)
{
  RagifyRecallAnswers found;
  ragify_recall_answers_init (&found);
  const gboolean well = search->ask (search->user, member, value, &found);
  const RagifyRecallPoint point = { value, well ? recall_of (&search->exact, &found) : -1,
                                    ragify_spread_of (found.times).median };
  ragify_recall_answers_clear (&found);
  if (well)
    g_array_append_val (tried, point);
  return point.recall;
}

/* Halves what lies between a value that finds too little and one that finds enough. */
static gboolean
close_in (const Search *search, gint64 low, gint64 high, RagifyRecall *recall)
{
  while (high - low > 1) {
    const gint64 middle = low + (high - low) / 2;
    const double reached = try_value (search, recall->tried, recall->member, middle);
    if (reached < 0)
      return FALSE;
    if (reached < search->wanted) {
      low = middle;
      continue;
    }
    high = recall->value = middle;
    recall->recall = reached;
  }
  return TRUE;
}

static gboolean
search_value (const Search *search, RagifyRecall *recall)
{
  gint64 low = 0, high = 1;
  double reached = try_value (search, recall->tried, recall->member, high);
  while (reached >= 0 && reached < search->wanted && high < LARGEST) {
    low = high;
    high *= 2;
    reached = try_value (search, recall->tried, recall->member, high);
  }
  if (reached < search->wanted)
    return reached >= 0; /* none does */
  recall->value = high;
  recall->recall = reached;
  return close_in (search, low, high, recall);
}

/* The one of the two that this index listens to: where the smallest value finds less than the largest does. */
static gboolean
find_knob (const Search *search, RagifyRecall *recall)
{
  for (gsize i = 0; i < G_N_ELEMENTS (knobs); i++) {
    g_autoptr (GArray) tried = g_array_new (FALSE, FALSE, sizeof (RagifyRecallPoint));
    const double least = try_value (search, tried, knobs[i].member, 1);
    const double most = least < 0 ? -1 : try_value (search, tried, knobs[i].member, LARGEST_TRIAL);
    if (most < 0)
      return FALSE;
    if (fabs (most - least) < 1e-9)
      continue;
    recall->key = knobs[i].key;
    recall->member = knobs[i].member;
    return TRUE;
  }
  return TRUE;
}

gboolean
ragify_recall_search (double wanted, RagifyRecallAsk ask, void *user, RagifyRecall *recall)
{
  Search search = { .wanted = wanted, .ask = ask, .user = user };
  *recall = (RagifyRecall){ .tried = g_array_new (FALSE, FALSE, sizeof (RagifyRecallPoint)) };
  ragify_recall_answers_init (&search.exact);
  gboolean well = ask (user, "exact", 0, &search.exact) && find_knob (&search, recall);
  if (well && recall->key != NULL)
    well = search_value (&search, recall);
  ragify_recall_answers_clear (&search.exact);
  g_array_sort (recall->tried, compare_points);
  return well;
}
