/* Ragify plugin SDK: how a module presents itself.
 *
 * SPDX-License-Identifier: MIT
 *
 * A plugin is one shared object that exports one function:
 *
 *     RAGIFY_EXPORT const RagifyPlugin *ragify_plugin_query (void);
 *
 * It returns constant data: no allocation, no threads, no side effects. The module is never unloaded.
 */
#ifndef RAGIFY_PLUGIN_H
#define RAGIFY_PLUGIN_H

#include "base.h"
#include "host.h"

#ifdef __cplusplus
extern "C" {
#endif

#define RAGIFY_PLUGIN_MAGIC 0x59464752u /* "RGFY" as little-endian bytes */
#define RAGIFY_PLUGIN_ENTRY "ragify_plugin_query"

#if defined(__GNUC__)
#define RAGIFY_EXPORT __attribute__ ((visibility ("default")))
#else
#define RAGIFY_EXPORT
#endif

/* Key types. The second column is the getter. */
#define RAGIFY_KEY_STRING 1u   /* config_string */
#define RAGIFY_KEY_INT 2u      /* config_int */
#define RAGIFY_KEY_DOUBLE 3u   /* config_double */
#define RAGIFY_KEY_BOOL 4u     /* config_bool: true|false|yes|no|on|off|1|0 */
#define RAGIFY_KEY_DURATION 5u /* config_duration: 250us 10ms 5s 1min 2h 1d */
#define RAGIFY_KEY_SIZE 6u     /* config_size: 512 64KiB 256MiB 1GiB 1MB */
#define RAGIFY_KEY_PATH 7u     /* config_string: absolute; a relative one is under the state directory */
#define RAGIFY_KEY_URI 8u      /* config_string */
#define RAGIFY_KEY_ENUM 9u     /* config_string: one of `choices` */
#define RAGIFY_KEY_LIST 10u    /* config_list: separated by ';' */
#define RAGIFY_KEY_SECRET 11u  /* config_string: also KEY-file, ${ENV}; never printed */

#define RAGIFY_KEY_REQUIRED 1u
#define RAGIFY_KEY_RELOADABLE 2u /* a change is brought by reconfigure() to the running instance */
#define RAGIFY_KEY_DEPRECATED 4u

/* One configuration key of a component. */
typedef struct RagifyKey {
  const char *name;          /* [a-z][a-z0-9-]*; not one of the host's reserved keys */
  uint32_t type;             /* RAGIFY_KEY_STRING … */
  uint32_t flags;            /* RAGIFY_KEY_REQUIRED … */
  const char *default_value; /* as it would be written in a file; NULL: none */
  const char *unit;          /* for people, such as "entries"; NULL: none */
  const char *choices;       /* enums: "a|b|c" */
  const char *minimum;       /* as it would be written; NULL: none */
  const char *maximum;
  const char *summary;     /* one sentence */
  const char *since;       /* the plugin's version that brought it; NULL: the first */
  const char *replaced_by; /* deprecated keys: the key to use */
} RagifyKey;

typedef struct RagifySchema {
  const RagifyKey *keys;
  uint32_t count;
  uint32_t stride; /* sizeof (RagifyKey) where the plugin was built */
} RagifySchema;

/* Run classes: where an instance's calls come, and what they may do. On the worker pool a call counts as one of
 * `max_parallel` until it is complete and its function has returned. */
#define RAGIFY_RUN_LOOP 1u   /* one instance per loop thread; calls always on that loop; must not block */
#define RAGIFY_RUN_SHARED 2u /* one instance; calls from any thread, concurrently; microseconds; may complete later */
#define RAGIFY_RUN_WORKER 3u /* one instance; calls on the worker pool, at most `max_parallel` at once; may block */

/* Component flags. */
#define RAGIFY_COMPONENT_WANTS_EMBEDDING 1u /* sources: `query` uses the query's embedding */
#define RAGIFY_COMPONENT_FILTERS 2u         /* applies filters itself, wholly; otherwise the host filters afterwards */
#define RAGIFY_COMPONENT_REMOTE 4u          /* speaks to another process: --check --connect probes it */
#define RAGIFY_COMPONENT_EXCLUSIVE 8u /* stores: while it runs, nobody but the host's calls changes what it holds */

/* Which instance is being made, of how many. */
typedef struct RagifyInstance {
  uint32_t struct_size;
  uint32_t index; /* from 0 */
  uint32_t count;
  uint32_t reserved;
  RagifyStr node; /* the node's name in the configuration */
} RagifyInstance;

/* Arguments of start(). */
typedef struct RagifyStart {
  uint32_t struct_size;
  uint32_t reserved;
  const RagifyEmbedderInfo *embedder; /* vector stores: the embedder whose vectors they will get; NULL: none */
} RagifyStart;

/* Result of probe(). Failing is said with call_fail. */
typedef struct RagifyProbeResult {
  uint32_t struct_size;
  uint32_t reserved;
  RagifyStr detail; /* for people, such as "PostgreSQL 15.4, 3 connections"; may be empty */
} RagifyProbeResult;

/* Arguments of reconfigure(): the reloadable keys whose values differ now; the getters give the new ones. */
typedef struct RagifyReconfigure {
  uint32_t struct_size;
  uint32_t reserved;
  RagifyStrList keys;
} RagifyReconfigure;

/* Result of stats(): numbers for people and for /v1/stats. */
typedef struct RagifyStatsResult {
  uint32_t struct_size;
  uint32_t reserved;
  RagifyPairList values;
} RagifyStatsResult;

/* One thing that can be configured as a node. Lifecycle of an instance:
 *   create → [get_extension…] → start → calls… → stop → destroy.
 * Between start and stop only calls happen. create and destroy match always; destroy also follows a failed start. */
typedef struct RagifyComponent {
  uint32_t struct_size;
  uint32_t flags;        /* RAGIFY_COMPONENT_… */
  const char *kind;      /* such as RAGIFY_KIND_SOURCE */
  const char *name;      /* what `plugin = NAME` says; [a-z][a-z0-9-]* */
  const char *summary;   /* one sentence */
  uint32_t run_class;    /* RAGIFY_RUN_… */
  uint32_t max_parallel; /* RAGIFY_RUN_WORKER: calls at once that it can take; 0: one */
  RagifySchema schema;
  const void *operations; /* the kind's vtable: RagifySourceOperations, … */

  /* [control] Makes an instance from its configuration: reads keys, allocates; opens nothing that can be slow. On
   * success sets `*instance` and returns RAGIFY_OK; otherwise says why with host->set_error and returns a code. */
  int32_t (*create) (const RagifyHost *host, RagifyContext *context, const RagifyInstance *which, void **instance);

  /* [call] Opens what it needs: files, models, first connections. A node whose start fails is refused at load, with
   * its message, unless its policy says otherwise. Result: none. */
  void (*start) (void *instance, RagifyCall *call, const RagifyStart *args);

  /* [call] Flushes and closes; no other call is under way or will come. Watches, timers and quota waits end here. Only
   * an instance whose start succeeded is stopped. NULL: nothing to do. Result: none. */
  void (*stop) (void *instance, RagifyCall *call, const RagifyNothing *args);

  /* [control] Frees the instance; all its calls are complete, and their functions, submitted work and functions given
   * to the loop have returned. */
  void (*destroy) (void *instance);

  /* [call] A cheap real check that the instance can do its work, for health and half-open breakers. NULL: always
   * well. Result: RagifyProbeResult. */
  void (*probe) (void *instance, RagifyCall *call, const RagifyNothing *args);

  /* [call] New values of reloadable keys. On failure the old ones stay in force. NULL where no key is reloadable.
   * Result: none. */
  void (*reconfigure) (void *instance, RagifyCall *call, const RagifyReconfigure *args);

  /* [call] NULL: none. Result: RagifyStatsResult. */
  void (*stats) (void *instance, RagifyCall *call, const RagifyNothing *args);

  /* [control] An extension of the component by name, before start; NULL function or NULL answer: none. */
  const void *(*get_extension) (void *instance, const char *id);
} RagifyComponent;

/* The module. The first 16 bytes keep their meaning in every version of the ABI, also across majors. */
typedef struct RagifyPlugin {
  uint32_t magic;            /* RAGIFY_PLUGIN_MAGIC */
  uint16_t abi_major;        /* RAGIFY_ABI_MAJOR */
  uint16_t abi_minor_needed; /* RAGIFY_NEEDS_MINOR */
  uint32_t struct_size;
  uint32_t flags; /* 0 */
  const char *id; /* reverse DNS, unique, such as "org.example.tickets" */
  const char *version;
  const char *licence; /* SPDX expression */
  const char *summary;
  const char *url;
  const RagifyComponent *const *components; /* pointers, ended by NULL */
} RagifyPlugin;

/* What every module exports. [any] */
RAGIFY_EXPORT const RagifyPlugin *ragify_plugin_query (void);

#ifdef __cplusplus
}
#define RAGIFY_NO_COMPONENT nullptr
#define RAGIFY_C_LINKAGE extern "C"
#else
#define RAGIFY_NO_COMPONENT NULL
#define RAGIFY_C_LINKAGE
#endif

/* Writes the module's description and its entry for a module of one component: a convenience for authors, which no
 * other part of the ABI knows of. All but the component are texts. */
#define RAGIFY_DEFINE_PLUGIN(plugin_id, plugin_version, plugin_licence, plugin_summary, plugin_url, component)         \
  static const RagifyComponent *const ragify_components[] = { component, RAGIFY_NO_COMPONENT };                        \
  static const RagifyPlugin ragify_plugin = {                                                                          \
    RAGIFY_PLUGIN_MAGIC, RAGIFY_ABI_MAJOR, RAGIFY_NEEDS_MINOR, sizeof (RagifyPlugin), 0, plugin_id, plugin_version,    \
    plugin_licence,      plugin_summary,   plugin_url,         ragify_components                                       \
  };                                                                                                                   \
  RAGIFY_C_LINKAGE const RagifyPlugin *ragify_plugin_query (void)                                                      \
  {                                                                                                                    \
    return &ragify_plugin;                                                                                             \
  }                                                                                                                    \
  struct RagifySemicolon /* so that the macro ends in one */
#endif
