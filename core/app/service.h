/* The service manager's view: ready, alive, stopping. Nothing where there is none.
 *
 * SPDX-License-Identifier: MIT
 */
#pragma once

#include "core/module/node.h"

typedef struct RagifyService RagifyService;

/* Says READY and feeds the watchdog, where one is set, from the main loop for as long as every loop thread still does
 * what it is given. [control] */
RagifyService *ragify_service_begin (RagifyRuntime *runtime);
/* Says RELOADING, and READY again with a status line that tells how it went. [any] */
void ragify_service_reloading (void);
void ragify_service_reloaded (gboolean applied);
/* Says STOPPING. [control] */
void ragify_service_end (RagifyService *service);
