/* SPDX-License-Identifier: MIT */
#include "config/model.h"

#include "config/value.h"

#include <string.h>

static void
clear_written (RagifyWritten *written)
{
  g_free (written->key);
  if (written->raw != NULL)
    explicit_bzero (written->raw, strlen (written->raw));
  g_free (written->raw);
}

static void
free_node (gpointer pointer)
{
  RagifyConfigNode *node = pointer;

  for (size_t i = 0; i < node->n_values; i++) {
    ragify_value_clear (&node->values[i]);
    clear_written (&node->written[i]);
  }
  g_free (node->values);
  g_free (node->written);
  g_free (node->host_keys);
  g_free (node->name);
  g_free (node->group);
  g_free (node);
}

RagifyConfig *
ragify_config_new (void)
{
  RagifyConfig *config = g_new0 (RagifyConfig, 1);

  g_atomic_ref_count_init (&config->references);
  config->nodes = g_ptr_array_new ();
  config->in_files = g_ptr_array_new_with_free_func (free_node);
  config->by_group = g_hash_table_new (g_str_hash, g_str_equal);
  config->paths = g_string_chunk_new (256);
  return config;
}

RagifyConfig *
ragify_config_ref (RagifyConfig *config)
{
  g_atomic_ref_count_inc (&config->references);
  return config;
}

void
ragify_config_unref (RagifyConfig *config)
{
  if (config == NULL || !g_atomic_ref_count_dec (&config->references))
    return;
  g_hash_table_unref (config->by_group);
  g_ptr_array_unref (config->nodes);
  g_ptr_array_unref (config->in_files);
  g_string_chunk_free (config->paths);
  g_free (config);
}

RagifyConfigNode *
ragify_config_add_node (RagifyConfig *config, RagifyKind kind, const char *name, const char *group)
{
  RagifyConfigNode *node = g_new0 (RagifyConfigNode, 1);
  const RagifyHostKey *const *keys = ragify_host_keys (kind, &node->n_host_values);

  node->kind = kind;
  node->name = g_strdup (name);
  node->group = g_strdup (group);
  node->enabled = true;
  node->n_values = node->n_host_values;
  node->values = g_new0 (RagifyConfigValue, node->n_values);
  node->written = g_new0 (RagifyWritten, node->n_values);
  node->host_keys = g_new0 (const RagifyHostKey *, node->n_values);
  for (size_t i = 0; i < node->n_values; i++) {
    node->host_keys[i] = keys[i];
    node->values[i].key = keys[i]->key.name;
    node->values[i].type = keys[i]->key.type;
    node->values[i].flags = keys[i]->key.flags;
  }
  node->index = config->nodes->len;
  g_ptr_array_add (config->nodes, node);
  g_ptr_array_add (config->in_files, node);
  g_hash_table_insert (config->by_group, node->group, node);
  return node;
}

const RagifyKey *
ragify_schema_key (const RagifySchema *schema, uint32_t index)
{
  return (const RagifyKey *)((const char *)schema->keys + (size_t)index * schema->stride);
}

void
ragify_config_node_set_component (RagifyConfigNode *node, const RagifyComponent *component)
{
  const RagifySchema *schema = &component->schema;

  node->component = component;
  node->n_values = node->n_host_values + schema->count;
  node->values = g_renew (RagifyConfigValue, node->values, node->n_values);
  node->written = g_renew (RagifyWritten, node->written, node->n_values);
  for (uint32_t i = 0; i < schema->count; i++) {
    const RagifyKey *key = ragify_schema_key (schema, i);

    node->values[node->n_host_values + i] =
        (RagifyConfigValue){ .key = key->name, .type = key->type, .flags = key->flags };
    node->written[node->n_host_values + i] = (RagifyWritten){ 0 };
  }
}

int
ragify_config_node_slot (const RagifyConfigNode *node, const char *key)
{
  for (size_t i = 0; i < node->n_values; i++)
    if (strcmp (node->values[i].key, key) == 0)
      return (int)i;
  return -1;
}

const RagifyKey *
ragify_config_node_key (const RagifyConfigNode *node, size_t slot)
{
  if (slot < node->n_host_values)
    return &node->host_keys[slot]->key;
  return ragify_schema_key (&node->component->schema, (uint32_t)(slot - node->n_host_values));
}

/* ---- Accessors of config.h -------------------------------------------------------------------------------------- */

const RagifyConfigNode *const *
ragify_config_nodes (const RagifyConfig *config, size_t *count)
{
  *count = config->nodes->len;
  return (const RagifyConfigNode *const *)config->nodes->pdata;
}

const RagifyConfigNode *
ragify_config_find (const RagifyConfig *config, const char *kind, const char *name)
{
  g_autofree char *group = *name == '\0' ? g_strdup (kind) : g_strconcat (kind, " ", name, NULL);

  return g_hash_table_lookup (config->by_group, group);
}

const RagifyConfigNode *
ragify_config_host (const RagifyConfig *config)
{
  return config->host;
}

const char *
ragify_config_node_kind (const RagifyConfigNode *node)
{
  return ragify_kind_info (node->kind)->name;
}

const char *
ragify_config_node_name (const RagifyConfigNode *node)
{
  return node->name;
}

const char *
ragify_config_node_group (const RagifyConfigNode *node)
{
  return node->group;
}

bool
ragify_config_node_enabled (const RagifyConfigNode *node)
{
  return node->enabled;
}

const RagifyComponent *
ragify_config_node_component (const RagifyConfigNode *node)
{
  return node->component;
}

size_t
ragify_config_node_index (const RagifyConfigNode *node)
{
  return node->index;
}

const RagifyOrigin *
ragify_config_node_origin (const RagifyConfigNode *node)
{
  return &node->origin;
}

const RagifyConfigValue *
ragify_config_node_values (const RagifyConfigNode *node, size_t *count)
{
  *count = node->n_values;
  return node->values;
}

const RagifyConfigValue *
ragify_config_node_value (const RagifyConfigNode *node, const char *key)
{
  int slot = ragify_config_node_slot (node, key);

  return slot < 0 ? NULL : &node->values[slot];
}

bool
ragify_config_node_has (const RagifyConfigNode *node, const char *key)
{
  const RagifyConfigValue *value = ragify_config_node_value (node, key);

  return value != NULL && value->origin.kind != RAGIFY_ORIGIN_NONE;
}

/* The value of `key` when it has one of type `type`; NULL when it has none, and, with a critical message, when there is
 * no such key or it has another type. */
static const RagifyConfigValue *
typed_value (const RagifyConfigNode *node, const char *key, uint32_t type)
{
  const RagifyConfigValue *value = ragify_config_node_value (node, key);

  if (value == NULL || value->type != type) {
    g_critical ("[%s]: asked for '%s' as a %s, which it is not", node->group, key, ragify_value_type_name (type));
    return NULL;
  }
  return value->origin.kind == RAGIFY_ORIGIN_NONE ? NULL : value;
}

const char *
ragify_config_node_get_string (const RagifyConfigNode *node, const char *key)
{
  const RagifyConfigValue *value = ragify_config_node_value (node, key);

  switch (value == NULL ? 0 : value->type) {
  case RAGIFY_KEY_PATH:
  case RAGIFY_KEY_URI:
  case RAGIFY_KEY_ENUM:
  case RAGIFY_KEY_SECRET:
    break;
  default:
    value = typed_value (node, key, RAGIFY_KEY_STRING);
  }
  return value == NULL || value->origin.kind == RAGIFY_ORIGIN_NONE ? NULL : value->string;
}

int64_t
ragify_config_node_get_int (const RagifyConfigNode *node, const char *key)
{
  const RagifyConfigValue *value = typed_value (node, key, RAGIFY_KEY_INT);

  return value == NULL ? 0 : value->integer;
}

double
ragify_config_node_get_double (const RagifyConfigNode *node, const char *key)
{
  const RagifyConfigValue *value = typed_value (node, key, RAGIFY_KEY_DOUBLE);

  return value == NULL ? 0 : value->number;
}

bool
ragify_config_node_get_bool (const RagifyConfigNode *node, const char *key)
{
  const RagifyConfigValue *value = typed_value (node, key, RAGIFY_KEY_BOOL);

  return value != NULL && value->boolean;
}

uint64_t
ragify_config_node_get_duration (const RagifyConfigNode *node, const char *key)
{
  const RagifyConfigValue *value = typed_value (node, key, RAGIFY_KEY_DURATION);

  return value == NULL ? 0 : value->duration;
}

uint64_t
ragify_config_node_get_size (const RagifyConfigNode *node, const char *key)
{
  const RagifyConfigValue *value = typed_value (node, key, RAGIFY_KEY_SIZE);

  return value == NULL ? 0 : value->size;
}

const char *const *
ragify_config_node_get_list (const RagifyConfigNode *node, const char *key, size_t *count)
{
  static const char *const empty[] = { NULL };
  const RagifyConfigValue *value = typed_value (node, key, RAGIFY_KEY_LIST);

  if (count != NULL)
    *count = value == NULL ? 0 : value->list.count;
  return value == NULL ? empty : value->list.items;
}

const RagifyConfigNode *const *
ragify_config_node_refs (const RagifyConfigNode *node, const char *key, size_t *count)
{
  const RagifyConfigValue *value = ragify_config_node_value (node, key);

  if (value == NULL || value->type != RAGIFY_KEY_REFERENCE)
    value = typed_value (node, key, RAGIFY_KEY_REFERENCE_LIST);
  *count = 0;
  if (value == NULL || value->origin.kind == RAGIFY_ORIGIN_NONE)
    return NULL;
  *count = value->refs.count;
  return value->refs.nodes;
}

const RagifyConfigNode *
ragify_config_node_ref (const RagifyConfigNode *node, const char *key)
{
  const RagifyConfigValue *value = typed_value (node, key, RAGIFY_KEY_REFERENCE);

  return value == NULL || value->refs.count == 0 ? NULL : value->refs.nodes[0];
}
