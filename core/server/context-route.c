/* /v1/context and /v1/p/{pipeline}/context.
 *
 * SPDX-License-Identifier: MIT
 */
#include "question.h"

#include <string.h>

static const char *const no_parameters[] = { NULL };

/* The pipeline that the path names. */
static gboolean
take_parameter (RagifyExchange *exchange, RagifyRequest *request)
{
  if (exchange->parameter.size == 0)
    return TRUE;
  g_autofree char *name = ragify_target_decode (exchange->parameter, "pipeline", &exchange->problem);
  if (name == NULL)
    return FALSE;
  const gsize size = strlen (name);
  const gboolean is_default = request->pipeline.size == 7 && memcmp (request->pipeline.data, "default", 7) == 0;
  const gboolean same = request->pipeline.size == size && memcmp (request->pipeline.data, name, size) == 0;
  if (!is_default && !same)
    return ragify_exchange_refuse (exchange, 422, "Invalid value", "pipeline",
                                   "the path names the pipeline '%s' and the request another", name);
  request->pipeline = ragify_str (ragify_arena_copy (request->owner.arena, name, size), size);
  return TRUE;
}

static void
answered (RagifyExchange *exchange, RagifyRequest *request, const RagifyAnswer *answer, void *user)
{
  ragify_exchange_reply_answer (exchange, request, answer);
}

/* Takes `request`; NULL: refused, with the exchange's problem. */
static void
start (RagifyExchange *exchange, RagifyRequest *request)
{
  if (request != NULL && !take_parameter (exchange, request)) {
    ragify_owner_unref (&request->owner);
    request = NULL;
  }
  if (request == NULL || !ragify_question_ask (exchange, request, &exchange->work, answered, NULL))
    ragify_exchange_reply_problem (exchange, &exchange->problem);
}

static gboolean
begin_post (RagifyExchange *exchange)
{
  const RagifyStr type = exchange->facts.content_type;
  if (!ragify_query_allow (exchange->query, no_parameters, &exchange->problem))
    return FALSE;
  if (!ragify_media_type_is (type, "application/json"))
    return ragify_exchange_refuse (
        exchange, 415, "Unsupported media type", "Content-Type", "expected application/json in UTF-8, found %.*s",
        type.size > 0 ? (int)MIN (type.size, 100) : 7, type.size > 0 ? type.data : "nothing");
  return TRUE;
}

static void
finish_post (RagifyExchange *exchange)
{
  const gsize size = exchange->received;
  start (exchange, ragify_request_parse_json (exchange->body->str, size, &exchange->problem));
}

static void
finish_get (RagifyExchange *exchange)
{
  const RagifyQuery *query = exchange->query;
  const char *const *names = query != NULL ? (const char *const *)query->names : NULL;
  const char *const *values = query != NULL ? (const char *const *)query->values : NULL;
  start (exchange,
         ragify_request_parse_parameters (names, values, query != NULL ? query->count : 0, &exchange->problem));
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

const RagifyAction ragify_action_context_post = {
  .held = TRUE,
  .body = RAGIFY_BODY_GATHERED,
  .begin = begin_post,
  .finish = finish_post,
  .left = left,
  .detach = detach,
};

const RagifyAction ragify_action_context_get = {
  .held = TRUE,
  .body = RAGIFY_BODY_IGNORED,
  .finish = finish_get,
  .left = left,
  .detach = detach,
};
