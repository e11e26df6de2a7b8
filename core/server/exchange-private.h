/* The inside of an exchange, for the files that it is made of.
 *
 * SPDX-License-Identifier: MIT
 *
 *   exchange.c        the request: head, body, refusals, beginning and end
 *   exchange-reply.c  the reply
 */
#pragma once

#include "exchange.h"

/* Takes the response, a reference of ours. It is queued by the access handler, which runs now or after waking. */
void ragify_exchange_set_reply (RagifyExchange *exchange, guint status, struct MHD_Response *response, gsize size);
/* Hands it to libmicrohttpd; in the access handler. */
enum MHD_Result ragify_exchange_queue_reply (RagifyExchange *exchange);
void ragify_exchange_release_response (RagifyExchange *exchange);
/* Goes on with a suspended connection. */
void ragify_exchange_wake (RagifyExchange *exchange);
/* How long so many bytes may take, µs. */
guint64 ragify_exchange_patience (const RagifyExchange *exchange, guint64 bytes);
