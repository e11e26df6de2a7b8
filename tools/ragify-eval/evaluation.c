#include "evaluation.h"

#include "judged-queries.h"
#include "retrieval-metrics.h"

#include "tools/common/json-reader.h"
#include "tools/common/json-writer.h"
#include "tools/common/progress.h"

#include <string.h>

typedef struct {
  RagifyHttpClient *client;
  const GPtrArray *queries;
  const RagifyEvaluationOptions *options;
  RagifyEvaluation *sums;
  RagifyProgress *progress;
  GError *failed;
  guint next;
  guint under_way;
} Asking;

typedef struct {
  Asking *asking;
  const RagifyJudgedQuery *query;
} Question;

static void ask_next (Asking *asking);

void
ragify_evaluation_free (RagifyEvaluation *evaluation)
{
  if (evaluation == NULL)
    return;
  g_free (evaluation->reason);
  g_free (evaluation);
}

GPtrArray *
ragify_evaluation_rank_documents (const struct json_t *answer)
{
  const json_t *chunks = json_object_get (answer, "chunks");
  GPtrArray *ranking = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GHashTable) seen = g_hash_table_new (g_str_hash, g_str_equal);
  for (gsize i = 0; i < json_array_size (chunks); i++) {
    const char *id = ragify_json_get_string (json_array_get (chunks, i), "document_id");
    if (id != NULL && g_hash_table_add (seen, (gpointer)id))
      g_ptr_array_add (ranking, g_strdup (id));
  }
  return ranking;
}

static void
note (RagifyEvaluation *sums, const char *reason)
{
  if (sums->reason == NULL)
    sums->reason = g_strdup (reason);
}

static void
take_ranking (Question *question, const json_t *answer)
{
  RagifyEvaluation *sums = question->asking->sums;
  GHashTable *ids = question->asking->options->ids;
  GHashTable *judgments = question->query->judgments;
  g_autoptr (GPtrArray) ranking = ragify_evaluation_rank_documents (answer);

  sums->ndcg_10 += ragify_metric_ndcg (ranking, judgments, 10);
  sums->recall_100 += ragify_metric_recall (ranking, judgments, 100);
  sums->mrr_10 += ragify_metric_reciprocal_rank (ranking, judgments, 10);
  sums->processing_time += ragify_json_get_number (answer, "processing_time", 0);
  for (guint i = 0; ids != NULL && i < ranking->len; i++)
    sums->foreign += g_hash_table_contains (ids, g_ptr_array_index (ranking, i)) ? 0 : 1;
  if (json_is_true (json_object_get (answer, "degraded"))) {
    const char *warning = json_string_value (json_array_get (json_object_get (answer, "warnings"), 0));
    sums->degraded++;
    note (sums, warning != NULL ? warning : "degraded, without a warning that says why");
  }
}

static void
take_reply (Question *question, const RagifyHttpReply *reply)
{
  RagifyEvaluation *sums = question->asking->sums;
  gsize length = 0;
  const char *bytes = g_bytes_get_data (reply->body, &length);
  g_autoptr (GError) reason = NULL;
  g_autoptr (RagifyJson) answer =
      ragify_http_reply_succeeded (reply) ? ragify_json_parse_object (bytes, length, &reason) : NULL;
  if (answer != NULL && json_is_array (json_object_get (answer, "chunks"))) {
    take_ranking (question, answer);
    return;
  }
  g_autofree char *words =
      reason != NULL ? g_strdup_printf ("the answer is %s", reason->message) : ragify_http_reply_describe (reply);
  g_autofree char *full = g_strdup_printf ("query '%s': %s", question->query->id, words);
  sums->failed++;
  note (sums, full);
}

static void
on_reply (GObject *source G_GNUC_UNUSED, GAsyncResult *result, gpointer user_data)
{
  Question *question = user_data;
  Asking *asking = question->asking;
  GError *error = NULL;
  g_autoptr (RagifyHttpReply) reply = ragify_http_client_send_finish (result, &error);
  asking->under_way--;
  if (reply != NULL)
    take_reply (question, reply);
  else if (asking->failed == NULL)
    asking->failed = error;
  else
    g_error_free (error);
  g_free (question);
  ragify_progress_update (asking->progress, asking->next - asking->under_way,
                          (double)asking->next / asking->queries->len);
  ask_next (asking);
}

static GBytes *
make_body (const Asking *asking, const RagifyJudgedQuery *query)
{
  g_autoptr (RagifyJsonWriter) writer = ragify_json_writer_new ();
  ragify_json_writer_begin_object (writer, NULL);
  ragify_json_writer_add_string (writer, "query", query->text);
  ragify_json_writer_add_string (writer, "mode", asking->options->mode);
  ragify_json_writer_add_string (writer, "cache", "bypass");
  if (asking->options->pipeline != NULL)
    ragify_json_writer_add_string (writer, "pipeline", asking->options->pipeline);
  ragify_json_writer_add_integer (writer, "max_chunks", asking->options->max_chunks);
  ragify_json_writer_end_object (writer);
  char *text = ragify_json_writer_text (writer, FALSE);
  return g_bytes_new_take (text, strlen (text));
}

static void
ask_next (Asking *asking)
{
  if (asking->failed != NULL || asking->next == asking->queries->len)
    return;
  Question *question = g_new0 (Question, 1);
  question->asking = asking;
  question->query = g_ptr_array_index (asking->queries, asking->next++);
  asking->under_way++;
  g_autoptr (GBytes) body = make_body (asking, question->query);
  ragify_http_client_send_async (asking->client, "POST", "/v1/context", "application/json", body, on_reply, question);
}

RagifyEvaluation *
ragify_evaluation_run (RagifyHttpClient *client, const GPtrArray *queries, const RagifyEvaluationOptions *options,
                       GError **error)
{
  g_autoptr (RagifyEvaluation) sums = g_new0 (RagifyEvaluation, 1);
  g_autoptr (RagifyProgress) progress = ragify_progress_new (options->mode, "queries", FALSE);
  Asking asking = { .client = client, .queries = queries, .options = options, .sums = sums, .progress = progress };

  for (guint i = 0; i < options->concurrent; i++)
    ask_next (&asking);
  while (asking.under_way > 0)
    g_main_context_iteration (NULL, TRUE);
  if (asking.failed != NULL) {
    g_propagate_error (error, asking.failed);
    return NULL;
  }
  double count = queries->len;
  sums->queries = queries->len;
  sums->ndcg_10 /= count;
  sums->recall_100 /= count;
  sums->mrr_10 /= count;
  sums->processing_time /= count;
  return g_steal_pointer (&sums);
}
