/*
 * Products of 8-bit integers on AVX-512 with VNNI: each instruction adds four products to each of 16 sums. Attention is
 * float, as in kernels-avx512f.c.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels-tables.h"

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#define VECTOR_BYTES 64
#define TILE_ROWS 8
#include "vector.inc.h"

#include "element-float.inc.h"

typedef uint8_t Activation;
typedef __m512i Int8Weights;
typedef __m512i Int8Activations;

enum { INT8_STEP = 4 };

static inline void
store_activations (Activation *to, Lanes integers)
{
  _mm_storeu_si128 ((__m128i *)to, _mm512_cvtepi32_epi8 ((__m512i)integers));
}

static inline Int8Weights
load_int8_weights (const int8_t *from)
{
  return _mm512_loadu_si512 (from);
}

static inline Int8Activations
broadcast_activations (const Activation *from)
{
  int32_t four;

  memcpy (&four, from, sizeof four);
  return _mm512_set1_epi32 (four);
}

/* The intrinsic function means the same, but GCC 12 then keeps some of the sums in memory, at half the speed. */
static inline Lanes
multiply_add_int8 (Lanes sums, Int8Activations activations, Int8Weights weights)
{
  __asm__("vpdpbusd\t%2, %1, %0" : "+v"(sums) : "v"(activations), "v"(weights));
  return sums;
}

static bool
is_supported (void)
{
  return __builtin_cpu_supports ("avx512vnni") && __builtin_cpu_supports ("avx512bw") &&
         __builtin_cpu_supports ("avx512vl") && __builtin_cpu_supports ("avx512dq") && __builtin_cpu_supports ("fma");
}

#include "product.inc.h"

#include "product-int8.inc.h"

#include "kernels.inc.h"
#include "linear-int8.inc.h"

#define TABLE ragify_kernels_avx512vnni
#define TABLE_NAME "avx512vnni"
#define TABLE_PRECISION "int8"
#define TABLE_LANES LANES
#include "table.inc.h"
