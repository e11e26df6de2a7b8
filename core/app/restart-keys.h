/* Keys that only a restart can change.
 *
 * SPDX-License-Identifier: MIT
 */
#pragma once

#include "config/config.h"

/* Adds a warning for each key of `after` that has another value than `before`, with which the process was started, and
 * that a reload cannot bring. */
void ragify_restart_keys_name (const RagifyConfigNode *before, const RagifyConfigNode *after,
                               RagifyDiagnostics *diagnostics);
