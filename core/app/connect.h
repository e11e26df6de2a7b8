/* --check --connect: does every backend answer?
 *
 * SPDX-License-Identifier: MIT
 */
#pragma once

#include "config/config.h"
#include "core/module/node.h"

/* Starts every enabled node whose component speaks to another process, all at the same time, probes it, and stops it
 * again. What a backend says of itself is a line of `said`, what fails an error in `diagnostics`. Nothing of this
 * machine (stores, indexes, models) is opened: a running host may have it. [control] */
void ragify_app_connect (RagifyRuntime *runtime, RagifyConfig *config, GString *said, RagifyDiagnostics *diagnostics);
