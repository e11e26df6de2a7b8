/* The configuration of a host: reads drop-ins, checks everything, and gives an immutable model. This is the one page
 * that the rest of the host includes; docs/configuration.md describes the language.
 *
 * SPDX-License-Identifier: MIT
 *
 * Way of use:
 *
 *     RagifyDiagnostics *diagnostics = ragify_diagnostics_new ();
 *     RagifyConfig *config = ragify_config_load (&input, &lookup, diagnostics);
 *     text = ragify_diagnostics_to_text (diagnostics);   // all errors and warnings, sorted, one a line
 *     if (config == NULL)
 *       … exit 78 …
 *
 * A loaded RagifyConfig never changes; it is reference-counted and may be read from any thread. Nodes, values and texts
 * that the accessors return are the configuration's and live as long as it does.
 *
 * Units: durations are µs, sizes are bytes. Keys and kinds are named as in the files ("max-parallel", "vector-store").
 * Asking a node for a key that its kind (or component) does not have, or with the getter of another type, is a fault of
 * the caller: it is logged as critical and answers 0, false, NULL or an empty list.
 */
#ifndef RAGIFY_CONFIG_CONFIG_H
#define RAGIFY_CONFIG_CONFIG_H

#include <glib.h>
#include <ragify/plugin.h>
#include <stdbool.h>

G_BEGIN_DECLS

typedef struct RagifyConfig RagifyConfig;
typedef struct RagifyConfigNode RagifyConfigNode;
typedef struct RagifyDiagnostics RagifyDiagnostics;

/* ---- Diagnostics ------------------------------------------------------------------------------------------------ */

typedef enum RagifySeverity {
  RAGIFY_SEVERITY_ERROR,   /* the configuration is refused */
  RAGIFY_SEVERITY_WARNING, /* it will run, and probably not as meant */
  RAGIFY_SEVERITY_NOTE     /* worth knowing, such as that a fallback is in use */
} RagifySeverity;

typedef struct RagifyDiagnostic {
  RagifySeverity severity;
  const char *file;    /* the path as it was reached, or "command line" */
  unsigned int line;   /* from 1; for "command line" the number of the --set; 0: the file as a whole */
  unsigned int column; /* from 1, in characters; 0 with line 0 */
  const char *group;   /* "source tickets"; NULL: none */
  const char *message;
} RagifyDiagnostic;

/* [control] Where loading leaves what it finds. Not thread-safe. */
RagifyDiagnostics *ragify_diagnostics_new (void);
void ragify_diagnostics_free (RagifyDiagnostics *diagnostics);

unsigned int ragify_diagnostics_count (const RagifyDiagnostics *diagnostics, RagifySeverity severity);
/* Sorted by file in reading order, line and column; NULL past the end. */
const RagifyDiagnostic *ragify_diagnostics_get (const RagifyDiagnostics *diagnostics, unsigned int index);

/* One as "FILE:LINE:COLUMN: error: [GROUP]: MESSAGE", without a line end. The caller frees it. */
char *ragify_diagnostic_to_text (const RagifyDiagnostic *diagnostic);
/* All of them, each line ended; "" for none. The caller frees it. No secret is ever in it. */
char *ragify_diagnostics_to_text (const RagifyDiagnostics *diagnostics);

/* Adds what only the host can find out, such as a dimension that does not fit or a start that failed, at the place in
 * the files that `key` of `node` came from (`key` NULL, or not written anywhere: the node's group). */
void ragify_diagnostics_add (RagifyDiagnostics *diagnostics, RagifySeverity severity, const RagifyConfigNode *node,
                             const char *key, const char *format, ...) G_GNUC_PRINTF (5, 6);

/* ---- Loading ---------------------------------------------------------------------------------------------------- */

typedef struct RagifyConfigInput {
  /* --config PATH, in order, each a directory of *.conf or a file; NULL or empty: `vendor_directory` and
   * `system_directory`, of which those that do not exist are passed over. A path that was asked for must exist. */
  const char *const *paths;
  const char *vendor_directory;
  const char *system_directory;
  /* --set 'KIND NAME.KEY=VALUE', in order; NULL: none. They win over all files. */
  const char *const *overrides;
  /* Environment as NAME=VALUE for ${NAME}, $CREDENTIALS_DIRECTORY and $STATE_DIRECTORY; NULL: this process's. */
  const char *const *environment;
  /* Defaults of [host] that depend on where the host is installed; NULL: the table's. */
  const char *default_state_dir;
  const char *default_models_dir;
  const char *default_plugin_dir;
} RagifyConfigInput;

/* What is installed. The host implements it on its registry of components. Only ragify_config_load calls these, on the
 * thread that called it. */
typedef struct RagifySchemaLookup {
  void *data;
  /* Called once, before any find() or list(), with [host] plugin-dir as configured. NULL: nothing to prepare. */
  void (*prepare) (void *data, const char *const *plugin_dirs);
  /* The component `plugin` of `abi_kind` (RAGIFY_KIND_SOURCE, …), which must outlive the configuration. NULL: not
   * installed. */
  const RagifyComponent *(*find) (void *data, const char *abi_kind, const char *plugin);
  /* Names of the components of that kind, sorted, ended by NULL; freed by the caller with g_strfreev. */
  char **(*list) (void *data, const char *abi_kind);
  /* The dimension of an embedder or vector store as far as it is known offline, 0: not known. An embedder and a store
   * whose known dimensions differ are an error. NULL: never known. A key `dimension` in both schemas is compared
   * without this. */
  uint32_t (*dimension) (void *data, const RagifyConfigNode *node);
} RagifySchemaLookup;

/* [control] Reads, merges and checks. Reads files only: opens no socket. Returns a configuration with one reference, or
 * NULL when `diagnostics` now holds an error; warnings and notes are added in both cases. */
RagifyConfig *
ragify_config_load (const RagifyConfigInput *input, const RagifySchemaLookup *lookup, RagifyDiagnostics *diagnostics);

/* [any] */
RagifyConfig *ragify_config_ref (RagifyConfig *config);
void ragify_config_unref (RagifyConfig *config);

/* ---- Nodes [any] ------------------------------------------------------------------------------------------------- */

/* Every node of every kind, [host] included, each after all the nodes that it refers to. */
const RagifyConfigNode *const *ragify_config_nodes (const RagifyConfig *config, size_t *count);
/* NULL: there is none. The node of [host] is always there, with the name "". */
const RagifyConfigNode *ragify_config_find (const RagifyConfig *config, const char *kind, const char *name);
const RagifyConfigNode *ragify_config_host (const RagifyConfig *config);

const char *ragify_config_node_kind (const RagifyConfigNode *node);  /* "source" */
const char *ragify_config_node_name (const RagifyConfigNode *node);  /* "tickets" */
const char *ragify_config_node_group (const RagifyConfigNode *node); /* "source tickets"; "host" */
/* `enabled = false` keeps a node in the model, for people to see, and out of everybody's refs. Its component may be
 * NULL then. Kinds without the key are enabled. */
bool ragify_config_node_enabled (const RagifyConfigNode *node);
/* The component in use, which is the fallback where that stands in; NULL for kinds that the host itself implements. */
const RagifyComponent *ragify_config_node_component (const RagifyConfigNode *node);
/* Its position in ragify_config_nodes(). */
size_t ragify_config_node_index (const RagifyConfigNode *node);

/* ---- Values [any] ------------------------------------------------------------------------------------------------ */

typedef enum RagifyOriginKind {
  RAGIFY_ORIGIN_NONE,    /* the key has no value */
  RAGIFY_ORIGIN_DEFAULT, /* the table's, or the component's schema's */
  RAGIFY_ORIGIN_PROFILE, /* [host] profile */
  RAGIFY_ORIGIN_FILE,
  RAGIFY_ORIGIN_COMMAND_LINE
} RagifyOriginKind;

typedef struct RagifyOrigin {
  RagifyOriginKind kind;
  const char *file; /* FILE: its path; COMMAND_LINE: "command line"; PROFILE: the profile's name; otherwise NULL */
  unsigned int line;
  unsigned int column;
} RagifyOrigin;

/* Where the node's group first stands. [host] may stand nowhere: RAGIFY_ORIGIN_DEFAULT. */
const RagifyOrigin *ragify_config_node_origin (const RagifyConfigNode *node);

/* A key type that only host keys have: names of other nodes. */
#define RAGIFY_KEY_REFERENCE 100u      /* one */
#define RAGIFY_KEY_REFERENCE_LIST 101u /* several, separated by ';' */

typedef struct RagifyConfigValue {
  const char *key;
  uint32_t type;  /* RAGIFY_KEY_… */
  uint32_t flags; /* RAGIFY_KEY_REQUIRED … */
  RagifyOrigin origin;
  /* By type; meaningless when origin.kind is RAGIFY_ORIGIN_NONE. */
  union {
    const char *string; /* STRING, PATH (absolute), URI, ENUM, SECRET; NUL-terminated, UTF-8 */
    int64_t integer;    /* INT */
    double number;      /* DOUBLE; finite */
    bool boolean;       /* BOOL */
    uint64_t duration;  /* DURATION: µs */
    uint64_t size;      /* SIZE: bytes */
    struct {
      const char *const *items; /* LIST; ended by NULL */
      size_t count;
    } list;
    struct {
      const RagifyConfigNode *const *nodes; /* REFERENCE, REFERENCE_LIST: enabled nodes only */
      size_t count;
    } refs;
  };
} RagifyConfigValue;

/* Host keys first, in the order of the table, then the component's in the order of its schema. */
const RagifyConfigValue *ragify_config_node_values (const RagifyConfigNode *node, size_t *count);
/* NULL: this node has no such key. For host services that must answer any key a plugin may ask for. */
const RagifyConfigValue *ragify_config_node_value (const RagifyConfigNode *node, const char *key);
/* The key has a value: written, from the profile, or a default. */
bool ragify_config_node_has (const RagifyConfigNode *node, const char *key);

const char *ragify_config_node_get_string (const RagifyConfigNode *node, const char *key); /* NULL: no value */
int64_t ragify_config_node_get_int (const RagifyConfigNode *node, const char *key);
double ragify_config_node_get_double (const RagifyConfigNode *node, const char *key);
bool ragify_config_node_get_bool (const RagifyConfigNode *node, const char *key);
uint64_t ragify_config_node_get_duration (const RagifyConfigNode *node, const char *key); /* µs; 0: no value */
uint64_t ragify_config_node_get_size (const RagifyConfigNode *node, const char *key);     /* bytes; 0: no value */
/* Ended by NULL, never NULL itself; `count` may be NULL. */
const char *const *ragify_config_node_get_list (const RagifyConfigNode *node, const char *key, size_t *count);

/* Edges, in the order written; enabled nodes only. `count` of 0 for no value. */
const RagifyConfigNode *const *ragify_config_node_refs (const RagifyConfigNode *node, const char *key, size_t *count);
/* The one node of a RAGIFY_KEY_REFERENCE; NULL: none. */
const RagifyConfigNode *ragify_config_node_ref (const RagifyConfigNode *node, const char *key);

/* ---- Comparing [any] --------------------------------------------------------------------------------------------- */

/* 128 bits that are equal, also across processes and machines, when the node and everything it refers to have equal
 * values. `full` covers every key, secrets included: reload compares it. `answer` leaves out what cannot change an
 * answer (caches, deadlines, limits, credentials): it is part of a cache key. */
typedef struct RagifyFingerprint {
  uint64_t high;
  uint64_t low;
} RagifyFingerprint;

RagifyFingerprint ragify_config_node_fingerprint (const RagifyConfigNode *node);
RagifyFingerprint ragify_config_node_answer_fingerprint (const RagifyConfigNode *node);

typedef enum RagifyConfigChange {
  RAGIFY_CHANGE_NONE,       /* the same in all that counts, its references included */
  RAGIFY_CHANGE_RELOADABLE, /* only reloadable keys differ: the running instance can take them */
  RAGIFY_CHANGE_REBUILD     /* it must be built anew: a key that is not reloadable, or something it refers to */
} RagifyConfigChange;

/* What became of a node between two configurations. `changed` (may be NULL) receives the keys that differ, as constant
 * texts of `after`. Two nodes of different component are RAGIFY_CHANGE_REBUILD. */
RagifyConfigChange
ragify_config_node_compare (const RagifyConfigNode *before, const RagifyConfigNode *after, GPtrArray *changed);

/* The same for the node's own values alone: what became of the nodes that it refers to is passed over, and so is a
 * change of which they are. */
RagifyConfigChange
ragify_config_node_compare_own (const RagifyConfigNode *before, const RagifyConfigNode *after, GPtrArray *changed);

/* ---- Printing [any] ---------------------------------------------------------------------------------------------- */

/* --print-config: the whole as one file that would load to the same, each line with its origin, defaults as comments.
 * Secrets, passwords in URIs and values from ${NAME} are not shown. */
void ragify_config_print (const RagifyConfig *config, GString *text);
/* The same graph for programs: {"nodes":[{"id","kind","name","plugin","enabled"},…],"edges":[{"from","to","as"},…]}. */
void ragify_config_print_graph_json (const RagifyConfig *config, GString *text);
/* --print-graph: Graphviz DOT. */
void ragify_config_print_graph (const RagifyConfig *config, GString *text);

/* Names of the profiles, ended by NULL. */
const char *const *ragify_profile_names (void);
/* What the profile sets, as a drop-in. False: there is no such profile. */
bool ragify_profile_print (const char *name, GString *text);

/* True when a component of `abi_kind` may not have a key of this name, since the host has one. The loader refuses such
 * schemas. */
bool ragify_host_key_is_reserved (const char *abi_kind, const char *key);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (RagifyConfig, ragify_config_unref)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (RagifyDiagnostics, ragify_diagnostics_free)

G_END_DECLS
#endif
