/* /v1/cache/warm: computing answers in advance, and how far that is.
 *
 * SPDX-License-Identifier: MIT
 */
#include "exchange.h"

#include <jansson.h>
#include <string.h>

#include "core/pipeline/describe.h"
#include "json-members.h"

#define MOST_QUERIES 100000
#define MOST_BUSIEST 1000
#define DEFAULT_AT_ONCE 2
#define MOST_AT_ONCE 64

/* What a body asks for. */
typedef struct {
  RagifyWarmList *list;
  const char *pipeline; /* NULL: not said */
  guint busiest, at_once;
  gboolean refresh, said; /* said: it names queries or busiest ones; otherwise the plans are meant */
} Wish;

static const char *const no_parameters[] = { NULL };

/* ---- how far it is ---- */

static void
write_state (RagifyWriter *writer, const RagifyWarmingState *state)
{
  ragify_writer_text (writer, state->under_way ? "{\"status\":\"running\"" : "{\"status\":\"idle\"");
  ragify_json_uint (writer, "round", state->rounds);
  ragify_json_uint (writer, "total", state->total);
  ragify_json_uint (writer, "done", state->done);
  ragify_json_uint (writer, "computed", state->computed);
  ragify_json_uint (writer, "kept", state->kept);
  ragify_json_uint (writer, "failed", state->failed);
  ragify_json_seconds (writer, "duration", state->duration_us);
  ragify_json_name (writer, "failures");
  ragify_writer_text (writer, "[");
  for (guint i = 0; i < state->n_failures; i++) {
    ragify_writer_text (writer, i > 0 ? ",{\"request\":" : "{\"request\":");
    ragify_writer_string (writer, ragify_str_from (state->failures[i].request));
    ragify_json_text (writer, "reason", state->failures[i].reason);
    ragify_writer_text (writer, "}");
  }
  ragify_writer_text (writer, "]}");
}

static void
reply_state (RagifyExchange *exchange, guint status)
{
  RagifyWarmingState state = { 0 };
  if (exchange->listener->serving->warming != NULL)
    ragify_warming_state (exchange->listener->serving->warming, &state);
  RagifyWriter writer;
  gsize size = 0;
  ragify_writer_init (&writer, 1024);
  write_state (&writer, &state);
  ragify_warming_state_clear (&state);
  char *body = ragify_writer_steal (&writer, &size);
  ragify_exchange_reply (exchange, status, "application/json", body, size);
}

static gboolean
begin_plain (RagifyExchange *exchange)
{
  return ragify_query_allow (exchange->query, no_parameters, &exchange->problem);
}

static void
finish_show (RagifyExchange *exchange)
{
  reply_state (exchange, 200);
}

/* ---- the body ---- */

static gboolean
refuse (RagifyExchange *exchange, const char *field, const char *expected, const json_t *found)
{
  RagifyDescription description;
  return ragify_exchange_refuse (exchange, 422, "Invalid value", field, "%s: expected %s, found %s", field, expected,
                                 ragify_describe (found, &description));
}

static gboolean
take_queries (RagifyExchange *exchange, const json_t *json, Wish *wish)
{
  if (!json_is_array (json) || json_array_size (json) > MOST_QUERIES)
    return refuse (exchange, "queries", "a list of at most 100000 queries or requests", json);
  wish->said = TRUE;
  for (gsize i = 0; i < json_array_size (json); i++) {
    const json_t *item = json_array_get (json, i);
    if (!json_is_string (item) && !json_is_object (item))
      return refuse (exchange, "queries", "strings, or objects as POST /v1/context takes them", item);
    char *text = json_is_object (item) ? json_dumps (item, JSON_COMPACT | JSON_REAL_PRECISION (17)) : NULL;
    /* A query that begins with a brace would be taken for a request. */
    json_t *wrapped = text == NULL ? json_pack ("{s:O}", "query", item) : NULL;
    if (wrapped != NULL)
      text = json_dumps (wrapped, JSON_COMPACT);
    ragify_warm_list_add (wish->list, text, wish->pipeline, 0);
    json_decref (wrapped);
    free (text);
  }
  return TRUE;
}

static gboolean
take_number (RagifyExchange *exchange, const char *name, const json_t *json, guint least, guint most, guint *number)
{
  g_autofree char *expected = g_strdup_printf ("an integer from %u to %u", least, most);
  const json_int_t value = json_integer_value (json);
  if (!json_is_integer (json) || value < (json_int_t)least || value > (json_int_t)most)
    return refuse (exchange, name, expected, json);
  *number = (guint)value;
  return TRUE;
}

static gboolean
take_member (RagifyExchange *exchange, const char *name, const json_t *json, Wish *wish)
{
  static const char *const names[] = { "queries", "busiest", "pipeline", "concurrency", "refresh" };
  if (strcmp (name, "queries") == 0)
    return take_queries (exchange, json, wish);
  if (strcmp (name, "busiest") == 0) {
    wish->said = TRUE;
    return take_number (exchange, name, json, 0, MOST_BUSIEST, &wish->busiest);
  }
  if (strcmp (name, "concurrency") == 0)
    return take_number (exchange, name, json, 1, MOST_AT_ONCE, &wish->at_once);
  if (strcmp (name, "refresh") == 0) {
    wish->refresh = json_is_true (json);
    return json_is_boolean (json) || refuse (exchange, name, "true or false", json);
  }
  if (strcmp (name, "pipeline") == 0)
    return TRUE; /* taken already */
  const char *nearest = ragify_describe_nearest (name, names, G_N_ELEMENTS (names));
  return ragify_exchange_refuse (exchange, 422, "Unknown field", NULL,
                                 nearest != NULL ? "%.64s: no such field; did you mean '%s'?"
                                                 : "%.64s: no such field; expected one of: queries busiest pipeline "
                                                   "concurrency refresh",
                                 name, nearest);
}

static gboolean
take_pipeline (RagifyExchange *exchange, const json_t *json, Wish *wish)
{
  const json_t *pipeline = json_object_get (json, "pipeline");
  if (pipeline == NULL)
    return TRUE;
  wish->pipeline = json_string_value (pipeline);
  if (wish->pipeline == NULL)
    return refuse (exchange, "pipeline", "a name", pipeline);
  RagifyWarming *warming = exchange->listener->serving->warming;
  return ragify_warming_find (warming, ragify_str_from (wish->pipeline)) != NULL ||
         ragify_exchange_refuse (exchange, 422, "Invalid value", "pipeline",
                                 "there is no pipeline '%.100s' with a cache", wish->pipeline);
}

static gboolean
take_body (RagifyExchange *exchange, const json_t *json, Wish *wish)
{
  const char *name;
  json_t *value;
  if (!json_is_object (json))
    return ragify_exchange_refuse (exchange, 422, "Invalid value", NULL,
                                   "body: expected a JSON object such as {\"queries\": [\"…\"]}");
  if (!take_pipeline (exchange, json, wish))
    return FALSE;
  json_object_foreach ((json_t *)json, name, value)
  {
    if (!take_member (exchange, name, value, wish))
      return FALSE;
  }
  return TRUE;
}

static json_t *
load_body (RagifyExchange *exchange)
{
  json_error_t error;
  if (exchange->received == 0)
    return json_object ();
  json_t *json = json_loadb (exchange->body->str, exchange->received, JSON_REJECT_DUPLICATES, &error);
  if (json == NULL)
    ragify_exchange_refuse (exchange, 400, "Malformed JSON", NULL,
                            "body: expected JSON, found at line %d, column %d: %s", error.line, error.column,
                            error.text);
  return json;
}

/* ---- beginning ---- */

static void
add_busiest (const RagifyExchange *exchange, Wish *wish)
{
  const RagifyServing *serving = exchange->listener->serving;
  for (guint i = 0; i < serving->n_pipelines && wish->busiest > 0; i++) {
    RagifyPipeline *pipeline = serving->pipelines[i];
    const gboolean meant = wish->pipeline == NULL || strcmp (wish->pipeline, ragify_pipeline_name (pipeline)) == 0;
    if (meant && ragify_pipeline_busiest (pipeline) != NULL)
      ragify_warm_list_add_busiest (wish->list, pipeline, wish->busiest);
  }
}

/* FALSE: another round is under way. */
static gboolean
begin_round (RagifyExchange *exchange, Wish *wish)
{
  RagifyWarming *warming = exchange->listener->serving->warming;
  if (wish->said) {
    add_busiest (exchange, wish);
    return ragify_warming_begin (warming, g_steal_pointer (&wish->list), wish->at_once, wish->refresh);
  }
  if (ragify_warming_is_under_way (warming))
    return FALSE;
  ragify_warming_run_plans (warming, wish->pipeline);
  return TRUE;
}

static void
finish_warm (RagifyExchange *exchange)
{
  Wish wish = { .list = ragify_warm_list_new (), .at_once = DEFAULT_AT_ONCE };
  json_t *json = load_body (exchange);
  gboolean good = json != NULL && take_body (exchange, json, &wish);
  if (good && !begin_round (exchange, &wish)) {
    good = ragify_exchange_refuse (exchange, 409, "Already warming", NULL,
                                   "a round is under way; GET /v1/cache/warm says how far it is");
    exchange->problem.retry_after = 1;
  }
  json_decref (json);
  g_clear_pointer (&wish.list, ragify_warm_list_free);
  if (good)
    reply_state (exchange, 202);
  else
    ragify_exchange_reply_problem (exchange, &exchange->problem);
}

static gboolean
begin_warm (RagifyExchange *exchange)
{
  const RagifyStr type = exchange->facts.content_type;
  if (!ragify_query_allow (exchange->query, no_parameters, &exchange->problem))
    return FALSE;
  if (exchange->listener->serving->warming == NULL)
    return ragify_exchange_refuse (exchange, 404, "Not found", NULL, "no pipeline has a cache");
  return type.size == 0 || ragify_media_type_is (type, "application/json") ||
         ragify_exchange_refuse (exchange, 415, "Unsupported media type", "Content-Type",
                                 "expected application/json in UTF-8, found %.*s", (int)MIN (type.size, 100),
                                 type.data);
}

const RagifyAction ragify_action_warm = {
  .access = RAGIFY_ACCESS_ADMIN, .body = RAGIFY_BODY_GATHERED, .begin = begin_warm, .finish = finish_warm
};
const RagifyAction ragify_action_warm_show = { .access = RAGIFY_ACCESS_READ,
                                               .begin = begin_plain,
                                               .finish = finish_show };
