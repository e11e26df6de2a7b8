/* POST /v1/tune: begins to look for the smallest search setting of a store that finds enough.
 *
 * SPDX-License-Identifier: MIT
 */
#include <jansson.h>
#include <string.h>

#include "core/pipeline/describe.h"
#include "core/pipeline/tuning.h"
#include "exchange.h"

#define MOST_QUERIES 1000
#define BUSIEST 200
#define MOST_AT_ONCE 64
#define MOST_REPEATS 20
#define LONGEST_RUN 60

/* What a body asks for, and what carries it out; the thread's from its beginning on. */
typedef struct Tune {
  RagifyServing *serving;
  RagifyPipeline *pipeline;
  RagifyPostedJob *job;
  GPtrArray *queries; /* texts */
  char *store;
  double recall, seconds;
  guint chunks, repeats, clients;
  gint stopping; /* atomic */
} Tune;

static const char *const no_parameters[] = { NULL };

static void
tune_free (Tune *tune)
{
  g_ptr_array_unref (tune->queries);
  g_free (tune->store);
  ragify_serving_unref (tune->serving);
  g_free (tune);
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
take_queries (RagifyExchange *exchange, const json_t *json, Tune *tune)
{
  static const char expected[] = "a list of 1 to 1000 queries";
  const gsize count = json_array_size (json);
  if (!json_is_array (json) || count == 0 || count > MOST_QUERIES)
    return refuse (exchange, "queries", expected, json);
  for (gsize i = 0; i < count; i++) {
    const json_t *item = json_array_get (json, i);
    const gsize size = json_string_length (item);
    if (!json_is_string (item) || size == 0 || size > RAGIFY_QUERY_MAX || strlen (json_string_value (item)) != size)
      return refuse (exchange, "queries", "texts of 1 to 32768 bytes", item);
    g_ptr_array_add (tune->queries, g_strdup (json_string_value (item)));
  }
  return TRUE;
}

static gboolean
take_count (RagifyExchange *exchange, const char *name, const json_t *json, guint most, guint *count)
{
  g_autofree char *expected = g_strdup_printf ("an integer from 1 to %u", most);
  const json_int_t value = json_integer_value (json);
  if (!json_is_integer (json) || value < 1 || value > (json_int_t)most)
    return refuse (exchange, name, expected, json);
  *count = (guint)value;
  return TRUE;
}

static gboolean
take_pipeline (RagifyExchange *exchange, const json_t *json, Tune *tune)
{
  const char *name = json_string_value (json);
  if (name == NULL)
    return refuse (exchange, "pipeline", "a name", json);
  tune->pipeline = ragify_serving_pipeline (tune->serving, ragify_str_from (name));
  return tune->pipeline != NULL ||
         ragify_exchange_refuse (exchange, 422, "Invalid value", "pipeline", "there is no pipeline '%.100s'", name);
}

static gboolean
take_store (RagifyExchange *exchange, const json_t *json, Tune *tune)
{
  const char *name = json_string_value (json);
  if (name == NULL)
    return refuse (exchange, "store", "a name", json);
  for (guint i = 0; i < tune->serving->n_libraries; i++)
    if (strcmp (ragify_library_name (tune->serving->libraries[i]), name) == 0)
      tune->store = g_strdup (name);
  return tune->store != NULL ||
         ragify_exchange_refuse (exchange, 422, "Invalid value", "store", "there is no vector store '%.100s'", name);
}

static gboolean
take_member (RagifyExchange *exchange, const char *name, const json_t *json, Tune *tune)
{
  static const char *const names[] = { "queries", "pipeline", "store",   "recall",
                                       "chunks",  "repeats",  "seconds", "clients" };
  if (strcmp (name, "queries") == 0)
    return take_queries (exchange, json, tune);
  if (strcmp (name, "pipeline") == 0)
    return take_pipeline (exchange, json, tune);
  if (strcmp (name, "store") == 0)
    return take_store (exchange, json, tune);
  if (strcmp (name, "recall") == 0) {
    tune->recall = json_number_value (json);
    return (tune->recall > 0 && tune->recall <= 1) ||
           refuse (exchange, name, "a number of more than 0, and 1 at most", json);
  }
  if (strcmp (name, "seconds") == 0) {
    tune->seconds = json_number_value (json);
    return (tune->seconds > 0 && tune->seconds <= LONGEST_RUN) ||
           refuse (exchange, name, "a number of more than 0, and 60 at most", json);
  }
  if (strcmp (name, "chunks") == 0)
    return take_count (exchange, name, json, 1000, &tune->chunks);
  if (strcmp (name, "repeats") == 0)
    return take_count (exchange, name, json, MOST_REPEATS, &tune->repeats);
  if (strcmp (name, "clients") == 0)
    return take_count (exchange, name, json, MOST_AT_ONCE, &tune->clients);
  const char *nearest = ragify_describe_nearest (name, names, G_N_ELEMENTS (names));
  return ragify_exchange_refuse (exchange, 422, "Unknown field", NULL,
                                 nearest != NULL
                                     ? "%.64s: no such field; did you mean '%s'?"
                                     : "%.64s: no such field; expected one of: queries pipeline store recall "
                                       "chunks repeats seconds clients",
                                 name, nearest);
}

/* What is most asked, as the pipeline's cache has counted it. */
static void
add_busiest (Tune *tune)
{
  RagifyBusiest *busiest = ragify_pipeline_busiest (tune->pipeline);
  GArray *list = busiest != NULL ? ragify_busiest_list (busiest, BUSIEST) : NULL;
  for (guint i = 0; list != NULL && i < list->len; i++) {
    const char *text = g_array_index (list, RagifyBusy, i).text;
    json_t *json = json_loads (text, 0, NULL);
    const char *query = json_string_value (json_object_get (json, "query"));
    if (query != NULL || *text != '{')
      g_ptr_array_add (tune->queries, g_strdup (query != NULL ? query : text));
    json_decref (json);
  }
  if (list != NULL)
    ragify_busy_list_free (list);
}

/* What was not said. */
static gboolean
complete (RagifyExchange *exchange, Tune *tune)
{
  const RagifyServing *serving = tune->serving;
  if (tune->pipeline == NULL)
    tune->pipeline = ragify_serving_pipeline (serving, ragify_str_from ("default"));
  if (tune->pipeline == NULL)
    return ragify_exchange_refuse (exchange, 422, "Invalid value", "pipeline", "say which pipeline is meant");
  if (tune->store == NULL && serving->n_libraries != 1)
    return ragify_exchange_refuse (exchange, 422, "Invalid value", "store",
                                   serving->n_libraries == 0 ? "no vector store is configured"
                                                             : "say which vector store is meant");
  if (tune->store == NULL)
    tune->store = g_strdup (ragify_library_name (serving->libraries[0]));
  if (tune->queries->len == 0)
    add_busiest (tune);
  return tune->queries->len > 0 ||
         ragify_exchange_refuse (exchange, 422, "Invalid value", "queries",
                                 "queries: expected a list of 1 to 1000 queries; none has been asked often enough yet "
                                 "for the host to know its own");
}

static gboolean
take_body (RagifyExchange *exchange, Tune *tune)
{
  json_error_t error;
  const char *name;
  json_t *value;
  json_t *json = exchange->received > 0
                     ? json_loadb (exchange->body->str, exchange->received, JSON_REJECT_DUPLICATES, &error)
                     : json_object ();
  gboolean good = json_is_object (json);
  if (json == NULL)
    ragify_exchange_refuse (exchange, 400, "Malformed JSON", NULL,
                            "body: expected JSON, found at line %d, column %d: %s", error.line, error.column,
                            error.text);
  else if (!good)
    ragify_exchange_refuse (exchange, 422, "Invalid value", NULL,
                            "body: expected a JSON object such as {\"queries\": [\"…\"], \"recall\": 0.95}");
  json_object_foreach (json, name, value)
  {
    if (good)
      good = take_member (exchange, name, value, tune);
  }
  json_decref (json);
  return good && complete (exchange, tune);
}

/* ---- carrying it out ---- */

static void
say (void *user, json_t *members)
{
  ragify_posted_job_say (((Tune *)user)->job, members);
}

static void
stop (void *user)
{
  g_atomic_int_set (&((Tune *)user)->stopping, 1);
}

static gpointer
tune_main (gpointer data)
{
  Tune *tune = data;
  const RagifyTuningOptions options = { .pipeline = tune->pipeline,
                                        .store = tune->store,
                                        .queries = tune->queries,
                                        .recall = tune->recall,
                                        .chunks = tune->chunks,
                                        .repeats = tune->repeats,
                                        .at_once = tune->clients,
                                        .run_us = MAX ((guint64)(tune->seconds * G_USEC_PER_SEC), 1000),
                                        .stopping = &tune->stopping,
                                        .say = say,
                                        .user = tune };
  RagifyProblem problem = { 0 };
  json_t *result = ragify_tuning_run (&options, &problem);
  ragify_posted_job_end (tune->job, result, problem.status != 0 ? &problem : NULL);
  ragify_problem_clear (&problem);
  tune_free (tune);
  return NULL;
}

static gboolean
post (RagifyExchange *exchange, Tune *tune)
{
  RagifyJobBoard *board = ragify_exchange_board (exchange);
  const RagifyJobOffer offer = {
    .kind = "tune", .store = tune->store, .scope = RAGIFY_SCOPE_ADMIN, .alone = TRUE, .cancel = stop, .user = tune
  };
  tune->job = ragify_job_board_post (board, &offer);
  if (tune->job != NULL)
    return TRUE;
  ragify_exchange_refuse (
      exchange, 409, "Already tuning", NULL,
      "another job of the kind is under way, whose measurements this one would disturb; GET /v1/jobs "
      "names it");
  exchange->problem.retry_after = 10;
  return FALSE;
}

static void
finish_tune (RagifyExchange *exchange)
{
  Tune *tune = g_new0 (Tune, 1);
  *tune = (Tune){ .serving = ragify_serving_ref (exchange->listener->serving),
                  .queries = g_ptr_array_new_with_free_func (g_free),
                  .recall = 0.95,
                  .seconds = 2,
                  .chunks = 10,
                  .repeats = 3,
                  .clients = 4 };
  if (!take_body (exchange, tune) || !post (exchange, tune)) {
    tune_free (tune);
    ragify_exchange_reply_problem (exchange, &exchange->problem);
    return;
  }
  g_autofree char *id = ragify_posted_job_id (tune->job);
  ragify_exchange_reply_job (exchange, id, FALSE);
  g_thread_unref (g_thread_new ("tune", tune_main, tune));
}

static gboolean
begin_tune (RagifyExchange *exchange)
{
  const RagifyStr type = exchange->facts.content_type;
  if (ragify_exchange_board (exchange) == NULL)
    return ragify_exchange_refuse (exchange, 404, "Not found", NULL, "this host begins no jobs");
  return ragify_query_allow (exchange->query, no_parameters, &exchange->problem) &&
         (type.size == 0 || ragify_media_type_is (type, "application/json") ||
          ragify_exchange_refuse (exchange, 415, "Unsupported media type", "Content-Type",
                                  "expected application/json in UTF-8, found %.*s", (int)MIN (type.size, 100),
                                  type.data));
}

const RagifyAction ragify_action_tune = {
  .access = RAGIFY_ACCESS_ADMIN, .body = RAGIFY_BODY_GATHERED, .begin = begin_tune, .finish = finish_tune
};
