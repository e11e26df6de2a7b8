#include "json-condition.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
  uint8_t *bytes;
  size_t size;
  size_t room;
  uint32_t nodes;
  RagifyFault *fault;
} Key;

static bool
key_put (Key *key, const void *data, size_t size)
{
  if (key->size + size > key->room) {
    size_t room = 2 * (key->size + size) + 64;
    uint8_t *grown = realloc (key->bytes, room);
    if (grown == NULL)
      return ragify_fault_memory (key->fault);
    key->bytes = grown;
    key->room = room;
  }
  if (size > 0)
    memcpy (key->bytes + key->size, data, size);
  key->size += size;
  return true;
}

static bool
key_put_number (Key *key, uint64_t number)
{
  return key_put (key, &number, sizeof number);
}

static bool
key_put_str (Key *key, RagifyStr text)
{
  return key_put_number (key, text.size) && key_put (key, text.data, text.size);
}

static bool
key_count (Key *key)
{
  if (++key->nodes <= RAGIFY_CONDITION_NODES)
    return true;
  return ragify_fault_set (key->fault, RAGIFY_E_INVALID, "filter: expected at most %u parts, found more",
                           RAGIFY_CONDITION_NODES);
}

static bool
key_put_value (Key *key, const RagifyValue *value)
{
  if (!key_count (key) || !key_put_number (key, value->type))
    return false;
  switch (value->type) {
  case RAGIFY_VALUE_NULL:
    return true;
  case RAGIFY_VALUE_BOOL:
  case RAGIFY_VALUE_INT:
    return key_put (key, &value->integer, sizeof value->integer);
  case RAGIFY_VALUE_DOUBLE:
    return key_put (key, &value->number, sizeof value->number);
  case RAGIFY_VALUE_STRING:
    return key_put_str (key, value->string);
  default:
    return ragify_fault_set (key->fault, RAGIFY_E_INVALID, "filter: unknown type of value %u", value->type);
  }
}

static const RagifyFilter *
child_of (const RagifyFilter *filter, uint64_t index)
{
  return (const RagifyFilter *)(const void *)((const char *)filter->children.items + index * filter->children.stride);
}

static bool
key_put_filter (Key *key, const RagifyFilter *filter, uint32_t depth)
{
  if (depth > RAGIFY_CONDITION_DEPTH)
    return ragify_fault_set (key->fault, RAGIFY_E_INVALID, "filter: expected at most %u levels, found more",
                             RAGIFY_CONDITION_DEPTH);
  if (filter->op < RAGIFY_FILTER_AND || filter->op > RAGIFY_FILTER_NIN)
    return ragify_fault_set (key->fault, RAGIFY_E_INVALID, "filter: unknown operation %u", filter->op);
  if (!key_count (key) || !key_put_number (key, filter->op))
    return false;
  if (filter->op <= RAGIFY_FILTER_NOT) {
    if (!key_put_number (key, filter->children.count))
      return false;
    for (uint64_t i = 0; i < filter->children.count; i++)
      if (!key_put_filter (key, child_of (filter, i), depth + 1))
        return false;
    return true;
  }
  if (!key_put_str (key, filter->field) || !key_put_number (key, filter->values.count))
    return false;
  for (uint64_t i = 0; i < filter->values.count; i++)
    if (!key_put_value (key, &filter->values.items[i]))
      return false;
  return true;
}

uint8_t *
ragify_condition_key (const RagifyFilter *filter, size_t *size, RagifyFault *fault)
{
  Key key = { .fault = fault };
  if (!key_put_filter (&key, filter, 1)) {
    free (key.bytes);
    return NULL;
  }
  *size = key.size;
  return key.bytes;
}

static bool
is_number (const RagifyValue *value)
{
  return value->type == RAGIFY_VALUE_INT || value->type == RAGIFY_VALUE_DOUBLE;
}

/* A long double holds every 64-bit integer and every double. */
static long double
number_of (const RagifyValue *value)
{
  return value->type == RAGIFY_VALUE_INT ? (long double)value->integer : (long double)value->number;
}

/* < 0, 0 or > 0 in *order; false where the two do not compare. */
static bool
compare (const json_t *found, const RagifyValue *value, int *order)
{
  if (json_is_number (found) && is_number (value)) {
    long double left = json_is_integer (found) ? (long double)json_integer_value (found) : json_real_value (found);
    long double right = number_of (value);
    *order = (left > right) - (left < right);
    return true;
  }
  if (json_is_string (found) && value->type == RAGIFY_VALUE_STRING) {
    uint64_t size = json_string_length (found);
    uint64_t common = size < value->string.size ? size : value->string.size;
    int start = common == 0 ? 0 : memcmp (json_string_value (found), value->string.data, common);
    *order = start != 0 ? start : (size > value->string.size) - (size < value->string.size);
    return true;
  }
  if (json_is_boolean (found) && value->type == RAGIFY_VALUE_BOOL) {
    *order = (int)json_is_true (found) - (value->integer != 0 ? 1 : 0);
    return true;
  }
  *order = 0;
  return json_is_null (found) && value->type == RAGIFY_VALUE_NULL;
}

static bool
equals_any (const json_t *found, const RagifyValueList *values)
{
  int order;
  for (uint64_t i = 0; i < values->count; i++)
    if (compare (found, &values->items[i], &order) && order == 0)
      return true;
  return false;
}

static bool
comparison_matches (const RagifyFilter *filter, const json_t *metadata)
{
  const json_t *found = json_object_getn (metadata, filter->field.data, filter->field.size);
  if (found == NULL)
    return false;
  int order = 0;
  bool ordered = filter->values.count > 0 && compare (found, &filter->values.items[0], &order);
  switch (filter->op) {
  case RAGIFY_FILTER_EQ:
  case RAGIFY_FILTER_IN:
    return equals_any (found, &filter->values);
  case RAGIFY_FILTER_NE:
  case RAGIFY_FILTER_NIN:
    return !equals_any (found, &filter->values);
  case RAGIFY_FILTER_GT:
    return ordered && order > 0;
  case RAGIFY_FILTER_GTE:
    return ordered && order >= 0;
  case RAGIFY_FILTER_LT:
    return ordered && order < 0;
  default:
    return ordered && order <= 0;
  }
}

static bool
matches (const RagifyFilter *filter, const json_t *metadata)
{
  if (filter->op == RAGIFY_FILTER_NOT)
    return filter->children.count > 0 && !matches (child_of (filter, 0), metadata);
  if (filter->op != RAGIFY_FILTER_AND && filter->op != RAGIFY_FILTER_OR)
    return comparison_matches (filter, metadata);
  bool all = filter->op == RAGIFY_FILTER_AND;
  for (uint64_t i = 0; i < filter->children.count; i++)
    if (matches (child_of (filter, i), metadata) != all)
      return !all;
  return all;
}

static json_t *
parse (RagifyStr metadata)
{
  json_t *json = metadata.size == 0 ? NULL : json_loadb (metadata.data, metadata.size, JSON_ALLOW_NUL, NULL);
  if (json_is_object (json))
    return json;
  json_decref (json);
  return NULL;
}

bool
ragify_condition_matches (const RagifyFilter *filter, RagifyStr metadata)
{
  json_t *json = parse (metadata);
  if (json == NULL)
    json = json_object ();
  bool result = matches (filter, json);
  json_decref (json);
  return result;
}

bool
ragify_condition_is_object (RagifyStr metadata)
{
  json_t *json = parse (metadata);
  json_decref (json);
  return json != NULL;
}
