/* POST /v1/vector_stores/{id}/search: as OpenAI's API has it, for its clients.
 *
 * SPDX-License-Identifier: MIT
 *
 * {id} is a pipeline, or one of the places that the default pipeline retrieves from.
 */
#include <string.h>

#include "openai.h"
#include "question.h"

static const char *const no_parameters[] = { NULL };

static gboolean
begin (RagifyExchange *exchange)
{
  if (!ragify_query_allow (exchange->query, no_parameters, &exchange->problem))
    return FALSE;
  if (!ragify_media_type_is (exchange->facts.content_type, "application/json"))
    return ragify_exchange_refuse (exchange, 415, "Unsupported media type", "Content-Type",
                                   "expected application/json in UTF-8");
  return TRUE;
}

static void
answered (RagifyExchange *exchange, RagifyRequest *request, const RagifyAnswer *answer, void *user)
{
  if (answer->status != 200) {
    ragify_exchange_reply_answer (exchange, request, answer);
    return;
  }
  g_autoptr (GString) whole = g_string_new_len (answer->head, (gssize)answer->head_size);
  if (answer->body != NULL)
    g_string_append_len (whole, (const char *)answer->body->data, (gssize)answer->body->size);
  gsize size = 0;
  char *page = ragify_openai_page (whole->str, whole->len, request->query, &size);
  ragify_exchange_reply (exchange, 200, "application/json", page, size);
}

static gboolean
is_pipeline (const RagifyExchange *exchange, const char *name)
{
  const RagifyServing *serving = exchange->listener->serving;
  for (guint i = 0; i < serving->n_pipelines; i++)
    if (strcmp (ragify_pipeline_name (serving->pipelines[i]), name) == 0)
      return TRUE;
  return FALSE;
}

static void
finish (RagifyExchange *exchange)
{
  RagifyRequest *request = NULL;
  g_autofree char *name = ragify_target_decode (exchange->parameter, "vector_store_id", &exchange->problem);
  if (name != NULL)
    request = ragify_openai_question (exchange->body->str, exchange->received, name, is_pipeline (exchange, name),
                                      &exchange->problem);
  /* The path's parameter is no pipeline's: what is said of one must not name it. */
  exchange->parameter = ragify_str (NULL, 0);
  if (request == NULL || !ragify_question_ask (exchange, request, &exchange->work, answered, NULL))
    ragify_exchange_reply_problem (exchange, &exchange->problem);
}

static void
left (RagifyExchange *exchange)
{
  if (exchange->work != NULL)
    ragify_question_cancel (exchange->work);
}

static void
detach (RagifyExchange *exchange)
{
  if (exchange->work != NULL)
    ragify_question_forget (exchange->work);
}

const RagifyAction ragify_action_openai_search = {
  .body = RAGIFY_BODY_GATHERED,
  .held = TRUE,
  .begin = begin,
  .finish = finish,
  .left = left,
  .detach = detach,
};
