/* A job's progress as server-sent events.
 *
 * SPDX-License-Identifier: MIT
 */
#pragma once

#include "exchange.h"

/* Whether the client asks for events. */
gboolean ragify_job_events_wanted (const RagifyExchange *exchange);
/* Replies with a stream that lasts until the client leaves, the job is gone or the host stops. */
void ragify_job_events_begin (RagifyExchange *exchange, const char *name);
/* RagifyAction.detach */
void ragify_job_events_detach (RagifyExchange *exchange);
