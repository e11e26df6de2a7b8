/*
 * float products on AVX-512: 32 registers hold 8 x 3 sums.
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

static bool
is_supported (void)
{
  return __builtin_cpu_supports ("avx512f");
}

#include "product.inc.h"

#include "kernels.inc.h"
#include "linear.inc.h"

#define TABLE ragify_kernels_avx512f
#define TABLE_NAME "avx512f"
#define TABLE_PRECISION "fp32"
#define TABLE_LANES LANES
#include "table.inc.h"
