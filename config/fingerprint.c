/* SPDX-License-Identifier: MIT */
#include "config/fingerprint.h"

#include <string.h>
#include <xxhash.h>

/* Each piece goes in with its length, so that no two sequences of pieces make the same bytes. Numbers go in as text or
 * in little-endian order: the result is the same on every machine. */
static void
add_bytes (XXH3_state_t *state, const void *bytes, size_t size)
{
  guint64 length = GUINT64_TO_LE ((guint64)size);

  XXH3_128bits_update (state, &length, sizeof length);
  XXH3_128bits_update (state, bytes, size);
}

static void
add_text (XXH3_state_t *state, const char *text)
{
  add_bytes (state, text, strlen (text));
}

static void
add_number (XXH3_state_t *state, uint64_t number)
{
  guint64 little = GUINT64_TO_LE ((guint64)number);

  XXH3_128bits_update (state, &little, sizeof little);
}

static void
add_references (XXH3_state_t *state, const RagifyConfigValue *value, bool full)
{
  add_number (state, value->refs.count);
  for (size_t i = 0; i < value->refs.count; i++) {
    const RagifyConfigNode *target = value->refs.nodes[i];
    RagifyFingerprint fingerprint = full ? target->full : target->answer;

    add_number (state, fingerprint.high);
    add_number (state, fingerprint.low);
  }
}

static void
add_value (XXH3_state_t *state, const RagifyConfigValue *value, bool full)
{
  uint64_t bits = 0;

  add_text (state, value->key);
  add_number (state, value->type);
  switch (value->type) {
  case RAGIFY_KEY_INT:
    add_number (state, (uint64_t)value->integer);
    break;
  case RAGIFY_KEY_DOUBLE:
    memcpy (&bits, &value->number, sizeof bits);
    add_number (state, bits);
    break;
  case RAGIFY_KEY_BOOL:
    add_number (state, value->boolean);
    break;
  case RAGIFY_KEY_DURATION:
    add_number (state, value->duration);
    break;
  case RAGIFY_KEY_SIZE:
    add_number (state, value->size);
    break;
  case RAGIFY_KEY_LIST:
    add_number (state, value->list.count);
    for (size_t i = 0; i < value->list.count; i++)
      add_text (state, value->list.items[i]);
    break;
  case RAGIFY_KEY_REFERENCE:
  case RAGIFY_KEY_REFERENCE_LIST:
    add_references (state, value, full);
    break;
  default:
    add_text (state, value->string);
  }
}

/* Answers do not depend on who is asked in which way, nor with which credentials. */
static bool
alters_answers (const RagifyConfigNode *node, size_t slot)
{
  if (slot < node->n_host_values)
    return (node->host_keys[slot]->traits & RAGIFY_HOST_KEY_OPERATIONAL) == 0;
  return node->values[slot].type != RAGIFY_KEY_SECRET;
}

static RagifyFingerprint
take (const RagifyConfigNode *node, bool full)
{
  XXH3_state_t *state = XXH3_createState ();
  RagifyFingerprint fingerprint;
  XXH128_hash_t hash;

  XXH3_128bits_reset (state);
  add_text (state, node->group);
  add_text (state, node->component == NULL ? "" : node->component->name);
  add_number (state, node->enabled);
  for (size_t slot = 0; slot < node->n_values; slot++)
    if (node->values[slot].origin.kind != RAGIFY_ORIGIN_NONE && (full || alters_answers (node, slot)))
      add_value (state, &node->values[slot], full);
  hash = XXH3_128bits_digest (state);
  XXH3_freeState (state);
  fingerprint.high = hash.high64;
  fingerprint.low = hash.low64;
  return fingerprint;
}

void
ragify_fingerprint_all (RagifyConfig *config)
{
  for (unsigned int i = 0; i < config->nodes->len; i++) {
    RagifyConfigNode *node = g_ptr_array_index (config->nodes, i);

    node->full = take (node, true);
    node->answer = take (node, false);
  }
}

RagifyFingerprint
ragify_config_node_fingerprint (const RagifyConfigNode *node)
{
  return node->full;
}

RagifyFingerprint
ragify_config_node_answer_fingerprint (const RagifyConfigNode *node)
{
  return node->answer;
}

/* ---- Comparing -------------------------------------------------------------------------------------------------- */

static bool
equal_references (const RagifyConfigValue *a, const RagifyConfigValue *b)
{
  if (a->refs.count != b->refs.count)
    return false;
  for (size_t i = 0; i < a->refs.count; i++)
    if (strcmp (a->refs.nodes[i]->group, b->refs.nodes[i]->group) != 0)
      return false;
  return true;
}

bool
ragify_value_equal (const RagifyConfigValue *a, const RagifyConfigValue *b)
{
  bool has_value = a->origin.kind != RAGIFY_ORIGIN_NONE;

  if (a->type != b->type || has_value != (b->origin.kind != RAGIFY_ORIGIN_NONE))
    return false;
  if (!has_value)
    return true;
  switch (a->type) {
  case RAGIFY_KEY_INT:
    return a->integer == b->integer;
  case RAGIFY_KEY_DOUBLE:
    return a->number == b->number;
  case RAGIFY_KEY_BOOL:
    return a->boolean == b->boolean;
  case RAGIFY_KEY_DURATION:
    return a->duration == b->duration;
  case RAGIFY_KEY_SIZE:
    return a->size == b->size;
  case RAGIFY_KEY_LIST:
    return g_strv_equal (a->list.items, b->list.items);
  case RAGIFY_KEY_REFERENCE:
  case RAGIFY_KEY_REFERENCE_LIST:
    return equal_references (a, b);
  default:
    return strcmp (a->string, b->string) == 0;
  }
}

/* Whether something that the value's nodes are built on must be built anew. */
static bool
references_rebuilt (const RagifyConfigValue *before, const RagifyConfigValue *after)
{
  if (after->type != RAGIFY_KEY_REFERENCE && after->type != RAGIFY_KEY_REFERENCE_LIST)
    return false;
  for (size_t i = 0; after->origin.kind != RAGIFY_ORIGIN_NONE && i < after->refs.count; i++)
    if (ragify_config_node_compare (before->refs.nodes[i], after->refs.nodes[i], NULL) == RAGIFY_CHANGE_REBUILD)
      return true;
  return false;
}

static bool
is_same_kind_of_node (const RagifyConfigNode *before, const RagifyConfigNode *after)
{
  return before->kind == after->kind && before->component == after->component && before->enabled == after->enabled &&
         before->n_values == after->n_values && strcmp (before->name, after->name) == 0;
}

RagifyConfigChange
ragify_config_node_compare_own (const RagifyConfigNode *before, const RagifyConfigNode *after, GPtrArray *changed)
{
  RagifyConfigChange change = RAGIFY_CHANGE_NONE;

  if (!is_same_kind_of_node (before, after))
    return RAGIFY_CHANGE_REBUILD;
  for (size_t slot = 0; slot < after->n_values; slot++) {
    const RagifyConfigValue *value = &after->values[slot];

    if (value->type == RAGIFY_KEY_REFERENCE || value->type == RAGIFY_KEY_REFERENCE_LIST ||
        ragify_value_equal (&before->values[slot], value))
      continue;
    change =
        MAX (change, (value->flags & RAGIFY_KEY_RELOADABLE) == 0 ? RAGIFY_CHANGE_REBUILD : RAGIFY_CHANGE_RELOADABLE);
    if (changed != NULL)
      g_ptr_array_add (changed, (gpointer)value->key);
  }
  return change;
}

RagifyConfigChange
ragify_config_node_compare (const RagifyConfigNode *before, const RagifyConfigNode *after, GPtrArray *changed)
{
  RagifyConfigChange change = RAGIFY_CHANGE_NONE;

  /* The common case needs no look at any value. */
  if (before->full.high == after->full.high && before->full.low == after->full.low)
    return RAGIFY_CHANGE_NONE;
  if (!is_same_kind_of_node (before, after))
    return RAGIFY_CHANGE_REBUILD;
  for (size_t slot = 0; slot < after->n_values; slot++) {
    const RagifyConfigValue *value = &after->values[slot];
    bool equal = ragify_value_equal (&before->values[slot], value);

    if (equal && !references_rebuilt (&before->values[slot], value))
      continue;
    if (equal || (value->flags & RAGIFY_KEY_RELOADABLE) == 0)
      change = RAGIFY_CHANGE_REBUILD;
    else
      change = MAX (change, RAGIFY_CHANGE_RELOADABLE);
    if (!equal && changed != NULL)
      g_ptr_array_add (changed, (gpointer)value->key);
  }
  return change;
}
