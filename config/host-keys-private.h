/* The table of the host's keys, in parts: each part is one file.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RAGIFY_CONFIG_HOST_KEYS_PRIVATE_H
#define RAGIFY_CONFIG_HOST_KEYS_PRIVATE_H

#include "config/host-keys.h"

#include <ragify/ragify.h>

/* Short names of the bits, for the tables alone. */
enum {
  HOST = RAGIFY_KIND_BIT (RAGIFY_KIND_ID_HOST),
  HTTP = RAGIFY_KIND_BIT (RAGIFY_KIND_ID_HTTP),
  EMBEDDER = RAGIFY_KIND_BIT (RAGIFY_KIND_ID_EMBEDDER),
  VECTOR_STORE = RAGIFY_KIND_BIT (RAGIFY_KIND_ID_VECTOR_STORE),
  TEXT_INDEX = RAGIFY_KIND_BIT (RAGIFY_KIND_ID_TEXT_INDEX),
  SOURCE = RAGIFY_KIND_BIT (RAGIFY_KIND_ID_SOURCE),
  BALANCER = RAGIFY_KIND_BIT (RAGIFY_KIND_ID_BALANCER),
  CACHE = RAGIFY_KIND_BIT (RAGIFY_KIND_ID_CACHE),
  TIER = RAGIFY_KIND_BIT (RAGIFY_KIND_ID_TIER),
  RERANKER = RAGIFY_KIND_BIT (RAGIFY_KIND_ID_RERANKER),
  EXTRACTOR = RAGIFY_KIND_BIT (RAGIFY_KIND_ID_EXTRACTOR),
  INGEST = RAGIFY_KIND_BIT (RAGIFY_KIND_ID_INGEST),
  PIPELINE = RAGIFY_KIND_BIT (RAGIFY_KIND_ID_PIPELINE),
  PLUGIN_KINDS = RAGIFY_PLUGIN_KINDS
};

typedef struct RagifyHostKeyTable {
  const RagifyHostKey *keys; /* in the order in which people should read them */
  size_t count;
} RagifyHostKeyTable;

extern const RagifyHostKeyTable ragify_host_keys_of_server;    /* [host], [http] */
extern const RagifyHostKeyTable ragify_host_keys_of_nodes;     /* what plugins implement */
extern const RagifyHostKeyTable ragify_host_keys_of_composed;  /* [balancer], [tier] */
extern const RagifyHostKeyTable ragify_host_keys_of_ingest;    /* [ingest] */
extern const RagifyHostKeyTable ragify_host_keys_of_pipelines; /* [pipeline] */

#endif
