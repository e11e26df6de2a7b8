/* Gauges of nodes: what their instances say of themselves (pools, connections, entries), and how many calls they have.
 *
 * SPDX-License-Identifier: MIT
 */
#pragma once

#include "core/module/node.h"

typedef struct RagifyNodeGauges RagifyNodeGauges;

/* Asks each of the nodes for its numbers every ten seconds. They outlive it. [control] */
RagifyNodeGauges *ragify_node_gauges_new (RagifyRuntime *runtime, RagifyNode *const *nodes, guint count);
/* Waits for those that are being asked. NULL is allowed. [control] */
void ragify_node_gauges_free (RagifyNodeGauges *gauges);
