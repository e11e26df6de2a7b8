/* A node of the configuration as the getters of RagifyHost need it.
 *
 * SPDX-License-Identifier: MIT
 */
#pragma once

#include "config/config.h"
#include "core/module/node.h"

/* Holds a reference to `config` until destroyed. A key `models-dir` that the node does not set has the host's value. */
RagifyNodeValues ragify_values_new (RagifyConfig *config, const RagifyConfigNode *node);
