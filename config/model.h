/* The inside of a configuration, for the files of config/ that build and print it. Everybody else uses config.h.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RAGIFY_CONFIG_MODEL_H
#define RAGIFY_CONFIG_MODEL_H

#include "config/draft.h"
#include "config/host-keys.h"

G_BEGIN_DECLS

/* How a value came to be written; one for each of a node's values. */
typedef struct RagifyWritten {
  char *key;   /* the key as written, which is "dsn-file" for the value of "dsn"; NULL: the value's own */
  char *raw;   /* as written; NULL: not written */
  bool hidden; /* the value is or may hold a secret */
  /* While loading only. */
  const RagifyDraftEntry *entry; /* NULL: not written */
} RagifyWritten;

struct RagifyConfigNode {
  RagifyKind kind;
  char *name;
  char *group;
  RagifyOrigin origin;
  const RagifyComponent *component;
  bool enabled;
  size_t index;
  size_t n_host_values;
  size_t n_values;
  RagifyConfigValue *values;
  const RagifyHostKey **host_keys; /* of the first n_host_values */
  RagifyWritten *written;
  RagifyFingerprint full;
  RagifyFingerprint answer;
  /* While loading only. */
  const RagifyDraftGroup *draft; /* NULL: [host] that is not written */
  bool used;
};

struct RagifyConfig {
  gatomicrefcount references;
  GPtrArray *nodes;    /* RagifyConfigNode, owned; in file order while loading, then each after what it refers to */
  GPtrArray *in_files; /* the same in the order of the files */
  GHashTable *by_group;
  GStringChunk *paths; /* of origins */
  RagifyConfigNode *host;
};

RagifyConfig *ragify_config_new (void);

/* A node of `kind` without a component and with the host's keys unset, owned by the configuration. */
RagifyConfigNode *ragify_config_add_node (RagifyConfig *config, RagifyKind kind, const char *name, const char *group);
/* Gives the node its component and that component's keys, unset. At most once. */
void ragify_config_node_set_component (RagifyConfigNode *node, const RagifyComponent *component);

/* Slot of a key in values and written; −1: the node has no such key. */
int ragify_config_node_slot (const RagifyConfigNode *node, const char *key);

/* The key's description: the host table's or the schema's. */
const RagifyKey *ragify_config_node_key (const RagifyConfigNode *node, size_t slot);

const RagifyKey *ragify_schema_key (const RagifySchema *schema, uint32_t index);

G_END_DECLS
#endif
