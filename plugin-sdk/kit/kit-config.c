/* SPDX-License-Identifier: MIT */
#include "kit-private.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct Value {
  const RagifyKey *key;
  char *text; /* NULL: absent and without a default */
  int64_t integer;
  double number;
  uint64_t amount; /* durations in µs, sizes in bytes, bools */
  RagifyStr *items;
  uint64_t item_count;
  char *item_text;
} Value;

struct KitConfig {
  uint32_t count;
  Value *values;
};

typedef struct Unit {
  const char *name;
  uint64_t factor;
} Unit;

static const Unit duration_units[] = {
  { "us", 1 }, { "ms", 1000 }, { "s", 1000000 }, { "min", 60000000 }, { "h", 3600000000u }, { "d", 86400000000u },
};
static const Unit size_units[] = {
  { "", 1 },
  { "B", 1 },
  { "KiB", 1u << 10 },
  { "MiB", 1u << 20 },
  { "GiB", 1u << 30 },
  { "TiB", (uint64_t)1 << 40 },
  { "kB", 1000 },
  { "KB", 1000 },
  { "MB", 1000000 },
  { "GB", 1000000000 },
  { "TB", 1000000000000u },
};

static const RagifyKey *
schema_key (const RagifySchema *schema, uint32_t index)
{
  return (const RagifyKey *)((const char *)schema->keys + (size_t)index * schema->stride);
}

static bool
read_amount (const char *text, const Unit *units, size_t unit_count, uint64_t *amount)
{
  if (text[0] < '0' || text[0] > '9')
    return false;
  char *end = NULL;
  errno = 0;
  const unsigned long long number = strtoull (text, &end, 10);
  if (strcmp (text, "0") == 0) {
    *amount = 0;
    return true;
  }
  for (size_t i = 0; errno == 0 && i < unit_count; i++) {
    if (strcmp (end, units[i].name) == 0)
      return !__builtin_mul_overflow ((uint64_t)number, units[i].factor, amount);
  }
  return false;
}

static bool
read_bool (const char *text, uint64_t *amount)
{
  static const char *const names[] = { "false", "true", "no", "yes", "off", "on", "0", "1" };
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
    if (strcmp (text, names[i]) == 0) {
      *amount = i % 2;
      return true;
    }
  }
  return false;
}

static bool
is_choice (const char *choices, const char *text)
{
  const size_t size = strlen (text);
  for (const char *at = choices; at != NULL; at = strchr (at, '|') != NULL ? strchr (at, '|') + 1 : NULL) {
    if (strncmp (at, text, size) == 0 && (at[size] == '|' || at[size] == '\0'))
      return size > 0;
  }
  return false;
}

static void
read_list (Value *value)
{
  free (value->item_text);
  free (value->items);
  value->item_count = 0;
  value->item_text = kit_copy (value->text);
  value->items = kit_alloc ((strlen (value->text) / 2 + 1) * sizeof *value->items);
  char *save = NULL;
  for (char *item = strtok_r (value->item_text, ";", &save); item != NULL; item = strtok_r (NULL, ";", &save)) {
    item += strspn (item, " \t");
    size_t size = strlen (item);
    while (size > 0 && (item[size - 1] == ' ' || item[size - 1] == '\t'))
      size--;
    if (size > 0)
      value->items[value->item_count++] = ragify_str (item, size);
  }
}

/* Reads `text` as the key's type into the value's typed members; `*order` is what minimum and maximum compare. */
static bool
read_typed (const RagifyKey *key, const char *text, Value *value, double *order)
{
  char *end = NULL;
  errno = 0;
  switch (key->type) {
  case RAGIFY_KEY_INT:
    value->integer = strtoll (text, &end, 10);
    *order = (double)value->integer;
    return errno == 0 && end != text && *end == '\0';
  case RAGIFY_KEY_DOUBLE:
    value->number = strtod (text, &end);
    *order = value->number;
    return end != text && *end == '\0' && isfinite (value->number);
  case RAGIFY_KEY_BOOL:
    return read_bool (text, &value->amount);
  case RAGIFY_KEY_DURATION:
  case RAGIFY_KEY_SIZE: {
    const bool duration = key->type == RAGIFY_KEY_DURATION;
    const bool good = read_amount (text, duration ? duration_units : size_units,
                                   duration ? sizeof duration_units / sizeof (Unit) : sizeof size_units / sizeof (Unit),
                                   &value->amount);
    *order = (double)value->amount;
    return good;
  }
  case RAGIFY_KEY_ENUM:
    return is_choice (key->choices, text);
  default:
    return true;
  }
}

static const char *
type_name (uint32_t type)
{
  static const char *const names[] = {
    "?",    "string", "integer", "number", "bool",  "duration such as 5s", "size such as 64KiB",
    "path", "URI",    "choice",  "list",   "secret"
  };
  return names[type < sizeof names / sizeof names[0] ? type : 0];
}

static bool
check_bounds (RagifyKit *kit, const char *component, const RagifyKey *key, const char *text, double order)
{
  Value scratch = { 0 };
  double bound = 0;
  if (key->minimum != NULL && read_typed (key, key->minimum, &scratch, &bound) && order < bound) {
    kit_set_error (kit, "%s: %s = %s: must be at least %s", component, key->name, text, key->minimum);
    return false;
  }
  if (key->maximum != NULL && read_typed (key, key->maximum, &scratch, &bound) && order > bound) {
    kit_set_error (kit, "%s: %s = %s: must be at most %s", component, key->name, text, key->maximum);
    return false;
  }
  return true;
}

/* Takes `text` as the value of its key. */
static bool
set_value (RagifyKit *kit, const char *component, Value *value, const char *text)
{
  const RagifyKey *key = value->key;
  double order = 0;
  if (!read_typed (key, text, value, &order)) {
    kit_set_error (kit, "%s: %s = %s: expected %s%s%s", component, key->name, text, type_name (key->type),
                   key->type == RAGIFY_KEY_ENUM ? " of " : "", key->type == RAGIFY_KEY_ENUM ? key->choices : "");
    return false;
  }
  if (!check_bounds (kit, component, key, text, order))
    return false;
  free (value->text);
  if (key->type == RAGIFY_KEY_PATH && text[0] != '/') {
    const size_t size = strlen (kit->state_directory) + strlen (text) + 2;
    value->text = kit_alloc (size);
    snprintf (value->text, size, "%s/%s", kit->state_directory, text);
  } else
    value->text = kit_copy (text);
  if (key->type == RAGIFY_KEY_LIST)
    read_list (value);
  return true;
}

int
kit_schema_check (RagifyKit *kit, const char *component, const RagifySchema *schema)
{
  if (schema->count > 0 && (schema->keys == NULL || schema->stride < sizeof (RagifyKey))) {
    kit_set_error (kit, "component '%s': a schema of %u keys with a stride of %u; ABI 1.0 has %zu", component,
                   schema->count, schema->stride, sizeof (RagifyKey));
    return 0;
  }
  for (uint32_t i = 0; i < schema->count; i++) {
    const RagifyKey *key = schema_key (schema, i);
    if (key->name == NULL || key->name[0] < 'a' || key->name[0] > 'z' ||
        key->name[strspn (key->name, "abcdefghijklmnopqrstuvwxyz0123456789-")] != '\0' ||
        key->type < RAGIFY_KEY_STRING || key->type > RAGIFY_KEY_SECRET ||
        (key->type == RAGIFY_KEY_ENUM && key->choices == NULL)) {
      kit_set_error (kit, "component '%s': key %u ('%s') has no valid name, type or choices", component, i,
                     key->name != NULL ? key->name : "");
      return 0;
    }
    Value value = { .key = key };
    double order = 0;
    if (key->default_value != NULL && !read_typed (key, key->default_value, &value, &order)) {
      kit_set_error (kit, "component '%s': the default '%s' of key '%s' is no %s", component, key->default_value,
                     key->name, type_name (key->type));
      return 0;
    }
  }
  return 1;
}

static Value *
find_value (const KitConfig *config, const char *name, size_t name_size)
{
  for (uint32_t i = 0; i < config->count; i++) {
    const char *key = config->values[i].key->name;
    if (strlen (key) == name_size && memcmp (key, name, name_size) == 0)
      return &config->values[i];
  }
  return NULL;
}

static bool
set_from_text (RagifyKit *kit, const char *component, KitConfig *config, const char *text)
{
  const char *equals = strchr (text, '=');
  if (equals == NULL) {
    kit_set_error (kit, "%s: '%s' is not of the form key=value", component, text);
    return false;
  }
  Value *value = find_value (config, text, (size_t)(equals - text));
  if (value == NULL) {
    kit_set_error (kit, "%s: unknown key '%.*s'", component, (int)(equals - text), text);
    return false;
  }
  return set_value (kit, component, value, equals + 1);
}

KitConfig *
kit_config_new (RagifyKit *kit, const RagifyComponent *component, const char *const *texts)
{
  const RagifySchema *schema = &component->schema;
  KitConfig *config = kit_alloc (sizeof *config);
  config->count = schema->count;
  config->values = kit_alloc (schema->count * sizeof *config->values);
  for (uint32_t i = 0; i < schema->count; i++)
    config->values[i].key = schema_key (schema, i);

  bool good = true;
  for (size_t i = 0; good && texts != NULL && texts[i] != NULL; i++)
    good = set_from_text (kit, component->name, config, texts[i]);
  for (uint32_t i = 0; good && i < config->count; i++) {
    Value *value = &config->values[i];
    if (value->text != NULL)
      continue;
    if (value->key->default_value != NULL)
      good = set_value (kit, component->name, value, value->key->default_value);
    else if (value->key->flags & RAGIFY_KEY_REQUIRED) {
      kit_set_error (kit, "%s: the key '%s' is required", component->name, value->key->name);
      good = false;
    }
  }
  if (good)
    return config;
  kit_config_free (config);
  return NULL;
}

void
kit_config_free (KitConfig *config)
{
  if (config == NULL)
    return;
  for (uint32_t i = 0; i < config->count; i++) {
    free (config->values[i].text);
    free (config->values[i].items);
    free (config->values[i].item_text);
  }
  free (config->values);
  free (config);
}

RagifyStrList
kit_config_changes (const KitConfig *old_config, const KitConfig *new_config, RagifyStr *names, const char **fixed)
{
  RagifyStrList changes = { .items = names };
  for (uint32_t i = 0; i < new_config->count; i++) {
    const char *before = old_config->values[i].text;
    const char *after = new_config->values[i].text;
    const RagifyKey *key = new_config->values[i].key;
    if ((before == NULL) == (after == NULL) && (before == NULL || strcmp (before, after) == 0))
      continue;
    if (key->flags & RAGIFY_KEY_RELOADABLE)
      names[changes.count++] = ragify_str_from (key->name);
    else
      *fixed = key->name;
  }
  return changes;
}

/* The value of a key that must be in the schema with one of the types; NULL with `*code` otherwise. */
static const Value *
get_value (RagifyContext *context, const char *key, uint32_t types, int32_t *code)
{
  const Value *value = find_value (context->config, key, strlen (key));
  if (value == NULL || (types & 1u << value->key->type) == 0) {
    kit_fault (context->kit, "%s: configuration key '%s' was read %s", context->component->name, key,
               value == NULL ? "but is not in the schema" : "as another type than the schema's");
    *code = RAGIFY_E_INVALID;
    return NULL;
  }
  *code = value->text != NULL ? RAGIFY_OK : RAGIFY_E_NOT_FOUND;
  return value->text != NULL ? value : NULL;
}

int32_t
kit_config_string (RagifyContext *context, const char *key, RagifyStr *value)
{
  const uint32_t types = 1u << RAGIFY_KEY_STRING | 1u << RAGIFY_KEY_PATH | 1u << RAGIFY_KEY_URI |
                         1u << RAGIFY_KEY_ENUM | 1u << RAGIFY_KEY_SECRET;
  int32_t code = RAGIFY_OK;
  const Value *found = get_value (context, key, types, &code);
  if (found != NULL)
    *value = ragify_str_from (found->text);
  return code;
}

int32_t
kit_config_int (RagifyContext *context, const char *key, int64_t *value)
{
  int32_t code = RAGIFY_OK;
  const Value *found = get_value (context, key, 1u << RAGIFY_KEY_INT, &code);
  if (found != NULL)
    *value = found->integer;
  return code;
}

int32_t
kit_config_double (RagifyContext *context, const char *key, double *value)
{
  int32_t code = RAGIFY_OK;
  const Value *found = get_value (context, key, 1u << RAGIFY_KEY_DOUBLE, &code);
  if (found != NULL)
    *value = found->number;
  return code;
}

int32_t
kit_config_bool (RagifyContext *context, const char *key, uint32_t *value)
{
  int32_t code = RAGIFY_OK;
  const Value *found = get_value (context, key, 1u << RAGIFY_KEY_BOOL, &code);
  if (found != NULL)
    *value = (uint32_t)found->amount;
  return code;
}

int32_t
kit_config_duration (RagifyContext *context, const char *key, uint64_t *value)
{
  int32_t code = RAGIFY_OK;
  const Value *found = get_value (context, key, 1u << RAGIFY_KEY_DURATION, &code);
  if (found != NULL)
    *value = found->amount;
  return code;
}

int32_t
kit_config_size (RagifyContext *context, const char *key, uint64_t *value)
{
  int32_t code = RAGIFY_OK;
  const Value *found = get_value (context, key, 1u << RAGIFY_KEY_SIZE, &code);
  if (found != NULL)
    *value = found->amount;
  return code;
}

int32_t
kit_config_list (RagifyContext *context, const char *key, RagifyStrList *value)
{
  int32_t code = RAGIFY_OK;
  const Value *found = get_value (context, key, 1u << RAGIFY_KEY_LIST, &code);
  if (found != NULL)
    *value = (RagifyStrList){ .items = found->items, .count = found->item_count };
  return code;
}
