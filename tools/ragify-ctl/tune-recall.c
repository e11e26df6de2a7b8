/* The recall of a store's approximate index, judged by exact search of the same vectors on a host that runs. */
#include "tune.h"

#include <string.h>

/* Of one search with everything looked at, on a busy machine. */
#define ANSWER_SECONDS 600

typedef struct {
  const RagifyTuneOptions *options;
  RagifyHttpClient *client;
} Asking;

static GPtrArray *
ask_one (const Asking *asking, const char *query, const char *member, gint64 value)
{
  const RagifyTuneOptions *options = asking->options;
  char *text = ragify_recall_request (query, options->pipeline, NULL, (guint)options->chunks, member, value);
  g_autoptr (GBytes) body = g_bytes_new_take (text, strlen (text));
  int code = 0;
  g_autoptr (RagifyHttpReply) reply =
      ragify_control_request (asking->client, "POST", "/v1/context", "application/json", body, &code);
  if (reply == NULL)
    return NULL;
  gsize size = 0;
  const char *answer = g_bytes_get_data (reply->body, &size);
  GPtrArray *ids = ragify_recall_read_ids (answer, size);
  if (ids == NULL)
    ragify_tool_complain ("an answer is degraded; recall cannot be taken from it");
  return ids;
}

static gboolean
ask_all (void *user, const char *member, gint64 value, RagifyRecallAnswers *answers)
{
  const Asking *asking = user;
  for (guint i = 0; i < asking->options->queries->len; i++) {
    const gint64 began = g_get_monotonic_time ();
    GPtrArray *ids = ask_one (asking, g_ptr_array_index (asking->options->queries, i), member, value);
    const double time = (double)(g_get_monotonic_time () - began) / 1000;
    if (ids == NULL)
      return FALSE;
    g_ptr_array_add (answers->ids, ids);
    g_array_append_val (answers->times, time);
  }
  return TRUE;
}

gboolean
ragify_tune_recall (const RagifyTuneOptions *options, const char *url, RagifyRecall *recall)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (RagifyHttpClient) client = ragify_http_client_new (url, ANSWER_SECONDS, 1, &error);
  Asking asking = { options, client };
  if (client != NULL)
    return ragify_recall_search (options->recall, ask_all, &asking, recall);
  ragify_tool_complain ("%s", error->message);
  return FALSE;
}
