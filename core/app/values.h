/* A node of the configuration as the getters of RagifyHost need it.
 *
 * SPDX-License-Identifier: MIT
 */
#pragma once

#include "config/config.h"
#include "core/module/node.h"

/* Holds a reference to `config` until destroyed. A key `models-dir` that the node does not set has the host's value. */
RagifyNodeValues ragify_values_new (RagifyConfig *config, const RagifyConfigNode *node);

/* How much longer than its `ttl` a cache has to keep an answer, for tiers that give it for some time after, µs. */
guint64 ragify_values_keep_longer (const RagifyConfig *config, const RagifyConfigNode *cache);
