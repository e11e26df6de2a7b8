/* The inside of a graph, for the files that it is made of.
 *
 * SPDX-License-Identifier: MIT
 *
 *   graph.c         nodes: which are shared, which are made; the whole
 *   graph-parts.c   what stands on nodes and is shared by graphs; libraries
 *   graph-pipelines.c pipelines, with tiers, balancers and limits
 *   graph-warm.c    warming, and the gauges of tiers
 *   graph-adopt.c   from the running graph to the next
 *   graph-ingest.c  jobs
 *   graph-reindex.c stores whose embedder is another one now
 *   graph-sources.c what /v1/sources tells of
 *   graph-relief.c  when memory runs short
 *   graph-health.c  what is checked
 *   graph-embedders.c what /v1/embeddings names
 */
#pragma once

#include <pthread.h>

#include "core/app/graph.h"
#include "core/app/node-gauges.h"
#include "core/app/unit.h"
#include "core/cache/tier-gauges.h"

/* One node of the configuration on its way to running. */
typedef struct RagifyMaking {
  const RagifyConfigNode *config;
  RagifyUnit *unit; /* NULL: the host's own kinds, and nodes that failed */
  RagifyFate fate;  /* BUILD: the unit was made by this graph, or came to it running */
  gboolean former;  /* a store that still has the vectors of its `former-embedder` */
  GPtrArray *keys;  /* RAGIFY_FATE_RECONFIGURE: those that the component is told; otherwise empty */
  GThread *thread;
  GError *error;
} RagifyMaking;

/* Something that stands on nodes, and that graphs share while it would be made the same again. */
typedef struct RagifyPart {
  guint references;
  char *group; /* of the node that describes it */
  RagifyFingerprint fingerprint;
  GPtrArray *basis; /* what it was made on: addresses that are compared, not followed */
  gpointer object;
  GDestroyNotify free;
} RagifyPart;

/* All pipelines of all graphs, and what warms them, which are told when a store has changed. */
typedef struct RagifyAudience {
  guint references;
  pthread_mutex_t lock; /* guards what follows */
  GPtrArray *pipelines;
  GPtrArray *warmings;
} RagifyAudience;

typedef struct RagifyRelief RagifyRelief;

struct RagifyGraph {
  RagifyRuntime *runtime;
  RagifyConfig *config;
  const RagifyConfigNode *revived; /* while it is made: the only node that is new in it; NULL: all may be */
  RagifyUnit *revived_unit;        /* … which is running already */
  RagifyAudience *audience;
  RagifyMaking *makings; /* by index of the configuration's node */
  gsize n_makings;
  GPtrArray *tiers, *balancers, *nested, *pipelines, *libraries, *jobs, *reindexers; /* RagifyPart */
  RagifyPart *limiter;                                                               /* of all pipelines together */
  RagifyWarming *warming;                                                            /* NULL: not made yet */
  RagifyTierGauges *gauges;
  RagifyRelief *relief; /* NULL: not made yet */
  RagifyNodeGauges *node_gauges;
  RagifyServing serving;
  void (*released) (RagifyGraph *graph, void *user);
  void *released_user;
};

/* ---- graph.c ---- */

RagifyMaking *ragify_graph_making (RagifyGraph *graph, const RagifyConfigNode *node);
/* NULL for NULL, and where the node is not running. */
RagifyNode *ragify_graph_node (RagifyGraph *graph, const RagifyConfigNode *node);
/* The making in `graph` of the node that is called as `node` is, in another configuration; NULL: there is none. */
RagifyMaking *ragify_graph_counterpart (const RagifyGraph *graph, const RagifyConfigNode *node);
/* The embedder whose vectors the store has; NULL: none is configured. */
const RagifyConfigNode *ragify_graph_embedder_node (RagifyGraph *graph, const RagifyConfigNode *store);
/* What the store's embedder is; NULL: it has none, or it is not running. */
const RagifyEmbedderInfo *ragify_graph_embedder_of (RagifyGraph *graph, const RagifyConfigNode *store);
gboolean ragify_graph_is_kind (const RagifyConfigNode *node, const char *kind);

/* ---- graph-parts.c ---- */

/* Makes tiers, pipelines and libraries, or shares those of `previous` (or NULL). */
void ragify_graph_make_parts (RagifyGraph *graph, RagifyGraph *previous, RagifyDiagnostics *diagnostics);
void ragify_graph_free_parts (RagifyGraph *graph);
/* The writer's options as this graph has them; `text_indexes` keeps what they point to. */
RagifyLibraryOptions
ragify_graph_library_options (RagifyGraph *graph, const RagifyConfigNode *store, GPtrArray *text_indexes);
/* The part of `parts` that the node describes; NULL: none. */
RagifyPart *ragify_graph_find_part (const GPtrArray *parts, const RagifyConfigNode *node);

/* A part that takes `object`; `basis` is shared. */
RagifyPart *
ragify_graph_part_new (const RagifyConfigNode *config, GPtrArray *basis, gpointer object, GDestroyNotify free);
void ragify_graph_part_unref (RagifyPart *part);
/* A reference to the part among `parts` (or NULL) that would be made anew just the same; NULL: there is none. */
RagifyPart *ragify_graph_share_part (const GPtrArray *parts, const RagifyConfigNode *config, const GPtrArray *basis);

/* ---- graph-pipelines.c ---- */

/* The limiter of all pipelines together; before the first of them. */
void ragify_graph_make_limiter (RagifyGraph *graph, RagifyGraph *previous);
/* Makes the pipeline that the node describes, or shares that of `previous` (or NULL); after those that it asks. */
void ragify_graph_make_pipeline (RagifyGraph *graph, RagifyGraph *previous, const RagifyConfigNode *config,
                                 RagifyDiagnostics *diagnostics);

/* ---- graph-ingest.c ---- */

/* Makes the job that the node describes, or shares that of `previous` (or NULL); once the libraries are made. */
void ragify_graph_make_job (RagifyGraph *graph, RagifyGraph *previous, const RagifyConfigNode *config,
                            RagifyDiagnostics *diagnostics);

/* ---- graph-reindex.c ---- */

/* Whether the store that runs goes on with its former embedder; `before` is its making in `previous`. Before it is
 * compared. */
gboolean ragify_graph_keeps_former (RagifyGraph *graph, RagifyGraph *previous, const RagifyConfigNode *store,
                                    const RagifyMaking *before);
/* Whether the store has been reindexed: it is made anew, beside the one that still answers. */
gboolean ragify_graph_is_reindexed (RagifyGraph *previous, const RagifyConfigNode *store);
/* Starts a store that failed with its embedder, with the former one; where that fails as well, the first failure
 * stays. */
void ragify_graph_start_with_former (RagifyGraph *graph, RagifyMaking *making);
/* Makes what reindexes the store, or shares that of `previous` (or NULL); once the libraries are made. */
void ragify_graph_make_reindexer (RagifyGraph *graph, RagifyGraph *previous, const RagifyConfigNode *config,
                                  RagifyDiagnostics *diagnostics);

/* ---- graph-warm.c ---- */

/* Once the parts and the serving are made. */
void ragify_graph_make_warming (RagifyGraph *graph);
/* Before anything else is freed. */
void ragify_graph_free_warming (RagifyGraph *graph);

/* ---- graph-relief.c ---- */

/* Once the serving is made. */
void ragify_graph_make_relief (RagifyGraph *graph);
/* Before tiers and pipelines are freed. */
void ragify_graph_free_relief (RagifyGraph *graph);

/* ---- graph-health.c ---- */

/* Once the nodes are running and the serving is made. */
void ragify_graph_make_health (RagifyGraph *graph);
/* Before the nodes are freed. */
void ragify_graph_free_health (RagifyGraph *graph);

/* ---- graph-embedders.c ---- */

/* Fills the serving's embedders. Once the nodes are running. */
void ragify_graph_list_embedders (RagifyGraph *graph);
/* Before the nodes are freed. */
void ragify_graph_free_embedders (RagifyGraph *graph);

/* ---- graph-sources.c ---- */

/* Fills the serving's sources; g_free. Once the parts are made. */
void ragify_graph_list_sources (RagifyGraph *graph);
