/* SPDX-License-Identifier: MIT */
#include "kit-private.h"

#include <stdlib.h>
#include <string.h>

struct RagifyStream {
  const uint8_t *data;
  uint64_t size;
  uint64_t at;
  uint64_t piece;
  uint64_t fail_at;
  int32_t fail_code;
};

RagifyStream *
ragify_kit_stream_new (const void *data, uint64_t size, uint64_t piece, uint64_t fail_at, int32_t fail_code)
{
  RagifyStream *stream = kit_alloc (sizeof *stream);
  *stream = (RagifyStream){ .data = data, .size = size, .piece = piece, .fail_at = fail_at, .fail_code = fail_code };
  return stream;
}

void
ragify_kit_stream_free (RagifyStream *stream)
{
  free (stream);
}

int64_t
kit_stream_read (RagifyStream *stream, uint8_t *data, uint64_t capacity)
{
  uint64_t end = stream->size;
  if (stream->fail_at > 0 && stream->fail_at < end)
    end = stream->fail_at;
  if (stream->at == end)
    return stream->fail_at > 0 && stream->at >= stream->fail_at ? -(int64_t)stream->fail_code : 0;
  uint64_t size = end - stream->at;
  if (size > capacity)
    size = capacity;
  if (stream->piece > 0 && size > stream->piece)
    size = stream->piece;
  if (size > 0)
    memcpy (data, stream->data + stream->at, size);
  stream->at += size;
  return (int64_t)size;
}
