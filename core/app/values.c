/* SPDX-License-Identifier: MIT */
#include "core/app/values.h"

typedef struct Values {
  RagifyConfig *config;
  const RagifyConfigNode *node;
  GHashTable *lists; /* key → RagifyStrList, for those of type list */
} Values;

static const RagifyConfigValue *
find (const Values *values, const char *key)
{
  const RagifyConfigValue *value = ragify_config_node_value (values->node, key);
  const gboolean written = value != NULL && value->origin.kind > RAGIFY_ORIGIN_DEFAULT;
  if (!written && g_str_equal (key, "models-dir"))
    return ragify_config_node_value (ragify_config_host (values->config), key);
  return value;
}

/* A tier may give an answer for some time after its level's `ttl`, so the level has to keep it for as long. */
guint64
ragify_values_keep_longer (const RagifyConfig *config, const RagifyConfigNode *cache)
{
  gsize n_nodes;
  guint64 longest = 0;
  const RagifyConfigNode *const *nodes = ragify_config_nodes (config, &n_nodes);
  for (gsize i = 0; i < n_nodes; i++) {
    gsize count = 0;
    if (!g_str_equal (ragify_config_node_kind (nodes[i]), "tier"))
      continue;
    const RagifyConfigNode *const *levels = ragify_config_node_refs (nodes[i], "levels", &count);
    for (gsize k = 0; k < count; k++)
      if (levels[k] == cache)
        longest = MAX (longest, ragify_config_node_get_duration (nodes[i], "stale-while-revalidate"));
  }
  return longest;
}

static guint64
duration_of (const Values *values, const char *key, guint64 duration)
{
  const gboolean ttl = g_str_equal (ragify_config_node_kind (values->node), "cache") && g_str_equal (key, "ttl");
  return ttl && duration > 0 ? duration + ragify_values_keep_longer (values->config, values->node)
                             : duration; /* 0: no end */
}

static gboolean
is_text (guint32 type)
{
  return type == RAGIFY_KEY_STRING || type == RAGIFY_KEY_PATH || type == RAGIFY_KEY_URI || type == RAGIFY_KEY_ENUM ||
         type == RAGIFY_KEY_SECRET;
}

static gint32
get (void *user, const char *key, guint32 type, void *target)
{
  const Values *values = user;
  const RagifyConfigValue *value = find (values, key);
  if (value == NULL || value->origin.kind == RAGIFY_ORIGIN_NONE)
    return RAGIFY_E_NOT_FOUND;
  if (type != value->type && !(type == RAGIFY_KEY_STRING && is_text (value->type))) {
    g_critical ("%s: asked for '%s' as another type than its schema says", ragify_config_node_group (values->node),
                key);
    return RAGIFY_E_NOT_FOUND;
  }
  switch (type) {
  case RAGIFY_KEY_STRING:
    *(RagifyStr *)target = ragify_str_from (value->string);
    return RAGIFY_OK;
  case RAGIFY_KEY_INT:
    *(int64_t *)target = value->integer;
    return RAGIFY_OK;
  case RAGIFY_KEY_DOUBLE:
    *(double *)target = value->number;
    return RAGIFY_OK;
  case RAGIFY_KEY_BOOL:
    *(uint32_t *)target = value->boolean;
    return RAGIFY_OK;
  case RAGIFY_KEY_DURATION:
    *(uint64_t *)target = duration_of (values, key, value->duration);
    return RAGIFY_OK;
  case RAGIFY_KEY_SIZE:
    *(uint64_t *)target = value->size;
    return RAGIFY_OK;
  case RAGIFY_KEY_LIST:
    *(RagifyStrList *)target = *(RagifyStrList *)g_hash_table_lookup (values->lists, key);
    return RAGIFY_OK;
  default:
    return RAGIFY_E_NOT_FOUND;
  }
}

static void
destroy (void *user)
{
  Values *values = user;
  g_hash_table_unref (values->lists);
  ragify_config_unref (values->config);
  g_free (values);
}

static void
list_free (gpointer data)
{
  RagifyStrList *list = data;
  g_free ((gpointer)list->items);
  g_free (list);
}

RagifyNodeValues
ragify_values_new (RagifyConfig *config, const RagifyConfigNode *node)
{
  Values *values = g_new0 (Values, 1);
  values->config = ragify_config_ref (config);
  values->node = node;
  values->lists = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, list_free);
  gsize count;
  const RagifyConfigValue *all = ragify_config_node_values (node, &count);
  for (gsize i = 0; i < count; i++) {
    if (all[i].type != RAGIFY_KEY_LIST || all[i].origin.kind == RAGIFY_ORIGIN_NONE)
      continue;
    RagifyStr *items = g_new0 (RagifyStr, MAX (all[i].list.count, 1));
    for (gsize k = 0; k < all[i].list.count; k++)
      items[k] = ragify_str_from (all[i].list.items[k]);
    RagifyStrList *list = g_new (RagifyStrList, 1);
    *list = (RagifyStrList){ items, all[i].list.count };
    g_hash_table_insert (values->lists, (gpointer)all[i].key, list);
  }
  return (RagifyNodeValues){ .get = get, .destroy = destroy, .user = values };
}
