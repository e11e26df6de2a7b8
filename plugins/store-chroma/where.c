/* Filters as the server takes them. Its own mean something else in places (a missing field matches $ne; whole numbers
 * and others do not compare), so what is asked of it lets through at least what matches, and the answer is filtered
 * again. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "json-condition.h"
#include "records.h"

#define MOST_IN 200u
#define TOO_LARGE 9223372036854775808.0 /* for an integer */

static char *
field_of (const RagifyFilter *filter)
{
  char *field = g_strndup (filter->field.data != NULL ? filter->field.data : "", filter->field.size);
  if (strlen (field) == filter->field.size && chroma_key_ok (field))
    return field;
  g_free (field);
  return NULL;
}

/* {field: {operation: value}}; takes the value. */
static json_t *
condition (const char *field, const char *operation, json_t *value)
{
  return json_pack ("{s:{s:o}}", field, operation, value);
}

static json_t *
either (json_t *one, json_t *other)
{
  return json_pack ("{s:[o,o]}", "$or", one, other);
}

/* Fits an integer without loss, and the one beside it, too. */
static gboolean
is_whole (double number)
{
  return floor (number) == number && fabs (number) < 9e15;
}

static double
number_of (const RagifyValue *value)
{
  return value->type == RAGIFY_VALUE_INT ? (double)value->integer : value->number;
}

/* NULL: nothing can be asked. */
static json_t *
equal_to (const char *field, const RagifyValue *value)
{
  switch (value->type) {
  case RAGIFY_VALUE_STRING:
    return condition (field, "$eq",
                      json_stringn (value->string.data != NULL ? value->string.data : "", value->string.size));
  case RAGIFY_VALUE_BOOL:
    return condition (field, "$eq", json_boolean (value->integer != 0));
  case RAGIFY_VALUE_INT:
    return either (condition (field, "$eq", json_integer (value->integer)),
                   condition (field, "$eq", json_real ((double)value->integer)));
  case RAGIFY_VALUE_DOUBLE: {
    const double number = value->number;
    json_t *real = condition (field, "$eq", json_real (number));
    return floor (number) == number && fabs (number) < TOO_LARGE
               ? either (condition (field, "$eq", json_integer ((json_int_t)number)), real)
               : real;
  }
  default:
    return NULL;
  }
}

static json_t *
any_of (const char *field, const RagifyFilter *filter)
{
  if (filter->values.count > MOST_IN)
    return NULL;
  json_t *list = json_array ();
  for (guint64 i = 0; i < filter->values.count; i++) {
    json_t *one = equal_to (field, &filter->values.items[i]);
    if (one == NULL) {
      json_decref (list);
      return NULL;
    }
    json_array_append_new (list, one);
  }
  if (json_array_size (list) > 1)
    return json_pack ("{s:o}", "$or", list);
  json_t *only = json_incref (json_array_get (list, 0));
  json_decref (list);
  return only;
}

static json_t *
compared_to (const char *field, guint32 op, const RagifyValue *value)
{
  static const char *const names[] = {
    [RAGIFY_FILTER_GT] = "$gt", [RAGIFY_FILTER_GTE] = "$gte", [RAGIFY_FILTER_LT] = "$lt", [RAGIFY_FILTER_LTE] = "$lte"
  };
  if (value->type != RAGIFY_VALUE_INT && value->type != RAGIFY_VALUE_DOUBLE)
    return NULL;
  const double number = number_of (value);
  const gboolean up = op == RAGIFY_FILTER_GTE || op == RAGIFY_FILTER_LT;
  const double whole = up ? ceil (number) : floor (number);
  if (!is_whole (whole))
    return NULL;
  return either (condition (field, names[op], json_integer ((json_int_t)whole)),
                 condition (field, names[op], json_real (number)));
}

static json_t *
all_or_any (const RagifyFilter *filter)
{
  const gboolean all = filter->op == RAGIFY_FILTER_AND;
  json_t *list = json_array ();
  for (guint64 i = 0; i < filter->children.count; i++) {
    json_t *one = chroma_where (
        (const RagifyFilter *)(const void *)((const char *)filter->children.items + i * filter->children.stride));
    if (one == NULL && !all) {
      json_decref (list);
      return NULL;
    }
    if (one != NULL)
      json_array_append_new (list, one);
  }
  const gsize count = json_array_size (list);
  json_t *result = count > 1 ? json_pack ("{s:O}", all ? "$and" : "$or", list) : json_incref (json_array_get (list, 0));
  json_decref (list);
  return result;
}

json_t *
chroma_where (const RagifyFilter *filter)
{
  if (filter->op == RAGIFY_FILTER_AND || filter->op == RAGIFY_FILTER_OR)
    return all_or_any (filter);
  if (filter->op == RAGIFY_FILTER_NOT || filter->values.count == 0)
    return NULL;
  g_autofree char *field = field_of (filter);
  if (field == NULL)
    return NULL;
  switch (filter->op) {
  case RAGIFY_FILTER_EQ:
    return equal_to (field, &filter->values.items[0]);
  case RAGIFY_FILTER_IN:
    return any_of (field, filter);
  case RAGIFY_FILTER_GT:
  case RAGIFY_FILTER_GTE:
  case RAGIFY_FILTER_LT:
  case RAGIFY_FILTER_LTE:
    return compared_to (field, filter->op, &filter->values.items[0]);
  default:
    return NULL;
  }
}

gboolean
chroma_filter_ok (ChromaJob *job, const RagifyFilter *filter)
{
  size_t size;
  uint8_t *key = filter != NULL ? ragify_condition_key (filter, &size, &job->fault) : NULL;
  const gboolean good = filter == NULL || key != NULL;
  free (key);
  return good;
}

json_t *
chroma_where_documents (const RagifyStrList *documents)
{
  json_t *list = json_array ();
  for (guint64 i = 0; i < documents->count; i++)
    json_array_append_new (list, json_stringn (documents->items[i].data, documents->items[i].size));
  return condition (CHROMA_OWN "document", "$in", list);
}

json_t *
chroma_where_both (json_t *one, json_t *other)
{
  if (one == NULL || other == NULL)
    return one != NULL ? one : other;
  return json_pack ("{s:[o,o]}", "$and", one, other);
}
