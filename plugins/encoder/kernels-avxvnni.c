/*
 * Products of 8-bit integers on AVX-VNNI: each instruction adds four products to each of 8 sums. Attention is float, as
 * in kernels-avx2.c.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels-tables.h"

#include <cpuid.h>
#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#define VECTOR_BYTES 32
#define TILE_ROWS 4
#include "vector.inc.h"

#include "element-float.inc.h"

typedef uint8_t Activation;
typedef __m256i Int8Weights;
typedef __m256i Int8Activations;

enum { INT8_STEP = 4 };

static inline void
store_activations (Activation *to, Lanes integers)
{
  typedef uint8_t Bytes __attribute__ ((vector_size (LANES)));
  const Bytes bytes = __builtin_convertvector(integers, Bytes);

  memcpy (to, &bytes, sizeof bytes);
}

static inline Int8Weights
load_int8_weights (const int8_t *from)
{
  return _mm256_loadu_si256 ((const __m256i *)from);
}

static inline Int8Activations
broadcast_activations (const Activation *from)
{
  int32_t four;

  memcpy (&four, from, sizeof four);
  return _mm256_set1_epi32 (four);
}

static inline Lanes
multiply_add_int8 (Lanes sums, Int8Activations activations, Int8Weights weights)
{
  return (Lanes)_mm256_dpbusd_avx_epi32 ((__m256i)sums, activations, weights);
}

static bool
is_supported (void)
{
  enum { AVX_VNNI = 1 << 4 }; /* bit of EAX */
  unsigned int a = 0;
  unsigned int b = 0;
  unsigned int c = 0;
  unsigned int d = 0;

  return ragify_kernels_avx2.is_supported () && __get_cpuid_count (7, 1, &a, &b, &c, &d) != 0 && (a & AVX_VNNI) != 0;
}

#include "product.inc.h"

#include "product-int8.inc.h"

#include "kernels.inc.h"
#include "linear-int8.inc.h"

#define TABLE ragify_kernels_avxvnni
#define TABLE_NAME "avxvnni"
#define TABLE_PRECISION "int8"
#define TABLE_LANES LANES
#include "table.inc.h"
