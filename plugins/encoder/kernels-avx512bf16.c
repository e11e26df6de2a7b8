/*
 * bfloat16 products on AVX-512: each instruction adds two products to each of 16 sums.
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

#include "element-bf16.inc.h"

static bool
is_supported (void)
{
  return __builtin_cpu_supports ("avx512bf16") && __builtin_cpu_supports ("avx512bw") &&
         __builtin_cpu_supports ("avx512vl") && __builtin_cpu_supports ("avx512dq") && __builtin_cpu_supports ("fma");
}

#include "product.inc.h"

#include "kernels.inc.h"
#include "linear.inc.h"

#define TABLE ragify_kernels_avx512bf16
#define TABLE_NAME "avx512bf16"
#define TABLE_PRECISION "bf16"
#define TABLE_LANES LANES
#include "table.inc.h"
