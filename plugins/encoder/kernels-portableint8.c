/*
 * Products of 8-bit integers in what every CPU of this architecture has: what the other kernels of integers are
 * compared with. It is here for that, and so that a store filled with int8 can be searched anywhere; it saves memory,
 * not time.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels-tables.h"

#include <stdint.h>
#include <string.h>

#define VECTOR_BYTES 16
#define TILE_ROWS 4
#include "vector.inc.h"

#include "element-float.inc.h"

typedef int16_t Shorts __attribute__ ((vector_size (VECTOR_BYTES)));
typedef int8_t Bytes __attribute__ ((vector_size (VECTOR_BYTES / 2)));

typedef int16_t Activation;
typedef Shorts Int8Weights;
typedef Shorts Int8Activations;

enum { INT8_STEP = 2 };

static inline void
store_activations (Activation *to, Lanes integers)
{
  for (int i = 0; i < LANES; i++)
    to[i] = (Activation)integers[i];
}

static inline Int8Weights
load_int8_weights (const int8_t *from)
{
  Bytes bytes;

  memcpy (&bytes, from, sizeof bytes);
  return __builtin_convertvector(bytes, Shorts);
}

static inline Int8Activations
broadcast_activations (const Activation *from)
{
  int32_t pair;

  memcpy (&pair, from, sizeof pair);
  return (Shorts)(pair - (Lanes){ 0 });
}

/* A product of two such integers fits into 16 bits, whose vectors every CPU can multiply; both of a lane are added. */
static inline Lanes
multiply_add_int8 (Lanes sums, Int8Activations activations, Int8Weights weights)
{
  const Lanes pairs = (Lanes)(activations * weights);

  return sums + (pairs >> 16) + ((pairs << 16) >> 16);
}

static bool
is_supported (void)
{
  return true;
}

#include "product.inc.h"

#include "product-int8.inc.h"

#include "kernels.inc.h"
#include "linear-int8.inc.h"

#define TABLE ragify_kernels_portableint8
#define TABLE_NAME "portableint8"
#define TABLE_PRECISION "int8"
#define TABLE_LANES LANES
#include "table.inc.h"
