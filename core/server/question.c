/* SPDX-License-Identifier: MIT */
#include "question.h"

#include <string.h>

/* Lives in the request's arena and ends when the pipeline has answered and the exchange is told or gone. */
struct RagifyQuestion {
  RagifyRequest *request;
  RagifyExchange *exchange; /* NULL: gone */
  void **place;
  RagifyServing *serving; /* NULL while it is the listener's own */
  RagifyQuestionAnswered answered;
  void *user;
  gboolean starting; /* inside ragify_pipeline_answer */
  gboolean over;
};

static RagifyPipeline *
find_pipeline (RagifyExchange *exchange, const RagifyRequest *request)
{
  const RagifyServing *serving = exchange->listener->serving;
  RagifyPipeline *pipeline = ragify_serving_pipeline (serving, request->pipeline);
  if (pipeline != NULL)
    return pipeline;
  g_autoptr (GString) names = g_string_new (NULL);
  for (guint i = 0; i < serving->n_pipelines; i++)
    g_string_append_printf (names, "%s%s", i > 0 ? ", " : "", ragify_pipeline_name (serving->pipelines[i]));
  const gboolean in_path = exchange->parameter.size != 0;
  ragify_exchange_refuse (exchange, in_path ? 404 : 422, in_path ? "Not found" : "Invalid value", "pipeline",
                          "there is no pipeline '%.*s'; there are: %s", (int)MIN (request->pipeline.size, 100),
                          request->pipeline.data, names->str);
  return NULL;
}

/* Puts the key's filter before the request's. */
static void
hold_request (const RagifyExchange *exchange, RagifyRequest *request)
{
  RagifyHold *hold = ragify_exchange_hold (exchange);
  if (hold == NULL)
    return;
  request->kept = ragify_hold_ref (hold);
  request->kept_release = (GDestroyNotify)ragify_hold_unref;
  request->filter = ragify_hold_narrow (hold, request->filter, request->owner.arena);
}

/* Whether the key may ask the pipeline at all. */
static gboolean
check_pipeline (RagifyExchange *exchange, const RagifyPipeline *pipeline)
{
  const RagifyApiKey *key = exchange->key;
  if (key == NULL || key->pipelines == NULL ||
      g_strv_contains ((const char *const *)key->pipelines, ragify_pipeline_name (pipeline)))
    return TRUE;
  return ragify_exchange_refuse (exchange, 403, "Forbidden", "pipeline", "the key may not ask the pipeline '%s'",
                                 ragify_pipeline_name (pipeline));
}

static void
release (RagifyQuestion *question)
{
  RagifyRequest *request = question->request;
  g_clear_pointer (&question->serving, ragify_serving_unref);
  ragify_owner_unref (&request->owner);
}

/* The exchange has nothing to do with it any more. */
static RagifyExchange *
part (RagifyQuestion *question)
{
  RagifyExchange *exchange = question->exchange;
  if (exchange != NULL)
    *question->place = NULL;
  question->exchange = NULL;
  return exchange;
}

static void
take_answer (RagifyRequest *request, const RagifyAnswer *answer, void *user)
{
  RagifyQuestion *question = user;
  question->over = TRUE;
  RagifyExchange *exchange = part (question);
  if (exchange != NULL)
    question->answered (exchange, request, answer, question->user);
  if (!question->starting)
    release (question);
}

gboolean
ragify_question_ask (RagifyExchange *exchange, RagifyRequest *request, void **place, RagifyQuestionAnswered answered,
                     void *user)
{
  RagifyPipeline *pipeline = find_pipeline (exchange, request);
  if (pipeline == NULL || !check_pipeline (exchange, pipeline)) {
    ragify_owner_unref (&request->owner);
    return FALSE;
  }
  hold_request (exchange, request);
  request->loop = exchange->listener->loop;
  if (request->began == 0)
    request->began = exchange->began;
  memcpy (request->id, exchange->id, sizeof request->id);
  exchange->asked = TRUE;
  if (exchange->spot.trace != NULL)
    request->owner.spot = ragify_trace_spot (exchange->spot.trace, exchange->spot.span);
  RagifyQuestion *question = ragify_arena_alloc (request->owner.arena, sizeof *question);
  *question = (RagifyQuestion){
    .request = request, .exchange = exchange, .place = place, .answered = answered, .user = user, .starting = TRUE
  };
  *place = question;
  ragify_pipeline_answer (pipeline, request, take_answer, question);
  question->starting = FALSE;
  if (question->over)
    release (question);
  else
    question->serving = ragify_serving_ref (exchange->listener->serving);
  return TRUE;
}

void
ragify_question_cancel (RagifyQuestion *question)
{
  ragify_pipeline_cancel (question->request);
}

void
ragify_question_forget (RagifyQuestion *question)
{
  part (question);
  ragify_pipeline_cancel (question->request);
}
