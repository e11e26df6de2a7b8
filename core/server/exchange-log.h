/* Requests in the log and in the performance tracker.
 *
 * SPDX-License-Identifier: MIT
 */
#pragma once

#include "exchange.h"

/* The client's address for people; free with g_free. */
char *ragify_exchange_client (const RagifyExchange *exchange);
/* Tells everybody who wants to know of an answer with that status, given at `now`: audit, trace, tracker, log, metrics.
 */
void ragify_exchange_note_answer (RagifyExchange *exchange, guint status, guint64 now);
/* Records an answer with that status, given at `now`, with the performance tracker. */
void ragify_exchange_track (const RagifyExchange *exchange, guint status, guint64 now);
/* One line for an answer with that status, given at `now`. */
void ragify_exchange_log (const RagifyExchange *exchange, guint status, guint64 now);
