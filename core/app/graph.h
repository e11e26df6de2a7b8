/* The graph: everything that the configuration names, made and started, and what requests are served with.
 *
 * SPDX-License-Identifier: MIT
 *
 * A reload makes another graph beside the one that serves. What is the same in both is shared by both: nodes with all
 * that they hold, tiers, pipelines, and the one writer of each store. The new graph is adopted, its serving put into
 * the servers' hands, and the old graph is freed when the last request that began with it has left.
 *
 * All functions are for one thread at a time.
 */
#pragma once

#include "config/config.h"
#include "core/app/unit.h"
#include "core/server/server.h"

typedef struct RagifyGraph RagifyGraph;

/* Makes and starts every node, independent ones at the same time, then libraries and pipelines; those that `previous`
 * has and that are to stay are shared. NULL when a node that is required fails: every failure is then in `diagnostics`,
 * at its place in the files, and `previous` is as it was. `previous` NULL: the first. [control] */
RagifyGraph *
ragify_graph_new (RagifyRuntime *runtime, RagifyConfig *config, RagifyGraph *previous, RagifyDiagnostics *diagnostics);

/* The same graph as `previous` with one of the nodes that it was made without, since they did not start, which is
 * running now as `unit` (a reference is taken); the others are not tried. NULL with errors. [control] */
RagifyGraph *ragify_graph_new_revived (RagifyRuntime *runtime, RagifyGraph *previous, const RagifyConfigNode *node,
                                       RagifyUnit *unit, RagifyDiagnostics *diagnostics);

/* A node that the graph was made without, since it did not start. */
typedef struct RagifyGraphMissing {
  const RagifyConfigNode *node;
  const RagifyEmbedderInfo *embedder; /* of a store; NULL: none. The graph's */
} RagifyGraphMissing;
/* All of them; free with g_array_unref. [control] */
GArray *ragify_graph_missing (RagifyGraph *graph);

/* Takes over from `previous` what cannot be had twice: values that running nodes take, folders with one writer, the
 * writers of stores. All of it or, with an error in `diagnostics`, nothing. With it, the graph may serve. [control] */
gboolean ragify_graph_adopt (RagifyGraph *graph, RagifyGraph *previous, RagifyDiagnostics *diagnostics);

/* Once the graph serves: those of its jobs begin that `previous` (or NULL) has not, and those end that the graph has
 * not. [control] */
void ragify_graph_start_jobs (RagifyGraph *graph, RagifyGraph *previous);

/* Once the graph serves: stores that have the vectors of a former embedder are reindexed when they are asked to, or go
 * on with it. `whole (user)` runs on a thread of its own when one is to be started with its new embedder, by a graph of
 * the same configuration. [control] */
void ragify_graph_start_reindexing (RagifyGraph *graph, void (*whole) (void *user), void *user);

/* Frees what no other graph shares, nodes after those that use them; no request may be under way in it. [control] */
void ragify_graph_free (RagifyGraph *graph);

/* What a server is given. The graph's own reference is dropped with ragify_graph_release; `released` runs when nobody
 * has one any more, on any thread: the graph can then be freed. */
RagifyServing *ragify_graph_serving (RagifyGraph *graph);
void ragify_graph_release (RagifyGraph *graph, void (*released) (RagifyGraph *graph, void *user), void *user);

RagifyConfig *ragify_graph_config (const RagifyGraph *graph);

/* What became of one node in the step from one graph to the next. */
typedef struct RagifyGraphChange {
  const char *node; /* the group: "cache ram"; lives as long as both graphs */
  const char *what; /* "built", "rebuilt", "restarted", "reconfigured", "removed" */
} RagifyGraphChange;
/* In the order of the configuration, those that were removed last; free with g_array_unref. `kept`: how many nodes with
 * a plugin go on as they were. [control] */
GArray *ragify_graph_changes (const RagifyGraph *graph, const RagifyGraph *previous, guint *kept);
