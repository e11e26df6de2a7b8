/* The recall of a store's approximate index, judged by exact search of the same vectors. */
#include "tune.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tools/common/json-reader.h"

#define LARGEST 65536

static const struct {
  const char *key, *member;
} knobs[] = { { "nprobe", "nprobe" }, { "ef-search", "efSearch" } };

/* Everything that the answers of one setting say. */
typedef struct {
  GPtrArray *ids; /* of GPtrArray of ids, one for each query */
  GArray *times;  /* double: ms */
} Answers;

static void
answers_clear (Answers *answers)
{
  g_clear_pointer (&answers->ids, g_ptr_array_unref);
  g_clear_pointer (&answers->times, g_array_unref);
}

static GBytes *
make_body (const RagifyTuneOptions *options, const char *query, const char *member, gint64 value)
{
  json_t *search = value > 0 ? json_pack ("{s:I}", member, (json_int_t)value) : json_pack ("{s:b}", "exact", 1);
  json_t *body = json_pack ("{s:s, s:s, s:s, s:s, s:i, s:o}", "query", query, "mode", "dense", "cache", "bypass",
                            "pipeline", options->pipeline, "max_chunks", options->chunks, "search", search);
  char *text = json_dumps (body, JSON_COMPACT);
  json_decref (body);
  GBytes *bytes = g_bytes_new (text, strlen (text));
  free (text);
  return bytes;
}

static GPtrArray *
read_ids (const RagifyHttpReply *reply)
{
  gsize size = 0;
  const char *text = g_bytes_get_data (reply->body, &size);
  g_autoptr (RagifyJson) answer = ragify_json_parse_object (text, size, NULL);
  if (answer == NULL || json_is_true (json_object_get (answer, "degraded")))
    return NULL;
  GPtrArray *ids = g_ptr_array_new_with_free_func (g_free);
  gsize index;
  const json_t *chunk;
  json_array_foreach (json_object_get (answer, "chunks"), index, chunk)
  {
    g_ptr_array_add (ids, g_strdup (ragify_json_get_string (chunk, "id")));
  }
  return ids;
}

static gboolean
ask_all (const RagifyTuneOptions *options, RagifyHttpClient *client, const char *member, gint64 value, Answers *answers)
{
  *answers = (Answers){ g_ptr_array_new_with_free_func ((GDestroyNotify)g_ptr_array_unref),
                        g_array_new (FALSE, FALSE, sizeof (double)) };
  for (guint i = 0; i < options->queries->len; i++) {
    g_autoptr (GBytes) body = make_body (options, g_ptr_array_index (options->queries, i), member, value);
    int code = 0;
    const gint64 began = g_get_monotonic_time ();
    g_autoptr (RagifyHttpReply) reply =
        ragify_control_request (client, "POST", "/v1/context", "application/json", body, &code);
    const double time = (double)(g_get_monotonic_time () - began) / 1000;
    GPtrArray *ids = reply != NULL ? read_ids (reply) : NULL;
    if (ids == NULL) {
      if (reply != NULL)
        ragify_tool_complain ("an answer is degraded; recall cannot be taken from it");
      answers_clear (answers);
      return FALSE;
    }
    g_ptr_array_add (answers->ids, ids);
    g_array_append_val (answers->times, time);
  }
  return TRUE;
}

static double
recall_of (const Answers *exact, const Answers *found)
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

/* −1 after a complaint. */
static double
try_value (const RagifyTuneOptions *options, RagifyHttpClient *client, const Answers *exact, RagifyRecall *recall,
           const char *member, gint64 value)
{
  Answers found;
  if (!ask_all (options, client, member, value, &found))
    return -1;
  const RagifyRecallPoint point = { value, recall_of (exact, &found), ragify_spread_of (found.times).median };
  answers_clear (&found);
  g_array_append_val (recall->tried, point);
  return point.recall;
}

/* Doubles until the recall is reached, then halves the gap. */
static gboolean
search_value (const RagifyTuneOptions *options, RagifyHttpClient *client, const Answers *exact, RagifyRecall *recall)
{
  gint64 low = 0, high = 1;
  double reached = 0;
  while (high <= LARGEST) {
    reached = try_value (options, client, exact, recall, recall->member, high);
    if (reached < 0)
      return FALSE;
    if (reached >= options->recall)
      break;
    low = high;
    high *= 2;
  }
  if (reached < options->recall)
    return TRUE; /* none does */
  recall->value = high;
  recall->recall = reached;
  while (high - low > 1) {
    const gint64 middle = low + (high - low) / 2;
    reached = try_value (options, client, exact, recall, recall->member, middle);
    if (reached < 0)
      return FALSE;
    if (reached >= options->recall) {
      high = recall->value = middle;
      recall->recall = reached;
    } else
      low = middle;
  }
  return TRUE;
}

/* The one of the two that this index listens to: where the smallest value finds less than the largest does. */
static gboolean
find_knob (const RagifyTuneOptions *options, RagifyHttpClient *client, const Answers *exact, RagifyRecall *recall)
{
  for (gsize i = 0; i < G_N_ELEMENTS (knobs); i++) {
    RagifyRecall trial = { .tried = g_array_new (FALSE, FALSE, sizeof (RagifyRecallPoint)) };
    const double least = try_value (options, client, exact, &trial, knobs[i].member, 1);
    const double most = least < 0 ? -1 : try_value (options, client, exact, &trial, knobs[i].member, 4096);
    g_array_unref (trial.tried);
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
ragify_tune_recall (const RagifyTuneOptions *options, const char *url, RagifyRecall *recall)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (RagifyHttpClient) client = ragify_http_client_new (url, 600, 1, &error);
  Answers exact;
  *recall = (RagifyRecall){ .tried = g_array_new (FALSE, FALSE, sizeof (RagifyRecallPoint)) };
  if (client == NULL || !ask_all (options, client, "exact", 0, &exact)) {
    if (client == NULL)
      ragify_tool_complain ("%s", error->message);
    return FALSE;
  }
  gboolean well = find_knob (options, client, &exact, recall);
  if (well && recall->key != NULL)
    well = search_value (options, client, &exact, recall);
  answers_clear (&exact);
  g_array_sort (recall->tried, compare_points);
  return well;
}
