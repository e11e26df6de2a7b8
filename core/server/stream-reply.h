/* A reply whose end is not known when it begins: written piece by piece, as fast as the client reads.
 *
 * SPDX-License-Identifier: MIT
 *
 * What the client has not read yet is kept in memory. All on the exchange's loop.
 */
#pragma once

#include "exchange.h"

/* With a reference for the writer; the exchange and the response have their own. */
RagifyStreamReply *ragify_stream_reply_new (void);
/* Appends; dropped when the client is gone. */
void ragify_stream_reply_write (RagifyStreamReply *stream, const char *data, gsize size);
/* Nothing more will come; gives up the writer's reference. */
void ragify_stream_reply_end (RagifyStreamReply *stream);

/* ---- for the exchange ---- */

/* The response, for the exchange, which has a reference from here to ragify_stream_reply_part. */
struct MHD_Response *ragify_stream_reply_response (RagifyStreamReply *stream, RagifyExchange *exchange);
void ragify_stream_reply_part (RagifyStreamReply *stream);
/* The client is gone: the connection ends. */
void ragify_stream_reply_break (RagifyStreamReply *stream);
