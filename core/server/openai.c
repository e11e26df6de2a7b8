/* SPDX-License-Identifier: MIT */
#include "core/server/openai.h"

#include <jansson.h>
#include <string.h>

#define MOST_RESULTS 50
#define DEEPEST_FILTER 16

/* ---- filters ---- */

static json_t *
refuse (RagifyProblem *problem, const char *field, const char *detail)
{
  ragify_problem_set (problem, 422, "Invalid value", field, "%s", detail);
  return NULL;
}

static json_t *convert_filter (const json_t *filter, guint depth, RagifyProblem *problem);

/* {"type": "and", "filters": […]} */
static json_t *
convert_compound (const json_t *filter, const char *type, guint depth, RagifyProblem *problem)
{
  const json_t *parts = json_object_get (filter, "filters");
  json_t *list = json_array (), *part = NULL;
  gsize i = 0;
  if (!json_is_array (parts) || json_array_size (parts) == 0 || depth >= DEEPEST_FILTER) {
    json_decref (list);
    return refuse (problem, "filters", "filters: 'and' and 'or' take a list of filters, nested at most 16 deep");
  }
  json_array_foreach ((json_t *)parts, i, part)
  {
    json_t *converted = convert_filter (part, depth + 1, problem);
    if (converted == NULL) {
      json_decref (list);
      return NULL;
    }
    json_array_append_new (list, converted);
  }
  return json_pack ("{s:o}", type, list);
}

/* {"type": "gte", "key": "year", "value": 2020} */
static json_t *
convert_filter (const json_t *filter, guint depth, RagifyProblem *problem)
{
  static const char *const comparisons[] = { "eq", "ne", "gt", "gte", "lt", "lte", "in", "nin", NULL };
  const char *type = json_string_value (json_object_get (filter, "type"));
  if (type != NULL && (strcmp (type, "and") == 0 || strcmp (type, "or") == 0))
    return convert_compound (filter, type, depth, problem);
  const json_t *key = json_object_get (filter, "key"), *value = json_object_get (filter, "value");
  if (type == NULL || !g_strv_contains (comparisons, type) || !json_is_string (key) || value == NULL)
    return refuse (problem, "filters",
                   "filters: expected {\"type\": eq, ne, gt, gte, lt, lte, in or nin, \"key\": …, \"value\": …}, or "
                   "{\"type\": and or or, \"filters\": […]}");
  /* By itself a member named like a combination would be taken for one. */
  return json_pack ("{s:{s:O}}", json_string_value (key), type, value);
}

/* ---- questions ---- */

static gboolean
check_members (const json_t *body, RagifyProblem *problem)
{
  static const char *const known[] = {
    "query", "max_num_results", "filters", "ranking_options", "rewrite_query", NULL
  };
  const char *name = NULL;
  json_t *value = NULL;
  json_object_foreach ((json_t *)body, name, value) if (!g_strv_contains (known, name)) return ragify_problem_set (
      problem, 422, "Invalid value", name, "%.64s is not a member of a search", name);
  return TRUE;
}

static gboolean
take_query (const json_t *body, json_t *question, RagifyProblem *problem)
{
  json_t *query = json_object_get (body, "query");
  if (json_is_array (query) && json_array_size (query) == 1)
    query = json_array_get (query, 0);
  if (json_is_string (query)) {
    json_object_set (question, "query", query);
    return TRUE;
  }
  return ragify_problem_set (problem, 422, "Invalid value", "query",
                             "query: expected a text, or a list of one text; several queries are a batch of questions");
}

static gboolean
take_limits (const json_t *body, json_t *question, RagifyProblem *problem)
{
  json_t *results = json_object_get (body, "max_num_results");
  json_t *threshold = json_object_get (json_object_get (body, "ranking_options"), "score_threshold");
  if (results != NULL &&
      (!json_is_integer (results) || json_integer_value (results) < 1 || json_integer_value (results) > MOST_RESULTS))
    return ragify_problem_set (problem, 422, "Invalid value", "max_num_results",
                               "max_num_results: expected an integer from 1 to %d", MOST_RESULTS);
  if (results != NULL)
    json_object_set (question, "max_chunks", results);
  if (threshold != NULL &&
      (!json_is_number (threshold) || !(json_number_value (threshold) >= 0) || json_number_value (threshold) > 1))
    return ragify_problem_set (problem, 422, "Invalid value", "ranking_options",
                               "ranking_options.score_threshold: expected a number from 0 to 1");
  if (threshold != NULL)
    json_object_set (question, "min_relevance", threshold);
  return TRUE;
}

static gboolean
take_filter (const json_t *body, json_t *question, RagifyProblem *problem)
{
  const json_t *filter = json_object_get (body, "filters");
  if (filter == NULL || json_is_null (filter))
    return TRUE;
  json_t *converted = convert_filter (filter, 0, problem);
  return converted != NULL && json_object_set_new (question, "filter", converted) == 0;
}

static RagifyRequest *
make_request (const json_t *body, const char *name, gboolean is_pipeline, RagifyProblem *problem)
{
  RagifyRequest *request = NULL;
  json_t *question = is_pipeline ? json_pack ("{s:s}", "pipeline", name) : json_pack ("{s:[s]}", "sources", name);
  if (check_members (body, problem) && take_query (body, question, problem) && take_limits (body, question, problem) &&
      take_filter (body, question, problem)) {
    char *text = json_dumps (question, JSON_COMPACT);
    request = ragify_request_parse_json (text, strlen (text), problem);
    free (text);
  }
  json_decref (question);
  return request;
}

RagifyRequest *
ragify_openai_question (const char *body, gsize size, const char *name, gboolean is_pipeline, RagifyProblem *problem)
{
  json_error_t error;
  json_t *object = json_loadb (body, size, JSON_REJECT_DUPLICATES, &error);
  RagifyRequest *request = NULL;
  if (object == NULL)
    ragify_problem_set (problem, 400, "Malformed JSON", NULL, "line %d, column %d: %s", error.line, error.column,
                        error.text);
  else if (!json_is_object (object))
    ragify_problem_set (problem, 422, "Invalid value", NULL, "expected an object");
  else
    request = make_request (object, name, is_pipeline, problem);
  json_decref (object);
  return request;
}

/* ---- results ---- */

static json_t *
member (const json_t *object, const char *name)
{
  json_t *value = json_object_get (object, name);
  return value != NULL ? json_incref (value) : json_null ();
}

static json_t *
result_of (const json_t *chunk)
{
  const char *document = json_string_value (json_object_get (chunk, "document_id"));
  const char *title = json_string_value (json_object_get (chunk, "title"));
  json_t *attributes = json_object_get (chunk, "metadata");
  document = document != NULL ? document : "";
  return json_pack ("{s:s, s:s, s:o, s:o, s:[{s:s, s:o}]}", "file_id", document, "filename",
                    title != NULL && *title != '\0' ? title : document, "score", member (chunk, "relevance_score"),
                    "attributes", attributes != NULL ? json_incref (attributes) : json_object (), "content", "type",
                    "text", "text", member (chunk, "content"));
}

char *
ragify_openai_page (const char *body, gsize size, RagifyStr query, gsize *page_size)
{
  json_t *answer = json_loadb (body, size, JSON_ALLOW_NUL, NULL), *results = json_array (), *chunk = NULL;
  gsize i = 0;
  json_array_foreach (json_object_get (answer, "chunks"), i, chunk) json_array_append_new (results, result_of (chunk));
  json_t *page = json_pack ("{s:s, s:[o], s:o, s:b, s:n}", "object", "vector_store.search_results.page", "search_query",
                            json_stringn (query.data, query.size), "data", results, "has_more", FALSE, "next_page");
  char *text = json_dumps (page, JSON_COMPACT);
  json_decref (page);
  json_decref (answer);
  char *copy = g_strdup (text);
  *page_size = strlen (copy);
  free (text);
  return copy;
}
