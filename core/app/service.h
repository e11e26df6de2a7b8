/* The service manager's view: ready, alive, stopping. Nothing where there is none.
 *
 * SPDX-License-Identifier: MIT
 */
#pragma once

#include <glib.h>

typedef struct RagifyService RagifyService;

/* Says READY and feeds the watchdog, where one is set, from the main loop. [control] */
RagifyService *ragify_service_begin (void);
/* Says RELOADING, and READY again with a status line that tells how it went. [any] */
void ragify_service_reloading (void);
void ragify_service_reloaded (gboolean applied);
/* Says STOPPING. [control] */
void ragify_service_end (RagifyService *service);
