/* The graph: everything that the configuration names, made and started, and what requests are served with.
 *
 * SPDX-License-Identifier: MIT
 */
#pragma once

#include "config/config.h"
#include "core/server/server.h"

typedef struct RagifyGraph RagifyGraph;

/* Makes and starts every node, independent ones at the same time, then libraries and pipelines. NULL when a node that
 * is required fails: every failure is then in `diagnostics`, at its place in the files. [control] */
RagifyGraph *ragify_graph_new (RagifyRuntime *runtime, RagifyConfig *config, RagifyDiagnostics *diagnostics);

/* Stops and frees everything, nodes after those that use them; no request may be under way. [control] */
void ragify_graph_free (RagifyGraph *graph);

/* What a server is given; the graph keeps a reference of its own. */
RagifyServing *ragify_graph_serving (RagifyGraph *graph);
