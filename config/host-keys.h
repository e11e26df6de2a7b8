/* The kinds of group and every key of theirs that the host itself understands: one table, from which the checks, the
 * reference page and the completion file all come. Keys of plugins come from their components' schemas.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RAGIFY_CONFIG_HOST_KEYS_H
#define RAGIFY_CONFIG_HOST_KEYS_H

#include "config/config.h"

G_BEGIN_DECLS

typedef enum RagifyKind {
  RAGIFY_KIND_ID_HOST,
  RAGIFY_KIND_ID_HTTP,
  RAGIFY_KIND_ID_EMBEDDER,
  RAGIFY_KIND_ID_VECTOR_STORE,
  RAGIFY_KIND_ID_TEXT_INDEX,
  RAGIFY_KIND_ID_SOURCE,
  RAGIFY_KIND_ID_BALANCER,
  RAGIFY_KIND_ID_CACHE,
  RAGIFY_KIND_ID_TIER,
  RAGIFY_KIND_ID_RERANKER,
  RAGIFY_KIND_ID_EXTRACTOR,
  RAGIFY_KIND_ID_INGEST,
  RAGIFY_KIND_ID_PIPELINE,
  RAGIFY_N_KINDS
} RagifyKind;

#define RAGIFY_KIND_BIT(kind) (1u << (kind))

/* Kinds that share a name space: a reference or a request that names one of them must not be able to mean two. */
typedef enum RagifyNameSpace {
  RAGIFY_NAMES_OWN,        /* only its own kind */
  RAGIFY_NAMES_RETRIEVERS, /* what a pipeline can retrieve from */
  RAGIFY_NAMES_CACHES      /* what a pipeline can cache in */
} RagifyNameSpace;

typedef struct RagifyKindInfo {
  const char *name;     /* as in a group's head */
  const char *abi_kind; /* RAGIFY_KIND_SOURCE, …; NULL: the host implements it, no plugin */
  bool named;
  bool root; /* is there for its own sake: nothing need refer to it */
  RagifyNameSpace names;
  const char *summary; /* one sentence */
  const char *example; /* a whole group */
} RagifyKindInfo;

const RagifyKindInfo *ragify_kind_info (RagifyKind kind);
/* False: there is no such kind. */
bool ragify_kind_from_name (const char *name, RagifyKind *kind);

/* The key says how, not what: its change alters no answer. */
#define RAGIFY_HOST_KEY_OPERATIONAL 1u
/* The default is where the host was installed; the table's stands for it where nobody says so. */
#define RAGIFY_HOST_KEY_INSTALLED 2u

typedef struct RagifyHostKey {
  uint32_t kinds;      /* RAGIFY_KIND_BIT of each kind that has it */
  uint32_t references; /* RAGIFY_KEY_REFERENCE…: bits of the kinds that may be named */
  uint32_t traits;     /* RAGIFY_HOST_KEY_… */
  RagifyKey key;
} RagifyHostKey;

/* All kinds that plugins implement. */
#define RAGIFY_PLUGIN_KINDS                                                                                            \
  (RAGIFY_KIND_BIT (RAGIFY_KIND_ID_EMBEDDER) | RAGIFY_KIND_BIT (RAGIFY_KIND_ID_VECTOR_STORE) |                         \
   RAGIFY_KIND_BIT (RAGIFY_KIND_ID_TEXT_INDEX) | RAGIFY_KIND_BIT (RAGIFY_KIND_ID_SOURCE) |                             \
   RAGIFY_KIND_BIT (RAGIFY_KIND_ID_CACHE) | RAGIFY_KIND_BIT (RAGIFY_KIND_ID_RERANKER) |                                \
   RAGIFY_KIND_BIT (RAGIFY_KIND_ID_EXTRACTOR))

/* The host keys of a kind in the order in which people should read them. */
const RagifyHostKey *const *ragify_host_keys (RagifyKind kind, size_t *count);
/* NULL: the kind has none of that name. */
const RagifyHostKey *ragify_host_key (RagifyKind kind, const char *name);

/* The group's text for "[source] or [balancer]": kind names of a set of bits. The caller frees it. */
char *ragify_kinds_text (uint32_t kinds, const char *last_separator);

G_END_DECLS
#endif
