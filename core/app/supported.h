/* What the language has and this host cannot do yet is said, and not passed over.
 *
 * SPDX-License-Identifier: MIT
 */
#pragma once

#include "config/config.h"

/* Adds an error for every node and key that asks for what is not there. FALSE when there was one. [control] */
gboolean ragify_supported_check (RagifyConfig *config, RagifyDiagnostics *diagnostics);
