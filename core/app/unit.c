/* SPDX-License-Identifier: MIT */
#include "core/app/unit.h"

#include <string.h>

#include "core/app/values.h"
#include "core/call/operations.h"
#include "core/module/isolation.h"

#define STOP_TIMEOUT_US (10 * G_USEC_PER_SEC)

/* An embedder's description with the text that it points to. */
typedef struct Described {
  gboolean is_set;
  RagifyEmbedderInfo info;
  char *fingerprint;
} Described;

struct RagifyUnit {
  guint references;
  RagifyRuntime *runtime;
  RagifyConfig *config; /* whose values are in force */
  const RagifyConfigNode *values;
  RagifyNode *node;
  RagifyNodeOptions policy; /* in force; its texts are not looked at */
  Described own;            /* embedders: what it is */
  Described begun_with;     /* stores: what the start was told */
};

/* ---- descriptions ---- */

static void
described_set (Described *described, const RagifyEmbedderInfo *info)
{
  char *fingerprint = info != NULL ? g_strndup (info->fingerprint.data, info->fingerprint.size) : NULL;
  g_free (described->fingerprint);
  *described = (Described){ .is_set = info != NULL, .fingerprint = fingerprint };
  if (info == NULL)
    return;
  described->info = *info;
  described->info.fingerprint = ragify_str_from (fingerprint);
}

static const RagifyEmbedderInfo *
described_get (const Described *described)
{
  return described->is_set ? &described->info : NULL;
}

static gboolean
described_is (const Described *described, const RagifyEmbedderInfo *info)
{
  if (!described->is_set || info == NULL)
    return !described->is_set && info == NULL;
  return described->info.dimension == info->dimension && described->info.fingerprint.size == info->fingerprint.size &&
         memcmp (described->fingerprint, info->fingerprint.data, info->fingerprint.size) == 0;
}

/* ---- making ---- */

static gboolean
is_kind (const RagifyConfigNode *node, const char *kind)
{
  return g_str_equal (ragify_config_node_kind (node), kind);
}

RagifyBreakerOptions
ragify_unit_breaker (const RagifyConfigNode *node)
{
  return (RagifyBreakerOptions){ .failures = (guint)ragify_config_node_get_int (node, "breaker-failures"),
                                 .error_rate = ragify_config_node_get_double (node, "breaker-error-rate"),
                                 .window_us = ragify_config_node_get_duration (node, "breaker-window"),
                                 .open_us = ragify_config_node_get_duration (node, "breaker-open") };
}

/* All but the values. */
static RagifyNodeOptions
policy_of (const RagifyConfigNode *node)
{
  return (RagifyNodeOptions){
    .name = ragify_config_node_name (node),
    .component = ragify_config_node_component (node),
    .max_parallel = (guint)ragify_config_node_get_int (node, "max-parallel"),
    .max_abandoned = (guint)ragify_config_node_get_int (node, "max-abandoned"),
    .memory_limit = ragify_config_node_get_size (node, "call-memory"),
    .deadline_us = ragify_config_node_get_duration (node, "deadline"),
    .breaker = ragify_unit_breaker (node),
    .retries = (guint)ragify_config_node_get_int (node, "retry"),
    .weight = ragify_config_node_value (node, "weight") != NULL ? ragify_config_node_get_double (node, "weight") : 1,
    .retry_budget = ragify_config_node_get_double (node, "retry-budget"),
  };
}

static gboolean
is_isolated (const RagifyConfigNode *node)
{
  return g_strcmp0 (ragify_config_node_get_string (node, "isolation"), "process") == 0;
}

/* Where the node asks for it, its component becomes one that forwards to a process of its own. */
static gboolean
isolate (RagifyNodeOptions *options, const RagifyConfigNode *node, GError **error)
{
  const RagifyIsolationOptions isolation = {
    .memory = ragify_config_node_get_size (node, "isolation-memory"),
    .hang_us = ragify_config_node_get_duration (node, "isolation-hang"),
  };
  if (!is_isolated (node) || ragify_isolation_wrap (options, &isolation, error))
    return TRUE;
  options->values.destroy (options->values.user);
  return FALSE;
}

static RagifyNodeOptions
options_of (RagifyConfig *config, const RagifyConfigNode *node)
{
  RagifyNodeOptions options = policy_of (node);
  options.values = ragify_values_new (config, node);
  return options;
}

RagifyUnit *
ragify_unit_new (RagifyRuntime *runtime, RagifyConfig *config, const RagifyConfigNode *node, GError **error)
{
  RagifyNodeOptions options = options_of (config, node);
  RagifyNode *made = isolate (&options, node, error) ? ragify_node_new (runtime, &options, error) : NULL;
  if (made == NULL)
    return NULL;
  RagifyUnit *unit = g_new0 (RagifyUnit, 1);
  unit->references = 1;
  unit->runtime = runtime;
  unit->config = ragify_config_ref (config);
  unit->values = node;
  unit->node = made;
  unit->policy = policy_of (node);
  return unit;
}

static guint64
start_deadline (const RagifyConfigNode *node)
{
  return ragify_now () + ragify_config_node_get_duration (node, "start-timeout");
}

static gboolean
describe (RagifyUnit *unit, guint64 deadline, GError **error)
{
  static const RagifyNothing nothing = { .struct_size = sizeof nothing };
  g_autoptr (RagifyOwner) owner = ragify_owner_new (sizeof (RagifyOwner), NULL);
  RagifyCall *call = ragify_call_new (owner, &ragify_operation_embedder_describe, &nothing, deadline, NULL, NULL);
  if (ragify_call_wait (unit->node, call) != RAGIFY_OK) {
    g_set_error_literal (error, RAGIFY_NODE_ERROR, ragify_call_code (call), ragify_call_message (call));
    return FALSE;
  }
  described_set (&unit->own, ragify_call_result (call));
  return TRUE;
}

gboolean
ragify_unit_start (RagifyUnit *unit, const RagifyEmbedderInfo *embedder, GError **error)
{
  const guint64 deadline = start_deadline (unit->values);
  const RagifyStart start = { .struct_size = sizeof start, .embedder = embedder };
  if (!ragify_node_start (unit->node, &start, deadline, error))
    return FALSE;
  described_set (&unit->begun_with, embedder);
  return !is_kind (unit->values, "embedder") || describe (unit, deadline, error);
}

RagifyUnit *
ragify_unit_ref (RagifyUnit *unit)
{
  unit->references++;
  return unit;
}

void
ragify_unit_unref (RagifyUnit *unit)
{
  if (--unit->references > 0)
    return;
  ragify_node_free (unit->node, ragify_now () + STOP_TIMEOUT_US);
  ragify_config_unref (unit->config);
  described_set (&unit->own, NULL);
  described_set (&unit->begun_with, NULL);
  g_free (unit);
}

RagifyNode *
ragify_unit_node (const RagifyUnit *unit)
{
  return unit->node;
}

const RagifyEmbedderInfo *
ragify_unit_embedder (const RagifyUnit *unit)
{
  return described_get (&unit->own);
}

const RagifyEmbedderInfo *
ragify_unit_begun_with (const RagifyUnit *unit)
{
  return described_get (&unit->begun_with);
}

RagifyConfig *
ragify_unit_config (const RagifyUnit *unit)
{
  return unit->config;
}

const RagifyConfigNode *
ragify_unit_values (const RagifyUnit *unit)
{
  return unit->values;
}

/* ---- comparing ---- */

/* Stores, indexes and disk caches have one writer, which has the folder that a key of type path names to itself. */
static gboolean
owns_folder (const RagifyComponent *component)
{
  static const char *const kinds[] = { RAGIFY_KIND_VECTOR_STORE, RAGIFY_KIND_TEXT_INDEX, RAGIFY_KIND_CACHE };
  if (component->run_class != RAGIFY_RUN_WORKER || (component->flags & RAGIFY_COMPONENT_REMOTE) != 0)
    return FALSE;
  for (gsize i = 0; i < G_N_ELEMENTS (kinds); i++)
    if (g_str_equal (component->kind, kinds[i]))
      return TRUE;
  return FALSE;
}

/* A value of type path that both have, written or not. */
static const char *
common_path (const RagifyConfigNode *before, const RagifyConfigNode *after, RagifyOriginKind least)
{
  gsize count;
  const RagifyConfigValue *values = ragify_config_node_values (after, &count);
  for (gsize i = 0; i < count; i++) {
    if (values[i].type != RAGIFY_KEY_PATH || values[i].origin.kind < least)
      continue;
    const RagifyConfigValue *other = ragify_config_node_value (before, values[i].key);
    if (other != NULL && other->origin.kind >= least && g_str_equal (other->string, values[i].string))
      return other->string;
  }
  return NULL;
}

const char *
ragify_unit_shared_folder (const RagifyUnit *unit, const RagifyConfigNode *node)
{
  const RagifyComponent *component = ragify_config_node_component (node);
  const gboolean same_name = g_str_equal (ragify_config_node_name (unit->values), ragify_config_node_name (node));
  if (component != ragify_config_node_component (unit->values) || !owns_folder (component) ||
      ragify_node_is_dead (unit->node))
    return NULL;
  return common_path (unit->values, node, same_name ? RAGIFY_ORIGIN_DEFAULT : RAGIFY_ORIGIN_FILE);
}

/* A model that is named, not given by path, is looked for in the folder that [host] says. */
static gboolean
moved_models (const RagifyUnit *unit, const RagifyConfig *config, const RagifyConfigNode *node)
{
  const RagifyConfigValue *own = ragify_config_node_value (node, "models-dir");
  if (own == NULL || own->origin.kind > RAGIFY_ORIGIN_DEFAULT)
    return FALSE;
  return g_strcmp0 (ragify_config_node_get_string (ragify_config_host (unit->config), "models-dir"),
                    ragify_config_node_get_string (ragify_config_host (config), "models-dir")) != 0;
}

/* How long a level keeps an answer depends on the tiers that it is in. */
static gboolean
keeps_otherwise (const RagifyUnit *unit, const RagifyConfig *config, const RagifyConfigNode *node)
{
  return is_kind (node, "cache") && ragify_config_node_value (node, "ttl") != NULL &&
         ragify_values_keep_longer (unit->config, unit->values) != ragify_values_keep_longer (config, node);
}

/* The host reads its own keys from the new configuration; the component is told of its own. */
static void
drop_host_keys (const RagifyComponent *component, GPtrArray *keys)
{
  for (guint i = keys->len; i > 0; i--)
    if (ragify_host_key_is_reserved (component->kind, g_ptr_array_index (keys, i - 1)))
      g_ptr_array_remove_index (keys, i - 1);
}

static RagifyFate
rebuild (const RagifyUnit *unit, const RagifyConfigNode *node)
{
  const RagifyComponent *component = ragify_config_node_component (node);
  const gboolean in_place = component == ragify_config_node_component (unit->values) && owns_folder (component) &&
                            !is_isolated (unit->values) && !is_isolated (node) &&
                            common_path (unit->values, node, RAGIFY_ORIGIN_DEFAULT) != NULL;
  return in_place ? RAGIFY_FATE_RESTART : RAGIFY_FATE_BUILD;
}

RagifyFate
ragify_unit_compare (const RagifyUnit *unit, const RagifyConfig *config, const RagifyConfigNode *node,
                     const RagifyEmbedderInfo *embedder, GPtrArray *keys)
{
  const RagifyComponent *component = ragify_config_node_component (node);
  g_autoptr (GPtrArray) changed = g_ptr_array_new ();
  if (ragify_node_is_dead (unit->node))
    return RAGIFY_FATE_BUILD;
  RagifyConfigChange change = ragify_config_node_compare_own (unit->values, node, changed);
  if (keeps_otherwise (unit, config, node) && !g_ptr_array_find (changed, "ttl", NULL)) {
    const RagifyConfigValue *ttl = ragify_config_node_value (node, "ttl");
    g_ptr_array_add (changed, (gpointer)ttl->key);
    change = MAX (change, (ttl->flags & RAGIFY_KEY_RELOADABLE) != 0 ? RAGIFY_CHANGE_RELOADABLE : RAGIFY_CHANGE_REBUILD);
  }
  if (change == RAGIFY_CHANGE_REBUILD || moved_models (unit, config, node) ||
      (is_kind (node, "vector-store") && !described_is (&unit->begun_with, embedder)))
    return rebuild (unit, node);
  drop_host_keys (component, changed);
  if (changed->len == 0)
    return RAGIFY_FATE_KEEP;
  if (component->reconfigure == NULL || is_isolated (node))
    return rebuild (unit, node);
  g_ptr_array_extend (keys, changed, NULL, NULL);
  return RAGIFY_FATE_RECONFIGURE;
}

/* ---- changing ---- */

static gboolean
restart (RagifyUnit *unit, RagifyConfig *config, const RagifyConfigNode *node, const RagifyEmbedderInfo *embedder,
         GError **error)
{
  const RagifyNodeOptions options = options_of (config, node);
  const RagifyStart start = { .struct_size = sizeof start, .embedder = embedder };
  const RagifyStart former = { .struct_size = sizeof former, .embedder = described_get (&unit->begun_with) };
  if (!ragify_node_restart (unit->node, &options, &start, &former, start_deadline (node), error))
    return FALSE;
  described_set (&unit->begun_with, embedder);
  return TRUE;
}

static gboolean
reconfigure (RagifyUnit *unit, RagifyConfig *config, const RagifyConfigNode *node, GPtrArray *keys, GError **error)
{
  g_autofree const char **names = g_new0 (const char *, keys->len + 1);
  memcpy (names, keys->pdata, keys->len * sizeof *names);
  return ragify_node_reconfigure (unit->node, ragify_values_new (config, node), names, start_deadline (node), error);
}

gboolean
ragify_unit_change (RagifyUnit *unit, RagifyFate fate, RagifyConfig *config, const RagifyConfigNode *node,
                    const RagifyEmbedderInfo *embedder, GPtrArray *keys, GError **error)
{
  const gboolean changed = fate == RAGIFY_FATE_RESTART ? restart (unit, config, node, embedder, error)
                                                       : reconfigure (unit, config, node, keys, error);
  if (!changed)
    return FALSE;
  RagifyConfig *former = unit->config;
  unit->config = ragify_config_ref (config);
  unit->values = node;
  ragify_config_unref (former);
  return TRUE;
}

static gboolean
is_same_number (double one, double other)
{
  return one <= other && one >= other;
}

static gboolean
is_same_policy (const RagifyNodeOptions *one, const RagifyNodeOptions *other)
{
  return one->deadline_us == other->deadline_us && one->breaker.failures == other->breaker.failures &&
         one->breaker.window_us == other->breaker.window_us && one->breaker.open_us == other->breaker.open_us &&
         one->retries == other->retries && is_same_number (one->breaker.error_rate, other->breaker.error_rate) &&
         is_same_number (one->weight, other->weight) && is_same_number (one->retry_budget, other->retry_budget);
}

void
ragify_unit_apply_policy (RagifyUnit *unit, const RagifyConfigNode *node)
{
  const RagifyNodeOptions policy = policy_of (node);
  if (is_same_policy (&unit->policy, &policy))
    return;
  ragify_node_set_policy (unit->node, &policy);
  unit->policy = policy;
}
