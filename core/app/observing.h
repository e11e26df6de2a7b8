/* What [host] says about seeing what goes on: slow queries, traces.
 *
 * SPDX-License-Identifier: MIT
 */
#pragma once

#include "config/config.h"
#include "core/module/node.h"

/* Begins to send spans, where the configuration says where to. FALSE with diagnostics. [control] */
gboolean ragify_observing_begin (RagifyRuntime *runtime, const RagifyConfigNode *host, RagifyDiagnostics *diagnostics);
/* Registers the gauges of the worker pool, which outlives all reading of metrics. [control] */
void ragify_observing_workers (RagifyRuntime *runtime);
/* Puts the keys in force that can be reloaded. [control] */
void ragify_observing_apply (RagifyRuntime *runtime, const RagifyConfigNode *host);
