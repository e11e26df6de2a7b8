/* /v1/context and /v1/p/{pipeline}/context.
 *
 * SPDX-License-Identifier: MIT
 */
#include "exchange.h"

#include <string.h>

/* Between the exchange and the pipeline. It lives in the request's arena and ends when the pipeline has answered and
 * the exchange is told or gone. */
typedef struct Work {
  RagifyRequest *request;
  RagifyExchange *exchange; /* NULL: gone */
  RagifyServing *serving;   /* NULL while it is the listener's own */
  gboolean starting;        /* inside ragify_pipeline_answer */
  gboolean answered;
} Work;

static const char *const no_parameters[] = { NULL };

static void
release (Work *work)
{
  RagifyRequest *request = work->request;
  g_clear_pointer (&work->serving, ragify_serving_unref);
  ragify_owner_unref (&request->owner);
}

static void
answered (RagifyRequest *request, const RagifyAnswer *answer, void *user)
{
  Work *work = user;
  work->answered = TRUE;
  if (work->exchange != NULL)
    ragify_exchange_reply_answer (work->exchange, request, answer);
  work->exchange = NULL;
  if (!work->starting)
    release (work);
}

static RagifyPipeline *
find_pipeline (RagifyExchange *exchange, const RagifyRequest *request)
{
  const RagifyServing *serving = exchange->listener->serving;
  for (guint i = 0; i < serving->n_pipelines; i++) {
    const char *name = ragify_pipeline_name (serving->pipelines[i]);
    if (strlen (name) == request->pipeline.size && strncmp (name, request->pipeline.data, request->pipeline.size) == 0)
      return serving->pipelines[i];
  }
  g_autoptr (GString) names = g_string_new (NULL);
  for (guint i = 0; i < serving->n_pipelines; i++)
    g_string_append_printf (names, "%s%s", i > 0 ? ", " : "", ragify_pipeline_name (serving->pipelines[i]));
  const gboolean in_path = exchange->parameter.size != 0;
  ragify_exchange_refuse (exchange, in_path ? 404 : 422, in_path ? "Not found" : "Invalid value", "pipeline",
                          "there is no pipeline '%.*s'; there are: %s", (int)MIN (request->pipeline.size, 100),
                          request->pipeline.data, names->str);
  return NULL;
}

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

/* Puts the key's filter before the request's. */
static void
hold_request (const RagifyExchange *exchange, RagifyRequest *request)
{
  RagifyHold *hold = ragify_exchange_hold (exchange);
  if (hold == NULL)
    return;
  request->kept = ragify_hold_ref (hold);
  request->kept_release = (GDestroyNotify)ragify_hold_unref;
  if (request->filter == NULL) {
    request->filter = ragify_hold_filter (hold);
    return;
  }
  RagifyFilter *both = ragify_arena_alloc (request->owner.arena, 3 * sizeof *both);
  both[1] = *ragify_hold_filter (hold);
  both[2] = *request->filter;
  both[0] = (RagifyFilter){ .struct_size = sizeof *both,
                            .op = RAGIFY_FILTER_AND,
                            .children = { .items = both + 1, .count = 2, .stride = sizeof *both } };
  request->filter = both;
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

/* Takes `request`; NULL: refused, with the exchange's problem. */
static void
start (RagifyExchange *exchange, RagifyRequest *request)
{
  RagifyPipeline *pipeline = NULL;
  if (request != NULL && take_parameter (exchange, request))
    pipeline = find_pipeline (exchange, request);
  if (pipeline == NULL || !check_pipeline (exchange, pipeline)) {
    if (request != NULL)
      ragify_owner_unref (&request->owner);
    ragify_exchange_reply_problem (exchange, &exchange->problem);
    return;
  }

  hold_request (exchange, request);
  request->loop = exchange->listener->loop;
  request->began = exchange->began;
  memcpy (request->id, exchange->id, sizeof request->id);
  Work *work = ragify_arena_alloc (request->owner.arena, sizeof *work);
  *work = (Work){ .request = request, .exchange = exchange, .starting = TRUE };
  exchange->work = work;
  ragify_pipeline_answer (pipeline, request, answered, work);
  work->starting = FALSE;
  if (work->answered)
    release (work);
  else
    work->serving = ragify_serving_ref (exchange->listener->serving);
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
  Work *work = exchange->work;
  if (work != NULL)
    ragify_pipeline_cancel (work->request);
}

static void
detach (RagifyExchange *exchange)
{
  Work *work = exchange->work;
  if (work == NULL)
    return;
  work->exchange = NULL;
  ragify_pipeline_cancel (work->request);
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
