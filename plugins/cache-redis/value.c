#include "value.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>
#include <zstd.h>

#define VERSION 1
#define CODEC_PLAIN 0
#define CODEC_ZSTD 1
#define LEVEL 1 /* a cache is written on the way of an answer */

static const char magic[4] = { 'R', 'G', 'F', 'V' };

struct Packer {
  ZSTD_CCtx *pack;
  ZSTD_DCtx *unpack;
};

Packer *
packer_new (void)
{
  Packer *packer = malloc (sizeof *packer);
  if (packer == NULL)
    return NULL;
  *packer = (Packer){ ZSTD_createCCtx (), ZSTD_createDCtx () };
  if (packer->pack != NULL && packer->unpack != NULL)
    return packer;
  packer_free (packer);
  return NULL;
}

void
packer_free (Packer *packer)
{
  if (packer == NULL)
    return;
  (void)ZSTD_freeCCtx (packer->pack);
  (void)ZSTD_freeDCtx (packer->unpack);
  free (packer);
}

static void
put_u64 (char *at, uint64_t number)
{
  for (int i = 0; i < 8; i++)
    at[i] = (char)(number >> (8 * i));
}

static uint64_t
read_u64 (const uint8_t *at)
{
  uint64_t number = 0;
  for (int i = 0; i < 8; i++)
    number |= (uint64_t)at[i] << (8 * i);
  return number;
}

static uint64_t
checksum (RagifyBytes key, uint8_t codec, uint64_t size, const void *payload, size_t payload_size)
{
  const uint64_t seed = XXH3_64bits_withSeed (key.data, key.size, size ^ (uint64_t)codec << 56);
  return XXH3_64bits_withSeed (payload, payload_size, seed);
}

char *
value_frame (Packer *packer, RagifyBytes key, const RagifyBuffer *value, uint64_t pack_above, size_t *size)
{
  const bool pack = value->size > pack_above;
  const size_t room = pack ? ZSTD_compressBound (value->size) : value->size;
  char *frame = malloc (VALUE_HEADER_SIZE + room);
  if (frame == NULL)
    return NULL;
  size_t payload = value->size;
  uint8_t codec = CODEC_PLAIN;
  if (pack) {
    char *to = frame + VALUE_HEADER_SIZE;
    const size_t packed = packer != NULL ? ZSTD_compressCCtx (packer->pack, to, room, value->data, value->size, LEVEL)
                                         : ZSTD_compress (to, room, value->data, value->size, LEVEL);
    if (!ZSTD_isError (packed) && packed < value->size) {
      payload = packed;
      codec = CODEC_ZSTD;
    }
  }
  if (codec == CODEC_PLAIN && payload > 0)
    memcpy (frame + VALUE_HEADER_SIZE, value->data, payload);
  memcpy (frame, magic, sizeof magic);
  frame[4] = VERSION;
  frame[5] = (char)codec;
  frame[6] = frame[7] = 0;
  put_u64 (frame + 8, checksum (key, codec, value->size, frame + VALUE_HEADER_SIZE, payload));
  put_u64 (frame + 16, value->size);
  *size = VALUE_HEADER_SIZE + payload;
  return frame;
}

ValueState
value_check (RagifyBytes key, RagifyBytes frame, uint64_t *size)
{
  if (frame.size < VALUE_HEADER_SIZE || memcmp (frame.data, magic, sizeof magic) != 0 || frame.data[4] != VERSION ||
      frame.data[5] > CODEC_ZSTD || frame.data[6] != 0 || frame.data[7] != 0)
    return VALUE_FOREIGN;
  const uint8_t codec = frame.data[5];
  const uint64_t plain = read_u64 (frame.data + 16);
  const size_t payload = frame.size - VALUE_HEADER_SIZE;
  if (plain > VALUE_SIZE_MAX || (codec == CODEC_PLAIN && plain != payload) ||
      read_u64 (frame.data + 8) != checksum (key, codec, plain, frame.data + VALUE_HEADER_SIZE, payload))
    return VALUE_DAMAGED;
  *size = plain;
  return codec == CODEC_PLAIN ? VALUE_PLAIN : VALUE_PACKED;
}

bool
value_unpack (Packer *packer, RagifyBytes frame, uint8_t *data, uint64_t size)
{
  const uint8_t *from = frame.data + VALUE_HEADER_SIZE;
  const size_t from_size = frame.size - VALUE_HEADER_SIZE;
  const size_t written = packer != NULL ? ZSTD_decompressDCtx (packer->unpack, data, size, from, from_size)
                                        : ZSTD_decompress (data, size, from, from_size);
  return !ZSTD_isError (written) && written == size;
}
