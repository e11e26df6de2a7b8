/* Texts measured in tokens of an embedder.
 *
 * SPDX-License-Identifier: MIT
 */
#pragma once

#include "core/ingest/chunker.h"
#include "core/module/node.h"

/* A RagifyWeigh whose user is the embedder's RagifyNode, or NULL: then, and where the embedder does not count, it
 * cannot say. Threads without a loop. */
gboolean ragify_weigh_tokens (void *node, const RagifyStr *texts, gsize count, guint *weights);
