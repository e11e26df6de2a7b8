/* Every operation that the host can ask of a component: how to invoke it, what it gives back, and what is checked.
 *
 * SPDX-License-Identifier: MIT
 */
#pragma once

#include <glib.h>
#include <ragify/ragify.h>

typedef struct RagifyOperation RagifyOperation;

#define RAGIFY_OPERATION_REFUSABLE 1u /* not made while the node's circuit is open */
#define RAGIFY_OPERATION_JUDGED 2u    /* its failures open the circuit */
#define RAGIFY_OPERATION_GUARDED (RAGIFY_OPERATION_REFUSABLE | RAGIFY_OPERATION_JUDGED)

struct RagifyOperation {
  const char *kind; /* RAGIFY_KIND_…; NULL: all */
  const char *name; /* for logs and metrics, such as "search" */
  gsize result_size;
  gsize item_size; /* of emitted items; 0: none are */
  guint flags;     /* RAGIFY_OPERATION_… */
  /* Whether the component has it. */
  gboolean (*present) (const RagifyComponent *component);
  void (*invoke) (const RagifyComponent *component, void *instance, RagifyCall *call, const void *args);
  /* Trust nothing: sizes, counts, dimensions, UTF-8, finite numbers. Returns NULL, or what is wrong in words
   * (constant). May mend what can be mended (cut surplus items) in `result`, which is the host's copy. NULL: nothing to
   * check. */
  const char *(*check) (const void *args, void *result);
  const char *(*check_item) (const void *args, void *item);
  /* Gives up references in a result that nobody will take. NULL: there are none. */
  void (*discard) (void *result);
};

/* The operation of that name, of all kinds (start, stop, probe, reconfigure, stats) or of one; NULL: there is none. */
const RagifyOperation *ragify_operation_find (const char *kind, const char *name);

extern const RagifyOperation ragify_operation_start;
extern const RagifyOperation ragify_operation_stop;
extern const RagifyOperation ragify_operation_probe;
extern const RagifyOperation ragify_operation_reconfigure;
extern const RagifyOperation ragify_operation_stats;

extern const RagifyOperation ragify_operation_source_query;
extern const RagifyOperation ragify_operation_source_scan;

extern const RagifyOperation ragify_operation_cache_get;
extern const RagifyOperation ragify_operation_cache_set;
extern const RagifyOperation ragify_operation_cache_remove;
extern const RagifyOperation ragify_operation_cache_clear;

extern const RagifyOperation ragify_operation_store_upsert;
extern const RagifyOperation ragify_operation_store_search;
extern const RagifyOperation ragify_operation_store_fetch;
extern const RagifyOperation ragify_operation_store_list;
extern const RagifyOperation ragify_operation_store_remove;
extern const RagifyOperation ragify_operation_store_optimize;
extern const RagifyOperation ragify_operation_store_flush;
extern const RagifyOperation ragify_operation_store_generation;
extern const RagifyOperation ragify_operation_store_backup;
extern const RagifyOperation ragify_operation_store_verify;
extern const RagifyOperation ragify_operation_store_reindex;

extern const RagifyOperation ragify_operation_text_upsert;
extern const RagifyOperation ragify_operation_text_search;
extern const RagifyOperation ragify_operation_text_remove;
extern const RagifyOperation ragify_operation_text_optimize;
extern const RagifyOperation ragify_operation_text_flush;
extern const RagifyOperation ragify_operation_text_generation;

extern const RagifyOperation ragify_operation_embedder_describe;
extern const RagifyOperation ragify_operation_embedder_tokenize;
extern const RagifyOperation ragify_operation_embedder_embed;

extern const RagifyOperation ragify_operation_reranker_rerank;

extern const RagifyOperation ragify_operation_extractor_accepts;
extern const RagifyOperation ragify_operation_extractor_extract;
