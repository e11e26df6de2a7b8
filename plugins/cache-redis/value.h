/* How a value stands in Redis. All numbers little-endian:
 *    0  "RGFV"          4  u8 version, 1     5  u8 codec (0 as it is, 1 zstd)     6  u16 0
 *    8  u64 XXH3-64 of the payload, seeded from the key and bytes 4 to 7 and 16 to 23
 *   16  u64 bytes of the value               24  the payload
 * The check covers the key as well: a value that a confused server or proxy sends for another key is recognised. */
#ifndef RAGIFY_CACHE_REDIS_VALUE_H
#define RAGIFY_CACHE_REDIS_VALUE_H

#include <ragify/base.h>

#include <stdbool.h>

#define VALUE_HEADER_SIZE 24
#define VALUE_SIZE_MAX (UINT64_C (64) << 20)

typedef enum {
  VALUE_PLAIN,   /* the value is what follows the header */
  VALUE_PACKED,  /* it must be unpacked */
  VALUE_FOREIGN, /* not a value of this version */
  VALUE_DAMAGED,
} ValueState;

/* What packing and unpacking need besides: made once, for one thread at a time. */
typedef struct Packer Packer;
Packer *packer_new (void);
void packer_free (Packer *packer);

/* In all that follows `packer` NULL makes one for the occasion. */

/* A framed copy, to be free()d; packed where it is larger than `pack_above` and becomes smaller by that. NULL: no
 * memory. [any] */
char *value_frame (Packer *packer, RagifyBytes key, const RagifyBuffer *value, uint64_t pack_above, size_t *size);

/* Whether `frame` was made for that key; sets the size of the value. [any] */
ValueState value_check (RagifyBytes key, RagifyBytes frame, uint64_t *size);

/* Unpacks a VALUE_PACKED frame into exactly `size` bytes. False: it is damaged. [any] */
bool value_unpack (Packer *packer, RagifyBytes frame, uint8_t *data, uint64_t size);

#endif
