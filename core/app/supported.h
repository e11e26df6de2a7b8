/* What the language has and this host cannot do yet is said, and not passed over.
 *
 * SPDX-License-Identifier: MIT
 */
#pragma once

#include "config/config.h"

/* Adds an error for every node and key that asks for what is not there, and a warning for every key that nothing acts
 * on. FALSE when there was an error. [control] */
gboolean ragify_supported_check (RagifyConfig *config, RagifyDiagnostics *diagnostics);
