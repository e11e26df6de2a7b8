/* One load of a configuration: what its steps share, and the steps, in their order.
 *
 * SPDX-License-Identifier: MIT
 *
 *   draft ─► nodes: kinds, components, typed values ─► edges: references, order ─► lint: what only the whole shows
 *
 * Each step goes on after an error, and says nothing that merely follows from an error already said.
 */
#ifndef RAGIFY_CONFIG_LOADER_H
#define RAGIFY_CONFIG_LOADER_H

#include "config/model.h"
#include "config/value.h"

G_BEGIN_DECLS

typedef struct RagifyLoader {
  const RagifyConfigInput *input;
  const RagifySchemaLookup *lookup;
  RagifyDiagnostics *diagnostics;
  RagifyDraft *draft;
  RagifyConfig *config;
  RagifyValueContext context;       /* for all keys but … */
  RagifyValueContext start_context; /* … [host] state-dir, under which the others' relative paths are */
  char *state_dir;                  /* owned */
  char *start_dir;                  /* owned */
  const char *profile;              /* NULL: none */
  GHashTable *broken_names;         /* names of groups that made no node: references to them are not worth an error */
  bool incomplete;          /* something was refused that nodes may have been used by: who is unused is not known */
  unsigned int suggestions; /* comparisons left for "did you mean" */
} RagifyLoader;

/* Makes a node of each group. [host] comes first, and is made also where it is not written. */
void ragify_load_nodes (RagifyLoader *loader);
/* Resolves references, and puts config->nodes in order; false when circles leave no order. */
bool ragify_load_edges (RagifyLoader *loader);
/* The rules about the whole, for a configuration whose edges are resolved. */
void ragify_load_lint (RagifyLoader *loader);

/* Reports at the place of a value of `node`, or at its group where that was not written. */
void ragify_load_report (RagifyLoader *loader, RagifySeverity severity, const RagifyConfigNode *node, const char *key,
                         const char *format, ...) G_GNUC_PRINTF (5, 6);

/* Puts a typed value, parsed from `raw`, into the slot, with the origin of `entry`. False: reported. */
bool ragify_load_value (RagifyLoader *loader, RagifyConfigNode *node, int slot, const RagifyDraftEntry *entry,
                        const char *raw);

/* The same from a file: for KEY-file. */
bool ragify_load_value_file (RagifyLoader *loader, RagifyConfigNode *node, int slot, const RagifyDraftEntry *entry);

/* Gives `slot` the origin of `entry` and remembers how it was written. */
void ragify_load_note_origin (RagifyLoader *loader, RagifyConfigNode *node, int slot, const RagifyDraftEntry *entry,
                              bool hidden);

/* The keys of a plugin that a store's vector-db-url stands for, with their values. */
typedef struct RagifyStoreUrl {
  const char *keys[2]; /* NULL: no more */
  char *values[2];
} RagifyStoreUrl;
void ragify_store_url_clear (RagifyStoreUrl *parsed);
/* The plugin that the URL stands for; `parsed`, which comes zeroed, is then to be cleared. NULL with an error. */
const char *ragify_store_url_parse (const char *url, RagifyStoreUrl *parsed, RagifyTextError *error);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (RagifyStoreUrl, ragify_store_url_clear)

G_END_DECLS
#endif
