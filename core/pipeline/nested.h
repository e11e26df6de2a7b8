/* A pipeline as a source of another one.
 *
 * SPDX-License-Identifier: MIT
 *
 * It looks to the outer pipeline like any source: a node with a component of the host's own, so that deadlines,
 * metrics, breaker and partial answers are those of every node. The inner pipeline is asked as a client asks it: with
 * its own cache, defaults and limit (but not the host's, in which the outer request has its place already).
 */
#pragma once

#include "core/module/node.h"
#include "core/pipeline/pipeline.h"

typedef struct RagifyNested RagifyNested;

/* `options`: the node's, without component and values. The pipeline outlives it. NULL with an error. [control] */
RagifyNested *
ragify_nested_new (RagifyRuntime *runtime, RagifyPipeline *pipeline, const RagifyNodeOptions *options, GError **error);
/* Waits for what is under way. [control] */
void ragify_nested_free (RagifyNested *nested);
RagifyNode *ragify_nested_node (const RagifyNested *nested);

/* RagifySourceResult.reserved of such a source: the inner answer was a partial one. */
#define RAGIFY_NESTED_PARTIAL 1u
