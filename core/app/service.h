/* The service manager's view: ready, alive, stopping. Nothing where there is none.
 *
 * SPDX-License-Identifier: MIT
 */
#pragma once

typedef struct RagifyService RagifyService;

/* Says READY and feeds the watchdog, where one is set, from the main loop. [control] */
RagifyService *ragify_service_begin (void);
/* Says STOPPING. [control] */
void ragify_service_end (RagifyService *service);
