/* SPDX-License-Identifier: MIT */
#include "request.h"

#include <jansson.h>
#include <string.h>

#include "json-extent.h"
#include "request-fields.h"
#include "request-plain.h"

#define MALFORMED "Malformed JSON"

static void
clear_request (RagifyOwner *owner)
{
  RagifyRequest *request = (RagifyRequest *)owner;
  if (request->run_clear != NULL)
    request->run_clear (request->run);
  if (request->kept_release != NULL)
    request->kept_release (request->kept);
}

static RagifyRequest *
new_request (void)
{
  RagifyRequest *request = (RagifyRequest *)ragify_owner_new (sizeof *request, clear_request);
  request->pipeline = ragify_str_from ("default");
  request->mode = RAGIFY_MODE_UNSAID;
  request->min_relevance = -1;
  return request;
}

/* The member that Jansson names in: duplicate object key near '"NAME"'. */
static char *
duplicate_name (const char *text)
{
  const char *begin = strstr (text, "'\"");
  const char *end = begin != NULL ? strchr (begin + 2, '"') : NULL;
  return end != NULL ? g_strndup (begin + 2, end - begin - 2) : NULL;
}

static gboolean
refuse_text (const json_error_t *error, const char *what, RagifyProblem *problem)
{
  const char *prefix = what != NULL ? what : "body";
  switch (json_error_code (error)) {
  case json_error_duplicate_key: {
    g_autofree char *name = duplicate_name (error->text);
    return ragify_problem_set (problem, 422, "Invalid value", what != NULL ? what : name,
                               "%s: expected each member once, found '%s' twice", prefix, name != NULL ? name : "one");
  }
  case json_error_numeric_overflow:
    return ragify_problem_set (problem, what != NULL ? 422 : 400, "Number out of range", what,
                               "%s: expected numbers that fit 64 bits, found a larger one at line %d, column %d",
                               prefix, error->line, error->column);
  case json_error_null_byte_in_key:
    return ragify_problem_set (problem, 422, "Unknown field", what,
                               "%s: expected member names without U+0000, found one at line %d, column %d", prefix,
                               error->line, error->column);
  default:
    return ragify_problem_set (problem, what != NULL ? 422 : 400, what != NULL ? "Invalid value" : MALFORMED, what,
                               "%s: expected JSON, found at line %d, column %d: %s", prefix, error->line,
                               MAX (error->column, 0), error->text);
  }
}

/* `what`: the parameter that holds the text; NULL for a body. */
static json_t *
load (const char *text, gsize size, const char *what, RagifyProblem *problem)
{
  /* Jansson recurses, so this comes first. */
  if (!ragify_json_is_within (text, size, RAGIFY_REQUEST_MAX_DEPTH, G_MAXUINT)) {
    ragify_problem_set (problem, what != NULL ? 422 : 400, MALFORMED, what,
                        "%s: expected at most %d levels of brackets, found more", what != NULL ? what : "body",
                        RAGIFY_REQUEST_MAX_DEPTH);
    return NULL;
  }
  const char *nul = memchr (text, '\0', size); /* no JSON has one, but Jansson takes it for the end of a number */
  if (nul != NULL) {
    ragify_problem_set (problem, 400, MALFORMED, what, "body: expected JSON, found a byte 0 at offset %" G_GSIZE_FORMAT,
                        (gsize)(nul - text));
    return NULL;
  }
  json_error_t error;
  json_t *json = json_loadb (text, size, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_ANY, &error);
  if (json == NULL)
    refuse_text (&error, what, problem);
  return json;
}

static RagifyRequest *
finish (RagifyRequest *request, RagifyProblem *problem)
{
  if (request->query.size != 0)
    return request;
  ragify_problem_set (problem, 422, "Missing field", "query",
                      "query: expected a string of 1 to %d bytes, found nothing", RAGIFY_QUERY_MAX);
  ragify_owner_unref (&request->owner);
  return NULL;
}

static gboolean
fill (RagifyRequest *request, const json_t *json, RagifyProblem *problem)
{
  const char *name;
  json_t *value;
  json_object_foreach ((json_t *)json, name, value)
  {
    const RagifyField *field = ragify_request_field (name, problem);
    if (field == NULL || !ragify_request_field_set (request, field, value, problem))
      return FALSE;
  }
  return TRUE;
}

/* A list in one parameter: names between commas. */
static json_t *
load_names (const char *value)
{
  json_t *list = json_array ();
  g_auto (GStrv) names = g_strsplit (value, ",", -1);
  for (guint i = 0; names[i] != NULL; i++)
    json_array_append_new (list, json_string (g_strstrip (names[i])));
  return list;
}

static json_t *
load_parameter (const RagifyField *field, const char *value, RagifyProblem *problem)
{
  const gboolean text = field->type == RAGIFY_FIELD_QUERY || field->type == RAGIFY_FIELD_NAME ||
                        field->type == RAGIFY_FIELD_CHOICE || field->type == RAGIFY_FIELD_NAMES;
  if (!text)
    return load (value, strlen (value), field->name, problem);
  if (!g_utf8_validate (value, -1, NULL)) {
    ragify_problem_set (problem, 422, "Invalid value", field->name, "%s: expected UTF-8, found other bytes",
                        field->name);
    return NULL;
  }
  return field->type == RAGIFY_FIELD_NAMES ? load_names (value) : json_string (value);
}

static gboolean
set_parameter (RagifyRequest *request, const char *name, const char *value, guint *seen, RagifyProblem *problem)
{
  g_autofree char *valid = g_utf8_make_valid (name, -1);
  const RagifyField *field = ragify_request_field (strcmp (name, "q") == 0 ? "query" : valid, problem);
  if (field == NULL)
    return FALSE;
  const guint bit = 1u << (guint)(field - ragify_request_fields);
  if ((*seen & bit) != 0)
    return ragify_problem_set (problem, 422, "Invalid value", field->name, "%s: expected once, found twice",
                               field->name);
  *seen |= bit;
  json_t *json = load_parameter (field, value != NULL ? value : "", problem);
  if (json == NULL)
    return FALSE;
  const gboolean set = ragify_request_field_set (request, field, json, problem);
  json_decref (json);
  return set;
}

json_t *
ragify_request_load_json (const char *body, gsize size, RagifyProblem *problem)
{
  return load (size > 0 ? body : "", size, NULL, problem);
}

RagifyRequest *
ragify_request_parse_object (const json_t *object, RagifyProblem *problem)
{
  if (!json_is_object (object)) {
    ragify_problem_set (problem, 422, "Invalid value", NULL, "body: expected a JSON object such as {\"query\": \"…\"}");
    return NULL;
  }
  RagifyRequest *request = new_request ();
  if (fill (request, object, problem))
    return finish (request, problem);
  ragify_owner_unref (&request->owner);
  return NULL;
}

RagifyRequest *
ragify_request_parse_json (const char *body, gsize size, RagifyProblem *problem)
{
  RagifyRequest *plain = new_request ();
  if (ragify_request_fill_plain (plain, body, size))
    return plain;
  ragify_owner_unref (&plain->owner);
  json_t *json = ragify_request_load_json (body, size, problem);
  if (json == NULL)
    return NULL;
  RagifyRequest *request = ragify_request_parse_object (json, problem);
  json_decref (json);
  return request;
}

RagifyRequest *
ragify_request_parse_parameters (const char *const *names, const char *const *values, guint count,
                                 RagifyProblem *problem)
{
  RagifyRequest *request = new_request ();
  guint seen = 0;
  for (guint i = 0; i < count; i++)
    if (!set_parameter (request, names[i], values[i], &seen, problem)) {
      ragify_owner_unref (&request->owner);
      return NULL;
    }
  return finish (request, problem);
}

RagifyRequest *
ragify_request_new_nested (RagifyStr query, const RagifyFilter *filter)
{
  RagifyRequest *request = new_request ();
  request->query = ragify_str (ragify_arena_copy (request->owner.arena, query.data, query.size), query.size);
  request->filter = filter;
  request->nested = request->of_host = TRUE;
  return request;
}
