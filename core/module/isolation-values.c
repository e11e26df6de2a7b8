/* The configuration of an isolated node, on its way to the child.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "core/module/isolation-frames.h"

typedef struct Value {
  guint32 type;
  RagifyStr text;
  gint64 integer;
  guint64 amount;
  double number;
  RagifyStrList list;
} Value;

struct RagifyIsolatedValues {
  GVariant *source;  /* that texts point into */
  GHashTable *table; /* key → Value */
};

/* ---- the parent's side ---- */

static GVariant *
text_of (RagifyStr text)
{
  gpointer copy = g_memdup2 (text.data, text.size);
  return g_variant_new_from_data (G_VARIANT_TYPE_BYTESTRING, copy, text.size, TRUE, g_free, copy);
}

static GVariant *
list_of (RagifyStrList list)
{
  GVariantBuilder builder;
  g_variant_builder_init (&builder, G_VARIANT_TYPE_BYTESTRING_ARRAY);
  for (guint64 i = 0; i < list.count; i++)
    g_variant_builder_add_value (&builder, text_of (list.items[i]));
  return g_variant_builder_end (&builder);
}

/* NULL where the key has no value. */
static GVariant *
value_of (const RagifyHost *host, RagifyContext *context, const char *key, guint32 type)
{
  RagifyStr text;
  int64_t integer;
  double number;
  uint32_t truth;
  uint64_t amount;
  RagifyStrList list;
  switch (type) {
  case RAGIFY_KEY_INT:
    return host->config_int (context, key, &integer) == RAGIFY_OK ? g_variant_new_int64 (integer) : NULL;
  case RAGIFY_KEY_DOUBLE:
    return host->config_double (context, key, &number) == RAGIFY_OK ? g_variant_new_double (number) : NULL;
  case RAGIFY_KEY_BOOL:
    return host->config_bool (context, key, &truth) == RAGIFY_OK ? g_variant_new_uint32 (truth) : NULL;
  case RAGIFY_KEY_DURATION:
    return host->config_duration (context, key, &amount) == RAGIFY_OK ? g_variant_new_uint64 (amount) : NULL;
  case RAGIFY_KEY_SIZE:
    return host->config_size (context, key, &amount) == RAGIFY_OK ? g_variant_new_uint64 (amount) : NULL;
  case RAGIFY_KEY_LIST:
    return host->config_list (context, key, &list) == RAGIFY_OK ? list_of (list) : NULL;
  default:
    return host->config_string (context, key, &text) == RAGIFY_OK ? text_of (text) : NULL;
  }
}

GVariant *
ragify_isolation_values (const RagifyComponent *component, const RagifyHost *host, RagifyContext *context)
{
  const RagifySchema *schema = &component->schema;
  GVariantBuilder builder;
  g_variant_builder_init (&builder, G_VARIANT_TYPE ("a(suv)"));
  for (guint32 i = 0; i < schema->count; i++) {
    const RagifyKey *key = (const RagifyKey *)(const void *)((const char *)schema->keys + (gsize)i * schema->stride);
    GVariant *value = value_of (host, context, key->name, key->type);
    if (value != NULL)
      g_variant_builder_add (&builder, "(suv)", key->name, key->type, value);
  }
  return g_variant_builder_end (&builder);
}

/* ---- the child's side ---- */

static RagifyStr
text_in (GVariant *bytes)
{
  gsize size = 0;
  const char *data = g_variant_get_fixed_array (bytes, &size, 1);
  return ragify_str (data, size);
}

static void
value_free (gpointer data)
{
  Value *value = data;
  g_free ((gpointer)value->list.items);
  g_free (value);
}

/* Children of a variant are views into its bytes, which live as long as the source. */
static Value *
value_in (guint32 type, GVariant *variant)
{
  Value *value = g_new0 (Value, 1);
  value->type = type;
  if (g_variant_is_of_type (variant, G_VARIANT_TYPE_INT64)) {
    value->integer = g_variant_get_int64 (variant);
  } else if (g_variant_is_of_type (variant, G_VARIANT_TYPE_DOUBLE)) {
    value->number = g_variant_get_double (variant);
  } else if (g_variant_is_of_type (variant, G_VARIANT_TYPE_UINT32)) {
    value->amount = g_variant_get_uint32 (variant);
  } else if (g_variant_is_of_type (variant, G_VARIANT_TYPE_UINT64)) {
    value->amount = g_variant_get_uint64 (variant);
  } else if (g_variant_is_of_type (variant, G_VARIANT_TYPE_BYTESTRING)) {
    value->text = text_in (variant);
  } else {
    const gsize count = g_variant_n_children (variant);
    RagifyStr *items = g_new0 (RagifyStr, MAX (count, 1));
    for (gsize i = 0; i < count; i++) {
      g_autoptr (GVariant) item = g_variant_get_child_value (variant, i);
      items[i] = text_in (item);
    }
    value->list = (RagifyStrList){ items, count };
  }
  return value;
}

RagifyIsolatedValues *
ragify_isolated_values_new (GVariant *values)
{
  RagifyIsolatedValues *own = g_new0 (RagifyIsolatedValues, 1);
  own->source = g_variant_ref_sink (values);
  own->table = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, value_free);
  GVariantIter iter;
  char *key;
  guint32 type;
  GVariant *variant;
  g_variant_iter_init (&iter, values);
  while (g_variant_iter_next (&iter, "(suv)", &key, &type, &variant)) {
    g_hash_table_insert (own->table, key, value_in (type, variant));
    g_variant_unref (variant);
  }
  return own;
}

void
ragify_isolated_values_free (RagifyIsolatedValues *values)
{
  g_hash_table_unref (values->table);
  g_variant_unref (values->source);
  g_free (values);
}

static gboolean
is_text (guint32 type)
{
  return type == RAGIFY_KEY_STRING || type == RAGIFY_KEY_PATH || type == RAGIFY_KEY_URI || type == RAGIFY_KEY_ENUM ||
         type == RAGIFY_KEY_SECRET;
}

gint32
ragify_isolated_values_get (const RagifyIsolatedValues *values, const char *key, guint32 type, void *target)
{
  const Value *value = g_hash_table_lookup (values->table, key);
  if (value == NULL || (type != value->type && !(type == RAGIFY_KEY_STRING && is_text (value->type))))
    return RAGIFY_E_NOT_FOUND;
  switch (type) {
  case RAGIFY_KEY_STRING:
    *(RagifyStr *)target = value->text;
    return RAGIFY_OK;
  case RAGIFY_KEY_INT:
    *(int64_t *)target = value->integer;
    return RAGIFY_OK;
  case RAGIFY_KEY_DOUBLE:
    *(double *)target = value->number;
    return RAGIFY_OK;
  case RAGIFY_KEY_BOOL:
    *(uint32_t *)target = (uint32_t)value->amount;
    return RAGIFY_OK;
  case RAGIFY_KEY_DURATION:
  case RAGIFY_KEY_SIZE:
    *(uint64_t *)target = value->amount;
    return RAGIFY_OK;
  case RAGIFY_KEY_LIST:
    *(RagifyStrList *)target = value->list;
    return RAGIFY_OK;
  default:
    return RAGIFY_E_NOT_FOUND;
  }
}

const RagifyDescribedOperation *
ragify_frame_operation (const RagifyDescribedKind *kind, guint32 number)
{
  if (number < kind->operation_count)
    return &kind->operations[number];
  uint32_t count = 0;
  const RagifyDescribedOperation *common = ragify_describe_common (&count);
  return number >= RAGIFY_FRAME_COMMON && number - RAGIFY_FRAME_COMMON < count ? &common[number - RAGIFY_FRAME_COMMON]
                                                                               : NULL;
}
