/* A reply whose end is not known when it begins: written piece by piece, as fast as the client reads.
 *
 * SPDX-License-Identifier: MIT
 *
 * What the client has not read yet is kept in memory: a writer of much asks how much that is, and waits. All on the
 * exchange's loop.
 */
#pragma once

#include "exchange.h"

/* With a reference for the writer; the exchange and the response have their own. */
RagifyStreamReply *ragify_stream_reply_new (void);
/* Appends; dropped when the client is gone. */
void ragify_stream_reply_write (RagifyStreamReply *stream, const char *data, gsize size);
/* Bytes that the connection has not taken yet. */
gsize ragify_stream_reply_pending (const RagifyStreamReply *stream);
/* `drained` is told each time that no more than `mark` of more bytes are left. It runs inside of the server's sending
 * and may not write or end the stream. NULL: nobody is told any more. */
void ragify_stream_reply_watch (RagifyStreamReply *stream, gsize mark, void (*drained) (void *user), void *user);
/* Nothing more will come; gives up the writer's reference. */
void ragify_stream_reply_end (RagifyStreamReply *stream);

/* ---- for the exchange ---- */

/* The response, for the exchange, which has a reference from here to ragify_stream_reply_part. */
struct MHD_Response *ragify_stream_reply_response (RagifyStreamReply *stream, RagifyExchange *exchange);
void ragify_stream_reply_part (RagifyStreamReply *stream);
/* The client is gone: the connection ends. */
void ragify_stream_reply_break (RagifyStreamReply *stream);
