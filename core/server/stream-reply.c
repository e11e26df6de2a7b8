/* SPDX-License-Identifier: MIT */
#include "stream-reply.h"

#include <string.h>

#define BLOCK 16384

struct RagifyStreamReply {
  guint references;
  RagifyExchange *exchange; /* NULL before it replies with the stream, and once it is over */
  GString *pending;
  gsize sent;         /* of it */
  gboolean suspended; /* the connection waits for more */
  gboolean ended, broken;
  gsize mark;
  void (*drained) (void *user); /* NULL: nobody waits for it */
  void *user;
};

RagifyStreamReply *
ragify_stream_reply_new (void)
{
  RagifyStreamReply *stream = g_new0 (RagifyStreamReply, 1);
  stream->references = 1;
  stream->pending = g_string_new (NULL);
  return stream;
}

static void
drop (RagifyStreamReply *stream)
{
  if (--stream->references > 0)
    return;
  g_string_free (stream->pending, TRUE);
  g_free (stream);
}

static void
wake (RagifyStreamReply *stream)
{
  if (!stream->suspended)
    return;
  stream->suspended = FALSE;
  ragify_exchange_stream_goes_on (stream->exchange, stream->pending->len - stream->sent);
}

void
ragify_stream_reply_write (RagifyStreamReply *stream, const char *data, gsize size)
{
  if (stream->broken)
    return;
  if (stream->sent > 0) {
    g_string_erase (stream->pending, 0, (gssize)stream->sent);
    stream->sent = 0;
  }
  g_string_append_len (stream->pending, data, (gssize)size);
  wake (stream);
}

gsize
ragify_stream_reply_pending (const RagifyStreamReply *stream)
{
  return stream->broken ? 0 : stream->pending->len - stream->sent;
}

void
ragify_stream_reply_watch (RagifyStreamReply *stream, gsize mark, void (*drained) (void *user), void *user)
{
  stream->mark = mark;
  stream->drained = drained;
  stream->user = user;
}

void
ragify_stream_reply_end (RagifyStreamReply *stream)
{
  stream->ended = TRUE;
  wake (stream);
  drop (stream);
}

void
ragify_stream_reply_break (RagifyStreamReply *stream)
{
  stream->broken = TRUE;
  wake (stream);
}

static ssize_t
read_more (void *user, uint64_t position, char *buffer, size_t size)
{
  RagifyStreamReply *stream = user;
  const gsize left = stream->pending->len - stream->sent;
  if (stream->broken)
    return MHD_CONTENT_READER_END_WITH_ERROR;
  if (left == 0 && stream->ended)
    return MHD_CONTENT_READER_END_OF_STREAM;
  if (left == 0) {
    stream->suspended = TRUE;
    ragify_exchange_stream_waits (stream->exchange);
    return 0;
  }
  const gsize taken = MIN (left, size);
  memcpy (buffer, stream->pending->str + stream->sent, taken);
  stream->sent += taken;
  if (stream->drained != NULL && left > stream->mark && left - taken <= stream->mark)
    stream->drained (stream->user);
  return (ssize_t)taken;
}

static void
response_gone (void *user)
{
  RagifyStreamReply *stream = user;
  stream->broken = TRUE;
  stream->suspended = FALSE;
  drop (stream);
}

void
ragify_stream_reply_part (RagifyStreamReply *stream)
{
  stream->exchange = NULL;
  stream->broken = TRUE;
  stream->suspended = FALSE;
  drop (stream);
}

struct MHD_Response *
ragify_stream_reply_response (RagifyStreamReply *stream, RagifyExchange *exchange)
{
  stream->references += 2;
  stream->exchange = exchange;
  return MHD_create_response_from_callback (MHD_SIZE_UNKNOWN, BLOCK, read_more, stream, response_gone);
}
