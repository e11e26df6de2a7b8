/*
 * Products of 8-bit integers on AMX: each instruction multiplies 16 rows by 64 depths by 16 columns. Attention is
 * bfloat16, as in kernels-amxbf16.c.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels-tables.h"

#include <cpuid.h>
#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#define VECTOR_BYTES 64
#define TILE_ROWS 32
#include "vector.inc.h"

#include "element-bf16.inc.h"

#include "product-amx.inc.h"

typedef uint8_t Activation;

enum { INT8_STEP = 4, INT8_DEPTH = TILE_BYTES };

static inline void
store_activations (Activation *to, Lanes integers)
{
  _mm_storeu_si128 ((__m128i *)to, _mm512_cvtepi32_epi8 ((__m512i)integers));
}

#include "product-int8-type.inc.h"

static void
multiply_int8 (const Int8Product *product, size_t rows)
{
  const TileProduct tiles = {
    .input = (const char *)product->input,
    .input_bytes = product->depth,
    .panel = (const char *)product->panel,
    .depth_bytes = product->depth,
    .output = product->output,
    .output_bytes = PANEL_VECTORS * TILE_BYTES,
    .ahead = product->ahead,
    .ahead_bytes = product->ahead_bytes,
  };

  multiply_any (&tiles, true, rows, PANEL_VECTORS);
}

static bool
is_supported (void)
{
  enum { AMX_INT8 = 1 << 25 }; /* bit of EDX */
  unsigned int a = 0;
  unsigned int b = 0;
  unsigned int c = 0;
  unsigned int d = 0;

  return ragify_kernels_amxbf16.is_supported () && __get_cpuid_count (7, 0, &a, &b, &c, &d) != 0 && (d & AMX_INT8) != 0;
}

#include "kernels.inc.h"
#include "linear-int8.inc.h"

/* Vectors count as twice as long as they are, for the attention, as in kernels-amxbf16.c. */
#define TABLE ragify_kernels_amxint8
#define TABLE_NAME "amxint8"
#define TABLE_PRECISION "int8"
#define TABLE_LANES DEPTH
#include "table.inc.h"
