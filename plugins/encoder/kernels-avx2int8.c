/*
 * Products of 8-bit integers on AVX2. Its instruction for bytes (VPMADDUBSW) adds two products in 16 bits, where they
 * saturate: those for 16-bit integers (VPMADDWD) take half as many, and are exact. Attention is float, as in
 * kernels-avx2.c.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels-tables.h"

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#define VECTOR_BYTES 32
#define TILE_ROWS 4
#include "vector.inc.h"

#include "element-float.inc.h"

typedef int16_t Activation;
typedef __m256i Int8Weights;
typedef __m256i Int8Activations;

enum { INT8_STEP = 2 };

static inline void
store_activations (Activation *to, Lanes integers)
{
  typedef int16_t Shorts __attribute__ ((vector_size (2 * LANES)));
  const Shorts shorts = __builtin_convertvector(integers, Shorts);

  memcpy (to, &shorts, sizeof shorts);
}

static inline Int8Weights
load_int8_weights (const int8_t *from)
{
  return _mm256_cvtepi8_epi16 (_mm_loadu_si128 ((const __m128i *)from));
}

static inline Int8Activations
broadcast_activations (const Activation *from)
{
  int32_t pair;

  memcpy (&pair, from, sizeof pair);
  return _mm256_set1_epi32 (pair);
}

static inline Lanes
multiply_add_int8 (Lanes sums, Int8Activations activations, Int8Weights weights)
{
  return sums + (Lanes)_mm256_madd_epi16 (activations, weights);
}

static bool
is_supported (void)
{
  return ragify_kernels_avx2.is_supported ();
}

#include "product.inc.h"

#include "product-int8.inc.h"

#include "kernels.inc.h"
#include "linear-int8.inc.h"

#define TABLE ragify_kernels_avx2int8
#define TABLE_NAME "avx2int8"
#define TABLE_PRECISION "int8"
#define TABLE_LANES LANES
#include "table.inc.h"
