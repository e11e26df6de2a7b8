/* The configuration with the plugins that it asks for.
 *
 * SPDX-License-Identifier: MIT
 */
#pragma once

#include "config/config.h"
#include "core/module/registry.h"

/* Reads and checks everything that `input` names; modules of [host] plugin-dir that are new are loaded into `registry`.
 * NULL when `diagnostics` now holds an error. Opens no socket. One thread at a time. */
RagifyConfig *
ragify_app_load (const RagifyConfigInput *input, RagifyRegistry *registry, RagifyDiagnostics *diagnostics);
