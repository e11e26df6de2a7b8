/* SPDX-License-Identifier: MIT */
#include "filter.h"

#include <string.h>

#include "describe.h"

#define TITLE "Invalid value"

typedef struct {
  RagifyArena *arena;
  RagifyProblem *problem;
  guint nodes;
} Parse;

static const struct {
  const char *name;
  guint32 op;
} comparisons[] = {
  { "eq", RAGIFY_FILTER_EQ }, { "ne", RAGIFY_FILTER_NE },   { "gt", RAGIFY_FILTER_GT }, { "gte", RAGIFY_FILTER_GTE },
  { "lt", RAGIFY_FILTER_LT }, { "lte", RAGIFY_FILTER_LTE }, { "in", RAGIFY_FILTER_IN }, { "nin", RAGIFY_FILTER_NIN },
};

static gboolean parse_object (Parse *parse, const json_t *json, guint depth, RagifyFilter *filter);

static RagifyStr
copy_text (Parse *parse, const char *text, gsize size)
{
  return ragify_str (ragify_arena_copy (parse->arena, text, size), size);
}

static gboolean
count_node (Parse *parse)
{
  if (++parse->nodes <= RAGIFY_FILTER_MAX_NODES)
    return TRUE;
  return ragify_problem_set (parse->problem, 422, TITLE, "filter", "filter: expected at most %d conditions, found more",
                             RAGIFY_FILTER_MAX_NODES);
}

static gboolean
parse_value (Parse *parse, const char *field, const json_t *json, RagifyValue *value)
{
  switch (json_typeof (json)) {
  case JSON_NULL:
    *value = (RagifyValue){ .type = RAGIFY_VALUE_NULL };
    return TRUE;
  case JSON_TRUE:
  case JSON_FALSE:
    *value = (RagifyValue){ .type = RAGIFY_VALUE_BOOL, .integer = json_is_true (json) };
    return TRUE;
  case JSON_INTEGER:
    *value = (RagifyValue){ .type = RAGIFY_VALUE_INT, .integer = json_integer_value (json) };
    return TRUE;
  case JSON_REAL:
    *value = (RagifyValue){ .type = RAGIFY_VALUE_DOUBLE, .number = json_real_value (json) };
    return TRUE;
  case JSON_STRING:
    *value = (RagifyValue){ .type = RAGIFY_VALUE_STRING,
                            .string = copy_text (parse, json_string_value (json), json_string_length (json)) };
    return TRUE;
  case JSON_OBJECT:
  case JSON_ARRAY:
    break;
  }
  RagifyDescription found;
  return ragify_problem_set (parse->problem, 422, TITLE, "filter",
                             "filter: '%s': expected a string, a number, true, false or null, found %s", field,
                             ragify_describe (json, &found));
}

static gboolean
parse_values (Parse *parse, const char *field, guint32 op, const json_t *json, RagifyFilter *filter)
{
  const gboolean list = op == RAGIFY_FILTER_IN || op == RAGIFY_FILTER_NIN;
  const gsize count = json_is_array (json) ? json_array_size (json) : 1;
  RagifyDescription found;
  if (list && (!json_is_array (json) || count > RAGIFY_FILTER_MAX_VALUES))
    return ragify_problem_set (parse->problem, 422, TITLE, "filter",
                               "filter: '%s': expected a list of at most %d values for in and nin, found %s", field,
                               RAGIFY_FILTER_MAX_VALUES, ragify_describe (json, &found));
  RagifyValue *values = ragify_arena_alloc (parse->arena, MAX (count, 1) * sizeof *values);
  for (gsize i = 0; i < count; i++)
    if (!parse_value (parse, field, list ? json_array_get (json, i) : json, &values[i]))
      return FALSE;
  const gboolean ordered = op >= RAGIFY_FILTER_GT && op <= RAGIFY_FILTER_LTE;
  if (ordered && (values[0].type == RAGIFY_VALUE_NULL || values[0].type == RAGIFY_VALUE_BOOL))
    return ragify_problem_set (parse->problem, 422, TITLE, "filter",
                               "filter: '%s': expected a number or a string to compare with, found %s", field,
                               ragify_describe (json, &found));
  filter->values = (RagifyValueList){ .items = values, .count = count };
  return TRUE;
}

static gboolean
parse_comparison (Parse *parse, const char *field, guint32 op, const json_t *json, RagifyFilter *filter)
{
  if (!count_node (parse))
    return FALSE;
  *filter = (RagifyFilter){ .struct_size = sizeof *filter,
                            .op = op,
                            .field = copy_text (parse, field, strlen (field)),
                            .children.stride = sizeof *filter };
  return parse_values (parse, field, op, json, filter);
}

static guint32
comparison_named (const char *name)
{
  for (gsize i = 0; i < G_N_ELEMENTS (comparisons); i++)
    if (strcmp (comparisons[i].name, name) == 0)
      return comparisons[i].op;
  return 0;
}

/* Makes `filter` the combination of `count` children, which the caller fills. */
static RagifyFilter *
make_combination (Parse *parse, guint32 op, gsize count, RagifyFilter *filter)
{
  if (!count_node (parse))
    return NULL;
  RagifyFilter *children = ragify_arena_alloc (parse->arena, MAX (count, 1) * sizeof *children);
  *filter = (RagifyFilter){ .struct_size = sizeof *filter,
                            .op = op,
                            .children = { .items = children, .count = count, .stride = sizeof *children } };
  return children;
}

/* {"gte": 2020, "lt": 2024} */
static gboolean
parse_comparisons (Parse *parse, const char *field, const json_t *json, RagifyFilter *filter)
{
  const gsize count = json_object_size (json);
  RagifyFilter *children = count == 1 ? filter : make_combination (parse, RAGIFY_FILTER_AND, count, filter);
  if (children == NULL)
    return FALSE;
  if (count == 0)
    return ragify_problem_set (parse->problem, 422, TITLE, "filter",
                               "filter: '%s': expected at least one of eq ne gt gte lt lte in nin, found {}", field);
  const char *name;
  json_t *value;
  json_object_foreach ((json_t *)json, name, value)
  {
    const guint32 op = comparison_named (name);
    if (op == 0)
      return ragify_problem_set (parse->problem, 422, TITLE, "filter",
                                 "filter: '%s': expected one of eq ne gt gte lt lte in nin, found '%.64s'", field,
                                 name);
    if (!parse_comparison (parse, field, op, value, children++))
      return FALSE;
  }
  return TRUE;
}

static gboolean
parse_list (Parse *parse, const char *name, const json_t *json, guint depth, RagifyFilter *filter)
{
  RagifyDescription found;
  if (!json_is_array (json) || json_array_size (json) == 0)
    return ragify_problem_set (parse->problem, 422, TITLE, "filter",
                               "filter: '%s': expected a list of at least one filter, found %s", name,
                               ragify_describe (json, &found));
  const guint32 op = strcmp (name, "and") == 0 ? RAGIFY_FILTER_AND : RAGIFY_FILTER_OR;
  RagifyFilter *children = make_combination (parse, op, json_array_size (json), filter);
  if (children == NULL)
    return FALSE;
  for (gsize i = 0; i < json_array_size (json); i++)
    if (!parse_object (parse, json_array_get (json, i), depth + 1, &children[i]))
      return FALSE;
  return TRUE;
}

static gboolean
parse_member (Parse *parse, const char *name, const json_t *json, guint depth, RagifyFilter *filter)
{
  if (strcmp (name, "and") == 0 || strcmp (name, "or") == 0)
    return parse_list (parse, name, json, depth, filter);
  if (strcmp (name, "not") == 0) {
    RagifyFilter *child = make_combination (parse, RAGIFY_FILTER_NOT, 1, filter);
    return child != NULL && parse_object (parse, json, depth + 1, child);
  }
  if (json_is_object (json))
    return parse_comparisons (parse, name, json, filter);
  return parse_comparison (parse, name, RAGIFY_FILTER_EQ, json, filter);
}

static gboolean
parse_object (Parse *parse, const json_t *json, guint depth, RagifyFilter *filter)
{
  RagifyDescription found;
  if (!json_is_object (json))
    return ragify_problem_set (parse->problem, 422, TITLE, "filter", "filter: expected an object, found %s",
                               ragify_describe (json, &found));
  if (depth > RAGIFY_FILTER_MAX_DEPTH)
    return ragify_problem_set (parse->problem, 422, TITLE, "filter",
                               "filter: expected at most %d levels of and, or, not, found more",
                               RAGIFY_FILTER_MAX_DEPTH);
  const gsize count = json_object_size (json);
  RagifyFilter *children = count == 1 ? filter : make_combination (parse, RAGIFY_FILTER_AND, count, filter);
  if (children == NULL)
    return FALSE;
  const char *name;
  json_t *value;
  json_object_foreach ((json_t *)json, name, value)
  {
    if (!parse_member (parse, name, value, depth, children++))
      return FALSE;
  }
  return TRUE;
}

static gboolean
is_number (const RagifyValue *value)
{
  return value->type == RAGIFY_VALUE_INT || value->type == RAGIFY_VALUE_DOUBLE;
}

/* Compares a metadata value with one of the filter's: < 0, 0, > 0 in `*order`; FALSE where they do not compare. */
static gboolean
compare (const json_t *found, const RagifyValue *value, int *order)
{
  if (json_is_number (found) && is_number (value)) {
    /* long double holds every int64 and every double */
    const long double a = json_is_integer (found) ? (long double)json_integer_value (found) : json_real_value (found);
    const long double b = value->type == RAGIFY_VALUE_INT ? (long double)value->integer : value->number;
    *order = (a > b) - (a < b);
    return TRUE;
  }
  if (json_is_string (found) && value->type == RAGIFY_VALUE_STRING) {
    const gsize size = json_string_length (found);
    const int start = memcmp (json_string_value (found), value->string.data, MIN (size, value->string.size));
    *order = start != 0 ? start : (size > value->string.size) - (size < value->string.size);
    return TRUE;
  }
  if (json_is_boolean (found) && value->type == RAGIFY_VALUE_BOOL) {
    *order = (int)json_is_true (found) - (value->integer != 0 ? 1 : 0);
    return TRUE;
  }
  *order = 0;
  return json_is_null (found) && value->type == RAGIFY_VALUE_NULL;
}

static gboolean
equals_any (const json_t *found, const RagifyValueList *values)
{
  int order = 0;
  for (guint64 i = 0; i < values->count; i++)
    if (compare (found, &values->items[i], &order) && order == 0)
      return TRUE;
  return FALSE;
}

static gboolean
matches_comparison (const RagifyFilter *filter, const json_t *metadata)
{
  const json_t *found = json_object_getn (metadata, filter->field.data, filter->field.size);
  if (found == NULL)
    return FALSE;
  const gboolean equal = equals_any (found, &filter->values);
  int order = 0;
  const gboolean ordered = filter->values.count > 0 && compare (found, &filter->values.items[0], &order);
  switch (filter->op) {
  case RAGIFY_FILTER_EQ:
  case RAGIFY_FILTER_IN:
    return equal;
  case RAGIFY_FILTER_NE:
  case RAGIFY_FILTER_NIN:
    return !equal;
  case RAGIFY_FILTER_GT:
    return ordered && order > 0;
  case RAGIFY_FILTER_GTE:
    return ordered && order >= 0;
  case RAGIFY_FILTER_LT:
    return ordered && order < 0;
  case RAGIFY_FILTER_LTE:
    return ordered && order <= 0;
  default:
    return FALSE;
  }
}

static const RagifyFilter *
child (const RagifyFilter *filter, guint64 index)
{
  return (const RagifyFilter *)(const void *)((const char *)filter->children.items + index * filter->children.stride);
}

static gboolean
matches (const RagifyFilter *filter, const json_t *metadata)
{
  if (filter->op == RAGIFY_FILTER_NOT)
    return filter->children.count > 0 && !matches (child (filter, 0), metadata);
  if (filter->op != RAGIFY_FILTER_AND && filter->op != RAGIFY_FILTER_OR)
    return matches_comparison (filter, metadata);
  const gboolean all = filter->op == RAGIFY_FILTER_AND;
  for (guint64 i = 0; i < filter->children.count; i++)
    if (matches (child (filter, i), metadata) != all)
      return !all;
  return all;
}

gboolean
ragify_filter_parse (RagifyArena *arena, const json_t *json, const RagifyFilter **filter, RagifyProblem *problem)
{
  Parse parse = { .arena = arena, .problem = problem };
  RagifyFilter *root = ragify_arena_alloc (arena, sizeof *root);
  if (!parse_object (&parse, json, 1, root))
    return FALSE;
  *filter = root->op == RAGIFY_FILTER_AND && root->children.count == 0 ? NULL : root;
  return TRUE;
}

gboolean
ragify_filter_matches (const RagifyFilter *filter, RagifyStr metadata)
{
  json_t *json = metadata.size == 0 ? NULL : json_loadb (metadata.data, metadata.size, JSON_ALLOW_NUL, NULL);
  if (!json_is_object (json)) {
    json_decref (json);
    json = json_object ();
  }
  const gboolean result = matches (filter, json);
  json_decref (json);
  return result;
}
