/* SPDX-License-Identifier: MIT */
#include "request-fields.h"

#include <string.h>

#include "describe.h"
#include "filter.h"

#define TITLE "Invalid value"
#define NAME_MAX_BYTES 256
#define HOUR_MS 3600000
#define MOST_TUNING 1000000
#define PLACE(member) .offset = G_STRUCT_OFFSET (RagifyRequest, member), .size = sizeof ((RagifyRequest *)NULL)->member

static const char *const modes[] = { "hybrid", "dense", "lexical", NULL };
static const char *const formats[] = { "json", "prompt", NULL };
static const char *const cache_modes[] = { "use", "refresh", "bypass", NULL };

/* In the order of the API's documentation. */
const RagifyField ragify_request_fields[] = {
  { .name = "query", .type = RAGIFY_FIELD_QUERY, PLACE (query), .maximum = RAGIFY_QUERY_MAX },
  { .name = "max_chunks", .type = RAGIFY_FIELD_INT, PLACE (max_chunks), .minimum = 1, .maximum = 1000 },
  { .name = "min_relevance", .type = RAGIFY_FIELD_FRACTION, PLACE (min_relevance) },
  { .name = "max_tokens", .type = RAGIFY_FIELD_INT, PLACE (max_tokens), .minimum = 1, .maximum = 1000000000 },
  { .name = "sources", .type = RAGIFY_FIELD_NAMES, PLACE (sources), .minimum = 1 },
  { .name = "exclude_sources", .type = RAGIFY_FIELD_NAMES, PLACE (exclude_sources), .minimum = 0 },
  { .name = "filter", .type = RAGIFY_FIELD_FILTER, PLACE (filter) },
  { .name = "pipeline", .type = RAGIFY_FIELD_NAME, PLACE (pipeline), .maximum = NAME_MAX_BYTES },
  { .name = "mode", .type = RAGIFY_FIELD_CHOICE, PLACE (mode), .choices = modes },
  { .name = "format", .type = RAGIFY_FIELD_CHOICE, PLACE (format), .choices = formats },
  { .name = "timeout_ms", .type = RAGIFY_FIELD_DURATION_MS, PLACE (timeout_us), .minimum = 1, .maximum = HOUR_MS },
  { .name = "explain", .type = RAGIFY_FIELD_BOOL, PLACE (explain) },
  { .name = "search", .type = RAGIFY_FIELD_SEARCH, PLACE (search) },
  { .name = "cache", .type = RAGIFY_FIELD_CHOICE, PLACE (cache), .choices = cache_modes },
};
const guint ragify_request_n_fields = G_N_ELEMENTS (ragify_request_fields);

static gboolean
refuse (const RagifyField *field, const char *expected, const json_t *found, RagifyProblem *problem)
{
  RagifyDescription description;
  return ragify_problem_set (problem, 422, TITLE, field->name, "%s: expected %s, found %s", field->name, expected,
                             ragify_describe (found, &description));
}

static void
store_integer (RagifyRequest *request, const RagifyField *field, guint64 value)
{
  void *place = (char *)request + field->offset;
  if (field->size == sizeof (guint64))
    *(guint64 *)place = value;
  else
    *(guint32 *)place = (guint32)value;
}

/* A text without NUL, of the field's range of bytes. */
static gboolean
take_text (RagifyRequest *request, const RagifyField *field, const json_t *json, RagifyStr *text,
           RagifyProblem *problem)
{
  const gsize size = json_is_string (json) ? json_string_length (json) : 0;
  const gsize maximum = (gsize)(field->maximum > 0 ? field->maximum : NAME_MAX_BYTES);
  if (size == 0 || size > maximum) {
    char expected[64];
    g_snprintf (expected, sizeof expected, "a string of 1 to %" G_GSIZE_FORMAT " bytes", maximum);
    if (size == 0)
      return refuse (field, expected, json, problem);
    return ragify_problem_set (problem, 422, TITLE, field->name, "%s: expected %s, found %" G_GSIZE_FORMAT " bytes",
                               field->name, expected, size);
  }
  const char *data = json_string_value (json);
  if (memchr (data, '\0', size) != NULL)
    return ragify_problem_set (problem, 422, TITLE, field->name,
                               "%s: expected a string without the character U+0000, found one", field->name);
  *text = ragify_str (ragify_arena_copy (request->owner.arena, data, size), size);
  return TRUE;
}

static gboolean
is_blank (RagifyStr text)
{
  for (const char *at = text.data; at < text.data + text.size; at = g_utf8_next_char (at))
    if (!g_unichar_isspace (g_utf8_get_char (at)))
      return FALSE;
  return TRUE;
}

static gboolean
set_query (RagifyRequest *request, const RagifyField *field, const json_t *json, RagifyProblem *problem)
{
  RagifyStr text = { 0 };
  if (!take_text (request, field, json, &text, problem))
    return FALSE;
  if (is_blank (text))
    return ragify_problem_set (problem, 422, TITLE, field->name,
                               "%s: expected words to look for, found only white space", field->name);
  request->query = text;
  return TRUE;
}

static gboolean
set_integer (RagifyRequest *request, const RagifyField *field, const json_t *json, RagifyProblem *problem)
{
  const json_int_t value = json_is_integer (json) ? json_integer_value (json) : 0;
  if (!json_is_integer (json) || value < field->minimum || value > field->maximum) {
    char expected[64];
    g_snprintf (expected, sizeof expected, "an integer from %" G_GINT64_FORMAT " to %" G_GINT64_FORMAT, field->minimum,
                field->maximum);
    return refuse (field, expected, json, problem);
  }
  store_integer (request, field, (guint64)value * (field->type == RAGIFY_FIELD_DURATION_MS ? 1000 : 1));
  return TRUE;
}

static gboolean
set_fraction (RagifyRequest *request, const RagifyField *field, const json_t *json, RagifyProblem *problem)
{
  const double value = json_number_value (json);
  if (!json_is_number (json) || !(value >= 0 && value <= 1))
    return refuse (field, "a number from 0 to 1", json, problem);
  *(double *)(void *)((char *)request + field->offset) = value;
  return TRUE;
}

static gboolean
set_choice (RagifyRequest *request, const RagifyField *field, const json_t *json, RagifyProblem *problem)
{
  const char *text = json_is_string (json) ? json_string_value (json) : "";
  for (guint i = 0; field->choices[i] != NULL; i++)
    if (strcmp (field->choices[i], text) == 0) {
      store_integer (request, field, i);
      return TRUE;
    }
  g_autofree char *joined = g_strjoinv ("', '", (char **)field->choices);
  g_autofree char *expected = g_strdup_printf ("one of '%s'", joined);
  return refuse (field, expected, json, problem);
}

static gboolean
set_names (RagifyRequest *request, const RagifyField *field, const json_t *json, RagifyProblem *problem)
{
  const gsize count = json_array_size (json);
  if (!json_is_array (json) || count > RAGIFY_REQUEST_MAX_NAMES || (gint64)count < field->minimum)
    return refuse (field, field->minimum > 0 ? "a list of 1 to 1000 names" : "a list of at most 1000 names", json,
                   problem);
  RagifyStr *items = ragify_arena_alloc (request->owner.arena, MAX (count, 1) * sizeof *items);
  const RagifyField item = { .name = field->name };
  for (gsize i = 0; i < count; i++)
    if (!take_text (request, &item, json_array_get (json, i), &items[i], problem))
      return FALSE;
  *(RagifyStrList *)(void *)((char *)request + field->offset) = (RagifyStrList){ .items = items, .count = count };
  return TRUE;
}

static gboolean
take_value (RagifyRequest *request, const RagifyField *field, const json_t *json, RagifyValue *value,
            RagifyProblem *problem)
{
  if (json_is_string (json)) {
    const RagifyField text = { .name = field->name, .maximum = 4096 };
    value->type = RAGIFY_VALUE_STRING;
    return take_text (request, &text, json, &value->string, problem);
  }
  if (json_is_integer (json))
    *value = (RagifyValue){ .type = RAGIFY_VALUE_INT, .integer = json_integer_value (json) };
  else if (json_is_real (json))
    *value = (RagifyValue){ .type = RAGIFY_VALUE_DOUBLE, .number = json_real_value (json) };
  else if (json_is_boolean (json))
    *value = (RagifyValue){ .type = RAGIFY_VALUE_BOOL, .integer = json_is_true (json) };
  else
    return refuse (field, "members that are strings, numbers, true or false", json, problem);
  return TRUE;
}

/* What all stores understand alike is looked at here, so that whoever asked learns of it: a store could only fail. */
static gboolean
check_tuning (const char *name, const json_t *json, RagifyProblem *problem)
{
  static const char *const numbers[] = { "nprobe", "probes", "efSearch", "ef_search", NULL };
  const gboolean number = g_strv_contains (numbers, name), exact = strcmp (name, "exact") == 0;
  const json_int_t value = json_is_integer (json) ? json_integer_value (json) : 0;
  if ((!number && !exact) || (number && value >= 1 && value <= MOST_TUNING) || (exact && json_is_boolean (json)))
    return TRUE;
  RagifyDescription found;
  return ragify_problem_set (problem, 422, TITLE, "search", "search: %s: expected %s, found %s", name,
                             exact ? "true or false" : "an integer from 1 to 1000000", ragify_describe (json, &found));
}

static gboolean
set_search (RagifyRequest *request, const RagifyField *field, const json_t *json, RagifyProblem *problem)
{
  const gsize count = json_object_size (json);
  if (!json_is_object (json) || count > RAGIFY_REQUEST_MAX_TUNING)
    return refuse (field, "an object of at most 64 members", json, problem);
  RagifyPair *items = ragify_arena_alloc (request->owner.arena, MAX (count, 1) * sizeof *items);
  const char *name;
  json_t *value;
  gsize i = 0;
  json_object_foreach ((json_t *)json, name, value)
  {
    const gsize size = strlen (name);
    items[i].name = ragify_str (ragify_arena_copy (request->owner.arena, name, size), size);
    if (!take_value (request, field, value, &items[i++].value, problem) || !check_tuning (name, value, problem))
      return FALSE;
  }
  request->search = (RagifyPairList){ .items = items, .count = count };
  return TRUE;
}

static gboolean
set_bool (RagifyRequest *request, const RagifyField *field, const json_t *json, RagifyProblem *problem)
{
  if (!json_is_boolean (json))
    return refuse (field, "true or false", json, problem);
  store_integer (request, field, json_is_true (json));
  return TRUE;
}

const RagifyField *
ragify_request_field (const char *name, RagifyProblem *problem)
{
  const char *names[G_N_ELEMENTS (ragify_request_fields) + 1] = { NULL };
  for (guint i = 0; i < G_N_ELEMENTS (ragify_request_fields); i++) {
    if (strcmp (ragify_request_fields[i].name, name) == 0)
      return &ragify_request_fields[i];
    names[i] = ragify_request_fields[i].name;
  }
  const char *nearest = ragify_describe_nearest (name, names, G_N_ELEMENTS (ragify_request_fields));
  g_autofree char *shown = g_utf8_substring (name, 0, MIN (g_utf8_strlen (name, -1), 64));
  if (nearest != NULL) {
    ragify_problem_set (problem, 422, "Unknown field", shown, "%s: no such field; did you mean '%s'?", shown, nearest);
    return NULL;
  }
  g_autofree char *all = g_strjoinv (" ", (char **)names);
  ragify_problem_set (problem, 422, "Unknown field", shown, "%s: no such field; expected one of: %s", shown, all);
  return NULL;
}

gboolean
ragify_request_field_set (RagifyRequest *request, const RagifyField *field, const json_t *json, RagifyProblem *problem)
{
  switch (field->type) {
  case RAGIFY_FIELD_QUERY:
    return set_query (request, field, json, problem);
  case RAGIFY_FIELD_NAME:
    return take_text (request, field, json, (RagifyStr *)(void *)((char *)request + field->offset), problem);
  case RAGIFY_FIELD_INT:
  case RAGIFY_FIELD_DURATION_MS:
    return set_integer (request, field, json, problem);
  case RAGIFY_FIELD_FRACTION:
    return set_fraction (request, field, json, problem);
  case RAGIFY_FIELD_BOOL:
    return set_bool (request, field, json, problem);
  case RAGIFY_FIELD_CHOICE:
    return set_choice (request, field, json, problem);
  case RAGIFY_FIELD_NAMES:
    return set_names (request, field, json, problem);
  case RAGIFY_FIELD_FILTER:
    return ragify_filter_parse (request->owner.arena, json, &request->filter, problem);
  case RAGIFY_FIELD_SEARCH:
    return set_search (request, field, json, problem);
  }
  return FALSE;
}
