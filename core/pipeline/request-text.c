/* SPDX-License-Identifier: MIT */
#include "core/pipeline/request-text.h"

#include <jansson.h>
#include <string.h>

#include "core/pipeline/request-fields.h"

static json_t *
text_json (RagifyStr text)
{
  return json_stringn_nocheck (text.data != NULL ? text.data : "", text.size);
}

static json_t *
value_json (const RagifyValue *value)
{
  switch (value->type) {
  case RAGIFY_VALUE_BOOL:
    return json_boolean (value->integer != 0);
  case RAGIFY_VALUE_INT:
    return json_integer (value->integer);
  case RAGIFY_VALUE_DOUBLE:
    return json_real (value->number);
  case RAGIFY_VALUE_STRING:
    return text_json (value->string);
  default:
    return json_null ();
  }
}

static json_t *
values_json (const RagifyValueList *values)
{
  json_t *list = json_array ();
  for (guint64 i = 0; i < values->count; i++)
    json_array_append_new (list, value_json (&values->items[i]));
  return list;
}

static json_t *
names_json (const RagifyStrList *names)
{
  json_t *list = json_array ();
  for (guint64 i = 0; i < names->count; i++)
    json_array_append_new (list, text_json (names->items[i]));
  return list;
}

static json_t *filter_json (const RagifyFilter *filter);

static json_t *
children_json (const RagifyFilter *filter)
{
  json_t *list = json_array ();
  for (guint64 i = 0; i < filter->children.count; i++) {
    const char *child = (const char *)filter->children.items + i * filter->children.stride;
    json_array_append_new (list, filter_json ((const RagifyFilter *)(const void *)child));
  }
  return list;
}

static json_t *
filter_json (const RagifyFilter *filter)
{
  static const char *const names[] = {
    [RAGIFY_FILTER_AND] = "and", [RAGIFY_FILTER_OR] = "or", [RAGIFY_FILTER_NOT] = "not", [RAGIFY_FILTER_EQ] = "eq",
    [RAGIFY_FILTER_NE] = "ne",   [RAGIFY_FILTER_GT] = "gt", [RAGIFY_FILTER_GTE] = "gte", [RAGIFY_FILTER_LT] = "lt",
    [RAGIFY_FILTER_LTE] = "lte", [RAGIFY_FILTER_IN] = "in", [RAGIFY_FILTER_NIN] = "nin",
  };
  json_t *object = json_object ();
  const char *name = names[filter->op];
  if (filter->op == RAGIFY_FILTER_NOT) {
    json_t *children = children_json (filter);
    json_object_set (object, name, json_array_get (children, 0));
    json_decref (children);
  } else if (filter->op == RAGIFY_FILTER_AND || filter->op == RAGIFY_FILTER_OR) {
    if (filter->children.count > 0) /* an empty one is {} */
      json_object_set_new (object, name, children_json (filter));
  } else {
    json_t *comparison = json_object ();
    const gboolean list = filter->op == RAGIFY_FILTER_IN || filter->op == RAGIFY_FILTER_NIN;
    json_object_set_new (comparison, name,
                         list ? values_json (&filter->values) : value_json (&filter->values.items[0]));
    json_object_set_new_nocheck (object, filter->field.data, comparison);
  }
  return object;
}

static json_t *
pairs_json (const RagifyPairList *pairs)
{
  json_t *object = json_object ();
  for (guint64 i = 0; i < pairs->count; i++)
    json_object_set_new_nocheck (object, pairs->items[i].name.data, value_json (&pairs->items[i].value));
  return object;
}

static guint64
integer_of (const RagifyField *field, const void *place)
{
  return field->size == sizeof (guint64) ? *(const guint64 *)place : *(const guint32 *)place;
}

/* An unsaid mode is beyond the choices, whose first is not what a pipeline makes of it. */
static json_t *
choice_json (const RagifyField *field, guint64 value)
{
  const gboolean is_mode = strcmp (field->name, "mode") == 0;
  if (strcmp (field->name, "cache") == 0 || (value == 0 && !is_mode))
    return NULL;
  return is_mode && value == RAGIFY_MODE_UNSAID ? NULL : json_string (field->choices[value]);
}

/* NULL: as it is by default, or no part of what is remembered. */
static json_t *
field_json (const RagifyRequest *request, const RagifyField *field)
{
  const void *place = (const char *)request + field->offset;
  switch (field->type) {
  case RAGIFY_FIELD_QUERY:
  case RAGIFY_FIELD_NAME:
    return text_json (*(const RagifyStr *)place);
  case RAGIFY_FIELD_INT:
    return integer_of (field, place) != 0 ? json_integer ((json_int_t)integer_of (field, place)) : NULL;
  case RAGIFY_FIELD_FRACTION:
    return *(const double *)place >= 0 ? json_real (*(const double *)place) : NULL;
  case RAGIFY_FIELD_BOOL:
    return integer_of (field, place) != 0 ? json_true () : NULL;
  case RAGIFY_FIELD_CHOICE:
    return choice_json (field, integer_of (field, place));
  case RAGIFY_FIELD_NAMES:
    return ((const RagifyStrList *)place)->count > 0 ? names_json (place) : NULL;
  case RAGIFY_FIELD_FILTER:
    return request->filter != NULL ? filter_json (request->filter) : NULL;
  case RAGIFY_FIELD_SEARCH:
    return request->search.count > 0 ? pairs_json (&request->search) : NULL;
  case RAGIFY_FIELD_DURATION_MS:
    break;
  }
  return NULL;
}

char *
ragify_request_text (const RagifyRequest *request)
{
  json_t *object = json_object ();
  for (guint i = 0; i < ragify_request_n_fields; i++) {
    json_t *value = field_json (request, &ragify_request_fields[i]);
    if (value != NULL)
      json_object_set_new (object, ragify_request_fields[i].name, value);
  }
  char *dumped = json_dumps (object, JSON_COMPACT | JSON_REAL_PRECISION (17));
  char *text = g_strdup (dumped);
  free (dumped);
  json_decref (object);
  return text;
}
