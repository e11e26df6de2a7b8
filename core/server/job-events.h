/* A job's progress as server-sent events.
 *
 * SPDX-License-Identifier: MIT
 */
#pragma once

#include <jansson.h>

#include "exchange.h"

/* What the job of that name or id says of itself, configured or begun by a request; NULL: there is none. */
json_t *ragify_job_describe (const RagifyExchange *exchange, const char *id, gboolean details);

/* Whether the client asks for events. */
gboolean ragify_job_events_wanted (const RagifyExchange *exchange);
/* Replies with a stream that lasts until the client leaves, the job is over or gone, or the host stops. */
void ragify_job_events_begin (RagifyExchange *exchange, const char *name);
/* RagifyAction.detach */
void ragify_job_events_detach (RagifyExchange *exchange);
